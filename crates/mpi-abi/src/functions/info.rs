//! Info objects: string keys and values.

use std::ffi::{c_char, c_int};

use super::{Info, functions};

functions! {
    group info, "the MPI standard, chapter 10 (the info object)";

    required info_create = "MPI_Info_create"(info: *mut Info);
    required info_dup = "MPI_Info_dup"(info: Info, newinfo: *mut Info);
    required info_free = "MPI_Info_free"(info: *mut Info);
    required info_set = "MPI_Info_set"(info: Info, key: *const c_char, value: *const c_char);
    required info_get = "MPI_Info_get"(
        info: Info, key: *const c_char, valuelen: c_int, value: *mut c_char, flag: *mut c_int
    );
    optional info_get_string = "MPI_Info_get_string"(
        info: Info, key: *const c_char, buflen: *mut c_int, value: *mut c_char, flag: *mut c_int
    );
    required info_delete = "MPI_Info_delete"(info: Info, key: *const c_char);
    required info_get_nkeys = "MPI_Info_get_nkeys"(info: Info, nkeys: *mut c_int);
    required info_get_nthkey = "MPI_Info_get_nthkey"(info: Info, n: c_int, key: *mut c_char);
    required info_get_valuelen = "MPI_Info_get_valuelen"(
        info: Info, key: *const c_char, valuelen: *mut c_int, flag: *mut c_int
    );
}
