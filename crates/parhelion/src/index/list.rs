//! [`List`]: which of a descriptor's lists carries a vector.

use std::borrow::Cow;
use std::sync::Arc;

use ndarray::{ArrayView2, s};
use parhelion_comm::{Element, Kernel, Layout, Op, Reduction, Result};

use super::{Descriptor, DistMultiVector, DistVector};
use crate::halo::{
    AdjointInFlight, Buffer, EachField, Exchanges, Fields, InFlight, Keep, exchange, exchange_adjoint_of, sealed,
    start_exchange, start_exchange_adjoint_of,
};

/// The lists of a descriptor: from whom to whom an exchange carries elements, and which.
///
/// Where the descriptor does not have a list, because no index has two owners or there are no layers, an exchange of it
/// does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum List {
    /// From owners to halos.
    #[default]
    Halo,
    /// From the lowest owner of a point, its master, to the others.
    Overlap,
    /// From the ranks that owned a point before [`extend`](super::Descriptor::extend) to those that have it in a layer.
    Extension,
}

impl List {
    /// All of them.
    pub const ALL: [List; 3] = [List::Halo, List::Overlap, List::Extension];
}

impl<T: Element> DistVector<T> {
    /// Replaces the elements at the receiving end of a list by those at its origin: for [`List::Halo`] this is
    /// [`exchange`](Self::exchange), for [`List::Extension`] points in layers get the values of the ranks that owned them
    /// before. Collective; blocks until the neighbours have done the same. State is kept for each list, direction and
    /// scheme, so that changing them costs nothing the second time.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub fn exchange_on(&mut self, list: List) -> Result<()> {
        by_list(self, list, exchange)
    }

    /// The transpose of [`exchange_on`](Self::exchange_on): elements at the origin of a list are combined with those at its
    /// receiving ends, which stay as they are, as by [`exchange_adjoint`](Self::exchange_adjoint).
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn exchange_adjoint_on(&mut self, list: List, op: impl Reduction<T>) -> Result<()> {
        by_list(self, list, |x| exchange_adjoint_of(x, &op))
    }

    /// Starts [`exchange_on`](Self::exchange_on). The elements that the list does not write stay readable; the vector
    /// comes back from [`InFlight::finish`], in an [`OnList`]. Collective; does not wait for the neighbours.
    ///
    /// ```
    /// use parhelion::index::List;
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let (rank, n) = (world.rank() as u64, 4 * world.size() as u64);
    ///     let ring = (4 * rank..4 * rank + 4).map(|i| (i, (i + 1) % n));
    ///     let wide = Descriptor::builder(&world).blocks(4).edges(ring).assemble()?.extend(1)?;
    ///     let mut x = DistVector::<u64>::zeros(&wide);
    ///     x.owned_mut()[..4].fill(rank);
    ///     let inflight = x.start_exchange_on(List::Extension)?;
    ///     let sum: u64 = inflight.owned().runs().flat_map(|(_, run)| run).sum();
    ///     assert_eq!(sum, 4 * rank);
    ///     let x = inflight.finish()?.into_vector();
    ///     let first_of_next = (4 * rank + 4) % n;
    ///     assert_eq!(x.get(first_of_next), Some((rank + 1) % world.size() as u64));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start_exchange`].
    pub fn start_exchange_on(self, list: List) -> Result<InFlight<OnList<Self>>> {
        start_exchange(self.on(list))
    }

    /// Starts [`exchange_adjoint_on`](Self::exchange_adjoint_on). The elements that [`start_exchange_on`] leaves readable are
    /// so here, as they were at the start; the vector comes back from [`AdjointInFlight::finish`], in an [`OnList`].
    /// Collective; does not wait for the neighbours.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    ///
    /// [`start_exchange_on`]: Self::start_exchange_on
    pub fn start_exchange_adjoint_on<O: Reduction<T>>(
        self,
        list: List,
        op: O,
    ) -> Result<AdjointInFlight<OnList<Self>, O>> {
        start_exchange_adjoint_of(self.on(list), op)
    }

    /// The vector as one to be carried by `list`, for [`start_exchange`] of several. Local.
    pub fn on(self, list: List) -> OnList<Self> {
        OnList::new(self, list)
    }
}

