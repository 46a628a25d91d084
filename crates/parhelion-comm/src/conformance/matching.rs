//! Which receive gets which message (MPI section 3.5).

use super::Case;
use super::check::{Outcome, ensure, equal, same};
use super::sample::{mix, neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::error::Result;
use crate::request::wait_all;
use crate::status::Any;

pub(super) const CASES: &[Case] = &[
    Case::new("matching: messages of one tag do not overtake each other", one_tag),
    Case::new("matching: posted receives are filled in the order of posting", posted_in_order),
    Case::new("matching: any tag takes the messages in the order of sending", any_tag_in_order),
    Case::new("matching: a tag takes its message past others that wait", by_tag_in_reverse),
    Case::new("matching: any source takes each sender's messages in order", all_to_one),
    Case::new("matching: blocking sends of all ranks to one", blocking_all_to_one).ranks(2),
    Case::new("matching: of two posted receives that match, the first gets the message", first_posted_wins),
    Case::new("matching: a posted wildcard does not take what an earlier receive waits for", wildcard_after_specific),
    Case::new("matching: a random mix of selectors", random_mix),
    Case::new("matching: messages of two communicators never meet", two_communicators),
    Case::new("matching: a wildcard receive does not see collectives", wildcard_and_collectives),
    Case::new("matching: a receive from one rank leaves the others' messages", specific_source),
];

/// Sizes in bytes with large messages before small ones and empty ones between.
const MIXED: [usize; 12] = [100_000, 0, 8, 9000, 40, 1, 4096, 4097, 64, 300_000, 65, 16];

fn one_tag(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for late in [false, true] {
        let sends = MIXED
            .iter()
            .enumerate()
            .map(|(i, &n)| c.isend(pattern::<u8>(seed(&[c.rank(), i]), n), right, 3))
            .collect::<Result<Vec<_>>>()?;
        if late {
            // Everything is on its way before the first receive.
            c.barrier()?;
        }
        for (i, &n) in MIXED.iter().enumerate() {
            let (got, _) = c.recv_vec::<u8>(left, 3)?;
            same(format_args!("message {i} of one tag"), &got, &pattern(seed(&[left, i]), n))?;
        }
        wait_all(sends)?;
    }
    Ok(())
}

fn posted_in_order(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let receives = MIXED.iter().map(|_| c.irecv(vec![0u8; 300_000], left, 3)).collect::<Result<Vec<_>>>()?;
    c.barrier()?;
    let sends = MIXED
        .iter()
        .enumerate()
        .map(|(i, &n)| c.isend(pattern::<u8>(seed(&[c.rank(), i]), n), right, 3))
        .collect::<Result<Vec<_>>>()?;
    // Waited for in reverse: the order of waiting means nothing.
    for (i, receive) in receives.into_iter().enumerate().rev() {
        same(format_args!("posted receive {i}"), &receive.wait()?, &pattern(seed(&[left, i]), MIXED[i]))?;
    }
    wait_all(sends)?;
    Ok(())
}

fn any_tag_in_order(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for late in [false, true] {
        let sends = MIXED
            .iter()
            .enumerate()
            .map(|(i, &n)| c.isend(pattern::<u8>(seed(&[i]), n), right, 100 - i as u32))
            .collect::<Result<Vec<_>>>()?;
        if late {
            c.barrier()?;
        }
        for (i, &n) in MIXED.iter().enumerate() {
            let (got, status) = c.recv_vec::<u8>(left, Any)?;
            equal(format_args!("tag of message {i}"), status.tag, 100 - i as u32)?;
            same(format_args!("message {i}"), &got, &pattern(seed(&[i]), n))?;
        }
        wait_all(sends)?;
        c.barrier()?;
    }
    Ok(())
}

fn by_tag_in_reverse(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let sends = MIXED
        .iter()
        .enumerate()
        .map(|(i, &n)| c.isend(pattern::<u8>(seed(&[i]), n), right, i as u32))
        .collect::<Result<Vec<_>>>()?;
    for (i, &n) in MIXED.iter().enumerate().rev() {
        let mut got = vec![0u8; n];
        let status = c.recv(&mut got, left, i as u32)?;
        equal("its length", status.bytes, n)?;
        same(format_args!("message of tag {i}"), &got, &pattern(seed(&[i]), n))?;
    }
    wait_all(sends)?;
    Ok(())
}

fn all_to_one(c: &Communicator) -> Outcome {
    for root in [0, c.size() - 1] {
        let sends = MIXED
            .iter()
            .enumerate()
            .map(|(i, &n)| c.isend(pattern::<u8>(seed(&[c.rank(), i]), n), root, i as u32))
            .collect::<Result<Vec<_>>>()?;
        if c.rank() == root {
            let mut next = vec![0usize; c.size()];
            for _ in 0..MIXED.len() * c.size() {
                let (got, status) = c.recv_vec::<u8>(Any, Any)?;
                let i = std::mem::replace(&mut next[status.source], status.tag as usize + 1);
                equal(format_args!("next message of rank {}", status.source), status.tag as usize, i)?;
                same(
                    format_args!("message {i} of rank {}", status.source),
                    &got,
                    &pattern(seed(&[status.source, i]), MIXED[i]),
                )?;
            }
        }
        wait_all(sends)?;
        c.barrier()?;
    }
    Ok(())
}

fn blocking_all_to_one(c: &Communicator) -> Outcome {
    let root = c.size() / 2;
    for (i, &n) in MIXED.iter().enumerate() {
        if c.rank() != root {
            c.send(&pattern::<u8>(seed(&[c.rank(), i]), n), root, 5)?;
            continue;
        }
        // Who is quick may be rounds ahead: take one of each rank per round.
        for from in (0..c.size()).filter(|&from| from != root) {
            let (got, _) = c.recv_vec::<u8>(from, 5)?;
            same(format_args!("message {i} of rank {from}"), &got, &pattern(seed(&[from, i]), n))?;
        }
    }
    Ok(())
}

fn first_posted_wins(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for (early, bytes) in [(true, 8), (false, 8), (true, 20_000), (false, 20_000)] {
        let send = |i: usize| c.isend(pattern::<u8>(seed(&[i]), bytes), right, 5);
        let post = || -> Result<_> {
            Ok((
                c.irecv(vec![0u8; bytes], Any, Any)?,
                c.irecv(vec![0u8; bytes], left, 5)?,
                c.irecv(vec![0u8; bytes], Any, 5)?,
            ))
        };
        // Whether the receives are there before the messages must not matter.
        let ((a, b, d), sends) = if early {
            let posted = post()?;
            c.barrier()?;
            (posted, [send(0)?, send(1)?, send(2)?])
        } else {
            let sends = [send(0)?, send(1)?, send(2)?];
            c.barrier()?;
            (post()?, sends)
        };
        let what = |i: usize| format!("receive {i} of three that match, {bytes} bytes, posted first: {early}");
        same(what(0), &a.wait()?, &pattern(seed(&[0]), bytes))?;
        same(what(1), &b.wait()?, &pattern(seed(&[1]), bytes))?;
        same(what(2), &d.wait()?, &pattern(seed(&[2]), bytes))?;
        wait_all(sends)?;
        c.barrier()?;
    }
    Ok(())
}

fn wildcard_after_specific(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [16usize, 50_000] {
        let six = c.irecv(vec![0u8; bytes], left, 6)?;
        let any = c.irecv(vec![0u8; bytes], left, Any)?;
        let other = c.irecv(vec![0u8; bytes], Any, 7)?;
        c.barrier()?;
        let sends = [5u32, 6, 7].map(|tag| c.isend(pattern::<u8>(u64::from(tag), bytes), right, tag));
        // In any order of waiting.
        same("the receive of tag 7", &other.wait()?, &pattern(7, bytes))?;
        let (got, status) = any.wait_status()?;
        equal("what the wildcard got", status.tag, 5)?;
        same("the wildcard's message", &got, &pattern(5, bytes))?;
        same("the receive of tag 6", &six.wait()?, &pattern(6, bytes))?;
        for sent in sends {
            sent?.wait()?;
        }
        c.barrier()?;
    }
    Ok(())
}

fn random_mix(c: &Communicator) -> Outcome {
    // Each rank sends 60 messages of random sizes and four tags; the receiver takes them with whatever selector, and each
    // must be the earliest of those sent by its source that the selector admits.
    const COUNT: usize = 60;
    let (right, left) = neighbours(c);
    let plan = |rank: usize| -> Vec<(u32, usize)> {
        let mut state = seed(&[rank, 77]);
        (0..COUNT).map(|_| ((mix(&mut state) % 4) as u32, MIXED[(mix(&mut state) % 9) as usize] % 12_000)).collect()
    };
    let sends = plan(c.rank())
        .into_iter()
        .enumerate()
        .map(|(i, (tag, n))| c.isend(pattern::<u8>(seed(&[i]), n), right, tag))
        .collect::<Result<Vec<_>>>()?;
    let mut waiting: Vec<(usize, (u32, usize))> = plan(left).into_iter().enumerate().collect();
    let mut state = seed(&[c.rank(), 78]);
    while !waiting.is_empty() {
        let pick = mix(&mut state) as usize % waiting.len();
        let wanted = waiting[pick].1.0;
        let (index, got) = match mix(&mut state) % 4 {
            0 => (0, c.recv_vec::<u8>(left, Any)?),
            1 => (0, c.recv_vec::<u8>(Any, Any)?),
            way => {
                let first = waiting.iter().position(|(_, (tag, _))| *tag == wanted).unwrap_or(pick);
                (first, if way == 2 { c.recv_vec::<u8>(left, wanted)? } else { c.recv_vec::<u8>(Any, wanted)? })
            }
        };
        let (i, (tag, n)) = waiting.remove(index);
        equal(format_args!("tag of message {i}"), got.1.tag, tag)?;
        same(format_args!("message {i}"), &got.0, &pattern(seed(&[i]), n))?;
    }
    wait_all(sends)?;
    Ok(())
}

fn two_communicators(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let (a, b) = (c.dup()?, c.dup()?);
    for bytes in [8usize, 30_000] {
        let sends = [
            c.isend(vec![0u8; bytes], right, 1)?,
            a.isend(vec![1u8; bytes], right, 1)?,
            b.isend(vec![2u8; bytes], right, 1)?,
        ];
        let mut got = vec![9u8; bytes];
        b.recv(&mut got, left, 1)?;
        same("from the second duplicate", &got, &vec![2; bytes])?;
        c.recv(&mut got, Any, Any)?;
        same("from the first of all", &got, &vec![0; bytes])?;
        ensure(b.try_probe(Any, Any)?.is_none(), "the second duplicate sees a message of another communicator")?;
        a.recv(&mut got, Any, 1)?;
        same("from the first duplicate", &got, &vec![1; bytes])?;
        wait_all(sends)?;
        c.barrier()?;
    }
    // A receive on one waits while a message of the same tag on the other goes by.
    let waiting = a.irecv(vec![0u8; 4], Any, Any)?;
    c.barrier()?;
    b.send_recv(&[2u8; 4], right, 1, &mut [0u8; 4], left, 1)?;
    c.barrier()?;
    let sent = a.isend(vec![1u8; 4], right, 8)?;
    same("the waiting receive", &waiting.wait()?, &[1; 4])?;
    sent.wait()?;
    Ok(())
}

fn wildcard_and_collectives(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let waiting = c.irecv(vec![0u64; 2000], Any, Any)?;
    c.barrier()?;
    let all = c.all_gather(&pattern::<u64>(c.rank() as u64, 1500))?;
    for (rank, block) in all.chunks(1500).enumerate() {
        same(format_args!("block of rank {rank}"), block, &pattern(rank as u64, 1500))?;
    }
    let mut from_root = if c.rank() == 0 { pattern::<u64>(5, 3000) } else { vec![0; 3000] };
    c.broadcast(&mut from_root, 0)?;
    same("a broadcast", &from_root, &pattern(5, 3000))?;
    let sent = c.isend(vec![1u64, 2, 3], right, 44)?;
    let (got, status) = waiting.wait_status()?;
    equal("what the wildcard got", (got, status.source, status.tag), (vec![1, 2, 3], left, 44))?;
    sent.wait()?;
    Ok(())
}

fn specific_source(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let sends = (0..size).map(|to| c.isend(vec![me as u32; 3], to, 1)).collect::<Result<Vec<_>>>()?;
    c.barrier()?;
    // From the highest to the lowest, whatever came first.
    for from in (0..size).rev() {
        let mut got = [0u32; 3];
        let status = c.recv(&mut got, from, Any)?;
        equal("source and content", (status.source, got), (from, [from as u32; 3]))?;
    }
    wait_all(sends)?;
    Ok(())
}
