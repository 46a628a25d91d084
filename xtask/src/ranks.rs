//! Runs of our programs with several ranks, on every carrier of messages.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::carrier::Carrier;
use crate::launch::{Ran, Stderr, bounded, clean_command};
use crate::mpi::{Library, cores};
use crate::report::{Report, Verdict};
use crate::{Result, endings, excerpt, faults, shared, steps, test};

const QUICK_RANKS: [usize; 2] = [1, 3];
const QUICK_LIBRARIES: [&str; 2] = ["openmpi-5.0.11", "mpich-5.0.2"];

/// Where the tests of gigabytes run, when asked for.
const LARGE_ROW: &str = "conformance";
const LARGE_RANKS: usize = 2;
const LARGE_LIBRARIES: [&str; 2] = ["openmpi-5.0.11", "mpich-5.0.2"];
const LARGE_LIMIT: Duration = Duration::from_secs(1800);

/// The examples a reader is pointed to; each checks its own result.
const EXAMPLES: [&str; 5] = ["heat", "patches", "tasks", "transpose", "wave"];
const EXAMPLE_RANKS: usize = 2;

/// The whole-program test: the matrix, the ranks, and the iterations of a plain conjugate gradient (SciPy's: 197).
const MATRIX: &str = "data/bcsstk16.mtx";
const SOLVE_RANKS: usize = 3;
const SOLVE_ITERATIONS: std::ops::RangeInclusive<u64> = 194..=200;

/// A program that closes with `NAME: N passed, N failed, N skipped`, as it is run for one row of the table.
struct Suite {
    row: &'static str,
    program: &'static str,
    /// Parts of the names of its cases; all run if there are none.
    filters: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// On which backends it runs.
    backends: &'static [&'static str],
    /// With how many ranks: all that the carrier has, or these.
    ranks: Option<&'static [usize]>,
    talk: Talk,
}

/// How much a program talks: what takes it seconds may take minutes where waiting ranks keep the cores from the others. There only
/// some cases run, those with one of the given parts in their names.
enum Talk {
    /// All run everywhere.
    Little,
    /// It is much for a library that never yields, with more than two ranks for a core.
    Much(&'static [&'static str]),
    /// It is much for every library that starves ranks, with more of them than cores.
    Most(&'static [&'static str]),
}

/// What is about collectives.
const COLLECTIVES: &[&str] = &["movement:", "varying:", "reductions:", "inflight:"];
/// And what is about messages, too.
const MESSAGES: &[&str] =
    &["point_to_point:", "probes:", "scopes:", "errors:", "movement:", "varying:", "reductions:", "inflight:"];

const EVERYWHERE: &[&str] = &["local", "tcp", "mpi"];

const FEW_RANKS: Option<&[usize]> = Some(&[2, 3]);
/// The cases with most ways through the code.
const FEW_CASES: &[&str] = &["all_reduce in every form", "reduce_scatter of any counts", "every kind at once"];

const SUITES: [Suite; 8] = [
    Suite {
        row: "abi_check",
        program: "abi_check",
        filters: &[],
        environment: &[],
        backends: &["mpi"],
        ranks: None,
        talk: Talk::Little,
    },
    Suite {
        row: "conformance",
        program: "conformance",
        filters: &[],
        environment: &[],
        backends: EVERYWHERE,
        ranks: None,
        talk: Talk::Much(&["point_to_point:", "matching:", "movement:", "reductions:", "errors:", "mismatches:"]),
    },
    Suite {
        row: "arrays",
        program: "array_conformance",
        filters: &[],
        environment: &[],
        backends: EVERYWHERE,
        ranks: None,
        talk: Talk::Most(&[
            "a mesh of 8 x 8",
            "ranks that own nothing",
            "several fields",
            "a dropped exchange",
            "redistribution keeps",
            "edges go with their rows",
        ]),
    },
    // What the default thread level forbids, and the row above therefore leaves out.
    Suite {
        row: "conformance, threads",
        program: "conformance",
        filters: &["threads:"],
        environment: &[("PARHELION_THREAD_LEVEL", "multiple")],
        backends: &["tcp", "mpi"],
        ranks: None,
        talk: Talk::Little,
    },
    // There a call within a call is refused.
    Suite {
        row: "conformance, serialized",
        program: "conformance",
        filters: &["sets:", "windows:", "inflight:", "threads:"],
        environment: &[("PARHELION_THREAD_LEVEL", "serialized")],
        backends: &["mpi"],
        ranks: Some(&[2]),
        talk: Talk::Little,
    },
    // The rows above check the arguments of every collective, which leads them other ways than a release build's: on MPI, its
    // blocking functions are called only without checks.
    Suite {
        row: "conformance, unchecked",
        program: "conformance",
        filters: COLLECTIVES,
        environment: &[("PARHELION_CHECK", "0")],
        backends: &["tcp", "mpi"],
        ranks: FEW_RANKS,
        talk: Talk::Most(FEW_CASES),
    },
    // What counts do not fit in an `int` is cut in pieces, sent as a derived type, or replaced.
    Suite {
        row: "conformance, small counts",
        program: "conformance",
        filters: MESSAGES,
        environment: &[("PARHELION_CHECK", "0"), ("PARHELION_MPI_MAX_COUNT", "1000")],
        backends: &["mpi"],
        ranks: FEW_RANKS,
        talk: Talk::Most(FEW_CASES),
    },
    // A call with a deadline cannot be the library's blocking one, and works on copies.
    Suite {
        row: "conformance, timed",
        program: "conformance",
        filters: MESSAGES,
        environment: &[("PARHELION_CHECK", "0"), ("PARHELION_TIMEOUT", "30")],
        backends: EVERYWHERE,
        ranks: FEW_RANKS,
        talk: Talk::Most(FEW_CASES),
    },
];

