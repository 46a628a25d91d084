//! Signals between threads: many ranks on few cores, ranks that never post, settings.

use std::time::{Duration, Instant};

use parhelion_comm::{Communicator, Config, ErrorKind, Op, Signals, ThreadLevel};

use crate::bounds::{kind, launch, ranks, run};
use crate::deadlock::{says, stuck};

fn others(world: &Communicator) -> Vec<usize> {
    (0..world.size()).filter(|&rank| rank != world.rank()).collect()
}

/// A cheap random number, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }
}

/// Rounds of "ready", reading what every peer has written for the round, and "read". Some ranks are late at times, so that
/// all ways to wait are taken.
fn rounds(world: &Communicator, peers: &[usize], rounds: u64) -> Result<(), parhelion_comm::Error> {
    const READY: usize = 0;
    const READ: usize = 1;
    const VALUE: usize = 2;
    let value = |rank: usize, round: u64| round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rank as u64;
    let signals = world.signals(peers, 3)?;
    let mut random = Random(world.rank() as u64);
    for round in 1..=rounds {
        match random.next(400) {
            0 => std::thread::sleep(Duration::from_micros(200)),
            1..20 => std::thread::yield_now(),
            _ => {}
        }
        signals.store(VALUE, value(world.rank(), round));
        signals.post(READY, round);
        // From any peer on: not all begin with the same one.
        let first = random.next(peers.len() as u64) as usize;
        for peer in (0..peers.len()).map(|i| (first + i) % peers.len()) {
            signals.wait(peer, READY, round)?;
            assert_eq!(signals.load(peer, READY), round, "nobody goes on before all have read");
            assert_eq!(signals.load(peer, VALUE), value(peers[peer], round), "round {round} of rank {}", peers[peer]);
        }
        signals.post(READ, round);
        for peer in 0..peers.len() {
            signals.wait(peer, READ, round)?;
        }
    }
    Ok(())
}

fn many_rounds(size: usize, count: u64, config: impl Fn(Config) -> Config) {
    run(config(ranks(size)), move |world| {
        rounds(&world, &others(&world), count)?;
        let around = [(world.rank() + 1) % size, (world.rank() + size - 1) % size];
        rounds(&world, &around, 3 * count)
    });
}

#[test]
fn seven_ranks_exchange_thousands_of_rounds() {
    many_rounds(7, 2000, |config| config);
}

#[test]
fn sixteen_ranks_exchange_hundreds_of_rounds() {
    many_rounds(16, 300, |config| config);
}

#[test]
fn ranks_that_park_at_once_miss_no_post() {
    many_rounds(3, 3000, |mut config| {
        config.spin = Some(Duration::ZERO);
        config
    });
}

#[test]
fn a_post_from_another_thread_wakes_a_rank() {
    // From a thread that is no rank's, which detection cannot know about: so with a level that switches it off.
    run(ranks(2).thread_level(ThreadLevel::Multiple), |world| {
        let signals = world.signals(&[1 - world.rank()], 1)?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(150));
                signals.post(0, 4);
            });
            let start = Instant::now();
            signals.wait(0, 0, 4)?;
            assert!(start.elapsed() > Duration::from_millis(50), "there was nothing to wait for");
            Ok(())
        })
    });
}

#[test]
fn a_late_post_is_no_deadlock() {
    run(ranks(3), |world| {
        let peers = others(&world);
        let signals = world.signals(&peers, 1)?;
        if world.rank() == 1 {
            std::thread::sleep(Duration::from_millis(600));
        }
        signals.post(0, 1);
        (0..2).try_for_each(|peer| signals.wait(peer, 0, 1))
    });
}

#[test]
fn a_rank_that_waits_goes_on_with_its_messages() {
    run(ranks(2), |world| {
        let peer = 1 - world.rank();
        let signals = world.signals(&[peer], 1)?;
        for round in 1..=200u64 {
            if world.rank() == 0 {
                // Larger than what is buffered: the peer takes it while this rank waits for its post.
                let sent = world.isend(vec![round; 5000], peer, 0)?;
                let sum = world.iall_reduce(vec![round], Op::Sum)?;
                signals.wait(0, 0, round)?;
                sent.wait()?;
                assert_eq!(sum.wait()?, [2 * round]);
            } else {
                let sum = world.iall_reduce(vec![round], Op::Sum)?;
                assert_eq!(world.recv_vec::<u64>(peer, 0)?.0, vec![round; 5000]);
                assert_eq!(sum.wait()?, [2 * round]);
                signals.post(0, round);
            }
        }
        Ok(())
    });
}

