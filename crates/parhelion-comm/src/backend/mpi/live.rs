//! How many of MPI's objects this process has, for those who look for what is left behind: libraries say nothing, and have room
//! for some thousands.

use std::sync::atomic::{AtomicU64, Ordering};

/// Objects of one kind that exist.
pub(super) struct Live(AtomicU64);

pub(super) static COMMUNICATORS: Live = Live(AtomicU64::new(0));
pub(super) static WINDOWS: Live = Live(AtomicU64::new(0));
pub(super) static DATATYPES: Live = Live(AtomicU64::new(0));
/// Persistent ones: others end with their operation.
pub(super) static REQUESTS: Live = Live(AtomicU64::new(0));

impl Live {
    /// One more exists.
    pub(super) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the freeing of one that was counted, if it has succeeded.
    pub(super) fn one_less<E>(&self, freed: Result<(), E>) {
        if freed.is_ok() {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many there are.
    #[cfg(all(feature = "conformance", not(test)))]
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
