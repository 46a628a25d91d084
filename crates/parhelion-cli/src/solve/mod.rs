//! `parhelion solve`: a sparse linear system over all ranks.
//!
//! [`problem`] reads it and hands out the rows; [`operator`] makes them a distributed matrix; [`krylov`] iterates;
//! [`report`] says how it went and [`plot`] draws it.

mod krylov;
mod operator;
mod plot;
mod problem;
mod report;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parhelion::{BackendKind, Communicator, Op};

use crate::args::{SolveArgs, Solver, Switch};
use crate::error::{Result, agree};
use crate::output::Output;
use crate::{cores, launcher, say};
use krylov::{Limits, Outcome};
use operator::{Block, Operator};
use plot::Picture;
use problem::Problem;
use report::{Column, RankShare, Report};

/// Runs the command; the exit code is that of every rank's process.
pub(crate) fn run(args: &SolveArgs) -> Result<ExitCode> {
    let mut config = args.ranks.config(&launcher())?;
    if config.ranks.is_none() && parhelion::run::choose(&config)? == BackendKind::Local {
        config = config.ranks(default_ranks(args).get());
    }
    let converged = parhelion::launch(&config, |world| rank_main(&world, args))?;
    Ok(if converged.iter().all(|converged| *converged) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// How many ranks there are where nobody says: one for each core, but no more than rows.
pub(crate) fn default_ranks(args: &SolveArgs) -> NonZeroUsize {
    let cores = cores::number();
    let rows = problem::rows_announced(args).and_then(|rows| NonZeroUsize::new(rows as usize));
    rows.map_or(cores, |rows| rows.min(cores))
}

/// The files to be written; at rank 0 only.
struct Outputs {
    solution: Option<Output>,
    plot: Option<Output>,
}

impl Outputs {
    fn reserve(args: &SolveArgs) -> Result<Self> {
        let others = [&args.matrix, &args.rhs, &args.partition].map(Option::as_ref);
        let reserve = |path: &Option<PathBuf>, more: Option<_>| {
            path.as_deref().map(|path| Output::reserve(path, others.into_iter().chain([more]))).transpose()
        };
        Ok(Self { solution: reserve(&args.solution, None)?, plot: reserve(&args.plot, args.solution.as_ref())? })
    }
}

/// Whether all columns have converged; rank 0 has said how it went.
fn rank_main(world: &Communicator, args: &SolveArgs) -> Result<bool> {
    let is_root = world.rank() == 0;
    let start = Instant::now();
    let outputs = agree(world, if is_root { Outputs::reserve(args).map(Some) } else { Ok(None) })?;
    let Problem { split, nonzeros, rows, rhs, names, order, warning } = Problem::set_up(world, args)?;
    if let Some(warning) = warning {
        eprintln!("warning: {warning}");
    }
    let columns = args.columns;
    let mut operator = Operator::new(world, &split, &rows, columns, args.overlap == Switch::On)?;
    drop(rows);
    let descriptor = operator.matrix().descriptor().clone();
    if let Some(scheme) = args.scheme {
        descriptor.set_scheme(scheme);
    }
    let owned = operator.owned();
    // What x is to be, where that is known.
    let first = split.block(world.rank()).start;
    let name = |row: u64| names.as_ref().map_or(row, |names| names[row as usize - first as usize].into());
    let goal = rhs.is_none().then(|| {
        let mut goal = operator.block();
        goal.fill_with(|row, column| known(name(row), column));
        goal
    });
    // Also where b is given, so that what the first exchange has to find and to make counts as set-up.
    let mut product = operator.block();
    let goal = match goal {
        Some(goal) => Some(operator.apply(goal, &mut product)?),
        None => operator.apply(operator.block(), &mut product).map(|_| None)?,
    };
    let b = rhs.unwrap_or_else(|| product.as_slice()[..owned].to_vec());
    drop(product);
    // So that a rank which is late with its rows counts as set-up, not as time of the first exchange.
    world.barrier()?;
    let setup = start.elapsed();

    operator.clocks = operator::Clocks::default();
    let mut x = operator.block();
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
    let outcomes = match args.solver {
        Solver::Cg => krylov::conjugate_gradients(&mut operator, &b, &mut x, limits, observe)?,
        Solver::Bicgstab => krylov::bicgstab(&mut operator, &b, &mut x, limits, observe)?,
    };
    let solve = solving.elapsed();
    let clocks = operator.clocks;
    progress.end();

    let true_residuals = relative_residuals(&mut operator, &b, &x)?;
    let x = &x.as_slice()[..owned];
    let errors = goal.map(|goal| distances(world, x, goal.as_slice(), columns)).transpose()?;
    let solved =
        outcomes.into_iter().zip(true_residuals).enumerate().map(|(column, (outcome, true_residual))| Column {
            outcome: doubted(outcome, true_residual, args.tolerance),
            true_residual,
            error_max: errors.as_ref().map(|errors| errors[column]),
        });
    let solved: Vec<Column> = solved.collect();

    let sends = operator.bytes_to_each();
    let share = RankShare {
        rows: operator.matrix().rows() as u64,
        nonzeros: operator.matrix().entries() as u64,
        bytes: sends.iter().sum(),
        messages: sends.iter().filter(|bytes| **bytes > 0).count() as u64,
        setup: setup.as_secs_f64(),
        solve: solve.as_secs_f64(),
        halo: clocks.halo.as_secs_f64(),
        reduce: clocks.reduce.as_secs_f64(),
    };
    let shares = world.gather(&[share], 0)?;
    let traffic = if args.plot.is_some() { world.gather(&sends, 0)? } else { None };
    let solution = if args.solution.is_some() { world.gatherv(x, 0)?.map(|(x, _)| x) } else { None };

    let converged = solved.iter().all(|column| column.outcome.failure.is_none());
    let (asked, decisions) = (descriptor.scheme()?, descriptor.decisions());
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
        columns: solved,
        scheme: decisions.first().map_or_else(|| asked.to_string(), |chosen| format!("{asked}: {}", chosen.chosen())),
        scheme_was_asked_for: args.scheme.is_some(),
        overlap: args.overlap == Switch::On,
        shares,
    });
    let told = match (outputs, &report) {
        (Some(outputs), Some(report)) => write_outputs(outputs, report, args, solution, order, &history, traffic)
            .and_then(|()| say(&if args.json { report.json() } else { report.summary() })),
        _ => Ok(()),
    };
    // All is said before any rank returns: a launcher ends the others when one exits with a code other than 0.
    agree(world, told)?;
    Ok(converged)
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
                for (values, &row) in renumbered.chunks_exact(args.columns).zip(&order) {
                    x[row as usize * args.columns..][..args.columns].copy_from_slice(values);
                }
                x
            }
        };
        // 17 significant digits bring back the same bits.
        output.write(|out| {
            x.iter().enumerate().try_for_each(|(at, value)| {
                let end = if (at + 1).is_multiple_of(args.columns) { '\n' } else { ' ' };
                write!(out, "{value:.16e}{end}")
            })
        })?;
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

