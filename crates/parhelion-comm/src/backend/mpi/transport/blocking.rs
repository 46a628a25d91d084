//! Blocking messages: what cannot be one call of the library at once, and what Open MPI has to be guarded from.

use std::ffi::c_int;

use mpi_abi::Status as RawStatus;

use super::MpiTransport;
use crate::backend::mpi::failure;
use crate::backend::mpi::guard::{self, Bounce};
use crate::backend::mpi::matched::Taken;
use crate::backend::mpi::runway::{self, Runway};
use crate::backend::{Collective, Finished, Incoming, Outgoing, SendMode, Transport};
use crate::error::{Error, Result};
use crate::op::Kernel;
use crate::status::{Source, Status, TagSelector};

impl MpiTransport {
    /// The send that cannot be one call at once.
    ///
    /// # Safety
    /// As [`Transport::send`].
    #[inline(never)]
    pub(super) unsafe fn send_otherwise(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<()> {
        let turn = self.runtime.enter("send")?;
        if len >= self.direct_below || !turn.direct {
            // SAFETY: the caller's promise.
            return unsafe { self.send_slowly(buf, len, dest, tag, mode) };
        }
        let (buf, n, to, tag_number) = (buf.cast(), len as c_int, dest as c_int, tag as c_int);
        // SAFETY: the buffer is readable during the call.
        let sent = unsafe {
            match mode {
                SendMode::Standard => self.library.send(buf, n, self.byte, to, tag_number, self.raw),
                SendMode::Synchronous => self.library.ssend(buf, n, self.byte, to, tag_number, self.raw),
            }
        };
        sent.map_err(|e| self.send_error(e, dest, tag))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn send_error(&self, e: mpi_abi::Error, dest: usize, tag: u32) -> Error {
        self.message_error("send", e, Source::Rank(dest), TagSelector::Tag(tag))
    }

    /// The send that is not small and without a timeout.
    ///
    /// # Safety
    /// As [`Transport::send`].
    #[inline(never)]
    pub(super) unsafe fn send_slowly(
        &self,
        buf: *const u8,
        len: usize,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<()> {
        // SAFETY: the caller's buffer lasts until this returns, and `start_send` copies it if there is a timeout;
        // without one `wait_or_withdraw` waits for the end.
        let message = unsafe { self.start_send(buf, len, dest, tag, mode) }?;
        message.named("send").wait_or_withdraw().map(|_| ())
    }

    /// The receive that cannot be one call at once.
    ///
    /// # Safety
    /// As [`Transport::recv`].
    #[inline(never)]
    pub(super) unsafe fn recv_otherwise(
        &self,
        buf: *mut u8,
        len: usize,
        source: Source,
        tag: TagSelector,
    ) -> Result<Status> {
        let turn = self.runtime.enter("recv")?;
        if len >= self.direct_below || !turn.direct {
            // SAFETY: the caller's buffer lasts until this returns, and the receive does not outlast this.
            return unsafe { self.start_recv(buf, len, source, tag) }?.named("recv").wait_or_withdraw();
        }
        if self.runtime.open_mpi {
            // SAFETY: the caller's promise.
            return unsafe { self.recv_guarded(buf, len, source, tag) };
        }
        let mut status = RawStatus::default();
        let (from, with) = (self.source(source), self.tag(tag));
        // SAFETY: the buffer is writable during the call.
        let received =
            unsafe { self.library.recv(buf.cast(), len as c_int, self.byte, from, with, self.raw, &mut status) };
        let received = received
            .and_then(|()| failure::status(self.library, &status))
            .map_err(|e| failure::message_error("recv", e, self.library, source, tag, len, &status))?;
        received.within("recv", len)
    }

    /// The receive of a known sender and tag that cannot be one call at once.
    ///
    /// # Safety
    /// As [`Transport::recv`].
    #[inline(never)]
    pub(super) unsafe fn recv_length_otherwise(
        &self,
        buf: *mut u8,
        len: usize,
        source: usize,
        tag: u32,
    ) -> Result<usize> {
        // SAFETY: the caller's promise.
        let status = unsafe { self.recv_otherwise(buf, len, Source::Rank(source), TagSelector::Tag(tag)) }?;
        Ok(status.bytes)
    }

    /// The error of a receive by one call.
    #[cold]
    #[inline(never)]
    pub(super) fn recv_error(
        &self,
        e: mpi_abi::Error,
        len: usize,
        source: usize,
        tag: u32,
        status: &RawStatus,
    ) -> Error {
        self.runway.into_iter().for_each(Runway::clear);
        let (source, tag) = (Source::Rank(source), TagSelector::Tag(tag));
        failure::message_error("recv", e, self.library, source, tag, len, status)
    }

    /// The error of a receive by one call, of a message that fills more than the buffer.
    #[cold]
    #[inline(never)]
    pub(super) fn recv_overrun(&self, message: Status, len: usize) -> Error {
        self.runway.into_iter().for_each(Runway::clear);
        message.truncated("recv", len)
    }

    /// The blocking receive where the library must be guarded, and no timeout is set.
    ///
    /// # Safety
    /// As [`Transport::recv`].
    #[inline(never)]
    pub(super) unsafe fn recv_guarded(
        &self,
        buf: *mut u8,
        len: usize,
        source: Source,
        tag: TagSelector,
    ) -> Result<Status> {
        let library = self.library;
        let (from, with) = (self.source(source), self.tag(tag));
        let mut status = RawStatus::default();
        let fail = |e, status: &RawStatus| failure::message_error("recv", e, library, source, tag, len, status);
        // A message to oneself that is too long may come without an error (see `guard`).
        let from_another = matches!(source, Source::Rank(rank) if rank != self.comm.rank);
        if let Some(runway) = self.runway.filter(|_| len <= runway::LONGEST && from_another) {
            let n = len as c_int;
            // SAFETY: the runway is as long as any message, and only this thread is in a call.
            let received =
                unsafe { library.recv(runway.ptr().cast(), n, self.byte, from, with, self.raw, &mut status) };
            let received = received.and_then(|()| failure::status(library, &status)).map_err(|e| {
                runway.clear();
                fail(e, &status)
            })?;
            let received = received.within("recv", len)?;
            // SAFETY: no longer than the caller's buffer.
            unsafe { std::ptr::copy_nonoverlapping(runway.ptr(), buf, received.bytes) };
            return Ok(received);
        }
        if len <= guard::SMALL {
            let bounce = Bounce::new();
            let datatype = guard::bounce_type(library).map_err(|e| fail(e, &status))?;
            // SAFETY: the bounce fits its type.
            let received = unsafe {
                library.recv(bounce.ptr().cast(), guard::BLOCKS, datatype, from, with, self.raw, &mut status)
            };
            let received = received.and_then(|()| failure::status(library, &status)).map_err(|e| fail(e, &status))?;
            let received = received.within("recv", len)?;
            // SAFETY: no longer than the caller's buffer.
            unsafe { std::ptr::copy_nonoverlapping(bounce.ptr(), buf, received.bytes) };
            return Ok(received);
        }
        let mut message = library.constants().message_null;
        // SAFETY: the places are valid.
        unsafe { library.mprobe(from, with, self.raw, &mut message, &mut status) }.map_err(|e| fail(e, &status))?;
        let found = failure::status(library, &status).map_err(|e| fail(e, &status))?;
        // SAFETY: the caller's promise.
        unsafe { Taken::new(self.comm.clone(), message, found).receive(buf.cast(), len) }
    }

    /// The all-reduce that is not one call at once.
    ///
    /// # Safety
    /// As [`Transport::all_reduce`].
    #[inline(never)]
    pub(super) unsafe fn all_reduce_otherwise(
        &self,
        send: *const u8,
        recv: *mut u8,
        count: usize,
        kernel: &Kernel<'_>,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.collective(&Collective::all_reduce(send, recv, count, kernel)) }
    }

    /// A send and a receive by one call of Open MPI, into the runway. It sends before it looks at the receive; MPI does not say
    /// of others what becomes of the send if the receive fails.
    ///
    /// # Safety
    /// As [`Transport::send_recv`].
    pub(super) unsafe fn send_recv_at_once(&self, from: Outgoing, into: Incoming) -> Result<Status> {
        let library = self.library;
        let (source, tag) = (self.source(into.source), self.tag(into.tag));
        let landing = self.runway.map_or(into.buf, Runway::ptr);
        let mut status = RawStatus::default();
        // SAFETY: the caller's promise; the runway is as long as any message, and only this thread is in a call.
        let done = unsafe {
            let (n, dest, send_tag) = (from.len as c_int, from.dest as c_int, from.tag as c_int);
            let (into, room) = (landing.cast(), into.len as c_int);
            let (byte, comm) = (self.byte, self.raw);
            library.sendrecv(from.buf.cast(), n, byte, dest, send_tag, into, room, byte, source, tag, comm, &mut status)
        };
        let clear = || self.runway.into_iter().for_each(Runway::clear);
        let received = done.and_then(|()| failure::status(library, &status)).map_err(|e| {
            clear();
            failure::message_error("send_recv", e, library, into.source, into.tag, into.len, &status)
        })?;
        let received = received.within("send_recv", into.len).inspect_err(|_| clear())?;
        if self.runway.is_some() {
            // SAFETY: so many bytes are in the runway, and no more than the caller's buffer has.
            unsafe { runway::fetch(landing, into.buf, received.bytes) };
        }
        Ok(received)
    }

    /// A send in flight, and a receive that blocks.
    ///
    /// # Safety
    /// As [`Transport::send_recv`].
    pub(super) unsafe fn send_beside_recv(&self, from: Outgoing, into: Incoming) -> Result<Status> {
        // SAFETY: the caller's promise: the operation ends before this returns.
        let mut sent =
            Finished::new(unsafe { self.isend(from.buf, from.len, from.dest, from.tag, SendMode::Standard) }?);
        // SAFETY: the caller's promise.
        let status = unsafe { self.recv(into.buf, into.len, into.source, into.tag) }?;
        sent.wait()?;
        Ok(status)
    }
}
