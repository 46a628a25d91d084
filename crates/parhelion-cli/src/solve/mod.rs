//! `parhelion solve`: a sparse linear system over all ranks.
//!
//! [`problem`] reads it and hands out the rows; [`operator`] and [`halo`] make them a distributed matrix; [`krylov`]
//! iterates; [`report`] says how it went and [`plot`] draws it.

mod halo;
mod krylov;
mod operator;
mod plot;
mod problem;
mod report;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parhelion::{Communicator, Op};

use crate::args::{SolveArgs, Solver};
use crate::error::{Result, agree};
use crate::output::Output;
use crate::{launcher, say};
use krylov::{Limits, Outcome, Space};
use operator::Operator;
use plot::Picture;
use problem::Problem;
use report::{RankShare, Report};

/// Runs the command; the exit code is that of every rank's process.
pub(crate) fn run(args: &SolveArgs) -> Result<ExitCode> {
    let config = args.ranks.config(&launcher())?;
    let mut solved = parhelion::launch(&config, |world| rank_main(&world, args))?;
    // Locally all ranks are here, rank 0 first; under MPI only one is, and only rank 0 has a report.
    let Solved { converged, report } = solved.swap_remove(0);
    if let Some(report) = report {
        say(&if args.json { report.json() } else { report.summary() })?;
    }
    Ok(if converged { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

struct Solved {
    converged: bool,
    report: Option<Report>,
}

/// The files to be written; at rank 0 only.
struct Outputs {
    solution: Option<Output>,
    plot: Option<Output>,
}

impl Outputs {
    fn reserve(args: &SolveArgs) -> Result<Self> {
        let reserve = |path: &Option<_>| path.as_deref().map(Output::reserve).transpose();
        Ok(Self { solution: reserve(&args.solution)?, plot: reserve(&args.plot)? })
    }
}

fn rank_main(world: &Communicator, args: &SolveArgs) -> Result<Solved> {
    let is_root = world.rank() == 0;
    let start = Instant::now();
    let outputs = agree(world, if is_root { Outputs::reserve(args).map(Some) } else { Ok(None) })?;
    let Problem { split, nonzeros, rows, rhs, order, warning } = Problem::set_up(world, args)?;
    if let Some(warning) = warning {
        eprintln!("warning: {warning}");
    }
    let mut operator = Operator::new(world, &split, rows)?;
    let (owned, length) = (operator.owned(), operator.length());
    let ones_are_exact = rhs.is_none();
    let b = match rhs {
        Some(b) => b,
        None => {
            let mut b = vec![0.0; owned];
            operator.apply(&mut vec![1.0; length], &mut b)?;
            b
        }
    };
    // So that a rank which is late with its rows counts as set-up, not as time of the first exchange.
    world.barrier()?;
    let setup = start.elapsed();

    operator.clocks = operator::Clocks::default();
    let mut x = vec![0.0; length];
    let limits = Limits {
        tolerance: args.tolerance,
        iterations: args.max_iterations.unwrap_or_else(|| 1000.max(10 * u64::from(split.rows()))),
    };
    let mut history = Vec::new();
    let progress = Progress::new(is_root, args.tolerance);
    let observe = |iteration, residual| {
        if is_root {
            history.push(residual);
            progress.show(iteration, residual);
        }
    };
    let solving = Instant::now();
    let outcome = match args.solver {
        Solver::Cg => krylov::conjugate_gradients(&mut operator, &b, &mut x[..owned], limits, observe)?,
        Solver::Bicgstab => krylov::bicgstab(&mut operator, &b, &mut x[..owned], limits, observe)?,
    };
    let solve = solving.elapsed();
    let clocks = operator.clocks;
    progress.end();

    let true_residual = relative_residual(&mut operator, &b, &mut x)?;
    let error_max = if ones_are_exact { Some(distance_from_ones(world, &x[..owned])?) } else { None };
    let outcome = doubted(outcome, true_residual, args.tolerance);

    let sends = operator.halo().bytes_to(world.size());
    let share = RankShare {
        rows: owned as u64,
        nonzeros: operator.nonzeros() as u64,
        bytes: sends.iter().sum(),
        messages: sends.iter().filter(|bytes| **bytes > 0).count() as u64,
        setup: setup.as_secs_f64(),
        solve: solve.as_secs_f64(),
        halo: clocks.halo.as_secs_f64(),
        reduce: clocks.reduce.as_secs_f64(),
    };
    let shares = world.gather(&[share], 0)?;
    let traffic = if args.plot.is_some() { world.gather(&sends, 0)? } else { None };
    let solution = if args.solution.is_some() { world.gatherv(&x[..owned], 0)?.map(|(x, _)| x) } else { None };

    let converged = outcome.failure.is_none();
    let report = shares.map(|shares| Report {
        matrix: args.matrix.as_ref().map_or_else(
            || format!("poisson-{0}x{0}x{0}", args.pde.unwrap_or_default()),
            |path| path.display().to_string(),
        ),
        rows: split.rows(),
        nonzeros,
        backend: world.backend().to_string(),
        library: world.library(),
        solver: args.solver,
        outcome,
        true_residual,
        error_max,
        shares,
    });
    let written = match (outputs, &report) {
        (Some(outputs), Some(report)) => write_outputs(outputs, report, args, solution, order, &history, traffic),
        _ => Ok(()),
    };
    agree(world, written)?;
    Ok(Solved { converged, report })
}

fn write_outputs(
    outputs: Outputs,
    report: &Report,
    args: &SolveArgs,
    solution: Option<Vec<f64>>,
    order: Option<Vec<u32>>,
    history: &[f64],
    traffic: Option<Vec<u64>>,
) -> Result<()> {
    if let (Some(output), Some(renumbered)) = (outputs.solution, solution) {
        let x = match order {
            None => renumbered,
            Some(order) => {
                let mut x = vec![0.0; renumbered.len()];
                for (value, &row) in renumbered.iter().zip(&order) {
                    x[row as usize] = *value;
                }
                x
            }
        };
        // 17 significant digits bring back the same bits.
        output.write(|out| x.iter().try_for_each(|value| writeln!(out, "{value:.16e}")))?;
    }
    if let (Some(output), Some(bytes)) = (outputs.plot, traffic) {
        let picture = Picture {
            title: &report.title(),
            residuals: history,
            tolerance: args.tolerance,
            ranks: report.shares.len(),
            bytes: &bytes,
        };
        output.write(|out| picture.write(out))?;
    }
    Ok(())
}

/// |b - A x| / |b|, computed afresh; zero where b is.
fn relative_residual(operator: &mut Operator<'_>, b: &[f64], x: &mut [f64]) -> Result<f64> {
    let mut ax = vec![0.0; b.len()];
    operator.apply(x, &mut ax)?;
    let squares = ax.iter().zip(b).fold([0.0; 2], |[r, all], (ax, b)| [r + (b - ax) * (b - ax), all + b * b]);
    let [r, all] = operator.sum(squares)?;
    Ok(if all == 0.0 { r.sqrt() } else { (r / all).sqrt() })
}

fn distance_from_ones(world: &Communicator, x: &[f64]) -> Result<f64> {
    // f64::max drops NaN, which must be seen.
    let farthest =
        x.iter().map(|x| (x - 1.0).abs()).fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) });
    Ok(world.all_reduce(&[farthest], Op::Max)?[0])
}

