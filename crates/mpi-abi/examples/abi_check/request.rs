//! Waiting and testing in all forms; persistent and partitioned requests.

use std::ffi::{c_int, c_void};
use std::ptr;

use mpi_abi::{Count, Error, Request, RequestArray, Status, StatusArray};

use crate::support::{Check, Mpi, Outcome, at, at_mut, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("request: test one", test_one),
    ("request: wait for all", wait_all),
    ("request: test all", test_all),
    ("request: wait for any", wait_any),
    ("request: test any", test_any),
    ("request: wait for some", wait_some),
    ("request: test some", test_some),
    ("request: null requests are ignored", nulls),
    ("request: status without completing, free", get_status),
    ("request: persistent modes", persistent),
    ("request: persistent modes with large counts", persistent_large),
    ("request: start all", start_all),
    ("request: partitioned", partitioned),
    ("request: a thousand at a time", many),
];

const K: usize = 4;

/// `K` receives from the previous rank with tags 0..K, and the sends of others that match them.
struct Batch {
    got: Box<[[i32; 2]; K]>,
    data: Box<[[i32; 2]; K]>,
    receives: RequestArray,
    sends: RequestArray,
}

impl Batch {
    fn start(m: &Mpi) -> Result<Self, Error> {
        let data = Box::new(std::array::from_fn(|i| [m.rank, i as i32]));
        let mut batch = Self {
            got: Box::new([[-1; 2]; K]),
            data,
            receives: RequestArray::new(m.lib),
            sends: RequestArray::new(m.lib),
        };
        for (tag, place) in batch.got.iter_mut().enumerate() {
            // SAFETY: boxed, and read only by `finish`.
            batch.receives.push(unsafe { m.irecv(place, m.previous(), tag as c_int) }?);
        }
        for (tag, data) in batch.data.iter().enumerate() {
            let mut request = m.c.request_null;
            // SAFETY: boxed, and not changed.
            unsafe { m.lib.isend(at(data), 2, m.c.int32_t, m.next(), tag as c_int, m.comm, &mut request) }?;
            batch.sends.push(request);
        }
        Ok(batch)
    }

    /// Completes the sends, and checks that every receive is complete and right.
    fn finish(mut self, m: &Mpi) -> Outcome {
        // SAFETY: K live requests.
        unsafe { m.lib.waitall(K as c_int, self.sends.as_mut_ptr(), m.c.statuses_ignore()) }?;
        same!(self.sends.all_null(m.lib), true);
        same!(self.receives.all_null(m.lib), true);
        for (i, got) in self.got.iter().enumerate() {
            same!(*got, [m.previous(), i as i32]);
        }
        same!(self.data[1], [m.rank, 1]);
        Ok(())
    }
}

fn check_status(m: &Mpi, statuses: &StatusArray, at: usize, tag: usize) -> Outcome {
    let fields = statuses.fields(at);
    same!((fields.source, fields.tag), (m.previous(), tag as c_int));
    same!(m.count(&statuses.get(at))?, 2);
    Ok(())
}

fn test_one(m: &Mpi) -> Outcome {
    let mut batch = Batch::start(m)?;
    let mut status = Status::EMPTY;
    for i in 0..K {
        let mut request = batch.receives.get(i);
        let mut flag = 0;
        while flag == 0 {
            // SAFETY: a live request.
            unsafe { m.lib.test(&mut request, &mut flag, &mut status) }?;
        }
        same!((request, m.lib.status_tag(&status)), (m.c.request_null, i as c_int));
        batch.receives.set(i, request);
    }
    batch.finish(m)
}

fn wait_all(m: &Mpi) -> Outcome {
    let mut batch = Batch::start(m)?;
    let mut statuses = StatusArray::new(m.lib, K);
    // SAFETY: K live requests, room for K statuses.
    unsafe { m.lib.waitall(K as c_int, batch.receives.as_mut_ptr(), statuses.as_mut_ptr()) }?;
    for i in 0..K {
        check_status(m, &statuses, i, i)?;
    }
    batch.finish(m)
}

