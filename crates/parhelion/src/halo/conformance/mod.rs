//! The suite that every scheme passes on every backend, as functions of a communicator.
//!
//! [`suite`] lists the cases, for [`run_suite`](parhelion_comm::conformance::run_suite); the program
//! `examples/array_conformance.rs` runs them on whatever backend the environment names.

mod adjoint;
mod check;
mod choice;
mod collection;
mod columns;
mod extremes;
mod fill;
mod flight;
mod index;
mod layers;
mod leaks;
mod lists;
mod matrices;
mod meshes;
mod migration;
mod patches;
mod plans;
mod remains;
mod split;

use parhelion_comm::conformance::Case;

/// Every case, simple things first.
pub fn suite() -> Vec<Case> {
    [
        plans::CASES,
        fill::CASES,
        flight::CASES,
        adjoint::CASES,
        index::CASES,
        extremes::CASES,
        split::CASES,
        layers::CASES,
        lists::CASES,
        migration::CASES,
        columns::CASES,
        matrices::CASES,
        collection::CASES,
        patches::CASES,
        choice::CASES,
        leaks::CASES,
        remains::CASES,
    ]
    .concat()
}
