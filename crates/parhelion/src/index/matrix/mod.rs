//! [`DistMatrix`]: a sparse matrix by rows, and its products with vectors.

mod entries;
mod operand;
mod product;

use std::fmt;
use std::ops::Range;

use parhelion_comm::{Error, ErrorKind, Op, Result};

use super::{Descriptor, DistVector, Pattern};
use crate::array::Number;
use crate::array::number::Accumulator;
use crate::halo::{InFlight, Rounds, start_exchange};
use entries::{Entries, Rows};
pub use operand::Operand;

/// A square sparse matrix whose rows are distributed as the indices of a [`Descriptor`]: each rank stores the rows it owns,
/// and the halo is the columns of these that others own.
///
/// Compressed rows. Entries of a row ascend by global column, and each is multiplied and added in this order, so that a
/// product has the same bits for any number of ranks, any distribution of the rows and any scheme, with the halo filled
/// before ([`multiply`](Self::multiply)) or meanwhile ([`multiply_overlapped`](Self::multiply_overlapped)).
///
/// ```
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     // The second difference on a line, ten rows for each rank.
///     let (start, n) = (10 * world.rank() as u64, 10 * world.size() as u64);
///     let row = |i: u64| [i.checked_sub(1), Some(i), (i + 1 < n).then_some(i + 1)].into_iter().flatten();
///     let entries = (start..start + 10).flat_map(|i| row(i).map(move |j| (i, j, if i == j { 2.0 } else { -1.0 })));
///     let a = DistMatrix::assemble(Descriptor::builder(&world).blocks(10), entries)?;
///
///     let mut x = DistVector::full(a.descriptor(), 1.0);
///     let mut y = x.zeros_like();
///     a.multiply(&mut x, &mut y)?;
///     assert_eq!(y.sum()?, 2.0); // only the ends of the line feel the boundary
///     x = a.multiply_overlapped(x, &mut y)?; // interior rows while the halo is on its way
///     assert_eq!(x.dot(&y)?, 2.0);
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
pub struct DistMatrix<T: Number> {
    descriptor: Descriptor,
    rows: Rows<u32, T>,
    /// Local rows whose columns are all owned here, and the others; each as ranges.
    interior: Vec<Range<usize>>,
    boundary: Vec<Range<usize>>,
}

impl<T: Number> DistMatrix<T> {
    /// The matrix of entries (row, column, value) of all ranks, in global indices; entries at one place are added. `pattern`
    /// says who owns which row, and may ask for more halo than the entries do. Collective.
    ///
    /// A rank may give entries of any rows: those of other ranks' rows are sent there, in one message for each owner. At one
    /// place the owner's own entries come first, in the order it gave them, then the others' by rank, in theirs. Entries of a
    /// row are best given together.
    ///
    /// # Errors
    /// At every rank, if at any one: rows that several ranks own, a row or column of an entry that nobody owns, more local
    /// indices than 2^32; as [`Pattern::assemble`].
    pub fn assemble(pattern: Pattern, entries: impl IntoIterator<Item = (u64, u64, T)>) -> Result<Self> {
        let entries: Entries<T> = entries.into_iter().collect();
        let mut rounds = Rounds::new(pattern.communicator())?;
        let pattern = rounds.agree("assemble", pattern.sound())?;
        let foreign = entries.rows_without(|row| pattern.local(row).is_some());
        let entries = if rounds.largest(vec![i64::from(!foreign.is_empty())])?[0] > 0 {
            let owners = pattern.find_owners(&mut rounds, &foreign)?;
            let owner = |row: u64| foreign.binary_search(&row).ok().map(|place| owners[place]);
            entries.deliver(&mut rounds, owner)?
        } else {
            entries
        };
        let rows = entries.compress(pattern.owned_len(), |row| pattern.local(row));
        let pattern = rows.each_row().fold(pattern, |pattern, (row, columns)| {
            let row = pattern.global(row);
            pattern.adjacency(row, columns.iter().copied())
        });
        let descriptor = pattern.assemble()?;
        Self::of(descriptor, rows, &mut rounds)
    }

