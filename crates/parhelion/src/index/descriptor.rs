//! [`Descriptor`]: owned and halo indices, local numbering, and the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parhelion_comm::{Communicator, Layout, Result};

use super::builder::{Builder, Coverage};
use super::directory::{self, Shared};
use super::numbering::{Owned, Places, Run};
use super::vector::List;
use crate::halo::{Cells, Decision, Exchanges, Parts, Patch, Piece, Plan, Region, Rounds, Settings};

/// Which global indices this rank owns and of which it has copies, how both are numbered here, and with whom they are
/// exchanged. Cheap to clone; clones are the same descriptor.
///
/// Local indices `0..owned_len()` are the owned ones, in the order in which the ownership was given; `owned_len()..len()`
/// are the halo, grouped by owner, ascending, and within an owner in the owner's local order. Queries are local.
#[derive(Clone)]
pub struct Descriptor {
    inner: Arc<Inner>,
}

struct Inner {
    communicator: Communicator,
    total: u64,
    owned: Owned,
    halo: Vec<u64>,
    halo_places: Places,
    /// The owners of the halo, ascending, and their local indices.
    owners: Vec<(usize, Range<usize>)>,
    /// Owned indices that count here.
    counted: Layout,
    entries: u64,
    cut: u64,
    plan: Arc<Plan>,
    exchanges: Arc<Exchanges>,
    /// `None` where no rank shares anything.
    overlap: Option<Overlap>,
}

/// What it takes to make the copies of shared points agree.
struct Overlap {
    /// From the lowest owner of a point to the others.
    exchanges: Arc<Exchanges>,
    /// How many ranks own each owned index.
    degrees: Vec<u32>,
}

/// What a rank brings to the assembly.
pub(super) struct Assembly {
    pub(super) owned: Owned,
    /// Ascending, none of them owned.
    pub(super) halo: Vec<u64>,
    pub(super) coverage: Coverage,
    pub(super) replicated: bool,
    pub(super) entries: u64,
    pub(super) cut: u64,
}

impl Descriptor {
    /// The first step of making one on the ranks of `communicator`. Local; what follows is collective.
    pub fn builder(communicator: &Communicator) -> Builder {
        Builder::new(communicator)
    }

    pub(super) fn assemble(communicator: &Communicator, mut rounds: Rounds, parts: Assembly) -> Result<Self> {
        let Assembly { owned, halo: wanted, coverage, replicated, entries, cut } = parts;
        // Order-preserving, so that the largest of all is the largest as a word, too.
        let end = rounds.largest(vec![(owned.end() ^ 1 << 63) as i64])?[0];
        let total = end as u64 ^ 1 << 63;
        let counts_here = !replicated || rounds.rank() == 0;
        let registered = if counts_here { owned.runs() } else { Vec::new() };
        let mut found = directory::find(&mut rounds, total, &registered, &wanted, coverage)?;
        if !counts_here && owned.len() > 0 {
            found.shared = vec![Shared { local: 0, len: owned.len(), master: 0, there: 0 }];
        }
        let counted = complement(owned.len(), &found.shared);
        let overlap =
            overlap(&mut rounds, communicator, owned.len(), owned.len() + wanted.len(), &counted, &found.shared)?;

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
        let plan = connect(&mut rounds, Layout::contiguous(0, owned.len()), at, needs.collect())?;
        let exchanges = Exchanges::new(communicator);
        exchanges.prepare(|| Ok(plan))?;
        let plan = exchanges.plan().clone();
        let communicator = communicator.clone();
        let inner = Inner {
            communicator,
            total,
            owned,
            halo,
            halo_places,
            owners,
            counted,
            entries,
            cut,
            plan,
            exchanges,
            overlap,
        };
        Ok(Descriptor { inner: Arc::new(inner) })
    }

    /// The communicator it was made on.
    pub fn communicator(&self) -> &Communicator {
        &self.inner.communicator
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.communicator().rank()
    }

    /// One more than the largest global index that any rank owns: the number of indices, where all are owned.
    pub fn total(&self) -> u64 {
        self.inner.total
    }

    /// Local indices, owned and halo.
    pub fn len(&self) -> usize {
        self.owned_len() + self.halo_len()
    }

    /// Whether this rank has no indices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Indices that this rank owns.
    pub fn owned_len(&self) -> usize {
        self.inner.owned.len()
    }

    /// Indices that this rank has copies of.
    pub fn halo_len(&self) -> usize {
        self.inner.halo.len()
    }

    /// The global indices owned here, in local order.
    pub fn owned(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.inner.owned.iter()
    }

    /// The global indices of the halo, in local order.
    pub fn halo(&self) -> &[u64] {
        &self.inner.halo
    }

