//! Arrays whose cells are spread over the ranks of a communicator: [`DistArray`].

use std::fmt;

use ndarray::{ArrayView, ArrayViewMut, Axis, Dim, Dimension, Slice};
use parhelion_comm::{Communicator, Element, Error, ErrorKind, Layout, Memory, Result};

use super::number::{Accumulator, sealed::Accumulate};
use super::place::Place;
use super::{Decomposition, Number};

/// An array of `D` axes, one to four, cut over ranks by a [`Decomposition`]. Each rank *owns* the cells that the
/// distribution gives it, and stores them in C order with a halo around them.
///
/// Making an array is local: nothing is sent, and storage comes from [`Communicator::allocate`], so that ranks of one node
/// can read it in place. Halo cells are zero until an exchange fills them, or [`with_halo_mut`](Self::with_halo_mut).
/// Methods that talk are collective: all ranks call them, in one order; each says what it sends.
///
/// ```
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let grid = Decomposition::new([8, 10], &world)?;
///     let u = DistArray::from_fn(&grid, |[i, j]| (i * j) as f64)?;
///     let square = u.map(|x| x * x);
///     assert_eq!(square.sum()?, u.dot(&u)?);
///     assert_eq!(u.arg_max()?, Some(([7, 9], 63.0)));
///     // The root gets the whole as an `ndarray` array.
///     if let Some(all) = u.gather(0)? {
///         assert_eq!(all[[3, 4]], 12.0);
///     }
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
///
/// # Local positions
///
/// Along an axis in blocks, a rank's cells are consecutive global indices. Along a cyclic or block-cyclic axis they are
/// not; stored one behind the other they have *local positions*, from 0. Views and `ndarray` views show the stored array;
/// [`for_each`](Self::for_each), [`from_fn`](Self::from_fn) and the searches give global indices always.
///
/// # Copies
///
/// Along a replicated axis several ranks hold the same cells. Reductions count them once. What writes cells is to write
/// the same on all copies: a closure that does not depend on the rank does.
pub struct DistArray<T: Element, const D: usize> {
    decomposition: Decomposition<D>,
    place: Place<D>,
    memory: Memory<T>,
}

