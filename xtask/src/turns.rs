//! What Parhelion adds to a library's calls: C and Rust in turns in one process, by the example `in_turns`.
//!
//! A virtual machine's processors lie now on one core of its host, now on two, and a message between them takes twice as long
//! there; two runs of one program differ by more than what is looked for. Within a run it cancels out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Case, Ratio, median, mpi_target, name};
use crate::launch::{Stderr, bounded, clean_command};
use crate::mpi::Library;
use crate::table::Table;
use crate::{Result, root, steps};

/// The example, and the source of its C half.
const PROGRAM: &str = "in_turns";
const SOURCE: &str = "crates/parhelion-cli/examples/in_turns.c";
/// How many runs make a round: they are short, and each has its own luck with cores and memory.
pub(crate) const RUNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// Builds both halves; where the Rust one came to lie.
pub(crate) fn build(libraries: &[Library]) -> Result<PathBuf> {
    for library in libraries {
        println!("== build: the C half of {PROGRAM} on {}", library.name);
        let object = object(library);
        let folder = object.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let mut compiler = clean_command(library.compiler());
        // As for the peers.
        compiler.env("OPAL_PREFIX", library.wheel.prefix());
        compiler.args(["-O3", "-march=native", "-shared", "-fPIC", "-o"]).arg(object).arg(root().join(SOURCE));
        let ran = bounded(compiler, &format!("{PROGRAM}-{}", library.name), Stderr::Captured, LIMIT)
            .map_err(|why| format!("{why}; the C half of {PROGRAM} needs a C compiler"))?;
        if !ran.end.success() {
            return Err(format!("{SOURCE} does not build on {}: {}\n{}", library.name, ran.end, ran.excerpt()));
        }
    }
    steps::build_release_example(PROGRAM)
}

fn object(library: &Library) -> PathBuf {
    root().join("target/peers").join(library.name).join(format!("{PROGRAM}.so"))
}

/// The run of `program` as `ranks` ranks of `library`.
pub(crate) fn run(program: &Path, library: &Library, ranks: usize) -> Command {
    let mut command = library.bound_command(ranks);
    command.env("PARHELION_BACKEND", "mpi").env("PARHELION_MPI_LIB", library.path());
    command.arg(program).arg(object(library));
    command
}

/// The quotients of neighbouring batches, by case and library; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct Turns {
    order: Vec<Case>,
    ratios: BTreeMap<(Case, &'static str), Vec<f64>>,
}

impl Turns {
    /// Adds the cases among the JSON lines of `out`; how many there were, or the first that computed nonsense.
    pub(crate) fn add(&mut self, library: &'static str, out: &str) -> Result<usize> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            let (Some(bench), Some(case), Some(ratio)) =
                (value["bench"].as_str(), value["case"].as_str(), value["ratio"].as_f64())
            else {
                return Err(format!("no `bench`, `case` or `ratio` in {line}"));
            };
            if value["ok"] != true {
                return Err(format!("a wrong result: {line}"));
            }
            let case = (bench.to_owned(), case.to_owned());
            if !self.order.contains(&case) {
                self.order.push(case.clone());
            }
            self.ratios.entry((case, library)).or_default().push(ratio);
            added += 1;
        }
        Ok(added)
    }

    /// The medians over rounds, a column for each library; the misses go to `missed`.
    pub(crate) fn table(&self, libraries: &[Library], missed: &mut Vec<String>) -> Table {
        let names: Vec<&'static str> = libraries.iter().map(|library| library.name).collect();
        let heading =
            ["Parhelion / C, in turns in one process"].into_iter().chain(names.iter().copied()).chain(["target"]);
        let mut table = Table::new(heading);
        for case in &self.order {
            let target = mpi_target(case);
            let mut row = vec![name(case)];
            for &library in &names {
                let value = self.ratios.get(&(case.clone(), library)).map(|ratios| median(ratios));
                // A quotient is already one.
                let ratio = Ratio::new(value, Some(1.0), target);
                missed.extend(ratio.missed(&format!("{library}, {}, in turns", name(case))));
                row.push(ratio.marked());
            }
            row.push(target.map_or_else(String::new, |target| format!("≤ {target:.2}")));
            table.row(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpi::LIBRARIES;

    #[test]
    fn medians_over_rounds_are_held_to_the_targets() {
        let mut all = Turns::default();
        let line = |ratio: f64| format!(r#"{{"bench":"pingpong","case":"8","ratio":{ratio},"ok":true}}"#);
        let [first, second] = [LIBRARIES[0], LIBRARIES[1]];
        for ratio in [1.01, 1.3, 1.06] {
            assert_eq!(all.add(first.name, &format!("a word\n{}\n", line(ratio))), Ok(1));
        }
        all.add(second.name, &line(0.98)).unwrap();
        let mut missed = Vec::new();
        let text = all.table(&[first, second], &mut missed).text();
        assert!(text.contains("1.060 > 1.05") && text.contains("0.980") && text.contains("≤ 1.05"), "{text}");
        assert_eq!(missed, [format!("{}, pingpong 8, in turns: 1.060, not ≤ 1.05", first.name)]);
        assert!(all.add(first.name, &line(1.0).replace("true", "false")).unwrap_err().contains("wrong result"));
        assert!(all.add(first.name, "{}").unwrap_err().contains("`bench`"));
    }
}
