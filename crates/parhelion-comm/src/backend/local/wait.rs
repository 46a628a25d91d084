//! Waiting: spin briefly, then yield, then park; and notice when nobody can ever go on.
//!
//! # Parking
//! A waiter registers with its rank's [`Bell`], looks once more, then sleeps. Whoever makes something visible rings after
//! it: both sides put a full fence between their write and their read, so one of them sees the other (Dekker).
//!
//! # Deadlock
//! Every parked rank wakes at least every [`TICK`] and polls, which also makes all progress that is possible. A rank that
//! has had such a tick compares two looks at all live ranks. If every one of them is parked, in the same wait as in the first
//! look, and has polled at least twice since, then each polled completely after the first look while nobody was running. Polls
//! themselves may complete things for others; so the same must hold for a second pair of looks, in which those others would
//! have left. After that nothing can change: no rank runs, and no poll finds anything.
//!
//! "Nobody runs" is known only if each rank is one thread. So detection is off with a thread level above `Funneled`, and once a
//! thread other than a rank's own has waited or done something that others wait for. A thread that does so for the first time
//! while all ranks wait comes too late, which the report says.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::spin::{Padded, full_fence};
use super::world::World;

/// The longest sleep between two polls of a parked rank.
const TICK: Duration = Duration::from_millis(40);

/// Wakes the waiters of one rank.
#[derive(Default)]
pub(super) struct Bell {
    /// Alone on its line: every sender reads it, and it hardly ever changes.
    waiters: Padded<AtomicU32>,
    epoch: Mutex<u64>,
    condvar: Condvar,
}

impl Bell {
    /// Wakes everybody who has registered. A full fence stands between what they wait for and this call.
    #[inline]
    pub(super) fn ring(&self) {
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.condvar.notify_all();
    }

    /// Registers; what becomes visible after this rings.
    fn register(&self) -> u64 {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let epoch = *self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        full_fence();
        epoch
    }

    fn unregister(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sleeps until rung since `epoch`, or for a tick; the epoch then.
    fn sleep(&self, epoch: u64, longest: Duration) -> u64 {
        let guard = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) = self
            .condvar
            .wait_timeout_while(guard, longest, |now| *now == epoch)
            .unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}

/// Where a rank stands while it is parked.
#[derive(Default)]
pub(super) struct Station {
    /// Odd while parked; a new number for each wait.
    wait: AtomicU64,
    polls: AtomicU64,
    waiting: Mutex<Option<Waiting>>,
    /// The report of a deadlock, for the wait of that number.
    verdict: Mutex<Option<(u64, String)>>,
}

/// What a rank waits for, for the report.
pub(super) struct Waiting {
    pub(super) operation: &'static str,
    /// "for rank 3, tag 7", or what fits.
    pub(super) what: String,
    pub(super) communicator: String,
}

/// Why a wait ended without what it waited for.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rank, in the numbering of whoever asked, and how it ended.
    Lost(usize, &'static str),
    Deadlock(String),
    Timeout(Duration),
}

/// One thing to wait for.
pub(super) trait Wait {
    type Output;
    /// Looks; cheap, called often.
    fn poll(&mut self) -> Option<Self::Output>;
    /// Makes whatever progress other operations of this rank need; called now and then.
    fn progress(&mut self);
    /// A peer without whom it can never come, in the caller's numbering, and how it ended.
    fn lost(&self) -> Option<(usize, &'static str)>;
    fn describe(&self) -> Waiting;
}

impl World {
    /// Waits for `wait` at `rank`.
    #[inline]
    pub(super) fn block<W: Wait>(&self, rank: usize, mut wait: W) -> Result<W::Output, Stop> {
        for _ in 0..64 {
            if let Some(output) = wait.poll() {
                return Ok(output);
            }
            // Whoever writes what is looked at gets it sooner if it is not asked for all the time.
            std::hint::spin_loop();
        }
        self.block_longer(rank, wait)
    }

    /// Looks once, without waiting.
    pub(super) fn look<W: Wait>(&self, mut wait: W) -> Result<Option<W::Output>, Stop> {
        // The fate is read before the poll: what a peer sent before it ended is found first.
        let lost = wait.lost();
        wait.progress();
        match (wait.poll(), lost) {
            (Some(output), _) => Ok(Some(output)),
            (None, Some((peer, how))) => Err(Stop::Lost(peer, how)),
            (None, None) => Ok(None),
        }
    }

