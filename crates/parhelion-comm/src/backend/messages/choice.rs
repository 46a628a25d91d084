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
    /// Blocks go around in P - 1 steps between neighbours, for a reduction twice: once to be combined, once to be known (Patarasuk
    /// and Yuan 2009).
    Ring,
    /// ⌈log₂ P⌉ rounds, in which what is known doubles, or what has far to go travels together (Bruck et al. 1997).
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
    /// Only for reductions that do not depend on the order of ranks, but for rounding: by a built-in operator, and of floating
    /// point not by those that look for the least or greatest, which a NaN or a zero's sign makes depend on it.
    pub any_order: bool,
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
    Choice { kind, ranks: None, bytes: None, any_order: false, algorithm }
}

/// The table. Of a collective's lines the first one that admits the ranks and the bytes counts.
///
/// Measured over tcp with 4 ranks on one loaded machine: up to some KiB the rounds count and algorithms hardly differ; of 8 MiB an
/// all-reduce by halves takes 0.7 of a tree's time and half of that with whole vectors, and an all-gather at once 0.8 of a ring's.
/// With 3 ranks, of which two pair up before they halve, an all-reduce around a ring takes 0.3 to 0.7 of the time of halves from
/// 4 MiB on; with 4 it takes twice as long. With 8 ranks and more on 2 cores, all-to-all at once and in rounds could not be told
/// apart: there the number of messages decides, P - 1 or ⌈log₂ P⌉, for as few bytes as cost less than a message.
pub const CHOICES: &[Choice] = &[
    always(Kind::Barrier, Algorithm::Dissemination),
    always(Kind::Broadcast, Algorithm::Binomial),
    always(Kind::Gather, Algorithm::Direct),
    always(Kind::Scatter, Algorithm::Direct),
    Choice { bytes: Some(4 << 10), ..always(Kind::AllGather, Algorithm::Bruck) },
    Choice { ranks: Some(8), ..always(Kind::AllGather, Algorithm::Direct) },
    always(Kind::AllGather, Algorithm::Ring),
    Choice { ranks: Some(8), ..always(Kind::AllToAll, Algorithm::Direct) },
    Choice { bytes: Some(4 << 10), ..always(Kind::AllToAll, Algorithm::Bruck) },
    always(Kind::AllToAll, Algorithm::Direct),
    always(Kind::Reduce, Algorithm::Binomial),
    Choice { bytes: Some(16 << 10), ..always(Kind::AllReduce, Algorithm::RecursiveDoubling) },
    Choice { bytes: Some(2 << 20), ..always(Kind::AllReduce, Algorithm::Rabenseifner) },
    Choice { ranks: Some(3), any_order: true, ..always(Kind::AllReduce, Algorithm::Ring) },
    always(Kind::AllReduce, Algorithm::Rabenseifner),
    always(Kind::ReduceScatter, Algorithm::Binomial),
    always(Kind::Scan, Algorithm::Chain),
    always(Kind::ExclusiveScan, Algorithm::Chain),
];

/// The algorithm for `bytes` of each of `ranks` ranks, and a reduction that may be in `any_order`; all ranks come to the same.
pub(crate) fn choose(kind: Kind, ranks: usize, bytes: usize, any_order: bool) -> Algorithm {
    let admits = |limit: Option<usize>, n: usize| limit.is_none_or(|limit| n <= limit);
    let mut lines = CHOICES.iter().filter(|choice| choice.kind == kind);
    let line = lines
        .find(|choice| admits(choice.ranks, ranks) && admits(choice.bytes, bytes) && (any_order || !choice.any_order));
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
            assert_eq!((last.ranks, last.bytes, last.any_order), (None, None, false), "{}", last.collective());
            assert_eq!(choose(kind, usize::MAX, usize::MAX, false), last.algorithm);
        }
    }

    #[test]
    fn the_first_line_that_admits_counts() {
        assert_eq!(choose(Kind::AllReduce, 4, 8, true), Algorithm::RecursiveDoubling);
        assert_eq!(choose(Kind::AllReduce, 4, 1 << 20, true), Algorithm::Rabenseifner);
        assert_eq!(choose(Kind::AllReduce, 3, 8 << 20, true), Algorithm::Ring);
        assert_eq!(choose(Kind::AllReduce, 3, 8 << 20, false), Algorithm::Rabenseifner);
        assert_eq!(choose(Kind::AllReduce, 4, 8 << 20, true), Algorithm::Rabenseifner);
        assert_eq!(choose(Kind::AllGather, 4, 8, false), Algorithm::Bruck);
        assert_eq!(choose(Kind::AllGather, 64, 1 << 20, false), Algorithm::Ring);
        assert_eq!(choose(Kind::AllToAll, 4, 8, false), Algorithm::Direct);
        assert_eq!(choose(Kind::AllToAll, 16, 1 << 10, false), Algorithm::Bruck);
        assert_eq!(choose(Kind::AllToAll, 16, 1 << 20, false), Algorithm::Direct);
    }
}
