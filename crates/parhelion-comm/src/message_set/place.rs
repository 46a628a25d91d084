//! [`Places`]: messages that leave from and arrive in memory of the caller's, chosen between rounds.

use super::{MessageSet, State};
use crate::backend::prepared::{RECVS, SENDS};
use crate::error::{ErrorKind, Result};

/// Where the messages of one direction are, as far as that is not the staging memory.
#[derive(Default)]
pub(super) struct Places {
    /// Null for a message that is staged; no elements if none was ever placed.
    at: Vec<*mut u8>,
    /// The backend stages them all the same, so that they are copied on the way.
    copied: bool,
}

impl Places {
    /// Whether a message is in memory of the caller's.
    #[inline]
    pub(super) fn has(&self, message: usize) -> bool {
        self.at.get(message).is_some_and(|at| !at.is_null())
    }

    /// Where a message is to be copied from or to.
    #[inline]
    pub(super) fn copied(&self, message: usize) -> Option<*mut u8> {
        if self.copied { self.at.get(message).copied().filter(|at| !at.is_null()) } else { None }
    }
}

impl MessageSet {
    /// Has each send leave from where `at` says, from the next start on: null for its [`send_part`](Self::send_part), which
    /// is empty for the others. The places may be others in each round; what says the same as before costs nothing. Local.
    ///
    /// Nothing is copied where the messages are sent and received one by one, and with [`Method::Neighbor`](super::Method) if
    /// all of a direction have places; elsewhere they are copied by the set.
    ///
    /// # Errors
    /// The set is not idle, or is in place; not one place for each send; what the backend reports.
    ///
    /// # Safety
    /// From the next start of the set until it is idle again, or until what [`MessageSet::abandon`] keeps is dropped, and in
    /// each round from then on: as many bytes as the message has are readable there, and nobody writes them. A set that was
    /// started is not dropped without having finished, unless by [`MessageSet::abandon`] with the memory's owner.
    #[inline]
    pub unsafe fn place_sends(&mut self, at: &[*mut u8]) -> Result<()> {
        if self.places[SENDS].at == at { Ok(()) } else { self.place("place_sends", SENDS, at) }
    }

    /// Has each receive arrive where `at` says, as [`MessageSet::place_sends`] does for sends. What
    /// [`MessageSet::finish`] calls for it gets no bytes: they are in their place.
    ///
    /// # Errors
    /// As [`MessageSet::place_sends`].
    ///
    /// # Safety
    /// As for [`MessageSet::place_sends`], with bytes that are writable and that nobody uses.
    #[inline]
    pub unsafe fn place_receives(&mut self, at: &[*mut u8]) -> Result<()> {
        if self.places[RECVS].at == at { Ok(()) } else { self.place("place_receives", RECVS, at) }
    }

    #[cold]
    fn place(&mut self, operation: &'static str, direction: usize, at: &[*mut u8]) -> Result<()> {
        if self.state != State::Idle {
            return Err(self.misused(operation, "is not idle; finish it first"));
        }
        if self.in_place {
            return Err(self.misused(operation, "is in place already"));
        }
        let messages = if direction == SENDS { self.sends.len() } else { self.recvs.len() };
        if at.len() != messages {
            let text = format!("{} places for {messages} messages", at.len());
            return Err(self.communicator.error(operation, ErrorKind::InvalidArgument(text)));
        }
        let result = self.backend().place(direction, at);
        let copied = !self.checked(result)?;
        self.places[direction] = Places { at: at.to_vec(), copied };
        Ok(())
    }
}
