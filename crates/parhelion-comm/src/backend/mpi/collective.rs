//! Which way a collective goes.
//!
//! | | checks off, no timeout | otherwise |
//! |---|---|---|
//! | blocking, native | the library's blocking function | job: check, then the library's non-blocking function |
//! | blocking, not native | job: messages | job: check, then messages |
//! | non-blocking, native | job: the library's non-blocking function | job: check, then messages |
//! | non-blocking, not native | job: messages | job: check, then messages |
//!
//! "Native" is `native`, "messages" is `exchange` and `combine`. After its check a non-blocking collective may
//! not use the library's functions: they would be called in another order at each rank.
//!
//! # Progress
//!
//! An operation in flight must go on while its ranks are inside any call. What is under way inside MPI does. A job with steps
//! of its own is a chore of the runtime, with which every waiting call goes on, except one that waits in a blocking
//! collective of the library. There it is safe, too, once all ranks have come that far, and that is what the check before
//! it makes sure of. Without checks, jobs with steps are avoided: a non-blocking reduction by messages collects all
//! inputs at once, unless they take more than [`combine::FLAT_BYTES`]; such a large one may have to wait
//! until the blocking collectives that ranks have entered are over.
//!
//! A blocking collective whose time is up must let go of the caller's memory, and MPI cannot cancel a collective. So with a
//! timeout it works on copies, which stay behind with the job; a reduction by messages works on memory of its own anyway,
//! and is dropped, since its operator may be borrowed.

use std::sync::Arc;

use super::comm::{Comm, In};
use super::job::{self, InFlight, Job, Leftover, Shared, Started};
use super::lane::{GroupLane, MpiLane};
use super::native::{self, Issued};
use super::request::Raw;
use crate::backend::messages::place::Scratch;
use crate::backend::messages::{Call, Fault, Outcome, all, by_messages, check, combine, exchange, group};
use crate::backend::{Collective, Counts, Keep, Pending};
use crate::error::Result;

/// Carries out a collective.
///
/// # Safety
/// As [`Transport::collective`](crate::backend::Transport::collective). A turn is held.
#[inline]
pub(super) unsafe fn carry_out(comm: &Arc<Comm>, call: &Collective<'_>) -> Result<()> {
    // SAFETY: used in this function only, or by a job that does not outlive it.
    let call = unsafe { Call::of(call) };
    if !comm.config.checks && comm.timeout().is_none() {
        if call.is_empty() {
            return Ok(());
        }
        if native::is_native(comm, &call) {
            // SAFETY: the caller's promise.
            unsafe {
                native::issue::<false>(comm, &call, &mut Issued::default()).of(call.kind.name())?;
                native::finish(comm, &call);
            }
            return Ok(());
        }
    }
    // SAFETY: the caller's promise.
    unsafe { carry_out_as_job(comm, call) }
}

/// # Safety
/// As [`carry_out`].
#[inline(never)]
unsafe fn carry_out_as_job(comm: &Arc<Comm>, mut call: Call) -> Result<()> {
    let operation = call.kind.name();
    let native = native::is_native(comm, &call);
    let lane = MpiLane::open(comm, operation);
    if comm.timeout().is_none() || (call.kernel.is_some() && !native) {
        // SAFETY: without a limit the job is done when this returns; the dropped one has used its own memory.
        let job: Job = Box::pin(unsafe { stages(lane, call, native, false) });
        return job::block_on(job, comm, operation, drop);
    }

    // Copies, which outlive the call if they must.
    let (send_len, recv_len) = call.lengths(comm.size);
    let (size, align) = (call.element.size, call.element.align);
    let (send, recv) = (Scratch::new(send_len * size, align), Scratch::new(recv_len * size, align));
    let result = call.recv;
    // SAFETY: the caller's parts have these lengths, and the copies are new. A null part is empty and not read.
    unsafe {
        if !call.send.is_null() {
            std::ptr::copy_nonoverlapping(call.send, send.ptr(), send_len * size);
            call.send = send.ptr();
        }
        if !result.is_null() {
            std::ptr::copy_nonoverlapping(result, recv.ptr(), recv_len * size);
            call.recv = recv.ptr();
        }
    }
    let own = |counts: &mut Counts<'static>| -> Vec<usize> {
        let Counts::Each(each) = *counts else { return Vec::new() };
        let copy = each.to_vec();
        // SAFETY: the heap block stays where it is, in `keep`, until the job is done.
        *counts = Counts::Each(unsafe { std::slice::from_raw_parts(copy.as_ptr(), copy.len()) });
        copy
    };
    let counts = (own(&mut call.send_counts), own(&mut call.recv_counts));
    let keep: Keep = Box::new((send, recv.clone(), counts));
    // SAFETY: the job is done when this returns, or goes with `keep`. A kernel here is built in and borrows nothing.
    let job: Job = Box::pin(unsafe { stages(lane, call, native, false) });
    let runtime = comm.runtime;
    job::block_on(job, comm, operation, |job| {
        runtime.leave(Box::new(Leftover { job: Shared::new(job), keep: Some(keep) }));
    })?;
    if !result.is_null() {
        // SAFETY: as above; what no rank wrote is as it was.
        unsafe { std::ptr::copy_nonoverlapping(recv.ptr(), result, recv_len * size) };
    }
    Ok(())
}

