//! What every rank does to its own elements, and sums over all: each global index counts once.

use parhelion_comm::{Element, Error, ErrorKind, Op, Result};

use super::DistVector;
use crate::array::Number;
use crate::array::number::Accumulator;
use crate::array::sums;

impl<T: Element> DistVector<T> {
    /// Writes `value` to every owned element. Local.
    pub fn fill(&mut self, value: T) {
        self.owned_mut().fill(value);
    }

    /// Writes `value` of its global index to every owned element. Local; called in local order.
    pub fn fill_with(&mut self, mut value: impl FnMut(u64) -> T) {
        let descriptor = self.descriptor().clone();
        self.owned_mut().iter_mut().zip(descriptor.owned()).for_each(|(x, global)| *x = value(global));
    }

    /// Calls `f` with every owned element and its counterpart in `other`, in local order. Local.
    ///
    /// # Errors
    /// A vector of another descriptor.
    pub fn zip_inplace<U: Element>(&mut self, other: &DistVector<U>, mut f: impl FnMut(&mut T, U)) -> Result<()> {
        self.check_alike("zip_inplace", other)?;
        self.owned_mut().iter_mut().zip(other.owned()).for_each(|(x, &y)| f(x, y));
        Ok(())
    }

    /// Copies the owned elements of `other`. Local.
    ///
    /// # Errors
    /// A vector of another descriptor.
    pub fn assign(&mut self, other: &Self) -> Result<()> {
        self.check_alike("assign", other)?;
        self.owned_mut().copy_from_slice(other.owned());
        Ok(())
    }

    fn check_alike<U: Element>(&self, operation: &'static str, other: &DistVector<U>) -> Result<()> {
        if self.descriptor().is_same(other.descriptor()) {
            return Ok(());
        }
        let text = format!("vectors of different descriptors: {} and {}", self.descriptor(), other.descriptor());
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }
}

impl<T: Number> DistVector<T> {
    /// Adds `a * x` to the owned elements. Products and sums are those of the accumulator, rounded once. Local.
    ///
    /// # Errors
    /// A vector of another descriptor.
    pub fn axpy(&mut self, a: T, x: &Self) -> Result<()> {
        let a = a.widen();
        self.zip_inplace(x, |y, x| *y = T::narrow(y.widen().plus(a.times(x.widen()))))
    }

    /// Multiplies the owned elements by `b` and adds `a * x`. Local.
    ///
    /// # Errors
    /// A vector of another descriptor.
    pub fn axpby(&mut self, a: T, x: &Self, b: T) -> Result<()> {
        let (a, b) = (a.widen(), b.widen());
        self.zip_inplace(x, |y, x| *y = T::narrow(b.times(y.widen()).plus(a.times(x.widen()))))
    }

    /// Multiplies the owned elements by `factor`. Local.
    pub fn scale(&mut self, factor: T) {
        let factor = factor.widen();
        self.owned_mut().iter_mut().for_each(|x| *x = T::narrow(x.widen().times(factor)));
    }

    /// The sum of all elements; integers wrap, floats are accumulated as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`](parhelion_comm::Communicator::all_reduce).
    pub fn sum(&self) -> Result<T> {
        Ok(T::narrow(sums::sum(self.communicator(), self.counted())?))
    }

    /// The dot product: the sum of `conj(x) * y` over all elements. Integers wrap, floats are accumulated as `f64`.
    /// Collective: one reduction.
    ///
    /// # Errors
    /// A vector of another descriptor; as [`sum`](Self::sum).
    pub fn dot(&self, other: &Self) -> Result<T> {
        self.check_alike("dot", other)?;
        sums::dot(self.communicator(), self.counted().zip(other.counted()))
    }

    /// The Euclidean norm, without overflow on the way; of integers as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm(&self) -> Result<T::Real> {
        sums::norm(self.communicator(), || self.counted())
    }

    /// The sum of the absolute values. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm_one(&self) -> Result<T::Real> {
        let here = sums::fold_runs(self.counted(), |x: T| x.absolute(), |a, b| a + b).unwrap_or(0.0);
        Ok(T::norm(self.communicator().all_reduce(&[here], Op::Sum)?[0]))
    }

    /// The largest absolute value; 0 without elements, NaN if any element is. Collective: one reduction.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn norm_max(&self) -> Result<T::Real> {
        let larger = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
        let here = sums::fold_runs(self.counted(), |x: T| x.absolute(), larger).unwrap_or(0.0);
        Ok(T::norm(self.communicator().all_reduce(&[here], larger)?[0]))
    }
}
