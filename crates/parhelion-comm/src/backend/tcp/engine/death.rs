//! How ranks end, who is told, and what fails then.

use std::io;
use std::time::{Duration, Instant};

use super::Engine;
use super::frame::{Flaw, Frame, Kind};
use super::link::{Body, Dial, Phase};
use super::operation::Fault;
use super::state::State;

/// How a rank ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Returned,
    Failed,
    Died,
    Silent,
    Garbled(Flaw),
    Unreachable,
    /// Of rank 0: it has this rank for one that has ended, and hears it no more.
    GaveUp,
}

impl End {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        use End::*;
        let plain = [Returned, Failed, Died, Silent, Unreachable];
        plain.into_iter().chain(Flaw::ALL.map(Garbled)).find(|end| end.code() == code)
    }

    /// The number of this end in frames.
    pub(super) fn code(self) -> u32 {
        match self {
            End::Returned => 1,
            End::Failed => 2,
            End::Died => 3,
            End::Silent => 4,
            End::Unreachable => 5,
            // Never said: whoever it happens to has nobody to tell.
            End::GaveUp => 6,
            End::Garbled(flaw) => 16 + flaw as u32,
        }
    }

    /// What follows "rank 3 has".
    pub(super) fn how(self) -> &'static str {
        match self {
            End::Returned => "returned",
            End::Failed => "failed",
            End::Died => "died",
            End::Silent => "fallen silent",
            End::Garbled(flaw) => flaw.how(),
            End::Unreachable => "become unreachable",
            End::GaveUp => "given this rank up, which it could not hear or another could not reach",
        }
    }

    pub(super) fn is_death(self) -> bool {
        self != End::Returned
    }
}

/// How long a rank stays when one has failed.
const SHORT: Duration = Duration::from_secs(1);

impl State {
    pub(super) fn fault(&self, rank: usize) -> Option<Fault> {
        self.ended[rank].map(|end| Fault::Lost { rank, how: end.how() })
    }

    /// `rank` has ended: what needs it fails, and who must know is told.
    pub(super) fn end(&mut self, rank: usize, end: End) {
        if rank == self.me || self.ended[rank].is_some() {
            return;
        }
        tracing::debug!(rank = self.me, peer = rank, how = end.how(), "a rank has ended");
        self.ended[rank] = Some(end);
        self.news += 1;
        if end.is_death() {
            self.death.get_or_insert_with(Instant::now);
            if self.me == 0 && matches!(end, End::Silent | End::Garbled(_) | End::Unreachable) {
                // It may live, and then it should know why nobody hears it any more.
                self.push(rank, &Frame::end(Kind::Ended, rank, end.code()));
                self.flush(rank);
            }
            self.close_link(rank);
            self.tell(rank, end);
        } else {
            let offers = std::mem::take(&mut self.links[rank].offers);
            let fault = Fault::Lost { rank, how: end.how() };
            offers.keys().for_each(|id| self.links[rank].unlend(*id));
            offers.values().filter_map(|offer| offer.bytes.slot()).for_each(|slot| {
                slot.finish(Err(fault), &mut self.after);
            });
        }
        self.fail_receives(rank, end);
        self.look_whether_all_are_over();
    }

    /// The program of `rank` is over. To rank 0 that matters, which tells the others when it was the last.
    pub(super) fn program_is_over(&mut self, rank: usize) {
        self.over[rank] = true;
        self.look_whether_all_are_over();
    }

    fn look_whether_all_are_over(&mut self) {
        if self.me != 0 || self.all_over || !(0..self.size).all(|rank| self.over[rank] || self.ended[rank].is_some()) {
            return;
        }
        self.all_over = true;
        self.news += 1;
        for peer in 1..self.size {
            if self.over[peer] {
                self.push(peer, &Frame::control(Kind::Over, 0, 0));
            }
        }
    }

    /// Whether nobody is left who might yet begin what this rank waits for, or tell it so.
    fn is_late(&self) -> bool {
        self.all_over || self.me != 0 && self.links[0].wires.is_empty()
    }

