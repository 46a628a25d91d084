//! [`InFlight`]: the exchange between its start and its finish; and both in one call.

use std::panic::resume_unwind;

use parhelion_comm::Result;

use super::fields::Fields;
use super::fields::sealed::{Sealed, memory_of};
use super::leg::Landing;
use super::pool::Way;
use super::slot::{Boarding, End, Flight};

/// Arrays whose halo exchange has started and not finished.
///
/// It owns them: until [`finish`](InFlight::finish) gives them back, their halo cannot be read and their owned cells can be
/// read but not written, or the program does not compile. So the neighbours can read the owned cells where they are, and the
/// halo can be filled at any time.
///
/// Dropped, the exchange is given up: it does not wait, the neighbours get what they were to get, and the arrays are gone,
/// their memory when nobody reads it any more. Forgotten ([`std::mem::forget`]), it leaks, and the neighbours may wait for
/// this rank for ever; neither reads or frees what it must not.
#[must_use = "an exchange that is dropped is given up, with its arrays; finish it"]
pub struct InFlight<F: Fields> {
    /// `Some` until it is finished or dropped.
    state: Option<State<F>>,
}

struct State<F> {
    fields: F,
    /// `None` if there is nothing to exchange: no fields.
    flight: Option<Flight>,
}

impl<F: Fields> InFlight<F> {
    /// The owned cells: a view of an array, a tuple or vector of views of several.
    pub fn owned(&self) -> F::Owned<'_> {
        self.state().fields.owned_cells()
    }

    /// Whether [`finish`](InFlight::finish) would not have to wait. Does not block; makes progress, as far as the
    /// library below does so when asked. Who asks until it is true waits as in a finish: for what neighbours do in their own finish,
    /// too.
    ///
    /// # Errors
    /// A neighbour that is lost, where the backend can know, and what else the backend reports; not a timeout, for whoever asks
    /// again and again knows for how long. It can still be finished, with that error, or dropped.
    pub fn test(&mut self) -> Result<bool> {
        match &self.state().flight {
            // SAFETY: `start` took the arrays' buffers, and the arrays are here.
            Some(flight) => unsafe { flight.test() },
            None => Ok(true),
        }
    }

    /// Waits until the halo is filled and no neighbour reads the arrays any more, and gives them back.
    ///
    /// By some schemes the neighbours' halos are filled in their own `finish` (or [`test`](InFlight::test)), and this one
    /// waits for it. So all ranks finish what they have in flight in one order, unless they test until it is done, and a
    /// rank does not wait for something else that a neighbour does only after its `finish`.
    ///
    /// # Errors
    /// A lost neighbour, a timeout, a deadlock. The arrays are then gone, and exchanges of their decomposition are refused.
    pub fn finish(self) -> Result<F> {
        self.land(Landing::Replace)
    }

    /// Takes `fields` into a flight of its own, one way or the other.
    pub(super) fn start(mut fields: F, way: Way) -> Result<Self> {
        let flight = match board(&fields, way)? {
            None => None,
            // SAFETY: the fields' own promise (`Sealed`); they stay with the flight until it has ended.
            Some(boarding) => match unsafe { boarding.start(&mut fields) } {
                Ok(flight) => Some(flight),
                Err((error, failed)) => {
                    if let Some(flight) = failed {
                        flight.abandon(memory_of(fields));
                    }
                    return Err(error);
                }
            },
        };
        Ok(InFlight { state: Some(State { fields, flight }) })
    }

    /// [`finish`](InFlight::finish), whatever is to be done with what arrives.
    pub(super) fn land(mut self, landing: Landing<'_>) -> Result<F> {
        let State { fields, flight } = self.state.take().expect("an exchange has its arrays until it is finished");
        let Some(flight) = flight else { return Ok(fields) };
        // SAFETY: `start` took the arrays' buffers, and the arrays are here.
        let failure = match unsafe { flight.finish(landing) } {
            Ok(Ok(())) => return Ok(fields),
            Ok(Err(error)) => Ok(error),
            Err(panic) => Err(panic),
        };
        flight.abandon(memory_of(fields));
        Err(failure.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// The arrays themselves, of which only owned cells may be looked at.
    pub(crate) fn fields(&self) -> &F {
        &self.state().fields
    }

    fn state(&self) -> &State<F> {
        self.state.as_ref().expect("an exchange has its arrays until it is finished")
    }
}

impl<F: Fields> Drop for InFlight<F> {
    fn drop(&mut self) {
        if let Some(State { fields, flight: Some(flight) }) = self.state.take() {
            flight.abandon(memory_of(fields));
        }
    }
}

impl<F: Fields> std::fmt::Debug for InFlight<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exchange = self.state.as_ref().and_then(|state| state.flight.as_ref());
        f.debug_struct("InFlight").field("exchange", &exchange).finish_non_exhaustive()
    }
}

