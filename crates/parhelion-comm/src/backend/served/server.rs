//! [`Server`]: serves the requests for one rank's part.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Wake, Waker};

use super::request::{HEADER, Kind, PIECE, Request};
use crate::backend::block::Block;
use crate::backend::exposed::Purpose;
use crate::backend::exposed::ground::Ground;
use crate::backend::exposed::queue::Queue;
use crate::backend::{Pending, SendMode, Transport};
use crate::element::ElementType;
use crate::error::{Error, ErrorKind, Result};
use crate::op::builtin;
use crate::status::{Source, Status, TagSelector};
use crate::window::Lock;

pub(super) struct Server {
    transport: Arc<dyn Transport>,
    pub(super) ground: Ground,
    element: ElementType,
    tag: u32,
    desk: Mutex<Desk>,
    /// How often it was woken since the one who serves looked.
    calls: AtomicUsize,
    /// Whether a request may come.
    open: AtomicBool,
    /// Whether the backend calls it when a request arrives.
    woken: AtomicBool,
    /// A receive that only a lost rank ends, where the backend knows of such; then why it did.
    sentinel: Mutex<Sentinel>,
}

enum Sentinel {
    Waits(Box<dyn Pending>),
    Lost(Error),
    Gone,
}

/// What one thread at a time uses.
struct Desk {
    queue: Queue,
    buffer: Block,
    /// The next request, if one can come.
    next: Option<Box<dyn Pending>>,
}

impl Wake for Server {
    fn wake(self: Arc<Self>) {
        self.serve();
    }
}