    fn block_longer<W: Wait>(&self, rank: usize, mut wait: W) -> Result<W::Output, Stop> {
        let start = Instant::now();
        loop {
            wait.progress();
            for _ in 0..16 {
                if let Some(output) = wait.poll() {
                    return Ok(output);
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.spin {
                break;
            }
        }
        // A yield hands the core to the rank waited for, if it is there and runnable: cheaper than sleeping.
        for _ in 0..if self.crowded { 32 } else { 4 } {
            std::thread::yield_now();
            wait.progress();
            if let Some(output) = wait.poll() {
                return Ok(output);
            }
        }
        self.park(rank, wait, start)
    }

    fn park<W: Wait>(&self, rank: usize, mut wait: W, start: Instant) -> Result<W::Output, Stop> {
        let me = &self.ranks[rank];
        let at_home = me.home.get().is_some_and(|home| *home == std::thread::current().id());
        if !at_home {
            self.foreign_threads.store(true, Ordering::Relaxed);
        }
        let mut epoch = me.bell.register();
        let number = if at_home { me.station.enter(wait.describe()) } else { 0 };
        let mut watch = Watch::default();
        let result = loop {
            // The fate is read before the poll: what a peer sent before it ended is found first.
            let lost = wait.lost();
            wait.progress();
            if let Some(output) = wait.poll() {
                break Ok(output);
            }
            if let Some((peer, how)) = lost {
                break Err(Stop::Lost(peer, how));
            }
            if at_home {
                me.station.polls.fetch_add(1, Ordering::SeqCst);
                if let Some(report) = me.station.take_verdict(number) {
                    break Err(Stop::Deadlock(report));
                }
            }
            let mut longest = TICK;
            if let Some(limit) = self.config.timeout {
                match limit.checked_sub(start.elapsed()) {
                    Some(left) if !left.is_zero() => longest = longest.min(left),
                    _ => break Err(Stop::Timeout(limit)),
                }
            }
            let before = epoch;
            epoch = me.bell.sleep(epoch, longest);
            if epoch == before && at_home && self.config.deadlock_detection {
                self.watch(&mut watch);
            }
        };
        if at_home {
            me.station.leave();
        }
        me.bell.unregister();
        result
    }

    /// Looks at all live ranks; declares a deadlock to all of them when the module's rule holds.
    fn watch(&self, watch: &mut Watch) {
        if self.foreign_threads.load(Ordering::Relaxed) {
            return;
        }
        let look: Vec<Option<(u64, u64)>> = (0..self.size())
            .map(|r| {
                let station = &self.ranks[r].station;
                self.fate(r).is_none().then(|| {
                    // Read on both sides of the count, so that the polls belong to this wait; 0 is "not parked".
                    let number = station.wait.load(Ordering::SeqCst);
                    let polls = station.polls.load(Ordering::SeqCst);
                    (if station.wait.load(Ordering::SeqCst) == number { number } else { 0 }, polls)
                })
            })
            .collect();
        if look.iter().flatten().any(|(number, _)| number % 2 == 0) {
            *watch = Watch::default();
            return;
        }
        let Some(first) = &watch.first else {
            watch.first = Some(look);
            return;
        };
        let same = first.iter().zip(&look).all(|(a, b)| a.map(|(n, _)| n) == b.map(|(n, _)| n));
        if !same {
            *watch = Watch { first: Some(look), agreed: 0 };
            return;
        }
        let polled = first.iter().flatten().zip(look.iter().flatten()).all(|((_, a), (_, b))| *b >= a + 2);
        if !polled {
            return;
        }
        watch.agreed += 1;
        if watch.agreed < 2 {
            watch.first = Some(look);
            return;
        }
        self.declare(&look);
    }

    #[cold]
    fn declare(&self, look: &[Option<(u64, u64)>]) {
        let mut report = String::new();
        for (rank, state) in look.iter().enumerate() {
            let line = match state {
                None => format!("  rank {rank} has {}\n", self.fate(rank).unwrap_or("ended")),
                Some(_) => {
                    let waiting = self.ranks[rank].station.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    match &*waiting {
                        Some(w) => format!(
                            "  rank {rank} waits in {} {} on communicator \"{}\"\n",
                            w.operation, w.what, w.communicator
                        ),
                        None => format!("  rank {rank} waits\n"),
                    }
                }
            };
            report.push_str(&line);
        }
        report.push_str(
            "  (only ranks count; of other threads that were to send, PARHELION_THREAD_LEVEL=multiple tells)",
        );
        for (rank, state) in look.iter().enumerate() {
            if let Some((number, _)) = state {
                let station = &self.ranks[rank].station;
                let mut verdict = station.verdict.lock().unwrap_or_else(PoisonError::into_inner);
                // The first report stands: another rank may have come to the same conclusion.
                if verdict.as_ref().is_none_or(|(n, _)| n != number) {
                    *verdict = Some((*number, report.clone()));
                }
            }
        }
        self.notify_all();
    }
}

/// The looks that one waiting rank has had.
#[derive(Default)]
struct Watch {
    first: Option<Vec<Option<(u64, u64)>>>,
    agreed: u32,
}

impl Station {
    fn enter(&self, waiting: Waiting) -> u64 {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiting);
        self.wait.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn leave(&self) {
        self.wait.fetch_add(1, Ordering::SeqCst);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn take_verdict(&self, number: u64) -> Option<String> {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        verdict.take().filter(|(n, _)| *n == number).map(|(_, report)| report)
    }
}
