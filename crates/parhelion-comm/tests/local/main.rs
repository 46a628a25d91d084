//! What only the local backend promises, and the conformance suite on it.

mod bounds;
mod conformance;
mod deadlock;
mod launching;
mod lost;
mod ordering;
mod signals;
mod soundness;
mod spans;
#[path = "../waits/mod.rs"]
mod waits;
mod windows;
