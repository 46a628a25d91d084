//! [`Layout`]: where the elements of a message lie in a buffer.
//!
//! A layout is a value: a sequence of indices, kept as runs of consecutive ones. It knows no buffer, no element type and
//! no backend. [`copy`] moves elements from one layout to another, [`combine`] reduces into one.
//!
//! ```
//! use parhelion_comm::Layout;
//!
//! // The last column of a 3 x 4 array, and the middle two rows' worth of another.
//! let column = Layout::subarray(&[3, 4], &[0, 3], &[3, 1]);
//! assert_eq!(column.iter_runs().collect::<Vec<_>>(), [(3, 1), (7, 1), (11, 1)]);
//! assert_eq!(column, Layout::indices([3, 7, 11]));
//!
//! let array: Vec<i32> = (0..12).collect();
//! let mut message = [0; 3];
//! column.pack(&array, &mut message);
//! assert_eq!(message, [3, 7, 11]);
//! ```
//!
//! # Normal form
//!
//! Two layouts are equal exactly if they name the same indices in the same order, however they were made:
//!
//! 1. Runs are as long as they can be: no run begins where the one before it ends.
//! 2. One run is [`Contiguous`](Layout::Contiguous); none is `Contiguous` from 0.
//! 3. Runs of one length whose starts are a nest of at most three arithmetic progressions, in which no index occurs
//!    twice, are [`Strided`](Layout::Strided), with the fewest axes.
//! 4. Everything else is [`Runs`](Layout::Runs).

mod build;
mod combine;
mod copy;
mod kernel;
mod nest;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use combine::combine;
pub use copy::{PairShape, copy, copy_pair};

/// Where elements lie in a buffer. Units are elements; see the [module](self) for the normal form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `len` consecutive elements from `start`.
    Contiguous {
        /// The first index.
        start: usize,
        /// How many elements.
        len: usize,
    },
    /// Runs of one length at regular distances.
    Strided(Strided),
    /// Runs in any order: an index list after the detection of runs.
    Runs(Runs),
}

/// Runs of `run` elements on a grid of at most three axes, the slowest first. No index occurs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strided {
    start: usize,
    run: usize,
    axes: [Axis; 3],
}

/// One axis of a [`Strided`] layout: `count` steps of `stride` elements. An axis that is not used has the count 1 and
/// the stride 0; those come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// How many steps; at least 1.
    pub count: usize,
    /// The distance from one step to the next, in elements.
    pub stride: usize,
}

impl Axis {
    /// An axis that is not used.
    pub const UNUSED: Axis = Axis { count: 1, stride: 0 };
}

impl Strided {
    /// The first index.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The length of every run.
    pub fn run(&self) -> usize {
        self.run
    }

    /// The axes, the slowest first.
    pub fn axes(&self) -> &[Axis; 3] {
        &self.axes
    }

    fn count(&self) -> usize {
        self.axes.iter().map(|a| a.count).product()
    }
}

/// Runs in any order. Clones share them.
#[derive(Clone)]
pub struct Runs {
    runs: Arc<[Run]>,
    len: usize,
    end: usize,
    /// Every index, where runs are so short that a loop over indices copies them faster than one over runs.
    indices: Option<Arc<[u32]>>,
}

/// Consecutive elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first index.
    pub start: usize,
    /// How many; at least 1.
    pub len: usize,
}

impl Runs {
    /// Runs below this length, in the mean, are copied index by index.
    const SHORT: usize = 4;

    fn new(runs: Arc<[Run]>, len: usize, end: usize) -> Runs {
        let is_scattered = len / Self::SHORT < runs.len() && u32::try_from(end).is_ok();
        let all = || runs.iter().flat_map(|run| run.start as u32..(run.start + run.len) as u32);
        let indices = is_scattered.then(|| all().collect());
        Runs { runs, len, end, indices }
    }

