//! Windows by MPI's one-sided communication, in a passive epoch that lasts as long as the window (MPI section 12.5.3).
//!
//! What the window's own epochs mean is seen to by its messages; here everything that was started is completed by flushes. Behind
//! each part are the words of two locks. One is the user's. The other guards what MPI does not combine as we do, or not
//! for these elements: such elements are fetched, combined here and put back, and all atomic operations on elements of one type
//! go one way or the other.
//!
//! # The lock
//!
//! A ticket lock for readers and writers (after Mellor-Crummey and Scott, *Scalable reader-writer synchronization for
//! shared-memory multiprocessors*, 1991): three counters, `taken`, `readable` and `writable`.
//!
//! 1. Whoever comes takes the next ticket. A reader may go on when `readable`, a writer when `writable` has reached it.
//! 2. A reader that goes on lets the next reader in, by `readable`. Who leaves adds to `writable`, a writer to both.
//!
//! So a writer goes on when all before it have left, a reader when all writers before it have, and the order is that of the tickets.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mpi_abi::{Aint, Datatype, Library, Op as RawOp, Vendor};

use super::comm::{Comm, In};
use super::operator::predefined;
use super::runtime::{Backoff, Runtime};
use super::set::Window;
use crate::backend::exposed::{Exposed, Exposure, Spot};
use crate::backend::messages::place::Scratch;
use crate::element::{ElementKind, ElementType, Scalar};
use crate::error::Result;
use crate::op::{Kernel, Op, builtin};
use crate::window::Lock;

/// One rank's end of a window.
pub(super) struct OneSided {
    comm: Arc<Comm>,
    window: Arc<Window>,
    element: ElementType,
    /// Of each rank's part.
    bytes: Vec<usize>,
    /// The ranks at which something is to be flushed.
    unflushed: Vec<AtomicBool>,
    /// Whether the library combines these elements with every operator that is defined for them.
    combines: bool,
    /// The type as which the library compares these elements.
    compares: Option<Datatype>,
}

/// The locks behind each part.
#[derive(Clone, Copy)]
enum Which {
    Users,
    Combining,
}

/// The counters of a lock.
#[derive(Clone, Copy)]
enum Counter {
    Taken,
    Readable,
    Writable,
}

/// A lock's bytes: the counters on a cache line of their own.
const LOCK: usize = 64;

/// The most bytes that are combined here at a time.
const PIECE: usize = 64 << 10;

/// Whether the library's windows of this communicator do all that is needed.
///
/// - MPICH 3 ends the program in `MPI_Fetch_and_op` where its network layer does not order atomic operations (seen in 3.4.3, an
///   assertion on `max_order_war`).
/// - Open MPI 4 names the memory files of windows by the communicator's number, which communicators of other ranks share.
pub(super) fn is_sound(comm: &Comm) -> bool {
    let library = comm.library();
    let version = library.version();
    match version.vendor {
        Vendor::Mpich if version.major < 4 => false,
        Vendor::OpenMpi if version.major < 5 => {
            let mut world: c_int = 0;
            // SAFETY: the world is live, and the place valid.
            let known = unsafe { library.comm_size(library.constants().comm_world, &mut world) };
            known.is_ok() && world as usize == comm.size
        }
        _ => true,
    }
}

/// See [`Transport::expose`](crate::backend::Transport::expose).
pub(super) fn make(comm: &Arc<Comm>, exposure: Exposure) -> Result<Box<dyn Exposed>> {
    let _turn = comm.runtime.enter("window")?;
    let Exposure { element, bytes, .. } = exposure;
    let window = Window::new(comm, behind(bytes[comm.rank]) + 2 * LOCK).of("window")?;
    Ok(Box::new(OneSided {
        unflushed: bytes.iter().map(|_| AtomicBool::new(false)).collect(),
        combines: combines(comm.runtime, element),
        compares: compared_as(comm.library(), element),
        comm: comm.clone(),
        window,
        element,
        bytes,
    }))
}

/// Where the locks of a part are.
fn behind(bytes: usize) -> usize {
    bytes.next_multiple_of(LOCK)
}

fn combines(runtime: &Runtime, element: ElementType) -> bool {
    let kernels = Op::ALL.iter().filter(|op| **op != Op::Average).filter_map(|&op| builtin(op, element));
    let all: Vec<bool> = kernels.map(|kernel| predefined(runtime, &kernel).is_some()).collect();
    !all.is_empty() && all.iter().all(|known| *known)
}

/// Elements that MPI both compares and combines: integers that processors do so with.
fn compared_as(library: &Library, element: ElementType) -> Option<Datatype> {
    let c = library.constants();
    match element.kind {
        ElementKind::Scalar(Scalar::I32) => Some(c.int32_t),
        ElementKind::Scalar(Scalar::I64) => Some(c.int64_t),
        ElementKind::Scalar(Scalar::U32) => Some(c.uint32_t),
        ElementKind::Scalar(Scalar::U64) => Some(c.uint64_t),
        _ => None,
    }
}

/// `total` in runs of at most `most`: (start, length).
fn pieces(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..total.div_ceil(most)).map(move |i| (i * most, most.min(total - i * most)))
}

