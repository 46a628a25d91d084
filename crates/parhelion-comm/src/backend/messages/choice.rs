//! Which algorithm carries out a collective by messages: [`CHOICES`], which [`choose`] reads and which can be printed.

use std::fmt;

use crate::backend::CollectiveKind as Kind;

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// Everybody sends everybody what it needs, at once.
    Direct,
    /// In ⌈log₂ P⌉ rounds to ranks ever further away (Hensgen et al. 1988).
    Dissemination,
    /// Along a binomial tree, for a result at all ranks up and down.
    Binomial,
    /// From each rank to the next.
    Chain,
    /// Blocks go around in P - 1 steps between neighbours.
    Ring,
    /// ⌈log₂ P⌉ rounds, in which what is known doubles (Bruck et al. 1997).
    Bruck,
    /// ⌈log₂ P⌉ rounds of pairs that swap and combine whole vectors.
    RecursiveDoubling,
    /// The same with vectors that are halved, and then gathered by pairs (Rabenseifner 2004).
    Rabenseifner,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Algorithm::Direct => "direct",
            Algorithm::Dissemination => "dissemination",
            Algorithm::Binomial => "binomial tree",
            Algorithm::Chain => "chain",
            Algorithm::Ring => "ring",
            Algorithm::Bruck => "Bruck",
            Algorithm::RecursiveDoubling => "recursive doubling",
            Algorithm::Rabenseifner => "Rabenseifner",
        })
    }
}

/// A line of the table: up to how many ranks, and bytes of one rank's part, an algorithm is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    kind: Kind,
    /// None: any number.
    pub ranks: Option<usize>,
    /// Of what one rank contributes; of varying counts the most. None: any number.
    pub bytes: Option<usize>,
    /// What is taken.
    pub algorithm: Algorithm,
}

impl Choice {
    /// The collective, as its method is named.
    pub fn collective(&self) -> &'static str {
        self.kind.name()
    }
}

const fn always(kind: Kind, algorithm: Algorithm) -> Choice {
    Choice { kind, ranks: None, bytes: None, algorithm }
}

/// The table. Of a collective's lines the first one that admits the ranks and the bytes counts.
///
/// Measured over tcp with 4 ranks on one loaded machine: up to some KiB the rounds count and algorithms hardly differ; of 8 MiB an
/// all-reduce by halves takes 0.7 of a tree's time and half of that with whole vectors, and an all-gather at once 0.8 of a ring's.
pub const CHOICES: &[Choice] = &[
    always(Kind::Barrier, Algorithm::Dissemination),
    always(Kind::Broadcast, Algorithm::Binomial),
    always(Kind::Gather, Algorithm::Direct),
    always(Kind::Scatter, Algorithm::Direct),
    Choice { bytes: Some(4 << 10), ..always(Kind::AllGather, Algorithm::Bruck) },
    Choice { ranks: Some(8), ..always(Kind::AllGather, Algorithm::Direct) },
    always(Kind::AllGather, Algorithm::Ring),
    always(Kind::AllToAll, Algorithm::Direct),
    always(Kind::Reduce, Algorithm::Binomial),
    Choice { bytes: Some(16 << 10), ..always(Kind::AllReduce, Algorithm::RecursiveDoubling) },
    always(Kind::AllReduce, Algorithm::Rabenseifner),
    always(Kind::ReduceScatter, Algorithm::Binomial),
    always(Kind::Scan, Algorithm::Chain),
    always(Kind::ExclusiveScan, Algorithm::Chain),
];

/// The algorithm for `bytes` of each of `ranks` ranks; all ranks come to the same.
pub(crate) fn choose(kind: Kind, ranks: usize, bytes: usize) -> Algorithm {
    let admits = |limit: Option<usize>, n: usize| limit.is_none_or(|limit| n <= limit);
    let mut lines = CHOICES.iter().filter(|choice| choice.kind == kind);
    let line = lines.find(|choice| admits(choice.ranks, ranks) && admits(choice.bytes, bytes));
    line.expect("every collective has a line without limits").algorithm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_collective_ends_with_a_line_without_limits() {
        use Kind::*;
        let all = [
            Barrier,
            Broadcast,
            Gather,
            Scatter,
            AllGather,
            AllToAll,
            Reduce,
            AllReduce,
            ReduceScatter,
            Scan,
            ExclusiveScan,
        ];
        for kind in all {
            let last = CHOICES.iter().rfind(|choice| choice.kind == kind).expect("a line");
            assert_eq!((last.ranks, last.bytes), (None, None), "{}", last.collective());
            assert_eq!(choose(kind, usize::MAX, usize::MAX), last.algorithm);
        }
    }

    #[test]
    fn the_first_line_that_admits_counts() {
        assert_eq!(choose(Kind::AllReduce, 4, 8), Algorithm::RecursiveDoubling);
        assert_eq!(choose(Kind::AllReduce, 4, 1 << 20), Algorithm::Rabenseifner);
        assert_eq!(choose(Kind::AllGather, 4, 8), Algorithm::Bruck);
        assert_eq!(choose(Kind::AllGather, 64, 1 << 20), Algorithm::Ring);
    }
}
