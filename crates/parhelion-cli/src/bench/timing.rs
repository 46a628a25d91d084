//! How long a call takes.
//!
//! *Hot*: a sample is a batch of calls, as many as last about `B_TARGET_S`; its time is that of the slowest rank divided
//! by their number. *Touch*: each call is timed alone, after its data were dirtied and all ranks met at a barrier.

use std::time::Instant;

use parhelion::{Communicator, Op};

use crate::error::Result;

/// The settings of the peers, under their names.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// `B_TARGET_S`: seconds of one hot sample.
    target: f64,
    /// `B_SAMPLES`: hot samples.
    samples: usize,
    /// `B_TOUCH_S`: seconds of a touch case.
    touch: f64,
    /// `B_TAG`: the `cfg` of every line.
    pub(super) tag: String,
}

impl Settings {
    pub(super) fn from_env() -> Self {
        let number = |name: &str, default: f64| {
            let value = std::env::var(name).ok().and_then(|text| text.trim().parse::<f64>().ok());
            value.filter(|value| value.is_finite() && *value > 0.0).unwrap_or(default)
        };
        Self {
            target: number("B_TARGET_S", 0.005),
            samples: (number("B_SAMPLES", 31.0) as usize).clamp(1, 1_000_000),
            touch: number("B_TOUCH_S", 0.3),
            tag: std::env::var("B_TAG").unwrap_or_else(|_| "default".into()),
        }
    }
}

/// Seconds of one call, over the samples.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) p10: f64,
    pub(super) p90: f64,
    /// Calls in a sample.
    pub(super) iterations: u64,
    pub(super) samples: usize,
}

impl Sample {
    fn of(mut times: Vec<f64>, iterations: u64) -> Self {
        times.sort_by(f64::total_cmp);
        let n = times.len();
        let median = if n % 2 == 1 { times[n / 2] } else { 0.5 * (times[n / 2 - 1] + times[n / 2]) };
        let p90 = times[(9 * n / 10).min(n - 1)];
        Self { median, least: times[0], p10: times[n / 10], p90, iterations, samples: n }
    }

    /// The sample of half the call.
    pub(super) fn halved(self) -> Self {
        let Self { median, least, p10, p90, .. } = self;
        Self { median: median / 2.0, least: least / 2.0, p10: p10 / 2.0, p90: p90 / 2.0, ..self }
    }
}

fn slowest(world: &Communicator, seconds: f64) -> Result<f64> {
    let mut all = [seconds];
    world.all_reduce_in_place(&mut all, Op::Max)?;
    Ok(all[0])
}

/// Seconds that `count` calls take at the slowest rank.
fn batch(world: &Communicator, count: u64, call: &mut impl FnMut() -> parhelion::Result<()>) -> Result<f64> {
    world.barrier()?;
    let start = Instant::now();
    for _ in 0..count {
        call()?;
    }
    slowest(world, start.elapsed().as_secs_f64())
}

/// Measures `call` in hot mode. Collective.
pub(super) fn hot(
    world: &Communicator,
    settings: &Settings,
    mut call: impl FnMut() -> parhelion::Result<()>,
) -> Result<Sample> {
    for _ in 0..3 {
        call()?;
    }
    let mut count = 1u64;
    loop {
        // The least of three, so that one preemption does not end the calibration.
        let mut least = f64::INFINITY;
        for _ in 0..3 {
            least = least.min(batch(world, count, &mut call)?);
        }
        if least >= settings.target || count >= 1_000_000 {
            break;
        }
        let wanted = (count as f64 * settings.target / least.max(1e-7) * 1.1) as u64 + 1;
        count = wanted.min(16 * count);
    }
    let mut times = Vec::with_capacity(settings.samples);
    for _ in 0..settings.samples {
        times.push(batch(world, count, &mut call)? / count as f64);
    }
    Ok(Sample::of(times, count))
}

/// Measures `call` one by one, for calls that take long: a warm-up, and a few samples. Collective.
pub(super) fn single(
    world: &Communicator,
    settings: &Settings,
    mut call: impl FnMut() -> parhelion::Result<()>,
) -> Result<Sample> {
    /// No more than these: each takes as long as it takes.
    const MOST: usize = 7;
    call()?;
    let times: Result<Vec<f64>> = (0..settings.samples.min(MOST)).map(|_| batch(world, 1, &mut call)).collect();
    Ok(Sample::of(times?, 1))
}

/// Measures `call` in touch mode, with `prepare` before each call, on the same data. Collective.
pub(super) fn touch<D>(
    world: &Communicator,
    settings: &Settings,
    data: &mut D,
    mut prepare: impl FnMut(&mut D),
    mut call: impl FnMut(&mut D) -> parhelion::Result<()>,
) -> Result<Sample> {
    let mut once = |data: &mut D| -> Result<f64> {
        prepare(data);
        world.barrier()?;
        let start = Instant::now();
        call(data)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let seconds = once(data)?;
        least = least.min(slowest(world, seconds)?);
    }
    let count = ((settings.touch / least.max(1e-7)) as usize).clamp(15, 2000);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(once(data)?);
    }
    world.all_reduce_in_place(&mut times, Op::Max)?;
    Ok(Sample::of(times, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_peers() {
        let sample = Sample::of((1..=31).rev().map(f64::from).collect(), 7);
        assert_eq!((sample.median, sample.least, sample.p10, sample.p90), (16.0, 1.0, 4.0, 28.0));
        let sample = Sample::of(vec![4.0, 2.0], 1).halved();
        assert_eq!((sample.median, sample.least, sample.p10, sample.p90), (1.5, 1.0, 1.0, 2.0));
    }
}
