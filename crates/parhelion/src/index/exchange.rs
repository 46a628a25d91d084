//! The halo exchange of vectors: the engine of [`halo`](crate::halo), and the methods of [`DistVector`].

use std::sync::Arc;

use parhelion_comm::{Element, ElementType, Kernel, Op, Reduction, Result};

use super::migration::private::Columns;
use super::{Descriptor, DistVector};
use crate::array::Number;
use crate::array::number::Accumulator;
use crate::halo::{
    AdjointInFlight, Buffer, EachField, Exchanges, Fields, InFlight, Keep, exchange, exchange_adjoint_of, sealed,
    start_exchange, start_exchange_adjoint_of,
};

impl<T: Element> Fields for DistVector<T> {
    type Owned<'a> = &'a [T];

    fn owned_cells(&self) -> &[T] {
        self.owned()
    }
}

// SAFETY: a vector has one patch, all its local elements, in memory of its own that does not move with it; or no field, if
// its list has nothing on any rank.
unsafe impl<T: Element> sealed::Sealed for DistVector<T> {
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        self.exchanges()
    }

    fn each_field(&self, each: EachField<'_>) {
        if let Some(exchanges) = self.exchanges() {
            each(exchanges, ElementType::of::<T>());
        }
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        if self.exchanges().is_some() {
            out.push(Buffer::of(self.memory_mut()));
        }
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        if self.exchanges().is_some() {
            out.push(Kernel::of::<T>(op)?);
        }
        Ok(())
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        out.push(Box::new(self.into_memory()));
    }
}

// SAFETY: all its local elements, in memory that does not move with it.
unsafe impl<T: Element> Columns for DistVector<T> {
    type Element = T;

    fn of(&self) -> &Descriptor {
        self.descriptor()
    }

    fn alike(&self, descriptor: &Descriptor) -> Self {
        Self::zeros(descriptor)
    }

    fn is_alike(&self, _: &Self) -> bool {
        true
    }

    fn carriers(&self, _: &Self, base: &Arc<Exchanges>) -> Arc<Exchanges> {
        base.clone()
    }

    fn prepare_carriers(&self, _: &Self, _: &Exchanges, _: &Exchanges) -> Result<()> {
        Ok(())
    }

    fn buffer(&mut self) -> Buffer {
        Buffer::of(self.memory_mut())
    }

    fn keep(self) -> Keep {
        Box::new(self.into_memory())
    }
}

impl<T: Element> DistVector<T> {
    /// Starts to fill the halo: [`start_exchange`] of this vector alone. The owned elements stay readable; the vector comes
    /// back from [`InFlight::finish`]. Collective; does not wait for the neighbours.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let (rank, size) = (world.rank() as u64, world.size() as u64);
    ///     let index = Descriptor::builder(&world).blocks(4).halo([(4 * rank + 4) % (4 * size)]).assemble()?;
    ///     let inflight = DistVector::from_fn(&index, |i| i).start_exchange()?;
    ///     let sum: u64 = inflight.owned().iter().sum(); // computes while the halo travels
    ///     let x = inflight.finish()?;
    ///     assert_eq!(x.get((4 * rank + 4) % (4 * size)), Some((4 * rank + 4) % (4 * size)));
    ///     # let _ = sum;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start_exchange`].
    pub fn start_exchange(self) -> Result<InFlight<Self>> {
        start_exchange(self)
    }

    /// Fills the halo with the owners' values. Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`exchange`].
    pub fn exchange(&mut self) -> Result<()> {
        exchange(self)
    }

    /// Combines the halo into the owners' elements: `owner := owner op halo`, over all copies in a fixed order (by rank),
    /// by an [`Op`] or a closure whose first argument is what the owner has. The transpose of [`exchange`](Self::exchange)
    /// for [`Op::Sum`]; complex numbers are not conjugated. The halo stays as it is. Collective; blocks until the neighbours
    /// have done the same.
    ///
    /// # Errors
    /// As [`halo::exchange_adjoint`](crate::halo::exchange_adjoint).
    pub fn exchange_adjoint(&mut self, op: impl Reduction<T>) -> Result<()> {
        exchange_adjoint_of(self, &op)
    }

    /// Starts [`exchange_adjoint`](Self::exchange_adjoint). The owned elements stay readable, as they were at the start; the
    /// vector comes back from [`AdjointInFlight::finish`]. Collective; does not wait for the neighbours.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let (rank, size) = (world.rank() as u64, world.size() as u64);
    ///     let index = Descriptor::builder(&world).blocks(4).halo([(4 * rank + 4) % (4 * size)]).assemble()?;
    ///     let mut x = DistVector::full(&index, 1.0);
    ///     x.halo_mut().fill(0.5); // what is added to the next rank's first element
    ///     let inflight = x.start_exchange_adjoint(Op::Sum)?;
    ///     let before: f64 = inflight.owned().iter().sum(); // computes while the halo travels
    ///     let x = inflight.finish()?;
    ///     let given = if world.size() > 1 { 0.5 } else { 0.0 };
    ///     assert_eq!(x.owned().iter().sum::<f64>(), before + given);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn start_exchange_adjoint<O: Reduction<T>>(self, op: O) -> Result<AdjointInFlight<Self, O>> {
        start_exchange_adjoint_of(self, op)
    }

    /// [`exchange_adjoint`](Self::exchange_adjoint), and then zeros in the halo, so that nothing is counted again when the
    /// next contributions are added there: the end of an assembly into owned and halo elements.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint); the halo is then as it was.
    pub fn exchange_adjoint_and_zero(&mut self, op: impl Reduction<T>) -> Result<()> {
        self.exchange_adjoint(op)?;
        self.halo_mut().fill(T::zeroed());
        Ok(())
    }

    /// Adds the conjugates of the halo to the owners' elements: [`exchange_adjoint`](Self::exchange_adjoint) of
    /// [`Op::Sum`] where numbers are real.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn exchange_adjoint_conjugated(&mut self) -> Result<()>
    where
        T: Number,
    {
        self.exchange_adjoint(|owner: T, halo: T| T::narrow(owner.widen().plus(halo.conjugate().widen())))
    }
}
