//! The [`Transport`] over sockets: point-to-point, probes, and the making of communicators.

use std::sync::Arc;

use super::comm::{Comm, Purpose, locate};
use super::engine::Operation;
use super::job::{self, block_on};
use super::lane::TcpLane;
use super::pending::{Message, Taken};
use crate::backend::block::{Block, Reach};
use crate::backend::exposed::{Exposed, Exposure};
use crate::backend::generic::Messages;
use crate::backend::messages::{Fault, exchange, group};
use crate::backend::prepared::{Order, Prepared, Private};
use crate::backend::served::Served;
use crate::backend::words::Posts;
use crate::backend::{Collective, Matched, Pending, SendMode, Transport};
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::route::Route;
use crate::status::{Source, Status, TagSelector};

/// As on the other backends: MPI's smallest guarantee is 32767, its libraries give 2^28 or more.
const MAX_TAG: u32 = i32::MAX as u32;

/// The ways to make communicators of all ranks at once, which take part in one.
const DIVISIONS: [&str; 3] = ["dup", "split", "split_shared"];

/// A communicator over sockets.
pub(super) struct TcpTransport(pub(super) Arc<Comm>);

impl TcpTransport {
    /// # Safety
    /// `buf` is readable for `len` bytes until the operation is over or has been taken back.
    unsafe fn start_send(
        &self,
        name: &'static str,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Message {
        let comm = &self.0;
        // SAFETY: the caller's promise.
        let operation =
            unsafe { comm.engine().send(buf, len, comm.members[dest], comm.channel(Purpose::User), tag, mode) };
        let (peer, tag) = (Source::Rank(dest), TagSelector::Tag(tag));
        Message { comm: comm.clone(), operation, name, peer, tag, is_receive: false }
    }

    /// # Safety
    /// `buf` is writable for `len` bytes, and not otherwise used, until the operation is over or has been taken back.
    unsafe fn start_recv(
        &self,
        name: &'static str,
        buf: *mut u8,
        len: usize,
        source: Source,
        tag: TagSelector,
    ) -> Message {
        let comm = &self.0;
        let (from, channel) = (comm.member(source), comm.channel(Purpose::User));
        // SAFETY: the caller's promise.
        let operation: Operation = unsafe { comm.engine().recv(buf, len, from, channel, tag_number(tag)) };
        if source == Source::Any {
            operation.fails_with(&comm.members);
        }
        Message { comm: comm.clone(), operation, name, peer: source, tag, is_receive: true }
    }

    /// Asks `question` until it answers, once if it may not block.
    fn ask<T>(
        &self,
        operation: &'static str,
        block: bool,
        source: Source,
        tag: TagSelector,
        mut question: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>> {
        let comm = &self.0;
        if let Some(answer) = question() {
            return Ok(Some(answer));
        }
        let (mut answer, mut lost) = (None, None);
        let mut look = || {
            // Read before the question: what a rank sent before it ended is found first.
            lost = comm.lost_source(source);
            answer = question();
            answer.is_some() || lost.is_some()
        };
        if block {
            comm.engine().wait_until(comm.timeout(), look);
        } else {
            comm.engine().progress();
            look();
        }
        match (answer, lost) {
            (Some(answer), _) => Ok(Some(answer)),
            // Whoever only looks for a message of anyone may yet send itself one.
            (None, _) if !block && source == Source::Any => Ok(None),
            (None, Some((rank, how))) => Err(locate(comm.loss(operation, rank, how), source, tag)),
            (None, None) if !block => Ok(None),
            (None, None) => Err(locate(comm.late(operation), source, tag)),
        }
    }

    /// The words of every rank, in rank order.
    fn gather_words<const N: usize>(&self, operation: &'static str, words: [u64; N]) -> Result<Vec<[u64; N]>> {
        all_words(&TcpLane::open(&self.0, operation), operation, words)
    }

    /// The communicator of the ranks `ranks` of this one.
    fn make(&self, context: u64, ranks: &[usize], name: &str) -> Box<dyn Transport> {
        let part = self.0.part(ranks);
        Box::new(TcpTransport(Comm::new(self.0.world.clone(), context, part.members.clone(), part.rank, name)))
    }

    /// One communicator per colour, of ranks in the order of their keys. `operation` is one of [`DIVISIONS`].
    fn divide(
        &self,
        operation: &'static str,
        color: Option<u64>,
        key: i64,
        name: &str,
    ) -> Result<Option<Box<dyn Transport>>> {
        let context = self.0.world.fresh_context();
        let number = |name| DIVISIONS.iter().position(|division| *division == name).expect("one of them") as u64;
        let words = [number(operation), u64::from(color.is_some()), color.unwrap_or(0), key as u64, context];
        let all = self.gather_words(operation, words)?;
        if let Some(other) = all.iter().position(|w| w[0] != all[0][0]) {
            let name = |rank: usize| DIVISIONS.get(all[rank][0] as usize).copied().unwrap_or("something else");
            let text = format!("rank 0 calls {}, rank {other} calls {}", name(0), name(other));
            return Err(Error::new(operation, ErrorKind::Mismatch(text)));
        }
        if color.is_none() {
            return Ok(None);
        }
        let mut part: Vec<(i64, usize)> = Vec::new();
        part.extend(all.iter().enumerate().filter(|(_, w)| w[..3] == words[..3]).map(|(r, w)| (w[3] as i64, r)));
        part.sort_unstable();
        let ranks: Vec<usize> = part.into_iter().map(|(_, rank)| rank).collect();
        Ok(Some(self.make(all[ranks[0]][4], &ranks, name)))
    }
}

fn all_words<const N: usize>(lane: &TcpLane, operation: &'static str, words: [u64; N]) -> Result<Vec<[u64; N]>> {
    let gather = async { exchange::all_gather_words(lane, &words).await.map_err(Fault::from) };
    let all = block_on(&lane.comm, operation, gather)?;
    Ok(all.chunks_exact(N).map(|w| w.try_into().expect("chunks of N")).collect())
}

fn tag_number(tag: TagSelector) -> Option<u32> {
    match tag {
        TagSelector::Tag(tag) => Some(tag),
        TagSelector::Any => None,
    }
}

impl Transport for TcpTransport {
    fn backend(&self) -> BackendKind {
        BackendKind::Tcp
    }

