//! The matrix as the ranks hold it, and where their time goes.

use std::time::{Duration, Instant};

use parhelion::{Communicator, Op};

use super::halo::Halo;
use super::krylov::Space;
use crate::error::Result;
use crate::matrix::csr::Csr;
use crate::matrix::split::Split;

/// This rank's rows, with columns numbered as its vectors are: owned values, then halo.
pub(crate) struct Operator<'a> {
    world: &'a Communicator,
    halo: Halo,
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
    inverse_diagonal: Vec<f64>,
    length: usize,
    pub(crate) clocks: Clocks,
}

/// Time spent waiting for others and moving values.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clocks {
    pub(crate) halo: Duration,
    pub(crate) reduce: Duration,
}

impl<'a> Operator<'a> {
    /// Numbers the columns and finds the neighbours. Collective.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn new(world: &'a Communicator, split: &Split, rows: Csr) -> Result<Self> {
        let mine = split.block(world.rank());
        let owned = mine.len() as u32;
        let Csr { starts, mut columns, values } = rows;

        let mut needed: Vec<u32> = columns.iter().copied().filter(|column| !mine.contains(column)).collect();
        needed.sort_unstable();
        needed.dedup();
        let mut inverse_diagonal = Vec::with_capacity(mine.len());
        for (row, bounds) in mine.clone().zip(starts.windows(2)) {
            let range = bounds[0]..bounds[1];
            let place = columns[range.clone()].binary_search(&row);
            // Every diagonal was checked to be there when the matrix was read.
            inverse_diagonal.push(place.map_or(0.0, |place| values[range.start + place].recip()));
        }
        for column in &mut columns {
            *column = if mine.contains(column) {
                *column - mine.start
            } else {
                owned + needed.partition_point(|index| index < column) as u32
            };
        }
        let halo = Halo::build(world, split, &needed)?;
        let length = owned as usize + needed.len();
        Ok(Self { world, halo, starts, columns, values, inverse_diagonal, length, clocks: Clocks::default() })
    }

    pub(crate) fn halo(&self) -> &Halo {
        &self.halo
    }

    pub(crate) fn nonzeros(&self) -> usize {
        self.columns.len()
    }
}

impl Space for Operator<'_> {
    fn owned(&self) -> usize {
        self.halo.owned()
    }

    fn length(&self) -> usize {
        self.length
    }

    fn inverse_diagonal(&self) -> &[f64] {
        &self.inverse_diagonal
    }

    fn apply(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<()> {
        let start = Instant::now();
        self.halo.exchange(self.world, x)?;
        self.clocks.halo += start.elapsed();
        for (bounds, y) in self.starts.windows(2).zip(y) {
            let range = bounds[0]..bounds[1];
            let entries = self.columns[range.clone()].iter().zip(&self.values[range]);
            *y = entries.map(|(&column, value)| value * x[column as usize]).sum();
        }
        Ok(())
    }

    fn sum<const N: usize>(&mut self, mut parts: [f64; N]) -> Result<[f64; N]> {
        let start = Instant::now();
        self.world.all_reduce_in_place(&mut parts, Op::Sum)?;
        self.clocks.reduce += start.elapsed();
        Ok(parts)
    }
}
