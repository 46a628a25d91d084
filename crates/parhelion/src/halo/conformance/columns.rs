//! Several columns over one descriptor: multivectors, by the same schemes.

use ndarray::Array2;
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Complex, Element, ErrorKind, Op, Result};

use super::check::{ensure, value};
use super::index::{bits, overlapping};
use super::meshes::{PARTITIONS, Partition, mesh_of, rounds, settings_for};
use crate::halo::start_exchange;
use crate::index::{Coverage, Descriptor, DistMultiVector, DistVector, Order, OverlapUpdate};

pub(super) const CASES: &[Case] = &[
    Case::new("columns: after an exchange every element is that of its index and column", filled),
    Case::new("columns: every element type travels by every scheme", element_types),
    Case::new("columns: each has the bits of a vector of its own", same_bits),
    Case::new("columns: <A x, y> = <x, At y> for every scheme", inner_products),
    Case::new("columns: they are in flight with a vector, tested, and given up", in_flight),
    Case::new("columns: shared points are made to agree in each", overlap),
    Case::new("columns: they are gathered and scattered by global index", movement),
    Case::new("columns: distances between them may differ from rank to rank", leadings),
    Case::new("columns: a fault of one rank is an error at every rank", faults),
];

/// Some columns, stored in each way; where there is room between them, what lies there is `room`.
fn storages<T: Element>(index: &Descriptor, columns: usize, room: T) -> Result<Vec<DistMultiVector<T>>> {
    let mut all: Vec<_> =
        [Order::RowMajor, Order::ColumnMajor].map(|order| DistMultiVector::zeros_in(index, columns, order)).into();
    for (order, leading) in [(Order::RowMajor, columns + 2), (Order::ColumnMajor, index.len() + 1 + index.rank())] {
        let mut x = DistMultiVector::with_leading(index, columns, order, leading)?;
        x.as_mut_slice().fill(room);
        x.local_mut().fill(T::zeroed());
        all.push(x);
    }
    Ok(all)
}

fn number(global: u64, column: usize) -> f64 {
    (1000 * column as u64 + global) as f64
}

/// Whether every local element is [`number`] plus `salt`, and what lies between them is `room`.
fn is_filled(x: &DistMultiVector<f64>, salt: f64, room: f64) -> bool {
    let index = x.descriptor();
    let right = x
        .local()
        .indexed_iter()
        .all(|((local, column), &x)| index.global(local).is_some_and(|global| x == number(global, column) + salt));
    let between = x.as_slice().iter().filter(|&&x| x == room).count();
    right && between == x.as_slice().len() - index.len() * x.columns()
}

