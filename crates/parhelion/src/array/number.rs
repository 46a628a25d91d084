//! The numbers that array arithmetic knows, and what it accumulates them in: [`Number`].

use parhelion_comm::{Communicator, Complex, Element, Op, Result, bf16, f16};

/// A number type: what sums, products, means, norms and dot products of arrays are defined for.
///
/// Floats are accumulated in `f64` and rounded once at the end, so a sum of `f16` neither overflows nor stalls on the
/// way; integers are accumulated without loss and wrap at the end.
pub trait Number: Element + PartialEq + sealed::Accumulate {
    /// What a mean is: `f64` for integers, the type itself for the others.
    type Mean: Element;
    /// What a norm is: `f64` for integers, the real type for the others.
    type Real: Element;
}

pub(crate) mod sealed {
    use super::{Accumulator, Element, Number};

    /// How a number is accumulated.
    pub trait Accumulate: Element {
        /// The accumulator.
        type Wide: Accumulator;
        /// The number, in the accumulator's type.
        fn widen(self) -> Self::Wide;
        /// The complex conjugate; a real number itself.
        fn conjugate(self) -> Self;
        /// The accumulated value, rounded or wrapped.
        fn narrow(wide: Self::Wide) -> Self;
        /// The accumulated value over a count.
        fn mean(wide: Self::Wide, count: u64) -> <Self as Number>::Mean
        where
            Self: Number;
        /// The larger absolute value of its real and imaginary parts.
        fn magnitude(self) -> f64;
        /// The absolute value.
        fn absolute(self) -> f64;
        /// The square of the absolute value of `self * scale`.
        fn squared(self, scale: f64) -> f64;
        /// A norm, rounded.
        fn norm(norm: f64) -> <Self as Number>::Real
        where
            Self: Number;
        /// The number over a real one, rounded; integers towards zero.
        fn over(self, divisor: f64) -> Self;
        /// The number as `f64`; the real part of a complex one.
        fn real(self) -> f64;
    }
}

/// What numbers are accumulated in.
pub trait Accumulator: Element {
    /// The neutral element of `plus`.
    const ZERO: Self;
    /// The neutral element of `times`.
    const ONE: Self;
    /// The sum; integers wrap.
    fn plus(self, other: Self) -> Self;
    /// The product; integers wrap.
    fn times(self, other: Self) -> Self;
    /// The sums over all ranks. Collective.
    fn sum_over(values: &mut [Self], communicator: &Communicator) -> Result<()>;
}

macro_rules! accumulators {
    ($($t:ty: $zero:expr, $one:expr, |$a:ident, $b:ident| $plus:expr, $times:expr, $op:expr;)*) => {$(
        impl Accumulator for $t {
            const ZERO: Self = $zero;
            const ONE: Self = $one;
            #[inline(always)]
            fn plus(self, $b: Self) -> Self { let $a = self; $plus }
            #[inline(always)]
            fn times(self, $b: Self) -> Self { let $a = self; $times }
            fn sum_over(values: &mut [Self], communicator: &Communicator) -> Result<()> {
                communicator.all_reduce_in_place(values, $op)
            }
        }
    )*};
}

accumulators! {
    f64: 0.0, 1.0, |a, b| a + b, a * b, Op::Sum;
    Complex<f64>: Complex::new(0.0, 0.0), Complex::new(1.0, 0.0), |a, b| a + b, a * b, Op::Sum;
    i64: 0, 1, |a, b| a.wrapping_add(b), a.wrapping_mul(b), Op::Sum;
    i128: 0, 1, |a, b| a.wrapping_add(b), a.wrapping_mul(b), |a: i128, b: i128| a.wrapping_add(b);
}

