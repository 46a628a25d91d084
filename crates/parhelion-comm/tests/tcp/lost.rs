//! A rank that ends while others wait for it: everything that waits for it fails and names it, and nothing else does.

use std::time::Duration;

use parhelion_comm::{Any, Error, ErrorKind, Op, wait_any};

use crate::drill::{self, Plan};
use crate::processes::report;
use crate::waits::{WAITS, Wait};
use crate::{LIMIT, play, raise_flag, start, wait_for_flag, world};

/// A way to wait for whoever sends.
const FOR_ANYONE: (&str, Wait) = ("recv from anyone", |c, _| c.recv(&mut [0u8; 4], Any, 1).map(drop));

#[track_caller]
fn is_lost(what: &str, result: Result<(), Error>, peer: usize) {
    let error = result.expect_err(what);
    let lost = matches!(error.kind(), ErrorKind::PeerLost { rank, .. } if *rank == peer);
    assert!(lost && error.peer() == Some(peer), "{what}: expected the loss of rank {peer}, got {error}");
}

#[track_caller]
fn is_late(what: &str, result: Result<(), Error>) {
    let error = result.expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::Timeout(_)), "{what}: expected a timeout, got {error}");
}

/// Rank 1 of 4 ends as the word says; the others begin to wait before that, in the way of this number, and then wait in every
/// other way. All in one order, since collectives must be.
pub(crate) fn waits(word: &str) {
    let (how, first) = word.split_once(' ').expect("an end and a number");
    let first: usize = first.parse().expect("a number");
    world(|world| {
        let reversed = world.group("reversed", &[3, 2, 1, 0])?;
        world.barrier()?;
        if world.rank() == 1 {
            // Most likely the others wait by then. They are right in either case.
            std::thread::sleep(Duration::from_millis(100));
            match how {
                "exits" => std::process::exit(0),
                "aborts" => std::process::abort(),
                "fails" => return Err(Error::new("test", ErrorKind::InvalidArgument("on purpose".to_owned()))),
                _ => panic!("on purpose"),
            }
        }
        let all = [&WAITS[..], &[FOR_ANYONE]].concat();
        for number in 0..all.len() {
            let (what, wait) = all[(first + number) % all.len()];
            is_lost(what, wait(&world, 1), 1);
        }
        is_lost("a receive as another communicator numbers it", reversed.recv(&mut [0u8], 2, 0).map(drop), 2);
        is_lost("a barrier of that one", reversed.barrier(), 2);
        // Those who do not need it go on, and leave when all are done.
        let rest = world.group("rest", &[0, 2, 3])?;
        for i in 0..20 {
            assert_eq!(rest.all_reduce(&[i], Op::Sum)?, [3 * i]);
        }
        println!("went on");
        Ok(())
    });
}

fn all_waits(how: &str) {
    for first in [0, 7, 13] {
        let part = format!("waits {how} {first}");
        let ended = start(4, &part, &[]).finish(LIMIT);
        for rank in [0, 2, 3] {
            let fine = ended[rank].status.is_some_and(|s| s.success()) && ended[rank].out.contains("went on");
            assert!(fine, "{part}:\n{}", report(&ended));
        }
        let failed = ended[1].status.is_some_and(|s| s.success() == (how == "exits"));
        assert!(failed, "{part}:\n{}", report(&ended));
        if how == "fails" || how == "panics" {
            assert!(ended[1].err.contains("on purpose"), "{}", report(&ended));
        }
    }
}

#[test]
fn a_rank_that_exits_is_lost_to_all_who_wait() {
    all_waits("exits");
}

#[test]
fn a_rank_that_aborts_is_lost_to_all_who_wait() {
    all_waits("aborts");
}

#[test]
fn a_rank_that_fails_is_lost_to_all_who_wait() {
    all_waits("fails");
}

#[test]
fn a_rank_that_panics_is_lost_to_all_who_wait() {
    all_waits("panics");
}