fn test_all(m: &Mpi) -> Outcome {
    let mut batch = Batch::start(m)?;
    let mut statuses = StatusArray::new(m.lib, K);
    let mut flag = 0;
    while flag == 0 {
        // SAFETY: K live requests, room for K statuses.
        unsafe { m.lib.testall(K as c_int, batch.receives.as_mut_ptr(), &mut flag, statuses.as_mut_ptr()) }?;
    }
    for i in 0..K {
        check_status(m, &statuses, i, i)?;
    }
    batch.finish(m)
}

fn wait_any(m: &Mpi) -> Outcome {
    let mut batch = Batch::start(m)?;
    let mut seen = [false; K];
    let (mut index, mut status) = (-1, Status::EMPTY);
    for _ in 0..K {
        // SAFETY: K requests, null ones among them.
        unsafe { m.lib.waitany(K as c_int, batch.receives.as_mut_ptr(), &mut index, &mut status) }?;
        let i = index as usize;
        same!((seen[i], m.lib.status_tag(&status)), (false, index));
        same!(batch.receives.is_null(m.lib, i), true);
        seen[i] = true;
    }
    // SAFETY: K null requests.
    unsafe { m.lib.waitany(K as c_int, batch.receives.as_mut_ptr(), &mut index, &mut status) }?;
    same!(index, m.c.undefined);
    batch.finish(m)
}

fn test_any(m: &Mpi) -> Outcome {
    let mut batch = Batch::start(m)?;
    let (mut index, mut flag, mut status) = (-1, 0, Status::EMPTY);
    let mut left = K;
    while left > 0 {
        let requests = batch.receives.as_mut_ptr();
        // SAFETY: K requests, null ones among them.
        unsafe { m.lib.testany(K as c_int, requests, &mut index, &mut flag, &mut status) }?;
        if flag != 0 {
            same!(m.lib.status_tag(&status), index);
            left -= 1;
        }
    }
    batch.finish(m)
}

/// Completes all by a call that tells how many and which.
fn some(
    m: &Mpi,
    call: impl Fn(&mut RequestArray, &mut c_int, &mut [c_int], &mut StatusArray) -> Result<(), Error>,
) -> Outcome {
    let mut batch = Batch::start(m)?;
    let mut statuses = StatusArray::new(m.lib, K);
    let (mut done, mut which) = (-1, [-1; K]);
    let mut left = K;
    while left > 0 {
        call(&mut batch.receives, &mut done, &mut which, &mut statuses)?;
        for (at, &index) in which[..done as usize].iter().enumerate() {
            check_status(m, &statuses, at, index as usize)?;
            left -= 1;
        }
    }
    call(&mut batch.receives, &mut done, &mut which, &mut statuses)?;
    same!(done, m.c.undefined, "how many of no requests");
    batch.finish(m)
}

fn wait_some(m: &Mpi) -> Outcome {
    some(m, |requests, done, which, statuses| {
        let (requests, statuses) = (requests.as_mut_ptr(), statuses.as_mut_ptr());
        // SAFETY: K requests, room for K indices and statuses.
        unsafe { m.lib.waitsome(K as c_int, requests, done, which.as_mut_ptr(), statuses) }
    })
}

fn test_some(m: &Mpi) -> Outcome {
    some(m, |requests, done, which, statuses| {
        let (requests, statuses) = (requests.as_mut_ptr(), statuses.as_mut_ptr());
        // SAFETY: K requests, room for K indices and statuses.
        unsafe { m.lib.testsome(K as c_int, requests, done, which.as_mut_ptr(), statuses) }
    })
}

