//! Neighbourhood collectives: blocking, nonblocking, persistent.

use std::ffi::{c_int, c_void};

use super::{Aint, Comm, Count, Datatype, HandlePtr, Info, Request, functions};

functions! {
    group neighbor, "the MPI standard, sections 8.6 to 8.8";

    required neighbor_allgather = "MPI_Neighbor_allgather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm
    );
    optional neighbor_allgather_c = "MPI_Neighbor_allgather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm
    );
    required neighbor_allgatherv = "MPI_Neighbor_allgatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm
    );
    optional neighbor_allgatherv_c = "MPI_Neighbor_allgatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm
    );
    required neighbor_alltoall = "MPI_Neighbor_alltoall"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm
    );
    optional neighbor_alltoall_c = "MPI_Neighbor_alltoall_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm
    );
    required neighbor_alltoallv = "MPI_Neighbor_alltoallv"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm
    );
    optional neighbor_alltoallv_c = "MPI_Neighbor_alltoallv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm
    );
    required neighbor_alltoallw = "MPI_Neighbor_alltoallw"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm
    );
    optional neighbor_alltoallw_c = "MPI_Neighbor_alltoallw_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm
    );
    required ineighbor_allgather = "MPI_Ineighbor_allgather"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    optional ineighbor_allgather_c = "MPI_Ineighbor_allgather_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    required ineighbor_allgatherv = "MPI_Ineighbor_allgatherv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm,
        request: *mut Request
    );
    optional ineighbor_allgatherv_c = "MPI_Ineighbor_allgatherv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm,
        request: *mut Request
    );
    required ineighbor_alltoall = "MPI_Ineighbor_alltoall"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    optional ineighbor_alltoall_c = "MPI_Ineighbor_alltoall_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, request: *mut Request
    );
    required ineighbor_alltoallv = "MPI_Ineighbor_alltoallv"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm, request: *mut Request
    );
    optional ineighbor_alltoallv_c = "MPI_Ineighbor_alltoallv_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm, request: *mut Request
    );
    required ineighbor_alltoallw = "MPI_Ineighbor_alltoallw"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, request: *mut Request
    );
    optional ineighbor_alltoallw_c = "MPI_Ineighbor_alltoallw_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, request: *mut Request
    );
    optional neighbor_allgather_init = "MPI_Neighbor_allgather_init" | "MPIX_Neighbor_allgather_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_allgather_init_c = "MPI_Neighbor_allgather_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_allgatherv_init = "MPI_Neighbor_allgatherv_init" | "MPIX_Neighbor_allgatherv_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const c_int, displs: *const c_int, recvtype: Datatype, comm: Comm, info: Info,
        request: *mut Request
    );
    optional neighbor_allgatherv_init_c = "MPI_Neighbor_allgatherv_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcounts: *const Count, displs: *const Aint, recvtype: Datatype, comm: Comm, info: Info,
        request: *mut Request
    );
    optional neighbor_alltoall_init = "MPI_Neighbor_alltoall_init" | "MPIX_Neighbor_alltoall_init"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: c_int, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_alltoall_init_c = "MPI_Neighbor_alltoall_init_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, recvbuf: *mut c_void,
        recvcount: Count, recvtype: Datatype, comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_alltoallv_init = "MPI_Neighbor_alltoallv_init" | "MPIX_Neighbor_alltoallv_init"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const c_int, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const c_int, rdispls: *const c_int, recvtype: Datatype,
        comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_alltoallv_init_c = "MPI_Neighbor_alltoallv_init_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint, sendtype: Datatype,
        recvbuf: *mut c_void, recvcounts: *const Count, rdispls: *const Aint, recvtype: Datatype,
        comm: Comm, info: Info, request: *mut Request
    );
    optional neighbor_alltoallw_init = "MPI_Neighbor_alltoallw_init" | "MPIX_Neighbor_alltoallw_init"(
        sendbuf: *const c_void, sendcounts: *const c_int, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const c_int,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, info: Info,
        request: *mut Request
    );
    optional neighbor_alltoallw_init_c = "MPI_Neighbor_alltoallw_init_c"(
        sendbuf: *const c_void, sendcounts: *const Count, sdispls: *const Aint,
        sendtypes: HandlePtr<Datatype>, recvbuf: *mut c_void, recvcounts: *const Count,
        rdispls: *const Aint, recvtypes: HandlePtr<Datatype>, comm: Comm, info: Info,
        request: *mut Request
    );
}
