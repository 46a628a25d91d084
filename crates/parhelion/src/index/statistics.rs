//! [`Statistics`]: what a descriptor means for one rank, in numbers.

use std::fmt;

use parhelion_comm::{Layout, Result};

use super::Descriptor;
use crate::halo::Transfer;

/// What a descriptor means for one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Indices it owns.
    pub owned: usize,
    /// Indices it has copies of.
    pub halo: usize,
    /// Ranks it exchanges with.
    pub neighbours: usize,
    /// Messages it sends in one exchange.
    pub messages: usize,
    /// Elements it sends in one exchange.
    pub elements_sent: usize,
    /// Runs of consecutive elements that these are.
    pub runs_sent: usize,
    /// Edges of the pattern whose row it owns, each once.
    pub edges: u64,
    /// Those of them whose column it does not own.
    pub cut_edges: u64,
}

impl Descriptor {
    /// The numbers of this rank. Local.
    pub fn statistics(&self) -> Statistics {
        let sends = self.plan().sends();
        let adjacency = self.adjacency();
        let layouts = || sends.iter().flat_map(|t| t.pieces.iter().map(|p| &p.layout));
        Statistics {
            owned: self.owned_len(),
            halo: self.halo_len(),
            neighbours: self.neighbours().len(),
            messages: sends.len(),
            elements_sent: sends.iter().map(Transfer::len).sum(),
            runs_sent: layouts().map(Layout::iter_runs).map(Iterator::count).sum(),
            edges: adjacency.entries() as u64,
            cut_edges: adjacency.cut() as u64,
        }
    }

    /// The numbers of all ranks, by rank, on every rank. Collective: one gather.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock.
    pub fn statistics_of_all(&self) -> Result<Vec<Statistics>> {
        let s = self.statistics();
        let sizes = [s.owned, s.halo, s.neighbours, s.messages, s.elements_sent, s.runs_sent].map(|n| n as u64);
        let [owned, halo, neighbours, messages, elements, runs] = sizes;
        let all = self.communicator().all_gather(&[
            owned,
            halo,
            neighbours,
            messages,
            elements,
            runs,
            s.edges,
            s.cut_edges,
        ])?;
        let read = |w: &[u64]| Statistics {
            owned: w[0] as usize,
            halo: w[1] as usize,
            neighbours: w[2] as usize,
            messages: w[3] as usize,
            elements_sent: w[4] as usize,
            runs_sent: w[5] as usize,
            edges: w[6],
            cut_edges: w[7],
        };
        Ok(all.chunks_exact(8).map(read).collect())
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} owned, {} halo, {} neighbours, sends {} elements in {} messages from {} runs, cuts {} of {} edges",
            self.owned,
            self.halo,
            self.neighbours,
            self.elements_sent,
            self.messages,
            self.runs_sent,
            self.cut_edges,
            self.edges
        )
    }
}
