//! Communicators made of communicators.

use super::Case;
use super::check::{Halt, Outcome, ensure, equal, refused, same};
use super::sample::{neighbours, pattern};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::error::{ErrorKind, Result};
use crate::op::Op;
use crate::status::Any;

pub(super) const CASES: &[Case] = &[
    Case::new("communicators: a duplicate has the same ranks", dup),
    Case::new("communicators: a split by colour, in order of key", split),
    Case::new("communicators: a split reversed by key, and ties by rank", split_keys),
    Case::new("communicators: ranks without a colour get none", split_none),
    Case::new("communicators: splits of splits down to one rank", nested),
    Case::new("communicators: ranks that share memory", shared),
    Case::new("communicators: groups in the order of their list", groups),
    Case::new("communicators: overlapping groups", overlapping),
    Case::new("communicators: groups that some ranks make and others do not", partial_groups),
    Case::new("communicators: groups of one name again and again", same_name),
    Case::new("communicators: groups of one name and other ranks", same_name_other_ranks).ranks(2),
    Case::new("communicators: a group listed in other orders is an error at every rank", other_orders).ranks(2),
    Case::new("communicators: many made, used and dropped", many),
    Case::new("communicators: many alive at once, dropped in other orders", many_alive),
    Case::new("communicators: a duplicate outlives its parent", outlives_parent),
    Case::new(
        "communicators: a send that nobody receives is not done when its receiver drops the communicator",
        unreceived,
    )
    .ranks(2),
];

/// Everything works on `c`, whose ranks are `members` of the communicator where `whole` is this rank.
fn works(c: &Communicator, members: &[usize], whole: usize) -> Outcome {
    equal(format_args!("size of {:?}", c.name()), c.size(), members.len())?;
    equal(format_args!("who is rank {} of {:?}", c.rank(), c.name()), members[c.rank()], whole)?;
    equal("all_gather of the members", &c.all_gather(&[whole])?[..], members)?;
    let (right, left) = neighbours(c);
    let mut got = [usize::MAX];
    let status = c.send_recv(&[whole], right, 3, &mut got, left, 3)?;
    equal("the left neighbour", (got[0], status.source), (members[left], left))?;
    let last = c.size() - 1;
    let mut data = if c.rank() == last { pattern::<u16>(8, 900) } else { vec![0; 900] };
    c.broadcast(&mut data, last)?;
    same("a broadcast from the last rank", &data, &pattern(8, 900))?;
    equal("a sum in flight", c.iall_reduce(vec![whole], Op::Sum)?.wait()?, vec![members.iter().sum()])?;
    // Ranks are those of this communicator in errors too.
    let size = c.size();
    refused("a rank outside", c.send(&[0u8], size, 0), "an invalid rank", |k| {
        *k == ErrorKind::InvalidRank { rank: size, size }
    })?;
    ensure(c.try_probe(Any, Any)?.is_none(), "a stray message")
}

fn everybody(c: &Communicator) -> Vec<usize> {
    (0..c.size()).collect()
}

fn dup(c: &Communicator) -> Outcome {
    let first = c.dup()?;
    works(&first, &everybody(c), c.rank())?;
    let second = first.dup()?;
    works(&second, &everybody(c), c.rank())?;
    works(c, &everybody(c), c.rank())?;
    equal("its backend", second.backend(), c.backend())?;
    equal("its settings", second.config(), c.config())?;
    equal("its tags", second.max_tag(), c.max_tag())?;
    equal("its library", second.library(), c.library())?;
    ensure(first.name().contains("dup"), format_args!("the name of a duplicate: {:?}", first.name()))
}

fn split(c: &Communicator) -> Outcome {
    let color = (c.rank() % 3) as u32;
    let part = c.split(Some(color), c.rank() as i64)?;
    let members: Vec<usize> = everybody(c).into_iter().filter(|r| r % 3 == c.rank() % 3).collect();
    let Some(part) = part else { return ensure(false, "a rank with a colour got no communicator") };
    ensure(part.name().contains(&color.to_string()), format_args!("the name of a part: {:?}", part.name()))?;
    works(&part, &members, c.rank())?;
    // Any colour is a colour.
    let colors = [u32::MAX, i32::MAX as u32, i32::MAX as u32 + 1];
    for color in colors {
        let part = c.split(Some(color), 0)?;
        ensure(part.is_some(), format_args!("colour {color} gives no communicator"))?;
        part.map_or(Ok(()), |part| works(&part, &everybody(c), c.rank()))?;
    }
    // Two of those at once stay apart.
    let color = colors[c.rank() % 3];
    let Some(part) = c.split(Some(color), 0)? else { return ensure(false, "a rank with a colour got no communicator") };
    works(&part, &members, c.rank())
}

