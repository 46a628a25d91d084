//! `cargo xtask bench`: the C peers and our backends, measured in turns in one run.
//!
//! Five parts: what each backend takes beside C in one job ([`crate::turns`]), messages and collectives ([`crate::compare`]), halo
//! exchanges of blocks ([`crate::halo`]) and of index lists ([`crate::sparse`]), and processes without MPI beside bare sockets and
//! beside MPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Measurements, Side, median};
use crate::exchange::{Arguments, ExchangeTimes};
use crate::launch::{Ran, Stderr, bounded, clean_command};
use crate::machine::{ProcessorTime, machine, warn_if_busy};
use crate::mpi::{self, LIBRARIES, Library};
use crate::sparse::{self, AssemblyTimes};
use crate::table::Table;
use crate::turns::{self, Turns};
use crate::{Result, halo, root, shared, steps};

/// How long one measuring program, or the building of one, may take.
const LIMIT: Duration = Duration::from_secs(300);

/// A run is calm if the host of this machine kept back no more than so many percent of the processors' time.
const CALM: f64 = 2.0;
/// So often, at most, is one run made for a calm one.
const TRIES: usize = 4;

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

/// What the tcp backend is compared with, unless `--library` names another one.
const BESIDE_TCP: &str = "openmpi-5.0.11";
/// Ranks of a job that does next to nothing, and how long that may take from the command to its end, in seconds.
const START_RANKS: &str = "4";
const START_TARGET: f64 = 0.1;

/// What is measured.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    /// Messages and reductions by each backend, in turns with C in one job
    Turns,
    /// Messages, collectives and the solve of a matrix
    Messages,
    /// Halo exchanges of blocks
    Halo,
    /// Halo exchanges of index lists, and the assembly of descriptors
    Sparse,
    /// Processes over tcp: messages, halo exchanges in shared memory, the start of a job
    Tcp,
}

impl Part {
    /// The lines between which its tables stand in a document.
    fn markers(self) -> [&'static str; 2] {
        match self {
            Part::Turns => ["<!-- bench turns -->", "<!-- /bench turns -->"],
            Part::Messages => ["<!-- bench -->", "<!-- /bench -->"],
            Part::Halo => ["<!-- bench halo -->", "<!-- /bench halo -->"],
            Part::Sparse => ["<!-- bench sparse -->", "<!-- /bench sparse -->"],
            Part::Tcp => ["<!-- bench tcp -->", "<!-- /bench tcp -->"],
        }
    }
}

/// What to measure, and where the tables go.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Two short rounds instead of five: a first look, not numbers to publish
    #[arg(long)]
    quick: bool,
    /// Rounds, each of which runs every program once [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "quick")]
    rounds: Option<u32>,
    /// Only this library (a name that `cargo xtask mpi` prints), and the local backend
    #[arg(long, value_name = "NAME", value_parser = LIBRARIES.map(|library| library.name))]
    library: Option<String>,
    /// Also put the tables into this file, between lines such as `<!-- bench -->` and `<!-- /bench -->`
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
    let ours = steps::build_release()?;
    let ours = ours.get("parhelion").ok_or("cargo built no program `parhelion`")?;
    let peers = shared("peers");
    match &peers {
        Some(sources) => build_peers(sources, &libraries)?,
        None => println!("   the C peers are not measured: ../shared/peers does not exist"),
    }
    warn_if_busy();
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 });
    let has = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut bench =
        Bench { quick: options.quick, ours, has_peers: peers.is_some(), rounds, stolen: 0.0, failures: Vec::new() };
    let (mut missed, mut written) = (Vec::new(), Vec::new());
    if has(Part::Turns) {
        written.push((Part::Turns, bench.turns(&libraries, &mut missed)?, String::new()));
    }
    if has(Part::Messages) {
        let (tables, closing) = bench.messages(&libraries, &mut missed)?;
        written.push((Part::Messages, tables, closing));
    }
    if has(Part::Halo) {
        written.push((Part::Halo, bench.halo(&libraries, &mut missed)?, String::new()));
    }
    if has(Part::Sparse) {
        written.push((Part::Sparse, bench.sparse(&libraries, &mut missed)?, String::new()));
    }
    if has(Part::Tcp) {
        build_sockets()?;
        let beside = libraries.iter().find(|l| options.library.is_some() || l.name == BESIDE_TCP);
        let beside = beside.expect("the library beside tcp is one of all");
        let (tables, closing) = bench.tcp(beside, &mut missed)?;
        written.push((Part::Tcp, tables, closing));
    }
    let stolen =
        format!("during each of which the host kept back at most {:.1} % of the processors' time", bench.stolen);
    let rounds = format!("{rounds} round{}", if rounds == 1 { "" } else { "s" });
    for (_, tables, closing) in &written {
        tables.iter().for_each(|table| println!("\n{}", table.text()));
        println!("{closing}");
    }
    println!("{rounds} on {}, of runs {stolen}.", machine());
    print_list("Targets missed", &missed);
    print_list("Failed", &bench.failures);
    if let Some(file) = &options.markdown {
        for (part, tables, closing) in &written {
            let heading =
                format!("Measured on {}, {rounds} in turns, medians, {RANKS} ranks, of runs {stolen}.\n\n", machine());
            let tables: Vec<String> = tables.iter().map(Table::markdown).collect();
            insert(file, part.markers(), &format!("{heading}{}\n{closing}", tables.join("\n")))?;
        }
    }
    Ok(bench.failures.is_empty())
}