#[test]
fn what_nobody_posts_is_a_deadlock_that_says_the_word() {
    let texts = stuck(3, |world| {
        let peers = others(world);
        let signals = world.signals(&peers, 3)?;
        signals.post(2, 3);
        let next = peers.iter().position(|&peer| peer == (world.rank() + 1) % 3).expect("one of the others");
        signals.wait(next, 2, 3)?;
        signals.wait(next, 2, 5)
    });
    let line = |rank, next| format!("rank {rank} waits in wait for rank {next} to post 5 in signal word 2, which is 3");
    says(&texts, &[&line(0, 1), &line(1, 2), &line(2, 0)]);
}

#[test]
fn signals_that_peers_do_not_make_are_a_deadlock_that_names_them() {
    let texts = stuck(4, |world| match world.rank() {
        0 => world.signals(&[1, 2, 3], 1).map(drop),
        1 => world.signals(&[0], 1)?.wait(0, 0, 1),
        _ => world.barrier(),
    });
    says(
        &texts,
        &["rank 0 waits in signals for ranks 2, 3 to do the same", "rank 1 waits in wait for rank 0 to post 1"],
    );
}

#[test]
fn a_peer_that_ended_is_lost_but_its_last_post_is_found() {
    for late in [false, true] {
        run(ranks(2), move |world| {
            let signals = world.signals(&[1 - world.rank()], 2)?;
            if world.rank() == 1 {
                if late {
                    std::thread::sleep(Duration::from_millis(100));
                }
                signals.post(0, 7);
                return Ok(());
            }
            signals.wait(0, 0, 7)?;
            let looked = loop {
                match signals.look(0, 1, 1) {
                    Ok(false) => std::thread::yield_now(),
                    end => break end.expect_err("nobody posts it"),
                }
            };
            assert!(matches!(looked.kind(), ErrorKind::PeerLost { rank: 1, .. }), "{looked}");
            assert!(signals.look(0, 0, 7)?, "it was posted before");
            let error = signals.wait(0, 1, 1).expect_err("nobody posts it");
            assert!(matches!(error.kind(), ErrorKind::PeerLost { rank: 1, .. }), "{error}");
            assert_eq!(signals.load(0, 0), 7);
            Ok(())
        });
    }
}

#[test]
fn a_wait_that_is_too_long_names_the_peer() {
    let limit = Duration::from_millis(200);
    run(ranks(2).timeout(limit), move |world| {
        let signals = world.signals(&[1 - world.rank()], 1)?;
        if world.rank() == 0 {
            let start = Instant::now();
            let error = signals.wait(0, 0, 1).expect_err("posted later");
            assert_eq!((error.kind(), error.peer()), (&ErrorKind::Timeout(limit), Some(1)));
            assert!(start.elapsed() >= limit);
            world.send(&[0u8], 1, 0)?;
        } else {
            // Not idle: an idle rank could be the one that times out.
            while world.try_probe(0, 0)?.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    });
}

#[test]
fn a_call_that_failed_leaves_nothing_for_the_next() {
    let limit = Duration::from_millis(100);
    run(ranks(2).timeout(limit), |world| {
        let peer = 1 - world.rank();
        if world.rank() == 0 {
            let error = world.signals(&[1], 5).expect_err("rank 1 does not come");
            assert!(matches!(error.kind(), ErrorKind::Timeout(_)), "{error}");
            world.send(&[0u8], 1, 0)?;
        } else {
            while world.try_probe(0, 0)?.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let signals: Signals = world.signals(&[peer], 2)?;
        assert_eq!(signals.words(), 2);
        signals.post(0, 1);
        signals.wait(0, 0, 1)
    });
}

#[test]
fn without_shared_memory_nothing_is_shared() {
    let mut config = ranks(2);
    config.shared_memory = false;
    run(config, |world| {
        let peer = 1 - world.rank();
        assert_eq!(world.allocate::<f64>(10).token(), None);
        assert!(world.attach(&[peer])?[0].is_none());
        assert!(matches!(kind(world.signals(&[peer], 1)), ErrorKind::Unavailable(_)));
        Ok(())
    });
}

#[test]
#[should_panic(expected = "word 2 of 2")]
fn a_word_that_is_not_there_panics() {
    let _ = launch(ranks(1), |world| {
        world.signals(&[], 2)?.post(2, 1);
        Ok(())
    });
}
