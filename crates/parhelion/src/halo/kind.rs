//! [`Kind`]: the exchanges of one kind, and which of them carries the next flight.
//!
//! A *kind* is the list of fields (plan and element type), the direction and the settings. All ranks start the exchanges of a
//! kind in one order, and each start is carried by one exchange, the same at every rank. Which one follows from the starts
//! alone: it is that which has carried nothing for longest. Whether that one is idle cannot count, for ranks finish, test and
//! start at times of their own: what one of them has finished is in flight at another. If it is in flight here, that flight
//! is set aside: see [`Slot`].
//!
//! That waits, so there are as many exchanges as any rank ever had in flight at once. Ranks learn that number in reductions,
//! which begin 1, 2, 4, 8, ... starts after the first and are waited for when the next one begins: by then they are over, and
//! the more starts there are, the less each of them bears.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parhelion_comm::{Communicator, Error, ErrorKind, Op, Request, Result};

use super::exchange::{Exchange, misused, out_of_step};
use super::fields::sealed::Sealed;
use super::leg::Field;
use super::pool::{Exchanges, Way};
use super::scheme::Settings;
use super::slot::{Boarding, Slot, land_all};

/// All that is of one kind.
pub(super) struct Kind {
    asked: Settings,
    way: Way,
    fields: Vec<Field>,
    /// Who has the plans, field by field.
    owners: Vec<Weak<Exchanges>>,
    berths: Vec<Berth>,
    /// How many flights have started, and how many have not ended here, now and at most.
    starts: u64,
    flights: Arc<AtomicUsize>,
    most: usize,
    /// The highest `most` of all ranks, as agreed, and as it is being agreed.
    depth: usize,
    agreement: Option<Request<Vec<usize>>>,
    /// What a start met that was counted here and perhaps nowhere else.
    failure: Option<Error>,
}

/// An exchange in its place.
struct Berth {
    slot: Arc<Slot>,
    /// The last start that it carried.
    start: u64,
}

impl Kind {
    pub(super) fn new(asked: Settings, way: Way, fields: Vec<Field>, owners: Vec<Weak<Exchanges>>) -> Kind {
        Kind {
            asked,
            way,
            fields,
            owners,
            berths: Vec::new(),
            starts: 0,
            flights: Arc::default(),
            most: 0,
            depth: 1,
            agreement: None,
            failure: None,
        }
    }

    /// Whether it is the kind of an exchange of `fields`.
    pub(super) fn is(&self, asked: Settings, way: Way, fields: &dyn Sealed) -> bool {
        self.asked == asked && self.way == way && self.carries(fields)
    }

    fn carries(&self, fields: &dyn Sealed) -> bool {
        let (mut seen, mut same) = (0, true);
        fields.each_field(&mut |exchanges, element| {
            let plan = exchanges.plan_of(self.way);
            same &= self.fields.get(seen).is_some_and(|f| Arc::ptr_eq(&f.plan, plan) && f.element == element);
            seen += 1;
        });
        same && seen == self.fields.len()
    }

    /// The plans and the types of the fields.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How many exchanges there are.
    #[cfg(test)]
    pub(super) fn exchanges(&self) -> usize {
        self.berths.len()
    }

    /// Whether something of it is in flight, or somebody can ask for it, or it would have to forget what it keeps for others.
    pub(super) fn can_be_of_use(&self) -> bool {
        self.flights.load(Ordering::Relaxed) > 0
            || self.owners.iter().all(|owner| owner.strong_count() > 0)
            || !self.berths.iter().all(|berth| berth.slot.can_be_dropped())
    }

    /// Counts a start, and lets `make` make an exchange for it where there are not yet as many as there should be. Collective
    /// where it does, and where agreements begin.
    pub(super) fn board(
        &mut self,
        communicator: &Communicator,
        make: impl FnOnce(&Kind) -> Result<Exchange>,
    ) -> Result<Boarding> {
        let start = self.starts;
        self.starts += 1;
        self.most = self.most.max(self.flights.load(Ordering::Relaxed) + 1);
        if let Some(failed) = self.berths.iter().find(|berth| berth.slot.has_failed()) {
            return Err(failed.slot.refusal());
        }
        if self.failure.is_some() {
            return Err(misused("start_exchange", &self.fields, self.asked, &out_of_step(self.failure.as_ref())));
        }
        if start.is_power_of_two() {
            self.agree(communicator).inspect_err(|error| self.fail(error))?;
        }
        let oldest = (0..self.berths.len()).min_by_key(|&berth| self.berths[berth].start);
        let berth = match oldest.filter(|_| self.berths.len() >= self.depth) {
            Some(oldest) => oldest,
            None => {
                let made = land_all().and_then(|()| make(self));
                let exchange = made.inspect_err(|error| self.fail(error))?;
                self.berths.push(Berth { slot: Slot::new(exchange, &self.flights), start });
                self.berths.len() - 1
            }
        };
        let berth = &mut self.berths[berth];
        berth.start = start;
        Ok(berth.slot.board(start))
    }

    /// Refuses all that comes, if this error is not one that all ranks have.
    #[cold]
    fn fail(&mut self, error: &Error) {
        if matches!(error.kind(), ErrorKind::PeerLost { .. } | ErrorKind::Timeout(_) | ErrorKind::Deadlock(_)) {
            self.failure = Some(error.clone());
        }
    }

    /// Ends one agreement and begins the next. Collective.
    #[cold]
    fn agree(&mut self, communicator: &Communicator) -> Result<()> {
        if let Some(mut agreement) = self.agreement.take() {
            if !agreement.test() {
                land_all()?;
            }
            self.depth = self.depth.max(agreement.wait()?[0]);
        }
        self.agreement = Some(communicator.iall_reduce(vec![self.most], Op::Max)?);
        Ok(())
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kind { asked, way, berths, starts, depth, .. } = self;
        write!(f, "Kind({asked}, {way:?}, {} exchange(s), {starts} start(s), depth {depth})", berths.len())
    }
}