fn nulls(m: &Mpi) -> Outcome {
    let mut requests = RequestArray::from_slice(m.lib, &[m.c.request_null; 3]);
    let mut got = [0];
    // SAFETY: `got` is untouched until the wait.
    requests.set(1, unsafe { m.irecv(&mut got, m.previous(), 0) }?);
    same!((requests.is_null(m.lib, 0), requests.is_null(m.lib, 1)), (true, false));
    m.send(&[m.rank], m.next(), 0)?;
    // SAFETY: three requests, one of them live.
    unsafe { m.lib.waitall(3, requests.as_mut_ptr(), m.c.statuses_ignore()) }?;
    same!((requests.all_null(m.lib), got), (true, [m.previous()]));
    let mut null = m.c.request_null;
    m.wait(&mut null)?;
    Ok(())
}

fn get_status(m: &Mpi) -> Outcome {
    let mut got = [0];
    // SAFETY: `got` is untouched until the wait.
    let mut request = unsafe { m.irecv(&mut got, m.previous(), 0) }?;
    let data = [m.rank + 5];
    let mut sent = m.c.request_null;
    let (mut flag, mut status) = (0, Status::EMPTY);
    // SAFETY: the data live until the barrier, when they have been received.
    unsafe {
        m.lib.isend(at(&data), 1, m.c.int32_t, m.next(), 0, m.comm, &mut sent)?;
        m.lib.request_free(&mut sent)?;
    }
    same!(sent, m.c.request_null);
    while flag == 0 {
        // SAFETY: a live request.
        unsafe { m.lib.request_get_status(request, &mut flag, &mut status) }?;
    }
    same!(request == m.c.request_null, false, "whether asking completed the request");
    same!((m.lib.status_source(&status), m.count(&status)?), (m.previous(), 1));
    m.wait(&mut request)?;
    same!(got, [m.previous() + 5]);
    m.barrier()?;
    Ok(())
}

/// Starts and completes a persistent pair three times, with other data each time.
fn repeat(
    m: &Mpi,
    tag: c_int,
    send: &mut Request,
    data: &mut [i32; 2],
    receive: &mut Request,
    got: &mut [i32; 2],
) -> Outcome {
    for round in 0..3 {
        // SAFETY: the buffers are changed only between a wait and the next start; ready sends find the receive posted.
        unsafe {
            m.lib.start(receive)?;
            m.barrier()?;
            *data = [m.rank * 10 + round, tag];
            m.lib.start(send)?;
        }
        m.wait(send)?;
        m.wait(receive)?;
        same!(*got, [m.previous() * 10 + round, tag], "the data of round {round}");
        same!(*send == m.c.request_null, false, "whether a persistent request ended with its wait");
    }
    // SAFETY: inactive requests.
    unsafe {
        m.lib.request_free(send)?;
        m.lib.request_free(receive)?;
    }
    Ok(())
}

macro_rules! persistent {
    ($m:ident, $n:expr, $recv:ident, $($send:ident)*) => {{
        let mut buffer = vec![0u64; 4096];
        let (mut back, mut size): (*mut c_void, c_int) = (ptr::null_mut(), 0);
        // SAFETY: the buffer outlives its attachment.
        unsafe { $m.lib.buffer_attach(at_mut(&mut buffer), 32768) }?;
        let mut outcome = Ok(());
        let mut tag = 0;
        $(if outcome.is_ok() {
            tag += 1;
            let (mut data, mut got) = ([0; 2], [0; 2]);
            let (mut send, mut receive) = ($m.c.request_null, $m.c.request_null);
            // SAFETY: the buffers outlive the requests, which `repeat` frees.
            let made = unsafe {
                $m.lib
                    .$send(at(&data), $n, $m.c.int32_t, $m.next(), tag, $m.comm, &mut send)
                    .and_then(|()| {
                        $m.lib.$recv(at_mut(&mut got), $n, $m.c.int32_t, $m.previous(), tag, $m.comm, &mut receive)
                    })
            };
            outcome = made
                .map_err(Into::into)
                .and_then(|()| repeat($m, tag, &mut send, &mut data, &mut receive, &mut got));
        })*
        // SAFETY: as above.
        unsafe { $m.lib.buffer_detach((&raw mut back).cast(), &mut size) }?;
        outcome
    }};
}

