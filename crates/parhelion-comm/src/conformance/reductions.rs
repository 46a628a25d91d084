//! Every way to reduce, and what all of them promise: rank order for closures, the same bits everywhere.

use super::Case;
use super::check::{Outcome, ensure, equal, same};
use super::operators::{Model, expected, operands};
use super::sample::{Particle, mix, seed};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::element::{Element, Located};
use crate::op::Op;
use crate::{Complex, f16};

pub(super) const CASES: &[Case] = &[
    Case::new("reductions: all_reduce in every form and size", all_reduce),
    Case::new("reductions: reduce in every form to every root", reduce),
    Case::new("reductions: scan and exclusive_scan in every form", scans),
    Case::new("reductions: every operator scans", scan_ops),
    Case::new("reductions: reduce_scatter of any counts in every form", reduce_scatter),
    Case::new("reductions: closures combine in rank order", closures),
    Case::new("reductions: closures in every collective that reduces", closures_everywhere),
    Case::new("reductions: closures on plain structs", closures_on_structs),
    Case::new("reductions: a closure sees what it captured", capturing),
    Case::new("reductions: an average of integers goes towards zero", averages),
    Case::new("reductions: a tie of min_loc and max_loc goes to the lower index", ties),
    Case::new("reductions: every rank gets the same bits, every time", same_bits),
    Case::new("reductions: rounding, NaN and all go in rank order", left_fold),
];

fn all_reduce(c: &Communicator) -> Outcome {
    fn of<T: Model>(c: &Communicator, count: usize, op: Op) -> Outcome {
        let mine = operands::<T>(op, c.rank(), count);
        let want = expected::<T>(op, c.size(), count).unwrap_or_default();
        let label = |form: &str| format!("{form} {op} of {count} x {}", std::any::type_name::<T>());
        equal(label("all_reduce"), c.all_reduce(&mine, op)?, want.clone())?;
        let mut result = vec![T::zeroed(); count];
        c.all_reduce_into(&mine, &mut result, op)?;
        equal(label("all_reduce_into"), &result, &want)?;
        result.copy_from_slice(&mine);
        c.all_reduce_in_place(&mut result, op)?;
        equal(label("all_reduce_in_place"), &result, &want)?;
        equal(label("iall_reduce"), c.iall_reduce(mine, op)?.wait()?, want)
    }
    for count in [0, 1, 2, 5, 8, 9, 17, 1001, 1024, 1025] {
        of::<f64>(c, count, Op::Sum)?;
    }
    for count in [1, 39, 40, 41, 63, 64, 65, 8191, 8193] {
        of::<u8>(c, count, Op::BitXor)?;
    }
    of::<i32>(c, 4097, Op::Max)?;
    of::<f16>(c, 333, Op::Min)?;
    of::<Complex<f32>>(c, 77, Op::Product)?;
    of::<Located<f64>>(c, 501, Op::MinLoc)?;
    of::<f64>(c, 100_003, Op::Sum)
}

fn reduce(c: &Communicator) -> Outcome {
    fn of<T: Model>(c: &Communicator, count: usize, op: Op, root: usize) -> Outcome {
        let here = c.rank() == root;
        let mine = operands::<T>(op, c.rank(), count);
        let want = here.then(|| expected::<T>(op, c.size(), count).unwrap_or_default());
        equal(format_args!("reduce of {count} to {root}"), c.reduce(&mine, op, root)?, want.clone())?;
        let mut result = here.then(|| vec![T::zeroed(); count]);
        c.reduce_into(&mine, result.as_deref_mut(), op, root)?;
        equal(format_args!("reduce_into of {count} to {root}"), &result, &want)?;
        equal(format_args!("ireduce of {count} to {root}"), c.ireduce(mine, op, root)?.wait()?, want)
    }
    for root in 0..c.size() {
        of::<i64>(c, 7, Op::Sum, root)?;
        of::<f32>(c, 1 + 2000 * (root % 2), Op::Max, root)?;
    }
    for count in [0, 1, 1025, 20_003] {
        of::<f64>(c, count, Op::Sum, c.size() - 1)?;
    }
    of::<Located<i16>>(c, 100, Op::MaxLoc, c.size() / 2)
}

