//! Runs of our programs with several ranks: on the local backend, and under every MPI library's launcher.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::launch::{Ran, Stderr, bounded, clean_command};
use crate::mpi::{LIBRARIES, Library, cores};
use crate::report::{Report, Verdict};
use crate::{Result, shared, steps, test};

const MPI_RANKS: [usize; 5] = [1, 2, 3, 4, 7];
const LOCAL_RANKS: [usize; 6] = [1, 2, 3, 4, 7, 16];
const QUICK_RANKS: [usize; 2] = [1, 3];
const QUICK_LIBRARIES: [&str; 2] = ["openmpi-5.0.11", "mpich-5.0.2"];

/// How long one program may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The whole-program test: the matrix, the ranks, and the iterations of a plain conjugate gradient (SciPy's: 197).
const MATRIX: &str = "data/bcsstk16.mtx";
const SOLVE_RANKS: usize = 3;
const SOLVE_ITERATIONS: std::ops::RangeInclusive<u64> = 194..=200;

/// Programs that close with `NAME: N passed, N failed, N skipped`, and whether they also run without MPI.
const PROGRAMS: [(&str, bool); 2] = [("abi_check", false), ("conformance", true)];

/// Runs every program on every library; `missing` ones are named as not run.
pub(crate) fn run(options: &test::Options, missing: &[(Library, String)], report: &mut Report) -> Result<()> {
    let programs = match steps::build_programs(&["mpi-abi", "parhelion-comm", "parhelion-cli"], "dev") {
        Ok(programs) => programs,
        Err(why) => {
            println!("   {why}");
            report.add("build", &Verdict::failed(why));
            BTreeMap::new()
        }
    };
    for (program, local) in PROGRAMS {
        let Some(path) = programs.get(program) else {
            report.add(program, &Verdict::failed("there is no such program"));
            continue;
        };
        let suite = Suite { program, path, options };
        if local {
            suite.run_local(report)?;
        }
        for library in LIBRARIES {
            suite.run_library(&library, missing, report)?;
        }
    }
    match programs.get("parhelion") {
        Some(path) => solve(path, missing, options, report),
        None => {
            report.add("parhelion", &Verdict::failed("there is no such program"));
            Ok(())
        }
    }
}

/// One of [`PROGRAMS`], built.
struct Suite<'a> {
    program: &'static str,
    path: &'a PathBuf,
    options: &'a test::Options,
}

impl Suite<'_> {
    fn run_local(&self, report: &mut Report) -> Result<()> {
        for ranks in LOCAL_RANKS {
            if self.options.quick && !QUICK_RANKS.contains(&ranks) {
                self.leave_out("local", ranks, "left out by --quick", report);
                continue;
            }
            let mut command = clean_command(self.path);
            command.env("PARHELION_BACKEND", "local").env("PARHELION_RANKS", ranks.to_string());
            self.run("local", ranks, command, LIMIT, report)?;
        }
        Ok(())
    }

    fn run_library(&self, library: &Library, missing: &[(Library, String)], report: &mut Report) -> Result<()> {
        for ranks in MPI_RANKS {
            if missing.iter().any(|(l, _)| l == library) {
                self.leave_out(library.name, ranks, "the library could not be installed", report);
            } else if self.options.quick && !(QUICK_LIBRARIES.contains(&library.name) && QUICK_RANKS.contains(&ranks)) {
                self.leave_out(library.name, ranks, "left out by --quick", report);
            } else {
                let mut command = library.command(ranks);
                // Named, so that what is tested is what the table says; `solve` tests that it is found unnamed.
                command.env("PARHELION_BACKEND", "mpi").env("PARHELION_MPI_LIB", library.path());
                command.arg(self.path);
                self.run(library.name, ranks, command, limit(library, ranks), report)?;
            }
        }
        Ok(())
    }

    fn run(&self, on: &str, ranks: usize, mut command: Command, limit: Duration, report: &mut Report) -> Result<()> {
        if self.options.large {
            command.env("PARHELION_TEST_LARGE", "1");
        }
        let ran = bounded(command, &format!("{}-{on}-{ranks}", self.program), Stderr::Captured, limit)?;
        let verdict = Verdict::of_program(self.program, &ran);
        say(&format!("{}, {on}, {ranks} ranks", self.program), &verdict, &ran);
        report.add_cell(&row(on, self.program), ranks, &verdict);
        Ok(())
    }

    fn leave_out(&self, on: &str, ranks: usize, why: &str, report: &mut Report) {
        report.add_cell(&row(on, self.program), ranks, &Verdict::skipped(row(on, self.program), why));
    }
}

