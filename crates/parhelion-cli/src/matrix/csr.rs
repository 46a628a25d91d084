//! Compressed sparse rows.

use super::market::{Coordinate, Entry};

/// A square sparse matrix by rows; within a row the columns ascend and none occurs twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Csr {
    /// Where each row starts in `columns` and `values`; one more than there are rows.
    pub(crate) starts: Vec<usize>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<f64>,
}

/// Why a list of entries is not a matrix that can be solved here. Messages count from 1.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Unsuitable {
    #[error("the matrix is not square: {rows} rows and {columns} columns")]
    NotSquare { rows: u32, columns: u32 },
    #[error("the matrix has no rows")]
    Empty,
    #[error("row {} has a zero diagonal, which Jacobi preconditioning divides by", row + 1)]
    ZeroDiagonal { row: u32 },
    #[error(
        "row {} has {value:e} on the diagonal, whose inverse, needed for Jacobi preconditioning, is beyond the largest \
         number; scale the matrix up",
        row + 1
    )]
    TinyDiagonal { row: u32, value: f64 },
    #[error("the entries at row {}, column {} add up to a value that is not finite", row + 1, column + 1)]
    NotFinite { row: u32, column: u32 },
}

impl Csr {
    /// Compresses the entries of a square matrix whose diagonal has an inverse; entries at one place are added in the order
    /// in which they are listed.
    pub(crate) fn assemble(matrix: &Coordinate) -> Result<Self, Unsuitable> {
        let Coordinate { rows, columns, ref entries, .. } = *matrix;
        if rows != columns {
            return Err(Unsuitable::NotSquare { rows, columns });
        }
        if rows == 0 {
            return Err(Unsuitable::Empty);
        }
        // Checked before anything as long as the rows is allocated: the size line may claim any number of them.
        if let Some(row) = first_without_diagonal(rows, entries) {
            return Err(Unsuitable::ZeroDiagonal { row });
        }
        let csr = Self::compress(rows, entries);
        for row in 0..rows {
            let range = csr.range(row);
            for (&column, value) in csr.columns[range.clone()].iter().zip(&csr.values[range]) {
                if !value.is_finite() {
                    return Err(Unsuitable::NotFinite { row, column });
                }
                if column == row && *value == 0.0 {
                    return Err(Unsuitable::ZeroDiagonal { row });
                }
                if column == row && value.recip().is_infinite() {
                    return Err(Unsuitable::TinyDiagonal { row, value: *value });
                }
            }
        }
        Ok(csr)
    }

