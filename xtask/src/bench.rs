//! `cargo xtask bench`: the C peers, our mpi backend and our local backend, measured in turns in one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Measurements, Side, median};
use crate::launch::{Stderr, bounded, clean_command};
use crate::mpi::{self, LIBRARIES, Library};
use crate::{Result, root, shared, steps};

/// How long one measuring program, or the building of one, may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The ranks of every measurement, as the peers' published numbers have them.
const RANKS: usize = 2;

/// Each C program, and our operations that are measured right after it.
const TURNS: [(&str, &[&str]); 2] = [
    ("pingpong", &["pingpong", "exchange"]),
    ("coll", &["barrier", "allreduce", "broadcast", "allgather", "reducescatter"]),
];

/// The whole program that has a time to keep: the solve of a matrix by this many threads, in seconds.
const MATRIX: &str = "data/bcsstk16.mtx";
const SOLVE_RANKS: &str = "4";
const SOLVE_TARGET: f64 = 1.0;

/// What to measure, and where the tables go.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Two short rounds instead of five: a first look, not numbers to publish
    #[arg(long)]
    quick: bool,
    /// Only this library (a name that `cargo xtask mpi` prints), and the local backend
    #[arg(long, value_name = "NAME", value_parser = LIBRARIES.map(|library| library.name))]
    library: Option<String>,
    /// Also put the tables into this file, between the lines `<!-- bench -->` and `<!-- /bench -->`
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Measures and prints; whether every program ran. A missed target is reported and is no failure: machines differ.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let chosen = |library: &Library| options.library.as_ref().is_none_or(|name| name == library.name);
    let libraries: Vec<Library> = LIBRARIES.into_iter().filter(chosen).collect();
    let missing = mpi::install();
    if let Some((library, why)) = missing.iter().find(|(l, _)| libraries.contains(l)) {
        return Err(format!("cannot measure {}: {why}", library.name));
    }
    let ours = steps::build_programs(&["parhelion-cli"], "release")?;
    let ours = ours.get("parhelion").ok_or("cargo built no program `parhelion`")?;
    let peers = shared("peers");
    match &peers {
        Some(sources) => build_peers(sources, &libraries)?,
        None => println!("   the C peers are not measured: ../shared/peers does not exist"),
    }
    warn_if_busy();
    let rounds = if options.quick { 2 } else { 5 };
    let mut bench = Bench { quick: options.quick, ours, all: Measurements::default(), failures: Vec::new() };
    for round in 1..=rounds {
        println!("== round {round} of {rounds}");
        for (peer, operations) in TURNS {
            for library in &libraries {
                if peers.is_some() {
                    bench.peer(library, peer)?;
                }
                for operation in operations {
                    bench.mpi(library, operation)?;
                }
            }
            for operation in operations {
                bench.local(operation)?;
            }
        }
    }
    let solve = bench.solve(rounds)?;
    let Bench { all, failures, .. } = bench;
    let mut missed = Vec::new();
    let mut tables: Vec<_> = libraries.iter().map(|l| all.beside_peer(l.name, &mut missed)).collect();
    tables.push(all.beside_mpi(&mut missed));
    missed.extend(solve.iter().filter(|s| s.seconds > SOLVE_TARGET).map(Solve::sentence));
    for table in &tables {
        println!("\n{}", table.text());
    }
    if let Some(solve) = &solve {
        println!("{}", solve.sentence());
    }
    print_list("Targets missed", &missed);
    print_list("Failed", &failures);
    if let Some(file) = &options.markdown {
        let heading = format!("Measured on {}, {rounds} rounds in turns, medians, {RANKS} ranks.\n\n", machine());
        let tables: Vec<String> = tables.iter().map(|table| table.markdown()).collect();
        let closing = solve.map_or_else(String::new, |solve| format!("\n{}.\n", solve.sentence()));
        insert(file, &format!("{heading}{}{closing}", tables.join("\n")))?;
    }
    Ok(failures.is_empty())
}

fn print_list(heading: &str, lines: &[String]) {
    println!("\n{heading}: {}", if lines.is_empty() { "none" } else { "" });
    lines.iter().for_each(|line| println!("  {line}"));
}

/// A word of warning where other programs compete for the cores: a spinning rank that loses its core loses milliseconds.
fn warn_if_busy() {
    let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    if let Some(load) = load.filter(|load| *load > 0.5) {
        println!("   the load of this machine is {load} before the start: the numbers say little unless it falls");
    }
}

/// What is measured with, and what came out so far.
struct Bench<'a> {
    quick: bool,
    ours: &'a Path,
    all: Measurements,
    failures: Vec<String>,
}

