//! Copies of rows: `count` runs of `bytes` bytes at fixed distances, compiled for each short length.

/// # Safety
/// Contract of all row copies: (source, distance, destination, distance, count, bytes); every run is readable at the
/// source, writable at the destination, and no source run overlaps a destination run.
pub(super) type RowCopy = unsafe fn(*const u8, usize, *mut u8, usize, usize, usize);

/// Up to here a loop of 16-byte moves beats a call of `memcpy`.
const SHORT: usize = 128;

/// The row copy for runs of `bytes` bytes.
#[inline]
pub(super) fn rows_of(bytes: usize) -> RowCopy {
    match bytes {
        1 => fixed::<1>,
        2 => fixed::<2>,
        4 => fixed::<4>,
        6 => fixed::<6>,
        8 => fixed::<8>,
        12 => fixed::<12>,
        16 => fixed::<16>,
        20 => fixed::<20>,
        24 => fixed::<24>,
        32 => fixed::<32>,
        40 => fixed::<40>,
        48 => fixed::<48>,
        56 => fixed::<56>,
        64 => fixed::<64>,
        17..=SHORT => short,
        _ => long,
    }
}

/// Two row copies of equal distances in turns: (sources, distance, destinations, distance, count). The safety contract is
/// [`RowCopy`]'s for either; no run read by one is written by the other.
pub(super) type PairCopy = unsafe fn([*const u8; 2], usize, [*mut u8; 2], usize, usize);

/// The pair copy for runs of `bytes` bytes, where going through two at once gains: short runs share lines.
#[inline]
pub(super) fn pairs_of(bytes: usize) -> Option<PairCopy> {
    Some(match bytes {
        1 => pair::<1>,
        2 => pair::<2>,
        4 => pair::<4>,
        8 => pair::<8>,
        12 => pair::<12>,
        16 => pair::<16>,
        24 => pair::<24>,
        32 => pair::<32>,
        48 => pair::<48>,
        _ => return None,
    })
}

/// # Safety
/// [`PairCopy`]'s.
unsafe fn pair<const B: usize>(src: [*const u8; 2], from: usize, dst: [*mut u8; 2], to: usize, count: usize) {
    let ([mut src, mut other_src], [mut dst, mut other_dst]) = (src, dst);
    for _ in 0..count {
        // SAFETY: the caller's promise.
        unsafe {
            ascending::<B>(src, dst);
            ascending::<B>(other_src, other_dst);
        }
        (src, dst) = (src.wrapping_add(from), dst.wrapping_add(to));
        (other_src, other_dst) = (other_src.wrapping_add(from), other_dst.wrapping_add(to));
    }
}

/// # Safety
/// [`RowCopy`]'s.
unsafe fn fixed<const B: usize>(src: *const u8, from: usize, dst: *mut u8, to: usize, count: usize, _bytes: usize) {
    let (mut src, mut dst) = (src, dst);
    for _ in 0..count {
        // SAFETY: the caller's promise.
        unsafe { ascending::<B>(src, dst) };
        // The last step may leave the buffers; nothing is read or written there.
        (src, dst) = (src.wrapping_add(from), dst.wrapping_add(to));
    }
}

/// Copies `B` bytes in moves of ascending addresses: stores that go backwards over a line's end cost half as much again.
///
/// # Safety
/// `src` is readable and `dst` writable for `B` bytes, and they do not overlap.
#[inline(always)]
unsafe fn ascending<const B: usize>(src: *const u8, dst: *mut u8) {
    let mut at = 0;
    // SAFETY: `at` and the move's length stay within `B`.
    unsafe {
        while at + 16 <= B {
            src.add(at).copy_to_nonoverlapping(dst.add(at), 16);
            at += 16;
        }
        if B & 8 > 0 {
            src.add(at).copy_to_nonoverlapping(dst.add(at), 8);
            at += 8;
        }
        if B & 4 > 0 {
            src.add(at).copy_to_nonoverlapping(dst.add(at), 4);
            at += 4;
        }
        if B & 2 > 0 {
            src.add(at).copy_to_nonoverlapping(dst.add(at), 2);
            at += 2;
        }
        if B & 1 > 0 {
            src.add(at).copy_to_nonoverlapping(dst.add(at), 1);
        }
    }
}

/// # Safety
/// [`RowCopy`]'s; `bytes` is in `16..=SHORT`.
unsafe fn short(src: *const u8, from: usize, dst: *mut u8, to: usize, count: usize, bytes: usize) {
    let (mut src, mut dst) = (src, dst);
    for _ in 0..count {
        // SAFETY: the caller's promise.
        unsafe { blocks(src, dst, bytes) };
        (src, dst) = (src.wrapping_add(from), dst.wrapping_add(to));
    }
}

/// # Safety
/// [`RowCopy`]'s.
unsafe fn long(src: *const u8, from: usize, dst: *mut u8, to: usize, count: usize, bytes: usize) {
    let (mut src, mut dst) = (src, dst);
    for _ in 0..count {
        // SAFETY: the caller's promise.
        unsafe { src.copy_to_nonoverlapping(dst, bytes) };
        (src, dst) = (src.wrapping_add(from), dst.wrapping_add(to));
    }
}

/// Copies at least 16 bytes by moves of 16, the last of which may repeat bytes of the one before it.
///
/// # Safety
/// `src` is readable and `dst` writable for `bytes`, which is at least 16, and they do not overlap.
#[inline(always)]
unsafe fn blocks(src: *const u8, dst: *mut u8, bytes: usize) {
    let last = bytes - 16;
    let mut at = 0;
    while at < last {
        // SAFETY: at + 16 < bytes.
        unsafe { src.add(at).copy_to_nonoverlapping(dst.add(at), 16) };
        at += 16;
    }
    // SAFETY: last + 16 = bytes.
    unsafe { src.add(last).copy_to_nonoverlapping(dst.add(last), 16) };
}

/// One run of any length.
///
/// # Safety
/// `src` is readable and `dst` writable for `bytes`, and they do not overlap.
#[inline(always)]
pub(super) unsafe fn run(src: *const u8, dst: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise, in each arm.
    unsafe {
        match bytes {
            8 => src.copy_to_nonoverlapping(dst, 8),
            4 => src.copy_to_nonoverlapping(dst, 4),
            16..=SHORT => blocks(src, dst, bytes),
            _ => src.copy_to_nonoverlapping(dst, bytes),
        }
    }
}
