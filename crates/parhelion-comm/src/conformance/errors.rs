//! Errors as values: the call fails, the communicator goes on.

use super::Case;
use super::check::{Halt, Outcome, ensure, equal, refused, same};
use super::sample::{neighbours, pattern};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::error::{Error, ErrorKind, Result};
use crate::op::Op;
use crate::status::Any;

pub(super) const CASES: &[Case] = &[
    Case::new("errors: a message longer than its buffer, blocking", truncated_blocking),
    Case::new("errors: a message longer than its buffer, in flight", truncated_in_flight),
    Case::new("errors: a message longer than its buffer, in a scope", truncated_in_scope),
    Case::new("errors: a message longer than its buffer, after a probe", truncated_after_probe),
    Case::new("errors: a message that is no whole number of elements", partial_elements),
    Case::new("errors: a rank outside the communicator", bad_ranks),
    Case::new("errors: a tag above the largest", bad_tags),
    Case::new("errors: a root outside the communicator", bad_roots),
    Case::new("errors: lengths that do not fit each other", bad_lengths),
    Case::new("errors: a root that passes nothing", root_without_data),
    Case::new("errors: an operator that is not defined", undefined_operators),
    Case::new("errors: an error says where and with whom", circumstances),
];

/// The communicator still works: a message and a collective.
fn still_works(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut got = [0u64; 2];
    c.send_recv(&[c.rank() as u64, 5], right, 1, &mut got, left, 1)?;
    equal("a message after an error", got, [left as u64, 5])?;
    equal("a reduction after an error", c.all_reduce(&[1u32], Op::Sum)?, vec![c.size() as u32])
}

fn truncated(what: &str, bytes: usize, capacity: usize, result: Result<()>) -> Result<Error, Halt> {
    let is = |k: &ErrorKind| matches!(k, ErrorKind::Truncated { capacity: c, .. } if *c == capacity);
    refused(format_args!("{bytes} bytes {what} into {capacity}"), result, &format!("truncation at {capacity}"), is)
}

/// Short and long messages, each into no room at all and into almost enough.
const TOO_LONG: [(usize, usize); 6] = [(1, 0), (8, 7), (41, 40), (8192, 100), (50_000, 0), (200_000, 199_999)];

fn truncated_blocking(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for (bytes, capacity) in TOO_LONG {
        let sent = c.isend(pattern::<u8>(1, bytes), right, 1)?;
        let next = c.isend(vec![4u8; 3], right, 1)?;
        let mut got = vec![0u8; capacity];
        truncated("received", bytes, capacity, c.recv(&mut got, left, 1).map(drop))?;
        // The long message is consumed, so the next one is next.
        equal("the message after it", c.recv_vec::<u8>(left, 1)?.0, vec![4; 3])?;
        sent.wait()?;
        next.wait()?;
        // From anyone, the error names who it was. Not every MPI library reports anything then: MPICH 5.0 does not where the
        // buffer has no room at all and was there first.
        if c.backend() != BackendKind::Mpi {
            let sent = c.isend(pattern::<u8>(1, bytes), right, 1)?;
            let mut got = vec![0u8; capacity];
            let error = truncated("from anyone", bytes, capacity, c.recv(&mut got, Any, 1).map(drop))?;
            equal(format_args!("the sender of {bytes} bytes into {capacity}"), error.peer(), Some(left))?;
            sent.wait()?;
        }
        // With the buffer there before the message.
        let mut got = vec![0u8; capacity];
        let result = c.send_recv(&pattern::<u8>(1, bytes), right, 2, &mut got, left, 2);
        truncated("by send_recv", bytes, capacity, result.map(drop))?;
        still_works(c)?;
    }
    Ok(())
}

fn truncated_in_flight(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for (bytes, capacity) in TOO_LONG {
        let receive = c.irecv(vec![0u8; capacity], left, 1)?;
        let fitting = c.irecv(vec![0u8; bytes], left, 1)?;
        c.barrier()?;
        let sends = [c.isend(pattern::<u8>(1, bytes), right, 1)?, c.isend(pattern::<u8>(2, bytes), right, 1)?];
        truncated("in flight", bytes, capacity, receive.wait().map(drop))?;
        same("the message after it", &fitting.wait()?, &pattern(2, bytes))?;
        for sent in sends {
            sent.wait()?;
        }
        // The same found by test, then dropped without a word.
        let mut receive = c.irecv(vec![0u8; capacity], Any, Any)?;
        let sent = c.isend(pattern::<u8>(1, bytes), right, 1)?;
        super::check::eventually("test of a truncated receive", || Ok(receive.test()))?;
        drop(receive);
        sent.wait()?;
        still_works(c)?;
    }
    Ok(())
}

