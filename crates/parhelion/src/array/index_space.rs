//! Boxes of a global grid: [`IndexSpace`], and the cells and rows in them.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

/// A half-open, axis-aligned box of signed global indices, in C order (the last axis varies fastest).
///
/// A value of one to four axes that may be empty. Every empty box is the same value, [`IndexSpace::empty`], so equality
/// is equality as sets of cells, and every operation on an empty box gives the empty box.
///
/// ```
/// use parhelion::array::IndexSpace;
///
/// let whole = IndexSpace::from_shape([4, 6]);
/// let right = IndexSpace::new([0, 4], [4, 9]);
/// let common = whole.intersect(&right);
/// assert_eq!(common, IndexSpace::from([0..4, 4..6]));
/// assert_eq!(common.to_string(), "[0..4, 4..6)");
/// assert_eq!(common.iter().next(), Some([0, 4]));
/// // What is left is given as disjoint boxes.
/// assert_eq!(whole.subtract(&right), [IndexSpace::from([0..4, 0..4])]);
/// ```
///
/// # Panics
/// Operations that would need an index outside `i64` panic and say so, in release builds too: a box that wrapped round
/// would be a wrong answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexSpace<const D: usize> {
    start: [i64; D],
    end: [i64; D],
}

impl<const D: usize> IndexSpace<D> {
    /// The box of all indices `i` with `start[a] <= i[a] < end[a]` along every axis `a`: empty where some
    /// `end[a] <= start[a]`.
    pub const fn new(start: [i64; D], end: [i64; D]) -> Self {
        const { assert!(D >= 1 && D <= 4, "an index space has 1 to 4 axes") };
        let mut axis = 0;
        while axis < D {
            if end[axis] <= start[axis] {
                return Self::empty();
            }
            axis += 1;
        }
        IndexSpace { start, end }
    }

    /// The box of `shape` cells that starts at the origin.
    pub fn from_shape(shape: [usize; D]) -> Self {
        Self::new([0; D], shape.map(|n| i64::try_from(n).unwrap_or_else(|_| outside())))
    }

    /// The box without cells; it starts and ends at the origin.
    pub const fn empty() -> Self {
        const { assert!(D >= 1 && D <= 4, "an index space has 1 to 4 axes") };
        IndexSpace { start: [0; D], end: [0; D] }
    }

    /// The smallest index along every axis.
    pub fn start(&self) -> [i64; D] {
        self.start
    }

    /// One past the largest index along every axis.
    pub fn end(&self) -> [i64; D] {
        self.end
    }

    /// The indices along one axis.
    pub fn axis(&self, axis: usize) -> Range<i64> {
        self.start[axis]..self.end[axis]
    }

    /// Cells along every axis.
    pub fn shape(&self) -> [usize; D] {
        // The difference of two i64, the second not smaller, always fits u64.
        std::array::from_fn(|a| self.end[a].wrapping_sub(self.start[a]) as u64 as usize)
    }

    /// How many cells there are.
    ///
    /// # Panics
    /// Where that is more than `usize` can count; see [`checked_len`](Self::checked_len).
    pub fn len(&self) -> usize {
        self.checked_len().unwrap_or_else(|| panic!("index space {self} has more cells than a usize can count"))
    }

    /// How many cells there are, or `None` where `usize` cannot count them.
    pub fn checked_len(&self) -> Option<usize> {
        self.shape().iter().try_fold(1usize, |len, &n| len.checked_mul(n))
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.start[0] == self.end[0]
    }

    /// Whether `index` is in the box.
    #[inline]
    pub fn contains(&self, index: [i64; D]) -> bool {
        (0..D).all(|a| self.start[a] <= index[a] && index[a] < self.end[a])
    }

    /// Whether every cell of `other` is in the box; the empty box is in every box.
    pub fn contains_space(&self, other: &Self) -> bool {
        other.is_empty() || (0..D).all(|a| self.start[a] <= other.start[a] && other.end[a] <= self.end[a])
    }

