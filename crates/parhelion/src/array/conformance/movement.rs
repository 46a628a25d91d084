//! Arrays on the move: redistribute, copy, gather, scatter.

use ndarray::{ArrayView, Dim, Dimension};
use parhelion_comm::conformance::check::{ensure, equal, refused, same};
use parhelion_comm::conformance::{Case, Needs, Outcome};
use parhelion_comm::{Any, Communicator, Element, ErrorKind, Op};

use super::draw::Draw;
use super::model::{cell, holds, rounds, whole};
use crate::array::{Decomposition, DistArray, Distribution, IndexSpace};

pub(super) const CASES: &[Case] = &[
    Case::new("arrays: redistribution keeps every cell between any two distributions", |c| {
        rounds(21, |draw| redistributed::<u8, 1>(c, draw))?;
        rounds(22, |draw| redistributed::<f64, 2>(c, draw))?;
        rounds(23, |draw| redistributed::<f64, 3>(c, draw))?;
        rounds(24, |draw| redistributed::<[u8; 3], 4>(c, draw))
    }),
    Case::new("arrays: a region is copied between arrays of any shapes, and nothing else", |c| {
        rounds(25, |draw| copied::<u8, 1>(c, draw))?;
        rounds(26, |draw| copied::<f64, 2>(c, draw))?;
        rounds(27, |draw| copied::<[u8; 3], 4>(c, draw))
    }),
    Case::new("arrays: gathers give the whole or a region, at a root or everywhere", |c| {
        rounds(29, |draw| gathered::<u8, 1>(c, draw))?;
        rounds(30, |draw| gathered::<f64, 2>(c, draw))?;
        rounds(31, |draw| gathered::<[u8; 3], 4>(c, draw))
    }),
    Case::new("arrays: a root's array is scattered to every copy", |c| {
        rounds(33, |draw| scattered::<f64, 2>(c, draw))?;
        rounds(34, |draw| scattered::<[u8; 3], 4>(c, draw))
    }),
    Case::new("arrays: a program's own messages with wildcards do not meet those of arrays", wildcards),
    Case::new("arrays: ranks that move different things all get an error where checks are on", disagreeing)
        .ranks(2)
        .needs(Needs::Checks),
    Case::new("arrays: communicators that number the ranks otherwise are told apart", renumbered).ranks(2),
    Case::new("arrays: a root that scatters nothing or a wrong shape is an error at every rank", misscattered),
];

pub(super) fn redistributed<T: Element, const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let (a, b) = (draw.decomposition(c, shape)?, draw.decomposition(c, shape)?);
    let array = DistArray::<T, D>::from_fn(&a, |index| cell(index, 1))?;
    let other = array.redistribute(&b)?;
    holds(format_args!("from {a}"), &other, |index| cell(index, 1))?;
    let stored = other.with_halo();
    let owned = other.owned_space();
    let clean = stored
        .space()
        .iter()
        .filter(|&index| !owned.contains(index))
        .all(|index| bytemuck::bytes_of(&stored[index]).iter().all(|&byte| byte == 0));
    ensure(clean, "redistribution leaves the halo zero")?;
    let back = other.redistribute(&a)?;
    holds(format_args!("to {b} and back"), &back, |index| cell(index, 1))
}

pub(super) fn copied<T: Element, const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let (shape, other_shape) = (draw.shape::<D>(), draw.shape::<D>());
    let (a, b) = (draw.decomposition(c, shape)?, draw.decomposition(c, other_shape)?);
    let region = draw.region(a.space().intersect(&b.space()));
    let source = DistArray::<T, D>::from_fn(&a, |index| cell(index, 1))?;
    let mut target = DistArray::<T, D>::zeros(&b)?;
    target.with_halo_mut().fill(cell::<T, 1>([9], 9));
    target.for_each_mut(|index, x| *x = cell(index, 2));
    target.copy_from(&source, region)?;
    holds(format_args!("{region} from {a}"), &target, |index| cell(index, if region.contains(index) { 1 } else { 2 }))?;
    let owned = target.owned_space();
    let mut halo = Vec::new();
    target.with_halo().for_each(|index, &x| halo.extend((!owned.contains(index)).then_some(x)));
    same("the halo of a copy's target", &halo, &vec![cell::<T, 1>([9], 9); halo.len()])
}

