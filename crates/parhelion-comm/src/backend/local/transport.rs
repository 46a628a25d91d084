//! One rank's end of one communicator: point-to-point, and the waits it is made of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::collective::{Operation, OperationWait};
use super::group::{Group, Joined};
use super::mailbox::Receive;
use super::message::{Envelope, Message, Selector, Truncated};
use super::rendezvous::Rendezvous;
use super::ring::{Content, Ring};
use super::wait::{Stop, Wait, Waiting};
use super::world::World;
use crate::backend::{Collective, Keep, Matched, NO_STATUS, Pending, SendMode, Transport};
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::status::{Source, Status, TagSelector};

/// Every tag that a `u32` holds would do; MPI's smallest guarantee is 32767, its libraries give 2^28 or more.
const MAX_TAG: u32 = i32::MAX as u32;

#[derive(Clone)]
pub(super) struct Local {
    pub(super) world: Arc<World>,
    pub(super) group: Arc<Group>,
    /// This rank in the group.
    pub(super) rank: usize,
    /// This rank in the world.
    pub(super) me: usize,
}

impl Local {
    /// The circumstances of a failed wait.
    #[cold]
    pub(super) fn stopped(&self, operation: &'static str, stop: Stop) -> Error {
        let kind = match stop {
            Stop::Lost(rank, how) => {
                self.world.ranks[self.me].saw_loss.store(true, Ordering::Relaxed);
                ErrorKind::PeerLost { rank, how }
            }
            Stop::Deadlock(report) => ErrorKind::Deadlock(report),
            Stop::Timeout(after) => ErrorKind::Timeout(after),
        };
        Error::new(operation, kind)
    }

    fn envelope(&self, tag: u32) -> Envelope {
        Envelope { context: self.group.context, source: self.rank as u32, tag }
    }

    fn selector(&self, source: Source, tag: TagSelector) -> Selector {
        Selector { context: self.group.context, source, tag }
    }

    /// A peer without whom nothing can come from `source`.
    fn lost_source(&self, source: Source) -> Option<(usize, &'static str)> {
        match source {
            Source::Rank(rank) => self.world.fate(self.group.ranks[rank]).map(|how| (rank, how)),
            Source::Any => {
                // Lost only if no rank but this one is left.
                let mut last = None;
                for (rank, &world_rank) in self.group.ranks.iter().enumerate() {
                    if rank != self.rank {
                        last = Some((rank, self.world.fate(world_rank)?));
                    }
                }
                last
            }
        }
    }

    fn describe(&self, operation: &'static str, what: String) -> Waiting {
        Waiting { operation, what, communicator: self.group.name.clone() }
    }

    /// Starts a send that copies nothing: the receiver takes the message out of `buf`.
    ///
    /// # Safety
    /// As [`Rendezvous::new`].
    unsafe fn offer(&self, buf: *const u8, len: usize, dest: usize, tag: u32) -> Arc<Rendezvous> {
        // SAFETY: the caller's promise.
        let offer = unsafe { Rendezvous::new(buf, len, self.world.clone(), self.me) };
        let (envelope, posted) = (self.envelope(tag), offer.clone());
        // SAFETY: a cell to write to.
        self.world.post(self.me, self.group.ranks[dest], |at| unsafe { Content::write_offer(at, envelope, posted) });
        offer
    }

    /// Sends a copy.
    ///
    /// # Safety
    /// `buf` is readable for `len` bytes during the call.
    #[inline]
    unsafe fn post_copy(&self, buf: *const u8, len: usize, dest: usize, tag: u32) {
        let envelope = self.envelope(tag);
        // SAFETY: a cell to write to, and the caller's promise.
        self.world.post(self.me, self.group.ranks[dest], |at| unsafe { Content::write_bytes(at, envelope, buf, len) });
    }

    fn is_eager(&self, len: usize, mode: SendMode) -> bool {
        mode == SendMode::Standard && len <= self.world.config.eager_limit
    }