    /// The matrix of entries whose rows and columns are all on the rank that gives them, as owned or halo indices of
    /// `descriptor`: so that matrices share vectors, and one is assembled again with other values. Collective; otherwise as
    /// [`assemble`](Self::assemble).
    ///
    /// # Errors
    /// At every rank, if at any one: rows that several ranks own, an entry whose row is not on the rank that gives it, or whose
    /// column is not on the rank that owns the row; more local indices than 2^32. What the backend reports.
    pub fn with_descriptor(descriptor: &Descriptor, entries: impl IntoIterator<Item = (u64, u64, T)>) -> Result<Self> {
        let entries: Entries<T> = entries.into_iter().collect();
        let mut rounds = Rounds::new(descriptor.communicator())?;
        let foreign = entries.rows_without(|row| descriptor.owns(row));
        let unknown = foreign.iter().find(|&&row| descriptor.local(row).is_none());
        let known = unknown.map_or(Ok(()), |row| {
            invalid(format!("rank {} gives an entry of row {row}, of which it has no copy", descriptor.rank()))
        });
        rounds.agree("assemble", known)?;
        let owner = |row: u64| descriptor.owner(row).filter(|_| !descriptor.owns(row));
        let entries = entries.deliver(&mut rounds, owner)?;
        let rows = entries.compress(descriptor.owned_len(), |row| descriptor.local(row));
        Self::of(descriptor.clone(), rows, &mut rounds)
    }

    fn of(descriptor: Descriptor, rows: Rows<u64, T>, rounds: &mut Rounds) -> Result<Self> {
        let owned = descriptor.owned_len();
        let unshared = if descriptor.degrees().is_some() {
            invalid("a row that several ranks own; a matrix needs exactly one owner for each".to_owned())
        } else if u32::try_from(descriptor.len()).is_err() {
            invalid(format!("rank {} has {} local indices; at most 2^32 fit", descriptor.rank(), descriptor.len()))
        } else {
            Ok(())
        };
        let rows = rounds.agree("assemble", unshared.and_then(|()| rows.numbered(&descriptor)))?;
        let (mut interior, mut boundary) = (Vec::new(), Vec::new());
        for (row, columns) in rows.each_row() {
            let is_interior = columns.iter().all(|&column| (column as usize) < owned);
            push(if is_interior { &mut interior } else { &mut boundary }, row);
        }
        Ok(DistMatrix { descriptor, rows, interior, boundary })
    }

    /// Who owns which row; columns are its local indices, and its vectors are what can be multiplied.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Rows of this rank.
    pub fn rows(&self) -> usize {
        self.descriptor.owned_len()
    }

    /// Entries of this rank.
    pub fn entries(&self) -> usize {
        self.rows.values.len()
    }

    /// Rows of this rank that need no halo: those that [`multiply_overlapped`](Self::multiply_overlapped) has for the
    /// meantime.
    pub fn interior_rows(&self) -> usize {
        self.interior.iter().map(Range::len).sum()
    }

    /// The entries of a local row: local columns, by ascending global index, and values.
    ///
    /// # Panics
    /// This rank has no such row.
    pub fn row(&self, row: usize) -> (&[u32], &[T]) {
        let range = self.rows.range(row);
        (&self.rows.columns[range.clone()], &self.rows.values[range])
    }

    /// The entries of a local row, with values to write.
    ///
    /// # Panics
    /// This rank has no such row.
    pub fn row_mut(&mut self, row: usize) -> (&[u32], &mut [T]) {
        let range = self.rows.range(row);
        (&self.rows.columns[range.clone()], &mut self.rows.values[range])
    }

    /// The value at a global row and column; zero where nothing is stored, `None` if this rank does not own the row. Local.
    pub fn get(&self, row: u64, column: u64) -> Option<T> {
        let row = self.descriptor.local(row).filter(|&row| row < self.rows())?;
        let (columns, values) = self.row(row);
        let place = columns.iter().position(|&local| self.descriptor.global(local as usize) == Some(column));
        Some(place.map_or(T::zeroed(), |place| values[place]))
    }

    /// The diagonal: zero where nothing is stored. Local.
    pub fn diagonal(&self) -> DistVector<T> {
        let mut diagonal = DistVector::zeros(&self.descriptor);
        for (row, value) in diagonal.owned_mut().iter_mut().enumerate() {
            let (columns, values) = self.row(row);
            if let Some(place) = columns.iter().position(|&column| column as usize == row) {
                *value = values[place];
            }
        }
        diagonal
    }

    /// `y := A x`, of a vector or of several columns: fills the halo of `x`, then multiplies. Products and sums are those of
    /// the accumulator, rounded once. The halo of `y` stays as it is. Collective; blocks until the neighbours have done the
    /// same.
    ///
    /// # Errors
    /// Vectors of another descriptor, or with different numbers of columns; as [`exchange`](crate::halo::exchange).
    pub fn multiply<V: Operand<T>>(&self, x: &mut V, y: &mut V) -> Result<()> {
        self.check("multiply", x, y)?;
        crate::halo::exchange(x)?;
        self.multiply_filled(x, y)
    }

    /// `y := A x` with the halo of `x` filled already. Local.
    ///
    /// # Errors
    /// As [`multiply_interior`](Self::multiply_interior).
    pub fn multiply_filled<V: Operand<T>>(&self, x: &V, y: &mut V) -> Result<()> {
        self.check("multiply_filled", x, y)?;
        x.multiply_local(&self.rows, std::slice::from_ref(&(0..self.rows())), y);
        Ok(())
    }

