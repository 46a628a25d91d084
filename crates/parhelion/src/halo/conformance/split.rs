//! The split phase of every exchange that is not the plain one: adjoints, overlap updates, migrations back. Each gives what the
//! same in one call gives.

use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, ErrorKind, Op};

use super::check::{array, ensure};
use super::flight::staggered;
use super::index::{overlapping, rough, whole};
use super::meshes::{Partition, mesh_of, settings_for};
use crate::array::{Decomposition, DistArray};
use crate::halo::{exchange_adjoint, start_exchange_adjoint};
use crate::index::{Descriptor, DistMultiVector, DistVector, List, Migration, Order, OverlapUpdate};

pub(super) const CASES: &[Case] = &[
    Case::new("split: an adjoint that is started and finished has the bits of one in one call", adjoint),
    Case::new("split: what is owned can be read while the adjoint travels, as it was", readable),
    Case::new("split: adjoints are in flight with each other and with exchanges", together),
    Case::new(
        "split: which adjoints a rank has in flight when it starts another is its own affair",
        staggered_adjoints,
    ),
    Case::new("split: an adjoint that is given up leaves neighbours and later ones in order", given_up),
    Case::new("split: the adjoint of every list, of vectors and columns, is started and finished", lists),
    Case::new("split: arrays of several kinds go back together, by closures alone", arrays),
    Case::new("split: a migration goes back as it does in one call", migration),
    Case::new("split: shared points are updated as in one call", overlap),
    Case::new("split: what is not defined is refused at the start", refused),
];

/// An operator that knows the order of the contributions.
fn fold(owner: f64, copy: f64) -> f64 {
    owner * 0.75 + copy
}

fn same(what: impl std::fmt::Display, got: &[f64], want: &[f64]) -> Outcome {
    let other =
        (0..got.len().max(want.len())).find(|&i| got.get(i).map(|x| x.to_bits()) != want.get(i).map(|x| x.to_bits()));
    let Some(i) = other else { return Ok(()) };
    ensure(false, format_args!("{what}: element {i} is {:?}, in one call {:?}", got.get(i), want.get(i)))
}

fn adjoint(c: &Communicator) -> Outcome {
    for partition in [Partition::Random, Partition::LastOnly] {
        let index = mesh_of(c, [4, 5, 3], partition)?;
        for settings in settings_for(c) {
            index.set_scheme(settings);
            let (mut sum, mut folded) = (rough(&index), rough(&index));
            sum.exchange_adjoint(Op::Sum)?;
            folded.exchange_adjoint(fold)?;
            let x = rough(&index).start_exchange_adjoint(Op::Sum)?.finish()?;
            same(format_args!("{settings}, {partition:?}, sum"), x.local(), sum.local())?;
            // An operator that lives elsewhere.
            let factor = 0.75;
            let by_reference = |owner: f64, copy: f64| owner * factor + copy;
            let mut inflight = rough(&index).start_exchange_adjoint(&by_reference)?;
            while !inflight.test()? {
                std::thread::yield_now();
            }
            let tested = inflight.test()?;
            ensure(tested, format_args!("{settings}: there, and then not"))?;
            same(format_args!("{settings}, {partition:?}, a closure"), inflight.finish()?.local(), folded.local())?;
        }
    }
    Ok(())
}

fn readable(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 3], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let before = rough(&index);
        let mut inflight = rough(&index).start_exchange_adjoint(Op::Sum)?;
        same(format_args!("{settings}, in flight"), inflight.owned(), before.owned())?;
        while !inflight.test()? {
            same(format_args!("{settings}, tested"), inflight.owned(), before.owned())?;
            std::thread::yield_now();
        }
        // Everything has come, and nothing has landed.
        same(format_args!("{settings}, all there"), inflight.owned(), before.owned())?;
        let x = inflight.finish()?;
        same(format_args!("{settings}, the halo"), x.halo(), before.halo())?;
    }
    Ok(())
}

fn together(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 3], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut wanted = [whole(&index, 3), whole(&index, 5)];
        for x in &mut wanted {
            x.exchange_adjoint(Op::Sum)?;
        }
        for round in 0..3 {
            let first = whole(&index, 3).start_exchange_adjoint(Op::Sum)?;
            let forward = DistVector::from_fn(&index, |i| i + round).start_exchange()?;
            let second = whole(&index, 5).start_exchange_adjoint(Op::Sum)?;
            let folded = whole(&index, 5).start_exchange_adjoint(fold)?;
            same(format_args!("{settings}, first"), first.finish()?.local(), wanted[0].local())?;
            let x = forward.finish()?;
            let right = (0..index.len()).all(|local| index.global(local) == Some(x.local()[local] - round));
            ensure(right, format_args!("{settings}: the exchange between"))?;
            same(format_args!("{settings}, second"), second.finish()?.local(), wanted[1].local())?;
            let mut want = whole(&index, 5);
            want.exchange_adjoint(fold)?;
            same(format_args!("{settings}, a closure beside"), folded.finish()?.local(), want.local())?;
        }
    }
    Ok(())
}

