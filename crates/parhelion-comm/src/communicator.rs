//! [`Communicator`]: point-to-point and the making of communicators. Collectives are in [`crate::collective`].

use std::sync::Arc;

use crate::backend::{Incoming, Matched, Outgoing, SendMode, Transport};
use crate::config::{BackendKind, Config, ThreadLevel};
use crate::element::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::request::Request;
use crate::route::Route;
use crate::status::{Source, Status, TagSelector};

/// A group of ranks that can talk, seen from one of them.
///
/// Cheap to clone; every clone is the same communicator of the same rank. Messages match by (source, tag,
/// communicator) and do not overtake each other (MPI section 3.5).
#[derive(Clone)]
pub struct Communicator {
    transport: Arc<dyn Transport>,
    // What every call looks at.
    rank: usize,
    size: usize,
    max_tag: u32,
    trace: bool,
}

/// Opens a span for one operation where tracing is on.
macro_rules! span {
    ($self:ident, $name:literal $(, $($fields:tt)*)?) => {
        // Boxed: what is not there then costs one comparison when the call ends, and no call.
        let _span = $self.traces().then(|| {
            Box::new(
                tracing::trace_span!($name, rank = $self.rank(), communicator = $self.name() $(, $($fields)*)?)
                    .entered(),
            )
        });
    };
}
pub(crate) use span;

impl Communicator {
    pub(crate) fn new(transport: Box<dyn Transport>) -> Self {
        Communicator {
            rank: transport.rank(),
            size: transport.size(),
            max_tag: transport.max_tag(),
            trace: transport.config().trace,
            transport: Arc::from(transport),
        }
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    pub(crate) fn shared_transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }

    pub(crate) fn traces(&self) -> bool {
        self.trace
    }

    /// This rank, in `0..size`.
    #[inline]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The backend that carries the messages.
    pub fn backend(&self) -> BackendKind {
        self.transport.backend()
    }

    /// The library below the backend and its version, as `mpich-5.0.2`; `None` for local.
    pub fn library(&self) -> Option<String> {
        self.transport.library()
    }

    /// What threads of this rank may do with it: under MPI, what was asked for or the less that the library granted.
    pub fn thread_level(&self) -> ThreadLevel {
        self.transport.thread_level()
    }

    /// The name given when it was made; `world` for the first.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// Whether `other` is this very communicator, seen from the same rank: a clone, not a duplicate.
    pub fn is_same(&self, other: &Communicator) -> bool {
        Arc::ptr_eq(&self.transport, &other.transport)
    }

    /// The settings of the run.
    pub fn config(&self) -> &Config {
        self.transport.config()
    }

    /// What carries messages to `rank`: now, or from the first one on. A local call.
    ///
    /// # Errors
    /// [`InvalidRank`](ErrorKind::InvalidRank).
    pub fn route(&self, rank: usize) -> Result<Route> {
        self.check_selectors("route", Source::Rank(rank), TagSelector::Any)?;
        Ok(self.transport.route(rank))
    }

    /// The largest tag a message may have, inclusive.
    pub fn max_tag(&self) -> u32 {
        self.max_tag
    }

