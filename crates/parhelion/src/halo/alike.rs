//! [`alike`]: ranks that would go different ways hear of it before they do.

use std::hash::{DefaultHasher, Hash, Hasher};

use parhelion_comm::{Communicator, Error, ErrorKind, Op, Result};

/// Compares what the ranks are about to do, in words, where [checks](parhelion_comm::Config::checks) are on. Collective: one
/// reduction, of one form, so that ranks that meet here on different ways disagree, too.
///
/// # Errors
/// [`Mismatch`](ErrorKind::Mismatch), at every rank, if one has other words.
pub(super) fn alike(communicator: &Communicator, what: impl FnOnce() -> String) -> Result<()> {
    if !communicator.config().checks {
        return Ok(());
    }
    let what = what();
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let hash = hasher.finish();
    // The least and, of the complements, the greatest: equal at all ranks if the hashes are.
    let ends = communicator.all_reduce(&[hash, !hash], Op::Min)?;
    if ends[0] == !ends[1] {
        return Ok(());
    }
    let text = format!("rank {} asks for {what}, and another rank for something else", communicator.rank());
    Err(Error::new("exchange", ErrorKind::Mismatch(text)))
}
