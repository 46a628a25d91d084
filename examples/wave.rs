//! A standing wave in a periodic cube: leapfrog in time, the interior updated while halos are on their way.
//!
//! ```console
//! $ cargo run --release -p parhelion --example wave
//! ```

use std::f64::consts::TAU;

use parhelion::prelude::*;

const SIZE: usize = 64;
/// Speed times the step in time over the width of a cell; stable below 1/√3.
const COURANT: f64 = 0.5;

fn main() -> parhelion::Result<()> {
    parhelion::run(|world| {
        let grid = Decomposition::new([SIZE; 3], &world)?.halo(1).periodic([true; 3]);
        let exact = |time: f64| move |index: [i64; 3]| wave(index, time);
        let step = COURANT / SIZE as f64;
        let mut before = DistArray::from_fn(&grid, exact(-step))?;
        let mut now = DistArray::from_fn(&grid, exact(0.0))?;
        let steps = 256;
        for _ in 0..steps {
            let inflight = now.start_exchange()?;
            advance(inflight.owned(), before.interior_mut());
            now = inflight.finish()?;
            advance(now.with_halo(), before.boundary_mut());
            std::mem::swap(&mut now, &mut before);
        }
        let expected = DistArray::from_fn(&grid, exact(steps as f64 * step))?;
        let error = now.zip(&expected, |x, y| (x - y).abs())?.max()?.expect("there are cells");
        assert!(error < 0.01, "{error}");
        if world.rank() == 0 {
            println!("{SIZE}^3 cells, {steps} steps on {} ranks: off by {error:.2e} at most", world.size());
        }
        Ok(())
    })
}

/// A standing wave of speed 1.
fn wave(index: [i64; 3], time: f64) -> f64 {
    let [x, y, z] = index.map(|i| (TAU * (i as f64 + 0.5) / SIZE as f64).sin());
    x * y * z * (3f64.sqrt() * TAU * time).cos()
}

/// Replaces the cells of `next`, which hold the step before, by the step after `u`.
fn advance(u: View<'_, f64, 3>, mut next: RegionsMut<'_, f64, 3>) {
    next.for_each_row(|[i, j, k], row| {
        let len = row.len();
        let around = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]];
        let around = around.map(|[a, b, c]| u.row([i + a, j + b, k + c], len));
        let here = u.row([i, j, k], len);
        for n in 0..len {
            let sum: f64 = around.iter().map(|row| row[n]).sum();
            row[n] = 2.0 * here[n] - row[n] + COURANT * COURANT * (sum - 6.0 * here[n]);
        }
    });
}
