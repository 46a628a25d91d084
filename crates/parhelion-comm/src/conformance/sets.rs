//! Sets of messages, by every method.

use super::Case;
use super::check::{Outcome, ensure, equal, eventually, refused, same};
use super::sample::{mix, neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::error::{ErrorKind, Result};
use crate::layout::Layout;
use crate::message_set::{MessageSet, Method};
use crate::op::Op;

pub(super) const CASES: &[Case] = &[
    Case::new("sets: a ring by every method, with every length", ring),
    Case::new("sets: any graph of peers, ranks without any among them", any_graph),
    Case::new("sets: a set without messages", empty),
    Case::new("sets: messages to oneself", to_oneself),
    Case::new("sets: rounds do not mix, whoever is late", rounds),
    Case::new("sets: a start waits for no peer", started_alone).ranks(2),
    Case::new("sets: a rank that has started and waits for something else holds nobody up", waiting_elsewhere).ranks(2),
    Case::new("sets: several in flight, finished in another order on each rank", several),
    Case::new("sets: their messages meet no others", apart),
    Case::new("sets: test loops until all is there", tested),
    Case::new("sets: layouts of the caller's memory", in_place),
    Case::new("sets: columns and lists exchanged within one memory", in_place_columns),
    Case::new("sets: elsewhere, in the memory that each rank likes", elsewhere),
    Case::new("sets: other lengths at both ends are an error at every rank", other_lengths).ranks(2),
    Case::new("sets: messages that one end does not list are an error at every rank", unlisted)
        .ranks(2)
        .needs(super::Needs::Checks),
    Case::new("sets: other methods are an error at every rank", other_methods).ranks(2),
    Case::new("sets: arguments that cannot be are errors at every rank", bad_arguments),
    Case::new("sets: dropped while in flight, what was sent still arrives", dropped_in_flight),
    Case::new("sets: one-sided, dropped before all was sent, what was sent arrives", dropped_half_started).ranks(2),
    Case::new("sets: made and dropped again and again", many_made),
    Case::new("sets: 20,000 rounds and 500 sets leave nothing behind", no_leaks),
];

/// The messages of every rank to every other: their lengths, the same wherever they are worked out.
type Graph = fn(size: usize, from: usize, to: usize) -> Option<usize>;

pub(super) fn make(c: &Communicator, method: Method, graph: Graph) -> Result<MessageSet> {
    let (me, size) = (c.rank(), c.size());
    let sends: Vec<_> = (0..size).filter_map(|to| Some((to, graph(size, me, to)?))).collect();
    let recvs: Vec<_> = (0..size).filter_map(|from| Some((from, graph(size, from, me)?))).collect();
    c.message_set(method, &sends, &recvs)
}

pub(super) fn content(from: usize, to: usize, round: usize, bytes: usize) -> Vec<u8> {
    pattern(seed(&[from, to, round, bytes]), bytes)
}

fn fill(c: &Communicator, set: &mut MessageSet, round: usize) {
    for (i, (to, bytes)) in set.sends().collect::<Vec<_>>().into_iter().enumerate() {
        set.send_part(i).copy_from_slice(&content(c.rank(), to, round, bytes));
    }
}

/// Finishes `set` and looks at every byte.
fn finish(c: &Communicator, set: &mut MessageSet, round: usize) -> Outcome {
    let expected: Vec<_> = set.recvs().map(|(from, bytes)| content(from, c.rank(), round, bytes)).collect();
    let mut seen = vec![0; expected.len()];
    let mut outcome = Ok(());
    set.finish(|i, bytes| {
        seen[i] += 1;
        let right = same(format_args!("message {i} of round {round}"), bytes, &expected[i]);
        outcome = std::mem::replace(&mut outcome, Ok(())).and(right);
    })?;
    outcome?;
    equal("how often each was given", seen, vec![1; expected.len()])?;
    for (i, expected) in expected.iter().enumerate() {
        same(format_args!("message {i}, read again"), set.recv_part(i), expected)?;
    }
    Ok(())
}

pub(super) fn go(c: &Communicator, set: &mut MessageSet, rounds: usize) -> Outcome {
    for round in 0..rounds {
        fill(c, set, round);
        set.start()?;
        finish(c, set, round)?;
    }
    Ok(())
}

fn ring(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        for bytes in [0, 1, 8, 63, 64, 65, 1000, 4096, 8193, 70_000, 1_000_003] {
            let (next, last) = neighbours(c);
            let (other, one) = ((next, bytes), (last, bytes));
            let both = if next == last { vec![one] } else { vec![one.min(other), one.max(other)] };
            let mut set = c.message_set(method, &both, &both)?;
            go(c, &mut set, 3)?;
        }
    }
    Ok(())
}