fn split_keys(c: &Communicator) -> Outcome {
    let mut members = everybody(c);
    members.reverse();
    for far in [1i64, i64::from(i32::MAX) + 7] {
        let Some(part) = c.split(Some(0), -(c.rank() as i64) * far)? else { return ensure(false, "no communicator") };
        works(&part, &members, c.rank())?;
    }
    let Some(part) = c.split(Some(5), 0)? else { return ensure(false, "no communicator") };
    works(&part, &everybody(c), c.rank())?;
    // Odd ranks first.
    let Some(part) = c.split(Some(5), 1 - (c.rank() % 2) as i64)? else { return ensure(false, "no communicator") };
    let (even, odd): (Vec<usize>, Vec<usize>) = everybody(c).into_iter().partition(|r| r % 2 == 0);
    works(&part, &[odd, even].concat(), c.rank())?;
    for extreme in [i64::MIN, i64::MAX] {
        let key = if c.rank() == 0 { extreme } else { 0 };
        let Some(part) = c.split(Some(1), key)? else { return ensure(false, "no communicator") };
        let mut members = everybody(c);
        if extreme == i64::MAX {
            members.rotate_left(1);
        }
        works(&part, &members, c.rank())?;
    }
    Ok(())
}

fn split_none(c: &Communicator) -> Outcome {
    let out = c.rank() % 2 == 1;
    let part = c.split((!out).then_some(4), 0)?;
    equal("who is in", part.is_some(), !out)?;
    if let Some(part) = part {
        works(&part, &everybody(c).into_iter().filter(|r| r % 2 == 0).collect::<Vec<_>>(), c.rank())?;
    }
    ensure(c.split(None, 0)?.is_none(), "nobody is in")?;
    c.barrier()?;
    Ok(())
}

fn nested(c: &Communicator) -> Outcome {
    let mut part = c.clone();
    let mut members = everybody(c);
    while part.size() > 1 {
        let half = part.size() / 2;
        let low = part.rank() < half;
        let Some(next) = part.split(Some(u32::from(!low)), part.rank() as i64)? else {
            return ensure(false, "no part");
        };
        members = if low { members[..half].to_vec() } else { members[half..].to_vec() };
        part = next;
        works(&part, &members, c.rank())?;
    }
    works(&part.dup()?, &[c.rank()], c.rank())?;
    works(c, &everybody(c), c.rank())
}

fn shared(c: &Communicator) -> Outcome {
    let part = c.split_shared()?;
    let members = part.all_gather(&[c.rank()])?;
    ensure(members.is_sorted(), format_args!("members in the order of the parent: {members:?}"))?;
    if c.backend() == BackendKind::Local {
        equal("threads all share", &members, &everybody(c))?;
    }
    works(&part, &members, c.rank())
}

fn groups(c: &Communicator) -> Outcome {
    let mut reversed = everybody(c);
    reversed.reverse();
    let group = c.group("reversed", &reversed)?;
    ensure(group.name().contains("reversed"), format_args!("the name of a group: {:?}", group.name()))?;
    works(&group, &reversed, c.rank())?;
    let mut turned = everybody(c);
    turned.rotate_left(c.size() / 2);
    works(&c.group("turned", &turned)?, &turned, c.rank())?;
    // Alone: nobody else takes part.
    works(&c.group(&format!("alone {}", c.rank()), &[c.rank()])?, &[c.rank()], c.rank())?;
    // A group of a group.
    let inner = group.group("inner", &everybody(c))?;
    works(&inner, &reversed, c.rank())
}

fn overlapping(c: &Communicator) -> Outcome {
    // Every pair is a group; all live at once.
    let mut pairs = Vec::new();
    for a in 0..c.size() {
        for b in a + 1..c.size() {
            if c.rank() == a || c.rank() == b {
                pairs.push((c.group(&format!("pair {a} {b}"), &[b, a])?, [b, a]));
            }
        }
    }
    for (pair, members) in &pairs {
        works(pair, members, c.rank())?;
    }
    Ok(())
}

fn partial_groups(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let even: Vec<usize> = everybody(c).into_iter().filter(|r| r % 2 == 0).collect();
    let low: Vec<usize> = (0..size.div_ceil(2)).collect();
    // Disjoint groups at the same time, in names that differ.
    let own: Vec<usize> = everybody(c).into_iter().filter(|r| r % 2 == me % 2).collect();
    works(&c.group(if me % 2 == 0 { "even" } else { "odd" }, &own)?, &own, me)?;
    // Ranks that are in both make them in the same order; the others make one, or none, or talk meanwhile.
    let a = if even.contains(&me) { Some(c.group("a", &even)?) } else { None };
    let b = if low.contains(&me) { Some(c.group("b", &low)?) } else { None };
    if let Some(b) = &b {
        works(b, &low, me)?;
    }
    if let Some(a) = &a {
        works(a, &even, me)?;
    }
    works(c, &everybody(c), me)
}

fn same_name(c: &Communicator) -> Outcome {
    let all = everybody(c);
    let groups = (0..5).map(|_| c.group("again", &all)).collect::<Result<Vec<_>>>()?;
    let (right, left) = neighbours(c);
    // One message on each; each arrives on its own.
    let sends = groups.iter().enumerate().map(|(i, g)| g.isend(vec![i as u8], right, 0)).collect::<Result<Vec<_>>>()?;
    for (i, group) in groups.iter().enumerate().rev() {
        equal("the message of its group", group.recv_vec::<u8>(left, Any)?.0, vec![i as u8])?;
    }
    crate::request::wait_all(sends)?;
    Ok(())
}

