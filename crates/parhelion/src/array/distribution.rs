//! Which coordinate of the process grid owns which indices of one axis: [`Distribution`] is the rule, [`AxisMap`] the
//! rule applied to a number of indices and of parts.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::index_space::balanced;

/// The rule from an index along one axis to a coordinate of the process grid along that axis (its *part*).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Distribution {
    /// One block per part; sizes differ by at most one, larger ones first.
    #[default]
    Block,
    /// Index `i`, counted from the first, belongs to part `i mod parts`.
    Cyclic,
    /// Blocks of this many indices are dealt out in turn: index `i`, counted from the first, belongs to part
    /// `(i / b) mod parts`.
    BlockCyclic(usize),
    /// One block per part, between given boundaries: part `p` owns `boundaries[p]..boundaries[p + 1]`. There is one
    /// boundary more than parts; the first is the first index, the last the one after the last; blocks may be empty.
    Explicit(Vec<i64>),
    /// One block per part, of sizes in proportion to the parts' weights; there is one weight per part.
    Weighted(Vec<f64>),
    /// Every part holds all indices. Where a process grid is chosen, such an axis is not cut at all.
    Replicated,
}

impl Distribution {
    /// Whether every part owns one block, as halos need.
    pub fn is_contiguous(&self) -> bool {
        !matches!(self, Distribution::Cyclic | Distribution::BlockCyclic(_))
    }

    /// The number of parts where the rule itself fixes it.
    pub(crate) fn parts(&self) -> Option<usize> {
        match self {
            Distribution::Explicit(boundaries) => Some(boundaries.len().saturating_sub(1)),
            Distribution::Weighted(weights) => Some(weights.len()),
            _ => None,
        }
    }

    /// What is wrong with the rule for an axis of these indices, whatever the number of parts.
    pub(crate) fn check(&self, indices: Range<i64>) -> Result<(), String> {
        match self {
            Distribution::BlockCyclic(0) => Err("has blocks of 0 indices; give at least 1".into()),
            Distribution::Explicit(boundaries) => {
                let (first, last) = (boundaries.first(), boundaries.last());
                if boundaries.len() < 2 || first != Some(&indices.start) || last != Some(&indices.end) {
                    let given = format!("{} boundaries from {first:?} to {last:?}", boundaries.len());
                    let Range { start, end } = indices;
                    return Err(format!("has {given}; give one more than parts, from {start} to {end}"));
                }
                match boundaries.windows(2).position(|pair| pair[1] < pair[0]) {
                    Some(p) => Err(format!("has boundary {} after {}", boundaries[p + 1], boundaries[p])),
                    None => Ok(()),
                }
            }
            Distribution::Weighted(weights) => {
                if let Some(w) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
                    return Err(format!("has weight {w}; weights are finite and not negative"));
                }
                let total: f64 = weights.iter().sum();
                if total > 0.0 && total.is_finite() {
                    Ok(())
                } else {
                    Err(format!("has weights of sum {total}; the sum must be positive and finite"))
                }
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Block => f.pad("block"),
            Distribution::Cyclic => f.pad("cyclic"),
            Distribution::BlockCyclic(block) => f.pad(&format!("block-cyclic({block})")),
            Distribution::Explicit(_) => f.pad("explicit"),
            Distribution::Weighted(_) => f.pad("weighted"),
            Distribution::Replicated => f.pad("replicated"),
        }
    }
}

/// The indices of one axis and the parts that own them: from global to local positions and back.
///
/// The *local position* of an index is its place among the indices of its part, in increasing order. Every query costs
/// a few operations, for explicit and weighted blocks the logarithm of the number of parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AxisMap {
    start: i64,
    len: usize,
    parts: usize,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Rule {
    Block,
    BlockCyclic(usize),
    /// One boundary more than parts, in global indices.
    Explicit(Arc<[i64]>),
    Replicated,
}

/// Consecutive global indices that one part holds at consecutive local positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AxisRun {
    /// The first global index.
    pub global: i64,
    /// Its local position.
    pub local: usize,
    /// How many indices there are.
    pub len: usize,
}

