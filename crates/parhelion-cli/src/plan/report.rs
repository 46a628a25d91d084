//! What a plan means for each rank: as a table to read, or as one JSON object.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use parhelion::Layout;
use parhelion::index::Descriptor;
use serde::Serialize;

use crate::numbers::{counted, grouped};

/// The bytes of an element that the numbers are for.
const ELEMENT: u64 = size_of::<f64>() as u64;

/// More ranks than this are summed up instead of listed.
const MOST_LISTED: usize = 32;

/// What a plan means for one rank.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct RankPlan {
    pub(super) owned: u64,
    pub(super) halo: u64,
    pub(super) neighbours: u64,
    /// Sent in one exchange, as the following.
    pub(super) messages: u64,
    pub(super) elements: u64,
    /// Runs of consecutive elements among what is sent, and the lengths of the shortest and the longest; 0 for none.
    pub(super) runs: u64,
    pub(super) shortest: u64,
    pub(super) longest: u64,
    /// Entries of the pattern in the rank's rows, and those of them with a column of another rank.
    pub(super) entries: u64,
    pub(super) cut: u64,
}

impl RankPlan {
    pub(super) fn of(index: &Descriptor) -> Self {
        let statistics = index.statistics();
        let layouts = || index.plan().sends().iter().flat_map(|send| send.pieces.iter().map(|piece| &piece.layout));
        let lengths = || layouts().flat_map(Layout::iter_runs).map(|(_, length)| length as u64);
        RankPlan {
            owned: statistics.owned as u64,
            halo: statistics.halo as u64,
            neighbours: statistics.neighbours as u64,
            messages: statistics.messages as u64,
            elements: statistics.elements_sent as u64,
            runs: statistics.runs_sent as u64,
            shortest: lengths().min().unwrap_or(0),
            longest: lengths().max().unwrap_or(0),
            entries: statistics.edges,
            cut: statistics.cut_edges,
        }
    }

    fn mean_run(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.elements as f64 / self.runs as f64 }
    }
}

/// The whole story, at rank 0.
pub(super) struct Report {
    pub(super) input: String,
    pub(super) indices: u64,
    pub(super) partition: String,
    /// By rank.
    pub(super) ranks: Vec<RankPlan>,
    /// By rank, if they were asked for.
    pub(super) explanations: Option<Vec<String>>,
}

/// The keys of `--json`, in their order.
#[derive(Serialize)]
struct Json<'a> {
    input: &'a str,
    indices: u64,
    entries: u64,
    partition: &'a str,
    edge_cut: u64,
    imbalance: f64,
    bytes: u64,
    messages: u64,
    ranks: Vec<JsonRank>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanations: Option<&'a [String]>,
}

#[derive(Serialize)]
struct JsonRank {
    rank: usize,
    owned: u64,
    halo: u64,
    neighbours: u64,
    messages: u64,
    bytes: u64,
    runs: u64,
    shortest_run: u64,
    mean_run: f64,
    longest_run: u64,
    entries: u64,
    cut_entries: u64,
}

impl Report {
    fn sum(&self, count: impl Fn(&RankPlan) -> u64) -> u64 {
        self.ranks.iter().map(count).sum()
    }

    /// The most that a rank owns over the mean.
    fn imbalance(&self) -> f64 {
        let (most, all) = (self.ranks.iter().map(|rank| rank.owned).max().unwrap_or(0), self.sum(|rank| rank.owned));
        if all == 0 { 1.0 } else { most as f64 * self.ranks.len() as f64 / all as f64 }
    }

