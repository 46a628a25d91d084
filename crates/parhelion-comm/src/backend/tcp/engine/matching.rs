//! [`Mail`]: receives without a message and messages without a receive, matched as in MPI (section 3.5).
//!
//! Both are numbered as they come, by their *place*. Those with a given source and tag are queued by these; receives with a
//! wildcard are in a list of their own, and all messages in one map by place, for wildcards to search. So what has no wildcard is
//! matched in constant time, whatever else waits. Of two candidates the lower place wins, which is MPI's non-overtaking
//! rule: messages of one sender are put here in the order of its sends.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

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

    /// Takes out every message of a context.
    pub(super) fn take_all(&mut self, context: u64) -> Vec<Waiting<M>> {
        let mut out = Vec::new();
        for (_, room) in self.rooms.map.iter_mut().filter(|(channel, _)| channel.context == context) {
            room.by_sender.map.clear();
            out.extend(std::mem::take(&mut room.messages).into_values());
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
    map: HashMap<K, V, BuildHasherDefault<Mix>>,
    sweep_at: usize,
}

impl<K: Hash + Eq, V: Default> Swept<K, V> {
    const FEW: usize = 32;

    fn new() -> Self {
        Swept { map: HashMap::default(), sweep_at: Self::FEW }
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

/// A hash of a few instructions, for keys that no stranger chooses: a message is looked up several times.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        // Both halves of a long product: all bits of the key have a say in all bits of the hash.
        let product = u128::from(self.0 ^ n ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93_u128;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Arrive(u32, usize, u32),
        Receive(u32, Option<usize>, Option<u32>),
        Withdraw(usize),
        Remove(usize),
        Lose(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (lane, source, tag) = (0u32..2, 0usize..3, 0u32..3);
        prop_oneof![
            5 => (lane.clone(), source.clone(), tag.clone()).prop_map(|(l, s, t)| Step::Arrive(l, s, t)),
            5 => (lane, prop::option::of(source.clone()), prop::option::of(tag))
                .prop_map(|(l, s, t)| Step::Receive(l, s, t)),
            1 => any::<usize>().prop_map(Step::Withdraw),
            1 => any::<usize>().prop_map(Step::Remove),
            1 => source.prop_map(Step::Lose),
        ]
    }

    proptest! {
        /// Against lists that are searched from the front.
        #[test]
        fn matching_is_that_of_two_lists(steps in prop::collection::vec(step(), 0..200)) {
            let mut mail: Mail<usize, usize> = Mail::new();
            let mut posted: Vec<(Channel, Selector, u64, usize)> = Vec::new();
            let mut waiting: Vec<(Channel, usize, u32, u64, usize)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let mut place = 0;
                match step {
                    Step::Arrive(lane, source, tag) => {
                        let channel = Channel { context: 0, lane };
                        let at = posted.iter().position(|p| p.0 == channel && p.1.admits(source, tag));
                        let expected = at.map(|at| posted.remove(at).3);
                        let claimed = mail.claim(channel, source, tag);
                        prop_assert_eq!(claimed, expected);
                        if claimed.is_none() {
                            mail.store(channel, source, tag, |p| { place = p; number });
                            waiting.push((channel, source, tag, place, number));
                        }
                    }
                    Step::Receive(lane, source, tag) => {
                        let (channel, selector) = (Channel { context: 0, lane }, Selector { source, tag });
                        let at = waiting.iter().position(|w| w.0 == channel && selector.admits(w.1, w.2));
                        let expected = at.map(|at| waiting.remove(at).4);
                        prop_assert_eq!(mail.peek(channel, selector).map(|w| w.message), expected);
                        let taken = mail.take(channel, selector).map(|w| w.message);
                        prop_assert_eq!(taken, expected);
                        if taken.is_none() {
                            mail.post(channel, selector, |p| { place = p; number });
                            posted.push((channel, selector, place, number));
                        }
                    }
                    Step::Withdraw(i) if !posted.is_empty() => {
                        let (channel, selector, place, number) = posted.remove(i % posted.len());
                        prop_assert_eq!(mail.withdraw(channel, selector, place), Some(number));
                        prop_assert_eq!(mail.withdraw(channel, selector, place), None);
                    }
                    Step::Remove(i) if !waiting.is_empty() => {
                        let (channel, .., place, number) = waiting.remove(i % waiting.len());
                        prop_assert_eq!(mail.remove(channel, place).map(|w| w.message), Some(number));
                    }
                    Step::Withdraw(_) | Step::Remove(_) => {}
                    Step::Lose(source) => {
                        let mut gone = mail.withdraw_where(|selector, _| selector.source == Some(source));
                        gone.sort_unstable();
                        let is_of = |p: &(Channel, Selector, u64, usize)| p.1.source == Some(source);
                        prop_assert_eq!(gone, posted.iter().filter(|p| is_of(p)).map(|p| p.3).collect::<Vec<_>>());
                        posted.retain(|p| !is_of(p));
                        let mut gone: Vec<usize> =
                            mail.remove_where(|w| w.source == source).into_iter().map(|w| w.message).collect();
                        gone.sort_unstable();
                        prop_assert_eq!(gone, waiting.iter().filter(|w| w.1 == source).map(|w| w.4).collect::<Vec<_>>());
                        waiting.retain(|w| w.1 != source);
                    }
                }
            }
        }
    }

    #[test]
    fn rooms_that_are_not_used_any_more_are_cleared_away() {
        let mut mail: Mail<(), ()> = Mail::new();
        for lane in 0..10_000 {
            let channel = Channel { context: 1, lane };
            mail.post(channel, Selector { source: Some(0), tag: Some(lane) }, |_| ());
            assert!(mail.claim(channel, 0, lane).is_some());
        }
        assert!(mail.rooms.map.len() <= 64);
    }
}
