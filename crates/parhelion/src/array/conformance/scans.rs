//! Scans against the same on a vector of all cells.

use parhelion_comm::conformance::check::equal;
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Op};

use super::draw::Draw;
use super::model::{at, holds, rounds, whole};
use crate::array::{DistArray, IndexSpace};

pub(super) const CASES: &[Case] = &[
    Case::new("arrays: scans over all cells follow the C order of their indices", |c| {
        rounds(61, |draw| flat::<1>(c, draw))?;
        rounds(62, |draw| flat::<2>(c, draw))?;
        rounds(63, |draw| flat::<3>(c, draw))?;
        rounds(64, |draw| flat::<4>(c, draw))
    }),
    Case::new("arrays: scans along an axis follow it through all ranks", |c| {
        rounds(65, |draw| along::<1>(c, draw))?;
        rounds(66, |draw| along::<2>(c, draw))?;
        rounds(67, |draw| along::<3>(c, draw))?;
        rounds(68, |draw| along::<4>(c, draw))
    }),
];

/// The map `x -> a x + b`: composition is associative, exact, and does not commute.
type Affine = [u32; 2];

fn then(f: Affine, g: Affine) -> Affine {
    [f[0].wrapping_mul(g[0]), f[1].wrapping_mul(g[0]).wrapping_add(g[1])]
}

fn affine(draw: &mut Draw) -> Affine {
    let word = draw.word();
    [word as u32, (word >> 32) as u32]
}

/// Inclusive scans of lists, and exclusive ones from `first`.
fn scanned(values: &[Affine], first: Affine) -> (Vec<Affine>, Vec<Affine>) {
    let mut before = None;
    let mut exclusive = first;
    let mut all = (Vec::new(), Vec::new());
    for &x in values {
        let with = before.map_or(x, |before| then(before, x));
        all.0.push(with);
        all.1.push(exclusive);
        exclusive = then(exclusive, x);
        before = Some(with);
    }
    all
}

pub(super) fn flat<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let space = grid.space();
    let values = whole(&grid, |_| affine(draw));
    let first = affine(draw);
    let x = DistArray::from_fn(&grid, at(&values, space))?;
    let (inclusive, exclusive) = scanned(&values, first);
    holds("scan", &x.scan(then)?, at(&inclusive, space))?;
    holds("exclusive_scan", &x.exclusive_scan(first, then)?, at(&exclusive, space))?;
    // An operator that is built in.
    let sums = x.map(|x| x[0]).scan(Op::Sum)?;
    let mut sum = 0u32;
    let expected: Vec<u32> = values
        .iter()
        .map(|x| {
            sum = sum.wrapping_add(x[0]);
            sum
        })
        .collect();
    holds("scan with sum", &sums, at(&expected, space))?;
    equal("the distribution of a scan", sums.decomposition().same_distribution(&grid), true)
}

pub(super) fn along<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let space = grid.space();
    let values = whole(&grid, |_| affine(draw));
    let (axis, first) = (draw.below(D), affine(draw));
    let x = DistArray::from_fn(&grid, at(&values, space))?;
    let (mut inclusive, mut exclusive) = (values.clone(), values.clone());
    let mut starts = space.end();
    starts[axis] = space.start()[axis] + 1;
    for start in IndexSpace::new(space.start(), starts) {
        let cells: Vec<usize> = space
            .axis(axis)
            .map(|i| {
                let mut index = start;
                index[axis] = i;
                space.linear(index)
            })
            .collect();
        let line: Vec<Affine> = cells.iter().map(|&i| values[i]).collect();
        let (with, before) = scanned(&line, first);
        for (j, &i) in cells.iter().enumerate() {
            (inclusive[i], exclusive[i]) = (with[j], before[j]);
        }
    }
    holds(format_args!("scan along axis {axis}"), &x.scan_axis(axis, then)?, at(&inclusive, space))?;
    let got = x.exclusive_scan_axis(axis, first, then)?;
    holds(format_args!("exclusive scan along axis {axis}"), &got, at(&exclusive, space))
}
