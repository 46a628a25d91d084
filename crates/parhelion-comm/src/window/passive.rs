//! [`Passive`] and [`Held`]: parts reached under their locks.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

use super::{Part, Window};
use crate::element::Element;
use crate::error::{Error, ErrorKind, Result};

/// How a part is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Together with others who ask for it shared.
    Shared,
    /// Alone.
    Exclusive,
}

/// The time in which the locks of parts can be had, as the closure of [`Window::passive`] has it. For one thread.
pub struct Passive<'e, T: Element> {
    window: &'e Window<T>,
    /// The locks that this rank holds.
    held: RefCell<Vec<(usize, Lock)>>,
    /// Why a lock that was dropped could not be given back.
    failure: RefCell<Option<Error>>,
}

/// A lock that is held, and the [`Part`] that it opens. Dropping it gives it back, once all that was done there is done.
pub struct Held<'p, T: Element> {
    part: Part<'p, T>,
    passive: &'p Passive<'p, T>,
}

impl<'e, T: Element> Passive<'e, T> {
    pub(super) fn new(window: &'e Window<T>) -> Self {
        Passive { window, held: RefCell::default(), failure: RefCell::default() }
    }

    /// Waits for the lock of a rank's part, which may be this rank's own. Whoever asked first gets it first.
    ///
    /// Two ranks that each wait for what the other holds are in a deadlock, as with any lock.
    ///
    /// # Errors
    /// [`InvalidRank`](ErrorKind::InvalidRank); [`InvalidArgument`](ErrorKind::InvalidArgument) if this rank holds it already; a
    /// lost peer, a timeout, a deadlock.
    pub fn lock(&self, rank: usize, lock: Lock) -> Result<Held<'_, T>> {
        let part = Part::new(self.window, "lock", rank)?;
        let communicator = &self.window.communicator;
        if self.held.borrow().iter().any(|(other, _)| *other == rank) {
            let text = format!("this rank holds the lock of rank {rank} already");
            return Err(communicator.error("lock", ErrorKind::InvalidArgument(text)));
        }
        self.window.exposed().lock(rank, lock).map_err(|e| self.window.failed_at(rank, e))?;
        self.held.borrow_mut().push((rank, lock));
        Ok(Held { part, passive: self })
    }

    fn unlock(&self, rank: usize) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let Some(at) = held.iter().position(|(other, _)| *other == rank) else { return Ok(()) };
        let (_, lock) = held.swap_remove(at);
        let exposed = self.window.exposed();
        // Given back in any case.
        let flushed = exposed.flush(rank);
        let unlocked = exposed.unlock(rank, lock);
        flushed.and(unlocked).map_err(|e| self.window.failed_at(rank, e))
    }

    /// Gives back what is still held.
    pub(super) fn end(&self) -> Result<()> {
        let ranks: Vec<usize> = self.held.borrow().iter().map(|(rank, _)| *rank).collect();
        let unlocked = ranks.into_iter().map(|rank| self.unlock(rank)).fold(Ok(()), Result::and);
        self.failure.take().map_or(unlocked, Err)
    }
}

impl<T: Element> Drop for Passive<'_, T> {
    fn drop(&mut self) {
        // After an error, or in a panic: it is that which is reported.
        let _ = self.end();
    }
}

impl<T: Element> Held<'_, T> {
    /// Gives the lock back. So does dropping it, but without telling of an error.
    ///
    /// # Errors
    /// Those of the communication.
    pub fn unlock(self) -> Result<()> {
        self.passive.unlock(self.part.rank())
    }
}

impl<T: Element> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if let Err(e) = self.passive.unlock(self.part.rank()) {
            self.passive.failure.borrow_mut().get_or_insert(e);
        }
    }
}

impl<'p, T: Element> Deref for Held<'p, T> {
    type Target = Part<'p, T>;

    fn deref(&self) -> &Part<'p, T> {
        &self.part
    }
}

impl<T: Element> fmt::Debug for Passive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passive(of {:?})", self.window)
    }
}

impl<T: Element> fmt::Debug for Held<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.part)
    }
}
