//! What the ranks of one run share: rings between every two, and for each rank its mailbox, its bell and its fate.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use super::mailbox::Mailbox;
use super::ring::{Content, Ring};
use super::spin::{Padded, SpinLock, full_fence};
use super::wait::{Bell, Station};
use crate::config::{Config, ThreadLevel};

/// How a rank stands.
const RUNNING: u8 = 0;
const RETURNED: u8 = 1;
const PANICKED: u8 = 2;

thread_local! {
    /// The world in which this thread is a rank's own, as an address that is only compared.
    static HOME: Cell<*const World> = const { Cell::new(std::ptr::null()) };
}

pub(super) struct World {
    pub(super) config: Config,
    pub(super) ranks: Box<[Padded<Rank>]>,
    /// The ring from `source` to `dest` at `dest * size + source`, made with the first message.
    rings: Box<[OnceLock<Box<Ring>>]>,
    next_context: AtomicU32,
    pub(super) spin: Duration,
    /// More ranks than cores: a spinning rank keeps another from running.
    pub(super) crowded: bool,
    /// Ranks may have other threads than their own: nobody can know whether all of them wait.
    pub(super) foreign_threads: AtomicBool,
}

#[derive(Default)]
pub(super) struct Rank {
    /// Written in every call of this rank; senders never touch it.
    pub(super) mailbox: Padded<SpinLock<Mailbox>>,
    /// The rings that exist towards this rank, in the order of their making.
    inbound: Box<[AtomicPtr<Ring>]>,
    inbound_len: AtomicUsize,
    inbound_lock: Mutex<()>,
    pub(super) bell: Bell,
    pub(super) station: Station,
    fate: AtomicU8,
    pub(super) home: OnceLock<ThreadId>,
    /// Whether this rank was told of a lost peer: then its failure is likely the consequence of another.
    pub(super) saw_loss: AtomicBool,
}

impl World {
    pub(super) fn new(size: usize, config: Config) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let crowded = size > cores;
        let spin = config.spin.unwrap_or(Duration::from_micros(if crowded { 1 } else { 20 }));
        let rank = || Rank { inbound: (0..size).map(|_| AtomicPtr::default()).collect(), ..Rank::default() };
        let foreign_threads = AtomicBool::new(config.thread_level > ThreadLevel::Funneled);
        World {
            config,
            ranks: (0..size).map(|_| Padded(rank())).collect(),
            rings: (0..size * size).map(|_| OnceLock::new()).collect(),
            next_context: AtomicU32::new(0),
            spin,
            crowded,
            foreign_threads,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.ranks.len()
    }

    /// A number that no other communicator of this world has.
    pub(super) fn new_context(&self) -> u32 {
        self.next_context.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands the message that `write` writes to `dest` and wakes it.
    #[inline]
    pub(super) fn post(&self, source: usize, dest: usize, write: impl FnOnce(*mut Content)) {
        let slot = &self.rings[dest * self.size() + source];
        let ring = match slot.get() {
            Some(ring) => ring,
            None => self.connect(slot, dest),
        };
        ring.push(write);
        self.notify(dest);
    }

    #[cold]
    fn connect<'a>(&self, slot: &'a OnceLock<Box<Ring>>, dest: usize) -> &'a Ring {
        slot.get_or_init(|| {
            let ring = Box::new(Ring::new());
            let rank = &self.ranks[dest];
            let _guard = rank.inbound_lock.lock().unwrap_or_else(PoisonError::into_inner);
            let index = rank.inbound_len.load(Ordering::Relaxed);
            rank.inbound[index].store(std::ptr::from_ref(&*ring).cast_mut(), Ordering::Relaxed);
            rank.inbound_len.store(index + 1, Ordering::Release);
            ring
        })
    }

    /// The rings towards `rank` that exist.
    #[inline]
    pub(super) fn inbound(&self, rank: usize) -> impl Iterator<Item = &Ring> {
        let rank = &self.ranks[rank];
        let len = rank.inbound_len.load(Ordering::Acquire);
        // SAFETY: set by `connect` to a box that lives in `rings`, as long as the world.
        rank.inbound[..len].iter().map(|p| unsafe { &*p.load(Ordering::Relaxed) })
    }

    /// The ring from `source` to `dest`, if it exists.
    #[inline]
    pub(super) fn ring(&self, source: usize, dest: usize) -> Option<&Ring> {
        self.rings[dest * self.size() + source].get().map(|ring| &**ring)
    }

    /// Makes the current thread `rank`'s own.
    pub(super) fn settle(&self, rank: usize) {
        let _ = self.ranks[rank].home.set(std::thread::current().id());
        HOME.set(self);
    }

    /// Notes that a rank has threads besides its own, if this is one: it has just done something that others may wait for, and
    /// may do so again while all ranks wait.
    #[inline]
    fn note_thread(&self) {
        if !std::ptr::eq(HOME.get(), self) {
            self.foreign_threads.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes whoever waits at `rank`; call it after making what it waits for visible.
    #[inline]
    pub(super) fn notify(&self, rank: usize) {
        self.note_thread();
        full_fence();
        self.ranks[rank].bell.ring();
    }

    /// [`World::notify`] for several ranks.
    pub(super) fn notify_each(&self, ranks: impl IntoIterator<Item = usize>) {
        self.note_thread();
        full_fence();
        for rank in ranks {
            self.ranks[rank].bell.ring();
        }
    }

    pub(super) fn notify_all(&self) {
        self.notify_each(0..self.size());
    }

    /// Records how `rank` ended and wakes all who may wait for it.
    pub(super) fn end(&self, rank: usize, panicked: bool) {
        self.ranks[rank].fate.store(if panicked { PANICKED } else { RETURNED }, Ordering::Release);
        self.notify_all();
    }

    /// Drops what nobody received; offers among it hold this world in a cycle.
    pub(super) fn clear(&self) {
        for rank in 0..self.size() {
            self.progress(rank);
            let rest = std::mem::take(&mut *self.ranks[rank].mailbox.lock());
            drop(rest);
        }
    }

    /// How `rank` ended, if it has.
    #[inline]
    pub(super) fn fate(&self, rank: usize) -> Option<&'static str> {
        match self.ranks[rank].fate.load(Ordering::Acquire) {
            RUNNING => None,
            RETURNED => Some("returned"),
            _ => Some("panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_found_by_both_ends() {
        let world = World::new(3, Config::default());
        assert!(world.ring(1, 2).is_none());
        let envelope = super::super::message::Envelope { context: 0, source: 1, tag: 5 };
        // SAFETY: a cell to write to; no bytes are read.
        world.post(1, 2, |at| unsafe { Content::write_bytes(at, envelope, std::ptr::NonNull::dangling().as_ptr(), 0) });
        assert!(world.ring(1, 2).is_some_and(Ring::has_message));
        assert_eq!(world.inbound(2).count(), 1);
        assert_eq!(world.inbound(1).count(), 0);
    }
}
