//! Ranks that call one collective with arguments that do not fit: every rank learns of it, and the next call works.

use bytemuck::{Pod, Zeroable};

use super::check::{Outcome, equal, refused};
use super::{Case, Needs};
use crate::communicator::Communicator;
use crate::error::{ErrorKind, Result};
use crate::op::Op;

pub(super) const CASES: &[Case] = &[
    checked("mismatches: lengths", lengths),
    checked("mismatches: roots", roots),
    checked("mismatches: element types", types),
    checked("mismatches: operators", operators),
    checked("mismatches: other collectives", other_collectives),
    checked("mismatches: a v form against a plain one", forms),
    checked("mismatches: counts that do not fit pairwise", counts),
    checked("mismatches: in flight", in_flight),
    checked("mismatches: only one rank differs, whichever", any_rank),
    checked("mismatches: a call refused at one rank ends at all", refused_at_one),
    checked("mismatches: a call in flight refused at one rank ends at all", refused_in_flight),
];

const fn checked(name: &'static str, run: fn(&Communicator) -> Outcome) -> Case {
    Case::new(name, run).ranks(2).needs(Needs::Checks)
}

/// Every rank makes a call that does not fit the others'; each must be told, and then everything works.
fn disagree<R>(c: &Communicator, what: &str, call: impl FnOnce() -> Result<R>) -> Outcome {
    refused(what, call(), "a mismatch", |k| matches!(k, ErrorKind::Mismatch(text) if !text.is_empty()))?;
    c.barrier()?;
    equal("a reduction after a mismatch", c.all_reduce(&[1u32], Op::Sum)?, vec![c.size() as u32])
}

/// Whether this rank is the one that differs.
fn odd(c: &Communicator) -> bool {
    c.rank() == c.size() - 1
}

fn lengths(c: &Communicator) -> Outcome {
    let n = if odd(c) { 3 } else { 4 };
    let size = c.size();
    disagree(c, "broadcast", || c.broadcast(&mut vec![0u8; n], 0))?;
    disagree(c, "reduce", || c.reduce(&vec![0u8; n], Op::Sum, 0))?;
    disagree(c, "all_reduce", || c.all_reduce(&vec![0f64; n], Op::Sum))?;
    disagree(c, "all_reduce_in_place", || c.all_reduce_in_place(&mut vec![0f64; n], Op::Sum))?;
    disagree(c, "scan", || c.scan(&vec![0i32; n], Op::Sum))?;
    disagree(c, "exclusive_scan", || c.exclusive_scan(&vec![0i32; n], Op::Sum))?;
    disagree(c, "gather", || c.gather(&vec![0i32; n], 0))?;
    disagree(c, "all_gather", || c.all_gather(&vec![0i32; n]))?;
    let root_data = (c.rank() == 0).then(|| vec![0u16; 4 * size]);
    disagree(c, "scatter", || c.scatter_into(root_data.as_deref(), &mut vec![0u16; n], 0))?;
    disagree(c, "all_to_all", || c.all_to_all(&vec![0u8; n * size]))?;
    disagree(c, "reduce_scatter", || c.reduce_scatter_block_into(&vec![0u32; n * size], &mut vec![0; n], Op::Sum))?;
    disagree(c, "nothing against something", || c.all_reduce(&vec![0f64; if odd(c) { 0 } else { 9 }], Op::Sum))?;
    disagree(c, "long ones", || c.all_reduce(&vec![0f64; 10_000 + n], Op::Sum))
}

fn roots(c: &Communicator) -> Outcome {
    let root = usize::from(odd(c));
    let data = vec![0u8; c.size()];
    disagree(c, "broadcast", || c.broadcast(&mut [0u8; 4], root))?;
    disagree(c, "reduce", || c.reduce(&[0u8; 4], Op::Sum, root))?;
    disagree(c, "gather", || c.gather(&[0u8; 4], root))?;
    disagree(c, "scatter_into", || c.scatter_into((c.rank() == root).then_some(&data[..]), &mut [0u8], root))
}

/// As long as 32 bytes, and not where any 32 bytes may lie.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(32))]
struct Aligned([u8; 32]);

fn types(c: &Communicator) -> Outcome {
    let longer = |a: [u8; 32], b: [u8; 32]| a.max(b);
    let longer_aligned = |a: Aligned, b: Aligned| Aligned(a.0.max(b.0));
    if odd(c) {
        disagree(c, "broadcast of another alignment", || c.broadcast(&mut [[0u8; 32]; 2], 0))?;
        disagree(c, "all_reduce of another alignment", || c.all_reduce(&[[0u8; 32]; 40], longer))?;
        disagree(c, "broadcast", || c.broadcast(&mut [0u64; 4], 0))?;
        disagree(c, "all_reduce", || c.all_reduce(&[0u64; 4], Op::Sum))?;
        disagree(c, "all_gather", || c.all_gather(&[0f32; 4]))?;
        disagree(c, "all_to_all", || c.all_to_all(&vec![[0u8; 2]; c.size()]))
    } else {
        disagree(c, "broadcast of another alignment", || c.broadcast(&mut [Aligned([0; 32]); 2], 0))?;
        disagree(c, "all_reduce of another alignment", || c.all_reduce(&[Aligned([0; 32]); 40], longer_aligned))?;
        disagree(c, "broadcast", || c.broadcast(&mut [0f64; 4], 0))?;
        disagree(c, "all_reduce", || c.all_reduce(&[0f64; 4], Op::Sum))?;
        disagree(c, "all_gather", || c.all_gather(&[0u8; 4]))?;
        disagree(c, "all_to_all", || c.all_to_all(&vec![0u16; c.size()]))
    }
}

