//! Requests: tested, waited for in any order, cancelled, dropped, forgotten, in thousands.

use super::Case;
use super::check::{Outcome, ensure, equal, eventually, refused, same};
use super::sample::{neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::error::{ErrorKind, Result};
use crate::op::Op;
use crate::request::{Request, wait_all, wait_any};
use crate::status::Any;

pub(super) const CASES: &[Case] = &[
    Case::new("requests: test answers yes in the end, and then for good", test_loop),
    Case::new("requests: wait_any gives each request once", any_of_many),
    Case::new("requests: wait_any waits for the one that comes", any_waits),
    Case::new("requests: wait_all gives values in order", all_in_order),
    Case::new("requests: a cancelled receive takes no message", cancelled_receive),
    Case::new("requests: a completed request cannot be cancelled", cancel_too_late),
    Case::new("requests: a dropped receive takes no message", dropped_receive),
    Case::new("requests: a dropped send still arrives", dropped_send),
    Case::new("requests: a dropped collective completes for the others", dropped_collective),
    Case::new("requests: forgotten requests disturb nobody", forgotten),
    Case::new("requests: ten thousand receives, then sends", many_posted),
    Case::new("requests: ten thousand sends, then receives", many_unexpected),
    Case::new("requests: ten thousand both ways, waited for in reverse", many_reversed),
    Case::new("requests: a request outlives its communicator", outlives_communicator),
];

fn test_loop(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [0usize, 8, 8193, 200_000] {
        let mut receive = c.irecv(vec![0u8; bytes], left, 1)?;
        ensure(!receive.test(), "a receive is complete before anything was sent")?;
        c.barrier()?;
        let mut send = c.isend(pattern::<u8>(seed(&[c.rank()]), bytes), right, 1)?;
        eventually("the receive's test", || Ok(receive.test()))?;
        eventually("the send's test", || Ok(send.test()))?;
        ensure(receive.test() && send.test(), "test said yes, then no")?;
        ensure(format!("{receive:?}").contains("true"), "Debug says that it has completed")?;
        same("the message", &receive.wait()?, &pattern(seed(&[left]), bytes))?;
        send.wait()?;
    }
    let mut barrier = c.ibarrier()?;
    eventually("the barrier's test", || Ok(barrier.test()))?;
    barrier.wait()?;
    Ok(())
}

fn any_of_many(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    const COUNT: usize = 20;
    let size = |i: usize| if i.is_multiple_of(5) { 20_000 } else { 3 * i };
    let mut receives = (0..COUNT).map(|i| c.irecv(vec![0u8; size(i)], left, i as u32)).collect::<Result<Vec<_>>>()?;
    // Sent in another order than posted.
    let sends = (0..COUNT)
        .map(|i| (7 * i + 3) % COUNT)
        .map(|i| c.isend(pattern::<u8>(seed(&[i]), size(i)), right, i as u32))
        .collect::<Result<Vec<_>>>()?;
    let mut tags: Vec<usize> = (0..COUNT).collect();
    while let Some((index, got, status)) = wait_any(&mut receives)? {
        ensure(index < tags.len(), format_args!("index {index} of {} requests", tags.len()))?;
        let i = tags.remove(index);
        equal(
            "the status of the one that completed",
            (status.source, status.tag as usize, status.bytes),
            (left, i, size(i)),
        )?;
        same(format_args!("message {i}"), &got, &pattern(seed(&[i]), size(i)))?;
        equal("requests left", receives.len(), tags.len())?;
    }
    equal("requests never given", tags, vec![])?;
    wait_all(sends)?;
    ensure(wait_any(&mut Vec::<Request<()>>::new())?.is_none(), "wait_any of nothing is nothing")
}

fn any_waits(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut receives = vec![c.irecv(vec![0u8; 4], left, 1)?, c.irecv(vec![0u8; 4], left, 2)?];
    c.barrier()?;
    let second = c.isend(vec![2u8; 4], right, 2)?;
    let got = wait_any(&mut receives)?;
    equal("the second came first", got.map(|(index, data, _)| (index, data)), Some((1, vec![2; 4])))?;
    c.barrier()?;
    let first = c.isend(vec![1u8; 4], right, 1)?;
    let mut rest = receives.pop();
    // Completed before wait_any sees it.
    if let Some(request) = &mut rest {
        eventually("the first one's test", || Ok(request.test()))?;
    }
    receives.extend(rest);
    let got = wait_any(&mut receives)?;
    equal("then the first", got.map(|(index, data, _)| (index, data)), Some((0, vec![1; 4])))?;
    wait_all([first, second])?;
    Ok(())
}

fn all_in_order(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let receives = (0..50).map(|i| c.irecv(vec![0u32; 2], left, 49 - i)).collect::<Result<Vec<_>>>()?;
    let sends = (0..50).map(|i| c.isend(vec![i, i * i], right, i)).collect::<Result<Vec<_>>>()?;
    let got = wait_all(receives)?;
    let want: Vec<Vec<u32>> = (0..50).map(|i| vec![49 - i, (49 - i) * (49 - i)]).collect();
    equal("values of wait_all", got, want)?;
    equal("what the sends give back", wait_all(sends)?.len(), 50)?;
    ensure(wait_all(Vec::<Request<()>>::new())?.is_empty(), "wait_all of nothing is nothing")
}

/// After a receive of tag 1 was withdrawn on every rank, a message of tag 1 goes to the next receive.
fn next_receive_gets_it(c: &Communicator, bytes: usize) -> Outcome {
    let (right, left) = neighbours(c);
    c.barrier()?;
    let mut got = vec![0u8; bytes];
    c.send_recv(&pattern::<u8>(seed(&[c.rank()]), bytes), right, 1, &mut got, left, 1)?;
    same("the message after a withdrawn receive", &got, &pattern(seed(&[left]), bytes))
}

fn cancelled_receive(c: &Communicator) -> Outcome {
    let (_, left) = neighbours(c);
    for bytes in [8usize, 20_000] {
        let mut request = c.irecv(vec![0u8; bytes], left, 1)?;
        ensure(request.cancel()?, "a receive without a message can be cancelled")?;
        ensure(request.test(), "a cancelled request has completed")?;
        refused("wait after cancel", request.wait(), "cancelled", |k| *k == ErrorKind::Cancelled)?;
        let mut any = c.irecv(vec![0u8; bytes], Any, Any)?;
        ensure(any.cancel()?, "a wildcard receive without a message can be cancelled")?;
        ensure(!any.cancel()?, "cancelling twice")?;
        drop(any);
        next_receive_gets_it(c, bytes)?;
    }
    Ok(())
}

fn cancel_too_late(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut receive = c.irecv(vec![0u8; 5], left, 1)?;
    let sent = c.isend(vec![3u8; 5], right, 1)?;
    eventually("the receive's test", || Ok(receive.test()))?;
    ensure(!receive.cancel()?, "a completed receive cannot be cancelled")?;
    same("its message", &receive.wait()?, &[3; 5])?;
    sent.wait()?;
    // Once the barrier is through, the message is under way: if it has matched, cancel must say so and deliver.
    let mut receive = c.irecv(vec![0u8; 5], left, 2)?;
    let sent = c.isend(vec![4u8; 5], right, 2)?;
    c.barrier()?;
    if receive.cancel()? {
        refused("wait after cancel", receive.wait(), "cancelled", |k| *k == ErrorKind::Cancelled)?;
        same("the message of the cancelled receive", &c.recv_vec::<u8>(left, 2)?.0, &[4; 5])?;
    } else {
        same("the message that came before cancel", &receive.wait()?, &[4; 5])?;
    }
    sent.wait()?;
    Ok(())
}

fn dropped_receive(c: &Communicator) -> Outcome {
    let (_, left) = neighbours(c);
    for bytes in [0usize, 8, 20_000] {
        drop(c.irecv(vec![0u8; bytes], left, 1)?);
        drop(c.irecv(vec![0u8; bytes], Any, Any)?);
        next_receive_gets_it(c, bytes)?;
    }
    Ok(())
}

fn dropped_send(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [0usize, 8, 8193, 200_000] {
        drop(c.isend(pattern::<u8>(seed(&[c.rank()]), bytes), right, 1)?);
        drop(c.isend_synchronous(pattern::<u8>(seed(&[c.rank(), 1]), bytes), right, 2)?);
        same("a dropped send", &c.recv_vec::<u8>(left, 1)?.0, &pattern(seed(&[left]), bytes))?;
        same("a dropped synchronous send", &c.recv_vec::<u8>(left, 2)?.0, &pattern(seed(&[left, 1]), bytes))?;
        // The sender makes progress inside any call.
        c.barrier()?;
    }
    Ok(())
}

fn dropped_collective(c: &Communicator) -> Outcome {
    let size = c.size() as u64;
    for dropper in [0, c.size() - 1] {
        let sum = c.iall_reduce(pattern::<u64>(1, 3000), |a: u64, b: u64| a.wrapping_add(b))?;
        let gathered = c.iall_gather(vec![c.rank() as u16; 7])?;
        let barrier = c.ibarrier()?;
        if c.rank() == dropper {
            drop((sum, gathered, barrier));
        } else {
            let want: Vec<u64> = pattern::<u64>(1, 3000).iter().map(|x| x.wrapping_mul(size)).collect();
            barrier.wait()?;
            same("the others' sum", &sum.wait()?, &want)?;
            let want: Vec<u16> = (0..c.size()).flat_map(|rank| [rank as u16; 7]).collect();
            same("the others' blocks", &gathered.wait()?, &want)?;
        }
        equal("the next reduction", c.all_reduce(&[1u64], Op::Sum)?, vec![size])?;
        equal("the next one in flight", c.iall_reduce(vec![1u64], Op::Sum)?.wait()?, vec![size])?;
    }
    Ok(())
}

fn forgotten(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [8usize, 8193, 100_000] {
        std::mem::forget(c.irecv(vec![0u8; bytes], left, 1)?);
        std::mem::forget(c.isend(pattern::<u8>(1, bytes), right, 2)?);
        std::mem::forget(c.iall_reduce(vec![1u64; 100], Op::Sum)?);
        c.barrier()?;
        // This one goes into the forgotten receive's buffer, which still exists.
        std::mem::forget(c.isend(pattern::<u8>(3, bytes), right, 1)?);
        same("a forgotten send", &c.recv_vec::<u8>(left, 2)?.0, &pattern(1, bytes))?;
        equal("the next reduction", c.all_reduce(&[1u32], Op::Sum)?, vec![c.size() as u32])?;
        ensure(c.try_probe(left, 1)?.is_none(), "the forgotten receive took its message")?;
    }
    c.barrier()?;
    Ok(())
}

const MANY: usize = 10_000;

fn many_receives(c: &Communicator) -> Result<Vec<Request<Vec<u64>>>> {
    let (_, left) = neighbours(c);
    (0..MANY).map(|i| c.irecv(vec![0u64; 1], left, (i % 3) as u32)).collect()
}

fn many_sends(c: &Communicator) -> Result<Vec<Request<Vec<u64>>>> {
    let (right, _) = neighbours(c);
    (0..MANY).map(|i| c.isend(vec![i as u64], right, (i % 3) as u32)).collect()
}

fn check_many(got: Vec<Vec<u64>>) -> Outcome {
    let got: Vec<u64> = got.concat();
    same("ten thousand messages", &got, &(0..MANY as u64).collect::<Vec<_>>())
}

fn many_posted(c: &Communicator) -> Outcome {
    let receives = many_receives(c)?;
    c.barrier()?;
    let sends = many_sends(c)?;
    check_many(wait_all(receives)?)?;
    wait_all(sends)?;
    Ok(())
}

fn many_unexpected(c: &Communicator) -> Outcome {
    let sends = many_sends(c)?;
    c.barrier()?;
    check_many(wait_all(many_receives(c)?)?)?;
    wait_all(sends)?;
    Ok(())
}

fn many_reversed(c: &Communicator) -> Outcome {
    let receives = many_receives(c)?;
    let sends = many_sends(c)?;
    for (i, send) in sends.into_iter().enumerate().rev() {
        equal("a sent buffer", send.wait()?, vec![i as u64])?;
    }
    let mut got = receives.into_iter().rev().map(Request::wait).collect::<Result<Vec<_>>>()?;
    got.reverse();
    check_many(got)
}

fn outlives_communicator(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [8usize, 50_000] {
        let own = c.dup()?;
        let receive = own.irecv(vec![0u8; bytes], left, 1)?;
        let send = own.isend(pattern::<u8>(4, bytes), right, 1)?;
        let sum = own.iall_reduce(vec![2u32; 10], Op::Sum)?;
        drop(own);
        same("the message", &receive.wait()?, &pattern(4, bytes))?;
        send.wait()?;
        equal("the sum", sum.wait()?, vec![2 * c.size() as u32; 10])?;
    }
    Ok(())
}
