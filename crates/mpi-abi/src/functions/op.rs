//! Reduction operations.

use std::ffi::{c_int, c_void};

use super::{Count, Datatype, LargeUserFunction, Op, UserFunction, functions};

functions! {
    group op, "the MPI standard, section 6.9.5 (user-defined operations)";

    required op_create = "MPI_Op_create"(user_fn: UserFunction, commute: c_int, op: *mut Op);
    optional op_create_c = "MPI_Op_create_c"(user_fn: LargeUserFunction, commute: c_int, op: *mut Op);
    required op_free = "MPI_Op_free"(op: *mut Op);
    required op_commutative = "MPI_Op_commutative"(op: Op, commute: *mut c_int);
    required reduce_local = "MPI_Reduce_local"(
        inbuf: *const c_void, inoutbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op
    );
    optional reduce_local_c = "MPI_Reduce_local_c"(
        inbuf: *const c_void, inoutbuf: *mut c_void, count: Count, datatype: Datatype, op: Op
    );
}
