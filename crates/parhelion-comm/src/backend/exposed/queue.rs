//! [`Queue`]: the lock of one rank's part, and who waits for it.

use std::collections::VecDeque;

use crate::window::Lock;

/// A fair lock: whoever came first is served first, and shared ones that follow each other together. A rank has at most one
/// place in it.
#[derive(Default)]
pub(crate) struct Queue {
    holders: Vec<(usize, Lock)>,
    waiting: VecDeque<(usize, Lock)>,
}

impl Queue {
    /// Puts `rank` in the queue: who holds the lock from now on.
    pub(crate) fn join(&mut self, rank: usize, lock: Lock) -> Vec<usize> {
        self.waiting.push_back((rank, lock));
        self.admit()
    }

    /// `rank` gives the lock back, or waits no longer: who holds the lock from now on.
    pub(crate) fn leave(&mut self, rank: usize) -> Vec<usize> {
        self.holders.retain(|(other, _)| *other != rank);
        self.waiting.retain(|(other, _)| *other != rank);
        self.admit()
    }

    pub(crate) fn holds(&self, rank: usize) -> bool {
        self.holders().any(|other| other == rank)
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = usize> {
        self.holders.iter().map(|(rank, _)| *rank)
    }

    fn admit(&mut self) -> Vec<usize> {
        let mut admitted = Vec::new();
        while let Some(&(rank, lock)) = self.waiting.front() {
            let free = match lock {
                Lock::Exclusive => self.holders.is_empty(),
                Lock::Shared => self.holders.iter().all(|(_, lock)| *lock == Lock::Shared),
            };
            if !free {
                break;
            }
            self.waiting.pop_front();
            self.holders.push((rank, lock));
            admitted.push(rank);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_came_first_is_served_first() {
        let mut queue = Queue::default();
        assert_eq!(queue.join(0, Lock::Shared), [0]);
        assert_eq!(queue.join(1, Lock::Shared), [1]);
        assert!(queue.join(2, Lock::Exclusive).is_empty());
        assert!(queue.join(3, Lock::Shared).is_empty(), "a reader does not overtake a writer");
        assert!(queue.join(4, Lock::Shared).is_empty());
        assert!(queue.leave(0).is_empty());
        assert_eq!(queue.leave(1), [2]);
        assert!(queue.holds(2) && !queue.holds(3));
        assert_eq!(queue.leave(2), [3, 4]);
        assert_eq!(queue.holders().collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn who_waits_no_longer_lets_the_next_in() {
        let mut queue = Queue::default();
        queue.join(0, Lock::Shared);
        queue.join(1, Lock::Exclusive);
        queue.join(2, Lock::Shared);
        assert_eq!(queue.leave(1), [2]);
    }
}