impl OneSided {
    fn library(&self) -> &'static Library {
        self.comm.library()
    }

    fn started(&self, rank: usize) {
        self.unflushed[rank].store(true, Ordering::Relaxed);
    }

    /// Puts bytes, whose memory is free when this returns. A turn is held.
    ///
    /// # Safety
    /// As [`Exposed::put`].
    unsafe fn write(&self, spot: Spot, from: *const u8, bytes: usize) -> Result<(), mpi_abi::Error> {
        let (library, rank, window) = (self.library(), spot.rank as c_int, self.window.raw);
        let byte = library.constants().byte;
        self.started(spot.rank);
        for (start, len) in pieces(bytes, self.comm.runtime.max_count) {
            let (len, at) = (len as c_int, (spot.offset + start) as Aint);
            // SAFETY: the caller's promise; inside the part, in the window's epoch.
            unsafe { library.put(from.add(start).cast(), len, byte, rank, at, len, byte, window) }?;
        }
        // SAFETY: in the window's epoch.
        unsafe { library.win_flush_local(rank, window) }
    }

    /// Gets bytes. A turn is held.
    ///
    /// # Safety
    /// As [`Exposed::get`].
    unsafe fn read(&self, spot: Spot, into: *mut u8, bytes: usize) -> Result<(), mpi_abi::Error> {
        let (library, rank, window) = (self.library(), spot.rank as c_int, self.window.raw);
        let byte = library.constants().byte;
        self.complete(spot.rank)?;
        for (start, len) in pieces(bytes, self.comm.runtime.max_count) {
            let (len, at) = (len as c_int, (spot.offset + start) as Aint);
            // SAFETY: the caller's promise; inside the part, in the window's epoch.
            unsafe { library.get(into.add(start).cast(), len, byte, rank, at, len, byte, window) }?;
        }
        // SAFETY: in the window's epoch.
        unsafe { library.win_flush(rank, window) }
    }

    /// Completes what this rank has started at `rank`. A turn is held.
    fn complete(&self, rank: usize) -> Result<(), mpi_abi::Error> {
        if self.unflushed[rank].swap(false, Ordering::Relaxed) {
            // SAFETY: in the window's epoch.
            unsafe { self.library().win_flush(rank as c_int, self.window.raw) }?;
        }
        Ok(())
    }

    /// Combines as the library does. A turn is held.
    ///
    /// # Safety
    /// As [`Exposed::accumulate`].
    unsafe fn combine(
        &self,
        spot: Spot,
        from: *const u8,
        count: usize,
        (datatype, op): (Datatype, RawOp),
        before: *mut u8,
    ) -> Result<(), mpi_abi::Error> {
        let (library, rank, window) = (self.library(), spot.rank as c_int, self.window.raw);
        self.started(spot.rank);
        for (start, len) in pieces(count, self.comm.runtime.max_count) {
            let offset = start * self.element.size;
            let (n, at) = (len as c_int, (spot.offset + offset) as Aint);
            // SAFETY: the caller's promise; inside the part, in the window's epoch.
            unsafe {
                let from: *const c_void = from.add(offset).cast();
                if before.is_null() {
                    library.accumulate(from, n, datatype, rank, at, n, datatype, op, window)?;
                } else {
                    let to = before.add(offset).cast();
                    library.get_accumulate(from, n, datatype, to, n, datatype, rank, at, n, datatype, op, window)?;
                }
            }
        }
        // SAFETY: in the window's epoch.
        unsafe { library.win_flush_local(rank, window) }
    }

    /// Fetches `count` elements, has `change` change them, and puts them back, while others are kept from doing the same. A turn
    /// is held.
    fn change(&self, spot: Spot, count: usize, mut change: impl FnMut(*mut u8, usize, usize)) -> Result<()> {
        let size = self.element.size;
        let most = (PIECE / size).max(1);
        let scratch = Scratch::new(most.min(count) * size, self.element.align);
        self.acquire(Which::Combining, spot.rank, Lock::Exclusive)?;
        let changed = pieces(count, most).try_for_each(|(start, len)| {
            let spot = Spot { offset: spot.offset + start * size, ..spot };
            // SAFETY: the scratch memory has room for the piece; the rest is checked by our callers.
            unsafe {
                self.read(spot, scratch.ptr(), len * size)?;
                change(scratch.ptr(), start, len);
                self.write(spot, scratch.ptr(), len * size)?;
            }
            self.complete(spot.rank)
        });
        let released = self.release(Which::Combining, spot.rank, Lock::Exclusive);
        changed.of("accumulate").and(released)
    }

    /// Adds to a counter of a lock: what it was. A turn is held.
    fn count(&self, which: Which, rank: usize, counter: Counter, add: u64) -> Result<u64> {
        let library = self.library();
        let c = library.constants();
        let at = behind(self.bytes[rank]) + LOCK * which as usize + size_of::<u64>() * counter as usize;
        let op = if add == 0 { c.no_op } else { c.sum };
        let mut before = 0u64;
        let (from, to) = ((&raw const add).cast(), (&raw mut before).cast());
        let (rank, window) = (rank as c_int, self.window.raw);
        // SAFETY: a counter behind the part; two words that are there until the flush.
        unsafe {
            library.fetch_and_op(from, to, c.uint64_t, rank, at as Aint, op, window).of("lock")?;
            library.win_flush(rank, window).of("lock")?;
        }
        Ok(before)
    }

    /// Waits for a lock. A turn is held.
    fn acquire(&self, which: Which, rank: usize, lock: Lock) -> Result<()> {
        let ticket = self.count(which, rank, Counter::Taken, 1)?;
        let awaited = match lock {
            Lock::Shared => Counter::Readable,
            Lock::Exclusive => Counter::Writable,
        };
        let mut backoff = Backoff::new(self.comm.runtime, self.comm.timeout());
        while self.count(which, rank, awaited, 0)? != ticket {
            backoff.pause("lock")?;
        }
        if lock == Lock::Shared {
            self.count(which, rank, Counter::Readable, 1)?;
        }
        Ok(())
    }

    /// Gives a lock back. A turn is held.
    fn release(&self, which: Which, rank: usize, lock: Lock) -> Result<()> {
        if lock == Lock::Exclusive {
            self.count(which, rank, Counter::Readable, 1)?;
        }
        self.count(which, rank, Counter::Writable, 1).map(drop)
    }
}

