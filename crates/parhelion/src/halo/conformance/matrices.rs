//! Sparse matrices by rows: their assembly, and their products by every scheme.

use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Complex, Op, Result};

use super::check::{ensure, value};
use super::index::bits;
use super::meshes::{PARTITIONS, Partition, edges, rounds, settings_for};
use crate::array::Number;
use crate::halo::{Packing, Scheme};
use crate::index::{Coverage, Descriptor, DistMatrix, DistMultiVector, DistVector, Order};

pub(super) const CASES: &[Case] = &[
    Case::new("matrices: products have the bits of one rank's for every partition and scheme", same_bits),
    Case::new("matrices: entries go to the owners of their rows, and those at one place are added", assembly),
    Case::new("matrices: <A x, y> = <x, At y>", inner_products),
    Case::new("matrices: several columns have the bits of vectors of their own", columns),
    Case::new("matrices: the diagonal, rows and entries are what was given", queries),
    Case::new("matrices: conjugate gradients solve the 7-point operator, with and without Jacobi", solve),
    Case::new("matrices: one descriptor serves several", shared_descriptor),
    Case::new("matrices: a fault of one rank is an error at every rank", faults),
];

pub(super) type Entry<T> = (u64, u64, T);

/// The 7-point operator with values that differ from place to place, by rows.
fn operator(shape: [u64; 3]) -> Vec<Entry<f64>> {
    let n: u64 = shape.iter().product();
    let places = edges(shape).into_iter().chain((0..n).map(|i| (i, i)));
    let number = |i: u64, j: u64| (value::<u64, 2>([i as i64, j as i64], 4) % 1000) as f64 / 300.0 - 1.5;
    let mut all: Vec<_> = places.map(|(i, j)| (i, j, number(i, j) + if i == j { 9.0 } else { 0.0 })).collect();
    all.sort_by_key(|&(i, j, _)| (i, j));
    all
}

/// What one rank would compute.
pub(super) fn product(entries: &[Entry<f64>], x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    entries.iter().for_each(|&(i, j, a)| y[i as usize] += a * x[j as usize]);
    y
}

/// The rows of `entries` that the partition gives this rank.
pub(super) fn by_rows<T: Number>(
    c: &Communicator,
    n: u64,
    partition: Partition,
    entries: &[Entry<T>],
) -> Result<DistMatrix<T>> {
    let mine = entries.iter().copied().filter(|&(i, _, _)| partition.owner(i, n, c.size()) == c.rank());
    DistMatrix::assemble(partition.own(Descriptor::builder(c), n, c), mine)
}

fn rough(i: u64) -> f64 {
    (1.0 + (i * 7 % 31) as f64).sqrt() * 10f64.powi(i as i32 % 7 - 3)
}

fn same_bits(c: &Communicator) -> Outcome {
    for shape in [[5, 6, 7], [1, 1, 3]] {
        let (n, entries) = (shape.iter().product(), operator(shape));
        let x: Vec<f64> = (0..n).map(rough).collect();
        let want = product(&entries, &product(&entries, &x));
        for partition in PARTITIONS {
            let a = by_rows(c, n, partition, &entries)?;
            for settings in settings_for(c) {
                a.descriptor().set_scheme(settings);
                let mut x = DistVector::from_fn(a.descriptor(), rough);
                let (mut y, mut z) = (x.zeros_like(), x.zeros_like());
                a.multiply(&mut x, &mut y)?;
                a.multiply(&mut y, &mut z)?;
                let got = z.gather_all()?;
                ensure(bits(&got) == bits(&want), format_args!("{partition:?}, {settings}: {got:?}, not {want:?}"))?;
                x.halo_mut().fill(f64::NAN);
                y.local_mut().fill(f64::NAN);
                x = a.multiply_overlapped(x, &mut y)?;
                y = a.multiply_overlapped(y, &mut z)?;
                let got = z.gather_all()?;
                ensure(bits(&got) == bits(&want), format_args!("{partition:?}, {settings}, overlapped: {got:?}"))?;
                ensure(x.owned().len() == y.owned().len(), "vectors came back")?;
            }
        }
    }
    Ok(())
}

