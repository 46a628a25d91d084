//! The tokens of a one-sided set that this rank sends, and when they leave.
//!
//! A token tells a peer that what it is to have is in a window. What was put is there only after a flush, which waits for the
//! network. It is therefore left to the next call of this rank, of whatever kind: until then the data moves while the rank
//! computes, and whatever it waits for afterwards, its peers have their tokens.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use mpi_abi::Library;

use super::super::comm::In;
use super::super::runtime::{Chore, Runtime};
use super::requests::Requests;
use super::window::Window;
use super::{OPERATION, Under};
use crate::backend::prepared::Prepared;
use crate::error::{Error, Result};

/// A handle: also the chore that sends what is due has one.
pub(super) struct Announcement(Arc<Mutex<Inner>>);

struct Inner {
    library: &'static Library,
    window: Arc<Window>,
    tokens: Requests,
    due: Vec<Due>,
    /// Why the chore could not send what was due.
    failed: Option<Error>,
}

/// A token that has not left.
pub(super) struct Due {
    pub(super) token: usize,
    /// The peer to which something was put that must be there first.
    pub(super) flush: Option<c_int>,
}

impl Announcement {
    pub(super) fn new(library: &'static Library, window: Arc<Window>, tokens: Requests) -> Self {
        Announcement(Arc::new(Mutex::new(Inner { library, window, tokens, due: Vec::new(), failed: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends tokens now, and what was due before. A turn is held.
    pub(super) fn send(&self, tokens: impl IntoIterator<Item = Due>) -> Result<()> {
        let mut inner = self.lock();
        inner.due.extend(tokens);
        inner.send()
    }

    /// Leaves tokens to the next call.
    pub(super) fn leave(&self, runtime: &Runtime, tokens: impl IntoIterator<Item = Due>) {
        self.lock().due.extend(tokens);
        runtime.leave(Box::new(Later(Arc::downgrade(&self.0))));
    }

    /// Sends what is due, and says what went wrong before. A turn is held.
    pub(super) fn settle(&self) -> Result<()> {
        let mut inner = self.lock();
        match inner.failed.take() {
            Some(failed) => Err(failed),
            None => inner.send(),
        }
    }

    /// Whether all tokens have left. A turn is held.
    pub(super) fn test(&self) -> Result<bool> {
        self.lock().tokens.test_sends()
    }

    /// Waits until all tokens have left.
    pub(super) fn complete(&self) -> Result<()> {
        self.lock().tokens.complete()
    }

    /// As [`Under::is_over`].
    pub(super) fn is_over(&self) -> bool {
        let mut inner = self.lock();
        inner.send().is_ok() && inner.tokens.is_over()
    }
}

impl Inner {
    /// A turn is held.
    fn send(&mut self) -> Result<()> {
        for peer in self.due.iter().filter_map(|due| due.flush) {
            // SAFETY: the window's epoch is under way.
            unsafe { self.library.win_flush(peer, self.window.raw) }.of(OPERATION)?;
        }
        while let Some(due) = self.due.pop() {
            self.tokens.send(due.token)?;
        }
        Ok(())
    }
}

/// The chore: gone with its set.
struct Later(Weak<Mutex<Inner>>);

impl Chore for Later {
    fn attempt(&mut self) -> bool {
        let Some(inner) = self.0.upgrade() else { return true };
        let mut inner = match inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever has it sends what is due, or leaves a chore of its own.
            Err(TryLockError::WouldBlock) => return true,
        };
        if let Err(failed) = inner.send() {
            inner.failed = Some(failed);
        }
        true
    }
}
