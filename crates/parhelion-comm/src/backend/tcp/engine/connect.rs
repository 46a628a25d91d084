//! How links come to stand: dialling peers, and who is at the other end.
//!
//! Two ranks that dial each other at once keep both wires. Each sends on the one it has dialled, if it had begun to dial before
//! the other's first frame came, and on the other's otherwise; it never changes, so its frames stay in order.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::death::End;
use super::frame::{Frame, Kind};
use super::inbox::Inbox;
use super::link::{Dial, Phase, Wire};
use super::outbox::write;
use super::state::State;
use crate::backend::tcp::join::{Handshake, Stream};

/// How long a handshake may take at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a peer may refuse connections before it is lost: as long as news of its end may take.
const REFUSED: Duration = Duration::from_secs(1);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Tokens from here on are wires'.
pub(super) const FIRST_WIRE: u64 = 16;

impl State {
    /// Begins to dial `peer`, unless that is under way.
    pub(super) fn dial(&mut self, peer: usize) {
        if peer == self.me || self.links[peer].dial != Dial::Idle || self.ended[peer].is_some() {
            return;
        }
        self.attempt(peer, Instant::now());
    }

    fn attempt(&mut self, peer: usize, since: Instant) {
        let started = Stream::start(&self.roster[peer], self.here.as_ref());
        let now = Instant::now();
        // All attempts together may not take longer than a peer may be silent.
        let patience = PATIENCE.min(self.heartbeat.saturating_sub(now.duration_since(since)));
        let added = started.and_then(|stream| {
            let handshake = Handshake::dial(&self.key, self.me, self.size, peer);
            let phase = Phase::Dialling { peer, handshake, connected: false, until: now + patience };
            self.add_wire(Wire { stream, phase, wants_room: true }, EventFlags::OUT)
        });
        self.links[peer].dial = Dial::Going { since, again: None, refused: false };
        if let Err(e) = added {
            self.retry_later(peer, &e);
        }
        self.hurry();
    }

    /// An attempt to reach `peer` has failed.
    fn retry_later(&mut self, peer: usize, error: &io::Error) {
        if let Dial::Going { since, .. } = self.links[peer].dial {
            let refused = error.kind() == ErrorKind::ConnectionRefused;
            self.links[peer].dial = Dial::Going { since, again: Some(Instant::now() + PAUSE), refused };
        }
        self.hurry();
    }

    /// Timers are looked at soon.
    pub(super) fn hurry(&mut self) {
        // Whoever sleeps until the next timer counts anew.
        self.news += 1;
        self.next_timer = self.next_timer.min(Instant::now() + PAUSE);
    }

    /// A wire that is not up can be read or written.
    pub(super) fn go_on(&mut self, token: u64) {
        let Some(wire) = self.wires.get_mut(&token) else { return };
        let stepped = match &mut wire.phase {
            Phase::Dialling { handshake, connected, .. } => if *connected { Ok(()) } else { wire.stream.error() }
                .and_then(|()| {
                    *connected = true;
                    step(&wire.stream, handshake)
                }),
            Phase::Visitor { handshake, .. } => step(&wire.stream, handshake),
            Phase::Up { .. } => return,
        };
        match stepped {
            Ok(Step::Done(peer)) => self.stand(token, peer),
            Ok(Step::Waits { wants_room }) => {
                if wire.wants_room != wants_room {
                    wire.wants_room = wants_room;
                    let flags = if wants_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
                    let _ = epoll::modify(&*self.epoll, &wire.stream, EventData::new_u64(token), flags);
                }
            }
            Err(e) => self.give_up(token, &e),
        }
    }

    /// A wire that is not up fails.
    fn give_up(&mut self, token: u64, error: &io::Error) {
        let Some(wire) = self.wires.remove(&token) else { return };
        match wire.phase {
            Phase::Dialling { peer, .. } => self.retry_later(peer, error),
            _ => self.visitors.retain(|visitor| *visitor != token),
        }
    }