fn truncated_in_scope(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for (bytes, capacity) in TOO_LONG {
        let mine = pattern::<u8>(1, bytes);
        for wait_inside in [true, false] {
            let mut got = vec![0u8; capacity];
            let result = c.scope(|s| {
                let received = s.recv(&mut got, left, 1)?;
                s.send(&mine, right, 1)?;
                if wait_inside { received.wait().map(drop) } else { Ok(()) }
            });
            truncated("in a scope", bytes, capacity, result)?;
        }
        still_works(c)?;
    }
    Ok(())
}

fn truncated_after_probe(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for (bytes, capacity) in TOO_LONG {
        let sent = c.isend(pattern::<u8>(1, bytes), right, 1)?;
        let message = c.probe_message(left, 1)?;
        let mut got = vec![0u8; capacity];
        truncated("after a probe", bytes, capacity, message.recv(&mut got).map(drop))?;
        sent.wait()?;
        still_works(c)?;
    }
    Ok(())
}

fn partial_elements(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [3usize, 8191, 60_003] {
        let is = |k: &ErrorKind| *k == ErrorKind::PartialElement { bytes, element: 8 };
        let expected = "a partial element";
        let mut sends = Vec::new();
        for _ in 0..3 {
            sends.push(c.isend(pattern::<u8>(1, bytes), right, 1)?);
        }
        let mut got = vec![0u64; bytes / 8 + 2];
        refused("recv", c.recv(&mut got, left, 1), expected, is)?;
        refused("irecv", c.irecv(vec![0u64; bytes / 8 + 2], left, 1)?.wait(), expected, is)?;
        refused("recv_vec", c.recv_vec::<u64>(left, 1), expected, is)?;
        let result = c.send_recv(&pattern::<u8>(1, bytes), right, 2, &mut got, left, 2);
        refused("send_recv", result, expected, is)?;
        crate::request::wait_all(sends)?;
        still_works(c)?;
    }
    Ok(())
}

fn bad_ranks(c: &Communicator) -> Outcome {
    for rank in [c.size(), c.size() + 1, usize::MAX] {
        let want = ErrorKind::InvalidRank { rank, size: c.size() };
        let is = |k: &ErrorKind| *k == want;
        let expected = "an invalid rank";
        refused("send", c.send(&[1u8], rank, 0), expected, is)?;
        refused("send_synchronous", c.send_synchronous(&[1u8], rank, 0), expected, is)?;
        refused("isend", c.isend(vec![1u8], rank, 0), expected, is)?;
        refused("isend_synchronous", c.isend_synchronous(vec![1u8], rank, 0), expected, is)?;
        refused("recv", c.recv(&mut [0u8], rank, 0), expected, is)?;
        refused("irecv", c.irecv(vec![0u8], rank, 0), expected, is)?;
        refused("recv_vec", c.recv_vec::<u8>(rank, 0), expected, is)?;
        refused("probe", c.probe(rank, Any), expected, is)?;
        refused("try_probe", c.try_probe(rank, Any), expected, is)?;
        refused("probe_message", c.probe_message(rank, 0), expected, is)?;
        refused("try_probe_message", c.try_probe_message(rank, 0), expected, is)?;
        refused("send_recv to it", c.send_recv(&[1u8], rank, 0, &mut [0u8], 0, 0), expected, is)?;
        refused("send_recv from it", c.send_recv(&[1u8], 0, 0, &mut [0u8], rank, 0), expected, is)?;
        let mut buffer = [0u8];
        refused("a scope's receive", c.scope(|s| s.recv(&mut buffer, rank, 0).map(drop)), expected, is)?;
        refused("a scope's send", c.scope(|s| s.send(&[1u8], rank, 0).map(drop)), expected, is)?;
        refused("group", c.group("outside", &[c.rank(), rank]), expected, is)?;
    }
    c.barrier()?;
    ensure(c.try_probe(Any, Any)?.is_none(), "a refused call sent a message")?;
    c.barrier()?;
    still_works(c)
}