    fn wait_send(&self, operation: &'static str, offer: &Arc<Rendezvous>, dest: usize, tag: u32) -> Result<()> {
        let stop = match self.world.block(self.me, SendWait { local: self, operation, offer, dest, tag }) {
            Ok(()) => return Ok(()),
            Err(stop) => stop,
        };
        Err(self.stopped(operation, stop).with_peer(dest).with_tag(tag))
    }
}

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

fn truncated(operation: &'static str, t: Truncated) -> Error {
    Error::new(operation, ErrorKind::Truncated { sent: t.status.bytes, capacity: t.capacity })
        .with_peer(t.status.source)
        .with_tag(t.status.tag)
}

/// Waits until the receiver has taken an offered message.
struct SendWait<'a> {
    local: &'a Local,
    operation: &'static str,
    offer: &'a Arc<Rendezvous>,
    dest: usize,
    tag: u32,
}

impl Wait for SendWait<'_> {
    type Output = ();

    fn poll(&mut self) -> Option<()> {
        self.offer.poll().then_some(())
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.local.world.fate(self.local.group.ranks[self.dest]).map(|how| (self.dest, how))
    }

    fn describe(&self) -> Waiting {
        self.local.describe(self.operation, format!("to rank {}, tag {}", self.dest, self.tag))
    }
}

/// Waits for a message that is selected, and takes it out of matching.
struct TakeWait<'a> {
    local: &'a Local,
    operation: &'static str,
    selector: Selector,
    /// Look also if nothing new has arrived.
    thorough: bool,
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

/// Waits for a selected message and receives it.
struct ReceiveWait<'a> {
    take: TakeWait<'a>,
    /// Writable for `len` bytes while this lives, by promise of `recv`'s caller.
    buf: *mut u8,
    len: usize,
}

