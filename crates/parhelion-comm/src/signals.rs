//! [`Signals`]: numbers that a rank shows to its peers, and that they wait for.
//!
//! A message that says "ready" costs a trip through a queue; a word in memory that both can reach costs one write and one
//! read. [`Communicator::signals`] gives each rank a few words. The rank writes them ([`store`](Signals::store),
//! [`post`](Signals::post)), its peers read them ([`load`](Signals::load), [`look`](Signals::look)) and wait
//! ([`wait`](Signals::wait)) until one has reached a number. Numbers that only grow, such as that of the round, need no going back.
//!
//! ```
//! parhelion_comm::run(|world| {
//!     let (size, me) = (world.size(), world.rank());
//!     let others: Vec<usize> = (0..size).filter(|&rank| rank != me).collect();
//!     let signals = world.signals(&others, 1)?;
//!     for round in 1..=3 {
//!         signals.post(0, round);
//!         for peer in 0..others.len() {
//!             signals.wait(peer, 0, round)?; // a barrier, of a kind
//!         }
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```

use std::fmt;
use std::sync::atomic::Ordering;

use crate::backend::words::{Awaited, Posts};
use crate::communicator::Communicator;
use crate::error::{ErrorKind, Result};

/// Words of this rank and of some peers, in memory that all of them can reach. See the [module](self).
///
/// Dropping it is a local matter: peers that still wait see the last values.
pub struct Signals {
    posts: Posts,
    rings: bool,
    communicator: Communicator,
}

impl Signals {
    /// How many words each rank has.
    pub fn words(&self) -> usize {
        self.posts.own.count()
    }

    /// Writes a word of this rank. Peers see it at the latest when they see a later [`post`](Signals::post).
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn store(&self, word: usize, value: u64) {
        self.posts.own.word(word).store(value, Ordering::Relaxed);
    }

    /// Writes a word of this rank and wakes the peers that wait. Whoever sees it sees all that this thread wrote before: words,
    /// and the memory that tokens name.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn post(&self, word: usize, value: u64) {
        self.posts.own.word(word).store(value, Ordering::Release);
        if self.rings {
            self.posts.sentry.ring();
        }
    }

    /// A word of the peer with this place in the list that [`Communicator::signals`] was given. What the peer wrote before it
    /// posted the value is visible afterwards.
    ///
    /// # Panics
    /// If there is no such peer or word.
    #[inline]
    pub fn load(&self, peer: usize, word: usize) -> u64 {
        self.posts.peers[peer].word(word).load(Ordering::Acquire)
    }

    /// Waits until a word of the peer with this place in the list is `at_least` this. What the peer wrote before it posted the
    /// value is visible afterwards.
    ///
    /// Waiting makes progress with whatever this rank has in flight, but not before the value has been missing for a while.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock.
    ///
    /// # Panics
    /// If there is no such peer or word.
    #[inline]
    pub fn wait(&self, peer: usize, word: usize, at_least: u64) -> Result<()> {
        let awaited = Awaited { word: self.posts.peers[peer].word(word), at_least, peer, index: word };
        if awaited.has_come() { Ok(()) } else { self.wait_longer(&awaited) }
    }

    /// One look at what [`wait`](Signals::wait) waits for: whether it is there. Does not wait; makes progress with whatever
    /// this rank has in flight.
    ///
    /// # Errors
    /// A peer that is lost, where the backend can know, and has not posted it. No timeout: whoever asks knows for how long.
    ///
    /// # Panics
    /// If there is no such peer or word.
    pub fn look(&self, peer: usize, word: usize, at_least: u64) -> Result<bool> {
        let awaited = Awaited { word: self.posts.peers[peer].word(word), at_least, peer, index: word };
        if !awaited.has_come() {
            self.posts.sentry.look(&awaited).map_err(|e| self.communicator.locate(e))?;
        }
        Ok(awaited.has_come())
    }

    #[inline(never)]
    fn wait_longer(&self, awaited: &Awaited<'_>) -> Result<()> {
        self.posts.sentry.wait(awaited).map_err(|e| self.communicator.locate(e))
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signals({} words, {} peers, {:?})", self.words(), self.posts.peers.len(), self.communicator)
    }
}

impl Communicator {
    /// `words` words for this rank and for each of `peers`, all 0 at first. Collective over this rank and `peers`, each of
    /// which names this one, with as many words; it may wait for them.
    ///
    /// # Errors
    /// A rank that does not exist, is this one, or is named twice; numbers of words that differ; a peer whose memory cannot
    /// be reached ([`Communicator::attach`] says so beforehand); a lost peer, a timeout, a deadlock.
    pub fn signals(&self, peers: &[usize], words: usize) -> Result<Signals> {
        self.check_peers("signals", peers)?;
        if peers.contains(&self.rank()) {
            let text = "a rank needs no signals to itself: leave it out of the peers".to_owned();
            return Err(self.error("signals", ErrorKind::InvalidArgument(text)));
        }
        // More than anybody has lines for, and small enough to be counted in bytes.
        const MOST: usize = 1 << 20;
        if words > MOST {
            let text = format!("{words} words are more than the {MOST} that signals may have");
            return Err(self.error("signals", ErrorKind::InvalidArgument(text)));
        }
        let posts = self.transport().signals(peers, words).map_err(|e| self.locate(e))?;
        Ok(Signals { rings: posts.sentry.rings(), posts, communicator: self.clone() })
    }
}
