//! The work of a collective, once every rank's call is known: who copies and combines what.
//!
//! All calls see each other's buffers, so nothing is sent: [`own`] computes one rank's receive part from all send parts, and
//! [`share`] does one rank's part of the work for everybody (a segment of a reduction, for all who receive it). Either way
//! elements are combined in rank order, so every rank gets the same bits whoever computed them.

use super::stream::{Stream, copy_near};
use crate::backend::{Collective, CollectiveKind as Kind, Counts};
use crate::op::Kernel;

/// Bytes combined at a time: small enough for the first-level cache.
const TILE: usize = 8 << 10;

/// The calls of all ranks, validated against each other.
pub(super) trait Calls {
    fn size(&self) -> usize;
    /// The call of a rank.
    fn call(&self, rank: usize) -> &Collective<'_>;
    /// The send part of a rank, wherever its bytes are.
    fn send(&self, rank: usize) -> *const u8;
    /// The receive part of a rank.
    fn recv(&self, rank: usize) -> *mut u8;
}

impl Counts<'_> {
    /// Elements before block `rank`, and in it, of a part that is one block per rank.
    pub(super) fn block(&self, rank: usize) -> (usize, usize) {
        match self {
            Counts::Same(n) => (n * rank, *n),
            Counts::Each(counts) => (counts[..rank].iter().sum(), counts[rank]),
        }
    }

    /// Elements in a part that is one block.
    pub(super) fn one(&self) -> usize {
        match self {
            Counts::Same(n) => *n,
            Counts::Each(counts) => counts.iter().sum(),
        }
    }
}

/// Computes rank `i`'s receive part alone.
///
/// # Safety
/// Every send part is readable and rank `i`'s receive part writable as the calls say, and nobody writes to either meanwhile.
pub(super) unsafe fn own(calls: &impl Calls, i: usize) {
    let (mine, p) = (calls.call(i), calls.size());
    let size = mine.element.size;
    // SAFETY (whole function): blocks lie inside their parts, since counts were validated by the caller and against each
    // other; send and receive parts of one call do not overlap, save in an in-place all_reduce, which `reduce` handles.
    match mine.kind {
        Kind::Barrier => {}
        Kind::Broadcast if i == mine.root => {}
        // SAFETY: as above.
        Kind::Broadcast => unsafe { copy(calls.send(mine.root), mine.recv, mine.recv_counts.one() * size) },
        Kind::Reduce if i != mine.root => {}
        // SAFETY: as above.
        Kind::Reduce | Kind::AllReduce => unsafe { segment(calls, i, 0..p, 0, mine.send_count(), [i].into_iter()) },
        // SAFETY: as above.
        Kind::Scan => unsafe { segment(calls, i, 0..i + 1, 0, mine.send_count(), [i].into_iter()) },
        Kind::ExclusiveScan if i == 0 => {}
        // SAFETY: as above.
        Kind::ExclusiveScan => unsafe { segment(calls, i, 0..i, 0, mine.send_count(), [i].into_iter()) },
        Kind::Gather if i != mine.root => {}
        Kind::Gather | Kind::AllGather => {
            for r in 0..p {
                let (at, n) = mine.recv_counts.block(r);
                // SAFETY: as above.
                unsafe { copy(calls.send(r), mine.recv.add(at * size), n * size) };
            }
        }
        Kind::Scatter => {
            let (at, n) = calls.call(mine.root).send_counts.block(i);
            // SAFETY: as above.
            unsafe { copy(calls.send(mine.root).add(at * size), mine.recv, n * size) };
        }
        Kind::AllToAll => {
            let mut to = 0;
            for r in 0..p {
                let (at, n) = calls.call(r).send_counts.block(i);
                // SAFETY: as above; blocks are received in rank order.
                unsafe { copy(calls.send(r).add(at * size), mine.recv.add(to * size), n * size) };
                to += n;
            }
        }
        Kind::ReduceScatter => {
            let (at, n) = mine.send_counts.block(i);
            // SAFETY: as above.
            unsafe { fold_into(calls, i, 0..p, at, n, mine.recv, p) };
        }
    }
}