impl Wait for ReceiveWait<'_> {
    type Output = Result<Status, Truncated>;

    #[inline]
    fn poll(&mut self) -> Option<Self::Output> {
        if let Source::Rank(rank) = self.take.selector.source {
            let local = self.take.local;
            let source = local.group.ranks[rank];
            if local.world.ring(source, local.me).is_some_and(Ring::has_message) {
                // SAFETY: see `buf`.
                let received =
                    unsafe { local.world.receive_from(local.me, source, &self.take.selector, self.buf, self.len) };
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

/// Waits for a selected message and leaves it where it is.
struct PeekWait<'a>(TakeWait<'a>);

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

impl Local {
    /// Progress of everything else this rank has under way.
    pub(super) fn progress(&self) {
        self.world.progress(self.me);
    }

    fn take_wait(&self, operation: &'static str, source: Source, tag: TagSelector) -> TakeWait<'_> {
        TakeWait { local: self, operation, selector: self.selector(source, tag), thorough: true }
    }

    fn located(&self, operation: &'static str, stop: Stop, source: Source, tag: TagSelector) -> Error {
        let mut error = self.stopped(operation, stop);
        if let Source::Rank(rank) = source {
            error = error.with_peer(rank);
        }
        if let TagSelector::Tag(tag) = tag {
            error = error.with_tag(tag);
        }
        error
    }
}

impl Transport for Local {
    fn backend(&self) -> BackendKind {
        BackendKind::Local
    }

    fn library(&self) -> Option<String> {
        None
    }

    fn config(&self) -> &Config {
        &self.world.config
    }

    fn name(&self) -> &str {
        &self.group.name
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.group.ranks.len()
    }

    fn max_tag(&self) -> u32 {
        MAX_TAG
    }

    unsafe fn send(&self, buf: *const u8, len: usize, dest: usize, tag: u32, mode: SendMode) -> Result<()> {
        if self.is_eager(len, mode) {
            // SAFETY: the caller's promise.
            unsafe { self.post_copy(buf, len, dest, tag) };
            return Ok(());
        }
        // SAFETY: readable during this call, which does not end before the offer is done or withdrawn.
        let offer = unsafe { self.offer(buf, len, dest, tag) };
        let operation = if mode == SendMode::Standard { "send" } else { "send_synchronous" };
        self.wait_send(operation, &offer, dest, tag).or_else(|e| if withdraw(&offer) { Err(e) } else { Ok(()) })
    }

    unsafe fn recv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Status> {
        let wait = ReceiveWait { take: self.take_wait("recv", source, tag), buf, len };
        match self.world.block(self.me, wait) {
            Ok(result) => result.map_err(|t| truncated("recv", t)),
            Err(stop) => Err(self.located("recv", stop, source, tag)),
        }
    }

    unsafe fn isend(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<Box<dyn Pending>> {
        if self.is_eager(len, mode) {
            // SAFETY: the caller's promise.
            unsafe { self.post_copy(buf, len, dest, tag) };
            return Ok(Box::new(Completed));
        }
        // SAFETY: the caller promises the buffer until the operation has completed.
        let offer = unsafe { self.offer(buf, len, dest, tag) };
        Ok(Box::new(PendingSend { local: self.clone(), offer, dest, tag, stopped: false }))
    }

    unsafe fn irecv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Box<dyn Pending>> {
        // SAFETY: the caller promises the buffer until the operation has completed.
        let receive = unsafe { Receive::new(buf, len) };
        self.world.receive(self.me, self.selector(source, tag), receive.clone());
        Ok(Box::new(PendingReceive { local: self.clone(), receive, source, tag }))
    }

    fn probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Status>> {
        let wait = PeekWait(self.take_wait("probe", source, tag));
        if !block {
            return Ok(self.world.peek(self.me, &wait.0.selector));
        }
        self.world.block(self.me, wait).map(Some).map_err(|stop| self.located("probe", stop, source, tag))
    }

    fn matched_probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Box<dyn Matched>>> {
        let wait = self.take_wait("probe_message", source, tag);
        let message = if block {
            let taken = self.world.block(self.me, wait);
            Some(taken.map_err(|stop| self.located("probe_message", stop, source, tag))?)
        } else {
            self.world.take(self.me, &wait.selector)
        };
        Ok(message
            .map(|message| Box::new(Taken { status: message.status(), message: Some(message) }) as Box<dyn Matched>))
    }

    unsafe fn collective(&self, call: &Collective<'_>) -> Result<()> {
        // SAFETY: the caller's promise is the callee's.
        unsafe { self.group.collective(self, call) }
    }

    unsafe fn start_collective(&self, call: &Collective<'static>) -> Result<Box<dyn Pending>> {
        // SAFETY: the caller's promise is the callee's.
        let operation = unsafe { self.group.start(self, call) };
        Ok(Box::new(PendingCollective { local: self.clone(), operation }))
    }

    fn wait_any(&self, pending: &mut [&mut dyn Pending]) -> Result<(usize, Result<Status>)> {
        struct AnyWait<'a, 'p, 'q> {
            local: &'a Local,
            pending: &'p mut [&'q mut dyn Pending],
        }
        impl Wait for AnyWait<'_, '_, '_> {
            type Output = (usize, Result<Status>);

            fn poll(&mut self) -> Option<Self::Output> {
                self.pending.iter_mut().enumerate().find_map(|(i, p)| p.test().transpose().map(|result| (i, result)))
            }

            fn progress(&mut self) {
                self.local.progress();
            }

            fn lost(&self) -> Option<(usize, &'static str)> {
                // One of the others may still complete: only if nobody else is left.
                self.local.lost_source(Source::Any)
            }

            fn describe(&self) -> Waiting {
                self.local.describe("wait_any", format!("for one of {} requests", self.pending.len()))
            }
        }
        self.world.block(self.me, AnyWait { local: self, pending }).map_err(|stop| self.stopped("wait_any", stop))
    }

    fn dup(&self, name: &str) -> Result<Box<dyn Transport>> {
        let made = self.split(Some(0), self.rank as i64, name)?;
        Ok(made.expect("a rank with a colour gets a communicator"))
    }

    fn split(&self, color: Option<u32>, key: i64, name: &str) -> Result<Option<Box<dyn Transport>>> {
        self.group.split(self, color, key, name)
    }

    fn split_shared(&self, name: &str) -> Result<Box<dyn Transport>> {
        self.dup(name)
    }

    fn subgroup(&self, name: &str, ranks: &[usize]) -> Result<Box<dyn Transport>> {
        let joined = self.group.join(self, name, ranks);
        let wait = GroupWait { local: self, joined: &joined, name };
        match self.world.block(self.me, wait) {
            Ok(Ok(transport)) => Ok(transport),
            Ok(Err(text)) => Err(Error::new("group", ErrorKind::Mismatch(text))),
            Err(stop) => {
                self.group.leave(&joined);
                Err(self.stopped("group", stop))
            }
        }
    }
}

/// Waits until all members of a named group have come.
struct GroupWait<'a> {
    local: &'a Local,
    joined: &'a Joined,
    name: &'a str,
}