fn scans(c: &Communicator) -> Outcome {
    fn of<T: Model>(c: &Communicator, count: usize, op: Op) -> Outcome {
        let me = c.rank();
        let mine = operands::<T>(op, me, count);
        let label = |form: &str| format!("{form} {op} of {count} x {}", std::any::type_name::<T>());
        let want = expected::<T>(op, me + 1, count).unwrap_or_default();
        equal(label("scan"), c.scan(&mine, op)?, want.clone())?;
        let mut result = vec![T::zeroed(); count];
        c.scan_into(&mine, &mut result, op)?;
        equal(label("scan_into"), &result, &want)?;
        equal(label("iscan"), c.iscan(mine.clone(), op)?.wait()?, want)?;

        let below = (me > 0).then(|| expected::<T>(op, me, count).unwrap_or_default());
        equal(label("exclusive_scan"), c.exclusive_scan(&mine, op)?, below.clone())?;
        // Rank 0 keeps what was there.
        let mut result = mine.clone();
        c.exclusive_scan_into(&mine, &mut result, op)?;
        equal(label("exclusive_scan_into"), &result, below.as_ref().unwrap_or(&mine))?;
        let zeros = vec![T::zeroed(); count];
        equal(label("iexclusive_scan"), c.iexclusive_scan(mine, op)?.wait()?, below.unwrap_or(zeros))
    }
    for count in [0, 1, 5, 1025] {
        of::<f64>(c, count, Op::Sum)?;
    }
    of::<u8>(c, 9001, Op::Max)?;
    of::<Complex<f64>>(c, 17, Op::Product)?;
    of::<Located<u32>>(c, 17, Op::MinLoc)?;
    of::<f64>(c, 20_003, Op::Sum)
}

fn scan_ops(c: &Communicator) -> Outcome {
    fn of<T: Model>(c: &Communicator) -> Outcome {
        for op in Op::ALL {
            if expected::<T>(op, 1, 1).is_none() {
                continue;
            }
            let mine = operands::<T>(op, c.rank(), 6);
            equal(format_args!("scan with {op}"), Some(c.scan(&mine, op)?), expected(op, c.rank() + 1, 6))?;
            let below = if c.rank() > 0 { expected(op, c.rank(), 6) } else { None };
            equal(format_args!("exclusive_scan with {op}"), c.exclusive_scan(&mine, op)?, below)?;
        }
        Ok(())
    }
    of::<i32>(c)?;
    of::<f32>(c)?;
    of::<Located<f32>>(c)
}

fn reduce_scatter(c: &Communicator) -> Outcome {
    fn of<T: Model>(c: &Communicator, counts: &[usize], op: Op, form: usize) -> Outcome {
        let me = c.rank();
        let total = counts.iter().sum();
        let start: usize = counts[..me].iter().sum();
        let all = expected::<T>(op, c.size(), total).unwrap_or_default();
        let want = &all[start..start + counts[me]];
        let mine = operands::<T>(op, me, total);
        let got = match form % 3 {
            0 => c.reduce_scatter(&mine, counts, op)?,
            1 => {
                let mut result = vec![T::zeroed(); counts[me]];
                c.reduce_scatter_into(&mine, &mut result, counts, op)?;
                result
            }
            _ => c.ireduce_scatter(mine, counts.to_vec(), op)?.wait()?,
        };
        equal(format_args!("reduce_scatter with {op} of {counts:?}"), &got[..], want)
    }
    let size = c.size();
    let with = |f: &dyn Fn(usize) -> usize| (0..size).map(f).collect::<Vec<_>>();
    let shapes = [
        with(&|_| 3),
        with(&|r| r),
        with(&|r| if r == size - 1 { 3001 } else { 0 }),
        with(&|_| 0),
        with(&|r| (r % 2) * 700),
    ];
    for (i, counts) in shapes.iter().enumerate() {
        of::<f64>(c, counts, Op::Sum, i)?;
        of::<u8>(c, counts, Op::BitOr, i + 1)?;
        of::<Located<i32>>(c, counts, Op::MaxLoc, i + 2)?;
    }
    // Equal blocks.
    for block in [0, 1, 5, 1500] {
        let mine = operands::<i32>(Op::Sum, c.rank(), block * size);
        let all = expected::<i32>(Op::Sum, size, block * size).unwrap_or_default();
        let mut result = vec![0; block];
        c.reduce_scatter_block_into(&mine, &mut result, Op::Sum)?;
        same(format_args!("reduce_scatter_block_into of {block}"), &result, &all[block * c.rank()..][..block])?;
    }
    Ok(())
}

