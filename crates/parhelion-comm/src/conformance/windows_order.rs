//! Windows: who is let in beside whom, and what is done when somebody says so. Where a lock or a wait is left out, these see it.

use super::check::{Outcome, ensure, equal, same};
use super::sample::{neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::error::Result;
use crate::window::{Lock, Part, Window};

/// How often a rank looks while another one should be kept out: long enough for it to come in.
const LOOKS: usize = 1000;
/// Puts of a few KiB, each a message of its own: so many are still on their way when the last one has been made.
const PUTS: usize = 300;
const EACH: usize = 500;

pub(super) fn kept_out(c: &Communicator) -> Outcome {
    let target = c.size() - 1;
    let mut window = Window::<u64>::allocate(c, 1)?;
    for (first, second) in
        [(Lock::Exclusive, Lock::Exclusive), (Lock::Exclusive, Lock::Shared), (Lock::Shared, Lock::Exclusive)]
    {
        window.local_mut()[0] = 0;
        window.passive(|epoch| {
            let mut now = [7];
            if c.rank() == 0 {
                let held = epoch.lock(target, first)?;
                c.send(&[0u8], 1, 1)?;
                for _ in 0..LOOKS {
                    held.get(0, &mut now)?;
                    assert_eq!(now, [0], "somebody has come in with a lock {second:?} beside one {first:?}");
                    std::thread::yield_now();
                }
                held.put(0, &[1])?;
                return held.unlock();
            }
            if c.rank() == 1 {
                c.recv(&mut [0u8], 0, 1)?;
                let held = epoch.lock(target, second)?;
                held.get(0, &mut now)?;
                assert_eq!(now, [1], "a lock {second:?} was had beside one {first:?}");
                if second == Lock::Exclusive {
                    held.put(0, &[2])?;
                }
                return held.unlock();
            }
            Ok(())
        })?;
        let last = if second == Lock::Exclusive { 2 } else { 1 };
        ensure(c.rank() < target || window.local() == [last], "what the last one has put")?;
    }
    Ok(())
}

pub(super) fn shared_by_all(c: &Communicator) -> Outcome {
    let mut window = Window::<u32>::allocate(c, 1)?;
    window.local_mut()[0] = c.rank() as u32;
    for target in [0, c.size() - 1] {
        let mut got = [0];
        window.passive(|epoch| {
            let held = epoch.lock(target, Lock::Shared)?;
            // Nobody gives it back before all have it.
            c.barrier()?;
            held.get(0, &mut got)?;
            held.unlock()
        })?;
        equal("what all have read", got, [target as u32])?;
    }
    Ok(())
}

/// Writes all that one rank has for another, in pieces.
fn put_pieces(part: &Part<'_, u64>, data: &[u64]) -> Result<()> {
    data.chunks(EACH).enumerate().try_for_each(|(i, piece)| part.put(EACH * i, piece))
}

pub(super) fn crowd_in_a_fence(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut window = Window::<u64>::allocate(c, PUTS * EACH)?;
    for round in 0..4 {
        let data = pattern::<u64>(seed(&[c.rank(), round]), PUTS * EACH);
        // The end of the fence reaches the left neighbour by way of others.
        window.fence(|epoch| put_pieces(&epoch.part(left)?, &data))?;
        same("what was put", window.local(), &pattern(seed(&[right, round]), PUTS * EACH))?;
    }
    Ok(())
}

pub(super) fn crowd_of_neighbours(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let mut window = Window::<u64>::allocate(c, PUTS * EACH)?;
    for round in 0..4 {
        let data = pattern::<u64>(seed(&[c.rank(), round]), PUTS * EACH);
        window.neighbours(&[right], &[left], |epoch| put_pieces(&epoch.part(left)?, &data))?;
        same("what was put", window.local(), &pattern(seed(&[right, round]), PUTS * EACH))?;
    }
    Ok(())
}

pub(super) fn flushed_and_told(c: &Communicator) -> Outcome {
    // By a third rank, if there is one: its word does not follow the puts.
    let teller = if c.size() > 2 { 2 } else { 0 };
    let mut window = Window::<u64>::allocate(c, PUTS * EACH)?;
    for round in 0..4 {
        let data = pattern::<u64>(seed(&[round]), PUTS * EACH);
        let mut got = vec![0; PUTS * EACH];
        window.fence(|epoch| {
            if c.rank() == 0 {
                let part = epoch.part(1)?;
                put_pieces(&part, &data)?;
                part.flush()?;
                if teller != 0 {
                    c.send(&[1u8], teller, 5)?;
                }
            }
            if c.rank() == teller {
                if teller != 0 {
                    c.recv(&mut [0u8], 0, 5)?;
                }
                c.send(&[1u8], 1, 6)?;
            }
            if c.rank() == 1 {
                c.recv(&mut [0u8], teller, 6)?;
                epoch.part(1)?.get(0, &mut got)?;
            }
            Ok(())
        })?;
        if c.rank() == 1 {
            same("what was flushed", &got, &data)?;
        }
    }
    Ok(())
}