macro_rules! integers {
    ($($t:ty => $wide:ty),*) => {$(
        impl Number for $t {
            type Mean = f64;
            type Real = f64;
        }
        impl sealed::Accumulate for $t {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide { self as $wide }
            #[inline(always)]
            fn conjugate(self) -> Self { self }
            fn narrow(wide: $wide) -> Self { wide as Self }
            fn mean(wide: $wide, count: u64) -> f64 { wide as f64 / count as f64 }
            #[inline(always)]
            fn magnitude(self) -> f64 { (self as f64).abs() }
            #[inline(always)]
            fn absolute(self) -> f64 { self.magnitude() }
            #[inline(always)]
            fn squared(self, scale: f64) -> f64 { let x = self as f64 * scale; x * x }
            fn norm(norm: f64) -> f64 { norm }
            #[inline(always)]
            fn over(self, divisor: f64) -> Self { (self as f64 / divisor) as Self }
            #[inline(always)]
            fn real(self) -> f64 { self as f64 }
        }
    )*};
}

// A sum of 2^47 values of 16 bits fits 64 bits; of 32 bits it need not fit after 2^31 values.
integers!(i8 => i64, i16 => i64, u8 => i64, u16 => i64);
integers!(i32 => i128, u32 => i128, i64 => i128, u64 => i128, isize => i128, usize => i128);

macro_rules! floats {
    ($($t:ty: $to:expr, $from:expr;)*) => {$(
        impl Number for $t {
            type Mean = $t;
            type Real = $t;
        }
        impl sealed::Accumulate for $t {
            type Wide = f64;
            #[inline(always)]
            fn widen(self) -> f64 { $to(self) }
            #[inline(always)]
            fn conjugate(self) -> Self { self }
            fn narrow(wide: f64) -> Self { $from(wide) }
            fn mean(wide: f64, count: u64) -> Self { $from(wide / count as f64) }
            #[inline(always)]
            fn magnitude(self) -> f64 { $to(self).abs() }
            #[inline(always)]
            fn absolute(self) -> f64 { self.magnitude() }
            #[inline(always)]
            fn squared(self, scale: f64) -> f64 { let x = $to(self) * scale; x * x }
            fn norm(norm: f64) -> Self { $from(norm) }
            #[inline(always)]
            fn over(self, divisor: f64) -> Self { $from($to(self) / divisor) }
            #[inline(always)]
            fn real(self) -> f64 { $to(self) }
        }
    )*};
}

floats! {
    f16: f16::to_f64, f16::from_f64;
    bf16: bf16::to_f64, bf16::from_f64;
    f32: f64::from, |x: f64| x as f32;
    f64: f64::from, f64::from;
}

macro_rules! complex {
    ($($t:ty),*) => {$(
        impl Number for Complex<$t> {
            type Mean = Complex<$t>;
            type Real = $t;
        }
        impl sealed::Accumulate for Complex<$t> {
            type Wide = Complex<f64>;
            #[inline(always)]
            fn widen(self) -> Complex<f64> { Complex::new(f64::from(self.re), f64::from(self.im)) }
            #[inline(always)]
            fn conjugate(self) -> Self { self.conj() }
            fn narrow(wide: Complex<f64>) -> Self { Complex::new(wide.re as $t, wide.im as $t) }
            fn mean(wide: Complex<f64>, count: u64) -> Self { Self::narrow(wide / count as f64) }
            #[inline(always)]
            fn magnitude(self) -> f64 {
                let (re, im) = (f64::from(self.re).abs(), f64::from(self.im).abs());
                if re > im || re.is_nan() { re } else { im }
            }
            #[inline(always)]
            fn absolute(self) -> f64 { f64::from(self.re).hypot(f64::from(self.im)) }
            #[inline(always)]
            fn squared(self, scale: f64) -> f64 {
                let (re, im) = (f64::from(self.re) * scale, f64::from(self.im) * scale);
                re * re + im * im
            }
            fn norm(norm: f64) -> $t { norm as $t }
            #[inline(always)]
            fn over(self, divisor: f64) -> Self { Self::narrow(self.widen() / divisor) }
            #[inline(always)]
            fn real(self) -> f64 { f64::from(self.re) }
        }
    )*};
}

complex!(f32, f64);
