//! [`Descriptor`]: owned and halo indices, local numbering, and the plan.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parhelion_comm::{Communicator, Layout, Result};

use super::List;
use super::adjacency::Adjacency;
use super::builder::Builder;
use super::directory::Shared;
use super::numbering::{Owned, Places, Run};
use crate::halo::{Decision, Exchanges, Plan, Settings};

/// Which global indices this rank owns and of which it has copies, how both are numbered here, and with whom they are
/// exchanged. Cheap to clone; clones are the same descriptor.
///
/// Local indices `0..owned_len()` are the owned ones, in the order in which the ownership was given; `owned_len()..len()`
/// are the halo, grouped by owner, ascending, and within an owner in the owner's local order. Queries are local.
#[derive(Clone)]
pub struct Descriptor {
    inner: Arc<Inner>,
}

/// What assembly finds.
pub(super) struct Inner {
    pub(super) communicator: Communicator,
    pub(super) total: u64,
    pub(super) owned: Owned,
    pub(super) halo: Vec<u64>,
    pub(super) halo_places: Places,
    /// The owners of the halo, ascending, and their local indices.
    pub(super) owners: Vec<(usize, Range<usize>)>,
    /// Owned indices that count here.
    pub(super) counted: Layout,
    pub(super) adjacency: Adjacency,
    pub(super) plan: Arc<Plan>,
    pub(super) exchanges: Arc<Exchanges>,
    /// `None` where no rank shares anything.
    pub(super) overlap: Option<Overlap>,
    /// `None` where no rank has layers.
    pub(super) extension: Option<Extension>,
}

/// What it takes to make the copies of shared points agree.
pub(super) struct Overlap {
    /// From the lowest owner of a point to the others.
    pub(super) exchanges: Arc<Exchanges>,
    /// How many ranks own each owned index.
    pub(super) degrees: Vec<u32>,
    /// What a lower rank owns too, ascending.
    pub(super) shared: Vec<Shared>,
}

/// What [`Descriptor::extend`] added.
pub(super) struct Extension {
    /// From the ranks that owned a point before to those that have it in a layer.
    pub(super) exchanges: Arc<Exchanges>,
    /// One past the local indices owned before, then one past those of each layer.
    pub(super) ends: Vec<usize>,
}

impl Inner {
    /// Local indices, owned and halo.
    pub(super) fn len(&self) -> usize {
        self.owned.len() + self.halo.len()
    }
}

impl Descriptor {
    /// The first step of making one on the ranks of `communicator`. Local; what follows is collective.
    pub fn builder(communicator: &Communicator) -> Builder {
        Builder::new(communicator)
    }

    pub(super) fn new(inner: Inner) -> Self {
        Descriptor { inner: Arc::new(inner) }
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
        self.inner.len()
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

    /// The edges of the pattern whose rows this rank owns, each once, by local indices.
    pub fn adjacency(&self) -> &Adjacency {
        &self.inner.adjacency
    }

    /// Owned indices that are in no layer: all, where the descriptor was not made by [`extend`](Self::extend). They come
    /// first.
    pub fn inner_len(&self) -> usize {
        self.inner.extension.as_ref().map_or(self.owned_len(), |extension| extension.ends[0])
    }

    /// The layer of an owned index: how many edges away [`extend`](Self::extend) found it, and 0 for what was owned before.
    /// `None` from [`owned_len`](Self::owned_len) on.
    pub fn layer(&self, local: usize) -> Option<usize> {
        let layer = |extension: &Extension| extension.ends.partition_point(|&end| end <= local);
        (local < self.owned_len()).then(|| self.inner.extension.as_ref().map_or(0, layer))
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

    /// The lowest of the ranks that own the index at a local one: the one that counts it in sums, and whose value the others
    /// and halos get. `None` from [`len`](Self::len) on.
    pub fn master(&self, local: usize) -> Option<usize> {
        if local >= self.owned_len() {
            return self.global(local).and_then(|global| self.owner(global));
        }
        let shared = self.inner.overlap.as_ref().map_or(&[][..], |overlap| &overlap.shared);
        let before = &shared[..shared.partition_point(|run| run.local <= local)];
        let run = before.last().filter(|run| local < run.local + run.len);
        Some(run.map_or(self.rank(), |run| run.master))
    }

    /// Who sends what to whom to make the copies of shared points agree: from the lowest owner of a point, its master, to
    /// the others. `None` where no index has two owners on any rank.
    pub fn overlap_plan(&self) -> Option<&Plan> {
        self.overlap_exchanges().map(|exchanges| &**exchanges.plan())
    }

    pub(super) fn overlap_exchanges(&self) -> Option<&Arc<Exchanges>> {
        self.inner.overlap.as_ref().map(|overlap| &overlap.exchanges)
    }

    /// Who sends what to whom to give the points in layers their values: from the ranks that owned a point before
    /// [`extend`](Self::extend) to the others. `None` where no rank has layers.
    pub fn extension_plan(&self) -> Option<&Plan> {
        self.extension_exchanges().map(|exchanges| &**exchanges.plan())
    }

    pub(super) fn extension_exchanges(&self) -> Option<&Arc<Exchanges>> {
        self.inner.extension.as_ref().map(|extension| &extension.exchanges)
    }

    fn each_exchanges(&self) -> impl Iterator<Item = &Arc<Exchanges>> {
        std::iter::once(self.exchanges()).chain(self.overlap_exchanges()).chain(self.extension_exchanges())
    }

    /// The exchanges of a list; `None` where it has nothing on any rank.
    pub(super) fn exchanges_on(&self, list: List) -> Option<&Arc<Exchanges>> {
        match list {
            List::Halo => Some(self.exchanges()),
            List::Overlap => self.overlap_exchanges(),
            List::Extension => self.extension_exchanges(),
        }
    }

    /// What its vectors share.
    pub(super) fn exchanges(&self) -> &Arc<Exchanges> {
        &self.inner.exchanges
    }
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