fn staggered_adjoints(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 3], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut want = rough(&index);
        want.exchange_adjoint(fold)?;
        for round in 0..4 {
            staggered(
                c,
                round,
                |_| Ok(rough(&index).start_exchange_adjoint(fold)?),
                |i, flight| same(format_args!("{settings}, number {i}"), flight.finish()?.local(), want.local()),
            )?;
        }
    }
    Ok(())
}

fn given_up(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [3, 4, 4], Partition::Dealt)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut want = whole(&index, 1);
        want.exchange_adjoint(Op::Sum)?;
        for round in 0..4usize {
            let inflight = whole(&index, 1).start_exchange_adjoint(Op::Sum)?;
            // One rank gives up, in turn, or all do; the others get what they were to get.
            if round == 3 || round % c.size() == c.rank() {
                drop(inflight);
            } else {
                same(format_args!("{settings}, beside one given up"), inflight.finish()?.local(), want.local())?;
            }
            let after = whole(&index, 1).start_exchange_adjoint(Op::Sum)?.finish()?;
            same(format_args!("{settings}, after one given up"), after.local(), want.local())?;
        }
    }
    Ok(())
}

fn lists(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [3, 4, 4], Partition::Random)?.extend(1)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for list in List::ALL {
            let mut want = rough(&index);
            want.exchange_adjoint_on(list, fold)?;
            let inflight = rough(&index).start_exchange_adjoint_on(list, fold)?;
            let before = rough(&index);
            for (start, run) in inflight.owned().runs() {
                same(format_args!("{settings}, {list:?}, in flight"), run, &before.local()[start..start + run.len()])?;
            }
            let x = inflight.finish()?.into_vector();
            same(format_args!("{settings}, {list:?}"), x.local(), want.local())?;
            for order in [Order::RowMajor, Order::ColumnMajor] {
                let mut all = DistMultiVector::zeros_in(&index, 2, order);
                for column in 0..2 {
                    all.set_column(column, &rough(&index))?;
                }
                let all = all.start_exchange_adjoint_on(list, fold)?.finish()?.into_vector();
                let all = if list == List::Halo { all.start_exchange()?.finish()? } else { all };
                let column = all.column(1);
                let here = if list == List::Halo { index.owned_len() } else { index.len() };
                same(format_args!("{settings}, {list:?}, {order:?}"), &column.local()[..here], &want.local()[..here])?;
            }
        }
        let mut columns = DistMultiVector::from_fn(&index, 2, |i, j| (i + j as u64) as f64);
        columns.halo_mut().fill(0.5);
        let mut want = columns.clone();
        want.exchange_adjoint(Op::Sum)?;
        let columns = columns.start_exchange_adjoint(Op::Sum)?.finish()?;
        ensure(columns.local() == want.local(), format_args!("{settings}: columns on the halo's list"))?;
    }
    Ok(())
}

fn arrays(c: &Communicator) -> Outcome {
    let narrow = Decomposition::new([8], c)?.halo(1).periodic([true]);
    let wide = Decomposition::new([8, 6], c)?.halo(2);
    let index = mesh_of(c, [3, 4, 4], Partition::Dealt)?;
    let number = |bytes: DistArray<u8, 2>, c: &Communicator| -> Vec<u8> {
        bytes.decomposition().parent_space(c.rank()).iter().map(|i| bytes.with_halo()[i]).collect()
    };
    for settings in settings_for(c) {
        narrow.set_scheme(settings);
        let fields = || Ok::<_, parhelion_comm::Error>((DistArray::full(&narrow, 2.5f64)?, whole(&index, 4)));
        let mut want = (fields()?, array::<u8, 2>(&wide, 2)?);
        exchange_adjoint(&mut want, Op::Sum)?;
        let inflight = start_exchange_adjoint((fields()?, array::<u8, 2>(&wide, 2)?), Op::Sum)?;
        let ((cells, elements), _) = inflight.owned();
        ensure(cells.iter().all(|&x| x == 2.5), format_args!("{settings}: owned cells in flight"))?;
        same(format_args!("{settings}, a vector in flight"), elements, whole(&index, 4).owned())?;
        let ((u, x), bytes) = inflight.finish()?;
        ensure(u.owned().iter().eq(want.0.0.owned().iter()), format_args!("{settings}: cells together"))?;
        same(format_args!("{settings}, a vector together"), x.local(), want.0.1.local())?;
        ensure(number(bytes, c) == number(want.1.clone(), c), format_args!("{settings}: bytes together"))?;
        let bytes = array::<u8, 2>(&wide, 7)?.start_exchange_adjoint(|a: u8, b: u8| a.wrapping_mul(3) ^ b)?.finish()?;
        let mut want = array::<u8, 2>(&wide, 7)?;
        want.exchange_adjoint(|a: u8, b: u8| a.wrapping_mul(3) ^ b)?;
        ensure(number(bytes, c) == number(want, c), format_args!("{settings}: bytes by a closure"))?;
    }
    Ok(())
}

