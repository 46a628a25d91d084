//! [`Messages`]: the schemes that send packed messages, one for each peer, whatever the number of fields.
//!
//! A message that lies in one buffer just as it is packed needs no packing: it leaves from there, and arrives there if
//! nothing is combined. What is given up then still uses the buffers.

use parhelion_comm::{Communicator, MessageSet, Method, Result};

use super::exchange::Keep;
use super::leg::{Arrival, Buffer, Inner, Leg};

/// The messages of one exchange, packed and unpacked by legs.
pub(super) struct Messages {
    /// `Some` until it is abandoned for good.
    set: Option<MessageSet>,
    sends: Vec<Leg>,
    recvs: Vec<Leg>,
    /// How many of `recvs` come from lower ranks than this one.
    before: usize,
    send_runs: Runs,
    recv_runs: Runs,
}

/// The messages of one direction that lie in a buffer just as they are packed.
struct Runs {
    /// The buffer of each such message, and the byte in it.
    runs: Vec<Option<(usize, usize)>>,
    any: bool,
    /// Where they are in this round.
    at: Vec<*mut u8>,
}

// SAFETY: the addresses are used only during the calls of an exchange, and by messages that its contract covers.
unsafe impl Send for Runs {}
// SAFETY: nothing is done through a shared reference.
unsafe impl Sync for Runs {}

impl Runs {
    fn new(runs: Vec<Option<(usize, usize)>>) -> Self {
        Runs { any: runs.iter().any(Option::is_some), at: vec![std::ptr::null_mut(); runs.len()], runs }
    }

    /// Where the messages are in these buffers; `None` if none is in one.
    #[inline]
    fn at(&mut self, buffers: &[Buffer]) -> Option<&[*mut u8]> {
        for (at, run) in self.at.iter_mut().zip(&self.runs).filter(|_| self.any) {
            if let Some((buffer, byte)) = *run {
                *at = buffers[buffer].ptr.wrapping_add(byte);
            }
        }
        self.any.then_some(&self.at)
    }
}

/// Whether messages may leave from and arrive in buffers themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Straight {
    /// All are staged: the end of an exchange that is given up says nothing of them.
    Never,
    /// They only leave from there: what arrives is to be combined.
    Sends,
    Both,
}

impl Messages {
    /// Collective over the communicator.
    pub(super) fn new(
        communicator: &Communicator,
        method: Method,
        straight: Straight,
        sends: Vec<Leg>,
        recvs: Vec<Leg>,
    ) -> Result<Self> {
        let sizes = |legs: &[Leg]| legs.iter().map(|leg| (leg.peer, leg.bytes)).collect::<Vec<_>>();
        let set = communicator.message_set(method, &sizes(&sends), &sizes(&recvs))?;
        let before = recvs.partition_point(|leg| leg.peer < communicator.rank());
        let runs = |legs: &[Leg], may: bool| Runs::new(legs.iter().map(|leg| leg.run().filter(|_| may)).collect());
        let send_runs = runs(&sends, straight != Straight::Never);
        let recv_runs = runs(&recvs, straight == Straight::Both);
        Ok(Messages { set: Some(set), sends, recvs, before, send_runs, recv_runs })
    }

    /// Whether messages that are given up still use the buffers.
    pub(super) fn uses_buffers(&self) -> bool {
        self.send_runs.any || self.recv_runs.any
    }

    #[inline]
    fn set(&mut self) -> &mut MessageSet {
        self.set.as_mut().expect("what is abandoned for good is not used again")
    }

    /// Packs and sends.
    ///
    /// # Safety
    /// The buffers are those of the exchange; until it is finished, or `abandon`'s `keep` is dropped, nobody writes what is
    /// sent or uses what is received, if [`Messages::uses_buffers`]; else nobody writes what is sent during the call.
    pub(super) unsafe fn start(&mut self, buffers: &[Buffer]) -> Result<()> {
        let set = self.set.as_mut().expect("what is abandoned for good is not used again");
        if let Some(at) = self.send_runs.at(buffers) {
            // SAFETY: the plans were checked: the runs lie inside their buffers; the rest is the caller's promise.
            unsafe { set.place_sends(at)? };
        }
        if let Some(at) = self.recv_runs.at(buffers) {
            // SAFETY: as above, and no element is received twice.
            unsafe { set.place_receives(at)? };
        }
        set.start_receives()?;
        for (i, (leg, run)) in self.sends.iter().zip(&self.send_runs.runs).enumerate() {
            if run.is_none() {
                let message = set.send_part(i);
                debug_assert_eq!(message.len(), leg.bytes);
                // SAFETY: the message has the leg's length; the caller's promise.
                unsafe { leg.pack(buffers, message.as_mut_ptr()) };
            }
            set.start_send(i)?;
        }
        Ok(())
    }

    /// Whether all has arrived and left.
    pub(super) fn test(&mut self) -> Result<bool> {
        self.set().test()
    }

    /// Copies inside this rank, then waits for the messages and lands each as it comes, or all in order of rank where they
    /// are combined.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn finish(&mut self, buffers: &[Buffer], inner: &Inner, arrival: Arrival<'_>) -> Result<()> {
        match arrival {
            Arrival::Replace => {
                // SAFETY: the caller's promise.
                unsafe {
                    inner.land(buffers, arrival);
                    self.replace(buffers)
                }
            }
            Arrival::Combine(_) | Arrival::Keep(_) => {
                self.drain()?;
                // SAFETY: the caller's promise; every message is here.
                unsafe {
                    (0..self.before).for_each(|i| self.land(i, buffers, arrival));
                    inner.land(buffers, arrival);
                    (self.before..self.recvs.len()).for_each(|i| self.land(i, buffers, arrival));
                }
                Ok(())
            }
        }
    }

    /// Waits for the messages and lands each as it comes.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn replace(&mut self, buffers: &[Buffer]) -> Result<()> {
        let set = self.set.as_mut().expect("what is abandoned for good is not used again");
        set.finish(|i, message| {
            if self.recv_runs.runs[i].is_none() {
                // SAFETY: the message is the leg's; the caller's promise.
                unsafe { self.recvs[i].unpack(message.as_ptr(), buffers, Arrival::Replace) };
            }
        })
    }

    /// Lands the message of one leg, which [`drain`](Messages::drain) has waited for.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn land(&self, leg: usize, buffers: &[Buffer], arrival: Arrival<'_>) {
        debug_assert!(self.recv_runs.runs[leg].is_none(), "what arrives in its place cannot be combined");
        let message = self.set.as_ref().expect("what is abandoned for good is not used again").recv_part(leg);
        // SAFETY: the message is the leg's; the caller's promise.
        unsafe { self.recvs[leg].unpack(message.as_ptr(), buffers, arrival) };
    }

    /// Waits for the messages and lands nothing.
    pub(super) fn drain(&mut self) -> Result<()> {
        self.set().finish(|_, _| {})
    }

    /// Gives the messages up for good, with what keeps the buffers.
    pub(super) fn abandon(&mut self, keep: Keep) {
        if let Some(set) = self.set.take() {
            set.abandon(keep);
        }
    }
}
