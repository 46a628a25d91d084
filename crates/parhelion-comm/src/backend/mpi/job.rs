//! Operations of several steps, as futures that are asked by hand.
//!
//! A *job* is an `async` block whose only awaits are MPI requests ([`InFlight`]). Nothing wakes it: a blocking call asks
//! it until it is done, a [`Pending`] asks it in `wait` and `test`, a chore asks it now and then. It is asked only
//! by whoever holds a turn of the runtime, so that nothing inside takes one.
//!
//! Memory: a request whose buffer the job owns (`keep`) may be dropped, and goes on as an orphan. One on borrowed memory
//! is waited for when it is dropped; jobs on memory that may end early are therefore not dropped but left as chores.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mpi_abi::Status as RawStatus;

use super::comm::{Comm, In};
use super::count::message_bytes;
use super::last_words;
use super::request::{Orphan, Raw};
use super::runtime::{Backoff, Chore};
use crate::backend::messages::{Fault, Outcome};
use crate::backend::{Keep, NO_STATUS, Pending};
use crate::error::Result;
use crate::status::Status;

/// A job.
pub(super) type Job = Pin<Box<dyn Future<Output = Outcome> + Send>>;

fn ask<T>(job: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Asks `job` until it is done. A turn is held. If the time is up, `late` gets the job.
///
/// # Errors
/// The job's, or that the time is up.
pub(super) fn block_on<T>(
    mut job: Pin<Box<dyn Future<Output = Outcome<T>> + Send>>,
    comm: &Comm,
    operation: &'static str,
    late: impl FnOnce(Pin<Box<dyn Future<Output = Outcome<T>> + Send>>),
) -> Result<T> {
    let mut backoff = Backoff::new(comm.runtime, comm.timeout());
    loop {
        if let Some(outcome) = ask(&mut job) {
            return outcome.map_err(Fault::surface);
        }
        if let Err(timeout) = backoff.pause(operation) {
            late(job);
            return Err(timeout);
        }
    }
}

/// A job that may be asked from several places: by its owner, and as a chore.
pub(super) struct Shared(Mutex<Progress>);

enum Progress {
    Going(Job),
    Done(Outcome),
    Answered,
}

impl Shared {
    pub(super) fn new(job: Job) -> Arc<Self> {
        Arc::new(Shared(Mutex::new(Progress::Going(job))))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it: whether it is done.
    fn is_done(&self) -> bool {
        let mut progress = self.lock();
        if let Progress::Going(job) = &mut *progress {
            let Some(outcome) = ask(job) else { return false };
            // The job ends here, and with it its use of any buffers.
            *progress = Progress::Done(outcome);
        }
        true
    }

    /// Its outcome, once.
    fn outcome(&self) -> Option<Outcome> {
        if !self.is_done() {
            return None;
        }
        match std::mem::replace(&mut *self.lock(), Progress::Answered) {
            Progress::Done(outcome) => Some(outcome),
            _ => unreachable!("a pending operation is not asked again after it answered"),
        }
    }
}

/// Of a job in flight that has steps of its own: other calls go on with it too.
impl Chore for Arc<Shared> {
    fn attempt(&mut self) -> bool {
        // Locked where its owner asks it on another thread, or its operator communicates, which MPI forbids.
        let free = self.0.try_lock().is_ok();
        free && self.is_done()
    }
}

/// A job that nobody waits for, and what it needs until it is done.
pub(super) struct Leftover {
    pub(super) job: Arc<Shared>,
    pub(super) keep: Option<Keep>,
}

impl Chore for Leftover {
    fn attempt(&mut self) -> bool {
        let done = self.job.is_done();
        if done {
            self.keep = None;
        }
        done
    }
}

/// A non-blocking collective in flight.
pub(super) struct Started {
    comm: Arc<Comm>,
    operation: &'static str,
    job: Arc<Shared>,
}

impl Started {
    /// Asks `job` for the first time, so that its first messages go out. If it has `steps` after those, other calls
    /// will go on with it. A turn is held.
    pub(super) fn new(comm: &Arc<Comm>, operation: &'static str, job: Job, steps: bool) -> Self {
        let job = Shared::new(job);
        if !job.is_done() && steps {
            comm.runtime.leave(Box::new(job.clone()));
        }
        Started { comm: comm.clone(), operation, job }
    }

    /// Asks until it is done, at most for `limit`.
    fn finish(&mut self, limit: Option<Duration>) -> Result<Status> {
        let mut backoff = Backoff::new(self.comm.runtime, limit);
        loop {
            if let Some(outcome) = self.job.outcome() {
                return outcome.map(|()| NO_STATUS).map_err(Fault::surface);
            }
            backoff.pause(self.operation)?;
        }
    }
}

impl Pending for Started {
    fn wait(&mut self) -> Result<Status> {
        let _turn = self.comm.runtime.enter(self.operation)?;
        self.finish(self.comm.timeout())
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let _turn = self.comm.runtime.enter(self.operation)?;
        match self.job.outcome() {
            Some(outcome) => outcome.map(|()| Some(NO_STATUS)).map_err(Fault::surface),
            None => Ok(None),
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        // Not asked here: this may be a thread that must not.
        if matches!(*self.job.lock(), Progress::Going(_)) {
            self.comm.runtime.leave(Box::new(Leftover { job: self.job.clone(), keep: Some(keep) }));
        }
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.abandon(keep);
    }

    fn finish_now(mut self: Box<Self>) {
        if !matches!(*self.job.lock(), Progress::Going(_)) {
            return;
        }
        let why = match self.comm.runtime.try_turn() {
            Ok(_turn) => {
                // However it ends, it no longer uses its buffers.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.finish(None)));
                return;
            }
            Err(why) => why,
        };
        last_words::say(self.comm.rank, format_args!("a borrowed buffer is still in use by {}: {why}", self.operation));
        std::process::abort();
    }
}

/// One request of a job. Awaiting it gives the length of what it receives.
pub(super) struct InFlight {
    raw: Raw,
    operation: &'static str,
    keep: Vec<Keep>,
}

impl InFlight {
    /// A started request; `keep` owns its buffer, or is empty for one on borrowed memory.
    pub(super) fn new(raw: Raw, operation: &'static str, keep: Vec<Keep>) -> Self {
        InFlight { raw, operation, keep }
    }
}

impl Future for InFlight {
    type Output = Result<usize>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let mut status = RawStatus::default();
        let length = match self.raw.test(&mut status) {
            Ok(false) => return Poll::Pending,
            Ok(true) if self.raw.is_receive => message_bytes(self.raw.comm.library(), &status),
            Ok(true) => Ok(0),
            Err(e) => Err(e),
        };
        Poll::Ready(length.of(self.operation))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.raw.is_over() {
            return;
        }
        if self.keep.is_empty() {
            self.raw.cancel();
            // Any end will do: the memory must not be used after this.
            let _ = self.raw.wait(&mut RawStatus::default());
            return;
        }
        let null = self.raw.comm.library().constants().request_null;
        let request = std::mem::replace(&mut self.raw.request, null);
        let raw = Raw { comm: self.raw.comm.clone(), request, is_receive: self.raw.is_receive };
        Orphan { raw, cancel: true, keep: std::mem::take(&mut self.keep) }.part_with();
    }
}