impl<T: Element, const D: usize> DistArray<T, D> {
    /// An array of zeros. Local.
    ///
    /// # Errors
    /// What [`Decomposition::check`] finds; blocks of more bytes than can be addressed.
    pub fn zeros(decomposition: &Decomposition<D>) -> Result<Self> {
        decomposition.check()?;
        let bytes = decomposition.largest_block().checked_mul(size_of::<T>());
        // Less than the most, since storage is aligned.
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize / 2) {
            let text =
                format!("a block of {decomposition} has more elements of {} bytes than fit in memory", size_of::<T>());
            return Err(Error::new("array", ErrorKind::InvalidArgument(text)));
        }
        Ok(Self::allocate(decomposition))
    }

    /// An array of ones. Local.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub fn ones(decomposition: &Decomposition<D>) -> Result<Self>
    where
        T: Number,
    {
        Self::full(decomposition, T::narrow(<T as Accumulate>::Wide::ONE))
    }

    /// An array whose owned cells all hold `value`. Local.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub fn full(decomposition: &Decomposition<D>, value: T) -> Result<Self> {
        let mut array = Self::zeros(decomposition)?;
        array.fill(value);
        Ok(array)
    }

    /// An array whose owned cells hold `value` of their global index. Local; called in memory order.
    ///
    /// # Errors
    /// As [`zeros`](Self::zeros).
    pub fn from_fn(decomposition: &Decomposition<D>, mut value: impl FnMut([i64; D]) -> T) -> Result<Self> {
        let mut array = Self::zeros(decomposition)?;
        array.for_each_mut(|index, cell| *cell = value(index));
        Ok(array)
    }

    /// An array whose owned cells are, on each rank, those of `local`: [`Decomposition::local_shape`] of them. Local.
    ///
    /// # Errors
    /// Another shape; as [`zeros`](Self::zeros).
    pub fn from_local(decomposition: &Decomposition<D>, local: ArrayView<'_, T, Dim<[usize; D]>>) -> Result<Self>
    where
        Dim<[usize; D]>: Dimension,
    {
        let mut array = Self::zeros(decomposition)?;
        let mut target = array.local_mut();
        if target.shape() != local.shape() {
            let rank = decomposition.communicator().rank();
            let (given, needed) = (local.shape(), target.shape());
            let text = format!("the part of shape {given:?} on rank {rank} must have the shape {needed:?}");
            return Err(Error::new("from_local", ErrorKind::InvalidArgument(text)));
        }
        target.assign(&local);
        Ok(array)
    }

    /// An array of zeros with this one's decomposition, and any element type. Local.
    pub fn like<U: Element>(&self) -> DistArray<U, D> {
        DistArray::allocate(&self.decomposition)
    }

    /// An array of zeros with this one's decomposition and element type. Local.
    pub fn zeros_like(&self) -> Self {
        self.like()
    }

    /// The decomposition, checked.
    fn allocate(decomposition: &Decomposition<D>) -> Self {
        let communicator = decomposition.communicator();
        let place = Place::new(decomposition, communicator.rank());
        let memory = communicator.allocate(place.parent().iter().product());
        DistArray { decomposition: decomposition.clone(), place, memory }
    }

    /// How the cells are cut over the ranks.
    pub fn decomposition(&self) -> &Decomposition<D> {
        &self.decomposition
    }

    /// The communicator of the decomposition.
    pub fn communicator(&self) -> &Communicator {
        self.decomposition.communicator()
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.communicator().rank()
    }

    /// All cells along every axis.
    pub fn shape(&self) -> [usize; D] {
        self.decomposition.shape()
    }

    /// All cells.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no cells on any rank.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells this rank owns, as an `ndarray` view.
    pub fn local(&self) -> ArrayView<'_, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        let (offset, shape) = (self.place.offset(), self.place.shape());
        let mut view = self.local_with_halo();
        view.slice_each_axis_inplace(|a| owned(offset, shape, a.axis));
        view
    }

    /// The cells this rank owns, as an `ndarray` view to write to.
    pub fn local_mut(&mut self) -> ArrayViewMut<'_, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        let (offset, shape) = (self.place.offset(), self.place.shape());
        let mut view = self.local_with_halo_mut();
        view.slice_each_axis_inplace(|a| owned(offset, shape, a.axis));
        view
    }

    /// All cells this rank stores, its halo around its own, as an `ndarray` view. A rank that owns nothing stores nothing.
    pub fn local_with_halo(&self) -> ArrayView<'_, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        ArrayView::from_shape(dim(self.place.parent()), &self.memory).expect("storage has the parent's shape")
    }

    /// All cells this rank stores, its halo around its own, as an `ndarray` view to write to.
    pub fn local_with_halo_mut(&mut self) -> ArrayViewMut<'_, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        ArrayViewMut::from_shape(dim(self.place.parent()), &mut self.memory).expect("storage has the parent's shape")
    }

    /// The cells this rank owns, in C order of their positions.
    pub fn to_vec(&self) -> Vec<T> {
        let mut cells = Vec::with_capacity(self.place.len());
        self.runs().for_each(|run| cells.extend_from_slice(run));
        cells
    }

    /// Where this rank's cells lie in its storage.
    pub fn layout(&self) -> &Layout {
        self.place.layout()
    }

    pub(crate) fn place(&self) -> &Place<D> {
        &self.place
    }

    /// The stored cells, halo included.
    pub(crate) fn memory(&self) -> &Memory<T> {
        &self.memory
    }

    /// The stored cells, halo included.
    pub(crate) fn memory_mut(&mut self) -> &mut Memory<T> {
        &mut self.memory
    }

    /// The memory of the stored cells.
    pub(crate) fn into_memory(self) -> Memory<T> {
        self.memory
    }

    /// The stored cells to write, and where the owned ones are.
    pub(super) fn split_mut(&mut self) -> (&Place<D>, &Decomposition<D>, &mut [T]) {
        (&self.place, &self.decomposition, &mut self.memory)
    }

    /// The owned cells as runs of consecutive stored ones, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = &[T]> {
        self.place.layout().iter_runs().map(|(start, len)| &self.memory[start..start + len])
    }

    /// [`runs`](Self::runs) where this rank holds the first copy of its cells; none elsewhere.
    pub(super) fn counted_runs(&self) -> impl Iterator<Item = &[T]> {
        let counts = self.decomposition.is_first_copy(self.rank());
        self.runs().filter(move |_| counts)
    }

    /// An array of this decomposition whose owned cells are `cells`, in C order of their positions.
    pub(super) fn like_from(&self, cells: &[T]) -> Result<Self> {
        let mut array = self.zeros_like();
        array.place.layout().unpack(cells, &mut array.memory);
        Ok(array)
    }
}

/// A shape as `ndarray` has it.
pub(crate) fn dim<const D: usize>(shape: [usize; D]) -> Dim<[usize; D]>
where
    Dim<[usize; D]>: Dimension,
{
    let mut dim = Dim::<[usize; D]>::zeros(D);
    dim.slice_mut().copy_from_slice(&shape);
    dim
}

/// The owned positions along one axis of the storage.
fn owned<const D: usize>(offset: [usize; D], shape: [usize; D], axis: Axis) -> Slice {
    let a = axis.index();
    Slice::from(offset[a]..offset[a] + shape[a])
}

impl<T: Element, const D: usize> Clone for DistArray<T, D> {
    /// An array with the same cells, halo included. Local.
    fn clone(&self) -> Self {
        let mut copy = self.zeros_like();
        copy.memory.copy_from_slice(&self.memory);
        copy
    }
}

impl<T: Element, const D: usize> fmt::Debug for DistArray<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rank, shape) = (self.rank(), self.place.shape());
        write!(f, "DistArray({}, {shape:?} of them on rank {rank})", self.decomposition)
    }
}
