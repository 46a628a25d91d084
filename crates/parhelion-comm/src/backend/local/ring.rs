//! A queue of messages from one rank to another: a ring of cells, one message a cell, one cache line a cell.
//!
//! 1. One producer at a time (the producer lock), one consumer at a time (the receiver's mailbox lock).
//! 2. Cell `i % CELLS` holds message `i` once its turn is `i + 1`; the producer writes turn last (release), the consumer
//!    reads it first (acquire) and then owns the message.
//! 3. The producer reuses a cell only when `head` has passed it, which the consumer stores after taking the message.
//! 4. A full ring overflows into a list. While the list is not empty the producer appends there, so that order holds: the
//!    consumer empties the ring, then takes the list; under the list's lock it looks at the ring once more, since the ring
//!    may have been refilled before the first entry of the list was made.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::message::{Body, Envelope, INLINE, Message, Words, copy_small};
use super::rendezvous::Rendezvous;
use super::spin::{Padded, SpinLock};
use crate::status::Status;

/// Messages that fit before the ring overflows.
const CELLS: usize = 64;

/// A message as it lies in the ring. Written and read in place: a value moved through the stack would be stored and
/// loaded again in other widths, which processors do slowly.
#[repr(C, align(64))]
struct Cell {
    turn: AtomicU32,
    content: UnsafeCell<Content>,
}

#[repr(C)]
pub(super) struct Content {
    /// The length of an inline payload, or [`BOXED`], or [`RENDEZVOUS`].
    form: u32,
    envelope: Envelope,
    /// The payload; or the box's pointer and length; or the rendezvous' pointer.
    words: Words,
}

const BOXED: u32 = u32::MAX;
const RENDEZVOUS: u32 = u32::MAX - 1;

const _: () = assert!(size_of::<Cell>() == 64, "a message is one cache line");

impl Content {
    /// Writes a message with a copy of `len` bytes.
    ///
    /// # Safety
    /// `this` is valid for writes, `bytes` readable for `len` bytes.
    #[inline(always)]
    pub(super) unsafe fn write_bytes(this: *mut Content, envelope: Envelope, bytes: *const u8, len: usize) {
        // SAFETY: the caller's promise; a box becomes plain words, taken back by `take` once.
        unsafe {
            (&raw mut (*this).envelope).write(envelope);
            let words = (&raw mut (*this).words).cast::<u64>();
            if len <= INLINE {
                (&raw mut (*this).form).write(len as u32);
                copy_small(bytes, words.cast(), len);
                return;
            }
            let mut copy = Box::<[u8]>::new_uninit_slice(len);
            std::ptr::copy_nonoverlapping(bytes, copy.as_mut_ptr().cast(), len);
            words.cast::<*mut u8>().write(Box::into_raw(copy).cast());
            words.add(1).write(len as u64);
            (&raw mut (*this).form).write(BOXED);
        }
    }

    /// Writes an offer.
    ///
    /// # Safety
    /// `this` is valid for writes.
    pub(super) unsafe fn write_offer(this: *mut Content, envelope: Envelope, offer: Arc<Rendezvous>) {
        // SAFETY: the caller's promise; the offer becomes a plain word, taken back by `take` once.
        unsafe {
            (&raw mut (*this).envelope).write(envelope);
            (&raw mut (*this).words).cast::<*const Rendezvous>().write(Arc::into_raw(offer));
            (&raw mut (*this).form).write(RENDEZVOUS);
        }
    }

    /// Takes the message out.
    ///
    /// # Safety
    /// `this` was written and not taken since.
    unsafe fn take(this: *const Content) -> Message {
        // SAFETY: the caller's promise: each form was written by `write`.
        unsafe {
            let words = (&raw const (*this).words).cast::<u64>();
            let body = match (*this).form {
                BOXED => {
                    let bytes = words.cast::<*mut u8>().read();
                    let len = words.add(1).read() as usize;
                    Body::Boxed(Box::from_raw(std::ptr::slice_from_raw_parts_mut(bytes, len)))
                }
                RENDEZVOUS => Body::Rendezvous(Arc::from_raw(words.cast::<*const Rendezvous>().read())),
                len => Body::Inline(len as u8, (*this).words),
            };
            Message { body, envelope: (*this).envelope }
        }
    }
}

#[derive(Default)]
struct Producer {
    tail: usize,
    /// The consumer's head when last looked at.
    head: usize,
    overflowing: bool,
}

pub(super) struct Ring {
    cells: Box<[Cell; CELLS]>,
    head: Padded<AtomicUsize>,
    producer: Padded<SpinLock<Producer>>,
    overflow: Mutex<VecDeque<Message>>,
    overflowed: AtomicUsize,
}

// SAFETY: cells are handed over by rule 2, under the locks of rule 1; a Message is Send.
unsafe impl Sync for Ring {}
// SAFETY: it owns its messages, which are Send.
unsafe impl Send for Ring {}

impl Ring {
    pub(super) fn new() -> Self {
        let cell = || {
            let envelope = Envelope { context: 0, source: 0, tag: 0 };
            let content = Content { form: 0, envelope, words: [MaybeUninit::uninit(); INLINE / 8] };
            Cell { turn: AtomicU32::new(0), content: UnsafeCell::new(content) }
        };
        Ring {
            cells: Box::new(std::array::from_fn(|_| cell())),
            head: Padded::default(),
            producer: Padded::default(),
            overflow: Mutex::default(),
            overflowed: AtomicUsize::new(0),
        }
    }

