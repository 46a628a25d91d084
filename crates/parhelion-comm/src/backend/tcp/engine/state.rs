//! [`State`]: what the engine's lock guards, and what arrives.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::death::End;
use super::forget::{DROPPED, Forgotten};
use super::frame::{Flaw, Frame, Kind, RING_BYTES};
use super::inbox::{self, Filled, Found, Inbox, Sink};
use super::link::{Arrival, Body, CREDIT, Link, Phase, Wire, cost};
use super::matching::Mail;
use super::operation::{After, Envelope, Fault, Slot, Stage};
use super::progress::Crew;
use super::pull::Pull;
use crate::backend::tcp::join::{Doors, HostId, JobKey, Member};

/// What the engine's lock guards.
pub(super) struct State {
    pub(super) me: usize,
    pub(super) size: usize,
    pub(super) roster: Vec<Member>,
    pub(super) here: Option<HostId>,
    pub(super) key: JobKey,
    pub(super) doors: Option<Doors>,
    /// Nobody is let in before that.
    pub(super) shut_until: Option<Instant>,
    /// By rank; that of this rank to itself has no wires.
    pub(super) links: Vec<Link>,
    /// By token, which are never used again.
    pub(super) wires: HashMap<u64, Box<Wire>>,
    pub(super) next_token: u64,
    /// Wires that others have dialled and not proved, oldest first.
    pub(super) visitors: VecDeque<u64>,
    pub(super) mail: Mail<Arc<Slot>, Body>,
    pub(super) forgotten: Forgotten,
    pub(super) ended: Vec<Option<End>>,
    /// Of whose end this rank has told those whom it tells.
    pub(super) told: Vec<bool>,
    /// When the first rank died, or this one failed.
    pub(super) death: Option<Instant>,
    /// Whose programs are over, as far as this rank has to know; whether all are.
    pub(super) over: Vec<bool>,
    pub(super) all_over: bool,
    /// How this rank ends, once it does.
    pub(super) leaving: Option<End>,
    pub(super) began_leaving: Instant,
    /// Rank 0 knows that this rank has ended.
    pub(super) noted: bool,
    /// Counts what a waiting thread may wait for.
    pub(super) news: u64,
    /// Counts messages that have come and operations that are over: of all news the signs that ranks still work together.
    pub(super) deeds: u64,
    /// What is to be done when the lock is free.
    pub(super) after: Vec<After>,
    /// Links with something to flush.
    pub(super) dirty: Vec<usize>,
    /// How many wires are being read, one because of what came on another.
    pub(super) reading: usize,
    /// The wire that was read last with success.
    pub(super) hot: Option<u64>,
    pub(super) epoll: Arc<OwnedFd>,
    pub(super) eager_limit: usize,
    pub(super) heartbeat: Duration,
    pub(super) last_beat: Instant,
    pub(super) next_timer: Instant,
    /// Shared memory may be used.
    pub(super) shared: bool,
    /// Random, and told to peers on this machine alone: who reads it here reads this process's memory.
    pub(super) number: Box<[u8; 16]>,
    /// Peers whose frames come through rings, and those whose rings are full.
    pub(super) rings: Vec<usize>,
    pub(super) stuck: Vec<usize>,
    /// Whether peers are to wake this rank.
    pub(super) armed: bool,
    /// Counts looks, for those at the sockets; whether every look is one.
    pub(super) looks: u32,
    pub(super) sockets_matter: bool,
    /// Messages that are being read out of their senders' memory.
    pub(super) pulls: VecDeque<Pull>,
    pub(super) crew: Crew,
}

impl State {
    /// Adds a wire and watches it.
    pub(super) fn add_wire(&mut self, wire: Wire, flags: EventFlags) -> io::Result<u64> {
        self.next_token += 1;
        let token = self.next_token;
        epoll::add(&*self.epoll, &wire.stream, EventData::new_u64(token), flags)?;
        self.wires.insert(token, Box::new(wire));
        Ok(token)
    }

