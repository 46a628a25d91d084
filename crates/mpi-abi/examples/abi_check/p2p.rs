//! Point-to-point messages: every mode, probes, wildcards, cancelling, truncation.

use std::ffi::{c_int, c_void};
use std::ptr;

use mpi_abi::{Count, Error, ErrorClass, Request, Status};

use crate::support::{Check, Mpi, Outcome, at, at_mut, fails_with, is_missing, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("p2p: blocking modes", blocking_modes),
    ("p2p: blocking modes with large counts", blocking_modes_large),
    ("p2p: nonblocking modes", nonblocking_modes),
    ("p2p: nonblocking modes with large counts", nonblocking_modes_large),
    ("p2p: send and receive in one", sendrecv),
    ("p2p: send and receive in one with large counts", sendrecv_large),
    ("p2p: send and receive in one, nonblocking", isendrecv),
    ("p2p: probe tells source, tag and count", probe),
    ("p2p: matched probe", mprobe),
    ("p2p: matched probe with large counts", mprobe_large),
    ("p2p: wildcards and order", wildcards),
    ("p2p: the null process", proc_null),
    ("p2p: nothing and much", sizes),
    ("p2p: cancel a receive", cancel),
    ("p2p: counts of elements", elements),
    ("p2p: counts of elements, large", elements_large),
    ("p2p: setting counts of elements, large", set_elements_large),
    ("p2p: send and receive in one, nonblocking, large counts", isendrecv_large),
    ("p2p: a message too long is an error, and no more", truncation),
    ("p2p: several messages too long, waited for one by one", truncations),
];

const N: usize = 5;

fn payload(rank: c_int, tag: c_int) -> [i32; N] {
    std::array::from_fn(|i| rank * 1000 + tag * 10 + i as i32)
}

/// A buffer for buffered sends, attached for as long as `body` runs.
fn with_buffer(m: &Mpi, body: impl FnOnce() -> Outcome) -> Outcome {
    let mut buffer = vec![0u64; 4096];
    let mut back: *mut c_void = ptr::null_mut();
    let mut size: c_int = 0;
    // SAFETY: the buffer outlives its attachment, which the detaching ends.
    unsafe { m.lib.buffer_attach(at_mut(&mut buffer), size_of_val(&buffer[..]) as c_int) }?;
    let outcome = body();
    // SAFETY: as above; detaching waits until the buffered messages are gone.
    unsafe { m.lib.buffer_detach((&raw mut back).cast(), &mut size) }?;
    same!((back.cast_const(), size as usize), (at(&buffer), size_of_val(&buffer[..])));
    outcome
}

/// Posts a receive from the ring's previous rank, lets `send` send `payload(rank, tag)` to the next, and checks.
fn ring(m: &Mpi, tag: c_int, send: impl FnOnce(&[i32; N]) -> Result<(), Error>) -> Outcome {
    let mut got = [-1; N];
    // SAFETY: `got` is untouched until the wait.
    let mut request = unsafe { m.irecv(&mut got, m.previous(), tag) }?;
    // Ready sends want the receive to be there.
    m.barrier()?;
    let sent = send(&payload(m.rank, tag));
    if is_missing(&sent) {
        // No rank has sent anything: take the receive back.
        // SAFETY: the request is live.
        unsafe { m.lib.cancel(&mut request) }?;
        m.wait(&mut request)?;
    }
    sent?;
    let status = m.wait(&mut request)?;
    same!(request, m.c.request_null);
    same!(got, payload(m.previous(), tag));
    same!((m.lib.status_source(&status), m.lib.status_tag(&status)), (m.previous(), tag));
    same!(m.count(&status)?, N as c_int);
    Ok(())
}

macro_rules! blocking {
    ($m:ident, $n:expr, $($send:ident)*) => {{
        let mut tag = 0;
        $(
            tag += 1;
            ring($m, tag, |data| {
                // SAFETY: the payload holds N ints, and a receive is posted.
                unsafe { $m.lib.$send(at(data), $n, $m.c.int32_t, $m.next(), tag, $m.comm) }
            })?;
        )*
        same!(tag, 4);
        Ok(())
    }};
}

fn blocking_modes(m: &Mpi) -> Outcome {
    with_buffer(m, || blocking!(m, N as c_int, send ssend bsend rsend))
}

