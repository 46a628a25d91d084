//! Index lists: descriptors, their vectors, and the same schemes on them.

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Complex, ErrorKind, Op, Result};

use super::check::{ensure, value};
use super::meshes::{PARTITIONS, Partition, edges, mesh_of, rounds, settings_for};
use crate::array::{Decomposition, DistArray};
use crate::halo::start_exchange;
use crate::index::{Coverage, Descriptor, DistVector, OverlapUpdate};

pub(super) const CASES: &[Case] = &[
    Case::new("index: after an exchange every element is that of its global index", global_indices),
    Case::new("index: every element type travels by every scheme", element_types),
    Case::new("index: a mesh of 8 x 8 in two blocks has the halos it must have", mesh),
    Case::new("index: <A x, y> = <x, At y> for every scheme", inner_products),
    Case::new("index: the adjoint has the same bits by every scheme", same_bits),
    Case::new("index: the adjoint can empty the halo, conjugate, and take a closure", adjoints),
    Case::new("index: repeated products of the 7-point operator have the same bits by every scheme", products),
    Case::new("index: schemes and directions change in any order", any_order),
    Case::new("index: vectors and arrays are in flight together, tested, and given up", in_flight),
    Case::new("index: elements are gathered and scattered by global index", movement),
    Case::new("index: sums count an index once, whoever owns it", counted_once),
    Case::new("index: the copies of shared points are summed, averaged, scaled and zeroed", overlap),
    Case::new("index: <A x, y> = <x, At y> from masters to other owners", overlap_inner_products),
    Case::new("index: a fault of one rank is an error at every rank", faults),
    Case::new("index: many descriptors are made and dropped", many),
];

fn global_indices(c: &Communicator) -> Outcome {
    for shape in [[1, 8, 8], [6, 5, 7], [1, 1, 3]].into_iter().take(rounds(c, 10) as usize) {
        let n: u64 = shape.iter().product();
        for partition in PARTITIONS {
            let index = mesh_of(c, shape, partition)?;
            index.plan().verify(c)?;
            index.plan().adjoint().verify(c)?;
            ensure(index.total() == n, format_args!("{partition:?}: {index}"))?;
            let mut halo: Vec<u64> = edges(shape)
                .into_iter()
                .filter(|&(row, column)| index.owns(row) && !index.owns(column))
                .map(|(_, column)| column)
                .collect();
            halo.sort_unstable();
            halo.dedup();
            let mut found = index.halo().to_vec();
            found.sort_unstable();
            ensure(found == halo, format_args!("{partition:?}: halo {found:?}, expected {halo:?}"))?;
            for (local, global) in index.owned().chain(index.halo().iter().copied()).enumerate() {
                let owner = Some(partition.owner(global, n, c.size()));
                let queries = (index.local(global), index.global(local), index.owner(global));
                ensure(queries == (Some(local), Some(global), owner), format_args!("{partition:?}: {queries:?}"))?;
            }
            let owners = index.halo().iter().map(|&global| index.owner(global)).collect::<Vec<_>>();
            ensure(owners.is_sorted(), format_args!("{partition:?}: the halo is not grouped by owner: {owners:?}"))?;
            for settings in settings_for(c) {
                index.set_scheme(settings);
                for salt in [0, 1000] {
                    let mut x = DistVector::from_fn(&index, |global| global + salt);
                    x.exchange()?;
                    let right = x.local().iter().zip(0..).all(|(&x, local)| index.global(local) == Some(x - salt));
                    ensure(right, format_args!("{partition:?}, {settings}: {:?}", x.local()))?;
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
                let mut x = DistVector::<$t>::from_fn(&index, |i| value([i as i64], 3));
                x.exchange()?;
                let want: Vec<$t> = (0..x.local().len()).map(|l| value([index.global(l).unwrap_or(0) as i64], 3)).collect();
                let same = bytemuck::cast_slice::<_, u8>(x.local()) == bytemuck::cast_slice::<_, u8>(&want);
                ensure(same, format_args!("{settings}: {}", stringify!($t)))?;
            }
        )*};
    }
    each!(i8, i16, i32, i64, u8, u16, u32, u64, parhelion_comm::f16, parhelion_comm::bf16, f32, f64);
    each!(Complex<f32>, Complex<f64>, [u8; 3], [f64; 5]);
    Ok(())
}

