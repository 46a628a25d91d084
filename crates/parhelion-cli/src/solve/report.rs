//! How a solve went: as a summary to read, or as one JSON object.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};
use serde::Serialize;

use super::krylov::{Outcome, worst};
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
    /// One for each right-hand side.
    pub(crate) columns: Vec<Column>,
    pub(crate) scheme: String,
    pub(crate) scheme_was_asked_for: bool,
    /// Whether rows without halo were multiplied while it was on its way.
    pub(crate) overlap: bool,
    /// By rank.
    pub(crate) shares: Vec<RankShare>,
}

/// How the solve of one right-hand side went.
pub(crate) struct Column {
    pub(crate) outcome: Outcome,
    /// |b - A x| / |b|, computed from x at the end.
    pub(crate) true_residual: f64,
    /// The largest distance from the solution, where that is known.
    pub(crate) error_max: Option<f64>,
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
    /// What carried the halos, if the user wanted to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'a str>,
    /// Of several right-hand sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<JsonColumn>,
}

#[derive(Serialize)]
struct JsonColumn {
    iterations: u64,
    converged: bool,
    relative_residual: f64,
    error_max: Option<f64>,
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
        self.columns.iter().all(|column| column.outcome.failure.is_none())
    }

    /// Those of the column that took longest.
    fn iterations(&self) -> u64 {
        self.columns.iter().map(|column| column.outcome.iterations).max().unwrap_or(0)
    }

    /// The worst of all columns.
    fn residual(&self) -> f64 {
        worst(self.columns.iter().map(|column| column.outcome.residual))
    }

    fn true_residual(&self) -> f64 {
        worst(self.columns.iter().map(|column| column.true_residual))
    }

    fn error_max(&self) -> Option<f64> {
        let errors: Option<Vec<f64>> = self.columns.iter().map(|column| column.error_max).collect();
        errors.map(worst)
    }

    /// Why the first of the columns that did not converge did not.
    fn failure(&self) -> Option<String> {
        let (at, why) = self.columns.iter().enumerate().find_map(|(at, c)| Some((at, c.outcome.failure.as_ref()?)))?;
        Some(if self.columns.len() == 1 { why.clone() } else { format!("column {at}: {why}") })
    }

    /// One line over the picture.
    pub(crate) fn title(&self) -> String {
        let name = self.matrix.rsplit('/').next().unwrap_or_default();
        let end = if self.converged() { "" } else { " (not converged)" };
        let (ranks, iterations) = (self.shares.len(), self.iterations());
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
            iterations: self.iterations(),
            converged: self.converged(),
            relative_residual: self.residual(),
            error_max: self.error_max(),
            seconds: Seconds {
                total: self.slowest(|share| share.setup + share.solve),
                setup: self.slowest(|share| share.setup),
                halo: self.slowest(|share| share.halo),
                reduce: self.slowest(|share| share.reduce),
                compute: self.slowest(RankShare::compute),
            },
            halo_bytes_per_exchange: self.bytes(),
            scheme: self.scheme_was_asked_for.then_some(&self.scheme),
            columns: if self.columns.len() == 1 { Vec::new() } else { self.columns.iter().map(json_column).collect() },
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
            None if self.backend == "local" => "local backend (threads)".to_owned(),
            None => format!("{} backend (processes)", self.backend),
        };
        let (rows, nonzeros) = (counted(self.rows.into(), "row"), counted(self.nonzeros, "nonzero"));
        writeln!(text, "{}: {rows}, {nonzeros}", self.matrix)?;
        writeln!(text, "{}, {carrier}", counted(ranks as u64, "rank"))?;
        let iterations = counted(self.iterations(), "iteration");
        let columns = match self.columns.len() {
            1 => String::new(),
            columns => format!(" for {columns} right-hand sides at once"),
        };
        match self.failure() {
            None => writeln!(text, "{} converged in {iterations}{columns}", self.solver())?,
            Some(why) => writeln!(text, "{} DID NOT CONVERGE in {iterations}{columns}: {why}", self.solver())?,
        }
        writeln!(text)?;
        let (residual, again) = (self.residual(), self.true_residual());
        writeln!(text, "  relative residual   {residual:.3e}   (from x itself: {again:.3e})")?;
        let goal = if self.columns.len() == 1 { "1     " } else { "truth " };
        match self.error_max() {
            Some(error) => writeln!(text, "  error against {goal}{error:.3e}")?,
            None => writeln!(text, "  error against {goal}unknown, as b came from a file")?,
        }
        let (setup, solve) = (self.slowest(|share| share.setup), self.slowest(|share| share.solve));
        writeln!(text, "  time                {setup:.3} s set-up, {solve:.3} s solve")?;
        let (bytes, messages) = (grouped(self.bytes()), counted(messages, "message"));
        let overlap = if self.overlap { ", overlapped" } else { "" };
        writeln!(text, "  halo exchange       {bytes} bytes in {messages} by {}{overlap}", self.scheme)?;
        writeln!(text)?;
        if self.columns.len() > 1 {
            self.write_columns(text)?;
        }
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

    /// The columns, while a reader has use for them.
    fn write_columns(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "column  iterations   residual      error")?;
        for (at, column) in self.columns.iter().enumerate().take(MOST_LISTED) {
            let Outcome { iterations, residual, .. } = column.outcome;
            let error = column.error_max.map_or_else(|| "-".to_owned(), |error| format!("{error:.3e}"));
            writeln!(text, "{at:>6}  {:>10}  {residual:>9.3e}  {error:>9}", grouped(iterations))?;
        }
        if self.columns.len() > MOST_LISTED {
            writeln!(text, "   ...  and {} more", self.columns.len() - MOST_LISTED)?;
        }
        writeln!(text)
    }
}

