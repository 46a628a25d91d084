//! Where the cases get their shapes, distributions and values from: [`Draw`], the same on every rank.

use parhelion_comm::Communicator;

use crate::array::{Decomposition, Distribution, IndexSpace};

/// A source of choices. Small words make simple choices, so that a property test that shrinks words shrinks cases.
pub(super) struct Draw {
    words: std::vec::IntoIter<u64>,
    // What comes after the words: splitmix64, or zeros.
    state: Option<u64>,
}

impl Draw {
    /// Pseudo-random choices, the same for the same seed.
    pub(super) fn seeded(seed: u64) -> Self {
        Draw { words: Vec::new().into_iter(), state: Some(seed) }
    }

    /// The choices of a list, then the simplest ones.
    #[cfg(test)]
    pub(super) fn listed(words: Vec<u64>) -> Self {
        Draw { words: words.into_iter(), state: None }
    }

    pub(super) fn word(&mut self) -> u64 {
        match (self.words.next(), &mut self.state) {
            (Some(word), _) => word,
            (None, Some(state)) => {
                *state = state.wrapping_add(1);
                super::model::mix(*state)
            }
            (None, None) => 0,
        }
    }

    /// A number in `0..n`; 0 where there is none.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let word = self.word();
        if n == 0 { 0 } else { (word % n as u64) as usize }
    }

    /// True one time in `n`.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) + 1 == n
    }

    /// A shape of a few hundred cells at most; some of its axes may have none.
    pub(super) fn shape<const D: usize>(&mut self) -> [usize; D] {
        let longest = [40, 14, 8, 5][D - 1];
        std::array::from_fn(|_| self.below(longest + 1))
    }

    /// A box inside `space`, often all of it, sometimes empty.
    pub(super) fn region<const D: usize>(&mut self, space: IndexSpace<D>) -> IndexSpace<D> {
        if self.once_in(4) {
            return space;
        }
        let (shape, start) = (space.shape(), space.start());
        let axes = std::array::from_fn(|a| {
            let (low, high) = (self.below(shape[a] + 1), self.below(shape[a] + 1));
            start[a] + low.min(high) as i64..start[a] + low.max(high) as i64
        });
        IndexSpace::from(axes)
    }

    /// `shape` cut over the ranks in any way there is, with halos where an axis can have one. Equal shapes start at the same
    /// index, as a rule not 0.
    pub(super) fn decomposition<const D: usize>(
        &mut self,
        communicator: &Communicator,
        shape: [usize; D],
    ) -> parhelion_comm::Result<Decomposition<D>> {
        let mut grid = [1; D];
        let (mut rest, mut factor) = (communicator.size(), 2);
        while rest > 1 {
            while rest.is_multiple_of(factor) {
                grid[self.below(D)] *= factor;
                rest /= factor;
            }
            factor += 1;
        }
        let origin: [i64; D] = std::array::from_fn(|a| 3 * a as i64 - shape[a] as i64 / 2);
        let rules: [Distribution; D] = std::array::from_fn(|a| self.rule(origin[a], shape[a], grid[a]));
        let widths = std::array::from_fn(|a| match rules[a].is_contiguous() && self.once_in(2) {
            true => [self.below(3), self.below(3)],
            false => [0, 0],
        });
        let built = Decomposition::new(shape, communicator)?.origin(origin);
        let built = built.grid(grid).distribution(rules).halo_widths(widths);
        built.check()?;
        Ok(built)
    }

    fn rule(&mut self, first: i64, n: usize, parts: usize) -> Distribution {
        match self.below(8) {
            0 | 1 => Distribution::Block,
            2 => Distribution::Cyclic,
            3 | 4 => Distribution::BlockCyclic(1 + self.below(n + 2)),
            5 => {
                let mut cuts: Vec<i64> = (1..parts).map(|_| first + self.below(n + 1) as i64).collect();
                cuts.extend([first, first + n as i64]);
                cuts.sort_unstable();
                Distribution::Explicit(cuts)
            }
            6 => {
                let mut weights: Vec<f64> = (0..parts).map(|_| self.below(4) as f64).collect();
                weights[self.below(parts)] += 1.0;
                Distribution::Weighted(weights)
            }
            _ => Distribution::Replicated,
        }
    }
}
