//! Persistent and partitioned requests.

use std::ffi::{c_int, c_void};

use super::{Aint, Comm, Count, Datatype, HandlePtr, Info, Op, Request, functions};

functions! {
    group persistent, "the MPI standard, sections 3.9, 4.2 and 6.13";

    required send_init = "MPI_Send_init"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional send_init_c = "MPI_Send_init_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required ssend_init = "MPI_Ssend_init"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional ssend_init_c = "MPI_Ssend_init_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required bsend_init = "MPI_Bsend_init"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional bsend_init_c = "MPI_Bsend_init_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required rsend_init = "MPI_Rsend_init"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional rsend_init_c = "MPI_Rsend_init_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required recv_init = "MPI_Recv_init"(
        buf: *mut c_void, count: c_int, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional recv_init_c = "MPI_Recv_init_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional psend_init = "MPI_Psend_init"(
        buf: *const c_void, partitions: c_int, count: Count, datatype: Datatype, dest: c_int, tag: c_int,
        comm: Comm, info: Info, request: *mut Request
    );
    optional precv_init = "MPI_Precv_init"(
        buf: *mut c_void, partitions: c_int, count: Count, datatype: Datatype, dest: c_int, tag: c_int,
        comm: Comm, info: Info, request: *mut Request
    );
    optional pready = "MPI_Pready"(partition: c_int, request: Request);
    optional pready_range = "MPI_Pready_range"(partition_low: c_int, partition_high: c_int, request: Request);
    optional pready_list = "MPI_Pready_list"(
        length: c_int, array_of_partitions: *const c_int, request: Request
    );
    optional parrived = "MPI_Parrived"(request: Request, partition: c_int, flag: *mut c_int);
    optional barrier_init = "MPI_Barrier_init" | "MPIX_Barrier_init"(
        comm: Comm, info: Info, request: *mut Request
    );
    optional bcast_init = "MPI_Bcast_init" | "MPIX_Bcast_init"(
        buffer: *mut c_void, count: c_int, datatype: Datatype, root: c_int, comm: Comm, info: Info,
        request: *mut Request
    );
    optional bcast_init_c = "MPI_Bcast_init_c"(
        buffer: *mut c_void, count: Count, datatype: Datatype, root: c_int, comm: Comm, info: Info,
        request: *mut Request
    );
    optional gather_init = "MPI_Gather_init" | "MPIX_Gather_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional gather_init_c = "MPI_Gather_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional gatherv_init = "MPI_Gatherv_init" | "MPIX_Gatherv_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, root: c_int, comm: Comm,
        info: Info, request: *mut Request
    );
    optional gatherv_init_c = "MPI_Gatherv_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, root: c_int, comm: Comm,
        info: Info, request: *mut Request
    );
    optional scatter_init = "MPI_Scatter_init" | "MPIX_Scatter_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional scatter_init_c = "MPI_Scatter_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional scatterv_init = "MPI_Scatterv_init" | "MPIX_Scatterv_init"(
        sendbuf: *const c_void, sendcounts: *const c_int, displs: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: c_int, recvtype: Datatype, root: c_int, comm: Comm, info: Info,
        request: *mut Request
    );
    optional scatterv_init_c = "MPI_Scatterv_init_c"(
        sendbuf: *const c_void, sendcounts: *const Count, displs: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcount: Count, recvtype: Datatype, root: c_int, comm: Comm, info: Info,
        request: *mut Request
    );
    optional allgather_init = "MPI_Allgather_init" | "MPIX_Allgather_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional allgather_init_c = "MPI_Allgather_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional allgatherv_init = "MPI_Allgatherv_init" | "MPIX_Allgatherv_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm, info: Info,
        request: *mut Request
    );
    optional allgatherv_init_c = "MPI_Allgatherv_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm, info: Info,
        request: *mut Request
    );
    optional alltoall_init = "MPI_Alltoall_init" | "MPIX_Alltoall_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional alltoall_init_c = "MPI_Alltoall_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional alltoallv_init = "MPI_Alltoallv_init" | "MPIX_Alltoallv_init"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm, info: Info, request: *mut Request
    );
    optional alltoallv_init_c = "MPI_Alltoallv_init_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm, info: Info, request: *mut Request
    );
    optional alltoallw_init = "MPI_Alltoallw_init" | "MPIX_Alltoallw_init"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const c_int, recvtypes: HandlePtr<Datatype>, comm: Comm, info: Info,
        request: *mut Request
    );
    optional alltoallw_init_c = "MPI_Alltoallw_init_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, info: Info,
        request: *mut Request
    );
    optional reduce_init = "MPI_Reduce_init" | "MPIX_Reduce_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op,
        root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional reduce_init_c = "MPI_Reduce_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op,
        root: c_int, comm: Comm, info: Info, request: *mut Request
    );
    optional allreduce_init = "MPI_Allreduce_init" | "MPIX_Allreduce_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
    optional allreduce_init_c = "MPI_Allreduce_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
    optional reduce_scatter_block_init = "MPI_Reduce_scatter_block_init" | "MPIX_Reduce_scatter_block_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: c_int, datatype: Datatype, op: Op,
        comm: Comm, info: Info, request: *mut Request
    );
    optional reduce_scatter_block_init_c = "MPI_Reduce_scatter_block_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcount: Count, datatype: Datatype, op: Op,
        comm: Comm, info: Info, request: *mut Request
    );
    optional reduce_scatter_init = "MPI_Reduce_scatter_init" | "MPIX_Reduce_scatter_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const c_int, datatype: Datatype, op: Op,
        comm: Comm, info: Info, request: *mut Request
    );
    optional reduce_scatter_init_c = "MPI_Reduce_scatter_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, recvcounts: *const Count, datatype: Datatype, op: Op,
        comm: Comm, info: Info, request: *mut Request
    );
    optional scan_init = "MPI_Scan_init" | "MPIX_Scan_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
    optional scan_init_c = "MPI_Scan_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
    optional exscan_init = "MPI_Exscan_init" | "MPIX_Exscan_init"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: c_int, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
    optional exscan_init_c = "MPI_Exscan_init_c"(
        sendbuf: *const c_void, recvbuf: *mut c_void, count: Count, datatype: Datatype, op: Op, comm: Comm,
        info: Info, request: *mut Request
    );
}
