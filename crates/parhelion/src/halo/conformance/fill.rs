//! Every halo cell holds its owner's value after an exchange, whatever the geometry, the scheme and the element type.

use bytemuck::{Pod, Zeroable};
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Complex, Element, bf16, f16};

use super::check::{all_settings, along, array, ensure, filled};
use crate::array::Decomposition;
use crate::halo::{Settings, exchange};

pub(super) const CASES: &[Case] = &[
    Case::new("fill: every scheme fills the faces of one to four axes", faces),
    Case::new("fill: every scheme fills edges and corners in one round", corners),
    Case::new("fill: halos wider than the neighbour's block reach further ranks", wide),
    Case::new("fill: grids of one rank along any axis are their own neighbours", own_neighbours),
    Case::new("fill: ranks that own nothing take part", empty_ranks),
    Case::new("fill: widths of each side of each axis are their own", uneven_widths),
    Case::new("fill: every element type travels by every scheme", element_types),
    Case::new("fill: several fields travel together", fields),
    Case::new("fill: an array without halo is exchanged at once", no_halo),
    Case::new("fill: the scheme can be changed between exchanges", change_of_scheme),
];

/// Fills an array of `T` on `grid` by every scheme, twice, so that what a scheme keeps is used again.
fn by_every_scheme<T: Element, const D: usize>(grid: &Decomposition<D>) -> Outcome {
    for settings in all_settings() {
        grid.set_scheme(settings);
        twice::<T, D>(grid, settings)?;
    }
    Ok(())
}

fn twice<T: Element, const D: usize>(grid: &Decomposition<D>, settings: Settings) -> Outcome {
    for salt in [1, 2] {
        let mut u = array::<T, D>(grid, salt)?;
        u.exchange()?;
        filled(format_args!("{settings}, exchange {salt}"), &u, salt)?;
    }
    Ok(())
}

fn faces(c: &Communicator) -> Outcome {
    by_every_scheme::<f64, 1>(&Decomposition::new([23], c)?.halo(2))?;
    by_every_scheme::<f64, 2>(&Decomposition::new([13, 17], c)?.halo(1).periodic([true, false]))?;
    let moved = Decomposition::new([9, 10, 11], c)?.origin([-4, 7, -30]);
    by_every_scheme::<f64, 3>(&moved.halo(1).periodic([false, true, true]))?;
    by_every_scheme::<f64, 4>(&Decomposition::new([7, 8, 6, 5], c)?.halo(1).periodic([true; 4]))
}

fn corners(c: &Communicator) -> Outcome {
    by_every_scheme::<f64, 2>(&Decomposition::new([15, 14], c)?.halo(2).edges_and_corners(true))?;
    by_every_scheme::<f32, 3>(&Decomposition::new([8, 9, 7], c)?.halo(1).periodic([true; 3]).edges_and_corners(true))
}

fn wide(c: &Communicator) -> Outcome {
    let n = c.size();
    // Blocks of one or two cells, halos of five: several ranks away, and round the ring more than once.
    by_every_scheme::<f64, 1>(&Decomposition::new([n + 1], c)?.halo(5).periodic([true]))?;
    let grid = Decomposition::new([n, 4], c)?.grid(along(c, 0)).halo(3).periodic([true, true]);
    by_every_scheme::<u16, 2>(&grid.edges_and_corners(true))
}

fn own_neighbours(c: &Communicator) -> Outcome {
    for axis in 0..3 {
        let grid = Decomposition::new([8, 9, 10], c)?.grid(along(c, axis)).halo(1).periodic([true; 3]);
        by_every_scheme::<f64, 3>(&grid)?;
    }
    Ok(())
}

fn empty_ranks(c: &Communicator) -> Outcome {
    let grid = |n| Ok::<_, parhelion_comm::Error>(Decomposition::new([n, 3], c)?.grid(along(c, 0)));
    by_every_scheme::<f64, 2>(&grid(1)?.halo(1).periodic([true, true]))?;
    by_every_scheme::<f64, 2>(&grid(c.size().div_ceil(2))?.halo(2))?;
    by_every_scheme::<f64, 2>(&grid(0)?.halo(1).periodic([true, false]))
}

fn uneven_widths(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([14, 12], c)?.halo_widths([[0, 2], [3, 1]]).periodic([true, true]);
    by_every_scheme::<i32, 2>(&grid)?;
    by_every_scheme::<i32, 2>(&grid.edges_and_corners(true))
}

/// Twelve bytes, aligned to four: no power of two.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Particle {
    place: [u16; 4],
    kind: u32,
}

fn element_types(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([9, 7], c)?.halo(1).periodic([true, true]).edges_and_corners(true);
    macro_rules! each {
        ($($t:ty),*) => { $(by_every_scheme::<$t, 2>(&grid)?;)* };
    }
    each!(i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64, Complex<f32>, Complex<f64>, Particle, [u8; 3]);
    Ok(())
}

fn fields(c: &Communicator) -> Outcome {
    let narrow = Decomposition::new([12, 10], c)?.halo(1).periodic([true, false]);
    let wide = Decomposition::new([12, 10], c)?.halo(3).periodic([true, true]).edges_and_corners(true);
    let line = Decomposition::new([31], c)?.halo(2);
    for settings in all_settings() {
        narrow.set_scheme(settings);
        for salt in [1, 2] {
            let mut all = (
                array::<u8, 2>(&narrow, salt)?,
                array::<Complex<f64>, 2>(&wide, salt + 10)?,
                vec![array::<[u8; 3], 1>(&line, salt + 20)?, array(&line, salt + 30)?],
                array::<f32, 2>(&narrow, salt + 40)?,
            );
            exchange(&mut all)?;
            filled(format_args!("{settings}, u8"), &all.0, salt)?;
            filled(format_args!("{settings}, Complex<f64>"), &all.1, salt + 10)?;
            filled(format_args!("{settings}, [u8; 3]"), &all.2[0], salt + 20)?;
            filled(format_args!("{settings}, [u8; 3], second"), &all.2[1], salt + 30)?;
            filled(format_args!("{settings}, f32"), &all.3, salt + 40)?;
        }
    }
    let plan = narrow.plan()?;
    ensure(plan.messages() <= plan.neighbours().len(), "more than one message for a neighbour")
}

fn no_halo(c: &Communicator) -> Outcome {
    by_every_scheme::<f64, 2>(&Decomposition::new([12, 10], c)?.periodic([true, true]))
}

fn change_of_scheme(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([16, 16], c)?.halo(1).periodic([true, true]);
    let mut u = array::<f64, 2>(&grid, 3)?;
    for round in 0..3 {
        for (i, settings) in all_settings().enumerate() {
            grid.set_scheme(settings);
            ensure(grid.scheme()? == settings, "the scheme is not what was set")?;
            if (i + round) % 2 == 0 {
                u = array(&grid, round as u64)?;
                u.exchange()?;
                filled(format_args!("{settings}, round {round}"), &u, round as u64)?;
            } else {
                let inflight = u.start_exchange()?;
                u = inflight.finish()?;
            }
        }
    }
    Ok(())
}