/// Rows of 8 numbered along the rows; the first two ranks have 32 points each, further ones none.
fn mesh(c: &Communicator) -> Outcome {
    if c.size() < 2 {
        return Err(Halt::Skipped("needs two ranks".to_owned()));
    }
    let len = if c.rank() < 2 { 32 } else { 0 };
    let index = Descriptor::builder(c).blocks(len).edges(edges([1, 8, 8])).assemble()?;
    let want: Vec<u64> = match c.rank() {
        0 => (32..40).collect(),
        1 => (24..32).collect(),
        _ => Vec::new(),
    };
    ensure(index.halo() == want, format_args!("halo {:?}", index.halo()))?;
    let s = index.statistics();
    let numbers = (s.owned, s.halo, s.neighbours, s.messages, s.elements_sent, s.runs_sent, s.edges, s.cut_edges);
    let want = if c.rank() < 2 { (32, 8, 1, 1, 8, 1, 2 * (28 + 24) + 8, 8) } else { (0, 0, 0, 0, 0, 0, 0, 0) };
    ensure(numbers == want, format_args!("{s}"))?;
    let all = index.statistics_of_all()?;
    ensure(all.len() == c.size() && all[c.rank()] == s, "the numbers of all ranks are not those of each")
}

/// Small integers everywhere, so that sums are exact and do not depend on their order.
pub(super) fn whole(index: &Descriptor, salt: i64) -> DistVector<f64> {
    let mut x = DistVector::zeros(index);
    let rank = index.rank() as i64;
    for (local, x) in x.local_mut().iter_mut().enumerate() {
        *x = ((31 * local as i64 + 7 * rank + salt).rem_euclid(23) - 11) as f64;
    }
    x
}

fn inner_products(c: &Communicator) -> Outcome {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    for partition in PARTITIONS {
        let index = mesh_of(c, [4, 5, 6], partition)?;
        for settings in settings_for(c) {
            index.set_scheme(settings);
            let (x, y) = (whole(&index, 3), whole(&index, 8));
            let (mut ax, mut aty) = (x.clone(), y.clone());
            ax.exchange()?;
            aty.exchange_adjoint(Op::Sum)?;
            let sides = c.all_reduce(&[dot(ax.local(), y.local()), dot(x.owned(), aty.owned())], Op::Sum)?;
            ensure(sides[0] == sides[1], format_args!("{settings}, {partition:?}: {sides:?}"))?;
            ensure(aty.halo() == y.halo(), format_args!("{settings}, {partition:?}: the halo was changed"))?;
        }
    }
    Ok(())
}

/// Numbers whose sum depends on the order.
pub(super) fn rough(index: &Descriptor) -> DistVector<f64> {
    let mut x = DistVector::zeros(index);
    for (local, x) in x.local_mut().iter_mut().enumerate() {
        *x = (1.0 + (local * 7 + index.rank() * 3) as f64).sqrt() * 10f64.powi(local as i32 % 9 - 4);
    }
    x
}

