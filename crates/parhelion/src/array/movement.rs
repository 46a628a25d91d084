//! Whole arrays and regions of them from one place to another: gather, scatter, redistribute, copy.

use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::{Array, ArrayView, Dim, Dimension};
use parhelion_comm::{Communicator, Element, Error, ErrorKind, Layout, Op, Result};

use super::dist_array::dim;
use super::local::check_places;
use super::transfer::{self, Transfer};
use super::{Decomposition, DistArray, IndexSpace};

impl<T: Element, const D: usize> DistArray<T, D> {
    /// The whole array at `root`, `None` elsewhere. Collective: one gather; where checks are on, one reduction before.
    ///
    /// # Errors
    /// An invalid root; a lost peer, a timeout, a deadlock, ranks that disagree.
    pub fn gather(&self, root: usize) -> Result<Option<Array<T, Dim<[usize; D]>>>>
    where
        Dim<[usize; D]>: Dimension,
    {
        self.gather_shaped(self.decomposition().space(), self.shape(), root)
    }

    /// The cells of `region`, which is inside the global space, at `root`; `None` elsewhere. Index 0 of the result is the
    /// region's start. Collective: one gather, to which ranks without cells of the region give nothing; where checks are on,
    /// one reduction before.
    ///
    /// # Errors
    /// A region that reaches out of the global space; where checks are on, one that differs between ranks, at every rank; as [`gather`](Self::gather).
    pub fn gather_region(&self, region: IndexSpace<D>, root: usize) -> Result<Option<Array<T, Dim<[usize; D]>>>>
    where
        Dim<[usize; D]>: Dimension,
    {
        self.gather_shaped(region, region.shape(), root)
    }

    /// The cells of `region` as an array of `shape`, which has other extents than the region only where neither has cells.
    fn gather_shaped(
        &self,
        region: IndexSpace<D>,
        shape: [usize; D],
        root: usize,
    ) -> Result<Option<Array<T, Dim<[usize; D]>>>>
    where
        Dim<[usize; D]>: Dimension,
    {
        agree(self.communicator(), "gather", (self.decomposition().fingerprint(), region))?;
        self.check_region("gather", region)?;
        let communicator = self.communicator();
        let packed = self.pack_counted(region);
        if communicator.rank() != root {
            communicator.gatherv_into(&packed, None, root)?;
            return Ok(None);
        }
        let layouts = self.dense_layouts(region);
        let counts: Vec<usize> = layouts.iter().map(Layout::len).collect();
        let mut received = bytemuck::zeroed_vec(counts.iter().sum());
        communicator.gatherv_into(&packed, Some((&mut received, &counts)), root)?;
        Ok(Some(assemble(shape, &layouts, &received)))
    }

    /// The whole array at every rank. Collective: one all-gather; where checks are on, one reduction before.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock, ranks that disagree.
    pub fn gather_all(&self) -> Result<Array<T, Dim<[usize; D]>>>
    where
        Dim<[usize; D]>: Dimension,
    {
        agree(self.communicator(), "gather_all", self.decomposition().fingerprint())?;
        let region = self.decomposition().space();
        let layouts = self.dense_layouts(region);
        let counts: Vec<usize> = layouts.iter().map(Layout::len).collect();
        let mut received = bytemuck::zeroed_vec(counts.iter().sum());
        self.communicator().all_gatherv_into(&self.pack_counted(region), &mut received, &counts)?;
        Ok(assemble(self.shape(), &layouts, &received))
    }

    /// This rank's cells of `region`, one behind the other, where it holds their first copy; nothing elsewhere.
    fn pack_counted(&self, region: IndexSpace<D>) -> Vec<T> {
        if !self.decomposition().is_first_copy(self.rank()) {
            return Vec::new();
        }
        let layout = transfer::held(self.decomposition(), self.rank(), region);
        let mut packed = bytemuck::zeroed_vec(layout.len());
        layout.pack(self.memory(), &mut packed);
        packed
    }

