//! [`Words`]: the signal words of one rank, each on cache lines of its own, and [`Posts`], those of a rank and its peers.
//! What is below [`Signals`](crate::Signals).

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::Block;
use crate::error::Result;

/// From one word to the next: two cache lines, since x86 fetches lines in pairs.
pub(crate) const STRIDE: usize = 128;

/// Words that one rank writes and others read. A clone is the same words.
#[derive(Clone)]
pub(crate) struct Words {
    first: NonNull<u8>,
    count: usize,
    /// Keeps the memory.
    _keep: Arc<dyn Any + Send + Sync>,
}

// SAFETY: atomics in memory that `_keep`, which may be on any thread, keeps.
unsafe impl Send for Words {}
// SAFETY: a shared reference gives atomics only.
unsafe impl Sync for Words {}

impl Words {
    /// New words, all 0, in plain memory of this process.
    pub(crate) fn plain(count: usize) -> Self {
        let block = Arc::new(Block::plain(count * STRIDE, STRIDE, false));
        // SAFETY: as large as is said, zeroed, aligned, without any other use, and kept.
        unsafe { Words::new(block.ptr(), count, block) }
    }

    /// The words at `first`.
    ///
    /// # Safety
    /// From `first` on, `count` times [`STRIDE`] bytes are initialised, aligned to 8, used as these words only, and there
    /// for as long as `keep` is.
    pub(crate) unsafe fn new(first: NonNull<u8>, count: usize, keep: Arc<dyn Any + Send + Sync>) -> Self {
        Words { first, count, _keep: keep }
    }

    /// Whether both are the same words.
    pub(crate) fn is(&self, other: &Words) -> bool {
        self.first == other.first
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Where they are.
    #[cfg(target_os = "linux")]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.first
    }

    /// Word `index`.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count, "word {index} of {}", self.count);
        // SAFETY: inside the memory, by the promise of `new`.
        unsafe { self.first.add(index * STRIDE).cast::<AtomicU64>().as_ref() }
    }
}

/// The words of this rank and of its peers, and the backend's way to wait.
pub(crate) struct Posts {
    pub(crate) own: Words,
    /// In the order that the peers were named in.
    pub(crate) peers: Vec<Words>,
    pub(crate) sentry: Box<dyn Sentry>,
}

/// The part of waiting that differs between backends.
pub(crate) trait Sentry: Send + Sync {
    /// Whether [`Sentry::ring`] does anything.
    fn rings(&self) -> bool;
    /// Called after a word was written: wakes the peers that have gone to sleep in [`Sentry::wait`].
    fn ring(&self);
    /// Waits until a peer's word is large enough.
    fn wait(&self, awaited: &Awaited<'_>) -> Result<()>;
    /// One step of progress: an error if the word is still too small and the peer is lost.
    fn look(&self, awaited: &Awaited<'_>) -> Result<()>;
}

/// A word of a peer that is to reach a value.
pub(crate) struct Awaited<'a> {
    pub(crate) word: &'a AtomicU64,
    pub(crate) at_least: u64,
    /// The peer, by its place in the list, and the word's index: for errors.
    pub(crate) peer: usize,
    pub(crate) index: usize,
}

impl Awaited<'_> {
    /// Whether it has; if so, what the peer wrote before is visible.
    #[inline]
    pub(crate) fn has_come(&self) -> bool {
        self.word.load(Ordering::Acquire) >= self.at_least
    }
}
