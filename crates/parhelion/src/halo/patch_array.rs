//! [`PatchArray`]: cells in any number of patches per rank, and their exchange; [`PatchGrid`]: what such arrays share.

use std::sync::Arc;

use parhelion_comm::{Communicator, Element, ElementType, Kernel, Memory, Op, Reduction, Result};

use super::adjoint::{AdjointInFlight, exchange_adjoint_of, start_exchange_adjoint_of};
use super::auto::Decision;
use super::fields::{Fields, sealed};
use super::leg::Buffer;
use super::patches::Patches;
use super::pool::{EachField, Exchanges};
use super::scheme::Settings;
use super::{InFlight, Keep, Plan, exchange, start_exchange};
use crate::array::{IndexSpace, View, ViewMut};

/// The patches of all ranks with their plan: what arrays over them share. A clone is cheap and the same grid.
#[derive(Clone)]
pub struct PatchGrid<const D: usize> {
    inner: Arc<Inner<D>>,
}

struct Inner<const D: usize> {
    communicator: Communicator,
    patches: Patches<D>,
    /// What each patch publishes.
    published: Vec<Vec<IndexSpace<D>>>,
    plan: Arc<Plan>,
    exchanges: Arc<Exchanges>,
}

impl<const D: usize> PatchGrid<D> {
    /// Makes the plan of the patches. Collective over the communicator; ranks without patches take part.
    ///
    /// # Errors
    /// As [`Patches::plan`].
    pub fn new(patches: Patches<D>, communicator: &Communicator) -> Result<Self> {
        let exchanges = Exchanges::new(communicator);
        exchanges.prepare(|| patches.plan(communicator))?;
        let mut published = vec![Vec::new(); patches.parents().len()];
        for publication in patches.publications().iter().filter(|p| !p.space.is_empty()) {
            published[publication.patch].push(publication.space);
        }
        let plan = exchanges.plan().clone();
        let communicator = communicator.clone();
        Ok(PatchGrid { inner: Arc::new(Inner { communicator, patches, published, plan, exchanges }) })
    }

    /// The communicator whose ranks have the patches.
    pub fn communicator(&self) -> &Communicator {
        &self.inner.communicator
    }

    /// This rank's patches, as they were given.
    pub fn patches(&self) -> &Patches<D> {
        &self.inner.patches
    }

    /// The plan of the exchange.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// As [`Decomposition::scheme`](crate::array::Decomposition::scheme).
    ///
    /// # Errors
    /// A variable `PARHELION_SCHEME` that names no scheme.
    pub fn scheme(&self) -> Result<Settings> {
        self.inner.exchanges.settings()
    }

    /// As [`Decomposition::set_scheme`](crate::array::Decomposition::set_scheme).
    pub fn set_scheme(&self, settings: impl Into<Settings>) {
        self.inner.exchanges.set_settings(settings.into());
    }

    /// As [`Decomposition::decisions`](crate::array::Decomposition::decisions).
    pub fn decisions(&self) -> Vec<Decision> {
        self.inner.exchanges.decisions()
    }

    /// As [`Decomposition::use_decision`](crate::array::Decomposition::use_decision).
    pub fn use_decision(&self, decision: Decision) {
        self.inner.exchanges.add_decision(decision);
    }
}

impl<const D: usize> std::fmt::Debug for PatchGrid<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PatchGrid({} patches, {:?})", self.inner.patches.parents().len(), self.inner.communicator)
    }
}

/// An array in patches: for each patch of this rank, the cells of its parent space. Those that the patch publishes are
/// the rank's own; an exchange fills those that it requests.
///
/// ```
/// use parhelion::halo::{PatchArray, PatchGrid, Patches};
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     // A ring of two patches of four cells on every rank, with a cell of halo on both sides.
///     let mut patches = Patches::new().periodic([Some(8 * world.size())]);
///     for half in 0..2 {
///         let start = 8 * world.rank() as i64 + 4 * half;
///         let owned = IndexSpace::from([start..start + 4]);
///         let patch = patches.add(owned.grow(1));
///         patches.publish(patch, owned);
///         patches.request(patch, owned.grow(1));
///     }
///     let grid = PatchGrid::new(patches, &world)?;
///     let mut u = PatchArray::from_fn(&grid, |_, [i]| i);
///     u.exchange()?;
///     let second = u.patch(1);
///     let left = second.space().start();
///     assert_eq!(second[left], left[0]); // the last cell of the first patch
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
pub struct PatchArray<T: Element, const D: usize> {
    grid: PatchGrid<D>,
    memories: Vec<Memory<T>>,
}

impl<T: Element, const D: usize> PatchArray<T, D> {
    /// An array of zeros. Local.
    pub fn zeros(grid: &PatchGrid<D>) -> Self {
        let allocate = |parent: &IndexSpace<D>| grid.communicator().allocate(parent.len());
        let memories = grid.patches().parents().iter().map(allocate).collect();
        PatchArray { grid: grid.clone(), memories }
    }

