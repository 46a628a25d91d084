//! MPI in this process: who may call it, and what is left to do for operations that nobody waits for.
//!
//! Every call of the backend begins with [`Runtime::enter`]. It refuses what the thread level forbids, and anything
//! after `MPI_Finalize`; the [`Turn`] it gives lasts as long as the call.
//!
//! A *chore* is work that no call is waiting for: a job in flight whose next step is ours (see `job`), an abandoned
//! operation whose buffers MPI may still use, a window's part that others need, a communicator dropped on a thread that must not
//! call MPI. Calls of the right
//! thread take chores up, a few at a time; as long as there are any, a call that waits does not wait inside MPI but
//! asks, and goes on with chores in between. [`Runtime::drain`] does the rest before MPI ends.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mpi_abi::Library;

use super::failure;
use super::operator::Predefined;
use crate::config::ThreadLevel;
use crate::error::{Error, ErrorKind, Result};

/// Something left to do, tried until it answers true.
pub(super) trait Chore: Send {
    /// Goes on with it: true when it is done.
    fn attempt(&mut self) -> bool;
}

/// MPI in this process.
pub(super) struct Runtime {
    pub(super) library: &'static Library,
    /// What threads may do: the lower of what was asked for and what the library granted.
    pub(super) level: ThreadLevel,
    /// The longest count passed to MPI as an `int`: `i32::MAX`, or less in tests of the paths beyond it.
    pub(super) max_count: usize,
    /// Whether the library has the `_c` functions.
    pub(super) large_counts: bool,
    /// Whether this is Open MPI, which needs care in two places (see `guard` and `operator`).
    pub(super) open_mpi: bool,
    /// Which reductions the library knows.
    pub(super) predefined: Predefined,
    /// Whether `MPI_Reduce` writes to the result of ranks that have none, as MPICH 3.4.3 does.
    pub(super) reduces_everywhere: bool,
    /// The token of the one thread that may call, or `EVERY_THREAD`, or `OVER`.
    owner: AtomicUsize,
    /// The same while nothing is left to do, else `OVER`: all that a call looks at which finds its own token here.
    free: AtomicUsize,
    /// With `Serialized`: a call is under way.
    busy: AtomicBool,
    /// Whether `chores` may hold something.
    has_chores: AtomicBool,
    chores: Mutex<VecDeque<Box<dyn Chore>>>,
}

/// Tokens are addresses of thread-locals, so neither of these is one.
const OVER: usize = 0;
const EVERY_THREAD: usize = 1;
/// How many chores one call takes up.
const CHORES_PER_CALL: usize = 16;

/// Identifies the running thread: the address of a thread-local, which costs less than a `ThreadId`.
#[inline(always)]
fn token() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here) as usize)
}

thread_local! {
    /// Whether this thread does chores.
    static IN_CHORES: Cell<bool> = const { Cell::new(false) };
}

/// Permission to call MPI, until it is dropped.
pub(super) struct Turn<'a> {
    busy: Option<&'a AtomicBool>,
    /// Whether the call may wait inside MPI: there are no chores to go on with.
    pub(super) direct: bool,
}

impl Drop for Turn<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(busy) = self.busy {
            busy.store(false, Ordering::Release);
        }
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

