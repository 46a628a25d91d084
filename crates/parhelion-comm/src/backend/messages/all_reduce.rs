//! All-reduce by pairs: recursive doubling, and Rabenseifner's algorithm.
//!
//! Both are for a number of ranks that is a power of two. Of any other number, so many of the first ranks pair up before that the
//! rest is one: the even one of a pair gives the odd one its vector, and gets the result.
//!
//! 1. Before a round of distance `d`, each of the remaining places has what `d` neighbouring ranks make, and all of those have the
//!    same. Two places that differ in the bit `d` swap; both combine the lower one's with the higher one's. So elements are
//!    combined in rank order, and what two ranks have of one element has the same bits.
//! 2. In Rabenseifner's first phase, places which differ in a bit that is yet to come have the same range of the vector.

use super::combine::{Combine, Part};
use super::{Lane, all};
use crate::error::Result;

/// Some elements of the vector.
type Range = std::ops::Range<usize>;

impl<L: Lane> Combine<'_, L> {
    /// The combination of all, at all ranks, by whole vectors.
    pub(super) async fn recursive_doubling(&mut self, mine: Part) -> Result<Part> {
        let Some((team, mut acc)) = self.pair_up(mine).await? else { return self.recv(self.lane.rank() + 1).await };
        for bit in team.bits() {
            let partner = team.rank_at(team.place ^ bit);
            let theirs = self.trade(&acc, 0..self.count, partner, 0..self.count).await?;
            acc = if team.place & bit == 0 { self.fold(acc, theirs) } else { self.fold(theirs, acc) };
        }
        self.part_from(team, acc).await
    }

    /// The same by halves: each place combines a range of its own, then all gather the ranges.
    pub(super) async fn rabenseifner(&mut self, mine: Part) -> Result<Part> {
        let Some((team, mut acc)) = self.pair_up(mine).await? else { return self.recv(self.lane.rank() + 1).await };
        let mut range = 0..self.count;
        let mut halves = Vec::new();
        for bit in team.bits() {
            let partner = team.rank_at(team.place ^ bit);
            let middle = range.start + range.len() / 2;
            let is_low = team.place & bit == 0;
            let (low, high) = (range.start..middle, middle..range.end);
            let (kept, given) = if is_low { (low, high) } else { (high, low) };
            let theirs = self.trade(&acc, given.clone(), partner, kept.clone()).await?;
            acc = self.fold_range(acc, theirs, kept.clone(), is_low);
            halves.push((partner, kept.clone(), given));
            range = kept;
        }
        for (partner, kept, given) in halves.into_iter().rev() {
            let theirs = self.trade(&acc, kept, partner, given.clone()).await?;
            acc = self.put(acc, theirs, given);
        }
        self.part_from(team, acc).await
    }

    /// This rank's place among those that go on, and its vector or its pair's; none if its pair goes on for both.
    async fn pair_up(&mut self, mine: Part) -> Result<Option<(Team, Part)>> {
        let (rank, team) = (self.lane.rank(), Team::of(self.lane.rank(), self.lane.size()));
        if rank >= 2 * team.pairs {
            return Ok(Some((team, mine)));
        }
        if rank % 2 == 0 {
            self.send(mine, rank + 1)?.await?;
            return Ok(None);
        }
        let theirs = self.recv(rank - 1).await?;
        Ok(Some((team, self.fold(theirs, mine))))
    }

    /// Gives the result to the one of the pair that waits for it.
    async fn part_from(&self, team: Team, whole: Part) -> Result<Part> {
        let rank = self.lane.rank();
        if rank < 2 * team.pairs {
            self.send(whole.clone(), rank - 1)?.await?;
        }
        Ok(whole)
    }

    /// Sends `partner` a range of `part` for one of its own.
    async fn trade(&self, part: &Part, gives: Range, partner: usize, gets: Range) -> Result<Part> {
        let width = self.kernel.element.size;
        let sent = self.send_piece(part, gives.start * width, gives.len() * width, partner)?;
        let theirs = self.recv_piece(gets.len() * width, partner).await;
        all(vec![sent]).await?;
        theirs
    }
}

/// The ranks that go on once some have paired up: a power of two of them.
struct Team {
    /// How many pairs there are, the first ranks.
    pairs: usize,
    size: usize,
    place: usize,
}

impl Team {
    fn of(rank: usize, ranks: usize) -> Self {
        let size = 1 << ranks.ilog2();
        let pairs = ranks - size;
        Team { pairs, size, place: if rank < 2 * pairs { rank / 2 } else { rank - pairs } }
    }

    fn rank_at(&self, place: usize) -> usize {
        if place < self.pairs { 2 * place + 1 } else { place + self.pairs }
    }

    /// The distances of the rounds.
    fn bits(&self) -> impl Iterator<Item = usize> + use<> {
        let size = self.size;
        (0..size.ilog2()).map(|round| 1 << round)
    }
}
