//! [`MpiLane`]: the private messages of one job.
//!
//! A job's messages travel on the shadow communicator under a tag of its own, so that jobs may be worked on in any order
//! at every rank, which MPI does not allow for collectives of its own (MPI section 6.12).

use std::ffi::c_int;
use std::sync::Arc;

use super::comm::{Comm, In};
use super::count::Span;
use super::job::InFlight;
use super::request::Raw;
use super::transport::start_recv;
use crate::backend::messages::Lane;
use crate::backend::messages::place::Place;
use crate::error::Result;

/// The private messages of one job.
pub(super) struct MpiLane {
    pub(super) comm: Arc<Comm>,
    operation: &'static str,
    tag: c_int,
}

impl MpiLane {
    /// The lane of the next job. All ranks open their lanes in one order.
    pub(super) fn open(comm: &Arc<Comm>, operation: &'static str) -> Self {
        MpiLane { comm: comm.clone(), operation, tag: comm.next_tag() }
    }

    /// The lane for a few ranks among themselves: one for all such calls, in which the messages of two ranks keep their order.
    pub(super) fn among_peers(comm: &Arc<Comm>, operation: &'static str) -> Self {
        MpiLane { comm: comm.clone(), operation, tag: comm.peer_tag() }
    }
}

impl Lane for MpiLane {
    type Flight = InFlight;

    fn rank(&self) -> usize {
        self.comm.rank
    }

    fn size(&self) -> usize {
        self.comm.size
    }

    fn operation(&self) -> &'static str {
        self.operation
    }

    fn send(&self, from: &Place, dest: usize) -> Result<InFlight> {
        let library = self.comm.library();
        let c = library.constants();
        let mut request = c.request_null;
        let (ptr, dest) = (from.ptr.cast_const().cast(), dest as c_int);
        let started = Span::new(self.comm.runtime, from.len).and_then(|span| {
            // SAFETY: the place is valid until the job is done or for as long as its keep; a turn is held.
            let started = unsafe {
                match span {
                    Span::Large(n) => library.isend_c(ptr, n, c.byte, dest, self.tag, self.comm.shadow, &mut request),
                    span => {
                        let (n, datatype) = span.arguments(library);
                        library.isend(ptr, n, datatype, dest, self.tag, self.comm.shadow, &mut request)
                    }
                }
            };
            span.release(library);
            started
        });
        started.of(self.operation)?;
        let raw = Raw { comm: self.comm.clone(), request, is_receive: false };
        Ok(InFlight::new(raw, self.operation, from.keep()))
    }

    fn recv(&self, into: &Place, source: usize) -> Result<InFlight> {
        // SAFETY: as in `send`.
        let request =
            unsafe { start_recv(self.comm.runtime, into.ptr, into.len, source as c_int, self.tag, self.comm.shadow) };
        let raw = Raw { comm: self.comm.clone(), request: request.of(self.operation)?, is_receive: true };
        Ok(InFlight::new(raw, self.operation, into.keep()))
    }
}

/// The lane on which some ranks agree to make a group. Its ranks are numbered as in `members`.
pub(super) struct GroupLane {
    lane: MpiLane,
    members: Vec<usize>,
    rank: usize,
}

impl GroupLane {
    /// The lane of `members`, of whom this rank is one, for the group `name`. In it the messages of two ranks keep their order,
    /// whatever groups of that name they made before.
    pub(super) fn open(comm: &Arc<Comm>, name: &str, members: Vec<usize>) -> Self {
        let lane = MpiLane { comm: comm.clone(), operation: "group", tag: comm.group_tag(name) };
        let rank = members.iter().position(|&member| member == comm.rank).expect("this rank is in its group");
        GroupLane { lane, members, rank }
    }
}

impl Lane for GroupLane {
    type Flight = InFlight;

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.members.len()
    }

    fn operation(&self) -> &'static str {
        self.lane.operation
    }

    fn send(&self, from: &Place, dest: usize) -> Result<InFlight> {
        self.lane.send(from, self.members[dest])
    }

    fn recv(&self, into: &Place, source: usize) -> Result<InFlight> {
        self.lane.recv(into, self.members[source])
    }
}
