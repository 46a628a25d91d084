//! The cargo steps: formatting, clippy, tests, documentation, and building the programs that run under a launcher.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::launch::{Stderr, bounded, clean_command};
use crate::report::Verdict;
use crate::{Result, excerpt, root};

/// Longer than any of them takes from nothing on two slow cores.
const LIMIT: Duration = Duration::from_secs(1500);

/// A failed test says what it expected and got; a backtrace over all ranks' threads would push that out of sight.
const NO_BACKTRACE: &[(&str, &str)] = &[("RUST_BACKTRACE", "0")];

/// A cargo command that counts as one test, or as those it runs.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    args: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    runs_tests: bool,
}

/// Formatting is what `cargo fmt` makes.
pub(crate) fn format() -> Step {
    Step { name: "format", args: &["fmt", "--all", "--check"], environment: &[], runs_tests: false }
}

/// No clippy warning anywhere.
pub(crate) fn clippy() -> Step {
    let args = &["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"];
    Step { name: "clippy", args, environment: &[], runs_tests: false }
}

/// Unit, property, doc and compile-fail tests.
pub(crate) fn tests() -> Step {
    let args = &["test", "--workspace", "--no-fail-fast", "--", "--show-output"];
    Step { name: "cargo-test", args, environment: NO_BACKTRACE, runs_tests: true }
}

/// What only the optional graph partitioner has: its C source is built, and its tests pass.
pub(crate) fn partitioner() -> Step {
    let args = &[
        "test",
        "--package",
        "parhelion",
        "--package",
        "parhelion-cli",
        "--lib",
        "--test",
        "plan",
        "--features",
        "metis",
        "partition",
        "--",
        "--show-output",
    ];
    Step { name: "partitioner", args, environment: NO_BACKTRACE, runs_tests: true }
}

/// The documentation builds without a warning.
pub(crate) fn docs() -> Step {
    let environment = &[("RUSTDOCFLAGS", "-D warnings")];
    Step { name: "docs", args: &["doc", "--workspace", "--no-deps", "--keep-going"], environment, runs_tests: false }
}

/// Runs each step, whatever became of the one before; whether all passed.
pub(crate) fn run(steps: &[Step]) -> Result<bool> {
    let mut passed = true;
    for step in steps {
        passed &= step.run()?.counts.failed == 0;
    }
    Ok(passed)
}

impl Step {
    /// Runs it, says how it went, and counts it.
    pub(crate) fn run(&self) -> Result<Verdict> {
        println!("== {}: cargo {}", self.name, self.args.join(" "));
        let mut command = cargo();
        command.args(self.args).envs(self.environment.iter().copied());
        let ran = bounded(command, self.name, Stderr::Shown, LIMIT)?;
        let mut verdict = match (self.runs_tests, ran.end.success()) {
            (true, _) => Verdict::of_cargo_test(&ran),
            (false, true) => Verdict::passed(),
            (false, false) => Verdict::failed(ran.end.to_string()),
        };
        if verdict.counts.failed > 0 {
            print!("{}", ran.out);
            verdict.printed = if self.runs_tests { excerpt::of_cargo_test(&ran) } else { excerpt::of_run(&ran) };
        }
        println!("   {} in {:.1} s", verdict.counts, ran.took.as_secs_f64());
        Ok(verdict)
    }
}

/// Builds the programs `packages` have (binaries and examples) in `profile`; where each came to lie.
pub(crate) fn build_programs(packages: &[&str], profile: &str) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--bins", "--examples", "--profile", profile]);
    command.args(["--message-format=json-render-diagnostics"]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    println!("== build: the programs of {}, profile {profile}", packages.join(", "));
    let ran = bounded(command, "build", Stderr::Shown, LIMIT)?;
    if !ran.end.success() {
        // Its stdout is JSON.
        let said = excerpt::of_streams("", &ran.err);
        return Err(format!("the programs of {} do not build: {}\n{said}", packages.join(", "), ran.end));
    }
    Ok(executables(&ran.out))
}

/// The executables that cargo's JSON messages name.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let path = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
        })
        .collect()
}

/// The cargo that runs us, in the repository's root.
fn cargo() -> Command {
    let mut command = clean_command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_taken_from_the_messages_that_have_one() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"serde\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"abi_check\"},\"executable\":\"/t/abi_check\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        let found = executables(messages);
        assert_eq!(found.len(), 1);
        assert_eq!(found["abi_check"], PathBuf::from("/t/abi_check"));
    }
}
