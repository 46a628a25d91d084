//! The `parhelion` command.
//!
//! [`args`] is what can be said; [`solve`], [`mod@plan`], [`heat`], [`info`], [`mod@bench`] and [`run`] do it. [`matrix`] and
//! [`text`] read the input, [`output`] and [`numbers`] are for what is written, [`cores`] counts cores and binds ranks
//! to them; [`error`] is how a command fails: one line on stderr from one rank, exit code 2 from all.

mod args;
mod bench;
mod cores;
mod error;
mod heat;
mod info;
mod matrix;
mod numbers;
mod output;
mod plan;
#[cfg_attr(not(unix), path = "run_elsewhere.rs")]
mod run;
mod solve;
mod text;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use args::{Action, Command};
use error::{Error, Result};

/// Exit code of bad input and of everything else that keeps a command from being carried out.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(refusal) if speaks() => refusal.exit(),
        Err(refusal) => return fall_silent(refusal.exit_code() as u8),
    };
    match carry_out(&command.action) {
        Ok(code) => code,
        Err(Error::AlreadySaid) => ExitCode::from(FAILED),
        // Asked for something that no rank can do.
        Err(Error::Input(_)) if !speaks() => fall_silent(FAILED),
        // There is no world yet, because this machine lacks something: one of its processes says so.
        Err(Error::Communication(error)) if error.rank().is_none() && !speaks_here() => fall_silent(FAILED),
        Err(error) => {
            error.print();
            ExitCode::from(FAILED)
        }
    }
}

fn carry_out(action: &Action) -> Result<ExitCode> {
    if let Some(ranks) = action.ranks()
        && ranks.are_to_be_started(&launcher())
    {
        return run::again(ranks.number().unwrap_or_else(|| default_ranks(action)));
    }
    match action {
        Action::Solve(args) => solve::run(args),
        Action::Plan(args) => plan::run(args),
        Action::Heat(args) => heat::run(args),
        Action::Info(args) => info::run(args),
        Action::Bench(args) => bench::run(args),
        Action::Run(args) => run::run(args),
    }
}

/// How many ranks there are where nobody says.
fn default_ranks(action: &Action) -> NonZeroUsize {
    match action {
        Action::Solve(args) => solve::default_ranks(args),
        _ => cores::number(),
    }
}

/// The exit of a process that leaves the word to rank 0 of its launcher, which sees the same problem.
///
/// Not at once: a launcher ends all processes when the first one fails, and rank 0 must have spoken by then.
fn fall_silent(code: u8) -> ExitCode {
    std::thread::sleep(Duration::from_millis(300));
    ExitCode::from(code)
}

/// What started this process.
fn launcher() -> mpi_abi::Launcher {
    mpi_abi::Launcher::detect()
}

/// Whether this process is the one of the launcher's that speaks for all: rank 0, or the only one.
fn speaks() -> bool {
    own_rank().or(launcher().rank).unwrap_or(0) == 0
}

/// Whether this process is the one that speaks for all of this machine.
fn speaks_here() -> bool {
    let own = || std::env::var("PARHELION_LOCAL_RANK").ok()?.parse().ok();
    own().or(launcher().local_rank).unwrap_or(0) == 0
}

/// The rank that `parhelion run`, or a user in its words, has given this process.
fn own_rank() -> Option<usize> {
    std::env::var("PARHELION_RANK").ok()?.parse().ok()
}

/// Prints to stdout. A reader that went away is no error, as with any filter.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// The error of output that nobody has.
fn unwritable(error: &io::Error) -> Error {
    Error::Input(format!("cannot write to standard output: {}", error::in_words(error)))
}
