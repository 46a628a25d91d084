//! [`World`], what all communicators of this process share, and [`Comm`], one rank's end of one of them.
//!
//! Every communicator has a *context*, a number that no other communicator of the job ever has: the world rank of its first
//! member and a count of that rank's. All that its members need to agree on is which number the first one took, so making and
//! dropping communicators leaves nothing behind. Messages of one context are told apart by *lanes*: the user's, those of
//! jobs, those among some ranks, and those by which groups are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::engine::{Channel, Engine, Envelope, Fault, Operation};
use crate::backend::prepared::Private;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::status::{Source, Status, TagSelector};

/// Bits of a context that count the communicators of one rank.
const COUNT_BITS: u32 = 40;

/// What all communicators of this process share.
pub(super) struct World {
    pub(super) engine: Arc<Engine>,
    pub(super) config: Config,
    /// For each rank of the world, the first rank of its machine.
    hosts: Vec<usize>,
    /// Counts the contexts that this rank has taken.
    taken: AtomicU64,
    /// Collectives in flight of this rank: begun, and not over.
    pub(super) in_flight: AtomicUsize,
    /// The last error of a communication call was a lost peer.
    pub(super) saw_loss: AtomicBool,
}

impl World {
    pub(super) fn new(engine: Arc<Engine>, config: Config, hosts: Vec<usize>) -> Arc<Self> {
        let (taken, in_flight, saw_loss) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(World { engine, config, hosts, taken, in_flight, saw_loss })
    }

    /// A context that nobody has had. 0 is the world's.
    pub(super) fn fresh_context(&self) -> u64 {
        let count = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(count >> COUNT_BITS == 0, "a rank makes fewer than 2^{COUNT_BITS} communicators");
        (self.engine.rank() as u64) << COUNT_BITS | count
    }
}

/// What a message is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The user's own.
    User,
    /// A collective; its number is the tag.
    Job,
    /// What some ranks do among themselves.
    Peers,
    /// The making of a group; the tag tells names apart.
    Group,
}

/// One rank's end of a communicator. Every operation in flight holds one.
pub(super) struct Comm {
    pub(super) world: Arc<World>,
    pub(super) name: String,
    pub(super) rank: usize,
    /// The ranks of the world that are its ranks.
    pub(super) members: Arc<[usize]>,
    /// What its message sets share.
    pub(super) private: Private,
    context: u64,
    /// Whether its context ends with it.
    ends_context: bool,
    /// Members by their rank in the world; none where the two numberings are one.
    places: Option<Vec<(usize, usize)>>,
    /// Counts its jobs; equal at every rank, as collectives are called in one order.
    sequence: AtomicU32,
}

impl Comm {
    /// The communicator of `members`, of whom this rank is number `rank`. What nobody has received of it is gone with it.
    pub(super) fn new(world: Arc<World>, context: u64, members: Arc<[usize]>, rank: usize, name: &str) -> Arc<Self> {
        let mut comm = Self::on(world, context, members, rank, name);
        comm.ends_context = true;
        Arc::new(comm)
    }

    /// The same on a context that does not end with it.
    fn on(world: Arc<World>, context: u64, members: Arc<[usize]>, rank: usize, name: &str) -> Self {
        let in_order = members.iter().enumerate().all(|(i, &member)| i == member);
        let places = (!in_order).then(|| {
            let mut places: Vec<(usize, usize)> = members.iter().enumerate().map(|(i, &member)| (member, i)).collect();
            places.sort_unstable();
            places
        });
        Comm {
            world,
            name: name.to_owned(),
            rank,
            members,
            private: Private::default(),
            context,
            ends_context: false,
            places,
            sequence: AtomicU32::new(0),
        }
    }

    /// The communicator of all.
    pub(super) fn of_world(world: Arc<World>) -> Arc<Self> {
        let (rank, members) = (world.engine.rank(), (0..world.engine.size()).collect());
        Arc::new(Comm::on(world, 0, members, rank, "world"))
    }