/// The solution where b is made of it: ones in the first column, multiples of an eighth near 1 in the others, by original row.
fn known(row: u64, column: usize) -> f64 {
    let steps = if column == 0 { 0 } else { row * (2 * column as u64 + 1) % 8 };
    1.0 + steps as f64 / 8.0
}

/// |b - A x| / |b| of each column, computed afresh; zero where b is. By norms that no square overflows or underflows, so that
/// it can be trusted where the iteration's own cannot.
fn relative_residuals(operator: &mut Operator, b: &[f64], x: &Block) -> Result<Vec<f64>> {
    let (mut right, mut rest) = (operator.block(), operator.block());
    operator.apply(x.clone(), &mut rest)?;
    right.as_mut_slice()[..b.len()].copy_from_slice(b);
    rest.as_mut_slice()[..b.len()].iter_mut().zip(b).for_each(|(ax, b)| *ax = b - *ax);
    let (rest, all) = (rest.norm()?, right.norm()?);
    Ok(rest.into_iter().zip(all).map(|(rest, all)| if all == 0.0 { rest } else { rest / all }).collect())
}

/// The largest distance from the goal in each column.
fn distances(world: &Communicator, x: &[f64], goal: &[f64], columns: usize) -> Result<Vec<f64>> {
    let mut farthest = vec![0.0; columns];
    for (x, goal) in x.chunks_exact(columns).zip(goal.chunks_exact(columns)) {
        for (farthest, (x, goal)) in farthest.iter_mut().zip(x.iter().zip(goal)) {
            let distance = (x - goal).abs();
            // f64::max drops NaN, which must be seen.
            *farthest = if distance.is_nan() { f64::INFINITY } else { distance.max(*farthest) };
        }
    }
    world.all_reduce_in_place(&mut farthest, Op::Max)?;
    Ok(farthest)
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
