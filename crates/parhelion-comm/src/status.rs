//! Who sent, with which tag, how much: [`Status`], and the selectors [`Source`] and [`TagSelector`] of a receive.

use crate::element::Element;
use crate::error::{Error, ErrorKind, Result};

/// The wildcard of a receive or a probe: any source, or any tag (MPI section 3.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Any;

/// From whom to receive: a rank of the communicator, or [`Any`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From this rank only.
    Rank(usize),
    /// From whoever sends first.
    Any,
}

impl From<usize> for Source {
    fn from(rank: usize) -> Self {
        Source::Rank(rank)
    }
}

impl From<Any> for Source {
    fn from(_: Any) -> Self {
        Source::Any
    }
}

/// Which tag to receive: one, or [`Any`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagSelector {
    /// This tag only.
    Tag(u32),
    /// Whatever tag comes first.
    Any,
}

impl From<u32> for TagSelector {
    fn from(tag: u32) -> Self {
        TagSelector::Tag(tag)
    }
}

impl From<Any> for TagSelector {
    fn from(_: Any) -> Self {
        TagSelector::Any
    }
}

/// What is known of a message: who sent it, with which tag, how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The sender's rank in the communicator.
    pub source: usize,
    /// The sender's tag.
    pub tag: u32,
    /// The message's length in bytes.
    pub bytes: usize,
}

impl Status {
    /// The message's length in elements of `T`, or `None` if it is not a whole number of them.
    pub fn count<T: Element>(&self) -> Option<usize> {
        match size_of::<T>() {
            0 => Some(0),
            size => self.bytes.is_multiple_of(size).then(|| self.bytes / size),
        }
    }

    /// Itself where the message went into a buffer of `capacity` bytes, else the error that says that it was longer.
    #[inline]
    pub(crate) fn within(self, operation: &'static str, capacity: usize) -> Result<Status> {
        if self.bytes <= capacity { Ok(self) } else { Err(self.truncated(operation, capacity)) }
    }

    /// The error of a message that is longer than its buffer.
    #[cold]
    pub(crate) fn truncated(self, operation: &'static str, capacity: usize) -> Error {
        Error::new(operation, ErrorKind::Truncated { sent: self.bytes, capacity })
            .with_peer(self.source)
            .with_tag(self.tag)
    }
}
