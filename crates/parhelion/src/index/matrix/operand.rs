//! [`Operand`]: what a matrix multiplies.

use std::ops::Range;

use super::entries::Rows;
use crate::array::Number;
use crate::array::number::Accumulator;
use crate::halo::{Fields, Order};
use crate::index::{Descriptor, DistMultiVector, DistVector};

/// What a [`DistMatrix`](super::DistMatrix) multiplies: a [`DistVector`], or the columns of a [`DistMultiVector`], each of
/// which gets the bits of a vector of its own.
pub trait Operand<T: Number>: Fields + Sealed<T> {}

/// How it lies in memory.
pub trait Sealed<T: Number> {
    /// Its descriptor.
    fn of(&self) -> &Descriptor;
    /// The number of columns.
    fn width(&self) -> usize;
    /// Some rows of the product with this, to `y`. Reads all local elements.
    fn multiply_local(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self);
    /// The same of rows that need owned elements only. Does not touch the halo, which may be on its way.
    fn multiply_owned(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self);
    /// The transpose times the owned elements, to all local elements of `y`.
    fn scatter_local(&self, matrix: &Rows<u32, T>, y: &mut Self, load: impl Fn(T) -> T + Copy);
    /// Writes zeros to the halo.
    fn empty_halo(&mut self);
}

impl<T: Number> Operand<T> for DistVector<T> {}

impl<T: Number> Sealed<T> for DistVector<T> {
    fn of(&self) -> &Descriptor {
        self.descriptor()
    }

    fn width(&self) -> usize {
        1
    }

    fn multiply_local(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self) {
        matrix.product(rows, self.local(), y.owned_mut());
    }

    fn multiply_owned(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self) {
        matrix.product(rows, self.owned(), y.owned_mut());
    }

    fn scatter_local(&self, matrix: &Rows<u32, T>, y: &mut Self, load: impl Fn(T) -> T + Copy) {
        let (x, y) = (self.owned(), y.local_mut());
        y.fill(T::zeroed());
        matrix.for_each(|row, column, value| add(&mut y[column], load(value), x[row]));
    }

    fn empty_halo(&mut self) {
        self.halo_mut().fill(T::zeroed());
    }
}

impl<T: Number> Operand<T> for DistMultiVector<T> {}

impl<T: Number> Sealed<T> for DistMultiVector<T> {
    fn of(&self) -> &Descriptor {
        self.descriptor()
    }

    fn width(&self) -> usize {
        self.columns()
    }

    fn multiply_local(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self) {
        columns(matrix, rows, self, self.descriptor().len(), y);
    }

    fn multiply_owned(&self, matrix: &Rows<u32, T>, rows: &[Range<usize>], y: &mut Self) {
        columns(matrix, rows, self, self.descriptor().owned_len(), y);
    }

    fn scatter_local(&self, matrix: &Rows<u32, T>, y: &mut Self, load: impl Fn(T) -> T + Copy) {
        y.local_mut().fill(T::zeroed());
        let (width, from, to) = (self.columns(), self.leading(), y.leading());
        if (self.order(), y.order()) == (Order::RowMajor, Order::RowMajor) {
            let (x, y) = (self.as_slice(), y.as_mut_slice());
            return matrix.for_each(|row, column, value| {
                let pairs = y[column * to..][..width].iter_mut().zip(&x[row * from..]);
                pairs.for_each(|(y, x)| add(y, load(value), *x));
            });
        }
        for j in 0..width {
            let (x, mut y) = (self.owned(), y.local_mut());
            let (x, mut y) = (x.column(j), y.column_mut(j));
            matrix.for_each(|row, column, value| add(&mut y[column], load(value), x[row]));
        }
    }

    fn empty_halo(&mut self) {
        self.halo_mut().fill(T::zeroed());
    }
}

fn add<T: Number>(y: &mut T, value: T, x: T) {
    *y = T::narrow(y.widen().plus(value.widen().times(x.widen())));
}

/// Rows of the product with columns, of which nothing beyond the first `len` local elements is looked at.
fn columns<T: Number>(
    matrix: &Rows<u32, T>,
    rows: &[Range<usize>],
    x: &DistMultiVector<T>,
    len: usize,
    y: &mut DistMultiVector<T>,
) {
    let (width, from, to) = (x.columns(), x.leading(), y.leading());
    match (x.order(), y.order()) {
        _ if width == 0 => {}
        (Order::RowMajor, Order::RowMajor) if (width, from, to) == (1, 1, 1) => {
            matrix.product(rows, x.first_rows(len), y.as_mut_slice());
        }
        (Order::RowMajor, Order::RowMajor) => {
            matrix.product_by_rows(rows, width, (x.first_rows(len), from), (y.as_mut_slice(), to));
        }
        (Order::ColumnMajor, Order::ColumnMajor) => {
            for column in 0..width {
                let y = &mut y.as_mut_slice()[column * to..];
                matrix.product(rows, x.first_of_column(column, len), y);
            }
        }
        (Order::RowMajor, Order::ColumnMajor) => {
            let (x, y) = (x.first_rows(len), y.as_mut_slice());
            for j in 0..width {
                matrix.product_with(rows, |column| x[column * from + j], |row, sum| y[j * to + row] = sum);
            }
        }
        (Order::ColumnMajor, Order::RowMajor) => {
            for j in 0..width {
                let (x, y) = (x.first_of_column(j, len), y.as_mut_slice());
                matrix.product_with(rows, |column| x[column], |row, sum| y[row * to + j] = sum);
            }
        }
    }
}
