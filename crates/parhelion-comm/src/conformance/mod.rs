//! The suite that every backend passes.
//!
//! A [`Case`] is a function of a communicator that works at any number of ranks. [`all`] lists the cases; [`run`] carries
//! out those of a [`Selection`] and gives a [`Report`]. Each case has its own duplicate of the world, so that what a
//! failed case leaves behind does not disturb the next; a failure on any rank fails the case on all of them. A
//! [`Watchdog`] turns a case that hangs into a failure.
//!
//! ```
//! use parhelion_comm::conformance::{self, Selection};
//!
//! parhelion_comm::run(|world| {
//!     let report = conformance::run(&world, &Selection::filtered("barrier"))?;
//!     assert!(report.is_success(), "{report}");
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```
//!
//! The program `examples/conformance.rs` runs the suite on whatever backend the environment names.

pub mod check;
mod communicators;
mod errors;
mod inflight;
mod large;
mod matching;
mod memory;
mod mismatches;
mod movement;
mod operators;
mod placed;
mod point_to_point;
mod probes;
mod reductions;
mod report;
mod requests;
mod runner;
mod sample;
mod scopes;
mod sets;
mod threads;
mod varying;
mod watchdog;
mod windows;
mod windows_combine;
mod windows_order;

use crate::communicator::Communicator;
use crate::config::{BackendKind, ThreadLevel};

pub use check::{Halt, Outcome};
pub use report::{Report, Unmet};
pub use runner::{Selection, run, run_suite};
pub use watchdog::Watchdog;

/// One thing that every backend does.
#[derive(Clone, Copy)]
pub struct Case {
    /// A sentence about behaviour, after the name of its group: `matching: messages do not overtake each other`.
    pub name: &'static str,
    /// The fewest ranks at which it means something.
    pub min_ranks: usize,
    /// What it needs besides ranks.
    pub needs: Needs,
    /// The case itself, called by every rank of the communicator.
    pub run: fn(&Communicator) -> Outcome,
}

/// What a case needs of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Arguments of collectives compared across ranks: the local backend, or [`Config::checks`](crate::Config::checks).
    Checks,
    /// Several threads of a rank that call at once: any backend but MPI, and that with [`ThreadLevel::Multiple`].
    Threads,
    /// Ranks of one node that read each other's memory: [`Config::shared_memory`](crate::Config::shared_memory).
    SharedMemory,
    /// Gigabytes of memory: runs only where [`Selection::large`] asks for it.
    Large,
}

impl Case {
    /// A case that works with any number of ranks and needs nothing besides them.
    pub const fn new(name: &'static str, run: fn(&Communicator) -> Outcome) -> Self {
        Case { name, min_ranks: 1, needs: Needs::Nothing, run }
    }

    /// The case, which means something with `min_ranks` or more.
    #[must_use]
    pub const fn ranks(self, min_ranks: usize) -> Self {
        Case { min_ranks, ..self }
    }

    /// The case, which needs this of the run.
    #[must_use]
    pub const fn needs(self, needs: Needs) -> Self {
        Case { needs, ..self }
    }

    /// Why it cannot run on `communicator`, if it cannot; the same answer at every rank.
    pub fn obstacle(&self, communicator: &Communicator) -> Option<String> {
        let (local, mpi) = (communicator.backend() == BackendKind::Local, communicator.backend() == BackendKind::Mpi);
        let config = communicator.config();
        if communicator.size() < self.min_ranks {
            return Some(format!("needs {} ranks, there are {}", self.min_ranks, communicator.size()));
        }
        match self.needs {
            Needs::Checks if !local && !config.checks => {
                Some("needs the checks of collectives; set PARHELION_CHECK=1".to_owned())
            }
            Needs::Threads if mpi && config.thread_level != ThreadLevel::Multiple => {
                Some("needs threads that call at once; set PARHELION_THREAD_LEVEL=multiple".to_owned())
            }
            Needs::SharedMemory if !config.shared_memory => {
                Some("needs ranks that read each other's memory; leave PARHELION_SHARED_MEMORY on".to_owned())
            }
            _ => None,
        }
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// What this process has of the objects of an MPI library and its own unfinished business with it, by kind: for suites that
/// look for what is left behind. Without MPI all are 0.
pub fn live_objects() -> [(&'static str, u64); 5] {
    crate::backend::mpi::live_objects()
}

/// Every case, simple things first.
pub fn all() -> Vec<Case> {
    [
        point_to_point::CASES,
        matching::CASES,
        probes::CASES,
        requests::CASES,
        scopes::CASES,
        sets::CASES,
        placed::CASES,
        movement::CASES,
        varying::CASES,
        operators::CASES,
        reductions::CASES,
        inflight::CASES,
        errors::CASES,
        mismatches::CASES,
        communicators::CASES,
        threads::CASES,
        memory::CASES,
        windows::CASES,
        large::CASES,
    ]
    .concat()
}
