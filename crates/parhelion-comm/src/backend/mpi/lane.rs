//! [`Lane`]: the private messages of one job.
//!
//! A job's messages travel on the shadow communicator under a tag of its own, so that jobs may be worked on in any order
//! at every rank, which MPI does not allow for collectives of its own (MPI section 6.12).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use super::comm::{Comm, In};
use super::count::{Span, message_bytes};
use super::job::InFlight;
use super::request::Raw;
use super::transport::start_recv;
use crate::backend::Keep;
use crate::error::{Error, ErrorKind, Result};

/// Zeroed memory for elements of any alignment. Who holds the only use of it at a time reads and writes by pointer.
pub(super) struct Scratch {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory; its users take turns, as the fields' doc demands.
unsafe impl Send for Scratch {}
// SAFETY: as above; a shared reference only gives the pointer.
unsafe impl Sync for Scratch {}

impl Scratch {
    pub(super) fn new(bytes: usize, align: usize) -> Arc<Self> {
        let layout = Layout::from_size_align(bytes.max(1), align.max(8)).expect("as large as a buffer that exists");
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        Arc::new(Scratch { memory, layout })
    }

    /// A copy of `words`.
    pub(super) fn of_words(words: &[u64]) -> Arc<Self> {
        let scratch = Scratch::new(size_of_val(words), 8);
        // SAFETY: as long as the words, aligned for them, and new.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), scratch.ptr().cast(), words.len()) };
        scratch
    }

    pub(super) fn ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// The first `count` words.
    pub(super) fn words(&self, count: usize) -> Vec<u64> {
        assert!(count * 8 <= self.layout.size());
        // SAFETY: inside the memory, aligned to 8, initialised; nobody writes while its one user reads.
        unsafe { std::slice::from_raw_parts(self.ptr().cast::<u64>(), count) }.to_vec()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// Memory of a message: the user's, or a piece of a scratch that it keeps.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) ptr: *mut u8,
    pub(super) len: usize,
    pub(super) keep: Option<Arc<Scratch>>,
}

// SAFETY: who makes one on borrowed memory vouches for it until the job is done, on whatever thread.
unsafe impl Send for Place {}
// SAFETY: a shared reference only gives the pointer.
unsafe impl Sync for Place {}

impl Place {
    /// The user's memory.
    ///
    /// # Safety
    /// Valid for `len` bytes until the job that uses it is done, and used by nobody else.
    pub(super) unsafe fn borrowed(ptr: *mut u8, len: usize) -> Self {
        Place { ptr, len, keep: None }
    }

    /// The first `len` bytes of `scratch`.
    pub(super) fn owned(scratch: &Arc<Scratch>, len: usize) -> Self {
        assert!(len <= scratch.layout.size());
        Place { ptr: scratch.ptr(), len, keep: Some(scratch.clone()) }
    }

    /// The bytes `from..from + len` of it.
    pub(super) fn part(&self, from: usize, len: usize) -> Self {
        assert!(from <= self.len && len <= self.len - from);
        // SAFETY: inside the place.
        Place { ptr: unsafe { self.ptr.add(from) }, len, keep: self.keep.clone() }
    }

    /// Copies all of `other`, of the same length, here.
    pub(super) fn copy_from(&self, other: &Place) {
        assert_eq!(self.len, other.len, "the parts of this rank fit each other");
        // SAFETY: both are valid for the length; a rank's send and receive parts do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(other.ptr, self.ptr, self.len) };
    }

    fn keep(&self) -> Vec<Keep> {
        self.keep.iter().map(|scratch| Box::new(scratch.clone()) as Keep).collect()
    }
}

/// The private messages of one job.
pub(super) struct Lane {
    pub(super) comm: Arc<Comm>,
    pub(super) operation: &'static str,
    tag: c_int,
}

impl Lane {
    /// The lane of the next job. All ranks open their lanes in one order.
    pub(super) fn open(comm: &Arc<Comm>, operation: &'static str) -> Self {
        Lane { comm: comm.clone(), operation, tag: comm.next_tag() }
    }

    /// The lane for a few ranks among themselves: one for all such calls, in which the messages of two ranks keep their order.
    pub(super) fn among_peers(comm: &Arc<Comm>, operation: &'static str) -> Self {
        Lane { comm: comm.clone(), operation, tag: comm.peer_tag() }
    }

    pub(super) fn rank(&self) -> usize {
        self.comm.rank
    }

    pub(super) fn size(&self) -> usize {
        self.comm.size
    }

    /// Starts to send `from`, all of it.
    pub(super) fn send(&self, from: &Place, dest: usize) -> Result<InFlight> {
        let library = self.comm.library();
        let c = library.constants();
        let mut request = c.request_null;
        let (ptr, dest) = (from.ptr.cast_const().cast(), dest as c_int);
        let started = Span::new(self.comm.runtime, from.len).and_then(|span| {
            // SAFETY: the place is valid until the job is done or for as long as its keep; a turn is held.
            let started = unsafe {
                match span {
                    Span::Large(n) => library.isend_c(ptr, n, c.byte, dest, self.tag, self.comm.shadow, &mut request),
                    span => {
                        let (n, datatype) = span.arguments(library);
                        library.isend(ptr, n, datatype, dest, self.tag, self.comm.shadow, &mut request)
                    }
                }
            };
            span.release(library);
            started
        });
        started.of(self.operation)?;
        Ok(InFlight::new(Raw { comm: self.comm.clone(), request, is_receive: false }, from.keep()))
    }

    /// Starts to receive up to `into`.
    pub(super) fn recv(&self, into: &Place, source: usize) -> Result<InFlight> {
        // SAFETY: as in `send`.
        let request =
            unsafe { start_recv(self.comm.runtime, into.ptr, into.len, source as c_int, self.tag, self.comm.shadow) };
        let request = request.of(self.operation)?;
        Ok(InFlight::new(Raw { comm: self.comm.clone(), request, is_receive: true }, into.keep()))
    }

    /// Awaits `flight` and gives the length of its message.
    pub(super) async fn length(&self, flight: InFlight) -> Result<usize> {
        let status = flight.await.of(self.operation)?;
        message_bytes(self.comm.library(), &status).of(self.operation)
    }

    /// A message of another length than the call's arguments say: ranks disagree, and nothing checked it.
    pub(super) fn unexpected(&self, source: usize, expected: usize, got: usize) -> Error {
        let text = format!(
            "rank {source} passed {got} bytes where rank {} expects {expected}; PARHELION_CHECK=1 says more",
            self.rank()
        );
        Error::new(self.operation, ErrorKind::Mismatch(text))
    }
}
