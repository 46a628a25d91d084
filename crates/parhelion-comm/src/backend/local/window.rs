//! Windows between threads: every rank reaches every part directly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::transport::Local;
use super::wait::{Wait, Waiting};
use crate::backend::exposed::ground::Ground;
use crate::backend::exposed::queue::Queue;
use crate::backend::exposed::{Exposed, Exposure, Spot};
use crate::communicator::Communicator;
use crate::error::Result;
use crate::op::Kernel;
use crate::window::Lock;

/// One rank's part, and the queue for its lock.
pub(super) struct Part {
    ground: Ground,
    queue: Mutex<Queue>,
}

impl Part {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One rank's end of a window.
struct Shared {
    local: Local,
    parts: Vec<Arc<Part>>,
}

/// See [`Transport::expose`](crate::backend::Transport::expose).
pub(super) fn make(local: &Local, exposure: &Exposure) -> Result<Box<dyn Exposed>> {
    let all = || local.group.parts.lock().unwrap_or_else(PoisonError::into_inner);
    let ground = Ground::new(exposure.bytes[local.rank], exposure.element);
    let mine = (exposure.tag, local.rank);
    all().insert(mine, Arc::new(Part { ground, queue: Mutex::default() }));
    let communicator = Communicator::new(Box::new(local.clone()));
    let shown = communicator.barrier();
    let take = |parts: MutexGuard<'_, HashMap<(u32, usize), Arc<Part>>>| {
        (0..local.group.ranks.len()).map_while(|rank| parts.get(&(exposure.tag, rank)).cloned()).collect::<Vec<_>>()
    };
    let parts = shown.map(|()| take(all()));
    // Nobody takes it any more once all have.
    let taken = parts.and_then(|parts| communicator.barrier().map(|()| parts));
    all().remove(&mine);
    Ok(Box::new(Shared { local: local.clone(), parts: taken? }))
}

impl Exposed for Shared {
    fn memory(&self) -> *mut u8 {
        self.parts[self.local.rank].ground.memory()
    }

    unsafe fn put(&self, spot: Spot, from: *const u8, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise; the window sees to it that owners have no references in epochs.
        unsafe { self.parts[spot.rank].ground.put(spot.offset, from, bytes) };
        Ok(())
    }

    unsafe fn get(&self, spot: Spot, into: *mut u8, bytes: usize) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.parts[spot.rank].ground.get(spot.offset, into, bytes) };
        Ok(())
    }

    unsafe fn accumulate(
        &self,
        spot: Spot,
        from: *const u8,
        count: usize,
        kernel: &Kernel<'static>,
        before: *mut u8,
    ) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.parts[spot.rank].ground.accumulate(spot.offset, from, count, kernel, before) };
        Ok(())
    }

    unsafe fn compare_and_swap(&self, spot: Spot, expected: *const u8, new: *const u8, before: *mut u8) -> Result<()> {
        // SAFETY: as above.
        unsafe { self.parts[spot.rank].ground.compare_and_swap(spot.offset, expected, new, before) };
        Ok(())
    }

    fn flush(&self, _rank: usize) -> Result<()> {
        Ok(())
    }

    fn lock(&self, rank: usize, lock: Lock) -> Result<()> {
        let admitted = self.parts[rank].queue().join(self.local.rank, lock);
        if admitted.contains(&self.local.rank) {
            return Ok(());
        }
        let wait = LockWait { shared: self, rank };
        self.local.world.block(self.local.me, wait).map_err(|stop| {
            let _ = self.unlock(rank, lock);
            self.local.stopped("lock", stop)
        })
    }

    fn unlock(&self, rank: usize, _lock: Lock) -> Result<()> {
        let admitted = self.parts[rank].queue().leave(self.local.rank);
        self.local.world.notify_each(admitted.into_iter().map(|rank| self.local.group.ranks[rank]));
        Ok(())
    }

    fn release(self: Box<Self>, _broken: bool) {
        // Parts live until the last rank has let go of them.
    }
}

/// Waits until the lock of a rank's part is this rank's.
struct LockWait<'a> {
    shared: &'a Shared,
    rank: usize,
}

impl Wait for LockWait<'_> {
    type Output = ();

    fn poll(&mut self) -> Option<()> {
        self.shared.parts[self.rank].queue().holds(self.shared.local.rank).then_some(())
    }

    fn progress(&mut self) {
        self.shared.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        let local = &self.shared.local;
        let queue = self.shared.parts[self.rank].queue();
        queue.holders().find_map(|rank| local.world.fate(local.group.ranks[rank]).map(|how| (rank, how)))
    }

    fn describe(&self) -> Waiting {
        let holders: Vec<String> =
            self.shared.parts[self.rank].queue().holders().map(|rank| rank.to_string()).collect();
        let what = format!("for the lock of rank {}'s part, which rank {} holds", self.rank, holders.join(", "));
        self.shared.local.describe("lock", what)
    }
}