/// What of all this is to run.
pub(crate) struct Selection<'a> {
    pub(crate) options: &'a test::Options,
    /// The libraries that could not be installed.
    pub(crate) missing: &'a [(Library, String)],
}

impl Selection<'_> {
    /// Why `ranks` ranks on `carrier` are left out, if they are.
    pub(crate) fn left_out(&self, carrier: Carrier, ranks: usize) -> Option<&'static str> {
        let library = carrier.library();
        let is = |name: &str| library.is_none_or(|l| l.name == name);
        if self.options.library.as_deref().is_some_and(|name| !is(name)) {
            Some("left out by --library")
        } else if self.options.quick && !(QUICK_RANKS.contains(&ranks) && QUICK_LIBRARIES.into_iter().any(is)) {
            Some("left out by --quick")
        } else if self.missing.iter().any(|(missing, _)| library == Some(missing)) {
            Some("the library could not be installed")
        } else {
            None
        }
    }

    /// Whether the tests of gigabytes run here: where messages are copied by us, and on an MPI with and one without
    /// functions for large counts.
    fn is_large(&self, suite: &Suite, carrier: Carrier, ranks: usize) -> bool {
        let asked = self.options.large && suite.row == LARGE_ROW;
        asked && ranks == LARGE_RANKS && carrier.library().is_none_or(|l| LARGE_LIBRARIES.contains(&l.name))
    }
}

/// Runs every program on every carrier.
pub(crate) fn run(selection: &Selection<'_>, report: &mut Report) -> Result<()> {
    let programs = match steps::build_programs() {
        Ok(programs) => programs,
        Err(why) => {
            println!("   {why}");
            report.add("build", &Verdict::failed(why));
            BTreeMap::new()
        }
    };
    let Some(launcher) = programs.get("parhelion") else {
        report.add("parhelion", &Verdict::failed("there is no such program"));
        return Ok(());
    };
    for suite in SUITES {
        let Some(path) = programs.get(suite.program) else {
            report.add(suite.row, &Verdict::failed(format!("there is no program {}", suite.program)));
            continue;
        };
        for carrier in Carrier::all().filter(|carrier| suite.backends.contains(&carrier.backend())) {
            suite.run(launcher, path, carrier, selection, report)?;
        }
    }
    match programs.get("faults") {
        Some(path) => faults::run(path, selection.options.quick, report)?,
        None => report.add("faults", &Verdict::failed("there is no such example")),
    }
    match programs.get("ending") {
        Some(path) => endings::run(launcher, path, selection, report)?,
        None => report.add("ending", &Verdict::failed("there is no such example")),
    }
    for example in EXAMPLES {
        match programs.get(example) {
            Some(path) => run_example(example, launcher, path, selection, report)?,
            None => report.add(example, &Verdict::failed("there is no such example")),
        }
    }
    solve(launcher, selection, report)
}