fn any_graph(c: &Communicator) -> Outcome {
    // About a third of all pairs; rank 1 sends to nobody, rank 2 hears from nobody, rank 3 does neither.
    let graph: Graph = |_, from, to| {
        let dice = mix(&mut seed(&[from, to, 99]));
        (from != 1 && from != 3 && to != 2 && to != 3 && from != to && !dice.is_multiple_of(3))
            .then_some((dice % 5000) as usize)
    };
    for method in Method::ALL {
        go(c, &mut make(c, method, graph)?, 4)?;
    }
    Ok(())
}

fn empty(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        go(c, &mut make(c, method, |_, _, _| None)?, 3)?;
        // Only the last rank hears from the first.
        go(c, &mut make(c, method, |size, from, to| (from == 0 && to == size - 1).then_some(5))?, 3)?;
    }
    Ok(())
}

fn to_oneself(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        go(c, &mut make(c, method, |_, from, to| (from == to).then_some(100 + from))?, 3)?;
        go(c, &mut make(c, method, |size, from, to| (from == to || (from + 1) % size == to).then_some(20_000))?, 3)?;
    }
    Ok(())
}

pub(super) fn all_pairs(_: usize, from: usize, to: usize) -> Option<usize> {
    (from != to).then_some(1000 * from + 10 * to)
}

fn rounds(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut set = make(c, method, all_pairs)?;
        for round in 0..30 {
            if round % 10 == c.rank() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            fill(c, &mut set, round);
            set.start_receives()?;
            // The sends in another order each time.
            let sends = set.sends().len();
            for i in 0..sends {
                set.start_send((i + round) % sends)?;
            }
            finish(c, &mut set, round)?;
        }
    }
    Ok(())
}

fn started_alone(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut set = make(c, method, all_pairs)?;
        for round in 0..6 {
            // Each rank starts when the one before it has, in rounds the one way and in rounds the other.
            let (me, last) = (c.rank(), c.size() - 1);
            let turn = if round % 2 == 0 { me } else { last - me };
            let neighbour = |turn: usize| if round % 2 == 0 { turn } else { last - turn };
            if turn > 0 {
                c.recv(&mut [0u8], neighbour(turn - 1), 3)?;
            }
            fill(c, &mut set, round);
            set.start()?;
            if turn < last {
                c.send(&[0u8], neighbour(turn + 1), 3)?;
            }
            finish(c, &mut set, round)?;
        }
    }
    Ok(())
}

fn waiting_elsewhere(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    for method in Method::ALL {
        let mut set = make(c, method, all_pairs)?;
        for round in 0..6 {
            fill(c, &mut set, round);
            set.start()?;
            // One rank, another each round, waits first for the others, who have finished then.
            let waiter = round % size;
            if me == waiter {
                for other in (0..size).filter(|&other| other != me) {
                    c.recv(&mut [0u8], other, 3)?;
                }
            }
            finish(c, &mut set, round)?;
            if me != waiter {
                c.send(&[0u8], waiter, 3)?;
            }
        }
    }
    Ok(())
}

fn several(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut sets = (0..4).map(|_| make(c, method, all_pairs)).collect::<Result<Vec<_>>>()?;
        for round in 0..5 {
            for (k, set) in sets.iter_mut().enumerate() {
                fill(c, set, 10 * round + k);
                set.start()?;
            }
            let n = sets.len();
            for k in (0..n).map(|k| (k + c.rank()) % n) {
                finish(c, &mut sets[k], 10 * round + k)?;
            }
        }
    }
    Ok(())
}

fn apart(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        // A receive of anything from anybody, and a message with the tag 0.
        let (next, last) = neighbours(c);
        let anything = c.irecv(vec![0u8; 9], crate::Any, crate::Any)?;
        let mut set = make(c, method, all_pairs)?;
        fill(c, &mut set, 1);
        set.start()?;
        let sent = c.isend(vec![7u8; 9], next, 0)?;
        let (got, status) = anything.wait_status()?;
        equal("what came", (got, status.source), (vec![7; 9], last))?;
        sent.wait()?;
        finish(c, &mut set, 1)?;
    }
    Ok(())
}

