//! [`Link`]: everything between this rank and one peer, and [`Wire`]: one connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::frame::MAX_EAGER;
use super::inbox::Inbox;
use super::operation::{Envelope, Fault, Slot};
use super::outbox::{Bytes, Outbox};
use super::remote::Remote;
use super::shared::{RingIn, RingOut};
use crate::backend::tcp::join::{Handshake, Stream};

/// The credit of each sender at each receiver: what it may send before any of it is received.
pub(super) const CREDIT: usize = MAX_EAGER as usize;

/// What an eager message of `len` bytes takes of the credit: its bytes, and what it costs to keep it.
pub(super) fn cost(len: usize) -> usize {
    len + 128
}

/// Everything between this rank and one peer.
pub(super) struct Link {
    pub(super) out: Outbox,
    /// The wire that this rank's frames go on.
    pub(super) sends_on: Option<u64>,
    /// All wires on which the peer's frames may come.
    pub(super) wires: Vec<u64>,
    pub(super) dial: Dial,
    /// Where frames go and come from instead, once both ends have agreed on it; see [`shared`](super::shared).
    pub(super) ring_out: RingOut,
    pub(super) ring_in: Option<Box<RingIn>>,
    /// The peer's memory, if it can be read.
    pub(super) remote: Option<Remote>,
    /// The peer has offered its ring, and its frames come through it.
    pub(super) ring_offered: bool,
    pub(super) ring_stands: bool,
    /// How many bytes are out of a sign of life that is to wake the peer.
    pub(super) woken: usize,
    /// What may still be sent eagerly.
    pub(super) credit: usize,
    /// What the peer has used of its credit here, and how much of that is to be given back.
    pub(super) held: usize,
    pub(super) owed: usize,
    /// This rank's offers that have not been accepted.
    pub(super) offers: HashMap<u64, Offer>,
    pub(super) next_offer: u64,
    /// The peer's last offer: the next has a higher number.
    pub(super) last_offered: u64,
    /// The peer's offers that have been accepted and are coming.
    pub(super) arriving: HashMap<u64, Arrival>,
    /// When something came last, and when something was written last. The marks say that it was since the clock was last
    /// asked, which every message would pay for.
    pub(super) heard: Instant,
    pub(super) spoke: Instant,
    pub(super) heard_now: bool,
    pub(super) spoke_now: bool,
    /// Whether this rank's goodbye has been said, and answered.
    pub(super) said_goodbye: bool,
    pub(super) farewell: bool,
    /// Whether there is something to flush.
    pub(super) dirty: bool,
}

/// Whether this rank is dialling a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dial {
    Idle,
    /// Since when, and when to try again if that is not under way.
    Going {
        since: Instant,
        again: Option<Instant>,
        refused: bool,
    },
}

/// A message that waits here for its receive there.
pub(super) struct Offer {
    pub(super) bytes: Bytes,
    pub(super) len: usize,
    pub(super) envelope: Envelope,
    /// What the operation fails with if the offer is returned.
    pub(super) retracting: Option<Fault>,
}

/// A message that comes in pieces.
pub(super) struct Arrival {
    pub(super) slot: Arc<Slot>,
    pub(super) envelope: Envelope,
    /// How many bytes the pieces that have begun hold.
    pub(super) begun: usize,
    pub(super) arrived: usize,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        Link {
            out: Outbox::default(),
            sends_on: None,
            wires: Vec::new(),
            dial: Dial::Idle,
            ring_out: RingOut::None,
            ring_in: None,
            remote: None,
            ring_offered: false,
            ring_stands: false,
            woken: 0,
            credit: CREDIT,
            held: 0,
            owed: 0,
            offers: HashMap::new(),
            next_offer: 0,
            last_offered: 0,
            arriving: HashMap::new(),
            heard: now,
            spoke: now,
            heard_now: false,
            spoke_now: false,
            said_goodbye: false,
            farewell: false,
            dirty: false,
        }
    }

    /// The memory of the offer `id` is about to be used for other things.
    pub(super) fn unlend(&mut self, id: u64) {
        if let Some(ring) = self.ring_out.up() {
            ring.unlend(id);
        }
    }

    /// Whether this rank has, or is about to have, a wire to the peer.
    pub(super) fn is_used(&self) -> bool {
        !self.wires.is_empty() || self.dial != Dial::Idle
    }
}

/// One connection.
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) phase: Phase,
    /// Whether epoll watches for room to write.
    pub(super) wants_room: bool,
}

pub(super) enum Phase {
    /// This rank dials `peer`; the stream may not be connected yet.
    Dialling { peer: usize, handshake: Handshake, connected: bool, until: Instant },
    /// Somebody has knocked.
    Visitor { handshake: Handshake, until: Instant },
    /// Who is at the other end has been proved. Where the peer has dialled, it sends the first frame; before, the wire is not
    /// used, since the peer may not know that it stands.
    Up { peer: usize, inbox: Inbox, used: bool },
}

impl Phase {
    /// When it has to be over.
    pub(super) fn limit(&self) -> Option<Instant> {
        match self {
            Phase::Dialling { until, .. } | Phase::Visitor { until, .. } => Some(*until),
            Phase::Up { .. } => None,
        }
    }
}

/// A message for which there was no receive.
pub(super) enum Body {
    Whole(Vec<u8>),
    /// Offered by its sender.
    Offer {
        id: u64,
        len: usize,
        at: u64,
    },
    /// Of this rank to itself.
    Shown(Arc<Slot>),
}
