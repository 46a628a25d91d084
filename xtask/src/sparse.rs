//! Index lists side by side: the C program `halo_sparse`, our schemes on the same library, and threads beside the C pull;
//! and what the assembly of a descriptor takes.

use serde_json::Value;

use crate::compare::{Ratio, Side, time};
use crate::exchange::{Arguments, ExchangeTimes, Twin, append};
use crate::table::Table;

/// Points along each edge of the grid, and who owns them; each with each.
const SIZES: [&str; 3] = ["32", "64", "128"];
const PARTITIONS: [&str; 2] = ["slab", "random"];

/// Every case that is measured. The C program numbers its halo in two ways, either of which may be the faster one.
pub(crate) fn cases() -> Vec<Arguments> {
    let mut cases = Vec::new();
    for n in SIZES {
        for p in PARTITIONS {
            let peer = |layout| vec!["-n", n, "-p", p, "-l", layout, "-m", "hot"];
            cases.push(Arguments {
                peer: vec![peer("global"), peer("grouped")],
                ours: vec!["--size", n, "--partition", p],
            });
        }
    }
    cases
}

/// Our schemes, and the C variants that do the same.
pub(crate) const TWINS: [Twin; 8] = [
    Twin { scheme: "p2p", peers: &["isend"], target: Some(1.05) },
    twin("persistent", &["persist"]),
    twin("neighbor", &["neighbor", "ineighbor"]),
    twin("persistent-neighbor", &["neighbor_init"]),
    twin("rma-pull", &["rma_get"]),
    twin("rma-push", &["rma_put"]),
    twin("shared", &["shm_pull"]),
    Twin { scheme: "auto", peers: &[], target: None },
];

