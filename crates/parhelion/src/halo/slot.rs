//! [`Slot`]: one exchange and the flight that it carries; [`Flight`]: a claim on what a slot carries, or has set aside.
//!
//! A flight can *land* before it is finished: what arrives is where it belongs, or, where it is to be combined, kept until
//! the finish says how, and no neighbour waits for this rank in its own. So do all that a thread has in flight before it waits
//! in a start for other ranks. A flight whose slot another one needs is *set aside*: it lands, and its exchange ends.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use parhelion_comm::{Error, Result};

use super::aside::Aside;
use super::exchange::{Exchange, Keep};
use super::fields::sealed::Sealed;
use super::leg::{Buffer, Landing};

/// An exchange, and whose it is.
pub(super) struct Slot {
    /// How many flights there are of its kind.
    flights: Arc<AtomicUsize>,
    /// Whether a flight that it carried has failed.
    failed: AtomicBool,
    carried: Mutex<Carried>,
}

struct Carried {
    exchange: Exchange,
    /// The number of the flight, unless it was set aside, where its buffers lie, and which of the starts of its thread it was.
    flight: Option<u64>,
    buffers: Vec<Buffer>,
    turn: u64,
    /// What it has brought, if it has landed.
    landed: Option<Aside>,
    /// The flights before it that are over but for their finish.
    aside: Vec<(u64, Aside)>,
}

/// A slot that a flight has been given, and has yet to take.
pub(super) struct Boarding {
    slot: Arc<Slot>,
    number: u64,
}

/// Arrays on their way: whoever has it has the arrays, or says so by dropping it.
pub(super) struct Flight {
    slot: Arc<Slot>,
    number: u64,
}

/// How a finish ended, with a panic of the operator or without.
pub(super) type End = std::thread::Result<Result<()>>;

thread_local! {
    /// The slots that this thread has made.
    static SLOTS: RefCell<Vec<Weak<Slot>>> = const { RefCell::new(Vec::new()) };
    /// How many flights it has started.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// Lands all that this thread has in flight, in slots that it has made: before a start waits for other ranks, who may be waiting
/// in a finish. Blocks until all ranks have started these exchanges.
pub(super) fn land_all() -> Result<()> {
    let slots: Vec<Arc<Slot>> = SLOTS.with_borrow(|slots| slots.iter().filter_map(Weak::upgrade).collect());
    // What is locked is just being finished.
    let mut started: Vec<_> = slots.iter().filter_map(|slot| Some((slot, slot.carried.try_lock().ok()?))).collect();
    started.retain(|(_, carried)| carried.exchange.is_started());
    started.sort_by_key(|(_, carried)| carried.turn);
    started.iter_mut().try_for_each(|(slot, carried)| carried.land().inspect_err(|_| slot.note(carried)))
}

impl Slot {
    pub(super) fn new(exchange: Exchange, flights: &Arc<AtomicUsize>) -> Arc<Slot> {
        let buffers = Vec::with_capacity(exchange.buffers());
        let carried = Mutex::new(Carried { exchange, flight: None, buffers, turn: 0, landed: None, aside: Vec::new() });
        let slot = Arc::new(Slot { flights: flights.clone(), failed: AtomicBool::new(false), carried });
        SLOTS.with_borrow_mut(|slots| {
            slots.retain(|slot| slot.strong_count() > 0);
            slots.push(Arc::downgrade(&slot));
        });
        slot
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether its exchange, which carries nothing, can be dropped with all that it has.
    pub(super) fn can_be_dropped(&self) -> bool {
        self.lock().exchange.can_be_dropped()
    }

    /// Gives it to flight `number`.
    pub(super) fn board(self: &Arc<Self>, number: u64) -> Boarding {
        Boarding { slot: self.clone(), number }
    }

    /// Why nothing is exchanged here any more, since a flight has failed.
    #[cold]
    pub(super) fn refusal(&self) -> Error {
        self.lock().exchange.refusal()
    }

    /// Never contended, but by threads that finish one flight of a rank and start another.
    fn lock(&self) -> MutexGuard<'_, Carried> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn note(&self, carried: &Carried) {
        self.failed.store(carried.exchange.is_broken(), Ordering::Relaxed);
    }
}

impl Boarding {
    /// Clears the slot of what it carries, and puts the buffers of `fields` there.
    ///
    /// # Errors
    /// What the end of the flight before meets. The exchange is then broken.
    fn enter(&self, fields: &mut dyn Sealed) -> Result<MutexGuard<'_, Carried>> {
        let mut carried = self.slot.lock();
        if !carried.exchange.is_idle() {
            drop(carried);
            let landed = land_all();
            carried = self.slot.lock();
            landed.and_then(|()| carried.clear()).inspect_err(|error| {
                carried.exchange.break_off(error);
                self.slot.note(&carried);
            })?;
        }
        carried.turn = TURNS.get();
        TURNS.set(carried.turn + 1);
        (carried.flight, carried.landed) = (Some(self.number), None);
        carried.buffers.clear();
        fields.push_buffers(&mut carried.buffers);
        Ok(carried)
    }

    /// Starts the exchange of `fields`. An error after the start comes with the flight, to be given up.
    ///
    /// # Safety
    /// As [`Exchange::start`], of the buffers of `fields`, until it is finished without error or given up.
    pub(super) unsafe fn start(self, fields: &mut dyn Sealed) -> Result<Flight, (Error, Option<Flight>)> {
        let mut carried = self.enter(fields).map_err(|error| (error, None))?;
        // SAFETY: the caller's promise.
        let started = unsafe { carried.start() }.inspect_err(|_| self.slot.note(&carried));
        drop(carried);
        let flight = Flight::new(self);
        match started {
            Ok(()) => Ok(flight),
            Err(error) => Err((error, Some(flight))),
        }
    }

    /// Starts and finishes the exchange of `fields`. What could not be finished comes with the flight, to be given up.
    ///
    /// # Safety
    /// As [`Boarding::start`], and as [`Exchange::finish`].
    pub(super) unsafe fn carry_out(self, fields: &mut dyn Sealed, landing: Landing<'_>) -> (End, Option<Flight>) {
        let mut carried = match self.enter(fields) {
            Ok(carried) => carried,
            Err(error) => return (Ok(Err(error)), None),
        };
        // SAFETY: the caller's promise.
        let end = match unsafe { carried.start() } {
            // SAFETY: as before.
            Ok(()) => unsafe { carried.finish(landing) },
            Err(error) => Ok(Err(error)),
        };
        if let Ok(Ok(())) = end {
            return (end, None);
        }
        self.slot.note(&carried);
        drop(carried);
        (end, Some(Flight::new(self)))
    }
}

