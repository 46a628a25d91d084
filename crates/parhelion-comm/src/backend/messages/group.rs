//! What the members of a named group tell each other before it is made.

use super::{Lane, exchange};
use crate::backend::signature::fingerprint;
use crate::error::{Error, ErrorKind, Result};

/// The ranks of a group's list in an order that does not depend on the list's, so that ranks that list the same ones in
/// other orders still find each other.
pub(crate) fn members(ranks: &[usize]) -> Vec<usize> {
    let mut members = ranks.to_vec();
    members.sort_unstable();
    members
}

/// Compares the lists that the ranks of `lane` give for the group `name`: ours is `ranks`, and rank `i` of the lane is
/// `members[i]` of the communicator. Gives the `word` of the first.
///
/// # Errors
/// [`ErrorKind::Mismatch`] where the lists differ: at every rank if all list the same ranks.
pub(crate) async fn agree<L: Lane>(lane: &L, name: &str, ranks: &[usize], members: &[usize], word: u64) -> Result<u64> {
    let list = fingerprint(ranks);
    let all = exchange::all_gather_words(lane, &[list, word]).await?;
    if let Some(other) = all.chunks_exact(2).position(|words| words[0] != list) {
        let text =
            format!("group {name:?}: rank {} gave another list than rank {}", members[other], members[lane.rank()]);
        return Err(Error::new("group", ErrorKind::Mismatch(text)));
    }
    Ok(all[1])
}
