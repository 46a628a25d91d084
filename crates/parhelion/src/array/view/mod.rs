//! A box of cells inside the box a buffer stores: [`View`] to read, [`ViewMut`] to write.
//!
//! Both name cells by global index. Neither ever touches a cell of the buffer outside its own box, so views of disjoint
//! boxes of one buffer may be written, and be written by other ranks, at the same time; see [`View::from_raw`].

mod frame;
mod mutable;
mod regions;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;

use ndarray::{ArrayView, Dim, Dimension, ShapeBuilder};
use parhelion_comm::{Layout, Result};

use super::index_space::{IndexSpace, not_inside};
use frame::Frame;
pub use mutable::ViewMut;
pub use regions::RegionsMut;

/// The cells of an index space, inside a parent index space that a buffer holds in C order.
///
/// Access is by global index; a row, what varies along the last axis only, is a slice. Nothing is allocated or copied.
///
/// ```
/// use parhelion::array::{IndexSpace, View};
///
/// // A buffer of 3 x 4 cells that start at global index [10, 20], and the box of 2 x 2 cells in its middle.
/// let buffer: Vec<i32> = (0..12).collect();
/// let parent = IndexSpace::from([10..13, 20..24]);
/// let view = View::new(&buffer, parent, IndexSpace::from([11..13, 21..23]));
/// assert_eq!(view[[11, 22]], 6);
/// assert_eq!(view.row([12, 21], 2), [9, 10]);
/// assert_eq!(view.get([10, 20]), None); // in the parent, not in the view
/// assert_eq!(view.to_ndarray(), ndarray::array![[5, 6], [9, 10]]);
/// ```
pub struct View<'a, T, const D: usize> {
    /// The first cell of the space.
    first: *const T,
    frame: Frame<D>,
    cells: PhantomData<&'a [T]>,
}

impl<'a, T, const D: usize> View<'a, T, D> {
    /// The cells `space` of a buffer that holds `parent`.
    ///
    /// # Panics
    /// If the buffer's length is not the parent's, or the space is not inside the parent.
    pub fn new(buffer: &'a [T], parent: IndexSpace<D>, space: IndexSpace<D>) -> Self {
        frame::check_len(buffer.len(), &parent);
        // SAFETY: the buffer holds the parent and is shared for 'a.
        unsafe { Self::from_raw(buffer.as_ptr(), parent, space) }
    }

    /// The cells `space` of a buffer that holds `parent` and starts at `buffer`, while others may write to the
    /// buffer's other cells.
    ///
    /// # Panics
    /// If the space is not inside the parent.
    ///
    /// # Safety
    /// `buffer` is aligned, not null, and the start of room for the parent in one allocation. During `'a`, the cells of `space` are
    /// initialised and nobody writes to them.
    pub unsafe fn from_raw(buffer: *const T, parent: IndexSpace<D>, space: IndexSpace<D>) -> Self {
        let frame = Frame::new(parent, space);
        // SAFETY: the first cell of the space is inside the parent, for which the buffer has room; it is 0 where the
        // space is empty.
        View { first: unsafe { buffer.add(frame.first()) }, frame, cells: PhantomData }
    }

    /// The cells of the view.
    pub fn space(&self) -> IndexSpace<D> {
        self.frame.space()
    }

    /// The cells of the buffer.
    pub fn parent(&self) -> IndexSpace<D> {
        self.frame.parent()
    }

    /// Cells along every axis.
    pub fn shape(&self) -> [usize; D] {
        self.frame.shape()
    }

    /// The smallest index along every axis.
    pub fn start(&self) -> [i64; D] {
        self.space().start()
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.frame.shape().iter().product()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.space().is_empty()
    }

    /// Where the cells lie in the buffer.
    pub fn layout(&self) -> Layout {
        self.frame.layout()
    }

