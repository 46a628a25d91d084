//! `cargo xtask test`: every test there is, ending with one table and one line.

use std::time::Instant;

use crate::mpi::LIBRARIES;
use crate::report::{Report, Verdict};
use crate::{Result, mpi, ranks, steps};

/// What to leave out or put in.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only two libraries and few ranks; what is left out is named as not run
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also the tests of counts beyond 2^31, which need over 8 GiB of memory and minutes
    #[arg(long)]
    pub(crate) large: bool,
    /// Only the runs with several ranks, on every backend: no formatting, clippy, cargo tests or docs
    #[arg(long)]
    pub(crate) ranks_only: bool,
    /// Only this library (a name that `cargo xtask mpi` prints), and the backends that need none
    #[arg(long, value_name = "NAME", value_parser = LIBRARIES.map(|library| library.name))]
    pub(crate) library: Option<String>,
}

/// Runs them all; whether none failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let started = Instant::now();
    let mut report = Report::default();
    println!("== mpi: the libraries in target/mpi");
    let missing = mpi::install();
    for (library, why) in &missing {
        println!("   {why}");
        report.add(library.name, &Verdict::failed("it could not be installed"));
    }
    if !options.ranks_only && !steps::has_c_compiler() {
        report.add("partitioner", &Verdict::skipped("partitioner", "its source is C, and there is no C compiler"));
    }
    let [clippy, plain_clippy] = steps::clippy();
    let [docs, docs_of_suites] = steps::docs();
    for step in [steps::format(), clippy, plain_clippy, steps::tests(), docs, docs_of_suites] {
        if options.ranks_only {
            report.add(step.name, &Verdict::skipped(step.name, "left out by --ranks-only"));
        } else {
            report.add(step.name, &step.run()?);
        }
    }
    ranks::run(&ranks::Selection { options, missing: &missing }, &mut report)?;
    println!("\nIn {:.0} s:", started.elapsed().as_secs_f64());
    print!("{}", report.text());
    Ok(report.succeeded())
}
