//! The 7-point finite-difference Poisson operator on an n × n × n grid with zero boundary values.

use super::csr::Csr;

/// The largest grid whose rows are numbered by `u32`.
pub(crate) const LARGEST: u32 = 1625;

/// Rows of the operator, cells numbered with the last axis fastest: 6 on the diagonal, −1 for each neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poisson {
    side: u32,
}

impl Poisson {
    /// The operator on `side`³ cells; `None` if `side` is zero or beyond [`LARGEST`].
    pub(crate) fn new(side: u32) -> Option<Self> {
        (1..=LARGEST).contains(&side).then_some(Self { side })
    }

    pub(crate) fn rows(&self) -> u32 {
        self.side.pow(3)
    }

    /// Entries of the whole matrix: each cell, and both directions of each face between cells.
    pub(crate) fn nonzeros(&self) -> u64 {
        let side = u64::from(self.side);
        side.pow(3) + 6 * side * side * (side - 1)
    }

    /// Some rows of the matrix, with the columns of the whole.
    pub(crate) fn assemble(&self, rows: std::ops::Range<u32>) -> Csr {
        let side = self.side;
        let plane = side * side;
        let mut csr = Csr::empty();
        csr.columns.reserve(7 * rows.len());
        csr.values.reserve(7 * rows.len());
        csr.starts.reserve(rows.len());
        for row in rows {
            let (x, y, z) = (row / plane, row / side % side, row % side);
            let neighbours = [
                (x > 0).then(|| row - plane),
                (y > 0).then(|| row - side),
                (z > 0).then(|| row - 1),
                Some(row),
                (z + 1 < side).then(|| row + 1),
                (y + 1 < side).then(|| row + side),
                (x + 1 < side).then(|| row + plane),
            ];
            let entries = neighbours.into_iter().flatten();
            csr.push_row(entries.map(|column| (column, if column == row { 6.0 } else { -1.0 })));
        }
        csr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_symmetric_and_counts_its_entries() {
        for side in [1, 2, 3, 5] {
            let poisson = Poisson::new(side).unwrap();
            let csr = poisson.assemble(0..poisson.rows());
            assert_eq!(csr.nonzeros() as u64, poisson.nonzeros());
            assert!(csr.is_symmetric());
        }
    }

    #[test]
    fn a_piece_has_the_rows_of_the_whole() {
        let poisson = Poisson::new(4).unwrap();
        let (whole, piece) = (poisson.assemble(0..64), poisson.assemble(13..37));
        for row in 13..37 {
            assert_eq!(piece.row(row - 13), whole.row(row));
        }
    }

    #[test]
    fn a_cell_inside_sums_to_zero_and_a_corner_to_three() {
        let csr = Poisson::new(3).unwrap().assemble(0..27);
        let sum = |row: u32| csr.values[csr.range(row)].iter().sum::<f64>();
        assert_eq!((sum(13), sum(0)), (0.0, 3.0));
    }

    #[test]
    fn the_side_is_bounded_by_the_numbering() {
        assert!(Poisson::new(0).is_none() && Poisson::new(LARGEST + 1).is_none());
        assert!(u64::from(LARGEST + 1).pow(3) > u64::from(u32::MAX));
        assert_eq!(u64::from(Poisson::new(LARGEST).unwrap().rows()), u64::from(LARGEST).pow(3));
    }
}