    pub(super) fn json(&self) -> String {
        let rank = |(rank, plan): (usize, &RankPlan)| JsonRank {
            rank,
            owned: plan.owned,
            halo: plan.halo,
            neighbours: plan.neighbours,
            messages: plan.messages,
            bytes: plan.elements * ELEMENT,
            runs: plan.runs,
            shortest_run: plan.shortest,
            mean_run: plan.mean_run(),
            longest_run: plan.longest,
            entries: plan.entries,
            cut_entries: plan.cut,
        };
        let object = Json {
            input: &self.input,
            indices: self.indices,
            entries: self.sum(|rank| rank.entries),
            partition: &self.partition,
            edge_cut: self.sum(|rank| rank.cut),
            imbalance: self.imbalance(),
            bytes: self.sum(|rank| rank.elements) * ELEMENT,
            messages: self.sum(|rank| rank.messages),
            ranks: self.ranks.iter().enumerate().map(rank).collect(),
            explanations: self.explanations.as_deref(),
        };
        serde_json::to_string(&object).expect("keys are strings") + "\n"
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a String takes everything");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let entries = self.sum(|rank| rank.entries);
        let (indices, all) = (counted(self.indices, "index"), counted(self.ranks.len() as u64, "rank"));
        writeln!(text, "{}: {indices}, pattern of {}", self.input, counted(entries, "entry"))?;
        writeln!(text, "{all}, partition {}; the plan is verified", self.partition)?;
        writeln!(text)?;
        let cut = self.sum(|rank| rank.cut);
        let share = if entries == 0 { 0.0 } else { 100.0 * cut as f64 / entries as f64 };
        writeln!(text, "  edge cut       {} between ranks ({share:.2} %)", counted(cut, "entry"))?;
        writeln!(text, "  imbalance      {:.3} (most owned over mean)", self.imbalance())?;
        let (bytes, messages) = (self.sum(|rank| rank.elements) * ELEMENT, self.sum(|rank| rank.messages));
        let messages = counted(messages, "message");
        writeln!(text, "  one exchange   {} bytes of f64 in {messages}", grouped(bytes))?;
        writeln!(text)?;
        writeln!(
            text,
            "  {:<6} {:>10} {:>10} {:>5} {:>9} {:>11} {:>9} {:>22} {:>10}",
            "rank", "owned", "halo", "nbrs", "messages", "bytes sent", "runs", "run length min/mean/max", "cut"
        )?;
        if self.ranks.len() <= MOST_LISTED {
            for (rank, plan) in self.ranks.iter().enumerate() {
                row(text, &rank.to_string(), plan)?;
            }
        } else {
            for (name, place) in [("least", 0), ("median", self.ranks.len() / 2), ("most", self.ranks.len() - 1)] {
                row(text, name, &self.ordered(place))?;
            }
        }
        for explanation in self.explanations.iter().flatten() {
            writeln!(text, "\n{explanation}")?;
        }
        Ok(())
    }

    /// Of each number by itself the one at `place` in ascending order.
    fn ordered(&self, place: usize) -> RankPlan {
        let words: Vec<&[u64]> =
            self.ranks.iter().map(|rank| bytemuck::cast_slice(std::slice::from_ref(rank))).collect();
        let pick = |column: usize| {
            let mut all: Vec<u64> = words.iter().map(|words| words[column]).collect();
            all.sort_unstable();
            all[place]
        };
        let picked: Vec<u64> = (0..words[0].len()).map(pick).collect();
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&picked))
    }
}

fn row(text: &mut String, name: &str, plan: &RankPlan) -> std::fmt::Result {
    let runs = format!("{}/{:.1}/{}", grouped(plan.shortest), plan.mean_run(), grouped(plan.longest));
    writeln!(
        text,
        "  {name:<6} {:>10} {:>10} {:>5} {:>9} {:>11} {:>9} {runs:>22} {:>10}",
        grouped(plan.owned),
        grouped(plan.halo),
        plan.neighbours,
        plan.messages,
        grouped(plan.elements * ELEMENT),
        grouped(plan.runs),
        grouped(plan.cut)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ranks: u64) -> Report {
        let plan = |rank| RankPlan { owned: 10 + rank, elements: 4, runs: 2, ..RankPlan::zeroed() };
        Report {
            input: "a".into(),
            indices: 0,
            partition: "slab".into(),
            ranks: (0..ranks).map(plan).collect(),
            explanations: None,
        }
    }

    #[test]
    fn imbalance_is_the_most_over_the_mean() {
        assert_eq!(report(3).imbalance(), 12.0 / 11.0);
        assert_eq!(report(0).imbalance(), 1.0);
    }

    #[test]
    fn many_ranks_are_summed_up_number_by_number() {
        let text = report(33).text();
        let rows: Vec<&str> = text.lines().skip(8).collect();
        assert_eq!(rows.len(), 3, "{text}");
        for (row, owned) in rows.iter().zip(["10", "26", "42"]) {
            assert_eq!(row.split_whitespace().nth(1), Some(owned), "{text}");
        }
        assert_eq!(report(32).text().lines().count(), 8 + 32);
    }
}
