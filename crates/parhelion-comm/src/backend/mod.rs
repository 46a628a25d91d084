//! What carries messages.
//!
//! # The contract of a backend
//!
//! A backend is a folder here and an entry in [`registry`]; nothing outside this module knows which backends exist. It
//! supplies [`Transport`], one object per communicator and rank, and [`Pending`], one object per operation in flight.
//! With point-to-point alone it has message sets ([`generic`]), windows ([`served`]) and the algorithms of collectives
//! ([`messages`]); what it can do better it does itself.
//!
//! 1. **Bytes.** Point-to-point moves bytes; [`Collective`] says which bytes belong together and how they combine.
//!    Arguments arrive validated: ranks, roots and tags in range, lengths that fit each other on this rank.
//! 2. **Matching** is MPI's (section 3.5): (source, tag, communicator), wildcards, non-overtaking. A message longer than
//!    its receive buffer is [`Truncated`](ErrorKind::Truncated), and the communicator still works.
//! 3. **Progress.** An operation in flight completes while its ranks are inside any call on the same backend.
//! 4. **Memory.** A pointer given to an `unsafe fn` is used only until that call returns (blocking) or until the
//!    [`Pending`] has completed or been abandoned. A blocking call that fails has let go of its buffers.
//! 5. **Collectives** are matched by the order of calls; blocking and non-blocking ones are counted apart. Mismatched
//!    arguments are a [`Mismatch`](ErrorKind::Mismatch) on every rank (always, or with [`Config::checks`]), and so is a call
//!    that is refused at some. All ranks get the same bits from a reduction, but for what [`Op`](crate::Op) says of NaN and of
//!    zeros of both signs.
//! 6. **Loss.** Where a backend can know that a peer is gone, waiting for it is [`PeerLost`](ErrorKind::PeerLost); no
//!    call waits beyond [`Config::timeout`].
//! 7. **Threads.** Every method may be called from any thread at any time; what the thread level forbids is an error.

#[cfg_attr(not(target_os = "linux"), path = "no_arena.rs")]
pub(crate) mod arena;
pub(crate) mod block;
pub(crate) mod exposed;
pub(crate) mod generic;
pub(crate) mod local;
pub(crate) mod messages;
pub(crate) mod mpi;
pub(crate) mod prepared;
pub(crate) mod served;
pub(crate) mod signature;
#[cfg_attr(not(target_os = "linux"), path = "no_tcp.rs")]
pub(crate) mod tcp;
pub(crate) mod words;

use std::any::Any as StdAny;
use std::sync::Arc;
use std::task::Waker;

use prepared::{Order, Prepared, Private};

use self::block::{Block, Reach};
use self::exposed::{Exposed, Exposure};
use self::words::Posts;
use crate::config::{BackendKind, Config, ThreadLevel};
use crate::element::ElementType;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::op::Kernel;
use crate::route::Route;
use crate::status::{Source, Status, TagSelector};

/// What keeps buffers alive for an operation nobody waits for any more.
pub(crate) type Keep = Box<dyn StdAny + Send>;

