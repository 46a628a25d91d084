//! The engine: messages between processes over stream sockets, matched as in MPI.
//!
//! # Words
//!
//! - A *wire* is one connection, a *link* everything between this rank and one peer. A link has one wire, or two where both
//!   ranks dialled at once; a rank sends all its frames to a peer on one wire, so that they stay in order, and reads both.
//! - A *frame* is a header of fixed size, for some kinds followed by bytes of a message ([`frame`]).
//! - A message is *eager* where its bytes follow its header, or *offered* where they wait until the receive is known.
//! - An *operation* is a send or a receive under way ([`operation`]). A [`Channel`] is what messages must agree in beside source and tag.
//!
//! # How a message travels
//!
//! 1. A send of up to the eager limit is written at once, in the calling thread. What the socket does not take is copied and
//!    goes out later; the send is over either way.
//! 2. A longer send, a synchronous one, and one beyond the peer's credit is *offered*: its header alone goes, in the order of
//!    sends. When a receive has matched it, the receiver *accepts*, and the bytes follow in pieces, between which other frames go.
//! 3. What arrives for a posted receive is read from the socket into its buffer. An eager message that nobody expects is kept,
//!    and counts against the credit of its sender until it is received: so a receiver holds a bounded number of bytes per peer.
//! 4. Messages of a rank to itself never see a socket.
//! 5. Between ranks of one machine frames travel through [`ring`]s in shared memory instead of the wire ([`shared`]), and messages
//!    of more than 16 KiB are offered and read out of their sender's memory ([`pull`]), whatever the eager limit.
//!
//! # Who does the work
//!
//! All state is behind one lock. A thread that waits ([`Engine::wait_until`]) reads and writes the sockets itself: first spinning,
//! then asleep in epoll; of several such threads one does, and the others sleep until it has news. One thread of the engine's own
//! serves while no other thread waits: it leaves the sockets alone for as long as others come by, looking every now and then.
//! User code (wakers, what operations keep alive) never runs under the lock.
//!
//! # How ranks end
//!
//! A rank whose program has returned finishes what that has begun, for which it may need ranks whose programs go on. When none
//! does, or there is nothing to finish, it says *goodbye* on all its links: it starts no more messages. It goes on serving those
//! under way, and is gone when each peer has answered. A wire that closes without goodbye, stays silent, or brings what cannot be understood means that
//! its peer is lost. Rank 0, to which every rank has a link from the start, hears of each end and tells all. An operation that
//! can only be completed by a rank that ended fails; what has arrived whole before can still be received.

mod connect;
mod death;
mod door;
mod exchange;
mod forget;
mod frame;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzz;
mod inbox;
mod link;
mod matching;
mod operation;
mod outbox;
mod progress;
mod pull;
mod remote;
mod ring;
mod route;
mod shared;
mod state;

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use self::connect::FIRST_WIRE;
use self::door::{DOOR_TCP, DOOR_UNIX};
use self::forget::Forgotten;
use self::frame::MAX_EAGER;
use self::inbox::Inbox;
use self::link::{Body, Link, Phase, Wire};
use self::matching::{Mail, Selector, Waiting};
pub(super) use self::operation::{Channel, Envelope, Fault, Operation};
use self::progress::{Beds, Crew};
use self::state::State;
use super::join::{HostId, Joined};
use crate::backend::SendMode;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// How long a wait spins before it sleeps: to be woken takes some 50 microseconds, and the peer may be copying a message of a
/// megabyte. Also where ranks share cores: then a spin yields at every look, and costs less than to sleep and be woken.
const SPIN: Duration = Duration::from_millis(1);

/// One rank's end of all its connections. All ranks in its interface are ranks of the world.
pub(super) struct Engine {
    me: usize,
    size: usize,
    spin: Duration,
    /// There are more ranks on this host than cores.
    is_crowded: bool,
    /// Counts the times that threads of the program came by: not each, but some in any series.
    visits: AtomicU64,
    state: Mutex<State>,
    /// Also in the state; here for those who sleep on it without the lock.
    epoll: Arc<OwnedFd>,
    beds: Beds,
    helper: Mutex<Option<JoinHandle<()>>>,
}

/// The state, locked. Released, it writes what is to be written, tells waiting threads of news, and runs user code.
struct Turn<'a> {
    engine: &'a Engine,
    state: Option<MutexGuard<'a, State>>,
    news: u64,
}

impl Engine {
    /// Starts on what the rendezvous has left.
    ///
    /// # Errors
    /// What the system refuses.
    pub(super) fn start(joined: Joined, config: &Config) -> Result<Arc<Engine>> {
        Self::build(joined, config).map_err(|e| {
            let text = format!("the connections to the other ranks cannot be set up: {e}");
            Error::new("run", ErrorKind::Unavailable(text))
        })
    }

