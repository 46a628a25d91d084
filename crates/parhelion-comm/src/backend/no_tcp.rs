//! The tcp backend where it cannot work: it stands on epoll.

use super::Availability;
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

const REASON: &str = "the tcp backend needs Linux, for epoll and abstract names of sockets";

/// Never.
pub(crate) fn is_named() -> bool {
    false
}

/// Never.
pub(crate) fn availability(_: &Config) -> Availability {
    Availability { backend: BackendKind::Tcp, priority: 15, available: false, reason: REASON.to_owned() }
}

/// Not here.
pub(crate) fn launch<R, E, F>(_: &Config, _: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    Err(Error::new("run", ErrorKind::Unavailable(REASON.to_owned())))
}
