//! What this rank's program asks for: sends, receives, and their end.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::frame::{Frame, HEADER, Kind};
use super::link::{Body, Offer, cost};
use super::matching::{Selector, Waiting};
use super::operation::{Channel, Envelope, Fault, Handle, Slot, Stage};
use super::outbox::{Bytes, write};
use super::pull::LONGEST_COPIED;
use super::shared::RingOut;
use super::state::State;
use crate::backend::SendMode;

impl State {
    /// See [`Engine::send`].
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn send(
        &mut self,
        buf: *const u8,
        len: usize,
        dest: usize,
        channel: Channel,
        tag: u32,
        mode: SendMode,
    ) -> Handle {
        let link = &mut self.links[dest];
        let limit = self.eager_limit.min(if link.ring_out.up().is_some() { LONGEST_COPIED } else { usize::MAX });
        let is_eager = mode == SendMode::Standard && len <= limit && cost(len) <= link.credit;
        let envelope = Envelope { source: self.me, tag, len };
        if dest == self.me {
            // SAFETY: the caller's promise.
            return unsafe { self.send_to_self(buf, envelope, channel, is_eager) };
        }
        if let Some(end) = self.leaving {
            // Goodbye is said. Whoever still sends belongs to nothing that the program waits for.
            return Handle::Over(Err(Fault::Lost { rank: self.me, how: end.how() }));
        }
        if let Some(fault) = self.fault(dest) {
            // Whether the goodbye of a rank that returned is here already must make no difference to what it does not receive.
            let is_in_vain = is_eager && self.ended[dest].is_some_and(|end| !end.is_death());
            return Handle::Over(if is_in_vain { Ok(envelope) } else { Err(fault) });
        }
        if !is_eager {
            let link = &mut self.links[dest];
            link.next_offer += 1;
            let id = link.next_offer;
            let slot = Slot::new(buf.cast_mut(), len, tag, Stage::Offered { dest, id });
            link.offers.insert(id, Offer { bytes: Bytes::Lent(slot.clone()), len, envelope, retracting: None });
            let lends = len > LONGEST_COPIED && self.links[dest].ring_out.up().is_some_and(|ring| ring.lend(id));
            let at = if lends { buf.expose_provenance() as u64 } else { 0 };
            self.push(dest, &Frame { kind: Kind::Offer, tag, channel, length: len as u64, id, at });
            return Handle::Slot(slot);
        }
        let bytes = match len {
            0 => &[][..],
            // SAFETY: the caller's promise.
            _ => unsafe { std::slice::from_raw_parts(buf, len) },
        };
        let header = Frame { kind: Kind::Eager, tag, channel, length: len as u64, id: 0, at: 0 }.encode();
        let link = &mut self.links[dest];
        link.credit -= cost(len);
        let mut sent = 0;
        if link.out.is_empty()
            && let Some(ring) = link.ring_out.up()
        {
            // If its counts cannot be, the flush of what is not sent finds out, too.
            if let Ok(n) = ring.write([&header, bytes, &[]]) {
                (sent, link.spoke_now) = (n, true);
            }
            if ring.take_wake() {
                self.wake(dest);
            }
        } else if link.out.is_empty()
            && !matches!(link.ring_out, RingOut::Switching(..))
            && let Some(token) = link.sends_on
            && let Some(wire) = self.wires.get(&token)
        {
            match write(&wire.stream, &[IoSlice::new(&header), IoSlice::new(bytes)]) {
                Ok(n) => (sent, link.spoke) = (n, Instant::now()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => {
                    self.write_failed(token, dest, &e);
                    let fault = self.fault(dest).filter(|_| self.ended[dest].is_some_and(|end| end.is_death()));
                    return Handle::Over(fault.map_or(Ok(envelope), Err));
                }
            }
        }
        if sent < HEADER + len {
            self.links[dest].out.push_rest(&header, bytes, sent);
            self.mark(dest);
        }
        Handle::Over(Ok(envelope))
    }

    /// # Safety
    /// As [`Engine::send`].
    unsafe fn send_to_self(&mut self, buf: *const u8, envelope: Envelope, channel: Channel, is_eager: bool) -> Handle {
        let Envelope { source, tag, len } = envelope;
        self.news += 1;
        if let Some(slot) = self.mail.claim(channel, source, tag) {
            let capacity = slot.lock().len;
            if len > capacity {
                self.finish(&slot, Err(Fault::Truncated { source, sent: len, capacity }));
            } else {
                if len > 0 {
                    // SAFETY: the caller's promise.
                    slot.fill(unsafe { std::slice::from_raw_parts(buf, len) });
                }
                self.finish(&slot, Ok(envelope));
            }
            return Handle::Over(Ok(envelope));
        }
        if is_eager {
            self.links[source].credit -= cost(len);
            let bytes = match len {
                0 => Vec::new(),
                // SAFETY: the caller's promise.
                _ => unsafe { std::slice::from_raw_parts(buf, len) }.to_vec(),
            };
            self.mail.store(channel, source, tag, |_| Body::Whole(bytes));
            return Handle::Over(Ok(envelope));
        }
        let mut shown = None;
        self.mail.store(channel, source, tag, |place| {
            let slot = Slot::new(buf.cast_mut(), len, tag, Stage::Shown { channel, place });
            Body::Shown(shown.insert(slot).clone())
        });
        shown.map_or(Handle::Over(Ok(envelope)), Handle::Slot)
    }

    /// See [`Engine::recv`].
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn recv(&mut self, buf: *mut u8, len: usize, selector: Selector, channel: Channel) -> Handle {
        if let Some(waiting) = self.mail.take(channel, selector) {
            // SAFETY: the caller's promise.
            return unsafe { self.receive(waiting, buf, len) };
        }
        // Who may answer a receive from anyone, its members say: see `set_members`.
        if let Some(fault) = selector.source.and_then(|source| self.fault(source)) {
            return Handle::Over(Err(fault));
        }
        let mut posted = None;
        self.mail.post(channel, selector, |place| {
            posted.insert(Slot::new(buf, len, 0, Stage::Posted { channel, selector, place })).clone()
        });
        Handle::Slot(posted.expect("it was posted"))
    }

    /// Receives a message that has been taken out of matching.
    ///
    /// # Safety
    /// As [`Engine::recv`].
    pub(super) unsafe fn receive(&mut self, waiting: Waiting<Body>, buf: *mut u8, capacity: usize) -> Handle {
        let Waiting { source, tag, message } = waiting;
        let deliver = |from: *const u8, len: usize| {
            let envelope = Envelope { source, tag, len };
            if len > capacity {
                return Err(Fault::Truncated { source, sent: len, capacity });
            }
            if len > 0 {
                // SAFETY: both are valid for `len` bytes: by the caller's promise, and that of whoever sent it.
                unsafe { std::ptr::copy(from, buf, len) };
            }
            Ok(envelope)
        };
        match message {
            Body::Whole(bytes) => {
                self.give_credit(source, cost(bytes.len()));
                Handle::Over(deliver(bytes.as_ptr(), bytes.len()))
            }
            Body::Shown(sender) => {
                let (from, len) = {
                    let inner = sender.lock();
                    (inner.buf, inner.len)
                };
                let outcome = deliver(from, len);
                self.finish_send(&sender);
                Handle::Over(outcome)
            }
            Body::Offer { id, len, at } => {
                if self.links[source].wires.is_empty()
                    && let Some(fault) = self.fault(source)
                {
                    return Handle::Over(Err(fault));
                }
                let slot = Slot::new(buf, capacity, 0, Stage::Matched);
                self.accept(id, Envelope { source, tag, len }, at, &slot);
                Handle::Slot(slot)
            }
        }
    }

    /// Starts to cancel: the answer, or none if it is the peer's to give.
    fn begin_cancel(&mut self, slot: &Arc<Slot>) -> Option<bool> {
        if slot.is_over() {
            return Some(false);
        }
        let stage = slot.lock().stage;
        match stage {
            Stage::Posted { channel, selector, place } => {
                self.mail.withdraw(channel, selector, place);
            }
            Stage::Shown { channel, place } => {
                self.mail.remove(channel, place);
            }
            Stage::Matched | Stage::Leaving { .. } => return Some(false),
            Stage::Offered { dest, id } => {
                if let Some(offer) = self.links[dest].offers.get_mut(&id)
                    && offer.retracting.replace(Fault::Cancelled).is_none()
                {
                    self.push(dest, &Frame::control(Kind::Retract, 0, id));
                }
                return None;
            }
        }
        self.finish(slot, Err(Fault::Cancelled));
        Some(true)
    }

    /// See [`Operation::take_back`](super::operation::Operation::take_back).
    pub(super) fn take_back(&mut self, slot: &Arc<Slot>) {
        if slot.is_over() {
            return;
        }
        let stage = slot.lock().stage;
        match stage {
            Stage::Posted { channel, selector, place } => {
                self.mail.withdraw(channel, selector, place);
            }
            Stage::Matched => {}
            Stage::Shown { channel, place } => {
                let inner = slot.lock();
                let bytes = match inner.len {
                    0 => Vec::new(),
                    // SAFETY: the buffer of an operation that is not over is readable for its length.
                    len => unsafe { std::slice::from_raw_parts(inner.buf, len) }.to_vec(),
                };
                drop(inner);
                self.links[self.me].credit = self.links[self.me].credit.saturating_sub(cost(bytes.len()));
                if let Some(message) = self.mail.message_mut(channel, place) {
                    *message = Body::Whole(bytes);
                }
            }
            Stage::Offered { dest, id } | Stage::Leaving { dest, id } => {
                let link = &mut self.links[dest];
                link.out.part_from(slot);
                if let Some(offer) = link.offers.get_mut(&id) {
                    offer.bytes.part_from(slot);
                    link.unlend(id);
                }
            }
        }
        self.finish(slot, Err(Fault::Cancelled));
    }

    /// See [`Operation::fails_with`](super::operation::Operation::fails_with).
    pub(super) fn set_members(&mut self, slot: &Arc<Slot>, members: &Arc<[usize]>) {
        let stage = {
            let mut inner = slot.lock();
            inner.members = Some(members.clone());
            inner.stage
        };
        if slot.is_over() {
            return;
        }
        let dead = members.iter().find(|&&rank| self.ended[rank].is_some_and(|end| end.is_death()));
        let mut fault = dead.and_then(|&rank| self.fault(rank));
        if let Stage::Posted { selector: Selector { source: None, .. }, .. } = stage
            && members.iter().any(|&rank| rank != self.me)
            && members.iter().all(|&rank| rank == self.me || self.ended[rank].is_some())
        {
            fault = fault.or_else(|| members.iter().rev().find_map(|&rank| self.fault(rank)));
        }
        let Some(fault) = fault else { return };
        match stage {
            Stage::Posted { channel, selector, place } => {
                self.mail.withdraw(channel, selector, place);
            }
            Stage::Shown { channel, place } => {
                self.mail.remove(channel, place);
            }
            Stage::Matched | Stage::Leaving { .. } => return,
            Stage::Offered { dest, id } => {
                if let Some(offer) = self.links[dest].offers.get_mut(&id)
                    && offer.retracting.replace(fault).is_none()
                {
                    self.push(dest, &Frame::control(Kind::Retract, 0, id));
                }
                return;
            }
        }
        self.finish(slot, Err(fault));
    }
}

impl Engine {
    /// See [`Operation::cancel`](super::operation::Operation::cancel).
    pub(super) fn cancel(&self, slot: &Arc<Slot>) -> bool {
        let answer = self.turn().begin_cancel(slot);
        answer.unwrap_or_else(|| {
            self.wait_until(None, || slot.is_over() || !matches!(slot.lock().stage, Stage::Offered { .. }));
            slot.lock().outcome == Some(Err(Fault::Cancelled))
        })
    }
}