    /// The global index of a local one; `None` from [`len`](Self::len) on.
    #[inline]
    pub fn global(&self, local: usize) -> Option<u64> {
        let owned = &self.inner.owned;
        if local < owned.len() { Some(owned.global(local)) } else { self.inner.halo.get(local - owned.len()).copied() }
    }

    /// The local index of a global one, owned or halo; `None` if it is not here.
    #[inline]
    pub fn local(&self, global: u64) -> Option<usize> {
        self.inner.owned.local(global).or_else(|| self.inner.halo_places.get(&global).copied())
    }

    /// Whether this rank owns a global index.
    #[inline]
    pub fn owns(&self, global: u64) -> bool {
        self.inner.owned.local(global).is_some()
    }

    /// The rank whose value an index that is here has after an exchange: this rank for owned ones; `None` if it is not here.
    pub fn owner(&self, global: u64) -> Option<usize> {
        let local = self.local(global)?;
        if local < self.owned_len() {
            return Some(self.rank());
        }
        let owners = &self.inner.owners;
        Some(owners[owners.partition_point(|(_, place)| place.end <= local)].0)
    }

    /// The ranks that own halo of this one, ascending, and its local indices.
    pub fn owners(&self) -> &[(usize, Range<usize>)] {
        &self.inner.owners
    }

    /// The ranks this one sends to or receives from, ascending.
    pub fn neighbours(&self) -> Vec<usize> {
        self.plan().neighbours()
    }

    /// The owned indices that count here in sums: all, but those that a lower rank owns too.
    pub fn counted(&self) -> &Layout {
        &self.inner.counted
    }

    /// Who sends what to whom: to verify, explain and draw.
    pub fn plan(&self) -> &Plan {
        &self.inner.plan
    }

    /// How the halos of its vectors are exchanged: what [`set_scheme`](Self::set_scheme) said, else the variable
    /// `PARHELION_SCHEME`, else [`Scheme::Shared`](crate::halo::Scheme::Shared).
    ///
    /// # Errors
    /// A variable that names no scheme.
    pub fn scheme(&self) -> Result<Settings> {
        self.exchanges().settings()
    }

    /// Changes how the halos of its vectors are exchanged, those of all its clones, from the next exchange on. All ranks do
    /// so, with the same scheme, between the same exchanges. Exchanges in flight are not disturbed. Local.
    pub fn set_scheme(&self, settings: impl Into<Settings>) {
        let settings = settings.into();
        self.each_exchanges().for_each(|exchanges| exchanges.set_settings(settings));
    }

    /// What [`Scheme::Auto`](crate::halo::Scheme::Auto) chose so far, one decision for each kind of exchange: equal on all
    /// ranks.
    pub fn decisions(&self) -> Vec<Decision> {
        self.each_exchanges().flat_map(|exchanges| exchanges.decisions()).collect()
    }

    /// Spares the measurement of [`Scheme::Auto`](crate::halo::Scheme::Auto) where this decision is about the same kind of
    /// exchange (see [`Decision::subject`]). All ranks give the same, before they exchange. Local.
    pub fn use_decision(&self, decision: Decision) {
        self.each_exchanges().for_each(|exchanges| exchanges.add_decision(decision.clone()));
    }

    /// Whether both are clones of one descriptor.
    pub fn is_same(&self, other: &Descriptor) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Entries of the pattern that begin here, and those of them that end elsewhere.
    pub(super) fn edges(&self) -> (u64, u64) {
        (self.inner.entries, self.inner.cut)
    }

    /// The owned indices that count here, as runs.
    pub(super) fn counted_runs(&self) -> Vec<Run> {
        let global = |local| self.inner.owned.global(local);
        let mut all: Vec<Run> = Vec::new();
        for (start, len) in self.inner.counted.iter_runs() {
            if let Owned::Range { .. } = self.inner.owned {
                all.push(Run { global: global(start), len: len as u64, local: start as u64 });
                continue;
            }
            for local in start..start + len {
                match all.last_mut() {
                    Some(run) if run.global + run.len == global(local) && run.local + run.len == local as u64 => {
                        run.len += 1;
                    }
                    _ => all.push(Run { global: global(local), len: 1, local: local as u64 }),
                }
            }
        }
        all
    }

    /// All owned indices, as runs in local order.
    pub(super) fn owned_runs(&self) -> Vec<Run> {
        self.inner.owned.runs()
    }

    /// How many ranks own each owned index, by local index; `None` where no index has two owners on any rank.
    pub fn degrees(&self) -> Option<&[u32]> {
        self.inner.overlap.as_ref().map(|overlap| &overlap.degrees[..])
    }

