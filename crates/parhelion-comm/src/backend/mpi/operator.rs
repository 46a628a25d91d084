//! Which (operator, type) pairs MPI combines itself, and as what (MPI section 6.9.2).
//!
//! Sums and the like of 16-bit floats are left to us: the libraries that have such types name and support them in
//! different ways. So are located values, whose layout here is no pair type of MPI's, and sums of 8- and 16-bit integers
//! under Open MPI, whose vector code saturates where the rest of it wraps (seen in 4.1.8 and 5.0.11, `op/avx`).

use mpi_abi::{Datatype, Library, Op as RawOp};

use super::runtime::Runtime;

use crate::element::{ElementKind, Scalar};
use crate::op::{Kernel, Op};

/// The library's type and operator for every pair of ours, where it has both: a small reduction is counted in nanoseconds.
pub(super) struct Predefined([[Option<(Datatype, RawOp)>; Op::ALL.len()]; Scalar::ALL.len()]);

impl Predefined {
    pub(super) fn of(library: &Library, open_mpi: bool) -> Self {
        Predefined(Scalar::ALL.map(|scalar| Op::ALL.map(|op| pair(library, open_mpi, scalar, op))))
    }
}

/// The library's type and operator, where it has both.
#[inline]
pub(super) fn predefined(runtime: &Runtime, kernel: &Kernel<'_>) -> Option<(Datatype, RawOp)> {
    let ElementKind::Scalar(scalar) = kernel.element.kind else { return None };
    runtime.predefined.0[scalar as usize][kernel.op? as usize]
}

fn pair(library: &Library, open_mpi: bool, scalar: Scalar, op: Op) -> Option<(Datatype, RawOp)> {
    let c = library.constants();
    let datatype = match scalar {
        Scalar::I8 => c.int8_t,
        Scalar::I16 => c.int16_t,
        Scalar::I32 => c.int32_t,
        Scalar::I64 => c.int64_t,
        Scalar::U8 => c.uint8_t,
        Scalar::U16 => c.uint16_t,
        Scalar::U32 => c.uint32_t,
        Scalar::U64 => c.uint64_t,
        Scalar::F32 => c.float,
        Scalar::F64 => c.double,
        Scalar::Complex32 => c.c_float_complex,
        Scalar::Complex64 => c.c_double_complex,
        Scalar::F16 | Scalar::Bf16 => return None,
    };
    let sums = matches!(op, Op::Sum | Op::Average);
    if open_mpi && sums && matches!(scalar, Scalar::I8 | Scalar::I16 | Scalar::U8 | Scalar::U16) {
        return None;
    }
    // A kernel exists only for pairs that are defined, and each of these is MPI's for the types it is ours for.
    let op = match op {
        // An average is a sum, divided afterwards.
        Op::Sum | Op::Average => c.sum,
        Op::Product => c.prod,
        Op::Min => c.min,
        Op::Max => c.max,
        Op::LogicalAnd => c.land,
        Op::LogicalOr => c.lor,
        Op::LogicalXor => c.lxor,
        Op::BitAnd => c.band,
        Op::BitOr => c.bor,
        Op::BitXor => c.bxor,
        Op::MinLoc | Op::MaxLoc => return None,
    };
    Some((datatype, op))
}