/// One rank's end of one communicator.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Which backend this is.
    fn backend(&self) -> BackendKind;
    /// The library and its version, where the backend stands on one.
    fn library(&self) -> Option<String>;
    /// The settings of the run.
    fn config(&self) -> &Config;
    /// What threads may do with it.
    fn thread_level(&self) -> ThreadLevel {
        ThreadLevel::Multiple
    }
    /// The communicator's name, for messages.
    fn name(&self) -> &str;
    /// This rank.
    fn rank(&self) -> usize;
    /// The number of ranks.
    fn size(&self) -> usize;
    /// The largest tag, inclusive.
    fn max_tag(&self) -> u32;
    /// What carries messages to `rank`.
    fn route(&self, rank: usize) -> Route;

    /// Sends; returns when the buffer may be reused.
    ///
    /// # Safety
    /// `buf` is readable for `len` bytes during the call.
    unsafe fn send(&self, buf: *const u8, len: usize, dest: usize, tag: u32, mode: SendMode) -> Result<()>;
    /// Receives; returns when the message is there. A communicator calls this for wildcards, else `recv_length`.
    ///
    /// # Safety
    /// `buf` is writable for `len` bytes during the call.
    unsafe fn recv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Status>;
    /// Receives where the sender and the tag are known; the message's length. As [`Transport::recv`] of these, which is what
    /// it is where that is no slower.
    ///
    /// # Safety
    /// As [`Transport::recv`].
    unsafe fn recv_length(&self, buf: *mut u8, len: usize, source: usize, tag: u32) -> Result<usize> {
        // SAFETY: the caller's promise.
        let status = unsafe { self.recv(buf, len, Source::Rank(source), TagSelector::Tag(tag)) }?;
        Ok(status.bytes)
    }
    /// Starts a send.
    ///
    /// # Safety
    /// `buf` is readable for `len` bytes until the operation has completed.
    unsafe fn isend(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<Box<dyn Pending>>;
    /// Starts a receive.
    ///
    /// # Safety
    /// `buf` is writable for `len` bytes, and not otherwise used, until the operation has completed.
    unsafe fn irecv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Box<dyn Pending>>;
    /// Sends and receives at once (MPI section 3.10); returns when both are done.
    ///
    /// # Safety
    /// `from.buf` is readable and `into.buf` writable for their lengths during the call.
    unsafe fn send_recv(&self, from: Outgoing, into: Incoming) -> Result<Status> {
        // SAFETY: the caller's promise.
        unsafe { send_recv_started(self, from, into) }
    }
    /// The next matching message, left in its queue; `None` if there is none and `block` is false.
    fn probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Status>>;
    /// The next matching message, taken out of matching (MPI section 3.8.2).
    fn matched_probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Box<dyn Matched>>>;

    /// Whether the ranks compare their calls of a collective before anything moves.
    fn compares_calls(&self) -> bool {
        self.config().checks
    }
    /// Carries out a collective.
    ///
    /// # Safety
    /// The parts' pointers are valid for their counts during the call; send parts may be read, receive parts read and
    /// written by any rank.
    unsafe fn collective(&self, call: &Collective<'_>) -> Result<()>;
    /// [`Transport::collective`] for the commonest one, since small ones are counted in nanoseconds: an all-reduce of `count`
    /// elements. A null `send` stands for what is in `recv`.
    ///
    /// # Safety
    /// As [`Transport::collective`].
    #[inline]
    unsafe fn all_reduce(&self, send: *const u8, recv: *mut u8, count: usize, kernel: &Kernel<'_>) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.collective(&Collective::all_reduce(send, recv, count, kernel)) }
    }
    /// Starts a collective.
    ///
    /// # Safety
    /// As [`Transport::collective`], until the operation has completed; so are the counts and the kernel's closure.
    unsafe fn start_collective(&self, call: &Collective<'static>) -> Result<Box<dyn Pending>>;

    /// Waits until at least one of `pending` (not empty) has completed: its index and result. A completed one must not
    /// be waited for again.
    fn wait_any(&self, pending: &mut [&mut dyn Pending]) -> Result<(usize, Result<Status>)>;

    /// Zeroed memory of at least `bytes`, aligned to `align` and to a cache line. A local call. With a token where the ranks
    /// of this node can read it.
    fn allocate(&self, bytes: usize, align: usize) -> Block;
    /// How to read the blocks of each of `peers` (distinct); none where either of the two cannot. Collective over this rank
    /// and `peers`.
    fn attach(&self, peers: &[usize]) -> Result<Vec<Option<Reach>>>;
    /// `words` words of this rank, and those of each of `peers` (distinct, not this rank). Collective over this rank and
    /// `peers`, which have as many words.
    fn signals(&self, peers: &[usize], words: usize) -> Result<Posts>;

    /// What the message sets of this communicator share at this rank.
    fn private(&self) -> &Private;
    /// Prepares a set of messages on this communicator, which nobody else uses. Collective. The ranks have agreed on the
    /// order: every message has one length at both ends.
    fn prepare(self: Arc<Self>, order: Order) -> Result<Box<dyn Prepared>>;
    /// Makes a window on this communicator, which is for windows only. Collective; ranks reach for each other's parts only after
    /// they have heard that all have it.
    fn expose(self: Arc<Self>, exposure: Exposure) -> Result<Box<dyn Exposed>>;

    /// A communicator with the same ranks. Collective.
    fn dup(&self, name: &str) -> Result<Box<dyn Transport>>;
    /// One communicator per colour, ranks ordered by (key, rank); none for `None`. Collective.
    fn split(&self, color: Option<u32>, key: i64, name: &str) -> Result<Option<Box<dyn Transport>>>;
    /// One communicator per set of ranks that share memory. Collective.
    fn split_shared(&self, name: &str) -> Result<Box<dyn Transport>>;
    /// The communicator of `ranks`, in that order; this rank is among them. Collective over `ranks` only.
    fn subgroup(&self, name: &str, ranks: &[usize]) -> Result<Box<dyn Transport>>;
}

/// A message to send.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) buf: *const u8,
    pub(crate) len: usize,
    pub(crate) dest: usize,
    pub(crate) tag: u32,
}

/// A message to receive: of up to `len` bytes, into `buf`.
#[derive(Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) buf: *mut u8,
    pub(crate) len: usize,
    pub(crate) source: Source,
    pub(crate) tag: TagSelector,
}

