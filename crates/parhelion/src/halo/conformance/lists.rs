//! Index lists: which list of a descriptor carries a vector, in any order of lists, directions and schemes.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Complex, Layout, Op};

use super::check::{ensure, value};
use super::meshes::{PARTITIONS, Partition, is_slow, mesh_of, rounds, settings_for};
use crate::halo::{Plan, Scheme, Settings, start_exchange};
use crate::index::{Coverage, Descriptor, DistMultiVector, DistVector, List, Migration, Order};

pub(super) const CASES: &[Case] = &[
    Case::new("lists: schemes, lists and directions of one vector change in any order", any_order),
    Case::new("lists: <A x, y> = <x, At y> for every list and scheme", inner_products),
    Case::new("lists: the adjoint of every list has the same bits by every scheme", same_bits),
    Case::new("lists: vectors are in flight on several lists together, and what is readable stays", in_flight),
    Case::new("lists: several columns are carried as a vector is", columns),
    Case::new("lists: a list that nobody has moves nothing", absent),
    Case::new("lists: a vector whose operator panics is on the halo's list again", panics),
];

fn plan_of(index: &Descriptor, list: List) -> Option<&Plan> {
    match list {
        List::Halo => Some(index.plan()),
        List::Overlap => index.overlap_plan(),
        List::Extension => index.extension_plan(),
    }
}

/// The places of a layout.
fn places(layout: &Layout) -> Vec<usize> {
    layout.iter_runs().flat_map(|(start, len)| start..start + len).collect()
}

/// What a plan carries on all ranks: receiving rank and place, sending rank and place, by receiver.
type Links = Vec<[usize; 4]>;

fn links_of(c: &Communicator, plan: Option<&Plan>) -> Result<Links, Halt> {
    let mut mine: Vec<u64> = Vec::new();
    let mut add = |peer: usize, here: &Layout, there: &Layout| {
        for (here, there) in places(here).into_iter().zip(places(there)) {
            mine.extend([c.rank(), here, peer, there].map(|n| n as u64));
        }
    };
    for transfer in plan.into_iter().flat_map(Plan::recvs) {
        transfer.pieces.iter().for_each(|piece| add(transfer.peer, &piece.layout, &piece.remote));
    }
    plan.into_iter().flat_map(Plan::local).for_each(|copy| add(c.rank(), &copy.to, &copy.from));
    let (all, _) = c.all_gatherv(&mine)?;
    Ok(all.chunks_exact(4).map(|w| std::array::from_fn(|i| w[i] as usize)).collect())
}

/// What all ranks have, simulated on each: plans carried out by their definition.
#[derive(Clone)]
struct Model {
    /// The elements of each rank.
    ranks: Vec<Vec<u64>>,
    /// Of each list.
    links: Rc<[Links; 3]>,
}

impl Model {
    fn new(c: &Communicator, index: &Descriptor) -> Result<Model, Halt> {
        let lens = c.all_gather(&[index.len() as u64])?;
        let links = |list| links_of(c, plan_of(index, list));
        let links = Rc::new([links(List::Halo)?, links(List::Overlap)?, links(List::Extension)?]);
        Ok(Model { ranks: lens.iter().map(|&len| vec![0; len as usize]).collect(), links })
    }

    fn fill(&mut self, salt: u64) {
        for (rank, elements) in self.ranks.iter_mut().enumerate() {
            elements.iter_mut().enumerate().for_each(|(i, x)| *x = value([rank as i64, i as i64], salt));
        }
    }

    fn exchange(&mut self, list: List) {
        let before = self.ranks.clone();
        carry(&self.links[list as usize], &before, &mut self.ranks);
    }

    /// With an operator that knows the order of the contributions.
    fn adjoint(&mut self, list: List) {
        let before = self.ranks.clone();
        carry_back(&self.links[list as usize], &mut self.ranks, &before);
    }
}

fn carry(links: &Links, from: &[Vec<u64>], to: &mut [Vec<u64>]) {
    for &[rank, here, peer, there] in links {
        to[rank][here] = from[peer][there];
    }
}