    /// Closes a wire; the receive whose bytes were coming on it.
    pub(super) fn drop_wire(&mut self, token: u64) -> Option<Arc<Slot>> {
        if self.hot == Some(token) {
            self.hot = None;
        }
        match self.wires.remove(&token)?.phase {
            Phase::Up { inbox, .. } => inbox.slot().cloned(),
            _ => None,
        }
    }

    /// Queues a frame for `peer`, and dials it if need be.
    pub(super) fn push(&mut self, peer: usize, frame: &Frame) {
        if self.ended[peer].is_some() && self.links[peer].sends_on.is_none() {
            return;
        }
        self.links[peer].out.push(frame);
        self.mark(peer);
    }

    /// There is something to flush to `peer`.
    pub(super) fn mark(&mut self, peer: usize) {
        let link = &mut self.links[peer];
        if !std::mem::replace(&mut link.dirty, true) {
            self.dirty.push(peer);
        }
    }

    /// Writes what can be written.
    pub(super) fn flush_dirty(&mut self) {
        if self.reading > 0 {
            // A wire that is being read is not in its place; whoever reads it flushes afterwards.
            return;
        }
        while let Some(peer) = self.dirty.pop() {
            self.links[peer].dirty = false;
            self.flush(peer);
        }
    }

    pub(super) fn flush(&mut self, peer: usize) {
        let link = &mut self.links[peer];
        if link.out.is_empty() && !link.ring_out.is_leaving() {
            return;
        }
        let Some(token) = link.sends_on else {
            self.dial(peer);
            return;
        };
        let Some(wire) = self.wires.get_mut(&token) else { return };
        let mut left = Vec::new();
        let flushed = link.flush(&wire.stream, &mut left);
        let is_empty = link.out.is_empty();
        let wants_room = link.ring_out.up().is_none() && (!is_empty || link.ring_out.is_leaving());
        if wants_room != wire.wants_room && flushed.is_ok() {
            wire.wants_room = wants_room;
            let flags = if wants_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            // Fails only where the system has no memory left; then the next flush is in time.
            let _ = epoll::modify(&*self.epoll, &wire.stream, EventData::new_u64(token), flags);
        }
        if matches!(flushed, Ok(true)) {
            link.spoke = Instant::now();
            self.news += u64::from(is_empty);
        }
        if let Some(ring) = link.ring_out.up() {
            let wake = ring.take_wake();
            if is_empty {
                self.stuck.retain(|other| *other != peer);
            } else {
                if !self.stuck.contains(&peer) {
                    self.stuck.push(peer);
                }
                if self.armed && flushed.is_ok() {
                    ring.will_sleep();
                    if ring.has_room() {
                        self.mark(peer);
                    }
                }
            }
            if wake {
                self.wake(peer);
            }
        }
        for slot in left {
            self.finish_send(&slot);
        }
        if let Err(e) = flushed {
            self.write_failed(token, peer, &e);
        }
    }

    pub(super) fn finish_send(&mut self, slot: &Arc<Slot>) {
        let (tag, len) = {
            let inner = slot.lock();
            (inner.tag, inner.len)
        };
        self.finish(slot, Ok(Envelope { source: self.me, tag, len }));
    }

    pub(super) fn finish(&mut self, slot: &Arc<Slot>, outcome: Result<Envelope, Fault>) {
        if slot.finish(outcome, &mut self.after) {
            self.news += 1;
            self.deeds += 1;
        }
    }

    /// What came before the connection closed counts; it says, too, whether the peer had left.
    pub(super) fn write_failed(&mut self, token: u64, peer: usize, error: &io::Error) {
        while self.read_wire(token) {}
        if self.links[peer].wires.contains(&token) {
            self.lose_wire(token, peer, Self::why(error));
        }
    }

