//! The one way to fail: [`Error`] says which operation, on which backend, at which rank, with which peer, and why.

use std::fmt;

use crate::config::BackendKind;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, without the circumstances; [`Error`] adds those.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A rank outside `0..size`.
    #[error("rank {rank} is outside the communicator (size {size})")]
    InvalidRank {
        /// The rank that was asked for.
        rank: usize,
        /// The communicator's size.
        size: usize,
    },
    /// A root outside `0..size`.
    #[error("root {root} is outside the communicator (size {size})")]
    InvalidRoot {
        /// The root that was asked for.
        root: usize,
        /// The communicator's size.
        size: usize,
    },
    /// A tag above what the backend can carry.
    #[error("tag {tag} is above the largest tag of this backend ({max})")]
    InvalidTag {
        /// The tag that was asked for.
        tag: u32,
        /// The largest tag, inclusive.
        max: u32,
    },
    /// A length or a count that does not fit the call's other arguments.
    #[error("{0}")]
    InvalidArgument(String),
    /// The message is longer than the receive buffer. The message is consumed; the communicator still works.
    #[error("message of {sent} bytes is longer than the receive buffer of {capacity} bytes; the message is lost")]
    Truncated {
        /// Bytes in the message, or in the part of it that the library reports.
        sent: usize,
        /// Bytes in the receive buffer.
        capacity: usize,
    },
    /// The message's length is not a multiple of the element's size.
    #[error("message of {bytes} bytes is not a whole number of {element}-byte elements; both sides must use one type")]
    PartialElement {
        /// Bytes in the message.
        bytes: usize,
        /// Bytes in one element.
        element: usize,
    },
    /// Ranks called one collective with arguments that do not fit each other. Every rank gets this error.
    #[error("ranks disagree: {0}")]
    Mismatch(String),
    /// An operator that is not defined for the element type.
    #[error("{0}")]
    UndefinedOp(String),
    /// The peer returned, panicked or exited, so what this rank waits for can never come. Or, over tcp, it has dropped the
    /// communicator, and a send that waits to be received never will be.
    #[error("peer lost: rank {rank} has {how}")]
    PeerLost {
        /// The lost rank, in the communicator of the operation.
        rank: usize,
        /// How it ended, as far as this rank can know.
        how: &'static str,
    },
    /// Every live rank waits and nothing can complete. The text lists who waits for whom.
    #[error("deadlock: every live rank waits and nothing can complete\n{0}")]
    Deadlock(String),
    /// The operation did not complete within [`Config::timeout`](crate::Config::timeout).
    #[error("timed out after {0:?}")]
    Timeout(std::time::Duration),
    /// The operation was cancelled before it matched.
    #[error("cancelled")]
    Cancelled,
    /// What this backend, library or thread level cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// A configuration value that cannot be read or does not fit.
    #[error("{0}")]
    Config(String),
    /// The backend cannot be used here; the text says why and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The library below reported an error; the text is its own.
    #[error("{0}")]
    Library(String),
}

/// An error of a communication call.
///
/// Displayed as `operation on backend, rank r [with peer p] [tag t] [on "name"]: reason`.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    backend: Option<BackendKind>,
    rank: Option<usize>,
    peer: Option<usize>,
    tag: Option<u32>,
    communicator: Option<String>,
}

impl Error {
    /// An error of `kind` in `operation`, circumstances still unknown.
    #[cold]
    pub fn new(operation: &'static str, kind: ErrorKind) -> Self {
        Error(Box::new(Inner { kind, operation, backend: None, rank: None, peer: None, tag: None, communicator: None }))
    }

    /// Adds the communicator's name, this rank and the backend, unless they are already known.
    #[cold]
    pub(crate) fn at(mut self, backend: BackendKind, rank: usize, communicator: &str) -> Self {
        self.0.backend.get_or_insert(backend);
        self.0.rank.get_or_insert(rank);
        self.0.communicator.get_or_insert_with(|| communicator.to_owned());
        self
    }

    /// Adds the peer, unless it is already known.
    #[cold]
    pub(crate) fn with_peer(mut self, peer: usize) -> Self {
        self.0.peer.get_or_insert(peer);
        self
    }

    /// Adds the tag, unless it is already known.
    #[cold]
    pub(crate) fn with_tag(mut self, tag: u32) -> Self {
        self.0.tag.get_or_insert(tag);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The operation that failed, as its method is named (`"send"`, `"all_reduce"`).
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The backend, where one was involved.
    pub fn backend(&self) -> Option<BackendKind> {
        self.0.backend
    }

    /// This rank in the communicator of the call.
    pub fn rank(&self) -> Option<usize> {
        self.0.rank
    }

    /// The other rank, for point-to-point calls with a named peer and for lost peers.
    pub fn peer(&self) -> Option<usize> {
        match self.0.kind {
            ErrorKind::PeerLost { rank, .. } => Some(rank),
            _ => self.0.peer,
        }
    }

    /// The tag, for point-to-point calls with one.
    pub fn tag(&self) -> Option<u32> {
        self.0.tag
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        f.write_str(e.operation)?;
        if let Some(backend) = e.backend {
            write!(f, " on {backend}")?;
        }
        if let Some(rank) = e.rank {
            write!(f, ", rank {rank}")?;
        }
        if let Some(peer) = e.peer {
            write!(f, " with rank {peer}")?;
        }
        if let Some(tag) = e.tag {
            write!(f, ", tag {tag}")?;
        }
        if let Some(name) = &e.communicator {
            write!(f, ", communicator \"{name}\"")?;
        }
        write!(f, ": {}", e.kind)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `fn main() -> Result<()>` prints Debug: a reader there wants the sentence, not the struct.
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
