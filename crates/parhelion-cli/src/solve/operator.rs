//! The matrix as the ranks hold it, and where their time goes.

use std::time::{Duration, Instant};

use parhelion::index::{Descriptor, DistMatrix, DistMultiVector};
use parhelion::{Communicator, Op};

use crate::error::Result;
use crate::matrix::csr::Csr;
use crate::matrix::split::Split;

/// The columns that are solved for together, by rows: the values of one row side by side.
pub(crate) type Block = DistMultiVector<f64>;

/// The matrix, and how it is applied.
pub(crate) struct Operator {
    matrix: DistMatrix<f64>,
    inverse_diagonal: Vec<f64>,
    columns: usize,
    /// Whether interior rows are multiplied while the halo is on its way.
    overlap: bool,
    pub(crate) clocks: Clocks,
}

/// Time spent waiting for others and moving values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clocks {
    pub(crate) halo: Duration,
    pub(crate) reduce: Duration,
}

impl Operator {
    /// Numbers the columns and finds the neighbours. Collective.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn new(world: &Communicator, split: &Split, rows: &Csr, columns: usize, overlap: bool) -> Result<Self> {
        let mine = split.block(world.rank());
        let entries = mine.clone().zip(rows.starts.windows(2)).flat_map(|(row, bounds)| {
            let range = bounds[0]..bounds[1];
            let entries = rows.columns[range.clone()].iter().zip(&rows.values[range]);
            entries.map(move |(&column, &value)| (u64::from(row), u64::from(column), value))
        });
        let matrix = DistMatrix::assemble(Descriptor::builder(world).blocks(mine.len()), entries)?;
        // Every diagonal was checked to be there when the matrix was read.
        let inverse_diagonal = matrix.diagonal().owned().iter().map(|value| value.recip()).collect();
        Ok(Self { matrix, inverse_diagonal, columns, overlap, clocks: Clocks::default() })
    }

    pub(crate) fn matrix(&self) -> &DistMatrix<f64> {
        &self.matrix
    }

    /// The number of columns of a block.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Values of a block that this rank owns; they come first.
    pub(crate) fn owned(&self) -> usize {
        self.matrix.rows() * self.columns
    }

    /// A block of zeros.
    pub(crate) fn block(&self) -> Block {
        Block::zeros(self.matrix.descriptor(), self.columns)
    }

    /// The inverse of the diagonal, by row of this rank.
    pub(crate) fn inverse_diagonal(&self) -> &[f64] {
        &self.inverse_diagonal
    }

    /// y := A x, with x given back. Collective.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn apply(&mut self, mut x: Block, y: &mut Block) -> Result<Block> {
        let start = Instant::now();
        if self.overlap {
            let inflight = x.start_exchange()?;
            self.clocks.halo += start.elapsed();
            self.matrix.multiply_interior(&inflight, y)?;
            let start = Instant::now();
            x = inflight.finish()?;
            self.clocks.halo += start.elapsed();
            self.matrix.multiply_boundary(&x, y)?;
        } else {
            x.exchange()?;
            self.clocks.halo += start.elapsed();
            self.matrix.multiply_filled(&x, y)?;
        }
        Ok(x)
    }

    /// The sums over all ranks. Collective.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn sum(&mut self, parts: &mut [f64]) -> Result<()> {
        let start = Instant::now();
        self.matrix.descriptor().communicator().all_reduce_in_place(parts, Op::Sum)?;
        self.clocks.reduce += start.elapsed();
        Ok(())
    }

    /// Bytes this rank sends to each rank in one exchange.
    pub(crate) fn bytes_to_each(&self) -> Vec<u64> {
        let descriptor = self.matrix.descriptor();
        let mut bytes = vec![0; descriptor.communicator().size()];
        for transfer in descriptor.plan().sends() {
            bytes[transfer.peer] = (transfer.len() * self.columns * size_of::<f64>()) as u64;
        }
        bytes
    }
}
