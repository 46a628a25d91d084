//! Sorting across ranks: sample sort (Frazer, McKellar 1970; Shi, Schaeffer 1992 for the regular samples).
//!
//! The elements of all ranks, in rank order, are one sequence. Every rank sorts its part, stably; elements are then
//! ordered by (key, rank, position in the sorted part), which makes them all distinct: however many keys are equal,
//! *splitters* of this order cut the sequence where they should, and equal keys keep the order they came in.
//!
//! 1. Sort the local part. Regular samples of every part go to every rank.
//! 2. From them every rank picks the same splitters, so that rank `r` gets about as many elements as it shall have.
//! 3. Everything travels to its rank, and the sorted runs that arrive are merged.
//! 4. The caller moves the few elements that are one or more ranks off: samples hit the wanted sizes only roughly.

use std::cmp::Ordering;

use parhelion_comm::{Communicator, Element, Located, Result, bf16, f16};

use super::movement::{agree, rearranged};
use super::transfer::{Transfer, carry_out};
use super::{Decomposition, DistArray, Distribution};

/// Values with a total order: what [`DistArray::sort`](super::DistArray::sort) sorts.
///
/// Floats are ordered as by [`f64::total_cmp`]: −NaN, −∞, …, −0, +0, …, +∞, NaN.
pub trait TotalOrder: Element {
    /// How `self` compares to `other`.
    fn total_order(&self, other: &Self) -> Ordering;
}

macro_rules! total_order {
    ($compare:ident: $($t:ty),*) => {$(
        impl TotalOrder for $t {
            #[inline]
            fn total_order(&self, other: &Self) -> Ordering { self.$compare(other) }
        }
    )*};
}