    #[cold]
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.at(self.backend(), self.rank(), self.name())
    }

    #[cold]
    pub(crate) fn error(&self, operation: &'static str, kind: ErrorKind) -> Error {
        self.locate(Error::new(operation, kind))
    }

    #[inline]
    pub(crate) fn check_peer(&self, operation: &'static str, rank: usize, tag: u32) -> Result<()> {
        self.check_selectors(operation, Source::Rank(rank), TagSelector::Tag(tag))
    }

    #[inline]
    pub(crate) fn check_selectors(&self, operation: &'static str, source: Source, tag: TagSelector) -> Result<()> {
        if let Source::Rank(rank) = source
            && rank >= self.size()
        {
            return Err(self.invalid_rank(operation, rank));
        }
        if let TagSelector::Tag(tag) = tag
            && tag > self.max_tag()
        {
            return Err(self.invalid_tag(operation, tag));
        }
        Ok(())
    }

    // Apart, so that a call that is right carries little of them.
    #[cold]
    #[inline(never)]
    fn invalid_rank(&self, operation: &'static str, rank: usize) -> Error {
        self.error(operation, ErrorKind::InvalidRank { rank, size: self.size() })
    }

    #[cold]
    #[inline(never)]
    fn invalid_tag(&self, operation: &'static str, tag: u32) -> Error {
        self.error(operation, ErrorKind::InvalidTag { tag, max: self.max_tag() })
    }

    /// Sends `data` to `dest`. Returns when the slice may be reused: at once for small messages, else when the receiver
    /// has taken it.
    ///
    /// # Errors
    /// An invalid rank or tag, a lost peer, a timeout, a deadlock.
    #[inline]
    pub fn send<T: Element>(&self, data: &[T], dest: usize, tag: u32) -> Result<()> {
        if self.trace {
            return self.send_traced(data, dest, tag);
        }
        self.send_with("send", data, dest, tag, SendMode::Standard)
    }

    // Apart, so that a send that is not traced carries nothing of it.
    #[cold]
    #[inline(never)]
    fn send_traced<T: Element>(&self, data: &[T], dest: usize, tag: u32) -> Result<()> {
        span!(self, "send", dest = dest, tag = tag, bytes = size_of_val(data));
        self.send_with("send", data, dest, tag, SendMode::Standard)
    }

    /// Sends `data` to `dest` and returns only when `dest` has started to receive it (MPI section 3.4).
    ///
    /// # Errors
    /// As [`Communicator::send`].
    pub fn send_synchronous<T: Element>(&self, data: &[T], dest: usize, tag: u32) -> Result<()> {
        span!(self, "send_synchronous", dest = dest, tag = tag, bytes = size_of_val(data));
        self.send_with("send_synchronous", data, dest, tag, SendMode::Synchronous)
    }

    #[inline]
    fn send_with<T: Element>(
        &self,
        operation: &'static str,
        data: &[T],
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<()> {
        self.check_peer(operation, dest, tag)?;
        // SAFETY: the slice is borrowed for the whole blocking call.
        unsafe { self.transport.send(data.as_ptr().cast(), size_of_val(data), dest, tag, mode) }
            .map_err(|e| self.locate(e))
    }

    /// Receives into `buffer` a message from `source` with `tag`; either may be [`Any`](crate::Any). Blocks until it is
    /// there. A shorter message leaves the rest of the buffer alone.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) if the message is longer (it is consumed),
    /// [`PartialElement`](ErrorKind::PartialElement) if it is not whole elements; an invalid rank or tag, a lost peer, a
    /// timeout, a deadlock.
    #[inline]
    pub fn recv<T: Element>(
        &self,
        buffer: &mut [T],
        source: impl Into<Source>,
        tag: impl Into<TagSelector>,
    ) -> Result<Status> {
        let (source, tag) = (source.into(), tag.into());
        if self.trace {
            return self.recv_traced(buffer, source, tag);
        }
        self.recv_from(buffer, source, tag)
    }

    // As `send_traced`.
    #[cold]
    #[inline(never)]
    fn recv_traced<T: Element>(&self, buffer: &mut [T], source: Source, tag: TagSelector) -> Result<Status> {
        span!(self, "recv", source = ?source, tag = ?tag, capacity = size_of_val(buffer));
        self.recv_from(buffer, source, tag)
    }

    #[inline]
    fn recv_from<T: Element>(&self, buffer: &mut [T], source: Source, tag: TagSelector) -> Result<Status> {
        self.check_selectors("recv", source, tag)?;
        let (buf, len) = (buffer.as_mut_ptr().cast(), size_of_val(buffer));
        let received = match (source, tag) {
            (Source::Rank(source), TagSelector::Tag(tag)) => {
                // SAFETY: the slice is borrowed exclusively for the whole blocking call; any bytes are a valid Pod.
                let bytes = unsafe { self.transport.recv_length(buf, len, source, tag) };
                bytes.map(|bytes| Status { source, tag, bytes })
            }
            // SAFETY: as above.
            _ => unsafe { self.transport.recv(buf, len, source, tag) },
        };
        self.whole::<T>("recv", received.map_err(|e| self.locate(e))?)
    }

    #[inline]
    fn whole<T: Element>(&self, operation: &'static str, status: Status) -> Result<Status> {
        match status.count::<T>() {
            Some(_) => Ok(status),
            None => Err(partial::<T>(operation, status)).map_err(|e| self.locate(e)),
        }
    }

    /// Receives a message of any length as a new vector.
    ///
    /// # Errors
    /// As [`Communicator::recv`], never truncated.
    pub fn recv_vec<T: Element>(
        &self,
        source: impl Into<Source>,
        tag: impl Into<TagSelector>,
    ) -> Result<(Vec<T>, Status)> {
        self.probe_message(source, tag)?.recv_vec()
    }

    /// Sends `data` to `dest` and receives into `buffer` from `source`, at once, so that no order of ranks can deadlock.
    ///
    /// # Errors
    /// As [`Communicator::send`] and [`Communicator::recv`].
    pub fn send_recv<T: Element, U: Element>(
        &self,
        data: &[T],
        dest: usize,
        send_tag: u32,
        buffer: &mut [U],
        source: impl Into<Source>,
        recv_tag: impl Into<TagSelector>,
    ) -> Result<Status> {
        let (source, recv_tag) = (source.into(), recv_tag.into());
        span!(self, "send_recv", dest = dest, source = ?source, bytes = size_of_val(data), capacity = size_of_val(buffer));
        self.check_peer("send_recv", dest, send_tag)?;
        self.check_selectors("send_recv", source, recv_tag)?;
        let from = Outgoing { buf: data.as_ptr().cast(), len: size_of_val(data), dest, tag: send_tag };
        let into = Incoming { buf: buffer.as_mut_ptr().cast(), len: size_of_val(buffer), source, tag: recv_tag };
        // SAFETY: both slices are borrowed for the whole blocking call; any bytes are a valid Pod.
        let status = unsafe { self.transport.send_recv(from, into) }.map_err(|e| self.locate(e))?;
        self.whole::<U>("send_recv", status)
    }

    /// Starts to send `data` to `dest`; the request owns it until it may be reused.
    ///
    /// # Errors
    /// An invalid rank or tag; what the backend reports.
    pub fn isend<T: Element>(&self, data: Vec<T>, dest: usize, tag: u32) -> Result<Request<Vec<T>>> {
        self.isend_with("isend", data, dest, tag, SendMode::Standard)
    }

    /// [`Communicator::isend`] that completes only when `dest` has started to receive.
    ///
    /// # Errors
    /// As [`Communicator::isend`].
    pub fn isend_synchronous<T: Element>(&self, data: Vec<T>, dest: usize, tag: u32) -> Result<Request<Vec<T>>> {
        self.isend_with("isend_synchronous", data, dest, tag, SendMode::Synchronous)
    }

    fn isend_with<T: Element>(
        &self,
        operation: &'static str,
        data: Vec<T>,
        dest: usize,
        tag: u32,
        mode: SendMode,
    ) -> Result<Request<Vec<T>>> {
        span!(self, "isend", dest = dest, tag = tag, bytes = size_of_val(&*data));
        self.check_peer(operation, dest, tag)?;
        // SAFETY: the vector's heap block does not move or end before the request completed: the request keeps it.
        let pending = unsafe { self.transport.isend(data.as_ptr().cast(), size_of_val(&*data), dest, tag, mode) }
            .map_err(|e| self.locate(e))?;
        Ok(Request::new(self.clone(), pending, move |_| Ok(data)))
    }

    /// Starts to receive up to `buffer.len()` elements; the request gives back the vector, cut to what arrived.
    ///
    /// # Errors
    /// An invalid rank or tag; what the backend reports. Waiting fails as [`Communicator::recv`] does.
    pub fn irecv<T: Element>(
        &self,
        mut buffer: Vec<T>,
        source: impl Into<Source>,
        tag: impl Into<TagSelector>,
    ) -> Result<Request<Vec<T>>> {
        let (source, tag) = (source.into(), tag.into());
        span!(self, "irecv", source = ?source, tag = ?tag, capacity = size_of_val(&*buffer));
        self.check_selectors("irecv", source, tag)?;
        // SAFETY: the vector's heap block stays with the request until it has completed; nobody else reaches it.
        let pending = unsafe { self.transport.irecv(buffer.as_mut_ptr().cast(), size_of_val(&*buffer), source, tag) }
            .map_err(|e| self.locate(e))?;
        Ok(Request::new(self.clone(), pending, move |status| {
            let count = status.count::<T>().ok_or_else(|| partial::<T>("irecv", status))?;
            buffer.truncate(count);
            Ok(buffer)
        }))
    }

    /// Waits for a matching message and says who sent it and how long it is, without receiving it.
    ///
    /// # Errors
    /// An invalid rank or tag, a lost peer, a timeout, a deadlock.
    pub fn probe(&self, source: impl Into<Source>, tag: impl Into<TagSelector>) -> Result<Status> {
        let (source, tag) = (source.into(), tag.into());
        span!(self, "probe", source = ?source, tag = ?tag);
        self.check_selectors("probe", source, tag)?;
        let status = self.transport.probe(source, tag, true).map_err(|e| self.locate(e))?;
        Ok(status.expect("a blocking probe answers with a message or an error"))
    }

    /// [`Communicator::probe`] that does not wait: `None` if no such message is here now.
    ///
    /// # Errors
    /// An invalid rank or tag; what the backend reports.
    pub fn try_probe(&self, source: impl Into<Source>, tag: impl Into<TagSelector>) -> Result<Option<Status>> {
        let (source, tag) = (source.into(), tag.into());
        span!(self, "try_probe", source = ?source, tag = ?tag);
        self.check_selectors("try_probe", source, tag)?;
        self.transport.probe(source, tag, false).map_err(|e| self.locate(e))
    }

    /// Waits for a matching message and takes it out of matching, so that no other receive can get it (MPI section
    /// 3.8.2: matched probe).
    ///
    /// # Errors
    /// As [`Communicator::probe`].
    pub fn probe_message(&self, source: impl Into<Source>, tag: impl Into<TagSelector>) -> Result<Message> {
        let (source, tag) = (source.into(), tag.into());
        span!(self, "probe_message", source = ?source, tag = ?tag);
        self.check_selectors("probe_message", source, tag)?;
        let matched = self.transport.matched_probe(source, tag, true).map_err(|e| self.locate(e))?;
        let matched = matched.expect("a blocking probe answers with a message or an error");
        Ok(Message { matched, communicator: self.clone() })
    }

    /// [`Communicator::probe_message`] that does not wait.
    ///
    /// # Errors
    /// As [`Communicator::try_probe`].
    pub fn try_probe_message(&self, source: impl Into<Source>, tag: impl Into<TagSelector>) -> Result<Option<Message>> {
        let (source, tag) = (source.into(), tag.into());
        span!(self, "try_probe_message", source = ?source, tag = ?tag);
        self.check_selectors("try_probe_message", source, tag)?;
        let matched = self.transport.matched_probe(source, tag, false).map_err(|e| self.locate(e))?;
        Ok(matched.map(|matched| Message { matched, communicator: self.clone() }))
    }

    /// A communicator with the same ranks whose messages never match this one's. Collective.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock; what the backend reports.
    pub fn dup(&self) -> Result<Communicator> {
        span!(self, "dup");
        let name = format!("{}.dup", self.name());
        self.made(self.transport.dup(&name))
    }

    /// One communicator for each colour; ranks in it are ordered by `key`, then by their rank here. `None` takes part and
    /// gets none. Collective.
    ///
    /// # Errors
    /// As [`Communicator::dup`].
    pub fn split(&self, color: Option<u32>, key: i64) -> Result<Option<Communicator>> {
        span!(self, "split", color = ?color, key = key);
        let name = match color {
            Some(color) => format!("{}.split({color})", self.name()),
            None => String::new(),
        };
        let made = self.transport.split(color, key, &name).map_err(|e| self.locate(e))?;
        Ok(made.map(Communicator::new))
    }

    /// The ranks that share memory with this one, in their order here. Collective.
    ///
    /// # Errors
    /// As [`Communicator::dup`].
    pub fn split_shared(&self) -> Result<Communicator> {
        span!(self, "split_shared");
        let name = format!("{}.shared", self.name());
        self.made(self.transport.split_shared(&name))
    }

    /// A named group: the communicator of `ranks`, in that order. Collective over those ranks only, which all give the
    /// same name and list; several groups may be made at once if their names differ.
    ///
    /// # Errors
    /// A list that is empty, repeats a rank or leaves out this one. Lists of the same ranks in other orders are a
    /// [`Mismatch`](ErrorKind::Mismatch) at all of them; of lists of other ranks, a rank that is in both may hear the same, or
    /// wait for one that does not come. As [`Communicator::dup`].
    pub fn group(&self, name: &str, ranks: &[usize]) -> Result<Communicator> {
        span!(self, "group", group = name, ranks = ranks.len());
        let invalid = |text: String| Err(self.error("group", ErrorKind::InvalidArgument(text)));
        let mut seen = vec![false; self.size()];
        for &rank in ranks {
            if rank >= self.size() {
                return Err(self.error("group", ErrorKind::InvalidRank { rank, size: self.size() }));
            }
            if std::mem::replace(&mut seen[rank], true) {
                return invalid(format!("group {name:?} lists rank {rank} twice"));
            }
        }
        if !seen[self.rank()] {
            return invalid(format!("rank {} called group {name:?} without being in its list", self.rank()));
        }
        self.made(self.transport.subgroup(name, ranks))
    }

    fn made(&self, result: Result<Box<dyn Transport>>) -> Result<Communicator> {
        result.map(Communicator::new).map_err(|e| self.locate(e))
    }
}