impl Carried {
    /// # Safety
    /// As [`Exchange::start`], of the buffers that are here.
    #[inline]
    unsafe fn start(&mut self) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.exchange.start(&self.buffers) }
    }

    /// # Safety
    /// As [`Exchange::finish`], of the buffers that are here.
    #[inline]
    unsafe fn finish(&mut self, landing: Landing<'_>) -> End {
        // SAFETY: the caller's promise.
        let mut finish = || unsafe { self.exchange.finish(&self.buffers, landing) };
        match landing {
            Landing::Replace => Ok(finish()),
            // A closure may panic, with the neighbours still reading: that ends as an error does.
            Landing::Combine(_) => catch_unwind(AssertUnwindSafe(finish)),
        }
    }

    /// Ends the exchange, if it has not ended.
    #[cold]
    fn clear(&mut self) -> Result<()> {
        if self.exchange.is_started() {
            self.land()?;
            let aside = self.end_landed()?.expect("it has landed");
            self.aside.push((self.flight.take().expect("what is started is a flight"), aside));
        }
        self.exchange.make_idle()
    }

    /// Lands the flight, which has started, unless it has landed.
    fn land(&mut self) -> Result<()> {
        if self.landed.is_none() {
            let aside = self.landed.insert(Aside::default());
            // SAFETY: whoever has the flight keeps its arrays as `Boarding::start` says: until it has ended.
            unsafe { self.exchange.land_aside(&self.buffers, aside)? };
        }
        Ok(())
    }

    /// Ends the exchange of a flight that has landed, if it has: what it has brought.
    fn end_landed(&mut self) -> Result<Option<Aside>> {
        let Some(aside) = self.landed.take() else { return Ok(None) };
        // SAFETY: as in `land`.
        unsafe { self.exchange.finish_aside(&self.buffers, &aside)? };
        Ok(Some(aside))
    }

    /// What is set aside of a flight.
    fn take_aside(&mut self, number: u64) -> Option<Aside> {
        let index = self.aside.iter().position(|(flight, _)| *flight == number)?;
        Some(self.aside.swap_remove(index).1)
    }
}

impl Flight {
    fn new(Boarding { slot, number }: Boarding) -> Flight {
        slot.flights.fetch_add(1, Ordering::Relaxed);
        Flight { slot, number }
    }

    /// Whether finishing it would not wait.
    ///
    /// # Errors
    /// As [`Exchange::test`].
    ///
    /// # Safety
    /// As [`Exchange::test`], of the buffers that it was started with.
    pub(super) unsafe fn test(&self) -> Result<bool> {
        let mut carried = self.slot.lock();
        if carried.flight != Some(self.number) {
            return Ok(true);
        }
        let Carried { exchange, buffers, .. } = &mut *carried;
        // SAFETY: the caller's promise.
        unsafe { exchange.test(buffers) }.inspect_err(|_| self.slot.note(&carried))
    }

    /// Finishes it.
    ///
    /// # Errors
    /// As [`Exchange::finish`]; a panic of the operator, caught.
    ///
    /// # Safety
    /// As [`Exchange::finish`], of the buffers that it was started with.
    pub(super) unsafe fn finish(&self, landing: Landing<'_>) -> End {
        let mut carried = self.slot.lock();
        let brought = match carried.flight == Some(self.number) {
            true => carried.end_landed(),
            false => Ok(carried.take_aside(self.number)),
        };
        match brought {
            Ok(None) => {}
            Ok(Some(aside)) => {
                drop(carried);
                let Landing::Combine(kernels) = landing else { return Ok(Ok(())) };
                // SAFETY: the caller's promise.
                return catch_unwind(AssertUnwindSafe(|| unsafe { aside.land(kernels) })).map(Ok);
            }
            Err(error) => {
                self.slot.note(&carried);
                return Ok(Err(error));
            }
        }
        // SAFETY: the caller's promise.
        let end = unsafe { carried.finish(landing) };
        if !matches!(end, Ok(Ok(()))) {
            self.slot.note(&carried);
        }
        end
    }

    /// Gives it up, if it is not over, with what keeps its buffers: [`Exchange::abandon`].
    pub(super) fn abandon(self, keep: Keep) {
        let mut carried = self.slot.lock();
        drop(carried.take_aside(self.number));
        if carried.flight == Some(self.number) {
            carried.landed = None;
            carried.exchange.abandon(keep);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.slot.flights.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.slot.lock().exchange.fmt(f)
    }
}
