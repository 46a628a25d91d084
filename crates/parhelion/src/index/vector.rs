//! [`DistVector`]: one element for each local index of a descriptor.

use std::fmt;
use std::sync::Arc;

use parhelion_comm::{Communicator, Element, Error, ErrorKind, Memory, Result};

use super::list::Carried;
use super::{Descriptor, List};
use crate::halo::Exchanges;

/// A vector with one element for each local index of a [`Descriptor`]: owned ones first, then the halo.
///
/// Storage comes from [`Communicator::allocate`], so that ranks of one node can read it in place. Making one is local.
/// Halo elements are zero until an exchange fills them or they are written through [`local_mut`](Self::local_mut).
/// Arithmetic writes owned elements and leaves the halo as it is; sums count each global index once.
///
/// ```
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let index = Descriptor::builder(&world).blocks(5).assemble()?;
///     let x = DistVector::from_fn(&index, |i| i as f64);
///     let mut y = DistVector::full(&index, 1.0);
///     y.axpy(2.0, &x)?;
///     let n = index.total() as f64;
///     assert_eq!(y.sum()?, n + n * (n - 1.0));
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
pub struct DistVector<T: Element> {
    descriptor: Descriptor,
    memory: Memory<T>,
    /// Which of the descriptor's exchanges carries it: the halo's, but in `by_list` and `OnList`.
    list: List,
}

impl<T: Element> DistVector<T> {
    /// A vector of zeros. Local.
    pub fn zeros(descriptor: &Descriptor) -> Self {
        let memory = descriptor.communicator().allocate(descriptor.len());
        DistVector { descriptor: descriptor.clone(), memory, list: List::Halo }
    }

    /// A vector whose owned elements are `value`. Local.
    pub fn full(descriptor: &Descriptor, value: T) -> Self {
        let mut vector = Self::zeros(descriptor);
        vector.fill(value);
        vector
    }

    /// A vector whose owned elements are `value` of their global index. Local; called in local order.
    pub fn from_fn(descriptor: &Descriptor, value: impl FnMut(u64) -> T) -> Self {
        let mut vector = Self::zeros(descriptor);
        vector.fill_with(value);
        vector
    }

    /// A vector whose owned elements are, on each rank, `owned` in local order. Local.
    ///
    /// # Errors
    /// Another number of elements than the rank owns.
    pub fn from_owned(descriptor: &Descriptor, owned: &[T]) -> Result<Self> {
        let mut vector = Self::zeros(descriptor);
        if owned.len() != descriptor.owned_len() {
            let (given, needed) = (owned.len(), descriptor.owned_len());
            let text = format!("{given} elements given on rank {}, which owns {needed}", descriptor.rank());
            return Err(Error::new("from_owned", ErrorKind::InvalidArgument(text)));
        }
        vector.owned_mut().copy_from_slice(owned);
        Ok(vector)
    }

    /// A vector of zeros with this one's descriptor, and any element type. Local.
    pub fn like<U: Element>(&self) -> DistVector<U> {
        DistVector::zeros(&self.descriptor)
    }

    /// A vector of zeros with this one's descriptor and element type. Local.
    pub fn zeros_like(&self) -> Self {
        self.like()
    }

    /// The indices of its elements.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The communicator of the descriptor.
    pub fn communicator(&self) -> &Communicator {
        self.descriptor.communicator()
    }

    /// The elements this rank owns, in local order.
    pub fn owned(&self) -> &[T] {
        &self.memory[..self.descriptor.owned_len()]
    }

    /// The elements this rank owns, to write.
    pub fn owned_mut(&mut self) -> &mut [T] {
        let len = self.descriptor.owned_len();
        &mut self.memory[..len]
    }

    /// The copies of others' elements, in local order.
    pub fn halo(&self) -> &[T] {
        &self.memory[self.descriptor.owned_len()..]
    }

    /// The copies of others' elements, to write: what [`exchange_adjoint`](Self::exchange_adjoint) sends to the owners.
    pub fn halo_mut(&mut self) -> &mut [T] {
        let len = self.descriptor.owned_len();
        &mut self.memory[len..]
    }

    /// All elements of this rank by local index, owned ones and halo.
    pub fn local(&self) -> &[T] {
        &self.memory
    }

    /// All elements of this rank by local index, to write.
    pub fn local_mut(&mut self) -> &mut [T] {
        &mut self.memory
    }

    /// The element of a global index, owned or halo; `None` if it is not here. Local.
    pub fn get(&self, global: u64) -> Option<T> {
        self.descriptor.local(global).map(|local| self.memory[local])
    }

    /// The exchanges that carry it; `None` where its list has nothing on any rank.
    pub(super) fn exchanges(&self) -> Option<&Arc<Exchanges>> {
        self.descriptor.exchanges_on(self.list)
    }

    /// The stored elements, halo included.
    pub(super) fn memory_mut(&mut self) -> &mut Memory<T> {
        &mut self.memory
    }

    pub(super) fn into_memory(self) -> Memory<T> {
        self.memory
    }

    /// The owned elements that count here, as slices.
    pub(super) fn counted(&self) -> impl Iterator<Item = &[T]> {
        self.descriptor.counted().iter_runs().map(|(start, len)| &self.memory[start..start + len])
    }
}

impl<T: Element> Carried for DistVector<T> {
    fn of(&self) -> &Descriptor {
        &self.descriptor
    }

    fn list(&self) -> List {
        self.list
    }

    fn set_list(&mut self, list: List) {
        self.list = list;
    }
}

impl<T: Element> Clone for DistVector<T> {
    /// A vector with the same elements, halo included. Local.
    fn clone(&self) -> Self {
        let mut copy = self.zeros_like();
        copy.memory.copy_from_slice(&self.memory);
        copy.list = self.list;
        copy
    }
}

impl<T: Element> fmt::Debug for DistVector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistVector({})", self.descriptor)
    }
}
