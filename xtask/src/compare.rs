//! Measurements side by side: medians by case, ratios, and what each ratio must reach.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::table::Table;

/// Who was measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Side {
    /// The C program on an MPI library.
    Peer(&'static str),
    /// Parhelion's mpi backend on an MPI library.
    Mpi(&'static str),
    /// Parhelion's local backend.
    Local,
    /// Parhelion's tcp backend.
    Tcp,
    /// The same without shared memory: between ranks 0 and 1 there is a TCP connection.
    Wire,
    /// Two processes and a TCP connection, in C.
    Sockets,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Side::Peer(library) => write!(f, "the C peer on {library}"),
            Side::Mpi(library) => write!(f, "Parhelion on {library}"),
            Side::Local => f.write_str("Parhelion's local backend"),
            Side::Tcp => f.write_str("Parhelion's tcp backend"),
            Side::Wire => f.write_str("Parhelion's tcp backend without shared memory"),
            Side::Sockets => f.write_str("two blocking sockets in C"),
        }
    }
}

/// What was measured: an operation and its size, in bytes or elements as the peers have it.
pub(crate) type Case = (String, String);

/// Every sample, by case and side; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct Measurements {
    order: Vec<Case>,
    medians: BTreeMap<(Case, Side), Vec<f64>>,
}

impl Measurements {
    /// Adds the hot cases among the JSON lines of `out`; how many there were, or the first that computed nonsense.
    pub(crate) fn add(&mut self, side: Side, out: &str) -> Result<usize, String> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            if value["mode"] != "hot" || value["variant"] == "allreduce_init" {
                continue;
            }
            let text = |key: &str| value[key].as_str().ok_or_else(|| format!("no text `{key}` in {line}"));
            let case = (operation(text("bench")?).to_owned(), text("case")?.to_owned());
            let median = value["med_us"].as_f64().filter(|us| *us > 0.0).ok_or_else(|| format!("no time in {line}"))?;
            if value["ok"] != true {
                return Err(format!("a wrong result: {line}"));
            }
            if !self.order.contains(&case) {
                self.order.push(case.clone());
            }
            self.medians.entry((case, side)).or_default().push(median);
            added += 1;
        }
        Ok(added)
    }

    /// The median over rounds of the medians, in microseconds.
    fn median(&self, case: &Case, side: Side) -> Option<f64> {
        self.medians.get(&(case.clone(), side)).map(|samples| median(samples))
    }

    /// The fastest MPI program here, whoever wrote it.
    fn best_mpi(&self, case: &Case) -> Option<f64> {
        let of_case =
            self.medians.iter().filter(|((c, side), _)| c == case && matches!(side, Side::Peer(_) | Side::Mpi(_)));
        of_case.map(|(_, samples)| median(samples)).min_by(f64::total_cmp)
    }

    /// Our mpi backend beside the C peer on one library; the misses go to `missed`.
    pub(crate) fn beside_peer(&self, library: &'static str, missed: &mut Vec<String>) -> Table {
        let mut table = Table::new([library, "C µs", "Parhelion µs", "ratio", "target"]);
        for case in &self.order {
            let [peer, ours] = [Side::Peer(library), Side::Mpi(library)].map(|side| self.median(case, side));
            if peer.is_some() || ours.is_some() {
                let ratio = Ratio::new(ours, peer, mpi_target(case));
                missed.extend(ratio.missed(&format!("{library}, {}", name(case))));
                table.row([name(case), time(peer), time(ours), ratio.value(), ratio.verdict()]);
            }
        }
        table
    }

    /// Our local backend beside the best MPI here.
    pub(crate) fn beside_mpi(&self, missed: &mut Vec<String>) -> Table {
        let mut table = Table::new(["local", "best MPI µs", "Parhelion µs", "ratio", "target"]);
        for case in &self.order {
            let [best, local] = [self.best_mpi(case), self.median(case, Side::Local)];
            let ratio = Ratio::new(local, best, local_target(case));
            missed.extend(ratio.missed(&format!("local, {}", name(case))));
            table.row([name(case), time(best), time(local), ratio.value(), ratio.verdict()]);
        }
        table
    }

    /// Our tcp backend over a connection beside bare sockets, and through shared memory beside the C peer on an MPI library.
    pub(crate) fn beside_sockets(&self, library: &'static str, missed: &mut Vec<String>) -> Table {
        let heading =
            ["tcp", "C sockets µs", "TCP µs", "ratio", "target", "C on MPI µs", "memory µs", "ratio", "target"];
        let mut table = Table::new(heading);
        for case in self.order.iter().filter(|(operation, _)| operation == "pingpong") {
            let mut row = vec![name(case)];
            for (theirs, ours, target, beside) in [
                (Side::Sockets, Side::Wire, sockets_target(case), "sockets"),
                (Side::Peer(library), Side::Tcp, memory_target(case), library),
            ] {
                let [theirs, ours] = [theirs, ours].map(|side| self.median(case, side));
                let ratio = Ratio::new(ours, theirs, target);
                missed.extend(ratio.missed(&format!("tcp / {beside}, {}", name(case))));
                row.extend([time(theirs), time(ours), ratio.value(), ratio.verdict()]);
            }
            table.row(row);
        }
        table
    }
}