pub(super) fn bits(x: &[f64]) -> Vec<u64> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn same_bits(c: &Communicator) -> Outcome {
    // Every rank has a copy of every index.
    let index = Descriptor::builder(c).owner_of(20, |i| i as usize % c.size()).halo(0..20).assemble()?;
    let mut first: Option<Vec<u64>> = None;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut x = rough(&index);
        x.exchange_adjoint(Op::Sum)?;
        let bits = bits(x.local());
        let first = first.get_or_insert_with(|| bits.clone());
        ensure(*first == bits, format_args!("{settings} gives other bits than the first scheme"))?;
        // The digits of what came: the owner first, then the others by rank.
        let mut x = DistVector::<u64>::zeros(&index);
        x.local_mut().fill(c.rank() as u64 + 1);
        x.exchange_adjoint(|owner: u64, halo: u64| (owner * 10 + halo) % 1_000_000_007)?;
        let mut others = (0..c.size() as u64).filter(|&rank| rank != c.rank() as u64);
        let want = others.try_fold(c.rank() as u64 + 1, |x, rank| Some((x * 10 + rank + 1) % 1_000_000_007));
        ensure(x.owned().iter().all(|&x| Some(x) == want), format_args!("{settings}: {:?}", x.owned()))?;
    }
    Ok(())
}

fn adjoints(c: &Communicator) -> Outcome {
    let n = c.size() as u64;
    let index = Descriptor::builder(c).blocks(1).halo(0..n).assemble()?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut x = DistVector::<i32>::zeros(&index);
        x.local_mut().fill(1);
        x.exchange_adjoint_and_zero(Op::Sum)?;
        ensure(x.owned() == [n as i32], format_args!("{settings}: {:?} of {n}", x.owned()))?;
        ensure(x.halo().iter().all(|&x| x == 0), format_args!("{settings}: the halo is not empty"))?;
        x.exchange_adjoint(Op::Sum)?;
        ensure(x.owned() == [n as i32], format_args!("{settings}: an empty halo added something"))?;

        let mut z = DistVector::<Complex<f32>>::zeros(&index);
        z.local_mut().fill(Complex::new(1.0, 2.0));
        let mut conjugated = z.clone();
        z.exchange_adjoint(Op::Sum)?;
        conjugated.exchange_adjoint_conjugated()?;
        let n = n as f32;
        let want = [Complex::new(n, 2.0 * n), Complex::new(n, 2.0 - 2.0 * (n - 1.0))];
        let got = [z.owned()[0], conjugated.owned()[0]];
        ensure(got == want, format_args!("{settings}: {got:?}, expected {want:?}"))?;
        for op in [Op::Average, Op::Max] {
            let error = z.exchange_adjoint(op).err();
            let undefined = error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::UndefinedOp(_)));
            ensure(undefined, format_args!("{op} of complex numbers: {error:?}"))?;
        }
    }
    Ok(())
}

/// y := A x over 6 for the 7-point operator, whose rows `index` owns; neighbours in one order whatever the partition.
fn apply(index: &Descriptor, rows: &[Vec<usize>], x: &DistVector<f64>) -> DistVector<f64> {
    let mut y = DistVector::zeros(index);
    for ((y, row), here) in y.owned_mut().iter_mut().zip(rows).zip(x.owned()) {
        *y = (6.0 * here - row.iter().map(|&local| x.local()[local]).sum::<f64>()) / 6.0;
    }
    y
}

fn products(c: &Communicator) -> Outcome {
    let all = edges([10, 10, 10]);
    let mut first: Option<Vec<u64>> = None;
    for partition in [Partition::Blocks, Partition::Random] {
        let index = mesh_of(c, [10, 10, 10], partition)?;
        let mut rows = vec![Vec::new(); index.owned_len()];
        for &(row, column) in all.iter().filter(|edge| index.owns(edge.0)) {
            rows[index.local(row).unwrap_or(0)].push(index.local(column).unwrap_or(0));
        }
        for settings in settings_for(c) {
            index.set_scheme(settings);
            let mut x = DistVector::from_fn(&index, |i| ((i * 37) % 101) as f64);
            for _ in 0..rounds(c, 100) {
                x.exchange()?;
                x = apply(&index, &rows, &x);
            }
            let bits = bits(&x.gather_all()?);
            let first = first.get_or_insert_with(|| bits.clone());
            ensure(*first == bits, format_args!("{partition:?}, {settings}: other bits than the first"))?;
        }
    }
    Ok(())
}