fn bad_tags(c: &Communicator) -> Outcome {
    let max = c.max_tag();
    let Some(tag) = max.checked_add(1) else { return still_works(c) };
    for tag in [tag, u32::MAX] {
        let is = |k: &ErrorKind| *k == ErrorKind::InvalidTag { tag, max };
        let expected = "an invalid tag";
        refused("send", c.send(&[1u8], 0, tag), expected, is)?;
        refused("isend", c.isend(vec![1u8], 0, tag), expected, is)?;
        refused("recv", c.recv(&mut [0u8], 0, tag), expected, is)?;
        refused("irecv", c.irecv(vec![0u8], Any, tag), expected, is)?;
        refused("probe", c.probe(Any, tag), expected, is)?;
        refused("try_probe_message", c.try_probe_message(Any, tag), expected, is)?;
        refused("send_recv", c.send_recv(&[1u8], 0, tag, &mut [0u8], 0, 0), expected, is)?;
    }
    still_works(c)
}

fn bad_roots(c: &Communicator) -> Outcome {
    for root in [c.size(), usize::MAX] {
        let is = |k: &ErrorKind| *k == ErrorKind::InvalidRoot { root, size: c.size() };
        let expected = "an invalid root";
        refused("broadcast", c.broadcast(&mut [0u8], root), expected, is)?;
        refused("broadcast_vec", c.broadcast_vec(Some(vec![0u8]), root), expected, is)?;
        refused("reduce", c.reduce(&[0u8], Op::Sum, root), expected, is)?;
        refused("gather", c.gather(&[0u8], root), expected, is)?;
        refused("gatherv", c.gatherv(&[0u8], root), expected, is)?;
        refused("scatter", c.scatter(Some(&[0u8][..]), root), expected, is)?;
        refused("scatterv", c.scatterv::<u8>(None, root), expected, is)?;
        refused("ibroadcast", c.ibroadcast(vec![0u8], root), expected, is)?;
        refused("ireduce", c.ireduce(vec![0u8], Op::Sum, root), expected, is)?;
        refused("igather", c.igather(vec![0u8], root), expected, is)?;
        refused("igatherv", c.igatherv(vec![0u8], None, root), expected, is)?;
        refused("iscatter", c.iscatter(Some(vec![0u8]), 1, root), expected, is)?;
        refused("iscatterv", c.iscatterv::<u8>(None, 1, root), expected, is)?;
    }
    still_works(c)
}

fn bad_lengths(c: &Communicator) -> Outcome {
    let size = c.size();
    let is = |k: &ErrorKind| matches!(k, ErrorKind::InvalidArgument(_));
    let expected = "an invalid argument";
    let (data, mut longer) = (vec![1u32; size], vec![0u32; size + 1]);
    refused("all_reduce_into", c.all_reduce_into(&data, &mut longer, Op::Sum), expected, is)?;
    refused("scan_into", c.scan_into(&data, &mut longer, Op::Sum), expected, is)?;
    refused("exclusive_scan_into", c.exclusive_scan_into(&data, &mut longer, Op::Sum), expected, is)?;
    refused("reduce_into", c.reduce_into(&data, Some(&mut longer), Op::Sum, c.rank()), expected, is)?;
    refused("reduce_into without a result", c.reduce_into(&data, None, Op::Sum, c.rank()), expected, is)?;
    refused("gather_into", c.gather_into(&data[..1], Some(&mut longer), c.rank()), expected, is)?;
    refused("gather_into without a result", c.gather_into(&data, None, c.rank()), expected, is)?;
    refused("all_gather_into", c.all_gather_into(&data[..1], &mut longer), expected, is)?;
    refused("scatter_into", c.scatter_into(Some(&data), &mut [0; 2], c.rank()), expected, is)?;
    refused("all_to_all_into", c.all_to_all_into(&data, &mut longer), expected, is)?;
    if size > 1 {
        refused("all_to_all of unequal blocks", c.all_to_all(&vec![0u8; size + 1]), expected, is)?;
        refused("iall_to_all of unequal blocks", c.iall_to_all(vec![0u8; size + 1]), expected, is)?;
    }
    let (few, wrong) = (vec![1usize; size - 1], vec![3usize; size]);
    for counts in [&few, &wrong, &vec![usize::MAX; size + 1]] {
        let own = c.rank();
        refused("gatherv_into", c.gatherv_into(&data[..1], Some((&mut longer, counts)), own), expected, is)?;
        refused("all_gatherv_into", c.all_gatherv_into(&data[..1], &mut longer, counts), expected, is)?;
        refused("scatterv_into", c.scatterv_into(Some((&data, counts)), &mut [0], own), expected, is)?;
        refused("all_to_allv", c.all_to_allv(&data, counts), expected, is)?;
        refused("iall_to_allv", c.iall_to_allv(data.clone(), counts.clone(), counts.clone()), expected, is)?;
        refused("reduce_scatter", c.reduce_scatter(&data, counts, Op::Sum), expected, is)?;
        refused("ireduce_scatter", c.ireduce_scatter(data.clone(), counts.clone(), Op::Sum), expected, is)?;
    }
    refused("iall_gatherv", c.iall_gatherv(vec![1u8], few.clone()), expected, is)?;
    refused(
        "reduce_scatter_block_into",
        c.reduce_scatter_block_into(&vec![0; 2 * size + 1], &mut [0, 0], Op::Sum),
        expected,
        is,
    )?;
    if size > 1 {
        // A sum beyond usize.
        let huge = vec![usize::MAX; size];
        refused("all_gatherv_into of too much", c.all_gatherv_into(&data[..1], &mut longer, &huge), expected, is)?;
        refused("iall_gatherv of too much", c.iall_gatherv(vec![1u8], huge), expected, is)?;
    }
    refused("group of nobody", c.group("nobody", &[]), expected, is)?;
    refused("group with a rank twice", c.group("twice", &[c.rank(), c.rank()]), expected, is)?;
    still_works(c)
}

