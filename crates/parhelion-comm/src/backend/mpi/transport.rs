//! The [`Transport`] of MPI: point-to-point, probes, and the making of communicators.
//!
//! Without a timeout, blocking calls are the library's blocking calls. With one, they are started and asked for until
//! the deadline. A receive that is late is cancelled. A send cannot be (MPI section 3.8.4), so with a timeout every send
//! goes out from a copy, which stays behind if the time is up.
//!
//! A small blocking message without a timeout, from the one thread that may call, is one MPI call and little else: what such
//! a call needs lies in the transport, and every error is made elsewhere, so that nothing is kept for it.

mod blocking;

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use mpi_abi::{Comm as RawComm, Datatype, Library, Request, Status as RawStatus};

use super::collective;
use super::comm::{Comm, In, name_number};
use super::count::{self, Span};
use super::failure;
use super::guard;
use super::matched::Taken;
use super::operator::predefined;
use super::request::{Message, Raw};
use super::runtime::{Backoff, Chore, Runtime};
use super::runway::{self, Runway};
use super::window;
use crate::backend::block::{Block, Reach};
use crate::backend::exposed::{Exposed, Exposure};
use crate::backend::messages::place::Scratch;
use crate::backend::prepared::{Order, Prepared, Private};
use crate::backend::served::{Served, Service};
use crate::backend::words::Posts;
use crate::backend::{Collective, Incoming, Matched, Outgoing, Pending, SendMode, Transport, send_recv_started};
use crate::config::{BackendKind, Config, ThreadLevel};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Kernel;
use crate::route::Route;
use crate::status::{Source, Status, TagSelector};

/// A communicator under MPI. The fields beside `comm` are what a small message needs, without a detour.
pub(super) struct MpiTransport {
    runtime: &'static Runtime,
    library: &'static Library,
    raw: RawComm,
    byte: Datatype,
    /// Messages of fewer bytes take the direct path; 0 with a timeout.
    direct_below: usize,
    /// Receives of fewer bytes from a named source, other than `not_from`, are one call: into the runway, or the buffer itself
    /// if there is none.
    recv_below: usize,
    not_from: usize,
    runway: Option<&'static Runway>,
    /// No checks, no timeout.
    plain: bool,
    comm: Arc<Comm>,
}

impl MpiTransport {
    pub(super) fn new(comm: Arc<Comm>) -> Self {
        let runtime = comm.runtime;
        let library = runtime.library;
        let direct_below = if comm.timeout().is_none() { runtime.max_count + 1 } else { 0 };
        // Where several threads receive at once, none has it.
        let one_at_a_time = runtime.level != ThreadLevel::Multiple;
        let runway = (runtime.open_mpi && one_at_a_time).then(Runway::of_process).flatten();
        let recv_below = match (runtime.open_mpi, runway) {
            (true, Some(_)) => direct_below.min(runway::LONGEST + 1),
            (true, None) => 0,
            (false, _) => direct_below,
        };
        MpiTransport {
            runtime,
            library,
            raw: comm.raw,
            byte: library.constants().byte,
            plain: !comm.config.checks && comm.timeout().is_none(),
            direct_below,
            recv_below,
            // A message to oneself that is too long may come without an error (see `guard`).
            not_from: if runway.is_some() { comm.rank } else { usize::MAX },
            runway,
            comm,
        }
    }

    fn adopt(&self, raw: RawComm, name: &str, operation: &'static str) -> Result<Box<dyn Transport>> {
        let comm = Comm::adopt(self.runtime, raw, self.comm.config.clone(), name).of(operation)?;
        Ok(Box::new(MpiTransport::new(comm)))
    }

    #[inline]
    fn source(&self, source: Source) -> c_int {
        match source {
            Source::Rank(rank) => rank as c_int,
            Source::Any => self.library.constants().any_source,
        }
    }

    #[inline]
    fn tag(&self, tag: TagSelector) -> c_int {
        match tag {
            TagSelector::Tag(tag) => tag as c_int,
            TagSelector::Any => self.library.constants().any_tag,
        }
    }

