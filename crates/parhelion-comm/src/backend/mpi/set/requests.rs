//! Sets of non-blocking or persistent point-to-point requests.

use std::ffi::c_int;
use std::sync::Arc;

use mpi_abi::{Library, Request, RequestArray, Status as RawStatus};

use super::super::comm::{Comm, In};
use super::super::failure;
use super::super::live;
use super::super::runtime::Backoff;
use super::{Messages, OPERATION, Slot, Under, free, give_up};
use crate::backend::Keep;
use crate::backend::prepared::{Order, Prepared, RECVS, SENDS, Stage};
use crate::error::{Error, Result};
use crate::message_set::Method;
use crate::status::{Source, TagSelector};

pub(super) struct Requests {
    comm: Arc<Comm>,
    library: &'static Library,
    tag: c_int,
    persistent: bool,
    messages: Messages,
    recvs: RequestArray,
    sends: RequestArray,
    /// Receives that are started and not yet found complete.
    due: usize,
    /// Receives that `test` found complete.
    arrived: Vec<usize>,
}

pub(super) fn prepare(comm: &Arc<Comm>, order: Order) -> Result<Box<dyn Prepared>> {
    Ok(Box::new(Requests::new(comm, order)?))
}

impl Requests {
    pub(super) fn new(comm: &Arc<Comm>, order: Order) -> Result<Self> {
        let library = comm.library();
        let messages = Messages::placed(comm.runtime, &order)?;
        let null = library.constants().request_null;
        let mut set = Requests {
            comm: comm.clone(),
            library,
            tag: order.tag as c_int,
            persistent: order.method == Method::Persistent,
            recvs: RequestArray::from_slice(library, &vec![null; messages.recvs.len()]),
            sends: RequestArray::from_slice(library, &vec![null; messages.sends.len()]),
            due: 0,
            arrived: Vec::with_capacity(messages.recvs.len()),
            messages,
        };
        if set.persistent {
            set.init().of(OPERATION)?;
        }
        Ok(set)
    }

    /// A receive that is there now and has not been given yet, if there is one. A turn is held.
    pub(super) fn poll(&mut self) -> Result<Option<usize>> {
        match self.arrived.pop() {
            None if self.due > 0 => self.test_any(),
            arrived => Ok(arrived),
        }
    }

    /// Whether receives are started that were not found complete.
    pub(super) fn is_due(&self) -> bool {
        self.due > 0
    }

    /// Makes the persistent requests.
    fn init(&mut self) -> Result<(), mpi_abi::Error> {
        (0..self.messages.sends.len()).try_for_each(|i| self.init_one(SENDS, i))?;
        (0..self.messages.recvs.len()).try_for_each(|i| self.init_one(RECVS, i))
    }

    /// Makes a persistent request, in place of the one that there may be.
    fn init_one(&mut self, direction: usize, i: usize) -> Result<(), mpi_abi::Error> {
        let (library, tag, comm) = (self.library, self.tag, self.comm.raw);
        let null = library.constants().request_null;
        let (s, requests) = match direction {
            SENDS => (&self.messages.sends[i], &mut self.sends),
            _ => (&self.messages.recvs[i], &mut self.recvs),
        };
        let (mut request, mut old) = (null, requests.get(i));
        // SAFETY: the memory lives until the request is inactive for the last time; the old one is inactive.
        unsafe {
            if old != null {
                requests.set(i, null);
                library.request_free(&mut old)?;
                live::REQUESTS.one_less(Ok::<_, ()>(()));
            }
            match direction {
                SENDS => library.send_init(s.at.cast_const(), s.count, s.datatype, s.peer, tag, comm, &mut request),
                _ => library.recv_init(s.at, s.count, s.datatype, s.peer, tag, comm, &mut request),
            }?;
        }
        live::REQUESTS.one_more();
        requests.set(i, request);
        Ok(())
    }

    #[cold]
    fn error(&self, e: mpi_abi::Error, slot: Option<&Slot>) -> Error {
        let source = slot.map_or(Source::Any, |slot| Source::Rank(slot.peer as usize));
        failure::message_error(OPERATION, e, self.library, source, TagSelector::Any, 0, &RawStatus::default())
    }

    /// A receive that has completed among those due, if there is one.
    fn test_any(&mut self) -> Result<Option<usize>> {
        let (mut index, mut flag): (c_int, c_int) = (0, 0);
        let n = self.recvs.len() as c_int;
        let status = self.library.constants().status_ignore();
        // SAFETY: the array has `n` requests, whose memory this set keeps.
        let tested = unsafe { self.library.testany(n, self.recvs.as_mut_ptr(), &mut index, &mut flag, status) };
        tested.map_err(|e| self.error(e, usize::try_from(index).ok().and_then(|i| self.messages.recvs.get(i))))?;
        if flag == 0 || index < 0 {
            return Ok(None);
        }
        self.due -= 1;
        Ok(Some(index as usize))
    }

    /// Whether all sends have completed. A turn is held.
    pub(super) fn test_sends(&mut self) -> Result<bool> {
        let n = self.sends.len() as c_int;
        let mut flag = c_int::from(n == 0);
        if n > 0 {
            let statuses = self.library.constants().statuses_ignore();
            // SAFETY: the array has `n` requests, whose memory this set keeps.
            unsafe { self.library.testall(n, self.sends.as_mut_ptr(), &mut flag, statuses) }
                .map_err(|e| self.error(e, None))?;
        }
        Ok(flag != 0)
    }