/// `parhelion solve`: the same file under every library and without one, in the same number of iterations.
fn solve(program: &PathBuf, missing: &[(Library, String)], options: &test::Options, report: &mut Report) -> Result<()> {
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
    for library in [None].into_iter().chain(LIBRARIES.iter().map(Some)) {
        let on = library.map_or("local", |l| l.name);
        let left_out = match library {
            Some(l) if missing.iter().any(|(m, _)| m == l) => Some("the library could not be installed"),
            Some(l) if options.quick && !QUICK_LIBRARIES.contains(&l.name) => Some("left out by --quick"),
            _ => None,
        };
        if let Some(why) = left_out {
            report.add_cell(&row(on, "solve"), SOLVE_RANKS, &Verdict::skipped(row(on, "solve"), why));
            continue;
        }
        let mut command = match library {
            None => clean_command(program),
            Some(library) => {
                let mut command = library.command(SOLVE_RANKS);
                if library.must_be_named() {
                    command.env("PARHELION_MPI_LIB", library.path());
                }
                command.arg(program);
                command
            }
        };
        command.args(&arguments);
        if library.is_none() {
            command.args(["-n", &SOLVE_RANKS.to_string()]);
        }
        let limit = library.map_or(LIMIT, |l| limit(l, SOLVE_RANKS));
        let ran = bounded(command, &format!("solve-{on}"), Stderr::Captured, limit)?;
        let verdict = match judge_solve(library, allowed.as_ref(), &ran) {
            Ok(count) => {
                iterations.entry(count).or_default().push(on);
                Verdict::passed()
            }
            Err(why) => Verdict::failed(why),
        };
        say(&format!("solve, {on}, {SOLVE_RANKS} ranks"), &verdict, &ran);
        report.add_cell(&row(on, "solve"), SOLVE_RANKS, &verdict);
    }
    let agreement = match iterations.len() {
        0 => Verdict::failed("no run of solve gave a number of iterations"),
        1 => Verdict::passed(),
        _ => Verdict::failed(format!("the number of iterations depends on the library: {iterations:?}")),
    };
    report.add("solve, the same iterations everywhere", &agreement);
    Ok(())
}

/// The iterations a run took, or what is wrong with its answer.
fn judge_solve(library: Option<&Library>, allowed: Option<&std::ops::RangeInclusive<u64>>, ran: &Ran) -> Result<u64> {
    if !ran.end.success() {
        return Err(ran.end.to_string());
    }
    check_answer(library, allowed, &ran.out)
}

fn check_answer(library: Option<&Library>, allowed: Option<&std::ops::RangeInclusive<u64>>, out: &str) -> Result<u64> {
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
    expected("backend", answer["backend"] == if library.is_some() { "mpi" } else { "local" })?;
    if let Some(library) = library {
        let version = answer["library"].as_str().is_some_and(|name| name.contains(library.wheel.version));
        expected("library", version)?;
    }
    let iterations = answer["iterations"].as_u64();
    expected("iterations", iterations.is_some_and(|n| allowed.is_none_or(|range| range.contains(&n))))?;
    iterations.ok_or_else(|| "there are no iterations in its answer".into())
}

/// How long a program may take: longer where ranks wait for cores in a library that never yields.
fn limit(library: &Library, ranks: usize) -> Duration {
    if ranks > cores() { LIMIT * library.patience } else { LIMIT }
}

fn row(on: &str, program: &str) -> String {
    format!("{on}, {program}")
}

/// One line for a run, and the end of its output where it failed.
fn say(what: &str, verdict: &Verdict, ran: &Ran) {
    println!("   {what}: {} in {:.1} s", verdict.counts, ran.took.as_secs_f64());
    if verdict.counts.failed > 0 {
        for why in &verdict.failures {
            println!("   FAILED {why}");
        }
        print!("{}", ran.tail(25));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"converged":true,"ranks":3,"backend":"mpi","library":"Open MPI v5.0.11, x","iterations":197}"#;

    fn check(out: &str) -> Result<u64> {
        check_answer(Some(&LIBRARIES[0]), Some(&SOLVE_ITERATIONS), out)
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

    #[test]
    fn a_local_answer_needs_no_library() {
        let out = r#"{"converged":true,"ranks":3,"backend":"local","library":null,"iterations":40}"#;
        assert_eq!(check_answer(None, None, out), Ok(40));
    }
}
