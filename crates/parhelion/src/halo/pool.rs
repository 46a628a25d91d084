//! [`Exchanges`]: the exchanges that the arrays of one decomposition share.
//!
//! An exchange is made when one is started and all of its kind are in flight, and used again and again by whatever arrays
//! come: swapping two arrays, dropping them and making others costs nothing. A *kind* is the list of fields (plan and
//! element type), the direction and the settings.
//!
//! Which of several idle exchanges of a kind is taken must be the same on every rank: it is the one made first. So that it
//! is, all ranks start the exchanges of a decomposition in one order; and where one is started while others are in flight,
//! the same ones are in flight on every rank.
//!
//! An exchange together with arrays of another decomposition can be asked for as long as that decomposition lives. Afterwards
//! it is dropped, when the next one is made here: a matter of each rank alone, since nobody can ask for it again, and since
//! what exchanges let go of is released collectively elsewhere (see [`MessageSet`](parhelion_comm::MessageSet)).

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use parhelion_comm::{Communicator, ElementType, Error, ErrorKind, Op, Result};

use super::Plan;
use super::alike::alike;
use super::auto::{self, Decision};
use super::columns::{Columns, Leading, Order};
use super::exchange::{Exchange, described};
use super::fields::sealed::Sealed;
use super::leg::{Buffer, Field};
use super::rounds::Rounds;
use super::scheme::{Scheme, Settings};

/// Which way elements go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// From owners to halos.
    Forward,
    /// From halos to owners.
    Adjoint,
}

/// The exchanges of one plan, idle ones at least, and the settings of those to come.
pub struct Exchanges {
    communicator: Communicator,
    plan: OnceLock<Arc<Plan>>,
    adjoint: OnceLock<Arc<Plan>>,
    state: Mutex<State>,
    columns: Mutex<Derived>,
}

/// The exchanges of several columns that are made of the plan of one.
#[derive(Default)]
struct Derived {
    made: Vec<(Columns, Arc<Exchanges>)>,
    /// What was given with each number of [`Leading::Given`].
    given: Vec<(usize, Order, usize)>,
}

struct State {
    /// `None`: those of the environment.
    settings: Option<Settings>,
    /// In the order in which they were made, and so by number.
    entries: Vec<Entry>,
    /// The number of the next one.
    next: u64,
    takes: u64,
    decisions: Vec<Decision>,
}

/// One exchange and its kind.
struct Entry {
    number: u64,
    asked: Settings,
    way: Way,
    fields: Vec<(Arc<Plan>, ElementType)>,
    /// Who has the plans, field by field.
    owners: Vec<Weak<Exchanges>>,
    /// `None` while it is in flight.
    idle: Option<Box<Lease>>,
    /// When it was last taken, counted in takes.
    taken: u64,
}

/// An exchange taken out of the pool.
pub(crate) struct Lease {
    pub(crate) exchange: Exchange,
    /// Where the buffers of the exchange lie.
    pub(crate) buffers: Vec<Buffer>,
    /// The arrays it is bound to, if it is bound to any.
    arrays: Vec<u64>,
    /// Its number in the pool.
    number: u64,
}

/// How many exchanges by datatypes of one kind are kept, each bound to arrays of its own.
const MOST_BOUND: usize = 8;

/// A visitor of the fields of an exchange, in order.
pub(crate) type EachField<'a> = &'a mut dyn FnMut(&Arc<Exchanges>, ElementType);

impl Exchanges {
    /// None yet.
    pub(crate) fn new(communicator: &Communicator) -> Arc<Self> {
        let state = State { settings: None, entries: Vec::new(), next: 0, takes: 0, decisions: Vec::new() };
        Arc::new(Exchanges {
            communicator: communicator.clone(),
            plan: OnceLock::new(),
            adjoint: OnceLock::new(),
            state: Mutex::new(state),
            columns: Mutex::default(),
        })
    }

    /// Makes the plan from owners to halos, unless it is made.
    #[inline]
    pub(crate) fn prepare(&self, plan: impl FnOnce() -> Result<Plan>) -> Result<()> {
        if self.plan.get().is_none() {
            let plan = Arc::new(plan()?);
            self.plan.get_or_init(|| plan);
        }
        Ok(())
    }

