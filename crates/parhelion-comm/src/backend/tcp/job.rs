//! Collectives, as jobs: futures whose only awaits are messages ([`Flight`](super::lane::Flight)).
//!
//! A blocking call asks its job itself, on its own thread, whenever anything has happened ([`block_on`]). One in flight is a
//! [`Task`]: it is asked when a message that it waits for is over, by whatever thread has seen to that, so that it goes on
//! while its owner does something else.
//!
//! # Invariants of a task
//! 1. At most one thread asks it at a time: the one that has set `state` to `RUNNING`.
//! 2. A wake-up is never lost: one that comes while it is asked makes that thread ask once more.
//! 3. A thread asks one task at a time: what wakes meanwhile, in calls that the task makes, is queued until it has answered.
//!    So the stack does not grow with the number of tasks.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::comm::{Comm, World};
use super::lane::TcpLane;
use crate::backend::messages::{Call, Fault, Outcome, by_messages, check};
use crate::backend::{Collective, Keep, NO_STATUS, Pending};
use crate::error::Result;
use crate::status::Status;

/// Carries out a collective.
///
/// # Safety
/// As [`Transport::collective`](crate::backend::Transport::collective).
pub(super) unsafe fn carry_out(comm: &Arc<Comm>, call: &Collective<'_>) -> Result<()> {
    // SAFETY: used by a job that does not outlive this function.
    let call = unsafe { Call::of(call) };
    let lane = TcpLane::open(comm, call.kind.name());
    // SAFETY: the caller's promise; when this returns the job is done or dropped.
    block_on(comm, call.kind.name(), unsafe { stages(lane, call, false) })
}

/// Starts a collective.
///
/// # Safety
/// As [`Transport::start_collective`](crate::backend::Transport::start_collective).
pub(super) unsafe fn start(comm: &Arc<Comm>, call: &Collective<'static>) -> Box<dyn Pending> {
    // SAFETY: everything in it lives until the operation has completed.
    let call = unsafe { Call::of(call) };
    let operation = call.kind.name();
    let lane = TcpLane::open(comm, operation);
    let counted = Counted::new(comm);
    let job = Box::pin(async move {
        let _counted = counted;
        // SAFETY: as above.
        unsafe { stages(lane, call, true) }.await
    });
    let task = Arc::new(Task {
        comm: comm.clone(),
        state: AtomicU8::new(QUEUED),
        job: Mutex::new(Progress::Going(job)),
        keep: Mutex::new(Vec::new()),
    });
    run(task.clone());
    Box::new(Started { operation, task })
}

/// The whole of a collective.
///
/// # Safety
/// Everything in `call` lives until this is done or dropped.
async unsafe fn stages(lane: TcpLane, call: Call, nonblocking: bool) -> Outcome {
    if lane.comm.world.config.checks {
        check(&lane, &call, nonblocking).await?;
    }
    if call.is_empty() {
        return Ok(());
    }
    // In steps even in flight: a task needs nobody to ask it.
    // SAFETY: the caller's promise.
    unsafe { by_messages(&lane, &call, false) }.await
}

/// Asks `job` until it is done. If the time is up it is dropped, which ends its use of any memory.
///
/// # Errors
/// The job's, or that the time is up.
pub(super) fn block_on<T>(comm: &Comm, operation: &'static str, job: impl Future<Output = Outcome<T>>) -> Result<T> {
    let mut job = pin!(job);
    let mut outcome = None;
    let mut ask = || {
        if let Poll::Ready(result) = job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            outcome = Some(result);
        }
        outcome.is_some()
    };
    if !ask() {
        comm.engine().wait_until(comm.timeout(), ask);
    }
    outcome.unwrap_or_else(|| Err(comm.late(operation).into())).map_err(Fault::surface)
}

/// One of the collectives in flight of this rank, until it is over or given up.
struct Counted(Arc<World>);