fn assembly(c: &Communicator) -> Outcome {
    let shape = [3, 4, 5];
    let n: u64 = shape.iter().product();
    // Whole numbers, each in several parts that different ranks give, in no order.
    let mut parts: Vec<Entry<i64>> = Vec::new();
    for (i, j, _) in operator(shape) {
        parts.extend((0..1 + (i + j) % 4).map(|part| (i, j, (100 * i + j + part) as i64)));
    }
    let mut whole: Vec<Entry<i64>> = Vec::new();
    for &(i, j, a) in &parts {
        match whole.last_mut() {
            Some(last) if (last.0, last.1) == (i, j) => last.2 += a,
            _ => whole.push((i, j, a)),
        }
    }
    parts.sort_by_key(|&(i, j, a)| value::<u64, 3>([i as i64, j as i64, a], 8));
    for partition in PARTITIONS {
        let mine = parts.iter().copied().enumerate().filter(|(at, _)| at % c.size() == c.rank());
        let a = DistMatrix::assemble(partition.own(Descriptor::builder(c), n, c), mine.map(|(_, entry)| entry))?;
        let want: Vec<_> = whole.iter().filter(|entry| a.descriptor().owns(entry.0)).collect();
        ensure(a.entries() == want.len(), format_args!("{partition:?}: {a:?}, not {} entries", want.len()))?;
        for &&(i, j, value) in &want {
            ensure(
                a.get(i, j) == Some(value),
                format_args!("{partition:?}: {:?} at {i}, {j}, not {value}", a.get(i, j)),
            )?;
        }
        a.descriptor().plan().verify(c)?;
    }
    // The order of addition: the owner's own first, then by rank.
    let rank = c.rank() as u64;
    let mine = [(0, 0, 10f64.powi(8 + rank as i32) + 1e-3), (0, 0, -(10f64.powi(8 + rank as i32)))];
    let a = DistMatrix::assemble(Descriptor::builder(c).blocks(1), mine)?;
    let terms = (0..c.size() as i32).flat_map(|rank| [10f64.powi(8 + rank) + 1e-3, -(10f64.powi(8 + rank))]);
    let want = terms.reduce(|a, b| a + b);
    ensure(c.rank() > 0 || a.get(0, 0) == want, format_args!("{:?}, not {want:?}", a.get(0, 0)))?;
    let complex = DistMatrix::assemble(Descriptor::builder(c).blocks(1), [(0, 0, Complex::new(1.5f32, rank as f32))])?;
    let size = c.size() as f32;
    let want = Complex::new(1.5 * size, size * (size - 1.0) / 2.0);
    ensure(c.rank() > 0 || complex.get(0, 0) == Some(want), format_args!("{:?}, not {want}", complex.get(0, 0)))
}

fn inner_products(c: &Communicator) -> Outcome {
    // Whole numbers, so that sums are exact.
    let shape = [4, 3, 5];
    let n: u64 = shape.iter().product();
    let whole = |i: u64, salt: u64| (value::<u64, 1>([i as i64], salt) % 19) as f64 - 9.0;
    let entries: Vec<_> = operator(shape).into_iter().map(|(i, j, _)| (i, j, whole(i * n + j, 1))).collect();
    let complex: Vec<_> = entries.iter().map(|&(i, j, a)| (i, j, Complex::new(a, whole(j * n + i, 2)))).collect();
    for partition in PARTITIONS {
        let (a, b) = (by_rows(c, n, partition, &entries)?, by_rows(c, n, partition, &complex)?);
        for settings in settings_for(c) {
            a.descriptor().set_scheme(settings);
            b.descriptor().set_scheme(settings);
            let mut x = DistVector::from_fn(a.descriptor(), |i| whole(i, 3));
            let mut y = DistVector::from_fn(a.descriptor(), |i| whole(i, 4));
            let (mut ax, mut aty) = (x.zeros_like(), x.zeros_like());
            a.multiply(&mut x, &mut ax)?;
            // What a halo holds must not matter.
            y.halo_mut().fill(f64::NAN);
            aty.local_mut().fill(f64::NAN);
            a.multiply_transpose(&y, &mut aty)?;
            let sides = (ax.dot(&y)?, x.dot(&aty)?);
            ensure(sides.0 == sides.1, format_args!("{partition:?}, {settings}: {sides:?}"))?;
            ensure(aty.halo().iter().all(|&x| x == 0.0), format_args!("{settings}: the halo is not empty"))?;

            let mut x = DistVector::from_fn(b.descriptor(), |i| Complex::new(whole(i, 5), whole(i, 6)));
            let y = DistVector::from_fn(b.descriptor(), |i| Complex::new(whole(i, 7), whole(i, 8)));
            let (mut bx, mut bty, mut bhy) = (x.zeros_like(), x.zeros_like(), x.zeros_like());
            b.multiply(&mut x, &mut bx)?;
            b.multiply_transpose(&y, &mut bty)?;
            b.multiply_conjugate_transpose(&y, &mut bhy)?;
            let sides = (y.dot(&bx)?, bhy.dot(&x)?);
            ensure(sides.0 == sides.1, format_args!("{partition:?}, {settings}, conjugated: {sides:?}"))?;
            let conjugated = DistVector::from_fn(b.descriptor(), |i| Complex::new(whole(i, 7), -whole(i, 8)));
            let mut other = DistVector::from_fn(b.descriptor(), |_| Complex::new(0.0, 0.0));
            other.zip_inplace(&x, |to, x| *to = x.conj())?;
            let sides = (conjugated.dot(&bx)?, other.dot(&bty)?);
            ensure(sides.0 == sides.1, format_args!("{partition:?}, {settings}, not conjugated: {sides:?}"))?;
        }
    }
    Ok(())
}