    /// # Safety
    /// As [`Transport::isend`].
    unsafe fn start_send(&self, buf: *const u8, len: usize, dest: usize, tag: u32, mode: SendMode) -> Result<Message> {
        let copy = self.comm.timeout().map(|_| {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(buf, len) }.to_vec()
        });
        let from = copy.as_ref().map_or(buf, |copy| copy.as_ptr()).cast::<c_void>();
        let (to, tag_number) = (dest as c_int, tag as c_int);
        let (library, comm) = (self.library, self.raw);
        let mut request = library.constants().request_null;
        let started = Span::new(self.runtime, len).and_then(|span| {
            // SAFETY: `from` is readable until the request has completed: the copy goes with the message, and the
            // caller vouches for its own buffer.
            let started = unsafe {
                match (span, mode) {
                    (Span::Large(n), SendMode::Standard) => {
                        library.isend_c(from, n, self.byte, to, tag_number, comm, &mut request)
                    }
                    (Span::Large(n), SendMode::Synchronous) => {
                        library.issend_c(from, n, self.byte, to, tag_number, comm, &mut request)
                    }
                    (span, mode) => {
                        let (n, datatype) = span.arguments(library);
                        match mode {
                            SendMode::Standard => library.isend(from, n, datatype, to, tag_number, comm, &mut request),
                            SendMode::Synchronous => {
                                library.issend(from, n, datatype, to, tag_number, comm, &mut request)
                            }
                        }
                    }
                }
            };
            span.release(library);
            started
        });
        started.map_err(|e| failure::locate(failure::error("send", e), Source::Rank(dest), TagSelector::Tag(tag)))?;
        Ok(Message::send(Raw { comm: self.comm.clone(), request, is_receive: false }, dest, tag, copy))
    }

    /// # Safety
    /// As [`Transport::irecv`].
    unsafe fn start_recv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Message> {
        let (from, with) = (self.source(source), self.tag(tag));
        let mut bounce = None;
        let started = if !self.runtime.open_mpi {
            // SAFETY: the caller's promise.
            unsafe { start_recv(self.runtime, buf, len, from, with, self.raw) }
        } else if len <= guard::SMALL {
            let (memory, _) = bounce.insert((Scratch::new(guard::BOUNCE, 1), buf));
            let into = memory.ptr().cast();
            // SAFETY: the bounce goes with the message, and fits its type.
            guard::bounce_type(self.library)
                .and_then(|datatype| unsafe { self.irecv_as(into, guard::BLOCKS, datatype, from, with) })
        } else {
            guard::guarded_type(self.runtime, buf, len).and_then(|mut datatype| {
                // SAFETY: the caller's promise; the type is the buffer and a byte that is always there.
                let started = unsafe { self.irecv_as(buf.cast(), 1, datatype, from, with) };
                // SAFETY: made for this one receive, which keeps it.
                started.and_then(|request| unsafe { self.library.type_free(&mut datatype) }.map(|()| request))
            })
        };
        let request = started.map_err(|e| failure::locate(failure::error("recv", e), source, tag))?;
        let raw = Raw { comm: self.comm.clone(), request, is_receive: true };
        Ok(Message::receive(raw, source, tag, len, bounce))
    }

    /// Starts to receive `count` elements of `datatype`.
    ///
    /// # Safety
    /// `into` is valid for them until the request has completed. A turn is held.
    unsafe fn irecv_as(
        &self,
        into: *mut c_void,
        count: c_int,
        datatype: Datatype,
        source: c_int,
        tag: c_int,
    ) -> Result<Request, mpi_abi::Error> {
        let mut request = self.library.constants().request_null;
        // SAFETY: the caller's promise.
        unsafe { self.library.irecv(into, count, datatype, source, tag, self.raw, &mut request) }?;
        Ok(request)
    }

    fn message_error(&self, operation: &'static str, e: mpi_abi::Error, source: Source, tag: TagSelector) -> Error {
        failure::message_error(operation, e, self.library, source, tag, 0, &RawStatus::default())
    }

    /// Asks `question` until it answers, once if it may not block.
    fn ask<T>(
        &self,
        operation: &'static str,
        block: bool,
        mut question: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut backoff = Backoff::new(self.runtime, self.comm.timeout());
        loop {
            match question()? {
                None if block => backoff.pause(operation)?,
                answer => return Ok(answer),
            }
        }
    }
}

/// Starts a receive of up to `len` bytes.
///
/// # Safety
/// `buf` is writable for `len` bytes, and not otherwise used, until the request has completed. A turn is held.
pub(super) unsafe fn start_recv(
    runtime: &Runtime,
    buf: *mut u8,
    len: usize,
    source: c_int,
    tag: c_int,
    comm: RawComm,
) -> Result<Request, mpi_abi::Error> {
    let library = runtime.library;
    let mut request = library.constants().request_null;
    let span = Span::new(runtime, len)?;
    // SAFETY: the caller's promise.
    let started = unsafe {
        match span {
            Span::Large(n) => library.irecv_c(buf.cast(), n, library.constants().byte, source, tag, comm, &mut request),
            span => {
                let (n, datatype) = span.arguments(library);
                library.irecv(buf.cast(), n, datatype, source, tag, comm, &mut request)
            }
        }
    };
    span.release(library);
    started.map(|()| request)
}