    /// The handshake on a wire is done: `peer` is at the other end.
    fn stand(&mut self, token: u64, peer: usize) {
        let Some(wire) = self.wires.get_mut(&token) else { return };
        let dialled = matches!(wire.phase, Phase::Dialling { .. });
        self.visitors.retain(|visitor| *visitor != token);
        if self.ended[peer].is_some_and(End::is_death) || peer == self.me || peer >= self.size {
            self.wires.remove(&token);
            return;
        }
        wire.phase = Phase::Up { peer, inbox: Inbox::new(), used: dialled };
        wire.wants_room = false;
        if let Err(e) = epoll::modify(&*self.epoll, &wire.stream, EventData::new_u64(token), EventFlags::IN) {
            tracing::warn!(rank = self.me, peer, error = %e, "a connection cannot be watched");
        }
        let link = &mut self.links[peer];
        link.wires.push(token);
        link.heard = Instant::now();
        if dialled {
            link.dial = Dial::Idle;
            if link.sends_on.is_none() {
                self.send_on(peer, token);
            }
            // The peer waits for a frame before it uses this wire, and this one goes on it whichever wire the others go on.
            let ping = Frame::control(Kind::Ping, 0, 0).encode();
            if self.links[peer].sends_on == Some(token) {
                self.push(peer, &Frame::control(Kind::Ping, 0, 0));
            } else if let Some(wire) = self.wires.get(&token) {
                let _ = write(&wire.stream, &[IoSlice::new(&ping)]);
            }
        }
    }

    /// Does what is due by now, and says in `next_timer` when to come again.
    pub(super) fn timers(&mut self, now: Instant) {
        if now < self.next_timer {
            return;
        }
        self.reopen_doors(now);
        let mut pending = !self.visitors.is_empty() || self.shut_until.is_some();
        let late = |wire: &Wire| wire.phase.limit().is_some_and(|limit| limit <= now);
        let late: Vec<u64> = self.wires.iter().filter(|(_, wire)| late(wire)).map(|(token, _)| *token).collect();
        for token in late {
            if let Some(wire) = self.wires.get(&token) {
                let _ = wire.stream.shutdown(Shutdown::Both);
            }
            self.give_up(token, &ErrorKind::TimedOut.into());
        }
        for peer in 0..self.size {
            let Dial::Going { since, again, refused } = self.links[peer].dial else { continue };
            if let Some(end) = self.ended[peer] {
                self.links[peer].dial = Dial::Idle;
                self.news += 1;
                if self.links[peer].wires.is_empty() {
                    // What was to go on the wire that was dialled.
                    self.part_with(peer, end);
                }
                continue;
            }
            pending = true;
            let Some(again) = again else { continue };
            let age = now.duration_since(since);
            if age >= self.heartbeat || refused && age > REFUSED {
                // If this process was stopped, the news that it has returned may not have been read.
                for token in self.links[0].wires.clone() {
                    self.read_wire(token);
                }
                self.drain_ring(0);
                if self.ended[peer].is_some() {
                    continue;
                }
                self.links[peer].dial = Dial::Idle;
                match self.links[peer].sends_on {
                    // Its own dialling has made a link.
                    Some(token) => self.send_on(peer, token),
                    None if refused => self.end(peer, End::Died),
                    None => self.end(peer, End::Unreachable),
                }
            } else if again <= now {
                self.attempt(peer, since);
            }
        }
        if now.duration_since(self.last_beat) >= self.heartbeat / 8 {
            self.heartbeat(now);
        }
        let rest = (self.heartbeat / 8).clamp(PAUSE, Duration::from_secs(1));
        self.next_timer = now + if pending { PAUSE } else { rest };
        self.flush_dirty();
    }
}

enum Step {
    Done(usize),
    Waits { wants_room: bool },
}

/// Moves the bytes of a handshake, as many as there are.
fn step(stream: &Stream, handshake: &mut Handshake) -> io::Result<Step> {
    let mut peer = None;
    loop {
        while !handshake.to_send().is_empty() {
            match write(stream, &[IoSlice::new(handshake.to_send())]) {
                Ok(n) => handshake.sent(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Step::Waits { wants_room: true }),
                Err(e) => return Err(e),
            }
        }
        if let Some(peer) = peer {
            return Ok(Step::Done(peer));
        }
        let mut bytes = [0; 256];
        let wanted = handshake.wanted().min(bytes.len());
        match (&mut &*stream).read(&mut bytes[..wanted]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => peer = handshake.take(&bytes[..n]).map_err(|refusal| io::Error::other(refusal.to_string()))?,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Step::Waits { wants_room: false }),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