fn blocking_modes_large(m: &Mpi) -> Outcome {
    let mut buffer = vec![0u64; 4096];
    let (bytes, mut back, mut size): (Count, *mut c_void, Count) = (32_768, ptr::null_mut(), 0);
    // SAFETY: the buffer outlives its attachment, which the detaching ends.
    unsafe { m.lib.buffer_attach_c(at_mut(&mut buffer), bytes) }?;
    let outcome: Outcome = blocking!(m, N as Count, send_c ssend_c bsend_c rsend_c);
    // SAFETY: as above; detaching waits until the buffered messages are gone.
    unsafe { m.lib.buffer_detach_c((&raw mut back).cast(), &mut size) }?;
    same!((back.cast_const(), size), (at(&buffer), bytes));
    outcome?;
    let mut got = [0; N];
    let data = payload(m.rank, 1);
    let mut status = Status::EMPTY;
    let mut request = m.c.request_null;
    // SAFETY: both buffers hold N ints and live until the wait.
    unsafe {
        m.lib.isend_c(at(&data), N as Count, m.c.int32_t, m.next(), 1, m.comm, &mut request)?;
        m.lib.recv_c(at_mut(&mut got), N as Count, m.c.int32_t, m.previous(), 1, m.comm, &mut status)?;
    }
    m.wait(&mut request)?;
    same!(got, payload(m.previous(), 1));
    Ok(())
}

macro_rules! nonblocking {
    ($m:ident, $n:expr, $($send:ident)*) => {{
        let mut tag = 0;
        $(
            tag += 1;
            ring($m, tag, |data| {
                let mut request = $m.c.request_null;
                // SAFETY: the payload holds N ints and lives until the wait; a receive is posted.
                unsafe { $m.lib.$send(at(data), $n, $m.c.int32_t, $m.next(), tag, $m.comm, &mut request) }?;
                $m.wait(&mut request)?;
                Ok(())
            })?;
        )*
        same!(tag, 4);
        Ok(())
    }};
}

fn nonblocking_modes(m: &Mpi) -> Outcome {
    with_buffer(m, || nonblocking!(m, N as c_int, isend issend ibsend irsend))
}

fn nonblocking_modes_large(m: &Mpi) -> Outcome {
    with_buffer(m, || nonblocking!(m, N as Count, isend_c issend_c ibsend_c irsend_c))?;
    let mut got = [0; N];
    let mut request = m.c.request_null;
    // SAFETY: `got` has room for N ints and is untouched until the wait.
    unsafe { m.lib.irecv_c(at_mut(&mut got), N as Count, m.c.int32_t, m.previous(), 1, m.comm, &mut request) }?;
    m.send(&payload(m.rank, 1), m.next(), 1)?;
    m.wait(&mut request)?;
    same!(got, payload(m.previous(), 1));
    Ok(())
}

macro_rules! sendrecv {
    ($m:ident, $n:expr, $sendrecv:ident, $replace:ident) => {{
        let (next, previous, int) = ($m.next(), $m.previous(), $m.c.int32_t);
        let data = payload($m.rank, 3);
        let mut got = [-1; N];
        let mut status = Status::EMPTY;
        let n = $n;
        // SAFETY: all buffers hold N ints.
        unsafe {
            let (from, to) = (at(&data), at_mut(&mut got));
            $m.lib.$sendrecv(from, n, int, next, 3, to, n, int, previous, 3, $m.comm, &mut status)?;
            same!(got, payload(previous, 3));
            same!($m.lib.status_source(&status), previous);
            got = payload($m.rank, 4);
            let place = at_mut(&mut got);
            $m.lib.$replace(place, n, int, next, 4, previous, 4, $m.comm, &mut status)?;
        }
        same!(got, payload(previous, 4));
        same!($m.lib.status_tag(&status), 4);
        Ok(())
    }};
}

fn sendrecv(m: &Mpi) -> Outcome {
    sendrecv!(m, N as c_int, sendrecv, sendrecv_replace)
}

fn sendrecv_large(m: &Mpi) -> Outcome {
    sendrecv!(m, N as Count, sendrecv_c, sendrecv_replace_c)
}

