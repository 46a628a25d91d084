//! Memory of ranks on this node ([`arena`](crate::backend::arena)), and signals in it.
//!
//! Two ranks tell each other where their arenas are, each looks for the other's, and then they tell each other whether
//! they have found it: what only one of them can reach, neither uses. Messages of a lane carry this, and nothing after.
//! The lane is one for all such calls of a communicator, since only some ranks take part: those of two ranks keep their order.

use std::sync::Arc;

use super::Lane;
use super::exchange::swap_words;
use crate::backend::arena::{Arena, IDENTITY_WORDS, Identity, Loan, PeerArena, borrow};
use crate::backend::block::Reach;
use crate::backend::words::Words;
use crate::error::{Error, ErrorKind, Result};

/// Says to a peer that there is nothing to find.
const NOTHING: [u64; IDENTITY_WORDS] = [u64::MAX; IDENTITY_WORDS];

/// What a peer said of itself, and its arena if both can reach the other's.
struct Met {
    said: [u64; 2],
    arena: Option<Arc<PeerArena>>,
}

/// Meets `peers`, other ranks than this one: tells each of them `say`. Memory is `shared` if the settings let it be.
async fn meet<L: Lane>(lane: &L, shared: bool, peers: &[usize], say: [u64; 2]) -> Result<Vec<Met>> {
    if peers.is_empty() {
        return Ok(Vec::new());
    }
    let own = Arena::of_process().filter(|_| shared).and_then(|arena| arena.identity());
    let mine: Vec<u64> = own.map_or(NOTHING, Identity::to_words).into_iter().chain(say).collect();
    let theirs = swap_words(lane, peers, &vec![mine; peers.len()]).await?;
    let met = theirs.into_iter().map(|words| {
        let words = words?;
        let (identity, said) = words.split_at(IDENTITY_WORDS);
        let identity: [u64; IDENTITY_WORDS] = identity.try_into().expect("as many words as were asked for");
        let there = own.is_some() && identity != NOTHING;
        let arena = there.then(|| PeerArena::find(&Identity::of_words(identity))).flatten();
        Ok(Met { said: said.try_into().expect("two words"), arena })
    });
    let met: Vec<Result<Met>> = met.collect();
    let found: Vec<Vec<u64>> =
        met.iter().map(|met| vec![u64::from(met.as_ref().is_ok_and(|met| met.arena.is_some()))]).collect();
    // Also where one of them is lost: the others wait for this rank's answer.
    let answers = swap_words(lane, peers, &found).await?;
    let settle = |(met, answer): (Result<Met>, Result<Vec<u64>>)| {
        let (met, answer) = (met?, answer?);
        Ok(Met { arena: met.arena.filter(|_| answer == [1]), ..met })
    };
    met.into_iter().zip(answers).map(settle).collect()
}

/// See [`Transport::attach`](crate::backend::Transport::attach).
pub(crate) async fn attach<L: Lane>(lane: &L, shared: bool, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
    let others: Vec<usize> = peers.iter().copied().filter(|&peer| peer != lane.rank()).collect();
    let mut met = meet(lane, shared, &others, [0; 2]).await?.into_iter();
    let reach = |&peer: &usize| {
        let arena = match peer == lane.rank() {
            false => met.next().and_then(|met| met.arena),
            true => Arena::of_process().filter(|_| shared).and_then(|arena| PeerArena::find(&arena.identity()?)),
        };
        arena.map(Reach::Mapped)
    };
    Ok(peers.iter().map(reach).collect())
}

/// The words of this rank, and those of each of `peers`. See [`Transport::signals`](crate::backend::Transport::signals).
pub(crate) async fn signals<L: Lane>(
    lane: &L,
    shared: bool,
    peers: &[usize],
    count: usize,
) -> Result<(Words, Vec<Words>)> {
    /// No token: the words are not where a peer could read them.
    const NOWHERE: u64 = 0;
    let loan = shared.then(|| Loan::new(count, peers.len())).flatten();
    let token = loan.as_ref().map_or(NOWHERE, Loan::token);
    let met = meet(lane, shared, peers, [token, count as u64]).await?;
    let mut words = Vec::with_capacity(peers.len());
    let mut fault = None;
    for (&peer, met) in peers.iter().zip(&met) {
        let [their_token, their_count] = met.said;
        let fits = their_count == count as u64 && token != NOWHERE && their_token != NOWHERE;
        // Both come to the same answer: that of two ranks which agree on everything, or none.
        let theirs = met.arena.as_ref().filter(|_| fits).and_then(|arena| {
            // SAFETY: the peer lent this to all whom it named, and this rank borrows it once.
            unsafe { borrow(arena, their_token, count) }
        });
        if theirs.is_none() {
            loan.iter().for_each(Loan::forgo);
            fault.get_or_insert_with(|| unreachable(lane.rank(), peer, count, their_count, met.arena.is_some()));
        }
        words.extend(theirs);
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    // Without peers nobody has to reach them.
    Ok((loan.map_or_else(|| Words::plain(count), |loan| loan.words()), words))
}

#[cold]
fn unreachable(rank: usize, peer: usize, count: usize, their_count: u64, reached: bool) -> Error {
    let kind = if their_count != count as u64 {
        let text = format!("rank {rank} makes signals of {count} words, rank {peer} of {their_count} words");
        ErrorKind::Mismatch(text)
    } else {
        let what = if reached { "its shared memory is used up" } else { "their memory is not shared" };
        let text = format!("rank {rank} cannot signal rank {peer}: {what}; exchange by messages");
        ErrorKind::Unavailable(text)
    };
    Error::new("signals", kind).with_peer(peer)
}
