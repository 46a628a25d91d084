//! `parhelion heat`: the heat equation on a periodic grid of two or three axes, by explicit steps.
//!
//! [`start`] is what there is at first, and what must come out; [`stencil`] is one step; [`picture`] reads and draws
//! pictures; [`report`] says how it went.

mod picture;
mod report;
mod start;
mod stencil;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{ArrayView2, Dim, Dimension};
use parhelion::array::{Decomposition, DistArray, IndexSpace};
use parhelion::halo::{exchange, start_exchange};
use parhelion::{BackendKind, Communicator, Op};

use crate::args::{HeatArgs, Switch};
use crate::error::{Error, Result, agree};
use crate::output::Output;
use crate::{launcher, say};
use picture::Picture;
use report::{Convergence, Report, Row, Seconds};
use stencil::Stencil;

/// Runs the command; the exit code is that of every rank's process.
pub(crate) fn run(args: &HeatArgs) -> Result<ExitCode> {
    let config = args.ranks.config(&launcher())?;
    let mut told = parhelion::launch(&config, |world| rank_main(&world, args))?;
    // Locally all ranks are here, rank 0 first; under MPI only one is, and only rank 0 has something to say.
    if let Some(text) = told.swap_remove(0) {
        say(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is printed, at rank 0.
fn rank_main(world: &Communicator, args: &HeatArgs) -> Result<Option<String>> {
    if let Some(path) = &args.image {
        return spread_picture(world, args, path);
    }
    match *args.size.0 {
        [a, b] if args.convergence => converge(world, args, [a, b]),
        [a, b, c] if args.convergence => converge(world, args, [a, b, c]),
        [a, b] => spread_sines(world, args, [a, b]),
        [a, b, c] => spread_sines(world, args, [a, b, c]),
        _ => Err(Error::Input("a size has two or three axes".into())),
    }
}

/// Fields on one grid, and as many more to write the next step to.
struct Heat<const D: usize> {
    grid: Decomposition<D>,
    stencil: Stencil<D>,
    overlap: bool,
    fields: Vec<DistArray<f64, D>>,
    next: Vec<DistArray<f64, D>>,
    /// Spent in exchanges.
    halo: Duration,
}

impl<const D: usize> Heat<D> {
    fn new(grid: &Decomposition<D>, args: &HeatArgs, stencil: Stencil<D>, fields: Vec<DistArray<f64, D>>) -> Self {
        let next = fields.iter().map(DistArray::zeros_like).collect();
        let overlap = args.overlap == Switch::On;
        Self { grid: grid.clone(), stencil, overlap, fields, next, halo: Duration::ZERO }
    }

    fn step(&mut self) -> Result<()> {
        let stencil = self.stencil;
        let start = Instant::now();
        if self.overlap {
            let inflight = start_exchange(std::mem::take(&mut self.fields))?;
            self.halo += start.elapsed();
            for (field, next) in inflight.owned().into_iter().zip(&mut self.next) {
                stencil.apply(field, next.interior_mut());
            }
            let start = Instant::now();
            self.fields = inflight.finish()?;
            self.halo += start.elapsed();
        } else {
            exchange(&mut self.fields)?;
            self.halo += start.elapsed();
        }
        for (field, next) in self.fields.iter().zip(&mut self.next) {
            if !self.overlap {
                stencil.apply(field.with_halo(), next.interior_mut());
            }
            stencil.apply(field.with_halo(), next.boundary_mut());
        }
        std::mem::swap(&mut self.fields, &mut self.next);
        Ok(())
    }

    /// A hash of every bit of every field: sums, by cells, so that it does not depend on where a cell lies.
    fn checksum(&self, world: &Communicator) -> Result<u64> {
        let (mut sum, space) = (0u64, self.grid.space());
        for (number, field) in self.fields.iter().enumerate() {
            field.for_each(|index, value| {
                let place = (number * space.len() + space.linear(index)) as u64;
                sum = sum.wrapping_add(mixed(value.to_bits() ^ mixed(place)));
            });
        }
        Ok(world.all_reduce(&[sum], Op::Sum)?[0])
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of the input changes half of the output's.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn grid<const D: usize>(world: &Communicator, args: &HeatArgs, shape: [usize; D]) -> Result<Decomposition<D>> {
    let grid = Decomposition::new(shape, world)?.halo(1).periodic([true; D]);
    if let Some(scheme) = args.scheme {
        grid.set_scheme(scheme);
    }
    Ok(grid)
}

fn sines<const D: usize>(grid: &Decomposition<D>) -> Result<DistArray<f64, D>> {
    Ok(DistArray::from_fn(grid, |index| start::exact(grid.shape(), index, 0.0))?)
}

/// The largest distance from the exact solution at `time`; NaN if any is.
fn error<const D: usize>(world: &Communicator, field: &DistArray<f64, D>, time: f64) -> Result<f64> {
    let (shape, mut error) = (field.shape(), 0.0f64);
    field.for_each(|index, value| error = larger(error, (value - start::exact(shape, index, time)).abs()));
    Ok(world.all_reduce(&[error], larger)?[0])
}

/// The larger of two, or NaN: `f64::max` would pass over it, and a field that went wrong would have no error.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Says no to what would end the process: two arrays of the largest block at each rank, and what is drawn at rank 0.
fn affordable<const D: usize>(world: &Communicator, grid: &Decomposition<D>) -> Result<()> {
    let threads = if world.backend() == BackendKind::Local { world.size() } else { 1 };
    let mut blocks = (0..world.size()).map(|rank| grid.parent_space(rank).checked_len());
    let largest = blocks.try_fold(0, |largest, block| Some(largest.max(block?)));
    let cells = largest.and_then(|cells| cells.checked_mul(2 * threads)?.checked_add(plane(grid).checked_len()?));
    let there = cells.is_some_and(|cells| Vec::<f64>::new().try_reserve_exact(cells).is_ok());
    let refusal = || {
        let size: Vec<String> = grid.shape().iter().map(usize::to_string).collect();
        let bytes = cells.map_or(f64::INFINITY, |cells| cells as f64 * 8.0);
        Error::Input(format!(
            "a size of {} takes {:.1} GiB in one process, which it cannot get",
            size.join("x"),
            bytes / GIB
        ))
    };
    agree(world, there.then_some(()).ok_or_else(refusal))
}

const GIB: f64 = (1u64 << 30) as f64;

fn spread_sines<const D: usize>(world: &Communicator, args: &HeatArgs, shape: [usize; D]) -> Result<Option<String>>
where
    Dim<[usize; D]>: Dimension,
{
    let begin = Instant::now();
    let grid = grid(world, args, shape)?;
    affordable(world, &grid)?;
    let (stencil, dt) = Stencil::of_unit_box(shape);
    let mut heat = Heat::new(&grid, args, stencil, vec![sines(&grid)?]);
    let error = |heat: &Heat<D>| error(world, &heat.fields[0], dt * args.steps as f64).map(Some);
    let draw = |heat: &Heat<D>| {
        let plane = plane(&grid);
        let values = heat.fields[0].gather_region(plane, 0)?;
        let sides = &plane.shape()[D - 2..];
        Ok(values.map(|values| {
            let values: Vec<f64> = values.into_iter().collect();
            Picture::of_field(sides[0], sides[1], &values, start::LARGEST)
        }))
    };
    carry_out(world, args, &mut heat, begin, draw, error)
}

/// What a picture shows of a grid: all of two axes, and of a third one the middle.
fn plane<const D: usize>(grid: &Decomposition<D>) -> IndexSpace<D> {
    let (mut start, mut end) = (grid.space().start(), grid.space().end());
    for axis in 0..D - 2 {
        start[axis] += (end[axis] - start[axis]) / 2;
        end[axis] = start[axis] + 1;
    }
    IndexSpace::new(start, end)
}

fn spread_picture(world: &Communicator, args: &HeatArgs, path: &Path) -> Result<Option<String>> {
    let begin = Instant::now();
    let read = if world.rank() == 0 { Picture::read(path).map(Some) } else { Ok(None) };
    let read = agree(world, read)?;
    let mut sizes = read.as_ref().map_or([0; 3], |p| [p.rows, p.columns, p.channels.len()].map(|n| n as u64));
    world.broadcast(&mut sizes, 0)?;
    let [rows, columns, channels] = sizes.map(|n| n as usize);
    let grid = grid(world, args, [rows, columns])?;
    let mut fields = Vec::with_capacity(channels);
    for channel in 0..channels {
        let view = read.as_ref().map(|picture| &picture.channels[channel]);
        let view = view.map(|values| ArrayView2::from_shape((rows, columns), values).expect("rows of columns"));
        fields.push(DistArray::scatter(&grid, view, 0)?);
    }
    drop(read);
    let mut heat = Heat::new(&grid, args, Stencil::of_square_cells(), fields);
    let draw = |heat: &Heat<2>| {
        let mut channels = Vec::new();
        for field in &heat.fields {
            channels.extend(field.gather(0)?.map(|values| values.into_iter().collect::<Vec<f64>>()));
        }
        Ok((world.rank() == 0).then_some(Picture { rows, columns, channels }))
    };
    carry_out(world, args, &mut heat, begin, draw, |_| Ok(None))
}

/// Takes the steps, draws before and after, and reports.
fn carry_out<const D: usize>(
    world: &Communicator,
    args: &HeatArgs,
    heat: &mut Heat<D>,
    begin: Instant,
    draw: impl Fn(&Heat<D>) -> Result<Option<Picture>>,
    error: impl Fn(&Heat<D>) -> Result<Option<f64>>,
) -> Result<Option<String>> {
    let is_root = world.rank() == 0;
    let paths = ["before", "after"].map(|when| named(&args.output, when));
    let reserved = match is_root {
        true => (|| {
            let [before, after] = paths.each_ref().map(|path| Output::reserve(path, [args.image.as_ref()]));
            Ok(Some([before?, after?]))
        })(),
        false => Ok(None),
    };
    let [before, after] = agree(world, reserved)?.map_or([None, None], |outputs| outputs.map(Some));
    write(world, before, draw(heat)?)?;

    // So that what the first exchange sets up, and what `auto` measures, counts as set-up.
    exchange(&mut heat.fields)?;
    world.barrier()?;
    let setup = begin.elapsed();
    let progress = is_root.then(|| Progress::new(args.steps)).flatten();
    let stepping = Instant::now();
    for step in 0..args.steps {
        heat.step()?;
        if let Some(progress) = &progress {
            progress.show(step + 1);
        }
    }
    let total = stepping.elapsed();
    if let Some(progress) = progress {
        progress.bar.finish_and_clear();
    }

    write(world, after, draw(heat)?)?;
    let (error_max, checksum) = (error(heat)?, heat.checksum(world)?);
    let plan = heat.grid.plan()?;
    let fields = heat.fields.len();
    let sent = [(plan.bytes(size_of::<f64>()) * fields) as u64, plan.messages() as u64];
    let sent = world.all_reduce(&sent, Op::Sum)?;
    let compute = total.saturating_sub(heat.halo);
    let mut slowest = [total, setup, heat.halo, compute].map(|time| time.as_secs_f64());
    world.all_reduce_in_place(&mut slowest, Op::Max)?;
    if !is_root {
        return Ok(None);
    }
    let [total, setup, halo, compute] = slowest;
    let decision = heat.grid.decisions().pop();
    let asked = heat.grid.scheme()?;
    let [before, after] = paths.map(|path| path.display().to_string());
    let report = Report {
        size: heat.grid.shape().to_vec(),
        fields,
        steps: args.steps,
        ranks: world.size(),
        grid: heat.grid.process_grid().to_vec(),
        backend: world.backend().to_string(),
        library: world.library(),
        scheme: decision.as_ref().map_or_else(|| asked.to_string(), |chosen| format!("{asked}: {}", chosen.chosen())),
        overlap: heat.overlap,
        seconds: Seconds { total, setup, halo, compute },
        error_max,
        checksum: format!("{checksum:016x}"),
        halo_bytes_per_exchange: sent[0],
        messages_per_exchange: sent[1],
        before,
        after,
        decision: decision.map(|decision| decision.to_string()),
    };
    Ok(Some(if args.json { report.json() } else { report.summary() }))
}

/// `prefix-before.png`.
fn named(prefix: &Path, when: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(format!("-{when}.png"));
    name.into()
}

/// Writes the picture where there is one; a failure is every rank's.
fn write(world: &Communicator, output: Option<Output>, picture: Option<Picture>) -> Result<()> {
    let written = match output.zip(picture) {
        Some((output, picture)) => output.write(|out| picture.write(out)),
        None => Ok(()),
    };
    agree(world, written)
}

/// The errors at a quarter, a half and all of `shape`, at the time that the steps at full size reach.
fn converge<const D: usize>(world: &Communicator, args: &HeatArgs, shape: [usize; D]) -> Result<Option<String>> {
    if shape.iter().any(|&n| n % 4 != 0 || n < 32) {
        return Err(Error::Input("--convergence needs a size of multiples of 4, from 32, to halve it twice".into()));
    }
    let first = (args.steps / 16).max(1);
    let (mut rows, mut time): (Vec<Row>, f64) = (Vec::new(), 0.0);
    for level in 0..3u32 {
        let (size, steps) = (shape.map(|n| n >> (2 - level)), first << (2 * level));
        let grid = grid(world, args, size)?;
        affordable(world, &grid)?;
        let (stencil, dt) = Stencil::of_unit_box(size);
        let mut heat = Heat::new(&grid, args, stencil, vec![sines(&grid)?]);
        for _ in 0..steps {
            heat.step()?;
        }
        time = dt * steps as f64;
        let error_max = error(world, &heat.fields[0], time)?;
        let order = rows.last().map(|coarser| (coarser.error_max / error_max).log2());
        rows.push(Row { size: size.to_vec(), steps, error_max, order });
    }
    let table = Convergence { time, convergence: rows };
    Ok((world.rank() == 0).then(|| if args.json { table.json() } else { table.table() }))
}

/// How far the steps have come, on a terminal.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(steps: u64) -> Option<Self> {
        std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps);
            let style = ProgressStyle::with_template("{elapsed_precise} {bar:40.cyan/blue} step {pos} of {len}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Self { bar }
        })
    }

    fn show(&self, step: u64) {
        // Asking the clock at every step would cost as much as a small step.
        if step.is_multiple_of(16) {
            self.bar.set_position(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use parhelion::Config;

    use super::*;

    #[test]
    fn a_field_with_one_nan_has_no_error_that_looks_like_one() {
        let config = Config::default().backend(BackendKind::Local).ranks(3);
        let errors = parhelion::launch(&config, |world| {
            let grid = Decomposition::new([9, 5], &world)?.halo(1).periodic([true; 2]);
            let mut field = sines(&grid)?;
            let right = error(&world, &field, 0.0)?;
            field.for_each_mut(|index, cell| *cell = if index == [4, 2] { f64::NAN } else { *cell });
            Ok::<_, Error>([right, error(&world, &field, 0.0)?])
        });
        for [right, wrong] in errors.unwrap() {
            assert_eq!(right, 0.0);
            assert!(wrong.is_nan(), "{wrong}");
        }
    }
}