macro_rules! isendrecv {
    ($m:ident, $n:expr, $isendrecv:ident, $replace:ident) => {{
        let (next, previous, int, n) = ($m.next(), $m.previous(), $m.c.int32_t, $n);
        let data = payload($m.rank, 3);
        let mut got = [-1; N];
        let mut request = $m.c.request_null;
        // SAFETY: all buffers hold N ints and live until the waits.
        unsafe {
            let to = at_mut(&mut got);
            $m.lib.$isendrecv(at(&data), n, int, next, 3, to, n, int, previous, 3, $m.comm, &mut request)?;
            $m.wait(&mut request)?;
            same!(got, payload(previous, 3));
            got = data;
            let place = at_mut(&mut got);
            $m.lib.$replace(place, n, int, next, 4, previous, 4, $m.comm, &mut request)?;
            $m.wait(&mut request)?;
        }
        same!(got, payload(previous, 3));
        Ok(())
    }};
}

fn isendrecv(m: &Mpi) -> Outcome {
    isendrecv!(m, N as c_int, isendrecv, isendrecv_replace)
}

fn isendrecv_large(m: &Mpi) -> Outcome {
    isendrecv!(m, N as Count, isendrecv_c, isendrecv_replace_c)
}

fn probe(m: &Mpi) -> Outcome {
    let data = payload(m.rank, 6);
    let mut request = m.c.request_null;
    let mut status = Status::EMPTY;
    // SAFETY: the data live until the wait.
    unsafe { m.lib.isend(at(&data), 3, m.c.int32_t, m.next(), 6, m.comm, &mut request) }?;
    // SAFETY: a status to fill.
    unsafe { m.lib.probe(m.c.any_source, m.c.any_tag, m.comm, &mut status) }?;
    let fields = m.lib.status(&status);
    same!((fields.source, fields.tag, m.count(&status)?), (m.previous(), 6, 3));
    let mut flag = 0;
    // SAFETY: a status to fill.
    unsafe { m.lib.iprobe(m.previous(), 6, m.comm, &mut flag, &mut status) }?;
    same!((flag, m.count(&status)?), (1, 3));
    let mut got = [0; 3];
    let (fields, count) = m.recv(&mut got, fields.source, fields.tag)?;
    same!((count, fields.tag, got), (3, 6, [data_of(m, 0), data_of(m, 1), data_of(m, 2)]));
    m.wait(&mut request)?;
    m.barrier()?;
    // SAFETY: a status to fill.
    unsafe { m.lib.iprobe(m.c.any_source, m.c.any_tag, m.comm, &mut flag, &mut status) }?;
    same!(flag, 0);
    Ok(())
}

fn data_of(m: &Mpi, i: usize) -> i32 {
    payload(m.previous(), 6)[i]
}

macro_rules! mprobe {
    ($m:ident, $n:ty, $mrecv:ident, $imrecv:ident) => {{
        let data = payload($m.rank, 7);
        let (mut first, mut second) = ($m.c.request_null, $m.c.request_null);
        let (int, n) = ($m.c.int32_t, N as $n);
        let mut status = Status::EMPTY;
        let mut message = $m.c.message_null;
        let (mut got, mut flag) = ([0; N], 0);
        // SAFETY: all buffers hold N ints and live until the waits.
        unsafe {
            $m.lib.isend(at(&data), N as c_int, int, $m.next(), 7, $m.comm, &mut first)?;
            $m.lib.isend(at(&data), N as c_int, int, $m.next(), 8, $m.comm, &mut second)?;
            // Tag 8 first: a matched message leaves the queue, and the other stays.
            $m.lib.mprobe($m.previous(), 8, $m.comm, &mut message, &mut status)?;
            same!($m.count(&status)?, N as c_int);
            let received = $m.lib.$mrecv(at_mut(&mut got), n, int, &mut message, &mut status);
            if is_missing(&received) {
                $m.lib.mrecv(at_mut(&mut got), N as c_int, int, &mut message, &mut status)?;
                $m.recv(&mut got, $m.previous(), 7)?;
                $m.wait(&mut first)?;
                $m.wait(&mut second)?;
            }
            received?;
            same!((message, got), ($m.c.message_null, payload($m.previous(), 7)));
            got = [0; N];
            while flag == 0 {
                $m.lib.improbe($m.c.any_source, $m.c.any_tag, $m.comm, &mut flag, &mut message, &mut status)?;
            }
            same!($m.lib.status_tag(&status), 7);
            let mut request = $m.c.request_null;
            $m.lib.$imrecv(at_mut(&mut got), n, int, &mut message, &mut request)?;
            $m.wait(&mut request)?;
        }
        same!(got, payload($m.previous(), 7));
        $m.wait(&mut first)?;
        $m.wait(&mut second)?;
        Ok(())
    }};
}

