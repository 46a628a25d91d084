//! [`Exchanges`]: the exchanges that the arrays of one decomposition share, by [`Kind`].
//!
//! They are made when they are first needed, and used again and again by whatever arrays come: swapping two arrays, dropping
//! them and making others costs nothing.
//!
//! An exchange together with arrays of another decomposition can be asked for as long as that decomposition lives. Afterwards
//! it is dropped, when the next kind is made here: a matter of each rank alone, since nobody can ask for it again, and since
//! what exchanges let go of is released collectively elsewhere (see [`MessageSet`](parhelion_comm::MessageSet)).

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use parhelion_comm::{Communicator, ElementType, Error, ErrorKind, Op, Result};

use super::Plan;
use super::alike::alike;
use super::auto::{self, Decision};
use super::columns::{Columns, Leading, Order};
use super::exchange::{Exchange, described};
use super::fields::sealed::Sealed;
use super::kind::Kind;
use super::leg::Field;
use super::rounds::Rounds;
use super::scheme::{Scheme, Settings};
use super::slot::{Boarding, land_all};

/// Which way elements go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// From owners to halos.
    Forward,
    /// From halos to owners.
    Adjoint,
}

/// The exchanges of one plan, and the settings of those to come.
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
    kinds: Vec<Kind>,
    decisions: Vec<Decision>,
}

/// A visitor of the fields of an exchange, in order.
pub(crate) type EachField<'a> = &'a mut dyn FnMut(&Arc<Exchanges>, ElementType);

impl Exchanges {
    /// None yet.
    pub(crate) fn new(communicator: &Communicator) -> Arc<Self> {
        let state = State { settings: None, kinds: Vec::new(), decisions: Vec::new() };
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
            land_all()?;
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

    pub(super) fn plan_of(&self, way: Way) -> &Arc<Plan> {
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

    /// A place for a flight of `fields`, the first of which has `self`. Makes, collectively, what it needs and is not there yet.
    pub(super) fn board(&self, way: Way, fields: &dyn Sealed) -> Result<Boarding> {
        let mut state = self.lock();
        let asked = state.settings()?;
        let kind = match state.kinds.iter().position(|kind| kind.is(asked, way, fields)) {
            Some(kind) => kind,
            None => self.add_kind(&mut state, asked, way, fields)?,
        };
        let State { kinds, decisions, .. } = &mut *state;
        kinds[kind].board(&self.communicator, |kind| {
            let fields: Vec<Field> = kind.fields().to_vec();
            let settings = match asked.scheme {
                Scheme::Auto => self.decide(decisions, way, &fields)?,
                _ => asked,
            };
            Exchange::new(&self.communicator, fields, settings)
        })
    }

    #[cold]
    fn add_kind(&self, state: &mut State, asked: Settings, way: Way, fields: &dyn Sealed) -> Result<usize> {
        state.kinds.retain(Kind::can_be_of_use);
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
        state.kinds.push(Kind::new(asked, way, parts, owners));
        Ok(state.kinds.len() - 1)
    }

    /// What [`Scheme::Auto`] stands for, measured if it was not before. Collective.
    fn decide(&self, decisions: &mut Vec<Decision>, way: Way, fields: &[Field]) -> Result<Settings> {
        alike(&self.communicator, || format!("an exchange of {} by the fastest scheme", described(fields)))?;
        let subject = auto::subject(&self.communicator, way, fields)?;
        let known = decisions.iter().find(|d| d.is_about(&subject)).map(Decision::chosen);
        alike(&self.communicator, || match known {
            Some(chosen) => format!("{chosen}, by a decision that was made before"),
            None => "a measurement of all schemes".to_owned(),
        })?;
        if let Some(chosen) = known {
            return Ok(chosen);
        }
        let decision = auto::measure(&self.communicator, subject, fields)?;
        let chosen = decision.chosen();
        decisions.push(decision);
        Ok(chosen)
    }
}

impl State {
    fn settings(&mut self) -> Result<Settings> {
        match self.settings {
            Some(settings) => Ok(settings),
            None => Ok(*self.settings.insert(Settings::from_env()?)),
        }
    }
}

impl std::fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("Exchanges").field("settings", &state.settings).field("kinds", &state.kinds).finish()
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
    fn there_are_as_many_exchanges_as_any_rank_has_in_flight_at_once() {
        let config = Config::default().ranks(3).backend(BackendKind::Local).timeout(Duration::from_secs(30));
        launch(&config, |world| {
            let grid = Decomposition::new([12], &world)?.halo(1);
            let array = || DistArray::full(&grid, 1.0f64);
            let made = || grid.exchanges().lock().kinds.iter().map(Kind::exchanges).collect::<Vec<_>>();
            grid.set_scheme(Scheme::P2p);
            for _ in 0..9 {
                drop(start_exchange(array()?)?.finish()?);
            }
            assert_eq!(made(), [1], "one after the other");
            for _ in 0..9 {
                // Only rank 1 has three of them in flight.
                let (first, second) = (start_exchange(array()?)?, start_exchange(array()?)?);
                let first = match world.rank() {
                    1 => Some(first),
                    _ => {
                        first.finish()?;
                        None
                    }
                };
                let third = start_exchange(array()?)?;
                if let Some(first) = first {
                    drop(first.finish()?);
                }
                drop((second.finish()?, third.finish()?));
            }
            assert_eq!(made(), [3], "three at rank 1");
            Ok::<_, Error>(())
        })
        .unwrap();
    }

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
                let before = fixed.exchanges().lock().kinds.len();
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
                let more = fixed.exchanges().lock().kinds.len() - before;
                let alive = plans.iter().filter(|plan| plan.strong_count() > 0).count();
                assert!(more <= 4 && alive <= 4, "{scheme}: {more} kinds and {alive} plans of 40 are left");
            }
            let mut own = DistArray::full(&fixed, 3u32)?;
            own.exchange()?;
            assert!(own.with_halo().iter().all(|cell| *cell == 3));
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}