/// The map `x -> a x + b`, modulo 2^64; composition is associative and does not commute.
type Affine = [u64; 2];

fn then(f: Affine, g: Affine) -> Affine {
    [f[0].wrapping_mul(g[0]), f[1].wrapping_mul(g[0]).wrapping_add(g[1])]
}

fn affine(rank: usize, i: usize) -> Affine {
    [2 * (rank + i) as u64 + 3, (rank * 1000 + i) as u64 + 1]
}

fn affines(rank: usize, count: usize) -> Vec<Affine> {
    (0..count).map(|i| affine(rank, i)).collect()
}

fn composed(ranks: usize, count: usize) -> Vec<Affine> {
    (0..count).map(|i| (1..ranks).fold(affine(0, i), |f, rank| then(f, affine(rank, i)))).collect()
}

fn closures(c: &Communicator) -> Outcome {
    for count in [0, 1, 4, 5, 600, 6001] {
        let mine = affines(c.rank(), count);
        same(format_args!("{count} affine maps"), &c.all_reduce(&mine, then)?, &composed(c.size(), count))?;
    }
    // 2 x 2 matrices.
    type Matrix = [[u32; 2]; 2];
    let times = |a: Matrix, b: Matrix| -> Matrix {
        let at = |i: usize, j: usize| a[i][0].wrapping_mul(b[0][j]).wrapping_add(a[i][1].wrapping_mul(b[1][j]));
        [[at(0, 0), at(0, 1)], [at(1, 0), at(1, 1)]]
    };
    let of = |rank: usize| -> Matrix { [[rank as u32 + 1, 1], [2, rank as u32]] };
    let want = (1..c.size()).fold(of(0), |m, rank| times(m, of(rank)));
    equal("a product of matrices", c.all_reduce(&[of(c.rank())], times)?, vec![want])?;
    // The left argument is the lower rank: keeping it keeps rank 0, dropping it the last.
    equal("first of all", c.all_reduce(&[c.rank() as i32], |a: i32, _| a)?, vec![0])?;
    equal("last of all", c.all_reduce(&[c.rank() as i32], |_, b: i32| b)?, vec![c.size() as i32 - 1])
}

fn closures_everywhere(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    const COUNT: usize = 9;
    let mine = affines(me, COUNT);
    let want = composed(size, COUNT);
    for root in [0, size / 2, size - 1] {
        equal("reduce", c.reduce(&mine, then, root)?, (me == root).then(|| want.clone()))?;
        equal("ireduce", c.ireduce(mine.clone(), then, root)?.wait()?, (me == root).then(|| want.clone()))?;
    }
    same("iall_reduce", &c.iall_reduce(mine.clone(), then)?.wait()?, &want)?;
    let mut data = mine.clone();
    c.all_reduce_in_place(&mut data, then)?;
    same("all_reduce_in_place", &data, &want)?;
    same("scan", &c.scan(&mine, then)?, &composed(me + 1, COUNT))?;
    same("iscan", &c.iscan(mine.clone(), then)?.wait()?, &composed(me + 1, COUNT))?;
    equal("exclusive_scan", c.exclusive_scan(&mine, then)?, (me > 0).then(|| composed(me, COUNT)))?;
    let below = if me > 0 { composed(me, COUNT) } else { vec![[0; 2]; COUNT] };
    same("iexclusive_scan", &c.iexclusive_scan(mine, then)?.wait()?, &below)?;
    let counts: Vec<usize> = (0..size).map(|rank| rank % 3).collect();
    let total = counts.iter().sum();
    let start: usize = counts[..me].iter().sum();
    let block = composed(size, total)[start..start + counts[me]].to_vec();
    same("reduce_scatter", &c.reduce_scatter(&affines(me, total), &counts, then)?, &block)?;
    same("ireduce_scatter", &c.ireduce_scatter(affines(me, total), counts, then)?.wait()?, &block)
}

