//! Signal words in an arena: a block that peers use, too, so that the last user's end is its end.
//!
//! Before the words there is a line with the number of users: the owner and the peers. Each takes itself off when it is
//! done. An owner that is not the last leaves the block with the arena, which frees it once the number is 0; a peer that
//! ends without taking itself off leaves it there for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arena, PeerArena};
use crate::backend::block::Block;
use crate::backend::words::{STRIDE, Words};

/// A block with a count of users at its beginning.
pub(super) struct Lent(Block);

impl Lent {
    fn users(&self) -> &AtomicU64 {
        // SAFETY: the block begins with a line for it, zeroed, aligned, and used as this atomic only, here and by peers.
        unsafe { self.0.ptr().cast::<AtomicU64>().as_ref() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.users().load(Ordering::Acquire) == 0
    }
}

/// The owner's use of its words.
struct OwnUse {
    arena: &'static Arc<Arena>,
    lent: Option<Lent>,
}

impl Drop for OwnUse {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.users().fetch_sub(1, Ordering::AcqRel);
            self.arena.leave(lent);
        }
    }
}

/// A peer's use of the owner's words.
struct PeerUse {
    arena: Arc<PeerArena>,
    users: *const AtomicU64,
}

// SAFETY: the pointer is to an atomic in the mapping that `arena` keeps.
unsafe impl Send for PeerUse {}
// SAFETY: as above.
unsafe impl Sync for PeerUse {}

impl Drop for PeerUse {
    fn drop(&mut self) {
        // SAFETY: inside the mapping, which `arena` keeps; the block is not freed before this.
        unsafe { &*self.users }.fetch_sub(1, Ordering::AcqRel);
        let _ = &self.arena;
    }
}

/// Words of this process, lent to peers.
pub(crate) struct Loan {
    token: u64,
    count: usize,
    own: Arc<OwnUse>,
}

impl Loan {
    /// Words for this process and as many `peers`. None without an arena, or room in it.
    pub(crate) fn new(count: usize, peers: usize) -> Option<Loan> {
        let arena = Arena::of_process()?;
        arena.sweep();
        let block = Block::shared((count + 1) * STRIDE, STRIDE);
        let token = block.token()?;
        let lent = Lent(block);
        lent.users().store(1 + peers as u64, Ordering::Release);
        Some(Loan { token, count, own: Arc::new(OwnUse { arena, lent: Some(lent) }) })
    }

    /// What the peers borrow it by.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// The words themselves.
    pub(crate) fn words(&self) -> Words {
        let block = &self.own.lent.as_ref().expect("taken only when it is dropped").0;
        // SAFETY: a line less than the block; the rest of it is zeroed, for the words alone, and freed after the last use.
        unsafe { Words::new(block.ptr().add(STRIDE), self.count, self.own.clone()) }
    }

    /// One of the peers will never borrow it.
    pub(crate) fn forgo(&self) {
        let lent = self.own.lent.as_ref().expect("taken only when it is dropped");
        lent.users().fetch_sub(1, Ordering::AcqRel);
    }
}

/// The words that a peer has lent under `token`. None if they are not in its arena.
///
/// # Safety
/// The peer made `token` by [`lend`] for this many words and counted this use, of which there is one.
pub(crate) unsafe fn borrow(arena: &Arc<PeerArena>, token: u64, count: usize) -> Option<Words> {
    let users = arena.resolve(token, (count + 1) * STRIDE)?;
    if !token.is_multiple_of(STRIDE as u64) {
        return None;
    }
    let first = std::ptr::NonNull::new(users.wrapping_add(STRIDE))?;
    let keep = Arc::new(PeerUse { arena: arena.clone(), users: users.cast() });
    // SAFETY: inside the mapping that `keep` keeps, and the owner keeps the block as long as this use counts.
    Some(unsafe { Words::new(first, count, keep) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_lives_until_its_last_user_is_done() {
        let own = Arena::of_process().unwrap();
        // As a peer in this process sees it.
        let arena = PeerArena::find(&own.identity().unwrap()).unwrap();
        let left = || own.left.lock().unwrap().len();
        let loan = Loan::new(3, 2).unwrap();
        let token = loan.token();
        let words = loan.words();
        // SAFETY: as many words, and this use is counted; the other one is forgone.
        let borrowed = unsafe { borrow(&arena, token, 3) }.unwrap();
        words.word(2).store(7, Ordering::Release);
        assert_eq!(borrowed.word(2).load(Ordering::Acquire), 7);
        assert_eq!(borrowed.word(0).load(Ordering::Acquire), 0);
        let before = left();
        loan.forgo();
        drop(loan);
        assert_eq!(left(), before, "the words are still in use here");
        drop(words);
        assert_eq!(left(), before + 1, "the peer's use is left");
        own.sweep();
        assert_eq!(borrowed.word(2).load(Ordering::Acquire), 7);
        drop(borrowed);
        own.sweep();
        assert_eq!(left(), before);
    }

    #[test]
    fn words_outside_of_the_arena_are_refused() {
        let arena = PeerArena::find(&Arena::of_process().unwrap().identity().unwrap()).unwrap();
        for token in [0, u64::MAX, 1 << 60, 4096 + 8] {
            // SAFETY: refused before anything is touched.
            assert!(unsafe { borrow(&arena, token, 3) }.is_none(), "{token}");
        }
    }
}
