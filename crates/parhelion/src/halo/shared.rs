//! [`Shared`]: every rank copies what it needs straight out of the arrays of the ranks whose memory it can read, one
//! strided copy for each piece. Other ranks get messages.
//!
//! # The protocol
//!
//! Each rank has words that its peers read: `READY`, `DONE`, and for each buffer a *token*, which says where the buffer
//! is. Exchange `n` counts from 1, on every rank alike.
//!
//! 1. *Start*: the rank writes the tokens that differ from those of its last exchange, then `READY := 2n + changed`. From
//!    here to 4 its buffers stay where they are, and what the plan has others read is not written.
//! 2. *Pull*: when a peer's `READY` is at least `2n`, the rank copies what the plan says from the peer's buffers into its
//!    own, to where the plan has nobody read.
//! 3. When it has pulled from every peer, `DONE := n`: it reads no buffer of another rank any more.
//! 4. *End*: when every peer that reads this rank has `DONE` of at least `n`, the buffers are the caller's again.
//!
//! A rank starts `n + 1` after its 4 of `n`, so the tokens are rewritten when nobody looks at those of `n` any more, and a
//! peer's `READY` is at most `2n + 1` while this rank is between 1 and 3 of `n`.
//!
//! What arrives to be combined is pulled in the finish alone, in the order of ranks, so that tests only look.
//!
//! An exchange that is *abandoned* does 3 at once, without pulling, so that no peer waits for it in 4; what others may still
//! read is kept until its own 4.

use std::hash::{DefaultHasher, Hash, Hasher};

use parhelion_comm::layout::{PairShape, copy, copy_pair};
use parhelion_comm::{Communicator, Error, ErrorKind, Layout, Method, Op, PeerMemory, Result, Signals};

use super::leg::{Arrival, Buffer, Field, Inner, Leg, Part, first_buffers, land};
use super::packed::{Messages, Straight};
use super::turns::Turns;

const READY: usize = 0;
const DONE: usize = 1;
const TOKENS: usize = 2;

/// The token of a buffer that has none: the memory that peers can read was used up when it was made.
const NO_TOKEN: u64 = u64::MAX;

/// The scheme's state for one exchange.
pub(super) struct Shared {
    /// The words; `None` where no peer's memory can be read.
    signals: Option<Signals>,
    /// The ranks this one reads, ascending.
    reads: Vec<Peer>,
    /// The ranks that read this one, by their index among the signals.
    readers: Vec<usize>,
    /// The word and the last value of each buffer's token.
    tokens: Vec<(usize, Option<u64>)>,
    /// The exchange under way, or the last one.
    number: u64,
    /// Which of `reads` are still to be pulled from; the rest of the state of the exchange under way.
    waiting: Vec<usize>,
    inner_landed: bool,
    done: bool,
    landed: bool,
    /// Looks at peers so far: which one is next.
    looks: usize,
    /// For the ranks whose memory cannot be read.
    rest: Messages,
    /// Where what arrives comes from, by rank.
    order: Vec<Origin>,
}

/// A rank that this one reads.
struct Peer {
    rank: usize,
    /// Its index among the signals.
    index: usize,
    memory: PeerMemory,
    buffers: Vec<Remote>,
    parts: Vec<(usize, Part)>,
    /// How the parts are copied.
    turns: Turns,
    /// Whether its tokens may have changed unseen.
    stale: bool,
}

/// A buffer of a peer.
struct Remote {
    /// The word of its token.
    word: usize,
    /// Bytes up to the last one that is read.
    bytes: usize,
    base: *const u8,
}

// SAFETY: the addresses are used only while the peer's exchange is open, from whichever thread has the exchange.
unsafe impl Send for Remote {}
// SAFETY: nothing is done through a shared reference.
unsafe impl Sync for Remote {}

#[derive(Clone, Copy)]
enum Origin {
    Own,
    Read(usize),
    Message(usize),
}

