//! Operators: what a reduction does with two elements, built in ([`Op`]) or as a closure.
//!
//! Everything that reduces takes an `impl Reduction<T>`: an [`Op`], or a closure `Fn(T, T) -> T`. Elements are always
//! combined in rank order, `((x0 ∘ x1) ∘ x2) ∘ …`, by the `local` backend and for closures everywhere, so a closure
//! need not commute; it must be associative only as far as the caller cares about the grouping of an MPI library.
//!
//! Every rank gets the same bits, with one exception: where an MPI library combines floating point by `Min` or `Max`, NaN among
//! the values, or zeros of both signs, may leave each rank with another one of them. Which bits a sum or product of floating point has depends on the order and grouping of its
//! terms: the `local` backend's are those of the formula, for any length. Messages group terms by a tree over the ranks, in their
//! order, and of long vectors (see `parhelion info --collectives`) let element `i`'s terms begin with another rank than those of
//! element `j`: the same call with the same values and ranks has the same bits again, but one vector's elements, reduced
//! in a vector of another length, may round otherwise. A closure is combined in rank order at any length.

use std::fmt;
use std::marker::PhantomData;

use bytemuck::Pod;
use half::{bf16, f16};
use num_complex::Complex;

use crate::element::{Element, ElementKind, ElementType, Located, Scalar};
use crate::error::{Error, ErrorKind, Result};

/// The built-in operators.
///
/// Integer sums and products wrap. Of values that do not compare (NaN, and zeros of both signs), `Min` and `Max` keep the one of
/// the lower rank on the local backend; elsewhere the grouping decides, and MPI libraries may keep another one at each rank of
/// an all-reduce. With one rank there is nothing to combine, and every operator gives the value as it is. A tie in `MinLoc` and
/// `MaxLoc` goes to the lower index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `a + b`; every number type.
    Sum,
    /// `a * b`; every number type.
    Product,
    /// The smaller; every real type.
    Min,
    /// The larger; every real type.
    Max,
    /// Both non-zero, as 0 or 1; integers. Of one rank's value alone nothing is made: 5 stays 5.
    LogicalAnd,
    /// Either non-zero, as 0 or 1; integers.
    LogicalOr,
    /// Exactly one non-zero, as 0 or 1; integers.
    LogicalXor,
    /// `a & b`; integers.
    BitAnd,
    /// `a | b`; integers.
    BitOr,
    /// `a ^ b`; integers.
    BitXor,
    /// The smaller value and its index; [`Located`] reals.
    MinLoc,
    /// The larger value and its index; [`Located`] reals.
    MaxLoc,
    /// The sum divided by the number of ranks; every number type, integers towards zero. An integer sum wraps before it is
    /// divided.
    Average,
}

impl Op {
    /// Every operator, in the order of their declaration.
    pub const ALL: [Op; 13] = [
        Op::Sum,
        Op::Product,
        Op::Min,
        Op::Max,
        Op::LogicalAnd,
        Op::LogicalOr,
        Op::LogicalXor,
        Op::BitAnd,
        Op::BitOr,
        Op::BitXor,
        Op::MinLoc,
        Op::MaxLoc,
        Op::Average,
    ];
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Sum => "sum",
            Op::Product => "product",
            Op::Min => "min",
            Op::Max => "max",
            Op::LogicalAnd => "logical_and",
            Op::LogicalOr => "logical_or",
            Op::LogicalXor => "logical_xor",
            Op::BitAnd => "bit_and",
            Op::BitOr => "bit_or",
            Op::BitXor => "bit_xor",
            Op::MinLoc => "min_loc",
            Op::MaxLoc => "max_loc",
            Op::Average => "average",
        })
    }
}

/// What a reducing call takes: an [`Op`], or a closure `Fn(T, T) -> T` whose first argument comes from the lower rank.
pub trait Reduction<T: Element>: sealed::Sealed<T> + Send + Sync {}

impl<T: Element> Reduction<T> for Op {}
impl<T: Element, F: Fn(T, T) -> T + Send + Sync> Reduction<T> for F {}

