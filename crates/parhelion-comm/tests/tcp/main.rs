//! The tcp backend between real processes: the conformance suite on it, and what becomes of the others when a rank ends.
//!
//! A test starts this program again, once per rank, for the one test [`as_a_rank`], which carries out the part that the
//! environment names.

#![cfg(unix)]

mod conformance;
#[cfg(target_os = "linux")]
mod doors;
mod drill;
mod launchers;
mod lost;
#[cfg(target_os = "linux")]
mod namespaces;
mod processes;
mod progress;
#[cfg(target_os = "linux")]
mod shortage;
#[path = "../waits/mod.rs"]
mod waits;
mod windows;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use parhelion_comm::{Communicator, Config, Error, launch};
use processes::{Ended, Job, report};

/// Names the part that this process plays.
const PART: &str = "PARHELION_TEST_PART";

/// Long enough for anything here on a machine that does much else; longer is a hang.
const LIMIT: Duration = Duration::from_secs(120);

/// A part: what a rank does, told by the word after the part's name.
type Part = fn(&str);

const PARTS: &[(&str, Part)] = &[
    ("conformance", conformance::part),
    ("drill", lost::drill),
    ("waits", lost::waits),
    ("ends", lost::ends),
    ("launchers", launchers::part),
    ("progress", progress::part),
    #[cfg(target_os = "linux")]
    ("shortage", shortage::part),
    #[cfg(target_os = "linux")]
    ("namespaces", namespaces::part),
    ("windows", windows::part),
];

/// Not a test: the ranks of the others.
#[test]
fn as_a_rank() {
    let Ok(part) = std::env::var(PART) else { return };
    let (name, word) = part.split_once(' ').unwrap_or((&part, ""));
    let (_, part) = PARTS.iter().find(|(known, _)| *known == name).expect("a part");
    part(word);
}

/// Starts `size` ranks that play `part`.
fn start(size: usize, part: &str, variables: &[(&str, &str)]) -> Job {
    Job::start(size, |_| player(part, variables))
}

/// This program, as a rank that plays `part`.
fn player(part: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a program has a path"));
    command.args(["--exact", "as_a_rank", "--nocapture", "--test-threads=1"]);
    command.env(PART, part).envs(variables.iter().copied());
    command
}

/// Plays `part` with `size` ranks, all of which must succeed.
fn play(size: usize, part: &str, variables: &[(&str, &str)]) -> Vec<Ended> {
    let ended = start(size, part, variables).finish(LIMIT);
    let succeeded = ended.iter().all(|rank| rank.status.is_some_and(|status| status.success()));
    assert!(succeeded, "{part} with {size} ranks {variables:?}:\n{}", report(&ended));
    ended
}

/// This process's rank, in the middle of a part.
fn world<R: Send>(main: impl Fn(Communicator) -> Result<R, Error> + Sync) -> R {
    let config = Config::from_env().expect("settings");
    launch(&config, main).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

/// A file by which one rank of a part tells the others something without the library.
fn flag() -> PathBuf {
    PathBuf::from(std::env::var("PARHELION_SECRET_FILE").expect("a secret")).with_file_name("flag")
}

fn raise_flag() {
    std::fs::write(flag(), "").expect("a flag");
}

/// Waits, without a call of the library, until a rank has raised the flag.
fn wait_for_flag() {
    let deadline = Instant::now() + LIMIT / 2;
    while !flag().exists() {
        assert!(
            Instant::now() < deadline,
            "no rank raises the flag: the others wait for this one, which does not call"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
