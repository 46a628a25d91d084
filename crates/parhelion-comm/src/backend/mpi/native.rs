//! Collectives by the library's own functions, blocking and not.
//!
//! What may be done natively must come out alike at every rank, so [`is_native`] asks only for what all ranks know. A
//! broadcast or a reduction of more elements than an `int` counts is cut in pieces. Other collectives of more bytes than
//! that in all go by messages; so do the "v" forms in which a rank does not know how much the others move, unless the
//! library counts in 64 bits.

use std::ffi::{c_int, c_void};

use mpi_abi::{Aint, Count, Request};

use super::comm::Comm;
use super::operator::predefined;
use crate::backend::messages::Call;
use crate::backend::messages::place::Scratch;
use crate::backend::{CollectiveKind as Kind, Counts, Keep};

/// Whether every rank can and will do this call by the library's function.
#[inline]
pub(super) fn is_native(comm: &Comm, call: &Call) -> bool {
    let runtime = comm.runtime;
    let fits = |blocks: usize, count: usize| {
        let bytes = blocks.checked_mul(count).and_then(|n| n.checked_mul(call.element.size));
        bytes.is_some_and(|bytes| bytes <= runtime.max_count)
    };
    let predefined = || call.kernel.is_some_and(|kernel| predefined(runtime, &kernel).is_some());
    match (call.kind, call.varying) {
        (Kind::Barrier | Kind::Broadcast, _) => true,
        (Kind::Reduce | Kind::AllReduce | Kind::Scan | Kind::ExclusiveScan, _) => predefined(),
        (Kind::Gather | Kind::AllGather | Kind::AllToAll, false) => fits(comm.size, same(call.send_counts)),
        (Kind::Scatter, false) => fits(comm.size, same(call.recv_counts)),
        (Kind::AllGather, true) => fits(1, total(call.recv_counts)),
        (Kind::ReduceScatter, false) => predefined() && fits(comm.size, same(call.recv_counts)),
        (Kind::ReduceScatter, true) => predefined() && fits(1, total(call.send_counts)),
        (Kind::Gather | Kind::Scatter | Kind::AllToAll, true) => runtime.large_counts,
    }
}

/// What [`issue`] has started, and what that needs until it is done.
#[derive(Default)]
pub(super) struct Issued {
    pub(super) requests: Vec<Request>,
    pub(super) keep: Vec<Keep>,
}

