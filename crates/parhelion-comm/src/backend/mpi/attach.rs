//! Memory of ranks on this node ([`arena`](crate::backend::arena)), and signals in it.
//!
//! Two ranks tell each other where their arenas are, each looks for the other's, and then they tell each other whether
//! they have found it: what only one of them can reach, neither uses. MPI carries these messages, and nothing after.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

use mpi_abi::Status as RawStatus;

use super::comm::Comm;
use super::job;
use super::lane::MpiLane;
use crate::backend::arena::{Arena, IDENTITY_WORDS, Identity, Loan, PeerArena, borrow};
use crate::backend::block::Reach;
use crate::backend::messages::Fault;
use crate::backend::messages::exchange::swap_words;
use crate::backend::words::{Awaited, Posts, Sentry, Words};
use crate::error::{Error, ErrorKind, Result};

/// Says to a peer that there is nothing to find.
const NOTHING: [u64; IDENTITY_WORDS] = [u64::MAX; IDENTITY_WORDS];

fn swap(comm: &Arc<Comm>, operation: &'static str, peers: &[usize], mine: Vec<Vec<u64>>) -> Result<Vec<Vec<u64>>> {
    let lane = MpiLane::among_peers(comm, operation);
    let peers = peers.to_vec();
    let job = Box::pin(async move { swap_words(&lane, &peers, &mine).await.map_err(Fault::from) });
    job::block_on(job, comm, operation, drop)
}

/// What a peer said of itself, and its arena if both can reach the other's.
struct Met {
    said: [u64; 2],
    arena: Option<Arc<PeerArena>>,
}

/// Meets `peers`, other ranks than this one: tells each of them `say`. A turn is held.
fn meet(comm: &Arc<Comm>, operation: &'static str, peers: &[usize], say: [u64; 2]) -> Result<Vec<Met>> {
    if peers.is_empty() {
        return Ok(Vec::new());
    }
    let own = Arena::of_process().filter(|_| comm.config.shared_memory).and_then(|arena| arena.identity());
    let mine: Vec<u64> = own.map_or(NOTHING, Identity::to_words).into_iter().chain(say).collect();
    let theirs = swap(comm, operation, peers, vec![mine; peers.len()])?;
    let mut met: Vec<Met> = theirs
        .iter()
        .map(|words| {
            let (identity, said) = words.split_at(IDENTITY_WORDS);
            let identity: [u64; IDENTITY_WORDS] = identity.try_into().expect("as many words as were asked for");
            let there = own.is_some() && identity != NOTHING;
            let arena = there.then(|| PeerArena::find(&Identity::of_words(identity))).flatten();
            Met { said: said.try_into().expect("two words"), arena }
        })
        .collect();
    let found: Vec<Vec<u64>> = met.iter().map(|met| vec![u64::from(met.arena.is_some())]).collect();
    for (met, theirs) in met.iter_mut().zip(swap(comm, operation, peers, found)?) {
        met.arena = met.arena.take().filter(|_| theirs == [1]);
    }
    Ok(met)
}

/// See [`Transport::attach`](crate::backend::Transport::attach). A turn is held.
pub(super) fn attach(comm: &Arc<Comm>, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
    let others: Vec<usize> = peers.iter().copied().filter(|&peer| peer != comm.rank).collect();
    let mut met = meet(comm, "attach", &others, [0; 2])?.into_iter();
    let reach = |&peer: &usize| {
        let arena = match peer == comm.rank {
            false => met.next().and_then(|met| met.arena),
            true => Arena::of_process()
                .filter(|_| comm.config.shared_memory)
                .and_then(|arena| PeerArena::find(&arena.identity()?)),
        };
        arena.map(Reach::Mapped)
    };
    Ok(peers.iter().map(reach).collect())
}