pub(crate) mod sealed {
    use super::Kernel;
    use crate::element::Element;
    use crate::error::Result;

    /// Keeps [`Reduction`](super::Reduction) closed: backends know every way to combine.
    pub trait Sealed<T: Element> {
        /// The type-erased operator, borrowing `self`.
        fn kernel(&self) -> Result<Kernel<'_>>;
    }
}

type CombineFn = unsafe fn(data: *const (), out: *mut u8, a: *const u8, b: *const u8, count: usize);
type FoldFn = unsafe fn(data: *const (), acc: *mut u8, x: *const u8, count: usize);
type FinishFn = unsafe fn(acc: *mut u8, count: usize, ranks: usize);

/// A type-erased operator over arrays of one element type.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    /// The built-in operator, or `None` for a closure.
    pub(crate) op: Option<Op>,
    /// The type it works on.
    pub(crate) element: ElementType,
    data: *const (),
    loops: &'static Loops,
    lifetime: PhantomData<&'a ()>,
}

/// An operator over arrays of one type, compiled.
struct Loops {
    combine: CombineFn,
    fold: FoldFn,
    finish: Option<FinishFn>,
}

// SAFETY: `data` is null or points to a closure that is Sync (bound of `Reduction`) and outlives 'a.
unsafe impl Send for Kernel<'_> {}
// SAFETY: as above; the function pointers only share the closure.
unsafe impl Sync for Kernel<'_> {}

impl<'a> Kernel<'a> {
    /// The operator `op` on elements of type `T`.
    ///
    /// # Errors
    /// [`UndefinedOp`](ErrorKind::UndefinedOp) where a built-in operator is not defined for the type.
    pub fn of<T: Element>(op: &'a impl Reduction<T>) -> Result<Kernel<'a>> {
        op.kernel()
    }

    /// The type it works on.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// The built-in operator, or `None` for a closure.
    pub fn op(&self) -> Option<Op> {
        self.op
    }

    #[inline]
    fn builtin(op: Op, element: ElementType, loops: &'static Loops) -> Self {
        Kernel { op: Some(op), element, data: std::ptr::null(), loops, lifetime: PhantomData }
    }
}

impl Kernel<'_> {
    /// `out[i] = a[i] ∘ b[i]`.
    ///
    /// # Safety
    /// All three are valid for `count` elements of `self.element`, aligned to it, and `out` overlaps neither input.
    pub(crate) unsafe fn combine(&self, out: *mut u8, a: *const u8, b: *const u8, count: usize) {
        // SAFETY: the caller's promise is the callee's.
        unsafe { (self.loops.combine)(self.data, out, a, b, count) }
    }

    /// `acc[i] = acc[i] ∘ x[i]`.
    ///
    /// # Safety
    /// Both are valid for `count` elements of `self.element`, aligned to it, and do not overlap.
    pub unsafe fn fold(&self, acc: *mut u8, x: *const u8, count: usize) {
        // SAFETY: the caller's promise is the callee's.
        unsafe { (self.loops.fold)(self.data, acc, x, count) }
    }

    /// Whether operands may come in any order, but for the rounding of sums and products: of a built-in operator, and of floating
    /// point not one that looks for the least or the greatest, where the order tells which of two zeros or what beside a NaN it is.
    pub(crate) fn in_any_order(&self) -> bool {
        let is_whole = match self.element.kind {
            ElementKind::Scalar(scalar) | ElementKind::Located(scalar) => scalar.is_integer(),
            ElementKind::Opaque => return false,
        };
        self.op.is_some_and(|op| is_whole || !matches!(op, Op::Min | Op::Max | Op::MinLoc | Op::MaxLoc))
    }

    /// What remains after the last combination (the division of an average).
    ///
    /// # Safety
    /// `acc` is valid for `count` elements of `self.element` and aligned to it.
    pub(crate) unsafe fn finish(&self, acc: *mut u8, count: usize, ranks: usize) {
        if let Some(finish) = self.loops.finish {
            // SAFETY: the caller's promise is the callee's.
            unsafe { finish(acc, count, ranks) }
        }
    }