impl Suite {
    /// Runs it on one carrier with each number of ranks.
    fn run(
        &self,
        launcher: &Path,
        path: &Path,
        carrier: Carrier,
        selection: &Selection<'_>,
        report: &mut Report,
    ) -> Result<()> {
        let row = row(carrier, self.row);
        let mut hung = false;
        for &ranks in self.ranks.unwrap_or(carrier.ranks()) {
            // One that hangs may hang at every number of ranks, and all of that may take hours.
            let left_out = hung.then_some("it did not end with fewer ranks");
            if let Some(why) = left_out.or_else(|| selection.left_out(carrier, ranks)) {
                report.add_cell(&row, ranks, &Verdict::skipped(&row, why));
                continue;
            }
            let some = self.some(carrier, ranks, cores());
            let large = selection.is_large(self, carrier, ranks);
            let filters = some.unwrap_or(self.filters);
            let ran = self.run_once(launcher, path, carrier, ranks, filters, large)?;
            hung = ran.timed_out();
            report.add_cell(&row, ranks, &say(&row, ranks, Verdict::of_program(self.program, &ran), &ran));
            if some.is_some() {
                let why = "its waiting ranks keep the cores from the others, and there are too few here";
                report.add_cell(&row, ranks, &Verdict::skipped("the other cases", why));
            }
        }
        Ok(())
    }

    /// The cases that run where so many ranks on so many cores would take minutes for what takes seconds.
    fn some(&self, carrier: Carrier, ranks: usize, cores: usize) -> Option<&'static [&'static str]> {
        let library = carrier.library()?;
        match self.talk {
            Talk::Little => None,
            Talk::Much(some) => (library.never_yields() && ranks > 2 * cores).then_some(some),
            Talk::Most(some) => (library.starves && ranks > cores).then_some(some),
        }
    }

    fn run_once(
        &self,
        launcher: &Path,
        path: &Path,
        carrier: Carrier,
        ranks: usize,
        filters: &[&str],
        large: bool,
    ) -> Result<Ran> {
        let mut command = carrier.command(launcher, path, ranks);
        // Named, so that what is tested is what the table says; `solve` tests that it is found unnamed.
        command.env("PARHELION_BACKEND", carrier.backend());
        if let Some(library) = carrier.library() {
            command.env("PARHELION_MPI_LIB", library.path());
        }
        command.args(filters.iter().flat_map(|part| ["--filter", part])).envs(self.environment.iter().copied());
        let mut limit = carrier.limit(ranks);
        if large {
            command.arg("--large");
            limit = LARGE_LIMIT;
        }
        let log = format!("{}-{}-{ranks}", self.row.replace(", ", "-").replace(' ', "-"), carrier.name());
        bounded(command, &log, Stderr::Captured, limit)
    }
}

/// An example on every carrier: it ends well and prints what rank 0 says.
fn run_example(
    name: &str,
    launcher: &Path,
    program: &Path,
    selection: &Selection<'_>,
    report: &mut Report,
) -> Result<()> {
    for carrier in Carrier::all() {
        let row = row(carrier, "examples");
        if let Some(why) = selection.left_out(carrier, EXAMPLE_RANKS) {
            report.add_cell(&row, EXAMPLE_RANKS, &Verdict::skipped(name, why));
            continue;
        }
        let mut command = carrier.command(launcher, program, EXAMPLE_RANKS);
        if let Some(library) = carrier.library() {
            command.env("PARHELION_MPI_LIB", library.path());
        }
        let log = format!("example-{name}-{}", carrier.name());
        let ran = bounded(command, &log, Stderr::Captured, carrier.limit(EXAMPLE_RANKS))?;
        let verdict = match (ran.end.success(), ran.out.lines().count()) {
            (true, 1) => Verdict::passed(),
            (true, lines) => Verdict::failed(format!("{name} printed {lines} lines instead of one")),
            (false, _) => Verdict::failed(format!("{name}: {}", ran.end)),
        };
        report.add_cell(&row, EXAMPLE_RANKS, &say(&row, EXAMPLE_RANKS, verdict, &ran));
    }
    Ok(())
}

/// `parhelion solve`: the same file on every carrier, in the same number of iterations.
fn solve(program: &Path, selection: &Selection<'_>, report: &mut Report) -> Result<()> {
    let matrix = shared(MATRIX);
    let mut arguments: Vec<OsString> = vec!["solve".into(), "--json".into()];
    match &matrix {
        Some(path) => arguments.push(path.into()),
        None => {
            arguments.extend(["--pde".into(), "16".into()]);
            let why = format!("../shared/{MATRIX} does not exist; the operator of --pde 16 is solved instead");
            report.add("parhelion solve", &Verdict::skipped("bcsstk16", why));
        }
    }
    let allowed = matrix.as_ref().map(|_| SOLVE_ITERATIONS);
    let mut iterations: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for carrier in Carrier::all() {
        let row = row(carrier, "solve");
        if let Some(why) = selection.left_out(carrier, SOLVE_RANKS) {
            report.add_cell(&row, SOLVE_RANKS, &Verdict::skipped(&row, why));
            continue;
        }
        let ran = run_solve(program, &arguments, carrier)?;
        let verdict = match judge_solve(carrier, allowed.as_ref(), &ran) {
            Ok(count) => {
                iterations.entry(count).or_default().push(carrier.name());
                Verdict::passed()
            }
            Err(why) => Verdict::failed(why),
        };
        report.add_cell(&row, SOLVE_RANKS, &say(&row, SOLVE_RANKS, verdict, &ran));
    }
    let agreement = match iterations.len() {
        0 => Verdict::failed("no run of solve gave a number of iterations"),
        1 => Verdict::passed(),
        _ => Verdict::failed(format!("the number of iterations depends on what carries the messages: {iterations:?}")),
    };
    report.add("solve, the same iterations everywhere", &agreement);
    Ok(())
}