total_order!(cmp: i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
total_order!(total_cmp: f16, bf16, f32, f64);

impl<T: Element> DistArray<T, 1> {
    /// Sorts the array in rising order; distribution and blocks stay what they are. Halo cells are left alone.
    ///
    /// Collective: an all-gather of samples, an all-to-all of counts and one of elements, an all-gather of counts, and
    /// messages between ranks that exchange what the samples missed. On a cyclic or block-cyclic axis the array goes to
    /// blocks first. Where checks are on, one reduction before. If it fails, the array is as it was.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock, ranks that disagree.
    pub fn sort(&mut self) -> Result<()>
    where
        T: TotalOrder,
    {
        self.sort_by(T::total_order)
    }

    /// [`sort`](Self::sort) by a comparison, which must be a total order; elements that compare equal stay in the order
    /// of their global indices.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let grid = Decomposition::new([10], &world)?;
    ///     let mut x = DistArray::from_fn(&grid, |[i]| 7 * i % 10)?;
    ///     x.sort_by(|a, b| b.cmp(a))?;
    ///     x.for_each(|[i], x| assert_eq!(x, 9 - i));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`sort`](Self::sort).
    ///
    /// # Panics
    /// May panic if `compare` is no total order, as the standard library's sort does.
    pub fn sort_by(&mut self, compare: impl Fn(&T, &T) -> Ordering) -> Result<()> {
        let grid = self.decomposition().clone();
        let communicator = grid.communicator();
        agree(communicator, "sort", (grid.fingerprint(), size_of::<T>()))?;
        let (axis, ranks) = (grid.axis(0), communicator.size());
        if axis.is_replicated() || ranks == 1 {
            let mut cells = self.to_vec();
            cells.sort_by(compare);
            let (place, _, memory) = self.split_mut();
            place.layout().unpack(&cells, memory);
            return Ok(());
        }
        let counts = |grid: &Decomposition<1>| (0..ranks).map(|rank| grid.local_len(rank)).collect::<Vec<_>>();
        let wanted = counts(&grid);
        let part = if axis.is_contiguous() {
            sample_sort(communicator, self.to_vec(), &wanted, &wanted, &compare)?
        } else {
            let blocks = rearranged(&grid, [Distribution::Block], [ranks])?;
            let cells = self.redistribute(&blocks)?.to_vec();
            sample_sort(communicator, cells, &counts(&blocks), &counts(&blocks), &compare)?
        };
        let sizes = communicator.all_gather(&[part.len()])?;
        let first = axis.indices().start;
        let mut boundaries = vec![first];
        boundaries.extend(sizes.iter().scan(first, |end, &size| {
            *end += size as i64;
            Some(*end)
        }));
        let sorted = rearranged(&grid, [Distribution::Explicit(boundaries)], [ranks])?;
        sorted.check()?;
        let transfer = Transfer::new(&sorted, &grid, grid.space(), communicator.rank());
        let mut cells = self.zeros_like();
        carry_out(&communicator.internal()?, &transfer, &part, cells.memory_mut())?;
        self.assign(&cells)
    }
}

/// Samples that each rank sends to every rank: with `s` samples per rank, no rank gets more than about `n / s` elements
/// too many, `n` being the whole.
fn samples_of(length: usize, ranks: usize) -> usize {
    length.min((4 * ranks).clamp(64, 1024))
}

/// Sorts the sequence that the ranks' `local` parts make in rank order, stably, and gives each rank a part of the result,
/// again in rank order: about `wanted[r]` elements for rank `r`. `lengths[r]` is the length of rank `r`'s part; both lists
/// are the same on every rank and have the same sum.
///
/// Collective: one all-gather of samples, one all-to-all of counts, one of elements.
pub(super) fn sample_sort<T: Element>(
    communicator: &Communicator,
    mut local: Vec<T>,
    lengths: &[usize],
    wanted: &[usize],
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Result<Vec<T>> {
    local.sort_by(compare);
    let (me, ranks) = (communicator.rank(), communicator.size());
    if ranks == 1 {
        return Ok(local);
    }
    let counts: Vec<usize> = lengths.iter().map(|&length| samples_of(length, ranks)).collect();
    let mine: Vec<Located<T>> = (0..counts[me])
        .map(|i| {
            let at = sample_position(i, lengths[me], counts[me]);
            Located::new(local[at], at as u64)
        })
        .collect();
    let mut samples = bytemuck::zeroed_vec(counts.iter().sum());
    communicator.all_gatherv_into(&mine, &mut samples, &counts)?;

    let splitters = splitters(&samples, &counts, lengths, wanted, compare);
    let mut begins = 0;
    let mut sizes: Vec<usize> = splitters
        .iter()
        .map(|splitter| {
            let end = splitter.as_ref().map_or(local.len(), |s| s.lower_bound(&local, me, compare)).max(begins);
            std::mem::replace(&mut begins, end).abs_diff(end)
        })
        .collect();
    sizes.push(local.len() - begins);
    let (mut part, _) = communicator.all_to_allv(&local, &sizes)?;
    // Runs in the order of their ranks: the standard library's stable sort finds them and merges.
    part.sort_by(compare);
    Ok(part)
}

/// Where sample `i` of `count` of a part of `length` elements lies in it.
fn sample_position(i: usize, length: usize, count: usize) -> usize {
    (i as u128 * length as u128 / count as u128) as usize
}

/// An element of the sequence, in the order (key, rank, position in the sorted part).
struct Splitter<T> {
    key: T,
    rank: usize,
    position: usize,
}

impl<T: Copy> Splitter<T> {
    /// How many elements of `part`, which is sorted and belongs to `rank`, come before the splitter.
    fn lower_bound(&self, part: &[T], rank: usize, compare: &impl Fn(&T, &T) -> Ordering) -> usize {
        match rank.cmp(&self.rank) {
            Ordering::Less => part.partition_point(|x| compare(x, &self.key).is_le()),
            Ordering::Equal => self.position,
            Ordering::Greater => part.partition_point(|x| compare(x, &self.key).is_lt()),
        }
    }
}

/// The first element that does not belong to rank `r` or below, for every rank `r` but the last; `None`: all belong there.
fn splitters<T: Copy + bytemuck::Pod>(
    samples: &[Located<T>],
    counts: &[usize],
    lengths: &[usize],
    wanted: &[usize],
    compare: &impl Fn(&T, &T) -> Ordering,
) -> Vec<Option<Splitter<T>>> {
    // A sample stands for the elements from itself up to the next one of its part.
    let mut all: Vec<(Splitter<T>, usize)> = Vec::with_capacity(samples.len());
    let mut rest = samples;
    for (rank, (&count, &length)) in counts.iter().zip(lengths).enumerate() {
        let (part, later) = rest.split_at(count);
        rest = later;
        all.extend(part.iter().enumerate().map(|(i, sample)| {
            let position = sample.index() as usize;
            let weight = sample_position(i + 1, length, count) - position;
            (Splitter { key: sample.value(), rank, position }, weight)
        }));
    }
    // Stable: samples come in the order of ranks and positions.
    all.sort_by(|(a, _), (b, _)| compare(&a.key, &b.key));
    let mut sorted = all.into_iter().peekable();
    let (mut below, mut target) = (0, 0);
    wanted[..wanted.len() - 1]
        .iter()
        .map(|&size| {
            target += size;
            while below < target {
                let Some((_, weight)) = sorted.next() else { break };
                below += weight;
            }
            sorted.peek().map(|(s, _)| Splitter { key: s.key, rank: s.rank, position: s.position })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parhelion_comm::{BackendKind, Config, Error};

    use super::*;

    #[test]
    fn samples_give_every_rank_about_what_it_shall_have() {
        const RANKS: usize = 5;
        let config = Config::default().backend(BackendKind::Local).ranks(RANKS).timeout(Duration::from_secs(60));
        let keys: [fn(usize) -> u32; 4] =
            [|_| 1, |i| i as u32, |i| (i as u32).wrapping_mul(2_654_435_761), |i| i as u32 % 3];
        let shares = [[4000; RANKS], [0, 12_000, 0, 7000, 1000], [20_000, 0, 0, 0, 0]];
        for (key, lengths) in keys.into_iter().flat_map(|key| shares.map(|lengths| (key, lengths))) {
            for wanted in shares {
                let parts = parhelion_comm::launch(&config, |world| {
                    let before: usize = lengths[..world.rank()].iter().sum();
                    let local = (before..before + lengths[world.rank()]).map(key).collect();
                    Ok::<_, Error>(sample_sort(&world, local, &lengths, &wanted, &u32::cmp)?.len())
                });
                let parts = parts.expect("it sorts");
                assert_eq!(parts.iter().sum::<usize>(), 20_000);
                // A boundary is off by less than what one sample of each rank stands for.
                let off = parts.iter().zip(wanted).map(|(&got, wanted)| got.abs_diff(wanted)).max();
                assert!(off <= Some(2 * 20_000 / 64), "{lengths:?} to {wanted:?}: {parts:?}");
            }
        }
    }
}
