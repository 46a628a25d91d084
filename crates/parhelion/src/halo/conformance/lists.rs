//! Index lists: which list of a descriptor carries a vector, in any order of lists, directions and schemes.

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Complex, Op};

use super::check::{ensure, value};
use super::meshes::{PARTITIONS, Partition, mesh_of, rounds, settings_for};
use crate::halo::{Plan, start_exchange};
use crate::index::{Coverage, Descriptor, DistMultiVector, DistVector, List, Order};

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

/// What all ranks have, simulated on each: the plans of the three lists carried out by their definition.
struct Model {
    /// The elements of each rank.
    ranks: Vec<Vec<u64>>,
    /// For each list: receiving rank and place, sending rank and place, by receiver and sender.
    links: Vec<Vec<[usize; 4]>>,
}

impl Model {
    fn new(c: &Communicator, index: &Descriptor) -> Result<Model, Halt> {
        let lens = c.all_gather(&[index.len() as u64])?;
        let mut links = Vec::new();
        for list in List::ALL {
            let places = |layout: &parhelion_comm::Layout| -> Vec<usize> {
                layout.iter_runs().flat_map(|(start, len)| start..start + len).collect()
            };
            let mut mine: Vec<u64> = Vec::new();
            for transfer in plan_of(index, list).into_iter().flat_map(Plan::recvs) {
                for piece in &transfer.pieces {
                    for (here, there) in places(&piece.layout).into_iter().zip(places(&piece.remote)) {
                        mine.extend([c.rank(), here, transfer.peer, there].map(|n| n as u64));
                    }
                }
            }
            let (all, _) = c.all_gatherv(&mine)?;
            links.push(all.chunks_exact(4).map(|w| std::array::from_fn(|i| w[i] as usize)).collect());
        }
        Ok(Model { ranks: lens.iter().map(|&len| vec![0; len as usize]).collect(), links })
    }

    fn fill(&mut self, salt: u64) {
        for (rank, elements) in self.ranks.iter_mut().enumerate() {
            elements.iter_mut().enumerate().for_each(|(i, x)| *x = value([rank as i64, i as i64], salt));
        }
    }

    fn exchange(&mut self, list: List) {
        let before = self.ranks.clone();
        for &[rank, here, peer, there] in &self.links[list as usize] {
            self.ranks[rank][here] = before[peer][there];
        }
    }

    /// With an operator that knows the order of the contributions.
    fn adjoint(&mut self, list: List) {
        let before = self.ranks.clone();
        let mut links = self.links[list as usize].clone();
        links.sort_by_key(|&[rank, ..]| rank);
        for [rank, here, peer, there] in links {
            self.ranks[peer][there] = fold(self.ranks[peer][there], before[rank][here]);
        }
    }
}

fn fold(owner: u64, copy: u64) -> u64 {
    owner.wrapping_mul(31).wrapping_add(copy)
}

/// A descriptor with halo, shared points and layers.
fn descriptor(c: &Communicator, partition: Partition) -> Result<Descriptor, Halt> {
    Ok(mesh_of(c, [3, 4, 4], partition)?.extend(1)?)
}

fn any_order(c: &Communicator) -> Outcome {
    for (seed, partition) in [Partition::Blocks, Partition::Random].into_iter().enumerate() {
        let index = descriptor(c, partition)?;
        let mut model = Model::new(c, &index)?;
        model.fill(seed as u64);
        let mut x = DistVector::<u64>::zeros(&index);
        x.local_mut().copy_from_slice(&model.ranks[c.rank()]);
        let settings: Vec<_> = settings_for(c).collect();
        let mut history = Vec::new();
        for step in 0..rounds(c, 150) as i64 {
            let choose = |what: i64, n: usize| (value::<u64, 3>([step, what, seed as i64], 4) % n as u64) as usize;
            let (list, settings) = (List::ALL[choose(0, 3)], settings[choose(1, settings.len())]);
            index.set_scheme(settings);
            match choose(2, 3) {
                0 => {
                    model.exchange(list);
                    x.exchange_on(list)?;
                    history.push(format!("{list:?} by {settings}"));
                }
                1 => {
                    model.exchange(list);
                    x = x.start_exchange_on(list)?.finish()?.into_vector();
                    history.push(format!("{list:?} by {settings}, started and finished"));
                }
                _ => {
                    model.adjoint(list);
                    x.exchange_adjoint_on(list, fold)?;
                    history.push(format!("adjoint of {list:?} by {settings}"));
                }
            }
            if x.local() != model.ranks[c.rank()] {
                let last = &history[history.len().saturating_sub(3)..];
                return ensure(false, format_args!("{partition:?}, step {step}, after {last:?}"));
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
        for settings in settings_for(c) {
            index.set_scheme(settings);
            for list in List::ALL {
                let receiving: Vec<usize> = plan_of(&index, list)
                    .into_iter()
                    .flat_map(Plan::recvs)
                    .flat_map(|t| &t.pieces)
                    .flat_map(|p| p.layout.iter_runs().flat_map(|(start, len)| start..start + len))
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
            let mut model = Model { ranks: model.ranks.clone(), links: model.links.clone() };
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
