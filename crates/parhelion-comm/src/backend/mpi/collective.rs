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

use super::check::check;
use super::combine;
use super::comm::{Comm, In};
use super::exchange;
use super::job::{self, Fault, InFlight, Job, Leftover, Outcome, Shared, Started};
use super::lane::{Lane, Place, Scratch};
use super::native::{self, Issued};
use super::request::Raw;
use crate::backend::signature::Signature;
use crate::backend::{Collective, CollectiveKind as Kind, Counts, Keep, Pending};
use crate::element::ElementType;
use crate::error::Result;
use crate::op::Kernel;

/// A [`Collective`] without its lifetime, so that a job can hold it.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) element: ElementType,
    pub(super) root: usize,
    pub(super) varying: bool,
    pub(super) send: *const u8,
    pub(super) send_counts: Counts<'static>,
    pub(super) recv: *mut u8,
    pub(super) recv_counts: Counts<'static>,
    pub(super) kernel: Option<Kernel<'static>>,
}

// SAFETY: who makes one vouches for its pointers until the job is done, on whatever thread.
unsafe impl Send for Call {}
// SAFETY: a shared reference only gives the pointers.
unsafe impl Sync for Call {}

impl Call {
    /// # Safety
    /// The result is used only while everything in `call` lives.
    #[inline]
    unsafe fn of(call: &Collective<'_>) -> Self {
        let forget = |counts: Counts<'_>| match counts {
            Counts::Same(count) => Counts::Same(count),
            // SAFETY: the caller's promise.
            Counts::Each(counts) => Counts::Each(unsafe { std::slice::from_raw_parts(counts.as_ptr(), counts.len()) }),
        };
        Call {
            kind: call.kind,
            element: call.element,
            root: call.root,
            varying: call.varying,
            send: call.send,
            send_counts: forget(call.send_counts),
            recv: call.recv,
            recv_counts: forget(call.recv_counts),
            // SAFETY: the caller's promise.
            kernel: call.kernel.map(|kernel| unsafe { kernel.forget_lifetime() }),
        }
    }

    pub(super) fn signature(&self) -> Signature {
        Signature::of(&Collective {
            kind: self.kind,
            element: self.element,
            root: self.root,
            varying: self.varying,
            send: self.send,
            send_counts: self.send_counts,
            recv: self.recv,
            recv_counts: self.recv_counts,
            kernel: self.kernel,
        })
    }

    /// Elements of the send part and of the receive part.
    fn lengths(&self, comm: &Comm) -> (usize, usize) {
        use Kind::{AllGather, AllToAll, Gather, ReduceScatter, Scatter};
        let blocks = |counts, many: bool| match counts {
            Counts::Same(count) => count * if many { comm.size } else { 1 },
            Counts::Each(counts) => counts.iter().sum(),
        };
        (
            blocks(self.send_counts, matches!(self.kind, Scatter | AllToAll | ReduceScatter)),
            blocks(self.recv_counts, matches!(self.kind, Gather | AllGather | AllToAll)),
        )
    }

    /// Whether no rank moves anything, as every rank can tell.
    fn is_empty(&self) -> bool {
        let none = |counts| matches!(counts, Counts::Same(0));
        !self.varying && self.kind != Kind::Barrier && none(self.send_counts) && none(self.recv_counts)
    }
}

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
    let lane = Lane::open(comm, operation);
    if comm.timeout().is_none() || (call.kernel.is_some() && !native) {
        // SAFETY: without a limit the job is done when this returns; the dropped one has used its own memory.
        let job: Job = Box::pin(unsafe { stages(lane, call, native, false) });
        return job::block_on(job, comm, operation, drop);
    }

    // Copies, which outlive the call if they must.
    let (send_len, recv_len) = call.lengths(comm);
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
    let lane = Lane::open(comm, operation);
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
async unsafe fn stages(lane: Lane, call: Call, native: bool, nonblocking: bool) -> Outcome {
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
    } else if call.kernel.is_some() {
        match nonblocking && combine::is_flat(&lane, &call) {
            true => combine::flat(&lane, &call).await,
            false => combine::in_steps(&lane, &call).await,
        }
    } else {
        Ok(movement(&lane, &call).await?)
    }
}

