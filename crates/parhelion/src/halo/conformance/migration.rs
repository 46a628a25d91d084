//! Index lists: from one ownership to another, vectors and edges.

use std::collections::BTreeSet;

use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Op};

use super::check::{ensure, value};
use super::meshes::{PARTITIONS, Partition, edges, mesh_of, rounds, settings_for};
use crate::index::{Coverage, Descriptor, DistMultiVector, DistVector, Migration, Order};

pub(super) const CASES: &[Case] = &[
    Case::new("migration: vectors go from any ownership to any other and back", there_and_back),
    Case::new("migration: the source is readable on the way, the target's halo stays", in_flight),
    Case::new("migration: <A x, y> = <x, At y>, with the same bits by every scheme", adjoint),
    Case::new("migration: several columns go together, in either order", columns),
    Case::new("migration: of shared points the master gives its value, to all owners", shared),
    Case::new("migration: edges go with their rows to a new ownership", rebuilt),
    Case::new("migration: what does not fit together is an error at every rank", faults),
];

fn there_and_back(c: &Communicator) -> Outcome {
    let shape = [3, 4, 5];
    for (number, first) in PARTITIONS.into_iter().enumerate() {
        let second = PARTITIONS[(number + 2) % PARTITIONS.len()];
        let (from, to) = (mesh_of(c, shape, first)?, mesh_of(c, shape, second)?);
        let (there, back) = (Migration::new(&from, &to)?, Migration::new(&to, &from)?);
        there.plan().verify(c)?;
        there.plan().adjoint().verify(c)?;
        for settings in settings_for(c) {
            there.set_scheme(settings);
            back.set_scheme(settings);
            for salt in 0..2 {
                let x = DistVector::<u16>::from_fn(&from, |i| value([i as i64], salt));
                let y = there.migrate(&x)?;
                let right = to.owned().zip(y.owned()).all(|(i, &y)| y == value::<u16, 1>([i as i64], salt));
                ensure(right, format_args!("{first:?} to {second:?}, {settings}: {:?}", y.owned()))?;
                let home = back.migrate(&y)?;
                ensure(home.owned() == x.owned(), format_args!("{first:?} to {second:?} and back, {settings}"))?;
            }
        }
    }
    Ok(())
}

fn in_flight(c: &Communicator) -> Outcome {
    let shape = [3, 3, 4];
    let (from, to) = (mesh_of(c, shape, Partition::Blocks)?, mesh_of(c, shape, Partition::Random)?);
    let migration = Migration::new(&from, &to)?;
    for settings in settings_for(c) {
        migration.set_scheme(settings);
        let (x, mut y) = (DistVector::from_fn(&from, |i| i as f32), DistVector::zeros(&to));
        for round in 0..3 {
            y.local_mut().fill(-1.0);
            let inflight = migration.start_into(x.clone(), y)?;
            let other = migration.start(DistVector::from_fn(&from, |i| i + round))?;
            ensure(inflight.owned() == x.owned(), format_args!("{settings}: the source in flight"))?;
            let (_, landed) = inflight.finish()?.into_vectors();
            let right = to.owned().zip(landed.owned()).all(|(i, &y)| y == i as f32);
            ensure(right, format_args!("{settings}: {:?}", landed.owned()))?;
            ensure(landed.halo().iter().all(|&y| y == -1.0), format_args!("{settings}: the halo was changed"))?;
            let (_, other) = other.finish()?.into_vectors();
            let right = to.owned().zip(other.owned()).all(|(i, &y)| y == i + round);
            ensure(right, format_args!("{settings}: a second one in flight"))?;
            y = landed;
        }
        // One source and two targets by turns: messages that are bound to one do not land in it again.
        let (mut source, mut idle) = (x.clone(), DistVector::zeros(&to));
        for round in 0..4 {
            y.fill(-1.0);
            let (back, landed) = migration.start_into(source, y)?.finish()?.into_vectors();
            let right = to.owned().zip(landed.owned()).all(|(i, &y)| y == i as f32);
            ensure(right, format_args!("{settings}, target of round {round}: {:?}", landed.owned()))?;
            (source, y) = (back, std::mem::replace(&mut idle, landed));
        }
        drop(migration.start(x.clone())?);
        let after = migration.migrate(&x)?;
        ensure(
            to.owned().zip(after.owned()).all(|(i, &y)| y == i as f32),
            format_args!("{settings}: after one was dropped"),
        )?;
    }
    Ok(())
}

