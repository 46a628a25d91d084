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
    args: Vec<&'static str>,
    environment: &'static [(&'static str, &'static str)],
    runs_tests: bool,
}

/// Formatting is what `cargo fmt` makes.
pub(crate) fn format() -> Step {
    Step { name: "format", args: vec!["fmt", "--all", "--check"], environment: &[], runs_tests: false }
}

/// No clippy warning anywhere: in everything there is, and in what a plain `cargo build` makes, which has no suites and no
/// partitioner.
pub(crate) fn clippy() -> [Step; 2] {
    let [mut all, mut plain] = [everything("clippy"), vec!["clippy", "--workspace"]];
    all.push("--all-targets");
    for args in [&mut all, &mut plain] {
        args.extend(["--keep-going", "--", "-D", "warnings"]);
    }
    [("clippy", all), ("clippy-plain", plain)].map(|(name, args)| Step {
        name,
        args,
        environment: &[],
        runs_tests: false,
    })
}

/// Unit, property, doc and compile-fail tests.
pub(crate) fn tests() -> Step {
    let mut args = everything("test");
    args.extend(["--no-fail-fast", "--", "--show-output"]);
    Step { name: "cargo-test", args, environment: NO_BACKTRACE, runs_tests: true }
}

/// The documentation builds without a warning, plain and with the suites.
pub(crate) fn docs() -> [Step; 2] {
    let plain = vec!["doc", "--workspace", "--no-deps", "--keep-going"];
    let suites = [&plain[..], &["--features", "parhelion/conformance"]].concat();
    let environment = &[("RUSTDOCFLAGS", "-D warnings")];
    [("docs", plain), ("docs-suites", suites)].map(|(name, args)| Step { name, args, environment, runs_tests: false })
}

/// The beginning of a cargo command on every package with every feature that can be built here.
///
/// Cargo compiles a dependency once for each set of features it is wanted with, and these follow from the packages that
/// are selected: only commands that select the same share what they compile.
fn everything(command: &'static str) -> Vec<&'static str> {
    let mut args = vec![command, "--workspace"];
    if has_c_compiler() {
        args.extend(["--features", "parhelion-cli/metis"]);
    }
    args
}

/// Whether C can be compiled, which the graph partitioner needs and nothing else.
pub(crate) fn has_c_compiler() -> bool {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    Command::new(compiler).arg("--version").output().is_ok_and(|said| said.status.success())
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
        command.args(&self.args).envs(self.environment.iter().copied());
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

/// Builds the programs that run under a launcher, from what the tests were built from; where each came to lie.
pub(crate) fn build_programs() -> Result<BTreeMap<String, PathBuf>> {
    let mut args = everything("build");
    // It is running, and no test of several ranks.
    args.extend(["--exclude", "xtask", "--bins", "--examples"]);
    build("the programs", &args)
}

/// Builds what a plain `cargo build --release` builds, and finds it built after one; where each program came to lie.
pub(crate) fn build_release() -> Result<BTreeMap<String, PathBuf>> {
    build("the command", &["build", "--release"])
}

/// Builds an example of the command, with the settings of a plain `cargo build --release`; where it came to lie.
pub(crate) fn build_release_example(name: &str) -> Result<PathBuf> {
    let programs = build("an example", &["build", "--release", "--package", "parhelion-cli", "--example", name])?;
    programs.get(name).cloned().ok_or_else(|| format!("cargo built no example `{name}`"))
}

fn build(what: &str, args: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    println!("== build: {what}: cargo {}", args.join(" "));
    let mut command = cargo();
    command.args(args).arg("--message-format=json-render-diagnostics");
    let ran = bounded(command, "build", Stderr::Shown, LIMIT)?;
    if !ran.end.success() {
        // Its stdout is JSON.
        let said = excerpt::of_streams("", &ran.err);
        return Err(format!("{what} cannot be built: {}\n{said}", ran.end));
    }
    println!("   built in {:.1} s", ran.took.as_secs_f64());
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