/// A recurrence can drift from the residual it stands for; an answer that is far from what it claims did not converge.
fn doubted(mut outcome: Outcome, true_residual: f64, tolerance: f64) -> Outcome {
    // False for NaN too.
    let is_close = true_residual <= 100.0 * tolerance;
    if outcome.failure.is_none() && !is_close {
        outcome.failure = Some(format!(
            "the recurrence reached the tolerance, but |b - A x| / |b| is {true_residual:.2e}: rounding won"
        ));
    }
    outcome
}

/// A bar on rank 0's terminal that fills as the residual falls; nothing where there is no terminal.
struct Progress {
    bar: Option<ProgressBar>,
    goal: f64,
    shown: std::cell::Cell<Option<Instant>>,
}

impl Progress {
    const STEPS: f64 = 1000.0;

    fn new(is_root: bool, tolerance: f64) -> Self {
        let bar = (is_root && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(Self::STEPS as u64);
            let style = ProgressStyle::with_template("{elapsed_precise} {bar:40.cyan/blue} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, goal: tolerance.log10(), shown: std::cell::Cell::new(None) }
    }

    fn show(&self, iteration: u64, residual: f64) {
        let Some(bar) = &self.bar else { return };
        if self.shown.get().is_some_and(|shown| shown.elapsed() < Duration::from_millis(60)) {
            return;
        }
        self.shown.set(Some(Instant::now()));
        let part = (residual.log10() / self.goal).clamp(0.0, 1.0);
        bar.set_position(((part * Self::STEPS) as u64).max(bar.position()));
        bar.set_message(format!("iteration {iteration}, residual {residual:.2e}"));
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