impl Runtime {
    /// The runtime of this process, made on first use: MPI is initialised at most once in a process. The calling thread
    /// is the one that may call where only one may.
    pub(super) fn of_process(library: &'static Library, level: ThreadLevel) -> Result<&'static Self> {
        let max_count = super::count::max_count()?;
        let open_mpi = library.version().vendor == mpi_abi::Vendor::OpenMpi;
        // SAFETY: MPI is active, and the calling thread is one that may call.
        unsafe { library.find_lengths() }.map_err(|e| failure::error("run", e))?;
        let owner = if level <= ThreadLevel::Funneled { token() } else { EVERY_THREAD };
        let runtime = RUNTIME.get_or_init(|| Runtime {
            library,
            level,
            max_count,
            large_counts: library.supports_large_counts(),
            reduces_everywhere: library.version().vendor == mpi_abi::Vendor::Mpich && library.version().major < 4,
            open_mpi,
            predefined: Predefined::of(library, open_mpi),
            owner: AtomicUsize::new(owner),
            free: AtomicUsize::new(owner),
            busy: AtomicBool::new(false),
            has_chores: AtomicBool::new(false),
            chores: Mutex::default(),
        });
        if !std::ptr::eq(runtime.library, library) {
            return Err(Error::new(
                "run",
                ErrorKind::Unsupported(format!(
                    "this process already uses {}, and cannot use {} as well",
                    runtime.library.name(),
                    library.name()
                )),
            ));
        }
        Ok(runtime)
    }

    /// Whether this is the one thread that may call, with nothing else to do: the shortest beginning of a call, that of
    /// [`Runtime::enter`], to which everything else is left.
    #[inline(always)]
    pub(super) fn is_free(&self) -> bool {
        self.free.load(Ordering::Relaxed) == token()
    }

    /// The beginning of every call.
    #[inline(always)]
    pub(super) fn enter(&self, operation: &'static str) -> Result<Turn<'_>> {
        if self.is_free() {
            return Ok(Turn { busy: None, direct: true });
        }
        self.enter_slowly(operation)
    }

    #[inline(never)]
    fn enter_slowly(&self, operation: &'static str) -> Result<Turn<'_>> {
        let mut turn = self.try_turn().map_err(|why| Error::new(operation, ErrorKind::Unsupported(why)))?;
        self.progress();
        turn.direct = !self.has_chores.load(Ordering::Acquire);
        Ok(turn)
    }

    /// A turn without chores, for `Drop` and for chores themselves; the error says what forbids it.
    pub(super) fn try_turn(&self) -> Result<Turn<'_>, String> {
        if IN_CHORES.get() {
            // Within the turn of the call that does the chores.
            return Ok(Turn { busy: None, direct: false });
        }
        match self.owner.load(Ordering::Acquire) {
            OVER => Err(format!("{} is finalised: its communicators ended with it", self.library.name())),
            EVERY_THREAD if self.level == ThreadLevel::Multiple => Ok(Turn { busy: None, direct: false }),
            EVERY_THREAD => match self.busy.swap(true, Ordering::Acquire) {
                false => Ok(Turn { busy: Some(&self.busy), direct: false }),
                true => {
                    Err("another thread of this rank is inside a call, which thread level serialized forbids; set \
                             PARHELION_THREAD_LEVEL=multiple"
                        .to_owned())
                }
            },
            owner if owner == token() => Ok(Turn { busy: None, direct: false }),
            _ => Err(format!(
                "only the thread that started this rank may communicate at thread level {}; set \
                 PARHELION_THREAD_LEVEL=multiple",
                self.level
            )),
        }
    }

    /// Leaves `chore` to later calls. What it holds lives until it is done, or for ever.
    pub(super) fn leave(&self, chore: Box<dyn Chore>) {
        let mut chores = self.lock();
        chores.push_back(chore);
        self.note(&chores);
    }

    /// Goes on with some chores. A turn is held.
    #[inline]
    pub(super) fn progress(&self) {
        if self.has_chores.load(Ordering::Acquire) {
            self.do_chores(CHORES_PER_CALL);
        }
    }

    fn do_chores(&self, most: usize) {
        if IN_CHORES.replace(true) {
            // A chore that calls is not to do others, which would do it again.
            return;
        }
        /// Also when a chore panics.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                IN_CHORES.set(false);
            }
        }
        let _leave = Leave;
        let count = most.min(self.lock().len());
        for _ in 0..count {
            let next = self.lock().pop_front();
            let Some(mut chore) = next else { break };
            // Not under the lock: a chore that ends may drop a communicator, which may leave a chore.
            if !chore.attempt() {
                self.lock().push_back(chore);
            }
        }
        self.note(&self.lock());
    }

    /// Notes whether there are chores, which are locked.
    fn note(&self, chores: &VecDeque<Box<dyn Chore>>) {
        let owner = self.owner.load(Ordering::Acquire);
        self.has_chores.store(!chores.is_empty(), Ordering::Release);
        self.free.store(if chores.is_empty() { owner } else { OVER }, Ordering::Release);
    }

    /// Works on the chores until all are done or `limit` has passed: whether all are done.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = self.lock().len();
            if left == 0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.do_chores(left);
            std::thread::yield_now();
        }
    }

    /// How many chores are left, at the runtime of this process if there is one.
    #[cfg(all(feature = "conformance", not(test)))]
    pub(super) fn chores_left() -> u64 {
        RUNTIME.get().map_or(0, |runtime| runtime.lock().len() as u64)
    }

    /// Whether MPI is over: nobody will do anything any more.
    pub(super) fn is_over(&self) -> bool {
        self.owner.load(Ordering::Acquire) == OVER
    }

    /// No call is let in from now on.
    pub(super) fn close(&self) {
        let chores = self.lock();
        self.owner.store(OVER, Ordering::Release);
        self.note(&chores);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Box<dyn Chore>>> {
        self.chores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waiting by asking again and again: spins briefly, then gives the core away between questions.
pub(super) struct Backoff<'a> {
    runtime: &'a Runtime,
    asked: u32,
    deadline: Option<(Instant, Duration)>,
}

impl<'a> Backoff<'a> {
    /// For a wait of at most `limit`.
    pub(super) fn new(runtime: &'a Runtime, limit: Option<Duration>) -> Self {
        // A limit beyond all clocks is none.
        let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        Backoff { runtime, asked: 0, deadline }
    }

    /// Between two questions. A turn is held.
    ///
    /// # Errors
    /// The time is up.
    pub(super) fn pause(&mut self, operation: &'static str) -> Result<()> {
        /// Each question already costs the library's own polling, so that few are enough before a yield.
        const SPINS: u32 = 100;
        self.runtime.progress();
        self.asked = self.asked.saturating_add(1);
        if self.asked > SPINS {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        match self.deadline {
            Some((deadline, limit)) if Instant::now() >= deadline => {
                Err(Error::new(operation, ErrorKind::Timeout(limit)))
            }
            _ => Ok(()),
        }
    }
}
