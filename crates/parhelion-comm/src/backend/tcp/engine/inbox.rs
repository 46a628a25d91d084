//! [`Inbox`]: what has been read from a wire, and where the bytes that come next belong.

use std::io::{self, IoSliceMut};
use std::sync::Arc;

use rustix::io::readv;

use super::frame::{Flaw, Frame, HEADER};
use super::operation::Slot;
use super::ring::{Corrupt, Reader};
use crate::backend::tcp::join::Stream;

/// Bytes read at once beside those that go to their buffer directly.
const BUFFER: usize = 64 << 10;

/// What has been read from a wire and not been looked at, and the frame whose bytes are coming.
pub(super) struct Inbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    body: Option<Body>,
}

/// The bytes of a frame.
pub(super) struct Body {
    pub(super) frame: Frame,
    pub(super) sink: Sink,
    pub(super) left: usize,
}

/// Where bytes go.
pub(super) enum Sink {
    /// To a receive's buffer, from an offset on; nowhere if the receive is over by now.
    Slot(Arc<Slot>, usize),
    /// Kept until their receive comes.
    Kept(Vec<u8>),
    Nowhere,
}

impl Body {
    fn of(frame: Frame, sink: Sink) -> Self {
        Body { frame, sink, left: frame.payload() }
    }

    /// Where the next bytes go, at most `left`; null for nowhere.
    fn target(&mut self) -> *mut u8 {
        let done = self.frame.payload() - self.left;
        match &mut self.sink {
            Sink::Slot(slot, offset) => {
                let inner = slot.lock();
                debug_assert!(inner.buf.is_null() || *offset + self.frame.payload() <= inner.len);
                // A buffer that was taken back is null.
                if inner.buf.is_null() { inner.buf } else { inner.buf.wrapping_add(*offset + done) }
            }
            Sink::Kept(bytes) => bytes.as_mut_ptr().wrapping_add(done),
            Sink::Nowhere => std::ptr::null_mut(),
        }
    }

    fn absorb(&mut self, bytes: &[u8]) {
        let target = self.target();
        if !target.is_null() {
            // SAFETY: `target` is writable for `left` bytes: a kept vector has the payload's length, and whoever sets a slot
            // as the sink has compared the lengths. The slot is not over, which changes only under the lock our caller holds.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        }
        self.left -= bytes.len();
    }
}

/// What [`Inbox::next`] found.
pub(super) enum Found {
    /// A header. Its payload, if any, is announced by [`Inbox::expect`].
    Frame(Frame),
    /// The bytes announced last are complete.
    Complete(Body),
    /// Bytes that are no frame.
    Garbage(Flaw),
    /// Nothing whole.
    Nothing,
}

/// How a read ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There may be more.
    Full,
    /// It was all there was.
    Some,
    /// There was nothing.
    Nothing,
    /// The peer writes no more.
    Closed,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Inbox { buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, body: None }
    }

    /// One that is filled by [`Self::draw`] alone.
    pub(super) fn of_ring() -> Self {
        Inbox { buffer: vec![0; HEADER].into_boxed_slice(), start: 0, end: 0, body: None }
    }

    /// Whether `ring` has something that [`Self::draw`] would take.
    #[inline]
    pub(super) fn wants(&self, ring: &Reader) -> bool {
        ring.has(if self.body.is_some() { 1 } else { HEADER })
    }

    /// As [`Self::fill`], from a ring: what is there of the announced bytes, or else a header, if it is whole. Whether there was
    /// anything. Everything read before has been taken out by [`Self::next`].
    pub(super) fn draw(&mut self, ring: &mut Reader) -> Result<bool, Corrupt> {
        let available = ring.available()?;
        let (target, n) = match &mut self.body {
            Some(body) => {
                let n = body.left.min(available);
                let target = body.target();
                body.left -= n;
                (target, n)
            }
            None if available >= HEADER => {
                (self.start, self.end) = (0, HEADER);
                (self.buffer.as_mut_ptr(), HEADER)
            }
            None => (std::ptr::null_mut(), 0),
        };
        // SAFETY: the buffer has room for a header; for announced bytes as in `Body::absorb`.
        unsafe { ring.take(target, n) };
        Ok(n > 0)
    }

    /// Reads once from `stream`: first what is missing of the announced bytes, straight to where they belong, then into the
    /// buffer. Everything read before has been taken out by [`Self::next`].
    pub(super) fn fill(&mut self, stream: &Stream) -> io::Result<Filled> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let (target, left) = match &mut self.body {
            Some(body) => (body.target(), body.left),
            None => (std::ptr::null_mut(), 0),
        };
        let direct = if target.is_null() { 0 } else { left };
        let buffer = &mut self.buffer[self.end..];
        let room = direct + buffer.len();
        let n = if direct == 0 {
            retry(|| readv(stream, &mut [IoSliceMut::new(&mut *buffer)]))?
        } else {
            // SAFETY: as in `Body::absorb`. Not overlapping: the engine's buffers are nobody else's.
            let target = unsafe { std::slice::from_raw_parts_mut(target, direct) };
            retry(|| readv(stream, &mut [IoSliceMut::new(&mut *target), IoSliceMut::new(&mut *buffer)]))?
        };
        let Some(n) = n else { return Ok(Filled::Nothing) };
        if n == 0 {
            return Ok(Filled::Closed);
        }
        if let Some(body) = &mut self.body {
            body.left -= n.min(direct);
        }
        self.end += n.saturating_sub(direct);
        Ok(if n == room { Filled::Full } else { Filled::Some })
    }

    /// The next whole thing in what has been read.
    pub(super) fn next(&mut self) -> Found {
        if let Some(body) = &mut self.body {
            let n = body.left.min(self.end - self.start);
            if n > 0 {
                body.absorb(&self.buffer[self.start..self.start + n]);
                self.start += n;
            }
            if body.left > 0 {
                return Found::Nothing;
            }
            return self.body.take().map_or(Found::Nothing, Found::Complete);
        }
        let Some(header) = self.buffer[self.start..self.end].first_chunk::<HEADER>() else { return Found::Nothing };
        match Frame::decode(header) {
            Err(flaw) => Found::Garbage(flaw),
            Ok(frame) => {
                self.start += HEADER;
                Found::Frame(frame)
            }
        }
    }

    /// Announces the bytes that follow `frame`.
    pub(super) fn expect(&mut self, frame: Frame, sink: Sink) {
        self.body = Some(Body::of(frame, sink));
    }

    /// The receive whose bytes are coming.
    pub(super) fn slot(&self) -> Option<&Arc<Slot>> {
        match &self.body {
            Some(Body { sink: Sink::Slot(slot, _), .. }) => Some(slot),
            _ => None,
        }
    }
}

/// None if it would have to wait.
fn retry(mut read: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match read() {
            Ok(n) => return Ok(Some(n)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
    }
}
