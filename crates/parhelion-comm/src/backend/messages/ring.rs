//! All-reduce around a ring (Patarasuk and Yuan 2009): each rank talks with its two neighbours alone, and sends and receives
//! 2 (P - 1) / P of the vector, for any P, which is the least that an all-reduce can do.
//!
//! The vector is cut into P ranges as even as can be.
//!
//! 1. Range `c` starts at rank `c` and goes around; each rank it comes to adds its own. So rank `c`'s elements are the innermost
//!    of it, then those of `c + 1` and on, around to `c - 1`: not the order of ranks, and another one for each range. Only what
//!    may be combined in any order ([`Kernel::in_any_order`](crate::op::Kernel)) comes here.
//! 2. After P - 1 steps, range `c` is whole at rank `c - 1`, and there alone, and goes around once more as it is: what two ranks
//!    have of one element has the same bits.

use std::ops::Range;

use super::combine::{Combine, Part};
use super::{Lane, all};
use crate::error::Result;

impl<L: Lane> Combine<'_, L> {
    /// The combination of all, at all ranks.
    pub(super) async fn around_the_ring(&mut self, mine: Part) -> Result<Part> {
        let (rank, size) = (self.lane.rank(), self.lane.size());
        let mut acc = mine;
        for step in 0..size - 1 {
            let (given, gotten) = (self.range(rank + size - step), self.range(rank + size - step - 1));
            let theirs = self.shift(&acc, given, gotten.clone()).await?;
            acc = self.fold_range(acc, theirs, gotten, true);
        }
        for step in 0..size - 1 {
            let (given, gotten) = (self.range(rank + size + 1 - step), self.range(rank + size - step));
            let theirs = self.shift(&acc, given, gotten.clone()).await?;
            acc = self.put(acc, theirs, gotten);
        }
        Ok(acc)
    }

    /// The elements of range `c`, counted around the ring.
    fn range(&self, c: usize) -> Range<usize> {
        let size = self.lane.size();
        let c = c % size;
        // Not count * c / size, which overflows for elements of no size.
        let (even, more) = (self.count / size, self.count % size);
        let start = |c: usize| even * c + more.min(c);
        start(c)..start(c + 1)
    }

    /// Sends the next rank a range of `part`, and gets one from the rank before.
    async fn shift(&self, part: &Part, gives: Range<usize>, gets: Range<usize>) -> Result<Part> {
        let (rank, size, width) = (self.lane.rank(), self.lane.size(), self.kernel.element.size);
        let (left, right) = ((rank + size - 1) % size, (rank + 1) % size);
        let sent = self.send_piece(part, gives.start * width, gives.len() * width, right)?;
        let theirs = self.recv_piece(gets.len() * width, left).await;
        all(vec![sent]).await?;
        theirs
    }
}
