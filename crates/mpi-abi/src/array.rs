//! Arrays of handles in the library's own width, contiguous, as `MPI_Waitall` or `MPI_Alltoallw` want them.

use std::ffi::c_int;
use std::marker::PhantomData;

use crate::handles::{Datatype, Handle, HandlePtr, Request, Width};
use crate::{Family, Library};

enum Storage {
    Narrow(Vec<c_int>),
    Wide(Vec<usize>),
}

/// A growable array of handles of one library.
///
/// Adding and reading convert; a call reads and writes the storage in place, so a request that completes in
/// `waitsome` is `MPI_REQUEST_NULL` here without anything being copied back.
pub struct HandleArray<T: Handle> {
    storage: Storage,
    kind: PhantomData<T>,
}

/// Requests for `waitall`, `waitany`, `waitsome`, `testall`, `testany`, `testsome`, `startall`.
pub type RequestArray = HandleArray<Request>;
/// Datatypes for `alltoallw`, `type_create_struct` and the like.
pub type DatatypeArray = HandleArray<Datatype>;

macro_rules! each {
    ($self:expr, $v:ident => $body:expr) => {
        match $self {
            Storage::Narrow($v) => $body,
            Storage::Wide($v) => $body,
        }
    };
}

impl<T: Handle> HandleArray<T> {
    /// An empty array for `library`.
    #[must_use]
    pub fn new(library: &Library) -> Self {
        Self::for_family(library.family())
    }

    /// An empty array for `library` with room for `capacity` handles.
    #[must_use]
    pub fn with_capacity(library: &Library, capacity: usize) -> Self {
        let mut array = Self::new(library);
        each!(&mut array.storage, v => v.reserve(capacity));
        array
    }

    /// An array for `library` holding `handles`.
    #[must_use]
    pub fn from_slice(library: &Library, handles: &[T]) -> Self {
        let mut array = Self::with_capacity(library, handles.len());
        handles.iter().for_each(|&h| array.push(h));
        array
    }

    pub(crate) fn for_family(family: Family) -> Self {
        let storage = if family.is_narrow() { Storage::Narrow(Vec::new()) } else { Storage::Wide(Vec::new()) };
        Self { storage, kind: PhantomData }
    }

    /// How many handles there are.
    #[must_use]
    pub fn len(&self) -> usize {
        each!(&self.storage, v => v.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends one. May move the storage: not while a call has a pointer into it (`comm_idup`).
    pub fn push(&mut self, handle: T) {
        each!(&mut self.storage, v => v.push(Width::narrow(handle.bits())));
    }

    /// The handle at `index`. Panics past the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> T {
        T::from_bits(each!(&self.storage, v => v[index].widen()))
    }

    /// Puts `handle` at `index`. Panics past the end.
    #[inline]
    pub fn set(&mut self, index: usize, handle: T) {
        each!(&mut self.storage, v => v[index] = Width::narrow(handle.bits()));
    }

    /// Forgets all handles; keeps the room. Frees nothing in MPI.
    pub fn clear(&mut self) {
        each!(&mut self.storage, v => v.clear());
    }

    /// Takes out the handle at `index`, the last one moving into its place. Panics past the end.
    pub fn swap_remove(&mut self, index: usize) -> T {
        T::from_bits(each!(&mut self.storage, v => v.swap_remove(index).widen()))
    }

    /// The handles, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// What a call takes. Valid until the array grows or goes.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> HandlePtr<T> {
        match &mut self.storage {
            Storage::Narrow(v) => HandlePtr { ptr: v.as_mut_ptr().cast(), size: size_of::<c_int>(), kind: PhantomData },
            Storage::Wide(v) => HandlePtr { ptr: v.as_mut_ptr().cast(), size: size_of::<usize>(), kind: PhantomData },
        }
    }

    /// The same from `index` on: for a call on the last `len() - index` handles. Panics past the end.
    #[inline]
    pub fn as_mut_ptr_at(&mut self, index: usize) -> HandlePtr<T> {
        match &mut self.storage {
            Storage::Narrow(v) => {
                HandlePtr { ptr: v[index..].as_mut_ptr().cast(), size: size_of::<c_int>(), kind: PhantomData }
            }
            Storage::Wide(v) => {
                HandlePtr { ptr: v[index..].as_mut_ptr().cast(), size: size_of::<usize>(), kind: PhantomData }
            }
        }
    }

    /// For array arguments that MPI only reads. The call must not write through it.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> HandlePtr<T> {
        match &self.storage {
            Storage::Narrow(v) => {
                HandlePtr { ptr: v.as_ptr().cast_mut().cast(), size: size_of::<c_int>(), kind: PhantomData }
            }
            Storage::Wide(v) => {
                HandlePtr { ptr: v.as_ptr().cast_mut().cast(), size: size_of::<usize>(), kind: PhantomData }
            }
        }
    }
}

impl HandleArray<Request> {
    /// Whether the request at `index` is `MPI_REQUEST_NULL` (completed, or never there). Panics past the end.
    #[inline]
    #[must_use]
    pub fn is_null(&self, library: &Library, index: usize) -> bool {
        self.get(index) == library.constants().request_null
    }

    /// Whether every request is `MPI_REQUEST_NULL`.
    #[must_use]
    pub fn all_null(&self, library: &Library) -> bool {
        self.iter().all(|r| r == library.constants().request_null)
    }
}

impl<T: Handle + std::fmt::Debug> std::fmt::Debug for HandleArray<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(family: Family) -> RequestArray {
        let mut a = RequestArray::for_family(family);
        for bits in [0x2c00_0000, 0x9800_0001, 7] {
            a.push(Request::new(bits));
        }
        a
    }

    #[test]
    fn a_narrow_array_is_contiguous_ints_and_a_wide_one_contiguous_words() {
        let mut narrow = filled(Family::Mpich);
        let p = narrow.as_mut_ptr();
        assert_eq!(p.size, 4);
        // SAFETY: three ints were pushed.
        let ints = unsafe { std::slice::from_raw_parts(p.ptr.cast::<u32>(), 3) };
        assert_eq!(ints, [0x2c00_0000, 0x9800_0001, 7]);
        for family in [Family::OpenMpi, Family::Mpi5] {
            let mut wide = filled(family);
            let p = wide.as_mut_ptr();
            assert_eq!(p.size, size_of::<usize>());
            // SAFETY: three words were pushed.
            let words = unsafe { std::slice::from_raw_parts(p.ptr.cast::<usize>(), 3) };
            assert_eq!(words, [0x2c00_0000, 0x9800_0001, 7]);
        }
    }

    #[test]
    fn what_is_put_in_comes_out_zero_extended() {
        for family in [Family::Mpich, Family::OpenMpi, Family::Mpi5] {
            let mut a = filled(family);
            assert_eq!(a.len(), 3);
            assert_eq!(a.get(1), Request::new(0x9800_0001));
            a.set(1, Request::new(5));
            assert_eq!(a.iter().map(Handle::bits).collect::<Vec<_>>(), [0x2c00_0000, 5, 7]);
            assert_eq!(a.swap_remove(0), Request::new(0x2c00_0000));
            assert_eq!(a.get(0), Request::new(7));
            a.clear();
            assert!(a.is_empty());
        }
    }
}
