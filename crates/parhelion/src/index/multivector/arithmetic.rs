//! What every rank does to its own elements, and sums over all ranks: for all columns in one reduction.
//!
//! Sums group the elements of a column as those of a [`DistVector`](crate::index::DistVector), so that they have its bits.

use std::ops::Range;

use parhelion_comm::{Element, Error, ErrorKind, Op, Result};

use super::DistMultiVector;
use crate::array::Number;
use crate::array::fold::{Cascade, fold, tree};
use crate::array::number::{Accumulator, sealed::Accumulate};
use crate::array::sums;
use crate::halo::Order;

impl<T: Element> DistMultiVector<T> {
    /// Writes `value` to every owned element. Local.
    pub fn fill(&mut self, value: T) {
        self.owned_mut().fill(value);
    }

    /// Writes `value` of its global index and column to every owned element. Local; called row by row in local order.
    pub fn fill_with(&mut self, mut value: impl FnMut(u64, usize) -> T) {
        let descriptor = self.descriptor().clone();
        for (mut row, global) in self.owned_mut().outer_iter_mut().zip(descriptor.owned()) {
            row.iter_mut().enumerate().for_each(|(column, x)| *x = value(global, column));
        }
    }

    /// Calls `f` with the column of every owned element, the element, and its counterpart in `other`. Local; in no particular
    /// order.
    ///
    /// # Errors
    /// Another descriptor, or another number of columns.
    pub fn zip_inplace<U: Element>(
        &mut self,
        other: &DistMultiVector<U>,
        mut f: impl FnMut(usize, &mut T, U),
    ) -> Result<()> {
        self.check_alike("zip_inplace", other.descriptor(), Some(other.columns()))?;
        let (columns, owned) = (self.columns(), self.descriptor().owned_len());
        let (here, there) = (self.leading(), other.leading());
        match (self.order(), other.order()) {
            _ if columns == 0 => {}
            (Order::RowMajor, Order::RowMajor) if columns == 1 && here == 1 && there == 1 => {
                let elements = self.as_mut_slice()[..owned].iter_mut().zip(other.as_slice());
                elements.for_each(|(x, &y)| f(0, x, y));
            }
            (Order::RowMajor, Order::RowMajor) => {
                let rows = self.as_mut_slice().chunks_exact_mut(here).zip(other.as_slice().chunks_exact(there));
                for (x, y) in rows.take(owned) {
                    x[..columns].iter_mut().zip(y).enumerate().for_each(|(column, (x, &y))| f(column, x, y));
                }
            }
            _ => {
                for column in 0..columns {
                    let (mut x, y) = (self.owned_mut(), other.owned());
                    let elements = x.column_mut(column).into_iter().zip(y.column(column));
                    elements.for_each(|(x, &y)| f(column, x, y));
                }
            }
        }
        Ok(())
    }

    /// Copies the owned elements of `other`. Local.
    ///
    /// # Errors
    /// Another descriptor, or another number of columns.
    pub fn assign(&mut self, other: &Self) -> Result<()> {
        self.zip_inplace(other, |_, x, y| *x = y)
    }

    /// One factor for each column, in the accumulator.
    fn factors(&self, operation: &'static str, factors: &[T]) -> Result<Vec<T::Wide>>
    where
        T: Number,
    {
        if factors.len() == self.columns() {
            return Ok(factors.iter().map(|factor| factor.widen()).collect());
        }
        let text = format!("{} factors for {} columns", factors.len(), self.columns());
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }
}

impl<T: Number> DistMultiVector<T> {
    /// Adds `a[j]` times column j of `x` to the owned elements of column j. Products and sums are those of the accumulator,
    /// rounded once. Local.
    ///
    /// # Errors
    /// Not one factor for each column, another descriptor, or another number of columns.
    pub fn axpy(&mut self, a: &[T], x: &Self) -> Result<()> {
        let a = self.factors("axpy", a)?;
        self.zip_inplace(x, |j, y, x| *y = T::narrow(y.widen().plus(a[j].times(x.widen()))))
    }

    /// Multiplies the owned elements of column j by `b[j]` and adds `a[j]` times column j of `x`. Local.
    ///
    /// # Errors
    /// As [`axpy`](Self::axpy).
    pub fn axpby(&mut self, a: &[T], x: &Self, b: &[T]) -> Result<()> {
        let (a, b) = (self.factors("axpby", a)?, self.factors("axpby", b)?);
        self.zip_inplace(x, |j, y, x| *y = T::narrow(b[j].times(y.widen()).plus(a[j].times(x.widen()))))
    }

    /// Multiplies the owned elements of column j by `factors[j]`. Local.
    ///
    /// # Errors
    /// Not one factor for each column.
    pub fn scale(&mut self, factors: &[T]) -> Result<()> {
        let factors = self.factors("scale", factors)?;
        for mut row in self.owned_mut().outer_iter_mut() {
            row.iter_mut().zip(&factors).for_each(|(x, factor)| *x = T::narrow(x.widen().times(*factor)));
        }
        Ok(())
    }