/// Carries out a call that [`is_native`], or starts it: then `issued` has the requests, also where this fails half-way.
///
/// # Safety
/// The parts are valid until the call returns, or its requests have completed. A turn is held.
#[inline]
pub(super) unsafe fn issue<const START: bool>(
    comm: &Comm,
    call: &Call,
    issued: &mut Issued,
) -> Result<(), mpi_abi::Error> {
    let library = comm.library();
    let c = library.constants();
    let raw = comm.raw;
    let byte = c.byte;
    let root = call.root as c_int;
    let size = call.element.size;

    // One function in its two forms; in the second, the request goes to `issued`.
    macro_rules! mpi {
        ($now:ident | $start:ident, $($argument:expr),* $(,)?) => {
            if START {
                let mut request = c.request_null;
                // SAFETY: the caller vouches for the parts; what else is pointed to lives in `issued`.
                let started = unsafe { library.$start($($argument,)* &mut request) };
                issued.requests.push(request);
                started
            } else {
                // SAFETY: as above.
                unsafe { library.$now($($argument),*) }
            }
        };
    }
    // Puts an array where a started call finds it until it is done.
    macro_rules! lend {
        ($array:expr) => {{
            let array: Box<[_]> = $array.collect();
            let pointer = array.as_ptr();
            issued.keep.push(Box::new(array));
            pointer
        }};
    }
    // What is empty has no address: a dangling one could be MPI_IN_PLACE, or be taken for an alias of another.
    let sent = |bytes: usize| if bytes == 0 { std::ptr::null() } else { call.send.cast::<c_void>() };
    let received = |bytes: usize| if bytes == 0 { std::ptr::null_mut() } else { call.recv.cast::<c_void>() };

    match (call.kind, call.varying) {
        (Kind::Barrier, _) => mpi!(barrier | ibarrier, raw),
        (Kind::Broadcast, _) => {
            let bytes = same(call.recv_counts) * size;
            for (start, len) in pieces(bytes, comm.runtime.max_count) {
                // SAFETY: inside the part.
                let from = unsafe { call.recv.add(start) }.cast();
                mpi!(bcast | ibcast, from, len, byte, root, raw)?;
            }
            Ok(())
        }
        (Kind::Reduce | Kind::AllReduce | Kind::Scan | Kind::ExclusiveScan, _) => {
            let kernel = call.kernel.expect("a reduction has an operator");
            let (datatype, op) = predefined(comm.runtime, &kernel).expect("is_native has asked");
            let in_place = call.send.is_null();
            let count = same(if in_place { call.recv_counts } else { call.send_counts });
            let mut result = call.recv;
            let no_result = call.kind == Kind::Reduce && comm.rank != call.root;
            let unwritten = no_result && comm.runtime.reduces_everywhere;
            if unwritten || call.kind == Kind::ExclusiveScan && comm.rank == 0 {
                // For the scan, MPI leaves rank 0's result undefined, and this one stays as it was.
                let scratch = Scratch::new(count * size, call.element.align);
                result = scratch.ptr();
                issued.keep.push(Box::new(scratch));
            }
            for (start, len) in pieces(count, comm.runtime.max_count) {
                let offset = start * size;
                let input = match in_place {
                    true => c.in_place().cast_const(),
                    // SAFETY: inside the part.
                    false => unsafe { call.send.add(offset) }.cast(),
                };
                let output = match call.kind {
                    _ if no_result && !unwritten => std::ptr::null_mut(),
                    // SAFETY: inside the part.
                    _ => unsafe { result.add(offset) }.cast(),
                };
                match call.kind {
                    Kind::Reduce => mpi!(reduce | ireduce, input, output, len, datatype, op, root, raw)?,
                    Kind::AllReduce => mpi!(allreduce | iallreduce, input, output, len, datatype, op, raw)?,
                    Kind::Scan => mpi!(scan | iscan, input, output, len, datatype, op, raw)?,
                    _ => mpi!(exscan | iexscan, input, output, len, datatype, op, raw)?,
                }
            }
            Ok(())
        }
        (Kind::ReduceScatter, varying) => {
            let kernel = call.kernel.expect("a reduction has an operator");
            let (datatype, op) = predefined(comm.runtime, &kernel).expect("is_native has asked");
            let input = sent(total(call.send_counts) * size);
            let output = received(same(call.recv_counts) * size);
            if varying {
                let counts = lend!(each(call.send_counts, comm.size).map(|n| n as c_int));
                mpi!(reduce_scatter | ireduce_scatter, input, output, counts, datatype, op, raw)
            } else {
                let block = same(call.recv_counts) as c_int;
                mpi!(reduce_scatter_block | ireduce_scatter_block, input, output, block, datatype, op, raw)
            }
        }
        (Kind::Gather, false) => {
            let block = same(call.send_counts) * size;
            let (input, output, n) = (sent(block), received(block), block as c_int);
            mpi!(gather | igather, input, n, byte, output, n, byte, root, raw)
        }
        (Kind::Scatter, false) => {
            let block = same(call.recv_counts) * size;
            let (input, output, n) = (sent(block), received(block), block as c_int);
            mpi!(scatter | iscatter, input, n, byte, output, n, byte, root, raw)
        }
        (Kind::AllGather, false) => {
            let block = same(call.send_counts) * size;
            let (input, output, n) = (sent(block), received(block), block as c_int);
            mpi!(allgather | iallgather, input, n, byte, output, n, byte, raw)
        }
        (Kind::AllToAll, false) => {
            let block = same(call.send_counts) * size;
            let (input, output, n) = (sent(block), received(block), block as c_int);
            mpi!(alltoall | ialltoall, input, n, byte, output, n, byte, raw)
        }
        (Kind::AllGather, true) => {
            let mine = same(call.send_counts) * size;
            let output = received(total(call.recv_counts) * size);
            let counts = lend!(each(call.recv_counts, comm.size).map(|n| (n * size) as c_int));
            let places = lend!(places(call.recv_counts, comm.size, size).map(|n| n as c_int));
            let input = sent(mine);
            mpi!(allgatherv | iallgatherv, input, mine as c_int, byte, output, counts, places, byte, raw)
        }
        (Kind::Gather, true) => {
            let mine = same(call.send_counts) * size;
            let output = received(total(call.recv_counts) * size);
            let counts = lend!(each(call.recv_counts, comm.size).map(|n| (n * size) as Count));
            let places = lend!(places(call.recv_counts, comm.size, size).map(|n| n as Aint));
            let input = sent(mine);
            mpi!(gatherv_c | igatherv_c, input, mine as Count, byte, output, counts, places, byte, root, raw)
        }
        (Kind::Scatter, true) => {
            let mine = same(call.recv_counts) * size;
            let input = sent(total(call.send_counts) * size);
            let counts = lend!(each(call.send_counts, comm.size).map(|n| (n * size) as Count));
            let places = lend!(places(call.send_counts, comm.size, size).map(|n| n as Aint));
            let output = received(mine);
            mpi!(scatterv_c | iscatterv_c, input, counts, places, byte, output, mine as Count, byte, root, raw)
        }
        (Kind::AllToAll, true) => {
            let input = sent(total(call.send_counts) * size);
            let output = received(total(call.recv_counts) * size);
            let sizes = lend!(each(call.send_counts, comm.size).map(|n| (n * size) as Count));
            let starts = lend!(places(call.send_counts, comm.size, size).map(|n| n as Aint));
            let counts = lend!(each(call.recv_counts, comm.size).map(|n| (n * size) as Count));
            let places = lend!(places(call.recv_counts, comm.size, size).map(|n| n as Aint));
            mpi!(alltoallv_c | ialltoallv_c, input, sizes, starts, byte, output, counts, places, byte, raw)
        }
    }
}

