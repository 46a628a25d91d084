//! Making layouts: boxes of arrays, and the detection of runs and grids in lists.

use super::{Axis, Layout, Run, Runs, Strided};

/// [`Layout::subarray`].
pub(super) fn subarray(parent: &[usize], start: &[usize], shape: &[usize]) -> Layout {
    let dimensions = parent.len();
    assert!((1..=4).contains(&dimensions), "a subarray has 1 to 4 axes, not {dimensions}");
    assert!(
        start.len() == dimensions && shape.len() == dimensions,
        "parent {parent:?}, start {start:?} and shape {shape:?} have different numbers of axes"
    );
    let inside = (0..dimensions).all(|d| start[d].checked_add(shape[d]).is_some_and(|end| end <= parent[d]));
    assert!(inside, "the box of shape {shape:?} at {start:?} is not inside its parent of shape {parent:?}");
    if shape.contains(&0) {
        return Layout::EMPTY;
    }
    let (mut offset, mut stride) = (0usize, 1usize);
    let mut axes = Axes::default();
    for d in (0..dimensions).rev() {
        // The start is inside the parent, so it cannot overflow where the stride has not.
        offset += start[d] * stride;
        axes.push(Axis { count: shape[d], stride });
        stride = stride.checked_mul(parent[d]).expect("the number of elements of a subarray's parent fits usize");
    }
    axes.layout(offset)
}

/// Axes from the fastest on, joined where one continues the other. The first has the stride 1.
#[derive(Default)]
struct Axes {
    run: Option<usize>,
    outer: [Axis; 3],
    used: usize,
}

impl Default for Axis {
    fn default() -> Self {
        Axis::UNUSED
    }
}

impl Axes {
    fn push(&mut self, axis: Axis) {
        if axis.count == 1 {
            return;
        }
        let run = self.run.unwrap_or(1);
        match self.used.checked_sub(1) {
            None if axis.stride == run => self.run = Some(run * axis.count),
            Some(last) if axis.stride == self.outer[last].stride * self.outer[last].count => {
                self.outer[last].count *= axis.count;
            }
            _ => {
                self.outer[self.used] = axis;
                self.used += 1;
            }
        }
    }

    fn layout(mut self, start: usize) -> Layout {
        let run = self.run.unwrap_or(1);
        if self.used == 0 {
            return Layout::Contiguous { start, len: run };
        }
        self.outer.reverse();
        Layout::Strided(Strided { start, run, axes: self.outer })
    }
}

/// [`Layout::runs`].
pub(super) fn runs(given: impl Iterator<Item = (usize, usize)>) -> Layout {
    let mut runs: Vec<Run> = Vec::new();
    let (mut len, mut end) = (0usize, 0usize);
    for (start, count) in given.filter(|&(_, count)| count > 0) {
        let stop = start.checked_add(count).expect("the end of a run fits usize");
        len = len.checked_add(count).expect("the length of a layout fits usize");
        end = end.max(stop);
        match runs.last_mut() {
            Some(last) if last.start + last.len == start => last.len += count,
            _ => runs.push(Run { start, len: count }),
        }
    }
    match runs[..] {
        [] => Layout::EMPTY,
        [Run { start, len }] => Layout::Contiguous { start, len },
        _ => match grid(&runs) {
            Some(strided) => Layout::Strided(strided),
            None => Layout::Runs(Runs::new(runs.into(), len, end)),
        },
    }
}

/// The grid that at least two runs form, if they do.
fn grid(runs: &[Run]) -> Option<Strided> {
    let Run { start, len: run } = runs[0];
    if runs.iter().any(|r| r.len != run) {
        return None;
    }
    // `group` consecutive runs form one point of the next axis.
    let mut axes = [Axis::UNUSED; 3];
    let mut group = 1;
    for axis in axes.iter_mut().rev() {
        if group == runs.len() {
            break;
        }
        let points = || runs.iter().step_by(group).map(|r| r.start);
        let stride = points().nth(1)?.checked_sub(start).filter(|&s| s > 0)?;
        // Differences, since a product could pass usize::MAX.
        let count = 1 + points().zip(points().skip(1)).take_while(|&(a, b)| b.checked_sub(a) == Some(stride)).count();
        *axis = Axis { count, stride };
        // Every further group of this size must repeat the first one.
        let size = group * count;
        let repeats = runs.len().is_multiple_of(size)
            && (size..runs.len()).all(|i| {
                let (a, b) = (runs[i - i % size].start, runs[i % size].start - start);
                runs[i].start.checked_sub(a) == Some(b)
            });
        if !repeats {
            return None;
        }
        group = size;
    }
    (group == runs.len() && disjoint(run, &axes)).then_some(Strided { start, run, axes })
}

/// Whether no index occurs twice: each axis steps over all that the finer ones span.
fn disjoint(run: usize, axes: &[Axis; 3]) -> bool {
    let mut by_stride = *axes;
    by_stride.sort_by_key(|a| a.stride);
    let mut span = run;
    by_stride.iter().filter(|a| a.count > 1).all(|a| {
        let apart = a.stride >= span;
        span += (a.count - 1) * a.stride;
        apart
    })
}