fn columns(c: &Communicator) -> Outcome {
    let shape = [4, 5, 6];
    let (n, entries) = (shape.iter().product(), operator(shape));
    let a = by_rows(c, n, Partition::Random, &entries)?;
    let index = a.descriptor();
    // The products of each column as a vector.
    let mut alone = Vec::new();
    for j in 0..15 {
        let mut x = DistVector::from_fn(index, |i| rough(i + 3 * j));
        let (mut product, mut transpose) = (x.zeros_like(), x.zeros_like());
        a.multiply(&mut x, &mut product)?;
        a.multiply_transpose(&x, &mut transpose)?;
        alone.push((bits(product.owned()), bits(transpose.owned())));
    }
    let orders = [Order::RowMajor, Order::ColumnMajor];
    for settings in settings_for(c).filter(|settings| settings.packing == Packing::Packed) {
        index.set_scheme(settings);
        for width in [0, 1, 3, 15] {
            for (from, to) in orders.into_iter().flat_map(|from| orders.map(|to| (from, to))) {
                let mut x = if width == 3 {
                    DistMultiVector::with_leading(index, 3, from, index.len() + 5)?
                } else {
                    DistMultiVector::zeros_in(index, width, from)
                };
                x.fill_with(|i, j| rough(i + 3 * j as u64));
                let mut y = DistMultiVector::zeros_in(index, width, to);
                let mut overlapped = y.clone();
                a.multiply(&mut x, &mut y)?;
                x.halo_mut().fill(f64::NAN);
                x = a.multiply_overlapped(x, &mut overlapped)?;
                let mut transposed = y.zeros_like();
                a.multiply_transpose(&x, &mut transposed)?;
                for (j, (product, transpose)) in alone.iter().enumerate().take(width) {
                    let same = *product == bits(y.column(j).owned())
                        && *product == bits(overlapped.column(j).owned())
                        && *transpose == bits(transposed.column(j).owned());
                    ensure(same, format_args!("{settings}, {width} columns, {from:?} to {to:?}: column {j}"))?;
                }
            }
        }
    }
    Ok(())
}

fn queries(c: &Communicator) -> Outcome {
    let shape = [3, 4, 5];
    let (n, entries) = (shape.iter().product::<u64>(), operator(shape));
    for partition in PARTITIONS {
        let mut a = by_rows(c, n, partition, &entries)?;
        let index = a.descriptor().clone();
        let diagonal = a.diagonal();
        for (&got, i) in diagonal.owned().iter().zip(index.owned()) {
            let want = entries.iter().find(|e| (e.0, e.1) == (i, i)).map(|e| e.2);
            ensure(Some(got) == want, format_args!("{partition:?}: diagonal {i} is {got}, not {want:?}"))?;
        }
        let mut interior = 0;
        for row in 0..a.rows() {
            let global = index.global(row).unwrap_or(u64::MAX);
            let want: Vec<_> = entries.iter().filter(|e| e.0 == global).map(|e| (e.1, e.2)).collect();
            let (columns, values) = a.row(row);
            let got = columns
                .iter()
                .map(|&column| index.global(column as usize).unwrap_or(u64::MAX))
                .zip(values.iter().copied());
            ensure(got.eq(want.iter().copied()), format_args!("{partition:?}: row {global}"))?;
            interior += usize::from(want.iter().all(|&(j, _)| index.owns(j)));
        }
        ensure(a.interior_rows() == interior, format_args!("{partition:?}: {} interior rows", a.interior_rows()))?;
        ensure(a.get(n - 1, 0).is_none_or(|x| x == 0.0) && a.get(n + 7, 0).is_none(), "places without an entry")?;
        let all = c.all_reduce(&[a.entries() as u64], Op::Sum)?[0];
        ensure(all == entries.len() as u64, format_args!("{all} entries of {}", entries.len()))?;
        a.scale(2.0);
        if a.rows() > 0 {
            a.row_mut(0).1[0] = 5.0;
            ensure(a.row(0).1[0] == 5.0, "a value that was written")?;
        }
        let twice = a.clone().diagonal();
        let right = (1..a.rows()).all(|row| twice.owned()[row] == 2.0 * diagonal.owned()[row]);
        ensure(right, format_args!("{partition:?}: a scaled matrix"))?;
    }
    Ok(())
}