    fn build(joined: Joined, config: &Config) -> std::io::Result<Arc<Engine>> {
        let Joined { rank: me, size, roster, heartbeat, key, doors, star } = joined;
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&*epoll, doors.tcp.as_fd(), EventData::new_u64(DOOR_TCP), EventFlags::IN)?;
        if let Some(unix) = &doors.unix {
            epoll::add(&*epoll, unix.as_fd(), EventData::new_u64(DOOR_UNIX), EventFlags::IN)?;
        }
        let host = |rank: usize| (roster[rank].unix.map(|(host, _)| host), roster[rank].tcp.ip());
        let neighbours = (0..size).filter(|rank| host(*rank) == host(me)).count();
        let is_crowded = neighbours > cores();
        let spin = config.spin.unwrap_or(SPIN);
        if config.shared_memory {
            remote::permit();
        }
        let now = Instant::now();
        let mut state = State {
            me,
            size,
            roster,
            here: HostId::here(),
            key,
            doors: Some(doors),
            shut_until: None,
            links: (0..size).map(|_| Link::new(now)).collect(),
            wires: HashMap::new(),
            next_token: FIRST_WIRE,
            visitors: VecDeque::new(),
            mail: Mail::new(),
            forgotten: Forgotten::default(),
            ended: vec![None; size],
            told: vec![false; size],
            death: None,
            over: vec![false; size],
            all_over: false,
            leaving: None,
            began_leaving: now,
            noted: false,
            news: 0,
            deeds: 0,
            after: Vec::new(),
            dirty: Vec::new(),
            reading: 0,
            hot: None,
            epoll: epoll.clone(),
            eager_limit: config.tcp_eager_limit.min(MAX_EAGER as usize / 4),
            heartbeat,
            last_beat: now,
            next_timer: now,
            shared: config.shared_memory,
            number: Box::new(random()),
            rings: Vec::new(),
            stuck: Vec::new(),
            armed: false,
            looks: 0,
            sockets_matter: true,
            pulls: VecDeque::new(),
            crew: Crew::default(),
        };
        for (peer, stream) in star {
            stream.set_nonblocking(true)?;
            let phase = Phase::Up { peer, inbox: Inbox::new(), used: true };
            let token = state.add_wire(Wire { stream, phase, wants_room: false }, EventFlags::IN)?;
            state.links[peer].wires.push(token);
            state.links[peer].sends_on = Some(token);
            state.offer_ring(peer);
        }
        if config.connect_all {
            for peer in me + 1..size {
                if state.links[peer].sends_on.is_none() {
                    state.dial(peer);
                }
            }
        }
        state.flush_dirty();
        let engine = Arc::new(Engine {
            me,
            size,
            spin,
            is_crowded,
            visits: AtomicU64::new(0),
            state: Mutex::new(state),
            epoll,
            beds: Beds::new()?,
            helper: Mutex::default(),
        });
        let helper = engine.clone();
        let helper = std::thread::Builder::new().name("parhelion-tcp".into()).spawn(move || helper.help())?;
        *engine.helper.lock().unwrap_or_else(PoisonError::into_inner) = Some(helper);
        Ok(engine)
    }

    pub(super) fn rank(&self) -> usize {
        self.me
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Starts a send. It may be over at once.
    ///
    /// # Safety
    /// `buf` is readable for `len` bytes until the operation is over or has been taken back.
    pub(super) unsafe fn send(
        self: &Arc<Self>,
        buf: *const u8,
        len: usize,
        dest: usize,
        channel: Channel,
        tag: u32,
        mode: SendMode,
    ) -> Operation {
        // SAFETY: the caller's promise.
        let state = unsafe { self.visit().send(buf, len, dest, channel, tag, mode) };
        Operation { engine: self.clone(), state }
    }

    /// Starts a receive, from anyone if `source` is none, with any tag if `tag` is none. One from anyone fails with the loss of a rank
    /// only once it has members ([`Operation::fails_with`]).
    ///
    /// # Safety
    /// `buf` is writable for `len` bytes, and not otherwise used, until the operation is over or has been taken back.
    pub(super) unsafe fn recv(
        self: &Arc<Self>,
        buf: *mut u8,
        len: usize,
        source: Option<usize>,
        channel: Channel,
        tag: Option<u32>,
    ) -> Operation {
        // SAFETY: the caller's promise.
        let state = unsafe { self.visit().recv(buf, len, Selector { source, tag }, channel) };
        Operation { engine: self.clone(), state }
    }

    /// The first message that a receive would match now; it stays where it is. Looks at what is known, without reading sockets
    /// (see [`Engine::progress`]).
    pub(super) fn probe(&self, source: Option<usize>, channel: Channel, tag: Option<u32>) -> Option<Envelope> {
        self.visit().mail.peek(channel, Selector { source, tag }).map(envelope)
    }

    /// As [`Engine::probe`], but takes the message out of matching.
    pub(super) fn take(self: &Arc<Self>, source: Option<usize>, channel: Channel, tag: Option<u32>) -> Option<Taken> {
        let waiting = self.visit().mail.take(channel, Selector { source, tag })?;
        Some(Taken { engine: self.clone(), waiting: Some(waiting) })
    }

    /// Looks once for what has arrived and what can go out.
    pub(super) fn progress(&self) {
        self.look_once();
    }

    /// Keeps the helper away for a while: a thread of the program is here, and will look soon. Costs next to nothing.
    #[inline]
    pub(super) fn come_by(&self) {
        // Two at once may count as one.
        self.visits.store(self.visits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Makes every thread in [`Engine::wait_until`] ask again.
    pub(super) fn nudge(&self) {
        self.turn().news += 1;
    }

    /// How `rank` ended, if it has: what follows "rank 3 has".
    pub(super) fn lost(&self, rank: usize) -> Option<&'static str> {
        self.lock().ended[rank].map(|end| end.how())
    }

    /// The end that a receive from anyone of `members` fails with: of one that has died, or of the last, if all but this rank
    /// have ended.
    pub(super) fn lost_of(&self, members: &[usize]) -> Option<(usize, &'static str)> {
        let state = self.lock();
        let others = || members.iter().filter(|&&rank| rank != self.me).map(|&rank| (rank, state.ended[rank]));
        let dead = others().find(|(_, end)| end.is_some_and(|end| end.is_death()));
        let all = || others().all(|(_, end)| end.is_some()).then(|| others().last()).flatten();
        dead.or_else(all).and_then(|(rank, end)| Some((rank, end?.how())))
    }

    fn turn(&self) -> Turn<'_> {
        let state = self.lock();
        Turn { engine: self, news: state.news, state: Some(state) }
    }

    /// A turn of a thread of the program, which keeps the helper away for a while; unless it is the helper itself that runs what
    /// was woken.
    fn visit(&self) -> Turn<'_> {
        if !progress::is_helper() {
            self.come_by();
        }
        self.turn()
    }
}