fn migration(c: &Communicator) -> Outcome {
    let (from, to) = (mesh_of(c, [3, 3, 4], Partition::Random)?, mesh_of(c, [3, 3, 4], Partition::Dealt)?);
    let there = Migration::new(&from, &to)?;
    for settings in settings_for(c) {
        there.set_scheme(settings);
        let mut want = rough(&from);
        there.migrate_adjoint(&mut want, &rough(&to), fold)?;
        let inflight = there.start_adjoint(rough(&from), rough(&to), fold)?;
        same(format_args!("{settings}, in flight"), inflight.owned(), rough(&from).owned())?;
        let (x, target) = inflight.finish()?.into_vectors();
        same(format_args!("{settings}, the vector"), x.local(), want.local())?;
        same(format_args!("{settings}, the target"), target.local(), rough(&to).local())?;
    }
    Ok(())
}

fn overlap(c: &Communicator) -> Outcome {
    let updates = [
        OverlapUpdate::None,
        OverlapUpdate::Sum,
        OverlapUpdate::Average,
        OverlapUpdate::SquareRoot,
        OverlapUpdate::ZeroNonMasters,
    ];
    let alone = Descriptor::builder(c).blocks(3).assemble()?;
    for index in [overlapping(c)?, mesh_of(c, [3, 4, 4], Partition::Random)?.extend(1)?, alone] {
        for settings in settings_for(c) {
            index.set_scheme(settings);
            for update in updates {
                let mut want = rough(&index);
                want.update_overlap(update)?;
                let (mut first, second) =
                    (rough(&index).start_update_overlap(update)?, rough(&index).start_update_overlap(update)?);
                while !first.test()? {
                    std::thread::yield_now();
                }
                let before = rough(&index);
                ensure(first.owned().len() == index.counted().len(), format_args!("{update:?}: what can be read"))?;
                for (start, run) in first.owned().runs() {
                    let run_before = &before.local()[start..start + run.len()];
                    same(format_args!("{settings}, {update:?}, in flight"), run, run_before)?;
                }
                let mut x = first.finish()?;
                same(format_args!("{settings}, {update:?}"), x.local(), want.local())?;
                same(format_args!("{settings}, {update:?}, the second"), second.finish()?.local(), want.local())?;
                // The vector is back on the halo's list.
                x.exchange()?;
                want.exchange()?;
                same(format_args!("{settings}, {update:?}, then the halo"), x.local(), want.local())?;
                let mut columns = DistMultiVector::from_columns(&[rough(&index), before])?;
                let inflight = columns.clone().start_update_overlap(update)?;
                columns.update_overlap(update)?;
                let split = inflight.finish()?;
                same(format_args!("{settings}, {update:?}, columns"), split.as_slice(), columns.as_slice())?;
            }
        }
    }
    Ok(())
}

fn refused(c: &Communicator) -> Outcome {
    let index = overlapping(c)?;
    let refused = |error: Option<parhelion_comm::Error>| {
        let undefined = error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::UndefinedOp(_)));
        ensure(undefined, format_args!("an average: {error:?}"))
    };
    refused(whole(&index, 1).start_exchange_adjoint(Op::Average).err())?;
    refused(start_exchange_adjoint(whole(&index, 1), Op::Average).err())?;
    refused(start_exchange_adjoint((whole(&index, 1), whole(&index, 2)), Op::BitXor).err())?;
    refused(DistVector::full(&index, 1i32).start_update_overlap(OverlapUpdate::Average).err())?;
    let x = whole(&index, 1).start_exchange_adjoint(Op::Sum)?.finish()?;
    ensure(x.local().len() == index.len(), "after the refusals")
}