fn filled(c: &Communicator) -> Outcome {
    for partition in PARTITIONS {
        let index = mesh_of(c, [3, 4, 5], partition)?;
        for columns in [0, 1, 3] {
            for mut x in storages(&index, columns, -7.0)? {
                for settings in settings_for(c).take(if columns == 3 { usize::MAX } else { 2 }) {
                    index.set_scheme(settings);
                    x.local_mut().fill(-1.0);
                    x.fill_with(number);
                    x.exchange()?;
                    ensure(
                        is_filled(&x, 0.0, -7.0),
                        format_args!("{partition:?}, {settings}, {x:?}: {:?}", x.local()),
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn element_types(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [3, 4, 5], Partition::Random)?;
    macro_rules! each {
        ($($t:ty),*) => {$(
            for settings in settings_for(c) {
                index.set_scheme(settings);
                let element = |global: u64, column: usize| value::<$t, 2>([global as i64, column as i64], 3);
                let mut x = DistMultiVector::<$t>::from_fn(&index, 2, element);
                x.exchange()?;
                let right = x.local().indexed_iter().all(|((local, column), x)| {
                    let want = element(index.global(local).unwrap_or(0), column);
                    bytemuck::bytes_of(x) == bytemuck::bytes_of(&want)
                });
                ensure(right, format_args!("{settings}: {}", stringify!($t)))?;
            }
        )*};
    }
    each!(i8, u16, parhelion_comm::bf16, f32, Complex<f64>, [u8; 3]);
    Ok(())
}

/// Numbers whose sum depends on the order, in the halo too.
fn rough(x: &mut DistMultiVector<f64>) {
    let rank = x.descriptor().rank();
    for ((local, column), x) in x.local_mut().indexed_iter_mut() {
        *x = (1.0 + (local * 7 + rank * 3 + column) as f64).sqrt() * 10f64.powi((local + column) as i32 % 9 - 4);
    }
}

fn same_bits(c: &Communicator) -> Outcome {
    let indices = [
        Descriptor::builder(c).owner_of(20, |i| i as usize % c.size()).halo(0..20).assemble()?,
        mesh_of(c, [10, 20, 15], Partition::Blocks)?,
        overlapping(c)?,
    ];
    for index in &indices {
        for mut x in storages(index, 3, 0.0)? {
            rough(&mut x);
            let alone: Vec<DistVector<f64>> = (0..3).map(|column| x.column(column)).collect();
            let back = DistMultiVector::from_columns(&alone)?;
            ensure(back.local() == x.local(), "columns that became vectors and columns again")?;
            let each = |of: fn(&DistVector<f64>) -> Result<f64>| alone.iter().map(of).collect::<Result<Vec<f64>>>();
            let both = [
                (x.sum()?, each(DistVector::sum)?),
                (x.dot(&back)?, each(|x| x.dot(x))?),
                (x.norm()?, each(DistVector::norm)?),
                (x.norm_one()?, each(DistVector::norm_one)?),
                (x.norm_max()?, each(DistVector::norm_max)?),
            ];
            for (together, apart) in both {
                ensure(bits(&together) == bits(&apart), format_args!("{x:?}: {together:?}, alone {apart:?}"))?;
            }
            let mut y = x.clone();
            y.axpby(&[2.0, -1.0, 0.3], &back, &[0.5, 0.1, 7.0])?;
            y.scale(&[3.0, 1.0, -0.7])?;
            for (column, x) in alone.iter().enumerate() {
                let mut alone = x.clone();
                alone.axpby([2.0, -1.0, 0.3][column], x, [0.5, 0.1, 7.0][column])?;
                alone.scale([3.0, 1.0, -0.7][column]);
                ensure(bits(alone.local()) == bits(y.column(column).local()), format_args!("{y:?}: column {column}"))?;
            }
            for settings in settings_for(c).take(rounds(c, 20) as usize) {
                index.set_scheme(settings);
                let mut together = x.clone();
                together.exchange_adjoint(Op::Sum)?;
                for (column, vector) in alone.iter().enumerate() {
                    let mut vector = vector.clone();
                    vector.exchange_adjoint(Op::Sum)?;
                    let same = bits(vector.local()) == bits(together.column(column).local());
                    ensure(same, format_args!("{settings}, {x:?}: the adjoint of column {column}"))?;
                }
            }
        }
    }
    // Squares that overflow in one column only.
    let mut x = DistMultiVector::full(&indices[1], 3, 1.0f64);
    x.fill_with(|_, column| [3e200, 4e-300, 2.0][column]);
    let n = (indices[1].total() as f64).sqrt();
    let wrong = x.norm()?.iter().zip([3e200, 4e-300, 2.0]).any(|(norm, x)| (norm / (x * n) - 1.0).abs() > 1e-12);
    ensure(!wrong, format_args!("norms {:?}", x.norm()?))
}

fn inner_products(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 6], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for mut x in storages(&index, 2, 0.0)? {
            let mut y = x.clone();
            let rank = c.rank();
            // Small integers, so that sums are exact.
            let whole =
                |local: usize, column: usize, salt: usize| ((31 * local + 7 * rank + column + salt) % 23) as f64 - 11.0;
            x.local_mut().indexed_iter_mut().for_each(|((local, column), x)| *x = whole(local, column, 3));
            y.local_mut().indexed_iter_mut().for_each(|((local, column), x)| *x = whole(local, column, 8));
            let (mut ax, mut aty) = (x.clone(), y.clone());
            ax.exchange()?;
            aty.exchange_adjoint(Op::Sum)?;
            let left = (&ax.local() * &y.local()).sum_axis(ndarray::Axis(0));
            let right = (&x.owned() * &aty.owned()).sum_axis(ndarray::Axis(0));
            let sides = c.all_reduce(&[left[0], right[0], left[1], right[1]], Op::Sum)?;
            ensure(sides[0] == sides[1] && sides[2] == sides[3], format_args!("{settings}, {x:?}: {sides:?}"))?;
            ensure(aty.halo() == y.halo(), format_args!("{settings}: the halo was changed"))?;
            aty.exchange_adjoint_and_zero(Op::Sum)?;
            ensure(aty.halo().iter().all(|&x| x == 0.0), format_args!("{settings}: the halo is not empty"))?;
        }
    }
    Ok(())
}

fn in_flight(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 3], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let columns = |salt: f64, order: Order| {
            let mut x = DistMultiVector::zeros_in(&index, 3, order);
            x.fill_with(|global, column| number(global, column) + salt);
            x
        };
        let mut rows = columns(0.5, Order::RowMajor).start_exchange()?;
        let vector = DistVector::from_fn(&index, |global| number(global, 0)).start_exchange()?;
        let both = start_exchange((columns(1.5, Order::ColumnMajor), DistVector::from_fn(&index, |global| global)))?;
        ensure(rows.owned() == columns(0.5, Order::RowMajor).owned(), format_args!("{settings}: owned in flight"))?;
        while !rows.test()? {
            std::thread::yield_now();
        }
        ensure(is_filled(&rows.finish()?, 0.5, f64::NAN), format_args!("{settings}: by rows"))?;
        let vector = vector.finish()?;
        let right = vector.local().iter().zip(0..).all(|(&x, l)| index.global(l).is_some_and(|g| x == number(g, 0)));
        ensure(right, format_args!("{settings}: the vector"))?;
        let (x, y) = both.finish()?;
        ensure(is_filled(&x, 1.5, f64::NAN), format_args!("{settings}: by columns, with a vector"))?;
        ensure(y.local().iter().zip(0..).all(|(&x, l)| index.global(l) == Some(x)), format_args!("{settings}: both"))?;
        let given_up = columns(2.5, Order::ColumnMajor).start_exchange()?;
        if c.rank().is_multiple_of(2) {
            drop(given_up);
        } else {
            ensure(is_filled(&given_up.finish()?, 2.5, f64::NAN), format_args!("{settings}: next to one given up"))?;
        }
        let mut after = columns(3.5, Order::ColumnMajor);
        after.exchange()?;
        ensure(is_filled(&after, 3.5, f64::NAN), format_args!("{settings}: after one was given up"))?;
    }
    Ok(())
}

fn overlap(c: &Communicator) -> Outcome {
    let index = overlapping(c)?;
    let updates = [
        OverlapUpdate::None,
        OverlapUpdate::Sum,
        OverlapUpdate::Average,
        OverlapUpdate::SquareRoot,
        OverlapUpdate::ZeroNonMasters,
    ];
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for update in updates {
            for mut x in storages(&index, 3, 0.0)? {
                rough(&mut x);
                let mut alone: Vec<DistVector<f64>> = (0..3).map(|column| x.column(column)).collect();
                x.update_overlap(update)?;
                alone.iter_mut().try_for_each(|x| x.update_overlap(update))?;
                let same = alone.iter().enumerate().all(|(j, alone)| bits(alone.local()) == bits(x.column(j).local()));
                ensure(same, format_args!("{settings}, {update:?}, {x:?}"))?;
                // It is back on the halo's list.
                x.exchange()?;
            }
        }
    }
    Ok(())
}

