//! [`Columns`]: the exchange of several vectors stored together, made of that of one.
//!
//! A plan speaks of the elements of one vector. Where a buffer holds several, its *columns*, every element of the plan
//! stands for one element of each column, and everything for a peer is still one message. What a rank's columns are apart
//! is its own affair, but where the peers' elements lie has to be known: each neighbour is told once.

use std::collections::BTreeMap;

use parhelion_comm::{Error, ErrorKind, Layout, Result};

use super::plan::{LocalCopy, Parts, Patch, Piece, Plan, Region, Transfer};
use super::rounds::Rounds;
use super::{BuildCost, Cells};

/// How the columns of a multivector are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// The elements of an index side by side: element (index, column) at `index * leading + column`.
    #[default]
    RowMajor,
    /// One column behind the other: element (index, column) at `column * leading + index`.
    ColumnMajor,
}

/// The distance between rows, or between columns.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leading {
    /// The least there can be.
    Tight,
    /// This one on this rank, and on the others what they gave in the same call; by the number of the call, the same on all
    /// ranks.
    Given { value: usize, number: usize },
}

/// Ranks may give different distances in one call: what tells kinds of columns apart must not differ from rank to rank.
impl PartialEq for Leading {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Leading::Tight, Leading::Tight) => true,
            (Leading::Given { number: a, .. }, Leading::Given { number: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// How many columns, and where they lie in a buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Columns {
    pub(crate) count: usize,
    pub(crate) order: Order,
    pub(crate) leading: Leading,
    /// In every buffer of a plan but the first, where these are not as the first.
    pub(crate) further: Option<Leading>,
}

impl Columns {
    /// Those in one buffer of a plan.
    fn of(&self, patch: usize) -> Columns {
        let leading = self.further.filter(|_| patch > 0).unwrap_or(self.leading);
        Columns { leading, further: None, ..*self }
    }

    /// What lies between two rows, or two columns, of a buffer with `len` elements in each column.
    pub(crate) fn leading_of(&self, len: usize) -> usize {
        match (self.leading, self.order) {
            (Leading::Given { value, .. }, _) => value,
            (Leading::Tight, Order::RowMajor) => self.count,
            (Leading::Tight, Order::ColumnMajor) => len,
        }
    }

    /// Elements of a buffer with `len` in each column; `None` if they are too many to count.
    pub(crate) fn elements(&self, len: usize) -> Option<usize> {
        let leading = self.leading_of(len);
        match self.order {
            Order::RowMajor => len.checked_mul(leading),
            Order::ColumnMajor => self.count.checked_mul(leading),
        }
    }

    /// The elements of all columns for those that `layout` names of one.
    fn layout(&self, layout: &Layout, leading: usize) -> Layout {
        let count = self.count;
        match self.order {
            _ if count == 0 => Layout::EMPTY,
            Order::RowMajor if leading == count => layout.scaled(count),
            Order::RowMajor => {
                let rows = layout.iter_runs().flat_map(|(start, len)| start..start + len);
                Layout::runs(rows.map(|row| (row * leading, count)))
            }
            Order::ColumnMajor => Layout::runs(
                (0..count)
                    .flat_map(|column| layout.iter_runs().map(move |(start, len)| (column * leading + start, len))),
            ),
        }
    }
}

impl Plan {
    /// The plan of `columns` in the buffers of this one. Collective over the communicator of `rounds`.
    ///
    /// # Errors
    /// At every rank: ranks with different numbers of columns or orders.
    pub(crate) fn columns(&self, rounds: &mut Rounds, columns: &Columns) -> Result<Plan> {
        let (count, order) = (columns.count as i64, columns.order as i64);
        // Equal numbers have equal largest values of themselves and of their complements.
        let most = rounds.largest(vec![count, !count, order, !order])?;
        if most[0] != !most[1] || most[2] != !most[3] {
            let text = format!(
                "rank {} has {count} columns, {:?}, another rank has others; all ranks exchange the same columns",
                rounds.rank(),
                columns.order
            );
            return Err(Error::new("exchange", ErrorKind::Mismatch(text)));
        }
        let patches = self.patches().iter().enumerate();
        let leading: Vec<usize> = patches.map(|(at, patch)| columns.of(at).leading_of(patch.len)).collect();
        let words: Vec<i64> = leading.iter().map(|&leading| leading as i64).collect();
        let told = self.neighbours().into_iter().map(|peer| (peer, words.clone())).collect();
        let told: BTreeMap<usize, Vec<i64>> = rounds.exchange(told)?.into_iter().collect();
        let plan = rounds.agree("exchange", Plan::new(self.parts_of(columns, &leading, &told)))?;
        if rounds.checks() {
            plan.check_with(rounds)?;
        }
        Ok(plan.built_at(self.build_cost() + rounds.cost()))
    }

    fn parts_of(&self, columns: &Columns, leading: &[usize], told: &BTreeMap<usize, Vec<i64>>) -> Parts {
        let here = |patch: usize, layout: &Layout| columns.layout(layout, leading[patch]);
        let cells = |layout: &Layout| Cells::List(layout.len());
        let region = |patch: usize, region: &Region| {
            let layout = here(patch, &region.layout);
            Region { cells: cells(&layout), layout }
        };
        let patch = |(at, patch): (usize, &Patch)| {
            let len = columns.of(at).elements(patch.len).expect("buffers of so many elements were allocated");
            Patch {
                len,
                parent: Cells::List(len),
                owned: patch.owned.iter().map(|r| region(at, r)).collect(),
                halo: patch.halo.iter().map(|r| region(at, r)).collect(),
            }
        };
        let pieces = |transfers: &[Transfer]| -> Vec<(usize, Piece)> {
            let piece = |peer: usize, piece: &Piece| {
                let layout = here(piece.patch, &piece.layout);
                let there = told[&peer][piece.remote_patch] as usize;
                let remote = columns.layout(&piece.remote, there);
                (peer, Piece { cells: cells(&layout), layout, remote, ..piece.clone() })
            };
            transfers.iter().flat_map(|t| t.pieces.iter().map(move |p| piece(t.peer, p))).collect()
        };
        let copy = |copy: &LocalCopy| {
            let (from, to) = (here(copy.from_patch, &copy.from), here(copy.to_patch, &copy.to));
            LocalCopy { cells: cells(&from), from, to, ..copy.clone() }
        };
        // Without columns nothing moves, and a plan has no pieces without cells.
        let moves = columns.count > 0;
        Parts {
            rank: self.rank(),
            size: self.size(),
            patches: self.patches().iter().enumerate().map(patch).collect(),
            sends: if moves { pieces(self.sends()) } else { Vec::new() },
            recvs: if moves { pieces(self.recvs()) } else { Vec::new() },
            local: if moves { self.local().iter().map(copy).collect() } else { Vec::new() },
        }
    }
}

impl std::ops::Add for BuildCost {
    type Output = BuildCost;

    fn add(self, other: BuildCost) -> BuildCost {
        BuildCost {
            messages_sent: self.messages_sent + other.messages_sent,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            messages_received: self.messages_received + other.messages_received,
            bytes_received: self.bytes_received + other.bytes_received,
            collectives: self.collectives + other.collectives,
            collective_bytes: self.collective_bytes + other.collective_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_columns_follow_one_definition_in_every_order() {
        let layouts =
            [Layout::EMPTY, Layout::contiguous(2, 3), Layout::indices([7, 1, 2, 9]), Layout::indices([0, 4, 8])];
        for layout in layouts {
            for count in 0..4 {
                for (order, leading) in
                    [(Order::RowMajor, count), (Order::RowMajor, count + 2), (Order::ColumnMajor, 12)]
                {
                    let columns =
                        Columns { count, order, leading: Leading::Given { value: leading, number: 0 }, further: None };
                    let rows: Vec<usize> = layout.iter_runs().flat_map(|(start, len)| start..start + len).collect();
                    let want: Vec<usize> = match order {
                        Order::RowMajor => {
                            rows.iter().flat_map(|row| (0..count).map(move |c| row * leading + c)).collect()
                        }
                        Order::ColumnMajor => {
                            (0..count).flat_map(|c| rows.iter().map(move |row| c * leading + row)).collect()
                        }
                    };
                    assert_eq!(columns.layout(&layout, leading), Layout::indices(want), "{layout}, {columns:?}");
                }
            }
        }
    }
}
