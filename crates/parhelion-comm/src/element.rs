//! Elements: the plain-data values that messages are made of.
//!
//! Every [`bytemuck::Pod`] type is an [`Element`]: the integers and floats, `f16`, `bf16`, `Complex`, arrays of them, and
//! any `#[repr(C)]` struct that derives `Pod`. Types the built-in operators know carry a [`Scalar`]; the others travel as
//! bytes and reduce with closures.

use std::any::TypeId;
use std::fmt;

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use num_complex::Complex;

/// A plain-data value that can be sent: any [`bytemuck::Pod`] type.
pub trait Element: Pod + Send + Sync {}
impl<T: Pod + Send + Sync> Element for T {}

/// The number types that built-in operators know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the names of the types")]
pub enum Scalar {
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    Bf16,
    F32,
    F64,
    Complex32,
    Complex64,
}

/// How the operators see an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementKind {
    /// A number.
    Scalar(Scalar),
    /// A [`Located`] number.
    Located(Scalar),
    /// Plain bytes: moved, compared with nothing, reduced by closures only.
    Opaque,
}

/// The run-time description of an element type: its kind, its size in bytes, its alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElementType {
    /// How the operators see it.
    pub kind: ElementKind,
    /// Bytes in one element.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
}

impl ElementType {
    /// The description of `T`. `usize` and `isize` are the integers of their width.
    #[inline]
    pub fn of<T: Element>() -> Self {
        ElementType { kind: kind_of::<T>(), size: size_of::<T>(), align: align_of::<T>() }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ElementKind::Scalar(s) => write!(f, "{}", s.name()),
            ElementKind::Located(s) => write!(f, "Located<{}>", s.name()),
            ElementKind::Opaque => write!(f, "{}-byte element", self.size),
        }
    }
}

impl Scalar {
    /// Every number type, in the order of their declaration.
    pub const ALL: [Scalar; 14] = {
        use Scalar::*;
        [I8, I16, I32, I64, U8, U16, U32, U64, F16, Bf16, F32, F64, Complex32, Complex64]
    };

    /// Whether it is a whole number.
    pub(crate) fn is_integer(self) -> bool {
        use Scalar::*;
        matches!(self, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
    }

    /// The Rust name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::F16 => "f16",
            Scalar::Bf16 => "bf16",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
            Scalar::Complex32 => "Complex<f32>",
            Scalar::Complex64 => "Complex<f64>",
        }
    }
}

#[inline]
fn kind_of<T: 'static>() -> ElementKind {
    let id = TypeId::of::<T>();
    // Compared at compile time after monomorphisation.
    macro_rules! table {
        ($($t:ty => $s:ident),* $(,)?) => {
            $(
                if id == TypeId::of::<$t>() { return ElementKind::Scalar(Scalar::$s); }
                if id == TypeId::of::<Located<$t>>() { return ElementKind::Located(Scalar::$s); }
            )*
        };
    }
    table! {
        f64 => F64, f32 => F32, i32 => I32, i64 => I64, u32 => U32, u64 => U64, u8 => U8, i8 => I8, i16 => I16,
        u16 => U16, f16 => F16, bf16 => Bf16, Complex<f32> => Complex32, Complex<f64> => Complex64,
    }
    if id == TypeId::of::<usize>() {
        return ElementKind::Scalar(if size_of::<usize>() == 8 { Scalar::U64 } else { Scalar::U32 });
    }
    if id == TypeId::of::<isize>() {
        return ElementKind::Scalar(if size_of::<isize>() == 8 { Scalar::I64 } else { Scalar::I32 });
    }
    ElementKind::Opaque
}

/// A value and where it was found: the element of [`Op::MinLoc`](crate::Op::MinLoc) and
/// [`Op::MaxLoc`](crate::Op::MaxLoc).
///
/// Packed, so that it has no padding and is plain data for every `T`; read it through the methods.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Located<T> {
    value: T,
    index: u64,
}

impl<T: Copy> Located<T> {
    /// `value`, found at `index` (a rank, a global index: the caller's choice).
    pub fn new(value: T, index: u64) -> Self {
        Located { value, index }
    }

    /// The value.
    #[inline]
    pub fn value(self) -> T {
        self.value
    }

    /// Where it was found.
    #[inline]
    pub fn index(self) -> u64 {
        self.index
    }
}

// SAFETY: packed, so there is no padding, and both fields are Zeroable.
unsafe impl<T: Zeroable> Zeroable for Located<T> {}
// SAFETY: packed (no padding), every field Pod, Copy and 'static.
unsafe impl<T: Pod> Pod for Located<T> {}

impl<T: Copy + fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.value(), self.index())
    }
}

impl<T: Copy + PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value() && self.index() == other.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_types_are_listed_in_their_order() {
        assert!(Scalar::ALL.iter().enumerate().all(|(place, &scalar)| scalar as usize == place));
    }

    #[test]
    fn types_are_recognised() {
        assert_eq!(ElementType::of::<f64>().kind, ElementKind::Scalar(Scalar::F64));
        assert_eq!(ElementType::of::<usize>().kind, ElementKind::Scalar(Scalar::U64));
        assert_eq!(ElementType::of::<Complex<f32>>().size, 8);
        assert_eq!(ElementType::of::<[f64; 3]>().kind, ElementKind::Opaque);
        let located = ElementType::of::<Located<f32>>();
        assert_eq!((located.kind, located.size), (ElementKind::Located(Scalar::F32), 12));
    }
}
