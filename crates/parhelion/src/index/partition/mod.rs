//! [`Partition`]: which of so many parts each index is in, for a descriptor's ownership.

mod bisection;
mod graph;
#[cfg(feature = "metis")]
mod metis;

use std::fmt;

use parhelion_comm::{Communicator, Error, ErrorKind, Result};

pub use graph::Graph;

use crate::halo::mix;

/// A part number for each of the indices from 0 on: a value that every rank holds whole, to be given to
/// [`Builder::owners`](super::Builder::owners) with as many parts as there are ranks.
///
/// From elsewhere ([`from_text`](Self::from_text)), by number ([`slab`](Self::slab), [`random`](Self::random)), by position
/// ([`by_coordinates`](Self::by_coordinates)) or, with the cargo feature `metis`, by a graph (`by_graph`). What each is worth:
/// [`edge_cut`](Self::edge_cut) and [`imbalance`](Self::imbalance). Everything but [`broadcast`](Self::broadcast) is local,
/// and gives the same on every rank that gives it the same.
///
/// ```
/// use parhelion::index::{Graph, Partition};
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     // A square of 6 x 6 points, halved again and again across its longer side.
///     let points: Vec<[f64; 2]> = (0..36).map(|i| [(i / 6) as f64, (i % 6) as f64]).collect();
///     let right = (0..36).filter(|i| i % 6 < 5).map(|i| (i, i + 1));
///     let edges: Vec<(u64, u64)> = right.chain((0..30).map(|i| (i, i + 6))).collect();
///     let partition = Partition::by_coordinates(world.size(), &points, None)?;
///     let cut = partition.edge_cut(&Graph::from_edges(36, edges.iter().copied())?);
///     assert!(cut <= Partition::random(36, world.size(), 1).edge_cut(&Graph::from_edges(36, edges.iter().copied())?));
///
///     let both = edges.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
///     let index = Descriptor::builder(&world).owners(partition.as_slice()).edges(both).assemble()?;
///     let cut_everywhere: u64 = index.statistics_of_all()?.iter().map(|s| s.cut_edges).sum();
///     assert_eq!(cut_everywhere, 2 * cut); // each edge once from each side
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    parts: usize,
    owners: Vec<usize>,
}

fn invalid(text: String) -> Error {
    Error::new("partition", ErrorKind::InvalidArgument(text))
}

impl Partition {
    /// The part of each index.
    ///
    /// # Errors
    /// A part that is not below `parts`.
    pub fn new(parts: usize, owners: Vec<usize>) -> Result<Self> {
        match owners.iter().position(|&part| part >= parts) {
            Some(i) => Err(invalid(format!("index {i} is in part {}; there are {parts} parts, from 0", owners[i]))),
            None => Ok(Partition { parts, owners }),
        }
    }

