//! [`Comm`]: one MPI communicator and its shadow.
//!
//! The *shadow* has the same ranks and carries what the user's messages must never meet: argument checks, reductions
//! with operators that MPI does not know, collectives that its functions cannot count (see `lane`). Both are made together, which is
//! collective, and freed together when the last handle goes: `MPI_Comm_free` is local in the libraries known, and it
//! must happen, for MPICH has 2,048 context ids in all.

use std::ffi::c_int;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mpi_abi::{Comm as RawComm, Library};

use super::failure;
use super::live;
use super::runtime::{Chore, Runtime};
use crate::backend::prepared::Private;
use crate::config::Config;
use crate::error::Result;

/// One rank's end of a communicator. Every operation in flight holds one, so that none outlives it.
pub(super) struct Comm {
    pub(super) runtime: &'static Runtime,
    pub(super) raw: RawComm,
    pub(super) shadow: RawComm,
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) max_tag: u32,
    pub(super) config: Arc<Config>,
    pub(super) name: String,
    /// Counts the jobs on the shadow; equal at every rank, as collectives are called in one order.
    sequence: AtomicU64,
    /// What its message sets share.
    pub(super) private: Private,
    /// Tells it from every other communicator of this process, those of the past included.
    pub(super) id: u64,
}

/// A number for a group's name, of 15 bits: the standard's default hasher is the same in every process of one program.
pub(super) fn name_number(name: &str) -> u32 {
    #[allow(deprecated, reason = "the point is that it has no per-process key")]
    let mut hasher = std::hash::SipHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() & 0x7fff) as u32
}

/// Counts the communicators of this process.
static MADE: AtomicU64 = AtomicU64::new(0);

impl Comm {
    /// Takes over `raw`, which this process made, and makes its shadow. Collective over it.
    pub(super) fn adopt(
        runtime: &'static Runtime,
        raw: RawComm,
        config: Arc<Config>,
        name: &str,
    ) -> Result<Arc<Self>, mpi_abi::Error> {
        let library = runtime.library;
        let c = library.constants();
        let (mut rank, mut size): (c_int, c_int) = (0, 0);
        let mut shadow = c.comm_null;
        // SAFETY: MPI is active, `raw` is a communicator of this process, and the places are valid.
        unsafe {
            library.comm_set_errhandler(raw, c.errors_return)?;
            library.comm_rank(raw, &mut rank)?;
            library.comm_size(raw, &mut size)?;
            library.comm_dup(raw, &mut shadow)?;
            library.comm_set_errhandler(shadow, c.errors_return)?;
        }
        let max_tag = library.tag_ub(raw)?.min(library.tag_ub(shadow)?);
        (0..2).for_each(|_| live::COMMUNICATORS.one_more());
        Ok(Arc::new(Comm {
            runtime,
            raw,
            shadow,
            rank: rank as usize,
            size: size as usize,
            max_tag: max_tag as u32,
            config,
            name: name.to_owned(),
            sequence: AtomicU64::new(0),
            private: Private::default(),
            id: MADE.fetch_add(1, Ordering::Relaxed),
        }))
    }

    pub(super) fn library(&self) -> &'static Library {
        self.runtime.library
    }

    /// The longest wait of a blocking call.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.config.timeout
    }

    /// The tag of the next job on the shadow.
    pub(super) fn next_tag(&self) -> c_int {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        (number % u64::from(self.max_tag - self.group_tags())) as c_int
    }

    /// The tag, on the shadow, of what the members of a named group say before it is made: no job has it. Groups made at once
    /// are told apart by it.
    pub(super) fn group_tag(&self, name: &str) -> c_int {
        (self.max_tag - 1 - name_number(name) % self.group_tags()) as c_int
    }

    /// How many tags below `peer_tag` are for groups; jobs have at least as many (the standard promises 32,767 in all).
    fn group_tags(&self) -> u32 {
        (self.max_tag / 2).min(1 << 15)
    }

    /// The tag, on the shadow, of what only some ranks take part in: no job has it.
    pub(super) fn peer_tag(&self) -> c_int {
        self.max_tag as c_int
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        let mut free = Free { library: self.library(), comms: [self.raw, self.shadow] };
        match self.runtime.try_turn() {
            Ok(_turn) => {
                free.attempt();
            }
            // The wrong thread, or MPI is over; in the latter case nobody takes it up, and nothing is lost.
            Err(_) => self.runtime.leave(Box::new(free)),
        }
    }
}

/// Two communicators to free.
struct Free {
    library: &'static Library,
    comms: [RawComm; 2],
}

impl Chore for Free {
    fn attempt(&mut self) -> bool {
        for comm in &mut self.comms {
            // SAFETY: made by this process and freed once: the last handle is gone, and so are the operations, which
            // hold handles. A failure leaves a communicator allocated, no more.
            live::COMMUNICATORS.one_less(unsafe { self.library.comm_free(comm) });
        }
        true
    }
}

/// Shorthand: an error of the library in `operation`.
pub(super) trait In<T> {
    /// Names the operation.
    fn of(self, operation: &'static str) -> Result<T>;
}

impl<T> In<T> for Result<T, mpi_abi::Error> {
    #[inline]
    fn of(self, operation: &'static str) -> Result<T> {
        self.map_err(|e| failure::error(operation, e))
    }
}