    /// Appends the message that `write` writes. Never waits for the consumer.
    #[inline]
    pub(super) fn push(&self, write: impl FnOnce(*mut Content)) {
        let mut producer = self.producer.lock();
        let p = &mut *producer;
        if (p.overflowing || p.tail - p.head == CELLS) && !self.is_back(p) {
            return self.overflow(p, write);
        }
        let cell = &self.cells[p.tail % CELLS];
        // Rule 3: the consumer has taken what was here; rule 1: no other producer.
        write(cell.content.get());
        p.tail += 1;
        cell.turn.store(p.tail as u32, Ordering::Release);
    }

    /// Whether the ring has room again and, by rule 4, may be used.
    #[cold]
    fn is_back(&self, p: &mut Producer) -> bool {
        p.head = self.head.load(Ordering::Acquire);
        if p.tail - p.head == CELLS {
            return false;
        }
        p.overflowing = p.overflowing && !self.overflow.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        !p.overflowing
    }

    #[cold]
    fn overflow(&self, p: &mut Producer, write: impl FnOnce(*mut Content)) {
        let mut content = MaybeUninit::<Content>::uninit();
        write(content.as_mut_ptr());
        // SAFETY: written just now.
        let message = unsafe { Content::take(content.as_ptr()) };
        let mut list = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        list.push_back(message);
        self.overflowed.store(list.len(), Ordering::Release);
        p.overflowing = true;
    }

    /// Whether [`Ring::pop`] would find something; needs no lock.
    #[inline]
    pub(super) fn has_message(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        self.cells[head % CELLS].turn.load(Ordering::Relaxed) == (head + 1) as u32
            || self.overflowed.load(Ordering::Relaxed) > 0
    }

    /// The oldest message.
    ///
    /// # Safety
    /// The caller is the one consumer (rule 1): it holds the receiver's mailbox lock.
    #[inline]
    pub(super) unsafe fn pop(&self) -> Option<Message> {
        // SAFETY: the caller's promise.
        if let Some(message) = unsafe { self.pop_cell() } {
            return Some(message);
        }
        if self.overflowed.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut list = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller's promise. Rule 4: what the ring holds now is older than the list.
        if let Some(message) = unsafe { self.pop_cell() } {
            return Some(message);
        }
        let message = list.pop_front();
        self.overflowed.store(list.len(), Ordering::Release);
        message
    }

    /// # Safety
    /// As [`Ring::pop`].
    #[inline]
    unsafe fn pop_cell(&self) -> Option<Message> {
        let head = self.head.load(Ordering::Relaxed);
        let cell = &self.cells[head % CELLS];
        if cell.turn.load(Ordering::Acquire) != (head + 1) as u32 {
            return None;
        }
        // SAFETY: rule 2: the turn says that message `head` is here, and only this consumer takes it.
        let message = unsafe { Content::take(cell.content.get()) };
        self.head.store(head + 1, Ordering::Release);
        Some(message)
    }

    /// Takes the oldest message straight into `buffer` if it is an inline one that `accepts` wants. One that is longer than
    /// the buffer is taken and lost, as by [`Message::deliver`].
    ///
    /// # Safety
    /// As [`Ring::pop`]; `buffer` is writable for `capacity` bytes.
    #[inline(always)]
    pub(super) unsafe fn pop_into(
        &self,
        accepts: impl FnOnce(&Envelope) -> bool,
        buffer: *mut u8,
        capacity: usize,
    ) -> Option<Status> {
        let head = self.head.load(Ordering::Relaxed);
        let cell = &self.cells[head % CELLS];
        if cell.turn.load(Ordering::Acquire) != (head + 1) as u32 {
            return None;
        }
        // SAFETY: rule 2; the producer does not write here before `head` has passed.
        let content = unsafe { &*cell.content.get() };
        let bytes = content.form as usize;
        if bytes > INLINE || !accepts(&content.envelope) {
            return None;
        }
        let status = Status { source: content.envelope.source as usize, tag: content.envelope.tag, bytes };
        if bytes <= capacity {
            // SAFETY: the message fits the buffer that the caller promises.
            unsafe { copy_small(content.words.as_ptr().cast(), buffer, bytes) };
        }
        self.head.store(head + 1, Ordering::Release);
        Some(status)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody else consumes.
        while unsafe { self.pop() }.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &Ring, tag: u32, bytes: &[u8]) {
        let envelope = Envelope { context: 0, source: 0, tag };
        // SAFETY: a cell to write to, and the slice's bytes.
        ring.push(|at| unsafe { Content::write_bytes(at, envelope, bytes.as_ptr(), bytes.len()) });
    }

    #[test]
    fn order_holds_through_overflow_and_back() {
        let ring = Ring::new();
        let total = if cfg!(miri) { 2_000 } else { 200_000 };
        std::thread::scope(|s| {
            s.spawn(|| {
                for tag in 0..total {
                    push(&ring, tag, &tag.to_le_bytes());
                    if tag % 1000 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            let mut next = 0;
            while next < total {
                // SAFETY: the only consumer.
                match unsafe { ring.pop() } {
                    Some(m) => {
                        assert_eq!(m.envelope.tag, next);
                        assert!(matches!(m.body, Body::Inline(4, _)));
                        next += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
            assert!(!ring.has_message());
        });
    }

    #[test]
    fn what_is_left_is_freed() {
        let ring = Ring::new();
        let long = [7u8; 100];
        for tag in 0..200 {
            push(&ring, tag, &long);
        }
        assert!(ring.has_message());
    }
}