impl Shared {
    /// Collective over the communicator.
    pub(super) fn new(communicator: &Communicator, fields: &[Field], sends: Vec<Leg>, recvs: Vec<Leg>) -> Result<Self> {
        let rank = communicator.rank();
        let mut peers: Vec<usize> = sends.iter().chain(&recvs).map(|leg| leg.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        let (mut readable, mut memories) = (Vec::new(), Vec::new());
        for (&peer, memory) in peers.iter().zip(communicator.attach(&peers)?) {
            if let Some(memory) = memory {
                readable.push(peer);
                memories.push(memory);
            }
        }
        // A peer's word for a buffer follows from the plan alone: by patch, then by field.
        let patches = fields.iter().map(|f| f.plan.patches().len()).max().unwrap_or(0);
        let faulty = differing(communicator, &readable, &sends, &recvs)?;
        let most = communicator.all_reduce(&[patches, usize::from(faulty.is_some())], Op::Max)?;
        if most[1] > 0 {
            return Err(mismatch(faulty));
        }
        let most = most[0];
        let signals = match readable.is_empty() {
            true => Ok(None),
            false => communicator.signals(&readable, TOKENS + most * fields.len()).map(Some),
        };
        let signals = agreed(communicator, signals)?;
        let (_, buffers) = first_buffers(fields);
        let mut tokens = Vec::with_capacity(buffers);
        for (field, f) in fields.iter().enumerate() {
            tokens.extend((0..f.plan.patches().len()).map(|patch| (word(fields.len(), field, patch), None)));
        }
        let index = |peer: usize| readable.binary_search(&peer).ok();
        let readers = sends.iter().filter_map(|leg| index(leg.peer)).collect();
        let rest_sends = sends.into_iter().filter(|leg| index(leg.peer).is_none()).collect();
        let (read, rest_recvs): (Vec<Leg>, Vec<Leg>) = recvs.into_iter().partition(|leg| index(leg.peer).is_some());
        let mut memories: Vec<Option<PeerMemory>> = memories.into_iter().map(Some).collect();
        let mut order = vec![(rank, Origin::Own)];
        order.extend(read.iter().enumerate().map(|(i, leg)| (leg.peer, Origin::Read(i))));
        order.extend(rest_recvs.iter().enumerate().map(|(i, leg)| (leg.peer, Origin::Message(i))));
        order.sort_by_key(|(rank, _)| *rank);
        let reads: Vec<Peer> = read
            .into_iter()
            .map(|leg| {
                let index = index(leg.peer).expect("only readable peers are here");
                Peer::new(index, memories[index].take().expect("one leg for each peer"), fields.len(), leg)
            })
            .collect();
        Ok(Shared {
            signals,
            readers,
            tokens,
            number: 0,
            waiting: Vec::with_capacity(reads.len()),
            reads,
            inner_landed: false,
            done: false,
            landed: false,
            looks: 0,
            rest: Messages::new(communicator, Method::PointToPoint, Straight::Never, rest_sends, rest_recvs)?,
            order: order.into_iter().map(|(_, origin)| origin).collect(),
        })
    }

    /// Step 1.
    ///
    /// # Safety
    /// The buffers are those of the exchange, and as the protocol says until it has ended.
    pub(super) unsafe fn start(&mut self, buffers: &[Buffer]) -> Result<()> {
        self.waiting.clear();
        self.waiting.extend(0..self.reads.len());
        (self.inner_landed, self.done, self.landed) = (false, false, false);
        if let Some(signals) = &self.signals {
            let mut changed = false;
            for (buffer, (word, last)) in buffers.iter().zip(&mut self.tokens) {
                let token = buffer.token.unwrap_or(NO_TOKEN);
                if *last != Some(token) {
                    *last = Some(token);
                    signals.store(*word, token);
                    changed = true;
                }
            }
            self.number += 1;
            signals.post(READY, 2 * self.number + u64::from(changed));
        }
        // SAFETY: the caller's promise.
        unsafe { self.rest.start(buffers)? };
        // Only now, so that the peers learn of it, or have their messages, instead of waiting.
        if self.signals.is_some() && buffers.iter().any(|buffer| buffer.token.is_none()) {
            return Err(no_token(None));
        }
        Ok(())
    }

    /// Goes on without waiting: whether 4 is reached and the messages are there.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn test(&mut self, buffers: &[Buffer], inner: &Inner) -> Result<bool> {
        // SAFETY: the caller's promise.
        unsafe {
            self.land_inner(buffers, inner);
            self.pull_ready(buffers)?;
        }
        if self.waiting.is_empty() {
            self.post_done();
        }
        let messages = self.rest.test()?;
        if self.waiting.is_empty() && self.has_ended() {
            return Ok(messages);
        }
        self.look()?;
        Ok(false)
    }