fn any_order(c: &Communicator) -> Outcome {
    let indices = [mesh_of(c, [4, 4, 4], Partition::Blocks)?, mesh_of(c, [5, 3, 4], Partition::Random)?];
    let copies: Vec<DistVector<f64>> = indices
        .iter()
        .map(|index| {
            // How many copies each element has, itself included.
            let mut ones = DistVector::full(index, 1.0);
            ones.exchange()?;
            ones.exchange_adjoint(Op::Sum)?;
            Ok::<_, Halt>(ones)
        })
        .collect::<std::result::Result<_, _>>()?;
    let settings: Vec<_> = settings_for(c).collect();
    for step in 0..rounds(c, 120) as i64 {
        let choose = |what, n: usize| (value::<u64, 2>([step, what], 9) % n as u64) as usize;
        let (index, copies) = (&indices[choose(0, 2)], &copies[choose(0, 2)]);
        let settings = settings[choose(1, settings.len())];
        index.set_scheme(settings);
        let mut x = DistVector::from_fn(index, |i| (i as i64 + step) as f64);
        x.exchange()?;
        let filled = index.halo().iter().zip(x.halo()).all(|(&i, &x)| x == (i as i64 + step) as f64);
        ensure(filled, format_args!("step {step}, {settings}: the halo"))?;
        if choose(2, 2) == 1 {
            x.exchange_adjoint(Op::Sum)?;
            let right = index.owned().zip(x.owned()).zip(copies.owned());
            let right = right.into_iter().all(|((i, &x), &n)| x == n * (i as i64 + step) as f64);
            ensure(right, format_args!("step {step}, {settings}: the adjoint"))?;
        }
    }
    Ok(())
}

fn in_flight(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [4, 5, 3], Partition::Random)?;
    let grid = Decomposition::new([11, 7], c)?.halo(1).periodic([true, true]);
    let good = |x: &DistVector<f32>, salt: f32| {
        x.local().iter().zip(0..).all(|(&x, l)| Some(x) == index.global(l).map(|i| i as f32 + salt))
    };
    for settings in settings_for(c) {
        index.set_scheme(settings);
        grid.set_scheme(settings);
        let vector = |salt: f32| DistVector::from_fn(&index, |i| i as f32 + salt);
        let (mut first, second) = (vector(0.5).start_exchange()?, vector(1.5).start_exchange()?);
        // The vector's settings are those of all: the first field's are.
        let both = start_exchange((vector(2.5), DistArray::from_fn(&grid, |[i, j]| i * 7 + j)?))?;
        ensure(first.owned() == vector(0.5).owned(), format_args!("{settings}: owned elements in flight"))?;
        while !first.test()? {
            std::thread::yield_now();
        }
        ensure(good(&first.finish()?, 0.5), format_args!("{settings}: first"))?;
        ensure(good(&second.finish()?, 1.5), format_args!("{settings}: second"))?;
        let (x, u) = both.finish()?;
        ensure(good(&x, 2.5), format_args!("{settings}: together with an array"))?;
        let [i, j] = u.owned().start();
        if !u.owned().is_empty() {
            let halo = u.with_halo()[[i - 1, j]];
            ensure(halo == (i - 1).rem_euclid(11) * 7 + j, format_args!("{settings}: the array"))?;
        }
        let given_up = vector(3.5).start_exchange()?;
        if c.rank().is_multiple_of(2) {
            drop(given_up);
        } else {
            ensure(good(&given_up.finish()?, 3.5), format_args!("{settings}: neighbour of one that gave up"))?;
        }
        let mut after = vector(4.5);
        after.exchange()?;
        ensure(good(&after, 4.5), format_args!("{settings}: after one was given up"))?;
    }
    Ok(())
}

