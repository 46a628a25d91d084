//! Communicators, groups, attributes, sessions.

use std::ffi::{c_char, c_int, c_void};

use super::{Comm, Errhandler, Group, HandlePtr, Info, Request, Session, functions};

functions! {
    group comm, "the MPI standard, chapter 7 (groups, contexts, communicators)";

    required comm_rank = "MPI_Comm_rank"(comm: Comm, rank: *mut c_int);
    required comm_size = "MPI_Comm_size"(comm: Comm, size: *mut c_int);
    required comm_compare = "MPI_Comm_compare"(comm1: Comm, comm2: Comm, result: *mut c_int);
    required comm_dup = "MPI_Comm_dup"(comm: Comm, newcomm: *mut Comm);
    required comm_dup_with_info = "MPI_Comm_dup_with_info"(comm: Comm, info: Info, newcomm: *mut Comm);
    required comm_idup = "MPI_Comm_idup"(comm: Comm, newcomm: HandlePtr<Comm>, request: *mut Request);
    optional comm_idup_with_info = "MPI_Comm_idup_with_info"(
        comm: Comm, info: Info, newcomm: HandlePtr<Comm>, request: *mut Request
    );
    required comm_create = "MPI_Comm_create"(comm: Comm, group: Group, newcomm: *mut Comm);
    required comm_create_group = "MPI_Comm_create_group"(
        comm: Comm, group: Group, tag: c_int, newcomm: *mut Comm
    );
    required comm_split = "MPI_Comm_split"(comm: Comm, color: c_int, key: c_int, newcomm: *mut Comm);
    required comm_split_type = "MPI_Comm_split_type"(
        comm: Comm, split_type: c_int, key: c_int, info: Info, newcomm: *mut Comm
    );
    required comm_free = "MPI_Comm_free"(comm: *mut Comm);
    required comm_disconnect = "MPI_Comm_disconnect"(comm: *mut Comm);
    required comm_group = "MPI_Comm_group"(comm: Comm, group: *mut Group);
    required comm_test_inter = "MPI_Comm_test_inter"(comm: Comm, flag: *mut c_int);
    required comm_remote_size = "MPI_Comm_remote_size"(comm: Comm, size: *mut c_int);
    required comm_remote_group = "MPI_Comm_remote_group"(comm: Comm, group: *mut Group);
    required intercomm_create = "MPI_Intercomm_create"(
        local_comm: Comm, local_leader: c_int, peer_comm: Comm, remote_leader: c_int, tag: c_int,
        newintercomm: *mut Comm
    );
    required intercomm_merge = "MPI_Intercomm_merge"(intercomm: Comm, high: c_int, newintracomm: *mut Comm);
    required comm_set_name = "MPI_Comm_set_name"(comm: Comm, comm_name: *const c_char);
    required comm_get_name = "MPI_Comm_get_name"(comm: Comm, comm_name: *mut c_char, resultlen: *mut c_int);
    required comm_set_info = "MPI_Comm_set_info"(comm: Comm, info: Info);
    required comm_get_info = "MPI_Comm_get_info"(comm: Comm, info_used: *mut Info);
    required comm_create_keyval = "MPI_Comm_create_keyval"(
        comm_copy_attr_fn: *const c_void, comm_delete_attr_fn: *const c_void, comm_keyval: *mut c_int,
        extra_state: *mut c_void
    );
    required comm_free_keyval = "MPI_Comm_free_keyval"(comm_keyval: *mut c_int);
    required comm_set_attr = "MPI_Comm_set_attr"(comm: Comm, comm_keyval: c_int, attribute_val: *mut c_void);
    required comm_get_attr = "MPI_Comm_get_attr"(
        comm: Comm, comm_keyval: c_int, attribute_val: *mut c_void, flag: *mut c_int
    );
    required comm_delete_attr = "MPI_Comm_delete_attr"(comm: Comm, comm_keyval: c_int);
    required group_size = "MPI_Group_size"(group: Group, size: *mut c_int);
    required group_rank = "MPI_Group_rank"(group: Group, rank: *mut c_int);
    required group_translate_ranks = "MPI_Group_translate_ranks"(
        group1: Group, n: c_int, ranks1: *const c_int, group2: Group, ranks2: *mut c_int
    );
    required group_compare = "MPI_Group_compare"(group1: Group, group2: Group, result: *mut c_int);
    required group_union = "MPI_Group_union"(group1: Group, group2: Group, newgroup: *mut Group);
    required group_intersection = "MPI_Group_intersection"(
        group1: Group, group2: Group, newgroup: *mut Group
    );
    required group_difference = "MPI_Group_difference"(group1: Group, group2: Group, newgroup: *mut Group);
    required group_incl = "MPI_Group_incl"(group: Group, n: c_int, ranks: *const c_int, newgroup: *mut Group);
    required group_excl = "MPI_Group_excl"(group: Group, n: c_int, ranks: *const c_int, newgroup: *mut Group);
    required group_range_incl = "MPI_Group_range_incl"(
        group: Group, n: c_int, ranges: *mut [c_int; 3], newgroup: *mut Group
    );
    required group_range_excl = "MPI_Group_range_excl"(
        group: Group, n: c_int, ranges: *mut [c_int; 3], newgroup: *mut Group
    );
    required group_free = "MPI_Group_free"(group: *mut Group);
    optional session_init = "MPI_Session_init"(info: Info, errhandler: Errhandler, session: *mut Session);
    optional session_finalize = "MPI_Session_finalize"(session: *mut Session);
    optional session_get_num_psets = "MPI_Session_get_num_psets"(
        session: Session, info: Info, npset_names: *mut c_int
    );
    optional session_get_nth_pset = "MPI_Session_get_nth_pset"(
        session: Session, info: Info, n: c_int, pset_len: *mut c_int, pset_name: *mut c_char
    );
    optional group_from_session_pset = "MPI_Group_from_session_pset"(
        session: Session, pset_name: *const c_char, newgroup: *mut Group
    );
    optional comm_create_from_group = "MPI_Comm_create_from_group"(
        group: Group, stringtag: *const c_char, info: Info, errhandler: Errhandler, newcomm: *mut Comm
    );
    optional comm_revoke = "MPI_Comm_revoke" | "MPIX_Comm_revoke"(comm: Comm);
    optional comm_shrink = "MPI_Comm_shrink" | "MPIX_Comm_shrink"(comm: Comm, newcomm: *mut Comm);
    optional comm_agree = "MPI_Comm_agree" | "MPIX_Comm_agree"(comm: Comm, flag: *mut c_int);
}
