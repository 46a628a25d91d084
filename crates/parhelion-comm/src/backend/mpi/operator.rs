//! Which (operator, type) pairs MPI combines itself, and as what (MPI section 6.9.2).
//!
//! Sums and the like of 16-bit floats are left to us: the libraries that have such types name and support them in
//! different ways. So are located values, whose layout here is no pair type of MPI's, and sums of 8- and 16-bit integers
//! under Open MPI, whose vector code saturates where the rest of it wraps (seen in 4.1.8 and 5.0.11, `op/avx`).

use mpi_abi::{Datatype, Op as RawOp};

use super::runtime::Runtime;

use crate::element::{ElementKind, Scalar};
use crate::op::{Kernel, Op};

/// The library's type and operator, where it has both.
#[inline]
pub(super) fn predefined(runtime: &Runtime, kernel: &Kernel<'_>) -> Option<(Datatype, RawOp)> {
    let c = runtime.library.constants();
    let ElementKind::Scalar(scalar) = kernel.element.kind else { return None };
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
    let sums = matches!(kernel.op?, Op::Sum | Op::Average);
    if runtime.open_mpi && sums && matches!(scalar, Scalar::I8 | Scalar::I16 | Scalar::U8 | Scalar::U16) {
        return None;
    }
    // A kernel exists only for pairs that are defined, and each of these is MPI's for the types it is ours for.
    let op = match kernel.op? {
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
