//! Sums over all ranks of numbers that lie in slices: what arrays and vectors have in common.
//!
//! One pass over this rank's slices, then one collective. Every rank gets the same bits.

use parhelion_comm::{Communicator, Result};

use super::Number;
use super::fold::{Cascade, fold};
use super::number::{Accumulator, sealed::Accumulate};

/// This rank's numbers, each loaded with `load`, combined with `op`; `None` without any.
pub(crate) fn fold_runs<'a, T: Copy + 'a, A: Copy>(
    runs: impl Iterator<Item = &'a [T]>,
    load: impl Fn(T) -> A,
    op: impl Fn(A, A) -> A,
) -> Option<A> {
    let mut cascade = Cascade::new();
    for run in runs {
        if let Some(x) = fold(run, run, &|x, _| load(x), &op) {
            cascade.push(x, &op);
        }
    }
    cascade.finish(&op)
}

/// The sum, in the accumulator.
pub(crate) fn sum<'a, T: Number>(c: &Communicator, runs: impl Iterator<Item = &'a [T]>) -> Result<T::Wide> {
    let mut sum = [fold_runs(runs, T::widen, Accumulator::plus).unwrap_or(T::Wide::ZERO)];
    T::Wide::sum_over(&mut sum, c)?;
    Ok(sum[0])
}

/// The sum of `conj(x) * y` over pairs of slices of equal length.
pub(crate) fn dot<'a, T: Number>(c: &Communicator, pairs: impl Iterator<Item = (&'a [T], &'a [T])>) -> Result<T> {
    let mut cascade = Cascade::new();
    let load = |x: T, y: T| x.conjugate().widen().times(y.widen());
    for (x, y) in pairs {
        if let Some(part) = fold(x, y, &load, &Accumulator::plus) {
            cascade.push(part, &Accumulator::plus);
        }
    }
    let mut sum = [cascade.finish(&Accumulator::plus).unwrap_or(T::Wide::ZERO)];
    T::Wide::sum_over(&mut sum, c)?;
    Ok(T::narrow(sum[0]))
}

/// The root of the sum of the squares of the absolute values, without overflow on the way.
pub(crate) fn norm<'a, T: Number, I: Iterator<Item = &'a [T]>>(
    c: &Communicator,
    runs: impl Fn() -> I,
) -> Result<T::Real> {
    let sum_with = |scale: f64| fold_runs(runs(), |x: T| x.squared(scale), |a, b| a + b).unwrap_or(0.0);
    let largest = || fold_runs(runs(), Accumulate::magnitude, f64::max).unwrap_or(0.0);
    let mut all = [scaled_squares(sum_with(1.0), largest, sum_with)];
    norms(c, &mut all)?;
    Ok(T::norm(all[0][0]))
}

/// Makes of [`scaled_squares`] of this rank the norms over all ranks, as the first of each pair. Collective: one reduction.
pub(crate) fn norms(c: &Communicator, all: &mut [[f64; 2]]) -> Result<()> {
    c.all_reduce_in_place(all, |a: [f64; 2], b: [f64; 2]| {
        // Nothing has no scale; what is not finite stays so, and NaN wins over infinity in either order.
        if b[1] == 0.0 {
            return a;
        } else if a[1] == 0.0 {
            return b;
        } else if !(a[1].is_finite() && b[1].is_finite()) {
            return [1.0, a[1] + b[1]];
        }
        let scale = a[0].max(b[0]);
        let square = |x: f64| x * x;
        [scale, a[1] * square(a[0] / scale) + b[1] * square(b[0] / scale)]
    })?;
    all.iter_mut().for_each(|pair| pair[0] *= pair[1].sqrt());
    Ok(())
}

/// A scale and the sum of the squares of this rank's values over the scale, which is 1 unless `sum`, that of the squares
/// themselves, has left the range in which squares are exact (Blue 1978).
pub(crate) fn scaled_squares(sum: f64, largest: impl FnOnce() -> f64, sum_with: impl FnOnce(f64) -> f64) -> [f64; 2] {
    // Squares of values that matter neither overflow nor lose bits to underflow in this range; NaN is in no range.
    if (1e-200..=1e300).contains(&sum) || sum.is_nan() {
        return [1.0, sum];
    }
    let largest = largest();
    if largest == 0.0 || largest.is_infinite() {
        return [1.0, largest];
    }
    // A power of two near the largest, so that scaling rounds nothing.
    let scale = f64::exp2(largest.log2().floor().clamp(-1000.0, 1000.0));
    [scale, sum_with(1.0 / scale)]
}
