//! Receives that Open MPI cannot write past.
//!
//! Open MPI 4.1 and 5.0 move large messages between processes of one node, and of a process to itself, by one direct
//! copy whose length is the sender's (`ob1`'s RGET protocol). A receive buffer that is too short is overrun, and only then
//! is the truncation reported; a short message to oneself is cut without any error. A program that truncates is wrong,
//! but here it is safe code, and must get an error.
//!
//! The direct copy is made only into contiguous memory. So a *guarded* receive is one into two pieces with a gap between
//! them: the buffer, and a place elsewhere, which catches the first byte too many. Its status tells the message's real
//! length. A small one goes through memory of our own, so that its datatype is made once: two blocks with a gap, which
//! Open MPI unpacks faster than two pieces of unlike length (8 against 15 to 20 ns more than a plain receive of 8 bytes).
//! A small blocking one from another rank needs no guard: there is a place where to run past the end does no harm
//! (`runway`). A large blocking one looks at the message's length first (`transport`) and keeps the direct copy; a large
//! non-blocking one loses it.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU8;

use mpi_abi::{Aint, Datatype, DatatypeArray, Library};

use super::count::Span;
use super::runtime::Runtime;

/// The largest capacity that is received through a [`Bounce`].
pub(super) const SMALL: usize = 256;
/// From one block of a bounce to the next: a gap is between them, and the second catches what is too long.
const STEP: usize = SMALL + 8;
/// The blocks of a bounce. One block alone would be received as contiguous memory.
pub(super) const BLOCKS: c_int = 2;

/// Memory for a small receive that blocks: what was received, and nothing else, is initialised.
pub(super) struct Bounce(UnsafeCell<MaybeUninit<[u64; BOUNCE / 8]>>);
/// The bytes of a bounce, also of one on the heap.
pub(super) const BOUNCE: usize = 2 * STEP;

impl Bounce {
    pub(super) fn new() -> Self {
        Bounce(UnsafeCell::new(MaybeUninit::uninit()))
    }

    pub(super) fn ptr(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

/// The datatype of one block of a bounce, made once.
pub(super) fn bounce_type(library: &Library) -> Result<Datatype, mpi_abi::Error> {
    static MADE: OnceLock<Datatype> = OnceLock::new();
    if let Some(&made) = MADE.get() {
        return Ok(made);
    }
    let byte = library.constants().byte;
    let (mut block, mut made) = (Datatype::UNSET, Datatype::UNSET);
    // SAFETY: MPI is active; the types are places of ours.
    unsafe {
        library.type_contiguous(SMALL as c_int, byte, &mut block)?;
        library.type_create_resized(block, 0, STEP as Aint, &mut made)?;
        library.type_free(&mut block)?;
        library.type_commit(&mut made)?;
    }
    // Of two threads that get here at once, one leaks a datatype.
    Ok(*MADE.get_or_init(|| made))
}

/// The datatype, to be freed, of a receive of `len` bytes at `buf`.
pub(super) fn guarded_type(runtime: &Runtime, buf: *mut u8, len: usize) -> Result<Datatype, mpi_abi::Error> {
    /// Catches what is never read.
    static CAUGHT: AtomicU8 = AtomicU8::new(0);
    let library = runtime.library;
    let span = Span::of_int(runtime, len)?;
    let made = two_pieces(library, span.arguments(library), (CAUGHT.as_ptr() as Aint).wrapping_sub(buf as Aint));
    span.release(library);
    made
}

/// `first` at the beginning, and one byte at `catch`.
fn two_pieces(library: &Library, first: (c_int, Datatype), catch: Aint) -> Result<Datatype, mpi_abi::Error> {
    let mut types = DatatypeArray::from_slice(library, &[first.1, library.constants().byte]);
    let (lengths, places) = ([first.0, 1], [0, catch]);
    let mut made = Datatype::UNSET;
    // SAFETY: MPI is active; the arrays have the two elements that the call is told of.
    unsafe {
        library.type_create_struct(2, lengths.as_ptr(), places.as_ptr(), types.as_mut_ptr(), &mut made)?;
        library.type_commit(&mut made)?;
    }
    Ok(made)
}
