//! Tasks of unequal cost, taken by whichever rank is free: a counter in a window says which one is next.
//!
//! ```console
//! $ cargo run --release -p parhelion --example tasks
//! ```

use parhelion::Window;
use parhelion::prelude::*;

/// How many steps the Collatz sequence of `n` takes to reach 1.
fn steps(mut n: u64) -> u64 {
    let mut count = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        count += 1;
    }
    count
}

fn main() -> parhelion::Result<()> {
    parhelion::run(|world| {
        let (tasks, length) = (100u64, 1000u64);
        let longest = |task: u64| (task * length + 1..=(task + 1) * length).map(steps).max().unwrap_or(0);

        // Rank 0 has the counter and a place for each result; nobody waits for rank 0's own work.
        let mut window = Window::<u64>::allocate(&world, if world.rank() == 0 { 1 + tasks as usize } else { 0 })?;
        let mine = window.fence(|epoch| {
            let shared = epoch.part(0)?;
            let mut mine = 0u64;
            loop {
                let task = shared.fetch_and_op(0, 1, Op::Sum)?;
                if task >= tasks {
                    return Ok(mine);
                }
                shared.put(1 + task as usize, &[longest(task)])?;
                mine += 1;
            }
        })?;

        assert_eq!(world.all_reduce(&[mine], Op::Sum)?, [tasks]);
        if let Some((_, results)) = window.local().split_first() {
            let most = results.iter().max().copied().unwrap_or(0);
            assert_eq!(most, 350, "the longest sequence below 100,000 is that of 77,031");
            println!("{tasks} tasks on {} ranks, {mine} of them here: at most {most} steps", world.size());
        }
        Ok(())
    })
}
