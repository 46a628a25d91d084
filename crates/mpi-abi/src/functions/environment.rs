//! Start, end, versions, memory.

use std::ffi::{c_char, c_int, c_void};

use super::{Aint, Comm, Info, functions};

functions! {
    group environment, "the MPI standard, chapters 11 and 9 (environment)";

    required init = "MPI_Init"(argc: *mut c_int, argv: *mut *mut *mut c_char);
    required init_thread = "MPI_Init_thread"(
        argc: *mut c_int, argv: *mut *mut *mut c_char, required: c_int, provided: *mut c_int
    );
    required initialized = "MPI_Initialized"(flag: *mut c_int);
    required finalized = "MPI_Finalized"(flag: *mut c_int);
    required finalize = "MPI_Finalize"();
    required query_thread = "MPI_Query_thread"(provided: *mut c_int);
    required is_thread_main = "MPI_Is_thread_main"(flag: *mut c_int);
    required get_version = "MPI_Get_version"(version: *mut c_int, subversion: *mut c_int);
    required get_library_version = "MPI_Get_library_version"(version: *mut c_char, resultlen: *mut c_int);
    optional abi_get_version = "MPI_Abi_get_version"(abi_major: *mut c_int, abi_minor: *mut c_int);
    required get_processor_name = "MPI_Get_processor_name"(name: *mut c_char, resultlen: *mut c_int);
    required abort = "MPI_Abort"(comm: Comm, errorcode: c_int);
    required alloc_mem = "MPI_Alloc_mem"(size: Aint, info: Info, baseptr: *mut c_void);
    required free_mem = "MPI_Free_mem"(base: *mut c_void);
}
