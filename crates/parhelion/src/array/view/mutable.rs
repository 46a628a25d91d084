//! [`ViewMut`]: a view that can be written.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use ndarray::{ArrayViewMut, Dim, Dimension, ShapeBuilder};
use parhelion_comm::{Layout, Result};

use super::View;
use super::frame::{self, Frame};
use crate::array::index_space::{IndexSpace, not_inside};

/// As [`View`], to write.
///
/// ```
/// use parhelion::array::{IndexSpace, ViewMut};
///
/// let mut buffer = vec![0; 12];
/// let parent = IndexSpace::from_shape([3, 4]);
/// let mut middle = ViewMut::new(&mut buffer, parent, IndexSpace::from([1..2, 1..3]));
/// middle.for_each(|[i, j], cell| *cell = 10 * i + j);
/// middle[[1, 2]] += 100;
/// assert_eq!(buffer, [0, 0, 0, 0, 0, 11, 112, 0, 0, 0, 0, 0]);
/// ```
pub struct ViewMut<'a, T, const D: usize> {
    /// The first cell of the space.
    pub(super) first: *mut T,
    pub(super) frame: Frame<D>,
    cells: PhantomData<&'a mut [T]>,
}

impl<'a, T, const D: usize> ViewMut<'a, T, D> {
    /// The cells `space` of a buffer that holds `parent`.
    ///
    /// # Panics
    /// If the buffer's length is not the parent's, or the space is not inside the parent.
    pub fn new(buffer: &'a mut [T], parent: IndexSpace<D>, space: IndexSpace<D>) -> Self {
        frame::check_len(buffer.len(), &parent);
        // SAFETY: the buffer holds the parent and is borrowed exclusively for 'a.
        unsafe { Self::from_raw(buffer.as_mut_ptr(), parent, space) }
    }

    /// The cells `space` of a buffer that holds `parent` and starts at `buffer`, while others may use the buffer's
    /// other cells.
    ///
    /// # Panics
    /// If the space is not inside the parent.
    ///
    /// # Safety
    /// `buffer` is aligned, not null, and the start of room for the parent in one allocation. During `'a`, the cells of `space` are
    /// initialised and nobody else reads or writes them.
    pub unsafe fn from_raw(buffer: *mut T, parent: IndexSpace<D>, space: IndexSpace<D>) -> Self {
        let frame = Frame::new(parent, space);
        // SAFETY: the first cell of the space is inside the parent, for which the buffer has room; it is 0 where the
        // space is empty.
        ViewMut { first: unsafe { buffer.add(frame.first()) }, frame, cells: PhantomData }
    }