    /// The sum of each column; integers wrap, floats are accumulated as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`](parhelion_comm::Communicator::all_reduce).
    pub fn sum(&self) -> Result<Vec<T>> {
        self.summed(self.folds(T::widen, Accumulator::plus))
    }

    /// The dot product of each column with the same column of `other`: the sum of `conj(x) * y`. Collective: one reduction.
    ///
    /// # Errors
    /// Another descriptor, or another number of columns; as [`sum`](Self::sum).
    pub fn dot(&self, other: &Self) -> Result<Vec<T>> {
        self.check_alike("dot", other.descriptor(), Some(other.columns()))?;
        let load = |x: T, y: T| x.conjugate().widen().times(y.widen());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.summed(self.each_column(&Accumulator::plus, |column, rows| {
            let (x, y) = (self.stretch(column, rows.clone(), &mut a), other.stretch(column, rows, &mut b));
            fold(x, y, &load, &Accumulator::plus)
        }))
    }

    fn summed(&self, folds: Vec<Option<T::Wide>>) -> Result<Vec<T>> {
        let mut sums: Vec<T::Wide> = folds.into_iter().map(|sum| sum.unwrap_or(T::Wide::ZERO)).collect();
        T::Wide::sum_over(&mut sums, self.communicator())?;
        Ok(sums.into_iter().map(T::narrow).collect())
    }

    /// The Euclidean norm of each column, without overflow on the way; of integers as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm(&self) -> Result<Vec<T::Real>> {
        let squares = self.folds(|x: T| x.squared(1.0), |a, b| a + b);
        // What follows for a column is rarely needed, and then for that column alone.
        let alone = |column: usize, load: &dyn Fn(T) -> f64, op: &dyn Fn(f64, f64) -> f64| {
            let vector = self.column(column);
            sums::fold_runs(vector.counted(), load, op).unwrap_or(0.0)
        };
        let scaled = squares.into_iter().enumerate().map(|(column, sum)| {
            let largest = || alone(column, &|x| Accumulate::magnitude(x), &f64::max);
            let sum_with = |scale: f64| alone(column, &|x| x.squared(scale), &|a, b| a + b);
            sums::scaled_squares(sum.unwrap_or(0.0), largest, sum_with)
        });
        let mut all: Vec<[f64; 2]> = scaled.collect();
        sums::norms(self.communicator(), &mut all)?;
        Ok(all.into_iter().map(|pair| T::norm(pair[0])).collect())
    }

    /// The sum of the absolute values of each column. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm_one(&self) -> Result<Vec<T::Real>> {
        let here = self.folds(|x: T| x.absolute(), |a, b| a + b);
        self.reduced(here, Op::Sum)
    }

    /// The largest absolute value of each column; 0 without elements, NaN if any element is. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm_max(&self) -> Result<Vec<T::Real>> {
        let larger = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
        let here = self.folds(|x: T| x.absolute(), larger);
        self.reduced(here, larger)
    }

    fn reduced(&self, here: Vec<Option<f64>>, op: impl parhelion_comm::Reduction<f64>) -> Result<Vec<T::Real>> {
        let mut all: Vec<f64> = here.into_iter().map(|x| x.unwrap_or(0.0)).collect();
        self.communicator().all_reduce_in_place(&mut all, op)?;
        Ok(all.into_iter().map(T::norm).collect())
    }

    /// What counts here of each column, loaded and combined.
    fn folds<A: Copy>(&self, load: impl Fn(T) -> A, op: impl Fn(A, A) -> A) -> Vec<Option<A>> {
        let mut buffer = Vec::new();
        self.each_column(&op, |column, rows| {
            let x = self.stretch(column, rows, &mut buffer);
            fold(x, x, &|x, _| load(x), &op)
        })
    }

    /// Combines what `part` gives for stretches of each column that count here: block by block through all columns, since
    /// those stored by rows share cache lines.
    fn each_column<A: Copy>(
        &self,
        op: &impl Fn(A, A) -> A,
        mut part: impl FnMut(usize, Range<usize>) -> Option<A>,
    ) -> Vec<Option<A>> {
        let columns = self.columns();
        let mut cascades: Vec<Cascade<A>> = (0..columns).map(|_| Cascade::new()).collect();
        let mut leaf = |rows: Range<usize>| -> Vec<A> {
            let parts = (0..columns).map(|column| part(column, rows.clone()));
            parts.map(|part| part.expect("a stretch is not empty")).collect()
        };
        let both = |a: Vec<A>, b: Vec<A>| a.into_iter().zip(b).map(|(a, b)| op(a, b)).collect();
        for (start, len) in self.descriptor().counted().iter_runs() {
            let parts = tree(start..start + len, &mut leaf, &both);
            cascades.iter_mut().zip(parts).for_each(|(cascade, part)| cascade.push(part, op));
        }
        cascades.into_iter().map(|cascade| cascade.finish(op)).collect()
    }
}