fn tested(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut set = make(c, method, |_, from, to| (from != to).then_some(50_000 * (to % 2) + 8))?;
        for round in 0..4 {
            equal("an idle set", set.test()?, true)?;
            fill(c, &mut set, round);
            set.start()?;
            eventually(format_args!("{method}, round {round}"), || set.test())?;
            equal("tested again", set.test()?, true)?;
            finish(c, &mut set, round)?;
        }
    }
    Ok(())
}

/// Bytes that no message writes.
pub(super) const UNTOUCHED: u8 = 0xee;

fn in_place(c: &Communicator) -> Outcome {
    let (next, last) = neighbours(c);
    for method in Method::ALL {
        // A plane, a row and a list of a 6 x 7 x 8 array of 3-byte cells; received in a box of the same shape elsewhere.
        let sent = vec![
            Layout::subarray(&[6, 7, 8], &[0, 1, 1], &[6, 5, 1]).scaled(3),
            Layout::subarray(&[6, 7, 8], &[2, 3, 0], &[1, 1, 8]).scaled(3),
            Layout::indices([300, 17, 18, 5]),
        ];
        let half = 6 * 7 * 8 * 3;
        let received: Vec<_> = vec![
            Layout::subarray(&[6, 7, 8], &[1, 0, 2], &[5, 6, 1]).scaled(3).shifted(half),
            Layout::subarray(&[6, 7, 8], &[0, 0, 0], &[1, 1, 8]).scaled(3).shifted(half),
            Layout::indices([1000, 999, 998, 997]).shifted(half),
        ];
        let mut memory = vec![UNTOUCHED; 2 * half + 3000];
        // SAFETY: the memory outlives the set, which is finished before it is looked at; receives do not overlap.
        let mut set = unsafe {
            c.message_set_in_place(method, memory.as_mut_ptr(), &[(next, sent.clone())], &[(last, received.clone())])
        }?;
        for round in 0..3 {
            let base = memory.as_mut_ptr();
            let mine: Vec<u8> = pattern(seed(&[c.rank(), round]), half);
            // SAFETY: the set is idle.
            unsafe { std::slice::from_raw_parts_mut(base, half) }.copy_from_slice(&mine);
            set.start()?;
            let mut given = 0;
            set.finish(|_, bytes| given += 1 + bytes.len())?;
            equal("the calls, and their bytes", given, 1)?;
            let theirs: Vec<u8> = pattern(seed(&[last, round]), half);
            let mut expected = vec![UNTOUCHED; memory.len()];
            expected[..half].copy_from_slice(&mine);
            let cells = |layouts: &[Layout]| {
                layouts
                    .iter()
                    .flat_map(|l| l.iter_runs().flat_map(|(s, n)| s..s + n).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
            };
            for (from, to) in cells(&sent).into_iter().zip(cells(&received)) {
                expected[to] = theirs[from];
            }
            same(format_args!("the memory, {method}"), &memory, &expected)?;
        }
    }
    Ok(())
}

fn in_place_columns(c: &Communicator) -> Outcome {
    const N: usize = 40;
    let (next, last) = neighbours(c);
    let column = |j: usize| vec![Layout::subarray(&[N, N], &[1, j], &[N - 2, 1]).scaled(8)];
    for method in Method::ALL {
        let mut memory = vec![0u64; N * N];
        let base = memory.as_mut_ptr().cast::<u8>();
        // SAFETY: the memory outlives the set, which is finished before it is looked at; columns do not overlap.
        let mut set = unsafe { c.message_set_in_place(method, base, &[(next, column(N - 2))], &[(last, column(0))]) }?;
        for round in 0..20 {
            let value = |rank: usize| (rank * 1000 + round) as u64;
            (0..N).for_each(|i| memory[i * N + N - 2] = value(c.rank()));
            set.start()?;
            set.finish(|_, _| {})?;
            let halo: Vec<u64> = (1..N - 1).map(|i| memory[i * N]).collect();
            equal(format_args!("{method}, round {round}"), halo, vec![value(last); N - 2])?;
        }
    }
    Ok(())
}

fn elsewhere(c: &Communicator) -> Outcome {
    const N: usize = 12;
    let (next, last) = neighbours(c);
    let column = |peer: usize, at: usize| [(peer, vec![Layout::subarray(&[N, N], &[1, at], &[N - 2, 1]).scaled(8)])];
    for method in Method::ALL {
        let mut memories: Vec<Vec<u64>> = (0..3).map(|_| vec![0; N * N]).collect();
        let bases: Vec<*mut u8> = memories.iter_mut().map(|memory| memory.as_mut_ptr().cast()).collect();
        // The third memory has its columns elsewhere, too.
        let (from, to) = ([N - 2, N - 2, 5], [0, 0, 1]);
        // SAFETY: the memories outlive the sets, of which the one in use is finished before they are looked at; columns do not
        // overlap.
        let first = unsafe { c.message_set_in_place(method, bases[0], &column(next, from[0]), &column(last, to[0])) }?;
        let more = |i: usize| {
            // SAFETY: as above.
            unsafe { first.elsewhere(bases[i], &column(next, from[i]), &column(last, to[i])) }
        };
        if matches!(method, Method::Pull | Method::Push) && c.backend() == BackendKind::Mpi {
            refused("one-sided, elsewhere", more(1), "unsupported", |kind| matches!(kind, ErrorKind::Unsupported(_)))?;
            continue;
        }
        // SAFETY: nothing is moved: these are refused.
        let (other, half) = unsafe {
            let short = [(next, vec![Layout::contiguous(0, 8)])];
            (first.elsewhere(bases[1], &[], &column(last, 0)), first.elsewhere(bases[1], &short, &column(last, 0)))
        };
        let is_invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
        refused("without its sends", other, "invalid", is_invalid)?;
        refused("with another length", half, "invalid", is_invalid)?;
        let (second, third) = (more(1)?, more(2)?);
        let mut sets = [first, second, third];
        for round in 0..20 {
            let i = seed(&[c.rank(), round]) as usize % 3;
            let value = |rank: usize, row: usize| (rank * 1000 + round * 20 + row) as u64;
            // SAFETY: the sets are idle.
            let at = |row: usize, column: usize| unsafe { bases[i].cast::<u64>().add(row * N + column) };
            for row in 1..N - 1 {
                // SAFETY: as above; inside the memory.
                unsafe { at(row, from[i]).write(value(c.rank(), row)) };
            }
            sets[i].start()?;
            sets[i].finish(|_, _| {})?;
            // SAFETY: as above.
            let got: Vec<u64> = (1..N - 1).map(|row| unsafe { at(row, to[i]).read() }).collect();
            let want: Vec<u64> = (1..N - 1).map(|row| value(last, row)).collect();
            equal(format_args!("{method}, round {round}, memory {i}"), got, want)?;
        }
        drop(sets);
        drop(memories);
    }
    Ok(())
}

#[track_caller]
fn fails(what: &str, expected: &str, result: Result<MessageSet>, is: impl Fn(&ErrorKind) -> bool) -> Outcome {
    refused(what, result, expected, is).map(|_| ())
}

fn other_lengths(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let (me, size) = (c.rank(), c.size());
        let sends: Vec<_> = if me == 0 { vec![(size - 1, 40)] } else { vec![] };
        let recvs: Vec<_> = if me == size - 1 { vec![(0, 8)] } else { vec![] };
        fails(
            "a set",
            "a mismatch",
            c.message_set(method, &sends, &recvs),
            |kind| matches!(kind, ErrorKind::Mismatch(text) if text.contains("sends 40 bytes") && text.contains("expects 8")),
        )?;
        go(c, &mut make(c, method, all_pairs)?, 1)?;
    }
    Ok(())
}

