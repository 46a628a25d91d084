//! Copies from any layout to any layout, in one pass; and two of one shape at once.

use super::kernel::{self, PairCopy, RowCopy};
use super::nest::{Level, Nest};
use super::{Layout, Run, Runs};

/// Copies the elements of `from` in `src` to the elements of `to` in `dst`, in layout order; `size` is the bytes of an
/// element. One pass, no allocation; regular layouts are one nest of loops around rows compiled for their length.
///
/// # Safety
/// - `from.len() == to.len()`.
/// - `src` is readable for `from.end() * size` bytes, `dst` writable for `to.end() * size` (at the elements named; what
///   lies between them is not touched).
/// - No element read is written: the two may be layouts of one buffer if they are disjoint.
/// - Nobody else writes the elements read, or uses those written, during the call.
pub unsafe fn copy(src: *const u8, from: &Layout, dst: *mut u8, to: &Layout, size: usize) {
    debug_assert_eq!(from.len(), to.len(), "copy from layout {from} to layout {to}");
    // SAFETY: every arm passes the caller's promise on.
    unsafe {
        match (from, to) {
            (Layout::Contiguous { start: a, len }, Layout::Contiguous { start: b, .. }) => {
                kernel::run(src.add(a * size), dst.add(b * size), len * size);
            }
            (Layout::Runs(runs), Layout::Contiguous { start, .. }) => {
                list::<true>(dst.add(start * size), src.cast_mut(), runs, size);
            }
            (Layout::Contiguous { start, .. }, Layout::Runs(runs)) => {
                list::<false>(src.add(start * size).cast_mut(), dst, runs, size);
            }
            (Layout::Runs(_), _) | (_, Layout::Runs(_)) => pieces(src, from, dst, to, size),
            _ => match Nest::new(from, to) {
                Some(nest) => nested(src, dst, &nest, size),
                None => pieces(src, from, dst, to, size),
            },
        }
    }
}

/// The shape of a copy: copies of equal shape between the same buffers are better made two at a time by [`copy_pair`].
///
/// The opposite faces of a box across its fastest axis are such copies: the end of one row and the beginning of the next lie
/// on one line of the cache, which is then visited once instead of twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PairShape {
    run: usize,
    levels: Vec<Level>,
}

impl PairShape {
    /// The shape of the copy of elements of `size` bytes; `None` if nothing is gained by pairing it.
    pub fn of(from: &Layout, to: &Layout, size: usize) -> Option<PairShape> {
        let nest = Nest::new(from, to)?;
        kernel::pairs_of(nest.run * size)?;
        (!nest.levels().is_empty()).then(|| PairShape { run: nest.run, levels: nest.levels().to_vec() })
    }
}

/// Two copies of one [`PairShape`] in turns, row by row; of other shapes, one after the other.
///
/// # Safety
/// [`copy`]'s for either, and no element read by one is written by the other.
pub unsafe fn copy_pair(src: [*const u8; 2], from: [&Layout; 2], dst: [*mut u8; 2], to: [&Layout; 2], size: usize) {
    let nests = (Nest::new(from[0], to[0]), Nest::new(from[1], to[1]));
    if let (Some(a), Some(b)) = nests
        && (a.run, a.levels()) == (b.run, b.levels())
        && let Some(pairs) = kernel::pairs_of(a.run * size)
        && let [inner, outer @ ..] = a.levels()
    {
        let src = [src[0].wrapping_add(a.from * size), src[1].wrapping_add(b.from * size)];
        let dst = [dst[0].wrapping_add(a.to * size), dst[1].wrapping_add(b.to * size)];
        // SAFETY: the loops visit exactly the runs of all four layouts.
        unsafe { around_pairs(src, dst, inner, outer, pairs, size) };
    } else {
        // SAFETY: the caller's promise.
        unsafe {
            copy(src[0], from[0], dst[0], to[0], size);
            copy(src[1], from[1], dst[1], to[1], size);
        }
    }
}

/// [`around`] for two.
///
/// # Safety
/// Every run of either nest lies inside the buffers; [`PairCopy`]'s.
unsafe fn around_pairs(
    src: [*const u8; 2],
    dst: [*mut u8; 2],
    inner: &Level,
    outer: &[Level],
    pairs: PairCopy,
    size: usize,
) {
    match outer {
        // SAFETY: the caller's promise.
        [] => unsafe { pairs(src, inner.from * size, dst, inner.to * size, inner.count) },
        [faster @ .., slowest] => {
            let (mut src, mut dst) = (src, dst);
            for _ in 0..slowest.count {
                // SAFETY: the caller's promise, for the nests without their slowest loops.
                unsafe { around_pairs(src, dst, inner, faster, pairs, size) };
                src = src.map(|p| p.wrapping_add(slowest.from * size));
                dst = dst.map(|p| p.wrapping_add(slowest.to * size));
            }
        }
    }
}

/// # Safety
/// [`copy`]'s, for the layouts the nest was made of.
unsafe fn nested(src: *const u8, dst: *mut u8, nest: &Nest, size: usize) {
    let bytes = nest.run * size;
    let rows = kernel::rows_of(bytes);
    let (src, dst) = (src.wrapping_add(nest.from * size), dst.wrapping_add(nest.to * size));
    match nest.levels() {
        // SAFETY: one run, inside both buffers.
        [] => unsafe { rows(src, 0, dst, 0, 1, bytes) },
        // SAFETY: the loops visit exactly the runs of both layouts.
        [inner, outer @ ..] => unsafe { around(src, dst, inner, outer, rows, bytes, size) },
    }
}

