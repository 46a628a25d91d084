//! Sets by one-sided communication, with post, start, complete and wait (MPI section 12.5.2).
//!
//! `Push`: the receive parts are a window, and senders put into it. `Pull`: the send parts are, and receivers get out of it.
//! Either way all that a rank does to others' windows is over when its set is started, so that sets may be finished in any order,
//! and one that is given up leaves only its own window to be waited for, which can be asked without waiting. What it
//! costs: to start a set waits until the peers have started it.
//!
//! # Release
//!
//! To free a window is collective, to drop a set is not. All windows are therefore listed at every rank, in the order of
//! their making. The next making of one frees those that every rank has dropped, of all communicators of the same ranks, be
//! they gone or not: to make a window waits for these ranks, so that all of them have the same ones in the same order. (Left
//! to the end instead, those of communicators that are gone add up, and MPICH 3.4 to 5.0 hang in `MPI_Win_start` of
//! about the hundredth.) Where several threads may make windows, that order is one of each communicator only, and so is the
//! freeing. What is left is freed when the program ends and all ranks are there, in the order of making, which is
//! the same at any two ranks of one window, so that they cannot wait for each other in a circle.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpi_abi::{Aint, Comm as RawComm, Group, Library, Win};

use super::super::comm::{Comm, In};
use super::super::runtime::Backoff;
use super::{Messages, OPERATION, Slot, Under, free, give_up};
use crate::backend::Keep;
use crate::backend::prepared::{Leg, Order, Prepared, Stage, Staging, extent};
use crate::config::ThreadLevel;
use crate::error::Result;
use crate::message_set::Method;

/// A window of one communicator, at one rank.
struct Window {
    raw: Win,
    memory: *mut u8,
    /// Its ranks, by their numbers in the world, ascending.
    ranks: Vec<c_int>,
    /// The communicator it was made on ([`Comm::id`]).
    made_on: u64,
    /// Its set has been dropped here, and nothing of it is under way.
    released: AtomicBool,
}

// SAFETY: the memory is used through sets, which take care.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

struct OneSided {
    comm: Arc<Comm>,
    library: &'static Library,
    window: Arc<Window>,
    push: bool,
    messages: Messages,
    /// Where each message that this rank moves is in the peer's window: of sends when it pushes, of receives when it pulls.
    remote: Vec<Aint>,
    /// This rank's message to itself, if there is one: (send, receive), and its length.
    own: Option<(usize, usize, usize)>,
    /// Whose windows this rank reaches into, and who reaches into its own; without itself.
    targets: Peers,
    origins: Peers,
    unsent: usize,
    given: usize,
    /// This rank's window is open to its origins.
    exposed: bool,
}

/// Some of the ranks.
struct Peers {
    group: Group,
    count: usize,
}

pub(super) fn prepare(comm: &Arc<Comm>, order: Order) -> Result<Box<dyn Prepared>> {
    let library = comm.library();
    let push = order.method == Method::Push;
    let (within, beyond) = if push { (&order.recvs, &order.sends) } else { (&order.sends, &order.recvs) };
    let ranks = world_ranks(comm).of(OPERATION)?;
    sweep(comm, &ranks).of(OPERATION)?;
    let window = make(comm, ranks, extent(within)).of(OPERATION)?;
    let staging = Staging::new(extent(beyond));
    let (sides, owned) = match push {
        true => ([staging.ptr(), window.memory], [Some(staging), None]),
        false => ([window.memory, staging.ptr()], [None, Some(staging)]),
    };
    let messages = Messages::at(comm.runtime, &order, sides, owned)?;
    let at = |legs: &[Leg]| legs.iter().position(|leg| leg.peer == comm.rank);
    let own = at(&order.sends).zip(at(&order.recvs)).map(|(send, recv)| (send, recv, order.sends[send].bytes));
    let set = OneSided {
        comm: comm.clone(),
        library,
        window,
        push,
        remote: beyond.iter().map(|leg| leg.remote_offset as Aint).collect(),
        own,
        targets: peers(comm, beyond).of(OPERATION)?,
        origins: peers(comm, within).of(OPERATION)?,
        messages,
        unsent: 0,
        given: 0,
        exposed: false,
    };
    Ok(Box::new(set))
}

/// The group of the peers of `legs`.
fn peers(comm: &Comm, legs: &[Leg]) -> Result<Peers, mpi_abi::Error> {
    let library = comm.library();
    let ranks: Vec<c_int> = legs.iter().filter(|leg| leg.peer != comm.rank).map(|leg| leg.peer as c_int).collect();
    let null = library.constants().group_null;
    let (mut all, mut group) = (null, null);
    if !ranks.is_empty() {
        // SAFETY: the communicator is live; the array has as many ranks as is said.
        unsafe {
            library.comm_group(comm.raw, &mut all)?;
            let made = library.group_incl(all, ranks.len() as c_int, ranks.as_ptr(), &mut group);
            library.group_free(&mut all)?;
            made?;
        }
    }
    Ok(Peers { group, count: ranks.len() })
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
        library.win_set_errhandler(raw, c.errors_return)?;
        // Of one process or of several, what is read before it is received is zero.
        memory.write_bytes(0, bytes as usize);
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
            let mut raw = window.raw;
            // SAFETY: released by every rank, and all free it now.
            unsafe { library.win_free(&mut raw) }?;
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
        let mut raw = window.raw;
        // SAFETY: released by every rank, and all free it now.
        unsafe { library.win_free(&mut raw) }?;
    }
    Ok(())
}

