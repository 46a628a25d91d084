//! Counting values into bins: [`Histogram`].

use std::fmt;
use std::ops::RangeInclusive;

use parhelion_comm::{Error, ErrorKind, Op, Result};

use super::movement::agree;
use super::{DistArray, Number};

/// How many cells have values in each of a number of bins of one width.
///
/// Bin `i` holds the values `x` with `edge(i) <= x < edge(i + 1)`, the last one also those equal to its upper edge.
/// Displayed as a line for each bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    low: f64,
    high: f64,
    counts: Vec<u64>,
    below: u64,
    above: u64,
    nan: u64,
}

impl Histogram {
    fn new(bins: usize, range: RangeInclusive<f64>) -> Result<Self> {
        let (low, high) = range.into_inner();
        if bins > 0 && low < high && (high - low).is_finite() {
            return Ok(Histogram { low, high, counts: vec![0; bins], below: 0, above: 0, nan: 0 });
        }
        let text = format!(
            "{bins} bins from {low} to {high}: give at least one bin, and bounds in rising order at a finite distance"
        );
        Err(Error::new("histogram", ErrorKind::InvalidArgument(text)))
    }

    /// The lower edge of bin `i`, which is the upper edge of the bin before it.
    pub fn edge(&self, i: usize) -> f64 {
        if i >= self.counts.len() {
            return self.high;
        }
        self.low + (self.high - self.low) * (i as f64 / self.counts.len() as f64)
    }

    /// How many values each bin holds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values lie below the first bin.
    pub fn below(&self) -> u64 {
        self.below
    }

    /// How many values lie above the last bin.
    pub fn above(&self) -> u64 {
        self.above
    }

    /// How many values are NaN.
    pub fn nan(&self) -> u64 {
        self.nan
    }

    #[inline]
    fn add(&mut self, x: f64) {
        if x.is_nan() {
            self.nan += 1;
        } else if x < self.low {
            self.below += 1;
        } else if x > self.high {
            self.above += 1;
        } else {
            let last = self.counts.len() - 1;
            let mut bin = (((x - self.low) / (self.high - self.low) * self.counts.len() as f64) as usize).min(last);
            // The quotient is rounded: the edges decide.
            if x < self.edge(bin) {
                bin -= 1;
            } else if bin < last && x >= self.edge(bin + 1) {
                bin += 1;
            }
            self.counts[bin] += 1;
        }
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, count) in self.counts.iter().enumerate() {
            let closing = if i + 1 == self.counts.len() { ']' } else { ')' };
            writeln!(f, "[{}, {}{closing}: {count}", self.edge(i), self.edge(i + 1))?;
        }
        write!(f, "below {}, above {}, NaN {}", self.below, self.above, self.nan)
    }
}

impl<T: Number + PartialOrd, const D: usize> DistArray<T, D> {
    /// Counts the values into `bins` bins of one width that fill `range`; every rank gets the whole histogram. Collective:
    /// one reduction; where checks are on, one before.
    ///
    /// Integers are compared as `f64`.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let grid = Decomposition::new([100], &world)?;
    ///     let x = DistArray::from_fn(&grid, |[i]| i as f64)?;
    ///     let histogram = x.histogram(4, 0.0..=80.0)?;
    ///     assert_eq!(histogram.counts(), [20, 20, 20, 21]);
    ///     assert_eq!(histogram.above(), 19);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// No bins, or bounds that are not in rising order at a finite distance; as [`Communicator::all_reduce`].
    ///
    /// [`Communicator::all_reduce`]: parhelion_comm::Communicator::all_reduce
    pub fn histogram(&self, bins: usize, range: RangeInclusive<f64>) -> Result<Histogram> {
        let bounds = (range.start().to_bits(), range.end().to_bits());
        agree(self.communicator(), "histogram", (self.decomposition().fingerprint(), bins, bounds))?;
        let mut histogram = Histogram::new(bins, range)?;
        for run in self.counted_runs() {
            run.iter().for_each(|x| histogram.add(x.real()));
        }
        let mut counts = std::mem::take(&mut histogram.counts);
        counts.extend([histogram.below, histogram.above, histogram.nan]);
        self.communicator().all_reduce_in_place(&mut counts, Op::Sum)?;
        [histogram.below, histogram.above, histogram.nan] = [counts[bins], counts[bins + 1], counts[bins + 2]];
        counts.truncate(bins);
        histogram.counts = counts;
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_decide_where_a_value_belongs() {
        let mut h = Histogram::new(10, 0.0..=1.0).unwrap();
        for i in 0..=10 {
            h.add(h.edge(i));
            h.add(h.edge(i).next_down());
        }
        // Each edge opens its bin, the last closes the last; just below each edge is the bin before it.
        assert_eq!(h.counts(), [2, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
        h.add(f64::INFINITY);
        h.add(f64::NAN);
        assert_eq!((h.below(), h.above(), h.nan()), (1, 1, 1));
        assert!(Histogram::new(0, 0.0..=1.0).is_err());
        assert!(Histogram::new(1, 1.0..=1.0).is_err());
        assert!(Histogram::new(1, 0.0..=f64::INFINITY).is_err());
        assert!(Histogram::new(1, f64::NAN..=1.0).is_err());
    }
}
