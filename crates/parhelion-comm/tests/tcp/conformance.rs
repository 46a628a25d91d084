//! The suite, between processes.

use std::time::Duration;

use parhelion_comm::conformance::{self, Selection, Watchdog};
use parhelion_comm::{Config, launch};

use crate::processes::report;
use crate::start;

/// Of the whole suite.
const LIMIT: Duration = Duration::from_secs(400);

/// One rank of the suite.
pub(crate) fn part(_: &str) {
    let selection = Selection { watchdog: Some(Watchdog::new(Duration::from_secs(90))), ..Selection::default() };
    let config = Config::from_env().expect("settings").checks(true);
    let reports = launch(&config, |world| {
        let report = conformance::run(&world, &selection)?;
        if world.rank() == 0 {
            println!("{report}");
        }
        Ok::<_, parhelion_comm::Error>(report)
    });
    let report = reports.unwrap_or_else(|e| panic!("{e}")).remove(0);
    assert!(report.is_success() && report.passed.len() > 100, "{report}");
    // Only the settings, and a world too small, are reasons to leave a case out.
    let excused = |why: &str| why.contains("ranks, there are") || why.contains("PARHELION_SHARED_MEMORY");
    assert!(report.skipped.iter().all(|unmet| excused(&unmet.why)), "{report}");
}

fn suite(size: usize, variables: &[(&str, &str)]) {
    let ended = start(size, "conformance", variables).finish(LIMIT);
    let succeeded = ended.iter().all(|rank| rank.status.is_some_and(|status| status.success()));
    assert!(succeeded, "{size} ranks:\n{}", report(&ended));
}

#[test]
fn one_rank_passes() {
    suite(1, &[]);
}

#[test]
fn two_ranks_pass() {
    suite(2, &[]);
}

#[test]
fn three_ranks_pass_without_shared_memory() {
    suite(3, &[("PARHELION_SHARED_MEMORY", "0")]);
}