impl Wait for GroupWait<'_> {
    type Output = Result<Box<dyn Transport>, String>;

    fn poll(&mut self) -> Option<Self::Output> {
        self.joined.poll(self.local)
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        let group = &self.local.group;
        self.joined.missing().find_map(|r| self.local.world.fate(group.ranks[r]).map(|how| (r, how)))
    }

    fn describe(&self) -> Waiting {
        self.local.describe("group", format!("for the members of \"{}\"", self.name))
    }
}

/// Takes an offer back, or waits the moment it takes to be copied; true if taken back.
fn withdraw(offer: &Rendezvous) -> bool {
    if offer.withdraw() {
        return true;
    }
    while !offer.poll() {
        std::thread::yield_now();
    }
    false
}

/// A message taken by a matched probe.
struct Taken {
    /// Some until it is received.
    message: Option<Message>,
    status: Status,
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
            Some(result) => result.map_err(|t| truncated("recv", t)),
            None => Err(Error::new("recv", ErrorKind::Cancelled).with_peer(status.source).with_tag(status.tag)),
        }
    }
}

/// An operation that was over when it was started.
struct Completed;

impl Pending for Completed {
    fn wait(&mut self) -> Result<Status> {
        Ok(NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        Ok(Some(NO_STATUS))
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, _keep: Keep) {}

    fn finish_now(self: Box<Self>) {}
}

struct PendingSend {
    local: Local,
    offer: Arc<Rendezvous>,
    dest: usize,
    tag: u32,
    /// A wait has given up.
    stopped: bool,
}

impl Pending for PendingSend {
    fn wait(&mut self) -> Result<Status> {
        let result = self.local.wait_send("isend", &self.offer, self.dest, self.tag);
        self.stopped = result.is_err();
        result.map(|()| NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let wait =
            SendWait { local: &self.local, operation: "isend", offer: &self.offer, dest: self.dest, tag: self.tag };
        match self.local.world.look(wait) {
            Ok(done) => Ok(done.map(|()| NO_STATUS)),
            Err(stop) => {
                self.stopped = true;
                Err(self.local.stopped("isend", stop).with_peer(self.dest).with_tag(self.tag))
            }
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(self.offer.withdraw())
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.offer.keep(keep);
    }

    fn finish_now(mut self: Box<Self>) {
        // The receiver may count on the message: it is taken back only if waiting for it is hopeless.
        if self.stopped || self.wait().is_err() {
            withdraw(&self.offer);
        }
    }
}

struct PendingReceive {
    local: Local,
    receive: Arc<Receive>,
    source: Source,
    tag: TagSelector,
}

impl PendingReceive {
    fn result(&self) -> Option<Result<Status>> {
        self.receive.result().map(|r| r.map_err(|t| truncated("irecv", t)))
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

    fn finish_now(self: Box<Self>) {
        self.take_back();
    }
}

struct PendingCollective {
    local: Local,
    operation: Arc<Operation>,
}

impl Pending for PendingCollective {
    fn wait(&mut self) -> Result<Status> {
        let wait = OperationWait { local: &self.local, operation: &self.operation };
        let done = self.local.world.block(self.local.me, &wait).map_err(|stop| wait.stopped(stop))?;
        done.map(|()| NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let wait = OperationWait { local: &self.local, operation: &self.operation };
        let done = self.local.world.look(&wait).map_err(|stop| wait.stopped(stop))?;
        done.transpose().map(|done| done.map(|()| NO_STATUS))
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.operation.keep(keep);
    }

    fn finish_now(self: Box<Self>) {
        unreachable!("collectives own their buffers: no scope holds one")
    }
}