/// See [`Transport::signals`](crate::backend::Transport::signals). A turn is held.
pub(super) fn signals(comm: &Arc<Comm>, peers: &[usize], count: usize) -> Result<Posts> {
    /// No token: the words are not where a peer could read them.
    const NOWHERE: u64 = 0;
    let loan = comm.config.shared_memory.then(|| Loan::new(count, peers.len())).flatten();
    let token = loan.as_ref().map_or(NOWHERE, Loan::token);
    let met = meet(comm, "signals", peers, [token, count as u64])?;
    let mut words = Vec::with_capacity(peers.len());
    let mut fault = None;
    for (&peer, met) in peers.iter().zip(&met) {
        let [their_token, their_count] = met.said;
        let fits = their_count == count as u64 && token != NOWHERE && their_token != NOWHERE;
        // Both come to the same answer: that of two ranks which agree on everything, or none.
        let theirs = met.arena.as_ref().filter(|_| fits).and_then(|arena| {
            // SAFETY: the peer lent this to all whom it named, and this rank borrows it once.
            unsafe { borrow(arena, their_token, count) }
        });
        if theirs.is_none() {
            loan.iter().for_each(Loan::forgo);
            fault.get_or_insert_with(|| unreachable(comm, peer, count, their_count, met.arena.is_some()));
        }
        words.extend(theirs);
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    // Without peers nobody has to reach them.
    let own = loan.map_or_else(|| Words::plain(count), |loan| loan.words());
    let sentry = Box::new(Spinner { comm: comm.clone(), peers: peers.to_vec() });
    Ok(Posts { own, peers: words, sentry })
}

#[cold]
fn unreachable(comm: &Comm, peer: usize, count: usize, their_count: u64, reached: bool) -> Error {
    let kind = if their_count != count as u64 {
        let text = format!("rank {} makes signals of {count} words, rank {peer} of {their_count} words", comm.rank);
        ErrorKind::Mismatch(text)
    } else {
        let what = if reached { "its shared memory is used up" } else { "their memory is not shared" };
        let text = format!("rank {} cannot signal rank {peer}: {what}; exchange by messages", comm.rank);
        ErrorKind::Unavailable(text)
    };
    Error::new("signals", kind).with_peer(peer)
}

/// Waits by looking: nobody can wake a process that sleeps, so it never does.
struct Spinner {
    comm: Arc<Comm>,
    peers: Vec<usize>,
}

impl Sentry for Spinner {
    fn rings(&self) -> bool {
        false
    }

    fn ring(&self) {}

    fn wait(&self, awaited: &Awaited<'_>) -> Result<()> {
        /// Looks before the first yield: some ten microseconds, the length of a short exchange.
        const FIRST: u32 = 1000;
        /// Looks between yields: a rank that shares its core with the one that it waits for should not hold it for long.
        const LATER: u32 = 50;
        let start = Instant::now();
        let mut looks = FIRST;
        loop {
            for _ in 0..looks {
                if awaited.has_come() {
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            looks = LATER;
            self.progress().map_err(|e| e.with_peer(self.peers[awaited.peer]))?;
            std::thread::yield_now();
            if let Some(limit) = self.comm.timeout().filter(|limit| start.elapsed() >= *limit) {
                if awaited.has_come() {
                    return Ok(());
                }
                return Err(Error::new("wait", ErrorKind::Timeout(limit)).with_peer(self.peers[awaited.peer]));
            }
        }
    }
}

impl Spinner {
    /// The peer may be waiting for a message of ours, which goes on only inside MPI. A thread that may not call MPI only
    /// waits.
    fn progress(&self) -> Result<()> {
        let runtime = self.comm.runtime;
        let Ok(_turn) = runtime.try_turn() else {
            if runtime.is_over() {
                let text = format!("{} is finalised: nobody will post any more", runtime.library.name());
                return Err(Error::new("wait", ErrorKind::Unsupported(text)));
            }
            return Ok(());
        };
        runtime.progress();
        let (library, mut flag) = (runtime.library, 0);
        let c = library.constants();
        let (any, tag, mut status) = (c.any_source, self.comm.peer_tag() as c_int, RawStatus::default());
        // SAFETY: the places are valid. What it finds stays in its queue; the call is for what MPI does on the way.
        let _ = unsafe { library.iprobe(any, tag, self.comm.shadow, &mut flag, &mut status) };
        Ok(())
    }
}