fn root_without_data(c: &Communicator) -> Outcome {
    let is = |k: &ErrorKind| matches!(k, ErrorKind::InvalidArgument(_));
    for root in [0, c.size() - 1] {
        // Every rank learns of it, so that nobody waits for the root.
        refused("broadcast_vec", c.broadcast_vec::<u8>(None, root), "an invalid argument", is)?;
        refused("scatter", c.scatter::<u8>(None, root), "an invalid argument", is)?;
        refused("scatterv", c.scatterv::<u8>(None, root), "an invalid argument", is)?;
        let wrong = vec![1usize; c.size() + 1];
        refused("scatterv", c.scatterv(Some((&[0u8][..], &wrong)), root), "an invalid argument", is)?;
        if c.size() > 1 {
            let odd = vec![0u8; c.size() + 1];
            refused("scatter of unequal blocks", c.scatter(Some(&odd), root), "an invalid argument", is)?;
        }
        still_works(c)?;
    }
    Ok(())
}

fn undefined_operators(c: &Communicator) -> Outcome {
    let is = |k: &ErrorKind| matches!(k, ErrorKind::UndefinedOp(_));
    let expected = "an undefined operator";
    let data = vec![1.0f64; c.size()];
    refused("all_reduce", c.all_reduce(&data, Op::BitAnd), expected, is)?;
    refused("reduce", c.reduce(&data, Op::LogicalOr, 0), expected, is)?;
    refused("scan", c.scan(&data, Op::MinLoc), expected, is)?;
    refused("exclusive_scan", c.exclusive_scan(&[[1u8; 3]], Op::Sum), expected, is)?;
    refused("reduce_scatter", c.reduce_scatter(&data, &vec![1; c.size()], Op::BitXor), expected, is)?;
    refused("iall_reduce", c.iall_reduce(vec![crate::Complex::new(1.0f32, 0.0)], Op::Max), expected, is)?;
    refused("ireduce", c.ireduce(vec![(); 2], Op::Average, 0), expected, is)?;
    refused("iscan", c.iscan(data.clone(), Op::BitOr), expected, is)?;
    refused("ireduce_scatter", c.ireduce_scatter(data, vec![1; c.size()], Op::BitOr), expected, is)?;
    still_works(c)
}

fn circumstances(c: &Communicator) -> Outcome {
    let check = |error: Error, operation: &str| -> Outcome {
        equal("the operation", error.operation(), operation)?;
        equal("the rank", error.rank(), Some(c.rank()))?;
        equal("the backend", error.backend(), Some(c.backend()))?;
        let text = error.to_string();
        for part in [operation, c.name(), &c.backend().to_string(), &format!("rank {}", c.rank())] {
            ensure(text.contains(part), format_args!("{text:?} does not say {part:?}"))?;
        }
        equal("Debug and Display", format!("{error:?}"), text)
    };
    let any = |_: &ErrorKind| true;
    check(refused("send", c.send(&[0u8], c.size(), 0), "an error", any)?, "send")?;
    check(refused("all_reduce_into", c.all_reduce_into(&[0u8], &mut [], Op::Sum), "an error", any)?, "all_reduce")?;
    check(refused("broadcast", c.broadcast(&mut [0u8], c.size()), "an error", any)?, "broadcast")?;
    let (right, left) = neighbours(c);
    let sent = c.isend(vec![0u8; 9], right, 33)?;
    let error = refused("recv", c.recv(&mut [0u8; 2], left, 33), "an error", any)?;
    check(error, "recv")?;
    sent.wait()?;
    Ok(())
}
