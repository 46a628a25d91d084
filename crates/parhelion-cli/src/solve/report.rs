//! How a solve went: as a summary to read, or as one JSON object.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use serde::Serialize;

use super::krylov::Outcome;
use crate::args::Solver;
use crate::numbers::{counted, grouped, short_bytes};

/// More ranks than this are summed up instead of listed.
const MOST_LISTED: usize = 32;

/// What one rank had and did; times in seconds.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct RankShare {
    pub(crate) rows: u64,
    pub(crate) nonzeros: u64,
    /// Sent in one exchange.
    pub(crate) bytes: u64,
    /// Sent in one exchange.
    pub(crate) messages: u64,
    pub(crate) setup: f64,
    pub(crate) solve: f64,
    pub(crate) halo: f64,
    pub(crate) reduce: f64,
}

impl RankShare {
    /// What is left of the solve: the matrix, the vectors, and waiting that no clock saw.
    fn compute(&self) -> f64 {
        (self.solve - self.halo - self.reduce).max(0.0)
    }
}

/// The whole story, at rank 0.
pub(crate) struct Report {
    pub(crate) matrix: String,
    pub(crate) rows: u32,
    pub(crate) nonzeros: u64,
    pub(crate) backend: String,
    pub(crate) library: Option<String>,
    pub(crate) solver: Solver,
    pub(crate) outcome: Outcome,
    /// |b - A x| / |b|, computed from x at the end.
    pub(crate) true_residual: f64,
    /// The largest distance from 1, where all ones are the solution.
    pub(crate) error_max: Option<f64>,
    /// By rank.
    pub(crate) shares: Vec<RankShare>,
}

/// The keys of `--json`, in their order.
#[derive(Serialize)]
struct Json<'a> {
    matrix: &'a str,
    rows: u32,
    nonzeros: u64,
    ranks: usize,
    backend: &'a str,
    library: Option<&'a str>,
    solver: &'a str,
    iterations: u64,
    converged: bool,
    relative_residual: f64,
    error_max: Option<f64>,
    seconds: Seconds,
    halo_bytes_per_exchange: u64,
}

#[derive(Serialize)]
struct Seconds {
    total: f64,
    setup: f64,
    halo: f64,
    reduce: f64,
    compute: f64,
}

impl Report {
    fn solver(&self) -> &'static str {
        match self.solver {
            Solver::Cg => "cg",
            Solver::Bicgstab => "bicgstab",
        }
    }

    /// The slowest rank's time.
    fn slowest(&self, time: impl Fn(&RankShare) -> f64) -> f64 {
        self.shares.iter().map(time).fold(0.0, f64::max)
    }

    fn bytes(&self) -> u64 {
        self.shares.iter().map(|share| share.bytes).sum()
    }

    fn converged(&self) -> bool {
        self.outcome.failure.is_none()
    }

    /// One line over the picture.
    pub(crate) fn title(&self) -> String {
        let name = self.matrix.rsplit('/').next().unwrap_or_default();
        let end = if self.converged() { "" } else { " (not converged)" };
        let (ranks, iterations) = (self.shares.len(), self.outcome.iterations);
        format!(
            "{name}: {}, {}, {}, {}{end}",
            counted(self.rows.into(), "row"),
            counted(ranks as u64, "rank"),
            self.solver(),
            counted(iterations, "iteration")
        )
    }

    /// One JSON object on one line. Times are those of the slowest rank; numbers that are not finite are null.
    pub(crate) fn json(&self) -> String {
        let object = Json {
            matrix: &self.matrix,
            rows: self.rows,
            nonzeros: self.nonzeros,
            ranks: self.shares.len(),
            backend: &self.backend,
            library: self.library.as_deref(),
            solver: self.solver(),
            iterations: self.outcome.iterations,
            converged: self.converged(),
            relative_residual: self.outcome.residual,
            error_max: self.error_max,
            seconds: Seconds {
                total: self.slowest(|share| share.setup + share.solve),
                setup: self.slowest(|share| share.setup),
                halo: self.slowest(|share| share.halo),
                reduce: self.slowest(|share| share.reduce),
                compute: self.slowest(RankShare::compute),
            },
            halo_bytes_per_exchange: self.bytes(),
        };
        serde_json::to_string(&object).expect("keys are strings") + "\n"
    }

    /// The summary for people.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        self.write_summary(&mut text).expect("a String takes everything");
        text
    }

    fn write_summary(&self, text: &mut String) -> std::fmt::Result {
        let ranks = self.shares.len();
        let messages: u64 = self.shares.iter().map(|share| share.messages).sum();
        let carrier = match &self.library {
            Some(library) => format!("{} backend ({library})", self.backend),
            None => format!("{} backend (threads)", self.backend),
        };
        let (rows, nonzeros) = (counted(self.rows.into(), "row"), counted(self.nonzeros, "nonzero"));
        writeln!(text, "{}: {rows}, {nonzeros}", self.matrix)?;
        writeln!(text, "{}, {carrier}", counted(ranks as u64, "rank"))?;
        let iterations = counted(self.outcome.iterations, "iteration");
        match &self.outcome.failure {
            None => writeln!(text, "{} converged in {iterations}", self.solver())?,
            Some(why) => writeln!(text, "{} DID NOT CONVERGE in {iterations}: {why}", self.solver())?,
        }
        writeln!(text)?;
        let (residual, again) = (self.outcome.residual, self.true_residual);
        writeln!(text, "  relative residual   {residual:.3e}   (from x itself: {again:.3e})")?;
        match self.error_max {
            Some(error) => writeln!(text, "  error against 1     {error:.3e}")?,
            None => writeln!(text, "  error against 1     unknown, as b came from a file")?,
        }
        let (setup, solve) = (self.slowest(|share| share.setup), self.slowest(|share| share.solve));
        writeln!(text, "  time                {setup:.3} s set-up, {solve:.3} s solve")?;
        let (bytes, messages) = (grouped(self.bytes()), counted(messages, "message"));
        writeln!(text, "  halo exchange       {bytes} bytes in {messages}")?;
        writeln!(text)?;
        writeln!(text, "  rank        rows   nonzeros     halo s   reduce s  compute s     sends    to")?;
        if ranks <= MOST_LISTED {
            for (rank, share) in self.shares.iter().enumerate() {
                write_row(text, &rank.to_string(), share)?;
            }
        } else {
            let by_solve = |a: &f64, b: &f64| a.total_cmp(b);
            for (name, pick) in [("least", 0), ("median", ranks / 2), ("most", ranks - 1)] {
                let float = |get: fn(&RankShare) -> f64| {
                    let mut all: Vec<f64> = self.shares.iter().map(get).collect();
                    all.sort_by(by_solve);
                    all[pick]
                };
                let count = |get: fn(&RankShare) -> u64| {
                    let mut all: Vec<u64> = self.shares.iter().map(get).collect();
                    all.sort_unstable();
                    all[pick]
                };
                let (halo, reduce) = (float(|s| s.halo), float(|s| s.reduce));
                let share = RankShare {
                    rows: count(|s| s.rows),
                    nonzeros: count(|s| s.nonzeros),
                    bytes: count(|s| s.bytes),
                    messages: count(|s| s.messages),
                    setup: float(|s| s.setup),
                    solve: halo + reduce + float(RankShare::compute),
                    halo,
                    reduce,
                };
                write_row(text, name, &share)?;
            }
        }
        Ok(())
    }
}

