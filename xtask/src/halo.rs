//! Halo exchanges side by side: the C program `halo3d`, our schemes on the same library, and threads beside the limit.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compare::{Ratio, Side, median, time};
use crate::table::Table;

/// Blocks, halo widths and numbers of fields; each with each.
const SIZES: [&str; 3] = ["32", "64", "128"];
const WIDTHS: [&str; 2] = ["1", "3"];
const FIELDS: [&str; 2] = ["1", "8"];

/// The arguments of one case: those of the peer, and ours.
pub(crate) struct Arguments {
    pub(crate) peer: Vec<&'static str>,
    pub(crate) ours: Vec<&'static str>,
}

/// Every case that is measured, on a process grid of 2 x 1 x 1.
pub(crate) fn cases() -> Vec<Arguments> {
    let mut cases = Vec::new();
    for n in SIZES {
        for h in WIDTHS {
            for f in FIELDS {
                cases.push(Arguments {
                    peer: vec!["-n", n, "-h", h, "-f", f, "-d", "6", "-g", "2x1x1", "-m", "hot"],
                    ours: ["--size", n, "--width", h, "--fields", f, "--directions", "6", "--grid", "2x1x1"].to_vec(),
                });
            }
        }
    }
    cases
}

/// Our schemes, and the C variant that does the same, where there is one.
const TWINS: [(&str, Option<&str>); 8] = [
    ("p2p", Some("isend_pack_agg")),
    ("persistent", Some("persist_pack_agg")),
    ("neighbor", Some("nbr_alltoallv_pack")),
    ("persistent-neighbor", Some("nbr_alltoallv_init_pack")),
    ("rma-pull", None),
    ("rma-push", Some("rma_put_pack")),
    ("shared", Some("shm_pull")),
    ("auto", None),
];

/// What may be called two-sided in C: everything but windows and shared memory.
fn is_two_sided(variant: &str) -> bool {
    ["isend", "persist", "nbr"].iter().any(|kind| variant.starts_with(kind))
}

/// Who did what: a side, or `None` for the limit, and the variant or scheme.
type Way = (Option<Side>, String);

/// Every sample, by case and way; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct HaloTimes {
    order: Vec<String>,
    times: BTreeMap<(String, Way), Vec<f64>>,
}

