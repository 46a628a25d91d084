//! Arrays in patches: several per rank, none on some, irregular boxes.

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Op};

use super::check::{all_settings, ensure, value};
use crate::array::IndexSpace;
use crate::halo::{PatchArray, PatchGrid, Patches, exchange};

pub(super) const CASES: &[Case] = &[
    Case::new("patches: every scheme fills what patches request", filled_patches),
    Case::new("patches: published cells are readable in flight", published_in_flight),
    Case::new("patches: the adjoint counts the copies of every cell", counted),
    Case::new("patches: arrays in patches and distributed arrays travel together", mixed),
];

const LENGTH: i64 = 24;

/// A torus of 24 x 6 cells cut into six blocks of 1 to 9 rows, dealt out so that rank 0 has several, and the last of many
/// ranks none. Halos of two cells all round.
fn torus(c: &Communicator) -> Result<PatchGrid<2>, Halt> {
    let cuts = [0, 1, 3, 12, 16, 23, LENGTH];
    let mut patches = Patches::new().periodic([Some(LENGTH as usize), Some(6)]);
    let ranks = if c.size() > 3 { c.size() - 1 } else { c.size() };
    for (i, rows) in cuts.windows(2).enumerate() {
        if i * i % ranks == c.rank() {
            let owned = IndexSpace::from([rows[0]..rows[1], 0..6]);
            let patch = patches.add(owned.grow(2));
            patches.publish(patch, owned);
            patches.request(patch, owned.grow(2));
        }
    }
    Ok(PatchGrid::new(patches, c)?)
}

fn check(what: impl std::fmt::Display, u: &PatchArray<f32, 2>, salt: u64) -> Outcome {
    for patch in 0..u.len() {
        let cells = u.patch(patch);
        for [i, j] in cells.space().iter() {
            let want: f32 = value([i.rem_euclid(LENGTH), j.rem_euclid(6)], salt);
            let same = cells[[i, j]].to_bits() == want.to_bits();
            ensure(same, format_args!("{what}: cell [{i}, {j}] of patch {patch} is {}", cells[[i, j]]))?;
        }
    }
    Ok(())
}

fn filled_patches(c: &Communicator) -> Outcome {
    let grid = torus(c)?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        for salt in 0..3 {
            let mut u = PatchArray::from_fn(&grid, |_, index| value::<f32, 2>(index, salt));
            u.exchange()?;
            check(settings, &u, salt)?;
        }
    }
    Ok(())
}

fn published_in_flight(c: &Communicator) -> Outcome {
    let grid = torus(c)?;
    let inflight = PatchArray::from_fn(&grid, |_, index| value::<f32, 2>(index, 4)).start_exchange()?;
    let published = inflight.owned();
    let mut cells = 0;
    for patch in 0..grid.patches().parents().len() {
        for view in published.patch(patch) {
            for index in view.space().iter() {
                cells += 1u64;
                ensure(view[index].to_bits() == value::<f32, 2>(index, 4).to_bits(), format_args!("cell {index:?}"))?;
            }
        }
    }
    ensure(c.all_reduce(&[cells], Op::Sum)? == [LENGTH as u64 * 6], "not every cell was published once")?;
    check("in flight", &inflight.finish()?, 4)
}

fn counted(c: &Communicator) -> Outcome {
    let grid = torus(c)?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let mut u = PatchArray::<i64, 2>::zeros(&grid);
        let mut copies = 0;
        for patch in 0..u.len() {
            u.patch_mut(patch).fill(1);
            copies += u.patch(patch).len() as i64;
        }
        u.exchange_adjoint(Op::Sum)?;
        let mut counted = 0;
        for publication in grid.patches().publications() {
            let cells = u.patch(publication.patch);
            counted += publication.space.iter().map(|index| cells[index]).sum::<i64>();
        }
        let totals = c.all_reduce(&[copies, counted], Op::Sum)?;
        ensure(totals[0] == totals[1], format_args!("{settings}: {} copies, {} counted", totals[0], totals[1]))?;
    }
    Ok(())
}

fn mixed(c: &Communicator) -> Outcome {
    let grid = torus(c)?;
    let blocks = crate::array::Decomposition::new([9, 8], c)?.halo(1).periodic([true, false]);
    for settings in all_settings() {
        grid.set_scheme(settings);
        let patches = PatchArray::from_fn(&grid, |_, index| value::<f32, 2>(index, 6));
        let mut both = (patches, super::check::array::<u8, 2>(&blocks, 5)?);
        exchange(&mut both)?;
        check(settings, &both.0, 6)?;
        super::check::filled(settings, &both.1, 5)?;
    }
    Ok(())
}
