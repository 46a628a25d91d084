//! One MPI request, from its start to its end.
//!
//! [`Raw`] is the request; [`Message`] is the [`Pending`] of a send or a receive. Requests are always completed one by
//! one: Open MPI 4.1's `MPI_Waitall` spins for ever on a truncated receive, and MPICH leaves others live after an error.

use std::sync::Arc;
use std::time::Duration;

use mpi_abi::{Request, Status as RawStatus};

use super::comm::Comm;
use super::runtime::{Backoff, Chore};
use super::{failure, last_words};
use crate::backend::messages::place::Scratch;
use crate::backend::{Keep, NO_STATUS, Pending};
use crate::error::{Error, ErrorKind, Result};
use crate::status::{Source, Status, TagSelector};

/// How long a panic waits for the receiver of a send out of borrowed memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// A started request of a communicator.
pub(super) struct Raw {
    pub(super) comm: Arc<Comm>,
    pub(super) request: Request,
    /// Receives can be cancelled; sends and collectives cannot.
    pub(super) is_receive: bool,
}

impl Raw {
    /// Whether the library has nothing to do for it any more.
    pub(super) fn is_over(&self) -> bool {
        self.request == self.comm.library().constants().request_null
    }

    /// Its status once it has completed.
    pub(super) fn test(&mut self, status: &mut RawStatus) -> Result<bool, mpi_abi::Error> {
        let mut flag = 0;
        // SAFETY: the request is live or null, and whoever started it keeps its buffers.
        unsafe { self.comm.library().test(&mut self.request, &mut flag, status) }?;
        Ok(flag != 0)
    }

    pub(super) fn wait(&mut self, status: &mut RawStatus) -> Result<(), mpi_abi::Error> {
        // SAFETY: as for `test`.
        unsafe { self.comm.library().wait(&mut self.request, status) }
    }

    /// Asks MPI not to match it any more, if it is a receive. It still has to complete.
    pub(super) fn cancel(&mut self) {
        if self.is_receive && !self.is_over() {
            // SAFETY: a live request. An error leaves it as it is, and completing it tells.
            let _ = unsafe { self.comm.library().cancel(&mut self.request) };
        }
    }
}

/// A request that nobody waits for, with what it needs.
pub(super) struct Orphan {
    pub(super) raw: Raw,
    pub(super) cancel: bool,
    pub(super) keep: Vec<Keep>,
}

impl Orphan {
    /// Ends it now if that takes no wait, else leaves it to the runtime.
    pub(super) fn part_with(mut self) {
        let runtime = self.raw.comm.runtime;
        let over = match runtime.try_turn() {
            Ok(_turn) => self.attempt(),
            Err(_) => false,
        };
        if !over {
            runtime.leave(Box::new(self));
        }
    }
}

impl Chore for Orphan {
    fn attempt(&mut self) -> bool {
        if std::mem::take(&mut self.cancel) {
            self.raw.cancel();
        }
        // Nobody is left to hear of an error; a request that it ended is null.
        let over = matches!(self.raw.test(&mut RawStatus::default()), Ok(true)) || self.raw.is_over();
        if over {
            self.keep.clear();
        }
        over
    }
}

/// A send or a receive in flight.
pub(super) struct Message {
    raw: Raw,
    operation: &'static str,
    peer: Source,
    tag: TagSelector,
    capacity: usize,
    /// What a small guarded receive goes through, and where to.
    bounce: Option<(Arc<Scratch>, *mut u8)>,
    /// The copy that a send under a timeout goes out from (see `transport`).
    copy: Option<Vec<u8>>,
    /// Completed by `cancel` before it could be cancelled: what `wait` or `test` answers then.
    early: Option<Result<Status>>,
}

// SAFETY: the pointer of `bounce` is the caller's buffer, which is the operation's alone until it has completed.
unsafe impl Send for Message {}

impl Message {
    /// A receive of up to `capacity` bytes, through `bounce` to the caller's buffer if that is some.
    pub(super) fn receive(
        raw: Raw,
        peer: Source,
        tag: TagSelector,
        capacity: usize,
        bounce: Option<(Arc<Scratch>, *mut u8)>,
    ) -> Self {
        Message { raw, operation: "irecv", peer, tag, capacity, bounce, copy: None, early: None }
    }

    /// A send, from `copy` if that is some.
    pub(super) fn send(raw: Raw, peer: usize, tag: u32, copy: Option<Vec<u8>>) -> Self {
        let (peer, tag) = (Source::Rank(peer), TagSelector::Tag(tag));
        Message { raw, operation: "isend", peer, tag, capacity: 0, bounce: None, copy, early: None }
    }

    /// For errors: the call that this is part of.
    pub(super) fn named(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }

    fn conclude(&self, result: Result<(), mpi_abi::Error>, status: &RawStatus) -> Result<Status> {
        let library = self.raw.comm.library();
        if !self.raw.is_receive && result.is_ok() {
            return Ok(NO_STATUS);
        }
        let received = result.and_then(|()| failure::status(library, status)).map_err(|e| {
            failure::message_error(self.operation, e, library, self.peer, self.tag, self.capacity, status)
        })?;
        let received = received.within(self.operation, self.capacity)?;
        if let Some((bounce, to)) = &self.bounce {
            // SAFETY: the caller's buffer, of this capacity, is the operation's until now.
            unsafe { std::ptr::copy_nonoverlapping(bounce.ptr(), *to, received.bytes) };
        }
        Ok(received)
    }

