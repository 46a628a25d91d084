//! Halo exchanges side by side: the C program `halo3d`, our schemes on the same library, and threads beside the limit.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compare::{Ratio, Side, median, time};
use crate::exchange::{Arguments, ExchangeTimes, Twin, append};
use crate::table::Table;

/// Blocks, halo widths and numbers of fields; each with each.
const SIZES: [&str; 3] = ["32", "64", "128"];
const WIDTHS: [&str; 2] = ["1", "3"];
const FIELDS: [&str; 2] = ["1", "8"];

/// Every case that is measured, on a process grid of 2 x 1 x 1.
pub(crate) fn cases() -> Vec<Arguments> {
    let mut cases = Vec::new();
    for n in SIZES {
        for h in WIDTHS {
            for f in FIELDS {
                cases.push(Arguments {
                    peer: vec![vec!["-n", n, "-h", h, "-f", f, "-d", "6", "-g", "2x1x1", "-m", "hot"]],
                    ours: ["--size", n, "--width", h, "--fields", f, "--directions", "6", "--grid", "2x1x1"].to_vec(),
                });
            }
        }
    }
    cases
}

/// Our schemes, and the C variants that do the same.
pub(crate) const TWINS: [Twin; 8] = [
    twin("p2p", &["isend_pack_agg"]),
    twin("persistent", &["persist_pack_agg"]),
    twin("neighbor", &["nbr_alltoallv_pack"]),
    twin("persistent-neighbor", &["nbr_alltoallv_init_pack"]),
    twin("rma-pull", &[]),
    twin("rma-push", &["rma_put_pack"]),
    twin("shared", &["shm_pull"]),
    twin("auto", &[]),
];

const fn twin(scheme: &'static str, peers: &'static [&'static str]) -> Twin {
    Twin { scheme, peers, target: None }
}

/// What may be called two-sided in C: everything but windows and shared memory.
fn is_two_sided(variant: &str) -> bool {
    ["isend", "persist", "nbr"].iter().any(|kind| variant.starts_with(kind))
}

/// What `auto` and `p2p` reach on `library`, beside C.
pub(crate) fn beside_peer(times: &ExchangeTimes, library: &'static str, missed: &mut Vec<String>) -> Table {
    let heading = [
        library,
        "C two-sided µs",
        "C shm_pull µs",
        "auto µs",
        "auto / two-sided",
        "",
        "auto / shm_pull",
        "",
        "p2p / isend_pack_agg",
        "",
    ];
    let mut table = Table::new(heading);
    let (peer, ours) = (Some(Side::Peer(library)), Some(Side::Mpi(library)));
    for case in times.cases() {
        let auto = times.median(case, ours, "auto");
        let (two_sided, pull) =
            (times.best(case, Side::Peer(library), is_two_sided), times.median(case, peer, "shm_pull"));
        let (p2p, twin) = (times.median(case, ours, "p2p"), times.median(case, peer, "isend_pack_agg"));
        let ratios = [
            ("auto / two-sided", Ratio::new(auto, two_sided, Some(0.75))),
            ("auto / shm_pull", Ratio::new(auto, pull, Some(1.10))),
            ("p2p / isend_pack_agg", Ratio::new(p2p, twin, Some(1.05))),
        ];
        let mut row = vec![case.clone(), time(two_sided), time(pull), time(auto)];
        append(&mut row, &format!("{library}, {case}"), ratios, missed);
        table.row(row);
    }
    table
}

/// Threads beside what copying alone takes (`limits face`).
pub(crate) fn beside_limit(times: &ExchangeTimes, missed: &mut Vec<String>) -> Table {
    let mut table = Table::new(["local", "copies only µs", "shared µs", "ratio", "target"]);
    for case in times.cases() {
        let limit = times.median(case, None, "shm_copies_nosync");
        let ours = times.median(case, Some(Side::Local), "shared");
        let ratio = Ratio::new(ours, limit, Some(1.15));
        missed.extend(ratio.missed(&format!("local halo, {case}")));
        table.row([case.clone(), time(limit), time(ours), ratio.value(), ratio.verdict()]);
    }
    table
}

/// Processes over tcp beside the same processes under an MPI library, all reading the neighbour's memory, by the example
/// `halo_in_turns`: microseconds of each and the quotient, by case and run; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct InTurns {
    order: Vec<String>,
    runs: BTreeMap<String, Vec<[f64; 3]>>,
}

