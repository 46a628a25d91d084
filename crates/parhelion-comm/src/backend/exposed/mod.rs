//! Windows as a backend sees them: [`Exposure`], [`Exposed`].
//!
//! [`Window`](crate::Window) checks arguments and sees to it that ranks reach each other's parts only in epochs: it opens and
//! closes them with messages of its own ([`Purpose`]), for which it needs no backend. So a backend need not know epochs: from
//! its making to its release every part can be reached, by any rank.
//!
//! - [`ground`]: the bytes of a part that its own process serves. [`queue`]: who holds its lock, and who waits for it.

pub(crate) mod ground;
pub(crate) mod queue;

use super::Pending;
use crate::element::ElementType;
use crate::error::Result;
use crate::op::Kernel;
use crate::status::Status;
use crate::window::Lock;

/// What is asked of a backend. Equal at every rank of the communicator, which is for windows only.
pub(crate) struct Exposure {
    pub(crate) element: ElementType,
    /// The bytes of each rank's part: whole elements.
    pub(crate) bytes: Vec<usize>,
    /// The first of the window's tags.
    pub(crate) tag: u32,
}

/// What a message on a window's communicator is for: added to the window's first tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// All ranks have come this far.
    Meeting,
    /// A rank's part may be reached.
    Open,
    /// A rank has done what it wanted at another's part.
    Done,
    /// To whoever serves a part.
    Request,
    /// From there.
    Reply,
    /// Is never sent: what waits for it hears of lost ranks.
    Nothing,
}

impl Purpose {
    /// From one window's first tag to the next one's.
    pub(crate) const TAGS: u32 = 8;

    pub(crate) fn of(self, window: u32) -> u32 {
        window + self as u32
    }
}

/// A place in the window: a rank, and bytes from the beginning of its part, a multiple of the element's size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) rank: usize,
    pub(crate) offset: usize,
}

/// One rank's end of a window. Called by one thread at a time; what a call touches has been checked to be inside the parts, and
/// is at least one element. After an error of the communication nothing but `release` need work.
pub(crate) trait Exposed: Send + Sync {
    /// This rank's part: zeros at first, aligned for the element, at one address for as long as this lives.
    fn memory(&self) -> *mut u8;

    /// Writes `bytes` bytes: they are there after a flush.
    ///
    /// # Safety
    /// `from` is readable for `bytes` bytes during the call.
    unsafe fn put(&self, spot: Spot, from: *const u8, bytes: usize) -> Result<()>;

    /// Reads `bytes` bytes. Sees what this rank put there before.
    ///
    /// # Safety
    /// `into` is writable for `bytes` bytes during the call.
    unsafe fn get(&self, spot: Spot, into: *mut u8, bytes: usize) -> Result<()>;

    /// Combines `count` elements into those at `spot`, each of them atomically, after a flush at the latest; what was there
    /// before goes to `before` by the end of the call, unless that is null.
    ///
    /// # Safety
    /// `from` is readable for `count` elements and aligned to them, `before` writable, during the call. They do not overlap.
    unsafe fn accumulate(
        &self,
        spot: Spot,
        from: *const u8,
        count: usize,
        kernel: &Kernel<'static>,
        before: *mut u8,
    ) -> Result<()>;

    /// Writes the element `new` if the one at `spot` has the bytes of `expected`, and gives what was there `before`.
    ///
    /// # Safety
    /// The first two are readable, `before` is writable for one element during the call.
    unsafe fn compare_and_swap(&self, spot: Spot, expected: *const u8, new: *const u8, before: *mut u8) -> Result<()>;

    /// Returns when all that this rank did at `rank` is done there.
    fn flush(&self, rank: usize) -> Result<()>;

    /// Waits for the lock of a rank's part, of which this rank has none.
    fn lock(&self, rank: usize, lock: Lock) -> Result<()>;

    /// Gives it back, after a flush.
    fn unlock(&self, rank: usize, lock: Lock) -> Result<()>;

    /// Waits for a message of the window's communicator, and does meanwhile what other ranks need of this one.
    fn wait(&self, pending: &mut dyn Pending) -> Result<Status> {
        pending.wait()
    }

    /// Makes what others did here visible to this rank's own reads, and its own writes to others: between its use of its part
    /// as plain memory and that of others.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// This rank is done with the window. If it is `broken`, others may still reach this rank's part, and find it there.
    fn release(self: Box<Self>, broken: bool);
}
