//! The suite on threads, and its checks on shrinking choices.

use std::collections::HashMap;
use std::time::Duration;

use parhelion_comm::conformance::check::{ensure, equal};
use parhelion_comm::conformance::{Halt, Outcome, Selection, run_suite};
use parhelion_comm::{BackendKind, Communicator, Config, Error};
use proptest::prelude::*;

use super::draw::Draw;
use super::{movement, reductions, scans, sorting};
use crate::array::Decomposition;
use crate::array::place::Place;
use crate::array::transfer::{Leg, Transfer};

fn threads(ranks: usize) -> Config {
    Config::default().backend(BackendKind::Local).ranks(ranks).timeout(Duration::from_secs(60))
}

fn suite(ranks: usize) {
    let reports =
        parhelion_comm::launch(&threads(ranks), |world| run_suite(&world, &Selection::default(), super::suite()));
    let report = reports.expect("the world works").remove(0);
    assert!(report.is_success(), "{ranks} ranks:\n{report}");
    // Only a world too small is a reason to leave a case out.
    assert!(ranks == 1 || report.skipped.is_empty(), "{ranks} ranks:\n{report}");
    assert_eq!(report.passed.len() + report.skipped.len(), super::suite().len(), "{ranks} ranks:\n{report}");
    assert!(report.passed.len() > 2 * report.skipped.len(), "{ranks} ranks:\n{report}");
}

#[test]
fn the_suite_passes_at_1_to_4_ranks() {
    (1..=4).for_each(suite);
}

#[test]
fn the_suite_passes_at_6_7_and_16_ranks() {
    [6, 7, 16].into_iter().for_each(suite);
}

/// Runs a check on `ranks` threads, with one list of choices.
fn check(ranks: usize, words: &[u64], check: fn(&Communicator, &mut Draw) -> Outcome) -> Result<(), TestCaseError> {
    let outcomes = parhelion_comm::launch(&threads(ranks), |world| {
        Ok::<_, Error>(check(&world, &mut Draw::listed(words.to_vec())))
    });
    let outcomes = outcomes.map_err(|error| TestCaseError::fail(error.to_string()))?;
    for (rank, outcome) in outcomes.into_iter().enumerate() {
        if let Err(Halt::Failed(why) | Halt::Skipped(why)) = outcome {
            return Err(TestCaseError::fail(format!("rank {rank}: {why}")));
        }
    }
    Ok(())
}

/// The global index of every owned cell, by its position in the storage of `rank`.
fn stored<const D: usize>(grid: &Decomposition<D>, rank: usize) -> HashMap<usize, [i64; D]> {
    let place = Place::new(grid, rank);
    let held = |index| grid.to_local(rank, index).map(|local| (local, index));
    let position = |local: [usize; D]| (0..D).fold(0, |at, a| at * place.parent()[a] + place.offset()[a] + local[a]);
    grid.space().iter().filter_map(held).map(|(local, index)| (position(local), index)).collect()
}

/// Whether the messages of all ranks fit each other, are as few as can be, and bring every copy every cell once.
fn messages<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let (a, b) = (draw.decomposition(c, shape)?, draw.decomposition(c, shape)?);
    let region = draw.region(a.space());
    let transfers: Vec<_> = (0..c.size()).map(|rank| Transfer::new(&a, &b, region, rank)).collect();
    let sources: Vec<_> = (0..c.size()).map(|rank| stored(&a, rank)).collect();
    let cells = |at: &HashMap<usize, [i64; D]>, leg: &Leg| -> Vec<[i64; D]> {
        leg.layout.iter_runs().flat_map(|(start, len)| start..start + len).map(|position| at[&position]).collect()
    };
    let mut messages = 0;
    for (receiver, transfer) in transfers.iter().enumerate() {
        let targets = stored(&b, receiver);
        let mut brought = Vec::new();
        ensure(transfer.recvs.is_sorted_by_key(|leg| leg.rank), "messages are sorted")?;
        for leg in &transfer.recvs {
            let sent: Vec<_> = transfers[leg.rank].sends.iter().filter(|sent| sent.rank == receiver).collect();
            equal(format_args!("messages from {} to {receiver}", leg.rank), sent.len(), 1)?;
            let wanted = cells(&targets, leg);
            equal("the cells of a message", cells(&sources[leg.rank], sent[0]), wanted.clone())?;
            ensure(!wanted.is_empty(), "no message is empty")?;
            let own = wanted.iter().find(|&&index| leg.rank != receiver && a.to_local(receiver, index).is_some());
            ensure(own.is_none(), format_args!("{receiver} takes {own:?} from {}, and has it", leg.rank))?;
            brought.extend(wanted);
        }
        brought.sort_unstable();
        let held: Vec<_> = region.iter().filter(|&index| b.to_local(receiver, index).is_some()).collect();
        equal(format_args!("what is brought to {receiver}"), brought, held)?;
        messages += transfer.recvs.len();
    }
    equal("messages sent", transfers.iter().map(|transfer| transfer.sends.len()).sum(), messages)
}

/// Choices for a few hundred cells: the shape and the distributions come first.
fn words() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![0u64..60, any::<u64>()], 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn cells_survive_any_move(ranks in 1usize..8, words in words()) {
        check(ranks, &words, movement::redistributed::<u8, 1>)?;
        check(ranks, &words, movement::redistributed::<f64, 2>)?;
        check(ranks, &words, movement::redistributed::<f64, 3>)?;
        check(ranks, &words, movement::redistributed::<[u8; 3], 4>)?;
        check(ranks, &words, movement::copied::<f64, 2>)?;
        check(ranks, &words, movement::copied::<[u8; 3], 4>)?;
    }

    #[test]
    fn messages_are_few_and_fit_each_other(ranks in 1usize..8, words in words()) {
        check(ranks, &words, messages::<1>)?;
        check(ranks, &words, messages::<2>)?;
        check(ranks, &words, messages::<3>)?;
    }

    #[test]
    fn cells_are_gathered_and_scattered(ranks in 1usize..8, words in words()) {
        check(ranks, &words, movement::gathered::<u8, 1>)?;
        check(ranks, &words, movement::gathered::<f64, 2>)?;
        check(ranks, &words, movement::gathered::<[u8; 3], 4>)?;
        check(ranks, &words, movement::scattered::<f64, 2>)?;
        check(ranks, &words, movement::scattered::<[u8; 3], 4>)?;
    }

    #[test]
    fn reductions_are_those_of_a_vector(ranks in 1usize..8, words in words()) {
        check(ranks, &words, reductions::reduced::<1>)?;
        check(ranks, &words, reductions::reduced::<3>)?;
        check(ranks, &words, reductions::extremes::<3>)?;
        check(ranks, &words, reductions::tested::<3>)?;
        check(ranks, &words, reductions::counted::<3>)?;
    }

    #[test]
    fn scans_are_those_of_a_vector(ranks in 1usize..8, words in words()) {
        check(ranks, &words, scans::flat::<1>)?;
        check(ranks, &words, scans::flat::<2>)?;
        check(ranks, &words, scans::flat::<3>)?;
        check(ranks, &words, scans::along::<1>)?;
        check(ranks, &words, scans::along::<2>)?;
        check(ranks, &words, scans::along::<3>)?;
    }

    #[test]
    fn sorts_are_those_of_a_vector(ranks in 1usize..8, words in words()) {
        check(ranks, &words, sorting::sorted)?;
        check(ranks, &words, sorting::stable)?;
    }
}
