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

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::backend::block::{Block, Reach};
use crate::communicator::Communicator;
use crate::element::Element;
use crate::error::{Error, ErrorKind, Result};

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

    /// Its first element. Unlike the method of slices of this name it makes no reference to the elements, so that others
    /// may go on reading them meanwhile.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr.as_ptr()
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

/// The memory of a peer as this rank can read it: what [`Communicator::attach`] found. Cheap to clone.
#[derive(Clone)]
pub struct PeerMemory {
    reach: Reach,
    peer: usize,
}

impl PeerMemory {
    /// The rank whose memory it is.
    pub fn peer(&self) -> usize {
        self.peer
    }

    /// The address, in this process, of the `bytes` first bytes of the peer's memory that has this token.
    ///
    /// Reading there is unsafe: it is for the caller to know that the token came from the peer, that the peer has not dropped the
    /// memory, and that it does not write there meanwhile: that what it wrote before was made known by a message or a
    /// [`post`](crate::Signals::post), and that it waits for another before it goes on to write or borrows it mutably. The
    /// address is good for as long as this, or a clone of it, lives.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if these bytes cannot all be the peer's. Between threads, where any
    /// address is reachable, that is only what is no address.
    #[inline]
    pub fn resolve(&self, token: u64, bytes: usize) -> Result<*const u8> {
        self.reach.resolve(token, bytes).ok_or_else(|| self.outside(token, bytes))
    }

    #[cold]
    fn outside(&self, token: u64, bytes: usize) -> Error {
        let text = format!("{bytes} bytes at token {token:#x} are not in the memory of rank {}", self.peer);
        Error::new("resolve", ErrorKind::InvalidArgument(text)).with_peer(self.peer)
    }
}

impl fmt::Debug for PeerMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerMemory(of rank {})", self.peer)
    }
}

impl Communicator {
    /// For each of `peers`, how to read the memory that it allocates, now and later; `None` for those whose memory cannot be
    /// read from here, or that cannot read this rank's. Of two ranks either both can or none.
    ///
    /// Collective over this rank and `peers`, each of which names this one; it may wait for them. Done once for a set of
    /// peers; doing it again costs some messages.
    ///
    /// Processes cannot where they are on different nodes or in different containers, where the system has no memory files
    /// or hides `/proc`, and where [`Config::shared_memory`](crate::Config::shared_memory) is off.
    ///
    /// # Errors
    /// A rank that does not exist or is named twice; a lost peer, a timeout; what the backend reports.
    pub fn attach(&self, peers: &[usize]) -> Result<Vec<Option<PeerMemory>>> {
        self.check_peers("attach", peers)?;
        let reach = self.transport().attach(peers).map_err(|e| self.locate(e))?;
        let memory = |(&peer, reach): (&usize, Option<Reach>)| reach.map(|reach| PeerMemory { reach, peer });
        Ok(peers.iter().zip(reach).map(memory).collect())
    }

    /// Ends a call whose list of peers has one that does not exist, or one twice.
    pub(crate) fn check_peers(&self, operation: &'static str, peers: &[usize]) -> Result<()> {
        let mut seen = HashSet::with_capacity(peers.len());
        for &rank in peers {
            if rank >= self.size() {
                return Err(self.error(operation, ErrorKind::InvalidRank { rank, size: self.size() }));
            }
            if !seen.insert(rank) {
                let text = format!("rank {rank} is twice among the peers");
                return Err(self.error(operation, ErrorKind::InvalidArgument(text)));
            }
        }
        Ok(())
    }

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