    fn orphan(self, cancel: bool, keep: Option<Keep>) {
        let copy = self.copy.map(|copy| Box::new(copy) as Keep);
        let bounce = self.bounce.map(|(bounce, _)| Box::new(bounce) as Keep);
        Orphan { raw: self.raw, cancel, keep: keep.into_iter().chain(copy).chain(bounce).collect() }.part_with();
    }

    /// Waits, and takes the operation back if the time is up: then the buffer is free, or a copy is left behind.
    pub(super) fn wait_or_withdraw(mut self) -> Result<Status> {
        let error = match self.poll_until_done() {
            Ok(result) => return result,
            Err(timeout) => timeout,
        };
        if self.raw.is_receive {
            // Cancelled, or it arrived at the last moment.
            if self.cancel_now()? { Err(error) } else { self.early.take().unwrap_or(Err(error)) }
        } else {
            self.orphan(false, None);
            Err(error)
        }
    }

    /// `Err`: the time is up, and the operation still in flight.
    fn poll_until_done(&mut self) -> Result<Result<Status>> {
        let mut backoff = Backoff::new(self.raw.comm.runtime, self.raw.comm.timeout());
        loop {
            let mut status = RawStatus::default();
            match self.raw.test(&mut status) {
                Ok(false) => {}
                done => return Ok(self.conclude(done.map(|_| ()), &status)),
            }
            backoff.pause(self.operation).map_err(|e| failure::locate(e, self.peer, self.tag))?;
        }
    }

    /// Asks until it has ended, for so long: whether it has. A turn is held.
    fn ends_within(&mut self, limit: Duration) -> bool {
        let mut backoff = Backoff::new(self.raw.comm.runtime, Some(limit));
        loop {
            // An error that ends it is as good as any end.
            if self.raw.test(&mut RawStatus::default()).is_ok_and(|ended| ended) || self.raw.is_over() {
                return true;
            }
            if backoff.pause(self.operation).is_err() {
                return false;
            }
        }
    }

    /// Cancels a receive and completes it: whether it was cancelled. If not, `early` has what came instead.
    fn cancel_now(&mut self) -> Result<bool> {
        self.raw.cancel();
        let mut status = RawStatus::default();
        let mut flag = 0;
        let mut result = self.raw.wait(&mut status);
        if result.is_ok() {
            // SAFETY: the status of a completed receive.
            result = unsafe { self.raw.comm.library().test_cancelled(&status, &mut flag) };
        }
        if flag != 0 {
            return Ok(true);
        }
        self.early = Some(self.conclude(result, &status));
        Ok(false)
    }
}

impl Pending for Message {
    fn wait(&mut self) -> Result<Status> {
        let turn = self.raw.comm.runtime.enter(self.operation)?;
        if let Some(early) = self.early.take() {
            return early;
        }
        if !turn.direct || self.raw.comm.timeout().is_some() {
            return self.poll_until_done()?;
        }
        let mut status = RawStatus::default();
        let result = self.raw.wait(&mut status);
        self.conclude(result, &status)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let _turn = self.raw.comm.runtime.enter(self.operation)?;
        if let Some(early) = self.early.take() {
            return early.map(Some);
        }
        let mut status = RawStatus::default();
        match self.raw.test(&mut status) {
            Ok(false) => Ok(None),
            done => self.conclude(done.map(|_| ()), &status).map(Some),
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        let _turn = self.raw.comm.runtime.enter("cancel")?;
        if !self.raw.is_receive || self.early.is_some() || self.raw.is_over() {
            return Ok(false);
        }
        self.cancel_now()
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        if !self.raw.is_over() {
            self.orphan(true, Some(keep));
        }
    }

    fn detach(self: Box<Self>, keep: Keep) {
        if !self.raw.is_over() {
            self.orphan(false, Some(keep));
        }
    }

    fn finish_now(mut self: Box<Self>) {
        if self.raw.is_over() {
            return;
        }
        if self.copy.is_some() {
            // The user's buffer is not the one that MPI reads.
            return self.orphan(false, None);
        }
        let ended = match self.raw.comm.runtime.try_turn() {
            // The panic may be why nobody receives it, and then would never be heard of.
            Ok(_turn) if !self.raw.is_receive && std::thread::panicking() && !self.ends_within(PATIENCE) => {
                Err(format!("this rank panics, and nobody has received it within {PATIENCE:?}"))
            }
            Ok(_turn) => {
                self.raw.cancel();
                // An error that ends it is as good as any end.
                let _ = self.raw.wait(&mut RawStatus::default());
                if self.raw.is_over() { Ok(()) } else { Err("the library does not complete it".to_owned()) }
            }
            Err(why) => Err(why),
        };
        if let Err(why) = ended {
            let mut error =
                Error::new(self.operation, ErrorKind::Library(format!("a borrowed buffer is in use: {why}")));
            error = failure::locate(error, self.peer, self.tag);
            last_words::say(self.raw.comm.rank, error);
            std::process::abort();
        }
    }
}
