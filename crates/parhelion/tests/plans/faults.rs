//! What cannot be a plan is an error at every rank that names the region and the ranks, and nobody hangs.

use parhelion::array::IndexSpace;
use parhelion::halo::Patches;
use parhelion::{Error, Op};

use crate::model::on_threads;

/// The errors of all ranks; afterwards the communicator still works.
fn errors(ranks: usize, patches: impl Fn(usize) -> Patches<2> + Sync) -> Vec<String> {
    on_threads(ranks, |world| {
        let error = patches(world.rank()).plan(&world).unwrap_err();
        assert_eq!(world.all_reduce(&[1u64], Op::Sum)?, [world.size() as u64]);
        Ok::<_, Error>(error.to_string())
    })
}

fn strip(rank: usize) -> IndexSpace<2> {
    let start = 4 * rank as i64;
    IndexSpace::from([start..start + 4, 0..6])
}

fn strips(rank: usize, owned: IndexSpace<2>) -> Patches<2> {
    let mut patches = Patches::new().periodic([None, Some(6)]);
    let patch = patches.add(strip(rank).grow(1));
    patches.publish(patch, owned);
    patches
}

fn each_names(errors: &[String], words: &[&str]) {
    for error in errors {
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error:?}");
        }
    }
}

#[test]
fn a_request_nobody_covers() {
    let found = errors(4, |rank| {
        let mut patches = strips(rank, strip(rank));
        if rank == 3 {
            // Beyond the last strip, and in the one before.
            patches.request(0, IndexSpace::from([11..17, 2..4]));
        }
        patches
    });
    each_names(&found, &["nobody publishes [16..17, 2..4)", "rank 3 (patch 0)"]);
}

#[test]
fn a_request_where_nothing_is_published_at_all() {
    let found = errors(2, |rank| {
        let mut patches = Patches::new();
        if rank == 0 {
            let patch = patches.add(IndexSpace::from([0..2, 0..2]));
            patches.request(patch, IndexSpace::from([0..2, 0..1]));
        }
        patches
    });
    each_names(&found, &["nobody publishes [0..2, 0..1)", "rank 0 (patch 0)"]);
}

#[test]
fn two_publishers_of_one_cell_whether_or_not_it_is_requested() {
    for requested in [false, true] {
        let found = errors(5, |rank| {
            let owned = if rank == 2 { IndexSpace::from([8..13, 0..6]) } else { strip(rank) };
            let mut patches = strips(rank, owned);
            if requested && rank == 1 {
                let patch = patches.add(IndexSpace::from([8..16, 0..6]));
                patches.request(patch, IndexSpace::from([8..16, 2..3]));
            }
            patches
        });
        // At both owners it is their own error, at a requester too.
        each_names(&found, &["both publish", "rank 2 (patch 0)", "rank 3 (patch 0)", "12..13"]);
        assert!(!found[2].contains("reports") && !found[3].contains("reports"), "{found:?}");
        assert!(found[0].contains("reports"), "{found:?}");
        assert_eq!(found[1].contains("reports"), !requested, "{found:?}");
    }
}

#[test]
fn two_publishers_of_one_cell_through_a_period() {
    let found = errors(3, |rank| {
        let mut patches = strips(rank, strip(rank));
        if rank == 0 {
            // Column 11 is column 5.
            let patch = patches.add(IndexSpace::from([9..10, 11..12]));
            patches.publish(patch, IndexSpace::from([9..10, 11..12]));
        }
        patches
    });
    each_names(&found, &["both publish", "rank 0 (patch 1)", "rank 2 (patch 0)", "9..10"]);
}

#[test]
fn one_publisher_longer_than_its_period() {
    let found = errors(2, |rank| {
        let mut patches = Patches::new().periodic([None, Some(6)]);
        let patch = patches.add(IndexSpace::from([0..1, 0..7]).translate([rank as i64, 0]));
        patches.publish(patch, patches.parents()[patch]);
        patches
    });
    each_names(&found, &["both publish", "(patch 0)"]);
}

#[test]
fn what_one_rank_can_see_alone() {
    type Spoil = fn(&mut Patches<2>);
    let cases: [(Spoil, &str); 6] = [
        (|p| p.publish(0, IndexSpace::from([0..1, 0..9])), "not inside the parent space"),
        (|p| p.request(7, IndexSpace::from([0..1, 0..1])), "names patch 7; there are 1"),
        (
            |p| {
                p.request(0, IndexSpace::from([3..5, -1..2]));
                p.request(0, IndexSpace::from([3..5, 1..3]));
            },
            "patch 0 requests [3..5, 1..2) twice",
        ),
        (
            |p| p.request_from(0, IndexSpace::from([3..5, 2..3]), [4, 0]),
            "patch 0 publishes [4..5, 2..3) and requests it from elsewhere",
        ),
        (|p| p.publish(0, IndexSpace::from([5..6, 1..2])), "patch 0 publishes [5..6, 1..2) twice"),
        (
            |p| {
                p.add(IndexSpace::from([0..i64::MAX, 0..1]));
            },
            "too large or too far out",
        ),
    ];
    for (spoil, text) in cases {
        let found = errors(3, |rank| {
            let mut patches = strips(rank, strip(rank));
            if rank == 1 {
                spoil(&mut patches);
            }
            patches
        });
        each_names(&found, &[text]);
        assert!(found[0].contains("rank 1 reports") && found[2].contains("rank 1 reports"), "{found:?}");
    }
}

#[test]
fn periods_that_differ() {
    let found = errors(3, |rank| Patches::new().periodic([None, (rank != 2).then_some(6)]));
    each_names(&found, &["period of axis 1", "none", "6"]);
}
