//! Between columns and matrices by global index: gather, scatter, and what everybody holds already.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use parhelion_comm::{Element, Error, ErrorKind, Result};

use super::DistMultiVector;
use crate::halo::Order;
use crate::index::Descriptor;
use crate::index::movement::{check_total, gather, gather_all, scatter};

impl<T: Element> DistMultiVector<T> {
    /// All elements at `root`, `None` elsewhere: (global indices, columns); zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// An invalid root; elements too many for memory; a lost peer, a timeout, a deadlock.
    pub fn gather(&self, root: usize) -> Result<Option<Array2<T>>> {
        let all = gather(self.descriptor(), &self.packed(), self.columns(), root)?;
        Ok(all.map(|all| self.global(all)))
    }

    /// All elements at every rank: (global indices, columns); zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_all(&self) -> Result<Array2<T>> {
        Ok(self.global(gather_all(self.descriptor(), &self.packed(), self.columns())?))
    }

    /// Columns of the elements that `root` has, (global indices, columns), by rows; the other ranks pass `None`. Collective.
    ///
    /// # Errors
    /// A root that passes nothing, or not (total, columns) elements: at every rank. An invalid root; a lost peer, a timeout,
    /// a deadlock.
    pub fn scatter(
        descriptor: &Descriptor,
        columns: usize,
        elements: Option<ArrayView2<'_, T>>,
        root: usize,
    ) -> Result<Self> {
        // A wrong number of columns ends as a wrong number of elements does.
        let elements = elements.map(|elements| match elements.ncols() == columns {
            true => elements.as_standard_layout().iter().copied().collect::<Vec<T>>(),
            false => Vec::new(),
        });
        let owned = scatter(descriptor, elements.as_deref(), columns, root)?;
        Self::from_rows(descriptor, columns, &owned)
    }

    /// Columns of elements that every rank holds, (global indices, columns), by rows. Local.
    ///
    /// # Errors
    /// Not [`Descriptor::total`] rows.
    pub fn from_global(descriptor: &Descriptor, elements: ArrayView2<'_, T>) -> Result<Self> {
        check_total(descriptor, elements.nrows(), 1)?;
        Ok(Self::from_fn(descriptor, elements.ncols(), |global, column| elements[[global as usize, column]]))
    }

    /// Columns whose owned elements are, on each rank, `owned`: (owned indices, columns) in local order; by rows. Local.
    ///
    /// # Errors
    /// Another number of rows than the rank owns.
    pub fn from_owned(descriptor: &Descriptor, owned: ArrayView2<'_, T>) -> Result<Self> {
        if owned.nrows() != descriptor.owned_len() {
            let (given, needed) = (owned.nrows(), descriptor.owned_len());
            let text = format!("{given} rows given on rank {}, which owns {needed}", descriptor.rank());
            return Err(Error::new("from_owned", ErrorKind::InvalidArgument(text)));
        }
        let mut all = Self::zeros(descriptor, owned.ncols());
        all.owned_mut().assign(&owned);
        Ok(all)
    }

    fn from_rows(descriptor: &Descriptor, columns: usize, rows: &[T]) -> Result<Self> {
        match ArrayView2::from_shape((descriptor.owned_len(), columns), rows) {
            Ok(owned) => Self::from_owned(descriptor, owned),
            Err(_) => {
                let (given, owned) = (rows.len(), descriptor.owned_len());
                let text =
                    format!("{given} elements came for {owned} rows of {columns} columns; all ranks give one number");
                Err(Error::new("scatter", ErrorKind::Mismatch(text)))
            }
        }
    }

    fn global(&self, rows: Vec<T>) -> Array2<T> {
        let shape = (self.descriptor().total() as usize, self.columns());
        Array2::from_shape_vec(shape, rows).expect("there are so many rows of so many columns")
    }

    /// The elements that count here, row by row.
    fn packed(&self) -> Vec<T> {
        let (columns, leading) = (self.columns(), self.leading());
        let mut packed = Vec::with_capacity(columns * self.descriptor().counted().len());
        let mut push = |rows: Range<usize>| match self.order() {
            Order::RowMajor => {
                rows.for_each(|row| packed.extend_from_slice(&self.as_slice()[row * leading..][..columns]));
            }
            Order::ColumnMajor => {
                let columns = || (0..columns).map(|column| column * leading);
                rows.for_each(|row| packed.extend(columns().map(|column| self.as_slice()[column + row])));
            }
        };
        self.descriptor().counted().iter_runs().for_each(|(start, len)| push(start..start + len));
        packed
    }
}
