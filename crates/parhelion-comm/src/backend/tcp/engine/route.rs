//! What carries this rank's messages to a peer.

use super::Engine;
use super::shared::RingOut;
use super::state::State;
use crate::backend::arena::Arena;
use crate::backend::tcp::join::Stream;
use crate::route::Route;

impl State {
    /// How messages to `peer` travel now, or how they would where there is no connection yet.
    fn route(&self, peer: usize) -> Route {
        if peer == self.me {
            return Route::Itself;
        }
        let link = &self.links[peer];
        let is_shared = match &link.ring_out {
            RingOut::Up(_) => true,
            RingOut::Refused => false,
            // It is tried first of all.
            _ => self.is_near(peer) && Arena::of_process().is_some(),
        };
        if is_shared {
            return Route::SharedMemory;
        }
        let wire = link.sends_on.and_then(|token| self.wires.get(&token));
        let is_unix = match wire.map(|wire| &wire.stream) {
            Some(stream) => matches!(stream, Stream::Unix(_)),
            None => self.here.is_some() && self.roster[peer].unix.map(|(host, _)| host) == self.here,
        };
        if is_unix { Route::UnixSocket } else { Route::Tcp }
    }
}

impl Engine {
    /// What carries messages to `rank`: now, or from the first one on.
    pub(in crate::backend::tcp) fn route(&self, rank: usize) -> Route {
        self.lock().route(rank)
    }
}
