//! Ranks are processes that talk over sockets, with nothing installed.
//!
//! [`join`]: who this process is, how the ranks find each other, and how they know each other from strangers.

#[allow(dead_code, reason = "the transport is what uses it")]
mod engine;
#[allow(dead_code, reason = "the engine is what uses connections")]
mod join;

use crate::backend::Availability;
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

/// Whether the environment names this process as a rank in this library's own words. Only then is tcp chosen unasked.
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

/// Runs `main` as this process's rank.
pub(crate) fn launch<R, E, F>(config: &Config, _main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    let seat = join::seat(&variable, config)?;
    let _joined = join::join(&seat, config)?;
    Err(Error::new("run", ErrorKind::Unavailable("the tcp backend cannot carry messages yet".into())))
}

/// A variable of the process environment.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
