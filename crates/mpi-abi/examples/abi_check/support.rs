//! What all checks use: the communicator with its rank, failures, and small conversions.

use std::ffi::{c_int, c_void};

use mpi_abi::{Aint, Comm, Constants, Count, Error, ErrorClass, ErrorKind, Library, Request, Status, StatusFields};

/// A check: every rank of the communicator runs it.
pub(crate) type Check = fn(&Mpi) -> Outcome;
pub(crate) type Outcome = Result<(), Failure>;

/// Why a check did not pass on this rank.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something came out wrong.
    Wrong(String),
    /// The library cannot do it, and says so or is known to: why.
    NotHere(String),
}

impl Failure {
    /// The library has no such function, type or constant.
    pub(crate) fn lacks(what: &str) -> Self {
        Self::NotHere(format!("the library has no {what}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Missing { function, .. } => Self::lacks(function),
            _ => Self::Wrong(error.to_string()),
        }
    }
}

/// Whether the library has no function for what was called.
pub(crate) fn is_missing(called: &Result<(), Error>) -> bool {
    matches!(called, Err(error) if matches!(error.kind(), ErrorKind::Missing { .. }))
}

/// Fails the check when two values differ, showing both.
macro_rules! same {
    ($got:expr, $expected:expr) => {
        same!($got, $expected, "{}", stringify!($got))
    };
    ($got:expr, $expected:expr, $($what:tt)+) => {
        match (&$got, &$expected) {
            (got, expected) => {
                if *got != *expected {
                    let what = format!($($what)+);
                    return Err($crate::support::Failure::Wrong(format!(
                        "{}:{}: {what} is {got:?}, not {expected:?}", file!(), line!()
                    )));
                }
            }
        }
    };
}
pub(crate) use same;

/// Fails the check unless the result is an MPI error of the class.
pub(crate) fn fails_with(result: Result<(), Error>, class: ErrorClass) -> Outcome {
    match result {
        Err(error) if error.class() == Some(class) => Ok(()),
        Err(error) => Err(Failure::Wrong(format!("the error should be {class}: {error}"))),
        Ok(()) => Err(Failure::Wrong(format!("it succeeded, and {class} was due"))),
    }
}

/// A communicator with its rank and size.
pub(crate) struct Mpi {
    pub(crate) lib: &'static Library,
    pub(crate) c: &'static Constants,
    pub(crate) comm: Comm,
    pub(crate) rank: c_int,
    pub(crate) size: c_int,
}

impl Mpi {
    pub(crate) fn world(lib: &'static Library) -> Result<Self, Error> {
        Self::of(lib, lib.constants().comm_world)
    }

    pub(crate) fn of(lib: &'static Library, comm: Comm) -> Result<Self, Error> {
        let (mut rank, mut size) = (-1, -1);
        // SAFETY: MPI is active and `comm` is a communicator.
        unsafe {
            lib.comm_rank(comm, &mut rank)?;
            lib.comm_size(comm, &mut size)?;
        }
        Ok(Self { lib, c: lib.constants(), comm, rank, size })
    }

    pub(crate) fn dup(&self) -> Result<Self, Error> {
        let mut comm = self.c.comm_null;
        // SAFETY: every rank of the communicator duplicates it here.
        unsafe { self.lib.comm_dup(self.comm, &mut comm) }?;
        Self::of(self.lib, comm)
    }

    pub(crate) fn free(mut self) -> Result<(), Error> {
        // SAFETY: every rank frees it here, and uses it no more.
        unsafe { self.lib.comm_free(&mut self.comm) }
    }

    /// The greatest of each over the ranks.
    pub(crate) fn maximum<const N: usize>(&self, mut values: [i32; N]) -> Result<[i32; N], Error> {
        let (place, n) = (values.as_mut_ptr().cast(), N as c_int);
        // SAFETY: N ints in and out, in place.
        unsafe { self.lib.allreduce(self.c.in_place(), place, n, self.c.int32_t, self.c.max, self.comm) }?;
        Ok(values)
    }

    pub(crate) fn barrier(&self) -> Result<(), Error> {
        // SAFETY: every rank of the communicator is here.
        unsafe { self.lib.barrier(self.comm) }
    }

    /// The rank after this one, in a ring.
    pub(crate) fn next(&self) -> c_int {
        (self.rank + 1) % self.size
    }

    /// The rank before this one, in a ring.
    pub(crate) fn previous(&self) -> c_int {
        (self.rank + self.size - 1) % self.size
    }