/// [`Transport::send_recv`] by an operation in flight for either.
///
/// # Safety
/// As there.
pub(crate) unsafe fn send_recv_started<T: Transport + ?Sized>(
    transport: &T,
    from: Outgoing,
    into: Incoming,
) -> Result<Status> {
    // SAFETY: the caller's promise: neither operation outlasts this call.
    unsafe {
        let mut received = Finished::new(transport.irecv(into.buf, into.len, into.source, into.tag)?);
        let mut sent = Finished::new(transport.isend(from.buf, from.len, from.dest, from.tag, SendMode::Standard)?);
        let status = received.wait()?;
        sent.wait()?;
        Ok(status)
    }
}

/// An operation that ends here, however this is left: see [`Pending::finish_now`].
pub(crate) struct Finished(Option<Box<dyn Pending>>);

impl Finished {
    pub(crate) fn new(pending: Box<dyn Pending>) -> Self {
        Finished(Some(pending))
    }

    /// Waits for it, once.
    pub(crate) fn wait(&mut self) -> Result<Status> {
        let status = self.0.as_mut().map_or(Ok(NO_STATUS), |pending| pending.wait())?;
        self.0 = None;
        Ok(status)
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.finish_now();
        }
    }
}

/// One operation in flight.
pub(crate) trait Pending: Send {
    /// Waits until it has completed. Not called again afterwards.
    fn wait(&mut self) -> Result<Status>;
    /// Its result if it has completed. Not called again after it answered, with a result or an error.
    fn test(&mut self) -> Result<Option<Status>>;
    /// [`Pending::test`] without progress of its own: for whoever asks many, and makes progress once.
    fn glance(&mut self) -> Result<Option<Status>> {
        self.test()
    }
    /// Has `waker` woken when it completes, at once if it has, by whoever makes progress then; false where nobody makes progress
    /// but who waits, and the waker is not used.
    fn wake(&self, _waker: &Waker) -> bool {
        false
    }
    /// Asks to cancel: true if it never happens now (it has completed, as cancelled), false if it takes its course.
    fn cancel(&mut self) -> Result<bool>;
    /// Nobody waits any more. `keep` holds the buffers and must live until the operation has completed; a receive that
    /// has matched nothing is cancelled.
    fn abandon(self: Box<Self>, keep: Keep);
    /// [`Pending::abandon`], but a receive stays posted: its sender counts on it.
    fn detach(self: Box<Self>, keep: Keep);
    /// Ends the operation: after this the buffers are no longer used. Cancels a receive that has matched nothing and waits
    /// for the rest; a send is taken back only when waiting for it has failed. Aborts the process, saying so, if neither
    /// is possible, or a thread that panics would wait for ever, since borrowed memory is at stake.
    fn finish_now(self: Box<Self>);
}

/// A message taken out of matching by [`Transport::matched_probe`].
pub(crate) trait Matched: Send {
    /// Who sent it, and how long it is.
    fn status(&self) -> Status;
    /// Receives it.
    ///
    /// # Safety
    /// `buf` is writable for `len` bytes during the call.
    unsafe fn recv(self: Box<Self>, buf: *mut u8, len: usize) -> Result<Status>;
}

/// When a send may return (MPI section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendMode {
    /// As soon as the buffer may be reused.
    Standard,
    /// Only when the receive has started.
    Synchronous,
}

/// The collectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CollectiveKind {
    Barrier,
    Broadcast,
    Reduce,
    AllReduce,
    Scan,
    ExclusiveScan,
    Gather,
    AllGather,
    Scatter,
    AllToAll,
    ReduceScatter,
}

impl CollectiveKind {
    /// The method's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            CollectiveKind::Barrier => "barrier",
            CollectiveKind::Broadcast => "broadcast",
            CollectiveKind::Reduce => "reduce",
            CollectiveKind::AllReduce => "all_reduce",
            CollectiveKind::Scan => "scan",
            CollectiveKind::ExclusiveScan => "exclusive_scan",
            CollectiveKind::Gather => "gather",
            CollectiveKind::AllGather => "all_gather",
            CollectiveKind::Scatter => "scatter",
            CollectiveKind::AllToAll => "all_to_all",
            CollectiveKind::ReduceScatter => "reduce_scatter",
        }
    }

    /// Whether one rank plays a part of its own.
    pub(crate) fn is_rooted(self) -> bool {
        use CollectiveKind::{Broadcast, Gather, Reduce, Scatter};
        matches!(self, Broadcast | Reduce | Gather | Scatter)
    }
}

