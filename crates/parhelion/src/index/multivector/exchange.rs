//! The exchanges of several columns: the engine of [`halo`](crate::halo), and the methods of [`DistMultiVector`].

use std::sync::Arc;

use ndarray::ArrayView2;
use parhelion_comm::{Element, ElementType, Kernel, Op, Reduction, Result};

use super::DistMultiVector;
use crate::array::Number;
use crate::array::number::Accumulator;
use crate::halo::{
    self, AdjointInFlight, Buffer, EachField, Exchanges, Fields, InFlight, Keep, exchange, exchange_adjoint_of, sealed,
    start_exchange, start_exchange_adjoint_of,
};
use crate::index::Descriptor;
use crate::index::migration::private::Columns;
use crate::index::overlap::{OverlapInFlight, OverlapUpdate, Shared, start_update, update};

impl<T: Element> Fields for DistMultiVector<T> {
    type Owned<'a> = ArrayView2<'a, T>;

    fn owned_cells(&self) -> ArrayView2<'_, T> {
        self.owned()
    }
}

// SAFETY: the columns have one patch, all their storage, which is as long as the plan of such columns says, in memory of its
// own that does not move with them; or no field, if their list has nothing on any rank.
unsafe impl<T: Element> sealed::Sealed for DistMultiVector<T> {
    fn prepare(&self) -> Result<()> {
        match (&self.exchanges, self.descriptor.exchanges_on(self.list)) {
            (Some(exchanges), Some(base)) => exchanges.prepare_columns(&self.columns, base),
            _ => Ok(()),
        }
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        self.exchanges.as_ref()
    }

    fn each_field(&self, each: EachField<'_>) {
        if let Some(exchanges) = &self.exchanges {
            each(exchanges, ElementType::of::<T>());
        }
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        if self.exchanges.is_some() {
            out.push(Buffer::of(&mut self.memory));
        }
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        if self.exchanges.is_some() {
            out.push(Kernel::of::<T>(op)?);
        }
        Ok(())
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        out.push(Box::new(self.memory));
    }
}

// SAFETY: all its storage, which is as long as the plan of such columns says, in memory that does not move with it.
unsafe impl<T: Element> Columns for DistMultiVector<T> {
    type Element = T;

    fn of(&self) -> &Descriptor {
        self.descriptor()
    }

    fn alike(&self, descriptor: &Descriptor) -> Self {
        Self::zeros_in(descriptor, self.columns(), self.order())
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.columns(), self.order()) == (other.columns(), other.order())
    }

    fn carriers(&self, target: &Self, base: &Arc<Exchanges>) -> Arc<Exchanges> {
        base.columns(&self.with_further(target))
    }

    fn prepare_carriers(&self, target: &Self, carriers: &Exchanges, base: &Exchanges) -> Result<()> {
        carriers.prepare_columns(&self.with_further(target), base)
    }

    fn buffer(&mut self) -> Buffer {
        Buffer::of(&mut self.memory)
    }

    fn keep(self) -> Keep {
        Box::new(self.memory)
    }
}

impl<T: Element> DistMultiVector<T> {
    /// Where the columns lie in a plan of two buffers, the second of which is the other's.
    fn with_further(&self, other: &Self) -> halo::Columns {
        halo::Columns { further: Some(other.columns.leading), ..self.columns }
    }

    /// Starts to fill the halos of all columns: [`start_exchange`] of these alone. The owned elements stay readable; the
    /// columns come back from [`InFlight::finish`]. Collective; does not wait for the neighbours.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let (rank, size) = (world.rank() as u64, world.size() as u64);
    ///     let index = Descriptor::builder(&world).blocks(4).halo([(4 * rank + 4) % (4 * size)]).assemble()?;
    ///     let inflight = DistMultiVector::from_fn(&index, 2, |i, column| i + column as u64).start_exchange()?;
    ///     let _sums = inflight.owned().sum_axis(ndarray::Axis(0)); // computes while the halo travels
    ///     let x = inflight.finish()?;
    ///     assert_eq!(x.get((4 * rank + 4) % (4 * size), 1), Some((4 * rank + 4) % (4 * size) + 1));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// Ranks with different numbers of columns or orders; as [`start_exchange`].
    pub fn start_exchange(self) -> Result<InFlight<Self>> {
        start_exchange(self)
    }

    /// Fills the halos of all columns with the owners' values. Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`start_exchange`](Self::start_exchange).
    pub fn exchange(&mut self) -> Result<()> {
        exchange(self)
    }

    /// Combines the halos into the owners' elements, column by column as
    /// [`DistVector::exchange_adjoint`](crate::index::DistVector::exchange_adjoint) does. Collective; blocks until the
    /// neighbours have done the same.
    ///
    /// # Errors
    /// As [`halo::exchange_adjoint`](crate::halo::exchange_adjoint).
    pub fn exchange_adjoint(&mut self, op: impl Reduction<T>) -> Result<()> {
        exchange_adjoint_of(self, &op)
    }

    /// Starts [`exchange_adjoint`](Self::exchange_adjoint). The owned elements stay readable, as they were at the start; the
    /// columns come back from [`AdjointInFlight::finish`]. Collective; does not wait for the neighbours.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn start_exchange_adjoint<O: Reduction<T>>(self, op: O) -> Result<AdjointInFlight<Self, O>> {
        start_exchange_adjoint_of(self, op)
    }

    /// [`exchange_adjoint`](Self::exchange_adjoint), and then zeros in the halos.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint); the halos are then as they were.
    pub fn exchange_adjoint_and_zero(&mut self, op: impl Reduction<T>) -> Result<()> {
        self.exchange_adjoint(op)?;
        self.halo_mut().fill(T::zeroed());
        Ok(())
    }

    /// Adds the conjugates of the halos to the owners' elements: [`exchange_adjoint`](Self::exchange_adjoint) of
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

    /// Makes the copies of points that several ranks own agree, in each column as
    /// [`DistVector::update_overlap`](crate::index::DistVector::update_overlap) does. Collective.
    ///
    /// # Errors
    /// An average or a root of integers; as [`exchange`](Self::exchange).
    pub fn update_overlap(&mut self, kind: OverlapUpdate) -> Result<()>
    where
        T: Number,
    {
        update(self, kind)
    }

    /// As [`DistVector::start_update_overlap`](crate::index::DistVector::start_update_overlap), of all columns.
    ///
    /// # Errors
    /// As [`update_overlap`](Self::update_overlap). The columns are then gone.
    pub fn start_update_overlap(self, kind: OverlapUpdate) -> Result<OverlapInFlight<Self>>
    where
        T: Number,
    {
        start_update(self, kind)
    }
}

impl<T: Number> Shared<T> for DistMultiVector<T> {
    fn each_owned(&mut self, mut change: impl FnMut(usize, &mut T)) {
        self.owned_mut().indexed_iter_mut().for_each(|((local, _), x)| change(local, x));
    }
}
