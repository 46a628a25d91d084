//! Collectives that move data, as messages of a lane. What `native` cannot do, or not safely, goes this way.

use super::place::{Place, Scratch};
use super::{Lane, all};
use crate::error::Result;

/// Returns when every rank is here: dissemination, in ⌈log₂ P⌉ rounds (Hensgen et al. 1988).
pub(crate) async fn barrier<L: Lane>(lane: &L) -> Result<()> {
    let (rank, size) = (lane.rank(), lane.size());
    let nothing = Scratch::new(0, 1);
    let nothing = Place::owned(&nothing, 0);
    let mut distance = 1;
    while distance < size {
        let from = lane.recv(&nothing, (rank + size - distance) % size)?;
        let to = lane.send(&nothing, (rank + distance) % size)?;
        all(vec![from, to]).await?;
        distance *= 2;
    }
    Ok(())
}

/// Copies `data` of `root` to all, along a binomial tree.
pub(crate) async fn broadcast<L: Lane>(lane: &L, data: &Place, root: usize) -> Result<()> {
    let size = lane.size();
    let place = (lane.rank() + size - root) % size;
    let rank_at = |place: usize| (place + root) % size;
    let mut bit = 1;
    while bit < size && place & bit == 0 {
        bit *= 2;
    }
    if place != 0 {
        let parent = rank_at(place - bit);
        let got = lane.recv(data, parent)?.await?;
        if got != data.len {
            return Err(lane.unexpected(parent, data.len, got));
        }
    }
    let mut sends = Vec::new();
    while bit > 1 {
        bit /= 2;
        if place + bit < size {
            sends.push(lane.send(data, rank_at(place + bit))?);
        }
    }
    all(sends).await
}

/// Sends `outgoing[r]` to each rank `r` and receives `incoming[r]` from it, all at once. Nothing moves where a place is
/// `None` or empty; what this rank sends to itself is copied.
pub(crate) async fn swap<L: Lane>(lane: &L, outgoing: &[Option<Place>], incoming: &[Option<Place>]) -> Result<()> {
    let (rank, size) = (lane.rank(), lane.size());
    let full = |place: &Option<Place>| place.clone().filter(|place| place.len > 0);
    if let (Some(out), Some(into)) = (full(&outgoing[rank]), full(&incoming[rank])) {
        into.copy_from(&out);
    }
    let mut receives = Vec::new();
    let mut flights = Vec::new();
    // Each rank begins with its neighbour, so that not all fall upon rank 0 first.
    for step in 1..size {
        let source = (rank + size - step) % size;
        if let Some(into) = full(&incoming[source]) {
            receives.push((source, into.len, lane.recv(&into, source)?));
        }
    }
    for step in 1..size {
        let dest = (rank + step) % size;
        if let Some(out) = full(&outgoing[dest]) {
            flights.push(lane.send(&out, dest)?);
        }
    }
    let mut result = Ok(());
    for (source, expected, flight) in receives {
        let ended = match flight.await {
            Ok(got) if got == expected => Ok(()),
            Ok(got) => Err(lane.unexpected(source, expected, got)),
            Err(e) => Err(e),
        };
        result = result.and(ended);
    }
    result.and(all(flights).await)
}

/// Gives every rank the block of each, which is `mine` here: blocks go around, in P - 1 steps.
pub(crate) async fn ring<L: Lane>(lane: &L, mine: &Place, blocks: &[Option<Place>]) -> Result<()> {
    let (rank, size) = (lane.rank(), lane.size());
    let blocks: Vec<&Place> = blocks.iter().flatten().collect();
    blocks[rank].copy_from(mine);
    let (left, right) = ((rank + size - 1) % size, (rank + 1) % size);
    for step in 1..size {
        // What came in the step before goes on.
        let (out, into) = (blocks[(rank + size + 1 - step) % size], blocks[(rank + size - step) % size]);
        step_of_two(lane, out, right, into, left).await?;
    }
    Ok(())
}

/// The same in ⌈log₂ P⌉ rounds, each to a rank further away with all that is known (Bruck et al. 1997).
pub(crate) async fn bruck<L: Lane>(lane: &L, mine: &Place, blocks: &[Option<Place>]) -> Result<()> {
    let (rank, size) = (lane.rank(), lane.size());
    // From this rank's on, which are known one after the other.
    let blocks: Vec<&Place> = blocks.iter().flatten().cycle().skip(rank).take(size).collect();
    let mut starts = vec![0];
    for block in &blocks {
        starts.push(starts[starts.len() - 1] + block.len);
    }
    let all = Place::owned(&Scratch::new(starts[size], 8), starts[size]);
    let block = |from: usize, to: usize| all.part(starts[from], starts[to] - starts[from]);
    block(0, 1).copy_from(mine);
    let mut known = 1;
    while known < size {
        let count = known.min(size - known);
        let (out, into) = (block(0, count), block(known, known + count));
        step_of_two(lane, &out, (rank + size - known) % size, &into, (rank + known) % size).await?;
        known += count;
    }
    for (i, place) in blocks.into_iter().enumerate() {
        place.copy_from(&block(i, i + 1));
    }
    Ok(())
}

