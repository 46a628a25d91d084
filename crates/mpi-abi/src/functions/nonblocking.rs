//! Nonblocking collectives.

use std::ffi::{c_int, c_void};

use super::{Aint, Comm, Count, Datatype, HandlePtr, Op, Request, functions};

functions! {
    group nonblocking, "the MPI standard, section 6.12 (nonblocking collectives)";

    required ibarrier = "MPI_Ibarrier"(comm: Comm, request: *mut Request);
    required ibcast = "MPI_Ibcast"(
        buffer: *mut c_void, count: c_int, datatype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    optional ibcast_c = "MPI_Ibcast_c"(
        buffer: *mut c_void, count: Count, datatype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    required igather = "MPI_Igather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm, request: *mut Request
    );
    optional igather_c = "MPI_Igather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm, request: *mut Request
    );
    required igatherv = "MPI_Igatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    optional igatherv_c = "MPI_Igatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    required iscatter = "MPI_Iscatter"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm, request: *mut Request
    );
    optional iscatter_c = "MPI_Iscatter_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm, request: *mut Request
    );
    required iscatterv = "MPI_Iscatterv"(
        sendbuf: *const c_void, sendcounts: *const c_int, displs: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    optional iscatterv_c = "MPI_Iscatterv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, displs: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm,
        request: *mut Request
    );
    required iallgather = "MPI_Iallgather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    optional iallgather_c = "MPI_Iallgather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    required iallgatherv = "MPI_Iallgatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm,
        request: *mut Request
    );
    optional iallgatherv_c = "MPI_Iallgatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm,
        request: *mut Request
    );
    required ialltoall = "MPI_Ialltoall"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    optional ialltoall_c = "MPI_Ialltoall_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    required ialltoallv = "MPI_Ialltoallv"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm, request: *mut Request
    );
    optional ialltoallv_c = "MPI_Ialltoallv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm, request: *mut Request
    );
    required ialltoallw = "MPI_Ialltoallw"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const c_int, recvtypes: HandlePtr<Datatype>, comm: Comm, request: *mut Request
    );
    optional ialltoallw_c = "MPI_Ialltoallw_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, request: *mut Request
    );
    required ireduce = "MPI_Ireduce"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op,
        root: c_int, comm: Comm, request: *mut Request
    );
    optional ireduce_c = "MPI_Ireduce_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op,
        root: c_int, comm: Comm, request: *mut Request
    );
    required iallreduce = "MPI_Iallreduce"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
    optional iallreduce_c = "MPI_Iallreduce_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
    required ireduce_scatter_block = "MPI_Ireduce_scatter_block"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: c_int, datatype: Datatype, op: Op,
        comm: Comm, request: *mut Request
    );
    optional ireduce_scatter_block_c = "MPI_Ireduce_scatter_block_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: Count, datatype: Datatype, op: Op,
        comm: Comm, request: *mut Request
    );
    required ireduce_scatter = "MPI_Ireduce_scatter"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const c_int, datatype: Datatype, op: Op,
        comm: Comm, request: *mut Request
    );
    optional ireduce_scatter_c = "MPI_Ireduce_scatter_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const Count, datatype: Datatype, op: Op,
        comm: Comm, request: *mut Request
    );
    required iscan = "MPI_Iscan"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
    optional iscan_c = "MPI_Iscan_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
    required iexscan = "MPI_Iexscan"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
    optional iexscan_c = "MPI_Iexscan_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        request: *mut Request
    );
}
