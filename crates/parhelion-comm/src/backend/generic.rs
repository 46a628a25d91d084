//! [`Prepared`] over the non-blocking messages of any backend: whatever the method, a message is a message.

use std::sync::Arc;

use super::prepared::{Leg, Order, Prepared, RECVS, SENDS, Side, Stage, Staging, extent};
use super::{Keep, Pending, SendMode, Transport};
use crate::error::Result;
use crate::status::{Source, TagSelector};

/// A set of messages on a communicator of its own, or under a tag of its own.
pub(crate) struct Messages {
    transport: Arc<dyn Transport>,
    tag: u32,
    sends: Vec<Leg>,
    recvs: Vec<Leg>,
    outgoing: Arc<Staging>,
    incoming: Arc<Staging>,
    /// Where the messages of each direction are.
    at: [Vec<*mut u8>; 2],
    sent: Vec<Option<Box<dyn Pending>>>,
    due: Vec<Option<Box<dyn Pending>>>,
    /// Receives that `test` found complete.
    arrived: Vec<usize>,
}

// SAFETY: the pointers go to the staging memory, or to memory that whoever placed messages there has vouched for.
unsafe impl Send for Messages {}

impl Messages {
    pub(crate) fn new(transport: Arc<dyn Transport>, order: Order) -> Self {
        let staging = [&order.sends, &order.recvs].map(|legs| Staging::new(extent(legs)));
        let at = [staged(&order.sends, &staging[SENDS]), staged(&order.recvs, &staging[RECVS])];
        let [outgoing, incoming] = staging;
        Messages {
            outgoing,
            incoming,
            at,
            sent: order.sends.iter().map(|_| None).collect(),
            due: order.recvs.iter().map(|_| None).collect(),
            arrived: Vec::with_capacity(order.recvs.len()),
            transport,
            tag: order.tag,
            sends: order.sends,
            recvs: order.recvs,
        }
    }
}

/// Where each message is in its staging memory.
fn staged(legs: &[Leg], memory: &Staging) -> Vec<*mut u8> {
    legs.iter().map(|leg| memory.ptr().wrapping_add(leg.offset)).collect()
}

impl Prepared for Messages {
    fn stage(&self) -> Stage {
        Stage(Some([&self.outgoing, &self.incoming].map(|memory| Side::single(memory.ptr()))))
    }

    fn place(&mut self, direction: usize, at: &[*mut u8]) -> Result<bool> {
        let staged = match direction {
            SENDS => staged(&self.sends, &self.outgoing),
            _ => staged(&self.recvs, &self.incoming),
        };
        self.at[direction] =
            at.iter().zip(staged).map(|(&at, staged)| if at.is_null() { staged } else { at }).collect();
        Ok(true)
    }

    fn start_receives(&mut self) -> Result<()> {
        for ((leg, &at), due) in self.recvs.iter().zip(&self.at[RECVS]).zip(&mut self.due) {
            // SAFETY: the memory lives until the receive is over, the staging memory as well as that of whoever placed the
            // message; peers and lengths are agreed.
            let pending =
                unsafe { self.transport.irecv(at, leg.bytes, Source::Rank(leg.peer), TagSelector::Tag(self.tag))? };
            *due = Some(pending);
        }
        Ok(())
    }

    fn start_send(&mut self, send: usize) -> Result<()> {
        let leg = &self.sends[send];
        // SAFETY: as for receives; nobody writes it before the send is over.
        let pending = unsafe {
            let at = self.at[SENDS][send].cast_const();
            self.transport.isend(at, leg.bytes, leg.peer, self.tag, SendMode::Standard)?
        };
        self.sent[send] = Some(pending);
        Ok(())
    }

    fn next_receive(&mut self) -> Result<Option<usize>> {
        if let Some(i) = self.arrived.pop() {
            return Ok(Some(i));
        }
        let (mut places, mut pending): (Vec<usize>, Vec<&mut dyn Pending>) = Default::default();
        for (i, due) in self.due.iter_mut().enumerate() {
            if let Some(due) = due {
                places.push(i);
                pending.push(&mut **due);
            }
        }
        if pending.is_empty() {
            return Ok(None);
        }
        let (index, result) = self.transport.wait_any(&mut pending)?;
        let i = places[index];
        self.due[i] = None;
        result.map_err(|e| e.with_peer(self.recvs[i].peer))?;
        Ok(Some(i))
    }

    fn test(&mut self) -> Result<bool> {
        let mut done = true;
        // The first that is asked makes progress for all.
        let mut first = true;
        let mut ask =
            |pending: &mut dyn Pending| if std::mem::take(&mut first) { pending.test() } else { pending.glance() };
        for i in 0..self.due.len() {
            let Some(due) = &mut self.due[i] else { continue };
            match ask(&mut **due) {
                Ok(Some(_)) => {
                    self.due[i] = None;
                    self.arrived.push(i);
                }
                Ok(None) => done = false,
                Err(e) => return Err(e.with_peer(self.recvs[i].peer)),
            }
        }
        for i in 0..self.sent.len() {
            let Some(sent) = &mut self.sent[i] else { continue };
            match ask(&mut **sent) {
                Ok(Some(_)) => self.sent[i] = None,
                Ok(None) => done = false,
                Err(e) => return Err(e.with_peer(self.sends[i].peer)),
            }
        }
        Ok(done)
    }

    fn complete(&mut self) -> Result<()> {
        for i in 0..self.sent.len() {
            let Some(sent) = &mut self.sent[i] else { continue };
            sent.wait().map_err(|e| e.with_peer(self.sends[i].peer))?;
            self.sent[i] = None;
        }
        Ok(())
    }

    fn another(&self, order: Order) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Messages::new(self.transport.clone(), order)))
    }

    fn abandon(mut self: Box<Self>, keep: Keep) {
        // One keep for all: the last operation to end lets go of it.
        let keep = Arc::new(std::sync::Mutex::new(keep));
        let memory = (self.outgoing.clone(), self.incoming.clone());
        for pending in self.sent.drain(..).chain(self.due.drain(..)).flatten() {
            pending.detach(Box::new((memory.clone(), keep.clone())));
        }
    }
}
