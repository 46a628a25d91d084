//! Making arrays, and what ranks do to their own cells.

use parhelion_comm::conformance::check::{ensure, equal, refused};
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Element, ErrorKind};

use super::draw::Draw;
use super::model::{cell, holds, rounds};
use crate::array::{Decomposition, DistArray, Distribution};

pub(super) const CASES: &[Case] = &[
    Case::new("arrays: ranks hold the cells that the decomposition gives them", |c| {
        rounds(1, |draw| made::<u8, 1>(c, draw))?;
        rounds(2, |draw| made::<f64, 2>(c, draw))?;
        rounds(3, |draw| made::<[u8; 3], 4>(c, draw))
    }),
    Case::new("arrays: map, zip, fill and visits touch owned cells only", |c| {
        rounds(5, |draw| visited::<1>(c, draw))?;
        rounds(6, |draw| visited::<3>(c, draw))?;
        rounds(7, |draw| visited::<4>(c, draw))
    }),
    Case::new("arrays: interior and boundary are the owned cells, each once", |c| {
        rounds(9, |draw| split::<1>(c, draw))?;
        rounds(10, |draw| split::<3>(c, draw))?;
        rounds(11, |draw| split::<4>(c, draw))
    }),
    Case::new("arrays: settings and shapes that do not fit are errors", wrong),
];

fn made<T: Element, const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let array = DistArray::<T, D>::from_fn(&grid, |index| cell(index, 1))?;
    holds("from_fn", &array, |index| cell(index, 1))?;
    holds("zeros", &array.zeros_like(), |_| T::zeroed())?;
    holds("full", &DistArray::full(&grid, cell::<T, 1>([7], 0))?, |_| cell::<T, 1>([7], 0))?;
    equal("length", array.len(), shape.iter().product())?;
    equal("shape", array.shape(), shape)?;
    // The stored cells that are not owned are halo, and zero.
    let owned: usize = grid.local_len(c.rank());
    let zeros = array.with_halo().iter().filter(|x| bytemuck::bytes_of(*x).iter().all(|&b| b == 0)).count();
    let zeros_owned = array.owned().iter().filter(|x| bytemuck::bytes_of(*x).iter().all(|&b| b == 0)).count();
    equal("halo cells that are zero", zeros - zeros_owned, array.with_halo().len() - owned)?;
    let mut copy = array.clone();
    copy.map_inplace(|x| *x = T::zeroed());
    holds("an array whose clone was written", &array, |index| cell(index, 1))?;
    holds("a clone that was written", &copy, |_| T::zeroed())
}

fn visited<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let blocks = (0..D).all(|a| grid.axis(a).is_contiguous());
    // The same cells with another halo, where they can have one.
    let other = if blocks { grid.clone().halo(1) } else { grid.clone() };
    let x = DistArray::<u32, D>::from_fn(&grid, |index| cell(index, 1))?;
    let mut y = DistArray::<u16, D>::zeros(&other)?;
    y.with_halo_mut().fill(999);
    y.for_each_mut(|index, y| *y = cell(index, 2));
    let halo = |y: &DistArray<u16, D>| -> Vec<u16> {
        let owned = y.owned_space();
        let mut cells = Vec::new();
        y.with_halo().for_each(|index, &cell| cells.extend((!owned.contains(index)).then_some(cell)));
        cells
    };
    let untouched = |what: &str, y: &DistArray<u16, D>| -> Outcome {
        ensure(halo(y).iter().all(|&cell| cell == 999), format_args!("{what} wrote to the halo: {:?}", halo(y)))
    };
    let z = x.zip(&y, |x, y| u64::from(x) << 16 | u64::from(y))?;
    let combined = |index| u64::from(cell::<u32, D>(index, 1)) << 16 | u64::from(cell::<u16, D>(index, 2));
    holds("zip", &z, combined)?;
    holds("map", &z.map(|z| (z >> 16) as u32), |index| cell(index, 1))?;
    let mut copy = y.clone();
    equal("the halo of a clone", halo(&copy), halo(&y))?;
    copy.zip_inplace(&x, |y, x| *y ^= x as u16)?;
    holds("zip_inplace", &copy, |index| cell::<u16, D>(index, 2) ^ cell::<u32, D>(index, 1) as u16)?;
    untouched("zip_inplace", &copy)?;
    copy.map_inplace(|y| *y = !*y);
    holds("map_inplace", &copy, |index| !(cell::<u16, D>(index, 2) ^ cell::<u32, D>(index, 1) as u16))?;
    copy.assign(&y)?;
    holds("assign", &copy, |index| cell(index, 2))?;
    copy.fill(3);
    holds("fill", &copy, |_| 3)?;
    untouched("fill and map_inplace", &copy)
}

