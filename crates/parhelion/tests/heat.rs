//! The first program of the design: heat on a grid, with the communication hidden behind the interior update.

use parhelion::halo::Settings;
use parhelion::prelude::*;
use parhelion::{BackendKind, launch};

fn initial(i: i64, j: i64) -> f64 {
    ((i * 7 + j * 13).rem_euclid(29)) as f64 - 14.0
}

/// One Jacobi step of every cell that `next` shows, out of what `u` shows; beyond the end of axis 1 it is cold.
fn step(u: View<'_, f64, 2>, mut next: RegionsMut<'_, f64, 2>) {
    next.for_each(|[i, j], cell| {
        *cell = 0.2 * (u[[i, j]] + u[[i - 1, j]] + u[[i + 1, j]] + u[[i, j - 1]] + u[[i, j + 1]]);
    });
}

const SHAPE: [usize; 2] = [24, 18];
const STEPS: usize = 20;

fn parallel(world: &Communicator, settings: Settings) -> Result<Option<ndarray::Array2<f64>>> {
    let grid = Decomposition::new(SHAPE, world)?.halo(1).periodic([true, false]);
    grid.set_scheme(settings);
    let mut u = DistArray::from_fn(&grid, |[i, j]| initial(i, j))?;
    let mut next = u.zeros_like();
    for _ in 0..STEPS {
        let inflight = u.start_exchange()?;
        step(inflight.owned(), next.interior_mut());
        u = inflight.finish()?;
        step(u.with_halo(), next.boundary_mut());
        std::mem::swap(&mut u, &mut next);
    }
    u.gather(0)
}

fn serial() -> ndarray::Array2<f64> {
    let [rows, columns] = SHAPE;
    let mut u = ndarray::Array2::from_shape_fn(SHAPE, |(i, j)| initial(i as i64, j as i64));
    for _ in 0..STEPS {
        let at = |i: usize, j: usize| u[[i % rows, j]];
        u = ndarray::Array2::from_shape_fn(SHAPE, |(i, j)| {
            let left = if j > 0 { at(i, j - 1) } else { 0.0 };
            let right = if j + 1 < columns { at(i, j + 1) } else { 0.0 };
            0.2 * (at(i, j) + at(i + rows - 1, j) + at(i + 1, j) + left + right)
        });
    }
    u
}

#[test]
fn heat_is_the_same_to_the_last_bit_on_any_number_of_ranks_by_any_scheme() {
    let expected = serial();
    for ranks in [1, 2, 3, 4, 7] {
        for scheme in Scheme::ALL.into_iter().chain([Scheme::Auto]) {
            let config =
                Config::default().backend(BackendKind::Local).ranks(ranks).timeout(std::time::Duration::from_secs(60));
            let all = launch(&config, |world| parallel(&world, scheme.into())).unwrap();
            let gathered = all.into_iter().flatten().next().expect("the root has it");
            assert_eq!(gathered, expected, "{ranks} ranks, scheme {scheme}");
        }
    }
}
