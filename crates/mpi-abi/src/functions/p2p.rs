//! Point-to-point messages in all modes, probes, counts.

use std::ffi::{c_int, c_void};

use super::{Comm, Count, Datatype, Message, Request, Status, functions};

functions! {
    group p2p, "the MPI standard, chapter 3 (point-to-point)";

    required send = "MPI_Send"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    optional send_c = "MPI_Send_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    required ssend = "MPI_Ssend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    optional ssend_c = "MPI_Ssend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    required bsend = "MPI_Bsend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    optional bsend_c = "MPI_Bsend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    required rsend = "MPI_Rsend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    optional rsend_c = "MPI_Rsend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm
    );
    required recv = "MPI_Recv"(
        buf: *mut c_void, count: c_int, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        status: *mut Status
    );
    optional recv_c = "MPI_Recv_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        status: *mut Status
    );
    required sendrecv = "MPI_Sendrecv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, dest: c_int, sendtag: c_int,
        recvbuf: *mut c_void, recvcount: c_int, recvtype: Datatype, source: c_int, recvtag: c_int,
        comm: Comm, status: *mut Status
    );
    optional sendrecv_c = "MPI_Sendrecv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, dest: c_int, sendtag: c_int,
        recvbuf: *mut c_void, recvcount: Count, recvtype: Datatype, source: c_int, recvtag: c_int,
        comm: Comm, status: *mut Status
    );
    required sendrecv_replace = "MPI_Sendrecv_replace"(
        buf: *mut c_void, count: c_int, datatype: Datatype, dest: c_int, sendtag: c_int, source: c_int,
        recvtag: c_int, comm: Comm, status: *mut Status
    );
    optional sendrecv_replace_c = "MPI_Sendrecv_replace_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, dest: c_int, sendtag: c_int, source: c_int,
        recvtag: c_int, comm: Comm, status: *mut Status
    );
    required isend = "MPI_Isend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional isend_c = "MPI_Isend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required issend = "MPI_Issend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional issend_c = "MPI_Issend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required ibsend = "MPI_Ibsend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional ibsend_c = "MPI_Ibsend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required irsend = "MPI_Irsend"(
        buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional irsend_c = "MPI_Irsend_c"(
        buf: *const c_void, count: Count, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    required irecv = "MPI_Irecv"(
        buf: *mut c_void, count: c_int, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional irecv_c = "MPI_Irecv_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, source: c_int, tag: c_int, comm: Comm,
        request: *mut Request
    );
    optional isendrecv = "MPI_Isendrecv"(
        sendbuf: *const c_void, sendcount: c_int, sendtype: Datatype, dest: c_int, sendtag: c_int,
        recvbuf: *mut c_void, recvcount: c_int, recvtype: Datatype, source: c_int, recvtag: c_int,
        comm: Comm, request: *mut Request
    );
    optional isendrecv_c = "MPI_Isendrecv_c"(
        sendbuf: *const c_void, sendcount: Count, sendtype: Datatype, dest: c_int, sendtag: c_int,
        recvbuf: *mut c_void, recvcount: Count, recvtype: Datatype, source: c_int, recvtag: c_int,
        comm: Comm, request: *mut Request
    );
    optional isendrecv_replace = "MPI_Isendrecv_replace"(
        buf: *mut c_void, count: c_int, datatype: Datatype, dest: c_int, sendtag: c_int, source: c_int,
        recvtag: c_int, comm: Comm, request: *mut Request
    );
    optional isendrecv_replace_c = "MPI_Isendrecv_replace_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, dest: c_int, sendtag: c_int, source: c_int,
        recvtag: c_int, comm: Comm, request: *mut Request
    );
    required probe = "MPI_Probe"(source: c_int, tag: c_int, comm: Comm, status: *mut Status);
    required iprobe = "MPI_Iprobe"(
        source: c_int, tag: c_int, comm: Comm, flag: *mut c_int, status: *mut Status
    );
    required mprobe = "MPI_Mprobe"(
        source: c_int, tag: c_int, comm: Comm, message: *mut Message, status: *mut Status
    );
    required improbe = "MPI_Improbe"(
        source: c_int, tag: c_int, comm: Comm, flag: *mut c_int, message: *mut Message,
        status: *mut Status
    );
    required mrecv = "MPI_Mrecv"(
        buf: *mut c_void, count: c_int, datatype: Datatype, message: *mut Message, status: *mut Status
    );
    optional mrecv_c = "MPI_Mrecv_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, message: *mut Message, status: *mut Status
    );
    required imrecv = "MPI_Imrecv"(
        buf: *mut c_void, count: c_int, datatype: Datatype, message: *mut Message, request: *mut Request
    );
    optional imrecv_c = "MPI_Imrecv_c"(
        buf: *mut c_void, count: Count, datatype: Datatype, message: *mut Message, request: *mut Request
    );
    required buffer_attach = "MPI_Buffer_attach"(buffer: *mut c_void, size: c_int);
    optional buffer_attach_c = "MPI_Buffer_attach_c"(buffer: *mut c_void, size: Count);
    required buffer_detach = "MPI_Buffer_detach"(buffer_addr: *mut c_void, size: *mut c_int);
    optional buffer_detach_c = "MPI_Buffer_detach_c"(buffer_addr: *mut c_void, size: *mut Count);
    required get_count = "MPI_Get_count"(status: *const Status, datatype: Datatype, count: *mut c_int);
    optional get_count_c = "MPI_Get_count_c"(status: *const Status, datatype: Datatype, count: *mut Count);
    required get_elements = "MPI_Get_elements"(status: *const Status, datatype: Datatype, count: *mut c_int);
    optional get_elements_c = "MPI_Get_elements_c"(
        status: *const Status, datatype: Datatype, count: *mut Count
    );
    required get_elements_x = "MPI_Get_elements_x"(
        status: *const Status, datatype: Datatype, count: *mut Count
    );
    required cancel = "MPI_Cancel"(request: *mut Request);
    required test_cancelled = "MPI_Test_cancelled"(status: *const Status, flag: *mut c_int);
    required status_set_elements = "MPI_Status_set_elements"(
        status: *mut Status, datatype: Datatype, count: c_int
    );
    optional status_set_elements_c = "MPI_Status_set_elements_c"(
        status: *mut Status, datatype: Datatype, count: Count
    );
    required status_set_elements_x = "MPI_Status_set_elements_x"(
        status: *mut Status, datatype: Datatype, count: Count
    );
    required status_set_cancelled = "MPI_Status_set_cancelled"(status: *mut Status, flag: c_int);
}