    /// Reads what has arrived on a wire that is up, and acts on it: whether anything has.
    pub(super) fn read_wire(&mut self, token: u64) -> bool {
        let Some(mut wire) = self.wires.remove(&token) else { return false };
        let Phase::Up { peer, inbox, used } = &mut wire.phase else {
            self.wires.insert(token, wire);
            return false;
        };
        let peer = *peer;
        let mut any = false;
        self.reading += 1;
        let read = self.read_from(&wire.stream, token, peer, inbox, used, &mut any);
        self.reading -= 1;
        let slot = inbox.slot().cloned();
        if self.links[peer].wires.contains(&token) {
            self.wires.insert(token, wire);
            if let Err(end) = read {
                self.lose_wire(token, peer, end);
            } else if any && !self.links[peer].ring_stands {
                self.hot = Some(token);
            }
        } else if let Some(slot) = slot
            && let Some(fault) = self.fault(peer)
        {
            // The link was closed because of what came.
            self.finish(&slot, Err(fault));
        }
        self.flush_dirty();
        any
    }

    fn read_from(
        &mut self,
        stream: &crate::backend::tcp::join::Stream,
        token: u64,
        peer: usize,
        inbox: &mut Inbox,
        used: &mut bool,
        any: &mut bool,
    ) -> Result<(), End> {
        // A peer that never stops must not keep this rank from all others.
        for _ in 0..16 {
            let filled = inbox.fill(stream).map_err(|e| Self::why(&e))?;
            if filled == Filled::Nothing {
                return Ok(());
            }
            if filled == Filled::Closed {
                return Err(End::Died);
            }
            *any = true;
            self.links[peer].heard = Instant::now();
            loop {
                match inbox.next() {
                    Found::Frame(frame) => {
                        if !std::mem::replace(used, true) && self.links[peer].sends_on.is_none() {
                            self.send_on(peer, token);
                        }
                        if self.links[peer].ring_stands && frame.kind != Kind::Ping {
                            return Err(End::Garbled(Flaw::Ring));
                        }
                        self.frame(peer, frame, inbox).map_err(End::Garbled)?;
                    }
                    Found::Complete(body) => self.complete(peer, body),
                    Found::Garbage(flaw) => return Err(End::Garbled(flaw)),
                    Found::Nothing => break,
                }
                if !self.links[peer].wires.contains(&token) {
                    return Ok(());
                }
            }
            if filled == Filled::Some {
                return Ok(());
            }
        }
        Ok(())
    }

    /// This rank's frames to `peer` go on the wire `token` from now on.
    pub(super) fn send_on(&mut self, peer: usize, token: u64) {
        self.links[peer].sends_on = Some(token);
        self.offer_ring(peer);
        self.say_goodbye();
        self.mark(peer);
    }