fn carry_back(links: &Links, from: &mut [Vec<u64>], to: &[Vec<u64>]) {
    for &[rank, here, peer, there] in links {
        from[peer][there] = fold(from[peer][there], to[rank][here]);
    }
}

fn fold(owner: u64, copy: u64) -> u64 {
    owner.wrapping_mul(31).wrapping_add(copy)
}

/// A descriptor with halo, shared points and layers.
fn descriptor(c: &Communicator, partition: Partition) -> Result<Descriptor, Halt> {
    Ok(mesh_of(c, [3, 4, 4], partition)?.extend(1)?)
}

/// A number that is another each time, the same on all ranks; or the one of the environment, to see a failure again.
fn seed(c: &Communicator) -> Result<u64, Halt> {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let mut seed = [given.unwrap_or_else(|| RandomState::new().hash_one(()))];
    c.broadcast(&mut seed, 0)?;
    Ok(seed[0])
}

/// The variable that has the seed of a sequence.
const SEED: &str = "PARHELION_SEQUENCE_SEED";

/// A vector, columns, a vector of another descriptor, and what they should be.
struct Sequence<'a> {
    c: &'a Communicator,
    vector: DistVector<u64>,
    columns: DistMultiVector<u64>,
    target: DistVector<u64>,
    migration: Migration,
    /// Of the vector, then of each column.
    models: [Model; 3],
    target_model: Model,
    links: Links,
}

impl<'a> Sequence<'a> {
    fn new(c: &'a Communicator, index: &Descriptor, other: &Descriptor, salt: u64) -> Result<Self, Halt> {
        let migration = Migration::new(index, other)?;
        let links = links_of(c, Some(migration.plan()))?;
        let model = Model::new(c, index)?;
        let mut models = [model.clone(), model.clone(), model];
        (0..).zip(&mut models).for_each(|(i, model)| model.fill(salt.wrapping_add(i)));
        let mut target_model = Model::new(c, other)?;
        target_model.fill(salt.wrapping_add(3));
        let (mut vector, mut target) = (DistVector::zeros(index), DistVector::zeros(other));
        vector.local_mut().copy_from_slice(&models[0].ranks[c.rank()]);
        target.local_mut().copy_from_slice(&target_model.ranks[c.rank()]);
        let order = if salt.is_multiple_of(2) { Order::RowMajor } else { Order::ColumnMajor };
        let mut columns = DistMultiVector::zeros_in(index, 2, order);
        for ((local, column), x) in columns.local_mut().indexed_iter_mut() {
            *x = models[1 + column].ranks[c.rank()][local];
        }
        Ok(Sequence { c, vector, columns, target, migration, models, target_model, links })
    }

    /// One of all the ways to move something, drawn by `choose`. Says what it was.
    fn step(mut self, list: List, way: usize) -> Result<(Self, &'static str), Halt> {
        let [vector, columns @ ..] = &mut self.models;
        let said = match way {
            0 => {
                vector.exchange(list);
                match list {
                    List::Halo => self.vector.exchange()?,
                    _ => self.vector.exchange_on(list)?,
                }
                "exchange"
            }
            1 => {
                vector.exchange(list);
                self.vector = self.vector.start_exchange_on(list)?.finish()?.into_vector();
                "exchange, started and finished"
            }
            2 => {
                vector.adjoint(list);
                self.vector.exchange_adjoint_on(list, fold)?;
                "adjoint"
            }
            3 => {
                vector.adjoint(list);
                self.vector = self.vector.start_exchange_adjoint_on(list, fold)?.finish()?.into_vector();
                "adjoint, started and finished"
            }
            4 => {
                columns.iter_mut().for_each(|model| model.exchange(list));
                self.columns.exchange_on(list)?;
                "exchange of columns"
            }
            5 => {
                columns.iter_mut().for_each(|model| model.adjoint(list));
                match list {
                    List::Halo => self.columns.exchange_adjoint(fold)?,
                    _ => self.columns.exchange_adjoint_on(list, fold)?,
                }
                "adjoint of columns"
            }
            6 => {
                vector.exchange(list);
                columns.iter_mut().for_each(|model| model.exchange(list));
                let both = start_exchange((self.vector.on(list), self.columns.on(list)))?;
                let (vector, columns) = both.finish()?;
                (self.vector, self.columns) = (vector.into_vector(), columns.into_vector());
                "exchange of both together"
            }
            7 => {
                carry(&self.links, &vector.ranks, &mut self.target_model.ranks);
                let both = self.migration.start_into(self.vector, self.target)?.finish()?;
                (self.vector, self.target) = both.into_vectors();
                "migration"
            }
            _ => {
                carry_back(&self.links, &mut vector.ranks, &self.target_model.ranks);
                self.migration.migrate_adjoint(&mut self.vector, &self.target, fold)?;
                "migration back"
            }
        };
        Ok((self, said))
    }

