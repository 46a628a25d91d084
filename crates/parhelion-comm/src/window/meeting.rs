//! [`Meeting`]: the messages by which the ranks of a window open and close its epochs.
//!
//! All ranks meet by dissemination (Hensgen, Finkel, Manber, *Two algorithms for barrier synchronization*, 1988): in round k each
//! rank tells the one 2^k behind it, and hears from the one 2^k before it.
//!
//! A message is a word: 0, or that an epoch has failed, and at which rank. A rank whose epoch has failed sends that instead of
//! all that others may still expect of it, and waits for nobody: ranks that hear of it do the same. So all that wait hear of it, since
//! in a meeting every rank hears of the one before it, and neighbours of those they named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::backend::exposed::{Exposed, Purpose};
use crate::backend::{SendMode, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::status::{Source, TagSelector};

/// How an epoch failed: with an error.
pub(super) const FAILED: u64 = 0;
/// With a panic.
pub(super) const PANICKED: u64 = 1;

pub(super) struct Meeting {
    transport: Arc<dyn Transport>,
    tag: u32,
    /// What has been heard of a failure.
    news: AtomicU64,
}

impl Meeting {
    pub(super) fn new(transport: Arc<dyn Transport>, tag: u32) -> Self {
        Meeting { transport, tag, news: AtomicU64::new(0) }
    }

    /// Waits until every rank has come.
    pub(super) fn meet(&self, exposed: &dyn Exposed) -> Result<()> {
        let (me, size) = (self.transport.rank(), self.transport.size());
        for step in steps(size) {
            self.send((me + step) % size, Purpose::Meeting, 0)?;
            self.hear(exposed, &[(me + size - step) % size], Purpose::Meeting)?;
        }
        Ok(())
    }

    /// Sends a word to each of `ranks`.
    pub(super) fn tell(&self, ranks: &[usize], purpose: Purpose) -> Result<()> {
        ranks.iter().try_for_each(|&rank| self.send(rank, purpose, 0))
    }

    /// Waits for a word of each of `ranks`.
    pub(super) fn hear(&self, exposed: &dyn Exposed, ranks: &[usize], purpose: Purpose) -> Result<()> {
        ranks.iter().try_for_each(|&rank| match self.receive(exposed, rank, purpose)? {
            0 => Ok(()),
            news => {
                self.news.store(news, Ordering::Relaxed);
                Err(failure(news))
            }
        })
    }

    /// Tells whoever may wait for this rank, now or later, that its epoch has failed in this way, or what it has heard itself.
    pub(super) fn end(&self, how: u64) {
        let (me, size) = (self.transport.rank(), self.transport.size());
        let news = match self.news.load(Ordering::Relaxed) {
            0 => 1 + 2 * me as u64 + how,
            news => news,
        };
        // Not all of this is ever received. MPI gives the number of a communicator that is freed to another, and with it what
        // has come: so this one stays.
        std::mem::forget(self.transport.clone());
        // Of an error nobody needs to hear: those who cannot be told have failed themselves.
        for step in steps(size) {
            let _ = self.send((me + step) % size, Purpose::Meeting, news);
        }
        for rank in (0..size).filter(|&rank| rank != me) {
            let _ = self.send(rank, Purpose::Open, news);
            let _ = self.send(rank, Purpose::Done, news);
        }
    }

    fn send(&self, rank: usize, purpose: Purpose, word: u64) -> Result<()> {
        let word = Box::new(word);
        // SAFETY: the box is kept until the message has been sent.
        let pending = unsafe {
            let (at, tag) = (std::ptr::from_ref(&*word).cast(), purpose.of(self.tag));
            self.transport.isend(at, size_of::<u64>(), rank, tag, SendMode::Standard)?
        };
        pending.abandon(word);
        Ok(())
    }

    fn receive(&self, exposed: &dyn Exposed, rank: usize, purpose: Purpose) -> Result<u64> {
        let mut word = Box::new(0u64);
        let (source, tag) = (Source::Rank(rank), TagSelector::Tag(purpose.of(self.tag)));
        // SAFETY: the box is there until the message has come, or is kept until then.
        let mut pending = unsafe {
            let at = std::ptr::from_mut(&mut *word).cast();
            self.transport.irecv(at, size_of::<u64>(), source, tag)?
        };
        match exposed.wait(&mut *pending) {
            Ok(_) => Ok(*word),
            Err(e) => {
                pending.abandon(word);
                Err(e.with_peer(rank))
            }
        }
    }
}

/// How far apart those are who tell each other, round by round.
fn steps(size: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |step| Some(2 * step)).take_while(move |&step| step < size)
}

#[cold]
fn failure(news: u64) -> Error {
    let how = match (news - 1) % 2 {
        FAILED => "ended an epoch of the window with an error",
        _ => "panicked in an epoch of the window",
    };
    let rank = ((news - 1) / 2) as usize;
    Error::new("epoch", ErrorKind::PeerLost { rank, how })
}
