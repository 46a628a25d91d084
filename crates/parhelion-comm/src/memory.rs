//! [`Memory`]: storage that ranks of the same node can read directly.
//!
//! A rank allocates and frees its memory by itself, in any order and on any thread. What others may read of it they find
//! by its *token*, a number that they are sent, once they have attached this rank ([`Communicator::attach`]). When they may
//! read is for both to agree on, by messages or by [`signals`](Communicator::signals).
//!
//! ```
//! parhelion_comm::run(|world| {
//!     let mut memory = world.allocate::<f64>(1000);
//!     memory[7] = 1.5;
//!     assert_eq!(memory.iter().sum::<f64>(), 1.5);
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::backend::block::Block;
use crate::communicator::Communicator;
use crate::element::Element;

/// Elements in memory that [`Communicator::allocate`] made: a slice, zero at first, aligned to 64 bytes or more.
pub struct Memory<T: Element> {
    ptr: NonNull<T>,
    len: usize,
    block: Block,
    marker: PhantomData<T>,
}

// SAFETY: it owns its elements, as a `Vec` does, and elements are `Send`.
unsafe impl<T: Element> Send for Memory<T> {}
// SAFETY: a shared reference gives shared slices, and elements are `Sync`.
unsafe impl<T: Element> Sync for Memory<T> {}

impl<T: Element> Memory<T> {
    /// The number by which ranks that have attached this one find the memory; none if they cannot, and must be sent
    /// messages: the backend or the node has no memory to share, or it is used up.
    pub fn token(&self) -> Option<u64> {
        self.block.token()
    }
}

impl<T: Element> Deref for Memory<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the block has room for `len` elements, aligned, initialised with zeros, which are a value of every Pod.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Element> DerefMut for Memory<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and borrowed exclusively; who reads through a token vouches for the time (`resolve`).
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Memory<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Communicator {
    /// Memory for `len` elements, all zero. Not collective: every rank allocates and drops what it wants, when it wants.
    ///
    /// Where the system hands out pages when they are first written, no memory is used before that. Ranks of this node
    /// can read it through its token, if it has one.
    ///
    /// # Panics
    /// If the size in bytes overflows, as for a `Vec`. Without memory the process ends, as with a `Vec`.
    pub fn allocate<T: Element>(&self, len: usize) -> Memory<T> {
        let bytes = len.checked_mul(size_of::<T>()).expect("capacity overflow");
        let block = self.transport().allocate(bytes, align_of::<T>());
        Memory { ptr: block.ptr().cast(), len, block, marker: PhantomData }
    }
}