    /// The same kernel without its lifetime.
    ///
    /// # Safety
    /// The closure behind it, if any, must stay alive as long as the result is used.
    pub(crate) unsafe fn forget_lifetime(self) -> Kernel<'static> {
        Kernel { lifetime: PhantomData, ..self }
    }
}

impl<T: Element> sealed::Sealed<T> for Op {
    #[inline]
    fn kernel(&self) -> Result<Kernel<'_>> {
        match loops(*self, ElementType::of::<T>().kind) {
            Some(loops) => Ok(Kernel::builtin(*self, ElementType::of::<T>(), loops)),
            None => Err(undefined::<T>(*self)),
        }
    }
}

#[cold]
fn undefined<T: Element>(op: Op) -> Error {
    let element = ElementType::of::<T>();
    let text = format!("operator {op} is not defined for {element}; use another operator or a closure");
    Error::new("reduce", ErrorKind::UndefinedOp(text))
}

impl<T: Element, F: Fn(T, T) -> T + Send + Sync> sealed::Sealed<T> for F {
    fn kernel(&self) -> Result<Kernel<'_>> {
        let loops = const {
            &Loops {
                combine: |data, out, a, b, n| {
                    // SAFETY: `data` is this closure; the arrays are the caller's promise.
                    unsafe { combine_with(&*data.cast::<F>(), out.cast(), a.cast(), b.cast(), n) }
                },
                fold: |data, acc, x, n| {
                    // SAFETY: as above.
                    unsafe { fold_with(&*data.cast::<F>(), acc.cast(), x.cast(), n) }
                },
                finish: None,
            }
        };
        let data = std::ptr::from_ref(self).cast();
        Ok(Kernel { op: None, element: ElementType::of::<T>(), data, loops, lifetime: PhantomData })
    }
}

/// # Safety
/// As [`Kernel::combine`].
#[inline(always)]
unsafe fn combine_with<T: Pod>(f: impl Fn(T, T) -> T, out: *mut T, a: *const T, b: *const T, n: usize) {
    // SAFETY: the caller promises three valid, aligned arrays, `out` disjoint from both inputs.
    let (out, a, b) = unsafe {
        (std::slice::from_raw_parts_mut(out, n), std::slice::from_raw_parts(a, n), std::slice::from_raw_parts(b, n))
    };
    for ((o, &x), &y) in out.iter_mut().zip(a).zip(b) {
        *o = f(x, y);
    }
}

/// # Safety
/// As [`Kernel::fold`].
#[inline(always)]
unsafe fn fold_with<T: Pod>(f: impl Fn(T, T) -> T, acc: *mut T, x: *const T, n: usize) {
    // SAFETY: the caller promises two valid, aligned, disjoint arrays.
    let (acc, x) = unsafe { (std::slice::from_raw_parts_mut(acc, n), std::slice::from_raw_parts(x, n)) };
    for (a, &x) in acc.iter_mut().zip(x) {
        *a = f(*a, x);
    }
}

/// A built-in operator on one type, as a type, so that each pair compiles to its own vector loop.
trait Builtin<T: Pod> {
    fn apply(a: T, b: T) -> T;

    const LOOPS: &'static Loops = &Loops {
        combine: |_, out, a, b, n| match has_wide_vectors() {
            // SAFETY: the processor has what `wide` asks for; the arrays are the caller's promise.
            true => unsafe { wide::combine::<T, Self>(out.cast(), a.cast(), b.cast(), n) },
            // SAFETY: the arrays are the caller's promise.
            false => unsafe { combine_with(Self::apply, out.cast(), a.cast(), b.cast(), n) },
        },
        fold: |_, acc, x, n| match has_wide_vectors() {
            // SAFETY: as above.
            true => unsafe { wide::fold::<T, Self>(acc.cast(), x.cast(), n) },
            // SAFETY: as above.
            false => unsafe { fold_with(Self::apply, acc.cast(), x.cast(), n) },
        },
        finish: None,
    };
}

/// The loops of an average: those of the sum, divided at the end.
const fn average<T: DivideBy>() -> &'static Loops
where
    Sum: Builtin<T>,
{
    const { &Loops { finish: Some(divide::<T>), ..*<Sum as Builtin<T>>::LOOPS } }
}