/// Does rank `i`'s part of the work for everybody.
///
/// # Safety
/// Every part is readable and writable as the calls say, and only other shares of this operation use them meanwhile.
pub(super) unsafe fn share(calls: &impl Calls, i: usize) {
    // Whatever all calls have in common is read from this share's own, which is near.
    let (first, p) = (calls.call(i), calls.size());
    let size = first.element.size;
    // SAFETY (whole function): as in `own`; shares write disjoint elements.
    match first.kind {
        Kind::AllReduce => {
            let (from, to) = piece(first.send_count(), size, i, p);
            // The own result first: it is nearest when the rank goes on.
            // SAFETY: as above.
            unsafe { segment(calls, i, 0..p, from, to, (i..p).chain(0..i)) };
        }
        Kind::Reduce => {
            let (from, to) = piece(first.send_count(), size, i, p);
            // SAFETY: as above.
            unsafe { segment(calls, i, 0..p, from, to, [first.root].into_iter()) };
        }
        Kind::Scan | Kind::ExclusiveScan => {
            let (from, to) = piece(first.send_count(), size, i, p);
            // SAFETY: as above.
            unsafe { prefixes(calls, i, first.kind == Kind::ExclusiveScan, from, to) };
        }
        Kind::Broadcast => {
            // The copies to all others, laid end to end and cut into equal shares, so that the root helps.
            let bytes = first.recv_counts.one() * size;
            let (mut from, to) = piece(bytes * (p - 1), 1, i, p);
            while from < to {
                let (nth, at) = (from / bytes, from % bytes);
                let dest = if nth < first.root { nth } else { nth + 1 };
                let n = (bytes - at).min(to - from);
                // SAFETY: as above.
                unsafe { copy(calls.send(first.root).add(at), calls.recv(dest).add(at), n) };
                from += n;
            }
        }
        Kind::Gather => {
            let root = calls.call(first.root);
            let (at, n) = root.recv_counts.block(i);
            // SAFETY: as above.
            unsafe { copy(calls.send(i), root.recv.add(at * size), n * size) };
        }
        Kind::Barrier | Kind::AllGather | Kind::Scatter | Kind::AllToAll | Kind::ReduceScatter => {
            // SAFETY: as above: each share writes its own rank's receive part.
            unsafe { own(calls, i) }
        }
    }
}

impl Collective<'_> {
    /// Elements of a one-block send part; in place, of the receive part.
    fn send_count(&self) -> usize {
        if self.send.is_null() { self.recv_counts.one() } else { self.send_counts.one() }
    }
}

/// Share `i` of `count` elements cut for `p`: whole cache lines where there are enough.
fn piece(count: usize, size: usize, i: usize, p: usize) -> (usize, usize) {
    // A power of two; of elements that do not fill lines, some more.
    let grain = 64 >> size.max(1).ilog2().min(6);
    let per = (count.div_ceil(p) + grain - 1) & !(grain - 1);
    ((per * i).min(count), (per * (i + 1)).min(count))
}

/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
unsafe fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    // An in-place part is copied to itself: nothing to do then.
    if bytes > 0 && !std::ptr::eq(from, to) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
    }
}

/// Copies past the caches, if that is wanted.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`], save that both may be the same where there is no stream.
unsafe fn put(stream: &Option<Stream>, from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match stream {
            Some(stream) => stream.copy(from, to, bytes),
            None if std::ptr::eq(from, to) => {}
            None => copy_near(from, to, bytes),
        }
    }
}

/// A scratch tile, aligned for every element.
#[repr(C, align(64))]
struct Tile([std::mem::MaybeUninit<u8>; TILE]);

/// How many of `count` elements of `size` bytes are combined at a time. (A division takes as long as a dozen elements.)
fn at_a_time(count: usize, size: usize) -> usize {
    if count * size <= TILE { count } else { (TILE / size).max(1) }
}

/// Runs `f` with a scratch buffer and how many of `count` elements to combine in it at a time.
fn with_scratch(element: crate::element::ElementType, count: usize, f: impl FnOnce(*mut u8, usize)) {
    if element.size <= TILE && element.align <= align_of::<Tile>() {
        let mut tile = std::mem::MaybeUninit::<Tile>::uninit();
        f(tile.as_mut_ptr().cast(), at_a_time(count, element.size));
        return;
    }
    let layout =
        std::alloc::Layout::from_size_align(element.size, element.align).expect("an existing type has a layout");
    // SAFETY: elements of no bytes fit a tile, so the size is not zero.
    let scratch = unsafe { std::alloc::alloc(layout) };
    if scratch.is_null() {
        std::alloc::handle_alloc_error(layout);
    }
    /// Frees also when an operator panics.
    struct Free(*mut u8, std::alloc::Layout);
    impl Drop for Free {
        fn drop(&mut self) {
            // SAFETY: allocated above with this layout.
            unsafe { std::alloc::dealloc(self.0, self.1) }
        }
    }
    let free = Free(scratch, layout);
    f(free.0, 1);
}

