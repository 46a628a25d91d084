//! Who does the work: threads that wait, and the helper while none does.
//!
//! 1. A thread that waits looks at the sockets itself, under the lock, for as long as it spins. Then one such thread sleeps on
//!    epoll and its bell; the others sleep on a condition. Whoever causes news rings the bell and wakes the others.
//! 2. The helper sleeps on epoll only while no thread waits and none has come by since its last look. A thread that begins to wait
//!    rings it out of there. Otherwise it naps and looks again. The end of each nap takes a core from the program for some
//!    microseconds; until it ends, what comes has to wait if threads have stopped coming by. So a nap lasts a [`PART`] of the time
//!    since the helper was last needed, from [`SHORT_NAP`] to [`NAP`], and longer only while one thread sleeps on epoll without a
//!    break. Then whoever ends that sleep rings, too.
//! 3. Before anybody sleeps on epoll, he arms: peers with rings in shared memory then wake this rank through its sockets
//!    (see [`shared`](super::shared)).
//! 4. Epoll is asked for readiness by level and only under the lock; asleep, threads wait for the epoll descriptor itself to
//!    become readable. So no readiness is lost to the thread that happens to see it first.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::Engine;
use super::connect::FIRST_WIRE;
use super::door::DOOR_UNIX;
use super::link::Phase;
use super::state::State;
use crate::error::Result;

/// Looks of threads that do not wait, one after the other, before peers are told that somebody looks.
const LOOKS: u32 = 8;
/// Spins between two yields to whoever else needs the core, where each rank has one.
const SPINS: u32 = 32;

/// The helper's shortest nap, and the longest while threads come by.
const SHORT_NAP: Duration = Duration::from_micros(500);
const NAP: Duration = Duration::from_millis(8);
/// How many times as long threads have done everything themselves when the helper takes a nap: it notices late that they have
/// stopped, but by a part only.
const PART: u32 = 4;
/// For a sleep that something else ends.
const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    /// Whether this thread is an engine's helper.
    static HELPS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is an engine's helper.
pub(super) fn is_helper() -> bool {
    HELPS.get()
}

/// Who is doing what.
#[derive(Default)]
pub(super) struct Crew {
    /// Threads in [`Engine::wait_until`].
    waiting: usize,
    /// How often threads that do not wait have looked since peers were asked to wake this rank.
    looks: u32,
    /// Whether a waiting thread sleeps on epoll, whether its bell has been rung, and how often one has.
    asleep: bool,
    rung: bool,
    sleeps: u64,
    /// Waiting threads that sleep on the condition.
    others: usize,
    /// Whether the helper sleeps on epoll, or naps for long, and whether its bell has been rung.
    helper_serves: bool,
    helper_naps: bool,
    helper_rung: bool,
    pub(super) stop: bool,
}

/// What threads sleep on.
pub(super) struct Beds {
    bell: OwnedFd,
    helper_bell: OwnedFd,
    others: Condvar,
}

impl Beds {
    pub(super) fn new() -> Result<Self, rustix::io::Errno> {
        let bell = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        Ok(Beds { bell: bell()?, helper_bell: bell()?, others: Condvar::new() })
    }

    /// Tells waiting threads of news. The lock is held.
    pub(super) fn tell(&self, crew: &mut Crew) {
        if crew.asleep && !crew.rung {
            crew.rung = true;
            ring(&self.bell);
        }
        if crew.others > 0 {
            self.others.notify_all();
        }
    }

    fn ring_helper(&self, crew: &mut Crew) {
        if !crew.helper_rung {
            crew.helper_rung = true;
            ring(&self.helper_bell);
        }
    }
}

fn ring(bell: &OwnedFd) {
    // Cannot fail: each ring is read before the next.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

fn silence(bell: &OwnedFd) {
    let _ = rustix::io::read(bell, &mut [0u8; 8]);
}

/// Sleeps until one of `fds` is readable.
fn doze(fds: &mut [PollFd<'_>], limit: Duration) {
    let limit = limit.min(LONG);
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    // Interrupted or not: the caller looks at everything again.
    let _ = poll(fds, Some(&limit));
}

impl State {
    /// Looks once at everything, though not at the sockets each time while all peers have rings: whether anything was there.
    pub(super) fn look(&mut self) -> bool {
        let mut any = self.look_at_rings();
        any |= self.pull();
        if self.is_socket_time() {
            any |= self.look_at_sockets();
        }
        any
    }

    /// Looks once at the sockets, first where something came last: whether anything was there.
    fn look_at_sockets(&mut self) -> bool {
        if let Some(hot) = self.hot
            && self.read_wire(hot)
        {
            return true;
        }
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 64];
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let epoll = self.epoll.clone();
        let Ok((events, _)) = epoll::wait(&*epoll, &mut events, Some(&zero)) else { return false };
        for event in events.iter() {
            let (token, flags) = (event.data.u64(), event.flags);
            if token <= DOOR_UNIX {
                self.open_door(token);
                continue;
            }
            debug_assert!(token >= FIRST_WIRE);
            let peer = match self.wires.get(&token).map(|wire| &wire.phase) {
                None => continue,
                Some(Phase::Up { peer, .. }) => *peer,
                Some(_) => {
                    self.go_on(token);
                    continue;
                }
            };
            if flags.contains(EventFlags::OUT) && self.links[peer].sends_on == Some(token) {
                self.mark(peer);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.read_wire(token);
            }
        }
        let any = !events.is_empty();
        self.flush_dirty();
        self.timers(Instant::now());
        any
    }
}

/// A thread in [`Engine::wait_until`].
struct Visit<'a>(&'a Engine);

