//! Windows between processes: served without the owner's calls, and never waited for in vain.

use parhelion_comm::{Error, ErrorKind, Lock, Op, Window};

use crate::processes::report;
use crate::{LIMIT, play, raise_flag, start, wait_for_flag, world};

/// A part, by its name.
pub(crate) fn part(word: &str) {
    match word {
        "alone" => alone(),
        how => holder(how),
    }
}

/// Rank 0 does something else until the others say, by a file, that they are done with its part.
fn alone() {
    world(|world| {
        let others: Vec<usize> = (1..world.size()).collect();
        let rest = if world.rank() > 0 { Some(world.group("others", &others)?) } else { None };
        // More than one piece.
        const LEN: usize = 100_000;
        let mut window = Window::<u64>::allocate(&world, 1 + LEN)?;
        window.passive(|epoch| {
            let Some(rest) = &rest else {
                wait_for_flag();
                return Ok(());
            };
            let held = epoch.lock(0, Lock::Exclusive)?;
            let mut now = [0; 1 + LEN];
            held.get(0, &mut now)?;
            assert!(now[1..].iter().all(|x| *x == now[0]), "a state that is half written");
            held.put(1, &vec![now[0] + 1; LEN])?;
            held.accumulate(0, &[1], Op::Sum)?;
            held.unlock()?;
            rest.barrier()?;
            if rest.rank() == 0 {
                raise_flag();
            }
            Ok(())
        })?;
        let count = if world.rank() == 0 { others.len() as u64 } else { 0 };
        assert!(window.local().iter().all(|x| *x == count));
        Ok(())
    });
}

#[test]
fn a_part_is_served_without_calls_of_its_owner() {
    play(4, "windows alone", &[]);
    play(3, "windows alone", &[("PARHELION_SHARED_MEMORY", "0")]);
}

/// Rank 1 of 4 ends, in this way, with the lock of rank 0's part; all others wait for it, or for something else at a rank that
/// lives.
fn holder(how: &str) {
    world(|world| {
        let mut window = Window::<u64>::allocate(&world, 1)?;
        let result = window.passive(|epoch| {
            if world.rank() == 1 {
                let held = epoch.lock(0, Lock::Exclusive)?;
                held.put(0, &[1])?;
                held.flush()?;
                for rank in [0, 2, 3] {
                    world.send(&[0u8], rank, 1)?;
                }
                match how {
                    "exits" => std::process::exit(0),
                    "aborts" => std::process::abort(),
                    "fails" => {
                        std::mem::forget(held);
                        return Err(Error::new("test", ErrorKind::InvalidArgument("on purpose".to_owned())));
                    }
                    _ => panic!("on purpose"),
                }
            }
            world.recv(&mut [0u8], 1, 1)?;
            if world.rank() == 3 {
                // Fails only at the end of the epoch, or before.
                return epoch.lock(2, Lock::Shared)?.accumulate(0, &[1], Op::Sum);
            }
            epoch.lock(0, Lock::Shared)?.get(0, &mut [0])
        });
        if world.rank() == 1 {
            return result;
        }
        let error = result.expect_err("rank 1 has ended in the epoch");
        // Or of one that was told before: its epoch has failed, too.
        let ErrorKind::PeerLost { rank, how } = error.kind() else { panic!("expected a loss, got {error}") };
        assert!(*rank == 1 || how.contains("ended an epoch"), "{error}");
        println!("was told");
        // Who returns is lost to those who wait: all stay until everybody has been told.
        world.group("told", &[0, 2, 3])?.barrier()
    });
}

#[test]
fn whoever_ends_with_a_lock_is_lost_to_all_who_wait() {
    for how in ["exits", "aborts", "fails", "panics"] {
        let ended = start(4, &format!("windows {how}"), &[]).finish(LIMIT);
        for rank in [0, 2, 3] {
            let fine = ended[rank].status.is_some_and(|s| s.success()) && ended[rank].out.contains("was told");
            assert!(fine, "{how}:\n{}", report(&ended));
        }
    }
}
