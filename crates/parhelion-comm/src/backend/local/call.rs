//! What a rank's call of a collective says about the work to do, and whether the calls of all ranks fit each other.

use super::share::Calls;
use crate::backend::signature::{Pair, Signature, compare, compare_counts};
use crate::backend::{Collective, CollectiveKind as Kind, Counts};
use crate::op::Kernel;

/// Send parts up to this size travel with the call.
pub(super) const EAGER: usize = 224;

/// What a call contributes: its send part, or the receive part of a broadcast and of an in-place all_reduce.
pub(super) fn input(call: &Collective<'_>) -> *const u8 {
    let from_recv = call.kind == Kind::Broadcast || (call.kind == Kind::AllReduce && call.send.is_null());
    if from_recv { call.recv } else { call.send }
}

/// The bytes that travel in the slot; `None` if the send part is too large, or of another shape on other ranks. The
/// answer follows from what the signatures compare, so that all ranks agree on it.
pub(super) fn eager_bytes(call: &Collective<'_>) -> Option<usize> {
    let count = match call.kind {
        Kind::Barrier => 0,
        Kind::Broadcast | Kind::AllReduce => call.recv_counts.one(),
        Kind::Reduce | Kind::Scan | Kind::ExclusiveScan => call.send_counts.one(),
        Kind::Gather | Kind::AllGather if !call.varying => call.send_counts.one(),
        _ => return None,
    };
    let bytes = count.checked_mul(call.element.size)?;
    (bytes <= EAGER && call.element.align <= 16).then_some(bytes)
}

/// The call with its lifetime forgotten.
///
/// # Safety
/// What the call borrows outlives every use of the result.
pub(super) unsafe fn forget_lifetime(call: &Collective<'_>) -> Collective<'static> {
    let counts = |c: Counts<'_>| match c {
        Counts::Same(n) => Counts::Same(n),
        // SAFETY: the caller's promise.
        Counts::Each(each) => Counts::Each(unsafe { std::slice::from_raw_parts(each.as_ptr(), each.len()) }),
    };
    Collective {
        kind: call.kind,
        element: call.element,
        root: call.root,
        varying: call.varying,
        send: call.send,
        send_counts: counts(call.send_counts),
        recv: call.recv,
        recv_counts: counts(call.recv_counts),
        // SAFETY: the caller's promise.
        kernel: call.kernel.map(|k: Kernel<'_>| unsafe { k.forget_lifetime() }),
        refused: call.refused,
    }
}

/// What is wrong between the calls, if anything. Every rank comes to the same answer.
pub(super) fn disagreement(signatures: &[Signature], calls: &impl Calls) -> Option<String> {
    if let Some(text) = compare(signatures) {
        return Some(text);
    }
    let first = calls.call(0);
    if !first.varying {
        return None;
    }
    let p = calls.size();
    let pair = |from: usize, to: usize, sent: usize, expected: usize| Pair { from, to, sent, expected };
    match first.kind {
        Kind::Gather => {
            let counts = calls.call(first.root).recv_counts;
            let pairs = (0..p).map(|r| pair(r, first.root, signatures[r].own(), counts.block(r).1));
            compare_counts(first.kind, pairs)
        }
        Kind::Scatter => {
            let counts = calls.call(first.root).send_counts;
            let pairs = (0..p).map(|r| pair(first.root, r, counts.block(r).1, signatures[r].own()));
            compare_counts(first.kind, pairs)
        }
        Kind::AllGather => {
            let pairs = (0..p).map(|r| pair(r, 0, signatures[r].own(), first.recv_counts.block(r).1));
            compare_counts(first.kind, pairs)
        }
        Kind::AllToAll => {
            let block = |counts: Counts<'_>, r: usize| counts.block(r).1;
            let pairs = (0..p).flat_map(|from| {
                (0..p).map(move |to| {
                    pair(from, to, block(calls.call(from).send_counts, to), block(calls.call(to).recv_counts, from))
                })
            });
            compare_counts(first.kind, pairs)
        }
        _ => None,
    }
}
