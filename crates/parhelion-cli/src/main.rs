//! The `parhelion` command.
//!
//! [`args`] is what can be said; [`solve`], [`info`] and [`mod@bench`] do it. [`matrix`] and [`text`] read the input; [`error`]
//! is how a command fails: one line on stderr from one rank, exit code 2 from all.

mod args;
mod bench;
mod error;
mod info;
mod matrix;
mod solve;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Action, Command};
use error::{Error, Result};

/// Exit code of bad input and of everything else that keeps a command from being carried out.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        // Every process of a launcher reads the same words; one answer is enough.
        Err(refusal) if speaks() => refusal.exit(),
        Err(refusal) => return ExitCode::from(refusal.exit_code() as u8),
    };
    let done = match &command.action {
        Action::Solve(args) => solve::run(args),
        Action::Info(args) => info::run(args),
        Action::Bench(args) => bench::run(args),
    };
    done.unwrap_or_else(|error| {
        let is_everywhere = matches!(error, Error::Input(_)) && !speaks();
        if !matches!(error, Error::SaidElsewhere) && !is_everywhere {
            // Where stderr is closed, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {}", error.one_line());
        }
        ExitCode::from(FAILED)
    })
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