pub(super) fn gathered<T: Element, const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome
where
    Dim<[usize; D]>: Dimension,
{
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let (root, region) = (draw.below(c.size()), draw.region(grid.space()));
    let array = DistArray::<T, D>::from_fn(&grid, |index| cell(index, 1))?;
    let check = |what: &str, got: &ndarray::Array<T, Dim<[usize; D]>>, region: IndexSpace<D>| -> Outcome {
        // An axis without cells leaves a box no extents, but an array its other ones.
        let extents = if what == "gather_region" { region.shape() } else { array.shape() };
        ensure(got.shape() == extents, format_args!("{what} of {region} has the shape {:?}", got.shape()))?;
        let wanted: Vec<T> = region.iter().map(|index| cell(index, 1)).collect();
        same(format_args!("{what} of {region} from {grid}"), got.as_slice().unwrap_or_default(), &wanted)
    };
    for (what, got, region) in
        [("gather", array.gather(root)?, grid.space()), ("gather_region", array.gather_region(region, root)?, region)]
    {
        ensure(got.is_some() == (c.rank() == root), format_args!("{what}: the root and nobody else has the cells"))?;
        got.iter().try_for_each(|got| check(what, got, region))?;
    }
    let all = array.gather_all()?;
    check("gather_all", &all, grid.space())?;
    let back = DistArray::scatter(&grid, (c.rank() == root).then(|| all.view()), root)?;
    holds("gathered and scattered", &back, |index| cell(index, 1))?;
    let again = DistArray::from_local(&grid, array.local())?;
    holds("from_local", &again, |index| cell(index, 1))
}

pub(super) fn scattered<T: Element, const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome
where
    Dim<[usize; D]>: Dimension,
{
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let root = draw.below(c.size());
    let cells: Vec<T> = whole(&grid, |index| cell(index, 1));
    let view = ArrayView::from_shape(crate::array::dist_array::dim(shape), &cells).expect("as many cells as the shape");
    let array = DistArray::scatter(&grid, (c.rank() == root).then_some(view), root)?;
    holds(format_args!("scatter from {root}"), &array, |index| cell(index, 1))?;
    // An array that is not in C order.
    let reversed = view.reversed_axes();
    let first = grid.space().start();
    let turned = Decomposition::new(std::array::from_fn(|a| shape[D - 1 - a]), c)?;
    let turned = turned.origin(std::array::from_fn(|a| first[D - 1 - a]));
    let array = DistArray::scatter(&turned, (c.rank() == root).then_some(reversed), root)?;
    holds("scatter of a transposed view", &array, |index| cell::<T, D>(std::array::from_fn(|a| index[D - 1 - a]), 1))
}

fn wildcards(c: &Communicator) -> Outcome {
    let n = 4 * c.size() + 1;
    let grid = Decomposition::new([n], c)?;
    let array = DistArray::from_fn(&grid, |[i]| i as u64)?;
    let (next, before) = ((c.rank() + 1) % c.size(), (c.rank() + c.size() - 1) % c.size());
    let waiting = c.irecv(vec![0u64; n], Any, Any)?;
    let mut other = array.redistribute(&grid.clone().distribution([Distribution::Cyclic]))?;
    let sums = other.scan_axis(0, Op::Sum)?;
    other.sort_by(|a, b| b.cmp(a))?;
    c.send(&[c.rank() as u64], next, 7)?;
    equal("the program's message", waiting.wait()?, vec![before as u64])?;
    holds("sorted meanwhile", &other, |[i]| n as u64 - 1 - i as u64)?;
    holds("scanned meanwhile", &sums, |[i]| (i * (i + 1) / 2) as u64)
}

