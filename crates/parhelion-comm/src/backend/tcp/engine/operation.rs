//! [`Operation`]: a send or a receive under way, as its owner sees it, and [`Slot`]: as the engine does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::Engine;
use super::matching::Selector;
use crate::backend::Keep;

/// What messages must agree in beside source and tag: those of different communicators never meet, nor those of different
/// lanes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::backend::tcp) struct Channel {
    pub(in crate::backend::tcp) context: u64,
    pub(in crate::backend::tcp) lane: u32,
}

/// What is known of a message beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::tcp) struct Envelope {
    pub(in crate::backend::tcp) source: usize,
    pub(in crate::backend::tcp) tag: u32,
    pub(in crate::backend::tcp) len: usize,
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::tcp) enum Fault {
    /// The message is longer than the buffer, and gone.
    Truncated {
        source: usize,
        sent: usize,
        capacity: usize,
    },
    /// It cannot be completed without a rank that has ended.
    Lost {
        rank: usize,
        how: &'static str,
    },
    Cancelled,
}

/// How an operation ended.
pub(in crate::backend::tcp) type Outcome = Result<Envelope, Fault>;

/// A send or a receive under way. Dropping it changes nothing: the operation goes on, and with it its use of the buffer.
pub(in crate::backend::tcp) struct Operation {
    pub(super) engine: Arc<Engine>,
    pub(super) state: Handle,
}

/// An operation that was over when it began needs no slot.
pub(super) enum Handle {
    Over(Outcome),
    Slot(Arc<Slot>),
}

impl Operation {
    /// Whether it has completed or failed, and no longer uses its buffer.
    pub(in crate::backend::tcp) fn is_over(&self) -> bool {
        match &self.state {
            Handle::Over(_) => true,
            Handle::Slot(slot) => slot.is_over(),
        }
    }

    /// How it ended, once it is over; of a send, the envelope has this rank as source. Can be asked any number of times.
    pub(in crate::backend::tcp) fn result(&self) -> Option<Outcome> {
        match &self.state {
            Handle::Over(outcome) => Some(*outcome),
            Handle::Slot(slot) if slot.is_over() => slot.lock().outcome,
            Handle::Slot(_) => None,
        }
    }

    /// Tries to make it not happen: true if it is over now, as [`Fault::Cancelled`]; false if it is over already or takes its
    /// course. A receive is cancelled if nothing has matched it, a send if it is only offered; that is asked of the peer, and
    /// this waits for the answer.
    pub(in crate::backend::tcp) fn cancel(&self) -> bool {
        match &self.state {
            Handle::Over(_) => false,
            Handle::Slot(slot) => self.engine.cancel(slot),
        }
    }

    /// Ends its use of the buffer, come what may: if it is not over, it is now, as cancelled. What is left to send is copied
    /// and goes out; what arrives is thrown away.
    pub(in crate::backend::tcp) fn take_back(&self) {
        if let Handle::Slot(slot) = &self.state {
            self.engine.turn().take_back(slot);
        }
    }

    /// Wakes `waker` once when it is over, at once if it is. The last one given counts. Called without locks.
    pub(in crate::backend::tcp) fn set_waker(&self, waker: &Waker) {
        if let Handle::Slot(slot) = &self.state {
            let mut inner = slot.lock();
            if inner.outcome.is_none() {
                match &mut inner.waker {
                    Some(old) => old.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                return;
            }
        }
        waker.wake_by_ref();
    }

    /// Keeps `keep` until it is over.
    pub(in crate::backend::tcp) fn keep(&self, keep: Keep) {
        let mut keep = Some(keep);
        if let Handle::Slot(slot) = &self.state {
            let mut inner = slot.lock();
            if inner.outcome.is_none() {
                inner.keeps.extend(keep.take());
            }
        }
        // Otherwise dropped here, without a lock.
    }

    /// Lets it fail when one of `members` dies (not: returns) before it has matched. A receive from anyone fails, too, when
    /// all `members` but this rank have ended, in whatever way.
    pub(in crate::backend::tcp) fn fails_with(&self, members: &Arc<[usize]>) {
        if let Handle::Slot(slot) = &self.state
            && !slot.is_over()
        {
            self.engine.turn().set_members(slot, members);
        }
    }
}

/// An operation as the engine sees it. All but `over` is changed only by a thread that holds the engine's lock.
pub(super) struct Slot {
    over: AtomicBool,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    /// Of a send only read. Not used once there is an outcome.
    pub(super) buf: *mut u8,
    pub(super) len: usize,
    pub(super) stage: Stage,
    /// Of a send: its tag.
    pub(super) tag: u32,
    pub(super) members: Option<Arc<[usize]>>,
    pub(super) outcome: Option<Outcome>,
    waker: Option<Waker>,
    keeps: Vec<Keep>,
}

// SAFETY: `buf` is used only under the engine's lock, and callers of `Engine::send` and `recv` promise it for any thread.
unsafe impl Send for Inner {}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A receive in the queues, by its place there.
    Posted { channel: Channel, selector: Selector, place: u64 },
    /// A receive whose message is arriving.
    Matched,
    /// A send whose header is at `dest`.
    Offered { dest: usize, id: u64 },
    /// A send to this rank itself, waiting for its receive.
    Shown { channel: Channel, place: u64 },
    /// A send that its receive waits for.
    Leaving { dest: usize, id: u64 },
}

impl Slot {
    pub(super) fn new(buf: *mut u8, len: usize, tag: u32, stage: Stage) -> Arc<Self> {
        let inner = Inner { buf, len, stage, tag, members: None, outcome: None, waker: None, keeps: Vec::new() };
        Arc::new(Slot { over: AtomicBool::new(false), inner: Mutex::new(inner) })
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a message, which fits, into the buffer of a receive.
    pub(super) fn fill(&self, bytes: &[u8]) {
        let inner = self.lock();
        if inner.buf.is_null() {
            return;
        }
        assert!(bytes.len() <= inner.len);
        // SAFETY: the buffer of a receive that is not over is writable for its length, by promise of `Engine::recv`'s caller.
        unsafe { std::ptr::copy(bytes.as_ptr(), inner.buf, bytes.len()) };
    }

    /// Ends it, unless it is over: `after` gets what must be done without locks.
    pub(super) fn finish(&self, outcome: Outcome, after: &mut Vec<After>) -> bool {
        let mut inner = self.lock();
        if inner.outcome.is_some() {
            return false;
        }
        inner.outcome = Some(outcome);
        inner.buf = std::ptr::null_mut();
        after.extend(inner.waker.take().map(After::Wake));
        after.extend(inner.keeps.drain(..).map(After::Drop));
        drop(inner);
        self.over.store(true, Ordering::Release);
        true
    }
}

/// What is done once the engine's lock is free, since it is user code.
pub(super) enum After {
    Wake(Waker),
    Drop(Keep),
}

impl After {
    pub(super) fn run(self) {
        match self {
            After::Wake(waker) => waker.wake(),
            After::Drop(keep) => drop(keep),
        }
    }
}
