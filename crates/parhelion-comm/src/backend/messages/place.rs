//! [`Scratch`], [`Place`]: the memory of messages.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::backend::Keep;

/// Zeroed memory for elements of any alignment. Who holds the only use of it at a time reads and writes by pointer.
pub(crate) struct Scratch {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory; its users take turns, as the fields' doc demands.
unsafe impl Send for Scratch {}
// SAFETY: as above; a shared reference only gives the pointer.
unsafe impl Sync for Scratch {}

impl Scratch {
    pub(crate) fn new(bytes: usize, align: usize) -> Arc<Self> {
        let layout = Layout::from_size_align(bytes.max(1), align.max(8)).expect("as large as a buffer that exists");
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let memory = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout));
        Arc::new(Scratch { memory, layout })
    }

    /// A copy of `words`.
    pub(crate) fn of_words(words: &[u64]) -> Arc<Self> {
        let scratch = Scratch::new(size_of_val(words), 8);
        // SAFETY: as long as the words, aligned for them, and new.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), scratch.ptr().cast(), words.len()) };
        scratch
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// The first `count` words.
    pub(crate) fn words(&self, count: usize) -> Vec<u64> {
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
pub(crate) struct Place {
    pub(crate) ptr: *mut u8,
    pub(crate) len: usize,
    pub(crate) keep: Option<Arc<Scratch>>,
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
    pub(crate) unsafe fn borrowed(ptr: *mut u8, len: usize) -> Self {
        Place { ptr, len, keep: None }
    }

    /// The first `len` bytes of `scratch`.
    pub(crate) fn owned(scratch: &Arc<Scratch>, len: usize) -> Self {
        assert!(len <= scratch.layout.size());
        Place { ptr: scratch.ptr(), len, keep: Some(scratch.clone()) }
    }

    /// The bytes `from..from + len` of it.
    pub(crate) fn part(&self, from: usize, len: usize) -> Self {
        assert!(from <= self.len && len <= self.len - from);
        // SAFETY: inside the place.
        Place { ptr: unsafe { self.ptr.add(from) }, len, keep: self.keep.clone() }
    }

    /// Copies all of `other`, of the same length, here.
    pub(crate) fn copy_from(&self, other: &Place) {
        assert_eq!(self.len, other.len, "the parts of this rank fit each other");
        // SAFETY: both are valid for the length; a rank's send and receive parts do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(other.ptr, self.ptr, self.len) };
    }

    /// What the place keeps alive.
    pub(crate) fn keep(&self) -> Vec<Keep> {
        self.keep.iter().map(|scratch| Box::new(scratch.clone()) as Keep).collect()
    }
}