fn unlisted(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let mismatch =
        |part: &'static str| move |kind: &ErrorKind| matches!(kind, ErrorKind::Mismatch(text) if text.contains(part));
    let sends: Vec<_> = if me == 0 { vec![(size - 1, 40)] } else { vec![] };
    let result = c.message_set(Method::PointToPoint, &sends, &[]);
    fails("a send", "a mismatch", result, mismatch("does not list a message from it"))?;
    let recvs: Vec<_> = if me == 0 { vec![(size - 1, 40)] } else { vec![] };
    let result = c.message_set(Method::PointToPoint, &[], &recvs);
    fails("a receive", "a mismatch", result, mismatch("does not list a message to it"))
}

fn other_methods(c: &Communicator) -> Outcome {
    let method = if c.rank() == 0 { Method::Neighbor } else { Method::Push };
    fails(
        "a set",
        "a mismatch",
        c.message_set(method, &[], &[]),
        |kind| matches!(kind, ErrorKind::Mismatch(text) if text.contains("neighbor") && text.contains("push")),
    )
}

fn bad_arguments(c: &Communicator) -> Outcome {
    let size = c.size();
    let any = |kind: &ErrorKind| {
        matches!(kind, ErrorKind::InvalidRank { .. } | ErrorKind::InvalidArgument(_) | ErrorKind::Mismatch(_))
    };
    let only = |parts: &[(usize, usize)]| if c.rank() == 0 { parts.to_vec() } else { vec![] };
    for sends in [only(&[(size, 1)]), only(&[(0, 1), (0, 1)]), only(&[(0, usize::MAX)])] {
        fails("a set", "an invalid argument or a mismatch", c.message_set(Method::PointToPoint, &sends, &[]), any)?;
    }
    c.barrier()?;
    Ok(())
}

