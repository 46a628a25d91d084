//! Handles: what MPI calls a communicator, a datatype, a request.
//!
//! An MPICH library speaks of them as C `int`, the others as pointers. Here each is a `usize` that holds what the
//! library gave: an `int` zero-extended, or a pointer's bits. [`Width`] is the library's side, [`Arg`] turns one
//! declared Rust argument into what the library's own signature wants and, for results, back. No signature ever
//! passes an `int` where a pointer is meant, so the conversion is right on any byte order.

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;

use crate::{Library, status::Status};

/// `MPI_Aint`: an address, or a difference of two, in bytes.
pub type Aint = isize;
/// `MPI_Count` (and `MPI_Offset`): 64 bits in every library known here.
pub type Count = i64;
/// `MPI_User_function`: `(invec, inoutvec, len, datatype)`. The last points at a handle of the library's own width.
pub type UserFunction = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int, *mut c_void);
/// `MPI_User_function_c`: the same with a 64-bit length.
pub type LargeUserFunction = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut Count, *mut c_void);

/// A handle as one family of libraries stores it: `c_int` (mpich) or `usize` (openmpi, mpi5).
///
/// Sealed: the two implementations are all there are.
pub trait Width: sealed::Sealed + Copy + 'static {
    /// From the bits of a Rust-side handle; drops what a narrow handle has no room for.
    fn narrow(bits: usize) -> Self;
    /// To the bits of a Rust-side handle; an `int` is zero-extended.
    fn widen(self) -> usize;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::ffi::c_int {}
    impl Sealed for usize {}
}

impl Width for c_int {
    #[inline(always)]
    fn narrow(bits: usize) -> Self {
        bits as u32 as c_int
    }
    #[inline(always)]
    fn widen(self) -> usize {
        self as u32 as usize
    }
}

impl Width for usize {
    #[inline(always)]
    fn narrow(bits: usize) -> Self {
        bits
    }
    #[inline(always)]
    fn widen(self) -> usize {
        self
    }
}

/// A kind of MPI handle. Implemented by [`Comm`], [`Datatype`], [`Request`] and the others of this module.
pub trait Handle: sealed_handle::Sealed + Copy + PartialEq + 'static {
    /// The handle's bits: an `int` zero-extended, or a pointer.
    fn bits(self) -> usize;
    /// A handle from its bits, as [`Handle::bits`] gives them.
    fn from_bits(bits: usize) -> Self;
}

mod sealed_handle {
    pub trait Sealed {}
}

/// How one declared argument reaches a library whose handles are `H` wide.
///
/// `enter` builds a slot, `raw` the C argument (it may point into the slot), `leave` brings a result back.
pub trait Arg<H: Width>: Sized {
    /// What stays alive on the stack during the call.
    type Slot;
    /// The argument in the library's own signature.
    type Raw: Copy;
    /// Before the call.
    ///
    /// # Safety
    /// A pointer to a handle must be valid for reads and writes, and initialised.
    unsafe fn enter(self) -> Self::Slot;
    /// The C argument.
    fn raw(slot: &mut Self::Slot) -> Self::Raw;
    /// After the call.
    ///
    /// # Safety
    /// As for `enter`, still.
    unsafe fn leave(slot: Self::Slot);
}

macro_rules! plain {
    ($($t:ty),* $(,)?) => {$(
        impl<H: Width> Arg<H> for $t {
            type Slot = $t;
            type Raw = $t;
            #[inline(always)]
            unsafe fn enter(self) -> Self { self }
            #[inline(always)]
            fn raw(slot: &mut Self) -> Self { *slot }
            #[inline(always)]
            unsafe fn leave(_: Self) {}
        }
    )*};
}