fn closures_on_structs(c: &Communicator) -> Outcome {
    let of = |rank: usize, i: usize| Particle {
        id: rank as u32,
        cell: [i as u16, rank as u16],
        velocity: [rank as f32, i as f32, 1.0],
    };
    let meet = |a: Particle, b: Particle| Particle {
        id: a.id.max(b.id),
        cell: [a.cell[0], a.cell[1].min(b.cell[1])],
        velocity: std::array::from_fn(|k| a.velocity[k] + b.velocity[k]),
    };
    for count in [1, 3, 1000] {
        let mine: Vec<Particle> = (0..count).map(|i| of(c.rank(), i)).collect();
        let want: Vec<Particle> =
            (0..count).map(|i| (1..c.size()).fold(of(0, i), |a, rank| meet(a, of(rank, i)))).collect();
        equal(format_args!("{count} structs"), c.all_reduce(&mine, meet)?, want)?;
    }
    // An odd size, no alignment.
    let longest = |a: [u8; 3], b: [u8; 3]| if b > a { b } else { a };
    let last = (c.size() - 1) as u8;
    equal("three-byte elements", c.all_reduce(&[[c.rank() as u8, 1, 2]; 5], longest)?, vec![[last, 1, 2]; 5])?;
    equal("elements of no size", c.all_reduce(&[(); 3], |(), ()| ())?, vec![(); 3])
}

fn capturing(c: &Communicator) -> Outcome {
    let modulus = 1009u64;
    let power = String::from("3");
    let times = |a: u64, b: u64| a * b * power.parse::<u64>().unwrap_or(0) % modulus;
    let want = (1..c.size() as u64).fold(2, |a, _| a * 2 * 3 % modulus);
    equal("a closure that borrows", c.all_reduce(&[2u64], times)?, vec![want])?;
    let table: Vec<u64> = (0..1009).map(|x| x * 3 % modulus).collect();
    let lookup = move |a: u64, b: u64| table[(a * b % modulus) as usize];
    equal("a closure that owns", c.iall_reduce(vec![2u64], lookup)?.wait()?, vec![want])
}

fn averages(c: &Communicator) -> Outcome {
    let size = c.size();
    // The sums are n + 1 and -(n + 1): the quotients 1 and -1 for more than one rank, with a rest.
    let bonus = usize::from(c.rank() == 0);
    let got = c.all_reduce(&[1 + bonus as i32, -1 - bonus as i32, -(bonus as i32)], Op::Average)?;
    let n = size as i32;
    equal("integers", got, vec![(n + 1) / n, -((n + 1) / n), if n == 1 { -1 } else { 0 }])?;
    let got = c.all_reduce(&[c.rank() as f64, 0.5], Op::Average)?;
    equal("floats", got, vec![(size * (size - 1) / 2) as f64 / size as f64, 0.5])?;
    let got = c.reduce(&[Complex::new(c.rank() as f32, -1.0)], Op::Average, size - 1)?;
    let want = Complex::new((size * (size - 1) / 2) as f32 / size as f32, -1.0);
    equal("complex numbers at a root", got, (c.rank() == size - 1).then(|| vec![want]))?;
    let got = c.iall_reduce(vec![u8::try_from(c.rank()).unwrap_or(0)], Op::Average)?.wait()?;
    equal("bytes in flight", got, vec![((size - 1) / 2) as u8])?;
    let mine = vec![c.rank() as i64 * 2; size];
    equal("reduce_scatter", c.reduce_scatter(&mine, &vec![1; size], Op::Average)?, vec![size as i64 - 1])
}

fn ties(c: &Communicator) -> Outcome {
    let (me, size) = (c.rank() as u64, c.size() as u64);
    let low = c.all_reduce(
        &[Located::new(1.5f64, me), Located::new(1.5, size - me), Located::new(-(me as f64), me)],
        Op::MinLoc,
    )?;
    equal(
        "min_loc",
        low,
        vec![Located::new(1.5, 0), Located::new(1.5, 1), Located::new(-((size - 1) as f64), size - 1)],
    )?;
    let high = c.all_reduce(&[Located::new(7i8, 100 - me), Located::new((me % 2) as i8, me)], Op::MaxLoc)?;
    let odd = Located::new(i8::from(size > 1), u64::from(size > 1));
    equal("max_loc", high, vec![Located::new(7, 101 - size), odd])
}