    fn library(&self) -> Option<String> {
        None
    }

    fn config(&self) -> &Config {
        &self.0.world.config
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn rank(&self) -> usize {
        self.0.rank
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn max_tag(&self) -> u32 {
        MAX_TAG
    }

    fn route(&self, rank: usize) -> Route {
        self.0.engine().route(self.0.members[rank])
    }

    unsafe fn send(&self, buf: *const u8, len: usize, dest: usize, tag: u32, mode: SendMode) -> Result<()> {
        let name = if mode == SendMode::Standard { "send" } else { "send_synchronous" };
        // SAFETY: readable during this call, which does not end before the operation's use of it has.
        unsafe { self.start_send(name, buf, len, dest, tag, mode) }.wait_or_withdraw().map(drop)
    }

    unsafe fn recv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Status> {
        // SAFETY: writable during this call, which does not end before the operation's use of it has.
        unsafe { self.start_recv("recv", buf, len, source, tag) }.wait_or_withdraw()
    }

    unsafe fn isend(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<Box<dyn Pending>> {
        // SAFETY: the caller's promise.
        Ok(Box::new(unsafe { self.start_send("isend", buf, len, dest, tag, mode) }))
    }

    unsafe fn irecv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Box<dyn Pending>> {
        // SAFETY: the caller's promise.
        Ok(Box::new(unsafe { self.start_recv("irecv", buf, len, source, tag) }))
    }

    fn probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Status>> {
        let (comm, from, number) = (&self.0, self.0.member(source), tag_number(tag));
        let channel = comm.channel(Purpose::User);
        let found = self.ask("probe", block, source, tag, || comm.engine().probe(from, channel, number))?;
        Ok(found.map(|envelope| comm.status(envelope)))
    }

    fn matched_probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Box<dyn Matched>>> {
        let (comm, from, number) = (&self.0, self.0.member(source), tag_number(tag));
        let channel = comm.channel(Purpose::User);
        let taken = self.ask("probe_message", block, source, tag, || comm.engine().take(from, channel, number))?;
        Ok(taken.map(|message| Box::new(Taken::new(comm.clone(), message)) as Box<dyn Matched>))
    }

    unsafe fn collective(&self, call: &Collective<'_>) -> Result<()> {
        // SAFETY: the caller's promise is the callee's.
        unsafe { job::carry_out(&self.0, call) }
    }

    unsafe fn start_collective(&self, call: &Collective<'static>) -> Result<Box<dyn Pending>> {
        // SAFETY: the caller's promise is the callee's.
        Ok(unsafe { job::start(&self.0, call) })
    }

    fn wait_any(&self, pending: &mut [&mut dyn Pending]) -> Result<(usize, Result<Status>)> {
        let mut done = None;
        self.0.engine().wait_until(self.0.timeout(), || {
            let mut answers = pending.iter_mut().enumerate();
            done = answers.find_map(|(i, pending)| pending.glance().transpose().map(|result| (i, result)));
            done.is_some()
        });
        done.ok_or_else(|| self.0.late("wait_any"))
    }

    fn allocate(&self, bytes: usize, align: usize) -> Block {
        if self.config().shared_memory { Block::shared(bytes, align) } else { Block::plain(bytes, align, false) }
    }

    fn attach(&self, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
        super::attach::attach(&self.0, peers)
    }

    fn signals(&self, peers: &[usize], words: usize) -> Result<Posts> {
        super::attach::signals(&self.0, peers, words)
    }

    fn private(&self) -> &Private {
        &self.0.private
    }

    fn prepare(self: Arc<Self>, order: Order) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Messages::new(self, order)))
    }

    fn expose(self: Arc<Self>, exposure: Exposure) -> Result<Box<dyn Exposed>> {
        Ok(Box::new(Served::new(self, exposure)?))
    }

    fn dup(&self, name: &str) -> Result<Box<dyn Transport>> {
        let made = self.divide("dup", Some(0), self.rank() as i64, name)?;
        Ok(made.expect("a rank with a colour gets a communicator"))
    }

    fn split(&self, color: Option<u32>, key: i64, name: &str) -> Result<Option<Box<dyn Transport>>> {
        self.divide("split", color.map(u64::from), key, name)
    }

    fn split_shared(&self, name: &str) -> Result<Box<dyn Transport>> {
        let host = self.0.host(self.rank()) as u64;
        let made = self.divide("split_shared", Some(host), self.rank() as i64, name)?;
        Ok(made.expect("a rank with a colour gets a communicator"))
    }

    fn subgroup(&self, name: &str, ranks: &[usize]) -> Result<Box<dyn Transport>> {
        let members = group::members(ranks);
        let part = self.0.part(&members);
        let lane = TcpLane::for_group(&part, name);
        let context = self.0.world.fresh_context();
        let agree = async { group::agree(&lane, name, ranks, &members, context).await.map_err(Fault::from) };
        let context = block_on(&part, "group", agree).map_err(|e| match e.kind() {
            // As this communicator numbers it.
            &ErrorKind::PeerLost { rank, how } => self.0.loss("group", members[rank], how),
            _ => e,
        })?;
        Ok(self.make(context, ranks, name))
    }
}
