//! Windows and one-sided communication.

use std::ffi::{c_char, c_int, c_void};

use super::{Aint, Comm, Count, Datatype, Group, Info, Op, Request, Win, functions};

functions! {
    group rma, "the MPI standard, chapter 12 (one-sided)";

    required win_create = "MPI_Win_create"(
        base: *mut c_void, size: Aint, disp_unit: c_int, info: Info, comm: Comm, win: *mut Win
    );
    optional win_create_c = "MPI_Win_create_c"(
        base: *mut c_void, size: Aint, disp_unit: Aint, info: Info, comm: Comm, win: *mut Win
    );
    required win_allocate = "MPI_Win_allocate"(
        size: Aint, disp_unit: c_int, info: Info, comm: Comm, baseptr: *mut c_void, win: *mut Win
    );
    optional win_allocate_c = "MPI_Win_allocate_c"(
        size: Aint, disp_unit: Aint, info: Info, comm: Comm, baseptr: *mut c_void, win: *mut Win
    );
    required win_allocate_shared = "MPI_Win_allocate_shared"(
        size: Aint, disp_unit: c_int, info: Info, comm: Comm, baseptr: *mut c_void, win: *mut Win
    );
    optional win_allocate_shared_c = "MPI_Win_allocate_shared_c"(
        size: Aint, disp_unit: Aint, info: Info, comm: Comm, baseptr: *mut c_void, win: *mut Win
    );
    required win_shared_query = "MPI_Win_shared_query"(
        win: Win, rank: c_int, size: *mut Aint, disp_unit: *mut c_int, baseptr: *mut c_void
    );
    optional win_shared_query_c = "MPI_Win_shared_query_c"(
        win: Win, rank: c_int, size: *mut Aint, disp_unit: *mut Aint, baseptr: *mut c_void
    );
    required win_create_dynamic = "MPI_Win_create_dynamic"(info: Info, comm: Comm, win: *mut Win);
    required win_attach = "MPI_Win_attach"(win: Win, base: *mut c_void, size: Aint);
    required win_detach = "MPI_Win_detach"(win: Win, base: *const c_void);
    required win_free = "MPI_Win_free"(win: *mut Win);
    required win_get_group = "MPI_Win_get_group"(win: Win, group: *mut Group);
    required win_set_info = "MPI_Win_set_info"(win: Win, info: Info);
    required win_get_info = "MPI_Win_get_info"(win: Win, info_used: *mut Info);
    required win_set_name = "MPI_Win_set_name"(win: Win, win_name: *const c_char);
    required win_get_name = "MPI_Win_get_name"(win: Win, win_name: *mut c_char, resultlen: *mut c_int);
    required win_create_keyval = "MPI_Win_create_keyval"(
        win_copy_attr_fn: *const c_void, win_delete_attr_fn: *const c_void, win_keyval: *mut c_int,
        extra_state: *mut c_void
    );
    required win_free_keyval = "MPI_Win_free_keyval"(win_keyval: *mut c_int);
    required win_set_attr = "MPI_Win_set_attr"(win: Win, win_keyval: c_int, attribute_val: *mut c_void);
    required win_get_attr = "MPI_Win_get_attr"(
        win: Win, win_keyval: c_int, attribute_val: *mut c_void, flag: *mut c_int
    );
    required win_delete_attr = "MPI_Win_delete_attr"(win: Win, win_keyval: c_int);
    required put = "MPI_Put"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, win: Win
    );
    optional put_c = "MPI_Put_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, win: Win
    );
    required get = "MPI_Get"(
        origin_addr: *mut c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, win: Win
    );
    optional get_c = "MPI_Get_c"(
        origin_addr: *mut c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, win: Win
    );
    required accumulate = "MPI_Accumulate"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, op: Op, win: Win
    );
    optional accumulate_c = "MPI_Accumulate_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, op: Op, win: Win
    );
    required get_accumulate = "MPI_Get_accumulate"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype,
        result_addr: *mut c_void, result_count: c_int, result_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, op: Op, win: Win
    );
    optional get_accumulate_c = "MPI_Get_accumulate_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype,
        result_addr: *mut c_void, result_count: Count, result_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, op: Op, win: Win
    );
    required fetch_and_op = "MPI_Fetch_and_op"(
        origin_addr: *const c_void, result_addr: *mut c_void, datatype: Datatype, target_rank: c_int,
        target_disp: Aint, op: Op, win: Win
    );
    required compare_and_swap = "MPI_Compare_and_swap"(
        origin_addr: *const c_void, compare_addr: *const c_void, result_addr: *mut c_void,
        datatype: Datatype, target_rank: c_int, target_disp: Aint, win: Win
    );
    required rput = "MPI_Rput"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, win: Win, request: *mut Request
    );
    optional rput_c = "MPI_Rput_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, win: Win, request: *mut Request
    );
    required rget = "MPI_Rget"(
        origin_addr: *mut c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, win: Win, request: *mut Request
    );
    optional rget_c = "MPI_Rget_c"(
        origin_addr: *mut c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, win: Win, request: *mut Request
    );
    required raccumulate = "MPI_Raccumulate"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, op: Op, win: Win,
        request: *mut Request
    );
    optional raccumulate_c = "MPI_Raccumulate_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, op: Op, win: Win,
        request: *mut Request
    );
    required rget_accumulate = "MPI_Rget_accumulate"(
        origin_addr: *const c_void, origin_count: c_int, origin_datatype: Datatype,
        result_addr: *mut c_void, result_count: c_int, result_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: c_int, target_datatype: Datatype, op: Op, win: Win,
        request: *mut Request
    );
    optional rget_accumulate_c = "MPI_Rget_accumulate_c"(
        origin_addr: *const c_void, origin_count: Count, origin_datatype: Datatype,
        result_addr: *mut c_void, result_count: Count, result_datatype: Datatype, target_rank: c_int,
        target_disp: Aint, target_count: Count, target_datatype: Datatype, op: Op, win: Win,
        request: *mut Request
    );
    required win_fence = "MPI_Win_fence"(assert: c_int, win: Win);
    required win_post = "MPI_Win_post"(group: Group, assert: c_int, win: Win);
    required win_start = "MPI_Win_start"(group: Group, assert: c_int, win: Win);
    required win_complete = "MPI_Win_complete"(win: Win);
    required win_wait = "MPI_Win_wait"(win: Win);
    required win_test = "MPI_Win_test"(win: Win, flag: *mut c_int);
    required win_lock = "MPI_Win_lock"(lock_type: c_int, rank: c_int, assert: c_int, win: Win);
    required win_unlock = "MPI_Win_unlock"(rank: c_int, win: Win);
    required win_lock_all = "MPI_Win_lock_all"(assert: c_int, win: Win);
    required win_unlock_all = "MPI_Win_unlock_all"(win: Win);
    required win_flush = "MPI_Win_flush"(rank: c_int, win: Win);
    required win_flush_local = "MPI_Win_flush_local"(rank: c_int, win: Win);
    required win_flush_all = "MPI_Win_flush_all"(win: Win);
    required win_flush_local_all = "MPI_Win_flush_local_all"(win: Win);
    required win_sync = "MPI_Win_sync"(win: Win);
}