/// Starts a collective.
///
/// # Safety
/// As [`Transport::start_collective`](crate::backend::Transport::start_collective). A turn is held.
pub(super) unsafe fn start(comm: &Arc<Comm>, call: &Collective<'static>) -> Result<Box<dyn Pending>> {
    // SAFETY: everything in it lives until the operation has completed.
    let call = unsafe { Call::of(call) };
    let operation = call.kind.name();
    let native = !comm.config.checks && native::is_native(comm, &call);
    let lane = MpiLane::open(comm, operation);
    // Of what is not native, without checks only a large reduction is more than messages that are all under way at once.
    let steps = comm.config.checks || !native && call.kernel.is_some() && !combine::is_flat(&lane, &call);
    // SAFETY: as above.
    let job: Job = Box::pin(unsafe { stages(lane, call, native, true) });
    Ok(Box::new(Started::new(comm, operation, job, steps)))
}

/// The whole of a collective, as a job.
///
/// # Safety
/// Everything in `call` lives until the job is done or dropped.
async unsafe fn stages(lane: MpiLane, call: Call, native: bool, nonblocking: bool) -> Outcome {
    let comm = lane.comm.clone();
    if comm.config.checks {
        check(&lane, &call, nonblocking).await?;
    }
    if call.is_empty() {
        return Ok(());
    }
    if native {
        // SAFETY: the caller's promise.
        unsafe { natively(&comm, &call) }.await
    } else {
        // SAFETY: the caller's promise.
        unsafe { by_messages(&lane, &call, nonblocking) }.await
    }
}

/// # Safety
/// As [`stages`].
async unsafe fn natively(comm: &Arc<Comm>, call: &Call) -> Outcome {
    let mut issued = Issued::default();
    // SAFETY: the caller's promise; what it needs besides is kept until the flights are over.
    let started = unsafe { native::issue::<true>(comm, call, &mut issued) };
    let flight =
        |request| InFlight::new(Raw { comm: comm.clone(), request, is_receive: false }, call.kind.name(), Vec::new());
    let flights: Vec<InFlight> = issued.requests.into_iter().map(flight).collect();
    let ended = all(flights).await;
    drop(issued.keep);
    started.of(call.kind.name()).and(ended)?;
    // SAFETY: the library is done with the parts.
    unsafe { native::finish(comm, call) };
    Ok(())
}

/// Returns when every rank has called it, within the timeout.
pub(super) fn meet(comm: &Arc<Comm>, operation: &'static str) -> Result<()> {
    let lane = MpiLane::open(comm, operation);
    let job = Box::pin(async move { exchange::barrier(&lane).await.map_err(Fault::from) });
    job::block_on(job, comm, operation, drop)
}

/// Returns when the members of a named group, `ranks`, have all called it, within the timeout.
///
/// # Errors
/// As [`agree`](group::agree).
pub(super) fn agree_on_group(comm: &Arc<Comm>, name: &str, ranks: &[usize]) -> Result<()> {
    let members = group::members(ranks);
    let lane = GroupLane::open(comm, name, members.clone());
    let (name, ranks) = (name.to_owned(), ranks.to_vec());
    let job = Box::pin(async move { group::agree(&lane, &name, &ranks, &members, 0).await.map_err(Fault::from) });
    job::block_on(job, comm, "group", drop).map(drop)
}

/// The words of every rank, in rank order.
pub(super) fn all_gather_words<const N: usize>(
    comm: &Arc<Comm>,
    operation: &'static str,
    words: [u64; N],
) -> Result<Vec<[u64; N]>> {
    let lane = MpiLane::open(comm, operation);
    let job = Box::pin(async move { exchange::all_gather_words(&lane, &words).await.map_err(Fault::from) });
    let all = job::block_on(job, comm, operation, drop)?;
    Ok(all.chunks_exact(N).map(|w| w.try_into().expect("chunks of N")).collect())
}
