//! Ranks are threads of this process.

use crate::backend::Availability;
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

/// Threads are always there.
pub(crate) fn availability(_config: &Config) -> Availability {
    let reason = "threads of this process".to_owned();
    Availability { backend: BackendKind::Local, priority: 10, available: true, reason }
}

/// Runs `main` once per rank.
pub(crate) fn launch<R, E, F>(config: &Config, _main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    Err(Error::new("run", ErrorKind::Unavailable(availability(config).reason)))
}
