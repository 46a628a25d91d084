//! [`TcpLane`]: the private messages of one job, and [`Flight`], one of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::comm::{Comm, Purpose};
use super::engine::Operation;
use crate::backend::messages::Lane;
use crate::backend::messages::place::Place;
use crate::backend::{Keep, SendMode};
use crate::error::Result;

/// The private messages of one job.
pub(super) struct TcpLane {
    pub(super) comm: Arc<Comm>,
    operation: &'static str,
    purpose: Purpose,
    tag: u32,
}

impl TcpLane {
    /// The lane of the next job. All ranks open their lanes in one order.
    pub(super) fn open(comm: &Arc<Comm>, operation: &'static str) -> Self {
        TcpLane { comm: comm.clone(), operation, purpose: Purpose::Job, tag: comm.next_job() }
    }

    /// The lane for a few ranks among themselves: one for all such calls, in which the messages of two ranks keep their order.
    pub(super) fn among_peers(comm: &Arc<Comm>, operation: &'static str) -> Self {
        TcpLane { comm: comm.clone(), operation, purpose: Purpose::Peers, tag: 0 }
    }

    /// The lane on which the ranks of `part` make the group of this name. Groups of names that differ may be made at once.
    pub(super) fn for_group(part: &Arc<Comm>, name: &str) -> Self {
        // FNV-1a (Fowler, Noll, Vo): the same number for the same name in every process.
        let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        TcpLane { comm: part.clone(), operation: "group", purpose: Purpose::Group, tag: hash }
    }

    fn flight(&self, operation: Operation, is_receive: bool, place: &Place) -> Flight {
        // Whoever takes part in a job needs all others, if only by way of a third. What two ranks do among themselves fails
        // with either of them, as every message does.
        if !matches!(self.purpose, Purpose::Peers) {
            operation.fails_with(&self.comm.members);
        }
        Flight { comm: self.comm.clone(), name: self.operation, operation, is_receive, keep: place.keep() }
    }
}

impl Lane for TcpLane {
    type Flight = Flight;

    fn rank(&self) -> usize {
        self.comm.rank
    }

    fn size(&self) -> usize {
        self.comm.size()
    }

    fn operation(&self) -> &'static str {
        self.operation
    }

    fn send(&self, from: &Place, dest: usize) -> Result<Flight> {
        let (dest, channel) = (self.comm.members[dest], self.comm.channel(self.purpose));
        // SAFETY: the place is valid until the job is done, or for as long as its keep, and the flight takes care of both.
        let operation = unsafe {
            self.comm.engine().send(from.ptr.cast_const(), from.len, dest, channel, self.tag, SendMode::Standard)
        };
        Ok(self.flight(operation, false, from))
    }

    fn recv(&self, into: &Place, source: usize) -> Result<Flight> {
        let (source, channel) = (self.comm.members[source], self.comm.channel(self.purpose));
        // SAFETY: as in `send`.
        let operation = unsafe { self.comm.engine().recv(into.ptr, into.len, Some(source), channel, Some(self.tag)) };
        Ok(self.flight(operation, true, into))
    }
}

/// One message of a job. Awaiting it gives the length of what it receives.
pub(super) struct Flight {
    comm: Arc<Comm>,
    name: &'static str,
    operation: Operation,
    is_receive: bool,
    /// Owns the memory, or is empty where that is borrowed.
    keep: Vec<Keep>,
}

impl Future for Flight {
    type Output = Result<usize>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.operation.result() {
            Some(Ok(envelope)) => Poll::Ready(Ok(if self.is_receive { envelope.len } else { 0 })),
            Some(Err(fault)) => Poll::Ready(Err(self.comm.fault(self.name, fault))),
            None => {
                // Whoever blocks asks by itself.
                if !context.waker().will_wake(Waker::noop()) {
                    self.operation.set_waker(context.waker());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.operation.is_over() {
            return;
        }
        if self.keep.is_empty() {
            return self.operation.take_back();
        }
        // A send goes on: the other ranks may count on it.
        if !self.is_receive || !self.operation.cancel() {
            self.keep.drain(..).for_each(|keep| self.operation.keep(keep));
        }
    }
}
