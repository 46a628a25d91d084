//! Message sets as a backend sees them: [`Order`], [`Prepared`].
//!
//! [`MessageSet`](crate::message_set::MessageSet) checks arguments, makes ranks agree, and keeps the state; what is here
//! does the moving. A set goes through these calls, from one thread at a time:
//!
//! 1. `start_receives`, then `start_send` once for every send, in any order;
//! 2. `next_receive` until it answers `None`, with `test` in between at will;
//! 3. `complete`; then from the beginning again.
//!
//! `place` is called between rounds. After an error nothing but `abandon` is called. A set that was started is not dropped
//! without it.

use std::alloc::{Layout as MemoryLayout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use super::Keep;
use crate::communicator::Communicator;
use crate::error::Result;
use crate::layout::Layout;
use crate::message_set::Method;

/// One message of a set, to or from `peer`.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    pub(crate) peer: usize,
    pub(crate) bytes: usize,
    /// Where it lies in this rank's staging memory of that direction, and in the peer's, of the other direction.
    pub(crate) offset: usize,
    pub(crate) remote_offset: usize,
    /// Where it lies in the caller's memory, in bytes, if it is moved in place.
    pub(crate) places: Vec<Layout>,
}

/// What is asked of a backend. Equal in method, tag and `most` at every rank.
pub(crate) struct Order {
    pub(crate) method: Method,
    /// No other set of the communicator has it.
    pub(crate) tag: u32,
    pub(crate) sends: Vec<Leg>,
    pub(crate) recvs: Vec<Leg>,
    /// The most bytes that any rank sends or receives.
    pub(crate) most: usize,
    /// Whether messages should be moved in place, in this memory of the caller's.
    pub(crate) memory: Option<InPlace>,
}

/// The caller's memory, valid as long as the set may use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InPlace(pub(crate) *mut u8);

// SAFETY: whoever makes a set in place vouches for the memory on whatever thread.
unsafe impl Send for InPlace {}

/// The directions, as the index of what there is for each.
pub(crate) const SENDS: usize = 0;
/// See [`SENDS`].
pub(crate) const RECVS: usize = 1;

/// The memory that messages leave from and arrive in, for each direction. `None`: it is in place.
#[derive(Clone, Copy)]
pub(crate) struct Stage(pub(crate) Option<[Side; 2]>);

/// The memory of one direction: one place for each message, or two that are used by turns.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    base: *mut u8,
    /// Which of two places, if there are two.
    turn: Option<bool>,
}

impl Side {
    /// Messages at their offsets.
    pub(crate) fn single(base: *mut u8) -> Self {
        Side { base, turn: None }
    }

    /// Messages at twice their offsets, each followed by its other place: where they are in round `round`.
    pub(crate) fn turned(base: *mut u8, round: u64) -> Self {
        Side { base, turn: Some(round % 2 == 1) }
    }

    /// The bytes of a memory with two places for each message, where one with one place takes `extent`.
    pub(crate) fn double(extent: usize) -> usize {
        2 * extent.next_multiple_of(Staging::ALIGN)
    }

    /// Where the message of `bytes` bytes at `offset` is.
    #[inline]
    pub(crate) fn at(self, offset: usize, bytes: usize) -> *mut u8 {
        let place = match self.turn {
            None => offset,
            Some(false) => 2 * offset,
            Some(true) => 2 * offset + bytes.next_multiple_of(Staging::ALIGN),
        };
        self.base.wrapping_add(place)
    }
}

/// A set of messages, ready to be carried out again and again.
pub(crate) trait Prepared: Send {
    /// Where the messages are: sends from the end of one round to that of the next, receives from start to start.
    fn stage(&self) -> Stage;
    /// Has the messages of a direction leave from, or arrive, where `at` says, null for the staging memory, from the next
    /// round on. False, and all of them are staged, if it cannot.
    fn place(&mut self, _direction: usize, _at: &[*mut u8]) -> Result<bool> {
        Ok(false)
    }
    /// Starts all receives.
    fn start_receives(&mut self) -> Result<()>;
    /// Starts a send.
    fn start_send(&mut self, send: usize) -> Result<()>;
    /// Waits for a receive that has not been given yet; `None` if there is none left.
    fn next_receive(&mut self) -> Result<Option<usize>>;
    /// Whether neither [`Prepared::next_receive`] nor [`Prepared::complete`] would wait. Makes progress.
    fn test(&mut self) -> Result<bool>;
    /// Waits until the memory of the sends may be reused.
    fn complete(&mut self) -> Result<()>;
    /// A set of the same messages, at the places of `order`, which is this one's but for them. Local. What is started of the two
    /// is one sequence.
    fn another(&self, order: Order) -> Result<Box<dyn Prepared>>;
    /// Nobody will complete it: what has been started goes on, and `keep` lives until nothing uses the memory.
    fn abandon(self: Box<Self>, keep: Keep);
}

/// What the message sets of one communicator share at one rank: messages that meet no others, and their next tag; and what
/// its windows share.
#[derive(Default)]
pub(crate) struct Private {
    pub(crate) communicator: Mutex<Option<Communicator>>,
    pub(crate) next_tag: AtomicU32,
    pub(crate) windows: Mutex<Option<Communicator>>,
    pub(crate) next_window: AtomicU32,
}

/// Zeroed memory for the messages of one direction. Its user hands out pointers and sees to it that uses do not collide.
pub(crate) struct Staging {
    memory: NonNull<u8>,
    layout: MemoryLayout,
}

// SAFETY: plain memory; a shared reference only gives the pointer.
unsafe impl Send for Staging {}
// SAFETY: as above.
unsafe impl Sync for Staging {}

impl Staging {
    /// Each message begins at a multiple of this: a cache line.
    pub(crate) const ALIGN: usize = 64;

    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        // Pages of its own for what is moved by pages.
        let align = if bytes < 4096 { Self::ALIGN } else { 4096 };
        let layout = MemoryLayout::from_size_align(bytes.max(1), align).expect("less than half of the address space");
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        Arc::new(Staging { memory, layout })
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// The bytes of a staging memory that holds `legs`.
pub(crate) fn extent(legs: &[Leg]) -> usize {
    legs.last().map_or(0, |leg| leg.offset + leg.bytes)
}