impl AxisMap {
    /// The map of a rule that was checked for these indices and fits `parts` parts.
    pub(crate) fn new(distribution: &Distribution, indices: Range<i64>, parts: usize) -> Self {
        let (start, len) = (indices.start, (indices.end - indices.start) as usize);
        debug_assert!(parts > 0 && distribution.parts().is_none_or(|n| n == parts));
        let rule = match distribution {
            Distribution::Block => Rule::Block,
            Distribution::Cyclic => Rule::BlockCyclic(1),
            // Blocks longer than the axis deal out the same, and products with them do not overflow.
            Distribution::BlockCyclic(block) => Rule::BlockCyclic((*block).min(len.max(1))),
            Distribution::Explicit(boundaries) => Rule::Explicit(boundaries.as_slice().into()),
            Distribution::Weighted(weights) => {
                Rule::Explicit(weighted(weights, len).into_iter().map(|boundary| start + boundary).collect())
            }
            Distribution::Replicated => Rule::Replicated,
        };
        AxisMap { start, len, parts, rule }
    }

    /// The indices of the axis.
    pub fn indices(&self) -> Range<i64> {
        self.start..self.start + self.len as i64
    }

    /// How many indices the axis has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the axis has no indices.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many parts there are: the extent of the process grid along the axis.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Whether every part owns one block.
    pub fn is_contiguous(&self) -> bool {
        !matches!(self.rule, Rule::BlockCyclic(_))
    }

    /// Whether every part holds all indices.
    pub fn is_replicated(&self) -> bool {
        self.rule == Rule::Replicated
    }

    /// The part that owns an index: of a replicated axis, part 0.
    ///
    /// # Panics
    /// If the index is not on the axis.
    #[inline]
    pub fn owner(&self, index: i64) -> usize {
        let i = self.checked(index);
        match &self.rule {
            Rule::Block => {
                let (each, more) = (self.len / self.parts, self.len % self.parts);
                let larger = more * (each + 1);
                if i < larger { i / (each + 1) } else { more + (i - larger) / each }
            }
            Rule::BlockCyclic(block) => (i / block) % self.parts,
            Rule::Explicit(boundaries) => boundaries[1..].partition_point(|&end| end <= index),
            Rule::Replicated => 0,
        }
    }