impl Transport for MpiTransport {
    fn backend(&self) -> BackendKind {
        BackendKind::Mpi
    }

    fn library(&self) -> Option<String> {
        Some(super::info::library_name(self.library))
    }

    fn config(&self) -> &Config {
        &self.comm.config
    }

    fn thread_level(&self) -> ThreadLevel {
        self.runtime.level
    }

    fn name(&self) -> &str {
        &self.comm.name
    }

    fn rank(&self) -> usize {
        self.comm.rank
    }

    fn size(&self) -> usize {
        self.comm.size
    }

    fn max_tag(&self) -> u32 {
        self.comm.max_tag
    }

    fn route(&self, rank: usize) -> Route {
        if rank == self.rank() { Route::Itself } else { Route::Library }
    }

    unsafe fn send(&self, buf: *const u8, len: usize, dest: usize, tag: u32, mode: SendMode) -> Result<()> {
        if len >= self.direct_below || mode != SendMode::Standard || !self.runtime.is_free() {
            // SAFETY: the caller's promise.
            return unsafe { self.send_otherwise(buf, len, dest, tag, mode) };
        }
        // SAFETY: the buffer is readable during the call.
        let sent =
            unsafe { self.library.send(buf.cast(), len as c_int, self.byte, dest as c_int, tag as c_int, self.raw) };
        match sent {
            Ok(()) => Ok(()),
            Err(e) => Err(self.send_error(e, dest, tag)),
        }
    }

    unsafe fn recv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Status> {
        // SAFETY: the caller's promise.
        unsafe { self.recv_otherwise(buf, len, source, tag) }
    }

    unsafe fn recv_length(&self, buf: *mut u8, len: usize, source: usize, tag: u32) -> Result<usize> {
        if len >= self.recv_below || source == self.not_from || !self.runtime.is_free() {
            // SAFETY: the caller's promise.
            return unsafe { self.recv_length_otherwise(buf, len, source, tag) };
        }
        let mut status = RawStatus::default();
        let into = self.runway.map_or(buf, Runway::ptr);
        // SAFETY: the buffer is writable during the call; the runway is as long as any message, and only this thread is in
        // a call.
        let received = unsafe {
            let (from, with) = (source as c_int, tag as c_int);
            self.library.recv(into.cast(), len as c_int, self.byte, from, with, self.raw, &mut status)
        };
        if let Err(e) = received {
            return Err(self.recv_error(e, len, source, tag, &status));
        }
        let bytes = match count::message_bytes(self.library, &status) {
            Ok(bytes) => bytes,
            Err(e) => return Err(self.recv_error(e, len, source, tag, &status)),
        };
        if bytes > len {
            return Err(self.recv_overrun(Status { source, tag, bytes }, len));
        }
        if self.runway.is_some() {
            // SAFETY: so many bytes are in the runway, and no more than the caller's buffer has.
            unsafe { runway::fetch(into, buf, bytes) };
        }
        Ok(bytes)
    }