fn same_name_other_ranks(c: &Communicator) -> Outcome {
    // Each rank is in a group with the one before it and in one with the one behind it; some come to the second before their
    // other neighbour has come to the first.
    for round in 0..20 {
        for low in 0..c.size() - 1 {
            let pair = [low, low + 1];
            if pair.contains(&c.rank()) {
                works(&c.group("pair", &pair)?, &pair, c.rank())?;
            }
        }
        if round % 5 == 0 {
            works(&c.group("pair", &everybody(c))?, &everybody(c), c.rank())?;
        }
    }
    Ok(())
}

fn other_orders(c: &Communicator) -> Outcome {
    let mut list = everybody(c);
    for _ in 0..2 {
        if c.rank() == c.size() - 1 {
            list.reverse();
        }
        let differ = |kind: &ErrorKind| matches!(kind, ErrorKind::Mismatch(text) if text.contains("ordered"));
        refused("a group whose lists differ", c.group("ordered", &list), "a mismatch", differ)?;
        c.barrier()?;
        // The name is as good as before.
        works(&c.group("ordered", &everybody(c))?, &everybody(c), c.rank())?;
        list = everybody(c);
    }
    Ok(())
}

/// How many communicators: making one is slow where processes share cores.
fn plenty(c: &Communicator) -> usize {
    if c.backend() == BackendKind::Local || c.size() <= 4 { 200 } else { 60 }
}

fn many(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for i in 0..plenty(c) {
        let made = match i % 3 {
            0 => c.dup()?,
            1 => match c.split(Some(0), 0)? {
                Some(made) => made,
                None => return ensure(false, "no communicator"),
            },
            _ => c.group("many", &everybody(c))?,
        };
        let mut got = [0usize];
        made.send_recv(&[i], right, 1, &mut got, left, 1)?;
        equal("the message", got, [i])?;
        if i % 10 == 0 {
            equal("the sum", made.all_reduce(&[1usize], Op::Sum)?, vec![c.size()])?;
        }
    }
    Ok(())
}

fn many_alive(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut alive = (0..plenty(c) / 3).map(|_| c.dup()).collect::<Result<Vec<_>>>()?;
    let sends = alive.iter().enumerate().map(|(i, d)| d.isend(vec![i], right, 0)).collect::<Result<Vec<_>>>()?;
    for (i, own) in alive.iter().enumerate().rev() {
        equal("the message of its communicator", own.recv_vec::<usize>(left, 0)?.0, vec![i])?;
    }
    crate::request::wait_all(sends)?;
    // Ranks drop them in other orders, with calls between.
    let turn = c.rank() % alive.len();
    alive.rotate_left(turn);
    if c.rank() % 2 == 1 {
        alive.reverse();
    }
    alive.truncate(5);
    c.barrier()?;
    drop(alive);
    works(&c.dup()?, &everybody(c), c.rank())
}

fn outlives_parent(c: &Communicator) -> Outcome {
    let child = {
        let parent = c.dup()?;
        match parent.split(Some(1), c.rank() as i64)? {
            Some(child) => child,
            None => return ensure(false, "no communicator"),
        }
    };
    works(&child, &everybody(c), c.rank())
}

fn unreceived(c: &Communicator) -> Outcome {
    if c.backend() == BackendKind::Mpi {
        // A library may wait for ever when it is ended with such a send, and need not be able to cancel it.
        return Err(Halt::Skipped("MPI leaves it open what becomes of such a send".to_owned()));
    }
    let (sender, receiver) = (0, c.size() - 1);
    for (bytes, comes_first) in [(8, true), (8, false), (300_000, true), (300_000, false)] {
        let mut own = Some(c.dup()?);
        let start = |d: &Communicator| d.isend_synchronous(vec![1u8; bytes], receiver, 3);
        let mut sent = None;
        if comes_first && c.rank() == sender {
            sent = own.as_ref().map(start).transpose()?;
        }
        if c.rank() == receiver {
            if let Some(d) = own.as_ref().filter(|_| comes_first) {
                d.probe(sender, 3)?;
            }
            own = None;
        }
        c.barrier()?;
        if !comes_first && c.rank() == sender {
            sent = own.as_ref().map(start).transpose()?;
        }
        // Whatever the receiver has to say of it has come when this is over.
        c.barrier()?;
        c.barrier()?;
        let Some(mut sent) = sent else { continue };
        if sent.test() {
            let is_lost = |kind: &ErrorKind| matches!(kind, ErrorKind::PeerLost { rank, .. } if *rank == receiver);
            refused(format_args!("a send of {bytes} bytes to nobody"), sent.wait(), "PeerLost", is_lost)?;
        } else {
            ensure(sent.cancel()?, format_args!("a send of {bytes} bytes that nobody receives cannot be cancelled"))?;
        }
    }
    c.barrier()?;
    works(&c.dup()?, &everybody(c), c.rank())
}