    /// Whether bytes of a long message are on their way.
    fn is_moving(&self) -> bool {
        !self.pulls.is_empty() || self.links.iter().any(|link| !link.out.is_empty() || !link.arriving.is_empty())
    }

    /// Rank 0 tells all, others tell rank 0.
    fn tell(&mut self, rank: usize, end: End) {
        if std::mem::replace(&mut self.told[rank], true) {
            return;
        }
        let frame = Frame::end(Kind::Ended, rank, end.code());
        let to = if self.me == 0 { 1..self.size } else { 0..1 };
        for peer in to {
            if peer != rank && self.ended[peer].is_none_or(|end| !end.is_death()) && self.links[peer].sends_on.is_some()
            {
                self.push(peer, &frame);
            }
        }
    }

    /// News of `rank`'s end, from `peer`.
    pub(super) fn hear_end(&mut self, peer: usize, rank: usize, end: End) {
        if rank == self.me {
            if peer == 0 {
                self.end(0, End::GaveUp);
            }
            // Otherwise somebody could not reach rank 0, to which all have a connection: what is wrong with it will show there.
            return;
        }
        if self.me == 0 && peer == rank {
            // Its peers have seen all it sent: now the others may know.
            self.end(rank, end);
            self.tell(rank, end);
            self.push(peer, &Frame::control(Kind::Noted, 0, 0));
            return;
        }
        // What it sent before it ended counts.
        for token in self.links[rank].wires.clone() {
            // Bounded, since it may not know that it has ended.
            let _ = (0..1000).take_while(|_| self.read_wire(token)).count();
        }
        self.drain_ring(rank);
        if self.ended[rank].is_none() {
            self.end(rank, end);
        }
    }

    /// Fails every operation that only `rank` can complete, and what depends on its life.
    fn fail_receives(&mut self, rank: usize, end: End) {
        let fault = Fault::Lost { rank, how: end.how() };
        let (me, ended) = (self.me, &self.ended);
        // One from anyone that has no members yet is looked at when it gets them.
        let gone = self.mail.withdraw_where(|selector, slot| {
            if selector.source == Some(rank) {
                return true;
            }
            let inner = slot.lock();
            let Some(members) = &inner.members else { return false };
            members.contains(&rank)
                && (end.is_death()
                    || selector.source.is_none() && members.iter().all(|&r| r == me || ended[r].is_some()))
        });
        for slot in gone {
            slot.finish(Err(fault), &mut self.after);
        }
        if !end.is_death() {
            return;
        }
        self.mail.remove_where(|waiting| waiting.source == rank && matches!(waiting.message, Body::Offer { .. }));
        let depends = |bytes: &super::outbox::Bytes| {
            let members = bytes.slot().and_then(|slot| slot.lock().members.clone());
            members.is_some_and(|members| members.contains(&rank))
        };
        let mut retract = Vec::new();
        for (peer, link) in self.links.iter_mut().enumerate() {
            for (&id, offer) in link.offers.iter_mut().filter(|(_, offer)| depends(&offer.bytes)) {
                if offer.retracting.replace(fault).is_none() {
                    retract.push((peer, id));
                }
            }
        }
        for (peer, id) in retract {
            self.push(peer, &Frame::control(Kind::Retract, 0, id));
        }
        let shown = self.mail.remove_where(|waiting| match &waiting.message {
            Body::Shown(slot) => slot.lock().members.as_ref().is_some_and(|members| members.contains(&rank)),
            _ => false,
        });
        for waiting in shown {
            if let Body::Shown(slot) = waiting.message {
                slot.finish(Err(fault), &mut self.after);
            }
        }
    }