    fn is_right(&self) -> bool {
        let here = |model: &Model| model.ranks[self.c.rank()].clone();
        let column = |j: usize| self.columns.column_view(j).iter().copied().eq(here(&self.models[1 + j]));
        self.vector.local() == here(&self.models[0])
            && column(0)
            && column(1)
            && self.target.local() == here(&self.target_model)
    }
}

fn any_order(c: &Communicator) -> Outcome {
    let seed = seed(c)?;
    let partitions = [Partition::Blocks, Partition::Random, Partition::Dealt];
    let mut settings: Vec<Settings> = settings_for(c).collect();
    if !is_slow(c) {
        settings.push(Scheme::Auto.into());
    }
    for round in 0..2 {
        let choose = |step: i64, what: i64, n: usize| (value::<u64, 3>([round, step, what], seed) % n as u64) as usize;
        let (index, other) =
            (descriptor(c, partitions[choose(-1, 0, 3)])?, descriptor(c, partitions[choose(-1, 1, 3)])?);
        let mut sequence = Sequence::new(c, &index, &other, value([round], seed))?;
        let mut history = Vec::new();
        for step in 0..rounds(c, 150) as i64 {
            let (list, settings) = (List::ALL[choose(step, 0, 3)], settings[choose(step, 1, settings.len())]);
            index.set_scheme(settings);
            sequence.migration.set_scheme(settings);
            let said;
            (sequence, said) = sequence.step(list, choose(step, 2, 9))?;
            history.push(format!("{said} by {list:?} and {settings}"));
            if !sequence.is_right() {
                let last = &history[history.len().saturating_sub(4)..];
                return ensure(false, format_args!("step {step} of round {round} with {SEED}={seed}, after {last:?}"));
            }
        }
    }
    Ok(())
}

/// Small integers everywhere, so that sums are exact and do not depend on their order.
fn whole(index: &Descriptor, salt: u64) -> DistVector<f64> {
    let mut x = DistVector::zeros(index);
    let rank = index.rank() as i64;
    let number = |local: usize| (value::<u64, 2>([rank, local as i64], salt) % 23) as f64 - 11.0;
    x.local_mut().iter_mut().enumerate().for_each(|(local, x)| *x = number(local));
    x
}

/// Of a list, the map sends what its receiving ends do not have to itself and to them. Its transpose has zeros there.
fn inner_products(c: &Communicator) -> Outcome {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    for partition in PARTITIONS {
        let index = descriptor(c, partition)?;
        // The choice by measurement once, where it is quick.
        let chosen = (matches!(partition, Partition::Random) && !is_slow(c)).then(|| Scheme::Auto.into());
        for settings in settings_for(c).chain(chosen) {
            index.set_scheme(settings);
            for list in List::ALL {
                let receiving: Vec<usize> = plan_of(&index, list)
                    .into_iter()
                    .flat_map(Plan::recvs)
                    .flat_map(|t| &t.pieces)
                    .flat_map(|p| places(&p.layout))
                    .collect();
                let (x, y) = (whole(&index, 3), whole(&index, 8));
                let (mut ax, mut aty) = (x.clone(), y.clone());
                ax.exchange_on(list)?;
                aty.exchange_adjoint_on(list, Op::Sum)?;
                let untouched = receiving.iter().all(|&i| aty.local()[i] == y.local()[i]);
                ensure(untouched, format_args!("{settings}, {list:?}: the receiving ends were changed"))?;
                receiving.iter().for_each(|&i| aty.local_mut()[i] = 0.0);
                let sides = c.all_reduce(&[dot(ax.local(), y.local()), dot(x.local(), aty.local())], Op::Sum)?;
                ensure(sides[0] == sides[1], format_args!("{settings}, {list:?}, {partition:?}: {sides:?}"))?;
            }
        }
    }
    Ok(())
}

