//! [`Cells`]: which cells a region of a plan holds, whatever the number of axes.

use std::fmt;

use parhelion_comm::Layout;

use crate::array::IndexSpace;

/// The cells of a region: a box of global indices of one to four axes, or a number of listed ones.
///
/// Plans carry it beside their layouts, which say where the cells lie but not which they are: to verify, to explain, to
/// draw, and to name a region in an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cells {
    /// A half-open box of global indices; only the first `axes` entries mean something, the others are 0.
    Space {
        /// The number of axes, 1 to 4.
        axes: u8,
        /// The first index of each axis.
        start: [i64; 4],
        /// One past the last index of each axis.
        end: [i64; 4],
    },
    /// This many indices of a list.
    List(usize),
}

impl Cells {
    /// How many cells.
    pub fn len(&self) -> usize {
        match self {
            Cells::Space { .. } => self.extents().product(),
            Cells::List(count) => *count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First index and one past the last of each axis; nothing for listed cells.
    pub fn ranges(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (axes, start, end) = match self {
            Cells::Space { axes, start, end } => (*axes as usize, start, end),
            Cells::List(_) => (0, &[0; 4], &[0; 4]),
        };
        (0..axes).map(|a| (start[a], end[a]))
    }

    /// The number of cells along each axis; nothing for listed cells.
    pub fn extents(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges().map(|(start, end)| (end - start) as usize)
    }

    /// The box moved by `shift`; listed cells stay what they are.
    #[must_use]
    pub fn translate(&self, shift: [i64; 4]) -> Self {
        match *self {
            Cells::Space { axes, mut start, mut end } => {
                for a in 0..axes as usize {
                    start[a] += shift[a];
                    end[a] += shift[a];
                }
                Cells::Space { axes, start, end }
            }
            Cells::List(count) => Cells::List(count),
        }
    }

    /// The smallest box around both; of lists, the longer.
    pub(crate) fn hull(&self, other: &Self) -> Self {
        match (*self, *other) {
            (Cells::Space { axes, start: s, end: e }, Cells::Space { start, end, .. }) => Cells::Space {
                axes,
                start: std::array::from_fn(|a| s[a].min(start[a])),
                end: std::array::from_fn(|a| e[a].max(end[a])),
            },
            _ => Cells::List(self.len().max(other.len())),
        }
    }

    /// Words in a message.
    pub(crate) const WORDS: usize = 9;

    pub(crate) fn write(&self, words: &mut Vec<i64>) {
        let (axes, start, end) = match *self {
            Cells::Space { axes, start, end } => (axes, start, end),
            Cells::List(count) => (0, [count as i64, 0, 0, 0], [0; 4]),
        };
        words.push(axes.into());
        words.extend(start);
        words.extend(end);
    }

    /// What [`write`](Self::write) wrote.
    pub(crate) fn read(words: &mut impl Iterator<Item = i64>) -> Self {
        let words: [i64; Self::WORDS] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let four = |i: usize| std::array::from_fn(|a| words[i + a]);
        match words[0] {
            0 => Cells::List(words[1] as usize),
            axes => Cells::Space { axes: axes as u8, start: four(1), end: four(5) },
        }
    }
}

impl<const D: usize> From<IndexSpace<D>> for Cells {
    fn from(space: IndexSpace<D>) -> Self {
        Cells::Space { axes: D as u8, start: widen(space.start()), end: widen(space.end()) }
    }
}

/// One number per axis, as [`Cells`] keeps them.
pub(crate) fn widen<const D: usize>(numbers: [i64; D]) -> [i64; 4] {
    std::array::from_fn(|a| numbers.get(a).copied().unwrap_or(0))
}

/// Where `region` lies in a buffer that holds `parent` in C order. The region is inside the parent.
pub(crate) fn layout_in<const D: usize>(parent: &IndexSpace<D>, region: &IndexSpace<D>) -> Layout {
    debug_assert!(parent.contains_space(region), "{region} is not inside {parent}");
    let offset: [usize; D] = std::array::from_fn(|a| (region.start()[a] - parent.start()[a]) as usize);
    Layout::subarray(&parent.shape(), &offset, &region.shape())
}

/// `[0..4, 2..8)`, or `12 listed cells`.
impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Cells::List(count) = self {
            return write!(f, "{count} listed cells");
        }
        f.write_str("[")?;
        for (i, (start, end)) in self.ranges().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{start}..{end}")?;
        }
        f.write_str(")")
    }
}