    unsafe fn isend(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<Box<dyn Pending>> {
        let _turn = self.runtime.enter("isend")?;
        // SAFETY: the caller's promise.
        Ok(Box::new(unsafe { self.start_send(buf, len, dest, tag, mode) }?))
    }

    unsafe fn irecv(&self, buf: *mut u8, len: usize, source: Source, tag: TagSelector) -> Result<Box<dyn Pending>> {
        let _turn = self.runtime.enter("irecv")?;
        // SAFETY: the caller's promise.
        Ok(Box::new(unsafe { self.start_recv(buf, len, source, tag) }?))
    }

    unsafe fn send_recv(&self, from: Outgoing, into: Incoming) -> Result<Status> {
        let direct = from.len < self.direct_below && into.len < self.direct_below && self.runtime.is_free();
        let guarded = self.runtime.open_mpi
            && (into.len >= self.recv_below || !matches!(into.source, Source::Rank(rank) if rank != self.not_from));
        // SAFETY: the caller's promise.
        unsafe {
            match (direct, guarded) {
                (true, false) if self.runtime.open_mpi => self.send_recv_at_once(from, into),
                (true, true) if into.len <= guard::SMALL => send_recv_started(self, from, into),
                (true, _) => self.send_beside_recv(from, into),
                (false, _) => send_recv_started(self, from, into),
            }
        }
    }

    fn probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Status>> {
        let turn = self.runtime.enter("probe")?;
        let (from, with) = (self.source(source), self.tag(tag));
        let mut status = RawStatus::default();
        let direct = block && turn.direct && self.comm.timeout().is_none();
        self.ask("probe", block, || {
            let mut flag = c_int::from(direct);
            // SAFETY: the places are valid.
            let asked = unsafe {
                if direct {
                    self.library.probe(from, with, self.raw, &mut status)
                } else {
                    self.library.iprobe(from, with, self.raw, &mut flag, &mut status)
                }
            };
            asked
                .and_then(|()| if flag == 0 { Ok(None) } else { failure::status(self.library, &status).map(Some) })
                .map_err(|e| self.message_error("probe", e, source, tag))
        })
        .map_err(|e| failure::locate(e, source, tag))
    }

    fn matched_probe(&self, source: Source, tag: TagSelector, block: bool) -> Result<Option<Box<dyn Matched>>> {
        let turn = self.runtime.enter("probe_message")?;
        let (from, with) = (self.source(source), self.tag(tag));
        let mut status = RawStatus::default();
        let direct = block && turn.direct && self.comm.timeout().is_none();
        self.ask("probe_message", block, || {
            let mut flag = c_int::from(direct);
            let mut message = self.library.constants().message_null;
            // SAFETY: the places are valid.
            let asked = unsafe {
                if direct {
                    self.library.mprobe(from, with, self.raw, &mut message, &mut status)
                } else {
                    self.library.improbe(from, with, self.raw, &mut flag, &mut message, &mut status)
                }
            };
            let taken = asked.and_then(|()| {
                if flag == 0 {
                    return Ok(None);
                }
                let status = failure::status(self.library, &status)?;
                Ok(Some(Box::new(Taken::new(self.comm.clone(), message, status)) as Box<dyn Matched>))
            });
            taken.map_err(|e| self.message_error("probe_message", e, source, tag))
        })
        .map_err(|e| failure::locate(e, source, tag))
    }

    unsafe fn collective(&self, call: &Collective<'_>) -> Result<()> {
        let _turn = self.runtime.enter(call.kind.name())?;
        // SAFETY: the caller's promise.
        unsafe { collective::carry_out(&self.comm, call) }
    }

    #[inline]
    unsafe fn all_reduce(&self, send: *const u8, recv: *mut u8, count: usize, kernel: &Kernel<'_>) -> Result<()> {
        let at_once = self.plain && count > 0 && count <= self.runtime.max_count && self.runtime.is_free();
        let Some((datatype, op)) = (if at_once { predefined(self.runtime, kernel) } else { None }) else {
            // SAFETY: the caller's promise.
            return unsafe { self.all_reduce_otherwise(send, recv, count, kernel) };
        };
        let input = if send.is_null() { self.library.constants().in_place().cast_const() } else { send.cast() };
        // SAFETY: the caller's promise; the library is done with the memory when it returns.
        unsafe {
            self.library.allreduce(input, recv.cast(), count as c_int, datatype, op, self.raw).of("all_reduce")?;
            kernel.finish(recv, count, self.comm.size);
        }
        Ok(())
    }

    unsafe fn start_collective(&self, call: &Collective<'static>) -> Result<Box<dyn Pending>> {
        let _turn = self.runtime.enter(call.kind.name())?;
        // SAFETY: the caller's promise.
        unsafe { collective::start(&self.comm, call) }
    }

    fn wait_any(&self, pending: &mut [&mut dyn Pending]) -> Result<(usize, Result<Status>)> {
        // Each `test` takes its own turn; what forbids one should not look like the first request's failure.
        drop(self.runtime.enter("wait_any")?);
        let mut backoff = Backoff::new(self.runtime, self.comm.timeout());
        loop {
            for (index, pending) in pending.iter_mut().enumerate() {
                if let Some(result) = pending.test().transpose() {
                    return Ok((index, result));
                }
            }
            backoff.pause("wait_any")?;
        }
    }

    fn allocate(&self, bytes: usize, align: usize) -> Block {
        if self.comm.config.shared_memory { Block::shared(bytes, align) } else { Block::plain(bytes, align, false) }
    }

    fn attach(&self, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
        let _turn = self.runtime.enter("attach")?;
        super::attach::attach(&self.comm, peers)
    }

    fn signals(&self, peers: &[usize], words: usize) -> Result<Posts> {
        let _turn = self.runtime.enter("signals")?;
        super::attach::signals(&self.comm, peers, words)
    }

    fn private(&self) -> &Private {
        &self.comm.private
    }

    fn prepare(self: Arc<Self>, order: Order) -> Result<Box<dyn Prepared>> {
        let _turn = self.runtime.enter("message_set")?;
        super::set::prepare(&self.comm, order)
    }

    fn expose(self: Arc<Self>, exposure: Exposure) -> Result<Box<dyn Exposed>> {
        if window::is_sound(&self.comm) {
            return window::make(&self.comm, exposure);
        }
        let runtime = self.runtime;
        let served = Served::new(self, exposure)?;
        // Ranks that wait for something else in MPI serve, too.
        runtime.leave(Box::new(Serving(served.service())));
        Ok(Box::new(served))
    }

    fn dup(&self, name: &str) -> Result<Box<dyn Transport>> {
        let _turn = self.runtime.enter("dup")?;
        collective::meet(&self.comm, "dup")?;
        let mut made = self.library.constants().comm_null;
        // SAFETY: the communicator is live; every rank calls this, or the caller has broken the contract of `dup`.
        unsafe { self.library.comm_dup(self.raw, &mut made) }.of("dup")?;
        self.adopt(made, name, "dup")
    }

    fn split(&self, color: Option<u32>, key: i64, name: &str) -> Result<Option<Box<dyn Transport>>> {
        let _turn = self.runtime.enter("split")?;
        let c = self.library.constants();
        // MPI's colours and keys are ints; their place in the order of all ranks' is all that matters.
        let all = collective::all_gather_words(
            &self.comm,
            "split",
            [u64::from(color.is_some()), u64::from(color.unwrap_or(0)), key as u64],
        )?;
        let mut colors: Vec<u64> = all.iter().map(|w| w[1]).collect();
        colors.sort_unstable();
        colors.dedup();
        let mut order: Vec<(i64, usize)> = all.iter().enumerate().map(|(rank, w)| (w[2] as i64, rank)).collect();
        order.sort_unstable();
        let place = order.iter().position(|&(_, rank)| rank == self.comm.rank).unwrap_or(0);
        let color_number = match color {
            Some(color) => colors.binary_search(&u64::from(color)).unwrap_or(0) as c_int,
            None => c.undefined,
        };
        let mut made = c.comm_null;
        // SAFETY: as in `dup`.
        unsafe { self.library.comm_split(self.raw, color_number, place as c_int, &mut made) }.of("split")?;
        if made == c.comm_null {
            return Ok(None);
        }
        self.adopt(made, name, "split").map(Some)
    }

    fn split_shared(&self, name: &str) -> Result<Box<dyn Transport>> {
        let _turn = self.runtime.enter("split_shared")?;
        collective::meet(&self.comm, "split_shared")?;
        let c = self.library.constants();
        let mut made = c.comm_null;
        let key = self.comm.rank as c_int;
        // SAFETY: as in `dup`.
        unsafe { self.library.comm_split_type(self.raw, c.comm_type_shared, key, c.info_null, &mut made) }
            .of("split_shared")?;
        self.adopt(made, name, "split_shared")
    }

    fn subgroup(&self, name: &str, ranks: &[usize]) -> Result<Box<dyn Transport>> {
        let _turn = self.runtime.enter("group")?;
        // For MPI, lists that differ are an error of the program, of which anything may come.
        collective::agree_on_group(&self.comm, name, ranks)?;
        let library = self.library;
        let c = library.constants();
        // Any library's tags have these 15 bits.
        let tag = name_number(name) as c_int;
        let members: Vec<c_int> = ranks.iter().map(|&rank| rank as c_int).collect();
        let (mut all, mut group, mut made) = (c.group_null, c.group_null, c.comm_null);
        // SAFETY: the communicator is live, the array has as many ranks as is said, and the groups made here are
        // freed here.
        unsafe {
            library.comm_group(self.raw, &mut all).of("group")?;
            let grouped = library.group_incl(all, members.len() as c_int, members.as_ptr(), &mut group);
            let created = grouped.and_then(|()| library.comm_create_group(self.raw, group, tag, &mut made));
            if group != c.group_null {
                library.group_free(&mut group).of("group")?;
            }
            library.group_free(&mut all).of("group")?;
            created.of("group")?;
        }
        if made == c.comm_null {
            let text = format!("group {name:?}: the library gave this rank no communicator");
            return Err(Error::new("group", ErrorKind::Library(text)));
        }
        self.adopt(made, name, "group")
    }
}

/// Serves a part of a window until that is gone.
struct Serving(Service);

impl Chore for Serving {
    fn attempt(&mut self) -> bool {
        !self.0.serve()
    }
}