    /// Starts the receives. A turn is held.
    #[inline]
    pub(super) fn receive(&mut self) -> Result<()> {
        let n = self.messages.recvs.len();
        if self.persistent {
            if n > 0 {
                // SAFETY: the array has `n` inactive persistent requests.
                unsafe { self.library.startall(n as c_int, self.recvs.as_mut_ptr()) }
                    .map_err(|e| self.error(e, None))?;
            }
            self.due = n;
            return Ok(());
        }
        for i in 0..n {
            let s = &self.messages.recvs[i];
            let mut request = Request::UNSET;
            // SAFETY: the memory is this set's until the request has completed, and the message's agreed length fits it.
            unsafe { self.library.irecv(s.at, s.count, s.datatype, s.peer, self.tag, self.comm.raw, &mut request) }
                .map_err(|e| self.error(e, Some(s)))?;
            self.recvs.set(i, request);
            self.due += 1;
        }
        Ok(())
    }

    /// Starts a send. A turn is held.
    #[inline]
    pub(super) fn send(&mut self, send: usize) -> Result<()> {
        let s = &self.messages.sends[send];
        let mut request = self.sends.get(send);
        // SAFETY: the memory is not written until the request has completed; a persistent request is inactive.
        let started = unsafe {
            if self.persistent {
                self.library.start(&mut request)
            } else {
                let at = s.at.cast_const();
                self.library.isend(at, s.count, s.datatype, s.peer, self.tag, self.comm.raw, &mut request)
            }
        };
        started.map_err(|e| self.error(e, Some(s)))?;
        self.sends.set(send, request);
        Ok(())
    }

    /// Asks until there is an answer.
    fn ask<T>(&mut self, mut question: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        let mut backoff = Backoff::new(self.comm.runtime, self.comm.timeout());
        loop {
            if let Some(answer) = question(self)? {
                return Ok(answer);
            }
            backoff.pause(OPERATION)?;
        }
    }
}

impl Prepared for Requests {
    fn stage(&self) -> Stage {
        self.messages.stage
    }

    fn place(&mut self, direction: usize, at: &[*mut u8]) -> Result<bool> {
        let Some(staged) = self.messages.staged_places(direction) else { return Ok(false) };
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        for (i, (&at, staged)) in at.iter().zip(staged).enumerate() {
            let slot = &mut self.messages.slots_mut(direction)[i];
            let at = if at.is_null() { staged } else { at.cast() };
            if std::mem::replace(&mut slot.at, at) != at && self.persistent {
                self.init_one(direction, i).of(OPERATION)?;
            }
        }
        Ok(true)
    }

    #[inline]
    fn start_receives(&mut self) -> Result<()> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        self.receive()
    }

    #[inline]
    fn start_send(&mut self, send: usize) -> Result<()> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        self.send(send)
    }

    #[inline]
    fn next_receive(&mut self) -> Result<Option<usize>> {
        if let Some(arrived) = self.arrived.pop() {
            return Ok(Some(arrived));
        }
        if self.due == 0 {
            return Ok(None);
        }
        let runtime = self.comm.runtime;
        let turn = runtime.enter(OPERATION)?;
        if !turn.direct || self.comm.timeout().is_some() {
            return self.ask(Requests::test_any).map(Some);
        }
        let mut index: c_int = 0;
        let n = self.recvs.len() as c_int;
        let status = self.library.constants().status_ignore();
        // SAFETY: the array has `n` requests, some of them active, whose memory this set keeps.
        let waited = unsafe { self.library.waitany(n, self.recvs.as_mut_ptr(), &mut index, status) };
        waited.map_err(|e| self.error(e, usize::try_from(index).ok().and_then(|i| self.messages.recvs.get(i))))?;
        self.due -= 1;
        Ok(Some(index as usize))
    }

    fn test(&mut self) -> Result<bool> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        while self.due > 0 {
            let Some(arrived) = self.test_any()? else { return Ok(false) };
            self.arrived.push(arrived);
        }
        self.test_sends()
    }

    #[inline]
    fn complete(&mut self) -> Result<()> {
        let n = self.sends.len() as c_int;
        if n == 0 {
            return Ok(());
        }
        let runtime = self.comm.runtime;
        let turn = runtime.enter(OPERATION)?;
        if !turn.direct || self.comm.timeout().is_some() {
            return self.ask(|set| Ok(set.test_sends()?.then_some(())));
        }
        let statuses = self.library.constants().statuses_ignore();
        // SAFETY: the array has `n` requests, whose memory this set keeps.
        unsafe { self.library.waitall(n, self.sends.as_mut_ptr(), statuses) }.map_err(|e| self.error(e, None))
    }

    fn another(&self, order: Order) -> Result<Box<dyn Prepared>> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        prepare(&self.comm, order)
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        give_up(self.comm.runtime, self, keep);
    }
}

impl Under for Requests {
    fn is_over(&mut self) -> bool {
        // An error that stays is no end: then this lives on, and its memory with it.
        while self.due > 0 {
            if !matches!(self.test_any(), Ok(Some(_))) {
                return false;
            }
        }
        matches!(self.test_sends(), Ok(true))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        if !self.persistent {
            return;
        }
        let null = self.library.constants().request_null;
        let requests: Vec<Request> = self.recvs.iter().chain(self.sends.iter()).filter(|&r| r != null).collect();
        // Also the communicator: it is not freed before its requests.
        let comm = self.comm.clone();
        free(self.comm.runtime, move |library| {
            for mut request in requests {
                // SAFETY: persistent and inactive: a set that is under way is not dropped. A failure leaks a request.
                live::REQUESTS.one_less(unsafe { library.request_free(&mut request) });
            }
            drop(comm);
        });
    }
}
