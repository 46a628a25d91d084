//! The linear system, from files or by rule, and its way to the ranks that own its rows.
//!
//! Only rank 0 reads files. It renumbers the rows so that each rank owns consecutive ones, and scatters them; the other
//! ranks need neither the files nor memory for the whole matrix. The rows of the Poisson operator are made where they
//! belong, unless they are to be reordered.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use parhelion::Communicator;

use crate::args::{Order, SolveArgs};
use crate::error::{Error, Result, agree};
use crate::matrix::csr::{Csr, Unsuitable};
use crate::matrix::market;
use crate::matrix::ordering::reverse_cuthill_mckee;
use crate::matrix::poisson::Poisson;
use crate::matrix::split::{Split, read_parts};
use crate::numbers::counted;
use crate::text::{Lines, TextError, finite};

/// One rank's share of the system.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Rows of the whole matrix, by owner.
    pub(crate) split: Split,
    /// Entries of the whole matrix.
    pub(crate) nonzeros: u64,
    /// This rank's rows, with global columns.
    pub(crate) rows: Csr,
    /// This rank's part of b, if a file gives it; the columns of a row side by side.
    pub(crate) rhs: Option<Vec<f64>>,
    /// This rank's rows as they were numbered originally, where that matters and they were renumbered.
    pub(crate) names: Option<Vec<u32>>,
    /// At rank 0, where rows were renumbered: the original row at each place.
    pub(crate) order: Option<Vec<u32>>,
    /// At rank 0: something the user should know before the solve.
    pub(crate) warning: Option<String>,
}

/// What rank 0 has before it scatters.
struct Whole {
    split: Split,
    nonzeros: u64,
    /// `None` where every rank makes its own rows.
    matrix: Option<Csr>,
    rhs: Option<Vec<f64>>,
    order: Option<Vec<u32>>,
    warning: Option<String>,
}

impl Problem {
    /// Reads the system at rank 0 and hands out its rows. Collective.
    ///
    /// # Errors
    /// Whatever is wrong with the files, at every rank; what communication meets.
    pub(crate) fn set_up(world: &Communicator, args: &SolveArgs) -> Result<Self> {
        let whole = agree(world, if world.rank() == 0 { Whole::read(args, world.size()).map(Some) } else { Ok(None) })?;

        let mut facts = whole.as_ref().map_or([0; 4], |whole| {
            let [matrix, rhs, order] = [whole.matrix.is_some(), whole.rhs.is_some(), whole.order.is_some()];
            [whole.nonzeros, matrix.into(), rhs.into(), order.into()]
        });
        world.broadcast(&mut facts, 0)?;
        let [nonzeros, is_scattered, has_rhs, has_order] = facts;
        let mut starts = whole.as_ref().map_or(vec![0; world.size() + 1], |whole| whole.split.starts.clone());
        world.broadcast(&mut starts, 0)?;
        let split = Split { starts };
        let block = split.block(world.rank());

        let whole = whole.as_ref();
        let rows = match (is_scattered == 1, args.pde.and_then(Poisson::new)) {
            (false, Some(poisson)) => poisson.assemble(block),
            _ => scatter_rows(world, whole.and_then(|whole| Some((&whole.split, whole.matrix.as_ref()?))))?,
        };
        let rhs = if has_rhs == 1 {
            let values = whole.and_then(|whole| Some((whole.rhs.as_deref()?, &whole.split)));
            let counts: Option<Vec<usize>> =
                values.map(|(_, split)| block_sizes(split).into_iter().map(|rows| rows * args.columns).collect());
            Some(world.scatterv(values.map(|(values, _)| values).zip(counts.as_deref()), 0)?)
        } else {
            None
        };
        let names = if has_order == 1 && has_rhs == 0 && args.columns > 1 {
            let order = whole.and_then(|whole| Some((whole.order.as_deref()?, block_sizes(&whole.split))));
            Some(world.scatterv(order.as_ref().map(|(order, sizes)| (*order, &sizes[..])), 0)?)
        } else {
            None
        };
        let (order, warning) = whole.map_or((None, None), |whole| (whole.order.clone(), whole.warning.clone()));
        Ok(Self { split, nonzeros, rows, rhs, names, order, warning })
    }
}

impl Whole {
    fn read(args: &SolveArgs, ranks: usize) -> Result<Self> {
        let (matrix, rows, nonzeros) = match (&args.matrix, args.pde.and_then(Poisson::new)) {
            (Some(path), _) => {
                let matrix = read_matrix(path)?;
                let (rows, nonzeros) = (matrix.rows(), matrix.nonzeros() as u64);
                (Some(matrix), rows, nonzeros)
            }
            (None, Some(poisson)) => {
                let reordered = args.order != Order::Natural || args.partition.is_some();
                let matrix = reordered.then(|| poisson.assemble(0..poisson.rows()));
                (matrix, poisson.rows(), poisson.nonzeros())
            }
            (None, None) => return Err(Error::Input("give a matrix file or --pde N".into())),
        };
        if ranks > rows as usize {
            let name = args.matrix.as_ref().map_or_else(|| "--pde".into(), |path| path.display().to_string());
            return Err(Error::Input(format!(
                "{name}: {ranks} ranks are more than the {rows} rows of the matrix; give -n {rows} at most"
            )));
        }

        let order = match (args.order, &matrix) {
            (Order::Rcm, Some(matrix)) => Some(reverse_cuthill_mckee(matrix)),
            _ => None,
        };
        let (split, order) = match &args.partition {
            Some(path) => {
                let parts = read_parts(open(path)?, rows, "row", ranks).map_err(|error| Error::text(path, error))?;
                let (split, order) = Split::by_parts(&parts, ranks, order);
                (split, Some(order))
            }
            None => (Split::balanced(rows, ranks), order),
        };
        let warning = matrix.as_ref().filter(|matrix| args.solver == crate::args::Solver::Cg && !matrix.is_symmetric());
        let warning = warning.map(|_| {
            "the matrix is not symmetric, which conjugate gradients need; --solver bicgstab does not".to_owned()
        });
        let mut rhs = args.rhs.as_ref().map(|path| read_rhs(path, rows, args.columns)).transpose()?;
        let mut matrix = matrix;
        if let Some(order) = &order {
            matrix = matrix.map(|matrix| matrix.permuted(order));
            let row = |rhs: &[f64], row: u32| rhs[row as usize * args.columns..][..args.columns].to_vec();
            rhs = rhs.map(|rhs| order.iter().flat_map(|&old| row(&rhs, old)).collect());
        }
        Ok(Self { split, nonzeros, matrix, rhs, order, warning })
    }
}

