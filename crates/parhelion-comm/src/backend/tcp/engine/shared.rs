//! How links come to use shared memory: for each direction one [`ring`](super::ring), through which frames travel as they do on
//! a wire.
//!
//! 1. As soon as a rank has a wire to a peer on its machine, it offers the peer a ring, in a frame. The peer says whether it can
//!    reach it. The rank then writes what it has begun to write, and a last frame on the wire says that all that follows comes
//!    through the ring. So frames stay in order.
//! 2. The wire stays: its end is that of the peer, and signs of life on it wake whoever sleeps. When it closes, what is whole in
//!    the ring still counts.
//! 3. *Armed*, this rank has asked its peers to wake it. It is not while a thread looks at the rings anyway: then either that thread
//!    arms before it sleeps, or the helper does within a nap. Nobody sleeps unarmed, and nobody disarms while somebody sleeps.

use std::io::{self, IoSlice};

use std::sync::Arc;

use super::death::End;
use super::frame::{Flaw, Frame, HEADER, Kind, RING_BYTES};
use super::inbox::{Found, Inbox};
use super::link::Link;
use super::operation::Slot;
use super::outbox::{Pipe, write};
use super::remote::Remote;
use super::ring::{CAPACITY, Corrupt, Reader, Writer};
use super::state::State;
use crate::backend::arena::{Arena, IDENTITY_WORDS, Identity, PeerArena};
use crate::backend::tcp::join::Stream;

/// Frames read from one ring before the others have their turn.
const TURN: usize = 64;
/// Room is given back to the writer in portions of this size while there is more to read.
const PORTION: usize = CAPACITY / 4;
/// Looks at rings alone between two that include the sockets.
const LOOKS: u32 = 64;

/// This rank's end of the way to a peer.
#[derive(Default)]
pub(super) enum RingOut {
    /// There is none, so far.
    #[default]
    None,
    /// The peer has been asked.
    Offered(Writer),
    /// The peer has it; what is on the wire goes first.
    Taken(Writer),
    /// So many bytes of the last frame on the wire are out.
    Switching(Writer, usize),
    Up(Writer),
    /// The peer cannot have it.
    Refused,
}

impl RingOut {
    pub(super) fn up(&mut self) -> Option<&mut Writer> {
        match self {
            RingOut::Up(writer) => Some(writer),
            _ => None,
        }
    }

    /// Whether the wire is being left.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, RingOut::Taken(_) | RingOut::Switching(..))
    }

    /// Leaves the wire, if that is to be done: everything else on it is out.
    fn switch(&mut self, stream: &Stream) -> io::Result<()> {
        let (writer, sent) = match std::mem::take(self) {
            RingOut::Taken(writer) => (writer, 0),
            RingOut::Switching(writer, sent) => (writer, sent),
            other => {
                *self = other;
                return Ok(());
            }
        };
        let last = Frame::control(Kind::Switch, 0, 0).encode();
        let written = write(stream, &[IoSlice::new(&last[sent..])]);
        let sent = sent + written.as_ref().map_or(0, |n| *n);
        *self = if sent == HEADER { RingOut::Up(writer) } else { RingOut::Switching(writer, sent) };
        written.map(drop).or_else(|e| if e.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(e) })
    }
}

/// This rank's end of the way from a peer.
pub(super) struct RingIn {
    reader: Reader,
    inbox: Inbox,
}

impl RingIn {
    /// Whether there is something to read.
    #[inline]
    fn has_more(&self) -> bool {
        self.inbox.wants(&self.reader)
    }

    #[cfg(test)]
    pub(super) fn tell_head(&self, head: u64) {
        self.reader.tell_head(head);
    }

    /// See [`Reader::is_lent`].
    pub(super) fn is_lent(&self, id: u64) -> bool {
        self.reader.is_lent(id)
    }
}

impl Link {
    /// Writes what can be written; see [`Outbox::flush`](super::outbox::Outbox::flush).
    pub(super) fn flush(&mut self, stream: &Stream, left: &mut Vec<Arc<Slot>>) -> io::Result<bool> {
        let mut wrote = false;
        if !matches!(self.ring_out, RingOut::Up(_) | RingOut::Switching(..)) {
            wrote = self.out.flush(&mut Pipe::Stream(stream), left)?;
        }
        if self.out.is_empty() || matches!(self.ring_out, RingOut::Switching(..)) {
            self.ring_out.switch(stream)?;
        }
        if let RingOut::Up(writer) = &mut self.ring_out {
            wrote |= self.out.flush(&mut Pipe::Ring(writer), left)?;
        }
        Ok(wrote)
    }
}

impl State {
    /// Whether `peer` is on this machine, and shared memory may be used.
    pub(super) fn is_near(&self, peer: usize) -> bool {
        self.shared && self.here.is_some() && self.roster[peer].unix.map(|(host, _)| host) == self.here
    }