fn movement(c: &Communicator) -> Outcome {
    for partition in PARTITIONS {
        let index = mesh_of(c, [3, 4, 5], partition)?;
        let all: Vec<i32> = (0..60).map(|i| i * i - 7).collect();
        for root in 0..c.size() {
            let x = DistVector::scatter(&index, (c.rank() == root).then_some(&all[..]), root)?;
            let right = index.owned().zip(x.owned()).all(|(i, &x)| x == all[i as usize]);
            ensure(right, format_args!("{partition:?}, scattered from {root}"))?;
            let back = x.gather(root)?;
            ensure(back == (c.rank() == root).then(|| all.clone()), format_args!("{partition:?}, gathered at {root}"))?;
            let short = DistVector::scatter(&index, (c.rank() == root).then_some(&all[1..]), root);
            ensure(short.is_err(), "a slice that is too short was scattered")?;
        }
        let x = DistVector::from_global(&index, &all)?;
        ensure(x.gather_all()? == all, format_args!("{partition:?}, gathered everywhere"))?;
        ensure(DistVector::from_global(&index, &all[1..]).is_err(), "a slice that is too short was taken")?;
    }
    Ok(())
}

fn counted_once(c: &Communicator) -> Outcome {
    let n = 10 * c.size() as u64;
    let start = 10 * c.rank() as u64;
    // Overlapping blocks; their ends belong to two ranks, or three.
    let mine = start.saturating_sub(3)..(start + 14).min(n);
    let blocks = Descriptor::builder(c).owned(mine).coverage(Coverage::Every).halo([0, n - 1]).assemble()?;
    let replicated = Descriptor::builder(c).replicated(n as usize).edges([(0, 1)]).assemble()?;
    for index in [&blocks, &replicated] {
        let x = DistVector::from_fn(index, |i| i as f64);
        let counted = c.all_reduce(&[index.counted().len() as u64], Op::Sum)?[0];
        ensure(counted == n, format_args!("{counted} of {n} indices count"))?;
        let sums = (x.sum()?, DistVector::full(index, 1.0).dot(&x)?, x.norm_max()?, x.norm_one()?);
        let (sum, last) = ((n * (n - 1) / 2) as f64, (n - 1) as f64);
        ensure(sums == (sum, sum, last, sum), format_args!("{sums:?} on {index}"))?;
        let norm = ((n - 1) * n * (2 * n - 1) / 6) as f64;
        ensure((x.norm()? - norm.sqrt()).abs() < 1e-9 * norm, format_args!("norm {}", x.norm()?))?;
        let all: Vec<f64> = (0..n).map(|i| i as f64).collect();
        ensure(x.gather_all()? == all, format_args!("gathered from {index}"))?;
        let back = DistVector::scatter(index, (c.rank() == 0).then_some(&all[..]), 0)?;
        ensure(back.owned() == x.owned(), format_args!("scattered to {index}"))?;
    }
    // Halos get the value of the lowest rank that owns an index.
    for settings in settings_for(c) {
        blocks.set_scheme(settings);
        let mut x = DistVector::full(&blocks, c.rank() as i32);
        x.exchange()?;
        for (&global, &value) in blocks.halo().iter().zip(x.halo()) {
            let lowest = (0..c.size()).find(|&r| global < (10 * r as u64 + 14).min(n)).unwrap_or(0);
            ensure(value == lowest as i32, format_args!("{settings}: index {global} has {value}, not {lowest}"))?;
        }
    }
    Ok(())
}

/// 8 points for each rank, and three of the next rank's, round a ring: of a ring of one, nothing more.
pub(super) fn overlapping(c: &Communicator) -> Result<Descriptor> {
    let (n, start) = (8 * c.size() as u64, 8 * c.rank() as u64);
    let more = if c.size() > 1 { 3 } else { 0 };
    let mine = (start..start + 8 + more).map(|i| i % n);
    Descriptor::builder(c).owned(mine).coverage(Coverage::Every).halo([(start + 20) % n]).assemble()
}