impl Deref for Turn<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("locked until dropped")
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("locked until dropped")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        state.flush_dirty();
        if state.news != self.news {
            self.engine.beds.tell(&mut state.crew);
        }
        if !state.after.is_empty() {
            let after = std::mem::take(&mut state.after);
            drop(state);
            after.into_iter().for_each(operation::After::run);
        }
    }
}

/// The cores that the ranks of this host have, as far as this rank can see: its own, or, where it is bound to one, which says
/// nothing of the others, the machine's.
fn cores() -> usize {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        // SAFETY: asks for a number.
        1 => usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1),
        cores => cores,
    }
}

fn random() -> [u8; 16] {
    let mut number = [0; 16];
    getrandom::fill(&mut number).expect("the system has random numbers");
    number
}

/// A message taken out of matching. Dropped, it is lost, as if received into an empty buffer.
pub(super) struct Taken {
    engine: Arc<Engine>,
    waiting: Option<Waiting<Body>>,
}

impl Taken {
    pub(super) fn envelope(&self) -> Envelope {
        envelope(self.waiting.as_ref().expect("there until received"))
    }

    /// Receives it.
    ///
    /// # Safety
    /// As [`Engine::recv`].
    pub(super) unsafe fn recv(mut self, buf: *mut u8, len: usize) -> Operation {
        let waiting = self.waiting.take().expect("there until received");
        // SAFETY: the caller's promise.
        let state = unsafe { self.engine.visit().receive(waiting, buf, len) };
        Operation { engine: self.engine.clone(), state }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            // SAFETY: nothing is written to a buffer of no bytes.
            unsafe { self.engine.visit().receive(waiting, std::ptr::NonNull::dangling().as_ptr(), 0) };
        }
    }
}

fn envelope(waiting: &Waiting<Body>) -> Envelope {
    let len = match &waiting.message {
        Body::Whole(bytes) => bytes.len(),
        Body::Offer { len, .. } => *len,
        Body::Shown(slot) => slot.lock().len,
    };
    Envelope { source: waiting.source, tag: waiting.tag, len }
}

#[cfg(test)]
mod tests;
