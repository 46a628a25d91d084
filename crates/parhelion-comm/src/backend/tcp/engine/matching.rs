//! [`Mail`]: receives without a message and messages without a receive, matched as in MPI (section 3.5).
//!
//! Both are numbered as they come, by their *place*. Those with a given source and tag are queued by these; receives with a
//! wildcard are in a list of their own, and all messages in one map by place, for wildcards to search. So what has no wildcard is
//! matched in constant time, whatever else waits. Of two candidates the lower place wins, which is MPI's non-overtaking
//! rule: messages of one sender are put here in the order of its sends.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

use super::operation::Channel;

/// All of a rank's mail: receives `R` and messages `M`.
pub(super) struct Mail<R, M> {
    rooms: Swept<Channel, Room<R, M>>,
    next: u64,
}

/// Which messages a receive takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) source: Option<usize>,
    pub(super) tag: Option<u32>,
}

impl Selector {
    fn admits(&self, source: usize, tag: u32) -> bool {
        self.source.is_none_or(|s| s == source) && self.tag.is_none_or(|t| t == tag)
    }

    fn exact(&self) -> Option<(usize, u32)> {
        self.source.zip(self.tag)
    }
}

/// A message that waits.
pub(super) struct Waiting<M> {
    pub(super) source: usize,
    pub(super) tag: u32,
    pub(super) message: M,
}

struct Room<R, M> {
    exact: Swept<(usize, u32), VecDeque<(u64, R)>>,
    wild: VecDeque<(u64, Selector, R)>,
    messages: BTreeMap<u64, Waiting<M>>,
    by_sender: Swept<(usize, u32), VecDeque<u64>>,
}

impl<R, M> Mail<R, M> {
    pub(super) fn new() -> Self {
        Mail { rooms: Swept::new(), next: 0 }
    }

    /// Adds a receive, for which there is no message; its place.
    pub(super) fn post(&mut self, channel: Channel, selector: Selector, receive: impl FnOnce(u64) -> R) {
        self.next += 1;
        let place = self.next;
        let room = self.rooms.entry(channel, Room::is_empty);
        match selector.exact() {
            Some(key) => room.exact.entry(key, VecDeque::is_empty).push_back((place, receive(place))),
            None => room.wild.push_back((place, selector, receive(place))),
        }
    }

    /// Takes the receive at `place` out; none if it is not there.
    pub(super) fn withdraw(&mut self, channel: Channel, selector: Selector, place: u64) -> Option<R> {
        let room = self.rooms.get_mut(&channel)?;
        if let Some(key) = selector.exact() {
            let queue = room.exact.get_mut(&key)?;
            let at = queue.binary_search_by_key(&place, |(p, _)| *p).ok()?;
            return queue.remove(at).map(|(_, receive)| receive);
        }
        let at = room.wild.binary_search_by_key(&place, |(p, ..)| *p).ok()?;
        room.wild.remove(at).map(|(_, _, receive)| receive)
    }

    /// The receive that a message which arrives now belongs to.
    pub(super) fn claim(&mut self, channel: Channel, source: usize, tag: u32) -> Option<R> {
        let room = self.rooms.get_mut(&channel)?;
        let exact = room.exact.get_mut(&(source, tag)).filter(|queue| !queue.is_empty());
        let before = exact.as_ref().map_or(u64::MAX, |queue| queue[0].0);
        let wild = room.wild.iter().take_while(|(place, ..)| *place < before);
        if let Some(at) = wild.into_iter().position(|(_, selector, _)| selector.admits(source, tag)) {
            return room.wild.remove(at).map(|(_, _, receive)| receive);
        }
        exact?.pop_front().map(|(_, receive)| receive)
    }

    /// Adds a message, for which there is no receive.
    pub(super) fn store(&mut self, channel: Channel, source: usize, tag: u32, message: impl FnOnce(u64) -> M) {
        self.next += 1;
        let place = self.next;
        let room = self.rooms.entry(channel, Room::is_empty);
        room.by_sender.entry((source, tag), VecDeque::is_empty).push_back(place);
        room.messages.insert(place, Waiting { source, tag, message: message(place) });
    }