fn persistent(m: &Mpi) -> Outcome {
    persistent!(m, 2, recv_init, send_init ssend_init bsend_init rsend_init)
}

fn persistent_large(m: &Mpi) -> Outcome {
    persistent!(m, 2 as Count, recv_init_c, send_init_c ssend_init_c bsend_init_c rsend_init_c)
}

fn start_all(m: &Mpi) -> Outcome {
    let (data, mut got) = ([m.rank, 7], [0; 2]);
    let mut pair = RequestArray::new(m.lib);
    let mut request = m.c.request_null;
    // SAFETY: the buffers outlive the requests; `got` is read between the waits only.
    unsafe {
        m.lib.recv_init(at_mut(&mut got), 2, m.c.int32_t, m.previous(), 0, m.comm, &mut request)?;
        pair.push(request);
        m.lib.send_init(at(&data), 2, m.c.int32_t, m.next(), 0, m.comm, &mut request)?;
        pair.push(request);
        for _ in 0..3 {
            m.lib.startall(2, pair.as_mut_ptr())?;
            m.lib.waitall(2, pair.as_mut_ptr(), m.c.statuses_ignore())?;
        }
        for i in 0..2 {
            request = pair.get(i);
            m.lib.request_free(&mut request)?;
        }
    }
    same!(got, [m.previous(), 7]);
    Ok(())
}

fn partitioned(m: &Mpi) -> Outcome {
    let data: [i32; 6] = std::array::from_fn(|i| m.rank * 10 + i as i32);
    let mut got = [0i32; 6];
    let (mut send, mut receive, mut flag) = (m.c.request_null, m.c.request_null, 0);
    let (info, int) = (m.c.info_null, m.c.int32_t);
    // SAFETY: three partitions of two ints on each side; the buffers outlive the requests.
    unsafe {
        m.lib.psend_init(at(&data), 3, 2, int, m.next(), 0, m.comm, info, &mut send)?;
        m.lib.precv_init(at_mut(&mut got), 3, 2, int, m.previous(), 0, m.comm, info, &mut receive)?;
        m.lib.start(&mut receive)?;
        m.lib.start(&mut send)?;
        m.lib.pready(1, send)?;
        m.lib.pready_range(0, 0, send)?;
        m.lib.pready_list(1, [2].as_ptr(), send)?;
        m.wait(&mut send)?;
        while flag == 0 {
            m.lib.parrived(receive, 1, &mut flag)?;
        }
        m.wait(&mut receive)?;
        m.lib.request_free(&mut send)?;
        m.lib.request_free(&mut receive)?;
    }
    same!(got, std::array::from_fn(|i| m.previous() * 10 + i as i32));
    Ok(())
}

fn many(m: &Mpi) -> Outcome {
    const MANY: usize = 1000;
    let data: Vec<[i32; 1]> = (0..MANY as i32).map(|i| [i * 3 + m.rank]).collect();
    let mut got = vec![[0i32; 1]; MANY];
    let mut requests = RequestArray::with_capacity(m.lib, 2 * MANY);
    let mut request = m.c.request_null;
    for (i, (place, data)) in got.iter_mut().zip(&data).enumerate() {
        // SAFETY: both vectors stay as they are until the wait.
        requests.push(unsafe { m.irecv(place, m.previous(), i as c_int) }?);
        // SAFETY: as above.
        unsafe { m.lib.isend(at(data), 1, m.c.int32_t, m.next(), i as c_int, m.comm, &mut request) }?;
        requests.push(request);
    }
    // SAFETY: as many live requests as there are.
    unsafe { m.lib.waitall(requests.len() as c_int, requests.as_mut_ptr(), m.c.statuses_ignore()) }?;
    same!(requests.all_null(m.lib), true);
    same!(got.iter().enumerate().all(|(i, x)| x[0] == i as i32 * 3 + m.previous()), true);
    Ok(())
}
