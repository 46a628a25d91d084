//! Ranks are processes that talk over sockets, with nothing installed.
//!
//! - [`join`]: who this process is, how the ranks find each other, and how they know each other from strangers.
//! - [`engine`]: messages between processes, matched.
//! - [`comm`]: communicators, [`transport`]: what they do, [`pending`]: messages in flight.
//! - [`job`]: collectives, by messages of a [`lane`]. [`attach`]: memory of ranks on one machine.
//! - [`launch`](mod@launch): a rank's program, from its beginning to its end.

mod attach;
mod comm;
mod engine;
mod job;
mod join;
mod lane;
mod launch;
mod pending;
#[cfg(test)]
mod tap;
mod transport;

use std::ffi::OsString;

pub(crate) use self::launch::launch;
use crate::backend::Availability;
use crate::config::{BackendKind, Config};

/// Whether the environment names this process as a rank in this library's own words. Then tcp is chosen unasked.
pub(crate) fn is_named() -> bool {
    join::is_named(&variable)
}

/// Whether the `tcp` backend can be used here: whether the environment says which rank this process is and where the others
/// are. Opens nothing.
pub(crate) fn availability(config: &Config) -> Availability {
    let (available, reason) = match join::seat(&variable, config) {
        Ok(seat) => (true, seat.to_string()),
        Err(e) => (false, e.kind().to_string()),
    };
    Availability { backend: BackendKind::Tcp, priority: 15, available, reason }
}

/// A variable of the process environment.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// What fuzzers call.
#[cfg(any(fuzzing, test))]
pub mod fuzz {
    pub use super::engine::fuzz::frame;
    pub use super::join::fuzz::{handshake, roster};
}
