//! From entries in any order, on any rank, to compressed rows on their owners.

use std::collections::BTreeMap;
use std::ops::Range;

use parhelion_comm::{Error, ErrorKind, Result};

use crate::array::Number;
use crate::array::number::Accumulator;
use crate::halo::Rounds;
use crate::index::Descriptor;

/// Entries as they were given, those of a row that come together under one heading.
pub(super) struct Entries<T> {
    /// Global row, and how many of the entries are its.
    rows: Vec<(u64, usize)>,
    columns: Vec<u64>,
    values: Vec<T>,
}

/// Compressed rows: within a row columns ascend by global index, and each comes once.
#[derive(Clone)]
pub struct Rows<C, T> {
    /// Where each row begins, and the end.
    pub(super) starts: Vec<usize>,
    pub(super) columns: Vec<C>,
    pub(super) values: Vec<T>,
}

impl<T> FromIterator<(u64, u64, T)> for Entries<T> {
    fn from_iter<I: IntoIterator<Item = (u64, u64, T)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let least = entries.size_hint().0;
        let (columns, values) = (Vec::with_capacity(least), Vec::with_capacity(least));
        let mut all = Entries { rows: Vec::new(), columns, values };
        for (row, column, value) in entries {
            match all.rows.last_mut() {
                Some((last, count)) if *last == row => *count += 1,
                _ => all.rows.push((row, 1)),
            }
            all.columns.push(column);
            all.values.push(value);
        }
        all
    }
}

impl<T: Number> Entries<T> {
    /// The rows for which `here` does not hold, ascending, each once.
    pub(super) fn rows_without(&self, here: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut rows: Vec<u64> = self.rows.iter().map(|&(row, _)| row).filter(|&row| !here(row)).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Each heading with the places of its entries.
    fn stretches(&self) -> impl Iterator<Item = (u64, Range<usize>)> + '_ {
        let mut at = 0;
        self.rows.iter().map(move |&(row, count)| {
            at += count;
            (row, at - count..at)
        })
    }

    /// Sends the entries of the rows for which `owner` names a rank there, keeps the others, and adds what came, by rank.
    /// Collective.
    pub(super) fn deliver(self, rounds: &mut Rounds, owner: impl Fn(u64) -> Option<usize>) -> Result<Self> {
        let words = size_of::<T>().div_ceil(8);
        let mut letters: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        let mut kept = Entries { rows: Vec::new(), columns: Vec::new(), values: Vec::new() };
        for (row, range) in self.stretches() {
            let Some(owner) = owner(row) else {
                kept.rows.push((row, range.len()));
                kept.columns.extend_from_slice(&self.columns[range.clone()]);
                kept.values.extend_from_slice(&self.values[range]);
                continue;
            };
            let letter = letters.entry(owner).or_default();
            letter.extend([row as i64, range.len() as i64]);
            letter.extend(self.columns[range.clone()].iter().map(|&column| column as i64));
            for value in &self.values[range] {
                letter.extend(bytemuck::bytes_of(value).chunks(8).map(|bytes| {
                    let mut word = [0; 8];
                    word[..bytes.len()].copy_from_slice(bytes);
                    i64::from_ne_bytes(word)
                }));
            }
        }
        for (_, letter) in rounds.exchange(letters.into_iter().collect())? {
            let mut rest = &letter[..];
            while let [row, count, tail @ ..] = rest {
                let count = *count as usize;
                let (columns, tail) = tail.split_at(count);
                let (values, tail) = tail.split_at(count * words);
                rest = tail;
                kept.rows.push((*row as u64, count));
                kept.columns.extend(columns.iter().map(|&column| column as u64));
                kept.values.extend(values.chunks_exact(words).map(|words| {
                    let mut value = T::zeroed();
                    let bytes = bytemuck::bytes_of_mut(&mut value).chunks_mut(8).zip(words);
                    bytes.for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_ne_bytes()[..bytes.len()]));
                    value
                }));
            }
        }
        Ok(kept)
    }

    /// Brings them in order and adds those at one place, in the order they have. `local` knows every row.
    pub(super) fn compress(self, rows: usize, local: impl Fn(u64) -> Option<usize>) -> Rows<u64, T> {
        let local = |row: u64| local(row).expect("entries were delivered to the owners of their rows");
        let places: Vec<usize> = self.rows.iter().map(|&(row, _)| local(row)).collect();
        let mut starts = vec![0; rows + 1];
        for (&place, &(_, count)) in places.iter().zip(&self.rows) {
            starts[place + 1] += count;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let ascends = |range: Range<usize>| self.columns[range].is_sorted_by(|a, b| a < b);
        if places.is_sorted_by(|a, b| a < b) && self.stretches().all(|(_, range)| ascends(range)) {
            return Rows { starts, columns: self.columns, values: self.values };
        }
        let mut next = starts.clone();
        let mut unsorted = vec![(0u64, T::zeroed()); self.columns.len()];
        for (&place, (_, range)) in places.iter().zip(self.stretches()) {
            let to = &mut unsorted[next[place]..next[place] + range.len()];
            next[place] += range.len();
            let entries = self.columns[range.clone()].iter().zip(&self.values[range]);
            to.iter_mut().zip(entries).for_each(|(to, (&column, &value))| *to = (column, value));
        }
        let mut all = Rows { starts: vec![0], columns: self.columns, values: self.values };
        all.columns.clear();
        all.values.clear();
        for bounds in starts.windows(2) {
            let row = &mut unsorted[bounds[0]..bounds[1]];
            // Stable: entries at one place keep their order.
            row.sort_by_key(|&(column, _)| column);
            for same in row.chunk_by(|a, b| a.0 == b.0) {
                all.columns.push(same[0].0);
                all.values.push(match same {
                    [(_, value)] => *value,
                    _ => T::narrow(same.iter().fold(T::Wide::ZERO, |sum, (_, value)| sum.plus(value.widen()))),
                });
            }
            all.starts.push(all.columns.len());
        }
        all
    }
}

impl<C, T> Rows<C, T> {
    /// The places of a row's entries.
    #[inline]
    pub(super) fn range(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// Each row and its columns.
    pub(super) fn each_row(&self) -> impl Iterator<Item = (usize, &[C])> {
        self.starts.windows(2).map(|bounds| &self.columns[bounds[0]..bounds[1]]).enumerate()
    }
}

impl<T> Rows<u64, T> {
    /// With local columns, of which there are fewer than 2^32.
    ///
    /// # Errors
    /// A column that is not here.
    pub(super) fn numbered(self, descriptor: &Descriptor) -> Result<Rows<u32, T>> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (row, globals) in self.each_row() {
            for &global in globals {
                let Some(local) = descriptor.local(global) else {
                    let (rank, row) = (descriptor.rank(), descriptor.global(row).unwrap_or_default());
                    let text = format!("column {global} of row {row} is not among the indices of rank {rank}");
                    return Err(Error::new("assemble", ErrorKind::InvalidArgument(text)));
                };
                columns.push(local as u32);
            }
        }
        Ok(Rows { starts: self.starts, columns, values: self.values })
    }
}