/// Whether the loops of [`wide`] run here.
fn has_wide_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The loops of the built-in operators for vectors of 32 bytes: x86-64 programs are compiled for 16. The results are the same.
mod wide {
    use super::{Builtin, Pod, combine_with, fold_with};

    /// # Safety
    /// As [`combine_with`], where [`has_wide_vectors`](super::has_wide_vectors).
    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
    pub(super) unsafe fn combine<T: Pod, O: Builtin<T> + ?Sized>(out: *mut T, a: *const T, b: *const T, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { combine_with(O::apply, out, a, b, n) }
    }

    /// # Safety
    /// As [`fold_with`], where [`has_wide_vectors`](super::has_wide_vectors).
    #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
    pub(super) unsafe fn fold<T: Pod, O: Builtin<T> + ?Sized>(acc: *mut T, x: *const T, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { fold_with(O::apply, acc, x, n) }
    }
}

struct Sum;
struct Product;
struct Min;
struct Max;
struct LogicalAnd;
struct LogicalOr;
struct LogicalXor;
struct BitAnd;
struct BitOr;
struct BitXor;
struct MinLoc;
struct MaxLoc;

macro_rules! apply {
    ($($op:ident for [$($t:ty),*] = |$a:ident, $b:ident| $e:expr;)*) => {$($(
        impl Builtin<$t> for $op {
            #[inline(always)]
            fn apply($a: $t, $b: $t) -> $t { $e }
        }
    )*)*};
}

apply! {
    Sum for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| a.wrapping_add(b);
    Sum for [f16, bf16, f32, f64, Complex<f32>, Complex<f64>] = |a, b| a + b;
    Product for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| a.wrapping_mul(b);
    Product for [f16, bf16, f32, f64, Complex<f32>, Complex<f64>] = |a, b| a * b;
    Min for [i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64] = |a, b| if b < a { b } else { a };
    Max for [i8, i16, i32, i64, u8, u16, u32, u64, f16, bf16, f32, f64] = |a, b| if b > a { b } else { a };
    LogicalAnd for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| (a != 0 && b != 0).into();
    LogicalOr for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| (a != 0 || b != 0).into();
    LogicalXor for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| ((a != 0) != (b != 0)).into();
    BitAnd for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| a & b;
    BitOr for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| a | b;
    BitXor for [i8, i16, i32, i64, u8, u16, u32, u64] = |a, b| a ^ b;
}

impl<T: Pod + PartialOrd> Builtin<Located<T>> for MinLoc {
    #[inline]
    fn apply(a: Located<T>, b: Located<T>) -> Located<T> {
        let take_b = b.value() < a.value() || (b.value() == a.value() && b.index() < a.index());
        if take_b { b } else { a }
    }
}

impl<T: Pod + PartialOrd> Builtin<Located<T>> for MaxLoc {
    #[inline]
    fn apply(a: Located<T>, b: Located<T>) -> Located<T> {
        let take_b = b.value() > a.value() || (b.value() == a.value() && b.index() < a.index());
        if take_b { b } else { a }
    }
}

/// Division of a sum by the number of ranks.
trait DivideBy: Pod {
    fn divide_by(self, ranks: usize) -> Self;
}

macro_rules! divide_by {
    ([$($t:ty),*] = |$x:ident, $n:ident| $e:expr) => {$(
        impl DivideBy for $t {
            #[inline(always)]
            fn divide_by(self, $n: usize) -> Self { let $x = self; $e }
        }
    )*};
}

// Integers divide in 128 bits, so that a rank count beyond the type's range cannot divide by zero.
divide_by!([i8, i16, i32, i64] = |x, n| (i128::from(x) / n as i128) as Self);
divide_by!([u8, u16, u32, u64] = |x, n| (u128::from(x) / n as u128) as Self);
divide_by!([f32] = |x, n| x / n as f32);
divide_by!([f64] = |x, n| x / n as f64);
divide_by!([f16] = |x, n| f16::from_f32(x.to_f32() / n as f32));
divide_by!([bf16] = |x, n| bf16::from_f32(x.to_f32() / n as f32));
divide_by!([Complex<f32>] = |x, n| x / n as f32);
divide_by!([Complex<f64>] = |x, n| x / n as f64);