const fn twin(scheme: &'static str, peers: &'static [&'static str]) -> Twin {
    Twin { scheme, peers, target: Some(1.10) }
}

/// What may be called two-sided in C: everything but windows and shared memory.
const TWO_SIDED: [&str; 6] = ["isend", "isend_dt", "persist", "neighbor", "ineighbor", "neighbor_init"];

/// What `auto` reaches on `library`, beside C.
pub(crate) fn beside_peer(times: &ExchangeTimes, library: &'static str, missed: &mut Vec<String>) -> Table {
    let heading =
        [library, "C two-sided µs", "C shm_pull µs", "auto µs", "auto / two-sided", "", "auto / shm_pull", ""];
    let mut table = Table::new(heading);
    for case in times.cases() {
        let auto = times.median(case, Some(Side::Mpi(library)), "auto");
        let two_sided = times.best_of(case, library, &TWO_SIDED);
        let pull = times.best_of(case, library, &["shm_pull"]);
        let target = if case.starts_with("slab") { 1.05 } else { 0.75 };
        let ratios = [
            ("auto / two-sided", Ratio::new(auto, two_sided, Some(target))),
            ("auto / shm_pull", Ratio::new(auto, pull, Some(1.15))),
        ];
        let mut row = vec![case.clone(), time(two_sided), time(pull), time(auto)];
        append(&mut row, &format!("{library}, {case}"), ratios, missed);
        table.row(row);
    }
    table
}

/// Threads beside the C program's pull, on the library on which it is fastest.
pub(crate) fn beside_pull(times: &ExchangeTimes, libraries: &[&'static str], missed: &mut Vec<String>) -> Table {
    let mut table = Table::new(["local", "C shm_pull µs", "shared µs", "ratio", "target"]);
    for case in times.cases() {
        let pulls = libraries.iter().filter_map(|library| times.best_of(case, library, &["shm_pull"]));
        let pull = pulls.min_by(f64::total_cmp);
        let ours = times.median(case, Some(Side::Local), "shared");
        let ratio = Ratio::new(ours, pull, Some(1.0));
        missed.extend(ratio.missed(&format!("local index lists, {case}")));
        table.row([case.clone(), time(pull), time(ours), ratio.value(), ratio.verdict()]);
    }
    table
}

/// The arguments by which assembly is measured, all on threads: the ranks, and what follows.
///
/// Two ranks at growing sizes say whether the time is linear; many ranks with equal shares, whether their messages grow.
pub(crate) fn assemblies() -> Vec<(usize, Vec<&'static str>)> {
    let mut all = Vec::new();
    for n in SIZES {
        all.extend(PARTITIONS.map(|p| (2, vec!["--size", n, "--partition", p])));
    }
    all.extend([16, 64, 256].map(|ranks| (ranks, vec!["--size", "16", "--per-rank"])));
    all
}

/// What assemblies took.
#[derive(Default)]
pub(crate) struct AssemblyTimes(Vec<Value>);

impl AssemblyTimes {
    /// Adds the assemblies among the JSON lines of `out`; how many there were, or the first that computed nonsense.
    pub(crate) fn add(&mut self, out: &str) -> Result<usize, String> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            if value["ok"] != true {
                return Err(format!("a wrong result: {line}"));
            }
            self.0.push(value);
            added += 1;
        }
        Ok(added)
    }

    /// Seconds and counts of each; the counts are those of the rank with the most.
    pub(crate) fn table(&self) -> Table {
        let heading = [
            "assembly, local",
            "ranks",
            "s",
            "s / 10⁶ edges",
            "s / 10⁶ halo",
            "edges a rank",
            "neighbours",
            "messages a rank",
            "bytes a rank",
            "collectives",
        ];
        let mut table = Table::new(heading);
        for value in &self.0 {
            let number = |key: &str| value[key].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
            let decimal = |key: &str| value[key].as_f64().map_or_else(|| "-".to_owned(), |x| format!("{x:.3}"));
            let seconds = value["med_us"].as_f64().map_or_else(|| "-".to_owned(), |us| format!("{:.4}", us / 1e6));
            table.row([
                value["case"].as_str().unwrap_or("-").to_owned(),
                number("np"),
                seconds,
                decimal("s_per_million_edges"),
                decimal("s_per_million_halo"),
                number("edges_per_rank"),
                number("neighbours"),
                number("messages"),
                number("sent_bytes"),
                number("collectives"),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(case: &str, variant: &str, us: f64) -> String {
        format!(
            r#"{{"bench":"halo_sparse","case":"{case}","variant":"{variant}","mode":"hot","med_us":{us},"ok":true}}"#
        )
    }

    #[test]
    fn random_partitions_must_gain_more_than_slabs() {
        let mut times = ExchangeTimes::default();
        let peer = Some(Side::Peer("m"));
        for case in ["slab_n32_c1", "random_n32_c1"] {
            times.add(peer, &line(case, "isend", 9.0)).unwrap();
            times.add(peer, &line(&format!("{case}_grouped"), "persist", 8.0)).unwrap();
            times.add(peer, &line(case, "rma_put", 1.0)).unwrap();
            times.add(peer, &line(case, "shm_pull", 8.0)).unwrap();
            times.add(Some(Side::Mpi("m")), &line(case, "auto", 8.0)).unwrap();
        }
        let mut missed = Vec::new();
        let text = beside_peer(&times, "m", &mut missed).text();
        assert!(text.contains("≤ 1.05 ok") && text.contains("≤ 0.75 MISSED"), "{text}");
        assert_eq!(missed, ["m, random_n32_c1, auto / two-sided: 1.000, not ≤ 0.75"]);
    }

    #[test]
    fn threads_are_compared_with_the_fastest_pull() {
        let mut times = ExchangeTimes::default();
        for (library, us) in [("a", 3.0), ("b", 2.0)] {
            times.add(Some(Side::Peer(library)), &line("slab_n32_c1", "shm_pull", us)).unwrap();
        }
        times.add(Some(Side::Local), &line("slab_n32_c1", "shared", 2.5)).unwrap();
        let mut missed = Vec::new();
        assert!(beside_pull(&times, &["a", "b"], &mut missed).text().contains("1.250"));
        assert_eq!(missed.len(), 1, "{missed:?}");
    }

    #[test]
    fn every_size_is_measured_with_either_partition() {
        assert_eq!((cases().len(), assemblies().len()), (6, 9));
    }

    #[test]
    fn assemblies_are_listed_with_their_counts() {
        let mut all = AssemblyTimes::default();
        let line = r#"{"case":"slab","np":16,"med_us":2500.0,"s_per_million_edges":0.25,"messages":7,"ok":true}"#;
        assert_eq!(all.add(line), Ok(1));
        assert!(all.add(&line.replace("true", "false")).is_err());
        let text = all.table().text();
        assert!(text.contains("0.0025") && text.contains("0.250") && text.contains('7'), "{text}");
    }
}