fn dropped_in_flight(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut set = make(c, method, all_pairs)?;
        fill(c, &mut set, 3);
        set.start()?;
        if c.rank().is_multiple_of(2) {
            drop(set);
        } else {
            finish(c, &mut set, 3)?;
        }
        c.barrier()?;
        go(c, &mut make(c, method, all_pairs)?, 2)?;
    }
    Ok(())
}

fn dropped_half_started(c: &Communicator) -> Outcome {
    // Rank 0 has something for itself and for the last rank, and starts only the latter.
    let graph: Graph = |size, from, to| (from == 0 && (to == 0 || to == size - 1)).then_some(3000);
    let last = c.size() - 1;
    for method in [Method::Pull, Method::Push] {
        let mut set = make(c, method, graph)?;
        set.start_receives()?;
        if c.rank() == 0 {
            set.send_part(1).copy_from_slice(&content(0, last, 1, 3000));
            set.start_send(1)?;
            drop(set);
        } else {
            finish(c, &mut set, 1)?;
        }
        c.barrier()?;
        go(c, &mut make(c, method, all_pairs)?, 2)?;
    }
    Ok(())
}

fn many_made(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut kept = Vec::new();
        for k in 0..40 {
            let mut set = make(c, method, |_, from, to| (from != to).then_some(16))?;
            go(c, &mut set, 1)?;
            // Some live on for a while, not the same ones at each rank.
            if (k + c.rank()).is_multiple_of(5) {
                kept.push(set);
            }
            if kept.len() > 3 {
                kept.remove(0);
            }
        }
    }
    Ok(())
}

/// Resident memory of this process in KiB, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Does `work` until it leaves hardly anything in memory: what other threads of the process take comes and goes, and what
/// leaks is left every time.
fn leaves_nothing(c: &Communicator, what: std::fmt::Arguments<'_>, mut work: impl FnMut() -> Outcome) -> Outcome {
    let mut grown = 0;
    for _ in 0..5 {
        let before = resident();
        work()?;
        let mine = before.zip(resident()).map_or(0, |(before, after)| after.saturating_sub(before));
        grown = c.all_reduce(&[mine], Op::Max)?[0];
        if grown < 6 << 10 {
            return Ok(());
        }
    }
    ensure(false, format_args!("{what} leave {grown} KiB, each of five times"))
}

fn no_leaks(c: &Communicator) -> Outcome {
    // Of each of the six methods, fewer where ranks outnumber the cores, and each round waits for the scheduler.
    let (rounds, sets) = if c.size() <= 2 { (3400, 84) } else { (50, 10) };
    let graph: Graph = |size, from, to| (from != to).then_some(if size <= 2 { 50_000 } else { 5000 });
    for method in Method::ALL {
        let mut set = make(c, method, graph)?;
        let mut run = |n: usize| -> Outcome {
            (0..n).try_for_each(|_| set.start().and_then(|()| set.finish(|_, _| {})))?;
            Ok(())
        };
        run(rounds / 10)?;
        // At two ranks, rounds that left their messages would leave 150 MB, and sets that left their memory 8 MB.
        leaves_nothing(c, format_args!("{method}: {rounds} rounds"), || run(rounds))?;
        leaves_nothing(c, format_args!("{method}: {sets} sets"), || {
            (0..sets).try_for_each(|_| make(c, method, graph).map(drop))?;
            Ok(())
        })?;
    }
    Ok(())
}