    /// The runs, in order.
    pub fn as_slice(&self) -> &[Run] {
        &self.runs
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.runs == other.runs
    }
}

impl Eq for Runs {}

impl std::hash::Hash for Runs {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.runs.hash(state);
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.runs.iter()).finish()
    }
}

impl Layout {
    /// No elements.
    pub const EMPTY: Layout = Layout::Contiguous { start: 0, len: 0 };

    /// `len` consecutive elements from `start`.
    pub const fn contiguous(start: usize, len: usize) -> Layout {
        if len == 0 { Layout::EMPTY } else { Layout::Contiguous { start, len } }
    }

    /// The box of `shape` at `start` in a parent array of shape `parent`, both in C order (the last axis contiguous).
    ///
    /// # Panics
    /// The three do not have the same number of axes, from 1 to 4; the box is not inside its parent; the parent has more
    /// elements than `usize` counts.
    pub fn subarray(parent: &[usize], start: &[usize], shape: &[usize]) -> Layout {
        build::subarray(parent, start, shape)
    }

    /// The elements with these indices, in this order.
    pub fn indices(indices: impl IntoIterator<Item = usize>) -> Layout {
        Layout::runs(indices.into_iter().map(|index| (index, 1)))
    }

    /// Runs given as (start, length), in this order. Empty ones are left out, neighbouring ones joined.
    ///
    /// # Panics
    /// A run ends beyond `usize::MAX`.
    pub fn runs(runs: impl IntoIterator<Item = (usize, usize)>) -> Layout {
        build::runs(runs.into_iter())
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Layout::Contiguous { len, .. } => *len,
            Layout::Strided(s) => s.run * s.count(),
            Layout::Runs(r) => r.len,
        }
    }

    /// Whether it names no element.
    pub fn is_empty(&self) -> bool {
        matches!(self, Layout::Contiguous { len: 0, .. })
    }

    /// One past the largest index; 0 if empty. A buffer of this length holds the layout.
    pub fn end(&self) -> usize {
        match self {
            Layout::Contiguous { start, len } => start + len,
            Layout::Strided(s) => s.start + s.run + s.axes.iter().map(|a| (a.count - 1) * a.stride).sum::<usize>(),
            Layout::Runs(r) => r.end,
        }
    }

    /// The runs as (start, length), in order, each as long as it can be.
    pub fn iter_runs(&self) -> IterRuns<'_> {
        IterRuns(match self {
            Layout::Contiguous { start, len } => {
                Walk::Grid { at: *start, run: *len, axes: [Axis::UNUSED; 3], step: [0; 3], left: usize::from(*len > 0) }
            }
            Layout::Strided(s) => Walk::Grid { at: s.start, run: s.run, axes: s.axes, step: [0; 3], left: s.count() },
            Layout::Runs(r) => Walk::List(r.runs.iter()),
        })
    }

    /// The same elements in units of which each element has `bytes`: a layout of bytes, mostly.
    ///
    /// # Panics
    /// `bytes` is 0, or the layout's end passes `usize::MAX`.
    pub fn scaled(&self, bytes: usize) -> Layout {
        assert!(bytes > 0, "a layout cannot be scaled by 0");
        self.end().checked_mul(bytes).expect("the end of a scaled layout fits usize");
        match self {
            Layout::Contiguous { start, len } => Layout::Contiguous { start: start * bytes, len: len * bytes },
            Layout::Strided(s) => Layout::Strided(Strided {
                start: s.start * bytes,
                run: s.run * bytes,
                axes: s.axes.map(|a| Axis { count: a.count, stride: a.stride * bytes }),
            }),
            Layout::Runs(r) => {
                let runs = r.runs.iter().map(|run| Run { start: run.start * bytes, len: run.len * bytes });
                Layout::Runs(Runs::new(runs.collect(), r.len * bytes, r.end * bytes))
            }
        }
    }

    /// The same elements `by` further on.
    ///
    /// # Panics
    /// The layout's end passes `usize::MAX`.
    pub fn shifted(&self, by: usize) -> Layout {
        self.end().checked_add(by).expect("the end of a shifted layout fits usize");
        match self {
            Layout::Contiguous { start, len } => Layout::contiguous(start + by, *len),
            Layout::Strided(s) => Layout::Strided(Strided { start: s.start + by, ..*s }),
            Layout::Runs(r) => {
                let runs = r.runs.iter().map(|run| Run { start: run.start + by, len: run.len });
                Layout::Runs(Runs::new(runs.collect(), r.len, r.end + by))
            }
        }
    }

    /// Copies the layout's elements of `from` to `out`, one behind the other.
    ///
    /// # Panics
    /// `from` ends before the layout does; `out` does not have [`Layout::len`] elements.
    pub fn pack<T: bytemuck::Pod>(&self, from: &[T], out: &mut [T]) {
        self.check(from.len(), out.len());
        // SAFETY: both layouts lie inside their slices, as just checked, and the slices cannot overlap.
        unsafe {
            copy(
                from.as_ptr().cast(),
                self,
                out.as_mut_ptr().cast(),
                &Layout::contiguous(0, self.len()),
                size_of::<T>(),
            );
        }
    }

    /// Copies `from`, one element behind the other, to the layout's elements of `to`.
    ///
    /// # Panics
    /// `to` ends before the layout does; `from` does not have [`Layout::len`] elements.
    pub fn unpack<T: bytemuck::Pod>(&self, from: &[T], to: &mut [T]) {
        self.check(to.len(), from.len());
        // SAFETY: both layouts lie inside their slices, as just checked, and the slices cannot overlap.
        unsafe {
            copy(
                from.as_ptr().cast(),
                &Layout::contiguous(0, self.len()),
                to.as_mut_ptr().cast(),
                self,
                size_of::<T>(),
            );
        }
    }

    fn check(&self, buffer: usize, packed: usize) {
        assert!(self.end() <= buffer, "layout {self} ends beyond a buffer of {buffer} elements");
        assert!(self.len() == packed, "layout {self} has {} elements, not {packed}", self.len());
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layout::Contiguous { start, len } => write!(f, "{start}..{}", start + len),
            Layout::Strided(s) => {
                write!(f, "{} from {}", s.run, s.start)?;
                s.axes.iter().filter(|a| a.count > 1).try_for_each(|a| write!(f, ", {} by {}", a.count, a.stride))
            }
            Layout::Runs(r) => {
                write!(f, "{} elements in {} runs, {}..{}", r.len, r.runs.len(), r.lowest(), r.end)
            }
        }
    }
}

impl Runs {
    fn lowest(&self) -> usize {
        self.runs.iter().map(|run| run.start).min().unwrap_or(0)
    }
}

/// The runs of a layout; see [`Layout::iter_runs`].
#[derive(Debug, Clone)]
pub struct IterRuns<'a>(Walk<'a>);

#[derive(Debug, Clone)]
enum Walk<'a> {
    Grid { at: usize, run: usize, axes: [Axis; 3], step: [usize; 3], left: usize },
    List(std::slice::Iter<'a, Run>),
}

impl Iterator for IterRuns<'_> {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        match &mut self.0 {
            Walk::List(runs) => runs.next().map(|run| (run.start, run.len)),
            Walk::Grid { at, run, axes, step, left } => {
                *left = left.checked_sub(1)?;
                let here = *at;
                for axis in (0..3).rev() {
                    step[axis] += 1;
                    if step[axis] < axes[axis].count {
                        *at += axes[axis].stride;
                        break;
                    }
                    step[axis] = 0;
                    *at -= (axes[axis].count - 1) * axes[axis].stride;
                }
                Some((here, *run))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Walk::List(runs) => runs.len(),
            Walk::Grid { left, .. } => *left,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for IterRuns<'_> {}
