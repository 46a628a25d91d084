//! Error codes and error handlers.

use std::ffi::{c_char, c_int};

use super::{Comm, Errhandler, Win, functions};

functions! {
    group error, "the MPI standard, section 9.3 (error handling)";

    required error_class = "MPI_Error_class"(errorcode: c_int, errorclass: *mut c_int);
    required error_string = "MPI_Error_string"(errorcode: c_int, string: *mut c_char, resultlen: *mut c_int);
    required add_error_class = "MPI_Add_error_class"(errorclass: *mut c_int);
    required add_error_code = "MPI_Add_error_code"(errorclass: c_int, errorcode: *mut c_int);
    required add_error_string = "MPI_Add_error_string"(errorcode: c_int, string: *const c_char);
    required comm_set_errhandler = "MPI_Comm_set_errhandler"(comm: Comm, errhandler: Errhandler);
    required comm_get_errhandler = "MPI_Comm_get_errhandler"(comm: Comm, errhandler: *mut Errhandler);
    required comm_call_errhandler = "MPI_Comm_call_errhandler"(comm: Comm, errorcode: c_int);
    required win_set_errhandler = "MPI_Win_set_errhandler"(win: Win, errhandler: Errhandler);
    required win_get_errhandler = "MPI_Win_get_errhandler"(win: Win, errhandler: *mut Errhandler);
    required win_call_errhandler = "MPI_Win_call_errhandler"(win: Win, errorcode: c_int);
    required errhandler_free = "MPI_Errhandler_free"(errhandler: *mut Errhandler);
}