impl Bench<'_> {
    fn peer(&mut self, library: &Library, program: &str) -> Result<()> {
        let mut command = library.bound_command(RANKS);
        command.arg(peer_path(library, program));
        self.measure(Side::Peer(library.name), program, command)
    }

    fn mpi(&mut self, library: &Library, operation: &str) -> Result<()> {
        let mut command = library.bound_command(RANKS);
        command.env("PARHELION_MPI_LIB", library.path());
        command.arg(self.ours).args(["bench", operation, "-n", &RANKS.to_string(), "--backend", "mpi", "--json"]);
        self.measure(Side::Mpi(library.name), operation, command)
    }

    fn local(&mut self, operation: &str) -> Result<()> {
        let mut command = clean_command(self.ours);
        command.args(["bench", operation, "-n", &RANKS.to_string(), "--backend", "local", "--pin", "--json"]);
        self.measure(Side::Local, operation, command)
    }

    fn measure(&mut self, side: Side, what: &str, mut command: Command) -> Result<()> {
        // The touch cases are not compared; the peers run them all the same.
        command.env("B_TOUCH_S", "0.01");
        if self.quick {
            command.envs([("B_TARGET_S", "0.002"), ("B_SAMPLES", "11")]);
        }
        let ran = bounded(command, &format!("bench-{what}"), Stderr::Captured, LIMIT)?;
        let added = self.all.add(side, &ran.out);
        let failure = match added {
            Err(why) => why,
            Ok(_) if !ran.end.success() => ran.end.to_string(),
            Ok(0) => "it printed no measurement".into(),
            Ok(_) => return Ok(()),
        };
        let failure = format!("{what}, {side}: {failure}");
        println!("   FAILED {failure}\n{}", ran.excerpt());
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
        Ok(())
    }

    /// The time to solve, where the matrix exists.
    fn solve(&mut self, rounds: usize) -> Result<Option<Solve>> {
        let Some(matrix) = shared(MATRIX) else {
            println!("   solve is not measured: ../shared/{MATRIX} does not exist");
            return Ok(None);
        };
        let mut samples = Vec::new();
        for _ in 0..rounds {
            let mut command = clean_command(self.ours);
            command.arg("solve").arg(&matrix).args(["-n", SOLVE_RANKS, "--backend", "local", "--json"]);
            let ran = bounded(command, "bench-solve", Stderr::Captured, LIMIT)?;
            let answer: Value = serde_json::from_str(ran.out.trim()).unwrap_or_default();
            match answer["seconds"]["total"].as_f64() {
                Some(seconds) if ran.end.success() => samples.push(seconds),
                _ => self.failures.push(format!("solve: {}, or no time in its answer", ran.end)),
            }
        }
        Ok((!samples.is_empty()).then(|| Solve { seconds: median(&samples) }))
    }
}

/// The median time of a solve, set-up included.
struct Solve {
    seconds: f64,
}

impl Solve {
    fn sentence(&self) -> String {
        let verdict = if self.seconds <= SOLVE_TARGET { "ok" } else { "MISSED" };
        format!(
            "solve {MATRIX} on {SOLVE_RANKS} threads: {:.3} s in all (≤ {SOLVE_TARGET:.0} s {verdict})",
            self.seconds
        )
    }
}

fn peer_path(library: &Library, program: &str) -> PathBuf {
    root().join("target/peers").join(library.name).join(program)
}

/// Builds the C programs with each library's own compiler wrapper.
fn build_peers(sources: &Path, libraries: &[Library]) -> Result<()> {
    for library in libraries {
        println!("== build: the C peers on {}", library.name);
        let out = root().join("target/peers").join(library.name);
        let mut make = clean_command("make");
        make.arg("--silent").arg("-C").arg(sources);
        make.arg(format!("MPICC={}", library.compiler().display())).arg(format!("OUT={}", out.display()));
        make.args(TURNS.map(|(program, _)| out.join(program)));
        // Open MPI's wrapper looks for its settings below the place its wheel was built for.
        make.env("OPAL_PREFIX", library.wheel.prefix());
        let ran = bounded(make, &format!("peers-{}", library.name), Stderr::Captured, LIMIT)
            .map_err(|why| format!("{why}; the C peers need make and a C compiler"))?;
        if !ran.end.success() {
            return Err(format!("the C peers do not build on {}: {}\n{}", library.name, ran.end, ran.excerpt()));
        }
    }
    Ok(())
}

/// Puts `text` between the markers in `file`; a file that does not exist yet gets them.
fn insert(file: &Path, text: &str) -> Result<()> {
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => format!("{OPEN}\n{CLOSE}\n"),
        Err(e) => return Err(format!("cannot read {}: {e}", file.display())),
    };
    let new = spliced(&old, text).ok_or_else(|| format!("{} has no lines {OPEN} and {CLOSE}", file.display()))?;
    fs::write(file, new).map_err(|e| format!("cannot write {}: {e}", file.display()))
}

const OPEN: &str = "<!-- bench -->";
const CLOSE: &str = "<!-- /bench -->";

fn spliced(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(OPEN)?;
    let (_, after) = rest.split_once(CLOSE)?;
    Some(format!("{before}{OPEN}\n{}\n{CLOSE}{after}", text.trim_end()))
}

/// Processor, cores and day.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unnamed processor", |(_, name)| name);
    let day = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().map(|o| o.stdout).unwrap_or_default();
    format!("{model}, {} cores, {}", mpi::cores(), String::from_utf8_lossy(&day).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_what_stood_between_the_markers() {
        let old = "# Title\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n";
        let new = spliced(old, "new\n").unwrap();
        assert_eq!(new, "# Title\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n");
        assert_eq!(spliced(&new, "new").unwrap(), new);
        assert_eq!(spliced("no markers", "new"), None);
    }
}
