//! [`Aside`]: contributions that have come before anybody says how to combine them.

use std::cell::RefCell;

use parhelion_comm::layout::{combine, copy};
use parhelion_comm::{Kernel, Layout};

/// What is to be combined, in that order: copies of its elements, and where they belong. Nothing, of an exchange whose
/// elements replace others: they are where they belong.
#[derive(Default)]
pub(super) struct Aside(RefCell<Vec<Contribution>>);

struct Contribution {
    field: usize,
    /// The elements one behind the other, aligned or not.
    bytes: Vec<u8>,
    packed: Layout,
    /// The buffer and the places in it.
    to: *mut u8,
    places: Layout,
}

// SAFETY: an address that is used only in `land`, whose caller vouches for it.
unsafe impl Send for Contribution {}

impl Aside {
    /// Keeps a copy of the elements of `from` at `src`, which belong to those of `to` at `dst`, of `size` bytes each.
    ///
    /// # Safety
    /// As [`copy`], of the source.
    pub(super) unsafe fn keep(
        &self,
        src: *const u8,
        from: &Layout,
        dst: *mut u8,
        to: &Layout,
        size: usize,
        field: usize,
    ) {
        let mut bytes = vec![0; from.len() * size];
        let packed = Layout::contiguous(0, from.len());
        // SAFETY: the caller's promise; the copy has room for all elements.
        unsafe { copy(src, from, bytes.as_mut_ptr(), &packed, size) };
        self.0.borrow_mut().push(Contribution { field, bytes, packed, to: dst, places: to.clone() });
    }

    /// Combines what is kept with what is there, by the kernel of its field.
    ///
    /// # Safety
    /// The buffers are where they were when it was kept, alive, and nobody uses what is written; the kernels are one per field,
    /// of its element type.
    pub(super) unsafe fn land(&self, kernels: &[Kernel<'_>]) {
        for kept in self.0.borrow().iter() {
            // SAFETY: the caller's promise; the copy has the elements that the places take.
            unsafe { combine(kept.bytes.as_ptr(), &kept.packed, kept.to, &kept.places, &kernels[kept.field]) };
        }
    }
}
