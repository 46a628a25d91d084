//! The suite, at 1, 2, 3, 4, 7 and 16 ranks.

use std::time::Duration;

use parhelion_comm::conformance::{self, Selection, Watchdog};

use crate::bounds::{ranks, within};

fn suite(size: usize) {
    let report = within(Duration::from_secs(300), move || {
        let selection = Selection { watchdog: Some(Watchdog::new(Duration::from_secs(60))), ..Selection::default() };
        let reports = parhelion_comm::launch(&ranks(size), |world| conformance::run(&world, &selection));
        let mut reports = reports.unwrap_or_else(|error| panic!("{size} ranks: {error}"));
        assert_eq!(reports.len(), size);
        for other in &reports[1..] {
            assert_eq!(other.passed, reports[0].passed, "ranks agree on what passed");
        }
        reports.swap_remove(0)
    });
    println!("{report}");
    assert!(report.is_success(), "{size} ranks:\n{report}");
    // Only a world too small is a reason to leave a case out.
    assert!(size > 1 || report.skipped.iter().all(|s| s.why.contains("needs 2 ranks")), "{report}");
    assert!(size == 1 || report.skipped.is_empty(), "{report}");
    assert!(report.passed.len() > 100, "{report}");
}

#[test]
fn one_rank_passes() {
    suite(1);
}

#[test]
fn two_ranks_pass() {
    suite(2);
}

#[test]
fn three_ranks_pass() {
    suite(3);
}

#[test]
fn four_ranks_pass() {
    suite(4);
}

#[test]
fn seven_ranks_pass() {
    suite(7);
}

#[test]
fn sixteen_ranks_pass() {
    suite(16);
}

#[test]
fn names_are_unique_and_say_their_group() {
    let mut names: Vec<_> = conformance::all().iter().map(|case| case.name).collect();
    assert!(names.iter().all(|name| name.contains(": ")), "{names:?}");
    let total = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), total);
}
