//! What goes on without calls, and what must not grow.

use std::thread::sleep;
use std::time::{Duration, Instant};

use parhelion_comm::Op;

use crate::processes::report;
use crate::{LIMIT, play, raise_flag, start, wait_for_flag, world};

/// A part, by its name.
pub(crate) fn part(word: &str) {
    match word {
        "alone" => alone(),
        "communicators" => communicators(),
        "unreceived" => unreceived(),
        "unmatched" => unmatched(),
        "bystander" => bystander_dies(),
        _ => match word.strip_prefix("returned ") {
            Some(rank) => returned(rank.parse().expect("a rank")),
            None => unreachable!("{word} is no part"),
        },
    }
}

/// Rank 0 starts collectives and then does something else until the others say, by a file, that theirs are done.
fn alone() {
    world(|world| {
        let sums: Vec<_> = (0..5u64).map(|i| world.iall_reduce(vec![i; 50_000], Op::Sum)).collect::<Result<_, _>>()?;
        let longest = world.iscan(vec![1u64; 3], |a: u64, b: u64| a + b)?;
        if world.rank() == 0 {
            wait_for_flag();
        }
        for (i, sum) in sums.into_iter().enumerate() {
            assert_eq!(sum.wait()?, vec![4 * i as u64; 50_000]);
        }
        assert_eq!(longest.wait()?, vec![world.rank() as u64 + 1; 3]);
        if world.rank() == 3 {
            raise_flag();
        }
        world.barrier()
    });
}

#[test]
fn collectives_in_flight_go_on_without_calls_of_their_owner() {
    play(4, "progress alone", &[]);
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn communicators() {
    world(|world| {
        let others: Vec<usize> = (0..world.size()).rev().collect();
        let many = |n: usize| {
            for i in 0..n {
                let made = match i % 3 {
                    0 => world.dup()?,
                    1 => world.split(Some(0), -(world.rank() as i64))?.expect("a colour"),
                    _ => world.group("again", &others)?,
                };
                let right = (made.rank() + 1) % made.size();
                let sent = made.isend(vec![i], right, 0)?;
                assert_eq!(made.recv_vec::<usize>(parhelion_comm::Any, 0)?.0, [i]);
                sent.wait()?;
                assert_eq!(made.all_reduce(&[1], Op::Sum)?, [made.size()]);
            }
            Ok::<_, parhelion_comm::Error>(())
        };
        many(1500)?;
        let before = resident();
        many(6000)?;
        let grown = resident().saturating_sub(before);
        assert!(grown < 3 << 20, "6000 communicators left {grown} bytes behind");
        Ok(())
    });
}

#[test]
fn thousands_of_communicators_leave_nothing_behind() {
    play(2, "progress communicators", &[]);
}

/// Rounds of a communicator that is dropped with messages in it that nobody has received: one that its sender has sent at once,
/// and one that waits at its sender.
fn unreceived() {
    world(|world| {
        let many = |n: usize| {
            for _ in 0..n {
                let made = world.dup()?;
                let right = (made.rank() + 1) % made.size();
                for len in [4000, 300_000] {
                    drop(made.isend(vec![1u8; len], right, 0)?);
                }
            }
            world.barrier()
        };
        many(100)?;
        let before = resident();
        many(1000)?;
        let grown = resident().saturating_sub(before);
        assert!(grown < 20 << 20, "1000 communicators with messages left {grown} bytes behind");
        Ok(())
    });
}

#[test]
fn messages_that_nobody_received_go_with_their_communicator() {
    play(2, "progress unreceived", &[]);
}

/// Rank `early` begins collectives, drops them and returns, before the others begin theirs.
fn returned(early: usize) {
    world(|world| {
        let is_early = world.rank() == early;
        if !is_early {
            sleep(Duration::from_millis(200));
        }
        let sums: Vec<_> = (0..20u64).map(|i| world.iall_reduce(vec![i; 1000], Op::Sum)).collect::<Result<_, _>>()?;
        if is_early {
            return Ok(());
        }
        for (i, sum) in sums.into_iter().enumerate() {
            assert_eq!(sum.wait()?, vec![(world.size() * i) as u64; 1000]);
        }
        Ok(())
    });
}

#[test]
fn a_rank_that_returns_first_finishes_what_it_has_begun() {
    for (early, shared_memory) in [(0, "1"), (1, "1"), (2, "1"), (0, "0"), (2, "0")] {
        play(3, &format!("progress returned {early}"), &[("PARHELION_SHARED_MEMORY", shared_memory)]);
    }
}

/// Every rank begins a collective that no other begins, drops it and returns.
fn unmatched() {
    world(|world| {
        let made: Vec<_> = (0..world.size()).map(|_| world.dup()).collect::<Result<_, _>>()?;
        drop(made[world.rank()].ibarrier()?);
        Ok(())
    });
}

#[test]
fn collectives_that_cannot_be_finished_keep_nobody_for_long() {
    // Signs of life are none of progress, however often they come.
    for heartbeat in ["30", "1"] {
        let begin = Instant::now();
        play(3, "progress unmatched", &[("PARHELION_HEARTBEAT", heartbeat)]);
        assert!(begin.elapsed() < Duration::from_secs(20), "heartbeat {heartbeat}: {:?}", begin.elapsed());
    }
}

/// Rank 1 begins a collective with rank 0 and returns; rank 2 dies; rank 0 has much to do before it takes part.
fn bystander_dies() {
    world(|world| {
        world.barrier()?;
        if world.rank() == 2 {
            std::process::abort();
        }
        let two = world.group("two", &[0, 1])?;
        if world.rank() == 1 {
            drop(two.ibarrier()?);
            return Ok(());
        }
        sleep(Duration::from_secs(3));
        two.ibarrier()?.wait()
    });
}

#[test]
fn a_rank_that_died_ends_no_collective_in_which_it_has_no_part() {
    let ended = start(3, "progress bystander", &[]).finish(LIMIT);
    let fine = |rank: usize| ended[rank].status.is_some_and(|status| status.success());
    assert!(fine(0) && fine(1) && !fine(2), "{}", report(&ended));
}
