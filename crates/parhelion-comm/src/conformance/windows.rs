//! Windows: epochs of all, of neighbours, and under locks.

use super::check::{Outcome, ensure, equal, refused, same};
use super::sample::{Particle, neighbours, pattern, seed};
use super::{Case, windows_combine, windows_order};
use crate::communicator::Communicator;
use crate::element::Element;
use crate::error::{Error, ErrorKind};
use crate::op::Op;
use crate::window::{Epoch, Lock, Window};

pub(super) const CASES: &[Case] = &[
    Case::new("windows: a part is zero at first, aligned, and a slice", zero_and_aligned),
    Case::new("windows: what is put at a neighbour is there after the fence", put_ring),
    Case::new("windows: what a neighbour has is got in a fence", get_ring),
    Case::new("windows: every rank puts at every rank, and none overwrites another", put_all),
    Case::new("windows: a rank gets what it has put in the same epoch", get_after_put),
    Case::new("windows: sums of all ranks lose nothing", windows_combine::every_operator),
    Case::new("windows: what was there before a sum is told", windows_combine::before_sums),
    Case::new("windows: tickets are given once", windows_combine::tickets),
    Case::new("windows: of all who swap one wins", windows_combine::one_swaps),
    Case::new("windows: neighbours wait only for each other", ring_of_neighbours),
    Case::new("windows: a rank is reached by all others, and reaches none", star),
    Case::new("windows: an exclusive lock lets one rank count at a time", counter),
    Case::new("windows: a shared lock lets all read", readers),
    Case::new("windows: a rank locks its own part", own_lock),
    Case::new("windows: readers and writers by turns see whole states", readers_and_writers),
    Case::new("windows: what is flushed is there when a message says so", flushed),
    Case::new("windows: a lock keeps out whom it should, for as long as it is held", windows_order::kept_out).ranks(2),
    Case::new("windows: a shared lock is held by all at once", windows_order::shared_by_all),
    Case::new("windows: a crowd of puts is there after the fence", windows_order::crowd_in_a_fence),
    Case::new("windows: a crowd of puts is there when a neighbour is done", windows_order::crowd_of_neighbours),
    Case::new("windows: a crowd that is flushed is there when another rank says so", windows_order::flushed_and_told)
        .ranks(2),
    Case::new("windows: several locks are held at once, and forgotten ones given back", several_locks),
    Case::new("windows: parts of different lengths, some of them empty", uneven),
    Case::new("windows: wrong places, ranks and operators are refused, and the epoch goes on", refusals),
    Case::new("windows: element types that differ are a mismatch", other_types).ranks(2),
    Case::new("windows: an epoch that fails breaks the window at every rank", failing).ranks(2),
    Case::new("windows: many at once, dropped in any order", many),
    Case::new("windows: of several communicators at once", of_parts),
];

/// More than one piece of any backend.
const LONG: usize = 300_001;

fn zero_and_aligned(c: &Communicator) -> Outcome {
    fn try_type<T: Element>(c: &Communicator) -> Outcome {
        for len in [0, 1, 63, 1000] {
            let mut window = Window::<T>::allocate(c, len)?;
            equal("lengths", window.lens(), &vec![len; c.size()][..])?;
            equal("alignment", window.local().as_ptr().addr() % align_of::<T>(), 0)?;
            same("zeros", window.local(), &bytemuck::allocation::zeroed_vec::<T>(len))?;
            let data = pattern::<T>(seed(&[len, c.rank()]), len);
            window.local_mut().copy_from_slice(&data);
            window.fence(|_| Ok(()))?;
            same("what was written", window.local(), &data)?;
        }
        Ok(())
    }
    try_type::<u8>(c)?;
    try_type::<f64>(c)?;
    try_type::<Particle>(c)?;
    let window = Window::<()>::allocate(c, 5)?;
    equal("elements without a size", window.local().len(), 5)
}