fn overlap(c: &Communicator) -> Outcome {
    let index = overlapping(c)?;
    let Some(degrees) = index.degrees().map(<[u32]>::to_vec) else {
        return ensure(c.size() == 1, "points are shared, but have no degrees");
    };
    let previous = (c.rank() + c.size() - 1) % c.size();
    // Who owns the point at a local index beside this rank: the one before, this rank's first three, and the next.
    let other = |local: usize| match local {
        0..3 => Some(previous),
        8..11 => Some((c.rank() + 1) % c.size()),
        _ => None,
    };
    let want: Vec<u32> = (0..11).map(|local| 1 + u32::from(other(local).is_some())).collect();
    ensure(degrees == want, format_args!("degrees {degrees:?}"))?;
    let masters: Vec<_> = (0..index.len()).map_while(|local| index.master(local)).collect();
    let owned = (0..11).map(|local| other(local).map_or(c.rank(), |other| other.min(c.rank())));
    // Of the one index in the halo the lowest of its owners, too.
    let halo = index.halo().iter().filter_map(|&global| index.owner(global));
    let want: Vec<_> = owned.chain(halo).collect();
    ensure(masters == want && index.master(index.len()).is_none(), format_args!("masters {masters:?}, not {want:?}"))?;
    if let Some(plan) = index.overlap_plan() {
        plan.verify(c)?;
    }
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let updates = [
            OverlapUpdate::None,
            OverlapUpdate::Sum,
            OverlapUpdate::Average,
            OverlapUpdate::SquareRoot,
            OverlapUpdate::ZeroNonMasters,
        ];
        for update in updates {
            let number = |rank: usize| 10.0 + rank as f64;
            let mut x = DistVector::full(&index, number(c.rank()));
            x.halo_mut().fill(-1.0);
            x.update_overlap(update)?;
            for (local, &got) in x.owned().iter().enumerate() {
                let (mine, theirs) = (number(c.rank()), other(local).map(number));
                let want = match (update, theirs) {
                    (_, None) | (OverlapUpdate::None, _) => mine,
                    (OverlapUpdate::Sum, Some(theirs)) => mine + theirs,
                    (OverlapUpdate::Average, Some(theirs)) => (mine + theirs) / 2.0,
                    (OverlapUpdate::SquareRoot, Some(theirs)) => (mine + theirs) / 2f64.sqrt(),
                    (OverlapUpdate::ZeroNonMasters, Some(theirs)) => {
                        if mine < theirs {
                            mine
                        } else {
                            0.0
                        }
                    }
                };
                ensure(got == want, format_args!("{settings}, {update:?}: point {local} is {got}, not {want}"))?;
            }
            ensure(x.halo().iter().all(|&x| x == -1.0), format_args!("{settings}, {update:?}: the halo was changed"))?;
            // The vector is back on the halo's list.
            x.exchange()?;
        }
        let mut whole = DistVector::full(&index, 3i64);
        let error = whole.update_overlap(OverlapUpdate::Average).err();
        let undefined = error.as_ref().is_some_and(|e| matches!(e.kind(), ErrorKind::UndefinedOp(_)));
        ensure(undefined, format_args!("an average of integers: {error:?}"))?;
        whole.update_overlap(OverlapUpdate::Sum)?;
        let right = whole.owned().iter().zip(&degrees).all(|(&x, &degree)| x == 3 * i64::from(degree));
        ensure(right, format_args!("{settings}: {:?}", whole.owned()))?;
    }
    Ok(())
}

/// An update by sum is symmetric on what owners have: `<S x, y> = <x, S y>`.
fn overlap_inner_products(c: &Communicator) -> Outcome {
    let dot =
        |x: &DistVector<f64>, y: &DistVector<f64>| x.owned().iter().zip(y.owned()).map(|(x, y)| x * y).sum::<f64>();
    for index in [overlapping(c)?, Descriptor::builder(c).replicated(9).assemble()?] {
        for settings in settings_for(c) {
            index.set_scheme(settings);
            let (x, y) = (whole(&index, 3), whole(&index, 8));
            let (mut sx, mut sy) = (x.clone(), y.clone());
            sx.update_overlap(OverlapUpdate::Sum)?;
            sy.update_overlap(OverlapUpdate::Sum)?;
            let sides = c.all_reduce(&[dot(&sx, &y), dot(&x, &sy)], Op::Sum)?;
            ensure(sides[0] == sides[1], format_args!("{settings}, {index}: {sides:?}"))?;
        }
    }
    Ok(())
}