    fn find(&self, channel: Channel, selector: Selector) -> Option<u64> {
        let room = self.rooms.get(&channel)?;
        if let Some(key) = selector.exact() {
            return room.by_sender.get(&key)?.front().copied();
        }
        let mut all = room.messages.iter();
        all.find(|(_, waiting)| selector.admits(waiting.source, waiting.tag)).map(|(place, _)| *place)
    }

    /// The message that a receive which is posted now would take.
    pub(super) fn peek(&self, channel: Channel, selector: Selector) -> Option<&Waiting<M>> {
        let place = self.find(channel, selector)?;
        self.rooms.get(&channel)?.messages.get(&place)
    }

    /// Takes the message that a receive which is posted now would take.
    pub(super) fn take(&mut self, channel: Channel, selector: Selector) -> Option<Waiting<M>> {
        let place = self.find(channel, selector)?;
        self.remove(channel, place)
    }

    /// Takes the message at `place` out.
    pub(super) fn remove(&mut self, channel: Channel, place: u64) -> Option<Waiting<M>> {
        let room = self.rooms.get_mut(&channel)?;
        let waiting = room.messages.remove(&place)?;
        let queue = room.by_sender.get_mut(&(waiting.source, waiting.tag))?;
        if let Ok(at) = queue.binary_search(&place) {
            queue.remove(at);
        }
        Some(waiting)
    }

    /// The message at `place`.
    pub(super) fn message_mut(&mut self, channel: Channel, place: u64) -> Option<&mut M> {
        Some(&mut self.rooms.get_mut(&channel)?.messages.get_mut(&place)?.message)
    }

    /// Takes out every receive that is `hopeless`.
    pub(super) fn withdraw_where(&mut self, mut hopeless: impl FnMut(Selector, &R) -> bool) -> Vec<R> {
        let mut out = Vec::new();
        for room in self.rooms.map.values_mut() {
            for (&(source, tag), queue) in &mut room.exact.map {
                let selector = Selector { source: Some(source), tag: Some(tag) };
                let (gone, rest) = queue.drain(..).partition(|(_, receive)| hopeless(selector, receive));
                let gone: VecDeque<_> = gone;
                *queue = rest;
                out.extend(gone.into_iter().map(|(_, receive)| receive));
            }
            let (gone, rest) = room.wild.drain(..).partition(|(_, selector, receive)| hopeless(*selector, receive));
            let gone: VecDeque<_> = gone;
            room.wild = rest;
            out.extend(gone.into_iter().map(|(_, _, receive)| receive));
        }
        out
    }

    /// Takes out every message that is `useless`.
    pub(super) fn remove_where(&mut self, mut useless: impl FnMut(&Waiting<M>) -> bool) -> Vec<Waiting<M>> {
        let mut out = Vec::new();
        for room in self.rooms.map.values_mut() {
            let places: Vec<u64> = room.messages.iter().filter(|(_, m)| useless(m)).map(|(place, _)| *place).collect();
            for place in places {
                let waiting = room.messages.remove(&place).expect("it was there");
                if let Some(queue) = room.by_sender.get_mut(&(waiting.source, waiting.tag)) {
                    queue.retain(|p| *p != place);
                }
                out.push(waiting);
            }
        }
        out
    }
}

impl<R, M> Room<R, M> {
    fn is_empty(&self) -> bool {
        self.wild.is_empty() && self.messages.is_empty() && self.exact.map.values().all(VecDeque::is_empty)
    }
}

impl<R, M> Default for Room<R, M> {
    fn default() -> Self {
        Room { exact: Swept::new(), wild: VecDeque::new(), messages: BTreeMap::new(), by_sender: Swept::new() }
    }
}

/// A map that keeps empty values, for the next use of their keys, until there are many.
struct Swept<K, V> {
    map: HashMap<K, V>,
    sweep_at: usize,
}

impl<K: Hash + Eq, V: Default> Swept<K, V> {
    const FEW: usize = 32;

    fn new() -> Self {
        Swept { map: HashMap::new(), sweep_at: Self::FEW }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    fn entry(&mut self, key: K, is_empty: impl Fn(&V) -> bool) -> &mut V {
        if self.map.len() >= self.sweep_at && !self.map.contains_key(&key) {
            self.map.retain(|_, value| !is_empty(value));
            self.sweep_at = Self::FEW.max(2 * self.map.len());
        }
        match self.map.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(V::default()),
        }
    }
}
