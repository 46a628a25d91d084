//! Sends that the receiver must take: waiting for that, and sends in flight.

use std::sync::Arc;

use super::rendezvous::Rendezvous;
use super::transport::Local;
use super::wait::{Wait, Waiting};
use crate::backend::{Keep, NO_STATUS, Pending};
use crate::error::Result;
use crate::status::Status;

/// Waits until the receiver has taken an offered message.
pub(super) struct SendWait<'a> {
    pub(super) local: &'a Local,
    pub(super) operation: &'static str,
    pub(super) offer: &'a Arc<Rendezvous>,
    pub(super) dest: usize,
    pub(super) tag: u32,
}

impl Wait for SendWait<'_> {
    type Output = ();

    fn poll(&mut self) -> Option<()> {
        self.offer.poll().then_some(())
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        self.local.world.fate(self.local.group.ranks[self.dest]).map(|how| (self.dest, how))
    }

    fn describe(&self) -> Waiting {
        self.local.describe(self.operation, format!("to rank {}, tag {}", self.dest, self.tag))
    }
}

/// Takes an offer back, or waits the moment it takes to be copied; true if taken back.
pub(super) fn withdraw(offer: &Rendezvous) -> bool {
    if offer.withdraw() {
        return true;
    }
    while !offer.poll() {
        std::thread::yield_now();
    }
    false
}

/// An operation that was over when it was started.
pub(super) struct Completed;

impl Pending for Completed {
    fn wait(&mut self) -> Result<Status> {
        Ok(NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        Ok(Some(NO_STATUS))
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn abandon(self: Box<Self>, _keep: Keep) {}

    fn detach(self: Box<Self>, _keep: Keep) {}

    fn finish_now(self: Box<Self>) {}
}

pub(super) struct PendingSend {
    pub(super) local: Local,
    pub(super) offer: Arc<Rendezvous>,
    pub(super) dest: usize,
    pub(super) tag: u32,
    /// A wait has given up.
    pub(super) stopped: bool,
}

impl Pending for PendingSend {
    fn wait(&mut self) -> Result<Status> {
        let result = self.local.wait_send("isend", &self.offer, self.dest, self.tag);
        self.stopped = result.is_err();
        result.map(|()| NO_STATUS)
    }

    fn test(&mut self) -> Result<Option<Status>> {
        let wait =
            SendWait { local: &self.local, operation: "isend", offer: &self.offer, dest: self.dest, tag: self.tag };
        match self.local.world.look(wait) {
            Ok(done) => Ok(done.map(|()| NO_STATUS)),
            Err(stop) => {
                self.stopped = true;
                Err(self.local.stopped("isend", stop).with_peer(self.dest).with_tag(self.tag))
            }
        }
    }

    fn cancel(&mut self) -> Result<bool> {
        Ok(self.offer.withdraw())
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        self.offer.keep(keep);
    }

    fn detach(self: Box<Self>, keep: Keep) {
        self.abandon(keep);
    }

    fn finish_now(mut self: Box<Self>) {
        // The receiver may count on the message: it is taken back only if waiting for it is hopeless.
        if self.stopped || self.wait().is_err() {
            withdraw(&self.offer);
        }
    }
}