fn print_list(heading: &str, lines: &[String]) {
    println!("\n{heading}: {}", if lines.is_empty() { "none" } else { "" });
    lines.iter().for_each(|line| println!("  {line}"));
}

/// What is measured with, and what came out so far.
struct Bench<'a> {
    quick: bool,
    ours: &'a Path,
    has_peers: bool,
    rounds: u32,
    /// The largest share of the processors' time, in percent, that the host kept back during a run that counts.
    stolen: f64,
    failures: Vec<String>,
}

impl Bench<'_> {
    /// Each backend beside C in one job: their tables.
    fn turns(&mut self, libraries: &[Library], missed: &mut Vec<String>) -> Result<Vec<Table>> {
        let program = turns::build(libraries)?;
        let mut all = Turns::default();
        for round in 1..=self.rounds {
            println!("== in turns with C, round {round} of {}", self.rounds);
            for library in libraries {
                let mut add = |_, out: &str| all.add(library.name, out);
                for _ in 0..turns::RUNS {
                    let command = turns::as_guest(&program, library, RANKS);
                    self.measure("in turns", Some(Side::Mpi(library.name)), command, &mut add)?;
                }
                let command = turns::beside(&program, library, RANKS)?;
                self.measure("in turns", Some(Side::Peer(library.name)), command, &mut add)?;
            }
        }
        Ok(all.tables(libraries, missed))
    }

    /// Messages, collectives and the solve: their tables, and a closing sentence.
    fn messages(&mut self, libraries: &[Library], missed: &mut Vec<String>) -> Result<(Vec<Table>, String)> {
        let mut all = Measurements::default();
        let mut add = |side: Option<Side>, out: &str| all.add(side.expect("no limits here"), out);
        for round in 1..=self.rounds {
            println!("== messages and collectives, round {round} of {}", self.rounds);
            for (program, operations) in TURNS {
                for library in libraries {
                    if self.has_peers {
                        let command = peer(library, program);
                        self.measure(program, Some(Side::Peer(library.name)), command, &mut add)?;
                    }
                    for operation in operations {
                        let command = self.mpi(library, operation);
                        self.measure(operation, Some(Side::Mpi(library.name)), command, &mut add)?;
                    }
                }
                for operation in operations {
                    let command = self.local(operation);
                    self.measure(operation, Some(Side::Local), command, &mut add)?;
                }
            }
        }
        let solve = self.solve()?;
        let mut tables: Vec<_> = libraries.iter().map(|l| all.beside_peer(l.name, missed)).collect();
        tables.push(all.beside_mpi(missed));
        missed.extend(solve.iter().filter(|s| s.seconds > SOLVE_TARGET).map(Solve::sentence));
        Ok((tables, solve.map_or_else(String::new, |solve| format!("{}.\n", solve.sentence()))))
    }

    /// Halo exchanges: their tables.
    fn halo(&mut self, libraries: &[Library], missed: &mut Vec<String>) -> Result<Vec<Table>> {
        let mut all = ExchangeTimes::default();
        if self.has_peers {
            // Alone and once: it pins its own threads, and takes minutes with its samples.
            let mut command = clean_command(limits_path());
            command.arg("face");
            self.measure("limits", None, command, &mut |side, out| all.add(side, out))?;
        }
        self.exchanges("halo exchanges", ["halo3d", "halo"], &halo::cases(), libraries, &mut all)?;
        let mut tables: Vec<_> = libraries.iter().map(|l| halo::beside_peer(&all, l.name, missed)).collect();
        tables.push(halo::beside_limit(&all, missed));
        tables.extend(libraries.iter().map(|l| all.by_scheme(l.name, &halo::TWINS, missed)));
        Ok(tables)
    }

    /// Index lists: their tables.
    fn sparse(&mut self, libraries: &[Library], missed: &mut Vec<String>) -> Result<Vec<Table>> {
        let mut all = ExchangeTimes::default();
        self.exchanges("index lists", ["halo_sparse", "sparse"], &sparse::cases(), libraries, &mut all)?;
        println!("== assembly of descriptors");
        let mut assemblies = AssemblyTimes::default();
        for (ranks, arguments) in sparse::assemblies() {
            let mut command = clean_command(self.ours);
            command.args(["bench", "sparse", "-n", &ranks.to_string(), "--backend", "local", "--assembly", "--json"]);
            command.args(arguments);
            self.measure("assembly", Some(Side::Local), command, &mut |_, out| assemblies.add(out))?;
        }
        let names: Vec<_> = libraries.iter().map(|l| l.name).collect();
        let mut tables: Vec<_> = names.iter().map(|name| sparse::beside_peer(&all, name, missed)).collect();
        tables.push(sparse::beside_pull(&all, &names, missed));
        tables.extend(names.iter().map(|name| all.by_scheme(name, &sparse::TWINS, missed)));
        tables.push(assemblies.table());
        Ok(tables)
    }

    /// Processes over tcp beside bare sockets and beside `library`: their tables, and a closing sentence.
    fn tcp(&mut self, library: &Library, missed: &mut Vec<String>) -> Result<(Vec<Table>, String)> {
        let program = steps::build_release_example("halo_in_turns")?;
        let (mut messages, mut halos) = (Measurements::default(), halo::InTurns::default());
        let mut starts = Vec::new();
        for round in 1..=self.rounds {
            println!("== processes over tcp, round {round} of {}", self.rounds);
            let mut add = |side: Option<Side>, out: &str| messages.add(side.expect("no limits here"), out);
            self.measure("sockets", Some(Side::Sockets), clean_command(sockets_path()), &mut add)?;
            let mut over_wire = self.over_tcp("pingpong");
            over_wire.env("PARHELION_SHARED_MEMORY", "0");
            self.measure("pingpong", Some(Side::Wire), over_wire, &mut add)?;
            self.measure("pingpong", Some(Side::Tcp), self.over_tcp("pingpong"), &mut add)?;
            if self.has_peers {
                self.measure("pingpong", Some(Side::Peer(library.name)), peer(library, "pingpong"), &mut add)?;
            }
            for _ in 0..turns::RUNS {
                let command = turns::of_halos(&program, library, RANKS)?;
                self.measure("halos in turns", Some(Side::Tcp), command, &mut |_, out| halos.add(out))?;
            }
            starts.extend(self.start()?);
        }
        let tables = vec![messages.beside_sockets(library.name, missed), halos.table(library.name, missed)];
        let closing = (!starts.is_empty()).then(|| {
            let seconds = median(&starts);
            let verdict = if seconds <= START_TARGET { "ok" } else { "MISSED" };
            let sentence = format!(
                "A job of {START_RANKS} processes that solves 64 equations, from the command to its end: {:.0} ms (≤ {:.0} ms {verdict})",
                1e3 * seconds,
                1e3 * START_TARGET
            );
            missed.extend((seconds > START_TARGET).then(|| sentence.clone()));
            sentence + ".\n"
        });
        Ok((tables, closing.unwrap_or_default()))
    }

    /// How long a job takes that has next to nothing to do, in seconds.
    fn start(&mut self) -> Result<Option<f64>> {
        let mut command = clean_command(self.ours);
        command.args(["solve", "--pde", "4", "-n", START_RANKS, "--backend", "tcp", "--json"]);
        let ran = self.calm_run(command, "bench-start")?;
        if !ran.end.success() {
            self.failures.push(format!("start: {}", ran.end));
            return Ok(None);
        }
        Ok(Some(ran.took.as_secs_f64()))
    }

    /// Measures exchanges in rounds: each case by the C program on each library, by us on it, and by threads.
    fn exchanges(
        &mut self,
        what: &str,
        [program, operation]: [&str; 2],
        cases: &[Arguments],
        libraries: &[Library],
        all: &mut ExchangeTimes,
    ) -> Result<()> {
        let mut add = |side, out: &str| all.add(side, out);
        for round in 1..=self.rounds {
            println!("== {what}, round {round} of {}", self.rounds);
            for case in cases {
                for library in libraries {
                    let runs = if self.has_peers { &case.peer[..] } else { &[] };
                    for arguments in runs {
                        let mut command = peer(library, program);
                        command.args(arguments);
                        self.measure(program, Some(Side::Peer(library.name)), command, &mut add)?;
                    }
                    let mut command = self.mpi(library, operation);
                    command.args(&case.ours);
                    self.measure(operation, Some(Side::Mpi(library.name)), command, &mut add)?;
                }
                let mut command = self.local(operation);
                command.args(&case.ours).args(["--scheme", "shared"]);
                self.measure(operation, Some(Side::Local), command, &mut add)?;
            }
        }
        Ok(())
    }

    fn mpi(&self, library: &Library, operation: &str) -> Command {
        let mut command = library.bound_command(RANKS);
        command.env("PARHELION_MPI_LIB", library.path());
        command.arg(self.ours).args(["bench", operation, "-n", &RANKS.to_string(), "--backend", "mpi", "--json"]);
        command
    }

    fn over_tcp(&self, operation: &str) -> Command {
        let mut command = clean_command(self.ours);
        command.args(["bench", operation, "-n", &RANKS.to_string(), "--backend", "tcp", "--pin", "--json"]);
        command
    }

    fn local(&self, operation: &str) -> Command {
        let mut command = clean_command(self.ours);
        command.args(["bench", operation, "-n", &RANKS.to_string(), "--backend", "local", "--pin", "--json"]);
        command
    }

    /// Runs `command` and gives what it printed to `add`, which answers how many measurements that were.
    fn measure(
        &mut self,
        what: &str,
        side: Option<Side>,
        mut command: Command,
        add: &mut dyn FnMut(Option<Side>, &str) -> Result<usize>,
    ) -> Result<()> {
        // The touch cases are not compared; the peers run them all the same.
        command.env("B_TOUCH_S", "0.01");
        if self.quick {
            command.envs([("B_TARGET_S", "0.002"), ("B_SAMPLES", "11")]);
        }
        let ran = self.calm_run(command, &format!("bench-{what}"))?;
        let failure = match add(side, &ran.out) {
            Err(why) => why,
            Ok(_) if !ran.end.success() => ran.end.to_string(),
            Ok(0) => "it printed no measurement".into(),
            Ok(_) => return Ok(()),
        };
        let side = side.map_or_else(|| "the limits".to_owned(), |side| side.to_string());
        let failure = format!("{what}, {side}: {failure}");
        println!("   FAILED {failure}\n{}", ran.excerpt());
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
        Ok(())
    }

    /// Runs `command`; again where the host of this virtual machine kept its processors busy with others, and the calmest run
    /// counts. What is measured has no say in it.
    fn calm_run(&mut self, mut command: Command, name: &str) -> Result<Ran> {
        let mut calmest: Option<(f64, Ran)> = None;
        for _ in 0..TRIES {
            let before = ProcessorTime::now();
            let ran = bounded(&mut command, name, Stderr::Captured, LIMIT)?;
            let stolen = before.zip(ProcessorTime::now()).map_or(0.0, |(before, after)| after.stolen_since(before));
            if calmest.as_ref().is_none_or(|(least, _)| stolen < *least) {
                calmest = Some((stolen, ran));
            }
            if stolen <= CALM {
                break;
            }
        }
        let (stolen, ran) = calmest.expect("there is at least one try");
        self.stolen = self.stolen.max(stolen);
        Ok(ran)
    }

    /// The time to solve, where the matrix exists.
    fn solve(&mut self) -> Result<Option<Solve>> {
        let Some(matrix) = shared(MATRIX) else {
            println!("   solve is not measured: ../shared/{MATRIX} does not exist");
            return Ok(None);
        };
        let mut samples = Vec::new();
        for _ in 0..self.rounds {
            let mut command = clean_command(self.ours);
            command.arg("solve").arg(&matrix).args(["-n", SOLVE_RANKS, "--backend", "local", "--json"]);
            let ran = self.calm_run(command, "bench-solve")?;
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

/// The C program on its library.
fn peer(library: &Library, program: &str) -> Command {
    let mut command = library.bound_command(RANKS);
    command.arg(peer_path(library, program));
    command
}

/// The program that needs no MPI.
fn limits_path() -> PathBuf {
    root().join("target/peers/limits")
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
        make.args(["pingpong", "coll", "halo3d", "halo_sparse"].map(|program| out.join(program)));
        // Open MPI's wrapper looks for its settings below the place its wheel was built for.
        make.env("OPAL_PREFIX", library.wheel.prefix());
        if library.has_persistent_collectives() {
            make.arg("PCOLL=1");
        }
        let ran = bounded(make, &format!("peers-{}", library.name), Stderr::Captured, LIMIT)
            .map_err(|why| format!("{why}; the C peers need make and a C compiler"))?;
        if !ran.end.success() {
            return Err(format!("the C peers do not build on {}: {}\n{}", library.name, ran.end, ran.excerpt()));
        }
    }
    println!("== build: the limits");
    let mut compiler = clean_command("cc");
    compiler.args(["-O3", "-march=native", "-std=gnu11", "-D_GNU_SOURCE=", "-lpthread", "-include"]);
    compiler.arg(root().join("xtask/src/without_avx512.h"));
    compiler.arg("-o").arg(limits_path()).arg(sources.join("limits.c"));
    let ran = bounded(compiler, "peers-limits", Stderr::Captured, LIMIT)?;
    if !ran.end.success() {
        return Err(format!("the limits do not build: {}\n{}", ran.end, ran.excerpt()));
    }
    Ok(())
}

/// The C program that needs no library at all.
fn sockets_path() -> PathBuf {
    root().join("target/peers/sockets")
}

fn build_sockets() -> Result<()> {
    println!("== build: the sockets");
    fs::create_dir_all(root().join("target/peers")).map_err(|e| format!("cannot make target/peers: {e}"))?;
    let mut compiler = clean_command("cc");
    compiler.args(["-O3", "-std=gnu11", "-o"]).arg(sockets_path()).arg(root().join("xtask/src/sockets.c"));
    let ran = bounded(compiler, "peers-sockets", Stderr::Captured, LIMIT)?;
    if ran.end.success() { Ok(()) } else { Err(format!("the sockets do not build: {}\n{}", ran.end, ran.excerpt())) }
}

/// Puts `text` between the markers in `file`; a file that does not exist yet gets them.
fn insert(file: &Path, [open, close]: [&str; 2], text: &str) -> Result<()> {
    let old = match fs::read_to_string(file) {
        Ok(old) => old,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => format!("{open}\n{close}\n"),
        Err(e) => return Err(format!("cannot read {}: {e}", file.display())),
    };
    let new = spliced(&old, [open, close], text)
        .ok_or_else(|| format!("{} has no lines {open} and {close}", file.display()))?;
    fs::write(file, new).map_err(|e| format!("cannot write {}: {e}", file.display()))
}

fn spliced(old: &str, [open, close]: [&str; 2], text: &str) -> Option<String> {
    let (before, rest) = old.split_once(open)?;
    let (_, after) = rest.split_once(close)?;
    Some(format!("{before}{open}\n{}\n{close}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_what_stood_between_the_markers() {
        let old = "# Title\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n";
        let markers = Part::Messages.markers();
        let new = spliced(old, markers, "new\n").unwrap();
        assert_eq!(new, "# Title\n<!-- bench -->\nnew\n<!-- /bench -->\nafter\n");
        assert_eq!(spliced(&new, markers, "new").unwrap(), new);
        assert_eq!(spliced("no markers", markers, "new"), None);
    }
}
