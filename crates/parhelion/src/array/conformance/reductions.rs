//! Reductions and searches against the same on a vector of all cells.

use parhelion_comm::conformance::check::{ensure, equal};
use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Complex, Op, f16};

use super::draw::Draw;
use super::model::{agreed, at, rounds, whole};
use crate::array::{Decomposition, DistArray};

pub(super) const CASES: &[Case] = &[
    Case::new("arrays: reductions count every cell once and agree on all ranks", |c| {
        rounds(41, |draw| reduced::<1>(c, draw))?;
        rounds(42, |draw| reduced::<3>(c, draw))?;
        rounds(43, |draw| reduced::<4>(c, draw))
    }),
    Case::new("arrays: extremes find the first of equals and say NaN", |c| {
        rounds(45, |draw| extremes::<1>(c, draw))?;
        rounds(46, |draw| extremes::<3>(c, draw))?;
        rounds(47, |draw| extremes::<4>(c, draw))
    }),
    Case::new("arrays: tests of cells find, count and compare", |c| {
        rounds(48, |draw| tested::<1>(c, draw))?;
        rounds(49, |draw| tested::<3>(c, draw))?;
        rounds(50, |draw| tested::<4>(c, draw))
    }),
    Case::new("arrays: sums, products and norms keep the range and the precision of their type", precise),
    Case::new("arrays: a histogram counts every cell once", |c| {
        rounds(51, |draw| counted::<1>(c, draw))?;
        rounds(52, |draw| counted::<2>(c, draw))?;
        rounds(53, |draw| counted::<4>(c, draw))
    }),
];

pub(super) fn reduced<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let values = whole(&grid, |_| draw.word());
    let x = DistArray::from_fn(&grid, at(&values, grid.space()))?;
    let sum = values.iter().fold(0u64, |a, &b| a.wrapping_add(b));
    equal("sum", agreed(c, "sum", x.sum()?)?, sum)?;
    equal("reduce with sum", x.reduce(Op::Sum)?, values.iter().copied().reduce(u64::wrapping_add))?;
    equal("reduce with xor", x.reduce(Op::BitXor)?, values.iter().copied().reduce(|a, b| a ^ b))?;
    equal("reduce with a closure", x.reduce(|a: u64, b: u64| a.max(b))?, values.iter().copied().max())?;
    equal("product", x.product()?, values.iter().fold(1u64, |a, &b| a.wrapping_mul(b)))?;
    let mean = values.iter().map(|&x| u128::from(x)).sum::<u128>() as f64 / values.len() as f64;
    let got = agreed(c, "mean", x.mean()?)?;
    ensure(got == mean || (got.is_nan() && values.is_empty()), format_args!("mean {got}, not {mean}"))?;

    // Small whole numbers: exact whatever the grouping.
    let small = |x: u64| (x % 17) as f64 - 8.0;
    let (a, b) = (x.map(small), x.map(|x| Complex::new(small(x), small(x >> 8))));
    let sum: f64 = values.iter().map(|&x| small(x)).sum();
    equal("sum of floats", agreed(c, "sum of floats", a.sum()?)?, sum)?;
    equal("sum of halves", x.map(|x| f16::from_f64(small(x))).sum()?, f16::from_f64(sum))?;
    let squares: f64 = values.iter().map(|&x| small(x) * small(x)).sum();
    equal("dot", a.dot(&a)?, squares)?;
    equal("norm", agreed(c, "norm", a.norm()?)?, squares.sqrt())?;
    let dot: Complex<f64> = values
        .iter()
        .map(|&x| Complex::new(small(x), small(x >> 8)))
        .map(|z| z.conj() * Complex::new(0.0, 2.0) * z)
        .sum();
    equal("dot of complex numbers", b.dot(&b.map(|z| z * Complex::new(0.0, 2.0)))?, dot)?;
    // Of different halos: pieces of the two layouts do not coincide.
    if (0..D).all(|axis| grid.axis(axis).is_contiguous()) {
        let wide = DistArray::from_fn(&grid.clone().halo(2), |index| small(at(&values, grid.space())(index)))?;
        equal("dot with another halo", a.dot(&wide)?, squares)?;
        ensure(wide.equal(&a)?, "arrays of equal cells and different halos are equal")?;
    }
    // Anything: the same bits on every rank.
    let any = x.map(|x| (x as f64).sqrt() * 1e-3);
    agreed(c, "sum of any floats", any.sum()?)?;
    agreed(c, "norm of any floats", any.norm()?)?;
    agreed(c, "dot of any floats", any.dot(&any)?)?;
    let reduced = any.reduce(Op::Sum)?.unwrap_or_default();
    agreed(c, "reduction of any floats", reduced)?;
    Ok(())
}

