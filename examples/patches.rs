//! Patches of several sizes on every rank: a ring of cells, cut unevenly, smoothed patch by patch.
//!
//! ```console
//! $ cargo run --release -p parhelion --example patches
//! ```

use parhelion::halo::{PatchArray, PatchGrid, Patches};
use parhelion::prelude::*;

/// Cells of each patch of a rank; rank 1 has none of its own.
const LENGTHS: [i64; 3] = [5, 1, 12];

fn main() -> parhelion::Result<()> {
    parhelion::run(|world| {
        let busy = |rank: usize| rank != 1;
        let each: i64 = LENGTHS.iter().sum();
        let before = (0..world.rank()).filter(|&rank| busy(rank)).count() as i64 * each;
        let all = (0..world.size()).filter(|&rank| busy(rank)).count() as i64 * each;

        // Each patch offers its cells, and asks for one more on both sides, whoever has them.
        let mut patches = Patches::new().periodic([Some(all as usize)]);
        let mut start = before;
        for length in LENGTHS.into_iter().filter(|_| busy(world.rank())) {
            let owned = IndexSpace::new([start], [start + length]);
            let patch = patches.add(owned.grow(1));
            patches.publish(patch, owned);
            patches.request(patch, owned.grow(1));
            start += length;
        }
        let grid = PatchGrid::new(patches, &world)?;
        let mut u = PatchArray::from_fn(&grid, |_, [i]| if i.rem_euclid(all) == 0 { 1.0 } else { 0.0 });
        let mut next = PatchArray::<f64, 1>::zeros(&grid);
        for _ in 0..100 {
            u.exchange()?;
            for patch in 0..u.len() {
                let (from, mut to) = (u.patch(patch), next.patch_mut(patch));
                for [i] in from.space().shrink(1).iter() {
                    to[[i]] = 0.25 * from[[i - 1]] + 0.5 * from[[i]] + 0.25 * from[[i + 1]];
                }
            }
            std::mem::swap(&mut u, &mut next);
        }
        let mine: f64 =
            (0..u.len()).flat_map(|p| u.patch(p).region(u.patch(p).space().shrink(1)).iter().copied()).sum();
        let sum = world.all_reduce(&[mine], Op::Sum)?[0];
        assert!((sum - 1.0).abs() < 1e-12, "smoothing keeps the sum: {sum}");
        if world.rank() == 0 {
            println!("{all} cells in patches on {} ranks: the sum is {sum:.12}", world.size());
        }
        Ok(())
    })
}