fn faults(c: &Communicator) -> Outcome {
    let n = 4 * c.size() as u64;
    let (start, last) = (4 * c.rank() as u64, c.rank() + 1 == c.size());
    let blocks = || Descriptor::builder(c).blocks(4);
    let listed = |globals: Vec<u64>| Descriptor::builder(c).owned(globals);
    let mine: Vec<u64> = (start..start + 4).collect();
    let with = |extra: Option<u64>| mine.iter().copied().chain(extra).collect::<Vec<_>>();
    let without = |global: u64| mine.iter().copied().filter(|&g| g != global).collect::<Vec<_>>();
    let mut cases = vec![
        ("a needed index beyond all", blocks().halo(last.then_some(n + 5)).assemble(), format!("index {}", n + 5)),
        ("an index listed twice", listed(with(last.then_some(n - 1))).assemble(), format!("index {}", n - 1)),
        ("an index without owner", listed(without(1)).assemble(), "owns global index 1".to_owned()),
        (
            "a needed index without owner",
            listed(without(1)).coverage(Coverage::Any).halo(last.then_some(1)).assemble(),
            "owns global index 1".to_owned(),
        ),
        (
            "an owner that is no rank",
            Descriptor::builder(c).owner_of(n, |i| if i == 2 { 99 } else { 0 }).assemble(),
            "rank 99".to_owned(),
        ),
        (
            "an owner in a list that is no rank",
            Descriptor::builder(c).owners(&[0, c.size()]).assemble(),
            format!("rank {}", c.size()),
        ),
    ];
    if c.size() > 1 {
        cases.push((
            "an index with two owners",
            listed(with(last.then_some(2))).assemble(),
            format!("ranks 0 and {} both own global index 2", c.size() - 1),
        ));
        let ways = if last { Descriptor::builder(c).replicated(9) } else { blocks() };
        cases.push(("ownership given in two ways", ways.assemble(), "same method".to_owned()));
        let coverage = if last { Coverage::AtMostOnce } else { Coverage::Once };
        cases.push((
            "ranks that want different coverage",
            listed(mine.clone()).coverage(coverage).assemble(),
            "another rank for another".to_owned(),
        ));
        if c.config().checks {
            let owners = if last { [1, 0] } else { [0, 1] };
            cases.push((
                "owners that are not those of other ranks",
                Descriptor::builder(c).owners(&owners).assemble(),
                "all ranks give the same".to_owned(),
            ));
        }
    }
    for (what, outcome, words) in cases {
        let error = match outcome {
            Ok(index) => return ensure(false, format_args!("{what} made {index}")),
            Err(error) => error.to_string(),
        };
        ensure(error.contains(&words), format_args!("{what}: {words:?} is not in {error:?}"))?;
    }
    // The communicator still works, and gaps are allowed where that is said.
    let index = listed(without(1)).coverage(Coverage::AtMostOnce).halo([0]).assemble()?;
    let mut x = DistVector::full(&index, 1u8);
    x.exchange()?;
    ensure(x.local().iter().all(|&x| x == 1) && x.gather_all()?[1] == 0, "after the faults")
}

fn many(c: &Communicator) -> Outcome {
    for round in 0..rounds(c, 300) {
        let n = 8 * c.size() as u64;
        let index = Descriptor::builder(c).blocks(8).halo([round % n, (round * 7) % n]).assemble()?;
        let settings = settings_for(c).nth(round as usize % settings_for(c).count());
        settings.into_iter().for_each(|settings| index.set_scheme(settings));
        let mut x = DistVector::from_fn(&index, |i| i + round);
        x.exchange()?;
        let right = index.halo().iter().zip(x.halo()).all(|(i, x)| i + round == *x);
        ensure(right, format_args!("descriptor {round}, {settings:?}"))?;
    }
    Ok(())
}
