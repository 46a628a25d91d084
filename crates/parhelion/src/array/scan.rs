//! Scans: along one axis, and over all cells in C order of their global indices.
//!
//! In a scan every cell gets the combination of the cells before it, itself included (inclusive) or not (exclusive). The
//! order of the cells is kept, so the operator need not commute; how they are grouped depends on the blocks, so the last
//! bits of a float scan depend on the number of ranks.
//!
//! Blocks along the axis: every rank scans its own part, the combination of a whole part travels to the ranks behind it in
//! a logarithmic number of rounds (Hillis, Steele 1986), and what came before a part is put in front of it. Anything
//! else is moved to such blocks first, and back afterwards.

use parhelion_comm::{Communicator, Element, Error, ErrorKind, Located, Reduction, Result};

use super::combine::Combiner;
use super::movement::{agree, rearranged};
use super::{Decomposition, DistArray, Distribution};

/// The tag of the messages in this file.
const TAG: u32 = 2;

/// Elements that are combined at a time.
const CHUNK: usize = 512;

impl<T: Element, const D: usize> DistArray<T, D> {
    /// The inclusive scan over all cells in C order of their global indices: each cell combined with all before it. The
    /// result is distributed as this array.
    ///
    /// Collective: one exclusive scan of one element per rank. Unless the ranks' cells are consecutive already, as in one
    /// dimension with blocks, the array is redistributed before and after. Where checks are on, one reduction before.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let grid = Decomposition::new([3, 4], &world)?;
    ///     let running = DistArray::<u32, 2>::ones(&grid)?.scan(Op::Sum)?;
    ///     running.for_each(|[i, j], x| assert_eq!(i64::from(x), 4 * i + j + 1));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// An operator that is not defined for `T`; a lost peer, a timeout, a deadlock.
    pub fn scan(&self, op: impl Reduction<T>) -> Result<Self> {
        self.scan_flat(&Combiner::of(&op)?, None)
    }

    /// The exclusive scan over all cells in C order of their global indices: `first` at the first cell, at every other one
    /// `first` combined with all cells before it. As [`scan`](Self::scan) otherwise.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn exclusive_scan(&self, first: T, op: impl Reduction<T>) -> Result<Self> {
        self.scan_flat(&Combiner::of(&op)?, Some(first))
    }

    /// The inclusive scan along `axis`: each cell combined with all before it along the axis. The result is distributed
    /// as this array.
    ///
    /// Collective: a logarithmic number of rounds of messages among the ranks in a line along the axis. An axis that is
    /// cyclic or block-cyclic is redistributed to blocks before, and back afterwards. Where checks are on, one reduction
    /// before.
    ///
    /// # Errors
    /// No such axis; as [`scan`](Self::scan).
    pub fn scan_axis(&self, axis: usize, op: impl Reduction<T>) -> Result<Self> {
        self.scan_along(axis, &Combiner::of(&op)?, None)
    }

    /// The exclusive scan along `axis`: `first` at the first cell of every line, at every other one `first` combined with
    /// all cells before it. As [`scan_axis`](Self::scan_axis) otherwise.
    ///
    /// # Errors
    /// As [`scan_axis`](Self::scan_axis).
    pub fn exclusive_scan_axis(&self, axis: usize, first: T, op: impl Reduction<T>) -> Result<Self> {
        self.scan_along(axis, &Combiner::of(&op)?, Some(first))
    }

    fn scan_along(&self, axis: usize, op: &Combiner<'_, T>, first: Option<T>) -> Result<Self> {
        let grid = self.decomposition();
        agree(self.communicator(), "scan", (grid.fingerprint(), axis, first.is_some(), size_of::<T>()))?;
        if axis >= D {
            let text = format!("axis {axis} of an array of {D} axes");
            return Err(Error::new("scan", ErrorKind::InvalidArgument(text)));
        }
        let map = grid.axis(axis);
        if !map.is_contiguous() {
            let mut blocks = grid.distributions().clone();
            blocks[axis] = Distribution::Block;
            return self
                .redistribute(&rearranged(grid, blocks, grid.process_grid())?)?
                .scan_along(axis, op, first)?
                .redistribute(grid);
        }
        let mut cells = self.to_vec();
        let lines = Lines::new(grid.local_shape(self.rank()), axis);
        lines.scan(&mut cells, op);
        let messages = grid.communicator().internal()?;
        let before = if map.is_replicated() { None } else { before(&messages, grid, axis, &lines, &cells, op)? };
        lines.follow(&mut cells, before, first, op);
        self.like_from(&cells)
    }

    fn scan_flat(&self, op: &Combiner<'_, T>, first: Option<T>) -> Result<Self> {
        let grid = self.decomposition();
        agree(self.communicator(), "scan", (grid.fingerprint(), first.is_some(), size_of::<T>()))?;
        let shape = grid.space().shape();
        // Along this axis consecutive cells are cut.
        let axis = shape.iter().position(|&n| n > 1).unwrap_or(D - 1);
        let consecutive = (0..D).all(|a| grid.process_grid()[a] == 1 || (a <= axis && grid.axis(a).is_contiguous()))
            && !(0..D).any(|a| grid.axis(a).is_replicated() && grid.process_grid()[a] > 1);
        if !consecutive {
            let mut parts = [1; D];
            parts[axis] = self.communicator().size();
            let blocks = rearranged(grid, [const { Distribution::Block }; D], parts)?;
            return self.redistribute(&blocks)?.scan_flat(op, first)?.redistribute(grid);
        }
        let mut cells = self.to_vec();
        let line = Lines { outer: 1, len: cells.len(), inner: 1 };
        line.scan(&mut cells, op);
        let total = cells.last().map_or(Located::new(T::zeroed(), 0), |&x| Located::new(x, 1));
        let join = |a: Located<T>, b: Located<T>| match (a.index(), b.index()) {
            (0, _) => b,
            (_, 0) => a,
            _ => Located::new(op.one(a.value(), b.value()), 1),
        };
        let before = self.communicator().exclusive_scan(&[total], join)?;
        let before = before.filter(|x| x[0].index() == 1).map(|x| vec![x[0].value()]);
        line.follow(&mut cells, before, first, op);
        self.like_from(&cells)
    }
}

