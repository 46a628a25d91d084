//! Runs the conformance suite on the backend that the environment names.
//!
//! ```console
//! $ PARHELION_RANKS=4 cargo run --release -p parhelion-comm --example conformance
//! $ mpiexec -n 4 target/release/examples/conformance --filter matching
//! ```
//!
//! `--list` names the cases, `--filter TEXT`, once or more, runs those whose name contains one of the texts, `--large` adds
//! those that need gigabytes. Rank 0 prints what failed, what was skipped, and the totals. Exit code: 0 if nothing failed, 1 if something
//! did, 2 if it could not start, 3 if a case hung.

use std::process::ExitCode;
use std::time::Duration;

use parhelion_comm::conformance::{self, Needs, Selection, Watchdog};
use parhelion_comm::{Config, Error};

fn main() -> ExitCode {
    let mut selection = Selection::default();
    let mut list = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--large" => selection.large = true,
            "--filter" => match arguments.next() {
                Some(part) => selection.filters.push(part),
                None => return usage("--filter takes a part of a name"),
            },
            _ => return usage(&format!("unknown argument {argument:?}")),
        }
    }
    if list {
        for case in conformance::all() {
            let large = if case.needs == Needs::Large { " (--large)" } else { "" };
            println!("{}{large}", case.name);
        }
        return ExitCode::SUCCESS;
    }
    let limit = if selection.large { Duration::from_secs(300) } else { Duration::from_secs(60) };
    selection.watchdog = Some(Watchdog::new(limit));
    match suite(&selection) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("conformance: {why}\nusage: conformance [--list] [--large] [--filter TEXT]...");
    ExitCode::from(2)
}

/// Whether nothing failed on any rank.
fn suite(selection: &Selection) -> Result<bool, Error> {
    let mut config = Config::from_env()?;
    if std::env::var_os("PARHELION_CHECK").is_none() {
        config.checks = true;
    }
    let verdicts = parhelion_comm::launch(&config, |world| {
        let report = conformance::run(&world, selection)?;
        if world.rank() == 0 {
            println!("{report}");
        }
        Ok::<_, Error>(report.is_success())
    })?;
    Ok(verdicts.into_iter().all(|success| success))
}