plain!(
    c_int,
    Aint,
    Count,
    *const c_void,
    *mut c_void,
    *const c_int,
    *mut c_int,
    *mut [c_int; 3],
    *const Aint,
    *mut Aint,
    *const Count,
    *mut Count,
    *const c_char,
    *mut c_char,
    *mut *mut *mut c_char,
    *const Status,
    *mut Status,
    UserFunction,
    LargeUserFunction,
);

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(usize);

        impl $name {
            /// A place for a result. Not a handle of any library: give it to nothing but an out parameter.
            pub const UNSET: Self = Self(0);

            pub(crate) const fn new(bits: usize) -> Self { Self(bits) }

            /// A handle that somebody else made, from the number they have for it, in `library`'s terms.
            ///
            /// Takes both spellings of a derived MPICH handle: the zero-extended one and the negative `int` (what
            /// `MPI._handleof` of mpi4py gives). For the other families it is the pointer's value.
            #[must_use]
            pub fn from_raw(library: &Library, raw: i64) -> Self {
                if library.family().is_narrow() { Self(c_int::narrow(raw as usize).widen()) } else { Self(raw as usize) }
            }

            /// The number by which others in this process know the handle: the inverse of `from_raw`.
            ///
            /// A derived MPICH handle comes out as the negative `int` that C code prints.
            #[must_use]
            pub fn as_raw(self, library: &Library) -> i64 {
                if library.family().is_narrow() { i64::from(c_int::narrow(self.0)) } else { self.0 as i64 }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl sealed_handle::Sealed for $name {}
        impl Handle for $name {
            #[inline(always)]
            fn bits(self) -> usize { self.0 }
            #[inline(always)]
            fn from_bits(bits: usize) -> Self { Self(bits) }
        }

        impl<H: Width> Arg<H> for $name {
            type Slot = H;
            type Raw = H;
            #[inline(always)]
            unsafe fn enter(self) -> H { H::narrow(self.0) }
            #[inline(always)]
            fn raw(slot: &mut H) -> H { *slot }
            #[inline(always)]
            unsafe fn leave(_: H) {}
        }

        impl<H: Width> Arg<H> for *mut $name {
            type Slot = (H, *mut $name);
            type Raw = *mut H;
            #[inline(always)]
            unsafe fn enter(self) -> Self::Slot {
                // SAFETY: the caller of `enter` promises a readable, initialised handle.
                (H::narrow(unsafe { *self }.0), self)
            }
            #[inline(always)]
            fn raw(slot: &mut Self::Slot) -> *mut H { &raw mut slot.0 }
            #[inline(always)]
            unsafe fn leave(slot: Self::Slot) {
                // SAFETY: the caller of `leave` promises a writable handle.
                unsafe { *slot.1 = $name(slot.0.widen()) }
            }
        }
    )*};
}

handles! {
    /// `MPI_Comm`.
    Comm
    /// `MPI_Group`.
    Group
    /// `MPI_Datatype`.
    Datatype
    /// `MPI_Op`.
    Op
    /// `MPI_Request`.
    Request
    /// `MPI_Win`.
    Win
    /// `MPI_Info`.
    Info
    /// `MPI_Errhandler`.
    Errhandler
    /// `MPI_Message`, of a matched probe.
    Message
    /// `MPI_Session` (MPI 4).
    Session
}

/// Points at one or more handles in the library's own width, inside a [`HandleArray`](crate::HandleArray).
#[derive(Debug)]
pub struct HandlePtr<T: Handle> {
    pub(crate) ptr: *mut c_void,
    pub(crate) size: usize,
    pub(crate) kind: PhantomData<T>,
}

impl<T: Handle> HandlePtr<T> {
    /// A null pointer: for an array argument that the call ignores (`sendtypes` with `MPI_IN_PLACE`, say).
    #[must_use]
    pub const fn null() -> Self {
        Self { ptr: std::ptr::null_mut(), size: 0, kind: PhantomData }
    }
}

impl<T: Handle> Clone for HandlePtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Handle> Copy for HandlePtr<T> {}

impl<H: Width, T: Handle> Arg<H> for HandlePtr<T> {
    type Slot = *mut H;
    type Raw = *mut H;
    #[inline(always)]
    unsafe fn enter(self) -> *mut H {
        debug_assert!(self.size == 0 || self.size == size_of::<H>(), "an array made for a library of another family");
        self.ptr.cast()
    }
    #[inline(always)]
    fn raw(slot: &mut *mut H) -> *mut H {
        *slot
    }
    #[inline(always)]
    unsafe fn leave(_: *mut H) {}
}
