//! [`Messages`]: the schemes that send packed messages, one for each peer, whatever the number of fields.

use parhelion_comm::{Communicator, MessageSet, Method, Result};

use super::leg::{Buffer, Inner, Landing, Leg};

/// The messages of one exchange, packed and unpacked by legs.
pub(super) struct Messages {
    set: MessageSet,
    sends: Vec<Leg>,
    recvs: Vec<Leg>,
    /// How many of `recvs` come from lower ranks than this one.
    before: usize,
}

impl Messages {
    /// Collective over the communicator.
    pub(super) fn new(communicator: &Communicator, method: Method, sends: Vec<Leg>, recvs: Vec<Leg>) -> Result<Self> {
        let sizes = |legs: &[Leg]| legs.iter().map(|leg| (leg.peer, leg.bytes)).collect::<Vec<_>>();
        let set = communicator.message_set(method, &sizes(&sends), &sizes(&recvs))?;
        let before = recvs.partition_point(|leg| leg.peer < communicator.rank());
        Ok(Messages { set, sends, recvs, before })
    }

    /// Packs and sends.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody writes what is sent during the call.
    pub(super) unsafe fn start(&mut self, buffers: &[Buffer]) -> Result<()> {
        self.set.start_receives()?;
        for (i, leg) in self.sends.iter().enumerate() {
            let message = self.set.send_part(i);
            debug_assert_eq!(message.len(), leg.bytes);
            // SAFETY: the message has the leg's length; the caller's promise.
            unsafe { leg.pack(buffers, message.as_mut_ptr()) };
            self.set.start_send(i)?;
        }
        Ok(())
    }

    /// Whether all has arrived and left.
    pub(super) fn test(&mut self) -> Result<bool> {
        self.set.test()
    }

    /// Copies inside this rank, then waits for the messages and lands each as it comes, or all in order of rank where they
    /// are combined.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn finish(&mut self, buffers: &[Buffer], inner: &Inner, landing: Landing<'_>) -> Result<()> {
        match landing {
            Landing::Replace => {
                // SAFETY: the caller's promise.
                unsafe {
                    inner.land(buffers, landing);
                    self.replace(buffers)
                }
            }
            Landing::Combine(_) => {
                self.drain()?;
                // SAFETY: the caller's promise; every message is here.
                unsafe {
                    (0..self.before).for_each(|i| self.land(i, buffers, landing));
                    inner.land(buffers, landing);
                    (self.before..self.recvs.len()).for_each(|i| self.land(i, buffers, landing));
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
        // SAFETY: the message is the leg's; the caller's promise.
        self.set.finish(|i, message| unsafe { self.recvs[i].unpack(message.as_ptr(), buffers, Landing::Replace) })
    }

    /// Lands the message of one leg, which [`drain`](Messages::drain) has waited for.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody uses what is written.
    pub(super) unsafe fn land(&self, leg: usize, buffers: &[Buffer], landing: Landing<'_>) {
        // SAFETY: the message is the leg's; the caller's promise.
        unsafe { self.recvs[leg].unpack(self.set.recv_part(leg).as_ptr(), buffers, landing) };
    }

    /// Waits for the messages and lands nothing.
    pub(super) fn drain(&mut self) -> Result<()> {
        self.set.finish(|_, _| {})
    }
}