fn kernel<'a>(call: &'a Collective<'_>) -> &'a Kernel<'a> {
    call.kernel.as_ref().expect("a reduction has an operator")
}

/// Combines elements `from..to` of `ranks`' send parts and copies the result into the receive parts of `dests`. `i` is the rank
/// whose share this is.
///
/// # Safety
/// As [`share`].
unsafe fn segment(
    calls: &impl Calls,
    i: usize,
    ranks: std::ops::Range<usize>,
    from: usize,
    to: usize,
    mut dests: impl Iterator<Item = usize> + Clone,
) {
    let (call, finish) = (calls.call(i), ranks.len());
    let size = call.element.size;
    let first = dests.next().expect("a reduction has a receiver");
    let stream = Stream::beyond_caches(2 * calls.size() * call.send_count() * size);
    // The result goes straight to the first receiver, unless that is an input too.
    let direct = stream.is_none() && ranks.clone().all(|r| !std::ptr::eq(calls.send(r), calls.recv(first)));
    with_scratch(call.element, to - from, |scratch, tile| {
        let mut at = from;
        while at < to {
            let n = tile.min(to - at);
            // SAFETY: inside the parts, which overlap only as `direct` says.
            unsafe {
                let here = calls.recv(first).add(at * size);
                let out = if direct { here } else { scratch };
                fold_into(calls, i, ranks.clone(), at, n, out, finish);
                put(&stream, out, here, n * size);
                for dest in dests.clone() {
                    put(&stream, out, calls.recv(dest).add(at * size), n * size);
                }
            }
            at += n;
        }
    });
}

/// `out = x_first ∘ … ∘ x_last` for `n` elements from `at` on, finished for `finish` ranks.
///
/// # Safety
/// `out` is writable for `n` elements and overlaps no send part; the rest as [`share`].
unsafe fn fold_into(
    calls: &impl Calls,
    i: usize,
    ranks: std::ops::Range<usize>,
    at: usize,
    n: usize,
    out: *mut u8,
    finish: usize,
) {
    let mine = calls.call(i);
    let (size, kernel) = (mine.element.size, kernel(mine));
    // SAFETY: inside the parts, as the caller promises.
    let x = |r: usize| unsafe { calls.send(r).add(at * size) };
    let start = ranks.start;
    let tile = at_a_time(n, size);
    let mut done = 0;
    while done < n {
        let m = tile.min(n - done);
        // SAFETY: as above; `out` is disjoint from every input.
        unsafe {
            let (out, off) = (out.add(done * size), done * size);
            if ranks.len() == 1 {
                copy(x(start).add(off), out, m * size);
            } else {
                kernel.combine(out, x(start).add(off), x(start + 1).add(off), m);
                for r in start + 2..ranks.end {
                    kernel.fold(out, x(r).add(off), m);
                }
            }
            kernel.finish(out, m, finish);
        }
        done += m;
    }
}

/// The scans' elements `from..to` of all ranks: a running combination, written out on the way.
///
/// # Safety
/// As [`share`].
unsafe fn prefixes(calls: &impl Calls, i: usize, exclusive: bool, from: usize, to: usize) {
    let (mine, p) = (calls.call(i), calls.size());
    let (size, kernel) = (mine.element.size, kernel(mine));
    with_scratch(mine.element, to - from, |scratch, tile| {
        let mut at = from;
        while at < to {
            let n = tile.min(to - at);
            for r in 0..p {
                // SAFETY: inside the parts; the scratch is nobody else's. A send part is read before its rank's receive
                // part is written.
                unsafe {
                    let out = calls.recv(r).add(at * size);
                    let x = calls.send(r).add(at * size);
                    if exclusive && r > 0 {
                        copy(scratch, out, n * size);
                        kernel.finish(out, n, r);
                    }
                    if r == 0 {
                        copy(x, scratch, n * size)
                    } else {
                        kernel.fold(scratch, x, n)
                    }
                    if !exclusive {
                        copy(scratch, out, n * size);
                        kernel.finish(out, n, r + 1);
                    }
                }
            }
            at += n;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::piece;

    #[test]
    fn pieces_cover_everything_once() {
        for count in [0, 1, 7, 8, 9, 1000, 1024] {
            for size in [1, 8, 24, 100] {
                for p in 1..9 {
                    let mut next = 0;
                    for i in 0..p {
                        let (from, to) = piece(count, size, i, p);
                        assert!(from == next || from == to, "gap");
                        next = next.max(to);
                    }
                    assert_eq!(next, count);
                }
            }
        }
    }
}
