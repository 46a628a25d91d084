//! Where the cells of one rank lie in its storage: [`Place`].

use std::ops::Range;

use parhelion_comm::Layout;

use super::{AxisMap, Decomposition, IndexSpace};

/// The owned cells of one rank inside the box it stores, and their global indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place<const D: usize> {
    shape: [usize; D],
    parent: [usize; D],
    offset: [usize; D],
    layout: Layout,
    owned: IndexSpace<D>,
    stored: IndexSpace<D>,
    // At most one box, and at most 2 D of them: kept, so that a loop over either allocates nothing.
    interior: Vec<IndexSpace<D>>,
    boundary: Vec<IndexSpace<D>>,
}

impl<const D: usize> Place<D> {
    /// The place of `rank`'s cells. A rank that owns nothing stores nothing.
    pub(crate) fn new(decomposition: &Decomposition<D>, rank: usize) -> Self {
        let (shape, widths) = (decomposition.local_shape(rank), decomposition.widths());
        let at = decomposition.coordinates(rank);
        let owned = IndexSpace::from(std::array::from_fn(|a| match decomposition.axis(a) {
            axis if axis.is_contiguous() => axis.range(at[a]),
            _ => 0..shape[a] as i64,
        }));
        let stored = owned.grow_by(widths);
        let inner = owned.shrink_by(widths);
        let (parent, offset, layout) = if owned.is_empty() {
            (shape, [0; D], Layout::EMPTY)
        } else {
            let offset = widths.map(|[low, _]| low);
            (stored.shape(), offset, Layout::subarray(&stored.shape(), &offset, &shape))
        };
        let interior = Vec::from_iter((!inner.is_empty()).then_some(inner));
        Place { shape, parent, offset, layout, owned, stored, interior, boundary: owned.subtract(&inner) }
    }

    /// The box of owned cells: global indices along axes in blocks, local positions along the others.
    pub(crate) fn owned(&self) -> IndexSpace<D> {
        self.owned
    }

    /// The box of stored cells, in the same indices.
    pub(crate) fn stored(&self) -> IndexSpace<D> {
        self.stored
    }

    /// The owned cells from which no stencil within the halo widths reaches out of the owned cells.
    pub(crate) fn interior(&self) -> &[IndexSpace<D>] {
        &self.interior
    }

    /// The other owned cells.
    pub(crate) fn boundary(&self) -> &[IndexSpace<D>] {
        &self.boundary
    }

    /// Owned cells along every axis.
    pub(crate) fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Stored cells along every axis; the owned cells' shape where that has no cells.
    pub(crate) fn parent(&self) -> [usize; D] {
        self.parent
    }

    /// Where the owned cells begin in the stored ones.
    pub(crate) fn offset(&self) -> [usize; D] {
        self.offset
    }

    /// Where the owned cells are in the storage, in C order.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many cells are owned.
    pub(crate) fn len(&self) -> usize {
        self.layout.len()
    }

    /// The global index of the owned cell at `position` in C order.
    pub(crate) fn global(&self, decomposition: &Decomposition<D>, rank: usize, position: usize) -> [i64; D] {
        let local = IndexSpace::from_shape(self.shape).index(position);
        decomposition.to_global(rank, local.map(|i| i as usize))
    }

    /// Calls `each` for every owned row, in memory order: with the global index of its first cell, the indices along the
    /// last axis, and the row's place in the storage.
    pub(crate) fn for_each_row(
        &self,
        decomposition: &Decomposition<D>,
        rank: usize,
        mut each: impl FnMut([i64; D], &AxisIndices, Range<usize>),
    ) {
        if self.layout.is_empty() {
            return;
        }
        let at = decomposition.coordinates(rank);
        let axes: [AxisIndices; D] = std::array::from_fn(|a| AxisIndices::new(decomposition.axis(a), at[a]));
        for (local, len) in IndexSpace::from_shape(self.shape).rows() {
            let local = local.map(|i| i as usize);
            let start = (0..D).fold(0, |start, a| start * self.parent[a] + self.offset[a] + local[a]);
            each(std::array::from_fn(|a| axes[a].at(local[a])), &axes[D - 1], start..start + len);
        }
    }
}

/// The global indices that a part holds along one axis, by local position.
pub(crate) enum AxisIndices {
    /// Consecutive ones from this on.
    From(i64),
    /// Any.
    List(Vec<i64>),
}

impl AxisIndices {
    fn new(axis: &AxisMap, part: usize) -> Self {
        if axis.is_contiguous() {
            return AxisIndices::From(axis.range(part).start);
        }
        let runs = axis.runs(part, axis.indices());
        AxisIndices::List(runs.flat_map(|run| run.global..run.global + run.len as i64).collect())
    }

    /// The global index at a local position.
    #[inline]
    pub(crate) fn at(&self, local: usize) -> i64 {
        match self {
            AxisIndices::From(first) => first + local as i64,
            AxisIndices::List(indices) => indices[local],
        }
    }
}