pub(super) fn extremes<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let (space, nans) = (grid.space(), draw.once_in(2));
    let values: Vec<f64> = whole(&grid, |_| match draw.below(24) {
        0 if nans => f64::NAN,
        n => (n % 7) as f64,
    });
    let x = DistArray::from_fn(&grid, at(&values, space))?;
    let first = |better: &dyn Fn(f64, f64) -> bool| {
        let nan = values.iter().position(|x| x.is_nan());
        let best = values.iter().enumerate().fold(None, |best: Option<(usize, f64)>, (i, &x)| match best {
            Some((_, b)) if !better(x, b) => best,
            _ => Some((i, x)),
        });
        nan.or(best.map(|(i, _)| i)).map(|i| (space.index(i), values[i]))
    };
    let (low, high) = (first(&|x, b| x < b), first(&|x, b| x > b));
    let bits = |x: Option<f64>| x.map(f64::to_bits);
    equal("min", bits(x.min()?), bits(low.map(|(_, x)| x)))?;
    equal("max", bits(x.max()?), bits(high.map(|(_, x)| x)))?;
    let with_bits = |found: Option<([i64; D], f64)>| found.map(|(index, x)| (index, x.to_bits()));
    equal("arg_min", with_bits(x.arg_min()?), with_bits(low))?;
    equal("arg_max", with_bits(x.arg_max()?), with_bits(high))?;
    let n = x.map(|x| x as i8);
    equal("arg_max of integers", n.arg_max()?.map(|(_, x)| x), values.iter().map(|&x| x as i8).max())
}

pub(super) fn tested<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let space = grid.space();
    let values: Vec<u16> = whole(&grid, |_| draw.below(40) as u16);
    let x = DistArray::from_fn(&grid, at(&values, space))?;
    for wanted in [0u16, 1, 17, 99] {
        equal("count", x.count(|x| x == wanted)?, values.iter().filter(|&&x| x == wanted).count())?;
        let first = values.iter().position(|&x| x == wanted).map(|i| space.index(i));
        equal("find_first", x.find_first(|x| x == wanted)?, first)?;
        equal("any", x.any(|x| x == wanted)?, values.contains(&wanted))?;
        equal("all", x.all(|x| x != wanted)?, !values.contains(&wanted))?;
    }
    let mut y = x.clone();
    ensure(x.equal(&y)?, "a clone is equal")?;
    // One cell somewhere, on every copy of it.
    let odd = (!values.is_empty()).then(|| space.index(draw.below(values.len())));
    y.for_each_mut(|index, y| *y += u16::from(Some(index) == odd));
    equal("equality after a change", x.equal(&y)?, odd.is_none())
}

