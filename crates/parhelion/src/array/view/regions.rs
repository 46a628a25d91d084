//! [`RegionsMut`]: several boxes of one buffer, to write.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use super::frame;
use super::{IndexSpace, ViewMut};

/// Disjoint boxes of one buffer, to write: what a loop over the interior and a loop over the boundary of an array both
/// take, so that one update serves both.
///
/// ```
/// use parhelion::array::{IndexSpace, RegionsMut, View};
///
/// /// The mean of the two neighbours along axis 0.
/// fn mean(from: View<f64, 2>, mut to: RegionsMut<f64, 2>) {
///     to.for_each_row(|[i, j], row| {
///         let (above, below) = (from.row([i - 1, j], row.len()), from.row([i + 1, j], row.len()));
///         for (cell, (a, b)) in row.iter_mut().zip(above.iter().zip(below)) {
///             *cell = (a + b) / 2.0;
///         }
///     });
/// }
///
/// let parent = IndexSpace::from_shape([5, 4]);
/// let old: Vec<f64> = (0..20).map(f64::from).collect();
/// let mut new = vec![0.0; 20];
/// let space = IndexSpace::from([1..4, 0..4]);
/// let inner = space.shrink(1);
/// mean(View::new(&old, parent, parent), RegionsMut::new(&mut new, parent, vec![inner]));
/// mean(View::new(&old, parent, parent), RegionsMut::new(&mut new, parent, space.subtract(&inner)));
/// assert_eq!(new[4..16], old[4..16]);
/// ```
pub struct RegionsMut<'a, T, const D: usize> {
    buffer: *mut T,
    parent: IndexSpace<D>,
    /// Inside the parent and disjoint.
    spaces: Spaces<'a, D>,
    cells: PhantomData<&'a mut [T]>,
}

enum Spaces<'a, const D: usize> {
    One(IndexSpace<D>),
    Many(Cow<'a, [IndexSpace<D>]>),
}

impl<const D: usize> Spaces<'_, D> {
    fn as_slice(&self) -> &[IndexSpace<D>] {
        match self {
            Spaces::One(space) => std::slice::from_ref(space),
            Spaces::Many(spaces) => spaces,
        }
    }
}

impl<'a, T, const D: usize> RegionsMut<'a, T, D> {
    /// The cells of `spaces` in a buffer that holds `parent`. Spaces that are borrowed are not copied.
    ///
    /// # Panics
    /// If the buffer's length is not the parent's, a space is not inside the parent, or two spaces share a cell.
    pub fn new(buffer: &'a mut [T], parent: IndexSpace<D>, spaces: impl Into<Cow<'a, [IndexSpace<D>]>>) -> Self {
        frame::check_len(buffer.len(), &parent);
        let spaces = spaces.into();
        for (i, space) in spaces.iter().enumerate() {
            assert!(parent.contains_space(space), "the region {space} is not inside its parent {parent}");
            let shared = spaces[..i].iter().find(|before| before.intersects(space));
            assert!(shared.is_none(), "the regions {space} and {} share cells", shared.unwrap_or(space));
        }
        RegionsMut { buffer: buffer.as_mut_ptr(), parent, spaces: Spaces::Many(spaces), cells: PhantomData }
    }

    /// The boxes.
    pub fn spaces(&self) -> &[IndexSpace<D>] {
        self.spaces.as_slice()
    }

    /// The cells of the buffer.
    pub fn parent(&self) -> IndexSpace<D> {
        self.parent
    }

    /// How many cells there are in all boxes together.
    pub fn len(&self) -> usize {
        self.spaces().iter().map(IndexSpace::len).sum()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.spaces().iter().all(IndexSpace::is_empty)
    }

    /// The same boxes, for a shorter time.
    pub fn reborrow(&mut self) -> RegionsMut<'_, T, D> {
        let spaces = Spaces::Many(Cow::Borrowed(self.spaces.as_slice()));
        RegionsMut { buffer: self.buffer, parent: self.parent, spaces, cells: PhantomData }
    }

    /// A view of every box. The views may be written at the same time, by several threads.
    pub fn views_mut(&mut self) -> impl Iterator<Item = ViewMut<'_, T, D>> {
        self.reborrow().into_iter()
    }

    /// Calls `each` with the first index and the cells of every row of every box.
    #[inline]
    pub fn for_each_row(&mut self, mut each: impl FnMut([i64; D], &mut [T])) {
        self.views_mut().for_each(|mut view| view.for_each_row(&mut each));
    }

    /// Calls `each` with the index and the cell of every cell of every box.
    #[inline]
    pub fn for_each(&mut self, mut each: impl FnMut([i64; D], &mut T)) {
        self.views_mut().for_each(|mut view| view.for_each(&mut each));
    }

    /// Sets every cell to `value`.
    pub fn fill(&mut self, value: T)
    where
        T: Clone,
    {
        self.for_each_row(|_, row| row.fill(value.clone()));
    }
}

// SAFETY: an exclusive borrow of its cells, as `&mut [T]` is.
unsafe impl<T: Send, const D: usize> Send for RegionsMut<'_, T, D> {}
// SAFETY: as above.
unsafe impl<T: Sync, const D: usize> Sync for RegionsMut<'_, T, D> {}

impl<'a, T, const D: usize> IntoIterator for RegionsMut<'a, T, D> {
    type Item = ViewMut<'a, T, D>;
    type IntoIter = Views<'a, T, D>;

    fn into_iter(self) -> Views<'a, T, D> {
        Views { next: 0, regions: self }
    }
}

/// A view of every box of a [`RegionsMut`].
#[derive(Debug)]
pub struct Views<'a, T, const D: usize> {
    next: usize,
    regions: RegionsMut<'a, T, D>,
}

impl<'a, T, const D: usize> Iterator for Views<'a, T, D> {
    type Item = ViewMut<'a, T, D>;

    #[inline]
    fn next(&mut self) -> Option<ViewMut<'a, T, D>> {
        let space = *self.regions.spaces().get(self.next)?;
        self.next += 1;
        // SAFETY: the buffer holds the parent and was borrowed exclusively for 'a; the spaces are disjoint, and each
        // is given out once.
        Some(unsafe { ViewMut::from_raw(self.regions.buffer, self.regions.parent, space) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.regions.spaces().len() - self.next;
        (left, Some(left))
    }
}

impl<T, const D: usize> ExactSizeIterator for Views<'_, T, D> {}

impl<T, const D: usize> fmt::Debug for RegionsMut<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionsMut").field("spaces", &self.spaces()).field("parent", &self.parent).finish()
    }
}

impl<'a, T, const D: usize> From<ViewMut<'a, T, D>> for RegionsMut<'a, T, D> {
    /// The cells of one view.
    fn from(view: ViewMut<'a, T, D>) -> Self {
        // SAFETY: a view's first cell is this far inside the buffer of its parent.
        let buffer = unsafe { view.first.sub(view.frame.first()) };
        RegionsMut { buffer, parent: view.parent(), spaces: Spaces::One(view.space()), cells: PhantomData }
    }
}