/// The loops of `outer`, the fastest first, around rows along `inner`.
///
/// # Safety
/// Every run of the nest lies inside the buffers; [`RowCopy`]'s.
unsafe fn around(
    src: *const u8,
    dst: *mut u8,
    inner: &Level,
    outer: &[Level],
    rows: RowCopy,
    bytes: usize,
    size: usize,
) {
    match outer {
        // SAFETY: the caller's promise.
        [] => unsafe { rows(src, inner.from * size, dst, inner.to * size, inner.count, bytes) },
        [faster @ .., slowest] => {
            let (mut src, mut dst) = (src, dst);
            for _ in 0..slowest.count {
                // SAFETY: the caller's promise, for the nest without its slowest loop.
                unsafe { around(src, dst, inner, faster, rows, bytes, size) };
                (src, dst) = (src.wrapping_add(slowest.from * size), dst.wrapping_add(slowest.to * size));
            }
        }
    }
}

/// Between a list of runs in `scattered` and `packed` memory: to `packed` if `PACK`, else from it.
///
/// # Safety
/// As [`copy`], with the sides that `PACK` gives.
unsafe fn list<const PACK: bool>(packed: *mut u8, scattered: *mut u8, list: &Runs, size: usize) {
    let runs = list.as_slice();
    // SAFETY: the caller's promise; the arms differ in what the compiler knows.
    unsafe {
        match (size, &list.indices) {
            (1, Some(indices)) => indexed::<PACK, u8>(packed, scattered, indices),
            (2, Some(indices)) => indexed::<PACK, u16>(packed.cast(), scattered.cast(), indices),
            (4, Some(indices)) => indexed::<PACK, u32>(packed.cast(), scattered.cast(), indices),
            (8, Some(indices)) => indexed::<PACK, u64>(packed.cast(), scattered.cast(), indices),
            (16, Some(indices)) => indexed::<PACK, [u64; 2]>(packed.cast(), scattered.cast(), indices),
            (1, None) => listed::<PACK, 1>(packed, scattered, runs, 1),
            (2, None) => listed::<PACK, 2>(packed, scattered, runs, 2),
            (4, None) => listed::<PACK, 4>(packed, scattered, runs, 4),
            (8, None) => listed::<PACK, 8>(packed, scattered, runs, 8),
            (16, None) => listed::<PACK, 16>(packed, scattered, runs, 16),
            _ => listed::<PACK, 0>(packed, scattered, runs, size),
        }
    }
}

/// [`list`] for elements as long as `E`, one by one: without a branch for each run.
///
/// # Safety
/// As [`list`], for its indices.
unsafe fn indexed<const PACK: bool, E: Copy>(packed: *mut E, scattered: *mut E, indices: &[u32]) {
    for (i, &index) in indices.iter().enumerate() {
        // SAFETY: the index lies inside the scattered side, its place in the list inside the packed one; elements need not
        // be aligned for `E`.
        unsafe {
            let (packed, there) = (packed.add(i), scattered.add(index as usize));
            if PACK {
                packed.write_unaligned(there.read_unaligned());
            } else {
                there.write_unaligned(packed.read_unaligned());
            }
        }
    }
}

/// [`list`] for elements of `B` bytes, or of `size` where `B` is 0.
///
/// # Safety
/// As [`list`].
#[inline(always)]
unsafe fn listed<const PACK: bool, const B: usize>(packed: *mut u8, scattered: *mut u8, runs: &[Run], size: usize) {
    let mut packed = packed;
    for &Run { start, len } in runs {
        let (there, bytes) = (scattered.wrapping_add(start * size), len * size);
        let (src, dst) = if PACK { (there, packed) } else { (packed, there) };
        // SAFETY: the run lies inside both sides.
        unsafe {
            if B > 0 && len == 1 {
                src.copy_to_nonoverlapping(dst, B);
            } else {
                kernel::run(src, dst, bytes);
            }
        }
        packed = packed.wrapping_add(bytes);
    }
}

/// Any two layouts: the pieces that are contiguous on both sides.
///
/// # Safety
/// [`copy`]'s.
unsafe fn pieces(src: *const u8, from: &Layout, dst: *mut u8, to: &Layout, size: usize) {
    for_each_piece(from, to, |a, b, len| {
        // SAFETY: the piece lies inside one run of either layout.
        unsafe { kernel::run(src.add(a * size), dst.add(b * size), len * size) };
    });
}

/// Calls `each(index in from, index in to, length)` for the pieces that are contiguous on both sides, in layout order.
#[inline]
pub(super) fn for_each_piece(from: &Layout, to: &Layout, mut each: impl FnMut(usize, usize, usize)) {
    let (mut from, mut to) = (from.iter_runs(), to.iter_runs());
    let (mut a, mut b) = ((0, 0), (0, 0));
    loop {
        if a.1 == 0 {
            let Some(run) = from.next() else { return };
            a = run;
        }
        if b.1 == 0 {
            let Some(run) = to.next() else { return };
            b = run;
        }
        let len = a.1.min(b.1);
        each(a.0, b.0, len);
        a = (a.0 + len, a.1 - len);
        b = (b.0 + len, b.1 - len);
    }
}