    /// [`Shared::test`] of what is to be combined: whether all of it is there.
    pub(super) fn test_arrivals(&mut self) -> Result<bool> {
        let messages = self.rest.test()?;
        if self.waiting.iter().all(|&peer| self.ready(peer) >= 2 * self.number) {
            return Ok(messages);
        }
        self.look()?;
        Ok(false)
    }

    /// Progress, and a look at one of the peers that this rank waits for, each time at another: if one is lost, that is found.
    fn look(&mut self) -> Result<()> {
        let Some(signals) = &self.signals else { return Ok(()) };
        self.looks = self.looks.wrapping_add(1);
        if !self.waiting.is_empty() {
            let peer = &self.reads[self.waiting[self.looks % self.waiting.len()]];
            signals.look(peer.index, READY, 2 * self.number)?;
        } else if !self.readers.is_empty() {
            signals.look(self.readers[self.looks % self.readers.len()], DONE, self.number)?;
        }
        Ok(())
    }

    /// Steps 2 to 4, and the messages.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn finish(&mut self, buffers: &[Buffer], inner: &Inner, arrival: Arrival<'_>) -> Result<()> {
        if !self.landed {
            // SAFETY: the caller's promise.
            unsafe { self.land(buffers, inner, arrival)? };
        }
        self.await_readers()
    }

    /// Steps 2 and 3, and the messages: once in an exchange.
    ///
    /// # Safety
    /// As [`Shared::finish`].
    pub(super) unsafe fn land(&mut self, buffers: &[Buffer], inner: &Inner, arrival: Arrival<'_>) -> Result<()> {
        match arrival {
            // SAFETY: the caller's promise.
            Arrival::Replace => unsafe {
                self.land_inner(buffers, inner);
                while !self.waiting.is_empty() {
                    if !self.pull_ready(buffers)? {
                        self.await_ready(self.waiting[0])?;
                    }
                }
                self.post_done();
                self.rest.replace(buffers)?;
            },
            Arrival::Combine(_) | Arrival::Keep(_) => {
                self.rest.drain()?;
                for i in 0..self.order.len() {
                    // SAFETY: the caller's promise; the messages are here.
                    unsafe {
                        match self.order[i] {
                            Origin::Own => inner.land(buffers, arrival),
                            Origin::Message(leg) => self.rest.land(leg, buffers, arrival),
                            Origin::Read(peer) => {
                                let ready = self.await_ready(peer)?;
                                self.pull(peer, ready, buffers, arrival)?;
                            }
                        }
                    }
                }
                self.waiting.clear();
                self.post_done();
            }
        }
        self.landed = true;
        Ok(())
    }

    /// Step 3, without 2.
    pub(super) fn abandon(&mut self) {
        if !self.waiting.is_empty() {
            // Their tokens of this exchange were not looked at.
            self.waiting.iter().for_each(|&peer| self.reads[peer].stale = true);
            self.waiting.clear();
        }
        self.post_done();
    }

    /// Step 4 of an abandoned exchange.
    pub(super) fn drain(&mut self) -> Result<()> {
        if !self.landed {
            self.rest.drain()?;
        }
        self.await_readers()
    }

    /// Whether nobody reads this rank's buffers any more.
    pub(super) fn has_ended(&self) -> bool {
        let ended = |signals: &Signals| self.readers.iter().all(|&r| signals.load(r, DONE) >= self.number);
        self.signals.as_ref().is_none_or(ended)
    }

    fn await_readers(&self) -> Result<()> {
        if let Some(signals) = &self.signals {
            for &reader in &self.readers {
                signals.wait(reader, DONE, self.number)?;
            }
        }
        Ok(())
    }

    fn post_done(&mut self) {
        if let Some(signals) = &self.signals
            && !std::mem::replace(&mut self.done, true)
        {
            signals.post(DONE, self.number);
        }
    }

    /// # Safety
    /// As [`Shared::finish`].
    unsafe fn land_inner(&mut self, buffers: &[Buffer], inner: &Inner) {
        if !std::mem::replace(&mut self.inner_landed, true) {
            // SAFETY: the caller's promise.
            unsafe { inner.land(buffers, Arrival::Replace) };
        }
    }

    /// Pulls from every peer that is ready now: whether there was one.
    ///
    /// # Safety
    /// As [`Shared::finish`].
    unsafe fn pull_ready(&mut self, buffers: &[Buffer]) -> Result<bool> {
        let mut pulled = false;
        let mut i = 0;
        while i < self.waiting.len() {
            let peer = self.waiting[i];
            let ready = self.ready(peer);
            if ready >= 2 * self.number {
                // SAFETY: the caller's promise, and the peer is ready.
                unsafe { self.pull(peer, ready, buffers, Arrival::Replace)? };
                self.waiting.swap_remove(i);
                pulled = true;
            } else {
                i += 1;
            }
        }
        Ok(pulled)
    }

    fn signals(&self) -> &Signals {
        self.signals.as_ref().expect("a peer that is read has signals")
    }

    #[inline]
    fn ready(&self, peer: usize) -> u64 {
        self.signals().load(self.reads[peer].index, READY)
    }

    fn await_ready(&self, peer: usize) -> Result<u64> {
        self.signals().wait(self.reads[peer].index, READY, 2 * self.number)?;
        Ok(self.ready(peer))
    }

    /// Step 2 for one peer.
    ///
    /// # Safety
    /// As [`Shared::finish`]; the peer's `READY` was `ready`, at least `2n`.
    unsafe fn pull(&mut self, peer: usize, ready: u64, buffers: &[Buffer], arrival: Arrival<'_>) -> Result<()> {
        let signals = self.signals.as_ref().expect("a peer that is read has signals");
        let peer = &mut self.reads[peer];
        if peer.stale || ready & 1 == 1 {
            for remote in &mut peer.buffers {
                let token = signals.load(peer.index, remote.word);
                if token == NO_TOKEN {
                    return Err(no_token(Some(peer.rank)));
                }
                remote.base = peer.memory.resolve(token, remote.bytes)?;
            }
            peer.stale = false;
        }
        let ends = |(remote, part): &(usize, Part)| (peer.buffers[*remote].base, buffers[part.buffer].ptr);
        if !matches!(arrival, Arrival::Replace) {
            for entry in &peer.parts {
                let ((from, to), part) = (ends(entry), &entry.1);
                // SAFETY: as below.
                unsafe { land(from, &part.remote, to, &part.layout, part.size, part.field, arrival) };
            }
            return Ok(());
        }
        for (first, second) in peer.turns.iter() {
            let ((from, to), a) = (ends(&peer.parts[first]), &peer.parts[first].1);
            // SAFETY: the peer is ready and keeps its buffer until this rank is done; both plans were made together, so that
            // the layouts lie inside the buffers, of equal length, and what is read is written by nobody.
            unsafe {
                match second.map(|second| &peer.parts[second].1) {
                    None => copy(from, &a.remote, to, &a.layout, a.size),
                    Some(b) => copy_pair([from; 2], [&a.remote, &b.remote], [to; 2], [&a.layout, &b.layout], a.size),
                }
            }
        }
        Ok(())
    }
}