fn operators(c: &Communicator) -> Outcome {
    let op = if odd(c) { Op::Max } else { Op::Sum };
    disagree(c, "all_reduce", || c.all_reduce(&[0u64; 4], op))?;
    disagree(c, "reduce", || c.reduce(&[0f64; 4], op, 0))?;
    disagree(c, "scan", || c.scan(&[0i8; 4], op))?;
    disagree(c, "reduce_scatter", || c.reduce_scatter(&vec![0i8; c.size()], &vec![1; c.size()], op))?;
    let average = if odd(c) { Op::Average } else { Op::Sum };
    disagree(c, "average against sum", || c.all_reduce(&[0f64; 4], average))?;
    disagree(c, "a closure against an operator", || {
        if odd(c) { c.all_reduce(&[0u64], |a: u64, b: u64| a + b) } else { c.all_reduce(&[0u64], Op::Sum) }
    })
}

fn other_collectives(c: &Communicator) -> Outcome {
    let calls: [fn(&Communicator) -> Result<()>; 6] = [
        Communicator::barrier,
        |c| c.all_reduce(&[0u8], Op::Sum).map(drop),
        |c| c.broadcast(&mut [0u8], 0),
        |c| c.all_gather(&[0u8]).map(drop),
        |c| c.scan(&[0u8], Op::Sum).map(drop),
        |c| c.reduce(&[0u8], Op::Sum, 0).map(drop),
    ];
    for (k, call) in calls.iter().enumerate() {
        let other = calls[(k + 1) % calls.len()];
        disagree(c, "two collectives", || if odd(c) { other(c) } else { call(c) })?;
    }
    Ok(())
}

fn forms(c: &Communicator) -> Outcome {
    let size = c.size();
    let counts = vec![2usize; size];
    let mut result = vec![0u8; 2 * size];
    disagree(c, "all_gather", || {
        if odd(c) {
            c.all_gather_into(&[0u8; 2], &mut result)
        } else {
            c.all_gatherv_into(&[0u8; 2], &mut result, &counts)
        }
    })
}

fn counts(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let ones = vec![1usize; size];
    let mut result = vec![0u8; size];
    // The last rank has two elements where the root counts on one.
    let mine = vec![0u8; if odd(c) { 2 } else { 1 }];
    disagree(c, "gatherv_into", || c.gatherv_into(&mine, (me == 0).then_some((&mut result[..], &ones[..])), 0))?;
    disagree(c, "all_gatherv_into", || c.all_gatherv_into(&mine, &mut result, &ones))?;
    let data = (me == 0).then_some((&result[..], &ones[..]));
    disagree(c, "scatterv_into", || c.scatterv_into(data, &mut mine.clone(), 0))?;
    // Rank 0 sends one to the last rank, which expects two.
    let mut expects = ones.clone();
    if odd(c) {
        expects[0] = 2;
    }
    let mut into = vec![0u8; expects.iter().sum()];
    disagree(c, "all_to_allv_into", || c.all_to_allv_into(&vec![0u8; size], &ones, &mut into, &expects))?;
    // The same total, dealt out differently.
    let mut shares = vec![1usize; size];
    shares[0] += usize::from(odd(c));
    shares[1] += usize::from(!odd(c));
    disagree(c, "reduce_scatter", || c.reduce_scatter(&vec![0u32; size + 1], &shares, Op::Sum))?;
    disagree(c, "all_gatherv_into with other counts", || {
        c.all_gatherv_into(&vec![0u8; shares[me]], &mut vec![0u8; size + 1], &shares)
    })
}

fn in_flight(c: &Communicator) -> Outcome {
    let n = if odd(c) { 3 } else { 4 };
    disagree(c, "iall_reduce", || c.iall_reduce(vec![0u8; n], Op::Sum)?.wait())?;
    disagree(c, "ibroadcast", || c.ibroadcast(vec![0u8; 4], usize::from(odd(c)))?.wait())?;
    disagree(c, "iall_gather", || c.iall_gather(vec![0u8; n])?.wait())?;
    disagree(c, "ibarrier against ireduce", || {
        if odd(c) { c.ibarrier()?.wait() } else { c.ireduce(vec![0u8; 4], Op::Sum, 0)?.wait().map(drop) }
    })?;
    let mut counts = vec![1; c.size()];
    counts[0] += usize::from(odd(c));
    disagree(c, "iall_to_allv", || c.iall_to_allv(vec![0u8; c.size()], vec![1; c.size()], counts.clone())?.wait())?;
    equal("the next in flight", c.iall_reduce(vec![1u32], Op::Sum)?.wait()?, vec![c.size() as u32])
}

