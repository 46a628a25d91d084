//! [`Assembly`]: from owned indices and edges to a descriptor, with the owners of everything found.

use std::collections::BTreeMap;
use std::ops::Range;

use parhelion_comm::{Communicator, Layout, Result};

use super::Coverage;
use super::adjacency::Edges;
use super::builder::total;
use super::connect::{Buffers, Need, connect, indices, runs};
use super::descriptor::{Inner, Overlap};
use super::directory::{self, Shared};
use super::numbering::Owned;
use crate::halo::{Exchanges, Rounds};

/// What a rank brings to the assembly of a descriptor.
pub(super) struct Assembly {
    pub(super) owned: Owned,
    pub(super) edges: Edges,
    /// Indices needed beside those of the edges, in any order and any number of times; none of them owned.
    pub(super) halo: Vec<u64>,
    pub(super) coverage: Coverage,
    /// Every rank owns all.
    pub(super) replicated: bool,
}

impl Assembly {
    /// Collective.
    pub(super) fn assemble(self, communicator: &Communicator, rounds: &mut Rounds) -> Result<Inner> {
        let Assembly { owned, edges, halo: mut wanted, coverage, replicated } = self;
        wanted.extend_from_slice(edges.outside());
        wanted.sort_unstable();
        wanted.dedup();
        let total = total(rounds, &owned, coverage)?;
        let counts_here = !replicated || rounds.rank() == 0;
        let registered = if counts_here { owned.runs() } else { Vec::new() };
        let mut found = directory::find(rounds, total, &registered, &wanted, coverage, "needs in its halo")?;
        if !counts_here && owned.len() > 0 {
            found.shared = vec![Shared { local: 0, len: owned.len(), master: 0, there: 0 }];
        }
        let counted = complement(owned.len(), &found.shared);
        let len = owned.len() + wanted.len();
        let overlap = overlap(rounds, communicator, owned.len(), len, &counted, found.shared)?;

        let mut order: Vec<(usize, usize, u64)> =
            found.sources.iter().zip(&wanted).map(|(&(owner, local), &global)| (owner, local, global)).collect();
        order.sort_unstable();
        let halo: Vec<u64> = order.iter().map(|&(_, _, global)| global).collect();
        let halo_places = halo.iter().enumerate().map(|(i, &global)| (global, owned.len() + i)).collect();
        let mut owners: Vec<(usize, Range<usize>)> = Vec::new();
        let mut at = owned.len();
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            owners.push((group[0].0, at..at + group.len()));
            at += group.len();
        }
        let needs = owners.iter().zip(order.chunk_by(|a, b| a.0 == b.0));
        let needs = needs.map(|((owner, place), group)| (*owner, place.clone(), runs(group.iter().map(|g| g.1))));
        let needs = needs.map(|(owner, place, there)| Need { owner, here: vec![(place.start, place.len())], there });
        let buffers = Buffers::One { owned: Layout::contiguous(0, owned.len()), len };
        let plan = connect(rounds, buffers, needs.collect())?;
        let exchanges = Exchanges::new(communicator);
        exchanges.prepare(|| Ok(plan))?;
        Ok(Inner {
            communicator: communicator.clone(),
            total,
            adjacency: edges.number(owned.len(), len, &halo_places),
            owned,
            halo,
            halo_places,
            owners,
            counted,
            plan: exchanges.plan().clone(),
            exchanges,
            overlap,
            extension: None,
        })
    }
}

/// `0..len` without `runs`, which ascend and are disjoint: what counts here.
fn complement(len: usize, runs: &[Shared]) -> Layout {
    let mut at = 0;
    let ends = runs.iter().map(|s| (s.local, s.len)).chain([(len, 0)]);
    let between = ends.map(|(start, count)| {
        let run = (at, start - at);
        at = start + count;
        run
    });
    Layout::runs(between.filter(|run| run.1 > 0).collect::<Vec<_>>())
}

/// The exchange between a point's master and the ranks that own it too, and how many these are.
fn overlap(
    rounds: &mut Rounds,
    communicator: &Communicator,
    owned: usize,
    len: usize,
    counted: &Layout,
    shared: Vec<Shared>,
) -> Result<Option<Overlap>> {
    if rounds.largest(vec![shared.len() as i64])?[0] == 0 {
        return Ok(None);
    }
    let mut by_master: BTreeMap<usize, Need> = BTreeMap::new();
    for s in &shared {
        let new = || Need { owner: s.master, here: Vec::new(), there: Vec::new() };
        let need = by_master.entry(s.master).or_insert_with(new);
        need.here.push((s.local, s.len));
        need.there.push((s.there, s.len));
    }
    let buffers = Buffers::One { owned: counted.clone(), len };
    let plan = connect(rounds, buffers, by_master.into_values().collect())?;
    let mut degrees = vec![1u32; owned];
    let sends: Vec<(usize, Vec<usize>)> =
        plan.sends().iter().map(|t| (t.peer, t.pieces.iter().flat_map(|p| indices(&p.layout)).collect())).collect();
    sends.iter().flat_map(|(_, all)| all).for_each(|&local| degrees[local] += 1);
    let told = sends.iter().map(|(peer, all)| (*peer, all.iter().map(|&local| degrees[local].into()).collect()));
    let received = rounds.exchange(told.collect())?;
    for (transfer, (_, words)) in plan.recvs().iter().zip(&received) {
        let places = transfer.pieces.iter().flat_map(|p| indices(&p.layout));
        places.zip(words).for_each(|(local, &degree)| degrees[local] = degree as u32);
    }
    let exchanges = Exchanges::new(communicator);
    exchanges.prepare(|| Ok(plan))?;
    Ok(Some(Overlap { exchanges, degrees, shared }))
}