impl HaloTimes {
    /// Adds the hot cases among the JSON lines of `out`; how many there were, or the first that computed nonsense.
    pub(crate) fn add(&mut self, side: Option<Side>, out: &str) -> Result<usize, String> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            if value["mode"] != "hot" {
                continue;
            }
            let text = |key: &str| value[key].as_str().ok_or_else(|| format!("no text `{key}` in {line}"));
            let (case, variant) = (text("case")?.to_owned(), text("variant")?.to_owned());
            let median = value["med_us"].as_f64().filter(|us| *us > 0.0).ok_or_else(|| format!("no time in {line}"))?;
            if value["ok"] != true {
                return Err(format!("a wrong result: {line}"));
            }
            // The limits come for more cases than are compared.
            if side.is_some() && !self.order.contains(&case) {
                self.order.push(case.clone());
            }
            self.times.entry((case, (side, variant))).or_default().push(median);
            added += 1;
        }
        Ok(added)
    }

    fn median(&self, case: &str, side: Option<Side>, variant: &str) -> Option<f64> {
        self.times.get(&(case.to_owned(), (side, variant.to_owned()))).map(|samples| median(samples))
    }

    /// The fastest two-sided C variant on `library`.
    fn best_two_sided(&self, case: &str, library: &'static str) -> Option<f64> {
        let of_case = self.times.iter().filter(|((c, (side, variant)), _)| {
            c == case && *side == Some(Side::Peer(library)) && is_two_sided(variant)
        });
        of_case.map(|(_, samples)| median(samples)).min_by(f64::total_cmp)
    }

    /// What `auto` and `p2p` reach on `library`, beside C.
    pub(crate) fn beside_peer(&self, library: &'static str, missed: &mut Vec<String>) -> Table {
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
        for case in &self.order {
            let auto = self.median(case, ours, "auto");
            let (two_sided, pull) = (self.best_two_sided(case, library), self.median(case, peer, "shm_pull"));
            let (p2p, twin) = (self.median(case, ours, "p2p"), self.median(case, peer, "isend_pack_agg"));
            let ratios = [
                ("auto / two-sided", Ratio::new(auto, two_sided, Some(0.75))),
                ("auto / shm_pull", Ratio::new(auto, pull, Some(1.10))),
                ("p2p / isend_pack_agg", Ratio::new(p2p, twin, Some(1.05))),
            ];
            let mut row = vec![case.clone(), time(two_sided), time(pull), time(auto)];
            for (what, ratio) in ratios {
                missed.extend(ratio.missed(&format!("{library}, {case}, {what}")));
                row.extend([ratio.value(), ratio.verdict()]);
            }
            table.row(row);
        }
        table
    }

    /// Every scheme on `library` in microseconds, and its ratio to the C variant that does the same.
    pub(crate) fn by_scheme(&self, library: &'static str) -> Table {
        let heading = std::iter::once(library).chain(TWINS.iter().flat_map(|(scheme, _)| [*scheme, "/ C"]));
        let mut table = Table::new(heading);
        for case in &self.order {
            let mut row = vec![case.clone()];
            for (scheme, twin) in TWINS {
                let mine = self.median(case, Some(Side::Mpi(library)), scheme);
                let theirs = twin.and_then(|twin| self.median(case, Some(Side::Peer(library)), twin));
                row.extend([time(mine), Ratio::new(mine, theirs, None).value()]);
            }
            table.row(row);
        }
        table
    }

    /// Threads beside what copying alone takes (`limits face`).
    pub(crate) fn beside_limit(&self, missed: &mut Vec<String>) -> Table {
        let mut table = Table::new(["local", "copies only µs", "shared µs", "ratio", "target"]);
        for case in &self.order {
            let limit = self.median(case, None, "shm_copies_nosync");
            let ours = self.median(case, Some(Side::Local), "shared");
            let ratio = Ratio::new(ours, limit, Some(1.15));
            missed.extend(ratio.missed(&format!("local halo, {case}")));
            table.row([case.clone(), time(limit), time(ours), ratio.value(), ratio.verdict()]);
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
        let mut times = HaloTimes::default();
        for (variant, us) in [("isend_pack", 20.0), ("nbr_alltoallw", 10.0), ("rma_put_dt", 1.0), ("shm_pull", 6.0)] {
            times.add(Some(Side::Peer("m")), &line(variant, us)).unwrap();
        }
        times.add(Some(Side::Mpi("m")), &line("auto", 7.0)).unwrap();
        let mut missed = Vec::new();
        let text = times.beside_peer("m", &mut missed).text();
        assert!(text.contains("0.700") && text.contains("1.167"), "{text}");
        assert_eq!(missed.len(), 2, "the pull, and p2p that was not measured: {missed:?}");
    }

    #[test]
    fn the_limit_is_of_the_same_case_and_adds_none() {
        let mut times = HaloTimes::default();
        times.add(None, &line("shm_copies_nosync", 5.0)).unwrap();
        assert!(times.order.is_empty());
        times.add(Some(Side::Local), &line("shared", 5.5)).unwrap();
        let mut missed = Vec::new();
        assert!(times.beside_limit(&mut missed).text().contains("1.100"));
        assert!(missed.is_empty());
    }

    #[test]
    fn wrong_results_do_not_pass() {
        let mut times = HaloTimes::default();
        assert!(times.add(None, &line("x", 1.0).replace("true", "false")).is_err());
    }

    #[test]
    fn there_are_twelve_cases() {
        assert_eq!(cases().len(), 12);
    }
}
