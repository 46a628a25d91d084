//! [`Message`]: a send or a receive in flight. [`Taken`]: a message taken out of matching.

use std::sync::Arc;
use std::task::Waker;

use super::comm::{Comm, locate};
use super::engine::{self, Envelope, Fault, Operation};
use crate::backend::{Keep, Matched, NO_STATUS, Pending};
use crate::error::Result;
use crate::status::{Source, Status, TagSelector};

/// A send or a receive in flight.
pub(super) struct Message {
    pub(super) comm: Arc<Comm>,
    pub(super) operation: Operation,
    pub(super) name: &'static str,
    /// Of a send, the destination.
    pub(super) peer: Source,
    pub(super) tag: TagSelector,
    pub(super) is_receive: bool,
}

impl Message {
    fn conclude(&self, result: Result<Envelope, Fault>) -> Result<Status> {
        match result {
            Ok(envelope) if self.is_receive => Ok(self.comm.status(envelope)),
            Ok(_) => Ok(NO_STATUS),
            Err(fault) => Err(locate(self.comm.fault(self.name, fault), self.peer, self.tag)),
        }
    }

    /// Waits, and ends its use of the buffer if the time is up.
    pub(super) fn wait_or_withdraw(&self) -> Result<Status> {
        match self.comm.wait(&self.operation) {
            Some(result) => self.conclude(result),
            None => {
                self.operation.take_back();
                match self.operation.result() {
                    // It came at the last moment.
                    Some(result @ (Ok(_) | Err(Fault::Truncated { .. } | Fault::Lost { .. }))) => self.conclude(result),
                    _ => Err(locate(self.comm.late(self.name), self.peer, self.tag)),
                }
            }
        }
    }
}

impl Pending for Message {
    fn wait(&mut self) -> Result<Status> {
        match self.comm.wait(&self.operation) {
            Some(result) => self.conclude(result),
            None => Err(locate(self.comm.late(self.name), self.peer, self.tag)),
        }
    }

    fn test(&mut self) -> Result<Option<Status>> {
        if !self.operation.is_over() {
            self.comm.engine().progress();
        }
        self.glance()
    }

    fn glance(&mut self) -> Result<Option<Status>> {
        self.operation.result().map(|result| self.conclude(result)).transpose()
    }

    fn wake(&self, waker: &Waker) -> bool {
        self.operation.set_waker(waker);
        true
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(self.operation.cancel())
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        if !self.is_receive || !self.operation.cancel() {
            self.operation.keep(keep);
        }
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.operation.keep(keep);
    }

    fn finish_now(mut self: Box<Self>) {
        // The receiver may count on the message: it is given up only if waiting for it is hopeless. A panic may be why nobody
        // receives it, and is heard of only when the stack is unwound; what is taken back still goes out, as a copy.
        if !self.is_receive && !std::thread::panicking() && self.wait().is_ok() {
            return;
        }
        self.operation.take_back();
    }
}

/// A message taken out of matching. Dropped, it is lost.
pub(super) struct Taken {
    comm: Arc<Comm>,
    message: engine::Taken,
}

impl Taken {
    pub(super) fn new(comm: Arc<Comm>, message: engine::Taken) -> Self {
        Taken { comm, message }
    }
}

impl Matched for Taken {
    fn status(&self) -> Status {
        self.comm.status(self.message.envelope())
    }

    unsafe fn recv(self: Box<Self>, buf: *mut u8, len: usize) -> Result<Status> {
        let status = self.status();
        // SAFETY: writable during this call, which does not end before the operation's use of it has.
        let operation = unsafe { self.message.recv(buf, len) };
        let (peer, tag) = (Source::Rank(status.source), TagSelector::Tag(status.tag));
        Message { comm: self.comm, operation, name: "recv", peer, tag, is_receive: true }.wait_or_withdraw()
    }
}