/// Starts the exchange of `fields`, one array or several: their owned cells are on their way to the neighbours' halos, or
/// open to be read by them, when this returns. Collective over the communicator of the arrays; does not wait for neighbours,
/// except when the first of its kind sets up what later ones use, and after one that was dropped.
///
/// Several arrays go by the scheme that was set for the first one's decomposition or descriptor, whatever the others' is.
///
/// Any number may be in flight, here others than elsewhere. All ranks start those of one communicator in one order, and finish
/// them in one order, or [test](InFlight::test) until they are done. How many of a kind are in flight together at most, ranks
/// learn from each other: as long as they do not know of one more, its start may first wait for the end of the oldest one, as
/// its finish would; and now and then a start waits until all ranks have made half as many.
///
/// ```
/// use parhelion::halo::start_exchange;
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let grid = Decomposition::new([12, 12], &world)?.halo(1).periodic([true, true]);
///     let wide = Decomposition::new([12, 12], &world)?.halo(3);
///     let density = DistArray::full(&grid, 1.0f64)?;
///     let material = DistArray::full(&wide, 7u8)?;
///     // One message for each neighbour carries both.
///     let inflight = start_exchange((density, material))?;
///     let (density, material) = inflight.owned();
///     assert_eq!(density.shape(), material.shape());
///     let (_density, _material) = inflight.finish()?;
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
///
/// # Errors
/// Settings of a decomposition that do not fit; arrays of different communicators; ranks that disagree about the
/// arrays; what the backend reports. The arrays are then gone.
pub fn start_exchange<F: Fields>(fields: F) -> Result<InFlight<F>> {
    InFlight::start(fields, Way::Forward)
}

/// Fills the halos of `fields`, one array or several: [`start_exchange`] and [`InFlight::finish`] in one call, with the
/// same conditions. Blocks until the neighbours have done the same.
///
/// # Errors
/// As those. The owned cells are as they were, the halo is anything.
pub fn exchange<F: Fields>(fields: &mut F) -> Result<()> {
    carry_out(fields, Way::Forward, Landing::Replace)
}

/// A place for a flight of `fields`; none if there are no fields.
fn board(fields: &dyn Sealed, way: Way) -> Result<Option<Boarding>> {
    fields.prepare()?;
    fields.home().map(|home| home.board(way, fields)).transpose()
}

/// Start and finish of borrowed fields. What could not be finished is to be abandoned with the memory of the fields.
fn both(fields: &mut dyn Sealed, way: Way, landing: Landing<'_>) -> (End, Option<Flight>) {
    match board(fields, way) {
        // SAFETY: the fields' own promise (`Sealed`), and they are here.
        Ok(Some(boarding)) => unsafe { boarding.carry_out(fields, landing) },
        Ok(None) => (Ok(Ok(())), None),
        Err(error) => (Ok(Err(error)), None),
    }
}

/// [`both`], after which the fields are the caller's: if it failed half-way, in other memory.
pub(super) fn carry_out<F: Fields>(fields: &mut F, way: Way, landing: Landing<'_>) -> Result<()> {
    let (end, failed) = both(fields, way, landing);
    if let Some(flight) = failed {
        // The neighbours may go on reading the memory that the fields had.
        let copy = fields.clone();
        flight.abandon(memory_of(std::mem::replace(fields, copy)));
    }
    end.unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use parhelion_comm::{BackendKind, Config, Error, launch};

    use crate::halo::{Scheme, Settings};
    use crate::prelude::*;

    #[test]
    fn what_is_given_up_last_keeps_no_exchange_alive() {
        let config = Config::default().ranks(2).backend(BackendKind::Local).timeout(Duration::from_secs(30));
        launch(&config, |world| {
            for scheme in Scheme::ALL {
                let grid = Decomposition::new([6, 5], &world)?.halo(1).periodic([true, true]);
                grid.set_scheme(Settings::from(scheme));
                let array = DistArray::full(&grid, 1.0f64)?;
                let exchanges = Arc::downgrade(grid.exchanges());
                drop(array.start_exchange()?);
                drop(grid);
                assert!(exchanges.upgrade().is_none(), "{scheme}");
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}
