//! Looking at a message before receiving it.

use super::Case;
use super::check::{Halt, Outcome, ensure, equal, eventually, same};
use super::sample::{borders, neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::error::Result;
use crate::request::wait_all;
use crate::status::{Any, Status};

pub(super) const CASES: &[Case] = &[
    Case::new("probes: a probe tells the next message and leaves it", probe_leaves),
    Case::new("probes: nothing there is no message", nothing),
    Case::new("probes: try_probe finds a message in the end", try_probe_finds),
    Case::new("probes: a probe selects as a receive does", probe_selects),
    Case::new("probes: a probed message is out of matching", out_of_matching),
    Case::new("probes: several messages taken out wait side by side", several_out),
    Case::new("probes: a message not received is lost and nothing else", lost_message),
];

fn probe_leaves(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in borders(c) {
        let sent = c.isend(pattern::<u8>(seed(&[bytes]), bytes), right, 2)?;
        let want = Status { source: left, tag: 2, bytes };
        equal(format_args!("probe of {bytes} bytes"), c.probe(left, 2)?, want)?;
        equal("the same again, by wildcards", c.probe(Any, Any)?, want)?;
        equal("the same without waiting", c.try_probe(Any, 2)?, Some(want))?;
        let mut got = vec![0u8; bytes];
        equal("the receive", c.recv(&mut got, left, 2)?, want)?;
        same("the message", &got, &pattern(seed(&[bytes]), bytes))?;
        sent.wait()?;
        c.barrier()?;
    }
    Ok(())
}

fn nothing(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    ensure(c.try_probe(Any, Any)?.is_none(), "a message on a fresh communicator")?;
    ensure(c.try_probe_message(Any, Any)?.is_none(), "a message on a fresh communicator")?;
    c.barrier()?;
    let sent = c.isend(vec![1u8], right, 3)?;
    c.probe(left, 3)?;
    ensure(c.try_probe(left, 4)?.is_none(), "tag 4, when only tag 3 was sent")?;
    ensure(c.try_probe_message(Any, 4)?.is_none(), "tag 4, when only tag 3 was sent")?;
    if c.size() > 1 {
        ensure(c.try_probe(right, 3)?.is_none() || right == left, "a message from a rank that sent none")?;
    }
    c.recv(&mut [0u8], left, 3)?;
    ensure(c.try_probe(Any, Any)?.is_none(), "a message that was received is still there")?;
    sent.wait()?;
    Ok(())
}

fn try_probe_finds(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [0usize, 24, 70_000] {
        let sent = c.isend(pattern::<u8>(1, bytes), right, 6)?;
        let mut found = None;
        eventually("try_probe", || {
            found = c.try_probe(left, Any)?;
            Ok(found.is_some())
        })?;
        equal("what try_probe found", found, Some(Status { source: left, tag: 6, bytes }))?;
        let mut message = None;
        eventually("try_probe_message", || {
            message = c.try_probe_message(Any, 6)?;
            Ok(message.is_some())
        })?;
        let message = message.ok_or_else(|| Halt::failed("no message"))?;
        equal("its status", message.status(), Status { source: left, tag: 6, bytes })?;
        same("the message", &message.recv_vec::<u8>()?.0, &pattern(1, bytes))?;
        sent.wait()?;
    }
    Ok(())
}

fn probe_selects(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let sends = [(1u32, 10usize), (2, 20), (1, 30), (3, 20_000)]
        .into_iter()
        .map(|(tag, n)| c.isend(pattern::<u8>(n as u64, n), right, tag))
        .collect::<Result<Vec<_>>>()?;
    equal("the message of tag 3", c.probe(Any, 3)?.bytes, 20_000)?;
    equal("the first of tag 1", c.probe(left, 1)?.bytes, 10)?;
    equal("the message of tag 2", c.probe(Any, 2)?.bytes, 20)?;
    equal("the first of all", c.probe(Any, Any)?.bytes, 10)?;
    let mut got = vec![0u8; 30];
    equal("the first of tag 1", c.recv(&mut got, left, 1)?.bytes, 10)?;
    equal("the next of all", c.probe(left, Any)?.bytes, 20)?;
    equal("the next of tag 1", c.probe(left, 1)?.bytes, 30)?;
    equal("the next of tag 1", c.recv(&mut got, left, 1)?.bytes, 30)?;
    same("its content", &got, &pattern(30, 30))?;
    same("tag 3", &c.recv_vec::<u8>(left, 3)?.0, &pattern(20_000, 20_000))?;
    same("tag 2", &c.recv_vec::<u8>(left, Any)?.0, &pattern(20, 20))?;
    wait_all(sends)?;
    Ok(())
}

fn out_of_matching(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [0usize, 48, 8193, 60_000] {
        let send = |i: usize| c.isend(pattern::<u8>(seed(&[i]), bytes), right, 1);
        let sends = vec![send(0)?, send(1)?, send(2)?];
        let first = c.probe_message(left, 1)?;
        same("the second, received first", &c.recv_vec::<u8>(left, 1)?.0, &pattern(seed(&[1]), bytes))?;
        let mut got = vec![0u8; bytes + 3];
        let status = first.recv(&mut got)?;
        equal("status of the first", status, Status { source: left, tag: 1, bytes })?;
        same("the first, received last", &got[..bytes], &pattern(seed(&[0]), bytes))?;
        let mut got = vec![0u8; bytes];
        c.recv(&mut got, Any, Any)?;
        same("the third", &got, &pattern(seed(&[2]), bytes))?;
        wait_all(sends)?;
        c.barrier()?;
    }
    Ok(())
}

fn several_out(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let sizes = [5usize, 20_000, 0, 64, 9000];
    let sends = sizes
        .iter()
        .enumerate()
        .map(|(i, &n)| c.isend(pattern::<u16>(seed(&[i]), n), right, 1))
        .collect::<Result<Vec<_>>>()?;
    let messages = sizes.iter().map(|_| c.probe_message(Any, 1)).collect::<Result<Vec<_>>>()?;
    ensure(c.try_probe(left, Any)?.is_none(), "all messages are out, and still one is seen")?;
    for (i, message) in messages.into_iter().enumerate().rev() {
        same(format_args!("message {i}"), &message.recv_vec::<u16>()?.0, &pattern(seed(&[i]), sizes[i]))?;
    }
    wait_all(sends)?;
    Ok(())
}

fn lost_message(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let sends = [c.isend(vec![1u8; 4], right, 1)?, c.isend(vec![2u8; 4], right, 1)?];
    drop(c.probe_message(left, 1)?);
    let mut got = [0u8; 4];
    c.recv(&mut got, left, 1)?;
    equal("the message after the dropped one", got, [2; 4])?;
    wait_all(sends)?;
    Ok(())
}
