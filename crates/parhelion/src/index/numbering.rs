//! [`Owned`]: the global indices a rank owns, in the order of its local numbering.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use parhelion_comm::{Error, ErrorKind, Result};

use crate::halo::mix;

/// Where an index lies, by global index.
pub(super) type Places = HashMap<u64, usize, BuildHasherDefault<MixHasher>>;

/// Hashes one word. Global indices come in regular patterns, which the mixing breaks up.
#[derive(Default)]
pub(super) struct MixHasher(u64);

impl Hasher for MixHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The owned indices in local order.
#[derive(Debug)]
pub(super) enum Owned {
    /// Consecutive ones, ascending, as blocks of rows are: found by arithmetic.
    Range { start: u64, len: usize },
    /// Any, each once.
    List { globals: Vec<u64>, places: Places },
}

/// Consecutive global indices with consecutive local ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) global: u64,
    pub(super) len: u64,
    pub(super) local: u64,
}

impl Owned {
    /// `globals` in their order.
    ///
    /// # Errors
    /// An index that comes twice, or 2^64 - 1, which leaves no room for the number of all.
    pub(super) fn new(globals: Vec<u64>) -> Result<Self> {
        let invalid = |text: String| Err(Error::new("descriptor", ErrorKind::InvalidArgument(text)));
        if globals.contains(&u64::MAX) {
            return invalid(format!("global index {} is too large; the largest is 2^64 - 2", u64::MAX));
        }
        if globals.windows(2).all(|w| w[1] == w[0].wrapping_add(1)) {
            return Ok(Owned::Range { start: globals.first().copied().unwrap_or(0), len: globals.len() });
        }
        let mut places = Places::with_capacity_and_hasher(globals.len(), BuildHasherDefault::default());
        for (local, &global) in globals.iter().enumerate() {
            if let Some(first) = places.insert(global, local) {
                return invalid(format!(
                    "global index {global} is in the list of owned indices twice, at {first} and {local}"
                ));
            }
        }
        Ok(Owned::List { globals, places })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Owned::Range { len, .. } => *len,
            Owned::List { globals, .. } => globals.len(),
        }
    }

    #[inline]
    pub(super) fn local(&self, global: u64) -> Option<usize> {
        match self {
            Owned::Range { start, len } => {
                let local = global.wrapping_sub(*start);
                (local < *len as u64).then_some(local as usize)
            }
            Owned::List { places, .. } => places.get(&global).copied(),
        }
    }

    /// The global index of a local one below [`Owned::len`].
    #[inline]
    pub(super) fn global(&self, local: usize) -> u64 {
        match self {
            Owned::Range { start, .. } => start + local as u64,
            Owned::List { globals, .. } => globals[local],
        }
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        (0..self.len()).map(|local| self.global(local))
    }

    /// One more than the largest; 0 for none.
    pub(super) fn end(&self) -> u64 {
        match self {
            Owned::Range { len: 0, .. } => 0,
            Owned::Range { start, len } => start + *len as u64,
            Owned::List { globals, .. } => globals.iter().max().map_or(0, |g| g + 1),
        }
    }

    /// All, as few runs as there are, in local order.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        if let Owned::Range { start, len } = *self {
            let run = Run { global: start, len: len as u64, local: 0 };
            return if len > 0 { vec![run] } else { runs };
        }
        for (local, global) in self.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if run.global + run.len == global => run.len += 1,
                _ => runs.push(Run { global, len: 1, local: local as u64 }),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_number_alike() {
        for globals in [vec![], vec![7], vec![3, 4, 5], vec![5, 4, 3], vec![9, 2, 3, 4, 8, 0], vec![u64::MAX - 1, 0]] {
            let owned = Owned::new(globals.clone()).unwrap();
            assert_eq!(owned.iter().collect::<Vec<_>>(), globals);
            for (local, &global) in globals.iter().enumerate() {
                assert_eq!((owned.local(global), owned.global(local)), (Some(local), global));
            }
            assert_eq!((owned.local(1), owned.local(u64::MAX)), (None, None));
            assert_eq!(owned.end(), globals.iter().max().map_or(0, |g| g + 1));
            let again: Vec<u64> = owned.runs().iter().flat_map(|r| r.global..r.global + r.len).collect();
            assert_eq!(again, globals);
        }
    }

    #[test]
    fn an_index_given_twice_is_refused_by_name() {
        let error = Owned::new(vec![4, 9, 4]).unwrap_err().to_string();
        assert!(error.contains("global index 4") && error.contains("0 and 2"), "{error}");
        assert!(Owned::new(vec![u64::MAX]).is_err());
    }
}