fn movement(c: &Communicator) -> Outcome {
    for partition in PARTITIONS {
        let index = mesh_of(c, [3, 4, 5], partition)?;
        let all = Array2::from_shape_fn((60, 3), |(i, j)| (i * i + 1000 * j) as i32);
        for root in 0..c.size() {
            let at_root = |all: &Array2<i32>| (c.rank() == root).then(|| all.clone());
            let given = at_root(&all);
            let x = DistMultiVector::scatter(&index, 3, given.as_ref().map(|all| all.view()), root)?;
            let right = x.owned().outer_iter().zip(index.owned()).all(|(row, i)| row == all.row(i as usize));
            ensure(right, format_args!("{partition:?}, scattered from {root}"))?;
            ensure(x.gather(root)? == at_root(&all), format_args!("{partition:?}, gathered at {root}"))?;
            for short in [all.slice(ndarray::s![1.., ..]), all.slice(ndarray::s![.., ..2])] {
                let outcome = DistMultiVector::scatter(&index, 3, (c.rank() == root).then_some(short), root);
                ensure(outcome.is_err(), "elements that are too few were scattered")?;
            }
        }
        let x = DistMultiVector::from_global(&index, all.view())?;
        for order in [Order::RowMajor, Order::ColumnMajor] {
            ensure(
                x.reordered(order).gather_all()? == all,
                format_args!("{partition:?}, {order:?}: gathered everywhere"),
            )?;
        }
        // The transpose of the transpose: strides that are nobody's own.
        let transposed = all.t().as_standard_layout().into_owned();
        let y = DistMultiVector::from_global(&index, transposed.t())?;
        ensure(y.owned() == x.owned(), "elements in another order of memory")?;
    }
    // Points with several owners come once.
    let index = Descriptor::builder(c).replicated(5).assemble()?;
    let x = DistMultiVector::from_fn(&index, 2, |i, j| i + j as u64);
    ensure(x.gather_all()? == Array2::from_shape_fn((5, 2), |(i, j)| (i + j) as u64), "replicated")?;
    ensure(x.sum()? == [10, 15], format_args!("sums {:?}", x.sum()?))
}

