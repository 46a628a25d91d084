//! A ring: bytes from one process to another through memory that both have mapped. [`Writer`] and [`Reader`] are its ends.
//!
//! The memory belongs to the writer's arena and is lent to the reader. It holds the [`header`], the marks of what the writer
//! lends besides ([`Writer::lend`]), and [`CAPACITY`] bytes.
//!
//! # Contract
//! 1. Each end exists once. [`Writer::new`] makes its own memory; whoever calls [`Reader::new`] has been lent it once.
//! 2. What the other end writes is not trusted: counts that cannot be are [`Corrupt`], bytes are copied out before anybody looks
//!    at them, and nothing read there is an address, a length or an index of this module.
//! 3. The memory is there for as long as an end is, whatever becomes of the other process.

mod header;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use self::header::Header;
use crate::backend::arena::{Loan, PeerArena, borrow};
use crate::backend::words::{STRIDE, Words};

/// What the header is written with; a model of it takes other ones.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};

    pub(super) use crate::backend::local::full_fence;
}

/// Bytes on their way at one time.
pub(super) const CAPACITY: usize = 128 << 10;
/// Marks of what is lent.
const MARKS: usize = 128;

const MARKS_AT: usize = size_of::<Header>();
const BYTES_AT: usize = MARKS_AT + MARKS * size_of::<u64>();
/// The memory of a ring, in words of an arena.
const WORDS: usize = (BYTES_AT + CAPACITY) / STRIDE;

const _: () = assert!(CAPACITY.is_power_of_two() && BYTES_AT.is_multiple_of(STRIDE) && align_of::<Header>() <= STRIDE);

/// The other end has written counts that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// The memory of a ring.
struct Memory {
    base: NonNull<u8>,
    /// Keeps it.
    _words: Words,
}

// SAFETY: the memory is the process's, and its two ends are used as the contract says, whatever thread has them.
unsafe impl Send for Memory {}

impl Memory {
    fn new(words: Words) -> Self {
        assert!(words.count() == WORDS);
        Memory { base: words.base(), _words: words }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the memory begins with it, aligned, initialised as zeros, and used as these atomics only.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    fn mark(&self, id: u64) -> &AtomicU64 {
        let index = id as usize % MARKS;
        // SAFETY: behind the header there are so many words, zeroed, aligned, and used as these atomics only.
        unsafe { self.base.add(MARKS_AT).cast::<AtomicU64>().add(index).as_ref() }
    }

    /// The place of byte `count`, and how many are behind it before the ring begins again.
    #[inline]
    fn place(&self, count: u64) -> (*mut u8, usize) {
        let at = count as usize % CAPACITY;
        // SAFETY: inside the memory.
        (unsafe { self.base.as_ptr().add(BYTES_AT + at) }, CAPACITY - at)
    }
}

/// The end that writes.
pub(super) struct Writer {
    memory: Memory,
    loan: Loan,
    tail: u64,
    /// The reader's count when last looked at.
    head: u64,
    /// The reader is asleep and to be woken.
    wake: bool,
}

impl Writer {
    /// A new ring, for one reader to borrow. None without shared memory.
    pub(super) fn new() -> Option<Self> {
        let loan = Loan::new(WORDS, 1)?;
        Some(Writer { memory: Memory::new(loan.words()), loan, tail: 0, head: 0, wake: false })
    }

    /// What the reader borrows it by.
    pub(super) fn token(&self) -> u64 {
        self.loan.token()
    }

    /// There will be no reader.
    pub(super) fn forgo(self) {
        self.loan.forgo();
    }

    /// How many bytes can be written, looking for more only where there is not room for `wanted`.
    #[inline]
    fn room(&mut self, wanted: usize) -> Result<usize, Corrupt> {
        let room = CAPACITY - (self.tail - self.head) as usize;
        if room >= wanted {
            return Ok(room);
        }
        let head = self.memory.header().head();
        if head.wrapping_sub(self.head) > self.tail - self.head {
            return Err(Corrupt);
        }
        self.head = head;
        Ok(CAPACITY - (self.tail - head) as usize)
    }

    /// Whether anything can be written now.
    pub(super) fn has_room(&mut self) -> bool {
        // Whoever writes then finds out what is wrong.
        self.room(1).map_or(true, |room| room > 0)
    }