impl Exposed for OneSided {
    fn memory(&self) -> *mut u8 {
        self.window.memory
    }

    unsafe fn put(&self, spot: Spot, from: *const u8, bytes: usize) -> Result<()> {
        let _turn = self.comm.runtime.enter("put")?;
        // SAFETY: the caller's promise.
        unsafe { self.write(spot, from, bytes) }.of("put")
    }

    unsafe fn get(&self, spot: Spot, into: *mut u8, bytes: usize) -> Result<()> {
        let _turn = self.comm.runtime.enter("get")?;
        // SAFETY: the caller's promise.
        unsafe { self.read(spot, into, bytes) }.of("get")
    }

    unsafe fn accumulate(
        &self,
        spot: Spot,
        from: *const u8,
        count: usize,
        kernel: &Kernel<'static>,
        before: *mut u8,
    ) -> Result<()> {
        let _turn = self.comm.runtime.enter("accumulate")?;
        if let Some(known) = predefined(self.comm.runtime, kernel).filter(|_| self.combines) {
            // SAFETY: the caller's promise.
            return unsafe { self.combine(spot, from, count, known, before) }.of("accumulate");
        }
        let size = self.element.size;
        self.change(spot, count, |elements, start, len| {
            // SAFETY: the caller's promise, for a piece of it, and as many elements in memory that nobody else uses.
            unsafe {
                if !before.is_null() {
                    std::ptr::copy_nonoverlapping(elements, before.add(start * size), len * size);
                }
                kernel.fold(elements, from.add(start * size), len);
            }
        })
    }

    unsafe fn compare_and_swap(&self, spot: Spot, expected: *const u8, new: *const u8, before: *mut u8) -> Result<()> {
        let _turn = self.comm.runtime.enter("compare_and_swap")?;
        let size = self.element.size;
        let Some(datatype) = self.compares.filter(|_| self.combines) else {
            return self.change(spot, 1, |element, _, _| {
                // SAFETY: the caller's promise, and one element in memory that nobody else uses.
                unsafe {
                    std::ptr::copy_nonoverlapping(element, before, size);
                    if std::slice::from_raw_parts(element, size) == std::slice::from_raw_parts(expected, size) {
                        std::ptr::copy_nonoverlapping(new, element, size);
                    }
                }
            });
        };
        let (library, rank, window) = (self.library(), spot.rank as c_int, self.window.raw);
        // SAFETY: the caller's promise; inside the part, in the window's epoch; complete when this returns.
        unsafe {
            let at = spot.offset as Aint;
            let (new, expected, before) = (new.cast(), expected.cast(), before.cast());
            library.compare_and_swap(new, expected, before, datatype, rank, at, window).of("compare_and_swap")?;
            library.win_flush(rank, window).of("compare_and_swap")
        }
    }

    fn flush(&self, rank: usize) -> Result<()> {
        let _turn = self.comm.runtime.enter("flush")?;
        self.complete(rank).of("flush")
    }

    fn lock(&self, rank: usize, lock: Lock) -> Result<()> {
        let _turn = self.comm.runtime.enter("lock")?;
        self.acquire(Which::Users, rank, lock)
    }

    fn unlock(&self, rank: usize, lock: Lock) -> Result<()> {
        let _turn = self.comm.runtime.enter("unlock")?;
        OneSided::release(self, Which::Users, rank, lock)
    }

    fn settle(&self) -> Result<()> {
        let _turn = self.comm.runtime.enter("window")?;
        // SAFETY: in the window's epoch.
        unsafe { self.library().win_sync(self.window.raw) }.of("window")
    }

    fn release(self: Box<Self>, _broken: bool) {
        // It is freed when no rank uses it any more.
    }
}

impl Drop for OneSided {
    fn drop(&mut self) {
        self.window.release();
    }
}