/// The number of rows, as far as it is known before a matrix is read; a pipe can be read only once.
pub(super) fn rows_announced(args: &SolveArgs) -> Option<u32> {
    match &args.matrix {
        Some(path) if path.is_file() => market::rows(open(path).ok()?).ok(),
        Some(_) => None,
        None => Some(Poisson::new(args.pde?)?.rows()),
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|error| Error::io(path, "read", &error))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn read_matrix(path: &Path) -> Result<Csr> {
    let coordinate = market::read(open(path)?).map_err(|error| Error::text(path, error))?;
    Csr::assemble(&coordinate).map_err(|unsuitable| match unsuitable {
        Unsuitable::NotSquare { .. } | Unsuitable::Empty => {
            Error::Line { path: path.to_owned(), line: coordinate.size_line, reason: unsuitable.to_string() }
        }
        _ => Error::file(path, unsuitable),
    })
}

/// Reads b, the columns of a row side by side: a Matrix Market array, or plain numbers, one row a line, with `%` or `#`
/// before comments.
fn read_rhs(path: &Path, rows: u32, columns: usize) -> Result<Vec<f64>> {
    let mut reader = open(path)?;
    let start = reader.fill_buf().map_err(|error| Error::io(path, "read", &error))?;
    let values = if market::has_banner(start) {
        let by_columns = market::read_vectors(reader, columns).map_err(|error| Error::text(path, error))?;
        let rows = by_columns.len() / columns;
        (0..by_columns.len()).map(|at| by_columns[at % columns * rows + at / columns]).collect()
    } else {
        read_rows(reader, rows, columns).map_err(|error| Error::text(path, error))?
    };
    if values.len() != rows as usize * columns {
        let each = if columns == 1 { String::new() } else { format!(" and --columns asks for {columns}") };
        return Err(Error::file(path, format!("{} values, but the matrix has {rows} rows{each}", values.len())));
    }
    Ok(values)
}

/// Rows of so many numbers, one a line; fewer rows than the matrix has are the caller's to find.
fn read_rows(reader: impl BufRead, rows: u32, columns: usize) -> Result<Vec<f64>, TextError> {
    let mut lines = Lines::new(reader, b"%#").of_numbers(columns);
    let mut values = Vec::new();
    while let Some(line) = lines.next_with_content()? {
        let before = values.len();
        if columns == 1 {
            values.push(line.only_number("value")?);
        } else {
            for word in line.words() {
                values.push(finite(word).map_err(|reason| line.wrong(reason))?);
            }
        }
        let read = values.len() - before;
        if read != columns {
            return Err(line.wrong(format!("{}, where --columns asks for {columns}", counted(read as u64, "number"))));
        }
        if values.len() > rows as usize * columns {
            return Err(line.wrong(format!("more values than the {rows} rows of the matrix")));
        }
    }
    Ok(values)
}

fn block_sizes(split: &Split) -> Vec<usize> {
    split.starts.windows(2).map(|bounds| (bounds[1] - bounds[0]) as usize).collect()
}

/// Hands each rank its rows; rank 0 passes the matrix, whose rows are in the split's numbering. Collective.
fn scatter_rows(world: &Communicator, whole: Option<(&Split, &Csr)>) -> Result<Csr> {
    let sizes = whole.map(|(split, _)| block_sizes(split));
    let entries: Option<Vec<usize>> = whole.map(|(split, matrix)| {
        let bounds = split.starts.windows(2);
        bounds.map(|bounds| matrix.starts[bounds[1] as usize] - matrix.starts[bounds[0] as usize]).collect()
    });
    let lengths: Option<Vec<u32>> =
        whole.map(|(_, matrix)| matrix.starts.windows(2).map(|bounds| (bounds[1] - bounds[0]) as u32).collect());
    let lengths = world.scatterv(lengths.as_deref().zip(sizes.as_deref()), 0)?;
    let columns = world.scatterv(whole.map(|(_, matrix)| &matrix.columns[..]).zip(entries.as_deref()), 0)?;
    let values = world.scatterv(whole.map(|(_, matrix)| &matrix.values[..]).zip(entries.as_deref()), 0)?;
    let mut starts = Vec::with_capacity(lengths.len() + 1);
    starts.push(0);
    let mut end = 0;
    for length in lengths {
        end += length as usize;
        starts.push(end);
    }
    Ok(Csr { starts, columns, values })
}