/// A quotient of two times, and the largest it may be.
pub(crate) struct Ratio {
    value: Option<f64>,
    target: Option<f64>,
}

impl Ratio {
    pub(crate) fn new(ours: Option<f64>, theirs: Option<f64>, target: Option<f64>) -> Self {
        Ratio { value: ours.zip(theirs).map(|(ours, theirs)| ours / theirs), target }
    }

    pub(crate) fn value(&self) -> String {
        self.value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
    }

    /// The value, and if it is too large, what it should have been.
    pub(crate) fn marked(&self) -> String {
        match (self.value, self.target) {
            (Some(value), Some(target)) if value > target => format!("{value:.3} > {target:.2}"),
            _ => self.value(),
        }
    }

    pub(crate) fn verdict(&self) -> String {
        match (self.value, self.target) {
            (_, None) => String::new(),
            (None, Some(target)) => format!("≤ {target:.2} not measured"),
            (Some(value), Some(target)) if value <= target => format!("≤ {target:.2} ok"),
            (Some(_), Some(target)) => format!("≤ {target:.2} MISSED"),
        }
    }

    /// A sentence, if there is a target and it was not reached.
    pub(crate) fn missed(&self, what: &str) -> Option<String> {
        let target = self.target?;
        match self.value {
            Some(value) if value <= target => None,
            Some(value) => Some(format!("{what}: {value:.3}, not ≤ {target:.2}")),
            None => Some(format!("{what}: not measured")),
        }
    }
}

/// What the mpi backend may cost beside C on the same library.
pub(crate) fn mpi_target((operation, size): &Case) -> Option<f64> {
    match (operation.as_str(), size.as_str()) {
        ("pingpong", "8") | ("allreduce", _) => Some(1.05),
        ("pingpong", "1048576") => Some(1.02),
        _ => None,
    }
}

/// What threads in one process must gain over the best MPI.
pub(crate) fn local_target((operation, size): &Case) -> Option<f64> {
    match (operation.as_str(), size.as_str()) {
        ("pingpong", "8") => Some(0.6),
        ("pingpong", "1048576") => Some(1.0),
        ("allreduce", "1024") => Some(0.25),
        ("allreduce", "1048576") => Some(0.45),
        _ => None,
    }
}

/// What the tcp backend may take beside two blocking sockets.
fn sockets_target((_, size): &Case) -> Option<f64> {
    match size.as_str() {
        "8" => Some(1.5),
        // 0.9 of the bandwidth.
        "16777216" => Some(1.0 / 0.9),
        _ => None,
    }
}

/// What it may take between processes of one machine, beside an MPI library that uses their memory.
pub(crate) fn memory_target((operation, size): &Case) -> Option<f64> {
    match (operation.as_str(), size.as_str()) {
        ("pingpong", "8") => Some(3.0),
        ("pingpong", "1048576" | "16777216") => Some(1.1),
        _ => None,
    }
}

/// One name for an operation, whether MPI's or ours.
fn operation(bench: &str) -> &str {
    match bench {
        "bcast" => "broadcast",
        "reduce_scatter" => "reducescatter",
        other => other,
    }
}

pub(crate) fn name((operation, size): &Case) -> String {
    if operation == "barrier" { operation.clone() } else { format!("{operation} {size}") }
}