    /// Closes all wires to `peer` and fails what is under way on them.
    fn close_link(&mut self, peer: usize) {
        let Some(fault) = self.fault(peer) else { return };
        let wires = std::mem::take(&mut self.links[peer].wires);
        // First of all: what they lent is not read by anyone any more.
        let coming = self.close_rings(peer);
        let mut slots: Vec<_> = wires.into_iter().filter_map(|token| self.drop_wire(token)).collect();
        slots.extend(coming);
        let link = &mut self.links[peer];
        (link.sends_on, link.dial) = (None, Dial::Idle);
        slots.extend(link.out.slots().cloned());
        link.out.clear();
        slots.extend(link.offers.drain().filter_map(|(_, offer)| offer.bytes.slot().cloned()));
        slots.extend(link.arriving.drain().map(|(_, arrival)| arrival.slot));
        for slot in slots {
            slot.finish(Err(fault), &mut self.after);
        }
        self.news += 1;
        if peer == 0 && self.leaving.is_none() {
            // Nobody brings news any more: whoever is not watched by a wire of its own must be.
            for peer in 1..self.size {
                if peer != self.me && self.ended[peer].is_none() && !self.links[peer].is_used() {
                    self.dial(peer);
                }
            }
        }
    }

    /// A wire to `peer` has closed, or is closed because of `why`.
    pub(super) fn lose_wire(&mut self, token: u64, peer: usize, why: End) {
        if !matches!(why, End::Garbled(_)) {
            self.drain_ring(peer);
            if !self.links[peer].wires.contains(&token) {
                return;
            }
        }
        let was_used = !matches!(self.wires.get(&token).map(|wire| &wire.phase), Some(Phase::Up { used: false, .. }));
        let slot = self.drop_wire(token);
        let link = &mut self.links[peer];
        link.wires.retain(|wire| *wire != token);
        match self.ended[peer] {
            // The peer has dialled and given it up, perhaps before it knew that the wire stood.
            None if !was_used => {}
            None => self.end(peer, why),
            Some(end) if self.links[peer].wires.is_empty() => self.part_with(peer, end),
            Some(_) => {}
        }
        if let (Some(slot), Some(fault)) = (slot, self.fault(peer)) {
            slot.finish(Err(fault), &mut self.after);
        }
    }

    /// Nothing more comes from a rank that has said goodbye, and nothing reaches it.
    pub(super) fn part_with(&mut self, peer: usize, end: End) {
        if self.me == 0 {
            self.tell(peer, end);
        }
        self.close_link(peer);
        self.mail.remove_where(|waiting| waiting.source == peer && matches!(waiting.message, Body::Offer { .. }));
    }

    /// What a failed read or write on a wire means.
    pub(super) fn why(error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => End::Unreachable,
            io::ErrorKind::InvalidData => End::Garbled(Flaw::Ring),
            _ => End::Died,
        }
    }

    /// Sends signs of life, and looks for those of others.
    pub(super) fn heartbeat(&mut self, now: Instant) {
        let overslept = now.duration_since(self.last_beat) > self.heartbeat / 2;
        self.last_beat = now;
        for peer in 0..self.size {
            let link = &mut self.links[peer];
            if link.wires.is_empty() {
                continue;
            }
            if std::mem::take(&mut link.spoke_now) {
                link.spoke = now;
            }
            if overslept || std::mem::take(&mut link.heard_now) {
                // Either it has spoken, or this process was stopped, not its peers.
                link.heard = now;
            }
            if now.duration_since(link.heard) > self.heartbeat {
                // It may have spoken while this process did not get to listen.
                for token in link.wires.clone() {
                    self.read_wire(token);
                }
                self.drain_ring(peer);
                let link = &self.links[peer];
                if !link.heard_now && now.saturating_duration_since(link.heard) > self.heartbeat {
                    match self.ended[peer] {
                        None => self.end(peer, End::Silent),
                        // What it was still serving will not come.
                        Some(end) => self.part_with(peer, end),
                    }
                }
                continue;
            }
            if link.sends_on.is_some() && now.duration_since(link.spoke) > self.heartbeat / 4 {
                self.push(peer, &Frame::control(Kind::Ping, 0, 0));
            }
        }
    }

    /// Says goodbye to whoever has not heard it.
    pub(super) fn say_goodbye(&mut self) {
        let Some(end) = self.leaving else { return };
        for peer in 0..self.size {
            let link = &mut self.links[peer];
            if link.sends_on.is_some() && !std::mem::replace(&mut link.said_goodbye, true) {
                self.push(peer, &Frame { tag: end.code(), ..Frame::control(Kind::Goodbye, 0, 0) });
            }
        }
    }

    /// Whether all this rank sent has been seen, and its goodbye.
    fn is_quiet(&self) -> bool {
        let quiet = |link: &super::link::Link| {
            link.dial == Dial::Idle
                && link.offers.is_empty()
                && link.out.is_empty()
                && (link.wires.is_empty() || link.farewell)
        };
        self.links.iter().all(quiet)
    }

    fn others_are_gone(&self) -> bool {
        (0..self.size).all(|rank| rank == self.me || self.links[rank].wires.is_empty())
    }
}

