//! Making the copies of points that several ranks own agree: [`OverlapUpdate`].

use std::any::TypeId;

use parhelion_comm::{Error, ErrorKind, Op, Result};

use super::list::{Carried, by_list};
use super::{DistVector, List};
use crate::array::Number;
use crate::halo::{exchange, exchange_adjoint};

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
    let divides = matches!(kind, OverlapUpdate::Average | OverlapUpdate::SquareRoot);
    if divides && TypeId::of::<T>() != TypeId::of::<T::Mean>() {
        let text = format!("overlap update {kind:?} is not defined for {}", std::any::type_name::<T>());
        return Err(Error::new("update_overlap", ErrorKind::UndefinedOp(text)));
    }
    let descriptor = x.of().clone();
    let Some(degrees) = descriptor.degrees() else { return Ok(()) };
    let divisor = match kind {
        OverlapUpdate::None => return Ok(()),
        OverlapUpdate::ZeroNonMasters => {
            let mut others = vec![true; descriptor.owned_len()];
            descriptor.counted().iter_runs().for_each(|(start, len)| others[start..start + len].fill(false));
            x.each_owned(|local, x| {
                if others[local] {
                    *x = T::zeroed();
                }
            });
            return Ok(());
        }
        OverlapUpdate::Sum => None,
        OverlapUpdate::Average => Some(f64::from as fn(u32) -> f64),
        OverlapUpdate::SquareRoot => Some((|degree| f64::from(degree).sqrt()) as fn(u32) -> f64),
    };
    by_list(x, List::Overlap, |x| {
        exchange_adjoint(x, Op::Sum)?;
        exchange(x)
    })?;
    if let Some(divisor) = divisor {
        x.each_owned(|local, x| {
            if degrees[local] > 1 {
                *x = x.over(divisor(degrees[local]));
            }
        });
    }
    Ok(())
}
