//! Sorting against the standard library's.

use std::cmp::Ordering;

use parhelion_comm::conformance::check::{equal, same};
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Element};

use super::draw::Draw;
use super::model::{at, holds, rounds, whole};
use crate::array::{Decomposition, DistArray, Distribution};

pub(super) const CASES: &[Case] = &[
    Case::new("arrays: sorting puts the k-th element at index k of any distribution", |c| {
        rounds(71, |draw| sorted(c, draw))
    }),
    Case::new("arrays: sorting keeps the order of equal elements", |c| rounds(72, |draw| stable(c, draw))),
    Case::new("arrays: sorting takes any input: equal, sorted, reversed, NaN, on one rank", |c| {
        for n in [0, 1, c.size(), 40 * c.size() + 3, 3000] {
            inputs(c, n)?;
        }
        Ok(())
    }),
];

pub(super) fn sorted(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = [draw.below(400)];
    let grid = draw.decomposition(c, shape)?;
    let few = draw.once_in(2);
    let mut values: Vec<i32> = whole(&grid, |_| if few { draw.below(4) as i32 } else { draw.word() as i32 });
    let mut x = DistArray::from_fn(&grid, at(&values, grid.space()))?;
    // What is in the halo is no cell of the array.
    let owned = x.owned_space();
    x.with_halo_mut().for_each(|index, cell| {
        if !owned.contains(index) {
            *cell = i32::MIN
        }
    });
    x.sort()?;
    values.sort_unstable();
    holds("sort", &x, at(&values, grid.space()))?;
    x.sort_by(|a, b| b.cmp(a))?;
    values.reverse();
    holds("sort_by", &x, at(&values, grid.space()))?;
    let halo = x.with_halo().iter().filter(|&&cell| cell == i32::MIN).count();
    equal("halo cells as they were", halo, x.with_halo().len() - x.owned().len())
}

pub(super) fn stable(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = [draw.below(300)];
    let grid = draw.decomposition(c, shape)?;
    let mut values: Vec<[u16; 2]> = (0..shape[0]).map(|i| [draw.below(5) as u16, i as u16]).collect();
    let mut x = DistArray::from_fn(&grid, at(&values, grid.space()))?;
    x.sort_by(|a, b| a[0].cmp(&b[0]))?;
    values.sort_by_key(|x| x[0]);
    holds("stable sort", &x, at(&values, grid.space()))
}

fn inputs(c: &Communicator, n: usize) -> Outcome {
    let blocks = Decomposition::new([n], c)?;
    let mut boundaries = vec![0; c.size()];
    boundaries.push(n as i64);
    let on_the_last = blocks.clone().distribution([Distribution::Explicit(boundaries)]);
    let cyclic = blocks.clone().distribution([Distribution::Cyclic]);
    for grid in [&blocks, &on_the_last, &cyclic] {
        check(grid, |_| 7.5f32, f32::total_cmp)?;
        check(grid, |i| i as f32, f32::total_cmp)?;
        check(grid, |i| -(i as f64), f64::total_cmp)?;
        check(grid, |i| [f64::NAN, -0.0, 0.0, f64::NEG_INFINITY, -f64::NAN, 1.0][i % 6], f64::total_cmp)?;
        check(grid, |i| (i * 7919 % 1000) as u8, u8::cmp)?;
        check(grid, |i| [i * 31 % 17, i], usize_pairs)?;
    }
    Ok(())
}

fn usize_pairs(a: &[usize; 2], b: &[usize; 2]) -> Ordering {
    a.cmp(b)
}

fn check<T: Element>(grid: &Decomposition<1>, value: impl Fn(usize) -> T, order: fn(&T, &T) -> Ordering) -> Outcome {
    let mut x = DistArray::from_fn(grid, |[i]| value(i as usize))?;
    x.sort_by(order)?;
    let mut values: Vec<T> = (0..grid.shape()[0]).map(value).collect();
    values.sort_by(order);
    let all = x.gather_all()?;
    same(format_args!("sort of {grid}"), all.as_slice().unwrap_or_default(), &values)
}