    /// An array whose published cells hold `value` of their patch and index; the others hold zeros. Local.
    pub fn from_fn(grid: &PatchGrid<D>, mut value: impl FnMut(usize, [i64; D]) -> T) -> Self {
        let mut array = Self::zeros(grid);
        for patch in 0..array.len() {
            let (parent, buffer) = (grid.patches().parents()[patch], &mut array.memories[patch]);
            for &space in &grid.inner.published[patch] {
                ViewMut::new(buffer, parent, space).for_each(|index, cell| *cell = value(patch, index));
            }
        }
        array
    }

    /// What arrays over these patches share.
    pub fn grid(&self) -> &PatchGrid<D> {
        &self.grid
    }

    /// The number of patches on this rank.
    pub fn len(&self) -> usize {
        self.memories.len()
    }

    /// Whether this rank has no patches.
    pub fn is_empty(&self) -> bool {
        self.memories.is_empty()
    }

    /// All cells of a patch.
    ///
    /// # Panics
    /// If there is no such patch.
    pub fn patch(&self, patch: usize) -> View<'_, T, D> {
        let parent = self.grid.patches().parents()[patch];
        View::new(&self.memories[patch], parent, parent)
    }

    /// All cells of a patch, to write to.
    ///
    /// # Panics
    /// If there is no such patch.
    pub fn patch_mut(&mut self, patch: usize) -> ViewMut<'_, T, D> {
        let parent = self.grid.patches().parents()[patch];
        ViewMut::new(&mut self.memories[patch], parent, parent)
    }

    /// Starts to fill what the patches request: [`start_exchange`] of this array alone.
    ///
    /// # Errors
    /// As [`start_exchange`].
    pub fn start_exchange(self) -> Result<InFlight<Self>> {
        start_exchange(self)
    }

    /// Fills what the patches request. Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`exchange`].
    pub fn exchange(&mut self) -> Result<()> {
        exchange(self)
    }

    /// Combines requested cells into the published ones they copy, as
    /// [`DistArray::exchange_adjoint`](crate::array::DistArray::exchange_adjoint).
    ///
    /// # Errors
    /// As [`exchange_adjoint`](super::exchange_adjoint).
    pub fn exchange_adjoint(&mut self, op: impl Reduction<T>) -> Result<()> {
        exchange_adjoint_of(self, &op)
    }

    /// Starts [`exchange_adjoint`](Self::exchange_adjoint), as
    /// [`DistArray::start_exchange_adjoint`](crate::array::DistArray::start_exchange_adjoint).
    ///
    /// # Errors
    /// As [`exchange_adjoint`](super::exchange_adjoint).
    pub fn start_exchange_adjoint<O: Reduction<T>>(self, op: O) -> Result<AdjointInFlight<Self, O>> {
        start_exchange_adjoint_of(self, op)
    }
}

impl<T: Element, const D: usize> Clone for PatchArray<T, D> {
    /// An array with the same cells in memory of its own. Local.
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(&self.grid);
        copy.memories.iter_mut().zip(&self.memories).for_each(|(to, from)| to.copy_from_slice(from));
        copy
    }
}

impl<T: Element, const D: usize> std::fmt::Debug for PatchArray<T, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PatchArray({} patches of {})", self.len(), ElementType::of::<T>())
    }
}

/// What of a [`PatchArray`] can be read while it is in flight: the published cells.
#[derive(Clone, Copy)]
pub struct Published<'a, T: Element, const D: usize> {
    array: &'a PatchArray<T, D>,
}

impl<'a, T: Element, const D: usize> Published<'a, T, D> {
    /// The regions that a patch publishes.
    ///
    /// # Panics
    /// If there is no such patch.
    pub fn patch(&self, patch: usize) -> impl ExactSizeIterator<Item = View<'a, T, D>> + use<'a, T, D> {
        let array = self.array;
        let parent = array.grid.patches().parents()[patch];
        array.grid.inner.published[patch].iter().map(move |&space| View::new(&array.memories[patch], parent, space))
    }
}

impl<T: Element, const D: usize> Fields for PatchArray<T, D> {
    type Owned<'a> = Published<'a, T, D>;

    fn owned_cells(&self) -> Published<'_, T, D> {
        Published { array: self }
    }
}

// SAFETY: one field, of one buffer for each patch, each in memory of its own that does not move with the array.
unsafe impl<T: Element, const D: usize> sealed::Sealed for PatchArray<T, D> {
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        Some(&self.grid.inner.exchanges)
    }

    fn each_field(&self, each: EachField<'_>) {
        each(&self.grid.inner.exchanges, ElementType::of::<T>());
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        out.extend(self.memories.iter_mut().map(Buffer::of));
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        out.push(Kernel::of::<T>(op)?);
        Ok(())
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        out.push(Box::new(self.memories));
    }
}
