//! [`Ground`]: the bytes of one rank's part of a window, which several threads of its process use.

use std::ptr::{copy_nonoverlapping, null_mut};
use std::sync::{PoisonError, RwLock};

use crate::backend::block::Block;
use crate::element::ElementType;
use crate::op::Kernel;

/// A part of a window. Accesses from outside exclude each other where they must, so that ranks that reach for the same
/// elements get one value or the other, and no data race.
pub(crate) struct Ground {
    block: Block,
    bytes: usize,
    element: ElementType,
    access: RwLock<()>,
}

impl Ground {
    pub(crate) fn new(bytes: usize, element: ElementType) -> Self {
        Ground { block: Block::plain(bytes, element.align, false), bytes, element, access: RwLock::new(()) }
    }

    pub(crate) fn memory(&self) -> *mut u8 {
        self.block.ptr().as_ptr()
    }

    /// Whether these bytes are whole elements of it.
    pub(crate) fn has(&self, offset: usize, bytes: usize) -> bool {
        let size = self.element.size.max(1);
        offset.is_multiple_of(size)
            && bytes.is_multiple_of(size)
            && offset.checked_add(bytes).is_some_and(|end| end <= self.bytes)
    }

    /// Where `bytes` bytes of it are.
    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(self.has(offset, bytes), "{bytes} bytes at {offset} are not in a part of {} bytes", self.bytes);
        self.memory().wrapping_add(offset)
    }

    fn write(&self, f: impl FnOnce()) {
        let _guard = self.access.write().unwrap_or_else(PoisonError::into_inner);
        f();
    }

    /// # Safety
    /// `from` is readable for `bytes` bytes; the owner has no reference to the memory now.
    pub(crate) unsafe fn put(&self, offset: usize, from: *const u8, bytes: usize) {
        let to = self.at(offset, bytes);
        // SAFETY: inside the block, and nobody else uses it under the lock; the rest is the caller's promise.
        self.write(|| unsafe { copy_nonoverlapping(from, to, bytes) });
    }

    /// # Safety
    /// `into` is writable for `bytes` bytes; the owner has no exclusive reference to the memory now.
    pub(crate) unsafe fn get(&self, offset: usize, into: *mut u8, bytes: usize) {
        let from = self.at(offset, bytes);
        let _guard = self.access.read().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: inside the block, and nobody writes under the lock; the rest is the caller's promise.
        unsafe { copy_nonoverlapping(from, into, bytes) };
    }

    /// Combines; what was there before goes to `before`, unless that is null.
    ///
    /// # Safety
    /// `from` is readable for `count` elements and aligned, `before` writable; both are outside of the memory, to which the owner
    /// has no reference now. The kernel is for the window's element.
    pub(crate) unsafe fn accumulate(
        &self,
        offset: usize,
        from: *const u8,
        count: usize,
        kernel: &Kernel<'_>,
        before: *mut u8,
    ) {
        let bytes = count * self.element.size;
        let at = self.at(offset, bytes);
        // SAFETY: inside the block and aligned, since its beginning and the offset are; nobody else uses it under the lock.
        self.write(|| unsafe {
            if !std::ptr::eq(before, null_mut()) {
                copy_nonoverlapping(at, before, bytes);
            }
            kernel.fold(at, from, count);
        });
    }

    /// # Safety
    /// `expected` and `new` are readable, `before` is writable, for one element, outside of the memory, to which the owner has no
    /// reference now.
    pub(crate) unsafe fn compare_and_swap(&self, offset: usize, expected: *const u8, new: *const u8, before: *mut u8) {
        let size = self.element.size;
        let at = self.at(offset, size);
        // SAFETY: as above.
        self.write(|| unsafe {
            copy_nonoverlapping(at, before, size);
            if std::slice::from_raw_parts(at, size) == std::slice::from_raw_parts(expected, size) {
                copy_nonoverlapping(new, at, size);
            }
        });
    }
}
