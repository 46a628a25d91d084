//! The halo exchange of distributed arrays: what a [`Decomposition`] keeps for it, and the methods of [`DistArray`].

use std::sync::Arc;

use parhelion_comm::{Element, Reduction, Result};

use super::adjoint::{AdjointInFlight, exchange_adjoint_of, start_exchange_adjoint_of};
use super::auto::Decision;
use super::pool::Exchanges;
use super::scheme::Settings;
use super::{InFlight, exchange, start_exchange};
use crate::array::Decomposition;
use crate::array::DistArray;

impl<const D: usize> Decomposition<D> {
    /// How halos are exchanged: what [`set_scheme`](Self::set_scheme) said, else the variable `PARHELION_SCHEME`, else
    /// [`Scheme::Shared`](super::Scheme::Shared).
    ///
    /// # Errors
    /// A variable that names no scheme.
    pub fn scheme(&self) -> Result<Settings> {
        self.exchanges().settings()
    }

    /// Changes how the halos of its arrays are exchanged, those of all its clones, from the next exchange on. All ranks do
    /// so, with the same scheme, between the same exchanges. Exchanges in flight are not disturbed. Local.
    ///
    /// It belongs to the topology: a setting that is chained after it ([`halo`](Self::halo), [`periodic`](Self::periodic), ...)
    /// makes another one, whose scheme is again that of the environment. So call it last.
    pub fn set_scheme(&self, settings: impl Into<Settings>) {
        self.exchanges().set_settings(settings.into());
    }

    /// What [`Scheme::Auto`](super::Scheme::Auto) chose so far, one decision for each kind of exchange: equal on all ranks.
    pub fn decisions(&self) -> Vec<Decision> {
        self.exchanges().decisions()
    }

    /// Spares the measurement of [`Scheme::Auto`](super::Scheme::Auto) where this decision is about the same kind of
    /// exchange (see [`Decision::subject`]). All ranks give the same, before they exchange. Local.
    pub fn use_decision(&self, decision: Decision) {
        self.exchanges().add_decision(decision);
    }

    /// What its arrays share.
    pub(crate) fn exchanges(&self) -> &Arc<Exchanges> {
        self.exchanges_cell().get_or_init(|| Exchanges::new(self.communicator()))
    }
}

impl<T: Element, const D: usize> DistArray<T, D> {
    /// Starts to fill the halo: [`start_exchange`] of this array alone.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let grid = Decomposition::new([64], &world)?.halo(1).periodic([true]);
    ///     let u = DistArray::from_fn(&grid, |[i]| i)?;
    ///     let inflight = u.start_exchange()?;
    ///     let sum: i64 = inflight.owned().iter().sum(); // computes while halos travel
    ///     let u = inflight.finish()?;
    ///     let first = u.owned().start()[0];
    ///     assert_eq!(u.with_halo()[[first - 1]], (first - 1).rem_euclid(64));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start_exchange`].
    pub fn start_exchange(self) -> Result<InFlight<Self>> {
        start_exchange(self)
    }

    /// Fills the halo. Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`exchange`].
    pub fn exchange(&mut self) -> Result<()> {
        exchange(self)
    }

    /// Combines the halo into the owned cells it copies: `owner := owner op halo`, over all copies in a fixed order, by an
    /// [`Op`](parhelion_comm::Op) or a closure whose first argument is what the owner has. The halo stays as it is.
    /// Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](super::exchange_adjoint).
    pub fn exchange_adjoint(&mut self, op: impl Reduction<T>) -> Result<()> {
        exchange_adjoint_of(self, &op)
    }

    /// Starts [`exchange_adjoint`](Self::exchange_adjoint):
    /// [`start_exchange_adjoint`](super::start_exchange_adjoint) of this array alone, by any operator. The owned cells stay
    /// readable; the array comes back from [`AdjointInFlight::finish`]. Collective; does not wait for the neighbours.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](super::exchange_adjoint).
    pub fn start_exchange_adjoint<O: Reduction<T>>(self, op: O) -> Result<AdjointInFlight<Self, O>> {
        start_exchange_adjoint_of(self, op)
    }
}