impl<'a> Visit<'a> {
    fn new(engine: &'a Engine) -> Self {
        let mut state = engine.lock();
        state.crew.waiting += 1;
        engine.come_by();
        if state.crew.helper_serves {
            engine.beds.ring_helper(&mut state.crew);
        }
        Visit(engine)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.crew.waiting -= 1;
        if state.crew.others > 0 && !state.crew.asleep {
            self.0.beds.others.notify_one();
        }
        if state.crew.helper_naps {
            self.0.beds.ring_helper(&mut state.crew);
        }
    }
}

impl Engine {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done` says so, or `limit` has passed (then false). Makes progress meanwhile. `done` is asked again after every
    /// completion, arrival, end of a rank, and [`Engine::nudge`]; it is called without locks and may use the engine.
    pub(in crate::backend::tcp) fn wait_until(&self, limit: Option<Duration>, mut done: impl FnMut() -> bool) -> bool {
        if done() {
            return true;
        }
        let begin = Instant::now();
        let _visit = Visit::new(self);
        let mut spin_from = begin;
        let mut last_news = u64::MAX;
        let mut spins = 0u32;
        loop {
            let news = {
                let mut turn = self.turn();
                if turn.armed && !turn.crew.asleep {
                    turn.disarm();
                }
                turn.look();
                turn.news
            };
            if done() {
                return true;
            }
            let now = Instant::now();
            let left = limit.map(|limit| limit.saturating_sub(now.duration_since(begin)));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            if news != last_news {
                (last_news, spin_from) = (news, now);
            }
            if now.duration_since(spin_from) < self.spin {
                spins = spins.wrapping_add(1);
                if self.is_crowded || spins.is_multiple_of(SPINS) {
                    // Whoever is waited for may need this core.
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
            } else {
                self.sleep(news, left.unwrap_or(LONG));
                spin_from = Instant::now();
            }
        }
    }

    /// See [`Engine::progress`].
    pub(super) fn look_once(&self) {
        let mut turn = self.visit();
        if turn.armed && !turn.crew.asleep {
            turn.crew.looks += 1;
            // Somebody who comes again and again need not be woken; should he stay away, the helper notices.
            if turn.crew.looks > LOOKS {
                if turn.crew.helper_serves {
                    self.beds.ring_helper(&mut turn.crew);
                }
                turn.disarm();
            }
        }
        turn.look();
    }

    /// Sleeps until there is something to read, or news that are not `seen`.
    fn sleep(&self, seen: u64, limit: Duration) {
        let mut state = self.lock();
        if state.news != seen || !state.arm() {
            return;
        }
        if state.crew.asleep {
            state.crew.others += 1;
            let (mut state, _) = self.beds.others.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
            state.crew.others -= 1;
            return;
        }
        state.crew.asleep = true;
        state.crew.sleeps += 1;
        let limit = limit.min(state.next_timer.saturating_duration_since(Instant::now()));
        drop(state);
        let fds = &mut [PollFd::new(&*self.epoll, PollFlags::IN), PollFd::new(&self.beds.bell, PollFlags::IN)];
        doze(fds, limit);
        let mut state = self.lock();
        state.crew.asleep = false;
        state.sockets_matter = true;
        if std::mem::take(&mut state.crew.rung) {
            silence(&self.beds.bell);
        }
    }

    /// Serves while nobody else does, until the engine stops.
    pub(super) fn help(&self) {
        HELPS.set(true);
        let (mut visits, mut sleeps, mut nap, mut needed) = (0, 0, SHORT_NAP, Instant::now());
        loop {
            let mut turn = self.turn();
            if std::mem::take(&mut turn.crew.helper_rung) {
                silence(&self.beds.helper_bell);
            }
            if turn.crew.stop {
                return;
            }
            let now = Instant::now();
            turn.timers(now);
            let came_by = self.visits.load(Ordering::Relaxed);
            let is_served = turn.crew.waiting > 0 || came_by != visits;
            visits = came_by;
            // Not all who come by look.
            if is_served && turn.crew.waiting == 0 && turn.look() {
                needed = now;
            }
            let due = turn.next_timer.saturating_duration_since(Instant::now());
            let bell = PollFd::new(&self.beds.helper_bell, PollFlags::IN);
            if is_served {
                let in_one_sleep = turn.crew.asleep && turn.crew.sleeps == sleeps;
                sleeps = turn.crew.sleeps;
                let part = now.duration_since(needed) / PART;
                nap = if in_one_sleep { LONG.min(nap * 2) } else { part.clamp(SHORT_NAP, NAP) };
                turn.crew.helper_naps = nap > NAP;
                drop(turn);
                doze(&mut [bell], nap.min(due));
                self.lock().crew.helper_naps = false;
            } else {
                turn.crew.looks = 0;
                if turn.arm() {
                    turn.crew.helper_serves = true;
                    drop(turn);
                    doze(&mut [PollFd::new(&*self.epoll, PollFlags::IN), bell], due);
                } else {
                    drop(turn);
                }
                let mut turn = self.turn();
                turn.crew.helper_serves = false;
                turn.sockets_matter = true;
                if turn.look() {
                    needed = Instant::now();
                }
            }
        }
    }

    /// Ends the helper, which has been told to stop.
    pub(super) fn stop_helper(&self) {
        self.beds.ring_helper(&mut self.lock().crew);
        let helper = self.helper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(helper) = helper
            && helper.thread().id() != std::thread::current().id()
        {
            // It has panicked at most in user code, which has said so.
            let _ = helper.join();
        }
    }
}