impl Counted {
    fn new(comm: &Comm) -> Self {
        comm.world.in_flight.fetch_add(1, Ordering::Relaxed);
        Counted(comm.world.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

type Job = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A job in flight.
struct Task {
    comm: Arc<Comm>,
    state: AtomicU8,
    job: Mutex<Progress>,
    /// What lives until it is done.
    keep: Mutex<Vec<Keep>>,
}

/// Nobody asks it: something that it waits for will wake it.
const IDLE: u8 = 0;
/// A thread is about to ask it.
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// It was woken while it was asked.
const AGAIN: u8 = 3;
const DONE: u8 = 4;

enum Progress {
    Going(Job),
    Done(Outcome),
    Answered,
}

impl Task {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) -> MutexGuard<'_, Vec<Keep>> {
        self.keep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
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

    /// Asks it until it waits for something. The state is `QUEUED`.
    fn ask(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        loop {
            self.state.store(RUNNING, Ordering::SeqCst);
            let mut progress = self.lock();
            let Progress::Going(job) = &mut *progress else { return self.state.store(DONE, Ordering::SeqCst) };
            let poll = || job.as_mut().poll(&mut Context::from_waker(&waker));
            // A panic here would be that of whoever drives the sockets; it belongs to the owner.
            let asked = catch_unwind(AssertUnwindSafe(poll));
            let outcome = match asked {
                Ok(Poll::Pending) => {
                    drop(progress);
                    if self.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                        return;
                    }
                    continue;
                }
                Ok(Poll::Ready(outcome)) => outcome,
                Err(payload) => Err(Fault::Panic(payload)),
            };
            // The job ends here, and with it its use of any buffers.
            let ended = std::mem::replace(&mut *progress, Progress::Done(outcome));
            drop(progress);
            drop(ended);
            self.state.store(DONE, Ordering::SeqCst);
            let keep = std::mem::take(&mut *self.keep());
            drop(keep);
            return self.comm.engine().nudge();
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(AGAIN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(IDLE) {
            run(self);
        }
    }
}

/// Asks `task`, now or, if this thread is asking another one, after that.
fn run(task: Arc<Task>) {
    thread_local! {
        static QUEUE: RefCell<Option<VecDeque<Arc<Task>>>> = const { RefCell::new(None) };
    }
    let first = QUEUE.with_borrow_mut(|queue| match queue {
        Some(queue) => {
            queue.push_back(task.clone());
            false
        }
        None => {
            *queue = Some(VecDeque::new());
            true
        }
    });
    if !first {
        return;
    }
    let mut next = Some(task);
    while let Some(task) = next {
        task.ask();
        next = QUEUE.with_borrow_mut(|queue| {
            let next = queue.as_mut().and_then(VecDeque::pop_front);
            if next.is_none() {
                *queue = None;
            }
            next
        });
    }
}

/// A non-blocking collective in flight.
struct Started {
    operation: &'static str,
    task: Arc<Task>,
}

impl Pending for Started {
    fn wait(&mut self) -> Result<Status> {
        let comm = &self.task.comm;
        if !self.task.is_done() {
            comm.engine().wait_until(comm.timeout(), || self.task.is_done());
        }
        match self.task.outcome() {
            Some(outcome) => outcome.map(|()| NO_STATUS).map_err(Fault::surface),
            None => Err(comm.late(self.operation)),
        }
    }

    fn test(&mut self) -> Result<Option<Status>> {
        if !self.task.is_done() {
            self.task.comm.engine().progress();
        }
        self.glance()
    }

    fn glance(&mut self) -> Result<Option<Status>> {
        match self.task.outcome() {
            Some(outcome) => outcome.map(|()| Some(NO_STATUS)).map_err(Fault::surface),
            None => Ok(None),
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.task.keep().push(keep);
        if self.task.is_done() {
            // It may have ended without this.
            let keep = std::mem::take(&mut *self.task.keep());
            drop(keep);
        }
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.abandon(keep);
    }

    fn finish_now(self: Box<Self>) {
        // Without its messages it uses no memory.
        let ended = std::mem::replace(&mut *self.task.lock(), Progress::Answered);
        drop(ended);
    }
}
