//! Making the copies of points that several ranks own agree: [`OverlapUpdate`].

use std::any::TypeId;

use parhelion_comm::{Error, ErrorKind, Op, Result};

use super::DistVector;
use super::vector::List;
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
    pub fn update_overlap(&mut self, update: OverlapUpdate) -> Result<()> {
        let divides = matches!(update, OverlapUpdate::Average | OverlapUpdate::SquareRoot);
        if divides && TypeId::of::<T>() != TypeId::of::<T::Mean>() {
            let text = format!("overlap update {update:?} is not defined for {}", std::any::type_name::<T>());
            return Err(Error::new("update_overlap", ErrorKind::UndefinedOp(text)));
        }
        let descriptor = self.descriptor().clone();
        let Some(degrees) = descriptor.degrees() else { return Ok(()) };
        match update {
            OverlapUpdate::None => return Ok(()),
            OverlapUpdate::ZeroNonMasters => {
                let mut at = 0;
                let owned = self.owned_mut();
                for (start, len) in descriptor.counted().iter_runs() {
                    owned[at..start].fill(T::zeroed());
                    at = start + len;
                }
                owned[at..].fill(T::zeroed());
                return Ok(());
            }
            OverlapUpdate::Sum | OverlapUpdate::Average | OverlapUpdate::SquareRoot => {}
        }
        self.by_list(List::Overlap, |x| {
            exchange_adjoint(x, Op::Sum)?;
            exchange(x)
        })?;
        let divisor = |degree: u32| match update {
            OverlapUpdate::SquareRoot => f64::from(degree).sqrt(),
            _ => f64::from(degree),
        };
        if divides {
            let shared = self.owned_mut().iter_mut().zip(degrees).filter(|(_, degree)| **degree > 1);
            shared.for_each(|(x, &degree)| *x = x.over(divisor(degree)));
        }
        Ok(())
    }
}
