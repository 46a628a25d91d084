//! Reductions and searches: one pass over this rank's cells, then one collective. Every rank gets the same bits; copies
//! on replicated axes are counted once.

use parhelion_comm::{Element, Located, Op, Reduction, Result};

use super::combine::Combiner;
use super::fold::Cascade;
use super::local::{check_places, pieces};
use super::number::Accumulator;
use super::{DistArray, Number, sums};

impl<T: Element, const D: usize> DistArray<T, D> {
    /// All cells combined with `op`, which must be associative and commutative as far as the caller cares about the
    /// grouping; `None` without cells. Collective: one reduction.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let x = DistArray::from_fn(&Decomposition::new([12], &world)?, |[i]| i as u32)?;
    ///     assert_eq!(x.reduce(Op::BitOr)?, Some(15));
    ///     assert_eq!(x.reduce(|a: u32, b: u32| a.max(b))?, Some(11));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// An operator that is not defined for `T`, or [`Op::Average`]; as [`Communicator::all_reduce`].
    ///
    /// [`Communicator::all_reduce`]: parhelion_comm::Communicator::all_reduce
    pub fn reduce(&self, op: impl Reduction<T>) -> Result<Option<T>> {
        let op = Combiner::of(&op)?;
        let mut cascade = Cascade::new();
        for part in self.counted_runs().flat_map(|run| run.chunks(4096)) {
            if let Some(x) = op.fold(part) {
                cascade.push(x, &|a, b| op.one(a, b));
            }
        }
        let here = cascade.finish(&|a, b| op.one(a, b));
        self.join(here, |a, b| op.one(a, b))
    }

    /// One value of the ranks' own, combined with `op`; `None` if no rank has one. Collective.
    fn join(&self, here: Option<T>, op: impl Fn(T, T) -> T + Send + Sync) -> Result<Option<T>> {
        let mut all = [here.map_or(Located::new(T::zeroed(), 0), |x| Located::new(x, 1))];
        self.communicator().all_reduce_in_place(&mut all, |a: Located<T>, b: Located<T>| {
            match (a.index(), b.index()) {
                (0, _) => b,
                (_, 0) => a,
                _ => Located::new(op(a.value(), b.value()), 1),
            }
        })?;
        Ok((all[0].index() == 1).then_some(all[0].value()))
    }

    /// This rank's counted cells, each loaded with `load`, combined with `op`.
    fn fold<A: Copy>(&self, load: impl Fn(T) -> A, op: impl Fn(A, A) -> A) -> Option<A> {
        sums::fold_runs(self.counted_runs(), load, op)
    }

    /// How many cells satisfy `test`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`](parhelion_comm::Communicator::all_reduce).
    pub fn count(&self, mut test: impl FnMut(T) -> bool) -> Result<usize> {
        let here: usize = self.counted_runs().map(|run| run.iter().filter(|&&x| test(x)).count()).sum();
        Ok(self.communicator().all_reduce(&[here as u64], Op::Sum)?[0] as usize)
    }

