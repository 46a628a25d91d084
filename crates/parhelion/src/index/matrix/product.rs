//! Products of compressed rows with what lies in slices.

use std::ops::Range;

use super::entries::Rows;
use crate::array::Number;
use crate::array::number::Accumulator;

impl<T: Number> Rows<u32, T> {
    /// `y[row] := sum of value * x[column]` of some rows.
    pub(super) fn product(&self, rows: &[Range<usize>], x: &[T], y: &mut [T]) {
        for rows in rows {
            let bounds = self.starts[rows.start..=rows.end].windows(2);
            for (bounds, y) in bounds.zip(&mut y[rows.clone()]) {
                let (columns, values) = (&self.columns[bounds[0]..bounds[1]], &self.values[bounds[0]..bounds[1]]);
                let entries = columns.iter().zip(values);
                *y = T::narrow(entries.fold(T::Wide::ZERO, |sum, (&column, value)| {
                    sum.plus(value.widen().times(x[column as usize].widen()))
                }));
            }
        }
    }

    /// The same for `width` elements side by side in each row of `x` and `y`, which are `x_leading` and `y_leading` apart.
    pub(super) fn product_by_rows(
        &self,
        rows: &[Range<usize>],
        width: usize,
        (x, x_leading): (&[T], usize),
        (y, y_leading): (&mut [T], usize),
    ) {
        for row in rows.iter().cloned().flatten() {
            let range = self.range(row);
            let (columns, values) = (&self.columns[range.clone()], &self.values[range]);
            let y = &mut y[row * y_leading..][..width];
            let mut at = 0;
            // The entries of a row stay in the cache while the columns are done in groups whose sums fit the registers.
            while at < width {
                let x = &x[at.min(x.len())..];
                at += match width - at {
                    8.. => group::<T, 8>(columns, values, x, x_leading, &mut y[at..]),
                    4.. => group::<T, 4>(columns, values, x, x_leading, &mut y[at..]),
                    2.. => group::<T, 2>(columns, values, x, x_leading, &mut y[at..]),
                    _ => group::<T, 1>(columns, values, x, x_leading, &mut y[at..]),
                };
            }
        }
    }

    /// The same from and to wherever elements are found: `x(column)`, `y(row, sum)`.
    pub(super) fn product_with(&self, rows: &[Range<usize>], x: impl Fn(usize) -> T, mut y: impl FnMut(usize, T)) {
        for row in rows.iter().cloned().flatten() {
            let range = self.range(row);
            let entries = self.columns[range.clone()].iter().zip(&self.values[range]);
            let sum = entries
                .fold(T::Wide::ZERO, |sum, (&column, value)| sum.plus(value.widen().times(x(column as usize).widen())));
            y(row, T::narrow(sum));
        }
    }

    /// Calls `add(row, column, value)` for every entry, row by row.
    pub(super) fn for_each(&self, mut add: impl FnMut(usize, usize, T)) {
        for (row, bounds) in self.starts.windows(2).enumerate() {
            let entries = self.columns[bounds[0]..bounds[1]].iter().zip(&self.values[bounds[0]..bounds[1]]);
            entries.for_each(|(&column, &value)| add(row, column as usize, value));
        }
    }
}

/// One row times `N` columns; gives `N`.
#[inline(always)]
fn group<T: Number, const N: usize>(columns: &[u32], values: &[T], x: &[T], leading: usize, y: &mut [T]) -> usize {
    let mut sums = [T::Wide::ZERO; N];
    for (&column, value) in columns.iter().zip(values) {
        let (x, value) = (&x[column as usize * leading..][..N], value.widen());
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = sum.plus(value.times(x.widen()));
        }
    }
    y.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::narrow(sum));
    N
}
