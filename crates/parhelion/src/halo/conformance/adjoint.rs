//! The adjoint: what it is, that it is the same on every scheme, and what it refuses.

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Complex, ErrorKind, Op};

use super::check::{all_settings, along, array, ensure, source};
use crate::array::Decomposition;
use crate::array::DistArray;
use crate::halo::exchange_adjoint;

pub(super) const CASES: &[Case] = &[
    Case::new("adjoint: <A x, y> = <x, At y> for every scheme", inner_products),
    Case::new("adjoint: every scheme gives the same bits", same_bits),
    Case::new("adjoint: minima and maxima reach the owner", extremes),
    Case::new("adjoint: contributions come by rank, the owner's value first", by_rank),
    Case::new("adjoint: several fields go back together", fields),
    Case::new("adjoint: averages and undefined operators are refused", refused),
];

/// Small integers in all stored cells, so that sums are exact and do not depend on their order.
fn whole(grid: &Decomposition<2>, salt: i64) -> Result<DistArray<f64, 2>, Halt> {
    let mut array = DistArray::zeros(grid)?;
    let parent = grid.parent_space(grid.communicator().rank());
    let mut cells = array.with_halo_mut();
    for [i, j] in parent.iter() {
        cells[[i, j]] = ((31 * i + 17 * j + salt).rem_euclid(23) - 11) as f64;
    }
    Ok(array)
}

fn dot(x: &DistArray<f64, 2>, y: &DistArray<f64, 2>, cells: impl Iterator<Item = [i64; 2]>) -> f64 {
    let (x, y) = (x.with_halo(), y.with_halo());
    cells.map(|index| x[index] * y[index]).sum()
}

fn inner_products(c: &Communicator) -> Outcome {
    let grids = [
        Decomposition::new([11, 13], c)?.halo(1).periodic([true, false]),
        Decomposition::new([8, 9], c)?.halo(2).periodic([true, true]).edges_and_corners(true),
        Decomposition::new([c.size(), 3], c)?.grid(along(c, 0)).halo(4).periodic([true, true]),
    ];
    for grid in grids {
        let rank = c.rank();
        let owned = grid.local_space(rank);
        let reached =
            || grid.parent_space(rank).iter().filter(|&i| source(&grid, rank, i).is_some()).collect::<Vec<_>>();
        for settings in all_settings() {
            grid.set_scheme(settings);
            let (x, y) = (whole(&grid, 3)?, whole(&grid, 8)?);
            let mut ax = x.clone();
            ax.exchange()?;
            let mut aty = y.clone();
            aty.exchange_adjoint(Op::Sum)?;
            let sides = [dot(&ax, &y, reached().into_iter()), dot(&x, &aty, owned.iter())];
            let sides = c.all_reduce(&sides, Op::Sum)?;
            ensure(sides[0] == sides[1], format_args!("{settings} on {grid}: {} and {}", sides[0], sides[1]))?;
            let (before, after) = (y.with_halo(), aty.with_halo());
            let halo = grid.parent_space(rank).iter().filter(|i| !owned.contains(*i));
            let kept = halo.into_iter().all(|i| before[i] == after[i]);
            ensure(kept, format_args!("{settings} on {grid}: the halo was changed"))?;
        }
    }
    Ok(())
}

/// Numbers whose sum depends on the order.
fn same_bits(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([6, 7], c)?.halo(2).periodic([true, true]).edges_and_corners(true);
    let mut first: Option<Vec<u64>> = None;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let mut u = DistArray::<f64, 2>::zeros(&grid)?;
        let parent = grid.parent_space(c.rank());
        for (n, index) in parent.iter().enumerate() {
            u.with_halo_mut()[index] = (1.0 + (n * 7 + c.rank() * 3) as f64).sqrt() * 10f64.powi(n as i32 % 9 - 4);
        }
        u.exchange_adjoint(Op::Sum)?;
        let bits: Vec<u64> = parent.iter().map(|index| u.with_halo()[index].to_bits()).collect();
        match &first {
            None => first = Some(bits),
            Some(first) => ensure(*first == bits, format_args!("{settings} gives other bits than the first scheme"))?,
        }
    }
    Ok(())
}

