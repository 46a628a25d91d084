//! [`Seat`]: which rank this process is, and where the ranks meet.

use std::fmt;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Which rank this process is, and where the ranks meet.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) rank: usize,
    pub(crate) size: usize,
}

/// Whether `lookup` has this library's own three variables.
pub(crate) fn is_named(lookup: &dyn Fn(&str) -> Option<String>) -> bool {
    ["PARHELION_RANK", "PARHELION_SIZE", "PARHELION_RENDEZVOUS"]
        .iter()
        .all(|name| lookup(name).is_some_and(|value| !value.is_empty()))
}

/// The seat of this process, from variables that `lookup` answers.
///
/// # Errors
/// Nothing says which rank this is, or what says so cannot be used.
pub(crate) fn seat(lookup: &dyn Fn(&str) -> Option<String>, config: &Config) -> Result<Seat> {
    if !is_named(lookup) {
        let text = "PARHELION_RANK, PARHELION_SIZE and PARHELION_RENDEZVOUS are not set; 'parhelion run -n N PROGRAM' sets them";
        return Err(Error::new("run", ErrorKind::Unavailable(text.into())));
    }
    let number = |name: &str| {
        let value = lookup(name).unwrap_or_default();
        value
            .parse::<usize>()
            .map_err(|_| Error::new("run", ErrorKind::Config(format!("{name}={value}: give a number"))))
    };
    let (rank, size) = (number("PARHELION_RANK")?, number("PARHELION_SIZE")?);
    if rank >= size || config.ranks.is_some_and(|ranks| ranks != size) {
        let text = format!("PARHELION_RANK={rank}: not below PARHELION_SIZE={size}, or PARHELION_RANKS differs");
        return Err(Error::new("run", ErrorKind::Config(text)));
    }
    Ok(Seat { rank, size })
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)
    }
}