/// At most `most` iterations of conjugate gradients, with the inverse diagonal if asked: how many it took to reduce the
/// residual to `tolerance`, and the solution.
pub(super) fn conjugate_gradients(
    a: &DistMatrix<f64>,
    b: &DistVector<f64>,
    jacobi: bool,
    tolerance: f64,
    most: usize,
) -> Result<(usize, DistVector<f64>)> {
    let mut inverse = a.diagonal();
    inverse.owned_mut().iter_mut().for_each(|x| *x = if jacobi { x.recip() } else { 1.0 });
    let (mut x, mut r, mut ap) = (b.zeros_like(), b.clone(), b.zeros_like());
    let mut z = r.clone();
    z.zip_inplace(&inverse, |z, factor| *z *= factor)?;
    let mut p = z.clone();
    let (goal, mut rz) = (tolerance * b.norm()?, r.dot(&z)?);
    for iteration in 0..most {
        if r.norm()? <= goal {
            return Ok((iteration, x));
        }
        p = a.multiply_overlapped(p, &mut ap)?;
        let alpha = rz / p.dot(&ap)?;
        x.axpy(alpha, &p)?;
        r.axpy(-alpha, &ap)?;
        z.assign(&r)?;
        z.zip_inplace(&inverse, |z, factor| *z *= factor)?;
        let next = r.dot(&z)?;
        p.axpby(1.0, &z, next / rz)?;
        rz = next;
    }
    Ok((most, x))
}

fn solve(c: &Communicator) -> Outcome {
    // Libraries that spin on shared cores get a smaller one.
    let side = if rounds(c, 10) == 10 { 40 } else { 12 };
    let n = side * side * side;
    let places = edges([side; 3]).into_iter().map(|(i, j)| (i, j, -1.0)).chain((0..n).map(|i| (i, i, 6.0)));
    let mine = |rank: u64| rank * n / c.size() as u64..(rank + 1) * n / c.size() as u64;
    let rows = mine(c.rank() as u64);
    let pattern = Descriptor::builder(c).blocks((rows.end - rows.start) as usize);
    let a = DistMatrix::assemble(pattern, places.filter(|(i, _, _)| rows.contains(i)))?;
    let mut ones = DistVector::full(a.descriptor(), 1.0);
    let mut b = ones.zeros_like();
    a.multiply(&mut ones, &mut b)?;
    for jacobi in [false, true] {
        let mut first: Option<Vec<u64>> = None;
        let few =
            settings_for(c).filter(|settings| *settings == Scheme::P2p.into() || *settings == Scheme::Shared.into());
        for settings in few {
            a.descriptor().set_scheme(settings);
            let (iterations, mut x) = conjugate_gradients(&a, &b, jacobi, 1e-6, 1000)?;
            let mut ax = x.zeros_like();
            a.multiply(&mut x, &mut ax)?;
            ax.axpy(-1.0, &b)?;
            let residual = ax.norm()? / b.norm()?;
            let most = 4 * side as usize;
            ensure(
                residual <= 1.001e-6 && iterations < most,
                format_args!(
                    "{settings}, jacobi {jacobi}: residual {residual:e} after {iterations} of {most} iterations"
                ),
            )?;
            let bits = bits(x.owned());
            let first = first.get_or_insert_with(|| bits.clone());
            ensure(*first == bits, format_args!("{settings}, jacobi {jacobi}: other bits than the first scheme"))?;
        }
    }
    Ok(())
}

