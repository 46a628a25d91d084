//! The windows of MPI, for one-sided sets and for users: made, listed and freed.
//!
//! # Release
//!
//! To free a window is collective, to drop a set or a user's window is not. All windows are therefore listed at every rank, in the order of
//! their making. The next making of one frees those that every rank has dropped, of all communicators of the same ranks, be
//! they gone or not: to make a window waits for these ranks, so that all of them have the same ones in the same order. Where
//! several threads may make windows, that order is one of each communicator only, and so is the freeing. What is left is
//! freed when the program ends and all ranks are there, in the order of making, which is the same at any two ranks of one
//! window, so that they cannot wait for each other in a circle.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpi_abi::{Aint, Comm as RawComm, Library, Win};

use super::super::comm::Comm;
use super::super::live;
use crate::backend::prepared::Staging;
use crate::config::ThreadLevel;

/// A window of one communicator, at one rank.
pub(in super::super) struct Window {
    pub(in super::super) raw: Win,
    pub(in super::super) memory: *mut u8,
    /// Its ranks, by their numbers in the world, ascending.
    ranks: Vec<c_int>,
    /// The communicator it was made on ([`Comm::id`]).
    made_on: u64,
    released: AtomicBool,
}

// SAFETY: the memory is used through sets, which take care.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// A window of `bytes` zeros at this rank, in which a passive epoch has begun that lasts until it is freed. Frees
    /// first what can be. Collective.
    pub(in super::super) fn new(comm: &Comm, bytes: usize) -> Result<Arc<Window>, mpi_abi::Error> {
        let ranks = world_ranks(comm)?;
        sweep(comm, &ranks)?;
        make(comm, ranks, bytes)
    }

    /// Its set, or the user's window, has been dropped here, and nothing of it is under way.
    pub(in super::super) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    /// Frees it. Collective.
    ///
    /// # Safety
    /// Released by every rank, and freed by none.
    unsafe fn free(&self, library: &Library) -> Result<(), mpi_abi::Error> {
        let mut raw = self.raw;
        // SAFETY: the epoch began when the window was made; the rest is the caller's promise.
        unsafe {
            library.win_unlock_all(raw)?;
            library.win_free(&mut raw)?;
        }
        live::WINDOWS.one_less(Ok::<_, mpi_abi::Error>(()));
        Ok(())
    }
}

/// The ranks of a communicator, by their numbers in the world, ascending.
fn world_ranks(comm: &Comm) -> Result<Vec<c_int>, mpi_abi::Error> {
    let library = comm.library();
    let c = library.constants();
    let here: Vec<c_int> = (0..comm.size as c_int).collect();
    let mut there = here.clone();
    let (mut group, mut world) = (c.group_null, c.group_null);
    // SAFETY: both communicators are live; both arrays have as many ranks as is said.
    unsafe {
        library.comm_group(comm.raw, &mut group)?;
        library.comm_group(c.comm_world, &mut world)?;
        let known = library.group_translate_ranks(group, comm.size as c_int, here.as_ptr(), world, there.as_mut_ptr());
        library.group_free(&mut group)?;
        library.group_free(&mut world)?;
        known?;
    }
    there.sort_unstable();
    Ok(there)
}

/// A new window of `bytes` at this rank. Collective.
fn make(comm: &Comm, ranks: Vec<c_int>, bytes: usize) -> Result<Arc<Window>, mpi_abi::Error> {
    let library = comm.library();
    let c = library.constants();
    let mut memory: *mut u8 = std::ptr::null_mut();
    let mut raw = c.win_null;
    // Something at every rank: not all libraries bear a window of nothing.
    let bytes = bytes.max(Staging::ALIGN) as Aint;
    // SAFETY: MPI is active; the place of the pointer is valid.
    unsafe {
        library.win_allocate(bytes, 1, c.info_null, comm.raw, (&raw mut memory).cast::<c_void>(), &mut raw)?;
        live::WINDOWS.one_more();
        library.win_set_errhandler(raw, c.errors_return)?;
        // Of one process or of several, what is read before it is received is zero.
        memory.write_bytes(0, bytes as usize);
        library.win_lock_all(c.mode_nocheck, raw)?;
    }
    let window = Arc::new(Window { raw, memory, ranks, made_on: comm.id, released: AtomicBool::new(false) });
    all_windows().push(window.clone());
    // Nobody reaches into it before it is clean.
    // SAFETY: a communicator of which every rank comes here.
    unsafe { library.barrier(comm.raw) }?;
    Ok(window)
}

/// Every window of this process that has not been freed, in the order of their making.
static ALL: Mutex<Vec<Arc<Window>>> = Mutex::new(Vec::new());

fn all_windows() -> MutexGuard<'static, Vec<Arc<Window>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frees every window, if no rank of `everyone` holds on to one. Collective over all ranks of the program.
pub(in super::super) fn free_all(library: &Library, everyone: RawComm) -> Result<(), mpi_abi::Error> {
    let c = library.constants();
    let mut windows = all_windows();
    let mine = u8::from(windows.iter().all(|w| w.released.load(Ordering::Acquire)));
    let mut all = 0u8;
    // SAFETY: two bytes, and a communicator of which every rank comes here.
    unsafe {
        library.allreduce((&raw const mine).cast(), (&raw mut all).cast(), 1, c.uint8_t, c.min, everyone)?;
    }
    if all == 1 {
        for window in windows.drain(..) {
            // SAFETY: released by every rank, and all free it now.
            unsafe { window.free(library) }?;
        }
    }
    Ok(())
}

/// Frees the windows of `ranks`, which are those of `comm`, that every rank has released. Collective.
fn sweep(comm: &Comm, ranks: &[c_int]) -> Result<(), mpi_abi::Error> {
    let library = comm.library();
    let c = library.constants();
    let in_one_order = comm.runtime.level != ThreadLevel::Multiple;
    let is_theirs = |w: &Window| w.made_on == comm.id || in_one_order && w.ranks == ranks;
    // The list is not locked while this waits for other ranks, whose threads may need theirs.
    let theirs: Vec<Arc<Window>> = all_windows().iter().filter(|w| is_theirs(w)).cloned().collect();
    let mine: Vec<u8> = theirs.iter().map(|w| w.released.load(Ordering::Acquire).into()).collect();
    let mut all = mine.clone();
    if !mine.is_empty() {
        // SAFETY: the list is equally long at every rank, since windows are made and freed together.
        unsafe {
            let n = mine.len() as c_int;
            library.allreduce(mine.as_ptr().cast(), all.as_mut_ptr().cast(), n, c.uint8_t, c.min, comm.raw)?;
        }
    }
    for (window, _) in theirs.iter().zip(all).filter(|(_, released)| *released == 1) {
        all_windows().retain(|other| !Arc::ptr_eq(other, window));
        // SAFETY: released by every rank, and all free it now.
        unsafe { window.free(library) }?;
    }
    Ok(())
}
