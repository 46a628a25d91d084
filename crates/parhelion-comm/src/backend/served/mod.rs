//! Windows over the messages of any backend: each rank's part has a server, and the others send it requests.
//!
//! - [`request`]: a request as bytes. [`server`]: what is done with it.
//! - Here: what a rank asks of servers, one thing at a time.
//!
//! # The protocol
//!
//! 1. Requests of a rank to a server are served in their order, for messages do not overtake each other. So a reply to one says
//!    that all before it are done; puts and sums need none.
//! 2. What is more than a piece goes in pieces: requests of limited size, for which a server has one buffer. Of what is read, a
//!    request asks for the next piece before the last one has come.
//! 3. The lock of a part is a request that is answered when its turn has come. A rank's place in the queue is its own: giving it
//!    back is a request, too.
//!
//! # Who serves
//!
//! Where the backend wakes us when a message arrives ([`Pending::wake`]), whoever makes its progress serves: a thread that waits for
//! something, or the backend's own. Elsewhere a rank serves while it waits in calls of the window, and the backend asks it to in
//! calls of its own ([`Service`]).
//!
//! # Lost ranks
//!
//! A rank waits for a reply together with a receive that nobody ever sends to, which fails with any rank of the communicator. So a
//! rank that dies with a lock, or before it served, leaves nobody waiting.

mod request;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use self::request::{Kind, PIECE, Request};
use self::server::Server;
use super::exposed::{Exposed, Exposure, Purpose, Spot};
use super::{Pending, SendMode, Transport};
use crate::element::ElementType;
use crate::error::{Error, ErrorKind, Result};
use crate::op::Kernel;
use crate::status::{Source, Status, TagSelector};
use crate::window::Lock;

/// One rank's end of a window.
pub(crate) struct Served {
    transport: Arc<dyn Transport>,
    server: Arc<Server>,
    element: ElementType,
    tag: u32,
    /// The servers that have requests of this rank which need no reply.
    unanswered: Vec<AtomicBool>,
    /// Others may go on to need this rank's part.
    broken: bool,
}

/// Serves a part where the backend wakes nobody.
pub(crate) struct Service(Arc<Server>);

impl Service {
    /// Serves what has arrived: false if nothing can come any more.
    pub(crate) fn serve(&self) -> bool {
        self.0.serve();
        self.0.is_open()
    }
}

impl Served {
    pub(crate) fn new(transport: Arc<dyn Transport>, exposure: Exposure) -> Result<Self> {
        let Exposure { element, bytes, tag } = exposure;
        let server = Server::start(transport.clone(), bytes[transport.rank()], element, tag)?;
        let unanswered = bytes.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Served { transport, server, element, tag, unanswered, broken: false })
    }

    /// What serves this rank's part.
    pub(crate) fn service(&self) -> Service {
        Service(self.server.clone())
    }

    /// Sends a request to the server of `rank`, with the bytes that belong to it.
    fn ask(&self, rank: usize, request: &Request, parts: &[&[u8]]) -> Result<()> {
        let bytes = request.encode(parts);
        // SAFETY: the bytes are there until the message has been sent, or are kept until then.
        let mut pending = unsafe {
            let tag = Purpose::Request.of(self.tag);
            self.transport.isend(bytes.as_ptr(), bytes.len(), rank, tag, SendMode::Standard)?
        };
        self.unanswered[rank].store(true, Ordering::Relaxed);
        match self.wait(&mut *pending) {
            Ok(_) => Ok(()),
            Err(e) => {
                pending.abandon(Box::new(bytes));
                Err(e)
            }
        }
    }

    /// Receives the reply of the server of `rank`, of exactly `bytes` bytes.
    ///
    /// # Safety
    /// `into` is writable for `bytes` bytes during the call.
    unsafe fn reply(&self, rank: usize, into: *mut u8, bytes: usize) -> Result<()> {
        let (source, tag) = (Source::Rank(rank), TagSelector::Tag(Purpose::Reply.of(self.tag)));
        // SAFETY: the caller's promise, and the receive is over when this returns.
        let mut pending = unsafe { self.transport.irecv(into, bytes, source, tag)? };
        let status = match self.wait(&mut *pending) {
            Ok(status) => status,
            Err(e) => {
                pending.finish_now();
                return Err(e);
            }
        };
        self.unanswered[rank].store(false, Ordering::Relaxed);
        if status.bytes != bytes {
            let text = format!("rank {rank} answered with {} bytes instead of {bytes}", status.bytes);
            return Err(Error::new("window", ErrorKind::Mismatch(text)));
        }
        Ok(())
    }

    /// Waits for the server of `rank` to say that it is done.
    fn done(&self, rank: usize) -> Result<()> {
        // SAFETY: nothing is written to a buffer of no bytes.
        unsafe { self.reply(rank, std::ptr::NonNull::dangling().as_ptr(), 0) }
    }

    /// Elements in a piece.
    fn piece(&self) -> usize {
        (PIECE / self.element.size.max(1)).max(1)
    }
}

