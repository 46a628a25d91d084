//! What travels between two ranks: an [`Envelope`] and a [`Body`].

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::rendezvous::Rendezvous;
use crate::status::{Source, Status, TagSelector};

/// Payloads up to this size travel inside the ring's cell, so that a small message is one cache line.
pub(super) const INLINE: usize = 40;

/// By what a message is matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    /// The communicator.
    pub(super) context: u32,
    /// The sender's rank in it.
    pub(super) source: u32,
    pub(super) tag: u32,
}

/// By what a receive or a probe selects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selector {
    pub(super) context: u32,
    pub(super) source: Source,
    pub(super) tag: TagSelector,
}

impl Selector {
    #[inline]
    pub(super) fn accepts(&self, e: &Envelope) -> bool {
        self.context == e.context
            && match self.source {
                Source::Any => true,
                Source::Rank(r) => r == e.source as usize,
            }
            && match self.tag {
                TagSelector::Any => true,
                TagSelector::Tag(t) => t == e.tag,
            }
    }
}

pub(super) enum Body {
    /// Up to [`INLINE`] bytes: as many as the number says.
    Inline(u8, Words),
    /// Up to the eager limit: a copy that the receiver frees.
    Boxed(Box<[u8]>),
    /// Beyond it: the sender's own memory, copied once.
    Rendezvous(Arc<Rendezvous>),
}

/// The payload of a cell; only some of it may be set.
pub(super) type Words = [MaybeUninit<u64>; INLINE / 8];

pub(super) struct Message {
    pub(super) body: Body,
    pub(super) envelope: Envelope,
}

impl Message {
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Inline(len, _) => *len as usize,
            Body::Boxed(bytes) => bytes.len(),
            Body::Rendezvous(r) => r.len(),
        }
    }

    pub(super) fn status(&self) -> Status {
        Status { source: self.envelope.source as usize, tag: self.envelope.tag, bytes: self.len() }
    }

    /// Whether its sender has taken it back.
    pub(super) fn is_withdrawn(&self) -> bool {
        matches!(&self.body, Body::Rendezvous(r) if r.is_withdrawn())
    }

    /// Copies the payload to `buf`, unless it is longer than that: then it is lost, and the status tells. `None`: the sender
    /// took the message back; look for another.
    ///
    /// # Safety
    /// `buf` is writable for `capacity` bytes and nobody else uses it.
    #[inline]
    pub(super) unsafe fn deliver(self, buf: *mut u8, capacity: usize) -> Option<Status> {
        let status = self.status();
        let fits = status.bytes <= capacity;
        match self.body {
            // SAFETY: the message fits, and the caller promises the buffer.
            Body::Inline(len, words) if fits => unsafe { copy_small(words.as_ptr().cast(), buf, len as usize) },
            // SAFETY: as above.
            Body::Boxed(bytes) if fits => unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf, bytes.len()) },
            Body::Inline(..) | Body::Boxed(_) => {}
            Body::Rendezvous(r) => {
                // SAFETY: the caller promises the buffer; nothing is written unless the message fits.
                if !unsafe { r.receive(buf, capacity) } {
                    return None;
                }
            }
        }
        Some(status)
    }
}

/// A copy of up to [`INLINE`] bytes; one word is the commonest message.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
#[inline(always)]
pub(super) unsafe fn copy_small(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if len == 8 {
            to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned());
        } else {
            std::ptr::copy_nonoverlapping(from, to, len);
        }
    }
}