fn put_ring(c: &Communicator) -> Outcome {
    fn try_type<T: Element>(c: &Communicator, len: usize) -> Outcome {
        let (right, left) = neighbours(c);
        let mut window = Window::<T>::allocate(c, len + 2)?;
        for round in 0..3 {
            let data = pattern::<T>(seed(&[c.rank(), round]), len);
            window.fence(|epoch| epoch.part(right)?.put(1, &data))?;
            same("what was put", &window.local()[1..=len], &pattern(seed(&[left, round]), len))?;
            let zero = [T::zeroed()];
            same("the element before", &window.local()[..1], &zero)?;
            same("the element behind", &window.local()[len + 1..], &zero)?;
        }
        Ok(())
    }
    for len in [0, 1, 17, LONG] {
        try_type::<u8>(c, len)?;
    }
    try_type::<f64>(c, 40_003)?;
    try_type::<Particle>(c, 333)?;
    try_type::<()>(c, 3)
}

fn get_ring(c: &Communicator) -> Outcome {
    fn try_type<T: Element>(c: &Communicator, len: usize) -> Outcome {
        let (_, left) = neighbours(c);
        let mut window = Window::<T>::allocate(c, len + 1)?;
        for round in 0..2 {
            window.local_mut()[1..].copy_from_slice(&pattern(seed(&[c.rank(), round]), len));
            let mut got = vec![T::zeroed(); len];
            window.fence(|epoch| epoch.part(left)?.get(1, &mut got))?;
            same("what was got", &got, &pattern(seed(&[left, round]), len))?;
        }
        Ok(())
    }
    for len in [0, 1, 17, LONG] {
        try_type::<u8>(c, len)?;
    }
    try_type::<f64>(c, 40_003)?;
    try_type::<Particle>(c, 333)
}

fn put_all(c: &Communicator) -> Outcome {
    const EACH: usize = 5;
    let mut window = Window::<u64>::allocate(c, EACH * c.size())?;
    for round in 0..20 {
        let data = |from: usize, to: usize| pattern::<u64>(seed(&[from, to, round]), EACH);
        window.fence(|epoch| {
            (0..c.size()).try_for_each(|to| epoch.part(to)?.put(EACH * c.rank(), &data(c.rank(), to)))
        })?;
        for from in 0..c.size() {
            same("one rank's", &window.local()[EACH * from..][..EACH], &data(from, c.rank()))?;
        }
    }
    Ok(())
}

fn get_after_put(c: &Communicator) -> Outcome {
    let mut window = Window::<u32>::allocate(c, c.size() + 1)?;
    window.fence(|epoch| {
        for rank in 0..c.size() {
            let part = epoch.part(rank)?;
            let mine = [(100 * c.rank() + rank) as u32];
            part.put(c.rank(), &mine)?;
            let mut got = [0];
            part.get(c.rank(), &mut got)?;
            assert_eq!(got, mine, "at rank {rank}");
        }
        Ok(())
    })?;
    Ok(())
}

fn ring_of_neighbours(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut window = Window::<u64>::allocate(c, 3)?;
    for round in 0..50u64 {
        window.neighbours(&[left], &[right], |epoch| epoch.part(right)?.put(1, &[round, c.rank() as u64]))?;
        equal("what was put", window.local(), &[0, round, left as u64])?;
    }
    // Nobody else can be reached, and it is said before anything happens.
    if c.size() > 2 {
        let result = window.neighbours(&[left], &[right], |epoch| match epoch.part(left) {
            Err(e) => Ok(e),
            Ok(_) => panic!("a rank that is no target can be reached"),
        });
        ensure(matches!(result?.kind(), ErrorKind::InvalidArgument(_)), "another kind of error")?;
    }
    let nobody = window.neighbours(&[], &[], |_| Ok(7))?;
    equal("the value of the closure", nobody, 7)
}