    /// The cells in both boxes.
    pub fn intersect(&self, other: &Self) -> Self {
        Self::new(
            std::array::from_fn(|a| self.start[a].max(other.start[a])),
            std::array::from_fn(|a| self.end[a].min(other.end[a])),
        )
    }

    /// Whether the boxes share a cell.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.intersect(other).is_empty()
    }

    /// The smallest box that contains both boxes.
    pub fn hull(&self, other: &Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => *other,
            (_, true) => *self,
            _ => Self::new(
                std::array::from_fn(|a| self.start[a].min(other.start[a])),
                std::array::from_fn(|a| self.end[a].max(other.end[a])),
            ),
        }
    }

    /// The box moved by `by` cells along every axis.
    pub fn translate(&self, by: [i64; D]) -> Self {
        if self.is_empty() {
            return *self;
        }
        IndexSpace {
            start: std::array::from_fn(|a| add(self.start[a], by[a])),
            end: std::array::from_fn(|a| add(self.end[a], by[a])),
        }
    }

    /// The box with `width` cells more on every side.
    pub fn grow(&self, width: usize) -> Self {
        self.grow_by([[width; 2]; D])
    }

    /// The box with `widths[a][0]` cells more below and `widths[a][1]` cells more above along axis `a`.
    pub fn grow_by(&self, widths: [[usize; 2]; D]) -> Self {
        if self.is_empty() {
            return *self;
        }
        IndexSpace {
            start: std::array::from_fn(|a| below(self.start[a], widths[a][0])),
            end: std::array::from_fn(|a| above(self.end[a], widths[a][1])),
        }
    }

    /// The box with `width` cells fewer on every side; empty where nothing is left.
    pub fn shrink(&self, width: usize) -> Self {
        self.shrink_by([[width; 2]; D])
    }

    /// The box with `widths[a][0]` cells fewer below and `widths[a][1]` cells fewer above along axis `a`; empty where
    /// nothing is left.
    pub fn shrink_by(&self, widths: [[usize; 2]; D]) -> Self {
        Self::new(
            std::array::from_fn(|a| self.start[a].saturating_add_unsigned(widths[a][0] as u64)),
            std::array::from_fn(|a| self.end[a].saturating_sub_unsigned(widths[a][1] as u64)),
        )
    }

    /// The cells that are not in `other`, as at most `2 D` disjoint boxes, none of them empty.
    ///
    /// The boxes are cut off axis by axis from the first axis on, so that the largest of them are contiguous in memory.
    pub fn subtract(&self, other: &Self) -> Vec<Self> {
        let common = self.intersect(other);
        if self.is_empty() || common.is_empty() {
            return if self.is_empty() { Vec::new() } else { vec![*self] };
        }
        let mut boxes = Vec::new();
        let mut rest = *self;
        for a in 0..D {
            let (mut low, mut high) = (rest, rest);
            low.end[a] = common.start[a];
            high.start[a] = common.end[a];
            boxes.extend([low, high].into_iter().filter(|cut| cut.start[a] < cut.end[a]));
            (rest.start[a], rest.end[a]) = (common.start[a], common.end[a]);
        }
        boxes
    }

    /// The cells of the box within `widths` of its face, edge or corner in `direction`.
    ///
    /// Along an axis of direction −1 these are the first `widths[a][0]` cells, of direction +1 the last `widths[a][1]`,
    /// of direction 0 all of them. Widths beyond the box are cut at its other side.
    ///
    /// # Panics
    /// If a direction is not −1, 0 or 1.
    pub fn region(&self, direction: [i8; D], widths: [[usize; 2]; D]) -> Self {
        let mut part = *self;
        for a in 0..D {
            match direction[a] {
                -1 => part.end[a] = part.end[a].min(part.start[a].saturating_add_unsigned(widths[a][0] as u64)),
                0 => {}
                1 => part.start[a] = part.start[a].max(part.end[a].saturating_sub_unsigned(widths[a][1] as u64)),
                other => panic!("direction {other} along axis {a}: directions are -1, 0 and 1"),
            }
        }
        Self::new(part.start, part.end)
    }

    /// The cells outside the box, beyond its face, edge or corner in `direction` and within `widths` of it: the halo
    /// twin of [`region`](Self::region).
    ///
    /// # Panics
    /// If a direction is not −1, 0 or 1.
    pub fn outer_region(&self, direction: [i8; D], widths: [[usize; 2]; D]) -> Self {
        if self.is_empty() {
            return *self;
        }
        let mut part = *self;
        for a in 0..D {
            match direction[a] {
                -1 => (part.start[a], part.end[a]) = (below(self.start[a], widths[a][0]), self.start[a]),
                0 => {}
                1 => (part.start[a], part.end[a]) = (self.end[a], above(self.end[a], widths[a][1])),
                other => panic!("direction {other} along axis {a}: directions are -1, 0 and 1"),
            }
        }
        Self::new(part.start, part.end)
    }

    /// The box cut into `parts[a]` balanced parts along every axis `a` (sizes differ by at most one, larger ones first),
    /// in C order of the parts. Parts are empty where an axis has fewer cells than parts.
    ///
    /// # Panics
    /// If some `parts[a]` is 0.
    pub fn split(&self, parts: [usize; D]) -> impl Iterator<Item = Self> + use<D> {
        assert!(
            parts.iter().all(|&n| n > 0),
            "a box cannot be cut into {parts:?} parts: give at least 1 along each axis"
        );
        let whole = *self;
        let shape = self.shape();
        IndexSpace::from_shape(parts).iter().map(move |part| {
            let mut block = whole;
            for a in 0..D {
                let range = balanced(shape[a], parts[a], part[a] as usize);
                block.start[a] = above(whole.start[a], range.start);
                block.end[a] = above(whole.start[a], range.end);
            }
            Self::new(block.start, block.end)
        })
    }

    /// The position of `index` among the cells in memory order.
    ///
    /// # Panics
    /// If `index` is not in the box, or more cells come before it than a `usize` counts.
    #[inline]
    pub fn linear(&self, index: [i64; D]) -> usize {
        if !self.contains(index) {
            not_inside(&index, self);
        }
        let shape = self.shape();
        (0..D).fold(0usize, |at, a| {
            let next = at.checked_mul(shape[a]);
            let next = next.and_then(|next| next.checked_add(index[a].wrapping_sub(self.start[a]) as usize));
            next.unwrap_or_else(|| not_counted(&index, self))
        })
    }

    /// The index of the cell at position `linear` in memory order.
    ///
    /// # Panics
    /// If there are no more than `linear` cells.
    pub fn index(&self, linear: usize) -> [i64; D] {
        assert!(
            self.checked_len().is_none_or(|len| linear < len),
            "cell {linear} is not in {self}, which has {} cells",
            self.len()
        );
        let shape = self.shape();
        let mut rest = linear;
        let mut index = self.start;
        for a in (0..D).rev() {
            index[a] = self.start[a].wrapping_add_unsigned((rest % shape[a]) as u64);
            rest /= shape[a];
        }
        index
    }

    /// Every index, in memory order.
    pub fn iter(&self) -> Indices<D> {
        Indices { space: *self, next: self.start, left: self.len() }
    }

    /// Every row: its first index and its length, in memory order. A row is what varies along the last axis only.
    pub fn rows(&self) -> Rows<D> {
        let mut firsts = *self;
        if !self.is_empty() {
            firsts.end[D - 1] = firsts.start[D - 1] + 1;
        }
        Rows { firsts: firsts.iter(), len: self.shape()[D - 1] }
    }

    /// The directions to neighbouring boxes, in C order: `2 D` faces, or all `3^D - 1` with edges and corners.
    pub fn directions(edges_and_corners: bool) -> impl Iterator<Item = [i8; D]> {
        IndexSpace::new([-1; D], [2; D]).iter().map(|direction| direction.map(|d| d as i8)).filter(move |direction| {
            match direction.iter().filter(|&&d| d != 0).count() {
                0 => false,
                1 => true,
                _ => edges_and_corners,
            }
        })
    }
}

