//! Ranks are processes under an MPI library, loaded at run time.

use crate::backend::Availability;
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

/// Whether an MPI library can be used here. Never initialises one.
pub(crate) fn availability(_config: &Config) -> Availability {
    let reason = "no MPI library was found".to_owned();
    Availability { backend: BackendKind::Mpi, priority: 20, available: false, reason }
}

/// The MPI launcher that started this process, in words, if one did.
pub(crate) fn launcher() -> Option<String> {
    None
}

/// Runs `main` as this process's rank of the launcher's world.
pub(crate) fn launch<R, E, F>(config: &Config, _main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    Err(Error::new("run", ErrorKind::Unavailable(availability(config).reason)))
}