impl<T: Element> DistMultiVector<T> {
    /// As [`DistVector::exchange_on`], of all columns.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub fn exchange_on(&mut self, list: List) -> Result<()> {
        by_list(self, list, exchange)
    }

    /// As [`DistVector::exchange_adjoint_on`], of all columns.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn exchange_adjoint_on(&mut self, list: List, op: impl Reduction<T>) -> Result<()> {
        by_list(self, list, |x| exchange_adjoint_of(x, &op))
    }

    /// As [`DistVector::start_exchange_on`], of all columns.
    ///
    /// # Errors
    /// As [`start_exchange`].
    pub fn start_exchange_on(self, list: List) -> Result<InFlight<OnList<Self>>> {
        start_exchange(self.on(list))
    }

    /// As [`DistVector::start_exchange_adjoint_on`], of all columns.
    ///
    /// # Errors
    /// As [`exchange_adjoint`](Self::exchange_adjoint).
    pub fn start_exchange_adjoint_on<O: Reduction<T>>(
        self,
        list: List,
        op: O,
    ) -> Result<AdjointInFlight<OnList<Self>, O>> {
        start_exchange_adjoint_of(self.on(list), op)
    }

    /// The columns as ones to be carried by `list`, for [`start_exchange`] of several. Local.
    pub fn on(self, list: List) -> OnList<Self> {
        OnList::new(self, list)
    }
}

/// What a list can carry.
pub(super) trait Carried: Fields {
    fn of(&self) -> &Descriptor;
    fn list(&self) -> List;
    fn set_list(&mut self, list: List);
}

/// Does something with what another list carries, and has it on the halo again whatever happens.
pub(super) fn by_list<V: Carried, R>(carried: &mut V, list: List, act: impl FnOnce(&mut V) -> R) -> R {
    struct Back<'a, V: Carried>(&'a mut V);
    impl<V: Carried> Drop for Back<'_, V> {
        fn drop(&mut self) {
            self.0.set_list(List::Halo);
        }
    }
    let back = Back(carried);
    back.0.set_list(list);
    act(back.0)
}

/// A vector, or several columns, carried by a list of choice: see [`DistVector::start_exchange_on`].
#[derive(Debug, Clone)]
pub struct OnList<V>(V);

#[expect(private_bounds, reason = "vectors and multivectors, and nothing else")]
impl<V: Carried> OnList<V> {
    pub(super) fn new(mut vector: V, list: List) -> Self {
        vector.set_list(list);
        OnList(vector)
    }

    /// The vector. Local.
    pub fn into_vector(mut self) -> V {
        self.0.set_list(List::Halo);
        self.0
    }

    /// The list.
    pub fn list(&self) -> List {
        self.0.list()
    }
}

/// What can be read of a vector while a list carries it: the owned elements that the list does not write.
#[derive(Debug, Clone)]
pub struct Readable<'a, V> {
    vector: &'a V,
    layout: Cow<'a, Layout>,
}

impl<V> Readable<'_, V> {
    /// How many indices.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }
}

impl<T: Element> Readable<'_, DistVector<T>> {
    /// The elements, as runs of consecutive ones, ascending: the local index of the first, and the elements.
    pub fn runs(&self) -> impl Iterator<Item = (usize, &[T])> {
        self.layout.iter_runs().map(|(start, len)| (start, &self.vector.local()[start..start + len]))
    }
}

impl<T: Element> Readable<'_, DistMultiVector<T>> {
    /// The elements, as runs of consecutive local indices, ascending: the first of them, and the elements of all columns.
    pub fn runs(&self) -> impl Iterator<Item = (usize, ArrayView2<'_, T>)> {
        let rows = |start: usize, len: usize| self.vector.local().slice_move(s![start..start + len, ..]);
        self.layout.iter_runs().map(move |(start, len)| (start, rows(start, len)))
    }
}

impl<V: Carried> Fields for OnList<V> {
    type Owned<'a> = Readable<'a, V>;

    fn owned_cells(&self) -> Readable<'_, V> {
        let descriptor = self.0.of();
        let layout = match self.list() {
            List::Halo => Cow::Owned(Layout::contiguous(0, descriptor.owned_len())),
            List::Overlap => Cow::Borrowed(descriptor.counted()),
            List::Extension => Cow::Owned(Layout::contiguous(0, descriptor.inner_len())),
        };
        Readable { vector: &self.0, layout }
    }
}

// SAFETY: the vector's own promises; moving the wrapper moves the vector.
unsafe impl<V: Carried> sealed::Sealed for OnList<V> {
    fn prepare(&self) -> Result<()> {
        self.0.prepare()
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        self.0.home()
    }

    fn each_field(&self, each: EachField<'_>) {
        self.0.each_field(each);
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        self.0.push_buffers(out);
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        self.0.push_kernels(op, out)
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        self.0.push_memory(out);
    }
}