    /// The plan from owners to halos.
    ///
    /// # Panics
    /// Before [`Exchanges::prepare`].
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        self.plan.get().expect("fields are prepared before they are shown")
    }

    fn plan_of(&self, way: Way) -> &Arc<Plan> {
        let plan = self.plan();
        match way {
            Way::Forward => plan,
            Way::Adjoint => self.adjoint.get_or_init(|| Arc::new(plan.adjoint())),
        }
    }

    pub(crate) fn settings(&self) -> Result<Settings> {
        self.lock().settings()
    }

    pub(crate) fn set_settings(&self, settings: Settings) {
        self.lock().settings = Some(settings);
        self.derived().made.iter().for_each(|(_, exchanges)| exchanges.set_settings(settings));
    }

    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let mut decisions = self.lock().decisions.clone();
        decisions.extend(self.derived().made.iter().flat_map(|(_, exchanges)| exchanges.decisions()));
        decisions
    }

    pub(crate) fn add_decision(&self, decision: Decision) {
        self.derived().made.iter().for_each(|(_, exchanges)| exchanges.add_decision(decision.clone()));
        self.lock().decisions.push(decision);
    }

    /// The exchanges of `columns` in the buffers of these, with the settings of these and those set here later. Local: the
    /// plan is made, collectively, by [`Exchanges::prepare_columns`].
    pub(crate) fn columns(&self, columns: &Columns) -> Arc<Exchanges> {
        let mut derived = self.derived();
        if let Some((_, exchanges)) = derived.made.iter().find(|(made, _)| made == columns) {
            return exchanges.clone();
        }
        let exchanges = Exchanges::new(&self.communicator);
        {
            let (state, mut new) = (self.lock(), exchanges.lock());
            new.settings = state.settings;
            new.decisions.clone_from(&state.decisions);
        }
        derived.made.push((*columns, exchanges.clone()));
        exchanges
    }

    /// Makes the plan of what [`Exchanges::columns`] gave for `columns`, unless it is made. Collective.
    #[inline]
    pub(crate) fn prepare_columns(&self, columns: &Columns, of: &Exchanges) -> Result<()> {
        self.prepare(|| of.plan().columns(&mut Rounds::new(&self.communicator)?, columns))
    }

    /// Agrees on the number of a distance between rows or columns, which can differ from rank to rank. Collective: a reduction.
    pub(crate) fn leading(&self, count: usize, order: Order, value: usize) -> Result<Leading> {
        let mut derived = self.derived();
        // Which numbers stand for this on this rank, then on all: the ranks have counted alike so far.
        let mut known = vec![0u64; derived.given.len() / 64 + 1];
        for (number, given) in derived.given.iter().enumerate() {
            known[number / 64] |= u64::from(*given == (count, order, value)) << (number % 64);
        }
        self.communicator.all_reduce_in_place(&mut known, Op::BitAnd)?;
        if let Some((word, bits)) = known.iter().enumerate().find(|(_, bits)| **bits != 0) {
            return Ok(Leading::Given { value, number: 64 * word + bits.trailing_zeros() as usize });
        }
        derived.given.push((count, order, value));
        Ok(Leading::Given { value, number: derived.given.len() - 1 })
    }

    fn derived(&self) -> MutexGuard<'_, Derived> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Never contended: a rank starts and finishes its exchanges one after the other.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle exchange for `fields`, the first of which has `self`, with their buffers. Made, collectively, if there is none.
    pub(crate) fn take(&self, way: Way, fields: &mut dyn Sealed) -> Result<Box<Lease>> {
        let mut state = self.lock();
        state.takes += 1;
        let asked = state.settings()?;
        let found = state.entries.iter().position(|entry| entry.is_free_for(asked, way, fields));
        let mut lease = match found {
            Some(index) if state.entries[index].is_bound() => return self.take_bound(&mut state, asked, way, fields),
            Some(index) => state.hand_out(index),
            None => self.make(&mut state, asked, way, fields)?,
        };
        lease.buffers.clear();
        fields.push_buffers(&mut lease.buffers);
        lease.arrays.clear();
        fields.push_ids(&mut lease.arrays);
        Ok(lease)
    }

    /// An exchange that is bound to these very arrays, or else a new one, or else the one that was not used for longest.
    ///
    /// Arrays are told apart by their numbers and not by the addresses of their buffers, which one rank may see again and
    /// another not, and which a rank without patches has none of.
    #[cold]
    fn take_bound(&self, state: &mut State, asked: Settings, way: Way, fields: &mut dyn Sealed) -> Result<Box<Lease>> {
        let (mut buffers, mut arrays) = (Vec::new(), Vec::new());
        fields.push_buffers(&mut buffers);
        fields.push_ids(&mut arrays);
        let kind: Vec<usize> =
            (0..state.entries.len()).filter(|&i| state.entries[i].is_free_for(asked, way, fields)).collect();
        let same = |&&i: &&usize| state.entries[i].idle.as_ref().is_some_and(|lease| lease.arrays == arrays);
        let mut lease = match kind.iter().find(same) {
            Some(&index) => return Ok(state.hand_out(index)),
            None if kind.len() < MOST_BOUND => self.make(state, asked, way, fields)?,
            None => {
                let oldest = kind.into_iter().min_by_key(|&i| state.entries[i].taken).expect("there are several");
                let mut lease = state.hand_out(oldest);
                if let Err(error) = lease.exchange.unbind() {
                    state.entries[oldest].idle = Some(lease);
                    return Err(error);
                }
                lease
            }
        };
        (lease.buffers, lease.arrays) = (buffers, arrays);
        Ok(lease)
    }

    /// Makes an exchange. Collective.
    #[cold]
    fn make(&self, state: &mut State, asked: Settings, way: Way, fields: &dyn Sealed) -> Result<Box<Lease>> {
        state.entries.retain(Entry::can_be_of_use);
        let (mut parts, mut owners, mut elsewhere) = (Vec::new(), Vec::new(), None);
        fields.each_field(&mut |exchanges, element| {
            if !exchanges.communicator.is_same(&self.communicator) {
                elsewhere = Some((parts.len(), exchanges.communicator.name().to_owned()));
            }
            parts.push(Field { plan: exchanges.plan_of(way).clone(), element });
            owners.push(Arc::downgrade(exchanges));
        });
        if let Some((field, name)) = elsewhere {
            return Err(Error::new(
                "start_exchange",
                ErrorKind::InvalidArgument(format!(
                    "field {field} lives on communicator {name:?}, field 0 on {:?}; arrays exchanged together share one",
                    self.communicator.name()
                )),
            ));
        }
        let settings = match asked.scheme {
            Scheme::Auto => self.decide(state, way, &parts)?,
            _ => asked,
        };
        let exchange = Exchange::new(&self.communicator, parts.clone(), settings)?;
        let buffers = Vec::with_capacity(exchange.buffers());
        let number = state.next;
        state.next += 1;
        let fields = parts.into_iter().map(|f| (f.plan, f.element)).collect();
        state.entries.push(Entry { number, asked, way, fields, owners, idle: None, taken: state.takes });
        Ok(Box::new(Lease { exchange, buffers, arrays: Vec::new(), number }))
    }

    /// What [`Scheme::Auto`] stands for, measured if it was not before. Collective.
    fn decide(&self, state: &mut State, way: Way, fields: &[Field]) -> Result<Settings> {
        alike(&self.communicator, || format!("an exchange of {} by the fastest scheme", described(fields)))?;
        let subject = auto::subject(&self.communicator, way, fields)?;
        let known = state.decisions.iter().find(|d| d.is_about(&subject)).map(Decision::chosen);
        alike(&self.communicator, || match known {
            Some(chosen) => format!("{chosen}, by a decision that was made before"),
            None => "a measurement of all schemes".to_owned(),
        })?;
        if let Some(chosen) = known {
            return Ok(chosen);
        }
        let decision = auto::measure(&self.communicator, subject, fields)?;
        let chosen = decision.chosen();
        state.decisions.push(decision);
        Ok(chosen)
    }

    /// Gives it back: idle, abandoned or broken.
    pub(crate) fn put(&self, lease: Box<Lease>) {
        let mut state = self.lock();
        let index = state.entries.binary_search_by_key(&lease.number, |entry| entry.number);
        state.entries[index.expect("an exchange in flight keeps its place")].idle = Some(lease);
    }
}

