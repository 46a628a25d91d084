//! One rank's end of one communicator: point-to-point, and the waits it is made of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::group::{Group, GroupWait};
use super::mailbox::Receive;
use super::message::{Envelope, Selector};
use super::operation::PendingCollective;
use super::receive::{LengthWait, PeekWait, PendingReceive, ReceiveWait, TakeWait, Taken};
use super::rendezvous::Rendezvous;
use super::ring::Content;
use super::send::{Completed, PendingSend, SendWait, withdraw};
use super::signals;
use super::wait::{Stop, Wait, Waiting};
use super::window;
use super::world::World;
use crate::backend::block::{Block, Reach};
use crate::backend::exposed::{Exposed, Exposure};
use crate::backend::generic::Messages;
use crate::backend::prepared::{Order, Prepared, Private};
use crate::backend::words::Posts;
use crate::backend::{Collective, Matched, Pending, SendMode, Transport};
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::route::Route;
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
    pub(super) fn lost_source(&self, source: Source) -> Option<(usize, &'static str)> {
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

    pub(super) fn describe(&self, operation: &'static str, what: String) -> Waiting {
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

    pub(super) fn wait_send(
        &self,
        operation: &'static str,
        offer: &Arc<Rendezvous>,
        dest: usize,
        tag: u32,
    ) -> Result<()> {
        let stop = match self.world.block(self.me, SendWait { local: self, operation, offer, dest, tag }) {
            Ok(()) => return Ok(()),
            Err(stop) => stop,
        };
        Err(self.stopped(operation, stop).with_peer(dest).with_tag(tag))
    }
}

impl Local {
    /// Progress of everything else this rank has under way.
    pub(super) fn progress(&self) {
        self.world.progress(self.me);
    }

    pub(super) fn take_wait(&self, operation: &'static str, source: Source, tag: TagSelector) -> TakeWait<'_> {
        TakeWait { local: self, operation, selector: self.selector(source, tag), thorough: true }
    }

    /// Asks for a message by `wait`, or looks once: whether it is there.
    fn ask<'a, W: Wait>(
        &'a self,
        asked: &'static str,
        looked: &'static str,
        source: Source,
        tag: TagSelector,
        block: bool,
        wait: impl FnOnce(TakeWait<'a>) -> W,
    ) -> Result<Option<W::Output>> {
        let operation = if block { asked } else { looked };
        let wait = wait(self.take_wait(operation, source, tag));
        let answer = if block { self.world.block(self.me, wait).map(Some) } else { self.world.look(wait) };
        match answer {
            // Whoever only looks for a message of anyone may yet send itself one.
            Err(Stop::Lost(..)) if !block && source == Source::Any => Ok(None),
            answer => answer.map_err(|stop| self.located(operation, stop, source, tag)),
        }
    }

    pub(super) fn located(&self, operation: &'static str, stop: Stop, source: Source, tag: TagSelector) -> Error {
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

    fn route(&self, rank: usize) -> Route {
        if rank == self.rank() { Route::Itself } else { Route::SharedMemory }
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
            Ok(status) => status.within("recv", len),
            Err(stop) => Err(self.located("recv", stop, source, tag)),
        }
    }

    unsafe fn recv_length(&self, buf: *mut u8, len: usize, source: usize, tag: u32) -> Result<usize> {
        let (from, with) = (Source::Rank(source), TagSelector::Tag(tag));
        let wait = ReceiveWait { take: self.take_wait("recv", from, with), buf, len };
        match self.world.block(self.me, LengthWait(wait)) {
            Ok(bytes) => Status { source, tag, bytes }.within("recv", len).map(|_| bytes),
            Err(stop) => Err(self.located("recv", stop, from, with)),
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
        self.ask("probe", "try_probe", source, tag, block, PeekWait)
    }

    fn matched_probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Box<dyn Matched>>> {
        let taken = self.ask("probe_message", "try_probe_message", source, tag, block, |wait| wait)?;
        Ok(taken
            .map(|message| Box::new(Taken { status: message.status(), message: Some(message) }) as Box<dyn Matched>))
    }

    fn compares_calls(&self) -> bool {
        true
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

    fn allocate(&self, bytes: usize, align: usize) -> Block {
        Block::plain(bytes, align, self.config().shared_memory)
    }

    fn attach(&self, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
        Ok(peers.iter().map(|_| self.config().shared_memory.then_some(Reach::Here)).collect())
    }

    fn signals(&self, peers: &[usize], words: usize) -> Result<Posts> {
        signals::make(self, peers, words)
    }

    fn private(&self) -> &Private {
        &self.group.private[self.rank]
    }

    fn prepare(self: Arc<Self>, order: Order) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Messages::new(self, order)))
    }

    fn expose(self: Arc<Self>, exposure: Exposure) -> Result<Box<dyn Exposed>> {
        window::make(&self, &exposure)
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