    /// `y := A x` with the interior rows multiplied while the halo of `x` is on its way, which comes back:
    /// [`multiply_interior`](Self::multiply_interior) and [`multiply_boundary`](Self::multiply_boundary) around the end of an
    /// exchange. The same bits as [`multiply`](Self::multiply). Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply). `x` is then gone.
    pub fn multiply_overlapped<V: Operand<T>>(&self, x: V, y: &mut V) -> Result<V> {
        self.check("multiply_overlapped", &x, y)?;
        let inflight = start_exchange(x)?;
        self.multiply_interior(&inflight, y)?;
        let x = inflight.finish()?;
        self.multiply_boundary(&x, y)?;
        Ok(x)
    }

    /// The interior rows of `y := A x`, which need no halo, while that of `x` is on its way. Local.
    ///
    /// # Errors
    /// Vectors of another descriptor, or with different numbers of columns.
    pub fn multiply_interior<V: Operand<T>>(&self, x: &InFlight<V>, y: &mut V) -> Result<()> {
        self.check("multiply_interior", x.fields(), y)?;
        x.fields().multiply_owned(&self.rows, &self.interior, y);
        Ok(())
    }

    /// The other rows of `y := A x`, with the halo of `x` filled. Local.
    ///
    /// # Errors
    /// As [`multiply_interior`](Self::multiply_interior).
    pub fn multiply_boundary<V: Operand<T>>(&self, x: &V, y: &mut V) -> Result<()> {
        self.check("multiply_boundary", x, y)?;
        x.multiply_local(&self.rows, &self.boundary, y);
        Ok(())
    }

    /// `y := Aᵀ x`, of a vector or of several columns, complex numbers not conjugated: multiplies, and adds what falls on the
    /// halo of `y` to the owners' elements by the adjoint of the exchange. The halo of `y` is zero then. `x` needs no halo.
    /// Collective; blocks until the neighbours have done the same.
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    pub fn multiply_transpose<V: Operand<T>>(&self, x: &V, y: &mut V) -> Result<()> {
        self.transposed("multiply_transpose", x, y, |value| value)
    }

    /// `y := Aᴴ x`: [`multiply_transpose`](Self::multiply_transpose) with the conjugates of the entries, the adjoint in the
    /// inner product of [`DistVector::dot`].
    ///
    /// # Errors
    /// As [`multiply`](Self::multiply).
    pub fn multiply_conjugate_transpose<V: Operand<T>>(&self, x: &V, y: &mut V) -> Result<()> {
        self.transposed("multiply_conjugate_transpose", x, y, T::conjugate)
    }

    fn transposed<V: Operand<T>>(
        &self,
        operation: &'static str,
        x: &V,
        y: &mut V,
        load: impl Fn(T) -> T + Copy,
    ) -> Result<()> {
        self.check(operation, x, y)?;
        x.scatter_local(&self.rows, y, load);
        crate::halo::exchange_adjoint(y, Op::Sum)?;
        y.empty_halo();
        Ok(())
    }

    fn check<V: Operand<T>>(&self, operation: &'static str, x: &V, y: &V) -> Result<()> {
        let other = [x, y].map(V::of).into_iter().find(|of| !of.is_same(&self.descriptor));
        let text = match other {
            Some(other) => format!("a vector of another descriptor than the matrix: {other} and {}", self.descriptor),
            None if x.width() != y.width() => format!("{} columns and {}", x.width(), y.width()),
            None => return Ok(()),
        };
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }

    /// Multiplies every entry by `factor`. Local.
    pub fn scale(&mut self, factor: T) {
        let factor = factor.widen();
        self.rows.values.iter_mut().for_each(|x| *x = T::narrow(x.widen().times(factor)));
    }
}

/// Adds a row to ascending ranges.
fn push(ranges: &mut Vec<Range<usize>>, row: usize) {
    match ranges.last_mut() {
        Some(last) if last.end == row => last.end += 1,
        _ => ranges.push(row..row + 1),
    }
}

fn invalid<T>(text: String) -> Result<T> {
    Err(Error::new("assemble", ErrorKind::InvalidArgument(text)))
}

impl<T: Number> Clone for DistMatrix<T> {
    /// A matrix with the same entries and descriptor. Local.
    fn clone(&self) -> Self {
        DistMatrix {
            descriptor: self.descriptor.clone(),
            rows: self.rows.clone(),
            interior: self.interior.clone(),
            boundary: self.boundary.clone(),
        }
    }
}

impl<T: Number> fmt::Debug for DistMatrix<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistMatrix({} entries in {} rows, {})", self.entries(), self.rows(), self.descriptor)
    }
}
