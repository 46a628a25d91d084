//! How it went: as a summary to read, or as one JSON object.

use std::fmt::Write;

use serde::Serialize;

use crate::numbers::{counted, short_bytes};

/// A run, at rank 0. Its fields are the keys of `--json`, in their order; times are the slowest rank's.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) size: Vec<usize>,
    pub(crate) fields: usize,
    pub(crate) steps: u64,
    pub(crate) ranks: usize,
    pub(crate) grid: Vec<usize>,
    pub(crate) backend: String,
    pub(crate) library: Option<String>,
    /// What carried the exchanges out; with `auto`, what was chosen.
    pub(crate) scheme: String,
    pub(crate) overlap: bool,
    pub(crate) seconds: Seconds,
    /// The largest distance from the exact solution; none for a picture.
    pub(crate) error_max: Option<f64>,
    /// Of all bits of the result, in hexadecimal.
    pub(crate) checksum: String,
    /// Of all ranks.
    pub(crate) halo_bytes_per_exchange: u64,
    /// Of all ranks.
    pub(crate) messages_per_exchange: u64,
    pub(crate) before: String,
    pub(crate) after: String,
    /// How `auto` came to its choice, for the summary.
    #[serde(skip)]
    pub(crate) decision: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Seconds {
    pub(crate) total: f64,
    pub(crate) setup: f64,
    pub(crate) halo: f64,
    pub(crate) compute: f64,
}

impl Report {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields are JSON") + "\n"
    }

    pub(crate) fn summary(&self) -> String {
        let cells: f64 = self.size.iter().map(|&n| n as f64).product();
        let rate = cells * self.fields as f64 * self.steps as f64 / self.seconds.total.max(1e-9) / 1e6;
        let Seconds { total, setup, halo, compute } = self.seconds;
        let library = self.library.as_ref().map_or_else(String::new, |library| format!(": {library}"));
        let overlap = if self.overlap { "during the update of the interior" } else { "before the update" };
        let error = self.error_max.map_or_else(String::new, |error| {
            format!("error        {error:.3e} at most, against the exact solution\n")
        });
        let (ranks, steps) = (counted(self.ranks as u64, "rank"), counted(self.steps, "step"));
        let fields = if self.fields == 1 { String::new() } else { format!(" x {} colours", self.fields) };
        let messages = counted(self.messages_per_exchange, "message");
        format!(
            "heat         {} cells{fields}, {steps}, {ranks} as {}\n\
             backend      {}{library}\n\
             halo         {} in {messages} an exchange (all ranks), {overlap}\n\
             scheme       {}\n\
             time         {total:.4} s: halo {halo:.4}, compute {compute:.4} (slowest rank); set-up {setup:.4}; {rate:.0} \
             million cells a second\n\
             {error}\
             checksum     {} (the same for any ranks, backend and scheme)\n\
             pictures     {}, {}\n\
             {}",
            joined(&self.size),
            joined(&self.grid),
            self.backend,
            short_bytes(self.halo_bytes_per_exchange),
            self.scheme,
            self.checksum,
            self.before,
            self.after,
            self.decision.as_deref().unwrap_or_default(),
        )
    }
}

/// The error at one size.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) size: Vec<usize>,
    pub(crate) steps: u64,
    pub(crate) error_max: f64,
    /// The power of the cell width with which the error fell since the row before.
    pub(crate) order: Option<f64>,
}

/// The errors at several sizes, at one time.
#[derive(Serialize)]
pub(crate) struct Convergence {
    pub(crate) time: f64,
    pub(crate) convergence: Vec<Row>,
}

impl Convergence {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("plain fields are JSON") + "\n"
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:>16} {:>10} {:>12} {:>7}\n", "cells", "steps", "error", "order");
        for row in &self.convergence {
            let order = row.order.map_or_else(|| "-".into(), |order| format!("{order:.2}"));
            let _ = writeln!(text, "{:>16} {:>10} {:>12.3e} {order:>7}", joined(&row.size), row.steps, row.error_max);
        }
        text
    }
}

/// `2 x 3 x 4`.
pub(crate) fn joined(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
