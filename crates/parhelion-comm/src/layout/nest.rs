//! Two regular layouts as one nest of loops.

use super::{Axis, Layout};

/// One loop: `count` steps, with the distances on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Level {
    pub(super) count: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Runs of `run` elements on both sides, and the loops around them, the fastest first.
#[derive(Debug)]
pub(super) struct Nest {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) run: usize,
    levels: [Level; MAX_LEVELS],
    depth: usize,
}

/// Each level uses up an axis of one side at least; either has four, counting its run.
const MAX_LEVELS: usize = 8;

impl Nest {
    /// The nest that goes through two layouts of equal length, if both are regular and their axes divide each other.
    #[inline]
    pub(super) fn new(from: &Layout, to: &Layout) -> Option<Nest> {
        let (mut a, mut b) = (Axes::new(from)?, Axes::new(to)?);
        let mut nest = Nest {
            from: a.start,
            to: b.start,
            run: 1,
            levels: [Level { count: 1, from: 0, to: 0 }; MAX_LEVELS],
            depth: 0,
        };
        loop {
            let (x, y) = match (a.current(), b.current()) {
                (Some(x), Some(y)) => (x, y),
                (None, None) => return Some(nest),
                _ => return None,
            };
            let (small, large) = (x.count.min(y.count), x.count.max(y.count));
            if small != large && large % small != 0 {
                return None;
            }
            if nest.depth == 0 && nest.run == 1 && x.stride == 1 && y.stride == 1 {
                nest.run = small;
            } else {
                nest.levels[nest.depth] = Level { count: small, from: x.stride, to: y.stride };
                nest.depth += 1;
            }
            a.take(small);
            b.take(small);
        }
    }

    /// The loops, the fastest first.
    #[inline]
    pub(super) fn levels(&self) -> &[Level] {
        &self.levels[..self.depth]
    }
}

/// What is left of one side's axes, the fastest first.
struct Axes {
    start: usize,
    axes: [Axis; 4],
    at: usize,
}

impl Axes {
    #[inline]
    fn new(layout: &Layout) -> Option<Axes> {
        match layout {
            Layout::Contiguous { start, len } => Some(Axes {
                start: *start,
                axes: [Axis { count: *len, stride: 1 }, Axis::UNUSED, Axis::UNUSED, Axis::UNUSED],
                at: 0,
            }),
            Layout::Strided(s) => Some(Axes {
                start: s.start,
                axes: [Axis { count: s.run, stride: 1 }, s.axes[2], s.axes[1], s.axes[0]],
                at: 0,
            }),
            Layout::Runs(_) => None,
        }
    }

    /// The fastest axis with more than one step left.
    #[inline]
    fn current(&mut self) -> Option<Axis> {
        while self.at < 4 && self.axes[self.at].count == 1 {
            self.at += 1;
        }
        self.axes.get(self.at).copied()
    }

    /// Uses `count` steps of the current axis for a level.
    #[inline]
    fn take(&mut self, count: usize) {
        let axis = &mut self.axes[self.at];
        if axis.count == count {
            axis.count = 1;
        } else {
            axis.count /= count;
            axis.stride *= count;
        }
    }
}