impl Engine {
    /// Waits until what this rank's program, which has returned, has begun is over, as `is_over` says. The others may begin their
    /// part of it at any time; once their programs have returned, too, or rank 0 cannot say so any more, it is given up when
    /// nothing happens for a second. Whoever waits meanwhile for a message that this rank's program has not sent waits as long.
    pub(in crate::backend::tcp) fn finish(&self, is_over: impl Fn() -> bool) {
        {
            let mut state = self.turn();
            if state.me == 0 {
                state.program_is_over(0);
            } else if !is_over() {
                state.push(0, &Frame::control(Kind::Over, 0, 0));
            }
        }
        loop {
            let stand = |state: &State| (state.is_late(), state.deeds);
            let before = stand(&self.turn());
            if is_over() {
                return;
            }
            let limit = before.0.then_some(SHORT);
            let goes_on = self.wait_until(limit, || is_over() || stand(&self.lock()) != before);
            if !goes_on && !self.lock().is_moving() {
                tracing::warn!(
                    rank = self.me,
                    "what was begun and not waited for cannot be finished: no other rank takes part"
                );
                return;
            }
        }
    }

    /// Ends this rank: its program returned (`ok`), or failed. Says goodbye, serves what is under way, and returns when the
    /// other ranks know, rank 0 when they have ended, too. Bounded by about a second where this rank or another has failed.
    pub(in crate::backend::tcp) fn leave(&self, ok: bool) {
        let end = if ok { End::Returned } else { End::Failed };
        if ok {
            // Before this rank says that it asks for nothing more: their senders count on the answer.
            self.wait_until(Some(SHORT), || self.lock().pulls.is_empty());
        }
        {
            let mut state = self.turn();
            if state.leaving.is_some() {
                return;
            }
            state.leaving = Some(end);
            state.began_leaving = Instant::now();
            if !ok {
                state.death.get_or_insert_with(Instant::now);
            }
            state.say_goodbye();
        }
        self.linger(State::is_quiet);
        if self.me != 0 {
            let mut state = self.turn();
            let alive = state.links[0].sends_on.is_some();
            if alive {
                state.push(0, &Frame::end(Kind::Ended, self.me, end.code()));
            }
            drop(state);
            self.linger(|state| state.noted || state.links[0].wires.is_empty());
        } else {
            self.linger(State::others_are_gone);
        }
        self.close(end);
    }

    /// Waits for `over`; a short time only once there was a failure.
    fn linger(&self, over: impl Fn(&State) -> bool) {
        loop {
            let (done, death, began) = {
                let state = self.turn();
                (over(&state), state.death, state.began_leaving)
            };
            let left = death.map(|at| SHORT.saturating_sub(at.max(began).elapsed()));
            if done || left.is_some_and(|left| left.is_zero()) {
                return;
            }
            self.wait_until(left, || {
                let state = self.turn();
                over(&state) || state.death != death
            });
        }
    }

    /// Closes everything; what is not over fails.
    pub(super) fn close(&self, end: End) {
        let mut state = self.turn();
        state.doors = None;
        state.visitors.clear();
        state.wires.clear();
        for rank in 0..state.size {
            if rank != self.me {
                state.told[rank] = true;
                state.links[rank].wires.clear();
                state.end(rank, End::Returned);
                state.close_link(rank);
            }
        }
        state.leaving = Some(end);
        state.crew.stop = true;
        drop(state);
        self.stop_helper();
    }
}