    /// How many indices a part holds.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn count(&self, part: usize) -> usize {
        match &self.rule {
            Rule::BlockCyclic(block) => {
                self.check_part(part);
                let (whole, rest) = (self.len / block, self.len % block);
                let blocks = whole / self.parts + usize::from(part < whole % self.parts);
                blocks * block + if whole % self.parts == part { rest } else { 0 }
            }
            _ => {
                let range = self.range(part);
                (range.end - range.start) as usize
            }
        }
    }

    /// The most indices any part holds.
    pub(crate) fn largest(&self) -> usize {
        match &self.rule {
            Rule::Explicit(boundaries) => boundaries.windows(2).map(|b| (b[1] - b[0]) as usize).max().unwrap_or(0),
            _ => self.count(0),
        }
    }

    /// The block of a part.
    ///
    /// # Panics
    /// If there is no such part, or parts own no single block: see [`is_contiguous`](Self::is_contiguous).
    pub fn range(&self, part: usize) -> Range<i64> {
        self.check_part(part);
        match &self.rule {
            Rule::Block => {
                let range = balanced(self.len, self.parts, part);
                self.start + range.start as i64..self.start + range.end as i64
            }
            Rule::BlockCyclic(_) => panic!("a cyclic axis has no single block per part; use runs()"),
            Rule::Explicit(boundaries) => boundaries[part]..boundaries[part + 1],
            Rule::Replicated => self.indices(),
        }
    }

    /// The local position of an index at a part, or `None` where the part does not hold it.
    #[inline]
    pub fn to_local(&self, part: usize, index: i64) -> Option<usize> {
        self.check_part(part);
        if !self.indices().contains(&index) {
            return None;
        }
        match &self.rule {
            Rule::BlockCyclic(block) => {
                let i = (index - self.start) as usize;
                let dealt = i / block;
                (dealt % self.parts == part).then(|| dealt / self.parts * block + i % block)
            }
            _ => {
                let range = self.range(part);
                range.contains(&index).then(|| (index - range.start) as usize)
            }
        }
    }

    /// The index at a local position of a part.
    ///
    /// # Panics
    /// If the part holds no more than `local` indices.
    #[inline]
    pub fn to_global(&self, part: usize, local: usize) -> i64 {
        assert!(local < self.count(part), "part {part} holds {} indices, not number {local}", self.count(part));
        match &self.rule {
            Rule::BlockCyclic(block) => {
                self.start + ((local / block * self.parts + part) * block + local % block) as i64
            }
            _ => self.range(part).start + local as i64,
        }
    }

    /// What a part holds of the indices `within`, as runs in increasing order, none of them empty.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn runs(&self, part: usize, within: Range<i64>) -> impl Iterator<Item = AxisRun> + use<> {
        self.check_part(part);
        // Counted from the first index of the axis.
        let (origin, Range { start, end }) = (self.start, self.indices());
        let within = within.start.clamp(start, end) - origin..within.end.clamp(start, end) - origin;
        // A rule of one block is dealt out once, with nothing to come after it.
        let (first, size, stride) = match &self.rule {
            Rule::BlockCyclic(block) => {
                // `parts` blocks can be more than a usize counts: then no part has a second one.
                let stride =
                    block.checked_mul(self.parts).filter(|&stride| stride < self.len).map(|stride| stride as i64);
                let first = part.checked_mul(*block).map_or(self.len, |first| first.min(self.len)) as i64;
                (first, *block as i64, stride)
            }
            _ => {
                let range = self.range(part);
                (range.start - origin, range.end - range.start, None)
            }
        };
        let len = self.len as i64;
        let skip = stride.map_or(0, |stride| (within.start - first - size).div_euclid(stride).saturating_add(1).max(0));
        let mut next = Some((first + skip * stride.unwrap_or(0), skip as usize * size as usize));
        std::iter::from_fn(move || {
            while let Some((start, local)) = next {
                if start >= within.end {
                    return None;
                }
                next = stride.and_then(|stride| Some((start.checked_add(stride)?, local + size as usize)));
                let (low, high) = (start.max(within.start), start.saturating_add(size).min(len).min(within.end));
                if low < high {
                    return Some(AxisRun {
                        global: origin + low,
                        local: local + (low - start) as usize,
                        len: (high - low) as usize,
                    });
                }
            }
            None
        })
    }

    /// The parts that own some of the indices `within`, in increasing order: of a replicated axis, part 0.
    ///
    /// Costs in proportion to the answer, and at most the number of parts between its first and last.
    pub fn owners(&self, within: Range<i64>) -> Vec<usize> {
        let Range { start, end } = self.indices();
        let within = within.start.max(start)..within.end.min(end);
        if within.is_empty() {
            return Vec::new();
        }
        let (first, last) = (self.owner(within.start), self.owner(within.end - 1));
        match &self.rule {
            Rule::BlockCyclic(block) => {
                let number = |index: i64| (index - start) as usize / block;
                let blocks = number(within.end - 1) - number(within.start) + 1;
                if blocks >= self.parts {
                    (0..self.parts).collect()
                } else if first <= last {
                    (first..=last).collect()
                } else {
                    (0..=last).chain(first..self.parts).collect()
                }
            }
            _ => (first..=last).filter(|&part| self.count(part) > 0).collect(),
        }
    }

    #[inline]
    fn checked(&self, index: i64) -> usize {
        let indices = self.indices();
        assert!(indices.contains(&index), "index {index} is not on an axis of indices {indices:?}");
        (index - self.start) as usize
    }

    #[inline]
    fn check_part(&self, part: usize) {
        assert!(part < self.parts, "part {part} of an axis of {} parts", self.parts);
    }
}

/// Boundaries of blocks in proportion to weights: each the rounded share of all weights before it, so that no size is
/// off by one index or more and all ranks find the same.
fn weighted(weights: &[f64], len: usize) -> Vec<i64> {
    let total: f64 = weights.iter().sum();
    let mut before = 0.0;
    let mut boundaries = vec![0];
    for weight in weights {
        before += weight;
        boundaries.push(((len as f64 * (before / total)).round() as i64).min(len as i64));
    }
    // Beyond 2^53 an f64 does not count every index: the last ones go to the last part with a weight.
    let last = weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
    boundaries[last + 1..].fill(len as i64);
    boundaries
}
