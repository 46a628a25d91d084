//! Heat on a plate, the messages hidden behind the update of the interior.
//!
//! ```console
//! $ cargo run --release -p parhelion --example heat
//! $ mpiexec -n 4 target/release/examples/heat
//! ```

use parhelion::prelude::*;

const SIZE: usize = 1024;

fn main() -> parhelion::Result<()> {
    parhelion::run(|world| {
        let grid = Decomposition::new([SIZE, SIZE], &world)?.halo(1).periodic([true, false]);
        let mut u = DistArray::from_fn(&grid, |[i, j]| initial(i, j))?;
        let mut next = u.zeros_like();
        let before = u.sum()?;
        for _ in 0..1000 {
            let inflight = u.start_exchange()?; // takes u: its halo cannot be touched
            step(inflight.owned(), next.interior_mut()); // owned cells stay readable
            u = inflight.finish()?; // u comes back, halo filled
            step(u.with_halo(), next.boundary_mut());
            std::mem::swap(&mut u, &mut next);
        }
        let heat = u.sum()?;
        assert!(
            heat < before && heat > 0.9 * before,
            "the plate loses a little heat at its cold edges: {heat} of {before}"
        );
        if world.rank() == 0 {
            println!("{heat:.3} of {before:.3} is left");
        }
        Ok(())
    })
}

/// A hot disc in the middle.
fn initial(i: i64, j: i64) -> f64 {
    let [x, y] = [i, j].map(|k| k as f64 / SIZE as f64 - 0.5);
    if x * x + y * y < 0.24 { 1.0 } else { 0.0 }
}

/// One explicit step for the cells of `next`. Beyond the edges of the second axis the halo is zero: cold.
fn step(u: View<'_, f64, 2>, mut next: RegionsMut<'_, f64, 2>) {
    next.for_each_row(|[i, j], row| {
        let len = row.len();
        let (above, below) = (u.row([i - 1, j], len), u.row([i + 1, j], len));
        let (left, here, right) = (u.row([i, j - 1], len), u.row([i, j], len), u.row([i, j + 1], len));
        for k in 0..len {
            row[k] = here[k] + 0.2 * (above[k] + below[k] + left[k] + right[k] - 4.0 * here[k]);
        }
    });
}
