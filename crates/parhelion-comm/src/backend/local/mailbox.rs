//! Matching at the receiver (MPI section 3.5): posted receives in order, unexpected messages in order.
//!
//! Messages are looked at in the order of arrival; each goes to the first posted receive that selects it, else to the end of
//! the unexpected list. A receive takes the first unexpected message it selects, else is posted at the end. So no message
//! overtakes another of the same sender, and receives match in the order of their posting.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::message::{Message, Selector};
use super::ring::Ring;
use super::world::World;
use crate::backend::Keep;
use crate::status::Status;

#[derive(Default)]
pub(super) struct Mailbox {
    posted: VecDeque<Posted>,
    unexpected: VecDeque<Message>,
}

struct Posted {
    selector: Selector,
    receive: Arc<Receive>,
}

/// A receive in flight.
///
/// 1. `status` is written once, before `done` (release), by whoever took it out of `posted`, under the mailbox lock.
/// 2. `buffer` is used by that one only, between taking it out and setting `done`.
pub(super) struct Receive {
    buffer: *mut u8,
    pub(super) capacity: usize,
    status: UnsafeCell<Option<Status>>,
    done: AtomicBool,
    /// What a receive that nobody waits for needs until it is done.
    keep: Mutex<Option<Keep>>,
}

// SAFETY: the two rules above order every access to the buffer and the status.
unsafe impl Send for Receive {}
// SAFETY: as above.
unsafe impl Sync for Receive {}

impl Receive {
    /// # Safety
    /// `buffer` is writable for `capacity` bytes, and nobody else uses it, until the receive is done or unposted.
    pub(super) unsafe fn new(buffer: *mut u8, capacity: usize) -> Arc<Self> {
        Arc::new(Receive {
            buffer,
            capacity,
            status: UnsafeCell::new(None),
            done: AtomicBool::new(false),
            keep: Mutex::new(None),
        })
    }

    /// What has filled it, once it is done; a message that was longer than `capacity` has not.
    #[inline]
    pub(super) fn status(&self) -> Option<Status> {
        if !self.done.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: rule 1: written before `done`, never after.
        unsafe { *self.status.get() }
    }

    /// Keeps `keep` as long as this may be filled.
    pub(super) fn keep(&self, keep: Keep) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(keep);
    }

    /// Fills the buffer from a message; false if its sender took it back.
    fn fill(&self, message: Message) -> bool {
        // SAFETY: rule 2: this caller took the receive out of `posted`, or has just made it.
        let Some(status) = (unsafe { message.deliver(self.buffer, self.capacity) }) else { return false };
        // SAFETY: rule 1: the only writer, before `done`.
        unsafe { *self.status.get() = Some(status) };
        self.done.store(true, Ordering::Release);
        true
    }
}

impl Mailbox {
    /// Takes the first unexpected message that is selected and still there.
    #[inline]
    fn take(&mut self, selector: &Selector) -> Option<Message> {
        if self.unexpected.is_empty() {
            return None;
        }
        self.take_slow(selector)
    }

    fn take_slow(&mut self, selector: &Selector) -> Option<Message> {
        loop {
            let index = self.unexpected.iter().position(|m| selector.accepts(&m.envelope))?;
            let message = self.unexpected.remove(index)?;
            if !message.is_withdrawn() {
                return Some(message);
            }
        }
    }

    /// Sorts everything that has arrived into posted receives and the unexpected list. Receives that matched a message
    /// are completed here: a rank makes progress in every call.
    ///
    /// The caller holds the lock of this mailbox, which is `rank`'s.
    pub(super) fn drain(&mut self, world: &World, rank: usize) {
        let mut sorted = false;
        for ring in world.inbound(rank) {
            // SAFETY: `&mut self` is the lock of the receiver's mailbox.
            while let Some(message) = unsafe { ring.pop() } {
                self.sort(message);
                sorted = true;
            }
        }
        if sorted {
            // Another thread of this rank may wait for what was sorted here.
            world.notify(rank);
        }
    }

    fn sort(&mut self, message: Message) {
        if message.is_withdrawn() {
            return;
        }
        let matching = self.posted.iter().position(|p| p.selector.accepts(&message.envelope));
        match matching {
            // The receive keeps its place if the sender takes the message back meanwhile.
            Some(index) => {
                let receive = self.posted[index].receive.clone();
                if receive.fill(message) {
                    self.posted.remove(index);
                }
            }
            None => self.unexpected.push_back(message),
        }
    }
}

impl World {
    /// Makes progress for `rank`: matches what has arrived.
    pub(super) fn progress(&self, rank: usize) {
        if self.inbound(rank).any(super::ring::Ring::has_message) {
            self.ranks[rank].mailbox.lock().drain(self, rank);
        }
    }

    /// Takes the first message that is selected out of matching.
    pub(super) fn take(&self, rank: usize, selector: &Selector) -> Option<Message> {
        let mut mailbox = self.ranks[rank].mailbox.lock();
        if let Some(message) = mailbox.take(selector) {
            return Some(message);
        }
        mailbox.drain(self, rank);
        mailbox.take(selector)
    }

    /// Receives into `buffer` what came first through `ring`, one of `rank`'s, if nothing that arrived before it matches: the
    /// fast path of a blocking receive from a named rank. `None`: nothing there, or nothing that this path can take.
    ///
    /// # Safety
    /// `ring` ends at `rank`, and `buffer` is writable for `capacity` bytes.
    #[inline(always)]
    pub(super) unsafe fn receive_from(
        &self,
        rank: usize,
        ring: &Ring,
        selector: &Selector,
        buffer: *mut u8,
        capacity: usize,
    ) -> Option<Status> {
        let mailbox = self.ranks[rank].mailbox.lock();
        if !mailbox.unexpected.is_empty() || !mailbox.posted.is_empty() {
            return None;
        }
        // SAFETY: the lock of the mailbox where the ring ends is held; the caller's promise.
        unsafe { ring.pop_into(|e| selector.accepts(e), buffer, capacity) }
    }

    /// What the first selected message is, left in its place.
    pub(super) fn peek(&self, rank: usize, selector: &Selector) -> Option<Status> {
        let mut mailbox = self.ranks[rank].mailbox.lock();
        mailbox.drain(self, rank);
        mailbox.unexpected.iter().find(|m| selector.accepts(&m.envelope) && !m.is_withdrawn()).map(Message::status)
    }

    /// Matches a receive with an unexpected message, or posts it.
    pub(super) fn receive(&self, rank: usize, selector: Selector, receive: Arc<Receive>) {
        let mut mailbox = self.ranks[rank].mailbox.lock();
        mailbox.drain(self, rank);
        while let Some(message) = mailbox.take(&selector) {
            if receive.fill(message) {
                return;
            }
        }
        mailbox.posted.push_back(Posted { selector, receive });
    }

    /// Takes a posted receive back; false if it has matched.
    pub(super) fn unpost(&self, rank: usize, receive: &Arc<Receive>) -> bool {
        let mut mailbox = self.ranks[rank].mailbox.lock();
        let index = mailbox.posted.iter().position(|p| Arc::ptr_eq(&p.receive, receive));
        index.is_some_and(|index| mailbox.posted.remove(index).is_some())
    }
}
