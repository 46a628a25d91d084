//! Receives and probes: waiting for a message, and receives in flight.

use std::sync::Arc;

use super::mailbox::Receive;
use super::message::{Message, Selector};
use super::ring::Ring;
use super::transport::Local;
use super::wait::{Wait, Waiting};
use crate::backend::{Keep, Matched, Pending};
use crate::error::{Error, ErrorKind, Result};
use crate::status::{Source, Status, TagSelector};

fn peers(source: Source, tag: TagSelector) -> String {
    let source = match source {
        Source::Rank(rank) => format!("from rank {rank}"),
        Source::Any => "from any rank".to_owned(),
    };
    match tag {
        TagSelector::Tag(tag) => format!("{source}, tag {tag}"),
        TagSelector::Any => format!("{source}, any tag"),
    }
}

/// Waits for a message that is selected, and takes it out of matching.
pub(super) struct TakeWait<'a> {
    pub(super) local: &'a Local,
    pub(super) operation: &'static str,
    pub(super) selector: Selector,
    /// Look also if nothing new has arrived.
    pub(super) thorough: bool,
}

impl Wait for TakeWait<'_> {
    type Output = Message;

    fn poll(&mut self) -> Option<Message> {
        let (world, me) = (&*self.local.world, self.local.me);
        if !std::mem::take(&mut self.thorough) && !world.inbound(me).any(Ring::has_message) {
            return None;
        }
        world.take(me, &self.selector)
    }

    fn progress(&mut self) {
        self.local.progress();
        self.thorough = true;
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.local.lost_source(self.selector.source)
    }

    fn describe(&self) -> Waiting {
        self.local.describe(self.operation, peers(self.selector.source, self.selector.tag))
    }
}

/// Waits for a selected message and receives it; one that is longer than the buffer is lost, and the status tells.
pub(super) struct ReceiveWait<'a> {
    pub(super) take: TakeWait<'a>,
    /// Writable for `len` bytes while this lives, by promise of `recv`'s caller.
    pub(super) buf: *mut u8,
    pub(super) len: usize,
}

impl Wait for ReceiveWait<'_> {
    type Output = Status;

    #[inline(always)]
    fn poll(&mut self) -> Option<Status> {
        if let Source::Rank(rank) = self.take.selector.source {
            let local = self.take.local;
            let ring = local.world.ring(local.group.ranks[rank], local.me);
            if let Some(ring) = ring.filter(|ring| ring.has_message()) {
                // SAFETY: the ring ends here; see `buf`.
                let received =
                    unsafe { local.world.receive_from(local.me, ring, &self.take.selector, self.buf, self.len) };
                if received.is_some() {
                    return received;
                }
            } else if !self.take.thorough {
                return None;
            }
        }
        let message = self.take.poll()?;
        // SAFETY: see `buf`. A message taken back meanwhile is none: the next poll looks for another.
        unsafe { message.deliver(self.buf, self.len) }
    }

    fn progress(&mut self) {
        self.take.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.take.lost()
    }

    fn describe(&self) -> Waiting {
        self.take.describe()
    }
}

/// As [`ReceiveWait`] where nothing but the length is unknown: it comes in a register, whereas a [`Status`] that is handed
/// from call to call is copied through memory each time, by loads that are wider than the stores before them and wait for these.
pub(super) struct LengthWait<'a>(pub(super) ReceiveWait<'a>);

impl Wait for LengthWait<'_> {
    type Output = usize;

    fn poll(&mut self) -> Option<usize> {
        self.0.poll().map(|status| status.bytes)
    }

    fn progress(&mut self) {
        self.0.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.0.lost()
    }

    fn describe(&self) -> Waiting {
        self.0.describe()
    }
}

/// Waits for a selected message and leaves it where it is.
pub(super) struct PeekWait<'a>(pub(super) TakeWait<'a>);

impl Wait for PeekWait<'_> {
    type Output = Status;

    fn poll(&mut self) -> Option<Status> {
        self.0.local.world.peek(self.0.local.me, &self.0.selector)
    }

    fn progress(&mut self) {
        self.0.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.0.lost()
    }

    fn describe(&self) -> Waiting {
        self.0.describe()
    }
}

/// A message taken by a matched probe.
pub(super) struct Taken {
    /// Some until it is received.
    pub(super) message: Option<Message>,
    pub(super) status: Status,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            // SAFETY: nothing is written to a buffer of no bytes. The sender learns that its message has been taken.
            unsafe { message.deliver(std::ptr::NonNull::dangling().as_ptr(), 0) };
        }
    }
}

impl Matched for Taken {
    fn status(&self) -> Status {
        self.status
    }

    unsafe fn recv(mut self: Box<Self>, buf: *mut u8, len: usize) -> Result<Status> {
        let status = self.status;
        // SAFETY: writable, as the caller promises.
        match self.message.take().and_then(|message| unsafe { message.deliver(buf, len) }) {
            Some(status) => status.within("recv", len),
            None => Err(Error::new("recv", ErrorKind::Cancelled).with_peer(status.source).with_tag(status.tag)),
        }
    }
}

pub(super) struct PendingReceive {
    pub(super) local: Local,
    pub(super) receive: Arc<Receive>,
    pub(super) source: Source,
    pub(super) tag: TagSelector,
}

impl PendingReceive {
    fn result(&self) -> Option<Result<Status>> {
        self.receive.status().map(|status| status.within("irecv", self.receive.capacity))
    }

    /// Takes the receive back; false if it is over. Either way the buffer is free: a receive that has matched was filled under
    /// the mailbox lock, which this has held.
    fn take_back(&self) -> bool {
        self.local.world.unpost(self.local.me, &self.receive)
    }
}

/// Waits for a posted receive, or looks whether it is over.
struct PostedWait<'a> {
    posted: &'a PendingReceive,
    /// Nobody of this rank can send to it meanwhile.
    blocking: bool,
}

impl Wait for PostedWait<'_> {
    type Output = Result<Status>;

    fn poll(&mut self) -> Option<Self::Output> {
        // Nothing but this rank's own progress completes it.
        self.posted.local.progress();
        self.posted.result()
    }

    fn progress(&mut self) {}

    fn lost(&self) -> Option<(usize, &'static str)> {
        match self.posted.source {
            Source::Any if !self.blocking => None,
            source => self.posted.local.lost_source(source),
        }
    }

    fn describe(&self) -> Waiting {
        self.posted.local.describe("irecv", peers(self.posted.source, self.posted.tag))
    }
}

impl Pending for PendingReceive {
    fn wait(&mut self) -> Result<Status> {
        let wait = PostedWait { posted: self, blocking: true };
        match self.local.world.block(self.local.me, wait) {
            Ok(result) => result,
            Err(stop) => Err(self.local.located("irecv", stop, self.source, self.tag)),
        }
    }

    fn test(&mut self) -> Result<Option<Status>> {
        match self.local.world.look(PostedWait { posted: self, blocking: false }) {
            Ok(result) => result.transpose(),
            Err(stop) => Err(self.local.located("irecv", stop, self.source, self.tag)),
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(self.take_back())
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.take_back();
        drop(keep);
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.receive.keep(keep);
    }

    fn finish_now(self: Box<Self>) {
        self.take_back();
    }
}
