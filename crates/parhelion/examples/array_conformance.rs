//! Runs the suites of arrays and of halo exchanges on the backend that the environment names.
//!
//! ```console
//! $ PARHELION_RANKS=4 cargo run --release -p parhelion --example array_conformance
//! $ mpiexec -n 4 target/release/examples/array_conformance --filter adjoint
//! ```
//!
//! `--list` names the cases, `--filter TEXT`, once or more, runs those whose name contains one of the texts. Rank 0 prints what failed, what was
//! skipped, and the totals. Exit code: 0 if nothing failed, 1 if something did, 2 if it could not start, 3 if a case hung.

use std::process::ExitCode;
use std::time::Duration;

use parhelion::conformance::{Case, Selection, Unmet, Watchdog, run_suite};
use parhelion::{Config, Error, array, halo};

/// How long one case may take, on two cores shared by seven ranks.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut selection = Selection::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => {
                suite().iter().for_each(|case| println!("{}", case.name));
                return ExitCode::SUCCESS;
            }
            "--filter" => match arguments.next() {
                Some(part) => selection.filters.push(part),
                None => return usage("--filter takes a part of a name"),
            },
            _ => return usage(&format!("unknown argument {argument:?}")),
        }
    }
    selection.watchdog = Some(Watchdog::new(LIMIT));
    match run(&selection) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("array_conformance: {error}");
            ExitCode::from(2)
        }
    }
}

/// Every case of both suites.
fn suite() -> Vec<Case> {
    [array::conformance::suite(), halo::conformance::suite()].concat()
}

fn usage(why: &str) -> ExitCode {
    eprintln!("array_conformance: {why}\nusage: array_conformance [--list] [--filter TEXT]...");
    ExitCode::from(2)
}

/// Whether nothing failed on any rank.
fn run(selection: &Selection) -> Result<bool, Error> {
    let mut config = Config::from_env()?;
    if std::env::var_os("PARHELION_CHECK").is_none() {
        config.checks = true;
    }
    let verdicts = parhelion::launch(&config, |world| {
        let report = run_suite(&world, selection, suite())?;
        if world.rank() == 0 {
            report.failed.iter().for_each(|Unmet { name, why }| println!("FAIL {name}: {why}"));
            report.skipped.iter().for_each(|Unmet { name, why }| println!("SKIP {name}: {why}"));
            let (passed, failed, skipped) = (report.passed.len(), report.failed.len(), report.skipped.len());
            println!("array_conformance: {passed} passed, {failed} failed, {skipped} skipped");
        }
        Ok::<_, Error>(report.is_success())
    })?;
    Ok(verdicts.into_iter().all(|success| success))
}