impl Peer {
    fn new(index: usize, memory: PeerMemory, fields: usize, leg: Leg) -> Self {
        let mut buffers: Vec<Remote> = Vec::new();
        let mut parts = Vec::with_capacity(leg.parts.len());
        for part in leg.parts {
            let word = word(fields, part.field, part.remote_patch);
            let bytes = part.remote.end() * part.size;
            let buffer = match buffers.iter().position(|b| b.word == word) {
                Some(buffer) => buffer,
                None => {
                    buffers.push(Remote { word, bytes: 0, base: std::ptr::null() });
                    buffers.len() - 1
                }
            };
            buffers[buffer].bytes = buffers[buffer].bytes.max(bytes);
            parts.push((buffer, part));
        }
        let kind = |i: usize| {
            let (remote, part): &(usize, Part) = &parts[i];
            Some((*remote, part.buffer, part.size, PairShape::of(&part.remote, &part.layout, part.size)?))
        };
        let turns = Turns::new(parts.len(), kind, |i| parts[i].1.layout.end());
        Peer { rank: leg.peer, index, memory, buffers, parts, turns, stale: true }
    }
}

/// A rank that sends something else than this one would read, of those whose memory can be read. Collective.
///
/// What is read from another rank's memory lies inside its buffers only if it is what that rank's own plan sends.
fn differing(communicator: &Communicator, readable: &[usize], sends: &[Leg], recvs: &[Leg]) -> Result<Option<usize>> {
    type Side<'a> = (usize, &'a Layout);
    let digest = |leg: &Leg, side: fn(&Part) -> Side<'_>| {
        let mut hasher = DefaultHasher::new();
        for part in &leg.parts {
            (part.field, part.size, side(part)).hash(&mut hasher);
        }
        hasher.finish().to_ne_bytes()
    };
    let read = |legs: &[Leg]| -> Vec<usize> {
        (0..legs.len()).filter(|&i| readable.binary_search(&legs[i].peer).is_ok()).collect()
    };
    let (sent, received) = (read(sends), read(recvs));
    let messages = |legs: &[Leg], which: &[usize]| which.iter().map(|&i| (legs[i].peer, 8)).collect::<Vec<_>>();
    let (to, from) = (messages(sends, &sent), messages(recvs, &received));
    let mut set = communicator.message_set(Method::PointToPoint, &to, &from)?;
    for (message, &leg) in sent.iter().enumerate() {
        set.send_part(message).copy_from_slice(&digest(&sends[leg], |part| (part.patch, &part.layout)));
    }
    set.start()?;
    let mut differs = None;
    set.finish(|message, bytes| {
        let leg = &recvs[received[message]];
        if bytes != digest(leg, |part| (part.remote_patch, &part.remote)) {
            differs = Some(leg.peer);
        }
    })?;
    Ok(differs)
}

