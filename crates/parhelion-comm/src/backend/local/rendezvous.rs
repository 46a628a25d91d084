//! Large messages: the receiver copies straight out of the sender's memory, and a sender that waits helps.
//!
//! State: `WAITING` → `COPYING` → `DONE`, or `WAITING` → `WITHDRAWN`.
//!
//! 1. Only the receiver leaves `WAITING` for `COPYING`, only the sender for `WITHDRAWN`; a compare-exchange decides.
//! 2. The sender's memory is valid from the creation until the sender has seen `DONE` or made it `WITHDRAWN`.
//! 3. Chunks are handed out by `next`; a chunk counts in `copied` after it has been copied. Whoever brings `copied` to
//!    the end sets `DONE`. The receiver does not return before `DONE`, so its memory is valid as long as anyone copies.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::world::World;
use crate::backend::Keep;

const WAITING: u32 = 0;
const COPYING: u32 = 1;
const DONE: u32 = 2;
const WITHDRAWN: u32 = 3;

/// Copied as one piece by one side; pieces alternate between both where the message has several.
const CHUNK: usize = 64 << 10;

pub(super) struct Rendezvous {
    source: *const u8,
    len: usize,
    state: AtomicU32,
    dest: AtomicPtr<u8>,
    next: AtomicUsize,
    copied: AtomicUsize,
    world: Arc<World>,
    /// The world rank to wake when it is done.
    sender: usize,
    /// What holds the sender's memory once nobody waits for the send.
    keep: Mutex<Option<Keep>>,
}

// SAFETY: the raw pointers are used under the rules of the module's head; `keep` is Send and behind a mutex.
unsafe impl Send for Rendezvous {}
// SAFETY: as above; every other field is atomic.
unsafe impl Sync for Rendezvous {}

impl Rendezvous {
    /// # Safety
    /// `source` is readable for `len` bytes until [`Rendezvous::is_done`] or [`Rendezvous::withdraw`] has answered true,
    /// or for ever once [`Rendezvous::keep`] holds what owns it.
    pub(super) unsafe fn new(source: *const u8, len: usize, world: Arc<World>, sender: usize) -> Arc<Self> {
        Arc::new(Rendezvous {
            source,
            len,
            state: AtomicU32::new(WAITING),
            dest: AtomicPtr::default(),
            next: AtomicUsize::new(0),
            copied: AtomicUsize::new(0),
            world,
            sender,
            keep: Mutex::default(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    /// The sender's wait: helps to copy, then says whether all is done.
    pub(super) fn poll(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            DONE => true,
            COPYING => {
                self.copy_chunks();
                self.is_done()
            }
            _ => false,
        }
    }

    /// Takes the message back, unless the receiver has begun.
    pub(super) fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Lets the message own its memory.
    pub(super) fn keep(&self, keep: Keep) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(keep);
    }

    /// The receiver's part: copies everything, unless it does not fit; false if the sender took the message back.
    ///
    /// # Safety
    /// `dest` is writable for `capacity` bytes and nobody else uses it during the call.
    pub(super) unsafe fn receive(&self, dest: *mut u8, capacity: usize) -> bool {
        // The destination is set first, so that a sender that sees COPYING sees it.
        self.dest.store(dest, Ordering::Relaxed);
        if self.len > capacity {
            self.next.store(self.len, Ordering::Relaxed);
            self.copied.store(self.len, Ordering::Relaxed);
        }
        if self.state.compare_exchange(WAITING, COPYING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        if self.len > capacity || self.len == 0 {
            self.finish();
            return true;
        }
        self.copy_chunks();
        let mut spins = 0u32;
        while !self.is_done() {
            // The sender copies its last chunk; it cannot stop before that is done.
            spins += 1;
            if spins.is_multiple_of(256) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        true
    }

    fn copy_chunks(&self) {
        let dest = self.dest.load(Ordering::Relaxed);
        loop {
            let from = self.next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= self.len {
                return;
            }
            let bytes = CHUNK.min(self.len - from);
            // SAFETY: rules 2 and 3: both memories are valid until DONE, which needs this chunk; each chunk has one copier.
            unsafe { std::ptr::copy_nonoverlapping(self.source.add(from), dest.add(from), bytes) };
            if self.copied.fetch_add(bytes, Ordering::AcqRel) + bytes == self.len {
                self.finish();
                return;
            }
        }
    }

    fn finish(&self) {
        self.state.store(DONE, Ordering::Release);
        self.world.notify(self.sender);
    }
}