fn mprobe(m: &Mpi) -> Outcome {
    mprobe!(m, c_int, mrecv, imrecv)
}

fn mprobe_large(m: &Mpi) -> Outcome {
    mprobe!(m, Count, mrecv_c, imrecv_c)
}

fn wildcards(m: &Mpi) -> Outcome {
    // Every rank sends three messages to rank 0, which takes them from anywhere; per sender they stay in order.
    let mut requests = [m.c.request_null; 3];
    let data: Vec<[i32; 1]> = (0..3).map(|i| [m.rank * 10 + i]).collect();
    for (i, request) in requests.iter_mut().enumerate() {
        // SAFETY: the data live until the waits.
        unsafe { m.lib.isend(at(&data[i]), 1, m.c.int32_t, 0, 100 + i as c_int, m.comm, request) }?;
    }
    if m.rank == 0 {
        let mut seen = vec![0; m.size as usize];
        for _ in 0..3 * m.size {
            let mut got = [-1];
            let (fields, count) = m.recv(&mut got, m.c.any_source, m.c.any_tag)?;
            let next = &mut seen[fields.source as usize];
            same!((got[0], fields.tag, count), (fields.source * 10 + *next, 100 + *next, 1));
            *next += 1;
        }
        same!(seen, vec![3; m.size as usize]);
    }
    for request in &mut requests {
        m.wait(request)?;
    }
    Ok(())
}

fn proc_null(m: &Mpi) -> Outcome {
    let nobody = m.c.proc_null;
    m.send(&[1, 2], nobody, 0)?;
    let mut got = [5, 6];
    let (fields, count) = m.recv(&mut got, nobody, 0)?;
    same!((fields.source, fields.tag, count, got), (nobody, m.c.any_tag, 0, [5, 6]));
    Ok(())
}

fn sizes(m: &Mpi) -> Outcome {
    for n in [0usize, 1, 1000, 16_384, 300_001] {
        let data: Vec<i32> = (0..n as i32).map(|i| i ^ m.rank).collect();
        let mut got = vec![-1; n];
        // SAFETY: `got` is untouched until the wait.
        let mut request = unsafe { m.irecv(&mut got, m.previous(), 2) }?;
        m.send(&data, m.next(), 2)?;
        let status = m.wait(&mut request)?;
        same!(m.count(&status)?, n as c_int);
        let right = got.iter().enumerate().all(|(i, &x)| x == i as i32 ^ m.previous());
        same!(right, true, "the values of {n} ints");
    }
    Ok(())
}

fn cancel(m: &Mpi) -> Outcome {
    let mut got = [7];
    // SAFETY: `got` is untouched until the wait.
    let mut request = unsafe { m.irecv(&mut got, m.previous(), 99) }?;
    let mut flag = 0;
    // SAFETY: the request is live until the wait.
    unsafe { m.lib.cancel(&mut request) }?;
    let status = m.wait(&mut request)?;
    // SAFETY: a status that a wait has filled.
    unsafe { m.lib.test_cancelled(&status, &mut flag) }?;
    same!((flag, got), (1, [7]));
    Ok(())
}

fn elements(m: &Mpi) -> Outcome {
    let mut pair = m.c.datatype_null;
    let data = [1, 2, 3];
    let mut got = [0; 4];
    let mut status = Status::EMPTY;
    let mut request = m.c.request_null;
    let (mut count, mut parts, mut parts_x) = (-1, -1, -1);
    // SAFETY: three ints are sent and there is room for two pairs; the type is freed after use.
    unsafe {
        m.lib.type_contiguous(2, m.c.int32_t, &mut pair)?;
        m.lib.type_commit(&mut pair)?;
        m.lib.isend(at(&data), 3, m.c.int32_t, m.next(), 1, m.comm, &mut request)?;
        m.lib.recv(at_mut(&mut got), 2, pair, m.previous(), 1, m.comm, &mut status)?;
        m.wait(&mut request)?;
        m.lib.get_count(&status, pair, &mut count)?;
        same!(count, m.c.undefined, "the count of one and a half pairs");
        m.lib.get_elements(&status, pair, &mut parts)?;
        m.lib.get_elements_x(&status, pair, &mut parts_x)?;
        same!((parts, parts_x, got), (3, 3, [1, 2, 3, 0]));
        m.lib.find_lengths()?;
        same!(m.lib.status_bytes(&status), Some(12), "the length found in the status itself");
        let mut made = Status::EMPTY;
        m.lib.status_set_elements(&mut made, m.c.int32_t, 7)?;
        m.lib.status_set_cancelled(&mut made, 0)?;
        same!(m.count(&made)?, 7);
        m.lib.status_set_elements_x(&mut made, m.c.int32_t, 8)?;
        same!(m.count(&made)?, 8);
        m.lib.status_set_cancelled(&mut made, 1)?;
        same!(m.lib.status_bytes(&made), Some(32), "the length of a cancelled one");
        m.lib.type_free(&mut pair)?;
    }
    same!(pair, m.c.datatype_null);
    Ok(())
}