    /// The same cells, to read.
    pub fn view(&self) -> View<'_, T, D> {
        View { first: self.first, frame: self.frame, cells: PhantomData }
    }

    /// The same cells, for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, T, D> {
        ViewMut { first: self.first, frame: self.frame, cells: PhantomData }
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
        self.view().len()
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
    pub fn region(self, space: IndexSpace<D>) -> ViewMut<'a, T, D> {
        let (frame, offset) = self.frame.region(space);
        // SAFETY: the offset is that of a cell of this view, or 0 where the region is empty.
        ViewMut { first: unsafe { self.first.add(offset) }, frame, cells: PhantomData }
    }

    /// A cell, or `None` outside the view.
    #[inline]
    pub fn get_mut(&mut self, index: [i64; D]) -> Option<&mut T> {
        // SAFETY: `offset` gives cells of the view only.
        self.frame.offset(index).map(|at| unsafe { &mut *self.first.add(at) })
    }

    /// `len` cells from `index` on along the last axis.
    ///
    /// # Panics
    /// If not all of them are in the view.
    #[inline]
    pub fn row_mut(&mut self, index: [i64; D], len: usize) -> &mut [T] {
        let Some(at) = self.frame.row(index, len) else { frame::no_row(&index, len, &self.space()) };
        // SAFETY: these are cells of the view, which lie one after the other.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(at), len) }
    }

    /// Every row: its first index and its cells, in memory order.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = ([i64; D], &mut [T])> {
        self.reborrow().into_rows()
    }

    /// Every row, for as long as the view lives.
    pub fn into_rows(self) -> impl Iterator<Item = ([i64; D], &'a mut [T])> + use<'a, T, D> {
        self.space().rows().map(move |(index, len)| {
            let at = self.frame.row(index, len).expect("a row of the space is inside it");
            // SAFETY: these are cells of the view, no two rows share a cell, and the view has been given up for them.
            (index, unsafe { std::slice::from_raw_parts_mut(self.first.add(at), len) })
        })
    }

    /// Calls `each` with the first index and the cells of every row, in memory order.
    #[inline]
    pub fn for_each_row(&mut self, mut each: impl FnMut([i64; D], &mut [T])) {
        self.rows_mut().for_each(|(index, row)| each(index, row));
    }

    /// Calls `each` with every index and its cell, in memory order.
    #[inline]
    pub fn for_each(&mut self, mut each: impl FnMut([i64; D], &mut T)) {
        self.for_each_row(|mut index, row| {
            for cell in row {
                each(index, cell);
                index[D - 1] += 1;
            }
        });
    }

    /// Sets every cell to `value`.
    pub fn fill(&mut self, value: T)
    where
        T: Clone,
    {
        self.for_each_row(|_, row| row.fill(value.clone()));
    }

    /// Copies the cells of a view of the same shape, in order; the indices may differ.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn copy_from(&mut self, from: View<'_, T, D>)
    where
        T: Clone,
    {
        assert_eq!(self.shape(), from.shape(), "cells are copied between views of one shape");
        self.rows_mut().zip(from.rows()).for_each(|((_, to), (_, from))| to.clone_from_slice(from));
    }

    /// All cells as one slice, where they lie one after the other in the buffer.
    pub fn as_slice_mut(&mut self) -> Option<&mut [T]> {
        // SAFETY: the cells of the view lie one after the other.
        self.frame.is_contiguous().then(|| unsafe { std::slice::from_raw_parts_mut(self.first, self.len()) })
    }

    /// The cells as a view of `ndarray`, whose indices start at 0.
    pub fn into_ndarray(self) -> ArrayViewMut<'a, T, Dim<[usize; D]>>
    where
        Dim<[usize; D]>: Dimension,
    {
        let (shape, strides) = self.frame.dimensions();
        // SAFETY: shape and strides name exactly the cells of the view.
        unsafe { ArrayViewMut::from_shape_ptr(shape.strides(strides), self.first) }
    }

    /// The cells of a view of `ndarray`, the first of them at `start`; see [`View::from_ndarray`].
    ///
    /// # Errors
    /// As [`View::from_ndarray`].
    pub fn from_ndarray(mut array: ArrayViewMut<'a, T, Dim<[usize; D]>>, start: [i64; D]) -> Result<Self>
    where
        Dim<[usize; D]>: Dimension,
    {
        let frame = Frame::of_strides(start, array.shape(), array.strides())?;
        Ok(ViewMut { first: array.as_mut_ptr(), frame, cells: PhantomData })
    }
}

// SAFETY: a view is an exclusive borrow of its cells, as `&mut [T]` is.
unsafe impl<T: Send, const D: usize> Send for ViewMut<'_, T, D> {}
// SAFETY: as above.
unsafe impl<T: Sync, const D: usize> Sync for ViewMut<'_, T, D> {}

impl<T, const D: usize> Index<[i64; D]> for ViewMut<'_, T, D> {
    type Output = T;

    #[inline]
    fn index(&self, index: [i64; D]) -> &T {
        match self.frame.offset(index) {
            // SAFETY: `offset` gives cells of the view only.
            Some(at) => unsafe { &*self.first.add(at) },
            None => not_inside(&index, &self.space()),
        }
    }
}

impl<T, const D: usize> IndexMut<[i64; D]> for ViewMut<'_, T, D> {
    #[inline]
    fn index_mut(&mut self, index: [i64; D]) -> &mut T {
        match self.frame.offset(index) {
            // SAFETY: `offset` gives cells of the view only.
            Some(at) => unsafe { &mut *self.first.add(at) },
            None => not_inside(&index, &self.space()),
        }
    }
}

impl<T, const D: usize> fmt::Debug for ViewMut<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewMut").field("space", &self.space()).field("parent", &self.parent()).finish()
    }
}