/// How many elements a part has for each rank; blocks lie behind each other in rank order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts<'a> {
    /// The part is one block of this many elements, or one such block per rank where the table says "blocks".
    Same(usize),
    /// One block per rank, of these many elements.
    Each(&'a [usize]),
}

/// One rank's call of a collective, as a value.
///
/// Parts, with `P` the size. A part that a rank does not have is null with `Counts::Same(0)`.
///
/// | kind | send | recv |
/// |---|---|---|
/// | barrier | - | - |
/// | broadcast | - | one block, read at the root, written elsewhere |
/// | reduce | one block | root: one block |
/// | all_reduce, scan, exclusive_scan | one block | one block |
/// | gather | one block | root: blocks, `Same` or `Each` |
/// | all_gather | one block | blocks, `Same` or `Each` |
/// | scatter | root: blocks, `Same` or `Each` | one block |
/// | all_to_all | blocks, `Same` or `Each` | blocks, likewise |
/// | reduce_scatter | blocks, `Same` or `Each` (equal on all ranks) | one block |
///
/// In a gather or scatter the ranks other than the root have `Same` counts in either form: `varying` tells the forms
/// apart on every rank. A null send part of all_reduce means "in place": the receive part is the input.
pub(crate) struct Collective<'a> {
    pub(crate) kind: CollectiveKind,
    pub(crate) element: ElementType,
    /// The root, or 0.
    pub(crate) root: usize,
    /// Whether this is the "v" form, with counts of each rank's own.
    pub(crate) varying: bool,
    pub(crate) send: *const u8,
    pub(crate) send_counts: Counts<'a>,
    pub(crate) recv: *mut u8,
    pub(crate) recv_counts: Counts<'a>,
    pub(crate) kernel: Option<Kernel<'a>>,
    /// The call was refused at this rank, which takes part only so that all hear of it: a mismatch, whatever the others called.
    pub(crate) refused: bool,
}

impl Collective<'static> {
    /// A call that was refused.
    pub(crate) fn refused(kind: CollectiveKind) -> Self {
        Collective {
            kind,
            element: ElementType::of::<u8>(),
            root: 0,
            varying: false,
            send: std::ptr::null(),
            send_counts: Counts::Same(0),
            recv: std::ptr::null_mut(),
            recv_counts: Counts::Same(0),
            kernel: None,
            refused: true,
        }
    }
}

impl<'a> Collective<'a> {
    /// An all-reduce; a null `send` stands for what is in `recv`.
    fn all_reduce(send: *const u8, recv: *mut u8, count: usize, kernel: &Kernel<'a>) -> Self {
        Collective {
            kind: CollectiveKind::AllReduce,
            element: kernel.element,
            root: 0,
            varying: false,
            send,
            send_counts: Counts::Same(if send.is_null() { 0 } else { count }),
            recv,
            recv_counts: Counts::Same(count),
            kernel: Some(*kernel),
            refused: false,
        }
    }
}

/// The status of an operation that has none of its own (a send, a collective).
pub(crate) const NO_STATUS: Status = Status { source: 0, tag: 0, bytes: 0 };

/// Whether a backend can be used here, and why.
#[derive(Debug, Clone)]
pub struct Availability {
    /// The backend.
    pub backend: BackendKind,
    /// Its place in [`registry`], higher ones first. It chooses nothing: a run takes the backend that is configured or that its
    /// launcher means, else local (see [`choose`](crate::run::choose)).
    pub priority: u8,
    /// Whether it can be used.
    pub available: bool,
    /// Why, or why not, in one line.
    pub reason: String,
}

/// Whether this backend can be used here. Asking never initialises anything, but may load a library.
pub(crate) fn availability(kind: BackendKind, config: &Config) -> Availability {
    match kind {
        BackendKind::Local => local::availability(config),
        BackendKind::Mpi => mpi::availability(config),
        BackendKind::Tcp => tcp::availability(config),
    }
}

/// Every backend, highest priority first. Asking never initialises anything.
pub fn registry(config: &Config) -> Vec<Availability> {
    let mut all =
        [BackendKind::Mpi, BackendKind::Tcp, BackendKind::Local].map(|kind| availability(kind, config)).to_vec();
    all.sort_by_key(|a| std::cmp::Reverse(a.priority));
    all
}