fn elements_large(m: &Mpi) -> Outcome {
    let mut made = Status::EMPTY;
    let (mut count, mut parts) = (-1, -1);
    let many: Count = 5 << 30;
    // SAFETY: a status that the first call fills.
    unsafe {
        m.lib.status_set_elements_x(&mut made, m.c.byte, many)?;
        m.lib.get_count_c(&made, m.c.byte, &mut count)?;
        m.lib.get_elements_c(&made, m.c.byte, &mut parts)?;
        same!((count, parts), (many, many));
        m.lib.find_lengths()?;
        same!(m.lib.status_bytes(&made), Some(5 << 30), "a length beyond 32 bits");
    }
    Ok(())
}

fn set_elements_large(m: &Mpi) -> Outcome {
    let mut made = Status::EMPTY;
    let mut count = -1;
    // SAFETY: a status that the first call fills.
    unsafe {
        m.lib.status_set_elements_c(&mut made, m.c.byte, 5 << 30)?;
        m.lib.get_count_c(&made, m.c.byte, &mut count)?;
    }
    same!(count, 5 << 30);
    Ok(())
}

/// The two ints that a receive had room for, and what the wait for it returned.
type Received = ([i32; 2], Result<(), Error>);

/// Receives two ints of each message of `lengths` from the previous rank, and tells what the waits returned.
///
/// The receives are there before the messages. Only to oneself it is the other way round: Open MPI cuts a message to
/// oneself short without an error when it finds the receive posted.
fn receive_two_of_each(m: &Mpi, lengths: &[usize]) -> Result<Vec<Received>, Error> {
    let data = payload(m.rank, 0);
    let mut got = vec![[-1; 2]; lengths.len()];
    let (mut receives, mut sends) = (Vec::new(), Vec::new());
    let send = |sends: &mut Vec<Request>| -> Result<(), Error> {
        for (tag, &length) in lengths.iter().enumerate() {
            let (mut request, n) = (m.c.request_null, length as c_int);
            // SAFETY: the data live until the waits below.
            unsafe { m.lib.isend(at(&data), n, m.c.int32_t, m.next(), tag as c_int, m.comm, &mut request) }?;
            sends.push(request);
        }
        Ok(())
    };
    if m.size == 1 {
        send(&mut sends)?;
    }
    for (tag, place) in got.iter_mut().enumerate() {
        // SAFETY: each place is untouched until its wait.
        receives.push(unsafe { m.irecv(place, m.previous(), tag as c_int) }?);
    }
    m.barrier()?;
    if m.size > 1 {
        send(&mut sends)?;
    }
    let mut waited = Vec::new();
    for request in &mut receives {
        waited.push(m.wait(request).map(|_| ()));
    }
    for request in &mut sends {
        m.wait(request)?;
    }
    assert!(receives.iter().all(|&request| request == m.c.request_null), "a failed receive is over");
    Ok(got.into_iter().zip(waited).collect())
}

fn truncation(m: &Mpi) -> Outcome {
    for (_, waited) in receive_two_of_each(m, &[N])? {
        fails_with(waited, ErrorClass::Truncate)?;
    }
    // The communicator still works.
    same!(m.maximum([m.rank])?, [m.size - 1]);
    ring(m, 1, |data| m.send(data, m.next(), 1))
}

fn truncations(m: &Mpi) -> Outcome {
    for (tag, (got, waited)) in receive_two_of_each(m, &[N, 2, N])?.into_iter().enumerate() {
        if tag == 1 {
            waited?;
            same!(got[..], payload(m.previous(), 0)[..2]);
        } else {
            fails_with(waited, ErrorClass::Truncate)?;
        }
    }
    same!(m.maximum([m.rank])?, [m.size - 1]);
    Ok(())
}