/// # Safety
/// As [`Kernel::finish`].
unsafe fn divide<T: DivideBy>(acc: *mut u8, count: usize, ranks: usize) {
    // SAFETY: the caller's promise.
    for x in unsafe { std::slice::from_raw_parts_mut(acc.cast::<T>(), count) } {
        *x = x.divide_by(ranks);
    }
}

/// The kernel of a built-in operator on a type, where it is defined.
pub(crate) fn builtin(op: Op, element: ElementType) -> Option<Kernel<'static>> {
    loops(op, element.kind).map(|loops| Kernel::builtin(op, element, loops))
}

/// The loops of a built-in operator on a type, where it is defined.
#[inline(always)]
fn loops(op: Op, kind: ElementKind) -> Option<&'static Loops> {
    static SCALARS: [OfScalar; Scalar::ALL.len()] = table(false);
    static LOCATED: [OfScalar; Scalar::ALL.len()] = table(true);
    match kind {
        ElementKind::Scalar(scalar) => SCALARS[scalar as usize][op as usize],
        ElementKind::Located(scalar) => LOCATED[scalar as usize][op as usize],
        ElementKind::Opaque => None,
    }
}

/// The loops of every operator on one type.
type OfScalar = [Option<&'static Loops>; Op::ALL.len()];

const fn table(located: bool) -> [OfScalar; Scalar::ALL.len()] {
    let mut table = [[None; Op::ALL.len()]; Scalar::ALL.len()];
    let (mut row, mut column) = (0, 0);
    while row < Scalar::ALL.len() {
        while column < Op::ALL.len() {
            table[row][column] = compiled(Op::ALL[column], Scalar::ALL[row], located);
            column += 1;
        }
        (row, column) = (row + 1, 0);
    }
    table
}

const fn compiled(op: Op, scalar: Scalar, located: bool) -> Option<&'static Loops> {
    macro_rules! integers {
        ($t:ty) => {
            match op {
                Op::LogicalAnd => Some(<LogicalAnd as Builtin<$t>>::LOOPS),
                Op::LogicalOr => Some(<LogicalOr as Builtin<$t>>::LOOPS),
                Op::LogicalXor => Some(<LogicalXor as Builtin<$t>>::LOOPS),
                Op::BitAnd => Some(<BitAnd as Builtin<$t>>::LOOPS),
                Op::BitOr => Some(<BitOr as Builtin<$t>>::LOOPS),
                Op::BitXor => Some(<BitXor as Builtin<$t>>::LOOPS),
                _ => reals!($t),
            }
        };
    }
    macro_rules! reals {
        ($t:ty) => {
            match op {
                Op::Min => Some(<Min as Builtin<$t>>::LOOPS),
                Op::Max => Some(<Max as Builtin<$t>>::LOOPS),
                _ => numbers!($t),
            }
        };
    }
    macro_rules! numbers {
        ($t:ty) => {
            match op {
                Op::Sum => Some(<Sum as Builtin<$t>>::LOOPS),
                Op::Product => Some(<Product as Builtin<$t>>::LOOPS),
                Op::Average => Some(average::<$t>()),
                _ => None,
            }
        };
    }
    macro_rules! located {
        ($t:ty) => {
            match op {
                Op::MinLoc => Some(<MinLoc as Builtin<Located<$t>>>::LOOPS),
                Op::MaxLoc => Some(<MaxLoc as Builtin<Located<$t>>>::LOOPS),
                _ => None,
            }
        };
    }
    match located {
        false => match scalar {
            Scalar::I8 => integers!(i8),
            Scalar::I16 => integers!(i16),
            Scalar::I32 => integers!(i32),
            Scalar::I64 => integers!(i64),
            Scalar::U8 => integers!(u8),
            Scalar::U16 => integers!(u16),
            Scalar::U32 => integers!(u32),
            Scalar::U64 => integers!(u64),
            Scalar::F16 => reals!(f16),
            Scalar::Bf16 => reals!(bf16),
            Scalar::F32 => reals!(f32),
            Scalar::F64 => reals!(f64),
            Scalar::Complex32 => numbers!(Complex<f32>),
            Scalar::Complex64 => numbers!(Complex<f64>),
        },
        true => match scalar {
            Scalar::I8 => located!(i8),
            Scalar::I16 => located!(i16),
            Scalar::I32 => located!(i32),
            Scalar::I64 => located!(i64),
            Scalar::U8 => located!(u8),
            Scalar::U16 => located!(u16),
            Scalar::U32 => located!(u32),
            Scalar::U64 => located!(u64),
            Scalar::F16 => located!(f16),
            Scalar::Bf16 => located!(bf16),
            Scalar::F32 => located!(f32),
            Scalar::F64 => located!(f64),
            Scalar::Complex32 | Scalar::Complex64 => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::sealed::Sealed;
    use super::*;

    fn fold<T: Element>(r: impl Sealed<T>, a: &[T], b: &[T]) -> Vec<T> {
        let k = r.kernel().unwrap();
        let mut out = vec![T::zeroed(); a.len()];
        // SAFETY: three arrays of one length, `out` fresh.
        unsafe {
            k.combine(out.as_mut_ptr().cast(), a.as_ptr().cast(), b.as_ptr().cast(), a.len());
            let mut acc = a.to_vec();
            k.fold(acc.as_mut_ptr().cast(), b.as_ptr().cast(), a.len());
            assert!(bytemuck::cast_slice::<T, u8>(&acc) == bytemuck::cast_slice::<T, u8>(&out));
            k.finish(out.as_mut_ptr().cast(), a.len(), 2);
        }
        out
    }

    #[test]
    fn operators_are_listed_in_their_order() {
        assert!(Op::ALL.iter().enumerate().all(|(place, &op)| op as usize == place));
    }

    #[test]
    fn operators_do_what_their_names_say() {
        assert_eq!(fold(Op::Sum, &[1.5f64, 2.0], &[1.0, -2.0]), [2.5, 0.0]);
        assert_eq!(fold(Op::Sum, &[250u8], &[10]), [4]);
        assert_eq!(fold(Op::Average, &[-3i32], &[0]), [-1]);
        assert_eq!(
            fold(Op::Average, &[Complex::new(1.0f32, 3.0)], &[Complex::new(3.0, 1.0)]),
            [Complex::new(2.0, 2.0)]
        );
        assert_eq!(fold(Op::Min, &[3i16, 4], &[4, 3]), [3, 3]);
        assert_eq!(fold(Op::Max, &[f16::ONE], &[f16::ZERO]), [f16::ONE]);
        assert_eq!(fold(Op::LogicalAnd, &[2u32, 0], &[4, 1]), [1, 0]);
        assert_eq!(fold(Op::LogicalXor, &[2u32, 0], &[4, 1]), [0, 1]);
        assert_eq!(fold(Op::BitXor, &[6i64], &[3]), [5]);
        let min = fold(
            Op::MinLoc,
            &[Located::new(2.0f32, 9), Located::new(1.0, 5)],
            &[Located::new(2.0, 1), Located::new(3.0, 0)],
        );
        assert_eq!(min, [Located::new(2.0, 1), Located::new(1.0, 5)]);
        assert_eq!(fold(|a: i32, b: i32| 2 * a - b, &[5], &[1]), [9]);
    }

    #[test]
    fn undefined_pairs_are_errors_that_name_both() {
        let text = |e: Result<Kernel<'_>>| e.err().unwrap().to_string();
        assert!(text(Sealed::<f64>::kernel(&Op::BitAnd)).contains("bit_and is not defined for f64"));
        assert!(text(Sealed::<Complex<f64>>::kernel(&Op::Max)).contains("Complex<f64>"));
        assert!(text(Sealed::<[f64; 2]>::kernel(&Op::Sum)).contains("16-byte element"));
        assert!(text(Sealed::<f64>::kernel(&Op::MinLoc)).contains("min_loc"));
    }
}