impl<const D: usize> Default for IndexSpace<D> {
    /// The empty box.
    fn default() -> Self {
        Self::empty()
    }
}

impl<const D: usize> From<[Range<i64>; D]> for IndexSpace<D> {
    fn from(axes: [Range<i64>; D]) -> Self {
        Self::new(axes.each_ref().map(|axis| axis.start), axes.each_ref().map(|axis| axis.end))
    }
}

impl<const D: usize> fmt::Display for IndexSpace<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("empty");
        }
        let axes: Vec<_> = (0..D).map(|a| format!("{}..{}", self.start[a], self.end[a])).collect();
        f.pad(&format!("[{})", axes.join(", ")))
    }
}

impl<const D: usize> fmt::Debug for IndexSpace<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const D: usize> IntoIterator for IndexSpace<D> {
    type Item = [i64; D];
    type IntoIter = Indices<D>;

    fn into_iter(self) -> Indices<D> {
        self.iter()
    }
}

impl<const D: usize> IntoIterator for &IndexSpace<D> {
    type Item = [i64; D];
    type IntoIter = Indices<D>;

    fn into_iter(self) -> Indices<D> {
        self.iter()
    }
}

/// The indices of a box in memory order; made by [`IndexSpace::iter`].
#[derive(Debug, Clone)]
pub struct Indices<const D: usize> {
    space: IndexSpace<D>,
    next: [i64; D],
    left: usize,
}

