//! Signals between threads: each rank hands its words to each peer, and whoever waits long parks.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::transport::Local;
use super::wait::{Wait, Waiting};
use crate::backend::words::{Awaited, Posts, Sentry, Words};
use crate::error::{Error, ErrorKind, Result};
use crate::status::Source;

/// Words on their way from one member of a group to another; of several, the first handed is the first taken.
#[derive(Default)]
pub(super) struct Handover(Mutex<HashMap<(usize, usize), VecDeque<Words>>>);

impl Handover {
    fn lock(&self) -> MutexGuard<'_, HashMap<(usize, usize), VecDeque<Words>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand(&self, from: usize, to: usize, words: &Words) {
        self.lock().entry((from, to)).or_default().push_back(words.clone());
    }

    /// Takes back what was not taken.
    fn withdraw(&self, from: usize, to: usize, words: &Words) {
        self.change(from, to, |queue| queue.retain(|other| !other.is(words)));
    }

    fn take(&self, from: usize, to: usize) -> Option<Words> {
        self.change(from, to, VecDeque::pop_front).flatten()
    }

    fn change<R>(&self, from: usize, to: usize, f: impl FnOnce(&mut VecDeque<Words>) -> R) -> Option<R> {
        let mut queues = self.lock();
        let queue = queues.get_mut(&(from, to))?;
        let result = f(queue);
        if queue.is_empty() {
            queues.remove(&(from, to));
        }
        Some(result)
    }
}

/// See [`Transport::signals`](crate::backend::Transport::signals).
pub(super) fn make(local: &Local, peers: &[usize], words: usize) -> Result<Posts> {
    if !local.world.config.shared_memory && !peers.is_empty() {
        let text = "the memory of ranks is not shared; leave PARHELION_SHARED_MEMORY on, or exchange by messages";
        return Err(Error::new("signals", ErrorKind::Unavailable(text.to_owned())));
    }
    let handover = &local.group.handover;
    let own = Words::plain(words);
    peers.iter().for_each(|&peer| handover.hand(local.rank, peer, &own));
    local.world.notify_each(peers.iter().map(|&peer| local.group.ranks[peer]));

    let mut got: Vec<Option<Words>> = peers.iter().map(|_| None).collect();
    let taken = local.world.block(local.me, TakeAll { local, peers, got: &mut got });
    taken.map_err(|stop| {
        peers.iter().for_each(|&peer| handover.withdraw(local.rank, peer, &own));
        local.stopped("signals", stop)
    })?;
    let got: Vec<Words> = got.into_iter().flatten().collect();
    for (&peer, theirs) in peers.iter().zip(&got) {
        if theirs.count() != words {
            let text =
                format!("rank {} makes signals of {words} words, rank {peer} of {} words", local.rank, theirs.count());
            return Err(Error::new("signals", ErrorKind::Mismatch(text)).with_peer(peer));
        }
    }
    let world_ranks = peers.iter().map(|&peer| local.group.ranks[peer]).collect();
    Ok(Posts { own, peers: got, sentry: Box::new(Bells { local: local.clone(), peers: peers.to_vec(), world_ranks }) })
}

/// Waits until all peers have handed over their words.
struct TakeAll<'a> {
    local: &'a Local,
    peers: &'a [usize],
    got: &'a mut [Option<Words>],
}

impl TakeAll<'_> {
    fn missing(&self) -> impl Iterator<Item = usize> {
        self.peers.iter().zip(&*self.got).filter(|(_, got)| got.is_none()).map(|(&peer, _)| peer)
    }
}

impl Wait for TakeAll<'_> {
    type Output = ();

    fn poll(&mut self) -> Option<()> {
        let handover = &self.local.group.handover;
        for (&peer, got) in self.peers.iter().zip(&mut *self.got).filter(|(_, got)| got.is_none()) {
            *got = handover.take(peer, self.local.rank);
        }
        self.missing().next().is_none().then_some(())
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.missing().find_map(|peer| self.local.lost_source(Source::Rank(peer)))
    }

    fn describe(&self) -> Waiting {
        let missing: Vec<String> = self.missing().map(|peer| peer.to_string()).collect();
        let what = match &missing[..] {
            [one] => format!("for rank {one} to do the same"),
            many => format!("for ranks {} to do the same", many.join(", ")),
        };
        self.local.describe("signals", what)
    }
}

/// Wakes peers through the bells that messages ring, too, and waits as for messages.
struct Bells {
    local: Local,
    peers: Vec<usize>,
    /// The same in the world.
    world_ranks: Vec<usize>,
}

impl Sentry for Bells {
    fn rings(&self) -> bool {
        !self.peers.is_empty()
    }

    fn ring(&self) {
        self.local.world.notify_each(self.world_ranks.iter().copied());
    }

    fn wait(&self, awaited: &Awaited<'_>) -> Result<()> {
        let peer = self.peers[awaited.peer];
        let wait = SignalWait { local: &self.local, awaited, peer };
        self.local.world.block(self.local.me, wait).map_err(|stop| self.local.stopped("wait", stop).with_peer(peer))
    }

    fn look(&self, awaited: &Awaited<'_>) -> Result<()> {
        let peer = self.peers[awaited.peer];
        let looked = self.local.world.look(SignalWait { local: &self.local, awaited, peer });
        looked.map(drop).map_err(|stop| self.local.stopped("look", stop).with_peer(peer))
    }
}

struct SignalWait<'a> {
    local: &'a Local,
    awaited: &'a Awaited<'a>,
    peer: usize,
}

impl Wait for SignalWait<'_> {
    type Output = ();

    fn poll(&mut self) -> Option<()> {
        self.awaited.has_come().then_some(())
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.local.lost_source(Source::Rank(self.peer))
    }

    fn describe(&self) -> Waiting {
        let Awaited { word, at_least, index, .. } = self.awaited;
        let now = word.load(Ordering::Relaxed);
        let what = format!("for rank {} to post {at_least} in signal word {index}, which is {now}", self.peer);
        self.local.describe("wait", what)
    }
}