    /// What partitioners write to files: the part of index 0, of index 1, ... one number a line. Empty lines, and lines that
    /// begin with `#` or `%`, are left out.
    ///
    /// # Errors
    /// A line that is not one number below `parts`, with the number of the line.
    ///
    /// ```
    /// use parhelion::index::Partition;
    ///
    /// assert_eq!(Partition::from_text(2, "0\n1\n1\n")?.as_slice(), [0, 1, 1]);
    /// let error = Partition::from_text(2, "0\n\n2\n").unwrap_err().to_string();
    /// assert!(error.contains("line 3") && error.contains('2'));
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    pub fn from_text(parts: usize, text: &str) -> Result<Self> {
        let mut owners = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '%']) {
                continue;
            }
            match line.parse() {
                Ok(part) if part < parts => owners.push(part),
                Ok(part) => {
                    let index = owners.len();
                    return Err(invalid(format!(
                        "line {number}: index {index} is in part {part}; there are {parts} parts, from 0"
                    )));
                }
                Err(_) => {
                    let shown: String = line.chars().take(40).collect();
                    return Err(invalid(format!("line {number}: {shown:?} is not a part number; give one a line")));
                }
            }
        }
        Ok(Partition { parts, owners })
    }

    /// Consecutive indices, `total` of them in parts whose sizes differ by one at most: of a grid in C order, slabs across its
    /// first axis.
    ///
    /// # Panics
    /// Without parts, unless there are no indices either.
    pub fn slab(total: usize, parts: usize) -> Self {
        assert!(parts > 0 || total == 0, "{total} indices in no parts");
        let part = |i: usize| (i as u128 * parts as u128 / total as u128) as usize;
        Partition { parts, owners: (0..total).map(part).collect() }
    }

    /// Each of `total` indices in a part drawn from a hash of it and of `seed`: the worst there is, for tests and measurements.
    ///
    /// # Panics
    /// Without parts, unless there are no indices either.
    pub fn random(total: usize, parts: usize, seed: u64) -> Self {
        assert!(parts > 0 || total == 0, "{total} indices in no parts");
        let start = mix(seed);
        let part = |i: u64| ((u128::from(mix(start ^ mix(i))) * parts as u128) >> 64) as usize;
        Partition { parts, owners: (0..total as u64).map(part).collect() }
    }

    /// The partition that `root` has, on every rank; the other ranks pass `None`. Collective: a broadcast.
    ///
    /// # Errors
    /// A root that passes nothing; an invalid root; a lost peer, a timeout, a deadlock.
    pub fn broadcast(communicator: &Communicator, partition: Option<&Partition>, root: usize) -> Result<Partition> {
        let here = partition.filter(|_| communicator.rank() == root);
        let words = here.map(|p| std::iter::once(&p.parts).chain(&p.owners).map(|&n| n as u64).collect());
        let words = communicator.broadcast_vec::<u64>(words, root)?;
        let (parts, owners) = words.split_first().expect("the number of parts goes first");
        Ok(Partition { parts: *parts as usize, owners: owners.iter().map(|&part| part as usize).collect() })
    }

    /// The number of parts.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// The number of indices.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there are no indices.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The part of each index.
    pub fn as_slice(&self) -> &[usize] {
        &self.owners
    }

    /// How many indices each part has.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.parts];
        self.owners.iter().for_each(|&part| sizes[part] += 1);
        sizes
    }

    /// The largest part over the mean of all: 1 where all are equal, the number of parts where one has everything. Without
    /// indices 1.
    pub fn imbalance(&self) -> f64 {
        let most = self.sizes().into_iter().max().unwrap_or(0);
        if most == 0 { 1.0 } else { most as f64 * self.parts as f64 / self.len() as f64 }
    }

    /// [`imbalance`](Self::imbalance) where each index has a weight.
    ///
    /// # Errors
    /// Not one weight for each index; a weight that is negative or not a number.
    pub fn weighted_imbalance(&self, weights: &[f64]) -> Result<f64> {
        check_weights(self.len(), weights)?;
        let mut sums = vec![0.0f64; self.parts];
        self.owners.iter().zip(weights).for_each(|(&part, weight)| sums[part] += weight);
        let (most, all) = (sums.iter().copied().fold(0.0, f64::max), sums.iter().sum::<f64>());
        Ok(if most > 0.0 { most * self.parts as f64 / all } else { 1.0 })
    }

    /// The sum of the weights of the graph's edges between different parts: of edges without weights, their number. A sum
    /// beyond 2^64 - 1 is given as that.
    ///
    /// # Panics
    /// The graph does not have a vertex for each index.
    pub fn edge_cut(&self, graph: &Graph) -> u64 {
        assert_eq!(graph.len(), self.len(), "the graph's vertices are not the partition's indices");
        let mut cut = 0u64;
        for vertex in 0..graph.len() {
            let neighbours = graph.neighbours(vertex).iter().enumerate();
            let away = neighbours.filter(|&(_, &other)| other > vertex && self.owners[other] != self.owners[vertex]);
            let weights = away.map(|(i, _)| graph.edge_weights(vertex).map_or(1, |weights| weights[i]));
            cut = weights.fold(cut, u64::saturating_add);
        }
        cut
    }
}

fn check_weights(len: usize, weights: &[f64]) -> Result<()> {
    if weights.len() != len {
        return Err(invalid(format!("{} weights for {len} indices", weights.len())));
    }
    match weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
        Some(i) => Err(invalid(format!("the weight of index {i} is {}; give finite ones, not below 0", weights[i]))),
        None => Ok(()),
    }
}

