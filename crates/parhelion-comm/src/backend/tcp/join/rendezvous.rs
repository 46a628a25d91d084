//! The meeting of all ranks.

use super::{Joined, Seat};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Meets the other ranks of the job. Collective; waits for all of them, but not beyond [`Config::join_timeout`].
///
/// # Errors
/// Who did not come, or who came and does not fit.
pub(crate) fn join(_: &Seat, _: &Config) -> Result<Joined> {
    Err(Error::new("run", ErrorKind::Unavailable("the ranks cannot meet yet".into())))
}
