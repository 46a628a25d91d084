//! Reverse Cuthill-McKee ordering (Cuthill and McKee 1969, reversed: George 1971), which draws the entries towards the
//! diagonal, so that blocks of consecutive rows have few columns in common with far blocks.
//!
//! Each connected component is numbered breadth first, neighbours by ascending degree, from a pseudo-peripheral start
//! (George and Liu 1979); the whole numbering is then reversed. Ties go to the smaller row, so the result is a function
//! of the pattern alone.

use std::borrow::Cow;
use std::ops::Range;

use super::csr::Csr;

/// The ordering: entry `new` is the row that comes at place `new`.
pub(crate) fn reverse_cuthill_mckee(matrix: &Csr) -> Vec<u32> {
    let graph = Graph::of(matrix);
    let rows = matrix.rows();
    let mut by_degree: Vec<u32> = (0..rows).collect();
    by_degree.sort_by_key(|&row| graph.degree(row));

    let mut order: Vec<u32> = Vec::with_capacity(rows as usize);
    let mut done = vec![false; rows as usize];
    let mut search = Search { seen: vec![0; rows as usize], stamp: 0, queue: Vec::new() };
    let mut children = Vec::new();
    for &seed in &by_degree {
        if done[seed as usize] {
            continue;
        }
        let start = pseudo_peripheral(&graph, &mut search, seed);
        let mut next = order.len();
        order.push(start);
        done[start as usize] = true;
        while let Some(&row) = order.get(next) {
            next += 1;
            children.clear();
            children.extend(graph.neighbours(row).iter().filter(|&&other| !done[other as usize]));
            children.sort_unstable_by_key(|&other| (graph.degree(other), other));
            for &child in &children {
                done[child as usize] = true;
            }
            order.extend_from_slice(&children);
        }
    }
    order.reverse();
    order
}

/// The pattern of A + Aᵀ.
struct Graph<'a> {
    starts: Cow<'a, [usize]>,
    neighbours: Cow<'a, [u32]>,
}

impl<'a> Graph<'a> {
    fn of(matrix: &'a Csr) -> Self {
        let rows = matrix.rows();
        let symmetric =
            (0..rows).all(|row| matrix.row(row).iter().all(|&column| matrix.row(column).binary_search(&row).is_ok()));
        if symmetric {
            return Self { starts: Cow::Borrowed(&matrix.starts), neighbours: Cow::Borrowed(&matrix.columns) };
        }
        let mut edges: Vec<(u32, u32)> = (0..rows)
            .flat_map(|row| matrix.row(row).iter().flat_map(move |&column| [(row, column), (column, row)]))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut starts = vec![0; rows as usize + 1];
        for &(row, _) in &edges {
            starts[row as usize + 1] += 1;
        }
        for row in 0..rows as usize {
            starts[row + 1] += starts[row];
        }
        let neighbours = edges.into_iter().map(|(_, column)| column).collect();
        Self { starts: Cow::Owned(starts), neighbours: Cow::Owned(neighbours) }
    }

    /// The neighbours of a row; the row itself is among them, as its diagonal is stored.
    fn neighbours(&self, row: u32) -> &[u32] {
        &self.neighbours[self.starts[row as usize]..self.starts[row as usize + 1]]
    }

    fn degree(&self, row: u32) -> usize {
        self.neighbours(row).len()
    }
}

/// A breadth-first search whose memory is used again.
struct Search {
    seen: Vec<u32>,
    stamp: u32,
    queue: Vec<u32>,
}

impl Search {
    /// Searches from `root`; gives the number of levels and where in `queue` the last one lies.
    fn run(&mut self, graph: &Graph<'_>, root: u32) -> (usize, Range<usize>) {
        self.stamp += 1;
        self.queue.clear();
        self.queue.push(root);
        self.seen[root as usize] = self.stamp;
        let (mut levels, mut level) = (0, 0..1);
        loop {
            levels += 1;
            for place in level.clone() {
                for &other in graph.neighbours(self.queue[place]) {
                    if self.seen[other as usize] != self.stamp {
                        self.seen[other as usize] = self.stamp;
                        self.queue.push(other);
                    }
                }
            }
            if self.queue.len() == level.end {
                return (levels, level);
            }
            level = level.end..self.queue.len();
        }
    }
}

/// A row from which the search in its component is deep: goes to a row of least degree in the last level as long as that
/// makes the search deeper.
fn pseudo_peripheral(graph: &Graph<'_>, search: &mut Search, seed: u32) -> u32 {
    let mut root = seed;
    let (mut levels, mut last) = search.run(graph, root);
    loop {
        let farthest = search.queue[last].iter().copied().min_by_key(|&row| (graph.degree(row), row));
        let candidate = farthest.expect("a level is never empty");
        let (deeper, its_last) = search.run(graph, candidate);
        if deeper <= levels {
            return root;
        }
        (root, levels, last) = (candidate, deeper, its_last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matrix::market::{Coordinate, Entry};
    use crate::matrix::poisson::Poisson;

    fn bandwidth(matrix: &Csr) -> u32 {
        (0..matrix.rows()).flat_map(|row| matrix.row(row).iter().map(move |&c| c.abs_diff(row))).max().unwrap_or(0)
    }

    fn with_edges(rows: u32, edges: &[(u32, u32)]) -> Csr {
        let diagonal = (0..rows).map(|row| (row, row));
        let entries = diagonal.chain(edges.iter().copied());
        let entries = entries.map(|(row, column)| Entry { row, column, value: 1.0 }).collect();
        Csr::assemble(&Coordinate { rows, columns: rows, entries, size_line: 2 }).unwrap()
    }

    #[test]
    fn a_shuffled_path_becomes_tridiagonal() {
        let place = [5, 0, 3, 1, 4, 2];
        let edges: Vec<_> = place.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let path = with_edges(6, &edges);
        assert!(bandwidth(&path) > 1);
        assert_eq!(bandwidth(&path.permuted(&reverse_cuthill_mckee(&path))), 1);
    }

    #[test]
    fn a_shuffled_grid_gets_a_narrow_band() {
        let grid = Poisson::new(6).unwrap().assemble(0..216);
        let shuffle: Vec<u32> = (0..216).map(|row| row * 95 % 216).collect();
        let shuffled = grid.permuted(&shuffle);
        let ordered = shuffled.permuted(&reverse_cuthill_mckee(&shuffled));
        assert!(bandwidth(&ordered) <= 36 && bandwidth(&shuffled) > 100, "{}", bandwidth(&ordered));
    }

    proptest! {
        #[test]
        fn any_pattern_gives_a_permutation(
            rows in 1u32..40,
            edges in proptest::collection::vec((0u32..40, 0u32..40), 0..80),
        ) {
            let edges: Vec<_> = edges.into_iter().filter(|&(a, b)| a < rows && b < rows).collect();
            let matrix = with_edges(rows, &edges);
            let order = reverse_cuthill_mckee(&matrix);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..rows).collect::<Vec<_>>());
            prop_assert_eq!(order, reverse_cuthill_mckee(&matrix));
        }
    }
}
