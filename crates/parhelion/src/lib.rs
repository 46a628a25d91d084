//! Distributed arrays and halo exchange.

pub use parhelion_comm::*;
