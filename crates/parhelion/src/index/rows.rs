//! [`fetch`]: the rows of indices that other ranks own.

use std::collections::BTreeMap;

use parhelion_comm::Result;

use super::Descriptor;
use super::connect::pairs;
use crate::halo::Rounds;

/// Where the value of an index is: the lowest rank that owns it, and its local index there.
pub(super) type Source = (usize, usize);

/// One edge of a row that was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) global: u64,
    pub(super) source: Source,
}

/// Rows in the order in which they were asked for.
pub(super) struct Rows {
    starts: Vec<usize>,
    columns: Vec<Column>,
}

impl Rows {
    pub(super) fn row(&self, i: usize) -> &[Column] {
        &self.columns[self.starts[i]..self.starts[i + 1]]
    }

    /// All edges, by row.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }
}

impl Descriptor {
    /// The source of each local index.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<Source> = (0..self.len()).map(|local| (self.rank(), local)).collect();
        let plans = [Some(self.plan()), self.overlap_plan()];
        for transfer in plans.into_iter().flatten().flat_map(|plan| plan.recvs()) {
            for (here, there) in pairs(transfer) {
                sources[here] = (transfer.peer, there);
            }
        }
        sources
    }
}

/// The rows of `wanted`, sources in ascending order, from the adjacency that `descriptor` has there. Collective: two sparse
/// exchanges, with messages to the owners only. `sources` are those of the descriptor.
pub(super) fn fetch(
    rounds: &mut Rounds,
    descriptor: &Descriptor,
    sources: &[Source],
    wanted: &[Source],
) -> Result<Rows> {
    let mut letters: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    for &(owner, there) in wanted {
        letters.entry(owner).or_default().push(there as i64);
    }
    let asked = rounds.exchange(letters.into_iter().collect())?;
    let adjacency = descriptor.adjacency();
    let answer = |questions: &[i64]| {
        let entries: usize = questions.iter().map(|&row| adjacency.row(row as usize).len()).sum();
        let mut words = Vec::with_capacity(questions.len() + 3 * entries);
        for &row in questions {
            let columns = adjacency.row(row as usize);
            words.push(columns.len() as i64);
            for column in columns {
                let global = descriptor.global(column).expect("columns are local indices");
                let (owner, there) = sources[column];
                words.extend([global as i64, owner as i64, there as i64]);
            }
        }
        words
    };
    let answers = asked.iter().map(|(peer, questions)| (*peer, answer(questions))).collect();
    // By ascending owner, as the questions were.
    let received = rounds.exchange(answers)?;
    let mut rows = Rows { starts: vec![0], columns: Vec::new() };
    for (_, mut words) in received.iter().map(|(peer, words)| (peer, &words[..])) {
        while let Some((&len, rest)) = words.split_first() {
            let (row, rest) = rest.split_at(3 * len as usize);
            let column = |w: &[i64]| Column { global: w[0] as u64, source: (w[1] as usize, w[2] as usize) };
            rows.columns.extend(row.chunks_exact(3).map(column));
            rows.starts.push(rows.columns.len());
            words = rest;
        }
    }
    Ok(rows)
}
