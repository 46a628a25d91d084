//! A message taken out of matching (MPI section 3.8.2).

use std::ffi::c_void;
use std::sync::Arc;

use mpi_abi::{Message, Status as RawStatus};

use super::comm::Comm;
use super::count::Span;
use super::failure;
use super::runtime::Chore;
use crate::backend::Matched;
use crate::error::Result;
use crate::status::{Source, Status, TagSelector};

/// It has arrived or is arriving, so that receiving it heeds no timeout: its sender is there.
pub(super) struct Taken {
    comm: Arc<Comm>,
    // The library's null once received.
    message: Message,
    status: Status,
}

impl Taken {
    pub(super) fn new(comm: Arc<Comm>, message: Message, status: Status) -> Self {
        Taken { comm, message, status }
    }

    fn is_received(&self) -> bool {
        self.message == self.comm.library().constants().message_null
    }

    /// # Safety
    /// `buf` is writable for `len` bytes. A turn is held.
    pub(super) unsafe fn receive(&mut self, buf: *mut c_void, len: usize) -> Result<Status> {
        if self.status.bytes > len {
            // The library is not asked to truncate: not all do it safely (see `guard`).
            self.discard();
            return self.status.within("recv", len);
        }
        let library = self.comm.library();
        let mut raw = RawStatus::default();
        let received = Span::new(self.comm.runtime, len).and_then(|span| {
            // SAFETY: the caller's promise; the message is live.
            let received = unsafe {
                match span {
                    Span::Large(n) => library.mrecv_c(buf, n, library.constants().byte, &mut self.message, &mut raw),
                    span => {
                        let (n, datatype) = span.arguments(library);
                        library.mrecv(buf, n, datatype, &mut self.message, &mut raw)
                    }
                }
            };
            span.release(library);
            received
        });
        // Received or lost: a second attempt is not possible.
        self.message = library.constants().message_null;
        let (source, tag) = (Source::Rank(self.status.source), TagSelector::Tag(self.status.tag));
        received
            .and_then(|()| failure::status(library, &raw))
            .map_err(|e| failure::message_error("recv", e, library, source, tag, len, &raw))
    }

    /// Receives it to be rid of it: nobody else can.
    fn discard(&mut self) {
        let mut scratch = vec![0u8; self.status.bytes];
        // SAFETY: the scratch is as long as the message.
        let _ = unsafe { self.receive(scratch.as_mut_ptr().cast(), scratch.len()) };
    }
}

impl Matched for Taken {
    fn status(&self) -> Status {
        self.status
    }

    unsafe fn recv(mut self: Box<Self>, buf: *mut u8, len: usize) -> Result<Status> {
        let _turn = self.comm.runtime.enter("recv")?;
        // SAFETY: the caller's promise.
        unsafe { self.receive(buf.cast(), len) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.is_received() {
            return;
        }
        let runtime = self.comm.runtime;
        match runtime.try_turn() {
            Ok(_turn) => self.discard(),
            Err(_) => {
                let null = self.comm.library().constants().message_null;
                let message = std::mem::replace(&mut self.message, null);
                runtime.leave(Box::new(Unwanted(Taken { comm: self.comm.clone(), message, status: self.status })));
            }
        }
    }
}

/// A message dropped where MPI may not be called.
struct Unwanted(Taken);

impl Chore for Unwanted {
    fn attempt(&mut self) -> bool {
        self.0.discard();
        true
    }
}
