//! Reductions from any layout into any layout.

use std::mem::MaybeUninit;

use super::Layout;
use super::copy::for_each_piece;
use super::kernel;
use super::nest::{Level, Nest};
use crate::op::Kernel;

/// `dst[to[i]] = dst[to[i]] ∘ src[from[i]]` for every `i`, in layout order, with the operator and element type of
/// `kernel`. An element that `to` names twice is combined twice. `src` need not be aligned.
///
/// # Safety
/// - `from.len() == to.len()`.
/// - `src` is readable for `from.end()` elements of the kernel's type, `dst` readable and writable for `to.end()` (at the
///   elements named), and aligned to the type.
/// - No element read from `src` is written, and nobody else writes or reads the elements written during the call.
pub unsafe fn combine(src: *const u8, from: &Layout, dst: *mut u8, to: &Layout, kernel: &Kernel<'_>) {
    debug_assert_eq!(from.len(), to.len(), "combine from layout {from} into layout {to}");
    let (size, align) = (kernel.element.size, kernel.element.align);
    if size == 0 || to.is_empty() {
        return;
    }
    let aligned = src.addr().is_multiple_of(align);
    if aligned && let Some(nest) = Nest::new(from, to) {
        // SAFETY: the caller's promise, and `src` is aligned.
        unsafe { nested(src, dst, &nest, kernel) };
    } else if aligned {
        // SAFETY: each piece lies inside one run of either layout; both sides are aligned and do not overlap.
        for_each_piece(from, to, |a, b, len| unsafe { kernel.fold(dst.add(b * size), src.add(a * size), len) });
    } else {
        let mut part = Scratch::new(size);
        for_each_piece(from, to, |a, b, len| {
            let mut done = 0;
            while done < len {
                let n = part.capacity.min(len - done);
                // SAFETY: as above; the scratch holds `n` elements and is aligned for every element type.
                unsafe {
                    src.add((a + done) * size).copy_to_nonoverlapping(part.at(), n * size);
                    kernel.fold(dst.add((b + done) * size), part.at(), n);
                }
                done += n;
            }
        });
    }
}

/// Runs shorter than this many elements are brought together before they are combined.
const SHORT_RUN: usize = 16;

/// # Safety
/// [`combine`]'s, and `src` is aligned. A nest names no element twice.
unsafe fn nested(src: *const u8, dst: *mut u8, nest: &Nest, kernel: &Kernel<'_>) {
    let size = kernel.element.size;
    let (src, dst) = (src.wrapping_add(nest.from * size), dst.wrapping_add(nest.to * size));
    match nest.levels() {
        // SAFETY: one run, inside both buffers.
        [] => unsafe { kernel.fold(dst, src, nest.run) },
        [inner, outer @ ..] if nest.run < SHORT_RUN && size * nest.run <= SCRATCH => {
            let (mut x, mut acc) = (Scratch::new(size), Scratch::new(size));
            // SAFETY: the loops visit exactly the runs of both layouts.
            unsafe {
                around(src, dst, outer, size, &mut |s, d| gathered(s, d, nest.run, inner, kernel, &mut x, &mut acc))
            };
        }
        // SAFETY: as above.
        levels => unsafe { around(src, dst, levels, size, &mut |s, d| kernel.fold(d, s, nest.run)) },
    }
}

/// The loops of `levels`, the fastest first, around `each`.
///
/// # Safety
/// `each` may be called for every point of the loops.
unsafe fn around(
    src: *const u8,
    dst: *mut u8,
    levels: &[Level],
    size: usize,
    each: &mut dyn FnMut(*const u8, *mut u8),
) {
    let [faster @ .., slowest] = levels else { return each(src, dst) };
    let (mut src, mut dst) = (src, dst);
    for _ in 0..slowest.count {
        // SAFETY: the caller's promise, for the loops without the slowest.
        unsafe { around(src, dst, faster, size, each) };
        (src, dst) = (src.wrapping_add(slowest.from * size), dst.wrapping_add(slowest.to * size));
    }
}

/// Short runs along one level: brought together, combined, and put back, a scratch at a time.
///
/// # Safety
/// Every run of the level lies inside both buffers; no element occurs twice; a run fits the scratch.
unsafe fn gathered(
    src: *const u8,
    dst: *mut u8,
    run: usize,
    level: &Level,
    kernel: &Kernel<'_>,
    x: &mut Scratch,
    acc: &mut Scratch,
) {
    let size = kernel.element.size;
    let (bytes, from, to) = (run * size, level.from * size, level.to * size);
    let rows = kernel::rows_of(bytes);
    let (mut src, mut dst, mut left) = (src, dst, level.count);
    while left > 0 {
        let n = left.min(x.capacity / run);
        // SAFETY: the caller's promise; `n` runs fit the scratch, which is aligned for every element type.
        unsafe {
            rows(src, from, x.at(), bytes, n, bytes);
            rows(dst, to, acc.at(), bytes, n, bytes);
            kernel.fold(acc.at(), x.at(), n * run);
            rows(acc.at(), bytes, dst, to, n, bytes);
        }
        (src, dst, left) = (src.wrapping_add(n * from), dst.wrapping_add(n * to), left - n);
    }
}

/// Bytes of a scratch.
const SCRATCH: usize = 4096;

/// A little aligned memory on the stack, or more of it elsewhere for elements that do not fit.
struct Scratch {
    here: Block,
    there: Vec<Block>,
    capacity: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Block([MaybeUninit<u8>; SCRATCH]);

impl Scratch {
    /// Room for at least one element of `size` bytes.
    fn new(size: usize) -> Scratch {
        let there = if size > SCRATCH {
            vec![Block([MaybeUninit::uninit(); SCRATCH]); size.div_ceil(SCRATCH)]
        } else {
            Vec::new()
        };
        Scratch { here: Block([MaybeUninit::uninit(); SCRATCH]), there, capacity: (SCRATCH / size).max(1) }
    }

    fn at(&mut self) -> *mut u8 {
        if self.there.is_empty() { self.here.0.as_mut_ptr().cast() } else { self.there.as_mut_ptr().cast() }
    }
}
