//! [`Header`]: what the two ends of a ring tell each other: how far they are, and whether they sleep.
//!
//! 1. The writer alone writes `tail` and the reader alone `head`: counts of all bytes ever written and read. Bytes between them
//!    belong to the reader, all others to the writer. Each end trusts its own copy of its own count only.
//! 2. Whoever is about to sleep says so, then looks once more; whoever has moved a count looks then whether the other end sleeps.
//!    Both put a full fence between (Dekker), so that one of them sees the other: no wake-up is lost.
//! 3. Whoever finds the other end asleep takes the word back, and so wakes it once.

use super::sync::{AtomicU64, Ordering, full_fence};

/// Alone on its cache lines: two of them, since x86 fetches lines in pairs.
#[derive(Default)]
#[repr(C, align(128))]
struct Padded(AtomicU64);

#[derive(Default)]
#[repr(C)]
pub(super) struct Header {
    tail: Padded,
    head: Padded,
    reader_sleeps: Padded,
    writer_sleeps: Padded,
}

impl Header {
    pub(super) fn tail(&self) -> u64 {
        self.tail.0.load(Ordering::Acquire)
    }

    pub(super) fn head(&self) -> u64 {
        self.head.0.load(Ordering::Acquire)
    }

    /// The writer has written up to `tail`: whether it is to wake the reader.
    #[inline]
    pub(super) fn publish(&self, tail: u64) -> bool {
        self.tail.0.store(tail, Ordering::Release);
        full_fence();
        is_to_be_woken(&self.reader_sleeps.0)
    }

    /// The reader has read up to `head`: whether it is to wake the writer.
    #[inline]
    pub(super) fn release(&self, head: u64) -> bool {
        self.head.0.store(head, Ordering::Release);
        full_fence();
        is_to_be_woken(&self.writer_sleeps.0)
    }

    /// The reader will sleep, unless there is something when it looks now.
    pub(super) fn reader_will_sleep(&self) {
        self.reader_sleeps.0.swap(1, Ordering::Relaxed);
        full_fence();
    }

    pub(super) fn reader_is_awake(&self) {
        self.reader_sleeps.0.swap(0, Ordering::Relaxed);
    }

    /// The writer will sleep, unless there is room when it looks now.
    pub(super) fn writer_will_sleep(&self) {
        self.writer_sleeps.0.swap(1, Ordering::Relaxed);
        full_fence();
    }

    pub(super) fn writer_is_awake(&self) {
        self.writer_sleeps.0.swap(0, Ordering::Relaxed);
    }
}

#[inline]
fn is_to_be_woken(sleeps: &AtomicU64) -> bool {
    sleeps.load(Ordering::Relaxed) != 0 && sleeps.swap(0, Ordering::Relaxed) != 0
}