/// Random numbers of very different sizes, so that every order of adding gives other bits.
fn rough<T: Element>(rank: usize, count: usize, of: impl Fn(f64) -> T) -> Vec<T> {
    let mut state = seed(&[rank, count, 99]);
    (0..count)
        .map(|_| {
            let mantissa = mix(&mut state) as f64 / u64::MAX as f64 - 0.5;
            of(mantissa * f64::powi(2.0, (mix(&mut state) % 40) as i32 - 20))
        })
        .collect()
}

fn same_bits(c: &Communicator) -> Outcome {
    fn hash<T: Element>(data: &[T]) -> u64 {
        let mut state = data.len() as u64;
        for &byte in bytemuck::cast_slice::<T, u8>(data) {
            state ^= u64::from(byte);
            state = mix(&mut state);
        }
        state
    }
    fn of<T: Element>(c: &Communicator, data: &[T], op: Op) -> Outcome {
        let first = c.all_reduce(data, op)?;
        let hashes = c.all_gather(&[hash(&first)])?;
        ensure(
            hashes.iter().all(|&h| h == hashes[0]),
            format_args!("{op} of {} x {}: hashes by rank {hashes:x?}", data.len(), std::any::type_name::<T>()),
        )?;
        let mut again = vec![T::zeroed(); data.len()];
        c.all_reduce_into(data, &mut again, op)?;
        same(format_args!("{op} of {}, a second time", data.len()), &again, &first)
    }
    for count in [1, 2, 17, 1001, 100_003] {
        of(c, &rough(c.rank(), count, |x| x), Op::Sum)?;
    }
    for count in [3, 2049] {
        of(c, &rough(c.rank(), count, |x| x as f32), Op::Sum)?;
        of(c, &rough(c.rank(), count, |x| Complex::new(x, 1.0 - x)), Op::Product)?;
        of(c, &rough(c.rank(), count, f16::from_f64), Op::Average)?;
    }
    Ok(())
}

fn left_fold(c: &Communicator) -> Outcome {
    let fold = |count: usize, f: fn(f64, f64) -> f64| -> Vec<f64> {
        let all: Vec<Vec<f64>> = (0..c.size()).map(|rank| rough(rank, count, |x| x)).collect();
        (0..count).map(|i| all[1..].iter().fold(all[0][i], |a, x| f(a, x[i]))).collect()
    };
    for count in [1, 17, 3000] {
        let mine = rough(c.rank(), count, |x| x);
        if c.backend() == BackendKind::Local {
            same(format_args!("sum of {count}"), &c.all_reduce(&mine, Op::Sum)?, &fold(count, |a, b| a + b))?;
            same("the same in flight", &c.iall_reduce(mine.clone(), Op::Sum)?.wait()?, &fold(count, |a, b| a + b))?;
            let subtracted = c.all_reduce(&mine, |a: f64, b: f64| a - b)?;
            same("a closure that is not associative", &subtracted, &fold(count, |a, b| a - b))?;
        } else {
            // Another grouping rounds differently, but not by much.
            let got = c.all_reduce(&mine, Op::Sum)?;
            let near = got.iter().zip(fold(count, |a, b| a + b)).all(|(x, y)| (x - y).abs() < 1e-6);
            ensure(near, format_args!("a sum of {count} is off by more than rounding"))?;
        }
    }
    let mine = if c.rank() == 0 { [f64::NAN, 1.0] } else { [2.0, f64::NAN] };
    let min = c.all_reduce(&mine, Op::Min)?;
    if c.backend() == BackendKind::Local {
        ensure(
            min[0].is_nan() && min[1] == 1.0,
            format_args!("of values that do not compare, the lower rank's: {min:?}"),
        )?;
    }
    let sum = c.all_reduce(&[f64::INFINITY; 8], Op::Sum)?;
    ensure(sum.iter().all(|x| *x == f64::INFINITY), "infinities add up to infinity")
}
