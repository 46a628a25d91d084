//! Matrices and graphs that others have published, where the checkout has them: exchange, adjoint, products, and conjugate
//! gradients.

use std::path::Path;

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{BackendKind, Communicator, Op};

use super::check::{ensure, value};
use super::index::{bits, whole};
use super::matrices::{Entry, by_rows, conjugate_gradients, product};
use super::meshes::{Partition, rounds, settings_for};
use crate::halo::{Packing, Scheme};
use crate::index::{DistVector, Graph};

pub(super) const CASES: &[Case] = &[
    Case::new("collection: bcsstk16, a dam", dam),
    Case::new("collection: bcsstk13, a flow", flow),
    Case::new("collection: the Laplacian of the mesh 4elt", laplacian),
];

/// A file beside the checkout.
fn read(name: &str) -> Result<String, Halt> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    std::fs::read_to_string(&path).map_err(|error| Halt::Skipped(format!("needs {}: {error}", path.display())))
}

/// All entries of a symmetric matrix in Matrix Market form, by rows.
fn symmetric(name: &str) -> Result<(u64, Vec<Entry<f64>>), Halt> {
    let text = read(name)?;
    let mut lines = text.lines().filter(|line| !line.starts_with('%')).map(str::split_whitespace);
    let wrong = || Halt::Failed(format!("{name} is not what it should be"));
    let rows = lines.next().and_then(|mut words| words.next()?.parse().ok()).ok_or_else(wrong)?;
    let mut entries = Vec::new();
    for mut words in lines {
        let mut index = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(wrong);
        let (i, j) = (index()? - 1, index()? - 1);
        let value = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        entries.push((i, j, value));
        if i != j {
            entries.push((j, i, value));
        }
    }
    entries.sort_by_key(|&(i, j, _)| (i, j));
    Ok((rows, entries))
}

/// Solves for a solution of ones, to 1e-8 with Jacobi preconditioning, in about `expected` iterations; where ranks share cores
/// in libraries that spin, begins to.
fn holds(c: &Communicator, n: u64, entries: &[Entry<f64>], expected: usize) -> Outcome {
    let number = |i: u64| (value::<u64, 1>([i as i64], 6) % 1000) as f64 / 500.0 - 1.0;
    let x: Vec<f64> = (0..n).map(number).collect();
    let want = bits(&product(entries, &x));
    let is_slow = rounds(c, 10) < 10;
    for partition in [Partition::Blocks, Partition::Random] {
        let a = by_rows(c, n, partition, entries)?;
        let index = a.descriptor();
        for settings in settings_for(c).filter(|settings| settings.packing == Packing::Packed) {
            index.set_scheme(settings);
            let mut numbers = DistVector::from_fn(index, |i| i);
            numbers.exchange()?;
            let right = numbers.local().iter().zip(0..).all(|(&x, local)| index.global(local) == Some(x));
            ensure(right, format_args!("{partition:?}, {settings}: the exchange"))?;

            let (x, y) = (whole(index, 3), whole(index, 8));
            let (mut ax, mut aty) = (x.clone(), y.clone());
            ax.exchange()?;
            aty.exchange_adjoint(Op::Sum)?;
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            let sides = c.all_reduce(&[dot(ax.local(), y.local()), dot(x.owned(), aty.owned())], Op::Sum)?;
            ensure(sides[0] == sides[1], format_args!("{partition:?}, {settings}: {sides:?}"))?;

            let mut x = DistVector::from_fn(index, number);
            let mut y = x.zeros_like();
            a.multiply(&mut x, &mut y)?;
            let x = a.multiply_overlapped(x, &mut y.clone())?;
            let same = bits(&y.gather_all()?) == want && x.owned().len() == y.owned().len();
            ensure(same, format_args!("{partition:?}, {settings}: the product"))?;
        }
    }
    let a = by_rows(c, n, Partition::Blocks, entries)?;
    // Where a library carries the reductions, the bits of several schemes are what other cases compare.
    let schemes = if c.backend() == BackendKind::Mpi { 1 } else { 2 };
    let most = if is_slow { 20 } else { 2 * expected };
    let mut first: Option<Vec<u64>> = None;
    for scheme in [Scheme::Shared, Scheme::P2p].into_iter().take(schemes) {
        a.descriptor().set_scheme(scheme);
        let mut ones = DistVector::full(a.descriptor(), 1.0);
        let mut b = ones.zeros_like();
        a.multiply(&mut ones, &mut b)?;
        let (iterations, x) = conjugate_gradients(&a, &b, true, 1e-8, most)?;
        let error = x.owned().iter().map(|x| (x - 1.0).abs()).fold(0.0, f64::max);
        let error = c.all_reduce(&[error], Op::Max)?[0];
        let solved = error < 1e-2 && iterations.abs_diff(expected) <= 3 + expected / 20;
        let begun = is_slow && iterations == most;
        ensure(solved || begun, format_args!("{scheme}: {iterations} iterations, error {error:e}"))?;
        let bits = bits(x.owned());
        ensure(*first.get_or_insert_with(|| bits.clone()) == bits, format_args!("{scheme}: other bits"))?;
    }
    Ok(())
}

