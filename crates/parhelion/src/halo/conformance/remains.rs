//! Descriptors and what is made of them, again and again: nothing is left behind.

use std::sync::{Arc, Weak};

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Op};

use super::check::{all_settings, ensure};
use super::leaks::{leaves_nothing, times};
use crate::halo::{Exchanges, Fields};
use crate::index::{Descriptor, DistMultiVector, DistVector, List, Migration, Order, OverlapUpdate};

pub(super) const CASES: &[Case] = &[Case::new(
    "leaks: 100 descriptors, extended, migrated from, with exchanges given up, leave nothing behind",
    many,
)];

/// What carries something, to see whether it has gone.
fn carrier(fields: &impl Fields) -> Weak<Exchanges> {
    fields.home().map_or_else(Weak::new, Arc::downgrade)
}

/// A descriptor, its layers, columns over both, a migration, and an exchange of each that is given up before the next. Gives
/// what carried them, all of which has gone when this ends.
fn build_and_use(c: &Communicator, number: usize) -> Result<Vec<Weak<Exchanges>>, Halt> {
    let (n, size) = (8 * c.size() as u64, c.size());
    let first = 8 * c.rank() as u64;
    let ring = (first..first + 8).flat_map(|i| [(i, (i + 1) % n), (i, (i + n - 1) % n)]);
    let index = Descriptor::builder(c).blocks(8).edges(ring).assemble()?;
    let settings: Vec<_> = all_settings().collect();
    let settings = settings[number % settings.len()];
    index.set_scheme(settings);
    let vector = || DistVector::from_fn(&index, |i| i + number as u64);
    drop(vector().start_exchange()?);
    drop(vector().start_exchange_adjoint(Op::Sum)?);
    let mut x = vector();
    x.exchange_adjoint(Op::Max)?;
    x.exchange()?;
    let right = index.halo().iter().zip(x.halo()).all(|(i, &x)| x == i + number as u64);
    ensure(right, format_args!("descriptor {number} by {settings}"))?;

    let wide = index.extend(1)?;
    wide.set_scheme(settings);
    let layers = DistVector::full(&wide, 1u32).start_exchange_on(List::Extension)?;
    let mut carriers = vec![carrier(&vector()), carrier(layers.fields())];
    drop(layers);
    DistVector::full(&wide, 1u32).exchange_on(List::Extension)?;
    let mut columns = DistMultiVector::full(&wide, 3, 1.0f32);
    columns.update_overlap(OverlapUpdate::Average)?;
    let mut apart = DistMultiVector::with_leading(&wide, 2, Order::ColumnMajor, wide.len() + number % 3)?;
    apart.fill(1.0f64);
    apart.exchange()?;
    let once = columns.owned().iter().all(|&x| x == 1.0) && apart.halo().iter().all(|&x| x == 1.0);
    ensure(once, format_args!("columns {number} by {settings}"))?;
    carriers.extend([carrier(&columns), carrier(&apart)]);

    let dealt = Descriptor::builder(c).owner_of(n, |i| i as usize % size).assemble()?;
    let migration = Migration::new(&index, &dealt)?;
    migration.set_scheme(settings);
    let migrating = migration.start(vector())?;
    carriers.push(carrier(migrating.fields()));
    drop(migrating);
    let y = migration.migrate(&vector())?;
    let right = dealt.owned().zip(y.owned()).all(|(i, &y)| y == i + number as u64);
    ensure(right, format_args!("migration {number} by {settings}"))?;
    Ok(carriers)
}

fn one_of_many(c: &Communicator, number: usize) -> Outcome {
    let left = build_and_use(c, number)?.iter().filter(|carrier| carrier.strong_count() > 0).count();
    ensure(left == 0, format_args!("{left} pools of exchanges outlive descriptor {number}"))
}

fn many(c: &Communicator) -> Outcome {
    (0..20).try_for_each(|number| one_of_many(c, number))?;
    leaves_nothing(c, "descriptors", || (0..times(c, 100)).try_for_each(|number| one_of_many(c, number)))
}