fn run_solve(program: &Path, arguments: &[OsString], carrier: Carrier) -> Result<Ran> {
    let mut command = match carrier {
        Carrier::Mpi(library) => {
            let mut command = carrier.command(program, program, SOLVE_RANKS);
            if library.must_be_named() {
                command.env("PARHELION_MPI_LIB", library.path());
            }
            command
        }
        // It starts its ranks itself.
        Carrier::Local | Carrier::Tcp { .. } => clean_command(program),
    };
    command.args(arguments);
    if carrier.library().is_none() {
        command.args(["-n", &SOLVE_RANKS.to_string(), "--backend", carrier.backend()]);
    }
    if carrier == (Carrier::Tcp { shared_memory: false }) {
        command.env("PARHELION_SHARED_MEMORY", "0");
    }
    let log = format!("solve-{}", carrier.name());
    bounded(command, &log, Stderr::Captured, carrier.limit(SOLVE_RANKS))
}

/// The iterations a run took, or what is wrong with its answer.
fn judge_solve(carrier: Carrier, allowed: Option<&std::ops::RangeInclusive<u64>>, ran: &Ran) -> Result<u64> {
    if !ran.end.success() {
        return Err(ran.end.to_string());
    }
    check_answer(carrier, allowed, &ran.out)
}

fn check_answer(carrier: Carrier, allowed: Option<&std::ops::RangeInclusive<u64>>, out: &str) -> Result<u64> {
    let lines: Vec<&str> = out.lines().filter(|line| line.starts_with('{')).collect();
    let [line] = lines[..] else {
        return Err(format!("{} JSON lines were printed instead of one", lines.len()));
    };
    let answer: Value = serde_json::from_str(line).map_err(|e| format!("its JSON line is malformed: {e}"))?;
    let expected = |key: &str, good: bool| {
        if good { Ok(()) } else { Err(format!("`{key}` is {} in its answer", answer[key])) }
    };
    expected("converged", answer["converged"] == true)?;
    expected("ranks", answer["ranks"] == SOLVE_RANKS)?;
    expected("backend", answer["backend"] == carrier.backend())?;
    if let Some(library) = carrier.library() {
        let version = answer["library"].as_str().is_some_and(|name| name.contains(library.wheel.version));
        expected("library", version)?;
    }
    let iterations = answer["iterations"].as_u64();
    expected("iterations", iterations.is_some_and(|n| allowed.is_none_or(|range| range.contains(&n))))?;
    iterations.ok_or_else(|| "there are no iterations in its answer".into())
}

pub(crate) fn row(carrier: Carrier, program: &str) -> String {
    format!("{}, {program}", carrier.name())
}