fn extremes(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([3 * c.size()], c)?.halo(1).periodic([true]);
    let (start, end) = (grid.local_space(c.rank()).start()[0], grid.local_space(c.rank()).end()[0]);
    for settings in all_settings() {
        grid.set_scheme(settings);
        for (op, at_halo, want) in [(Op::Max, 50i32, 50), (Op::Min, -50, -50), (Op::Max, -50, 0)] {
            let mut u = DistArray::<i32, 1>::zeros(&grid)?;
            u.with_halo_mut()[[start - 1]] = at_halo;
            u.with_halo_mut()[[end]] = at_halo;
            u.exchange_adjoint(op)?;
            let got = [u.with_halo()[[start]], u.with_halo()[[start + 1]], u.with_halo()[[end - 1]]];
            ensure(got == [want, 0, want], format_args!("{settings}, {op} of {at_halo}: {got:?}"))?;
        }
    }
    Ok(())
}

fn by_rank(c: &Communicator) -> Outcome {
    // One cell for each rank and halos over all of them: every rank contributes to every cell, itself too, by its images.
    let n = c.size();
    let grid = Decomposition::new([n], c)?.halo(n).periodic([true]);
    for settings in all_settings() {
        grid.set_scheme(settings);
        let mut u = DistArray::<u64, 1>::zeros(&grid)?;
        for index in grid.parent_space(c.rank()).iter() {
            u.with_halo_mut()[index] = c.rank() as u64 + 1;
        }
        // The digits of what came, in order.
        u.exchange_adjoint(|owner: u64, halo: u64| (owner * 10 + halo) % 1_000_000_007)?;
        let mut want = c.rank() as u64 + 1;
        for rank in 0..n as u64 {
            // A halo of `n` on both sides holds every cell twice, its own rank's included.
            for _ in 0..2 {
                want = (want * 10 + rank + 1) % 1_000_000_007;
            }
        }
        let got = u.with_halo()[[c.rank() as i64]];
        ensure(got == want, format_args!("{settings}: expected {want}, got {got}"))?;
    }
    Ok(())
}

fn fields(c: &Communicator) -> Outcome {
    let narrow = Decomposition::new([8], c)?.halo(1).periodic([true]);
    let wide = Decomposition::new([8, 6], c)?.halo(2);
    for settings in all_settings() {
        narrow.set_scheme(settings);
        let mut both = (array::<Complex<f32>, 1>(&narrow, 1)?, array::<u8, 2>(&wide, 2)?);
        let mut alone = (array::<Complex<f32>, 1>(&narrow, 1)?, array::<u8, 2>(&wide, 2)?);
        let finite = |u: &mut DistArray<Complex<f32>, 1>| {
            for [i] in narrow.parent_space(c.rank()).iter() {
                u.with_halo_mut()[[i]] = Complex::new(i as f32, 0.5);
            }
        };
        finite(&mut both.0);
        finite(&mut alone.0);
        exchange_adjoint(&mut both, Op::Sum)?;
        alone.0.exchange_adjoint(Op::Sum)?;
        alone.1.exchange_adjoint(Op::Sum)?;
        let first = narrow.parent_space(c.rank()).iter().all(|i| both.0.with_halo()[i] == alone.0.with_halo()[i]);
        let second = wide.parent_space(c.rank()).iter().all(|i| both.1.with_halo()[i] == alone.1.with_halo()[i]);
        ensure(first && second, format_args!("{settings}: together ({first}, {second}) is not as one by one"))?;
    }
    Ok(())
}

fn refused(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([8], c)?.halo(1);
    let mut u = array::<Complex<f64>, 1>(&grid, 1)?;
    for op in [Op::Average, Op::Max, Op::BitAnd] {
        let undefined = |e: &parhelion_comm::Error| matches!(e.kind(), ErrorKind::UndefinedOp(_));
        let error = u.exchange_adjoint(op).err();
        ensure(error.as_ref().is_some_and(undefined), format_args!("{op} of complex numbers: {error:?}"))?;
        let error = exchange_adjoint(&mut u, op).err();
        ensure(error.as_ref().is_some_and(undefined), format_args!("{op} of complex fields: {error:?}"))?;
    }
    Ok(())
}
