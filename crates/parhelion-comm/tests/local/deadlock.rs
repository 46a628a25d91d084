//! When every live rank waits and nothing can complete, each is told; and never otherwise.

use std::time::{Duration, Instant};

use parhelion_comm::{Any, Communicator, Config, Error, ErrorKind, Op, ThreadLevel};

use crate::bounds::{kind, ranks, run};

/// How soon every rank must know.
const SOON: Duration = Duration::from_secs(2);

/// Runs `main`, where every rank must meet a deadlock; its text at each rank. Afterwards the world still works.
pub(crate) fn stuck(
    size: usize,
    main: impl Fn(&Communicator) -> Result<(), Error> + Send + Sync + 'static,
) -> Vec<String> {
    let texts = run(ranks(size), move |world| {
        let other = world.dup()?;
        let start = Instant::now();
        let error = main(&world).expect_err("a deadlock is an error");
        let waited = start.elapsed();
        assert!(waited < SOON, "rank {} was told after {waited:?}", world.rank());
        let ErrorKind::Deadlock(text) = error.kind() else { panic!("expected a deadlock, got {error}") };
        // Ranks that go on can talk, on this communicator and on others.
        assert_eq!(other.all_reduce(&[1], Op::Sum)?, [world.size()]);
        let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
        let mut got = [0];
        world.send_recv(&[world.rank()], right, 99, &mut got, left, 99)?;
        assert_eq!(got, [left]);
        Ok(text.clone())
    });
    for (rank, text) in texts.iter().enumerate() {
        for line in (0..size).map(|r| format!("rank {r} waits in ")) {
            assert!(text.contains(&line), "rank {rank} was not told that {line:?}: {text}");
        }
    }
    texts
}

pub(crate) fn says(texts: &[String], parts: &[&str]) {
    for text in texts {
        for part in parts {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
    }
}

#[test]
fn two_ranks_receive_from_each_other() {
    let texts = stuck(2, |world| world.recv(&mut [0u8], 1 - world.rank(), 5 + world.rank() as u32).map(drop));
    says(
        &texts,
        &[
            r#"rank 0 waits in recv from rank 1, tag 5 on communicator "world""#,
            r#"rank 1 waits in recv from rank 0, tag 6 on communicator "world""#,
        ],
    );
}

#[test]
fn one_is_in_a_barrier_the_other_receives() {
    let texts = stuck(2, |world| match world.rank() {
        0 => world.barrier(),
        _ => world.recv(&mut [0u8], 0, 3).map(drop),
    });
    says(&texts, &["rank 0 waits in barrier", "rank 1 waits in recv from rank 0, tag 3"]);
}

#[test]
fn a_ring_of_large_blocking_sends() {
    let texts = stuck(4, |world| world.send(&vec![0u8; 100_000], (world.rank() + 1) % 4, 8));
    says(&texts, &["rank 3 waits in send to rank 0, tag 8", "rank 1 waits in send to rank 2, tag 8"]);
}

#[test]
fn a_ring_of_many_ranks() {
    let texts = stuck(16, |world| world.recv(&mut [0u8], (world.rank() + 1) % 16, 8).map(drop));
    says(&texts, &["rank 0 waits in recv from rank 1, tag 8", "rank 15 waits in recv from rank 0, tag 8"]);
}

#[test]
fn a_ring_of_small_synchronous_sends() {
    let texts = stuck(3, |world| world.send_synchronous(&[0u8], (world.rank() + 1) % 3, 8));
    says(&texts, &["to rank 0, tag 8", "to rank 1, tag 8", "to rank 2, tag 8"]);
}

#[test]
fn everybody_receives_from_anybody() {
    let texts = stuck(3, |world| world.recv(&mut [0u8], Any, Any).map(drop));
    says(&texts, &["any"]);
}

#[test]
fn a_tag_that_nobody_sends() {
    // A message is there, but not the one that is waited for.
    stuck(2, |world| {
        world.send(&[1u8], 1 - world.rank(), 1)?;
        world.recv(&mut [0u8], 1 - world.rank(), 2).map(drop)
    });
}

#[test]
fn a_communicator_that_nobody_sends_on() {
    let texts = stuck(2, |world| {
        let part = world.dup()?;
        world.send(&[1u8], 1 - world.rank(), 1)?;
        part.recv(&mut [0u8], 1 - world.rank(), 1).map(drop)
    });
    says(&texts, &["dup"]);
}

#[test]
fn collectives_of_two_communicators_crossed() {
    let texts = stuck(2, |world| {
        let pair = [world.dup()?, world.group("crossed", &[0, 1])?];
        pair[world.rank()].all_reduce(&[1u64], Op::Sum).map(drop)
    });
    says(&texts, &["all_reduce", "crossed"]);
}

#[test]
fn requests_in_flight() {
    let texts = stuck(3, |world| {
        let requests = (0..3).map(|from| world.irecv(vec![0u8], from, 4)).collect::<Result<Vec<_>, _>>()?;
        let _sent = world.isend(vec![0u8; 100_000], (world.rank() + 1) % 3, 7)?;
        parhelion_comm::wait_all(requests).map(drop)
    });
    says(&texts, &["tag 4"]);
}

#[test]
fn probes_and_scopes() {
    stuck(2, |world| {
        let mut buffer = [0u8; 8];
        match world.rank() {
            0 => world.probe(1, 3).map(drop),
            _ => world.scope(|s| s.recv(&mut buffer, 0, 3)?.wait().map(drop)),
        }
    });
}

#[test]
fn a_rank_alone_waits_for_itself() {
    let texts = stuck(1, |world| world.recv(&mut [0u8], 0, 3).map(drop));
    says(&texts, &["rank 0 waits in recv from rank 0, tag 3"]);
}

#[test]
fn after_one_deadlock_the_next_is_found_too() {
    run(ranks(2), |world| {
        for tag in 0..3 {
            let error = kind(world.recv(&mut [0u8], 1 - world.rank(), tag));
            assert!(matches!(error, ErrorKind::Deadlock(_)), "{error}");
            let mut got = [0];
            // Of another tag: the other rank may be about to learn that its receive has failed.
            world.send_recv(&[tag], 1 - world.rank(), 100 + tag, &mut got, 1 - world.rank(), 100 + tag)?;
            assert_eq!(got, [tag]);
        }
        Ok(())
    });
}

#[test]
fn waiting_for_one_who_sleeps_is_no_deadlock() {
    run(ranks(4), |world| {
        if world.rank() == 0 {
            std::thread::sleep(Duration::from_secs(3));
            world.send(&[1u8], 1, 0)?;
        } else if world.rank() == 1 {
            world.recv(&mut [0u8], 0, 0)?;
        } else if world.rank() == 2 {
            world.irecv(vec![0u8], 3, 0)?.cancel()?;
        }
        world.barrier()
    });
}

#[test]
fn waiting_for_one_who_computes_is_no_deadlock() {
    run(ranks(3), |world| {
        let mut sum = 0u64;
        if world.rank() == 2 {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                sum = std::hint::black_box(sum.wrapping_mul(3).wrapping_add(1));
            }
        }
        world.all_reduce(&[sum], Op::Max).map(drop)
    });
}