fn same_bits(c: &Communicator) -> Outcome {
    let index = descriptor(c, Partition::Random)?;
    let mut first: Vec<Option<Vec<u64>>> = vec![None; List::ALL.len()];
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for list in List::ALL {
            let mut x = DistVector::zeros(&index);
            for (local, x) in x.local_mut().iter_mut().enumerate() {
                *x = (1.0 + (local * 7 + c.rank() * 3) as f64).sqrt() * 10f64.powi(local as i32 % 9 - 4);
            }
            x.exchange_adjoint_on(list, Op::Sum)?;
            let bits: Vec<u64> = x.local().iter().map(|x: &f64| x.to_bits()).collect();
            let first = first[list as usize].get_or_insert_with(|| bits.clone());
            ensure(*first == bits, format_args!("{settings}, {list:?}: other bits than by the first scheme"))?;
        }
    }
    Ok(())
}

fn in_flight(c: &Communicator) -> Outcome {
    let index = descriptor(c, Partition::Random)?;
    let mut model = Model::new(c, &index)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        model.fill(0);
        let mut x = DistVector::<u64>::zeros(&index);
        x.local_mut().copy_from_slice(&model.ranks[c.rank()]);
        let flights = start_exchange(List::ALL.map(|list| x.clone().on(list)).to_vec())?;
        let alone = x.clone().start_exchange_on(List::Overlap)?;
        let y = DistVector::from_fn(&index, |i| Complex::new(i as f32, -1.0)).start_exchange()?;
        for (list, readable) in List::ALL.into_iter().zip(flights.owned()) {
            let mut seen = 0;
            for (start, run) in readable.runs() {
                ensure(run == &x.local()[start..start + run.len()], format_args!("{settings}, {list:?} in flight"))?;
                seen += run.len();
            }
            let want = match list {
                List::Halo => index.owned_len(),
                List::Overlap => index.counted().len(),
                List::Extension => index.inner_len(),
            };
            ensure((seen, readable.len()) == (want, want), format_args!("{list:?}: {seen} readable of {want}"))?;
        }
        for (list, landed) in List::ALL.into_iter().zip(flights.finish()?) {
            let mut model = model.clone();
            model.exchange(list);
            let landed = landed.into_vector();
            ensure(landed.local() == model.ranks[c.rank()], format_args!("{settings}, {list:?} with others"))?;
        }
        let alone = alone.finish()?;
        ensure(alone.list() == List::Overlap, "the list was forgotten")?;
        let mut alone = alone.into_vector();
        model.exchange(List::Overlap);
        ensure(alone.local() == model.ranks[c.rank()], format_args!("{settings}: overlap alone"))?;
        // It is an ordinary vector again.
        model.exchange(List::Halo);
        alone.exchange()?;
        ensure(alone.local() == model.ranks[c.rank()], format_args!("{settings}: the halo after the overlap"))?;
        let y = y.finish()?;
        let right =
            (0..index.len()).all(|l| Some(y.local()[l]) == index.global(l).map(|i| Complex::new(i as f32, -1.0)));
        ensure(right, format_args!("{settings}: another vector in flight"))?;
    }
    Ok(())
}