/// What comes before this rank's part of each line along `axis`, from the combinations of whole parts at the ends of
/// `cells`, scanned; `None` for the first part with cells. Collective over the ranks in a line, on an internal
/// communicator.
fn before<T: Element, const D: usize>(
    communicator: &Communicator,
    grid: &Decomposition<D>,
    axis: usize,
    lines: &Lines,
    cells: &[T],
    op: &Combiner<'_, T>,
) -> Result<Option<Vec<T>>> {
    if cells.is_empty() {
        return Ok(None);
    }
    let here = grid.coordinates(communicator.rank());
    let map = grid.axis(axis);
    // Only parts with cells take part.
    let parts: Vec<usize> = (0..map.parts()).filter(|&part| map.count(part) > 0).collect();
    let at = parts.partition_point(|&part| part < here[axis]);
    let rank_of = |at: usize| {
        let mut there = here;
        there[axis] = parts[at];
        grid.rank_at(there)
    };
    // `window`: the parts at - step < i <= at; `before`: those of them before this one.
    let mut window = lines.ends(cells);
    let mut before: Option<Vec<T>> = None;
    let mut step = 1;
    let mut scratch = vec![T::zeroed(); CHUNK];
    while step < parts.len() {
        let sent = match parts.get(at + step) {
            Some(_) => Some(communicator.isend(window.clone(), rank_of(at + step), TAG)?),
            None => None,
        };
        if at >= step {
            let earlier = receive(communicator, window.len(), rank_of(at - step))?;
            op.prepend(&mut window, &earlier, &mut scratch);
            match &mut before {
                Some(before) => op.prepend(before, &earlier, &mut scratch),
                None => before = Some(earlier),
            }
        }
        if let Some(sent) = sent {
            sent.wait()?;
        }
        step *= 2;
    }
    Ok(before)
}

fn receive<T: Element>(communicator: &Communicator, len: usize, source: usize) -> Result<Vec<T>> {
    let mut data = bytemuck::zeroed_vec(len);
    communicator.recv(&mut data, source, TAG)?;
    Ok(data)
}

/// A C-ordered box as lines along one axis: cell `i` of line `(o, j)` is at `(o * len + i) * inner + j`.
struct Lines {
    outer: usize,
    len: usize,
    inner: usize,
}

impl Lines {
    fn new<const D: usize>(shape: [usize; D], axis: usize) -> Self {
        Lines { outer: shape[..axis].iter().product(), len: shape[axis], inner: shape[axis + 1..].iter().product() }
    }

    /// Scans every line, inclusively.
    fn scan<T: Element>(&self, cells: &mut [T], op: &Combiner<'_, T>) {
        if cells.is_empty() {
            return;
        }
        let mut scratch = vec![T::zeroed(); CHUNK.min(self.inner)];
        for line in cells.chunks_exact_mut(self.len * self.inner) {
            if self.inner == 1 {
                let mut sum = line[0];
                for x in &mut line[1..] {
                    sum = op.one(sum, *x);
                    *x = sum;
                }
                continue;
            }
            for i in 1..self.len {
                let (done, rest) = line.split_at_mut(i * self.inner);
                op.prepend(&mut rest[..self.inner], &done[(i - 1) * self.inner..], &mut scratch);
            }
        }
    }

    /// The last cell of every line.
    fn ends<T: Element>(&self, cells: &[T]) -> Vec<T> {
        cells
            .chunks_exact(self.len * self.inner)
            .flat_map(|line| &line[(self.len - 1) * self.inner..])
            .copied()
            .collect()
    }

    /// Puts `before` (one element per line) in front of the lines, which are scanned; with `first`, makes the scan
    /// exclusive.
    fn follow<T: Element>(&self, cells: &mut [T], before: Option<Vec<T>>, first: Option<T>, op: &Combiner<'_, T>) {
        if cells.is_empty() {
            return;
        }
        let mut scratch = vec![T::zeroed(); CHUNK];
        let before = match (before, first) {
            (None, None) => return,
            (Some(before), None) => before,
            (None, Some(first)) => vec![first; self.outer * self.inner],
            (Some(mut before), Some(first)) => {
                let first = vec![first; before.len()];
                op.prepend(&mut before, &first, &mut scratch);
                before
            }
        };
        let mut repeated = [T::zeroed(); CHUNK];
        for (line, before) in cells.chunks_exact_mut(self.len * self.inner).zip(before.chunks_exact(self.inner)) {
            let rest = match first {
                Some(_) => {
                    line.copy_within(..(self.len - 1) * self.inner, self.inner);
                    let (start, rest) = line.split_at_mut(self.inner);
                    start.copy_from_slice(before);
                    rest
                }
                None => line,
            };
            if self.inner == 1 {
                repeated.fill(before[0]);
                for chunk in rest.chunks_mut(CHUNK) {
                    op.prepend(chunk, &repeated[..chunk.len()], &mut scratch);
                }
            } else {
                rest.chunks_exact_mut(self.inner).for_each(|row| op.prepend(row, before, &mut scratch));
            }
        }
    }
}