    pub(super) fn frame(&mut self, peer: usize, frame: Frame, inbox: &mut Inbox) -> Result<(), Flaw> {
        let Frame { kind, tag, channel, length, id, at } = frame;
        let len = length as usize;
        match kind {
            Kind::Eager => {
                self.expect_life(peer)?;
                let link = &mut self.links[peer];
                link.held += cost(len);
                if link.held > CREDIT {
                    return Err(Flaw::Credit);
                }
                let sink = match self.mail.claim(channel, peer, tag) {
                    None if self.forgotten.contains(channel.context) => Sink::Nowhere,
                    None => Sink::Kept(vec![0; len]),
                    Some(slot) => match self.fit(&slot, peer, len) {
                        true => Sink::Slot(slot, 0),
                        false => Sink::Nowhere,
                    },
                };
                inbox.expect(frame, sink);
            }
            Kind::Data => {
                let arrival = self.links[peer].arriving.get_mut(&id).ok_or(Flaw::Id)?;
                let offset = arrival.begun;
                if len == 0 || len > arrival.envelope.len - offset {
                    return Err(Flaw::Length);
                }
                arrival.begun += len;
                inbox.expect(frame, Sink::Slot(arrival.slot.clone(), offset));
            }
            Kind::Offer => {
                self.expect_life(peer)?;
                if id <= std::mem::replace(&mut self.links[peer].last_offered, id) {
                    return Err(Flaw::Id);
                }
                match self.mail.claim(channel, peer, tag) {
                    Some(slot) => self.accept(id, Envelope { source: peer, tag, len }, at, &slot),
                    None if self.forgotten.contains(channel.context) => self.turn_down(peer, id),
                    None => {
                        self.mail.store(channel, peer, tag, |_| Body::Offer { id, len, at });
                        self.news += 1;
                        self.deeds += 1;
                    }
                }
            }
            Kind::Accept => self.accepted(peer, id, len)?,
            Kind::Retract => {
                let is_it = |m: &Body| matches!(m, Body::Offer { id: other, .. } if *other == id);
                let found = self.mail.remove_where(|waiting| waiting.source == peer && is_it(&waiting.message));
                let answer = if found.is_empty() { Kind::Kept } else { Kind::Returned };
                self.push(peer, &Frame::control(answer, 0, id));
            }
            Kind::Returned => {
                let Some(offer) = self.links[peer].offers.remove(&id) else {
                    // Its goodbye has ended the offer.
                    return if self.ended[peer].is_some() { Ok(()) } else { Err(Flaw::Id) };
                };
                self.links[peer].unlend(id);
                // Unasked: nobody there will ever receive it.
                let fault = offer.retracting.unwrap_or(Fault::Lost { rank: peer, how: DROPPED });
                if let Some(slot) = offer.bytes.slot() {
                    self.finish(slot, Err(fault));
                }
            }
            Kind::Kept => {
                // Unknown where it has been accepted meanwhile.
                if let Some(slot) = self.links[peer].offers.get(&id).and_then(|offer| offer.bytes.slot()) {
                    slot.lock().stage = Stage::Leaving { dest: peer, id };
                    self.news += 1;
                }
            }
            Kind::Credit => {
                let credit = self.links[peer].credit + len.min(CREDIT + 1);
                if credit > CREDIT {
                    return Err(Flaw::Credit);
                }
                self.links[peer].credit = credit;
            }
            Kind::Goodbye => {
                let end =
                    End::from_code(tag).filter(|end| matches!(end, End::Returned | End::Failed)).ok_or(Flaw::Tag)?;
                self.end(peer, end);
                if self.links[peer].sends_on.is_some() {
                    self.push(peer, &Frame::control(Kind::Farewell, 0, 0));
                }
            }
            Kind::Farewell => {
                self.links[peer].farewell = true;
                self.news += 1;
            }
            Kind::Ended => {
                let end = End::from_code(tag).ok_or(Flaw::Tag)?;
                let rank = usize::try_from(id).ok().filter(|rank| *rank < self.size).ok_or(Flaw::Id)?;
                if self.me != 0 && peer != 0 {
                    return Err(Flaw::Kind);
                }
                self.hear_end(peer, rank, end);
            }
            Kind::Noted => {
                self.noted |= peer == 0;
                self.news += 1;
            }
            Kind::Ping => {}
            Kind::Ring => {
                if len != RING_BYTES || std::mem::replace(&mut self.links[peer].ring_offered, true) {
                    return Err(Flaw::Ring);
                }
                inbox.expect(frame, Sink::Kept(vec![0; len]));
            }
            Kind::RingTaken => self.ring_answered(peer, true)?,
            Kind::RingRefused => self.ring_answered(peer, false)?,
            Kind::Switch => self.ring_stands(peer)?,
            Kind::Over if self.me == 0 => self.program_is_over(peer),
            Kind::Over if peer == 0 => {
                self.all_over = true;
                self.news += 1;
            }
            Kind::Over => return Err(Flaw::Kind),
        }
        Ok(())
    }

    /// Who has said goodbye starts nothing.
    fn expect_life(&self, peer: usize) -> Result<(), Flaw> {
        if self.ended[peer].is_none() { Ok(()) } else { Err(Flaw::Goodbye) }
    }

    /// Matches a receive with a message of `len` bytes from `source`: whether they fit. If not, it is over.
    fn fit(&mut self, slot: &Arc<Slot>, source: usize, len: usize) -> bool {
        let capacity = {
            let mut inner = slot.lock();
            inner.stage = Stage::Matched;
            inner.len
        };
        if len > capacity {
            self.finish(slot, Err(Fault::Truncated { source, sent: len, capacity }));
        }
        len <= capacity
    }

