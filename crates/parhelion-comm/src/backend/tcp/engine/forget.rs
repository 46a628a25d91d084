//! Messages of a communicator that this rank has dropped: nobody receives them, so they are thrown away, those that wait and
//! those still on their way. A sender that has been told that its message is there, and waits for it to be received, learns that it
//! never will be.

use std::collections::{HashSet, VecDeque};

use super::Engine;
use super::frame::{Frame, Kind};
use super::link::{Body, cost};
use super::operation::Fault;
use super::state::State;

/// What has become of the receiver of a message that is given back unasked.
pub(super) const DROPPED: &str = "dropped the communicator without receiving it";

/// Contexts that this rank is done with, the last [`Forgotten::MOST`] of them. No more have to be known: their members
/// make new ones together, so none of them is far behind.
#[derive(Default)]
pub(super) struct Forgotten {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Forgotten {
    const MOST: usize = 1024;

    pub(super) fn contains(&self, context: u64) -> bool {
        self.known.contains(&context)
    }

    fn add(&mut self, context: u64) {
        if self.known.insert(context) {
            self.order.push_back(context);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl State {
    fn forget(&mut self, context: u64) {
        self.forgotten.add(context);
        for waiting in self.mail.take_all(context) {
            let source = waiting.source;
            match waiting.message {
                Body::Whole(bytes) => self.give_credit(source, cost(bytes.len())),
                Body::Offer { id, .. } => self.turn_down(source, id),
                Body::Shown(sender) => self.finish(&sender, Err(Fault::Lost { rank: source, how: DROPPED })),
            }
        }
    }

    /// Gives an offer back to its sender, who has not asked for it: nobody will receive it.
    pub(super) fn turn_down(&mut self, source: usize, id: u64) {
        if !self.links[source].wires.is_empty() {
            self.push(source, &Frame::control(Kind::Returned, 0, id));
        }
    }
}

impl Engine {
    /// This rank has dropped the communicator of this context.
    pub(in crate::backend::tcp) fn forget(&self, context: u64) {
        self.turn().forget(context);
    }
}