impl State {
    fn settings(&mut self) -> Result<Settings> {
        match self.settings {
            Some(settings) => Ok(settings),
            None => Ok(*self.settings.insert(Settings::from_env()?)),
        }
    }

    fn hand_out(&mut self, index: usize) -> Box<Lease> {
        let entry = &mut self.entries[index];
        entry.taken = self.takes;
        entry.idle.take().expect("only idle exchanges are found")
    }
}

impl Entry {
    fn is_bound(&self) -> bool {
        self.idle.as_ref().is_some_and(|lease| lease.exchange.is_bound())
    }

    /// Whether it is in flight, or somebody can ask for it, or it would have to forget what it keeps for others.
    fn can_be_of_use(&self) -> bool {
        let Some(lease) = &self.idle else { return true };
        self.owners.iter().all(|owner| owner.strong_count() > 0) || !lease.exchange.can_be_dropped()
    }

    /// Whether it is idle and of the kind.
    fn is_free_for(&self, asked: Settings, way: Way, fields: &dyn Sealed) -> bool {
        self.idle.is_some() && self.asked == asked && self.way == way && self.carries(fields)
    }

    fn carries(&self, fields: &dyn Sealed) -> bool {
        let (mut seen, mut same) = (0, true);
        fields.each_field(&mut |exchanges, element| {
            let plan = exchanges.plan_of(self.way);
            same &= self.fields.get(seen).is_some_and(|(p, e)| Arc::ptr_eq(p, plan) && *e == element);
            seen += 1;
        });
        same && seen == self.fields.len()
    }
}