    /// Where the cells of `region` whose first copy is at each rank lie in an array of the region alone.
    fn dense_layouts(&self, region: IndexSpace<D>) -> Vec<Layout> {
        let decomposition = self.decomposition();
        let layout = |rank| match decomposition.is_first_copy(rank) {
            true => transfer::dense(decomposition, rank, region),
            false => Layout::EMPTY,
        };
        (0..self.communicator().size()).map(layout).collect()
    }

    /// An array of the cells of `whole`, which the root passes and which has the decomposition's shape. Collective: the
    /// sizes and then the cells are scattered; all copies of replicated cells are filled. Where checks are on, one reduction
    /// before.
    ///
    /// # Errors
    /// A root that passes nothing, or another shape: at every rank. An invalid root; what [`Decomposition::check`] finds; a
    /// lost peer, a timeout, a deadlock, ranks that disagree.
    pub fn scatter(
        decomposition: &Decomposition<D>,
        whole: Option<ArrayView<'_, T, Dim<[usize; D]>>>,
        root: usize,
    ) -> Result<Self>
    where
        Dim<[usize; D]>: Dimension,
    {
        let communicator = decomposition.communicator();
        agree(communicator, "scatter", print(decomposition))?;
        let mut array = Self::zeros(decomposition)?;
        let region = decomposition.space();
        let mut wrong = None;
        let data = whole.filter(|_| communicator.rank() == root).and_then(|whole| {
            if whole.shape() != decomposition.shape() {
                wrong = Some(format!("the array of shape {:?} does not fit {decomposition}", whole.shape()));
                return None;
            }
            let whole = whole.as_standard_layout();
            let whole = whole.as_slice().expect("an array in standard layout is a slice");
            let layouts: Vec<_> =
                (0..communicator.size()).map(|rank| transfer::dense(decomposition, rank, region)).collect();
            let counts: Vec<usize> = layouts.iter().map(Layout::len).collect();
            let mut packed = bytemuck::zeroed_vec(counts.iter().sum());
            let mut rest = &mut packed[..];
            for layout in &layouts {
                let (part, later) = rest.split_at_mut(layout.len());
                layout.pack(whole, part);
                rest = later;
            }
            Some((packed, counts))
        });
        // Without data at the root, every rank learns so.
        let received = communicator.scatterv(data.as_ref().map(|(packed, counts)| (&packed[..], &counts[..])), root);
        if let Some(text) = wrong {
            return Err(Error::new("scatter", ErrorKind::InvalidArgument(text)));
        }
        let received = received?;
        let (place, _, memory) = array.split_mut();
        if received.len() != place.len() {
            let text = format!(
                "rank {root} scatters {} cells to this rank, which has {} in {decomposition}; give equal decompositions",
                received.len(),
                place.len()
            );
            return Err(Error::new("scatter", ErrorKind::Mismatch(text)));
        }
        place.layout().unpack(&received, memory);
        Ok(array)
    }

    /// The same array, distributed as `decomposition` says, which has the same space and a communicator of the same ranks.
    /// Halo cells are zero.
    ///
    /// Collective: a message from each rank to each other rank with which it shares cells, no others; cells that stay on
    /// their rank are copied once. The first movement on a communicator duplicates it. Where checks are on, or the
    /// communicators are not one, one reduction before.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let rows = Decomposition::new([6, 8], &world)?.grid([world.size(), 1]);
    ///     let columns = rows.clone().grid([1, world.size()]);
    ///     let cyclic = rows.clone().distribution([Distribution::Cyclic, Distribution::Block]);
    ///     let u = DistArray::from_fn(&rows, |[i, j]| 8 * i + j)?;
    ///     let v = u.redistribute(&columns)?.redistribute(&cyclic)?;
    ///     v.for_each(|[i, j], x| assert_eq!(x, 8 * i + j));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another space or number of ranks; what [`Decomposition::check`] finds; a lost peer, a timeout, a deadlock.
    pub fn redistribute(&self, decomposition: &Decomposition<D>) -> Result<Self> {
        let prints = (self.decomposition().fingerprint(), print(decomposition));
        agree(self.communicator(), "redistribute", (prints, size_of::<T>()))?;
        let mut array = Self::zeros(decomposition)?;
        let (from, to) = (self.decomposition(), decomposition);
        if (from.shape(), from.first()) != (to.shape(), to.first()) {
            let text = format!("{from} cannot become {to}: the spaces differ; use copy_from for a common region");
            return Err(Error::new("redistribute", ErrorKind::InvalidArgument(text)));
        }
        array.take_from("redistribute", self, self.decomposition().space())?;
        Ok(array)
    }

