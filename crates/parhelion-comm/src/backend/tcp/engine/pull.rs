//! Long messages between processes of one machine: the receiver reads them out of the sender's memory, in one copy.
//!
//! 1. An offer whose bytes can be read says where they are, and is *marked* in the sender's ring for as long as they are there.
//! 2. The receiver reads them into the receive's buffer, piece by piece, looking for other things between two pieces. Then it asks
//!    whether the sender was alive, and the mark in place, until then. If so, what it has read is the message, and it answers as to
//!    a message whose bytes are not wanted.
//! 3. If not, or if it cannot read, it accepts the offer: the bytes come in frames, or the sender is lost. What was read is
//!    overwritten, or counts for nothing.
//! 4. A sender that needs its buffer back takes the mark away first, and never waits for the receiver.

use std::sync::Arc;

use super::frame::{Frame, Kind};
use super::operation::{Envelope, Slot};
use super::state::State;

/// Messages of up to so many bytes go through the ring: two copies, but no system call and no answer to wait for.
pub(super) const LONGEST_COPIED: usize = 16 << 10;
/// Read at once: about a millisecond. What is looked for between two pieces, and to begin one, takes 5 to 10 microseconds.
const PIECE: usize = 4 << 20;

/// A message that is being read out of its sender's memory.
pub(super) struct Pull {
    pub(super) peer: usize,
    pub(super) id: u64,
    pub(super) at: u64,
    pub(super) envelope: Envelope,
    pub(super) done: usize,
    pub(super) slot: Arc<Slot>,
}

impl State {
    /// Reads the next piece of a message: whether there was one.
    pub(super) fn pull(&mut self) -> bool {
        let Some(mut pull) = self.pulls.pop_front() else { return false };
        let link = &self.links[pull.peer];
        let len = pull.envelope.len;
        let (buf, capacity) = {
            let inner = pull.slot.lock();
            (inner.buf, inner.len)
        };
        if buf.is_null() {
            // Taken back: the message is lost, as if it had been read.
            self.links[pull.peer].arriving.remove(&pull.id);
            self.push(pull.peer, &Frame::control(Kind::Accept, 0, pull.id));
            return true;
        }
        let piece = PIECE.min(len - pull.done);
        assert!(len <= capacity);
        let read = link.remote.as_ref().map_or(0, |remote| {
            // SAFETY: the buffer of a receive that is not over is writable for its length, which is not less than the message's;
            // it does not end before our caller's lock is free.
            unsafe { remote.read(pull.at + pull.done as u64, buf.add(pull.done), piece) }.unwrap_or(0)
        });
        pull.done += read;
        if pull.done < len && read > 0 {
            self.pulls.push_front(pull);
            return true;
        }
        let wire = link.sends_on.and_then(|token| self.wires.get(&token));
        let is_true = pull.done == len
            && link.ring_in.as_ref().is_some_and(|ring| ring.is_lent(pull.id))
            && link.remote.as_ref().zip(wire).is_some_and(|(remote, wire)| remote.lives(&wire.stream));
        if is_true {
            self.links[pull.peer].arriving.remove(&pull.id);
            self.push(pull.peer, &Frame::control(Kind::Accept, 0, pull.id));
            self.finish(&pull.slot, Ok(pull.envelope));
        } else {
            if let Some(arrival) = self.links[pull.peer].arriving.get_mut(&pull.id) {
                arrival.begun = 0;
            }
            self.push(pull.peer, &Frame::control(Kind::Accept, len as u64, pull.id));
        }
        true
    }
}
