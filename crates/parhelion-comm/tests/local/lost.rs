//! A rank that returns or panics while others wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use parhelion_comm::{Any, Error, ErrorKind, Op, wait_any};

use crate::bounds::{launch, ranks, run, within};
use crate::waits::WAITS;

/// Checks that `result` is the loss of `peer`, and how it ended.
fn is_lost(what: &str, result: Result<(), Error>, peer: usize, how: &str) {
    let error = result.expect_err(what);
    let lost = matches!(error.kind(), ErrorKind::PeerLost { rank, .. } if *rank == peer);
    assert!(lost && error.peer() == Some(peer), "{what}: expected the loss of rank {peer}, got {error}");
    assert!(error.to_string().contains(how), "{what}: {error} does not say that the rank {how}");
}

#[test]
fn a_rank_that_returned_is_lost_to_all_who_wait() {
    for (what, wait) in WAITS {
        for late in [false, true] {
            // Those who saw the loss stay until both have: each would be a loss to the other.
            let survivors = Barrier::new(2);
            run(ranks(3), move |world| {
                if world.rank() == 1 {
                    // Early: before the others wait. Late: while they do.
                    std::thread::sleep(Duration::from_millis(if late { 30 } else { 0 }));
                } else {
                    std::thread::sleep(Duration::from_millis(if late { 0 } else { 30 }));
                    is_lost(what, wait(&world, 1), 1, "returned");
                    survivors.wait();
                }
                Ok(())
            });
        }
    }
}

#[test]
fn a_rank_that_panicked_is_lost_to_all_who_wait() {
    for (what, wait) in WAITS {
        within(Duration::from_secs(20), move || {
            let survivors = Barrier::new(2);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                parhelion_comm::launch(&ranks(3), |world| {
                    if world.rank() == 2 {
                        resume_unwind(Box::new("on purpose"));
                    }
                    is_lost(what, wait(&world, 2), 2, "panicked");
                    survivors.wait();
                    Ok::<_, Error>(())
                })
            }));
            let payload = panic.expect_err("the panic goes on");
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"), "{what}: another rank's check failed");
        });
    }
}

#[test]
fn any_source_is_lost_once_nobody_else_is_left() {
    for size in [2, 4] {
        let start = Instant::now();
        run(ranks(size), |world| {
            if world.rank() > 0 {
                std::thread::sleep(Duration::from_millis(20 * world.rank() as u64));
                return Ok(());
            }
            let error = world.recv(&mut [0u8], Any, Any).expect_err("nobody can send");
            let lost = matches!(error.kind(), ErrorKind::PeerLost { rank, .. } if *rank > 0 && *rank < world.size());
            assert!(lost || matches!(error.kind(), ErrorKind::Deadlock(_)), "{error}");
            Ok(())
        });
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn one_of_many_requests_is_lost_once_nobody_else_is_left() {
    run(ranks(2), |world| {
        if world.rank() == 0 {
            let mut requests = vec![world.irecv(vec![0u8], 1, 1)?, world.irecv(vec![0u8], Any, 2)?];
            is_lost("wait_any", wait_any(&mut requests).map(drop), 1, "returned");
            // The rest can still be given up.
            assert!(requests.iter_mut().all(|r| r.cancel().is_ok()));
        }
        Ok(())
    });
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    run(ranks(3), |world| {
        if world.rank() > 0 {
            world.send(&[world.rank() as u64; 3], 0, 1)?;
            world.send(&[7u8; 4096], 0, 2)?;
            world.isend(vec![9u8; 4], 0, 3)?.wait()?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
        for from in [2, 1] {
            assert_eq!(world.recv_vec::<u8>(from, 3)?.0, [9; 4]);
            assert_eq!(world.recv_vec::<u8>(from, 2)?.0, [7; 4096]);
            assert_eq!(world.recv_vec::<u64>(from, Any)?.0, [from as u64; 3]);
            is_lost(
                "the receive after the last message",
                world.recv(&mut [0u8], from, Any).map(drop),
                from,
                "returned",
            );
        }
        Ok(())
    });
}

#[test]
fn ranks_that_do_not_need_the_lost_one_go_on() {
    let survivors = Barrier::new(3);
    run(ranks(4), move |world| {
        let three = if world.rank() < 3 { Some(world.group("three", &[0, 1, 2])?) } else { None };
        let Some(three) = three else { return Ok(()) };
        std::thread::sleep(Duration::from_millis(20));
        is_lost("a barrier of all", world.barrier(), 3, "returned");
        for i in 0..50 {
            assert_eq!(three.all_reduce(&[i], Op::Sum)?, [3 * i]);
            let (right, left) = ((world.rank() + 1) % 3, (world.rank() + 2) % 3);
            let mut got = [0];
            world.send_recv(&[world.rank()], right, 1, &mut got, left, 1)?;
            assert_eq!(got, [left]);
        }
        is_lost("a receive from the lost one", world.recv(&mut [0u8], 3, 0).map(drop), 3, "returned");
        survivors.wait();
        Ok(())
    });
}

#[test]
fn the_lost_rank_is_named_as_the_communicator_numbers_it() {
    let survivors = Barrier::new(2);
    run(ranks(3), move |world| {
        let mut reversed: Vec<usize> = (0..3).collect();
        reversed.reverse();
        let group = world.group("reversed", &reversed)?;
        world.barrier()?;
        if world.rank() == 2 {
            return Ok(());
        }
        is_lost("a barrier", group.barrier(), 0, "returned");
        is_lost("a receive", group.recv(&mut [0u8], 0, 0).map(drop), 0, "returned");
        is_lost("a receive in the world", world.recv(&mut [0u8], 2, 0).map(drop), 2, "returned");
        survivors.wait();
        Ok(())
    });
}

#[test]
fn losses_go_round_until_all_have_ended() {
    // Rank 3 leaves; 2 waits for 3, 1 for 2, 0 for 1: each fails in its turn, none hangs.
    let result = launch(ranks(4), |world| {
        if world.rank() < 3 {
            world.recv(&mut [0u8], world.rank() + 1, 0)?;
        }
        Ok(())
    });
    assert!(matches!(result.map_err(|e| e.kind().clone()), Err(ErrorKind::PeerLost { .. })));
}