    /// Copies the cells of `region` from `other`, whatever its shape and distribution, to the same global indices here. The
    /// communicators have the same ranks.
    ///
    /// Collective: a message from each rank that owns cells of the region in `other` to each other rank that owns them
    /// here, no others. The first movement on a communicator duplicates it. Where checks are on, or the communicators are not
    /// one, one reduction before.
    ///
    /// # Errors
    /// A region that reaches out of either array; another number of ranks; where checks are on, arguments that differ
    /// between ranks, at every rank; a lost peer, a timeout, a deadlock.
    pub fn copy_from(&mut self, other: &Self, region: IndexSpace<D>) -> Result<()> {
        let prints = (self.decomposition().fingerprint(), other.decomposition().fingerprint());
        agree(self.communicator(), "copy_from", (prints, region, size_of::<T>()))?;
        self.check_region("copy_from", region)?;
        other.check_region("copy_from", region)?;
        self.take_from("copy_from", other, region)
    }

    fn take_from(&mut self, operation: &'static str, other: &Self, region: IndexSpace<D>) -> Result<()> {
        let here = self.communicator();
        check_places(operation, here, other.communicator())?;
        let transfer = Transfer::new(other.decomposition(), self.decomposition(), region, here.rank());
        let messages = here.internal()?;
        transfer::carry_out(&messages, &transfer, other.memory(), self.memory_mut())
    }

    fn check_region(&self, operation: &'static str, region: IndexSpace<D>) -> Result<()> {
        let space = self.decomposition().space();
        if space.contains_space(&region) {
            return Ok(());
        }
        let text = format!("the region {region} reaches out of the global space {space}");
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }
}

/// What stands for a decomposition in [`agree`], whether its settings fit each other or not.
pub(super) fn print<const D: usize>(decomposition: &Decomposition<D>) -> Option<u64> {
    decomposition.check().ok().map(|()| decomposition.fingerprint())
}

/// Where checks are on, that all ranks call with the same arguments: otherwise messages would be missed, or mistaken for
/// others. Collective then: one reduction.
pub(super) fn agree(communicator: &Communicator, operation: &'static str, arguments: impl Hash) -> Result<()> {
    if !communicator.config().checks {
        return Ok(());
    }
    let mut hasher = DefaultHasher::new();
    (operation, arguments).hash(&mut hasher);
    let here = hasher.finish();
    // The largest and, negated, the smallest.
    let extremes = communicator.all_reduce(&[here, !here], Op::Max)?;
    if extremes[0] == !extremes[1] {
        return Ok(());
    }
    let text = format!("{operation} of arrays, regions or axes that are not the same on all ranks");
    Err(Error::new(operation, ErrorKind::Mismatch(text)))
}

/// The array of `shape` from the parts of all ranks, one behind the other.
fn assemble<T: Element, const D: usize>(shape: [usize; D], layouts: &[Layout], parts: &[T]) -> Array<T, Dim<[usize; D]>>
where
    Dim<[usize; D]>: Dimension,
{
    let mut whole = bytemuck::zeroed_vec(shape.iter().product());
    let mut rest = parts;
    for layout in layouts {
        let (part, later) = rest.split_at(layout.len());
        layout.unpack(part, &mut whole);
        rest = later;
    }
    Array::from_shape_vec(dim(shape), whole).expect("as many cells as the shape has")
}

/// The cells of `decomposition` without halo, cut otherwise.
pub(super) fn rearranged<const D: usize>(
    decomposition: &Decomposition<D>,
    distributions: [super::Distribution; D],
    grid: [usize; D],
) -> Result<Decomposition<D>> {
    let other = Decomposition::new(decomposition.shape(), decomposition.communicator())?;
    Ok(other.origin(decomposition.first()).distribution(distributions).grid(grid))
}