#[cold]
fn partial<T>(operation: &'static str, status: Status) -> Error {
    Error::new(operation, ErrorKind::PartialElement { bytes: status.bytes, element: size_of::<T>() })
        .with_peer(status.source)
        .with_tag(status.tag)
}

impl std::fmt::Debug for Communicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Communicator({:?}, rank {} of {}, {})", self.name(), self.rank(), self.size(), self.backend())
    }
}

/// A message that [`Communicator::probe_message`] took out of matching; it waits to be received.
#[must_use = "a message that is not received is lost"]
pub struct Message {
    matched: Box<dyn Matched>,
    communicator: Communicator,
}

impl Message {
    /// Who sent it, with which tag, how long it is.
    pub fn status(&self) -> Status {
        self.matched.status()
    }

    /// Receives it into `buffer`.
    ///
    /// # Errors
    /// As [`Communicator::recv`].
    pub fn recv<T: Element>(self, buffer: &mut [T]) -> Result<Status> {
        let c = self.communicator;
        span!(c, "recv_message", capacity = size_of_val(buffer));
        // SAFETY: the slice is borrowed exclusively for the whole blocking call.
        let status =
            unsafe { self.matched.recv(buffer.as_mut_ptr().cast(), size_of_val(buffer)) }.map_err(|e| c.locate(e))?;
        c.whole::<T>("recv", status)
    }

    /// Receives it as a new vector.
    ///
    /// # Errors
    /// [`PartialElement`](ErrorKind::PartialElement) if it is not whole elements; the message stays lost then.
    pub fn recv_vec<T: Element>(self) -> Result<(Vec<T>, Status)> {
        let status = self.status();
        let count = status.count::<T>().unwrap_or(status.bytes / size_of::<T>() + 1);
        let mut data = bytemuck::allocation::zeroed_vec(count);
        let status = self.recv(&mut data)?;
        Ok((data, status))
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Message").field(&self.status()).finish()
    }
}