fn star(c: &Communicator) -> Outcome {
    let others: Vec<usize> = (1..c.size()).collect();
    let mut window = Window::<f64>::allocate(c, c.size())?;
    for round in 0..10 {
        if c.rank() == 0 {
            window.neighbours(&others, &[], |_| Ok(()))?;
            let sum: f64 = window.local().iter().sum();
            equal("the sum", sum, (others.len() * (round + 1)) as f64)?;
        } else {
            window.neighbours(&[], &[0], |epoch| epoch.part(0)?.accumulate(c.rank(), &[1.0], Op::Sum))?;
        }
    }
    Ok(())
}

fn counter(c: &Communicator) -> Outcome {
    const EACH: u64 = 10;
    let last = c.size() - 1;
    let mut window = Window::<u64>::allocate(c, if c.rank() == last { 2 } else { 0 })?;
    window.passive(|epoch| {
        for _ in 0..EACH {
            let held = epoch.lock(last, Lock::Exclusive)?;
            let mut now = [0, 0];
            held.get(0, &mut now)?;
            assert_eq!(now[0], now[1], "a state that is half written");
            held.put(0, &[now[0] + 1])?;
            held.put(1, &[now[1] + 1])?;
            held.unlock()?;
        }
        Ok(())
    })?;
    let count = EACH * c.size() as u64;
    ensure(c.rank() < last || window.local() == [count, count], format_args!("{:?}, not {count}", window.local()))
}

fn readers(c: &Communicator) -> Outcome {
    let mut window = Window::<u32>::allocate(c, 1000)?;
    window.local_mut().copy_from_slice(&pattern(seed(&[c.rank()]), 1000));
    window.passive(|epoch| {
        for step in 0..c.size() {
            let rank = (c.rank() + step) % c.size();
            let held = epoch.lock(rank, Lock::Shared)?;
            let mut got = vec![0; 1000];
            held.get(0, &mut got)?;
            assert_eq!(got, pattern::<u32>(seed(&[rank]), 1000));
        }
        Ok(())
    })?;
    Ok(())
}

fn own_lock(c: &Communicator) -> Outcome {
    let mut window = Window::<u32>::allocate(c, 2)?;
    window.passive(|epoch| {
        for round in 1..=5 {
            let held = epoch.lock(c.rank(), Lock::Exclusive)?;
            held.put(0, &[round])?;
            let mut got = [0];
            held.get(0, &mut got)?;
            assert_eq!(got, [round]);
        }
        Ok(())
    })?;
    equal("what was put", window.local(), &[5, 0])
}