/// What this rank has, if every rank has its own: what only some ranks cannot make, none goes on with. Collective, unless ranks
/// cannot communicate any more.
fn agreed<T>(communicator: &Communicator, mine: Result<T>) -> Result<T> {
    let refused =
        |e: &Error| matches!(e.kind(), ErrorKind::Unavailable(_) | ErrorKind::Unsupported(_) | ErrorKind::Mismatch(_));
    if mine.as_ref().is_err_and(|e| !refused(e)) {
        return mine;
    }
    let faults = communicator.all_reduce(&[u8::from(mine.is_err())], Op::Max)?;
    match faults[0] > 0 && mine.is_ok() {
        false => mine,
        true => {
            let text = "scheme shared: another rank cannot signal those whose memory it would read; use another scheme";
            Err(Error::new("exchange", ErrorKind::Unavailable(text.to_owned())))
        }
    }
}

#[cold]
fn mismatch(faulty: Option<usize>) -> Error {
    let text = match faulty {
        Some(peer) => format!("rank {peer} does not send what this rank would read from its arrays"),
        None => "another rank found that it would read what its neighbour does not send".to_owned(),
    };
    let advice = "; give equal decompositions and element types on every rank (PARHELION_CHECK=1 compares them)";
    Error::new("exchange", ErrorKind::Mismatch(text + advice))
}

/// The word of the token of a patch of a field.
fn word(fields: usize, field: usize, patch: usize) -> usize {
    TOKENS + patch * fields + field
}

/// Of this rank, or of a peer.
#[cold]
fn no_token(peer: Option<usize>) -> Error {
    let whose = peer.map_or("the array's".to_owned(), |rank| format!("rank {rank}'s"));
    let text = format!(
        "scheme shared: {whose} memory cannot be read by other ranks, since the memory that can is used up; use another \
         scheme"
    );
    Error::new("exchange", ErrorKind::Unsupported(text))
}

#[cfg(test)]
mod tests;