impl<const D: usize> Iterator for Indices<D> {
    type Item = [i64; D];

    #[inline]
    fn next(&mut self) -> Option<[i64; D]> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let index = self.next;
        for a in (0..D).rev() {
            // An index of the box is below its end, so one more is still an i64.
            self.next[a] += 1;
            if self.next[a] < self.space.end[a] {
                break;
            }
            self.next[a] = self.space.start[a];
        }
        Some(index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<const D: usize> ExactSizeIterator for Indices<D> {}
impl<const D: usize> FusedIterator for Indices<D> {}

/// The rows of a box, as first index and length, in memory order; made by [`IndexSpace::rows`].
#[derive(Debug, Clone)]
pub struct Rows<const D: usize> {
    firsts: Indices<D>,
    len: usize,
}

impl<const D: usize> Iterator for Rows<D> {
    type Item = ([i64; D], usize);

    #[inline]
    fn next(&mut self) -> Option<([i64; D], usize)> {
        self.firsts.next().map(|first| (first, self.len))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.firsts.size_hint()
    }
}

impl<const D: usize> ExactSizeIterator for Rows<D> {}
impl<const D: usize> FusedIterator for Rows<D> {}

/// Positions of part `part` of `parts` balanced parts of `n` cells: the first `n % parts` parts have one cell more.
pub(crate) fn balanced(n: usize, parts: usize, part: usize) -> Range<usize> {
    let (each, more) = (n / parts, n % parts);
    let start = part * each + part.min(more);
    start..start + each + usize::from(part < more)
}

fn add(index: i64, by: i64) -> i64 {
    index.checked_add(by).unwrap_or_else(|| outside())
}

fn above(index: i64, by: usize) -> i64 {
    index.checked_add_unsigned(by as u64).unwrap_or_else(|| outside())
}

fn below(index: i64, by: usize) -> i64 {
    index.checked_sub_unsigned(by as u64).unwrap_or_else(|| outside())
}

#[cold]
fn outside() -> ! {
    panic!("a global index is outside the 64-bit signed integers")
}

#[cold]
#[inline(never)]
fn not_counted<const D: usize>(index: &[i64; D], space: &IndexSpace<D>) -> ! {
    panic!("more cells come before {index:?} in {space} than a usize counts")
}

#[cold]
#[inline(never)]
pub(crate) fn not_inside<const D: usize>(index: &[i64; D], space: &IndexSpace<D>) -> ! {
    panic!("index {index:?} is not in {space}")
}
