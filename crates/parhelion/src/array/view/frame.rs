//! Where the cells of a space lie inside a parent in C order: the arithmetic that all views share.

use ndarray::{Dim, Dimension};
use parhelion_comm::{Error, ErrorKind, Layout, Result};

use crate::array::index_space::{IndexSpace, not_inside};

/// A space inside its parent. Offsets are in cells from the first cell of the space.
#[derive(Clone, Copy)]
pub(super) struct Frame<const D: usize> {
    space: IndexSpace<D>,
    parent: IndexSpace<D>,
    shape: [usize; D],
    /// Cells between neighbours along every axis; 1 along the last.
    strides: [usize; D],
}

impl<const D: usize> Frame<D> {
    pub(super) fn new(parent: IndexSpace<D>, space: IndexSpace<D>) -> Self {
        assert!(parent.contains_space(&space), "the view {space} is not inside its parent {parent}");
        let extent = parent.shape();
        let mut strides = [1; D];
        for a in (1..D).rev() {
            strides[a - 1] = strides[a] * extent[a];
        }
        Frame { space, parent, shape: space.shape(), strides }
    }

    /// The frame of cells with these strides, the first at `start`.
    pub(super) fn of_strides(start: [i64; D], shape: &[usize], given: &[isize]) -> Result<Self> {
        let shape: [usize; D] = std::array::from_fn(|a| shape[a]);
        let space = IndexSpace::from_shape(shape).translate(start);
        let mut parent = shape;
        // An axis of one cell is never stepped along: its stride may be anything, and the parent's extent along it is
        // counted with the next axis inside it. `inner` is that axis, `stride` its stride.
        let (mut inner, mut stride) = (D - 1, 1);
        for a in (0..D).rev().filter(|&a| shape[a] > 1 && !space.is_empty()) {
            let outer = usize::try_from(given[a]).unwrap_or(0);
            let extent = if a == D - 1 { (outer == 1).then_some(shape[a]) } else { outer.checked_div(stride) };
            match extent.filter(|&extent| a == D - 1 || (extent * stride == outer && extent >= shape[inner])) {
                Some(extent) => parent[inner] = extent,
                None => {
                    let reason = format!(
                        "an array of shape {shape:?} with strides {given:?} is no box of an array in C order; copy it \
                         with as_standard_layout()"
                    );
                    return Err(Error::new("view", ErrorKind::InvalidArgument(reason)));
                }
            }
            (inner, stride) = (a, outer);
        }
        Ok(Self::new(IndexSpace::from_shape(parent).translate(start), space))
    }

    /// The frame of some of the cells, and the offset of the first of them here.
    pub(super) fn region(&self, space: IndexSpace<D>) -> (Self, usize) {
        assert!(self.space.contains_space(&space), "the region {space} is not inside the view {}", self.space);
        let offset = if space.is_empty() { 0 } else { self.between(self.space.start(), space.start()) };
        (Frame { space, shape: space.shape(), ..*self }, offset)
    }

    pub(super) fn space(&self) -> IndexSpace<D> {
        self.space
    }

    pub(super) fn parent(&self) -> IndexSpace<D> {
        self.parent
    }

    pub(super) fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// The position of the first cell in the buffer; 0 where there is none.
    pub(super) fn first(&self) -> usize {
        if self.space.is_empty() { 0 } else { self.between(self.parent.start(), self.space.start()) }
    }

    /// The offset of a cell, `None` outside the space.
    #[inline]
    pub(super) fn offset(&self, index: [i64; D]) -> Option<usize> {
        let start = self.space.start();
        let mut at = 0;
        for a in 0..D {
            // Below the start this wraps to more than any shape.
            let along = index[a].wrapping_sub(start[a]) as u64 as usize;
            if along >= self.shape[a] {
                return None;
            }
            at += along * self.strides[a];
        }
        Some(at)
    }

    /// The offset of `len` cells along the last axis, `None` unless all of them are in the space.
    #[inline]
    pub(super) fn row(&self, index: [i64; D], len: usize) -> Option<usize> {
        if len == 0 {
            return Some(0);
        }
        let last = self.shape[D - 1].checked_sub(len)?;
        let along = index[D - 1].wrapping_sub(self.space.start()[D - 1]) as u64 as usize;
        self.offset(index).filter(|_| along <= last)
    }

    pub(super) fn is_contiguous(&self) -> bool {
        // Only the first axis longer than one cell may be shorter than the parent's.
        let from = self.shape.iter().position(|&n| n > 1).unwrap_or(D);
        let extent = self.parent.shape();
        self.space.is_empty() || (from + 1..D).all(|a| self.shape[a] == extent[a])
    }

    pub(super) fn layout(&self) -> Layout {
        if self.space.is_empty() {
            return Layout::contiguous(0, 0);
        }
        let start: [usize; D] =
            std::array::from_fn(|a| self.space.start()[a].wrapping_sub(self.parent.start()[a]) as usize);
        Layout::subarray(&self.parent.shape(), &start, &self.shape)
    }

    /// Shape and strides as `ndarray` wants them.
    pub(super) fn dimensions(&self) -> (Dim<[usize; D]>, Dim<[usize; D]>)
    where
        Dim<[usize; D]>: Dimension,
    {
        let (mut shape, mut strides) = (Dim::<[usize; D]>::zeros(D), Dim::<[usize; D]>::zeros(D));
        for a in 0..D {
            (shape[a], strides[a]) = (self.shape[a], self.strides[a]);
        }
        (shape, strides)
    }

    fn between(&self, from: [i64; D], to: [i64; D]) -> usize {
        (0..D).map(|a| to[a].wrapping_sub(from[a]) as usize * self.strides[a]).sum()
    }
}

pub(super) fn check_len<const D: usize>(len: usize, parent: &IndexSpace<D>) {
    assert!(
        parent.checked_len() == Some(len),
        "a buffer of {len} cells cannot hold {parent}, which has the shape {:?}",
        parent.shape()
    );
}

#[cold]
#[inline(never)]
pub(super) fn no_row<const D: usize>(index: &[i64; D], len: usize, space: &IndexSpace<D>) -> ! {
    if !space.contains(*index) {
        not_inside(index, space);
    }
    panic!("{len} cells from {index:?} along the last axis are not all in {space}")
}
