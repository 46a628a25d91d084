//! The argument check before a collective: every rank learns what all have called, and all come to one verdict.

use super::exchange;
use super::place::{Place, Scratch};
use super::{Call, Lane};
use crate::backend::CollectiveKind as Kind;
use crate::backend::Counts;
use crate::backend::signature::{Pair, Signature, compare, compare_counts};
use crate::error::{Error, ErrorKind, Result};

/// Whether the call is non-blocking is the word behind the signature's.
const WORDS: usize = Signature::WORDS + 1;

/// Compares `call` across ranks.
///
/// # Errors
/// [`ErrorKind::Mismatch`], at every rank with the same text.
pub(crate) async fn check<L: Lane>(lane: &L, call: &Call, nonblocking: bool) -> Result<()> {
    let mut words = call.signature().to_words().to_vec();
    words.push(u64::from(nonblocking));
    let all = exchange::all_gather_words(lane, &words).await?;
    let mut signatures = Vec::with_capacity(lane.size());
    let mut waits = Vec::with_capacity(lane.size());
    for rank in all.chunks_exact(WORDS) {
        let (signature, flag) = rank.split_at(Signature::WORDS);
        signatures.push(Signature::from_words(signature.try_into().expect("split there")));
        waits.push(flag[0]);
    }
    let mismatch = |text| Err(Error::new(lane.operation(), ErrorKind::Mismatch(text)));
    if let Some(text) = compare(&signatures) {
        return mismatch(text);
    }
    if let Some(other) = waits.iter().position(|&w| w != waits[0]) {
        let form = |w| if w == 0 { "blocking" } else { "non-blocking" };
        return mismatch(format!(
            "rank 0 called the {} {}, rank {other} the {} one",
            form(waits[0]),
            lane.operation(),
            form(waits[other])
        ));
    }
    if !call.varying {
        return Ok(());
    }
    match compare_counts(call.kind, pairs(lane, call, &signatures).await?) {
        Some(text) => mismatch(text),
        None => Ok(()),
    }
}

/// The pairs of a "v" form; where there are too many for all ranks to see, the ones that do not fit.
async fn pairs<L: Lane>(lane: &L, call: &Call, signatures: &[Signature]) -> Result<Vec<Pair>> {
    let (rank, size) = (lane.rank(), lane.size());
    Ok(match call.kind {
        Kind::Gather | Kind::Scatter => {
            let root = call.root;
            let gather = call.kind == Kind::Gather;
            let counts = shared_from_root(lane, if gather { call.recv_counts } else { call.send_counts }, root).await?;
            let pair = |(r, &count): (usize, &u64)| {
                let (own, count) = (signatures[r].own(), count as usize);
                match gather {
                    true => Pair { from: r, to: root, sent: own, expected: count },
                    false => Pair { from: root, to: r, sent: count, expected: own },
                }
            };
            counts.iter().enumerate().map(pair).collect()
        }
        Kind::AllGather => {
            // The signatures agree, so these counts are everybody's.
            let Counts::Each(counts) = call.recv_counts else { return Ok(Vec::new()) };
            let own = signatures.iter().map(Signature::own);
            own.zip(counts).enumerate().map(|(r, (sent, &expected))| Pair { from: r, to: r, sent, expected }).collect()
        }
        Kind::AllToAll => {
            let (Counts::Each(sent), Counts::Each(expected)) = (call.send_counts, call.recv_counts) else {
                return Ok(Vec::new());
            };
            let to_me = all_to_all(lane, sent).await?;
            let misfit = (0..size).find(|&r| to_me[r] as usize != expected[r]);
            let words = match misfit {
                Some(r) => [1, r as u64, to_me[r], expected[r] as u64],
                None => [0; 4],
            };
            debug_assert!(rank < size);
            let all = exchange::all_gather_words(lane, &words).await?;
            let pair = |(to, w): (usize, &[u64])| {
                (w[0] == 1).then_some(Pair { from: w[1] as usize, to, sent: w[2] as usize, expected: w[3] as usize })
            };
            all.chunks_exact(4).enumerate().filter_map(pair).collect()
        }
        _ => Vec::new(),
    })
}

/// The root's counts, at every rank.
async fn shared_from_root<L: Lane>(lane: &L, counts: Counts<'static>, root: usize) -> Result<Vec<u64>> {
    let words: Vec<u64> = match counts {
        Counts::Each(counts) => counts.iter().map(|&n| n as u64).collect(),
        Counts::Same(count) => vec![count as u64; lane.size()],
    };
    let shared = Scratch::of_words(&words);
    exchange::broadcast(lane, &Place::owned(&shared, words.len() * 8), root).await?;
    Ok(shared.words(words.len()))
}

/// Word `r` goes to rank `r`; the words that came, by sender.
async fn all_to_all<L: Lane>(lane: &L, words: &[usize]) -> Result<Vec<u64>> {
    let size = lane.size();
    let words: Vec<u64> = words.iter().map(|&n| n as u64).collect();
    let (outgoing, incoming) = (Scratch::of_words(&words), Scratch::new(size * 8, 8));
    let split = |scratch| {
        let place = Place::owned(scratch, size * 8);
        (0..size).map(|r| Some(place.part(r * 8, 8))).collect::<Vec<_>>()
    };
    exchange::swap(lane, &split(&outgoing), &split(&incoming)).await?;
    Ok(incoming.words(size))
}