    /// Writes what there is room for of `parts`, in order: how many bytes.
    #[inline]
    pub(super) fn write(&mut self, parts: [&[u8]; 3]) -> Result<usize, Corrupt> {
        let mut room = self.room(parts.iter().map(|part| part.len()).sum())?;
        let before = self.tail;
        for part in parts {
            let n = part.len().min(room);
            let (place, straight) = self.memory.place(self.tail);
            let first = n.min(straight);
            // SAFETY: `room` bytes from the tail on are the writer's (rule 1 of the header); the second part begins at the
            // beginning of the ring.
            unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), place, first);
                if n > first {
                    let begin = self.memory.place(0).0;
                    std::ptr::copy_nonoverlapping(part.as_ptr().add(first), begin, n - first);
                }
            }
            self.tail += n as u64;
            room -= n;
        }
        if self.tail != before {
            self.wake |= self.memory.header().publish(self.tail);
        }
        Ok((self.tail - before) as usize)
    }

    /// Whether the reader is to be woken because of what was written; says so once.
    #[inline]
    pub(super) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.wake)
    }

    /// The reader will wake this end when there is room, unless there is some when this looks now.
    pub(super) fn will_sleep(&self) {
        self.memory.header().writer_will_sleep();
    }

    pub(super) fn is_awake(&self) {
        self.memory.header().writer_is_awake();
    }

    /// Marks memory as lent to the reader under `id`, which is not 0. False if there are too many already.
    pub(super) fn lend(&self, id: u64) -> bool {
        self.memory.mark(id).compare_exchange(0, id, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Takes the mark back: what the reader has not read by now, it knows as not lent. The memory can be used for other things.
    pub(super) fn unlend(&self, id: u64) {
        if self.memory.mark(id).compare_exchange(id, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            // What is written there later is not seen before the mark is gone.
            fence(Ordering::SeqCst);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for id in 0..MARKS as u64 {
            self.memory.mark(id).store(0, Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
    }
}

/// The end that reads.
pub(super) struct Reader {
    memory: Memory,
    head: u64,
    /// What the writer has been told of `head`.
    released: u64,
    /// The writer's count when last looked at.
    tail: u64,
}

impl Reader {
    /// The ring that the owner of `arena` has lent under `token`; none if it cannot be there.
    ///
    /// # Safety
    /// The owner has made it by [`Writer::new`] and given the token to nobody else, and this is the first time.
    pub(super) unsafe fn new(arena: &Arc<PeerArena>, token: u64) -> Option<Self> {
        // SAFETY: the caller's promise.
        let words = unsafe { borrow(arena, token, WORDS) }?;
        Some(Reader { memory: Memory::new(words), head: 0, released: 0, tail: 0 })
    }

    /// How many bytes there are.
    #[inline]
    pub(super) fn available(&mut self) -> Result<usize, Corrupt> {
        let tail = self.memory.header().tail();
        let (now, before) = (tail.wrapping_sub(self.head), self.tail - self.head);
        if now > CAPACITY as u64 || now < before {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(now as usize)
    }

    /// Whether there are `wanted` bytes, or counts that cannot be.
    #[inline]
    pub(super) fn has(&self, wanted: usize) -> bool {
        self.memory.header().tail().wrapping_sub(self.head) >= wanted as u64
    }

    /// Takes the next `n` bytes, which are available, to `target`; nowhere if that is null.
    ///
    /// # Safety
    /// `target` is null or writable for `n` bytes.
    #[inline]
    pub(super) unsafe fn take(&mut self, target: *mut u8, n: usize) {
        assert!(n as u64 <= self.tail - self.head);
        if !target.is_null() {
            let (place, straight) = self.memory.place(self.head);
            let first = n.min(straight);
            // SAFETY: the caller's promise; these bytes are the reader's (rule 1 of the header), and the second part begins at
            // the beginning of the ring.
            unsafe {
                std::ptr::copy_nonoverlapping(place.cast_const(), target, first);
                if n > first {
                    std::ptr::copy_nonoverlapping(self.memory.place(0).0.cast_const(), target.add(first), n - first);
                }
            }
        }
        self.head += n as u64;
    }

    /// Gives the room of what has been taken back, where that is `least` bytes: whether the writer is to be woken.
    #[inline]
    pub(super) fn release(&mut self, least: usize) -> bool {
        let is_due = self.head - self.released >= least as u64;
        if is_due {
            self.released = self.head;
        }
        is_due && self.memory.header().release(self.head)
    }

    /// The writer will wake this end when it has written, unless there is something when this looks now.
    pub(super) fn will_sleep(&self) {
        self.memory.header().reader_will_sleep();
    }

    pub(super) fn is_awake(&self) {
        self.memory.header().reader_is_awake();
    }

    /// Whether what the writer has lent under `id` was so until now: asked after it was read, so that what was read is true.
    pub(super) fn is_lent(&self, id: u64) -> bool {
        fence(Ordering::SeqCst);
        self.memory.mark(id).load(Ordering::SeqCst) == id
    }
}