fn dam(c: &Communicator) -> Outcome {
    let (n, entries) = symmetric("bcsstk16.mtx")?;
    holds(c, n, &entries, 197)
}

fn flow(c: &Communicator) -> Outcome {
    let (n, entries) = symmetric("bcsstk13.mtx")?;
    holds(c, n, &entries, 1360)
}

fn laplacian(c: &Communicator) -> Outcome {
    let graph = Graph::from_metis(&read("4elt.graph")?)?;
    let n = graph.len() as u64;
    let entries = |shift: f64| {
        let mut entries: Vec<Entry<f64>> = graph.directed_edges().map(|(i, j)| (i, j, -1.0)).collect();
        entries.extend((0..graph.len()).map(|i| (i as u64, i as u64, shift + graph.neighbours(i).len() as f64)));
        entries.sort_by_key(|&(i, j, _)| (i, j));
        entries
    };
    // Plus the identity, without which ones are no solution, having no image.
    holds(c, n, &entries(1.0), 30)?;
    is_solved_but_for_a_constant(c, n, &entries(0.0), 478)
}

/// A matrix whose null space is the constants, with a right-hand side that sums to 0, as all that it maps to does: in about
/// `expected` iterations to the solution, plus a constant.
fn is_solved_but_for_a_constant(c: &Communicator, n: u64, entries: &[Entry<f64>], expected: usize) -> Outcome {
    let a = by_rows(c, n, Partition::Random, entries)?;
    let mut wave = DistVector::from_fn(a.descriptor(), |i| (i as f64 / 100.0).sin());
    let (mut b, mut ax) = (wave.zeros_like(), wave.zeros_like());
    a.multiply(&mut wave, &mut b)?;
    ensure(b.sum()?.abs() < 1e-9 * b.norm_one()?, format_args!("the right-hand side sums to {:e}", b.sum()?))?;
    let is_slow = rounds(c, 10) < 10;
    let (iterations, mut x) = conjugate_gradients(&a, &b, true, 1e-8, if is_slow { 20 } else { 2 * expected })?;
    if is_slow {
        return ensure(iterations == 20, format_args!("{iterations} iterations of 20"));
    }
    a.multiply(&mut x, &mut ax)?;
    ax.axpy(-1.0, &b)?;
    let residual = ax.norm()? / b.norm()?;
    x.axpy(-1.0, &wave)?;
    let constant = x.sum()? / n as f64;
    x.owned_mut().iter_mut().for_each(|x| *x -= constant);
    let error = x.norm_max()?;
    ensure(
        residual < 1.001e-8 && error < 1e-4 && iterations.abs_diff(expected) <= 3 + expected / 20,
        format_args!("{iterations} iterations, residual {residual:e}, error {error:e} beside {constant}"),
    )
}
