//! [`Outbox`]: what waits to be written to a peer.
//!
//! Headers and eager messages are bytes in one queue. Offered messages that have been accepted leave in pieces straight from
//! their buffers; between two pieces the queue goes first, so that a long message holds nothing up.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::frame::{Frame, HEADER, Kind, MAX_PIECE};
use super::operation::Slot;
use super::ring::{Corrupt, Writer};
use crate::backend::tcp::join::Stream;

/// The bytes of a message that waits at its sender.
pub(super) enum Bytes {
    /// In the buffer of an operation that is not over.
    Lent(Arc<Slot>),
    /// A copy, of an operation that was taken back.
    Owned(Vec<u8>),
}

impl Bytes {
    /// Where they begin.
    fn start(&self) -> *const u8 {
        match self {
            Bytes::Lent(slot) => slot.lock().buf,
            Bytes::Owned(bytes) => bytes.as_ptr(),
        }
    }

    /// Copies what is lent from `slot`, which is about to be over.
    pub(super) fn part_from(&mut self, slot: &Arc<Slot>) {
        if let Bytes::Lent(mine) = self
            && Arc::ptr_eq(mine, slot)
        {
            let inner = slot.lock();
            // SAFETY: the buffer of an operation that is not over is readable for its length.
            let bytes = unsafe { std::slice::from_raw_parts(inner.buf, inner.len) }.to_vec();
            drop(inner);
            *self = Bytes::Owned(bytes);
        }
    }

    /// The operation, unless it has been taken back.
    pub(super) fn slot(&self) -> Option<&Arc<Slot>> {
        match self {
            Bytes::Lent(slot) => Some(slot),
            Bytes::Owned(_) => None,
        }
    }
}

/// Where bytes are written.
pub(super) enum Pipe<'a> {
    Stream(&'a Stream),
    Ring(&'a mut Writer),
}

impl Pipe<'_> {
    fn write(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        match self {
            Pipe::Stream(stream) => write(stream, &parts.map(IoSlice::new)),
            Pipe::Ring(ring) => match ring.write(parts) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                Ok(n) => Ok(n),
                Err(Corrupt) => Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// A message whose bytes are going out.
struct Leaving {
    id: u64,
    bytes: Bytes,
    sent: usize,
    len: usize,
}

/// A piece of the first message: what is left of its header and of its bytes.
struct Piece {
    header: [u8; HEADER],
    header_sent: usize,
    left: usize,
    begun: bool,
}

/// What waits to be written to a peer, in order.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Vec<u8>,
    queue_sent: usize,
    messages: VecDeque<Leaving>,
    piece: Option<Piece>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.messages.is_empty()
    }

    /// Bytes that are copies, kept here until they are written.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.len() - self.queue_sent
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        self.queue.extend_from_slice(&frame.encode());
    }

    /// Adds a frame and its bytes, of which `sent` have been written already, with nothing before them.
    pub(super) fn push_rest(&mut self, header: &[u8; HEADER], bytes: &[u8], sent: usize) {
        self.queue.extend_from_slice(&header[sent.min(HEADER)..]);
        self.queue.extend_from_slice(&bytes[sent.saturating_sub(HEADER)..]);
    }

    /// Adds the bytes of an accepted offer, `len` and not none.
    pub(super) fn push_message(&mut self, id: u64, bytes: Bytes, len: usize) {
        self.messages.push_back(Leaving { id, bytes, sent: 0, len });
    }

    /// Every operation whose bytes are still to go out.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Arc<Slot>> {
        self.messages.iter().filter_map(|message| message.bytes.slot())
    }

    /// Copies what is lent from `slot`, which is about to be over.
    pub(super) fn part_from(&mut self, slot: &Arc<Slot>) {
        self.messages.iter_mut().for_each(|message| message.bytes.part_from(slot));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// Writes as much as `pipe` takes; `left` gets the operations of messages that are out whole. Whether anything was written.
    pub(super) fn flush(&mut self, pipe: &mut Pipe<'_>, left: &mut Vec<Arc<Slot>>) -> io::Result<bool> {
        let mut wrote = false;
        while !self.is_empty() {
            match self.write(pipe, left) {
                Ok(()) => wrote = true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(wrote)
    }

    fn write(&mut self, pipe: &mut Pipe<'_>, left: &mut Vec<Arc<Slot>>) -> io::Result<()> {
        if self.piece.is_none()
            && let Some(message) = self.messages.front()
        {
            let length = (message.len - message.sent).min(MAX_PIECE as usize);
            let header = Frame::control(Kind::Data, length as u64, message.id).encode();
            self.piece = Some(Piece { header, header_sent: 0, left: length, begun: false });
        }
        let begun = self.piece.as_ref().is_some_and(|piece| piece.begun);
        let queue = if begun { &[] } else { &self.queue[self.queue_sent..] };
        let (header, bytes): (&[u8], &[u8]) = match (&self.piece, self.messages.front()) {
            (Some(piece), Some(message)) => {
                let start = message.bytes.start();
                // SAFETY: the message has `len` bytes, of which these are a part: its operation is not over, since whoever ends
                // it takes its message out of here first or has it copied; both need the lock that our caller holds.
                let bytes = unsafe { std::slice::from_raw_parts(start.add(message.sent), piece.left) };
                (&piece.header[piece.header_sent..], bytes)
            }
            _ => (&[], &[]),
        };
        let n = pipe.write([queue, header, bytes])?;
        let (from_queue, from_header) = (n.min(queue.len()), (n.saturating_sub(queue.len())).min(header.len()));
        let from_bytes = n - from_queue - from_header;
        self.queue_sent += from_queue;
        if self.queue_sent == self.queue.len() {
            self.queue.clear();
            self.queue_sent = 0;
        } else if self.queue_sent > self.queue.len() / 2 {
            self.queue.drain(..self.queue_sent);
            self.queue_sent = 0;
        }
        if let (Some(piece), Some(message)) = (&mut self.piece, self.messages.front_mut()) {
            piece.header_sent += from_header;
            piece.begun |= from_header > 0;
            piece.left -= from_bytes;
            message.sent += from_bytes;
            if piece.left == 0 {
                self.piece = None;
                if message.sent == message.len {
                    left.extend(self.messages.pop_front().and_then(|message| message.bytes.slot().cloned()));
                }
            }
        }
        Ok(())
    }
}

/// Writes what `stream` takes of `parts`, which are not all empty. A closed connection is an error, and no signal.
pub(super) fn write(stream: &Stream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match sendmsg(stream, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