/// What remains after the library's part: the division of an average.
///
/// # Safety
/// The receive part is valid, and the library is done with it.
#[inline]
pub(super) unsafe fn finish(comm: &Comm, call: &Call) {
    let Some(kernel) = call.kernel else { return };
    let ranks = match call.kind {
        Kind::Reduce if comm.rank != call.root => return,
        Kind::ExclusiveScan if comm.rank == 0 => return,
        Kind::ExclusiveScan => comm.rank,
        Kind::Scan => comm.rank + 1,
        _ => comm.size,
    };
    // SAFETY: the caller's promise.
    unsafe { kernel.finish(call.recv, total(call.recv_counts), ranks) }
}

/// `total` in runs of at most `most`: (start, length).
fn pieces(total: usize, most: usize) -> impl Iterator<Item = (usize, c_int)> {
    (0..total.div_ceil(most)).map(move |i| (i * most, most.min(total - i * most) as c_int))
}

/// The count of a part that is one block, or one of the equal blocks.
fn same(counts: Counts<'_>) -> usize {
    match counts {
        Counts::Same(count) => count,
        Counts::Each(counts) => counts.iter().sum(),
    }
}

/// All elements of a part with counts of each rank's own.
fn total(counts: Counts<'_>) -> usize {
    same(counts)
}

/// The count for each rank. A part that this rank does not have has none.
fn each(counts: Counts<'static>, ranks: usize) -> impl Iterator<Item = usize> {
    (0..ranks).map(move |r| match counts {
        Counts::Same(count) => count,
        Counts::Each(counts) => counts[r],
    })
}

/// Where each rank's block begins, in bytes.
fn places(counts: Counts<'static>, ranks: usize, size: usize) -> impl Iterator<Item = usize> {
    each(counts, ranks).scan(0, move |next, n| {
        let here = *next;
        *next += n * size;
        Some(here)
    })
}