    fn compress(rows: u32, entries: &[Entry]) -> Self {
        let mut starts = vec![0usize; rows as usize + 1];
        for entry in entries {
            starts[entry.row as usize + 1] += 1;
        }
        for row in 0..rows as usize {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut unsorted = vec![(0u32, 0f64); entries.len()];
        for entry in entries {
            let place = &mut next[entry.row as usize];
            unsorted[*place] = (entry.column, entry.value);
            *place += 1;
        }
        let mut csr = Self {
            starts: Vec::with_capacity(starts.len()),
            columns: Vec::with_capacity(entries.len()),
            values: Vec::with_capacity(entries.len()),
        };
        csr.starts.push(0);
        for bounds in starts.windows(2) {
            let row = &mut unsorted[bounds[0]..bounds[1]];
            row.sort_by_key(|&(column, _)| column);
            csr.push_row(row.iter().copied());
        }
        csr
    }

    /// Appends a row whose columns ascend; equal ones are added.
    pub(super) fn push_row(&mut self, row: impl IntoIterator<Item = (u32, f64)>) {
        let start = self.columns.len();
        for (column, value) in row {
            match self.columns[start..].last() {
                Some(&last) if last == column => *self.values.last_mut().expect("as long as `columns`") += value,
                _ => {
                    self.columns.push(column);
                    self.values.push(value);
                }
            }
        }
        self.starts.push(self.columns.len());
    }

    /// A matrix without rows, to push them onto.
    pub(super) fn empty() -> Self {
        Self { starts: vec![0], columns: Vec::new(), values: Vec::new() }
    }

    pub(crate) fn rows(&self) -> u32 {
        (self.starts.len() - 1) as u32
    }

    pub(crate) fn nonzeros(&self) -> usize {
        self.columns.len()
    }

    /// Where a row lies in `columns` and `values`.
    pub(crate) fn range(&self, row: u32) -> std::ops::Range<usize> {
        self.starts[row as usize]..self.starts[row as usize + 1]
    }

    /// The columns of a row.
    pub(crate) fn row(&self, row: u32) -> &[u32] {
        &self.columns[self.range(row)]
    }

    /// The value at a place; zero where nothing is stored.
    pub(crate) fn at(&self, row: u32, column: u32) -> f64 {
        let range = self.range(row);
        self.row(row).binary_search(&column).map_or(0.0, |place| self.values[range.start + place])
    }

    /// Whether mirrored entries agree to within rounding of the larger one.
    pub(crate) fn is_symmetric(&self) -> bool {
        (0..self.rows()).all(|row| {
            let range = self.range(row);
            self.columns[range.clone()].iter().zip(&self.values[range]).all(|(&column, &value)| {
                let mirror = self.at(column, row);
                (value - mirror).abs() <= 1e-12 * value.abs().max(mirror.abs())
            })
        })
    }

    /// The matrix with rows and columns renumbered: row `new` of the result is row `order[new]` of this one.
    pub(crate) fn permuted(&self, order: &[u32]) -> Self {
        let mut new_of = vec![0u32; order.len()];
        for (new, &old) in order.iter().enumerate() {
            new_of[old as usize] = new as u32;
        }
        let mut permuted = Self::empty();
        let mut row = Vec::new();
        for &old in order {
            let range = self.range(old);
            let columns = self.columns[range.clone()].iter().map(|&column| new_of[column as usize]);
            row.clear();
            row.extend(columns.zip(self.values[range].iter().copied()));
            row.sort_unstable_by_key(|&(column, _)| column);
            permuted.push_row(row.iter().copied());
        }
        permuted
    }
}

/// The first row whose diagonal is not listed at all. Needs memory for the entries only, not for the rows.
fn first_without_diagonal(rows: u32, entries: &[Entry]) -> Option<u32> {
    let mut diagonal: Vec<u32> = entries.iter().filter(|e| e.row == e.column).map(|e| e.row).collect();
    diagonal.sort_unstable();
    diagonal.dedup();
    let missing = diagonal.iter().zip(0..).find(|&(&row, expected)| row != expected).map(|(_, expected)| expected);
    missing.or((diagonal.len() < rows as usize).then_some(diagonal.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: u32, entries: &[(u32, u32, f64)]) -> Coordinate {
        let entries = entries.iter().map(|&(row, column, value)| Entry { row, column, value }).collect();
        Coordinate { rows, columns: rows, entries, size_line: 2 }
    }

    #[test]
    fn entries_are_sorted_and_duplicates_added() {
        let csr = Csr::assemble(&matrix(2, &[(1, 1, 4.0), (0, 1, 2.0), (0, 0, 1.0), (0, 1, 3.0)])).unwrap();
        assert_eq!(csr, Csr { starts: vec![0, 2, 3], columns: vec![0, 1, 1], values: vec![1.0, 5.0, 4.0] });
        assert_eq!((csr.at(0, 1), csr.at(1, 0)), (5.0, 0.0));
        assert!(!csr.is_symmetric());
    }

    #[test]
    fn an_unsuitable_matrix_names_the_row() {
        let assemble = |rows, entries: &[_]| Csr::assemble(&matrix(rows, entries)).unwrap_err();
        assert_eq!(assemble(3, &[(0, 0, 1.0), (2, 2, 1.0)]), Unsuitable::ZeroDiagonal { row: 1 });
        assert_eq!(assemble(2, &[(0, 0, 1.0), (1, 1, 1.0), (1, 1, -1.0)]), Unsuitable::ZeroDiagonal { row: 1 });
        assert_eq!(assemble(1, &[(0, 0, 1e-320)]), Unsuitable::TinyDiagonal { row: 0, value: 1e-320 });
        assert_eq!(assemble(1, &[(0, 0, 1e308), (0, 0, 1e308)]), Unsuitable::NotFinite { row: 0, column: 0 });
        assert_eq!(assemble(0, &[]), Unsuitable::Empty);
        let wide = Coordinate { columns: 3, ..matrix(2, &[]) };
        assert_eq!(Csr::assemble(&wide), Err(Unsuitable::NotSquare { rows: 2, columns: 3 }));
    }

    #[test]
    fn a_size_line_with_four_billion_rows_costs_nothing() {
        assert_eq!(Csr::assemble(&matrix(u32::MAX, &[(0, 0, 1.0)])), Err(Unsuitable::ZeroDiagonal { row: 1 }));
    }

    #[test]
    fn permuting_renumbers_rows_and_columns() {
        let csr =
            Csr::assemble(&matrix(3, &[(0, 0, 1.0), (1, 1, 2.0), (2, 2, 3.0), (0, 2, 5.0), (2, 1, 7.0)])).unwrap();
        let order = [2, 0, 1];
        let permuted = csr.permuted(&order);
        for new_row in 0..3 {
            for new_column in 0..3 {
                let old = csr.at(order[new_row as usize], order[new_column as usize]);
                assert_eq!(permuted.at(new_row, new_column), old);
            }
        }
    }
}