    /// The receive for an offer is there.
    pub(super) fn accept(&mut self, id: u64, envelope: Envelope, at: u64, slot: &Arc<Slot>) {
        let Envelope { source, len, .. } = envelope;
        let wanted = if self.fit(slot, source, len) { len } else { 0 };
        if wanted > 0 {
            let pulls = at != 0 && self.links[source].remote.is_some();
            // While it is pulled no piece of it may come.
            let begun = if pulls { len } else { 0 };
            let arrival = Arrival { slot: slot.clone(), envelope, begun, arrived: 0 };
            self.links[source].arriving.insert(id, arrival);
            if pulls {
                self.pulls.push_back(Pull { peer: source, id, at, envelope, done: 0, slot: slot.clone() });
                self.news += 1;
                return;
            }
        } else {
            self.finish(slot, Ok(envelope));
        }
        self.push(source, &Frame::control(Kind::Accept, wanted as u64, id));
    }

    fn accepted(&mut self, peer: usize, id: u64, wanted: usize) -> Result<(), Flaw> {
        let link = &mut self.links[peer];
        let Some(offer) = link.offers.remove(&id) else {
            // Its goodbye has ended the offer.
            return if self.ended[peer].is_some() { Ok(()) } else { Err(Flaw::Id) };
        };
        link.unlend(id);
        if wanted == 0 {
            if let Some(slot) = offer.bytes.slot() {
                self.finish(slot, Ok(offer.envelope));
            }
        } else if wanted == offer.len {
            if let Some(slot) = offer.bytes.slot() {
                slot.lock().stage = Stage::Leaving { dest: peer, id };
            }
            link.out.push_message(id, offer.bytes, offer.len);
            self.news += 1;
            self.mark(peer);
        } else {
            link.offers.insert(id, offer);
            return Err(Flaw::Length);
        }
        Ok(())
    }

    /// The bytes of a frame have come.
    pub(super) fn complete(&mut self, peer: usize, body: inbox::Body) {
        let Frame { kind, tag, channel, id, .. } = body.frame;
        let len = body.frame.payload();
        if kind == Kind::Data {
            let Some(arrival) = self.links[peer].arriving.get_mut(&id) else { return };
            arrival.arrived += len;
            if arrival.arrived == arrival.envelope.len
                && let Some(arrival) = self.links[peer].arriving.remove(&id)
            {
                self.finish(&arrival.slot, Ok(arrival.envelope));
            }
            return;
        }
        let envelope = Envelope { source: peer, tag, len };
        match body.sink {
            Sink::Kept(bytes) if kind == Kind::Ring => return self.take_ring(peer, &bytes),
            Sink::Slot(slot, _) => self.finish(&slot, Ok(envelope)),
            Sink::Nowhere => {}
            Sink::Kept(bytes) => match self.mail.claim(channel, peer, tag) {
                // Posted while the bytes were coming.
                Some(slot) => {
                    if self.fit(&slot, peer, len) {
                        slot.fill(&bytes);
                        self.finish(&slot, Ok(envelope));
                    }
                }
                None if self.forgotten.contains(channel.context) => {}
                None => {
                    self.mail.store(channel, peer, tag, |_| Body::Whole(bytes));
                    self.news += 1;
                    self.deeds += 1;
                    return;
                }
            },
        }
        self.give_credit(peer, cost(len));
    }

    /// `bytes` of `peer`'s credit are free again.
    pub(super) fn give_credit(&mut self, peer: usize, bytes: usize) {
        let link = &mut self.links[peer];
        if peer == self.me {
            link.credit = CREDIT.min(link.credit + bytes);
            return;
        }
        link.owed += bytes;
        if link.owed >= CREDIT / 2 {
            link.held -= link.owed;
            let owed = std::mem::take(&mut link.owed);
            if link.sends_on.is_some() {
                self.push(peer, &Frame::control(Kind::Credit, owed as u64, 0));
            }
        }
    }
}
