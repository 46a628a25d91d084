//! [`DistMultiVector`]: several elements for each local index of a descriptor.

mod arithmetic;
mod exchange;
mod movement;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Ix2, ShapeBuilder, StrideShape};
use parhelion_comm::{Communicator, Element, Error, ErrorKind, Memory, Result};

use super::list::Carried;
use super::{Descriptor, DistVector, List};
use crate::halo::{Columns, Exchanges, Leading, Order};

/// Several vectors over one [`Descriptor`], its *columns*, exchanged together: one message for each neighbour, whatever their
/// number.
///
/// Local indices are the rows of a matrix, owned ones first, then the halo. Stored in either [`Order`]: by rows, where the
/// elements of an index lie side by side, or by columns; densely ([`zeros`](Self::zeros), [`zeros_in`](Self::zeros_in)), or
/// with room between rows or columns ([`with_leading`](Self::with_leading)). Storage comes from [`Communicator::allocate`].
/// Views are those of `ndarray`, with the shape (indices, columns), whatever the order.
///
/// As with a [`DistVector`], arithmetic writes owned elements and leaves the halo as it is, sums count each global index once,
/// and the halo is zero until it is exchanged or written. Each column gets the same bits as a vector of its own would, in
/// sums as well.
///
/// All ranks have the same number of columns in the same order. The first exchange of a number and an order on a descriptor is
/// collective over all ranks: neighbours tell each other where their elements lie.
///
/// ```
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let (first, n) = (5 * world.rank() as u64, 5 * world.size() as u64);
///     let index = Descriptor::builder(&world).blocks(5).halo([(first + 5) % n]).assemble()?;
///     let mut x = DistMultiVector::from_fn(&index, 3, |i, column| (10 * i + column as u64) as f64);
///     x.exchange()?;
///     assert_eq!(x.get((first + 5) % n, 2), Some((10 * ((first + 5) % n) + 2) as f64));
///     x.scale(&[1.0, 2.0, 0.0])?;
///     let sums = x.sum()?; // one reduction for all columns
///     assert_eq!((sums[1], sums[2]), (2.0 * sums[0] + 2.0 * n as f64, 0.0));
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
pub struct DistMultiVector<T: Element> {
    descriptor: Descriptor,
    columns: Columns,
    memory: Memory<T>,
    /// Which of the descriptor's exchanges carries it: the halo's, but in `by_list` and `OnList`.
    list: List,
    /// Those, of these columns; `None` where the list has nothing on any rank.
    exchanges: Option<Arc<Exchanges>>,
}

impl<T: Element> DistMultiVector<T> {
    /// Columns of zeros, by rows. Local.
    ///
    /// # Panics
    /// More elements than there are addresses; so do the others that make one.
    pub fn zeros(descriptor: &Descriptor, columns: usize) -> Self {
        Self::zeros_in(descriptor, columns, Order::RowMajor)
    }

    /// Columns of zeros, in an order. Local.
    pub fn zeros_in(descriptor: &Descriptor, columns: usize, order: Order) -> Self {
        Self::make(descriptor, Columns { count: columns, order, leading: Leading::Tight, further: None })
    }