fn precise(c: &Communicator) -> Outcome {
    let n = 20 * c.size() + 3;
    let grid = Decomposition::new([n], c)?;
    // Halves of this size step by 1/8 and more: sums of them would lose what a wide accumulator keeps.
    let halves = DistArray::full(&grid, f16::from_f64(0.7))?;
    equal("sum of halves", halves.sum()?, f16::from_f64(f16::from_f64(0.7).to_f64() * n as f64))?;
    equal("sum of i8", DistArray::full(&grid, 100i8)?.sum()?, (100 * n) as i8)?;
    equal("mean of i8", DistArray::full(&grid, 100i8)?.mean()?, 100.0)?;
    equal("mean of u64", DistArray::full(&grid, u64::MAX)?.mean()?, u64::MAX as f64)?;
    equal("product of nothing", DistArray::<f32, 1>::zeros(&Decomposition::new([0], c)?)?.product()?, 1.0)?;
    equal("norm of nothing", DistArray::<f32, 1>::zeros(&Decomposition::new([0], c)?)?.norm()?, 0.0)?;
    for (value, what) in [(1e200, "large"), (1e-200, "small"), (5e-324, "subnormal"), (0.0, "zero")] {
        let norm = DistArray::full(&grid, value)?.norm()?;
        let expected = value * (n as f64).sqrt();
        let tolerance = f64::max(expected * 1e-14, 5e-324);
        ensure(
            (norm - expected).abs() <= tolerance,
            format_args!("norm of {what} values: {norm:e}, not {expected:e}"),
        )?;
        // One rank alone has anything, and what it has does not fit squares.
        let one = DistArray::from_fn(&grid, |[i]| if i == n as i64 - 1 { value } else { 0.0 })?.norm()?;
        ensure((one - value).abs() <= value * 1e-14, format_args!("norm of one {what} value: {one:e}"))?;
    }
    let mixed = DistArray::from_fn(&grid, |[i]| [1e-250f64, 3e250, 1.0, 4e250, 0.0][(i as usize).min(4)])?.norm()?;
    ensure((mixed - 5e250).abs() <= 1e236, format_args!("norm of values of all sizes: {mixed:e}"))?;
    let halves = DistArray::from_fn(&grid, |[i]| if i < n as i64 / 2 { 1e-3f64 } else { 2e250 })?.norm()?;
    let expected = 2e250 * ((n - n / 2) as f64).sqrt();
    ensure((halves - expected).abs() <= expected * 1e-14, format_args!("norm of two sizes: {halves:e}"))?;
    for (value, what) in [(f64::INFINITY, "infinity"), (f64::NAN, "NaN")] {
        for place in [0, n as i64 - 1] {
            let values = DistArray::from_fn(&grid, |[i]| if i == place { value } else { 1e300 })?;
            equal(format_args!("norm of {what}"), values.norm()?.to_bits(), value.abs().to_bits())?;
        }
    }
    let n = n as i64;
    for (first, last) in [(f64::INFINITY, f64::NAN), (f64::NAN, f64::INFINITY)] {
        let values =
            DistArray::from_fn(&grid, |[i]| if i == 0 { first } else { [1.0, last][usize::from(i == n - 1)] })?;
        ensure(n == 1 || values.norm()?.is_nan(), "norm of infinity and NaN, in either order, is NaN")?;
    }
    equal(
        "norm of a complex number",
        DistArray::full(&grid, Complex::new(3f32, 4.0))?.norm()?,
        (25.0 * n as f64).sqrt() as f32,
    )
}

pub(super) fn counted<const D: usize>(c: &Communicator, draw: &mut Draw) -> Outcome {
    let shape = draw.shape::<D>();
    let grid = draw.decomposition(c, shape)?;
    let values: Vec<f32> = whole(&grid, |_| match draw.below(30) {
        0 => f32::NAN,
        n => n as f32 / 4.0,
    });
    let bins = 1 + draw.below(9);
    let h = DistArray::from_fn(&grid, at(&values, grid.space()))?.histogram(bins, 1.0..=5.0)?;
    let mut counts = vec![0u64; bins];
    for &x in &values {
        let x = f64::from(x);
        let bin = (0..bins).find(|&i| h.edge(i) <= x && (x < h.edge(i + 1) || (i + 1 == bins && x == 5.0)));
        bin.into_iter().for_each(|bin| counts[bin] += 1);
    }
    equal("counts", h.counts().to_vec(), counts)?;
    equal("below", h.below(), values.iter().filter(|&&x| x < 1.0).count() as u64)?;
    equal("above", h.above(), values.iter().filter(|&&x| x > 5.0).count() as u64)?;
    equal("NaN", h.nan(), values.iter().filter(|x| x.is_nan()).count() as u64)
}