    /// Whether some cell satisfies `test`; false without cells. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn any(&self, mut test: impl FnMut(T) -> bool) -> Result<bool> {
        let here = self.counted_runs().any(|run| run.iter().any(|&x| test(x)));
        Ok(self.communicator().all_reduce(&[u8::from(here)], Op::LogicalOr)?[0] == 1)
    }

    /// Whether all cells satisfy `test`; true without cells. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn all(&self, mut test: impl FnMut(T) -> bool) -> Result<bool> {
        Ok(!self.any(|x| !test(x))?)
    }

    /// The global index of the first cell that satisfies `test`, in C order of the indices. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn find_first(&self, mut test: impl FnMut(T) -> bool) -> Result<Option<[i64; D]>> {
        let (mut passed, mut found) = (0, None);
        for run in self.counted_runs() {
            // Memory order is C order of the global indices on any distribution.
            if let Some(i) = run.iter().position(|&x| test(x)) {
                found = Some(passed + i);
                break;
            }
            passed += run.len();
        }
        let here = found.map_or(u64::MAX, |position| self.linear(position));
        let first = self.communicator().all_reduce(&[here], Op::Min)?[0];
        Ok((first != u64::MAX).then(|| self.decomposition().space().index(first as usize)))
    }

    /// The number, in C order of the global indices, of the owned cell at `position`.
    fn linear(&self, position: usize) -> u64 {
        let index = self.place().global(self.decomposition(), self.rank(), position);
        self.decomposition().space().linear(index) as u64
    }

    /// Whether every cell equals its counterpart in `other`, distributed alike; as ever, NaN equals nothing. Collective:
    /// one reduction, two if the communicators are not one.
    ///
    /// # Errors
    /// Arrays that are distributed differently; as [`count`](Self::count).
    pub fn equal(&self, other: &Self) -> Result<bool>
    where
        T: PartialEq,
    {
        check_places("equal", self.communicator(), other.communicator())?;
        self.check_alike("equal", other)?;
        let same = pieces(self.layout(), other.layout())
            .all(|(a, b, len)| self.memory()[a..a + len] == other.memory()[b..b + len]);
        Ok(self.communicator().all_reduce(&[u8::from(same)], Op::LogicalAnd)?[0] == 1)
    }

    /// The smallest value; `None` without cells. If any cell is NaN, the result is NaN. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn min(&self) -> Result<Option<T>>
    where
        T: PartialOrd,
    {
        self.extreme(|x, best| x < best)
    }

    /// The largest value; `None` without cells. If any cell is NaN, the result is NaN. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn max(&self) -> Result<Option<T>>
    where
        T: PartialOrd,
    {
        self.extreme(|x, best| x > best)
    }

    fn extreme(&self, better: impl Fn(T, T) -> bool + Send + Sync) -> Result<Option<T>>
    where
        T: PartialOrd,
    {
        let choose = |a: T, b: T| if beats(b, a, &better) { b } else { a };
        self.join(self.fold(|x| x, choose), choose)
    }

    /// The global index and the value of the smallest cell: of equal ones, and of NaN, which count as smallest, the first
    /// in C order; `None` without cells. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn arg_min(&self) -> Result<Option<([i64; D], T)>>
    where
        T: PartialOrd,
    {
        self.arg_extreme(|x, best| x < best)
    }

    /// The global index and the value of the largest cell: of equal ones, and of NaN, which count as largest, the first
    /// in C order; `None` without cells. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn arg_max(&self) -> Result<Option<([i64; D], T)>>
    where
        T: PartialOrd,
    {
        self.arg_extreme(|x, best| x > best)
    }

    fn arg_extreme(&self, better: impl Fn(T, T) -> bool + Send + Sync) -> Result<Option<([i64; D], T)>>
    where
        T: PartialOrd,
    {
        let mut best: Option<(usize, T)> = None;
        let mut passed = 0;
        for run in self.counted_runs() {
            for (i, &x) in run.iter().enumerate() {
                if best.is_none_or(|(_, b)| beats(x, b, &better)) {
                    best = Some((passed + i, x));
                }
            }
            passed += run.len();
        }
        let none = Located::new(T::zeroed(), u64::MAX);
        let mut all = [best.map_or(none, |(position, x)| Located::new(x, self.linear(position)))];
        self.communicator().all_reduce_in_place(&mut all, |a: Located<T>, b: Located<T>| {
            let (low, high) = if a.index() <= b.index() { (a, b) } else { (b, a) };
            // The one of the lower index stays unless the other is better; no cell has the index of `none`.
            if high.index() != u64::MAX && beats(high.value(), low.value(), &better) { high } else { low }
        })?;
        let [found] = all;
        let index = (found.index() != u64::MAX).then(|| self.decomposition().space().index(found.index() as usize));
        Ok(index.map(|index| (index, found.value())))
    }
}

/// Whether `x` replaces `best`: NaN, which does not equal itself, replaces numbers and is replaced by nothing.
#[inline(always)]
#[allow(clippy::eq_op, reason = "the test for NaN that every ordered type has")]
fn beats<T: Copy + PartialEq>(x: T, best: T, better: &impl Fn(T, T) -> bool) -> bool {
    better(x, best) || (x != x && best == best)
}

impl<T: Number, const D: usize> DistArray<T, D> {
    /// The sum of all cells; integers wrap, floats are accumulated as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn sum(&self) -> Result<T> {
        Ok(T::narrow(self.wide_sum()?))
    }

    fn wide_sum(&self) -> Result<T::Wide> {
        sums::sum(self.communicator(), self.counted_runs())
    }

    /// The product of all cells; integers wrap, floats are accumulated as `f64`; 1 without cells. Collective: one
    /// reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn product(&self) -> Result<T> {
        let mut product = [self.fold(T::widen, Accumulator::times).unwrap_or(T::Wide::ONE)];
        self.communicator().all_reduce_in_place(&mut product, |a: T::Wide, b: T::Wide| a.times(b))?;
        Ok(T::narrow(product[0]))
    }

    /// The mean of all cells, of integers as `f64`; NaN without cells. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn mean(&self) -> Result<T::Mean> {
        Ok(T::mean(self.wide_sum()?, self.len() as u64))
    }

    /// The dot product with `other`, distributed alike: the sum of `conj(x) * y` over all cells. Integers wrap, floats
    /// are accumulated as `f64`. Collective: one reduction, two if the communicators are not one.
    ///
    /// # Errors
    /// Arrays that are distributed differently; as [`count`](Self::count).
    pub fn dot(&self, other: &Self) -> Result<T> {
        check_places("dot", self.communicator(), other.communicator())?;
        self.check_alike("dot", other)?;
        let counts = self.decomposition().is_first_copy(self.rank());
        let pairs = pieces(self.layout(), other.layout()).filter(|_| counts);
        let slices = pairs.map(|(a, b, len)| (&self.memory()[a..a + len], &other.memory()[b..b + len]));
        sums::dot(self.communicator(), slices)
    }

    /// The Euclidean norm, the root of the sum of the squares of the absolute values, without overflow on the way; of
    /// integers as `f64`. Collective: one reduction.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub fn norm(&self) -> Result<T::Real> {
        sums::norm(self.communicator(), || self.counted_runs())
    }
}