impl Server {
    pub(super) fn start(
        transport: Arc<dyn Transport>,
        bytes: usize,
        element: ElementType,
        tag: u32,
    ) -> Result<Arc<Self>> {
        let buffer = Block::plain(longest_request(element), HEADER, false);
        let server = Arc::new(Server {
            ground: Ground::new(bytes, element),
            element,
            tag,
            desk: Mutex::new(Desk { queue: Queue::default(), buffer, next: None }),
            calls: AtomicUsize::new(0),
            open: AtomicBool::new(true),
            woken: AtomicBool::new(false),
            sentinel: Mutex::new(Sentinel::Gone),
            transport,
        });
        let next = server.next_request(&server.desk())?;
        // Asked once: whether it is woken is the backend's nature.
        let woken = next.wake(Waker::noop());
        server.woken.store(woken, Ordering::Release);
        server.desk().next = Some(next);
        if woken {
            let sentinel = server.sentinel_receive().inspect_err(|_| server.stop())?;
            *server.sentinel() = Sentinel::Waits(sentinel);
        }
        server.serve();
        Ok(server)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Whether a request may come.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Runs `wait`, which waits for something and for a receive that fails when a rank is lost: whether the former has come, and the
    /// result of what has.
    pub(super) fn watched(
        &self,
        wait: impl FnOnce(&mut dyn Pending) -> Result<(bool, Result<Status>)>,
    ) -> Result<Status> {
        let mut sentinel = self.sentinel();
        let pending = match &mut *sentinel {
            Sentinel::Waits(pending) => pending,
            Sentinel::Lost(error) => return Err(error.clone()),
            Sentinel::Gone => return Err(closed()),
        };
        let (has_come, result) = wait(&mut **pending)?;
        if has_come {
            return result;
        }
        let error = result.err().unwrap_or_else(closed);
        *sentinel = Sentinel::Lost(error.clone());
        Err(error)
    }

    /// Serves what has arrived. Never waits; whoever is at it already does it instead.
    pub(super) fn serve(self: &Arc<Self>) {
        if !self.is_woken() {
            // Asked again and again, also by what the serving itself calls: no call need be noted.
            match self.desk.try_lock() {
                Ok(desk) => self.serve_at(desk),
                Err(TryLockError::Poisoned(desk)) => self.serve_at(desk.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
            return;
        }
        if self.calls.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut seen = 1;
        loop {
            self.serve_at(self.desk());
            let calls = self.calls.fetch_sub(seen, Ordering::AcqRel);
            if calls == seen {
                return;
            }
            seen = calls - seen;
        }
    }

    fn serve_at(self: &Arc<Self>, mut desk: MutexGuard<'_, Desk>) {
        let woken = self.is_woken();
        while let Some(next) = &mut desk.next {
            // What wakes us makes progress; it is not made from here again.
            let arrived = if woken { next.glance() } else { next.test() };
            match arrived {
                Ok(None) if woken => {
                    // It wakes at once what has come meanwhile: that is another call, which is noted.
                    next.wake(&Waker::from(self.clone()));
                    return;
                }
                Ok(None) => return,
                Ok(Some(status)) => {
                    self.handle(&mut desk, &status);
                    desk.next = self.next_request(&desk).ok();
                }
                // A lost rank, of which those who wait hear; or the end.
                Err(_) => desk.next = None,
            }
        }
        self.open.store(false, Ordering::Release);
    }

    /// Serves no more, and lets go of what it waits for.
    pub(super) fn stop(self: &Arc<Self>) {
        self.open.store(false, Ordering::Release);
        // Not under the lock: what is cancelled wakes.
        let next = self.desk().next.take();
        if let Some(next) = next {
            // If a request is arriving after all, then into this server's buffer.
            next.abandon(Box::new(self.clone()));
        }
        if let Sentinel::Waits(pending) = std::mem::replace(&mut *self.sentinel(), Sentinel::Gone) {
            pending.abandon(Box::new(()));
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sentinel(&self) -> MutexGuard<'_, Sentinel> {
        self.sentinel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_request(&self, desk: &Desk) -> Result<Box<dyn Pending>> {
        let (at, len) = (desk.buffer.ptr().as_ptr(), longest_request(self.element));
        let tag = TagSelector::Tag(Purpose::Request.of(self.tag));
        // SAFETY: the buffer lives as long as the server, which cancels the receive before; it is read when that is over.
        unsafe { self.transport.irecv(at, len, Source::Any, tag) }
    }

    fn sentinel_receive(&self) -> Result<Box<dyn Pending>> {
        let (at, tag) = (std::ptr::NonNull::dangling().as_ptr(), TagSelector::Tag(Purpose::Nothing.of(self.tag)));
        // SAFETY: nothing is written to a buffer of no bytes.
        unsafe { self.transport.irecv(at, 0, Source::Any, tag) }
    }

    /// Does what the request in the buffer asks for. One that makes no sense is passed over: none of ours is such.
    fn handle(&self, desk: &mut Desk, status: &Status) {
        let from = status.source;
        let at = desk.buffer.ptr().as_ptr();
        // SAFETY: as many bytes have been received there, and the next receive is not posted.
        let message = unsafe { std::slice::from_raw_parts(at, status.bytes.min(longest_request(self.element))) };
        let Some((request, data)) = Request::decode(message) else { return };
        let (ground, offset, bytes) = (&self.ground, request.offset, request.bytes);
        if !ground.has(offset, bytes) {
            return;
        }
        let answer = |len: usize, fill: &dyn Fn(*mut u8)| {
            let mut reply: Vec<u8> = vec![0; len];
            fill(reply.as_mut_ptr());
            self.reply(from, reply);
        };
        // SAFETY (all of it): `has` has looked at the place, `decode` at the length of the data, which begin at a multiple of
        // 64, and replies are as long. The owner has no references in epochs.
        match request.kind {
            // SAFETY: see above.
            Kind::Put => unsafe { ground.put(offset, data.as_ptr(), bytes) },
            // SAFETY: see above.
            Kind::Get => answer(bytes, &|to| unsafe { ground.get(offset, to, bytes) }),
            Kind::Accumulate | Kind::GetAccumulate => {
                let Some(kernel) = request.operator().and_then(|op| builtin(op, self.element)) else { return };
                let count = bytes / self.element.size.max(1);
                // SAFETY: see above.
                let fold = |before| unsafe { ground.accumulate(offset, data.as_ptr(), count, &kernel, before) };
                if request.kind == Kind::Accumulate { fold(std::ptr::null_mut()) } else { answer(bytes, &fold) }
            }
            Kind::CompareAndSwap if bytes == self.element.size => {
                let (expected, new) = data.split_at(bytes);
                // SAFETY: see above.
                answer(bytes, &|before| unsafe {
                    ground.compare_and_swap(offset, expected.as_ptr(), new.as_ptr(), before);
                });
            }
            Kind::CompareAndSwap => {}
            Kind::Flush => self.reply(from, Vec::new()),
            Kind::LockShared => self.admit(desk.queue.join(from, Lock::Shared)),
            Kind::LockExclusive => self.admit(desk.queue.join(from, Lock::Exclusive)),
            Kind::Unlock => {
                let admitted = desk.queue.leave(from);
                self.reply(from, Vec::new());
                self.admit(admitted);
            }
        }
    }

    fn admit(&self, ranks: Vec<usize>) {
        ranks.into_iter().for_each(|rank| self.reply(rank, Vec::new()));
    }

    fn reply(&self, rank: usize, bytes: Vec<u8>) {
        let tag = Purpose::Reply.of(self.tag);
        // SAFETY: the bytes are kept until the message has been sent.
        let sent = unsafe { self.transport.isend(bytes.as_ptr(), bytes.len(), rank, tag, SendMode::Standard) };
        // If not, then the rank that waits for it is lost, or hears of one that is.
        if let Ok(pending) = sent {
            pending.abandon(Box::new(bytes));
        }
    }
}

/// The bytes of the longest request for elements of this type.
fn longest_request(element: ElementType) -> usize {
    HEADER + PIECE.max(element.size)
}

#[cold]
fn closed() -> Error {
    Error::new("window", ErrorKind::InvalidArgument("the window is gone".to_owned()))
}
