//! Blocking collectives.

use std::ffi::{c_int, c_void};

use super::{Aint, Comm, Count, Datatype, HandlePtr, Op, functions};

functions! {
    group collective, "the MPI standard, chapter 6 (collectives)";

    required barrier = "MPI_Barrier"(comm: Comm);
    required bcast = "MPI_Bcast"(
        buffer: *mut c_void, count: c_int, datatype: Datatype, root: c_int, comm: Comm
    );
    optional bcast_c = "MPI_Bcast_c"(
        buffer: *mut c_void, count: Count, datatype: Datatype, root: c_int, comm: Comm
    );
    required gather = "MPI_Gather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm
    );
    optional gather_c = "MPI_Gather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm
    );
    required gatherv = "MPI_Gatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, root: c_int, comm: Comm
    );
    optional gatherv_c = "MPI_Gatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, root: c_int, comm: Comm
    );
    required scatter = "MPI_Scatter"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm
    );
    optional scatter_c = "MPI_Scatter_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm
    );
    required scatterv = "MPI_Scatterv"(
        sendbuf: *const c_void, sendcounts: *const c_int, displs: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm
    );
    optional scatterv_c = "MPI_Scatterv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, displs: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm
    );
    required allgather = "MPI_Allgather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm
    );
    optional allgather_c = "MPI_Allgather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm
    );
    required allgatherv = "MPI_Allgatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm
    );
    optional allgatherv_c = "MPI_Allgatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm
    );
    required alltoall = "MPI_Alltoall"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm
    );
    optional alltoall_c = "MPI_Alltoall_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm
    );
    required alltoallv = "MPI_Alltoallv"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm
    );
    optional alltoallv_c = "MPI_Alltoallv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm
    );
    required alltoallw = "MPI_Alltoallw"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const c_int, recvtypes: HandlePtr<Datatype>, comm: Comm
    );
    optional alltoallw_c = "MPI_Alltoallw_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm
    );
    required reduce = "MPI_Reduce"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op,
        root: c_int, comm: Comm
    );
    optional reduce_c = "MPI_Reduce_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op,
        root: c_int, comm: Comm
    );
    required allreduce = "MPI_Allreduce"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm
    );
    optional allreduce_c = "MPI_Allreduce_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm
    );
    required reduce_scatter_block = "MPI_Reduce_scatter_block"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: c_int, datatype: Datatype, op: Op,
        comm: Comm
    );
    optional reduce_scatter_block_c = "MPI_Reduce_scatter_block_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: Count, datatype: Datatype, op: Op,
        comm: Comm
    );
    required reduce_scatter = "MPI_Reduce_scatter"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const c_int, datatype: Datatype, op: Op,
        comm: Comm
    );
    optional reduce_scatter_c = "MPI_Reduce_scatter_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const Count, datatype: Datatype, op: Op,
        comm: Comm
    );
    required scan = "MPI_Scan"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm
    );
    optional scan_c = "MPI_Scan_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm
    );
    required exscan = "MPI_Exscan"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm
    );
    optional exscan_c = "MPI_Exscan_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm
    );
}