impl OneSided {
    /// Opens this rank's window to those that reach into it.
    fn expose(&mut self) -> Result<()> {
        if self.origins.count > 0 {
            // SAFETY: the window is not exposed.
            unsafe { self.library.win_post(self.origins.group, 0, self.window.raw) }.of(OPERATION)?;
            self.exposed = true;
        }
        Ok(())
    }

    /// Moves everything: all is packed.
    fn go(&mut self) -> Result<()> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        if let Some((send, recv, bytes)) = self.own {
            let (from, to) = (self.messages.sends[send].at, self.messages.recvs[recv].at);
            // SAFETY: two memories of this set, of this length, that nobody else uses now.
            unsafe { std::ptr::copy_nonoverlapping(from.cast_const().cast::<u8>(), to.cast::<u8>(), bytes) };
        }
        if !self.push {
            self.expose()?;
        }
        if self.targets.count == 0 {
            return Ok(());
        }
        // SAFETY: the targets expose their windows to this rank when they start the set, and not before they are ready.
        unsafe { self.library.win_start(self.targets.group, 0, self.window.raw) }.of(OPERATION)?;
        let slots = if self.push { &self.messages.sends } else { &self.messages.recvs };
        let mut result = Ok(());
        for (slot, &there) in slots.iter().zip(&self.remote) {
            if slot.peer as usize != self.comm.rank && slot.count > 0 {
                result = result.and(self.move_one(slot, there));
            }
        }
        // SAFETY: ends what was started just now.
        let completed = unsafe { self.library.win_complete(self.window.raw) };
        result.and(completed).of(OPERATION)
    }

    fn move_one(&self, s: &Slot, there: Aint) -> Result<(), mpi_abi::Error> {
        let (library, window) = (self.library, self.window.raw);
        // SAFETY: the message has the length that was agreed, here and in the target's window.
        unsafe {
            if self.push {
                let from = s.at.cast_const();
                library.put(from, s.count, s.datatype, s.peer, there, s.count, s.datatype, window)
            } else {
                library.get(s.at, s.count, s.datatype, s.peer, there, s.count, s.datatype, window)
            }
        }
    }

    /// Whether nobody reaches into this rank's window any more.
    fn is_closed(&mut self) -> Result<bool> {
        if self.exposed {
            let mut flag = 0;
            // SAFETY: the window is exposed.
            unsafe { self.library.win_test(self.window.raw, &mut flag) }.of(OPERATION)?;
            self.exposed = flag == 0;
        }
        Ok(!self.exposed)
    }

    /// Waits until nobody reaches into this rank's window.
    fn close(&mut self) -> Result<()> {
        if !self.exposed {
            return Ok(());
        }
        let runtime = self.comm.runtime;
        let turn = runtime.enter(OPERATION)?;
        if turn.direct && self.comm.timeout().is_none() {
            // SAFETY: the window is exposed.
            unsafe { self.library.win_wait(self.window.raw) }.of(OPERATION)?;
            self.exposed = false;
            return Ok(());
        }
        let mut backoff = Backoff::new(runtime, self.comm.timeout());
        while !self.is_closed()? {
            backoff.pause(OPERATION)?;
        }
        Ok(())
    }
}

impl Prepared for OneSided {
    fn stage(&self) -> Stage {
        self.messages.stage
    }

    fn start_receives(&mut self) -> Result<()> {
        self.given = 0;
        self.unsent = self.messages.sends.len();
        if self.push {
            let runtime = self.comm.runtime;
            let _turn = runtime.enter(OPERATION)?;
            self.expose()?;
        }
        if self.unsent == 0 { self.go() } else { Ok(()) }
    }

    fn start_send(&mut self, _send: usize) -> Result<()> {
        self.unsent -= 1;
        if self.unsent == 0 { self.go() } else { Ok(()) }
    }

    fn next_receive(&mut self) -> Result<Option<usize>> {
        if self.push {
            self.close()?;
        }
        let next = self.given;
        self.given += 1;
        Ok((next < self.messages.recvs.len()).then_some(next))
    }

    fn test(&mut self) -> Result<bool> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        self.is_closed()
    }

    fn complete(&mut self) -> Result<()> {
        self.close()
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        give_up(self.comm.runtime, self, keep);
    }
}

impl Under for OneSided {
    fn is_over(&mut self) -> bool {
        matches!(self.is_closed(), Ok(true))
    }
}

impl Drop for OneSided {
    fn drop(&mut self) {
        self.window.released.store(true, Ordering::Release);
        let groups = [self.targets.group, self.origins.group];
        let null = self.library.constants().group_null;
        free(self.comm.runtime, move |library| {
            for mut group in groups.into_iter().filter(|&group| group != null) {
                // SAFETY: made by this set, freed once. A failure leaks a group.
                let _ = unsafe { library.group_free(&mut group) };
            }
        });
    }
}