fn json_column(column: &Column) -> JsonColumn {
    let Outcome { iterations, residual, ref failure } = column.outcome;
    JsonColumn { iterations, converged: failure.is_none(), relative_residual: residual, error_max: column.error_max }
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
        report_of(ranks, vec![failure])
    }

    fn report_of(ranks: usize, failures: Vec<Option<String>>) -> Report {
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
            columns: failures
                .into_iter()
                .enumerate()
                .map(|(at, failure)| Column {
                    outcome: Outcome {
                        iterations: 1 + at as u64,
                        residual: if at == 0 { f64::NAN } else { 1e-9 },
                        failure,
                    },
                    true_residual: 1e-9,
                    error_max: (at > 0).then_some(0.5),
                })
                .collect(),
            scheme: "shared".into(),
            scheme_was_asked_for: false,
            overlap: true,
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
    fn several_columns_are_listed_and_the_worst_speaks_for_all() {
        let mut report = report_of(2, vec![None, Some("stuck".into()), None]);
        report.scheme_was_asked_for = true;
        let value: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&value["converged"], &value["iterations"]), (&false.into(), &3.into()));
        assert!(value["relative_residual"].is_null() && value["error_max"].is_null());
        assert_eq!(value["scheme"], "shared");
        let columns = value["columns"].as_array().unwrap();
        assert_eq!(
            (columns.len(), &columns[1]["converged"], &columns[2]["error_max"]),
            (3, &false.into(), &0.5.into())
        );
        let text = report.summary();
        assert!(text.contains("for 3 right-hand sides at once: column 1: stuck"), "{text}");
        assert!(text.contains("messages by shared, overlapped"), "{text}");
        assert!(text.lines().any(|line| line.split_whitespace().eq(["2", "3", "1.000e-9", "5.000e-1"])), "{text}");
    }

    #[test]
    fn the_title_names_the_file_only() {
        assert_eq!(report(1, None).title(), "a.mtx: 1,234 rows, 1 rank, cg, 1 iteration");
    }
}
