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
//! A rank that leaves says *goodbye* on all its links: it starts no more messages. It goes on serving those under way, and is gone
//! when each peer has answered. A wire that closes without goodbye, stays silent, or brings what cannot be understood means that
//! its peer is lost. Rank 0, to which every rank has a link from the start, hears of each end and tells all. An operation that
//! can only be completed by a rank that ended fails; what has arrived whole before can still be received.

use std::sync::Arc;
use std::time::Duration;

use self::operation::{Channel, Envelope, Operation};
use super::join::Joined;
use crate::backend::SendMode;
use crate::config::Config;
use crate::error::Result;

/// One rank's end of all its connections. All ranks in its interface are ranks of the world.
pub(super) struct Engine {}

impl Engine {
    /// Starts on what the rendezvous has left.
    ///
    /// # Errors
    /// What the system refuses.
    pub(super) fn start(joined: Joined, config: &Config) -> Result<Arc<Engine>>;

    pub(super) fn rank(&self) -> usize;
    pub(super) fn size(&self) -> usize;

    /// Starts a send. It may be over at once.
    ///
    /// # Safety
    /// `buf` is readable for `len` bytes until the operation is over or has been taken back.
    pub(super) unsafe fn send(self: &Arc<Self>, buf: *const u8, len: usize, dest: usize, channel: Channel, tag: u32, mode: SendMode) -> Operation;

    /// Starts a receive, from anyone if `source` is none, with any tag if `tag` is none.
    ///
    /// # Safety
    /// `buf` is writable for `len` bytes, and not otherwise used, until the operation is over or has been taken back.
    pub(super) unsafe fn recv(self: &Arc<Self>, buf: *mut u8, len: usize, source: Option<usize>, channel: Channel, tag: Option<u32>) -> Operation;

    /// The first message that a receive would match now; it stays where it is. Looks at what is known, without reading sockets
    /// (see [`Engine::progress`]).
    pub(super) fn probe(&self, source: Option<usize>, channel: Channel, tag: Option<u32>) -> Option<Envelope>;

    /// As [`Engine::probe`], but takes the message out of matching.
    pub(super) fn take(self: &Arc<Self>, source: Option<usize>, channel: Channel, tag: Option<u32>) -> Option<Taken>;

    /// Waits until `done` says so, or `limit` has passed (then false). Makes progress meanwhile. `done` is asked again after every
    /// completion, arrival, end of a rank, and [`Engine::nudge`]; it is called without locks and may use the engine.
    pub(super) fn wait_until(&self, limit: Option<Duration>, done: impl FnMut() -> bool) -> bool;

    /// Looks once for what has arrived and what can go out.
    pub(super) fn progress(&self);

    /// Makes every thread in [`Engine::wait_until`] ask again.
    pub(super) fn nudge(&self);

    /// How `rank` ended, if it has: what follows "rank 3 has".
    pub(super) fn lost(&self, rank: usize) -> Option<&'static str>;

    /// Ends this rank: its program returned (`ok`), or failed. Says goodbye, serves what is under way, and returns when the
    /// other ranks know, rank 0 when they have ended, too. Bounded by about a second where this rank or another has failed.
    pub(super) fn leave(&self, ok: bool);
}

/// A message taken out of matching. Dropped, it is lost, as if received into an empty buffer.
pub(super) struct Taken {}

impl Taken {
    pub(super) fn envelope(&self) -> Envelope;

    /// Receives it.
    ///
    /// # Safety
    /// As [`Engine::recv`].
    pub(super) unsafe fn recv(self, buf: *mut u8, len: usize) -> Operation;
}

/// What messages must agree in beside source and tag: those of different communicators never meet, nor those of different
/// lanes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::backend::tcp) struct Channel {
    pub(in crate::backend::tcp) context: u64,
    pub(in crate::backend::tcp) lane: u32,
}

/// What is known of a message beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::tcp) struct Envelope {
    pub(in crate::backend::tcp) source: usize,
    pub(in crate::backend::tcp) tag: u32,
    pub(in crate::backend::tcp) len: usize,
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::tcp) enum Fault {
    /// The message is longer than the buffer, and gone.
    Truncated { sent: usize, capacity: usize },
    /// It cannot be completed without a rank that has ended.
    Lost { rank: usize, how: &'static str },
    Cancelled,
}

/// A send or a receive under way. Dropping it changes nothing: the operation goes on, and with it its use of the buffer.
pub(in crate::backend::tcp) struct Operation {}

impl Operation {
    /// Whether it has completed or failed, and no longer uses its buffer.
    pub(in crate::backend::tcp) fn is_over(&self) -> bool;
    /// How it ended, once it is over; of a send, the envelope has this rank as source. Can be asked any number of times.
    pub(in crate::backend::tcp) fn result(&self) -> Option<Result<Envelope, Fault>>;
    /// Tries to make it not happen: true if it is over now, as [`Fault::Cancelled`]; false if it is over already or takes its
    /// course. A receive is cancelled if nothing has matched it, a send if it is only offered; that is asked of the peer, and
    /// this waits for the answer.
    pub(in crate::backend::tcp) fn cancel(&self) -> bool;
    /// Ends its use of the buffer, come what may: if it is not over, it is now, as cancelled. What is left to send is copied
    /// and goes out; what arrives is thrown away.
    pub(in crate::backend::tcp) fn take_back(&self);
    /// Wakes `waker` once when it is over, at once if it is. The last one given counts. Called without locks.
    pub(in crate::backend::tcp) fn set_waker(&self, waker: &std::task::Waker);
    /// Keeps `keep` until it is over.
    pub(in crate::backend::tcp) fn keep(&self, keep: crate::backend::Keep);
    /// Lets it fail when one of `members` dies (not: returns) before it has matched. A receive from anyone fails, too, when
    /// all `members` but this rank have ended, in whatever way.
    pub(in crate::backend::tcp) fn fails_with(&self, members: &Arc<[usize]>);
}