/// Prints one line for a run, and where it failed the ends of its output, which the verdict then has, too.
pub(crate) fn say(row: &str, ranks: usize, mut verdict: Verdict, ran: &Ran) -> Verdict {
    println!("   {row} -n {ranks}: {} in {:.1} s", verdict.counts, ran.took.as_secs_f64());
    if verdict.counts.failed > 0 {
        for why in &verdict.failures {
            println!("   FAILED {why}");
        }
        print!("{}", ran.excerpt());
        verdict.printed = excerpt::of_run(ran);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpi::LIBRARIES;

    const GOOD: &str =
        r#"{"converged":true,"ranks":3,"backend":"mpi","library":"Open MPI v5.0.11, x","iterations":197}"#;

    fn check(out: &str) -> Result<u64> {
        check_answer(Carrier::Mpi(&LIBRARIES[0]), Some(&SOLVE_ITERATIONS), out)
    }

    #[test]
    fn a_right_answer_gives_its_iterations() {
        assert_eq!(check(&format!("some warning\n{GOOD}\n")), Ok(197));
    }

    #[test]
    fn every_wrong_answer_is_told_by_its_key() {
        let wrong = [
            ("true", "false", "converged"),
            (":3", ":1", "ranks"),
            ("mpi", "local", "backend"),
            ("v5.0.11", "v4.1.4", "library"),
            ("197", "201", "iterations"),
            ("197", "null", "iterations"),
        ];
        for (from, to, key) in wrong {
            let why = check(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(why.contains(&format!("`{key}`")), "{why}");
        }
    }

    #[test]
    fn every_rank_printing_its_own_answer_is_wrong() {
        assert!(check(&format!("{GOOD}\n{GOOD}\n{GOOD}\n")).unwrap_err().contains("3 JSON lines"));
        assert!(check("").unwrap_err().contains("0 JSON lines"));
        assert!(check("{\"converged\":").unwrap_err().contains("malformed"));
    }

    fn options() -> test::Options {
        test::Options { quick: false, large: false, ranks_only: false, library: None }
    }

    #[test]
    fn everything_runs_unless_it_is_left_out_for_a_reason() {
        let missing = [(LIBRARIES[1], "no network".to_owned())];
        let all = options();
        let selection = Selection { options: &all, missing: &missing };
        assert_eq!(selection.left_out(Carrier::Local, 16), None);
        assert_eq!(selection.left_out(Carrier::Mpi(&LIBRARIES[0]), 7), None);
        assert!(selection.left_out(Carrier::Mpi(&LIBRARIES[1]), 1).unwrap().contains("installed"));
        assert!(!selection.is_large(&SUITES[1], Carrier::Local, LARGE_RANKS));
    }

    #[test]
    fn options_leave_out_what_they_say() {
        let quick = test::Options { quick: true, ..options() };
        let quick = Selection { options: &quick, missing: &[] };
        assert_eq!(quick.left_out(Carrier::Local, 3), None);
        assert_eq!(quick.left_out(Carrier::Mpi(&LIBRARIES[0]), 1), None);
        assert!(quick.left_out(Carrier::Mpi(&LIBRARIES[0]), 7).is_some());
        assert!(quick.left_out(Carrier::Mpi(&LIBRARIES[1]), 3).is_some());
        let one = test::Options { library: Some("mpich-4.3.2".into()), large: true, ..options() };
        let one = Selection { options: &one, missing: &[] };
        let left_in = LIBRARIES.iter().filter(|l| one.left_out(Carrier::Mpi(l), 7).is_none()).map(|l| l.name);
        assert_eq!(left_in.collect::<Vec<_>>(), ["mpich-4.3.2"]);
        assert_eq!(one.left_out(Carrier::Local, 4), None);
        let large = |row: &str, library: Option<&'static Library>, ranks| {
            let carrier = library.map_or(Carrier::Local, Carrier::Mpi);
            one.is_large(SUITES.iter().find(|suite| suite.row == row).unwrap(), carrier, ranks)
        };
        assert!(large(LARGE_ROW, None, LARGE_RANKS) && large(LARGE_ROW, Some(&LIBRARIES[0]), LARGE_RANKS));
        assert!(!large(LARGE_ROW, Some(&LIBRARIES[4]), LARGE_RANKS) && !large(LARGE_ROW, None, 3));
        assert!(!large("abi_check", Some(&LIBRARIES[0]), LARGE_RANKS));
    }

    #[test]
    fn a_local_answer_needs_no_library() {
        let out = r#"{"converged":true,"ranks":3,"backend":"local","library":null,"iterations":40}"#;
        assert_eq!(check_answer(Carrier::Local, None, out), Ok(40));
    }

    #[test]
    fn a_library_is_spared_only_what_it_would_starve_at() {
        let suite = |row: &str| SUITES.iter().find(|suite| suite.row == row).unwrap();
        let of = |name: &str| Carrier::Mpi(LIBRARIES.iter().find(|library| library.name == name).unwrap());
        let starving = |row: &str, name: &str| -> Vec<usize> {
            of(name).ranks().iter().copied().filter(|ranks| suite(row).some(of(name), *ranks, 2).is_some()).collect()
        };
        assert_eq!(starving("conformance", "mpich-3.4.3"), [7]);
        assert_eq!(starving("arrays", "mpich-3.4.3"), [3, 4, 7]);
        assert_eq!(starving("arrays", "mpich-4.3.2"), [3, 4, 7]);
        for (row, name) in [("conformance", "mpich-4.3.2"), ("abi_check", "mpich-3.4.3"), ("arrays", "openmpi-5.0.11")]
        {
            assert!(starving(row, name).is_empty(), "{row} on {name}");
        }
        assert_eq!(suite("arrays").some(Carrier::Tcp { shared_memory: true }, 7, 2), None);
        assert_eq!(suite("conformance").some(of("mpich-3.4.3"), 7, 4), None);
    }
}