/// Sends block `r` of `send` to each rank `r` and receives its block into `recv`, all blocks of one length, in ⌈log₂ P⌉ messages
/// instead of P - 1 (Bruck et al. 1997).
///
/// A block that has `i` ranks to go travels in the rounds of `i`'s bits, so that it is sent on as often as `i` has ones: on
/// average log₂ P / 2 times its way, which pays while a message costs more than its bytes.
pub(crate) async fn bruck_swap<L: Lane>(lane: &L, send: &Place, recv: &Place) -> Result<()> {
    let (rank, size) = (lane.rank(), lane.size());
    let len = send.len / size;
    let blocks = |count: usize| Place::owned(&Scratch::new(count * len, 8), count * len);
    // Block i is one that this rank holds and that has i ranks to go, in the end one that has come i ranks far.
    let held = blocks(size);
    let block = |of: &Place, i: usize| of.part(i * len, len);
    for i in 0..size {
        block(&held, i).copy_from(&block(send, (rank + i) % size));
    }
    let (out, into) = (blocks(size / 2), blocks(size / 2));
    let mut bit = 1;
    while bit < size {
        let moved = || (0..size).filter(|i| i & bit != 0).enumerate();
        let mut bytes = 0;
        for (at, i) in moved() {
            block(&out, at).copy_from(&block(&held, i));
            bytes += len;
        }
        let (dest, source) = ((rank + bit) % size, (rank + size - bit) % size);
        step_of_two(lane, &out.part(0, bytes), dest, &into.part(0, bytes), source).await?;
        for (at, i) in moved() {
            block(&held, i).copy_from(&block(&into, at));
        }
        bit *= 2;
    }
    for i in 0..size {
        block(recv, (rank + size - i) % size).copy_from(&block(&held, i));
    }
    Ok(())
}

/// Sends one place and receives another, whole.
async fn step_of_two<L: Lane>(lane: &L, out: &Place, dest: usize, into: &Place, source: usize) -> Result<()> {
    let from = lane.recv(into, source)?;
    let to = lane.send(out, dest)?;
    let got = from.await;
    all(vec![to]).await?;
    match got? {
        got if got == into.len => Ok(()),
        got => Err(lane.unexpected(source, into.len, got)),
    }
}

/// Gives every rank the words of all, which have one length, in rank order: ⌈log₂ P⌉ rounds (Bruck et al. 1997).
pub(crate) async fn all_gather_words<L: Lane>(lane: &L, mine: &[u64]) -> Result<Vec<u64>> {
    let (rank, size, width) = (lane.rank(), lane.size(), mine.len());
    // Word block i is that of rank (rank + i) % size.
    let mut known = mine.to_vec();
    let mut ranks = 1;
    while ranks < size {
        let count = ranks.min(size - ranks);
        let bytes = count * width * 8;
        let (outgoing, incoming) = (Scratch::of_words(&known[..count * width]), Scratch::new(bytes, 8));
        let (out, into) = (Place::owned(&outgoing, bytes), Place::owned(&incoming, bytes));
        // Words of another number are those of another call.
        step_of_two(lane, &out, (rank + size - ranks) % size, &into, (rank + ranks) % size).await?;
        known.extend(incoming.words(count * width));
        ranks += count;
    }
    known.rotate_right(rank * width);
    Ok(known)
}

/// Sends each of `peers` its words of `mine` and gives those that it sends, all of `mine`'s one length, or why they did not come.
pub(crate) async fn swap_words<L: Lane>(lane: &L, peers: &[usize], mine: &[Vec<u64>]) -> Result<Vec<Result<Vec<u64>>>> {
    let width = mine.first().map_or(0, Vec::len);
    let mut receives = Vec::with_capacity(peers.len());
    for &peer in peers {
        let into = Scratch::new(width * 8, 8);
        receives.push((peer, lane.recv(&Place::owned(&into, width * 8), peer)?, into));
    }
    let mut sends = Vec::with_capacity(peers.len());
    for (&peer, words) in peers.iter().zip(mine) {
        sends.push(lane.send(&Place::owned(&Scratch::of_words(words), width * 8), peer)?);
    }
    let mut theirs = Vec::with_capacity(peers.len());
    for (peer, flight, into) in receives {
        theirs.push(match flight.await {
            Ok(got) if got == width * 8 => Ok(into.words(width)),
            Ok(got) => Err(lane.unexpected(peer, width * 8, got)),
            Err(e) => Err(e.with_peer(peer)),
        });
    }
    for ((peer, flight), theirs) in peers.iter().zip(sends).zip(&mut theirs) {
        if let Err(e) = flight.await
            && theirs.is_ok()
        {
            *theirs = Err(e.with_peer(*peer));
        }
    }
    Ok(theirs)
}