    /// Who sends what to whom to make the copies of shared points agree: from the lowest owner of a point, its master, to
    /// the others. `None` where no index has two owners on any rank.
    pub fn overlap_plan(&self) -> Option<&Plan> {
        self.overlap_exchanges().map(|exchanges| &**exchanges.plan())
    }

    pub(super) fn overlap_exchanges(&self) -> Option<&Arc<Exchanges>> {
        self.inner.overlap.as_ref().map(|overlap| &overlap.exchanges)
    }

    fn each_exchanges(&self) -> impl Iterator<Item = &Arc<Exchanges>> {
        std::iter::once(self.exchanges()).chain(self.overlap_exchanges())
    }

    /// What carries its vectors by a list.
    pub(super) fn exchanges_of(&self, list: List) -> &Arc<Exchanges> {
        match list {
            List::Halo => self.exchanges(),
            List::Overlap => self.overlap_exchanges().unwrap_or(self.exchanges()),
        }
    }

    /// What its vectors share.
    pub(super) fn exchanges(&self) -> &Arc<Exchanges> {
        &self.inner.exchanges
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

/// Ascending indices as runs.
fn runs(indices: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == index => *len += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

/// What a rank needs of one owner: equal numbers of elements, here and there.
struct Need {
    owner: usize,
    here: Vec<(usize, usize)>,
    there: Vec<(usize, usize)>,
}

/// Tells the owners what is needed of them, and makes the plan of a buffer of `len` elements, `owned` of which are.
fn connect(rounds: &mut Rounds, owned: Layout, len: usize, needs: Vec<Need>) -> Result<Plan> {
    let piece = |layout: Layout, remote: Layout| {
        let cells = Cells::List(layout.len());
        Piece { patch: 0, layout, remote_patch: 0, remote, cells, shift: [0; 4] }
    };
    let region = |layout: Layout| Region { cells: Cells::List(layout.len()), layout };
    let mut letters: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    let (mut recvs, mut halo) = (Vec::new(), Vec::new());
    for Need { owner, here, there } in needs {
        let words = letters.entry(owner).or_default();
        words.push(here.len() as i64);
        words.extend(here.iter().chain(&there).flat_map(|&(start, len)| [start as i64, len as i64]));
        let layout = Layout::runs(here);
        halo.push(region(layout.clone()));
        recvs.push((owner, piece(layout, Layout::runs(there))));
    }
    let received = rounds.exchange(letters.into_iter().collect())?;
    let sends = received.iter().map(|(peer, words)| {
        let (remote, layout) = words[1..].split_at(2 * words[0] as usize);
        let layouts =
            [layout, remote].map(|words| Layout::runs(words.chunks_exact(2).map(|w| (w[0] as usize, w[1] as usize))));
        let [layout, remote] = layouts;
        (*peer, piece(layout, remote))
    });
    let owned = Some(owned).filter(|owned| !owned.is_empty()).map(region).into_iter().collect();
    let patch = Patch { len, parent: Cells::List(len), owned, halo };
    let (rank, size) = (rounds.rank(), rounds.size());
    let plan = Plan::new(Parts { rank, size, patches: vec![patch], sends: sends.collect(), recvs, local: Vec::new() });
    let plan = rounds.agree("assemble", plan)?;
    if rounds.checks() {
        plan.check_with(rounds)?;
    }
    Ok(plan.built_at(rounds.cost()))
}

/// The exchange between a point's master and the ranks that own it too, and how many these are.
fn overlap(
    rounds: &mut Rounds,
    communicator: &Communicator,
    owned: usize,
    len: usize,
    counted: &Layout,
    shared: &[Shared],
) -> Result<Option<Overlap>> {
    if rounds.largest(vec![shared.len() as i64])?[0] == 0 {
        return Ok(None);
    }
    let mut by_master: BTreeMap<usize, Need> = BTreeMap::new();
    for s in shared {
        let new = || Need { owner: s.master, here: Vec::new(), there: Vec::new() };
        let need = by_master.entry(s.master).or_insert_with(new);
        need.here.push((s.local, s.len));
        need.there.push((s.there, s.len));
    }
    let plan = connect(rounds, counted.clone(), len, by_master.into_values().collect())?;
    let mut degrees = vec![1u32; owned];
    let indices =
        |layout: &Layout| -> Vec<usize> { layout.iter_runs().flat_map(|(start, len)| start..start + len).collect() };
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
    Ok(Some(Overlap { exchanges, degrees }))
}

/// `1000 indices, 500 owned and 20 halo on rank 0`.
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (owned, halo) = (self.owned_len(), self.halo_len());
        write!(f, "{} indices, {owned} owned and {halo} halo on rank {}", self.total(), self.rank())
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({self})")
    }
}