/// `count` in runs of at most `most`: (start, length).
fn pieces(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count.div_ceil(most)).map(move |i| (i * most, most.min(count - i * most)))
}

impl Exposed for Served {
    fn memory(&self) -> *mut u8 {
        self.server.ground.memory()
    }

    unsafe fn put(&self, spot: Spot, from: *const u8, bytes: usize) -> Result<()> {
        let size = self.element.size;
        for (start, count) in pieces(bytes / size, self.piece()) {
            // SAFETY: inside of what the caller promises.
            let data = unsafe { std::slice::from_raw_parts(from.add(start * size), count * size) };
            let request = Request::new(Kind::Put, spot.offset + start * size, count * size);
            self.ask(spot.rank, &request, &[data])?;
        }
        Ok(())
    }

    unsafe fn get(&self, spot: Spot, into: *mut u8, bytes: usize) -> Result<()> {
        let size = self.element.size;
        let request = |(start, count)| Request::new(Kind::Get, spot.offset + start * size, count * size);
        let mut later = pieces(bytes / size, self.piece()).skip(1);
        let Some(first) = pieces(bytes / size, self.piece()).next() else { return Ok(()) };
        self.ask(spot.rank, &request(first), &[])?;
        for (start, count) in pieces(bytes / size, self.piece()) {
            if let Some(next) = later.next() {
                self.ask(spot.rank, &request(next), &[])?;
            }
            // SAFETY: inside of what the caller promises.
            unsafe { self.reply(spot.rank, into.add(start * size), count * size) }?;
        }
        Ok(())
    }

    unsafe fn accumulate(
        &self,
        spot: Spot,
        from: *const u8,
        count: usize,
        kernel: &Kernel<'static>,
        before: *mut u8,
    ) -> Result<()> {
        let size = self.element.size;
        let op = kernel.op.expect("windows combine with built-in operators");
        for (start, count) in pieces(count, self.piece()) {
            // SAFETY: inside of what the caller promises.
            let data = unsafe { std::slice::from_raw_parts(from.add(start * size), count * size) };
            let kind = if before.is_null() { Kind::Accumulate } else { Kind::GetAccumulate };
            let request = Request { op: op as u8, ..Request::new(kind, spot.offset + start * size, count * size) };
            self.ask(spot.rank, &request, &[data])?;
            if !before.is_null() {
                // SAFETY: as above.
                unsafe { self.reply(spot.rank, before.add(start * size), count * size) }?;
            }
        }
        Ok(())
    }

    unsafe fn compare_and_swap(&self, spot: Spot, expected: *const u8, new: *const u8, before: *mut u8) -> Result<()> {
        let size = self.element.size;
        if 2 * size > PIECE {
            let text = format!("elements of {size} bytes are too long to be compared and swapped on this backend");
            return Err(Error::new("compare_and_swap", ErrorKind::Unsupported(text)));
        }
        // SAFETY: the caller's promise.
        let parts = unsafe { [expected, new].map(|at| std::slice::from_raw_parts(at, size)) };
        self.ask(spot.rank, &Request::new(Kind::CompareAndSwap, spot.offset, size), &parts)?;
        // SAFETY: the caller's promise.
        unsafe { self.reply(spot.rank, before, size) }
    }

    fn flush(&self, rank: usize) -> Result<()> {
        if !self.unanswered[rank].load(Ordering::Relaxed) {
            return Ok(());
        }
        self.ask(rank, &Request::new(Kind::Flush, 0, 0), &[])?;
        self.done(rank)
    }

    fn lock(&self, rank: usize, lock: Lock) -> Result<()> {
        let kind = match lock {
            Lock::Shared => Kind::LockShared,
            Lock::Exclusive => Kind::LockExclusive,
        };
        self.ask(rank, &Request::new(kind, 0, 0), &[])?;
        self.done(rank)
    }

    fn unlock(&self, rank: usize, _lock: Lock) -> Result<()> {
        self.ask(rank, &Request::new(Kind::Unlock, 0, 0), &[])?;
        self.done(rank)
    }

    fn wait(&self, pending: &mut dyn Pending) -> Result<Status> {
        if self.server.is_woken() {
            return self.server.watched(|sentinel| {
                let (which, result) = self.transport.wait_any(&mut [&mut *pending, sentinel])?;
                Ok((which == 0, result))
            });
        }
        let begin = Instant::now();
        loop {
            self.server.serve();
            if let Some(status) = pending.test()? {
                return Ok(status);
            }
            if let Some(limit) = self.transport.config().timeout.filter(|limit| begin.elapsed() >= *limit) {
                return Err(Error::new("window", ErrorKind::Timeout(limit)));
            }
            std::thread::yield_now();
        }
    }

    fn release(mut self: Box<Self>, broken: bool) {
        self.broken = broken;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.broken {
            // Others may still need this part: it is served, and what they may write to is there, as long as the process lives.
            std::mem::forget(self.server.clone());
        } else {
            self.server.stop();
        }
    }
}