#[test]
fn sixteen_busy_ranks_are_no_deadlock() {
    run(ranks(16), |world| {
        let (right, left) = ((world.rank() + 1) % 16, (world.rank() + 15) % 16);
        let mut state = world.rank() as u64;
        for round in 0u64.. {
            // Some rank is always behind.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if state >> 60 == 0 {
                std::thread::sleep(Duration::from_millis(state >> 54 & 63));
            }
            let mut got = vec![0u64; if round % 8 == 0 { 3000 } else { 3 }];
            world.send_recv(&vec![round; got.len()], right, 0, &mut got, left, 0)?;
            assert_eq!(got[0], round);
            if round % 5 == 0 {
                // All leave after the same round.
                let late =
                    world.all_reduce(&[u64::from(START.with(|s| s.elapsed()) > Duration::from_secs(3))], Op::Max)?;
                if late == [1] {
                    break;
                }
            }
        }
        Ok(())
    });
}

thread_local! {
    static START: Instant = Instant::now();
}

#[test]
fn a_thread_of_a_waiting_rank_may_still_send() {
    run(ranks(2).thread_level(ThreadLevel::Multiple), |world| {
        std::thread::scope(|s| {
            let own = world.clone();
            // Every rank waits; what they wait for comes from threads that did not talk before.
            s.spawn(move || {
                std::thread::sleep(Duration::from_millis(1500));
                own.send(&[own.rank()], 1 - own.rank(), 0)
            });
            let mut got = [9];
            world.recv(&mut got, 1 - world.rank(), 0)?;
            assert_eq!(got, [1 - world.rank()]);
            Ok(())
        })
    });
}

#[test]
fn a_thread_that_has_only_sent_may_send_again_while_all_ranks_wait() {
    run(ranks(2), |world| {
        std::thread::scope(|s| {
            let own = world.clone();
            let (peer, me) = (1 - world.rank(), world.rank());
            // It never waits itself, and the thread level is the default.
            s.spawn(move || {
                own.send(&[me], peer, 0)?;
                std::thread::sleep(Duration::from_millis(1500));
                own.send(&[me], peer, 1)
            });
            for tag in 0..2 {
                let mut got = [9];
                world.recv(&mut got, peer, tag)?;
                assert_eq!(got, [peer]);
            }
            Ok(())
        })
    });
}

#[test]
fn a_timeout_ends_a_wait_and_nothing_else() {
    let limit = Duration::from_millis(200);
    run(ranks(2).timeout(limit), move |world| {
        if world.rank() == 0 {
            let start = Instant::now();
            let error = kind(world.recv(&mut [0u8], 1, 0));
            assert_eq!(error, ErrorKind::Timeout(limit));
            assert!(start.elapsed() >= limit && start.elapsed() < limit + SOON, "after {:?}", start.elapsed());
            // The late message goes to the next receive.
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(world.recv_vec::<u8>(1, 0)?.0, [4]);
        } else {
            std::thread::sleep(Duration::from_millis(450));
            world.send(&[4u8], 0, 0)?;
        }
        Ok(())
    });
}

#[test]
fn a_timeout_ends_sends_and_collectives() {
    let limit = Duration::from_millis(150);
    run(ranks(2).timeout(limit), move |world| {
        if world.rank() == 0 {
            assert_eq!(kind(world.send(&vec![1u8; 100_000], 1, 0)), ErrorKind::Timeout(limit));
            let other = kind(world.probe(1, 7));
            assert_eq!(other, ErrorKind::Timeout(limit));
            assert_eq!(kind(world.all_reduce(&[1u8], Op::Sum)), ErrorKind::Timeout(limit));
        } else {
            std::thread::sleep(5 * limit);
        }
        Ok(())
    });
}

#[test]
fn without_detection_only_the_timeout_is_left() {
    let limit = Duration::from_millis(1500);
    let mut config: Config = ranks(2).timeout(limit);
    config.deadlock_detection = false;
    run(config, move |world| {
        assert_eq!(kind(world.recv(&mut [0u8], 1 - world.rank(), 0)), ErrorKind::Timeout(limit));
        // Ending at once would be another reason to stop waiting.
        std::thread::sleep(limit / 2);
        Ok(())
    });
}