fn adjoint(c: &Communicator) -> Outcome {
    // In the target every rank owns every index.
    let n = 18;
    let from = Descriptor::builder(c).owner_of(n, |i| (i * i) as usize % c.size()).assemble()?;
    let to = Descriptor::builder(c).replicated(n as usize).assemble()?;
    let migration = Migration::new(&from, &to)?;
    migration.plan().verify(c)?;
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let small = |i: u64, salt: u64| (value::<u64, 2>([i as i64, c.rank() as i64], salt) % 19) as f64 - 9.0;
    let mut first: Option<Vec<u64>> = None;
    for settings in settings_for(c) {
        migration.set_scheme(settings);
        let (x, y) = (DistVector::from_fn(&from, |i| small(i, 1)), DistVector::from_fn(&to, |i| small(i, 2)));
        let ax = migration.migrate(&x)?;
        let mut aty = DistVector::zeros(&from);
        migration.migrate_adjoint(&mut aty, &y, Op::Sum)?;
        let sides = c.all_reduce(&[dot(ax.owned(), y.owned()), dot(x.owned(), aty.owned())], Op::Sum)?;
        ensure(sides[0] == sides[1], format_args!("{settings}: {sides:?}"))?;
        let mut rough = DistVector::from_fn(&from, |i| (i as f64).sqrt());
        let copies =
            DistVector::from_fn(&to, |i| (1.0 + i as f64 * (c.rank() + 1) as f64).ln() * 10f64.powi(c.rank() as i32));
        migration.migrate_adjoint(&mut rough, &copies, Op::Sum)?;
        let bits: Vec<u64> = rough.owned().iter().map(|x| x.to_bits()).collect();
        let first = first.get_or_insert_with(|| bits.clone());
        ensure(*first == bits, format_args!("{settings}: other bits than by the first scheme"))?;
    }
    Ok(())
}

fn columns(c: &Communicator) -> Outcome {
    let shape = [3, 3, 4];
    let (from, to) = (mesh_of(c, shape, Partition::Random)?, mesh_of(c, shape, Partition::Dealt)?);
    let migration = Migration::new(&from, &to)?;
    for settings in settings_for(c) {
        migration.set_scheme(settings);
        for (order, columns) in [(Order::RowMajor, 3), (Order::ColumnMajor, 2)] {
            let mut x = DistMultiVector::<i32>::zeros_in(&from, columns, order);
            x.fill_with(|i, column| 100 * i as i32 + column as i32);
            let y = migration.migrate(&x)?;
            let has = |y: &DistMultiVector<i32>| {
                let mut own = to.owned().flat_map(|i| (0..columns).map(move |column| (i, column)));
                own.all(|(i, column)| y.get(i, column) == Some(100 * i as i32 + column as i32))
            };
            ensure(has(&y), format_args!("{settings}, {order:?}: {:?}", y.owned()))?;
            // The vectors of one column are in flight with them.
            let (first, second) = (migration.start(DistVector::from_fn(&from, |i| i))?, migration.start_into(x, y)?);
            let (x, y) = second.finish()?.into_vectors();
            let (_, single) = first.finish()?.into_vectors();
            ensure(to.owned().eq(single.owned().iter().copied()), format_args!("{settings}: beside columns"))?;
            ensure(has(&y), format_args!("{settings}, {order:?}, the second time: {:?}", y.owned()))?;
            let mut sums = x.clone();
            migration.migrate_adjoint(&mut sums, &y, Op::Sum)?;
            ensure(
                sums.owned().iter().zip(x.owned()).all(|(&sum, &x)| sum == 2 * x),
                format_args!("{settings}: adjoint"),
            )?;
        }
    }
    // Distances that differ from rank to rank, and between the two.
    let more = 1 + c.rank();
    for settings in settings_for(c) {
        migration.set_scheme(settings);
        for (order, leading) in
            [(Order::RowMajor, [2 + more, 3]), (Order::ColumnMajor, [from.len() + 2, to.len() + more])]
        {
            let number = |i: u64, column: usize| (10 * i + column as u64) as f64;
            let mut x = DistMultiVector::with_leading(&from, 2, order, leading[0])?;
            let mut y = DistMultiVector::with_leading(&to, 2, order, leading[1])?;
            y.as_mut_slice().fill(-1.0);
            x.fill_with(number);
            let dense = migration.migrate(&x)?;
            let (_, y) = migration.start_into(x, y)?.finish()?.into_vectors();
            let right = |y: &DistMultiVector<f64>| {
                let mut own = to.owned().flat_map(|i| (0..2).map(move |column| (i, column)));
                own.all(|(i, column)| y.get(i, column) == Some(number(i, column)))
            };
            ensure(right(&dense) && right(&y), format_args!("{settings}, {order:?}: {:?}", y.owned()))?;
            let untouched = y.as_slice().iter().filter(|&&y| y == -1.0).count();
            let wanted = y.as_slice().len() - 2 * to.owned_len();
            ensure(untouched == wanted, format_args!("{settings}, {order:?}: what lies between was written"))?;
        }
    }
    let (two, three) = (DistMultiVector::<f64>::zeros(&from, 2), DistMultiVector::<f64>::zeros(&to, 3));
    let text = migration.start_into(two, three).err().map(|e| e.to_string()).unwrap_or_default();
    ensure(text.contains("another number"), format_args!("other columns: {text:?}"))
}