/// `3 parts of 100 indices, imbalance 1.020`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parts of {} indices, imbalance {:.3}", self.parts, self.len(), self.imbalance())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_a_partition_that_is_none(
            parts in 0usize..5,
            text in prop_oneof!["([0-6]|[ \t#%x-]|\r?\n){0,40}", any::<String>()],
        ) {
            let Ok(partition) = Partition::from_text(parts, &text) else { return Ok(()) };
            prop_assert!(partition.len() <= text.lines().count());
            prop_assert!(partition.as_slice().iter().all(|&part| part < parts));
            let again: String = partition.as_slice().iter().map(|part| format!("{part}\n")).collect();
            prop_assert_eq!(Partition::from_text(parts, &again).unwrap(), partition);
        }
    }

    #[test]
    fn slabs_ascend_and_differ_by_one_at_most() {
        for (total, parts) in [(0, 0), (0, 3), (1, 1), (2, 7), (10, 3), (4096, 7)] {
            let partition = Partition::slab(total, parts);
            assert!(partition.as_slice().is_sorted());
            let sizes = partition.sizes();
            let (least, most) = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
            assert!(most - least <= 1 && sizes.iter().sum::<usize>() == total, "{sizes:?}");
        }
    }

    #[test]
    fn random_parts_are_about_equal_and_depend_on_the_seed_alone() {
        let partition = Partition::random(10_000, 7, 3);
        assert_eq!(partition, Partition::random(10_000, 7, 3));
        assert_ne!(partition, Partition::random(10_000, 7, 4));
        assert!(partition.imbalance() < 1.1, "{partition}");
        let repeated = partition.as_slice().windows(2).filter(|w| w[0] == w[1]).count();
        assert!((1200..1700).contains(&repeated), "{repeated} neighbours of 10000 in one part, not a seventh");
    }

    #[test]
    fn imbalance_is_the_largest_over_the_mean() {
        let partition = Partition::new(4, vec![0, 0, 0, 1]).unwrap();
        assert_eq!((partition.imbalance(), partition.sizes()), (3.0, vec![3, 1, 0, 0]));
        assert_eq!(partition.weighted_imbalance(&[0.5, 0.25, 0.25, 1.0]).unwrap(), 2.0);
        assert_eq!(partition.weighted_imbalance(&[0.0; 4]).unwrap(), 1.0);
        for weights in [&[1.0; 3][..], &[1.0, 1.0, -1.0, 1.0], &[1.0, f64::NAN, 1.0, 1.0]] {
            assert!(partition.weighted_imbalance(weights).is_err());
        }
        assert_eq!(Partition::new(3, vec![]).unwrap().imbalance(), 1.0);
    }

    #[test]
    fn a_part_beyond_the_last_is_refused_by_name() {
        let error = Partition::new(2, vec![0, 1, 2]).unwrap_err().to_string();
        assert!(error.contains("index 2") && error.contains("part 2"), "{error}");
    }

    #[test]
    fn a_cut_of_weights_that_no_number_holds_is_the_largest_number() {
        let graph = Graph::from_metis("3 2 1\n2 18446744073709551615\n1 18446744073709551615 3 1\n2 1\n").unwrap();
        let cut = |owners| Partition::new(3, owners).unwrap().edge_cut(&graph);
        assert_eq!([cut(vec![0, 1, 1]), cut(vec![0, 0, 1]), cut(vec![0, 1, 2])], [u64::MAX, 1, u64::MAX]);
    }

    #[test]
    fn text_may_have_comments_and_says_where_it_is_wrong() {
        let text = "# from elsewhere\n 1\n\n% more\r\n0 \r\n2";
        assert_eq!(Partition::from_text(3, text).unwrap().as_slice(), [1, 0, 2]);
        for (text, words) in [("0\n-1\n", "line 2"), ("0 1\n", "line 1"), ("\n0\n3", "line 3"), ("x", "\"x\"")] {
            let error = Partition::from_text(3, text).unwrap_err().to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert!(Partition::from_text(3, "").unwrap().is_empty());
    }
}