fn shared_descriptor(c: &Communicator) -> Outcome {
    let shape = [3, 4, 5];
    let (n, entries) = (shape.iter().product::<u64>(), operator(shape));
    let a = by_rows(c, n, Partition::Random, &entries)?;
    let index = a.descriptor();
    // Entries that lie on the halo of their rank go to the owners; those in both matrices are at one place.
    let mine = entries.iter().filter(|e| index.owns(e.1)).map(|&(i, j, a)| (i, j, -a));
    let b = DistMatrix::with_descriptor(index, mine)?;
    let mut x = DistVector::from_fn(index, rough);
    let (mut y, mut z) = (x.zeros_like(), x.zeros_like());
    a.multiply(&mut x, &mut y)?;
    b.multiply(&mut x, &mut z)?;
    y.axpy(1.0, &z)?;
    ensure(y.owned().iter().all(|&x| x == 0.0), "A x - A x")?;
    let diagonal = DistMatrix::with_descriptor(index, index.owned().map(|i| (i, i, 2.0)))?;
    let x = diagonal.multiply_overlapped(x, &mut z)?;
    let right = z.owned().iter().zip(x.owned()).all(|(&z, &x)| z == 2.0 * x);
    ensure(right && diagonal.interior_rows() == diagonal.rows(), "a diagonal on the descriptor of another matrix")
}

fn faults(c: &Communicator) -> Outcome {
    let n = 4 * c.size() as u64;
    let (start, last) = (4 * c.rank() as u64, c.rank() + 1 == c.size());
    let mine = || start..start + 4;
    let with = |extra: Option<(u64, u64)>| mine().map(|i| (i, i)).chain(extra).map(|(i, j)| (i, j, 1.0f32));
    let assemble = |extra: Option<(u64, u64)>| DistMatrix::assemble(Descriptor::builder(c).blocks(4), with(extra));
    let a = assemble(None)?;
    let halo = Descriptor::builder(c).blocks(4).halo([n - 1]).assemble()?;
    let mut cases = vec![
        ("a column without owner", assemble(last.then_some((start, n + 3))), format!("index {}", n + 3)),
        ("a row without owner", assemble(last.then_some((n + 3, start))), format!("index {}", n + 3)),
        (
            "an ownership that is wrong",
            DistMatrix::assemble(Descriptor::builder(c).owned(mine().chain(last.then_some(n - 1))), with(None)),
            format!("index {}", n - 1),
        ),
        (
            "a row that is not here",
            DistMatrix::with_descriptor(a.descriptor(), with(last.then_some((n + 1, start)))),
            format!("row {}", n + 1),
        ),
        (
            "a column that is not here",
            DistMatrix::with_descriptor(a.descriptor(), with(last.then_some((start, n + 1)))),
            format!("column {}", n + 1),
        ),
    ];
    if c.size() > 1 {
        let shared = Descriptor::builder(c).owned(mine().chain(last.then_some(0))).coverage(Coverage::Every);
        cases.push(("a row with two owners", DistMatrix::assemble(shared, with(None)), "several ranks own".to_owned()));
        let replicated = Descriptor::builder(c).replicated(5);
        cases.push((
            "replicated rows",
            DistMatrix::assemble(replicated, [(0, 0, 1.0)]),
            "several ranks own".to_owned(),
        ));
    }
    for (what, outcome, words) in cases {
        let error = match outcome {
            Ok(matrix) => return ensure(false, format_args!("{what} made {matrix:?}")),
            Err(error) => error.to_string(),
        };
        ensure(error.contains(&words), format_args!("{what}: {words:?} is not in {error:?}"))?;
    }
    let (mut x, mut y) = (DistVector::<f32>::zeros(&halo), DistVector::<f32>::zeros(a.descriptor()));
    let mut narrow = DistMultiVector::<f32>::zeros(a.descriptor(), 2);
    let wrong = [
        a.multiply(&mut x, &mut y).is_err(),
        a.multiply(&mut y.clone(), &mut x).is_err(),
        a.multiply_overlapped(x.clone(), &mut y).is_err(),
        a.multiply_transpose(&y, &mut x).is_err(),
        a.multiply(&mut DistMultiVector::zeros(a.descriptor(), 3), &mut narrow).is_err(),
    ];
    ensure(!wrong.contains(&false), format_args!("vectors that do not fit: {wrong:?}"))?;
    // The communicator still works.
    let mut x = DistVector::full(a.descriptor(), 3.0);
    a.multiply(&mut x, &mut y)?;
    ensure(y.owned() == [3.0; 4], "after the faults")
}