/// # Safety
/// As [`stages`].
async unsafe fn natively(comm: &Arc<Comm>, call: &Call) -> Outcome {
    let mut issued = Issued::default();
    // SAFETY: the caller's promise; what it needs besides is kept until the flights are over.
    let started = unsafe { native::issue::<true>(comm, call, &mut issued) };
    let flight = |request| InFlight::new(Raw { comm: comm.clone(), request, is_receive: false }, Vec::new());
    let flights: Vec<InFlight> = issued.requests.into_iter().map(flight).collect();
    let ended = job::all(flights).await;
    drop(issued.keep);
    started.and(ended).of(call.kind.name())?;
    // SAFETY: the library is done with the parts.
    unsafe { native::finish(comm, call) };
    Ok(())
}

/// A collective that moves data, by messages.
async fn movement(lane: &Lane, call: &Call) -> Result<()> {
    use Kind::{AllGather, AllToAll, Barrier, Broadcast, Gather, Scatter};
    let (rank, size) = (lane.rank(), lane.size());
    let (send_len, recv_len) = call.lengths(&lane.comm);
    let width = call.element.size;
    // SAFETY: the parts have these lengths and live until the job is done; a send part is only read.
    let (send, recv) = unsafe {
        (Place::borrowed(call.send.cast_mut(), send_len * width), Place::borrowed(call.recv, recv_len * width))
    };
    let whole = |place: &Place| vec![Some(place.clone()); size];
    let only = |at: usize, place: &Place| {
        let mut places = vec![None; size];
        places[at] = Some(place.clone());
        places
    };
    let nothing = || vec![None; size];
    let blocks = |place: &Place, counts: Counts<'static>| {
        let mut next = 0;
        (0..size)
            .map(|r| {
                let len = width
                    * match counts {
                        Counts::Same(count) => count,
                        Counts::Each(counts) => counts[r],
                    };
                next += len;
                Some(place.part(next - len, len))
            })
            .collect::<Vec<_>>()
    };
    let is_root = rank == call.root;
    match call.kind {
        Barrier => exchange::barrier(lane).await,
        Broadcast => exchange::broadcast(lane, &recv, call.root).await,
        Gather => {
            let incoming = if is_root { blocks(&recv, call.recv_counts) } else { nothing() };
            exchange::swap(lane, &only(call.root, &send), &incoming).await
        }
        Scatter => {
            let outgoing = if is_root { blocks(&send, call.send_counts) } else { nothing() };
            exchange::swap(lane, &outgoing, &only(call.root, &recv)).await
        }
        AllGather => exchange::swap(lane, &whole(&send), &blocks(&recv, call.recv_counts)).await,
        AllToAll => {
            let (outgoing, incoming) = (blocks(&send, call.send_counts), blocks(&recv, call.recv_counts));
            exchange::swap(lane, &outgoing, &incoming).await
        }
        kind => unreachable!("{} reduces", kind.name()),
    }
}

/// Returns when every rank has called it, within the timeout.
pub(super) fn meet(comm: &Arc<Comm>, operation: &'static str) -> Result<()> {
    let lane = Lane::open(comm, operation);
    let job = Box::pin(async move { exchange::barrier(&lane).await.map_err(Fault::from) });
    job::block_on(job, comm, operation, drop)
}

/// The words of every rank, in rank order.
pub(super) fn all_gather_words<const N: usize>(
    comm: &Arc<Comm>,
    operation: &'static str,
    words: [u64; N],
) -> Result<Vec<[u64; N]>> {
    let lane = Lane::open(comm, operation);
    let job = Box::pin(async move { exchange::all_gather_words(&lane, &words).await.map_err(Fault::from) });
    let all = job::block_on(job, comm, operation, drop)?;
    Ok(all.chunks_exact(N).map(|w| w.try_into().expect("chunks of N")).collect())
}
