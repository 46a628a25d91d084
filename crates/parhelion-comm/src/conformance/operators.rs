//! Every operator on every type for which it is defined, against a serial model written here anew.

use super::Case;
use super::check::{Outcome, equal, refused};
use crate::communicator::Communicator;
use crate::element::{Element, Located};
use crate::error::ErrorKind;
use crate::op::Op;
use crate::{Complex, bf16, f16};

pub(super) const CASES: &[Case] = &[
    Case::new("operators: every operator on signed integers", signed),
    Case::new("operators: every operator on unsigned integers", unsigned),
    Case::new("operators: every operator on floats", floats),
    Case::new("operators: every operator on complex numbers", complex),
    Case::new("operators: every operator on located integers", located_integers),
    Case::new("operators: every operator on located floats", located_floats),
    Case::new("operators: none on plain structs, and the error says so", structs),
];

/// A type with a serial model of the operators.
pub(super) trait Model: Element + PartialEq + std::fmt::Debug {
    /// What `rank` contributes at index `i`, so that every partial result is exact in the type (up to 16 ranks).
    fn operand(op: Op, rank: usize, i: usize) -> Self;
    /// The reduction of `values` in order; `None` where the operator is not defined for the type.
    fn model(op: Op, values: &[Self]) -> Option<Self>;
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Model for $t {
            fn operand(op: Op, rank: usize, i: usize) -> Self {
                let x = (rank * 7 + i * 13) as i64;
                match op {
                    // Sums that stay in i8, for the division.
                    Op::Average => (x % 8 - if <$t>::MIN == 0 { 0 } else { 4 }) as $t,
                    // Odd, so that products wrap without becoming zero.
                    Op::Product => (2 * x + 3) as $t,
                    Op::LogicalAnd | Op::LogicalOr | Op::LogicalXor => (x % 3) as $t,
                    // Bits all over the type.
                    _ => (x.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64) >> 7) as $t,
                }
            }

            fn model(op: Op, values: &[Self]) -> Option<Self> {
                if let [only] = values {
                    // Nothing was combined, so nothing became 0 or 1.
                    return (!matches!(op, Op::MinLoc | Op::MaxLoc)).then_some(*only);
                }
                let truth = |x: &&$t| **x != 0;
                let all = || values.iter().copied();
                Some(match op {
                    Op::Sum => all().fold(0, |a: $t, b| a.wrapping_add(b)),
                    Op::Product => all().fold(1, |a: $t, b| a.wrapping_mul(b)),
                    Op::Min => all().min()?,
                    Op::Max => all().max()?,
                    Op::LogicalAnd => values.iter().all(|x| truth(&x)).into(),
                    Op::LogicalOr => values.iter().any(|x| truth(&x)).into(),
                    Op::LogicalXor => (values.iter().filter(truth).count() % 2 == 1).into(),
                    Op::BitAnd => all().fold(!0, |a, b| a & b),
                    Op::BitOr => all().fold(0, |a, b| a | b),
                    Op::BitXor => all().fold(0, |a, b| a ^ b),
                    Op::Average => (all().map(|x| x as i128).sum::<i128>() / values.len() as i128) as $t,
                    Op::MinLoc | Op::MaxLoc => return None,
                })
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64, usize, isize);

/// Small numbers for sums, powers of two and signs for products, in any order: exact in every float type.
fn exact(op: Op, rank: usize, i: usize) -> f64 {
    let x = rank * 7 + i * 3;
    match op {
        Op::Product => [1.0, -1.0, 2.0, 0.5][x % 4],
        _ => (x % 9) as f64 - 4.0,
    }
}

macro_rules! floats {
    ($($t:ty: |$x:ident| $from:expr, $to:expr;)*) => {$(
        impl Model for $t {
            fn operand(op: Op, rank: usize, i: usize) -> Self {
                let $x = exact(op, rank, i);
                $from
            }

            fn model(op: Op, values: &[Self]) -> Option<Self> {
                let all = || values.iter().map(|&$x| -> f64 { $to });
                let $x: f64 = match op {
                    Op::Sum => all().sum(),
                    Op::Product => all().product(),
                    Op::Min => all().reduce(f64::min)?,
                    Op::Max => all().reduce(f64::max)?,
                    // The sum is exact; the quotient is rounded once to the type's own precision.
                    Op::Average => return Some(quotient::<$t>(all().sum(), values.len(), |$x| $from)),
                    _ => return None,
                };
                Some($from)
            }
        }
    )*};
}
floats! {
    f16: |x| f16::from_f64(x), x.to_f64();
    bf16: |x| bf16::from_f64(x), x.to_f64();
    f32: |x| x as f32, f64::from(x);
    f64: |x| x, x;
}

/// `sum / n` in the precision that the type divides in: f32 for what is smaller than f64.
fn quotient<T>(sum: f64, n: usize, from: impl Fn(f64) -> T) -> T {
    if size_of::<T>() == 8 { from(sum / n as f64) } else { from(f64::from(sum as f32 / n as f32)) }
}

macro_rules! complex {
    ($($t:ty),*) => {$(
        impl Model for Complex<$t> {
            fn operand(op: Op, rank: usize, i: usize) -> Self {
                match op {
                    // Quarter turns.
                    Op::Product => [Complex::new(1.0, 0.0), Complex::new(0.0, 1.0), Complex::new(-1.0, 0.0), Complex::new(0.0, -1.0)]
                        [(rank * 3 + i) % 4],
                    _ => Complex::new(exact(op, rank, i) as $t, exact(op, rank + 5, i) as $t),
                }
            }

            fn model(op: Op, values: &[Self]) -> Option<Self> {
                Some(match op {
                    Op::Sum => values.iter().sum(),
                    Op::Product => values.iter().fold(Complex::new(1.0, 0.0), |a, b| {
                        Complex::new(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)
                    }),
                    Op::Average => values.iter().sum::<Self>() / values.len() as $t,
                    _ => return None,
                })
            }
        }
    )*};
}
complex!(f32, f64);

macro_rules! located {
    ($($t:ty),*) => {$(
        impl Model for Located<$t> {
            fn operand(_: Op, rank: usize, i: usize) -> Self {
                // Few values, so that many ranks tie; indices that fall with the rank at some i and rise at others.
                let index = if i % 2 == 0 { rank } else { 100 - rank };
                Located::new(<$t as Model>::operand(Op::Average, (rank + i) % 3, 0), index as u64)
            }

            fn model(op: Op, values: &[Self]) -> Option<Self> {
                let all = || values.iter().copied().map(|l| l.value());
                let best = match op {
                    Op::MinLoc => <$t as Model>::model(Op::Min, &all().collect::<Vec<_>>())?,
                    Op::MaxLoc => <$t as Model>::model(Op::Max, &all().collect::<Vec<_>>())?,
                    _ => return None,
                };
                let index = values.iter().filter(|l| l.value() == best).map(|l| l.index()).min()?;
                Some(Located::new(best, index))
            }
        }
    )*};
}
located!(i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64);

impl Model for super::sample::Particle {
    fn operand(_: Op, rank: usize, i: usize) -> Self {
        super::sample::Particle { id: rank as u32, cell: [i as u16; 2], velocity: [0.0; 3] }
    }

