//! Making the copies of points that several ranks own agree: [`OverlapUpdate`].

use std::any::TypeId;
use std::fmt;

use parhelion_comm::{Error, ErrorKind, Op, Result};

use super::list::{Carried, OnList, Readable, by_list};
use super::{Descriptor, DistVector, List};
use crate::array::Number;
use crate::halo::{AdjointInFlight, Fields, exchange, exchange_adjoint, start_exchange_adjoint};

/// What becomes of a point that several ranks own, each with a value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverlapUpdate {
    /// Every owner keeps its value.
    None,
    /// Every owner gets the sum.
    Sum,
    /// Every owner gets the sum over the number of owners.
    Average,
    /// Every owner gets the sum over the root of the number of owners.
    SquareRoot,
    /// The master, the lowest of the owners, keeps its value, and the others get zero.
    ZeroNonMasters,
}

impl<T: Number> DistVector<T> {
    /// Makes the copies of points that several ranks own agree. The halo stays as it is. Collective; blocks until the ranks
    /// that own points with this one have done the same. Local for [`OverlapUpdate::None`] and
    /// [`OverlapUpdate::ZeroNonMasters`], and nothing where no index has two owners.
    ///
    /// The values of a point are added by rank, at the lowest of its owners, which gives the others the sum: two exchanges
    /// by the scheme of the descriptor, and the same bits at every owner by every scheme.
    ///
    /// ```
    /// use parhelion::index::{Coverage, OverlapUpdate};
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     // Index 0 is everybody's.
    ///     let mine = [0, 1 + world.rank() as u64];
    ///     let index = Descriptor::builder(&world).owned(mine).coverage(Coverage::Every).assemble()?;
    ///     let mut x = DistVector::full(&index, world.rank() as f64);
    ///     x.update_overlap(OverlapUpdate::Average)?;
    ///     assert_eq!(x.owned(), [(world.size() - 1) as f64 / 2.0, world.rank() as f64]);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// An average or a root of integers; as [`exchange`](Self::exchange).
    pub fn update_overlap(&mut self, kind: OverlapUpdate) -> Result<()> {
        update(self, kind)
    }

    /// Starts [`update_overlap`](Self::update_overlap): the values of shared points are on their way to their masters, or open
    /// to be read by them, when this returns. What masters and single owners have stays readable; the vector comes back from
    /// [`OverlapInFlight::finish`]. Collective; does not wait for the ranks that own points with this one.
    ///
    /// # Errors
    /// As [`update_overlap`](Self::update_overlap). The vector is then gone.
    pub fn start_update_overlap(self, kind: OverlapUpdate) -> Result<OverlapInFlight<Self>> {
        start_update(self, kind)
    }
}

/// An update of shared points that has started and not finished: see [`DistVector::start_update_overlap`].
///
/// It owns the vector, or the columns, as an [`AdjointInFlight`] does, and dropped or forgotten it is as one that is.
#[must_use = "an update that is dropped is given up, with its vector; finish it"]
pub struct OverlapInFlight<V>
where
    OnList<V>: Fields,
{
    stage: Stage<V>,
    kind: OverlapUpdate,
    complete: fn(&mut V, OverlapUpdate),
}

enum Stage<V>
where
    OnList<V>: Fields,
{
    /// Nobody's values are needed.
    Alone(OnList<V>),
    /// The masters get the values.
    Summing(AdjointInFlight<OnList<V>, Op>),
}