    /// Offers `peer` a ring, once, if it is on this machine.
    pub(super) fn offer_ring(&mut self, peer: usize) {
        if !self.is_near(peer) || !matches!(self.links[peer].ring_out, RingOut::None) {
            return;
        }
        let identity = Arena::of_process().and_then(|arena| arena.identity());
        let Some((identity, writer)) = identity.zip(Writer::new()) else { return };
        let number = self.number.as_ptr().expose_provenance() as u64;
        let [low, high] = halves(&self.number);
        let mut bytes = Vec::with_capacity(RING_BYTES);
        for word in [CAPACITY as u64, writer.token(), number, low, high].into_iter().chain(identity.to_words()) {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let header = Frame::control(Kind::Ring, bytes.len() as u64, 0).encode();
        let link = &mut self.links[peer];
        link.out.push_rest(&header, &bytes, 0);
        link.ring_out = RingOut::Offered(writer);
        self.mark(peer);
    }

    /// The peer has offered its ring, as `bytes` say.
    pub(super) fn take_ring(&mut self, peer: usize, bytes: &[u8]) {
        let ring = self.is_near(peer).then(|| self.find_ring(bytes)).flatten();
        let answer = if ring.is_some() { Kind::RingTaken } else { Kind::RingRefused };
        let link = &mut self.links[peer];
        if let Some((reader, remote)) = ring {
            link.ring_in = Some(Box::new(RingIn { reader, inbox: Inbox::of_ring() }));
            link.remote = remote;
        }
        self.push(peer, &Frame::control(answer, 0, 0));
    }

    fn find_ring(&self, bytes: &[u8]) -> Option<(Reader, Option<Remote>)> {
        let words: [u64; RING_BYTES / 8] = std::array::from_fn(|i| {
            bytes.get(8 * i..8 * (i + 1)).map_or(0, |word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
        });
        let [capacity, token, at, low, high, identity @ ..] = words;
        const { assert!(RING_BYTES / 8 == 5 + IDENTITY_WORDS) };
        let identity = Identity::of_words(identity);
        if capacity != CAPACITY as u64 {
            return None;
        }
        let arena = PeerArena::find(&identity)?;
        // SAFETY: the peer has made it for this rank, and offers one ring in its life.
        let reader = unsafe { Reader::new(&arena, token) }?;
        let mut number = [0; 16];
        number[..8].copy_from_slice(&low.to_le_bytes());
        number[8..].copy_from_slice(&high.to_le_bytes());
        Some((reader, Remote::meet(identity.pid(), at, number)))
    }

    /// The peer has answered the offer of a ring.
    pub(super) fn ring_answered(&mut self, peer: usize, is_taken: bool) -> Result<(), Flaw> {
        let RingOut::Offered(writer) = std::mem::take(&mut self.links[peer].ring_out) else { return Err(Flaw::Ring) };
        if is_taken {
            self.links[peer].ring_out = RingOut::Taken(writer);
            self.mark(peer);
        } else {
            writer.forgo();
            self.links[peer].ring_out = RingOut::Refused;
        }
        Ok(())
    }

    /// All that the peer sends from now on comes through its ring.
    pub(super) fn ring_stands(&mut self, peer: usize) -> Result<(), Flaw> {
        let link = &mut self.links[peer];
        let Some(ring) = link.ring_in.as_ref().filter(|_| !link.ring_stands) else { return Err(Flaw::Ring) };
        link.ring_stands = true;
        if self.armed {
            ring.reader.will_sleep();
        }
        self.rings.push(peer);
        self.hot = self.hot.filter(|token| !self.links[peer].wires.contains(token));
        // Whoever sleeps looks at this ring, too.
        self.news += 1;
        Ok(())
    }

    /// Looks at all rings: whether anything was there.
    pub(super) fn look_at_rings(&mut self) -> bool {
        let (mut any, mut i) = (false, 0);
        while let Some(&peer) = self.rings.get(i) {
            i += 1;
            if self.links[peer].ring_in.as_ref().is_some_and(|ring| ring.has_more()) {
                any |= self.read_ring(peer);
            }
        }
        for i in (0..self.stuck.len()).rev() {
            if let Some(&peer) = self.stuck.get(i)
                && self.links[peer].ring_out.up().is_some_and(Writer::has_room)
            {
                self.flush(peer);
                any = true;
            }
        }
        any
    }

    /// Whether it is time to look at the sockets, too.
    pub(super) fn is_socket_time(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        if self.sockets_matter || self.looks.is_multiple_of(LOOKS) {
            let matters = |link: &Link| !link.ring_stands && link.is_used();
            self.sockets_matter = !self.visitors.is_empty() || self.links.iter().any(matters);
            return true;
        }
        false
    }

    /// Reads what has come through the ring of `peer`: whether anything has.
    pub(super) fn read_ring(&mut self, peer: usize) -> bool {
        if !self.links[peer].ring_stands {
            return false;
        }
        let Some(mut ring) = self.links[peer].ring_in.take() else { return false };
        self.reading += 1;
        let mut any = false;
        let read = self.read_frames(peer, &mut ring, &mut any);
        self.reading -= 1;
        let wake = ring.reader.release(1);
        let slot = ring.inbox.slot().cloned();
        let link = &mut self.links[peer];
        link.heard_now |= any;
        if link.wires.is_empty() {
            // The link was closed because of what came.
            if let (Some(slot), Some(fault)) = (slot, self.fault(peer)) {
                self.finish(&slot, Err(fault));
            }
        } else {
            link.ring_in = Some(ring);
            if wake {
                self.wake(peer);
            }
            match (read, self.ended[peer]) {
                (Ok(()), _) => {}
                (Err(flaw), None) => self.end(peer, End::Garbled(flaw)),
                (Err(_), Some(end)) => self.part_with(peer, end),
            }
        }
        self.flush_dirty();
        any
    }

    fn read_frames(&mut self, peer: usize, ring: &mut RingIn, any: &mut bool) -> Result<(), Flaw> {
        for _ in 0..TURN {
            if !ring.inbox.draw(&mut ring.reader).map_err(|Corrupt| Flaw::Ring)? {
                break;
            }
            *any = true;
            loop {
                match ring.inbox.next() {
                    Found::Frame(frame) => self.frame(peer, frame, &mut ring.inbox)?,
                    Found::Complete(body) => self.complete(peer, body),
                    Found::Garbage(flaw) => return Err(flaw),
                    Found::Nothing => break,
                }
                if self.links[peer].wires.is_empty() {
                    return Ok(());
                }
            }
            if ring.reader.release(PORTION) {
                self.wake(peer);
            }
        }
        Ok(())
    }

    /// Reads all that a peer left in its ring, which writes no more.
    pub(super) fn drain_ring(&mut self, peer: usize) {
        // Bounded, in case it does.
        let most = CAPACITY / HEADER;
        let _ = (0..most).take_while(|_| self.read_ring(peer)).count();
    }

    /// Wakes `peer`, which sleeps on its sockets.
    pub(super) fn wake(&mut self, peer: usize) {
        let ping = Frame::control(Kind::Ping, 0, 0);
        let link = &mut self.links[peer];
        if link.ring_out.up().is_none() {
            // Frames of this rank are on the wire, perhaps one half of one.
            return self.push(peer, &ping);
        }
        let Some(wire) = link.sends_on.and_then(|token| self.wires.get(&token)) else { return };
        // Where there is no room the peer has something to wake up for; where the wire has closed, it shows in reading.
        if let Ok(n) = write(&wire.stream, &[IoSlice::new(&ping.encode()[link.woken..])]) {
            link.woken = (link.woken + n) % HEADER;
        }
    }

    /// Asks to be woken by peers from now on: false if there is something to do already.
    pub(super) fn arm(&mut self) -> bool {
        self.armed = true;
        let mut idle = self.pulls.is_empty();
        for &peer in &self.rings {
            if let Some(ring) = &self.links[peer].ring_in {
                ring.reader.will_sleep();
                idle &= !ring.has_more();
            }
        }
        for &peer in &self.stuck {
            if let Some(writer) = self.links[peer].ring_out.up() {
                writer.will_sleep();
                idle &= !writer.has_room();
            }
        }
        idle
    }

    /// A thread looks at the rings from now on.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
        for &peer in &self.rings {
            if let Some(ring) = &self.links[peer].ring_in {
                ring.reader.is_awake();
            }
        }
        for &peer in &self.stuck {
            if let Some(writer) = self.links[peer].ring_out.up() {
                writer.is_awake();
            }
        }
    }

    /// `peer` and this rank have no memory in common any more; the receive whose bytes were coming.
    pub(super) fn close_rings(&mut self, peer: usize) -> Option<Arc<Slot>> {
        let link = &mut self.links[peer];
        link.ring_out = RingOut::Refused;
        link.remote = None;
        let ring = link.ring_in.take();
        self.rings.retain(|other| *other != peer);
        self.stuck.retain(|other| *other != peer);
        self.pulls.retain(|pull| pull.peer != peer);
        ring?.inbox.slot().cloned()
    }
}

fn halves(number: &[u8; 16]) -> [u64; 2] {
    let (low, high) = number.split_at(8);
    [low, high].map(|half| u64::from_le_bytes(half.try_into().expect("8 bytes")))
}
