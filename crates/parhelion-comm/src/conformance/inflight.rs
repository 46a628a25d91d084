//! Several collectives in flight, with messages between them.

use super::Case;
use super::check::{Outcome, equal, eventually, same};
use super::sample::{neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::error::Result;
use crate::op::Op;
use crate::request::{Request, wait_all, wait_any};

pub(super) const CASES: &[Case] = &[
    Case::new("inflight: many of one kind, waited for in another order on each rank", many_of_one),
    Case::new("inflight: every kind at once", every_kind),
    Case::new("inflight: messages pass while collectives are in flight", messages_between),
    Case::new("inflight: blocking collectives pass while others are in flight", blocking_between),
    Case::new("inflight: collectives of several communicators", several_communicators),
    Case::new("inflight: wait_any over collectives and test loops", any_and_test),
    Case::new("inflight: a rank that starts late completes all", late_start),
];

/// The order in which `rank` waits for `n` requests: another for each rank.
fn order(rank: usize, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.rotate_left(rank % n);
    if rank % 2 == 1 {
        order.reverse();
    }
    order
}

fn many_of_one(c: &Communicator) -> Outcome {
    const N: usize = 24;
    let count = |k: usize| if k % 6 == 5 { 3000 } else { k + 1 };
    let start = |k: usize| c.iall_reduce(vec![(k * c.rank()) as u64; count(k)], Op::Sum).map(Some);
    let mut requests = (0..N).map(start).collect::<Result<Vec<_>>>()?;
    let total = c.size() * (c.size() - 1) / 2;
    for k in order(c.rank(), N) {
        if let Some(request) = requests[k].take() {
            equal(format_args!("reduction {k}"), request.wait()?, vec![(k * total) as u64; count(k)])?;
        }
    }
    Ok(())
}

fn every_kind(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    for count in [2usize, 2500] {
        let block = |from: usize, to: usize| pattern::<u32>(seed(&[from, to]), count);
        let all = |f: &dyn Fn(usize) -> Vec<u32>| (0..size).flat_map(f).collect::<Vec<u32>>();
        let root = size / 2;
        let xor = |a: u32, b: u32| a ^ b;
        let fold =
            |n: usize| (0..n).fold(vec![0u32; count], |a, r| a.iter().zip(block(r, 0)).map(|(x, y)| x ^ y).collect());

        let barrier = c.ibarrier()?;
        let broadcast = c.ibroadcast(if me == root { block(root, 0) } else { vec![0; count] }, root)?;
        let gather = c.igather(block(me, 0), root)?;
        let all_gather = c.iall_gather(block(me, 0))?;
        let scatter = c.iscatter((me == root).then(|| all(&|to| block(root, to))), count, root)?;
        let all_to_all = c.iall_to_all(all(&|to| block(me, to)))?;
        let reduce = c.ireduce(block(me, 0), xor, root)?;
        let all_reduce = c.iall_reduce(block(me, 0), Op::BitXor)?;
        let scan = c.iscan(block(me, 0), xor)?;
        let exclusive_scan = c.iexclusive_scan(block(me, 0), Op::BitXor)?;
        let reduce_scatter = c.ireduce_scatter(all(&|to| block(me, to)), vec![count; size], xor)?;

        let scattered =
            (0..size).fold(vec![0u32; count], |a, r| a.iter().zip(block(r, me)).map(|(x, y)| x ^ y).collect());
        same("reduce_scatter", &reduce_scatter.wait()?, &scattered)?;
        same("exclusive_scan", &exclusive_scan.wait()?, &fold(me))?;
        same("scan", &scan.wait()?, &fold(me + 1))?;
        same("all_reduce", &all_reduce.wait()?, &fold(size))?;
        equal("reduce", reduce.wait()?, (me == root).then(|| fold(size)))?;
        same("all_to_all", &all_to_all.wait()?, &all(&|from| block(from, me)))?;
        same("scatter", &scatter.wait()?, &block(root, me))?;
        same("all_gather", &all_gather.wait()?, &all(&|from| block(from, 0)))?;
        equal("gather", gather.wait()?, (me == root).then(|| all(&|from| block(from, 0))))?;
        same("broadcast", &broadcast.wait()?, &block(root, 0))?;
        barrier.wait()?;
    }
    Ok(())
}

fn messages_between(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [16usize, 40_000] {
        let first = c.iall_reduce(vec![1u64; 500], Op::Sum)?;
        let receive = c.irecv(vec![0u8; bytes], left, 0)?;
        let second = c.iall_gather(vec![c.rank() as u8; bytes / 8])?;
        let send = c.isend(pattern::<u8>(seed(&[c.rank()]), bytes), right, 0)?;
        same("the message", &receive.wait()?, &pattern(seed(&[left]), bytes))?;
        let mut got = vec![0u8; bytes];
        c.send_recv(&pattern::<u8>(5, bytes), left, 0, &mut got, right, 0)?;
        same("a message the other way", &got, &pattern(5, bytes))?;
        let want: Vec<u8> = (0..c.size()).flat_map(|rank| vec![rank as u8; bytes / 8]).collect();
        same("the blocks", &second.wait()?, &want)?;
        send.wait()?;
        equal("the sum", first.wait()?, vec![c.size() as u64; 500])?;
    }
    Ok(())
}

fn blocking_between(c: &Communicator) -> Outcome {
    let size = c.size() as u64;
    let a = c.iall_reduce(vec![1u64; 2000], Op::Sum)?;
    c.barrier()?;
    let b = c.ibarrier()?;
    equal("blocking", c.all_reduce(&[2u64], Op::Sum)?, vec![2 * size])?;
    let d = c.ibroadcast(if c.rank() == 0 { vec![7u8; 10] } else { vec![0; 10] }, 0)?;
    equal("blocking again", c.all_gather(&[3u16])?, vec![3; c.size()])?;
    // Odd ranks wait for the last first.
    if c.rank() % 2 == 1 {
        equal("the broadcast", d.wait()?, vec![7; 10])?;
        b.wait()?;
        equal("the sum", a.wait()?, vec![size; 2000])
    } else {
        equal("the sum", a.wait()?, vec![size; 2000])?;
        b.wait()?;
        equal("the broadcast", d.wait()?, vec![7; 10])
    }
}

fn several_communicators(c: &Communicator) -> Outcome {
    let others = (0..3).map(|_| c.dup()).collect::<Result<Vec<_>>>()?;
    // Ranks start on the communicators in different orders: order matters only within each.
    let mut requests: Vec<Option<Request<Vec<u64>>>> = (0..3).map(|_| None).collect();
    for k in order(c.rank(), 3) {
        requests[k] = Some(others[k].iall_reduce(vec![k as u64 + 1; 100], Op::Sum)?);
    }
    for k in order(c.rank() + 1, 3) {
        if let Some(request) = requests[k].take() {
            equal(
                format_args!("the sum on communicator {k}"),
                request.wait()?,
                vec![(k as u64 + 1) * c.size() as u64; 100],
            )?;
        }
    }
    Ok(())
}

fn any_and_test(c: &Communicator) -> Outcome {
    const N: usize = 8;
    let mut requests =
        (0..N).map(|k| c.iall_reduce(vec![k as u64; 10 + 300 * k], Op::Sum)).collect::<Result<Vec<_>>>()?;
    let mut left: Vec<usize> = (0..N).collect();
    while let Some((index, got, _)) = wait_any(&mut requests)? {
        let k = left.remove(index);
        equal(format_args!("reduction {k}"), got, vec![(k * c.size()) as u64; 10 + 300 * k])?;
    }
    equal("reductions never given", left, vec![])?;
    let mut requests = (0..N).map(|_| c.iall_gather(vec![c.rank() as u8; 3])).collect::<Result<Vec<_>>>()?;
    eventually("all tests", || Ok(requests.iter_mut().all(Request::test)))?;
    let want: Vec<u8> = (0..c.size()).flat_map(|rank| [rank as u8; 3]).collect();
    equal("the blocks", wait_all(requests)?, vec![want; N])
}

fn late_start(c: &Communicator) -> Outcome {
    for late in [0, c.size() - 1] {
        if c.rank() == late {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let sum = c.iall_reduce(vec![c.rank() as u64; 1500], Op::Max)?;
        let blocks = c.igather(vec![c.rank() as u32; 600], late)?;
        let spread = c.iscatter((c.rank() == late).then(|| vec![9u8; 2 * c.size()]), 2, late)?;
        equal("the scattered block", spread.wait()?, vec![9; 2])?;
        equal("who gathers", blocks.wait()?.map(|b| b.len()), (c.rank() == late).then_some(600 * c.size()))?;
        equal("the maximum", sum.wait()?, vec![c.size() as u64 - 1; 1500])?;
    }
    Ok(())
}
