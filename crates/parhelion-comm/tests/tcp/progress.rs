//! What goes on without calls, and what must not grow.

use parhelion_comm::Op;

use crate::{play, raise_flag, wait_for_flag, world};

/// A part, by its name.
pub(crate) fn part(word: &str) {
    match word {
        "alone" => alone(),
        "communicators" => communicators(),
        "unreceived" => unreceived(),
        _ => unreachable!("{word} is no part"),
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
