//! The `parhelion` command.
//!
//! [`args`] is what can be said; [`solve`], [`mod@plan`], [`heat`], [`info`] and [`mod@bench`] do it. [`matrix`] and [`text`] read the
//! input, [`output`] and [`numbers`] are for what is written; [`error`] is how a command fails: one line on stderr from one
//! rank, exit code 2 from all.

mod args;
mod bench;
mod error;
mod heat;
mod info;
mod matrix;
mod numbers;
mod output;
mod plan;
mod solve;
mod text;

use std::io::{self, Write};
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
    let done = match &command.action {
        Action::Solve(args) => solve::run(args),
        Action::Plan(args) => plan::run(args),
        Action::Heat(args) => heat::run(args),
        Action::Info(args) => info::run(args),
        Action::Bench(args) => bench::run(args),
    };
    match done {
        Ok(code) => code,
        Err(Error::AlreadySaid) => ExitCode::from(FAILED),
        // Asked for something that no rank can do.
        Err(Error::Input(_)) if !speaks() => fall_silent(FAILED),
        // There is no world yet, because this machine lacks something: one of its processes says so.
        Err(Error::Communication(error)) if error.rank().is_none() && launcher().local_rank.unwrap_or(0) > 0 => {
            fall_silent(FAILED)
        }
        Err(error) => {
            error.print();
            ExitCode::from(FAILED)
        }
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
    launcher().rank.unwrap_or(0) == 0
}

/// Prints to stdout. A reader that went away is no error, as with any filter.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Input(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
