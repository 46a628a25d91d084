//! [`MessageSet`]: a fixed set of messages, carried out again and again.
//!
//! What MPI knows as persistent, neighbourhood and one-sided communication, with one face. A set is prepared once, by all
//! ranks of a communicator; peers, lengths and memory are settled then. After that each rank starts and finishes it, as
//! often as it likes, in step with its peers.
//!
//! ```
//! use parhelion_comm::Method;
//!
//! parhelion_comm::run(|world| {
//!     // Every rank tells the next one its number.
//!     let (me, size) = (world.rank(), world.size());
//!     let (next, last) = ((me + 1) % size, (me + size - 1) % size);
//!     let mut set = world.message_set(Method::PointToPoint, &[(next, 8)], &[(last, 8)])?;
//!     for step in 0..3u64 {
//!         set.send_part(0).copy_from_slice(&(me as u64 + step).to_ne_bytes());
//!         set.start()?;
//!         // Compute here: messages are on their way.
//!         set.finish(|_, bytes| assert_eq!(bytes, (last as u64 + step).to_ne_bytes()))?;
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```
//!
//! # States
//!
//! *idle* → `start_receives` → *started* → each `start_send` → `finish` → *idle*. [`MessageSet::start`] is the first two at
//! once. A call in the wrong state is an error and changes nothing. After an error of the communication itself the set
//! is *failed*: nothing but dropping it is possible.
//!
//! # Dropping
//!
//! Dropping a set is not collective and does not wait. One that was started goes on: what was sent arrives, and memory
//! that messages may still use is kept until they do not. Windows and other things that MPI releases collectively
//! are released when a later set of the same communicator is made and every rank has dropped the earlier one, or when MPI ends.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use crate::backend::prepared::{InPlace, Leg, Order, Prepared, RECVS, SENDS, Stage, Staging};
use crate::communicator::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Layout, copy};

use self::place::Places;

mod agree;
mod place;
#[cfg(test)]
mod tests;

/// How the messages of a set are moved. Every backend takes every method; one that has no better way sends messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Non-blocking receives and sends, started anew each time.
    PointToPoint,
    /// Persistent requests (MPI section 3.9).
    Persistent,
    /// A non-blocking neighbourhood collective (MPI section 8.7).
    Neighbor,
    /// A persistent neighbourhood collective (MPI section 8.8), or the non-blocking one where the library has none, and of a
    /// set in place.
    PersistentNeighbor,
    /// The receiver gets the message out of the sender's window (MPI section 12.5.3), which is always open, once an empty
    /// message tells it that the data are there.
    Pull,
    /// The sender puts the message into the receiver's window, and tells it with an empty message, which leaves with the
    /// sender's next call: until then the data move while the sender computes.
    Push,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 6] = [
        Method::PointToPoint,
        Method::Persistent,
        Method::Neighbor,
        Method::PersistentNeighbor,
        Method::Pull,
        Method::Push,
    ];

    /// The name, as [`Method::from_str`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Method::PointToPoint => "point-to-point",
            Method::Persistent => "persistent",
            Method::Neighbor => "neighbor",
            Method::PersistentNeighbor => "persistent-neighbor",
            Method::Pull => "pull",
            Method::Push => "push",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let known = || Method::ALL.map(Method::name).join(", ");
        Method::ALL
            .into_iter()
            .find(|m| m.name() == s)
            .ok_or_else(|| format!("unknown method {s:?}; there are {}", known()))
    }
}

/// A fixed set of messages; see the [module](self).
pub struct MessageSet {
    /// `Some` until it is dropped.
    prepared: Option<Box<dyn Prepared>>,
    /// Of the user, for errors.
    communicator: Communicator,
    method: Method,
    sends: Vec<Part>,
    recvs: Vec<Part>,
    /// Where the messages are now.
    stage: Stage,
    state: State,
    /// The caller's memory, where the backend moves nothing in place and messages are packed here.
    packs: Option<InPlace>,
    in_place: bool,
    /// As in the [`Order`] it was made by.
    tag: u32,
    most: usize,
    /// Where messages of each direction are instead of the staging memory.
    places: [Places; 2],
}

/// One message of a set.
struct Part {
    peer: usize,
    bytes: usize,
    /// Where it is in the staging memory.
    offset: usize,
    places: Vec<Layout>,
    /// Of a send: it has been started.
    started: bool,
}

// SAFETY: the pointers go to the staging memory, which belongs to the set, or to the caller's, which has been vouched for.
unsafe impl Send for MessageSet {}

impl Part {
    /// Where it is in the staging memory; null if the backend moves it in place.
    #[inline]
    fn place(&self, stage: Stage, direction: usize) -> *mut u8 {
        stage.0.map_or(std::ptr::null_mut(), |sides| sides[direction].at(self.offset, self.bytes))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// With so many sends not started yet.
    Started {
        unsent: usize,
    },
    Failed,
}

impl Communicator {
    /// Prepares a set of messages: `sends` and `recvs` are (peer, bytes), each peer at most once in each, in ascending
    /// order. Collective over the communicator; ranks without messages take part. All give one method.
    ///
    /// Its messages meet no others: tags, wildcards and other sets do not matter. A message may have no bytes, and it may go
    /// to this rank itself.
    ///
    /// # Errors
    /// Peers that are out of range, repeated or out of order. [`Mismatch`](ErrorKind::Mismatch), at every rank, if a
    /// receiver expects another length than the sender sends; with [`Config::checks`](crate::Config::checks) also if only
    /// one of the two lists the message (else that waits until the time is up). What the backend reports.
    pub fn message_set(
        &self,
        method: Method,
        sends: &[(usize, usize)],
        recvs: &[(usize, usize)],
    ) -> Result<MessageSet> {
        let legs = |parts: &[(usize, usize)]| parts.iter().map(|&(peer, bytes)| (peer, bytes, Vec::new())).collect();
        self.prepare_set(method, None, legs(sends), legs(recvs))
    }

    /// [`Communicator::message_set`] over the caller's memory: a message's bytes are where its layouts say, one layout
    /// after the other. The layouts count bytes from `memory`.
    ///
    /// MPI moves them in place, by derived datatypes, for every method but [`Method::Pull`] and [`Method::Push`]; elsewhere
    /// they are packed on the way. [`MessageSet::send_part`] and [`MessageSet::recv_part`] are empty, and what
    /// [`MessageSet::finish`] calls gets no bytes: they are in their places.
    ///
    /// # Errors
    /// As [`Communicator::message_set`].
    ///
    /// # Safety
    /// From the start of the set until it is idle again, or until what [`MessageSet::abandon`] keeps is dropped: the bytes
    /// of all layouts are readable for sends and writable for receives, no byte is received twice, nobody writes what is
    /// sent or uses what is received. A set that was started is not dropped without having finished, unless by
    /// [`MessageSet::abandon`] with the memory's owner.
    pub unsafe fn message_set_in_place(
        &self,
        method: Method,
        memory: *mut u8,
        sends: &[(usize, Vec<Layout>)],
        recvs: &[(usize, Vec<Layout>)],
    ) -> Result<MessageSet> {
        let legs = |parts: &[(usize, Vec<Layout>)]| {
            let leg =
                |(peer, places): &(usize, Vec<Layout>)| (*peer, places.iter().map(Layout::len).sum(), places.clone());
            parts.iter().map(leg).collect()
        };
        self.prepare_set(method, Some(InPlace(memory)), legs(sends), legs(recvs))
    }

    fn prepare_set(
        &self,
        method: Method,
        memory: Option<InPlace>,
        sends: Vec<(usize, usize, Vec<Layout>)>,
        recvs: Vec<(usize, usize, Vec<Layout>)>,
    ) -> Result<MessageSet> {
        let legs = self.legs("sends", sends).and_then(|sends| Ok((sends, self.legs("recvs", recvs)?)));
        let private = self.private_for_sets()?;
        let (mut sends, mut recvs, fault) = match legs {
            Ok((sends, recvs)) => (sends, recvs, None),
            // The others wait for this rank, and must hear of it.
            Err(fault) => (Vec::new(), Vec::new(), Some(fault)),
        };
        let most = agree::agree(&private, method, memory.is_some(), fault, &mut sends, &mut recvs)
            .map_err(|e| self.locate(e))?;
        let tags = self.transport().private();
        let tag = agree::TAGS.len() as u32 + tags.next_tag.fetch_add(1, Ordering::Relaxed) % (private.max_tag() - 1);
        let order = Order { method, tag, sends, recvs, most, memory };
        MessageSet::new(self, order, |order| private.shared_transport().prepare(order))
    }

    /// A communicator of the same ranks for a library's own messages: what a program receives on this one, with wildcards
    /// too, is never one of them. Made once and the same at every call; message sets do not use it. Collective the first
    /// time.
    ///
    /// # Errors
    /// As [`Communicator::dup`].
    pub fn internal(&self) -> Result<Communicator> {
        self.private_for_sets()?.private_for_sets()
    }

    /// The communicator that this one's sets use. Collective the first time.
    fn private_for_sets(&self) -> Result<Communicator> {
        self.private(&self.transport().private().communicator, "messages")
    }

    /// The communicator that this one's windows use, and the number of the next window. Collective the first time.
    pub(crate) fn private_for_windows(&self) -> Result<(Communicator, u32)> {
        let shared = self.transport().private();
        let communicator = self.private(&shared.windows, "windows")?;
        Ok((communicator, shared.next_window.fetch_add(1, Ordering::Relaxed)))
    }

    fn private(&self, place: &Mutex<Option<Communicator>>, purpose: &str) -> Result<Communicator> {
        let mut made = place.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(communicator) => Ok(communicator.clone()),
            None => {
                let name = format!("{}.{purpose}", self.name());
                let transport = self.transport().dup(&name).map_err(|e| self.locate(e))?;
                Ok(made.insert(Communicator::new(transport)).clone())
            }
        }
    }

    /// The messages of one direction, checked and laid out.
    fn legs(&self, what: &str, parts: Vec<(usize, usize, Vec<Layout>)>) -> Result<Vec<Leg>> {
        let mut end = 0usize;
        let mut legs: Vec<Leg> = Vec::with_capacity(parts.len());
        for (peer, bytes, places) in parts {
            if peer >= self.size() {
                return Err(self.error("message_set", ErrorKind::InvalidRank { rank: peer, size: self.size() }));
            }
            if let Some(last) = legs.last().filter(|last| last.peer >= peer) {
                let text = format!(
                    "{what} lists rank {peer} after rank {}; give each peer once, in ascending order",
                    last.peer
                );
                return Err(self.error("message_set", ErrorKind::InvalidArgument(text)));
            }
            let next = end.checked_add(bytes).and_then(|next| next.checked_next_multiple_of(Staging::ALIGN));
            let Some(next) = next.filter(|&next| next <= isize::MAX as usize) else {
                let text = format!("{what} are more bytes than there is memory");
                return Err(self.error("message_set", ErrorKind::InvalidArgument(text)));
            };
            legs.push(Leg { peer, bytes, offset: end, remote_offset: 0, places });
            end = next;
        }
        Ok(legs)
    }
}

impl MessageSet {
    fn new(
        communicator: &Communicator,
        order: Order,
        prepare: impl FnOnce(Order) -> Result<Box<dyn Prepared>>,
    ) -> Result<MessageSet> {
        let Order { method, tag, most, memory, .. } = order;
        let parts = |legs: &[Leg]| {
            let part = |leg: &Leg| {
                let Leg { peer, bytes, offset, .. } = *leg;
                Part { peer, bytes, offset, places: leg.places.clone(), started: false }
            };
            legs.iter().map(part).collect()
        };
        let (sends, recvs) = (parts(&order.sends), parts(&order.recvs));
        let prepared = prepare(order).map_err(|e| communicator.locate(e))?;
        let stage = prepared.stage();
        Ok(MessageSet {
            prepared: Some(prepared),
            communicator: communicator.clone(),
            method,
            sends,
            recvs,
            stage,
            state: State::Idle,
            packs: memory.filter(|_| matches!(stage, Stage(Some(_)))),
            in_place: memory.is_some(),
            tag,
            most,
            places: Default::default(),
        })
    }

    /// A set of the same messages in other memory, or in other places of it, of a set that is in place. Local.
    ///
    /// The messages of such sets are one sequence: all ranks start them in one order, but each takes the set that it likes.
    ///
    /// # Errors
    /// The set is not in place; other peers or lengths. [`Unsupported`](ErrorKind::Unsupported) for [`Method::Pull`] and
    /// [`Method::Push`], whose windows are made by all ranks together. What the backend reports.
    ///
    /// # Safety
    /// As [`Communicator::message_set_in_place`], for the new set.
    pub unsafe fn elsewhere(
        &self,
        memory: *mut u8,
        sends: &[(usize, Vec<Layout>)],
        recvs: &[(usize, Vec<Layout>)],
    ) -> Result<MessageSet> {
        let invalid = |text: &str| self.communicator.error("message_set", ErrorKind::InvalidArgument(text.to_owned()));
        if !self.in_place {
            return Err(invalid("the message set is not in place"));
        }
        let legs = |parts: &[Part], given: &[(usize, Vec<Layout>)]| {
            let bytes = |places: &[Layout]| places.iter().map(Layout::len).sum::<usize>();
            let same = |(part, (peer, places)): (&Part, &(usize, Vec<Layout>))| {
                part.peer == *peer && part.bytes == bytes(places)
            };
            if parts.len() != given.len() || !parts.iter().zip(given).all(same) {
                return Err(invalid("a message set elsewhere has the peers and lengths that the set has"));
            }
            let leg = |(part, (peer, places)): (&Part, &(usize, Vec<Layout>))| Leg {
                peer: *peer,
                bytes: part.bytes,
                offset: part.offset,
                remote_offset: 0,
                places: places.clone(),
            };
            Ok(parts.iter().zip(given).map(leg).collect::<Vec<_>>())
        };
        let order = Order {
            method: self.method,
            tag: self.tag,
            sends: legs(&self.sends, sends)?,
            recvs: legs(&self.recvs, recvs)?,
            most: self.most,
            memory: Some(InPlace(memory)),
        };
        let prepared = self.prepared.as_ref().expect("a set is prepared until it is dropped");
        MessageSet::new(&self.communicator, order, |order| prepared.another(order))
    }

    /// How the messages are moved.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The messages this rank sends: (peer, bytes), in the order of their numbers.
    pub fn sends(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + '_ {
        self.sends.iter().map(|part| (part.peer, part.bytes))
    }

    /// The messages this rank receives.
    pub fn recvs(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + '_ {
        self.recvs.iter().map(|part| (part.peer, part.bytes))
    }

    /// Whether the set is started, and so has to be finished.
    pub fn is_started(&self) -> bool {
        matches!(self.state, State::Started { .. })
    }

    /// The bytes of a send, to be written before it is started, anew in each round: what they hold at its beginning is not
    /// settled. They begin at a multiple of 64. Empty if the set is in place, or the send is
    /// [placed](MessageSet::place_sends).
    ///
    /// # Panics
    /// There is no such send, or it has been started and the set is not finished.
    #[inline]
    pub fn send_part(&mut self, send: usize) -> &mut [u8] {
        let part = &self.sends[send];
        let free = !part.started && self.state != State::Failed;
        assert!(free, "send {send} of a message set is in flight: its bytes may be written after finish()");
        if self.in_place || self.places[SENDS].has(send) {
            return &mut [];
        }
        let at = part.place(self.stage, SENDS);
        // SAFETY: the part's staging memory, which nothing uses while its send is not started.
        unsafe { std::slice::from_raw_parts_mut(at, part.bytes) }
    }

    /// The bytes that the last [`MessageSet::finish`] received; before that, zeros. Empty if the set is in place, or the
    /// receive is [placed](MessageSet::place_receives).
    ///
    /// # Panics
    /// There is no such receive, or the set is started.
    #[inline]
    pub fn recv_part(&self, recv: usize) -> &[u8] {
        assert!(self.state == State::Idle, "a message set's receives may be read after finish()");
        self.received(recv)
    }

    fn received(&self, recv: usize) -> &[u8] {
        let part = &self.recvs[recv];
        if self.in_place || self.places[RECVS].has(recv) {
            return &[];
        }
        let at = part.place(self.stage, RECVS);
        // SAFETY: the part's staging memory, in which nothing arrives now: the set is idle, or this receive is complete.
        unsafe { std::slice::from_raw_parts(at, part.bytes) }
    }

    /// Starts everything: [`MessageSet::start_receives`], then [`MessageSet::start_send`] for each.
    ///
    /// Does not wait for peers. With [`Method::Push`] this rank's next call, whatever it is, waits until what was put has
    /// arrived, which may take, where the library makes puts out of messages, until the peer is in some call of its own.
    ///
    /// # Errors
    /// The set is not idle; what the backend reports.
    pub fn start(&mut self) -> Result<()> {
        self.start_receives()?;
        (0..self.sends.len()).try_for_each(|send| self.start_send(send))
    }

    /// Starts the receives; each send follows by [`MessageSet::start_send`], so that packing one and sending another overlap.
    ///
    /// # Errors
    /// As [`MessageSet::start`].
    #[inline]
    pub fn start_receives(&mut self) -> Result<()> {
        if self.state != State::Idle {
            return Err(self.misused("start_receives", "is not idle; finish it first"));
        }
        let result = self.backend().start_receives();
        self.stage = self.backend().stage();
        self.state = State::Started { unsent: self.sends.len() };
        self.checked(result)
    }

    /// Starts one send.
    ///
    /// # Errors
    /// The receives have not been started; this send has; there is no such send; what the backend reports.
    #[inline]
    pub fn start_send(&mut self, send: usize) -> Result<()> {
        let State::Started { unsent } = self.state else {
            return Err(self.misused("start_send", "has not started its receives; call start_receives() first"));
        };
        match self.sends.get_mut(send) {
            Some(part) if !part.started => part.started = true,
            Some(_) => return Err(self.misused("start_send", "has already started this send")),
            None => return Err(self.misused("start_send", "has no such send")),
        }
        self.state = State::Started { unsent: unsent - 1 };
        if let Some(InPlace(memory)) = self.packs {
            let part = &self.sends[send];
            let staged = part.place(self.stage, SENDS);
            // SAFETY: whoever made the set vouches for the memory; the part is as long as its layouts.
            unsafe { for_each_place(part, |layout, at| copy(memory, layout, staged.add(at), &packed(layout), 1)) };
        }
        if let Some(at) = self.places[SENDS].copied(send) {
            let part = &self.sends[send];
            // SAFETY: whoever placed the message vouches for its bytes there; the staging memory has as many.
            unsafe { std::ptr::copy_nonoverlapping(at, part.place(self.stage, SENDS), part.bytes) };
        }
        let result = self.backend().start_send(send);
        self.checked(result)
    }

    /// Waits for every receive, calls `each(number, bytes)` as it arrives, in any order, and waits until the sends' bytes may
    /// be written again. Then the set is idle.
    ///
    /// # Errors
    /// The set, or one of its sends, has not been started; a lost peer, a timeout, what the backend reports.
    #[inline]
    pub fn finish(&mut self, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        match self.state {
            State::Started { unsent: 0 } => {}
            State::Started { .. } => return Err(self.misused("finish", "has sends that were not started")),
            _ => return Err(self.misused("finish", "was not started")),
        }
        loop {
            let next = self.backend().next_receive();
            let Some(recv) = self.checked(next)? else { break };
            if let Some(InPlace(memory)) = self.packs {
                let part = &self.recvs[recv];
                let staged = part.place(self.stage, RECVS);
                // SAFETY: whoever made the set vouches for the memory; the part is as long as its layouts.
                unsafe { for_each_place(part, |layout, at| copy(staged.add(at), &packed(layout), memory, layout, 1)) };
            }
            if let Some(at) = self.places[RECVS].copied(recv) {
                let part = &self.recvs[recv];
                // SAFETY: whoever placed the message vouches for its bytes there; the staging memory has as many.
                unsafe { std::ptr::copy_nonoverlapping(part.place(self.stage, RECVS), at, part.bytes) };
            }
            each(recv, self.received(recv));
        }
        let result = self.backend().complete();
        self.checked(result)?;
        self.stage = self.backend().stage();
        self.sends.iter_mut().for_each(|part| part.started = false);
        self.state = State::Idle;
        Ok(())
    }

    /// Whether [`MessageSet::finish`] would not wait; makes progress. True if the set is idle.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn test(&mut self) -> Result<bool> {
        match self.state {
            State::Idle => Ok(true),
            State::Started { unsent: 0 } => {
                let result = self.backend().test();
                self.checked(result)
            }
            State::Started { .. } => Ok(false),
            State::Failed => Err(self.misused("test", "has failed")),
        }
    }

    /// Gives the set up, started or not. What was sent arrives; `keep` lives until no message uses its memory.
    pub fn abandon(mut self, keep: impl Send + 'static) {
        self.part_with(Box::new(keep));
    }

    fn part_with(&mut self, keep: crate::backend::Keep) {
        if let Some(prepared) = self.prepared.take()
            && self.state != State::Idle
        {
            prepared.abandon(keep);
        }
    }

    #[inline]
    fn backend(&mut self) -> &mut dyn Prepared {
        &mut **self.prepared.as_mut().expect("a set is prepared until it is dropped")
    }

    #[inline]
    fn checked<T>(&mut self, result: Result<T>) -> Result<T> {
        result.map_err(|e| {
            self.state = State::Failed;
            self.communicator.locate(e)
        })
    }

    #[cold]
    fn misused(&self, operation: &'static str, how: &str) -> Error {
        let how = if self.state == State::Failed { "has failed; drop it and make another" } else { how };
        self.communicator.error(operation, ErrorKind::InvalidArgument(format!("the message set {how}")))
    }
}

impl Drop for MessageSet {
    fn drop(&mut self) {
        self.part_with(Box::new(()));
    }
}

impl fmt::Debug for MessageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |parts: &[Part]| parts.iter().map(|p| (p.peer, p.bytes)).collect::<Vec<_>>();
        f.debug_struct("MessageSet")
            .field("method", &self.method)
            .field("state", &self.state)
            .field("sends", &list(&self.sends))
            .field("recvs", &list(&self.recvs))
            .finish()
    }
}

/// The elements of a layout, one behind the other.
fn packed(layout: &Layout) -> Layout {
    Layout::contiguous(0, layout.len())
}

/// Calls `each` with every layout of a part and where it begins in the part's staging memory.
///
/// # Safety
/// `each` may be called so.
unsafe fn for_each_place(part: &Part, mut each: impl FnMut(&Layout, usize)) {
    let mut at = 0;
    for layout in &part.places {
        each(layout, at);
        at += layout.len();
    }
}
