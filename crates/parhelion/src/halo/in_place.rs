//! [`InPlace`]: the schemes that send and receive elements where they lie, by derived datatypes.

use parhelion_comm::{Communicator, Layout, MessageSet, Method, Result};

use super::exchange::Keep;
use super::leg::{Arrival, Buffer, Inner, Leg};

/// How many places its messages are prepared for at once.
const MOST_BOUND: usize = 8;

/// The messages of one exchange, bound to the buffers of its last starts.
///
/// Whether buffers come again is each rank's own affair: binding messages to others is local.
pub(super) struct InPlace {
    communicator: Communicator,
    method: Method,
    sends: Vec<Leg>,
    recvs: Vec<Leg>,
    /// The one started last at the end.
    bound: Vec<Bound>,
}

struct Bound {
    set: MessageSet,
    to: Vec<*mut u8>,
}

// SAFETY: the addresses are compared, and used only during the calls of an exchange.
unsafe impl Send for Bound {}
// SAFETY: nothing is done through a shared reference.
unsafe impl Sync for Bound {}

impl InPlace {
    /// Local: what is collective is the first start.
    pub(super) fn new(communicator: &Communicator, method: Method, sends: Vec<Leg>, recvs: Vec<Leg>) -> Self {
        InPlace { communicator: communicator.clone(), method, sends, recvs, bound: Vec::new() }
    }

    /// Sends, and receives into the buffers. Collective the first time.
    ///
    /// # Safety
    /// The buffers are those of the exchange; until it is finished, or `abandon`'s `keep` is dropped, nobody writes what is
    /// sent or uses what is received.
    pub(super) unsafe fn start(&mut self, buffers: &[Buffer]) -> Result<()> {
        let is_same = |bound: &Bound| bound.to.iter().zip(buffers).all(|(to, buffer)| *to == buffer.ptr);
        match self.bound.iter().rposition(is_same) {
            Some(same) => self.bound[same..].rotate_left(1),
            None => {
                // SAFETY: the caller's promise.
                let set = unsafe { self.bind(buffers)? };
                if self.bound.len() == MOST_BOUND {
                    self.bound.remove(0);
                }
                self.bound.push(Bound { set, to: buffers.iter().map(|buffer| buffer.ptr).collect() });
            }
        }
        self.current().map_or(Ok(()), MessageSet::start)
    }

    /// What was started last.
    fn current(&mut self) -> Option<&mut MessageSet> {
        self.bound.last_mut().map(|bound| &mut bound.set)
    }

    /// Prepares the messages. Collective the first time.
    ///
    /// # Safety
    /// As [`InPlace::start`].
    unsafe fn bind(&self, buffers: &[Buffer]) -> Result<MessageSet> {
        // The lowest address, so that every place is so many bytes from it.
        let base = buffers.iter().map(|buffer| buffer.ptr).min_by_key(|ptr| ptr.addr()).unwrap_or(std::ptr::null_mut());
        let places = |legs: &[Leg]| -> Vec<(usize, Vec<Layout>)> {
            let place = |leg: &Leg| {
                let parts = leg.parts.iter().filter(|part| part.size > 0);
                let at = |buffer: usize| buffers[buffer].ptr.addr() - base.addr();
                parts.map(|part| part.layout.scaled(part.size).shifted(at(part.buffer))).collect()
            };
            legs.iter().map(|leg| (leg.peer, place(leg))).collect()
        };
        let (sends, recvs) = (places(&self.sends), places(&self.recvs));
        // SAFETY: the plans were checked: the layouts lie inside their buffers and receive no byte twice; the rest is the
        // caller's promise.
        unsafe {
            match self.bound.last() {
                Some(other) => other.set.elsewhere(base, &sends, &recvs),
                None => self.communicator.message_set_in_place(self.method, base, &sends, &recvs),
            }
        }
    }

    /// Whether all has arrived and left.
    pub(super) fn test(&mut self) -> Result<bool> {
        self.current().map_or(Ok(true), MessageSet::test)
    }

    /// Copies inside this rank, and waits for the messages.
    ///
    /// # Safety
    /// As [`InPlace::start`].
    pub(super) unsafe fn finish(&mut self, buffers: &[Buffer], inner: &Inner) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { inner.land(buffers, Arrival::Replace) };
        self.drain()
    }

    /// Waits for the messages.
    pub(super) fn drain(&mut self) -> Result<()> {
        self.current().map_or(Ok(()), |set| set.finish(|_, _| {}))
    }

    /// Gives the messages up, with what keeps the buffers.
    pub(super) fn abandon(&mut self, keep: Keep) {
        if let Some(bound) = self.bound.pop() {
            bound.set.abandon(keep);
        }
    }
}
