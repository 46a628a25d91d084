//! [`Migration`]: vectors from one descriptor to another.

use std::fmt;
use std::sync::Arc;

use parhelion_comm::{ElementType, Error, ErrorKind, Kernel, Layout, Op, Reduction, Result};

use super::connect::{Buffers, Need, connect, runs};
use super::{Coverage, Descriptor, directory};
use crate::halo::{
    AdjointInFlight, Buffer, Decision, EachField, Exchanges, Fields, InFlight, Keep, Plan, Rounds, Settings, exchange,
    exchange_adjoint_of, sealed, start_exchange, start_exchange_adjoint_of,
};

/// How vectors of one descriptor become vectors of another, on the ranks of one communicator: the owned elements of the
/// second are those of the first with the same global indices. Made once, used for any number of vectors and multivectors;
/// cheap to clone.
///
/// By the schemes of every exchange, with state of its own. What a rank keeps is copied without a message.
///
/// ```
/// use parhelion::index::Migration;
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let (size, n) = (world.size(), 5 * world.size() as u64);
///     let blocks = Descriptor::builder(&world).blocks(5).assemble()?;
///     let dealt = Descriptor::builder(&world).owner_of(n, |i| i as usize % size).assemble()?;
///     let there = Migration::new(&blocks, &dealt)?;
///     let x = DistVector::from_fn(&blocks, |i| i * i);
///     let y = there.migrate(&x)?;
///     assert!(dealt.owned().zip(y.owned()).all(|(i, &y)| y == i * i));
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
#[derive(Clone)]
pub struct Migration {
    from: Descriptor,
    to: Descriptor,
    exchanges: Arc<Exchanges>,
}

impl Migration {
    /// Finds who has what the other descriptor's owners are to get. Of an index that several ranks own in `from` the lowest
    /// gives its value; all owners in `to` get it. Collective; messages to the slices of a directory and to the ranks
    /// concerned only.
    ///
    /// # Errors
    /// At every rank: descriptors of different communicators or of different totals; an index that is owned in `to` and by
    /// no rank in `from`. A lost peer, a timeout, a deadlock.
    pub fn new(from: &Descriptor, to: &Descriptor) -> Result<Self> {
        let mut rounds = Rounds::new(from.communicator())?;
        let alike = match (from.communicator().is_same(to.communicator()), from.total() == to.total()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!(
                "descriptors of communicators {:?} and {:?}; both must be of one",
                from.communicator().name(),
                to.communicator().name()
            )),
            (_, false) => Err(format!("descriptors of {} and {} indices", from.total(), to.total())),
        };
        let alike = alike.map_err(|text| Error::new("migration", ErrorKind::InvalidArgument(text)));
        rounds.agree("migration", alike)?;

        // In the order of the question, and then in the order in which the answer has them.
        let mut wanted: Vec<(u64, usize)> = to.owned().zip(0..).collect();
        wanted.sort_unstable();
        let globals: Vec<u64> = wanted.iter().map(|&(global, _)| global).collect();
        let found =
            directory::find(&mut rounds, from.total(), &from.counted_runs(), &globals, Coverage::Any, "is to get")?;
        let mut copies: Vec<(usize, usize, usize)> =
            found.sources.iter().zip(&wanted).map(|(&(owner, there), &(_, here))| (owner, here, there)).collect();
        copies.sort_unstable();
        let need = |group: &[(usize, usize, usize)]| Need {
            owner: group[0].0,
            here: runs(group.iter().map(|copy| copy.1)),
            there: runs(group.iter().map(|copy| copy.2)),
        };
        let needs = copies.chunk_by(|a, b| a.0 == b.0).map(need).collect();
        let owned = Layout::contiguous(0, from.owned_len());
        let plan = connect(&mut rounds, Buffers::Two { owned, from: from.len(), to: to.len() }, needs)?;
        let exchanges = Exchanges::new(from.communicator());
        exchanges.prepare(|| Ok(plan))?;
        Ok(Migration { from: from.clone(), to: to.clone(), exchanges })
    }

    /// The descriptor of the vectors that it takes.
    pub fn from(&self) -> &Descriptor {
        &self.from
    }

    /// The descriptor of the vectors that it gives.
    pub fn to(&self) -> &Descriptor {
        &self.to
    }

    /// Who sends what to whom: patch 0 is the vector that is taken, patch 1 the one that is given.
    pub fn plan(&self) -> &Plan {
        self.exchanges.plan()
    }

    /// As [`Descriptor::scheme`].
    ///
    /// # Errors
    /// A variable `PARHELION_SCHEME` that names no scheme.
    pub fn scheme(&self) -> Result<Settings> {
        self.exchanges.settings()
    }

    /// As [`Descriptor::set_scheme`].
    pub fn set_scheme(&self, settings: impl Into<Settings>) {
        self.exchanges.set_settings(settings.into());
    }

    /// As [`Descriptor::decisions`].
    pub fn decisions(&self) -> Vec<Decision> {
        self.exchanges.decisions()
    }

    /// As [`Descriptor::use_decision`].
    pub fn use_decision(&self, decision: Decision) {
        self.exchanges.add_decision(decision);
    }

    /// The vector with the owned elements of `x`; its halo is zero, and there is no room between its columns. Collective; blocks
    /// until the ranks concerned have done
    /// the same. Copies `x`, which [`start`](Self::start) does not.
    ///
    /// # Errors
    /// A vector of another descriptor than [`from`](Self::from); as [`DistVector::exchange`](super::DistVector::exchange).
    pub fn migrate<V: Migrant>(&self, x: &V) -> Result<V> {
        let mut both = self.pair(x.clone(), None)?;
        exchange(&mut both)?;
        Ok(both.target)
    }

    /// Starts the migration of `x` to a new vector; both come back from [`InFlight::finish`]. Until then the owned elements
    /// of `x` can be read. Collective; does not wait for others.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate).
    pub fn start<V: Migrant>(&self, x: V) -> Result<InFlight<Migrating<V>>> {
        start_exchange(self.pair(x, None)?)
    }

    /// [`start`](Self::start) into a vector that exists: its owned elements are written, its halo stays as it is.
    ///
    /// # Errors
    /// As [`migrate`](Self::migrate), also for a target of another descriptor than [`to`](Self::to), or of other columns
    /// than `x`.
    pub fn start_into<V: Migrant>(&self, x: V, target: V) -> Result<InFlight<Migrating<V>>> {
        start_exchange(self.pair(x, Some(target))?)
    }

    /// The transpose: combines the owned elements of `target` into those of `x` that they would be copies of, in a fixed
    /// order (by rank), as [`DistVector::exchange_adjoint`](super::DistVector::exchange_adjoint). Collective; blocks until
    /// the ranks concerned have done the same.
    ///
    /// # Errors
    /// As [`start_into`](Self::start_into).
    pub fn migrate_adjoint<V: Migrant>(&self, x: &mut V, target: &V, op: impl Reduction<V::Element>) -> Result<()> {
        let mut both = self.pair(x.clone(), Some(target.clone()))?;
        exchange_adjoint_of(&mut both, &op)?;
        *x = both.source;
        Ok(())
    }

    /// Starts [`migrate_adjoint`](Self::migrate_adjoint), which copies no vector then; both come back from
    /// [`AdjointInFlight::finish`]. Until then the owned elements of `x` can be read, as they were at the start. Collective; does
    /// not wait for others.
    ///
    /// # Errors
    /// As [`start_into`](Self::start_into).
    pub fn start_adjoint<V: Migrant, O: Reduction<V::Element>>(
        &self,
        x: V,
        target: V,
        op: O,
    ) -> Result<AdjointInFlight<Migrating<V>, O>> {
        start_exchange_adjoint_of(self.pair(x, Some(target))?, op)
    }

    fn pair<V: Migrant>(&self, source: V, target: Option<V>) -> Result<Migrating<V>> {
        let target = target.unwrap_or_else(|| source.alike(&self.to));
        for (vector, descriptor, what) in [(&source, &self.from, "from"), (&target, &self.to, "to")] {
            if !vector.of().is_same(descriptor) {
                let text = format!("a vector of {} for a migration {what} {descriptor}", vector.of());
                return Err(Error::new("migrate", ErrorKind::InvalidArgument(text)));
            }
        }
        if !source.is_alike(&target) {
            let text = "columns of another number or order in the target than in the source".to_owned();
            return Err(Error::new("migrate", ErrorKind::InvalidArgument(text)));
        }
        let exchanges = source.carriers(&target, &self.exchanges);
        Ok(Migrating { base: self.exchanges.clone(), exchanges, source, target })
    }
}