pub(crate) fn time(us: Option<f64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(us) if us < 10.0 => format!("{us:.3}"),
        Some(us) => format!("{us:.1}"),
    }
}

/// The middle of samples, of which there is at least one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bench: &str, case: &str, us: f64) -> String {
        format!(r#"{{"bench":"{bench}","case":"{case}","variant":"v","mode":"hot","med_us":{us},"ok":true}}"#)
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 30.0]), 3.0);
    }

    #[test]
    fn ratios_are_of_medians_over_rounds() {
        let mut all = Measurements::default();
        for us in [1.0, 9.0, 2.0] {
            all.add(Side::Peer("m"), &line("pingpong", "8", us)).unwrap();
        }
        all.add(Side::Mpi("m"), &line("pingpong", "8", 2.2)).unwrap();
        let mut missed = Vec::new();
        let text = all.beside_peer("m", &mut missed).text();
        assert!(text.contains("1.100") && text.contains("≤ 1.05 MISSED"), "{text}");
        assert_eq!(missed, ["m, pingpong 8: 1.100, not ≤ 1.05"]);
    }

    #[test]
    fn local_is_compared_with_the_fastest_of_all_libraries() {
        let mut all = Measurements::default();
        all.add(Side::Peer("a"), &line("allreduce", "1024", 4.0)).unwrap();
        all.add(Side::Mpi("b"), &line("allreduce", "1024", 2.0)).unwrap();
        all.add(Side::Local, &line("allreduce", "1024", 0.5)).unwrap();
        let mut missed = Vec::new();
        let text = all.beside_mpi(&mut missed).text();
        assert!(text.contains("0.250") && text.contains("≤ 0.25 ok"), "{text}");
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[test]
    fn tcp_is_compared_with_sockets_and_with_memory() {
        let mut all = Measurements::default();
        all.add(Side::Sockets, &line("pingpong", "8", 4.0)).unwrap();
        all.add(Side::Peer("m"), &line("pingpong", "8", 1.0)).unwrap();
        all.add(Side::Peer("m"), &line("exchange", "8", 1.0)).unwrap();
        all.add(Side::Wire, &line("pingpong", "8", 5.0)).unwrap();
        all.add(Side::Tcp, &line("pingpong", "8", 3.5)).unwrap();
        let mut missed = Vec::new();
        let text = all.beside_sockets("m", &mut missed).text();
        assert!(text.contains("1.250") && text.contains("≤ 1.50 ok") && !text.contains("exchange"), "{text}");
        assert_eq!(missed, ["tcp / m, pingpong 8: 3.500, not ≤ 3.00"]);
    }

    #[test]
    fn a_target_without_a_measurement_is_missed() {
        let mut all = Measurements::default();
        all.add(Side::Peer("m"), &line("allreduce", "1", 4.0)).unwrap();
        let mut missed = Vec::new();
        all.beside_peer("m", &mut missed);
        assert_eq!(missed, ["m, allreduce 1: not measured"]);
    }

    #[test]
    fn names_of_the_peers_and_ours_meet() {
        let mut all = Measurements::default();
        let peers = format!("{}\n{}", line("bcast", "1", 1.0), line("reduce_scatter", "1", 1.0));
        let ours = format!("{}\n{}", line("broadcast", "1", 1.0), line("reducescatter", "1", 1.0));
        assert_eq!(all.add(Side::Peer("m"), &peers), Ok(2));
        assert_eq!(all.add(Side::Mpi("m"), &ours), Ok(2));
        assert_eq!(all.order.len(), 2);
    }

    #[test]
    fn only_hot_cases_count_and_wrong_results_do_not_pass() {
        let mut all = Measurements::default();
        assert_eq!(all.add(Side::Local, &line("exchange", "8", 1.0).replace("hot", "touch")), Ok(0));
        assert_eq!(all.add(Side::Local, "a warning\n"), Ok(0));
        let wrong = line("exchange", "8", 1.0).replace("true", "false");
        assert!(all.add(Side::Local, &wrong).unwrap_err().contains("wrong result"));
        assert!(all.add(Side::Local, "{\"mode\":\"hot\"}").unwrap_err().contains("`bench`"));
    }
}