impl InTurns {
    /// Adds the cases among the JSON lines of `out`; how many there were.
    pub(crate) fn add(&mut self, out: &str) -> Result<usize, String> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            let number = |key: &str| value[key].as_f64().ok_or_else(|| format!("no number `{key}` in {line}"));
            let case = value["case"].as_str().ok_or_else(|| format!("no text `case` in {line}"))?.to_owned();
            let run = [number("mpi_us")?, number("tcp_us")?, number("ratio")?];
            if !self.order.contains(&case) {
                self.order.push(case.clone());
            }
            self.runs.entry(case).or_default().push(run);
            added += 1;
        }
        Ok(added)
    }

    /// Medians over runs; the misses go to `missed`.
    pub(crate) fn table(&self, library: &'static str, missed: &mut Vec<String>) -> Table {
        let mut table = Table::new(["shared, in turns", library, "tcp µs", "ratio", "target"]);
        for case in &self.order {
            let column = |i: usize| median(&self.runs[case].iter().map(|run| run[i]).collect::<Vec<_>>());
            let [mpi, tcp, ratio] = [0, 1, 2].map(column);
            // A quotient is already one.
            let ratio = Ratio::new(Some(ratio), Some(1.0), Some(1.15));
            missed.extend(ratio.missed(&format!("tcp halo, {case}")));
            table.row([case.clone(), time(Some(mpi)), time(Some(tcp)), ratio.value(), ratio.verdict()]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(variant: &str, us: f64) -> String {
        format!(r#"{{"bench":"halo3d","case":"n32","variant":"{variant}","mode":"hot","med_us":{us},"ok":true}}"#)
    }

    #[test]
    fn auto_is_compared_with_the_best_two_sided_variant_and_with_the_pull() {
        let mut times = ExchangeTimes::default();
        for (variant, us) in [("isend_pack", 20.0), ("nbr_alltoallw", 10.0), ("rma_put_dt", 1.0), ("shm_pull", 6.0)] {
            times.add(Some(Side::Peer("m")), &line(variant, us)).unwrap();
        }
        times.add(Some(Side::Mpi("m")), &line("auto", 7.0)).unwrap();
        let mut missed = Vec::new();
        let text = beside_peer(&times, "m", &mut missed).text();
        assert!(text.contains("0.700") && text.contains("1.167"), "{text}");
        assert_eq!(missed.len(), 2, "the pull, and p2p that was not measured: {missed:?}");
    }

    #[test]
    fn the_limit_is_of_the_same_case_and_adds_none() {
        let mut times = ExchangeTimes::default();
        times.add(None, &line("shm_copies_nosync", 5.0)).unwrap();
        assert_eq!(times.cases().count(), 0);
        times.add(Some(Side::Local), &line("shared", 5.5)).unwrap();
        let mut missed = Vec::new();
        assert!(beside_limit(&times, &mut missed).text().contains("1.100"));
        assert!(missed.is_empty());
    }

    #[test]
    fn medians_of_runs_in_turns_are_held_to_the_target() {
        let mut all = InTurns::default();
        for (mpi, ratio) in [(5.0, 1.2), (4.0, 1.0), (9.0, 1.3)] {
            let line = format!(r#"{{"case":"n32","mpi_us":{mpi},"tcp_us":6.0,"ratio":{ratio}}}"#);
            assert_eq!(all.add(&format!("a word\n{line}\n")), Ok(1));
        }
        let mut missed = Vec::new();
        let text = all.table("m", &mut missed).text();
        assert!(text.contains("5.000") && text.contains("6.000") && text.contains("1.200  ≤ 1.15 MISSED"), "{text}");
        assert_eq!(missed, ["tcp halo, n32: 1.200, not ≤ 1.15"]);
        assert!(all.add("{}").unwrap_err().contains("`case`"));
    }

    #[test]
    fn there_are_twelve_cases() {
        assert_eq!(cases().len(), 12);
    }
}