#[expect(private_bounds, reason = "vectors and multivectors, and nothing else")]
impl<V: Carried> OverlapInFlight<V> {
    /// What the update does not give another rank's values to: the points that count here, as they were at the start.
    pub fn owned(&self) -> Readable<'_, V> {
        match &self.stage {
            Stage::Alone(x) => x.owned_cells(),
            Stage::Summing(inflight) => inflight.owned(),
        }
    }

    /// Whether the values of all points that this rank is the master of have come. Then [`finish`](Self::finish) still waits
    /// for the masters of others. Does not block.
    ///
    /// # Errors
    /// As [`AdjointInFlight::test`].
    pub fn test(&mut self) -> Result<bool> {
        match &mut self.stage {
            Stage::Alone(_) => Ok(true),
            Stage::Summing(inflight) => inflight.test(),
        }
    }

    /// Adds the values at the masters, gives the sums to the other owners, and the vector back. Collective: it starts the
    /// exchange by which the sums go back, so that all ranks finish an update at one place among the starts of others.
    ///
    /// # Errors
    /// As [`exchange`](crate::halo::exchange). The vector is then gone.
    pub fn finish(self) -> Result<V> {
        let mut x = match self.stage {
            Stage::Alone(x) => x.into_vector(),
            Stage::Summing(inflight) => {
                let mut x = inflight.finish()?;
                exchange(&mut x)?;
                x.into_vector()
            }
        };
        (self.complete)(&mut x, self.kind);
        Ok(x)
    }
}

impl<V> fmt::Debug for OverlapInFlight<V>
where
    OnList<V>: Fields,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlapInFlight").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What [`update`] makes agree.
pub(super) trait Shared<T: Number>: Carried {
    /// Shows each owned element with its local index.
    fn each_owned(&mut self, change: impl FnMut(usize, &mut T));
}

impl<T: Number> Shared<T> for DistVector<T> {
    fn each_owned(&mut self, mut change: impl FnMut(usize, &mut T)) {
        self.owned_mut().iter_mut().enumerate().for_each(|(local, x)| change(local, x));
    }
}

/// [`DistVector::update_overlap`] of whatever has a descriptor.
pub(super) fn update<T: Number, V: Shared<T>>(x: &mut V, kind: OverlapUpdate) -> Result<()> {
    check::<T>(kind)?;
    if sums(x.of(), kind) {
        by_list(x, List::Overlap, |x| {
            exchange_adjoint(x, Op::Sum)?;
            exchange(x)
        })?;
    }
    complete(x, kind);
    Ok(())
}

/// [`DistVector::start_update_overlap`] of whatever has a descriptor.
pub(super) fn start_update<T: Number, V: Shared<T>>(x: V, kind: OverlapUpdate) -> Result<OverlapInFlight<V>> {
    check::<T>(kind)?;
    let sums = sums(x.of(), kind);
    let x = OnList::new(x, List::Overlap);
    let stage = if sums { Stage::Summing(start_exchange_adjoint(x, Op::Sum)?) } else { Stage::Alone(x) };
    Ok(OverlapInFlight { stage, kind, complete: complete::<T, V> })
}

fn check<T: Number>(kind: OverlapUpdate) -> Result<()> {
    let divides = matches!(kind, OverlapUpdate::Average | OverlapUpdate::SquareRoot);
    if divides && TypeId::of::<T>() != TypeId::of::<T::Mean>() {
        let text = format!("overlap update {kind:?} is not defined for {}", std::any::type_name::<T>());
        return Err(Error::new("update_overlap", ErrorKind::UndefinedOp(text)));
    }
    Ok(())
}

/// Whether values are added at all.
fn sums(descriptor: &Descriptor, kind: OverlapUpdate) -> bool {
    !matches!(kind, OverlapUpdate::None | OverlapUpdate::ZeroNonMasters) && descriptor.degrees().is_some()
}

/// What is left to do where every owner has the sums, if there are any.
fn complete<T: Number, V: Shared<T>>(x: &mut V, kind: OverlapUpdate) {
    let descriptor = x.of().clone();
    let Some(degrees) = descriptor.degrees() else { return };
    let divisor = match kind {
        OverlapUpdate::None | OverlapUpdate::Sum => return,
        OverlapUpdate::ZeroNonMasters => {
            let mut others = vec![true; descriptor.owned_len()];
            descriptor.counted().iter_runs().for_each(|(start, len)| others[start..start + len].fill(false));
            x.each_owned(|local, x| {
                if others[local] {
                    *x = T::zeroed();
                }
            });
            return;
        }
        OverlapUpdate::Average => f64::from as fn(u32) -> f64,
        OverlapUpdate::SquareRoot => |degree| f64::from(degree).sqrt(),
    };
    x.each_owned(|local, x| {
        if degrees[local] > 1 {
            *x = x.over(divisor(degrees[local]));
        }
    });
}