    /// All ranks, in order.
    pub(crate) fn ranks(&self) -> std::ops::Range<c_int> {
        0..self.size
    }

    /// A receive of ints, not yet complete.
    ///
    /// # Safety
    /// `into` stays valid and untouched until the request is complete.
    pub(crate) unsafe fn irecv(&self, into: &mut [i32], from: c_int, tag: c_int) -> Result<Request, Error> {
        let mut request = self.c.request_null;
        let (buffer, n) = (into.as_mut_ptr().cast(), into.len() as c_int);
        // SAFETY: the caller keeps the buffer.
        unsafe { self.lib.irecv(buffer, n, self.c.int32_t, from, tag, self.comm, &mut request) }?;
        Ok(request)
    }

    /// Sends ints in the standard mode.
    pub(crate) fn send(&self, data: &[i32], to: c_int, tag: c_int) -> Result<(), Error> {
        let n = data.len() as c_int;
        // SAFETY: the slice holds n ints and the call is blocking.
        unsafe { self.lib.send(data.as_ptr().cast(), n, self.c.int32_t, to, tag, self.comm) }
    }

    /// Receives ints; the status's fields and the count that `get_count` tells.
    pub(crate) fn recv(&self, into: &mut [i32], from: c_int, tag: c_int) -> Result<(StatusFields, c_int), Error> {
        let (buffer, n) = (into.as_mut_ptr().cast(), into.len() as c_int);
        let mut status = Status::EMPTY;
        // SAFETY: the slice has room for n ints and the call is blocking.
        unsafe { self.lib.recv(buffer, n, self.c.int32_t, from, tag, self.comm, &mut status) }?;
        Ok((self.lib.status(&status), self.count(&status)?))
    }

    /// How many ints a status speaks of.
    pub(crate) fn count(&self, status: &Status) -> Result<c_int, Error> {
        let mut count = -1;
        // SAFETY: a status that a call has filled.
        unsafe { self.lib.get_count(status, self.c.int32_t, &mut count) }?;
        Ok(count)
    }

    pub(crate) fn wait(&self, request: &mut Request) -> Result<Status, Error> {
        let mut status = Status::EMPTY;
        // SAFETY: a request of this library; its buffer outlives this call in every check.
        unsafe { self.lib.wait(request, &mut status) }?;
        Ok(status)
    }
}

/// The address of a slice, as MPI wants a buffer to read.
pub(crate) fn at<T>(slice: &[T]) -> *const c_void {
    slice.as_ptr().cast()
}

/// The address of a slice, as MPI wants a buffer to write.
pub(crate) fn at_mut<T>(slice: &mut [T]) -> *mut c_void {
    slice.as_mut_ptr().cast()
}

/// Counts in both widths: `int` for the plain functions, `MPI_Count` for the `_c` ones.
pub(crate) struct Counts(Vec<c_int>, Vec<Count>);

/// Displacements in both widths: `int`, and `MPI_Aint` for the `_c` functions.
pub(crate) struct Displacements(Vec<c_int>, Vec<Aint>);

impl Counts {
    pub(crate) fn new(counts: impl IntoIterator<Item = c_int>) -> Self {
        let small: Vec<c_int> = counts.into_iter().collect();
        let large = small.iter().map(|&n| Count::from(n)).collect();
        Self(small, large)
    }
    pub(crate) fn total(&self) -> usize {
        self.0.iter().sum::<c_int>() as usize
    }
    /// Where each block begins when the blocks lie one after the other, `unit` apart per count.
    pub(crate) fn displacements(&self, unit: c_int) -> Displacements {
        let mut next = 0;
        Displacements::new(self.0.iter().map(|n| {
            let here = next;
            next += n * unit;
            here
        }))
    }
}

impl Displacements {
    pub(crate) fn new(displacements: impl IntoIterator<Item = c_int>) -> Self {
        let small: Vec<c_int> = displacements.into_iter().collect();
        let large = small.iter().map(|&n| n as Aint).collect();
        Self(small, large)
    }
}

/// A pointer to numbers in the width that the called function takes.
pub(crate) trait In<T> {
    fn p(&self) -> *const T;
}
impl In<c_int> for Counts {
    fn p(&self) -> *const c_int {
        self.0.as_ptr()
    }
}
impl In<Count> for Counts {
    fn p(&self) -> *const Count {
        self.1.as_ptr()
    }
}
impl In<c_int> for Displacements {
    fn p(&self) -> *const c_int {
        self.0.as_ptr()
    }
}
impl In<Aint> for Displacements {
    fn p(&self) -> *const Aint {
        self.1.as_ptr()
    }
}