fn write_row(text: &mut String, name: &str, share: &RankShare) -> std::fmt::Result {
    let RankShare { rows, nonzeros, bytes, messages, halo, reduce, .. } = *share;
    let (rows, nonzeros, compute) = (grouped(rows), grouped(nonzeros), share.compute());
    let sends = short_bytes(bytes);
    writeln!(
        text,
        "{name:>6}  {rows:>10}  {nonzeros:>9}  {halo:>9.4}  {reduce:>9.4}  {compute:>9.4}  {sends:>8}  {messages:>4}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ranks: usize, failure: Option<String>) -> Report {
        let share = RankShare {
            rows: 10,
            nonzeros: 28,
            bytes: 16,
            messages: 2,
            setup: 0.5,
            solve: 2.0,
            halo: 0.25,
            reduce: 0.75,
        };
        Report {
            matrix: "dir/a.mtx".into(),
            rows: 1234,
            nonzeros: 28_000,
            backend: "local".into(),
            library: None,
            solver: Solver::Cg,
            outcome: Outcome { iterations: 1, residual: f64::NAN, failure },
            true_residual: 1e-9,
            error_max: None,
            shares: vec![share; ranks],
        }
    }

    #[test]
    fn json_has_the_keys_and_null_for_what_is_no_number() {
        let value: serde_json::Value = serde_json::from_str(&report(2, None).json()).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = vec![
            "matrix",
            "rows",
            "nonzeros",
            "ranks",
            "backend",
            "library",
            "solver",
            "iterations",
            "converged",
            "relative_residual",
            "error_max",
            "seconds",
            "halo_bytes_per_exchange",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert!(value["relative_residual"].is_null() && value["error_max"].is_null() && value["library"].is_null());
        assert_eq!((&value["seconds"]["total"], &value["seconds"]["compute"]), (&2.5.into(), &1.0.into()));
        assert_eq!(value["halo_bytes_per_exchange"], 32);
    }

    #[test]
    fn the_summary_lists_few_ranks_and_sums_up_many() {
        let few = report(3, None).summary();
        assert!(few.contains("1,234 rows") && few.contains("3 ranks") && few.contains("in 1 iteration\n"), "{few}");
        assert_eq!(few.lines().count(), 13);
        let many = report(40, Some("stuck".into())).summary();
        assert!(many.contains("median") && many.contains("DID NOT CONVERGE in 1 iteration: stuck"), "{many}");
        assert_eq!(many.lines().count(), 13);
    }

    #[test]
    fn the_title_names_the_file_only() {
        assert_eq!(report(1, None).title(), "a.mtx: 1,234 rows, 1 rank, cg, 1 iteration");
    }
}
