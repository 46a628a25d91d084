//! Halo exchanges side by side: what the C programs and `parhelion bench` measured, by case and by way of exchange.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compare::{Ratio, Side, median, time};
use crate::table::Table;

/// One of our schemes, the C variants that do the same, and how much slower than the fastest of these it may be, as the C
/// program numbers its data without being asked for another way.
pub(crate) struct Twin {
    pub(crate) scheme: &'static str,
    pub(crate) peers: &'static [&'static str],
    pub(crate) target: Option<f64>,
}

/// The arguments of one case: those of the peer, each in a run of its own, and ours.
pub(crate) struct Arguments {
    pub(crate) peer: Vec<Vec<&'static str>>,
    pub(crate) ours: Vec<&'static str>,
}

/// Who did what: a side, or `None` for the limit, and the variant or scheme.
type Way = (Option<Side>, String);

/// Every sample, by case and way; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct ExchangeTimes {
    order: Vec<String>,
    times: BTreeMap<(String, Way), Vec<f64>>,
}

impl ExchangeTimes {
    /// Adds the hot cases among the JSON lines of `out`; how many there were, or the first that computed nonsense.
    ///
    /// A case of another layout of the same data, which its ending says, is the same case by another variant.
    pub(crate) fn add(&mut self, side: Option<Side>, out: &str) -> Result<usize, String> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            if value["mode"] != "hot" {
                continue;
            }
            let text = |key: &str| value[key].as_str().ok_or_else(|| format!("no text `{key}` in {line}"));
            let (mut case, mut variant) = (text("case")?.to_owned(), text("variant")?.to_owned());
            let median = value["med_us"].as_f64().filter(|us| *us > 0.0).ok_or_else(|| format!("no time in {line}"))?;
            if value["ok"] != true {
                return Err(format!("a wrong result: {line}"));
            }
            if let Some(plain) = case.strip_suffix(GROUPED) {
                (case, variant) = (plain.to_owned(), variant + GROUPED);
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

    pub(crate) fn cases(&self) -> impl Iterator<Item = &String> {
        self.order.iter()
    }

    pub(crate) fn median(&self, case: &str, side: Option<Side>, variant: &str) -> Option<f64> {
        self.times.get(&(case.to_owned(), (side, variant.to_owned()))).map(|samples| median(samples))
    }

    /// The fastest of a side's variants.
    pub(crate) fn best(&self, case: &str, side: Side, is_wanted: impl Fn(&str) -> bool) -> Option<f64> {
        let of_case =
            self.times.iter().filter(|((c, (s, variant)), _)| c == case && *s == Some(side) && is_wanted(variant));
        of_case.map(|(_, samples)| median(samples)).min_by(f64::total_cmp)
    }

    /// The fastest of these C variants on `library`, in whichever layout.
    pub(crate) fn best_of(&self, case: &str, library: &'static str, variants: &[&str]) -> Option<f64> {
        self.best(case, Side::Peer(library), |variant| {
            variants.contains(&variant.strip_suffix(GROUPED).unwrap_or(variant))
        })
    }

    /// Every scheme on `library` in microseconds, and its ratio to the C variant that does the same: with the C program's own
    /// numbering, and if that was measured, with the halo grouped by owner.
    pub(crate) fn by_scheme(&self, library: &'static str, twins: &[Twin], missed: &mut Vec<String>) -> Table {
        let is_grouped = self.times.keys().any(|(_, (_, variant))| variant.ends_with(GROUPED));
        let ratios: &[&str] = if is_grouped { &["/ C", "/ C grouped"] } else { &["/ C"] };
        let columns = twins.iter().flat_map(|twin| std::iter::once(twin.scheme).chain(ratios.iter().copied()));
        let mut table = Table::new(std::iter::once(library).chain(columns));
        for case in &self.order {
            let mut row = vec![case.clone()];
            for Twin { scheme, peers, target } in twins {
                let mine = self.median(case, Some(Side::Mpi(library)), scheme);
                let peer = |ending: &str| {
                    let is_twin =
                        |variant: &str| variant.strip_suffix(ending).is_some_and(|name| peers.contains(&name));
                    self.best(case, Side::Peer(library), is_twin)
                };
                // What this library or the peer does not have is no miss.
                let theirs = peer("");
                let ratio = Ratio::new(mine, theirs, target.filter(|_| mine.is_some() && theirs.is_some()));
                missed.extend(ratio.missed(&format!("{library}, {case}, {scheme} / C")));
                row.extend([time(mine), ratio.marked()]);
                if is_grouped {
                    row.push(Ratio::new(mine, peer(GROUPED), None).value());
                }
            }
            table.row(row);
        }
        table
    }
}

/// The end of a peer's case in which a rank's halo is grouped by owner, so that messages arrive in place.
const GROUPED: &str = "_grouped";

/// Adds each ratio and its verdict to `row`, and to `missed` what was missed of `subject`.
pub(crate) fn append<const N: usize>(
    row: &mut Vec<String>,
    subject: &str,
    ratios: [(&str, Ratio); N],
    missed: &mut Vec<String>,
) {
    for (what, ratio) in ratios {
        missed.extend(ratio.missed(&format!("{subject}, {what}")));
        row.extend([ratio.value(), ratio.verdict()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn line(case: &str, variant: &str, us: f64) -> String {
        format!(r#"{{"bench":"x","case":"{case}","variant":"{variant}","mode":"hot","med_us":{us},"ok":true}}"#)
    }

    #[test]
    fn wrong_results_do_not_pass() {
        let mut times = ExchangeTimes::default();
        assert!(times.add(None, &line("c", "x", 1.0).replace("true", "false")).is_err());
        assert_eq!(times.add(None, &line("c", "x", 1.0).replace("hot", "touch")), Ok(0));
    }

    #[test]
    fn a_scheme_is_compared_with_its_twin_in_either_numbering() {
        let mut times = ExchangeTimes::default();
        let peer = Some(Side::Peer("m"));
        for (case, us) in [("c", 4.0), ("c_grouped", 2.0)] {
            times.add(peer, &line(case, "isend", us)).unwrap();
            times.add(peer, &line(case, "persist", 1.0)).unwrap();
        }
        times.add(Some(Side::Mpi("m")), &line("c", "p2p", 4.4)).unwrap();
        let twins = [
            Twin { scheme: "p2p", peers: &["isend"], target: Some(1.05) },
            Twin { scheme: "neighbor", peers: &["neighbor", "ineighbor"], target: Some(1.05) },
        ];
        let mut missed = Vec::new();
        let text = times.by_scheme("m", &twins, &mut missed).text();
        assert!(text.contains("1.100 > 1.05") && text.contains("2.200"), "{text}");
        assert_eq!(missed, ["m, c, p2p / C: 1.100, not ≤ 1.05"]);
        assert_eq!(times.cases().collect::<Vec<_>>(), ["c"]);
        assert_eq!(times.best_of("c", "m", &["isend"]), Some(2.0));
    }
}