fn leadings(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [3, 4, 5], Partition::Blocks)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        // What is new on some ranks and known on others is told again.
        for round in 0..6usize {
            let room = 1 + (round * (c.rank() + 1)) % 3;
            let mut x = DistMultiVector::with_leading(&index, 2, Order::ColumnMajor, index.len() + room)?;
            x.as_mut_slice().fill(-3.0);
            x.fill_with(number);
            x.exchange()?;
            ensure(is_filled(&x, 0.0, -3.0), format_args!("{settings}, round {round}"))?;
            ensure(
                x.leading() == index.len() + room && x.clone().leading() == x.leading(),
                "the distance was changed",
            )?;
        }
    }
    Ok(())
}

fn faults(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [3, 4, 5], Partition::Blocks)?;
    let last = c.rank() + 1 == c.size();
    let leading = if last { 1 } else { 4 };
    let error = DistMultiVector::<f64>::with_leading(&index, 3, Order::RowMajor, leading).err();
    let refused = error.as_ref().is_some_and(|e| e.to_string().contains("leading dimension"));
    ensure(refused, format_args!("a distance that is too small: {error:?}"))?;
    let error = DistMultiVector::<f64>::with_leading(&index, usize::MAX / 4, Order::RowMajor, usize::MAX / 4).err();
    ensure(error.is_some(), "more elements than there are addresses")?;
    if c.size() > 1 {
        let error = DistMultiVector::<f64>::zeros(&index, 2 + usize::from(last)).exchange().err();
        let mismatch = error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::Mismatch(_)));
        ensure(mismatch, format_args!("different numbers of columns: {error:?}"))?;
    }
    let x = DistMultiVector::<f64>::zeros(&index, 4);
    let mut y = DistMultiVector::<f64>::zeros(&mesh_of(c, [3, 4, 5], Partition::Blocks)?, 4);
    let wrong = [
        y.axpy(&[1.0; 4], &x).is_err(),
        y.clone().axpy(&[1.0; 3], &y).is_err(),
        x.dot(&DistMultiVector::zeros(&index, 3)).is_err(),
        x.clone().scale(&[1.0]).is_err(),
        DistMultiVector::<f64>::from_columns(&[]).is_err(),
        DistMultiVector::from_columns(&[x.column(0), y.column(0)]).is_err(),
        y.set_column(1, &x.column(1)).is_err(),
    ];
    ensure(!wrong.contains(&false), format_args!("{wrong:?}"))?;
    // The descriptor still works.
    let mut x = DistMultiVector::from_fn(&index, 4, number);
    x.exchange()?;
    ensure(is_filled(&x, 0.0, f64::NAN), "after the faults")?;
    let shared = Descriptor::builder(c).owned([0]).coverage(Coverage::Every).assemble()?;
    let error = DistMultiVector::full(&shared, 2, 3i64).update_overlap(OverlapUpdate::Average).err();
    let undefined = error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::UndefinedOp(_)));
    ensure(undefined, format_args!("an average of integers: {error:?}"))
}