/// Ranks that return early.
pub(crate) fn ends(word: &str) {
    world(|world| match word {
        "sent" => {
            if world.rank() > 0 {
                world.send(&[world.rank() as u64; 3], 0, 1)?;
                world.send(&[7u8; 4096], 0, 2)?;
                world.isend(vec![9u8; 300_000], 0, 3)?.wait()?;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
            for from in [2, 1] {
                assert_eq!(world.recv_vec::<u8>(from, 3)?.0, [9; 300_000]);
                assert_eq!(world.recv_vec::<u8>(from, 2)?.0, [7; 4096]);
                assert_eq!(world.recv_vec::<u64>(from, Any)?.0, [from as u64; 3]);
                is_lost("the receive after the last message", world.recv(&mut [0u8], from, Any).map(drop), from);
            }
            Ok(())
        }
        "polled" => {
            let others: Vec<usize> = (0..world.size()).filter(|&rank| rank != world.rank()).collect();
            let signals = world.signals(&others, 2)?;
            if world.rank() > 0 {
                signals.post(0, 1);
                return Ok(());
            }
            for (peer, &rank) in others.iter().enumerate() {
                let look = |word| loop {
                    match signals.look(peer, word, 1) {
                        Ok(false) => std::thread::yield_now(),
                        end => break end.map(drop),
                    }
                };
                look(0)?;
                is_lost("a look at what nobody posts", look(1), rank);
                look(0)?;
            }
            Ok(())
        }
        "anyone" => {
            if world.rank() > 0 {
                std::thread::sleep(Duration::from_millis(20 * world.rank() as u64));
                return Ok(());
            }
            let error = world.recv(&mut [0u8], Any, Any).expect_err("nobody can send");
            assert!(matches!(error.kind(), ErrorKind::PeerLost { rank, .. } if *rank > 0), "{error}");
            Ok(())
        }
        "group" => {
            // What a member of a small group waits for does not depend on the others.
            let pair = [1, 2].contains(&world.rank()).then(|| world.group("pair", &[1, 2])).transpose()?;
            let Some(pair) = pair.filter(|pair| pair.rank() == 0) else { return Ok(()) };
            let posted = pair.irecv(vec![0u8], Any, 3)?;
            for other in [2, 0, 3] {
                is_lost("a receive from one that returned", world.recv(&mut [0u8], other, Any).map(drop), other);
            }
            let of_group = |what: &str, result: Result<(), Error>| {
                let error = result.expect_err(what);
                assert!(matches!(error.kind(), ErrorKind::PeerLost { rank: 1, .. }), "{what}: {error}");
            };
            of_group("a receive that was posted", posted.wait().map(drop));
            of_group("a later one", pair.recv(&mut [0u8], Any, Any).map(drop));
            of_group("a probe", pair.probe(Any, Any).map(drop));
            Ok(())
        }
        "divided" => {
            // Ranks that make communicators in different ways, or do something else meanwhile.
            let ended = if world.rank() == 1 { world.split(Some(1), 0).map(drop) } else { world.dup().map(drop) };
            let text = ended.expect_err("no communicator is made").to_string();
            assert!(text.contains("rank 0 calls dup, rank 1 calls split"), "{text}");
            let ended = if world.rank() == 1 { world.barrier() } else { world.dup().map(drop) };
            let error = ended.expect_err("no communicator is made");
            assert!(matches!(error.kind(), ErrorKind::Mismatch(_) | ErrorKind::Truncated { .. }), "{error}");
            Ok(())
        }
        "signals" => {
            // Rank 2 of three is gone; what ranks 0 and 1 make of their memory is theirs, though rank 1 asks for rank 2's, too.
            if world.rank() == 2 {
                std::process::exit(0);
            }
            is_lost("a receive", world.recv(&mut [0u8], 2, Any).map(drop), 2);
            let peer = 1 - world.rank();
            world.attach(&[peer])?;
            match world.rank() {
                0 => drop(world.attach(&[1])?),
                _ => is_lost("memory of the lost rank", world.attach(&[2, 0]).map(drop), 2),
            }
            let signals = world.signals(&[peer], 1)?;
            signals.post(0, 1);
            signals.wait(0, 0, 1)
        }
        "late" => {
            if world.rank() > 0 {
                wait_for_flag();
                return world.send(&[2u8; 8], 0, 5);
            }
            // Nobody sends; then the time is up, and the buffer is this rank's again.
            let mut buffer = [1u8; 8];
            is_late("a receive", world.recv(&mut buffer, Any, 5).map(drop));
            assert_eq!(buffer, [1; 8]);
            is_late("a barrier", world.barrier());
            is_late("a long send", world.send(&vec![1u8; 1 << 20], 1, 5));
            is_late("a synchronous send", world.send_synchronous(&[1u8], 1, 6));
            is_late("a probe", world.probe(Any, Any).map(drop));
            let mut request = world.irecv(vec![0u8; 8], 1, 7)?;
            is_late("wait_any", wait_any(&mut vec![world.irecv(vec![0u8; 8], Any, 8)?]).map(drop));
            assert!(!request.test(), "nobody sends");
            is_late("wait", request.wait().map(drop));
            raise_flag();
            // What was late took nothing away.
            loop {
                match world.recv(&mut buffer, 1, 5) {
                    Err(e) if matches!(e.kind(), ErrorKind::Timeout(_)) => {}
                    received => return received.map(|_| assert_eq!(buffer, [2; 8])),
                }
            }
        }
        _ => unreachable!("{word} is no end"),
    });
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    play(3, "ends sent", &[]);
}

#[test]
fn looks_at_a_signal_find_the_end_and_what_was_posted_before() {
    play(3, "ends polled", &[]);
}

#[test]
fn any_source_is_lost_once_nobody_else_is_left() {
    play(2, "ends anyone", &[]);
    play(4, "ends anyone", &[]);
}

#[test]
fn ranks_that_make_communicators_in_different_ways_are_told_so() {
    play(2, "ends divided", &[]);
}

#[test]
fn any_source_of_a_group_is_lost_with_its_own_ranks_alone() {
    play(4, "ends group", &[]);
}

#[test]
#[cfg(target_os = "linux")]
fn two_ranks_share_memory_whoever_else_has_died() {
    let ended = start(3, "ends signals", &[]).finish(LIMIT);
    assert!(ended[..2].iter().all(|rank| rank.status.is_some_and(|status| status.success())), "{}", report(&ended));
}

#[test]
fn no_wait_is_longer_than_the_timeout() {
    play(2, "ends late", &[("PARHELION_TIMEOUT", "0.3")]);
}

/// A rank of a drill.
pub(crate) fn drill(word: &str) {
    let (seed, ranks) = word.split_once(' ').expect("two numbers");
    let plan = Plan::new(seed.parse().expect("a seed"), ranks.parse().expect("ranks"));
    drill::take_part(plan).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_rank_killed_at_any_point_is_lost_to_all_and_the_rest_is_right() {
    for seed in 1000..1012u64 {
        let ranks = 2 + seed as usize % 4;
        let ended = start(ranks, &format!("drill {seed} {ranks}"), &[]).finish(LIMIT);
        if let Err(why) = drill::judge(Plan::new(seed, ranks), &ended) {
            panic!("{why}");
        }
    }
}
