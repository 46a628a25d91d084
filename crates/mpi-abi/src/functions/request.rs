//! Waiting, testing, starting.

use std::ffi::c_int;

use super::{HandlePtr, Request, Status, functions};

functions! {
    group request, "the MPI standard, section 3.7 (nonblocking)";

    required wait = "MPI_Wait"(request: *mut Request, status: *mut Status);
    required test = "MPI_Test"(request: *mut Request, flag: *mut c_int, status: *mut Status);
    required waitall = "MPI_Waitall"(
        count: c_int, array_of_requests: HandlePtr<Request>, array_of_statuses: *mut Status
    );
    required testall = "MPI_Testall"(
        count: c_int, array_of_requests: HandlePtr<Request>, flag: *mut c_int,
        array_of_statuses: *mut Status
    );
    required waitany = "MPI_Waitany"(
        count: c_int, array_of_requests: HandlePtr<Request>, index: *mut c_int, status: *mut Status
    );
    required testany = "MPI_Testany"(
        count: c_int, array_of_requests: HandlePtr<Request>, index: *mut c_int, flag: *mut c_int,
        status: *mut Status
    );
    required waitsome = "MPI_Waitsome"(
        incount: c_int, array_of_requests: HandlePtr<Request>, outcount: *mut c_int,
        array_of_indices: *mut c_int, array_of_statuses: *mut Status
    );
    required testsome = "MPI_Testsome"(
        incount: c_int, array_of_requests: HandlePtr<Request>, outcount: *mut c_int,
        array_of_indices: *mut c_int, array_of_statuses: *mut Status
    );
    required request_get_status = "MPI_Request_get_status"(
        request: Request, flag: *mut c_int, status: *mut Status
    );
    required request_free = "MPI_Request_free"(request: *mut Request);
    required start = "MPI_Start"(request: *mut Request);
    required startall = "MPI_Startall"(count: c_int, array_of_requests: HandlePtr<Request>);
}