fn split<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let mut array = DistArray::<u8, D>::zeros(&grid)?;
    array.interior_mut().for_each(|_, cell| *cell += 1);
    array.boundary_mut().for_each(|_, cell| *cell += 2);
    let widths = grid.widths();
    let inner = array.owned_space().shrink_by(widths);
    array.owned().for_each(|index, &cell| assert_eq!(cell, if inner.contains(index) { 1 } else { 2 }));
    equal("interior", array.interior().space(), inner)?;
    let written = array.with_halo().iter().filter(|&&cell| cell > 0).count();
    equal("cells written", written, grid.local_len(c.rank()))
}

fn wrong(c: &Communicator) -> Outcome {
    let argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    let grid = Decomposition::new([6, 5], c)?;
    let unfit = grid.clone().grid([c.size() + 1, 1]);
    refused("zeros of a grid that does not fit", DistArray::<f64, 2>::zeros(&unfit), "InvalidArgument", argument)?;
    let vast = Decomposition::new([1 << 62], c)?.distribution([Distribution::Replicated]);
    refused("zeros of more bytes than there can be", DistArray::<f64, 1>::zeros(&vast), "InvalidArgument", argument)?;
    for shape in [[0, 1 << 60, 1 << 60], [1 << 60, 1 << 60, 0]] {
        refused("indices beyond count", Decomposition::new(shape, c), "InvalidArgument", argument)?;
    }
    let array = DistArray::<f64, 2>::zeros(&grid)?;
    let part = ndarray::Array2::<f64>::zeros((9, 9));
    refused("from_local of a wrong shape", DistArray::from_local(&grid, part.view()), "InvalidArgument", argument)?;
    let cyclic = grid.clone().distribution([Distribution::BlockCyclic(1), Distribution::BlockCyclic(2)]);
    if c.size() > 1 {
        let other = DistArray::<f64, 2>::zeros(&cyclic)?;
        refused("zip of unlike arrays", array.zip(&other, |x, _| x), "InvalidArgument", argument)?;
        refused("dot of unlike arrays", array.dot(&other), "InvalidArgument", argument)?;
        refused("equal of unlike arrays", array.equal(&other), "InvalidArgument", argument)?;
    }
    let longer = DistArray::<f64, 2>::zeros(&Decomposition::new([7, 5], c)?)?;
    refused("redistribute to another shape", array.redistribute(longer.decomposition()), "InvalidArgument", argument)?;
    let beyond = array.clone().copy_from(&longer, longer.decomposition().space());
    refused("copy of a region beyond the target", beyond, "InvalidArgument", argument)?;
    refused("scan along a third axis", array.scan_axis(2, parhelion_comm::Op::Sum), "InvalidArgument", argument)?;
    let undefined = |kind: &ErrorKind| matches!(kind, ErrorKind::UndefinedOp(_));
    refused("reduce by average", array.reduce(parhelion_comm::Op::Average), "UndefinedOp", undefined)?;
    refused("reduce floats by bits", array.reduce(parhelion_comm::Op::BitAnd), "UndefinedOp", undefined)?;
    Ok(())
}