    fn model(_: Op, _: &[Self]) -> Option<Self> {
        None
    }
}

/// `count` operands of one rank.
pub(super) fn operands<T: Model>(op: Op, rank: usize, count: usize) -> Vec<T> {
    (0..count).map(|i| T::operand(op, rank, i)).collect()
}

/// The reduction over the first `ranks` ranks; `None` where undefined.
pub(super) fn expected<T: Model>(op: Op, ranks: usize, count: usize) -> Option<Vec<T>> {
    (0..count).map(|i| T::model(op, &(0..ranks).map(|rank| T::operand(op, rank, i)).collect::<Vec<_>>())).collect()
}

/// Every operator on one type: the result on all ranks, or the refusal, and one more form, another for each operator.
fn each_op<T: Model>(c: &Communicator) -> Outcome {
    const COUNT: usize = 11;
    let (me, size) = (c.rank(), c.size());
    for (k, op) in Op::ALL.into_iter().enumerate() {
        let name = format!("{op} of {}", std::any::type_name::<T>());
        let mine = operands::<T>(op, me, COUNT);
        let Some(want) = expected::<T>(op, size, COUNT) else {
            let is = |kind: &ErrorKind| matches!(kind, ErrorKind::UndefinedOp(text) if text.contains(&op.to_string()));
            refused(&name, c.all_reduce(&mine, op), "an undefined operator", is)?;
            continue;
        };
        equal(&name, &c.all_reduce(&mine, op)?, &want)?;
        let root = k % size;
        match k % 5 {
            0 => {
                let got = c.reduce(&mine, op, root)?;
                equal(format_args!("reduce: who gets a result of {name}"), got.is_some(), me == root)?;
                equal(format_args!("reduce: {name}"), got.unwrap_or(want.clone()), want)?;
            }
            1 => {
                let prefix = expected::<T>(op, me + 1, COUNT).unwrap_or_default();
                equal(format_args!("scan: {name}"), &c.scan(&mine, op)?, &prefix)?;
            }
            2 => {
                let mut data = mine.clone();
                c.all_reduce_in_place(&mut data, op)?;
                equal(format_args!("in place: {name}"), &data, &want)?;
            }
            3 => equal(format_args!("in flight: {name}"), &c.iall_reduce(mine, op)?.wait()?, &want)?,
            _ => {
                let all = operands::<T>(op, me, size);
                let want = expected::<T>(op, size, size).unwrap_or_default();
                let got = c.reduce_scatter(&all, &vec![1; size], op)?;
                equal(format_args!("reduce_scatter: {name}"), &got[..], &want[me..=me])?;
            }
        }
    }
    Ok(())
}

fn signed(c: &Communicator) -> Outcome {
    each_op::<i8>(c)?;
    each_op::<i16>(c)?;
    each_op::<i32>(c)?;
    each_op::<i64>(c)?;
    each_op::<isize>(c)
}

fn unsigned(c: &Communicator) -> Outcome {
    each_op::<u8>(c)?;
    each_op::<u16>(c)?;
    each_op::<u32>(c)?;
    each_op::<u64>(c)?;
    each_op::<usize>(c)
}

fn floats(c: &Communicator) -> Outcome {
    each_op::<f16>(c)?;
    each_op::<bf16>(c)?;
    each_op::<f32>(c)?;
    each_op::<f64>(c)
}

fn complex(c: &Communicator) -> Outcome {
    each_op::<Complex<f32>>(c)?;
    each_op::<Complex<f64>>(c)
}

fn located_integers(c: &Communicator) -> Outcome {
    each_op::<Located<i8>>(c)?;
    each_op::<Located<i16>>(c)?;
    each_op::<Located<i32>>(c)?;
    each_op::<Located<i64>>(c)?;
    each_op::<Located<u8>>(c)?;
    each_op::<Located<u16>>(c)?;
    each_op::<Located<u32>>(c)?;
    each_op::<Located<u64>>(c)
}

fn located_floats(c: &Communicator) -> Outcome {
    each_op::<Located<f16>>(c)?;
    each_op::<Located<bf16>>(c)?;
    each_op::<Located<f32>>(c)?;
    each_op::<Located<f64>>(c)
}

fn structs(c: &Communicator) -> Outcome {
    each_op::<super::sample::Particle>(c)
}