fn any_rank(c: &Communicator) -> Outcome {
    for different in 0..c.size() {
        let n = 4 + usize::from(c.rank() == different);
        disagree(c, "all_reduce", || c.all_reduce(&vec![0u64; n], Op::Sum))?;
        disagree(c, "broadcast", || c.broadcast(&mut vec![0u64; n], c.size() - 1))?;
    }
    Ok(())
}

/// Every rank makes the call, which is refused at the rank `wrong` alone for its own arguments: it hears why, the others that it
/// was.
fn refused_alone<R>(c: &Communicator, what: &str, wrong: usize, call: impl FnOnce(bool) -> Result<R>) -> Outcome {
    let what = format!("{what}, wrong at rank {wrong}");
    if c.rank() == wrong {
        refused(&what, call(true), "its own error", |kind| {
            matches!(
                kind,
                ErrorKind::InvalidRoot { .. } | ErrorKind::InvalidArgument(_) | ErrorKind::UndefinedOp { .. }
            )
        })?;
    } else {
        let named = format!("rank {wrong} passed arguments to ");
        let expected = "a mismatch that names the rank";
        refused(&what, call(false), expected, |k| matches!(k, ErrorKind::Mismatch(text) if text.contains(&named)))?;
    }
    c.barrier()?;
    equal("a reduction after it", c.all_reduce(&[1u32], Op::Sum)?, vec![c.size() as u32])
}

fn refused_at_one(c: &Communicator) -> Outcome {
    let size = c.size();
    let root = |wrong: bool| if wrong { size } else { 0 };
    let op = |wrong: bool| if wrong { Op::BitAnd } else { Op::Sum };
    let (data, ones) = (vec![1.0f64; size], vec![1usize; size]);
    let counts = |wrong: bool| if wrong { vec![3usize; size] } else { ones.clone() };
    for rank in 0..size {
        let mine = c.rank() == rank;
        refused_alone(c, "broadcast", rank, |wrong| c.broadcast(&mut [0u8], root(wrong)))?;
        refused_alone(c, "broadcast_vec", rank, |wrong| c.broadcast_vec(Some(vec![0u8]), root(wrong)))?;
        refused_alone(c, "reduce", rank, |wrong| c.reduce(&data, op(wrong), 0))?;
        refused_alone(c, "reduce_into without a result", rank, |_| c.reduce_into(&data, None, Op::Sum, rank))?;
        refused_alone(c, "all_reduce", rank, |wrong| c.all_reduce(&data, op(wrong)))?;
        let mut sums = vec![0.0; size + usize::from(mine)];
        refused_alone(c, "all_reduce_into", rank, |_| c.all_reduce_into(&data, &mut sums, Op::Sum))?;
        refused_alone(c, "scan", rank, |wrong| c.scan(&data, op(wrong)))?;
        refused_alone(c, "gather", rank, |wrong| c.gather(&data, root(wrong)))?;
        refused_alone(c, "gatherv", rank, |wrong| c.gatherv(&data, root(wrong)))?;
        let mut all = vec![0.0; size * size + usize::from(mine)];
        refused_alone(c, "all_gather_into", rank, |_| c.all_gather_into(&data, &mut all))?;
        refused_alone(c, "scatter_into without data", rank, |_| c.scatter_into::<u8>(None, &mut [0], rank))?;
        refused_alone(c, "scatterv", rank, |wrong| c.scatterv(Some((&data[..], &ones[..])), root(wrong)))?;
        refused_alone(c, "all_to_allv", rank, |wrong| c.all_to_allv(&data, &counts(wrong)))?;
        refused_alone(c, "reduce_scatter", rank, |wrong| c.reduce_scatter(&data, &counts(wrong), Op::Sum))?;
    }
    Ok(())
}

fn refused_in_flight(c: &Communicator) -> Outcome {
    let size = c.size();
    let root = |wrong: bool| if wrong { size } else { 0 };
    let op = |wrong: bool| if wrong { Op::BitAnd } else { Op::Sum };
    let data = vec![1.0f64; size];
    for rank in 0..size {
        refused_alone(c, "ibroadcast", rank, |wrong| c.ibroadcast(vec![0u8], root(wrong))?.wait())?;
        refused_alone(c, "ireduce", rank, |wrong| c.ireduce(data.clone(), op(wrong), 0)?.wait())?;
        refused_alone(c, "iall_reduce", rank, |wrong| c.iall_reduce(data.clone(), op(wrong))?.wait())?;
        refused_alone(c, "igatherv without counts", rank, |_| c.igatherv(data.clone(), None, rank)?.wait())?;
        refused_alone(c, "iall_to_all", rank, |wrong| c.iall_to_all(vec![0u8; size + usize::from(wrong)])?.wait())?;
        equal("the next in flight", c.iall_reduce(vec![1u32], Op::Sum)?.wait()?, vec![size as u32])?;
    }
    Ok(())
}