fn columns(c: &Communicator) -> Outcome {
    let index = descriptor(c, Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for list in List::ALL {
            for order in [Order::RowMajor, Order::ColumnMajor] {
                let single = [whole(&index, 1), whole(&index, 2)];
                let mut all = DistMultiVector::zeros_in(&index, single.len(), order);
                for (column, x) in single.iter().enumerate() {
                    x.local().iter().enumerate().for_each(|(local, &x)| all.local_mut()[[local, column]] = x);
                }
                let same = |all: &DistMultiVector<f64>, single: &[DistVector<f64>], way: &str| {
                    let mut columns = single.iter().enumerate();
                    let same = columns.all(|(column, x)| all.local().column(column).iter().eq(x.local()));
                    ensure(same, format_args!("{settings}, {list:?}, {order:?}, {way}"))
                };
                let mut want = single.clone();
                for x in &mut want {
                    x.exchange_on(list)?;
                }
                let mut exchanged = all.clone();
                exchanged.exchange_on(list)?;
                same(&exchanged, &want, "exchanged")?;
                let inflight = all.clone().start_exchange_on(list)?;
                for (start, rows) in inflight.owned().runs() {
                    let same = (0..rows.nrows()).all(|i| rows[[i, 1]] == single[1].local()[start + i]);
                    ensure(same, format_args!("{settings}, {list:?}, {order:?}: in flight"))?;
                }
                same(&inflight.finish()?.into_vector(), &want, "started and finished")?;
                let mut want = single;
                for x in &mut want {
                    x.exchange_adjoint_on(list, Op::Sum)?;
                }
                all.exchange_adjoint_on(list, Op::Sum)?;
                same(&all, &want, "the adjoint")?;
            }
        }
    }
    // A list that nobody has.
    let alone = mesh_of(c, [1, 4, 5], Partition::Blocks)?;
    let mut all = DistMultiVector::full(&alone, 2, 1.5);
    all.exchange_adjoint_on(List::Extension, Op::Sum)?;
    let all = all.start_exchange_on(List::Overlap)?.finish()?.into_vector();
    ensure(all.owned().iter().all(|&x| x == 1.5), "a list that nobody has moved columns")
}

fn absent(c: &Communicator) -> Outcome {
    let index = mesh_of(c, [1, 4, 5], Partition::Random)?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        for list in [List::Overlap, List::Extension] {
            let mut x = whole(&index, 5);
            let before = x.local().to_vec();
            x.exchange_on(list)?;
            x.exchange_adjoint_on(list, Op::Sum)?;
            let inflight = x.start_exchange_on(list)?;
            ensure(inflight.owned().len() == index.owned_len(), format_args!("{list:?}: not all is readable"))?;
            // With another vector that does travel.
            let both = start_exchange((inflight.finish()?, DistVector::from_fn(&index, |i| i)))?;
            let (x, y) = both.finish()?;
            ensure(x.into_vector().local() == before, format_args!("{settings}: {list:?} moved something"))?;
            let right = (0..index.len()).all(|local| index.global(local) == Some(y.local()[local]));
            ensure(right, format_args!("{settings}: beside {list:?}, the halo"))?;
        }
    }
    Ok(())
}

fn panics(c: &Communicator) -> Outcome {
    if c.size() == 1 {
        return Err(Halt::Skipped("needs two ranks".to_owned()));
    }
    // Rank 0 is the master of index 0, which is everybody's, and the only one whose operator is called.
    let owned = [0, 1 + c.rank() as u64];
    let index = Descriptor::builder(c).owned(owned).coverage(Coverage::Every).halo([1]).assemble()?;
    let mut x = DistVector::full(&index, 1u64);
    let panics = std::panic::AssertUnwindSafe(|| {
        x.exchange_adjoint_on(List::Overlap, |_: u64, _: u64| -> u64 {
            std::panic::resume_unwind(Box::new("as it is meant to"))
        })
    });
    let outcome = std::panic::catch_unwind(panics);
    ensure(outcome.is_err() == (c.rank() == 0), "the operator was called on the wrong rank")?;
    // The halo's exchange was not touched by it.
    x.exchange()?;
    ensure(x.halo().iter().all(|&x| x == 1), format_args!("the halo: {:?}", x.halo()))
}
