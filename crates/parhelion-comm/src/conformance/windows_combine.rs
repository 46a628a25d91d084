//! Windows: accumulating, and atomic operations on elements.

use super::check::{Outcome, ensure, equal, same};
use super::sample::Particle;
use crate::communicator::Communicator;
use crate::element::{Element, Located};
use crate::op::{Kernel, Op};
use crate::window::Window;
use crate::{Complex, bf16, f16};

/// Small numbers, of which sums and products are exact in every type.
trait Small: Element {
    fn small(n: usize) -> Self;
}

macro_rules! small {
    ($($t:ty: |$n:ident| $value:expr),* $(,)?) => {$(
        impl Small for $t {
            fn small($n: usize) -> Self { $value }
        }
    )*};
}

small! {
    i8: |n| n as i8, i16: |n| n as i16, i32: |n| n as i32, i64: |n| n as i64,
    u8: |n| n as u8, u16: |n| n as u16, u32: |n| n as u32, u64: |n| n as u64,
    f32: |n| n as f32, f64: |n| n as f64,
    f16: |n| f16::from_f32(n as f32), bf16: |n| bf16::from_f32(n as f32),
    Complex<f32>: |n| Complex::new(n as f32, 0.0), Complex<f64>: |n| Complex::new(n as f64, 0.0),
    Located<f32>: |n| Located::new(n as f32, n as u64), Located<i16>: |n| Located::new(n as i16, n as u64),
}

pub(super) fn every_operator(c: &Communicator) -> Outcome {
    fn try_type<T: Small>(c: &Communicator) -> Outcome {
        const LEN: usize = 5;
        let target = c.size() - 1;
        let start: Vec<T> = (0..LEN).map(|i| T::small(1 + i % 2)).collect();
        let from = |rank: usize| -> Vec<T> { (0..LEN).map(|i| T::small(1 + (rank + i) % 2)).collect() };
        let mut window = Window::<T>::allocate(c, if c.rank() == target { LEN + 1 } else { 0 })?;
        for op in Op::ALL {
            let Ok(kernel) = Kernel::of::<T>(&op) else { continue };
            if op == Op::Average {
                continue;
            }
            if c.rank() == target {
                window.local_mut()[1..].copy_from_slice(&start);
            }
            window.fence(|epoch| epoch.part(target)?.accumulate(1, &from(c.rank()), op))?;
            if c.rank() == target {
                let mut expected = start.clone();
                for rank in 0..c.size() {
                    // SAFETY: two slices of `LEN` elements of this type.
                    unsafe { kernel.fold(expected.as_mut_ptr().cast(), from(rank).as_ptr().cast(), LEN) };
                }
                same(format_args!("{op} of {}", kernel.element()), &window.local()[1..], &expected)?;
            }
        }
        Ok(())
    }
    try_type::<i8>(c)?;
    try_type::<u16>(c)?;
    try_type::<i32>(c)?;
    try_type::<u64>(c)?;
    try_type::<f16>(c)?;
    try_type::<bf16>(c)?;
    try_type::<f32>(c)?;
    try_type::<f64>(c)?;
    try_type::<Complex<f64>>(c)?;
    try_type::<Located<f32>>(c)?;
    try_type::<Located<i16>>(c)
}

pub(super) fn before_sums(c: &Communicator) -> Outcome {
    fn try_type<T: Small + PartialEq + std::fmt::Debug>(c: &Communicator, len: usize) -> Outcome {
        let mut window = Window::<T>::allocate(c, len)?;
        let me = c.rank();
        // Each rank at its own part and at the first: of the latter only one rank sees the beginning.
        let (mut own, mut shared) = (vec![T::small(9); len], vec![T::small(9); len]);
        window.fence(|epoch| {
            epoch.part(0)?.get_accumulate(0, &vec![T::small(1); len], Op::Sum, &mut shared)?;
            if me > 0 {
                epoch.part(me)?.get_accumulate(0, &vec![T::small(2); len], Op::Sum, &mut own)?;
            }
            Ok(())
        })?;
        ensure(me == 0 || own.iter().all(|x| *x == T::small(0)), "what was there before it was touched")?;
        ensure(shared.iter().all(|x| (0..c.size()).any(|n| *x == T::small(n))), "a number of ranks before this one")?;
        let seen = c.gather(&[shared.iter().filter(|x| **x == T::small(0)).count() as u64], 0)?;
        let total = if me == 0 { c.size() } else { 2 };
        ensure(window.local().iter().all(|x| *x == T::small(total)), "the sum")?;
        seen.map_or(Ok(()), |seen| equal("who saw the beginning of each element", seen.iter().sum(), len as u64))
    }
    try_type::<f64>(c, 3)?;
    try_type::<i32>(c, 70_001)?;
    try_type::<f16>(c, 1)?;
    try_type::<u8>(c, 300)
}

pub(super) fn tickets(c: &Communicator) -> Outcome {
    const EACH: usize = 10;
    let mut window = Window::<u64>::allocate(c, 2)?;
    let mine = window.fence(|epoch| {
        let part = epoch.part(c.size() / 2)?;
        (0..EACH).map(|_| part.fetch_and_op(1, 1, Op::Sum)).collect::<Result<Vec<u64>, _>>()
    })?;
    ensure(mine.is_sorted(), "tickets of one rank grow")?;
    let mut all = c.all_gather(&mine)?;
    all.sort_unstable();
    equal("all tickets", all, (0..(EACH * c.size()) as u64).collect::<Vec<_>>())
}

pub(super) fn one_swaps(c: &Communicator) -> Outcome {
    fn try_type<T: Element + PartialEq>(c: &Communicator, free: T, mine: T) -> Outcome {
        let mut window = Window::<T>::allocate(c, 3)?;
        window.local_mut()[1] = free;
        let before = window.fence(|epoch| epoch.part(0)?.compare_and_swap(1, free, mine))?;
        let winners = c.all_reduce(&[u64::from(before == free)], Op::Sum)?;
        equal("winners", winners[0], 1)?;
        // Everyone sees the same one.
        let mut now = [free];
        window.fence(|epoch| epoch.part(0)?.get(1, &mut now))?;
        ensure(before == free || before == now[0], "a loser sees who has won")?;
        ensure(before != free || now[0] == mine, "the winner's value is there")?;
        let zero = [T::zeroed()];
        same("beside it", &window.local()[..1], &zero)?;
        same("beside it", &window.local()[2..], &zero)
    }
    let me = c.rank() as u8;
    try_type::<u64>(c, 77, u64::from(me))?;
    try_type::<i32>(c, -1, i32::from(me))?;
    try_type::<u8>(c, 0xee, me)?;
    try_type::<f64>(c, -0.5, f64::from(me))?;
    try_type::<[u8; 3]>(c, [0xee; 3], [me; 3])?;
    let particle = |id: u32| Particle { id, cell: [1, 2], velocity: [0.5; 3] };
    try_type::<Particle>(c, particle(1000), particle(u32::from(me)))?;
    // A sum by swaps alone.
    let mut window = Window::<u32>::allocate(c, 1)?;
    window.fence(|epoch| {
        let part = epoch.part(0)?;
        let mut expected = 0;
        loop {
            let before = part.compare_and_swap(0, expected, expected + 1)?;
            if before == expected {
                return Ok(());
            }
            expected = before;
        }
    })?;
    ensure(c.rank() > 0 || window.local() == [c.size() as u32], "a sum by swaps")
}