fn readers_and_writers(c: &Communicator) -> Outcome {
    const LEN: usize = 64;
    let mut window = Window::<u64>::allocate(c, LEN)?;
    window.passive(|epoch| {
        for round in 0..8 {
            let rank = (c.rank() + round) % c.size();
            if round % 2 == 0 {
                let held = epoch.lock(rank, Lock::Exclusive)?;
                held.put(0, &[(c.rank() * 100 + round) as u64; LEN])?;
            } else {
                let held = epoch.lock(rank, Lock::Shared)?;
                let mut got = [0; LEN];
                held.get(0, &mut got)?;
                assert!(got.iter().all(|x| *x == got[0]), "a state of two writers: {got:?}");
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn flushed(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut window = Window::<u64>::allocate(c, 1)?;
    window.fence(|epoch| {
        let part = epoch.part(right)?;
        part.put(0, &[c.rank() as u64 + 1])?;
        part.flush()?;
        let sent = c.isend(vec![1u8], right, 5)?;
        c.recv(&mut [0u8], left, 5)?;
        sent.wait()?;
        let mut got = [0];
        epoch.part(c.rank())?.get(0, &mut got)?;
        assert_eq!(got, [left as u64 + 1]);
        Ok(())
    })?;
    Ok(())
}

fn several_locks(c: &Communicator) -> Outcome {
    let mut window = Window::<u64>::allocate(c, 1)?;
    for _ in 0..3 {
        window.passive(|epoch| {
            // In the order of ranks, so that nobody waits in a circle.
            for rank in 0..c.size() {
                let held = epoch.lock(rank, Lock::Exclusive)?;
                held.accumulate(0, &[1], Op::Sum)?;
                std::mem::forget(held);
                let twice = epoch.lock(rank, Lock::Shared).map(drop);
                assert!(matches!(twice, Err(e) if matches!(e.kind(), ErrorKind::InvalidArgument(_))));
            }
            Ok(())
        })?;
    }
    equal("the sum", window.local(), &[3 * c.size() as u64])
}

fn uneven(c: &Communicator) -> Outcome {
    let len = |rank: usize| if rank.is_multiple_of(2) { 3 * rank } else { 0 };
    let mut window = Window::<u16>::allocate(c, len(c.rank()))?;
    equal("lengths", window.lens(), &(0..c.size()).map(len).collect::<Vec<_>>()[..])?;
    window.fence(|epoch| {
        for rank in 0..c.size() {
            let part = epoch.part(rank)?;
            assert_eq!((part.rank(), part.len(), part.is_empty()), (rank, len(rank), len(rank) == 0));
            part.put(0, &[])?;
            part.put(len(rank), &[])?;
            if c.rank() == 0 {
                part.put(0, &vec![7; len(rank)])?;
            }
        }
        Ok(())
    })?;
    ensure(window.local().iter().all(|x| *x == 7), "not all was put")
}

fn refusals(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut window = Window::<f64>::allocate(c, 4)?;
    let is_argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    let mut outcome = Ok(());
    window.fence(|epoch| {
        outcome = refused_calls(epoch, right, c.size());
        epoch.part(right)?.put(0, &[c.rank() as f64])
    })?;
    outcome?;
    equal("what was put", window.local(), &[left as f64, 0.0, 0.0, 0.0])?;
    for (list, kind) in [(vec![c.size()], "InvalidRank"), (vec![0, 0], "InvalidArgument")] {
        refused("a wrong list of origins", window.neighbours(&list, &[], |_| Ok(())), kind, |_| true)?;
        refused("a wrong list of targets", window.neighbours(&[], &list, |_| Ok(())), kind, |_| true)?;
    }
    window.passive(|epoch| {
        assert!(epoch.lock(c.size(), Lock::Shared).is_err());
        epoch.lock(right, Lock::Exclusive)?.put(1, &[2.0])
    })?;
    equal("what was put under the lock", window.local()[1], 2.0)?;
    let huge = Window::<f64>::allocate(c, if c.rank() == 0 { usize::MAX / 4 } else { 1 });
    refused("a part larger than memory", huge, "InvalidArgument", is_argument)?;
    Ok(())
}

/// Calls of an epoch that make no sense.
fn refused_calls(epoch: &Epoch<'_, f64>, right: usize, size: usize) -> Outcome {
    let is_argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    refused("a rank too high", epoch.part(size), "InvalidRank", |kind| matches!(kind, ErrorKind::InvalidRank { .. }))?;
    let part = epoch.part(right)?;
    let error = refused("put past the end", part.put(3, &[1.0; 2]), "InvalidArgument", is_argument)?;
    equal("the peer", error.peer(), Some(right))?;
    refused("put beyond all numbers", part.put(usize::MAX, &[1.0]), "InvalidArgument", is_argument)?;
    refused("get past the end", part.get(5, &mut []), "InvalidArgument", is_argument)?;
    refused("sum past the end", part.accumulate(4, &[1.0], Op::Sum), "InvalidArgument", is_argument)?;
    refused("swap past the end", part.compare_and_swap(4, 0.0, 1.0), "InvalidArgument", is_argument)?;
    let before = &mut [0.0; 2];
    let unequal = part.get_accumulate(0, &[1.0], Op::Sum, before);
    refused("room for two, data for one", unequal, "InvalidArgument", is_argument)?;
    for op in [Op::BitAnd, Op::MinLoc, Op::Average] {
        let undefined = |kind: &ErrorKind| matches!(kind, ErrorKind::UndefinedOp(_));
        refused(op, part.accumulate(0, &[1.0], op), "UndefinedOp", undefined)?;
    }
    Ok(())
}

fn other_types(c: &Communicator) -> Outcome {
    let is_mismatch = |kind: &ErrorKind| matches!(kind, ErrorKind::Mismatch(_));
    if c.rank() == 0 {
        refused("another type", Window::<f64>::allocate(c, 3), "Mismatch", is_mismatch)?;
    } else {
        refused("another type", Window::<f32>::allocate(c, 3), "Mismatch", is_mismatch)?;
    }
    Window::<f32>::allocate(c, 3)?.fence(|_| Ok(()))?;
    Ok(())
}

fn failing(c: &Communicator) -> Outcome {
    let mut window = Window::<u64>::allocate(c, 1)?;
    let culprit = c.size() / 2;
    let fail = || Error::new("test", ErrorKind::InvalidArgument("on purpose".to_owned()));
    let result = window.fence(|epoch| {
        epoch.part(0)?.accumulate(0, &[1], Op::Sum)?;
        if c.rank() == culprit { Err(fail()) } else { Ok(()) }
    });
    if c.rank() == culprit {
        refused("its own error", result, "InvalidArgument", |kind| matches!(kind, ErrorKind::InvalidArgument(_)))?;
    } else {
        let error = refused("of another", result, "PeerLost", |kind| matches!(kind, ErrorKind::PeerLost { .. }))?;
        equal("the rank that failed", error.peer(), Some(culprit))?;
    }
    ensure(window.is_broken(), "a window whose epoch failed is broken")?;
    refused("another epoch", window.fence(|_| Ok(())), "InvalidArgument", |_| true)?;
    drop(window);
    // Others work.
    let mut window = Window::<u64>::allocate(c, 1)?;
    window.fence(|epoch| epoch.part(culprit)?.accumulate(0, &[1], Op::Sum))?;
    ensure(c.rank() != culprit || window.local() == [c.size() as u64], "a sum in the next window")
}

fn many(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut windows: Vec<Window<u64>> = (0..20).map(|i| Window::allocate(c, i)).collect::<Result<_, _>>()?;
    for round in 0..2 {
        for (i, window) in windows.iter_mut().enumerate() {
            let data = pattern::<u64>(seed(&[c.rank(), i, round]), i);
            window.fence(|epoch| epoch.part(right)?.put(0, &data))?;
        }
        for (i, window) in windows.iter().enumerate() {
            same("in one of many", window.local(), &pattern(seed(&[left, i, round]), i))?;
        }
    }
    // Each rank in another order.
    while !windows.is_empty() {
        windows.swap_remove(c.rank() % windows.len());
    }
    let mut last = Window::<u64>::allocate(c, 1)?;
    last.fence(|epoch| epoch.part(right)?.put(0, &[9]))?;
    equal("after them", last.local(), &[9])
}

fn of_parts(c: &Communicator) -> Outcome {
    let Some(part) = c.split(Some((c.rank() % 2) as u32), -(c.rank() as i64))? else {
        return Ok(());
    };
    let whole = &mut Window::<u64>::allocate(c, c.size())?;
    for round in 0..3 {
        // Made at the same time by ranks that have nothing to do with each other.
        let mut window = Window::<u64>::allocate(&part, part.size() * 100)?;
        let value = |rank: usize| (1000 * (c.rank() % 2) + 10 * rank + round) as u64;
        window.fence(|epoch| {
            (0..part.size()).try_for_each(|to| epoch.part(to)?.put(100 * part.rank(), &[value(part.rank()); 100]))
        })?;
        for from in 0..part.size() {
            same("of a part", &window.local()[100 * from..][..100], &[value(from); 100])?;
        }
        window.passive(|epoch| {
            let held = epoch.lock(0, Lock::Exclusive)?;
            held.accumulate(0, &[1], Op::Sum)
        })?;
        let counted = value(0) + part.size() as u64;
        ensure(part.rank() > 0 || window.local()[0] == counted, "locks of a part")?;
        whole.fence(|epoch| epoch.part(0)?.put(c.rank(), &[value(part.rank())]))?;
    }
    Ok(())
}