    /// The cells of `space` among those of the view.
    ///
    /// # Panics
    /// If `space` is not inside the view.
    pub fn region(&self, space: IndexSpace<D>) -> View<'a, T, D> {
        let (frame, offset) = self.frame.region(space);
        // SAFETY: the offset is that of a cell of this view, or 0 where the region is empty.
        View { first: unsafe { self.first.add(offset) }, frame, cells: PhantomData }
    }

    /// A cell, or `None` outside the view.
    #[inline]
    pub fn get(&self, index: [i64; D]) -> Option<&'a T> {
        // SAFETY: `offset` gives cells of the view only.
        self.frame.offset(index).map(|at| unsafe { &*self.first.add(at) })
    }

    /// `len` cells from `index` on along the last axis.
    ///
    /// # Panics
    /// If not all of them are in the view; see [`get_row`](Self::get_row).
    #[inline]
    pub fn row(&self, index: [i64; D], len: usize) -> &'a [T] {
        self.get_row(index, len).unwrap_or_else(|| frame::no_row(&index, len, &self.space()))
    }

    /// `len` cells from `index` on along the last axis, or `None` unless all of them are in the view.
    #[inline]
    pub fn get_row(&self, index: [i64; D], len: usize) -> Option<&'a [T]> {
        // SAFETY: these are cells of the view, which lie one after the other.
        self.frame.row(index, len).map(|at| unsafe { std::slice::from_raw_parts(self.first.add(at), len) })
    }

    /// Every row: its first index and its cells, in memory order.
    pub fn rows(&self) -> impl Iterator<Item = ([i64; D], &'a [T])> + use<'a, T, D> {
        let view = *self;
        self.space().rows().map(move |(first, len)| (first, view.row(first, len)))
    }

    /// Every cell in memory order.
    pub fn iter(&self) -> impl Iterator<Item = &'a T> + use<'a, T, D> {
        self.rows().flat_map(|(_, row)| row)
    }

    /// Calls `each` with every index and its cell, in memory order.
    pub fn for_each(&self, mut each: impl FnMut([i64; D], &T)) {
        for (mut index, row) in self.rows() {
            for cell in row {
                each(index, cell);
                index[D - 1] += 1;
            }
        }
    }

    /// All cells as one slice, where they lie one after the other in the buffer.
    pub fn as_slice(&self) -> Option<&'a [T]> {
        // SAFETY: the cells of the view lie one after the other.
        self.frame.is_contiguous().then(|| unsafe { std::slice::from_raw_parts(self.first, self.len()) })
    }

    /// The cells as a view of `ndarray`, whose indices start at 0.
    pub fn to_ndarray(&self) -> ArrayView<'a, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        let (shape, strides) = self.frame.dimensions();
        // SAFETY: shape and strides name exactly the cells of the view.
        unsafe { ArrayView::from_shape_ptr(shape.strides(strides), self.first) }
    }

    /// The cells of a view of `ndarray`, the first of them at `start`.
    ///
    /// The parent is the smallest box of that start whose C order has the strides.
    ///
    /// # Errors
    /// The strides are those of no box in C order: the last axis has a step, or the axes are reversed or transposed.
    pub fn from_ndarray(array: ArrayView<'a, T, Dim<[usize; D]>>, start: [i64; D]) -> Result<Self>
    where
        Dim<[usize; D]>: Dimension,
    {
        let frame = Frame::of_strides(start, array.shape(), array.strides())?;
        Ok(View { first: array.as_ptr(), frame, cells: PhantomData })
    }
}

impl<T, const D: usize> Clone for View<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const D: usize> Copy for View<'_, T, D> {}

// SAFETY: a view is a shared borrow of its cells, as `&[T]` is.
unsafe impl<T: Sync, const D: usize> Send for View<'_, T, D> {}
// SAFETY: as above.
unsafe impl<T: Sync, const D: usize> Sync for View<'_, T, D> {}

impl<T, const D: usize> Index<[i64; D]> for View<'_, T, D> {
    type Output = T;

    #[inline]
    fn index(&self, index: [i64; D]) -> &T {
        match self.get(index) {
            Some(cell) => cell,
            None => not_inside(&index, &self.space()),
        }
    }
}

impl<T, const D: usize> fmt::Debug for View<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("space", &self.space()).field("parent", &self.parent()).finish()
    }
}