    /// This communicator's ranks `ranks`, in that order and before they have a context of their own: what they send
    /// each other on the lane for groups meets nothing else.
    pub(super) fn part(&self, ranks: &[usize]) -> Arc<Self> {
        let members = ranks.iter().map(|&rank| self.members[rank]).collect();
        let rank = ranks.iter().position(|&rank| rank == self.rank).expect("this rank is in its group");
        Arc::new(Comm::on(self.world.clone(), self.context, members, rank, &self.name))
    }

    pub(super) fn size(&self) -> usize {
        self.members.len()
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.world.engine
    }

    /// The longest wait of a blocking call.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.world.config.timeout
    }

    /// The number of the next job. It comes round again, long after the last job of that number is done.
    pub(super) fn next_job(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn channel(&self, purpose: Purpose) -> Channel {
        Channel { context: self.context, lane: purpose as u32 }
    }

    /// The first rank of the world that is on the machine of `rank`.
    pub(super) fn host(&self, rank: usize) -> usize {
        self.world.hosts[self.members[rank]]
    }

    /// The rank here of a member.
    pub(super) fn rank_of(&self, member: usize) -> usize {
        match &self.places {
            None => member,
            Some(places) => match places.binary_search_by_key(&member, |(member, _)| *member) {
                Ok(at) => places[at].1,
                Err(_) => unreachable!("messages of a context come from its members"),
            },
        }
    }

    pub(super) fn status(&self, envelope: Envelope) -> Status {
        Status { source: self.rank_of(envelope.source), tag: envelope.tag, bytes: envelope.len }
    }

    /// The member that `source` names.
    pub(super) fn member(&self, source: Source) -> Option<usize> {
        match source {
            Source::Rank(rank) => Some(self.members[rank]),
            Source::Any => None,
        }
    }

    /// A rank without which nothing can come from `source`, and how it ended. As with a receive from anyone, that is one that has
    /// died, or the last if all have ended.
    pub(super) fn lost_source(&self, source: Source) -> Option<(usize, &'static str)> {
        match source {
            Source::Rank(rank) => self.engine().lost(self.members[rank]).map(|how| (rank, how)),
            Source::Any => self.engine().lost_of(&self.members).map(|(member, how)| (self.rank_of(member), how)),
        }
    }

    /// The loss of `rank`, of this communicator.
    #[cold]
    pub(super) fn loss(&self, operation: &'static str, rank: usize, how: &'static str) -> Error {
        self.world.saw_loss.store(true, Ordering::Relaxed);
        Error::new(operation, ErrorKind::PeerLost { rank, how })
    }

    #[cold]
    pub(super) fn fault(&self, operation: &'static str, fault: Fault) -> Error {
        match fault {
            Fault::Truncated { source, sent, capacity } => {
                Error::new(operation, ErrorKind::Truncated { sent, capacity }).with_peer(self.rank_of(source))
            }
            Fault::Lost { rank, how } => self.loss(operation, self.rank_of(rank), how),
            Fault::Cancelled => Error::new(operation, ErrorKind::Cancelled),
        }
    }

    /// Waits for `over`: its result, or none if the time is up.
    pub(super) fn wait(&self, over: &Operation) -> Option<Result<Envelope, Fault>> {
        over.result().or_else(|| {
            self.engine().wait_until(self.timeout(), || over.is_over());
            over.result()
        })
    }

    /// That the time is up.
    #[cold]
    pub(super) fn late(&self, operation: &'static str) -> Error {
        Error::new(operation, ErrorKind::Timeout(self.timeout().unwrap_or_default()))
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        if self.ends_context {
            self.engine().forget(self.context);
        }
    }
}

/// Adds what is known of the other side.
#[cold]
pub(super) fn locate(mut error: Error, source: Source, tag: TagSelector) -> Error {
    if let Source::Rank(rank) = source {
        error = error.with_peer(rank);
    }
    if let TagSelector::Tag(tag) = tag {
        error = error.with_tag(tag);
    }
    error
}
