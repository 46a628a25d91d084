//! The suite that arrays pass on every backend, as functions of a communicator.
//!
//! [`suite`] lists the cases, for [`run_suite`](parhelion_comm::conformance::run_suite); the program
//! `examples/array_conformance.rs` runs them on whatever backend the environment names. Each compares arrays of random
//! shapes and distributions with the same work on a plain vector of all cells.

mod draw;
mod local;
mod model;
mod movement;
mod reductions;
mod scans;
mod sorting;
#[cfg(test)]
mod tests;

use parhelion_comm::conformance::Case;

/// Every case, simple things first.
pub fn suite() -> Vec<Case> {
    [local::CASES, movement::CASES, reductions::CASES, scans::CASES, sorting::CASES].concat()
}