impl std::fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Exchanges").field("settings", &state.settings).field("made", &state.entries.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parhelion_comm::{BackendKind, Config, launch};

    use super::*;
    use crate::halo::{exchange, start_exchange};
    use crate::prelude::*;

    #[test]
    fn exchanges_with_decompositions_that_are_gone_are_dropped() {
        let config = Config::default().ranks(3).backend(BackendKind::Local).timeout(Duration::from_secs(30));
        launch(&config, |world| {
            let grid = |rows| -> Result<_> {
                Ok(Decomposition::new([rows, 5], &world)?.halo(1).periodic([true, true]).edges_and_corners(true))
            };
            let fixed = grid(12)?;
            for scheme in Scheme::ALL {
                fixed.set_scheme(scheme);
                let before = fixed.exchanges().lock().entries.len();
                let mut plans = Vec::new();
                for step in 0..40 {
                    // In each step another one, and in some of them given up; ranks part with theirs at times of their own.
                    let rebuilt = grid(12 + step % 7)?;
                    let mut both = (DistArray::full(&fixed, 1u32)?, DistArray::full(&rebuilt, 2.0f64)?);
                    exchange(&mut both)?;
                    assert!(both.1.with_halo().iter().all(|cell| *cell == 2.0), "{scheme}, step {step}");
                    plans.push(Arc::downgrade(rebuilt.exchanges().plan()));
                    if step % 9 == world.rank() {
                        drop(start_exchange(both)?);
                    } else {
                        drop(start_exchange(both)?.finish()?);
                    }
                }
                let more = fixed.exchanges().lock().entries.len() - before;
                let alive = plans.iter().filter(|plan| plan.strong_count() > 0).count();
                assert!(more <= 4 && alive <= 4, "{scheme}: {more} exchanges and {alive} plans of 40 are left");
            }
            let mut own = DistArray::full(&fixed, 3u32)?;
            own.exchange()?;
            assert!(own.with_halo().iter().all(|cell| *cell == 3));
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}