/// `from 1000 indices, 500 owned and 20 halo on rank 0 to ...`.
impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Migration(from {} to {})", self.from, self.to)
    }
}

/// What migrates: a [`DistVector`](super::DistVector) or a [`DistMultiVector`](super::DistMultiVector).
pub trait Migrant: Fields + private::Columns {}

pub(super) mod private {
    use super::{Arc, Buffer, Descriptor, Exchanges, Fields, Keep, Result};

    /// What a migration needs to know of a vector, or of several columns.
    ///
    /// # Safety
    /// `buffer` is one buffer of the length and type of the plan of such columns, that does not move with it.
    pub unsafe trait Columns: Fields {
        type Element: parhelion_comm::Element;
        fn of(&self) -> &Descriptor;
        /// Zeros of another descriptor, without room between columns.
        fn alike(&self, descriptor: &Descriptor) -> Self;
        /// Whether it has as many columns, in the same order.
        fn is_alike(&self, other: &Self) -> bool;
        /// The exchanges from such columns to some that are alike, made of those of one vector.
        fn carriers(&self, target: &Self, base: &Arc<Exchanges>) -> Arc<Exchanges>;
        /// Makes the plan of these exchanges. Collective.
        fn prepare_carriers(&self, target: &Self, carriers: &Exchanges, base: &Exchanges) -> Result<()>;
        fn buffer(&mut self) -> Buffer;
        fn keep(self) -> Keep;
    }
}

impl<V: Fields + private::Columns> Migrant for V {}

/// The two vectors of a [`Migration`] that was started.
#[derive(Debug, Clone)]
pub struct Migrating<V> {
    /// Those of one vector, and those of vectors like these.
    base: Arc<Exchanges>,
    exchanges: Arc<Exchanges>,
    source: V,
    target: V,
}

impl<V> Migrating<V> {
    /// The vector that was taken, and the one that is given.
    pub fn into_vectors(self) -> (V, V) {
        (self.source, self.target)
    }
}

impl<V: Migrant> Fields for Migrating<V> {
    type Owned<'a> = V::Owned<'a>;

    fn owned_cells(&self) -> V::Owned<'_> {
        self.source.owned_cells()
    }
}

// SAFETY: one field of two patches, all local elements of each vector, in memories of their own that do not move with them.
unsafe impl<V: Migrant> sealed::Sealed for Migrating<V> {
    fn prepare(&self) -> Result<()> {
        self.source.prepare_carriers(&self.target, &self.exchanges, &self.base)
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        Some(&self.exchanges)
    }

    fn each_field(&self, each: EachField<'_>) {
        each(&self.exchanges, ElementType::of::<V::Element>());
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        out.extend([self.source.buffer(), self.target.buffer()]);
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        out.push(Kernel::of::<V::Element>(op)?);
        Ok(())
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        out.extend([self.source.keep(), self.target.keep()]);
    }
}