fn shared(c: &Communicator) -> Outcome {
    let shape = [1, 6, 6];
    let wide = mesh_of(c, shape, Partition::Blocks)?.extend(1)?;
    let dealt = mesh_of(c, shape, Partition::Dealt)?.extend(1)?;
    let migration = Migration::new(&wide, &dealt)?;
    let master = |index: &Descriptor| {
        let mut x = DistVector::full(index, c.rank() as u64);
        x.exchange_on(crate::index::List::Overlap)?;
        x.gather_all()
    };
    let masters = master(&wide)?;
    for settings in settings_for(c).take(rounds(c, 50) as usize) {
        migration.set_scheme(settings);
        let y = migration.migrate(&DistVector::full(&wide, c.rank() as u64))?;
        let right = dealt.owned().zip(y.owned()).all(|(i, &y)| y == masters[i as usize]);
        ensure(right, format_args!("{settings}: {:?}", y.owned()))?;
    }
    Ok(())
}

fn rebuilt(c: &Communicator) -> Outcome {
    let shape = [3, 4, 5];
    let n = shape.iter().product();
    let (mut mesh, mut extra) = (edges(shape), edges(shape));
    mesh.retain(|&(row, column)| (row + 2 * column) % 5 != 0);
    extra.retain(|&(row, column)| (row + 2 * column) % 5 == 0);
    for (number, first) in PARTITIONS.into_iter().enumerate() {
        let second = PARTITIONS[(number + 3) % PARTITIONS.len()];
        let base = first.own(Descriptor::builder(c), n, c);
        let base = base.edges(mesh.iter().copied().filter(|&(row, _)| first.owner(row, n, c.size()) == c.rank()));
        let base = base.halo([n - 1]).assemble()?;
        let index = base.rebuild(second.own(Descriptor::builder(c), n, c))?;
        index.plan().verify(c)?;
        let found: BTreeSet<(u64, u64)> = index
            .adjacency()
            .iter()
            .filter_map(|(row, column)| Some((index.global(row)?, index.global(column)?)))
            .collect();
        let mine = |&(row, _): &(u64, u64)| second.owner(row, n, c.size()) == c.rank();
        let want: BTreeSet<(u64, u64)> = mesh.iter().copied().filter(mine).collect();
        ensure(found == want, format_args!("{first:?} to {second:?}: {found:?}, not {want:?}"))?;
        let outside = want.iter().map(|edge| edge.1).filter(|&column| !index.owns(column));
        let halo: BTreeSet<u64> = outside.collect();
        ensure(index.halo().iter().copied().collect::<BTreeSet<_>>() == halo, format_args!("{:?}", index.halo()))?;
        // To where every rank has everything, with more edges besides.
        let whole = Descriptor::builder(c).replicated(n as usize).edges(extra.iter().copied());
        let whole = base.rebuild(whole)?;
        ensure(whole.adjacency().entries() == mesh.len() + extra.len(), format_args!("{:?}", whole.adjacency()))?;
    }
    Ok(())
}

fn faults(c: &Communicator) -> Outcome {
    let n = 4 * c.size() as u64;
    let blocks = Descriptor::builder(c).blocks(4).assemble()?;
    let longer = Descriptor::builder(c).blocks(5).assemble()?;
    let mine = 4 * c.rank() as u64..4 * c.rank() as u64 + 4;
    let gap = Descriptor::builder(c).owned(mine.filter(|&i| i != 1)).coverage(Coverage::AtMostOnce).assemble()?;
    let other = c.dup()?;
    let elsewhere = Descriptor::builder(&other).blocks(4).assemble()?;
    let cases = [
        ("a longer target", Migration::new(&blocks, &longer).err(), format!("{} indices", n + c.size() as u64)),
        ("an index nobody has", Migration::new(&gap, &blocks).err(), "index 1, which rank 0 is to get".to_owned()),
        ("another communicator", Migration::new(&blocks, &elsewhere).err(), "both must be of one".to_owned()),
        (
            "a pattern on another communicator",
            blocks.rebuild(Descriptor::builder(&other).blocks(4)).err(),
            "a pattern on communicator".to_owned(),
        ),
        (
            "rows nobody has",
            gap.rebuild(Descriptor::builder(c).blocks(4)).err(),
            "index 1, which rank 0 is to own".to_owned(),
        ),
        (
            "an owner that is no rank",
            blocks.rebuild(Descriptor::builder(c).owner_of(n, |i| if i + 1 == n { c.size() } else { 0 })).err(),
            format!("rank {}", c.size()),
        ),
    ];
    for (what, error, words) in cases {
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(&words), format_args!("{what}: {words:?} is not in {text:?}"))?;
    }
    let migration = Migration::new(&blocks, &blocks)?;
    let foreign = migration.migrate(&DistVector::<u8>::zeros(&longer)).err().map(|e| e.to_string()).unwrap_or_default();
    ensure(foreign.contains("for a migration from"), format_args!("a foreign vector: {foreign:?}"))?;
    // All is as it was: onto itself, everything is a copy without a message.
    let x = DistVector::from_fn(&blocks, |i| i);
    let y = migration.migrate(&x)?;
    ensure(y.owned() == x.owned() && migration.plan().messages() == 0, "after the faults")
}
