//! The arena where the system has no memory files: there is none, and blocks are plain memory without tokens.
//!
//! The same names as in `arena`, of types that have no values.

use std::ptr::NonNull;
use std::sync::Arc;

use super::words::Words;

pub(crate) const IDENTITY_WORDS: usize = 8;

pub(crate) enum Arena {}

impl Arena {
    pub(crate) fn of_process() -> Option<&'static Arc<Arena>> {
        None
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        match *self {}
    }

    pub(super) fn take(&self, _bytes: usize, _align: usize) -> Option<(usize, NonNull<u8>, usize)> {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(super) unsafe fn give(&self, _at: usize, _bytes: usize) {
        match *self {}
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Identity([u64; IDENTITY_WORDS]);

impl Identity {
    pub(crate) fn to_words(self) -> [u64; IDENTITY_WORDS] {
        self.0
    }

    pub(crate) fn of_words(words: [u64; IDENTITY_WORDS]) -> Self {
        Identity(words)
    }
}

pub(crate) enum PeerArena {}

impl PeerArena {
    pub(crate) fn find(_identity: &Identity) -> Option<Arc<PeerArena>> {
        None
    }

    pub(crate) fn resolve(&self, _token: u64, _bytes: usize) -> Option<*mut u8> {
        match *self {}
    }
}

pub(crate) enum Loan {}

impl Loan {
    pub(crate) fn new(_count: usize, _peers: usize) -> Option<Loan> {
        None
    }

    pub(crate) fn token(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn words(&self) -> Words {
        match *self {}
    }

    pub(crate) fn forgo(&self) {
        match *self {}
    }
}

/// # Safety
/// None is needed: there is no arena to borrow from.
pub(crate) unsafe fn borrow(arena: &Arc<PeerArena>, _token: u64, _count: usize) -> Option<Words> {
    match **arena {}
}