    /// Columns of zeros with `leading` elements from one row, or column, to the next: at least as many as there are columns
    /// ([`Order::RowMajor`]) or local indices on this rank ([`Order::ColumnMajor`]). Ranks may differ in it. Collective: two
    /// reductions.
    ///
    /// # Errors
    /// A distance too small, or more elements than there are addresses, at any rank: at every rank. A lost peer, a timeout, a
    /// deadlock.
    pub fn with_leading(descriptor: &Descriptor, columns: usize, order: Order, leading: usize) -> Result<Self> {
        let least = match order {
            Order::RowMajor => columns,
            Order::ColumnMajor => descriptor.len(),
        };
        let given = Leading::Given { value: leading, number: 0 };
        let made = Columns { count: columns, order, leading: given, further: None };
        let bytes = made.elements(descriptor.len()).and_then(|elements| elements.checked_mul(size_of::<T>()));
        let fits = leading >= least && bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok());
        let worst = descriptor.communicator().all_reduce(&[u8::from(!fits)], parhelion_comm::Op::Max)?[0];
        if worst != 0 {
            let text = match fits {
                true => "another rank gives a leading dimension that does not fit".to_owned(),
                false => {
                    format!("leading dimension {leading} on rank {}, where it is at least {least}", descriptor.rank())
                }
            };
            return Err(Error::new("with_leading", ErrorKind::InvalidArgument(text)));
        }
        let leading = descriptor.exchanges().leading(columns, order, leading)?;
        Ok(Self::make(descriptor, Columns { leading, ..made }))
    }

    fn make(descriptor: &Descriptor, columns: Columns) -> Self {
        let elements = columns.elements(descriptor.len()).expect("capacity overflow");
        let memory = descriptor.communicator().allocate(elements);
        let exchanges = Some(descriptor.exchanges().columns(&columns));
        DistMultiVector { descriptor: descriptor.clone(), columns, memory, list: List::Halo, exchanges }
    }

    /// Columns whose owned elements are `value`, by rows. Local.
    pub fn full(descriptor: &Descriptor, columns: usize, value: T) -> Self {
        let mut all = Self::zeros(descriptor, columns);
        all.fill(value);
        all
    }

    /// Columns whose owned elements are `value` of their global index and column, by rows. Local; called row by row in local
    /// order.
    pub fn from_fn(descriptor: &Descriptor, columns: usize, value: impl FnMut(u64, usize) -> T) -> Self {
        let mut all = Self::zeros(descriptor, columns);
        all.fill_with(value);
        all
    }

    /// The vectors as columns, halos included, by rows. Local.
    ///
    /// # Errors
    /// No vectors; vectors of different descriptors.
    pub fn from_columns(vectors: &[DistVector<T>]) -> Result<Self> {
        let Some(first) = vectors.first() else {
            let text = "no vectors, so no descriptor either; `zeros` makes no columns of a descriptor".to_owned();
            return Err(Error::new("from_columns", ErrorKind::InvalidArgument(text)));
        };
        let mut all = Self::zeros(first.descriptor(), vectors.len());
        vectors.iter().enumerate().try_for_each(|(column, vector)| all.set_column(column, vector))?;
        Ok(all)
    }

    /// Zeros with this one's descriptor, columns and storage, and any element type. Local.
    pub fn like<U: Element>(&self) -> DistMultiVector<U> {
        DistMultiVector::make(&self.descriptor, self.columns)
    }

    /// Zeros with this one's descriptor, columns, storage and element type. Local.
    pub fn zeros_like(&self) -> Self {
        self.like()
    }

    /// The same elements, halo included, stored densely in an order. Local.
    pub fn reordered(&self, order: Order) -> Self {
        let mut all = Self::zeros_in(&self.descriptor, self.columns(), order);
        all.local_mut().assign(&self.local());
        all
    }

    /// The indices of its rows.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The communicator of the descriptor.
    pub fn communicator(&self) -> &Communicator {
        self.descriptor.communicator()
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns.count
    }

    /// How the columns are stored.
    pub fn order(&self) -> Order {
        self.columns.order
    }

    /// Elements from one row to the next, or from one column to the next, by [`order`](Self::order).
    pub fn leading(&self) -> usize {
        self.columns.leading_of(self.descriptor.len())
    }

    /// The stored elements, with what lies between rows or columns.
    pub fn as_slice(&self) -> &[T] {
        &self.memory
    }

    /// The stored elements, to write.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.memory
    }

    /// The elements this rank owns: (owned indices, columns).
    pub fn owned(&self) -> ArrayView2<'_, T> {
        self.local().split_at(Axis(0), self.descriptor.owned_len()).0
    }

    /// The elements this rank owns, to write.
    pub fn owned_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let owned = self.descriptor.owned_len();
        self.local_mut().split_at(Axis(0), owned).0
    }

    /// The copies of others' elements: (halo indices, columns).
    pub fn halo(&self) -> ArrayView2<'_, T> {
        self.local().split_at(Axis(0), self.descriptor.owned_len()).1
    }

    /// The copies of others' elements, to write: what [`exchange_adjoint`](Self::exchange_adjoint) sends to the owners.
    pub fn halo_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let owned = self.descriptor.owned_len();
        self.local_mut().split_at(Axis(0), owned).1
    }

    /// All elements of this rank: (local indices, columns).
    pub fn local(&self) -> ArrayView2<'_, T> {
        ArrayView2::from_shape(self.shape(), &self.memory).expect("storage has the shape of the columns")
    }

    /// All elements of this rank, to write.
    pub fn local_mut(&mut self) -> ArrayViewMut2<'_, T> {
        ArrayViewMut2::from_shape(self.shape(), &mut self.memory).expect("storage has the shape of the columns")
    }

    /// The local elements of a column.
    ///
    /// # Panics
    /// There is no such column.
    pub fn column_view(&self, column: usize) -> ArrayView1<'_, T> {
        self.local().index_axis_move(Axis(1), column)
    }

    /// The local elements of a column, to write.
    ///
    /// # Panics
    /// There is no such column.
    pub fn column_view_mut(&mut self, column: usize) -> ArrayViewMut1<'_, T> {
        self.local_mut().index_axis_move(Axis(1), column)
    }

    /// A column as a vector of its own, halo included. Local.
    ///
    /// # Panics
    /// There is no such column.
    pub fn column(&self, column: usize) -> DistVector<T> {
        let mut vector = DistVector::zeros(&self.descriptor);
        vector.local_mut().iter_mut().zip(self.column_view(column)).for_each(|(to, &from)| *to = from);
        vector
    }

    /// Copies a vector, halo included, to a column. Local.
    ///
    /// # Errors
    /// A vector of another descriptor.
    ///
    /// # Panics
    /// There is no such column.
    pub fn set_column(&mut self, column: usize, vector: &DistVector<T>) -> Result<()> {
        self.check_alike("set_column", vector.descriptor(), None)?;
        self.column_view_mut(column).iter_mut().zip(vector.local()).for_each(|(to, &from)| *to = from);
        Ok(())
    }

    /// The element of a global index, owned or halo, in a column; `None` if it is not here. Local.
    pub fn get(&self, global: u64, column: usize) -> Option<T> {
        let local = self.descriptor.local(global)?;
        self.local().get([local, column]).copied()
    }

    /// Shape and strides of all elements of this rank.
    fn shape(&self) -> StrideShape<Ix2> {
        let leading = self.leading();
        let strides = match self.order() {
            // `ndarray` wants even what is empty to lie inside the storage.
            _ if self.descriptor.is_empty() || self.columns() == 0 => (0, 0),
            Order::RowMajor => (leading, 1),
            Order::ColumnMajor => (1, leading),
        };
        (self.descriptor.len(), self.columns()).strides(strides)
    }

    fn check_alike(&self, operation: &'static str, other: &Descriptor, columns: Option<usize>) -> Result<()> {
        let text = if !self.descriptor.is_same(other) {
            format!("vectors of different descriptors: {} and {other}", self.descriptor)
        } else if columns.is_some_and(|columns| columns != self.columns()) {
            format!("{} columns and {}", self.columns(), columns.unwrap_or_default())
        } else {
            return Ok(());
        };
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }

    /// The first rows, stored by rows, with what lies between them.
    pub(super) fn first_rows(&self, rows: usize) -> &[T] {
        &self.memory[..rows * self.leading()]
    }

    /// The first elements of a column, stored by columns.
    pub(super) fn first_of_column(&self, column: usize, rows: usize) -> &[T] {
        &self.memory[column * self.leading()..][..rows]
    }

    /// Elements `rows` of a column one behind the other: where they are, or gathered in `buffer`.
    fn stretch<'a>(&'a self, column: usize, rows: Range<usize>, buffer: &'a mut Vec<T>) -> &'a [T] {
        let leading = self.leading();
        match self.order() {
            Order::ColumnMajor => &self.memory[column * leading..][rows],
            Order::RowMajor if leading == 1 => &self.memory[rows],
            Order::RowMajor => {
                buffer.clear();
                buffer
                    .extend(self.memory[rows.start * leading..rows.end * leading].iter().skip(column).step_by(leading));
                buffer
            }
        }
    }
}

impl<T: Element> Carried for DistMultiVector<T> {
    fn of(&self) -> &Descriptor {
        &self.descriptor
    }

    fn list(&self) -> List {
        self.list
    }

    fn set_list(&mut self, list: List) {
        self.list = list;
        self.exchanges = self.descriptor.exchanges_on(list).map(|base| base.columns(&self.columns));
    }
}

impl<T: Element> Clone for DistMultiVector<T> {
    /// The same elements, halo included, in the same storage. Local.
    fn clone(&self) -> Self {
        let mut copy = self.zeros_like();
        copy.memory.copy_from_slice(&self.memory);
        (copy.list, copy.exchanges) = (self.list, self.exchanges.clone());
        copy
    }
}

impl<T: Element> fmt::Debug for DistMultiVector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistMultiVector({} columns, {:?}, {})", self.columns(), self.order(), self.descriptor)
    }
}