fn disagreeing(c: &Communicator) -> Outcome {
    let mismatch = |kind: &ErrorKind| matches!(kind, ErrorKind::Mismatch(_));
    let grid = Decomposition::new([6, 5], c)?;
    let array = DistArray::from_fn(&grid, |[i, j]| 5 * i + j)?;
    let last = c.rank() == c.size() - 1;
    let mut copy = array.zeros_like();
    let region = if last { IndexSpace::from([0..6, 0..4]) } else { grid.space() };
    refused("copy of regions that differ", copy.copy_from(&array, region), "Mismatch", mismatch)?;
    let outside = if last { IndexSpace::from([0..7, 0..5]) } else { grid.space() };
    refused("copy of a region that one rank has wrong", copy.copy_from(&array, outside), "Mismatch", mismatch)?;
    let rules = [Distribution::Block, if last { Distribution::Cyclic } else { Distribution::Block }];
    let target = grid.clone().grid([c.size(), 1]).distribution(rules);
    refused("redistribution to targets that differ", array.redistribute(&target), "Mismatch", mismatch)?;
    refused("scans along axes that differ", array.scan_axis(usize::from(last), Op::Sum), "Mismatch", mismatch)?;
    let axis = if last { 2 } else { 0 };
    refused("scan along an axis that one rank lacks", array.scan_axis(axis, Op::Sum), "Mismatch", mismatch)?;
    let top = if last { 9.0 } else { 8.0 };
    refused("histograms of ranges that differ", array.histogram(4, 0.0..=top), "Mismatch", mismatch)?;
    let other = if last { grid.clone().grid([1, c.size()]) } else { grid.clone().grid([c.size(), 1]) };
    let differing = DistArray::from_fn(&other, |[i, j]| 5 * i + j)?;
    refused("gather of arrays that differ", differing.gather_all(), "Mismatch", mismatch)?;
    refused("scan of arrays that differ", differing.scan(Op::Sum), "Mismatch", mismatch)?;
    let whole = ndarray::Array2::<i64>::zeros((6, 5));
    let scattered = DistArray::scatter(&other, (c.rank() == 0).then(|| whole.view()), 0);
    refused("scatter to decompositions that differ", scattered, "Mismatch", mismatch)?;
    let mut cuts = vec![0; c.size()];
    cuts.extend([300 + 10 * i64::from(last), 1000]);
    cuts.remove(1);
    let mut unequal =
        DistArray::from_fn(&Decomposition::new([1000], c)?.distribution([Distribution::Explicit(cuts)]), |[i]| {
            (7 * i + 1) % 1000
        })?;
    let before = unequal.to_vec();
    refused("sort of arrays that differ", unequal.sort(), "Mismatch", mismatch)?;
    equal("cells after a refused sort", unequal.to_vec(), before)?;
    // The communicator still works.
    copy.copy_from(&array, grid.space())?;
    holds("copy after refused ones", &copy, |[i, j]| 5 * i + j)
}

fn renumbered(c: &Communicator) -> Outcome {
    let argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    let same = c.dup()?;
    let turned = c.split(Some(0), -(c.rank() as i64))?.expect("every rank has a colour");
    let build = |of: &Communicator| {
        let grid = Decomposition::new([6, 5], of)?.grid([of.size(), 1]);
        DistArray::from_fn(&grid, |[i, j]| 5 * i + j)
    };
    let (array, twin, other) = (build(c)?, build(&same)?, build(&turned)?);
    // A duplicate is as good.
    ensure(array.equal(&twin)?, "arrays of duplicates are equal")?;
    equal("dot of duplicates", array.dot(&twin)?, (0..30).map(|x: i64| x * x).sum())?;
    // What waits for others fails at all ranks, those that have one number in both among them.
    refused("equal", array.equal(&other), "InvalidArgument", argument)?;
    refused("dot", array.dot(&other), "InvalidArgument", argument)?;
    refused("redistribute", array.redistribute(other.decomposition()), "InvalidArgument", argument)?;
    let mut copy = array.zeros_like();
    refused("copy_from", copy.copy_from(&other, array.decomposition().space()), "InvalidArgument", argument)?;
    // What does not, where the numbers differ.
    let zipped = array.zip(&other, |a, b| a + b);
    ensure(zipped.is_ok() == (c.rank() == turned.rank()), "zip of other numbers")?;
    copy.copy_from(&twin, array.decomposition().space())?;
    holds("copy after refused ones", &copy, |[i, j]| 5 * i + j)
}

fn misscattered(c: &Communicator) -> Outcome {
    let argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    let grid = Decomposition::new([6, 5], c)?;
    let root = c.size() - 1;
    refused("scatter of nothing", DistArray::<f64, 2>::scatter(&grid, None, root), "InvalidArgument", argument)?;
    let narrow = ndarray::Array2::<f64>::zeros((6, 4));
    let given = (c.rank() == root).then(|| narrow.view());
    refused("scatter of a narrow array", DistArray::scatter(&grid, given, root), "InvalidArgument", argument)?;
    // The communicator still works.
    let whole = ndarray::Array2::<f64>::ones((6, 5));
    let array = DistArray::scatter(&grid, (c.rank() == root).then(|| whole.view()), root)?;
    holds("scatter after failed ones", &array, |_| 1.0)
}
