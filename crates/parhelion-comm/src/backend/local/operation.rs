//! Non-blocking collectives: the calls of all ranks meet in an [`Operation`].
//!
//! Calls meet in an object of their own. Once all have come, whoever polls takes shares of the work, one after the other, until
//! none is left: so a rank that waits can finish the work of one that computes. When the last share is done, all have completed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::call::{disagreement, forget_lifetime, input};
use super::group::Group;
use super::share::{Calls, share};
use super::transport::Local;
use super::wait::{Stop, Wait, Waiting};
use crate::backend::signature::Signature;
use crate::backend::{Collective, Keep, NO_STATUS, Pending};
use crate::error::{Error, ErrorKind, Result};
use crate::status::Status;

impl Group {
    /// See [`Transport::start_collective`](crate::backend::Transport::start_collective).
    ///
    /// # Safety
    /// As there.
    pub(super) unsafe fn start(&self, local: &Local, call: &Collective<'static>) -> Arc<Operation> {
        let number = self.next_started(local.rank);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = open.entry(number).or_insert_with(|| Arc::new(Operation::new(self.ranks.len()))).clone();
        // SAFETY: the caller's promise lasts until the operation has completed.
        let call = unsafe { forget_lifetime(call) };
        let _ = operation.calls[local.rank].set(Call(call));
        if operation.come.fetch_add(1, Ordering::AcqRel) + 1 == self.ranks.len() {
            open.remove(&number);
            drop(open);
            self.notify_others(local);
        }
        operation
    }
}

/// A call as a non-blocking operation keeps it.
struct Call(Collective<'static>);

// SAFETY: the pointers are used only by shares of the operation, which all callers have promised memory for.
unsafe impl Send for Call {}
// SAFETY: as above.
unsafe impl Sync for Call {}

/// A non-blocking collective.
pub(super) struct Operation {
    calls: Box<[OnceLock<Call>]>,
    come: AtomicUsize,
    disagreement: OnceLock<Option<String>>,
    /// The next share to take, and how many are done.
    next: AtomicUsize,
    done: AtomicUsize,
    panicked: OnceLock<usize>,
    keeps: Mutex<Vec<Keep>>,
}

impl Calls for Operation {
    fn size(&self) -> usize {
        self.calls.len()
    }

    fn call(&self, rank: usize) -> &Collective<'_> {
        &self.calls[rank].get().expect("all have come").0
    }

    fn send(&self, rank: usize) -> *const u8 {
        input(self.call(rank))
    }

    fn recv(&self, rank: usize) -> *mut u8 {
        self.call(rank).recv
    }
}

impl Operation {
    fn new(size: usize) -> Self {
        Operation {
            calls: (0..size).map(|_| OnceLock::new()).collect(),
            come: AtomicUsize::new(0),
            disagreement: OnceLock::new(),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            panicked: OnceLock::new(),
            keeps: Mutex::default(),
        }
    }

    /// Keeps buffers of a rank that does not wait until the last use of this operation.
    pub(super) fn keep(&self, keep: Keep) {
        self.keeps.lock().unwrap_or_else(PoisonError::into_inner).push(keep);
    }

    /// Works on it if all have come; its result if it has completed.
    pub(super) fn poll(&self, local: &Local) -> Result<Option<()>> {
        let p = self.size();
        if self.come.load(Ordering::Acquire) < p {
            return Ok(None);
        }
        let name = self.call(0).kind.name();
        let disagreement = self.disagreement.get_or_init(|| {
            let signatures: Vec<Signature> = (0..p).map(|r| Signature::of(self.call(r))).collect();
            disagreement(&signatures, self)
        });
        if let Some(text) = disagreement {
            return Err(Error::new(name, ErrorKind::Mismatch(text.clone())));
        }
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= p {
                self.next.store(p, Ordering::Relaxed);
                break;
            }
            // SAFETY: all callers promised their parts until completion, which needs this share; each share has one taker.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { share(self, i) }));
            if result.is_err() {
                let _ = self.panicked.set(local.rank);
            }
            if self.done.fetch_add(1, Ordering::AcqRel) + 1 == p {
                local.group.notify_others(local);
            }
            if let Err(payload) = result {
                resume_unwind(payload);
            }
        }
        if self.done.load(Ordering::Acquire) < p {
            return Ok(None);
        }
        if let Some(&rank) = self.panicked.get() {
            let how = "panicked in the operator of a reduction";
            return Err(local.stopped(name, Stop::Lost(rank, how)));
        }
        Ok(Some(()))
    }
}

/// Waits for a non-blocking collective, or looks whether it has completed.
struct OperationWait<'a> {
    local: &'a Local,
    operation: &'a Operation,
}

impl OperationWait<'_> {
    fn name(&self) -> &'static str {
        self.operation.calls[self.local.rank].get().map_or("collective", |call| call.0.kind.name())
    }

    #[cold]
    fn stopped(&self, stop: Stop) -> Error {
        self.local.stopped(self.name(), stop)
    }
}

impl Wait for &OperationWait<'_> {
    type Output = Result<()>;

    fn poll(&mut self) -> Option<Result<()>> {
        self.operation.poll(self.local).transpose()
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        let (world, group) = (&self.local.world, &self.local.group);
        let mut missing = (0..group.ranks.len()).filter(|&r| self.operation.calls[r].get().is_none());
        missing.find_map(|r| world.fate(group.ranks[r]).map(|how| (r, how)))
    }

    fn describe(&self) -> Waiting {
        let what = "(non-blocking) for all ranks".to_owned();
        Waiting { operation: self.name(), what, communicator: self.local.group.name.clone() }
    }
}

/// A non-blocking collective, seen from one rank.
pub(super) struct PendingCollective {
    pub(super) local: Local,
    pub(super) operation: Arc<Operation>,
}

impl Pending for PendingCollective {
    fn wait(&mut self) -> Result<Status> {
        let wait = OperationWait { local: &self.local, operation: &self.operation };
        let done = self.local.world.block(self.local.me, &wait).map_err(|stop| wait.stopped(stop))?;
        done.map(|()| NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let wait = OperationWait { local: &self.local, operation: &self.operation };
        let done = self.local.world.look(&wait).map_err(|stop| wait.stopped(stop))?;
        done.transpose().map(|done| done.map(|()| NO_STATUS))
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.operation.keep(keep);
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.abandon(keep);
    }

    fn finish_now(self: Box<Self>) {
        unreachable!("collectives own their buffers: no scope holds one")
    }
}
