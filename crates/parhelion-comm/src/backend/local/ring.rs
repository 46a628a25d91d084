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
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::message::Message;
use super::spin::{Padded, SpinLock};

/// Messages that fit before the ring overflows.
const CELLS: usize = 64;

#[repr(C, align(64))]
struct Cell {
    message: UnsafeCell<MaybeUninit<Message>>,
    turn: AtomicU32,
}

const _: () = assert!(size_of::<Cell>() == 64, "a message is one cache line");

#[derive(Default)]
struct Producer {
    tail: usize,
    /// The consumer's head when last looked at.
    head: usize,
    overflowing: bool,
}

pub(super) struct Ring {
    cells: Box<[Cell]>,
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
        let cell = || Cell { message: UnsafeCell::new(MaybeUninit::uninit()), turn: AtomicU32::new(0) };
        Ring {
            cells: (0..CELLS).map(|_| cell()).collect(),
            head: Padded::default(),
            producer: Padded::default(),
            overflow: Mutex::default(),
            overflowed: AtomicUsize::new(0),
        }
    }

    /// Appends a message. Never waits for the consumer.
    #[inline]
    pub(super) fn push(&self, message: Message) {
        let mut producer = self.producer.lock();
        let p = &mut *producer;
        if p.overflowing || p.tail - p.head == CELLS {
            p.head = self.head.load(Ordering::Acquire);
            if p.overflowing || p.tail - p.head == CELLS {
                let mut list = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
                // Rule 4: back to the ring only once the list is empty and the ring has room.
                if !list.is_empty() || p.tail - p.head == CELLS {
                    list.push_back(message);
                    self.overflowed.store(list.len(), Ordering::Release);
                    p.overflowing = true;
                    return;
                }
                p.overflowing = false;
            }
        }
        let cell = &self.cells[p.tail % CELLS];
        // SAFETY: rule 3: the consumer has taken what was here; rule 1: no other producer.
        unsafe { (*cell.message.get()).write(message) };
        p.tail += 1;
        cell.turn.store(p.tail as u32, Ordering::Release);
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
        let message = unsafe { (*cell.message.get()).assume_init_read() };
        self.head.store(head + 1, Ordering::Release);
        Some(message)
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
    use crate::backend::local::message::{Body, Envelope};

    fn message(tag: u32) -> Message {
        let bytes = tag.to_le_bytes();
        // SAFETY: four readable bytes.
        unsafe { Message::eager(Envelope { context: 0, source: 0, tag }, bytes.as_ptr(), 4) }
    }

    #[test]
    fn order_holds_through_overflow_and_back() {
        let ring = Ring::new();
        let total = if cfg!(miri) { 2_000 } else { 200_000 };
        std::thread::scope(|s| {
            s.spawn(|| {
                for tag in 0..total {
                    ring.push(message(tag));
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
            // SAFETY: a hundred readable bytes.
            ring.push(unsafe { Message::eager(Envelope { context: 0, source: 0, tag }, long.as_ptr(), 100) });
        }
        assert!(ring.has_message());
    }
}
