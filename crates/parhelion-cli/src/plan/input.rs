//! What is to be planned: the pattern of a matrix, a graph or a grid, and which rank owns which of its indices.
//!
//! Rank 0 reads the files, decides who owns what and hands out the edges; the edges of a grid are made where they belong.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use parhelion::Communicator;
use parhelion::index::{Descriptor, Graph, Partition};

use crate::args::{Partitioning, PlanArgs};
use crate::error::{Error, Result, agree};
use crate::matrix::grid::Grid;
use crate::matrix::market;
use crate::matrix::split::read_parts;
use crate::numbers::counted;
use crate::text::{Lines, finite};

/// The pattern, at rank 0.
enum Pattern {
    Grid(Grid),
    /// With the weights it has, for the partitioner.
    Graph(Graph),
    /// The entries of a matrix.
    Entries {
        indices: u32,
        edges: Vec<(u32, u32)>,
    },
}

impl Pattern {
    fn indices(&self) -> usize {
        match self {
            Pattern::Grid(grid) => grid.points() as usize,
            Pattern::Graph(graph) => graph.len(),
            Pattern::Entries { indices, .. } => *indices as usize,
        }
    }

    fn read(args: &PlanArgs) -> Result<Self> {
        let Some(path) = &args.input else {
            let side = args.pde.ok_or_else(|| Error::Input("give a file or --pde N".into()))?;
            return Ok(Pattern::Grid(Grid::cube(side.into())));
        };
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("graph")) {
            let graph = Graph::from_metis(&text_of(path)?).map_err(|error| Error::file(path, error.kind()))?;
            u32::try_from(graph.len()).map_err(|_| Error::file(path, "more vertices than 2^32"))?;
            return Ok(Pattern::Graph(graph));
        }
        let matrix = market::read(open(path)?).map_err(|error| Error::text(path, error))?;
        if matrix.rows != matrix.columns {
            let reason = format!(
                "the matrix has {} rows and {} columns; a plan needs as many of either",
                matrix.rows, matrix.columns
            );
            return Err(Error::Line { path: path.clone(), line: matrix.size_line, reason });
        }
        let edges = matrix.entries.iter().map(|entry| (entry.row, entry.column)).collect();
        Ok(Pattern::Entries { indices: matrix.rows, edges })
    }

    /// Which rank owns which index.
    fn partition(&self, args: &PlanArgs, ranks: usize) -> Result<Partition> {
        let indices = self.indices();
        Ok(match &args.partition {
            Partitioning::Slab => Partition::slab(indices, ranks),
            Partitioning::Random => Partition::random(indices, ranks, args.seed.unwrap_or(0)),
            Partitioning::Rcb => self.bisected(args, ranks)?,
            Partitioning::Graph => self.partitioned(ranks)?,
            Partitioning::File(path) => {
                let parts = read_parts(open(path)?, indices as u32, "index", ranks)
                    .map_err(|error| Error::text(path, error))?;
                Partition::new(ranks, parts.into_iter().map(|part| part as usize).collect()).map_err(refused)?
            }
        })
    }

    fn bisected(&self, args: &PlanArgs, ranks: usize) -> Result<Partition> {
        let points: Vec<[f64; 3]> = match (self, &args.coordinates) {
            (_, Some(path)) => read_points(path, self.indices())?,
            (Pattern::Grid(grid), None) => {
                (0..grid.points()).map(|point| grid.place(point).map(|at| at as f64)).collect()
            }
            (Pattern::Graph(_) | Pattern::Entries { .. }, None) => {
                return Err(Error::Input(
                    "--partition rcb needs to know where the indices are: --coordinates FILE".into(),
                ));
            }
        };
        Partition::by_coordinates(ranks, &points, None).map_err(refused)
    }

    #[cfg(feature = "metis")]
    fn partitioned(&self, ranks: usize) -> Result<Partition> {
        let edges: Box<dyn Iterator<Item = (u64, u64)>> = match self {
            Pattern::Graph(graph) => return Partition::by_graph(ranks, graph).map_err(refused),
            Pattern::Grid(grid) => {
                Box::new((0..grid.points()).flat_map(|row| grid.columns(row).map(move |c| (row, c))))
            }
            Pattern::Entries { edges, .. } => Box::new(edges.iter().map(|&(from, to)| (from.into(), to.into()))),
        };
        let graph = Graph::from_edges(self.indices(), edges).map_err(refused)?;
        Partition::by_graph(ranks, &graph).map_err(refused)
    }

    #[cfg(not(feature = "metis"))]
    fn partitioned(&self, _ranks: usize) -> Result<Partition> {
        Err(no_partitioner())
    }

    /// The edges of each rank's indices, as pairs, one rank's after the other; and how many pairs' numbers each gets.
    fn dealt(&self, partition: &Partition) -> (Vec<u32>, Vec<usize>) {
        match self {
            Pattern::Grid(_) => (Vec::new(), vec![0; partition.parts()]),
            Pattern::Graph(graph) => {
                deal(partition, || graph.directed_edges().map(|(from, to)| (from as u32, to as u32)))
            }
            Pattern::Entries { edges, .. } => deal(partition, || edges.iter().copied()),
        }
    }
}

/// [`Pattern::dealt`], of edges that come twice.
fn deal<I: Iterator<Item = (u32, u32)>>(partition: &Partition, edges: impl Fn() -> I) -> (Vec<u32>, Vec<usize>) {
    let owner = |edge: (u32, u32)| partition.as_slice()[edge.0 as usize];
    let mut counts = vec![0; partition.parts()];
    edges().for_each(|edge| counts[owner(edge)] += 2);
    let mut next: Vec<usize> = Vec::with_capacity(counts.len());
    let mut end = 0;
    for count in &counts {
        next.push(end);
        end += count;
    }
    let mut dealt = vec![0; end];
    for edge in edges() {
        let at = &mut next[owner(edge)];
        (dealt[*at], dealt[*at + 1]) = edge;
        *at += 2;
    }
    (dealt, counts)
}

/// What the library says to rank 0 alone, as an error that all ranks hear of.
fn refused(error: parhelion::Error) -> Error {
    Error::Input(error.kind().to_string())
}

/// What `--partition graph` comes to in a program that was built without METIS.
#[cfg(any(test, not(feature = "metis")))]
fn no_partitioner() -> Error {
    Error::Input(
        "--partition graph: this program was built without a graph partitioner; build it with --features metis, or \
         give the partitioner's own output by --partition FILE"
            .into(),
    )
}

/// Reads the input at rank 0 and makes the descriptor of all ranks. Collective.
///
/// # Errors
/// Whatever is wrong with the files, at every rank; what communication meets.
pub(super) fn assemble(world: &Communicator, args: &PlanArgs) -> Result<Descriptor> {
    let read = || {
        let pattern = Pattern::read(args)?;
        let partition = pattern.partition(args, world.size())?;
        Ok(Some((pattern, partition)))
    };
    let whole = agree(world, if world.rank() == 0 { read() } else { Ok(None) })?;
    let partition = Partition::broadcast(world, whole.as_ref().map(|(_, partition)| partition), 0)?;
    let owners = Descriptor::builder(world).owners(partition.as_slice());
    if args.input.is_none()
        && let Some(side) = args.pde
    {
        let grid = Grid::cube(side.into());
        let mine = partition.as_slice().iter().enumerate().filter(|&(_, &owner)| owner == world.rank());
        let edges = mine.flat_map(|(row, _)| grid.columns(row as u64).map(move |column| (row as u64, column)));
        return Ok(owners.edges(edges).assemble()?);
    }
    let dealt = whole.map(|(pattern, partition)| pattern.dealt(&partition));
    let edges = world.scatterv(dealt.as_ref().map(|(edges, counts)| (&edges[..], &counts[..])), 0)?;
    let edges = edges.chunks_exact(2).map(|edge| (edge[0].into(), edge[1].into()));
    Ok(owners.edges(edges).assemble()?)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|error| Error::io(path, "read", &error))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn text_of(path: &Path) -> Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text).map_err(|error| Error::io(path, "read", &error))?;
    Ok(text)
}

/// Reads where the indices are: two or three numbers a line; `%` and `#` start comments.
fn read_points(path: &Path, indices: usize) -> Result<Vec<[f64; 3]>> {
    let mut lines = Lines::new(open(path)?, b"%#");
    let mut points = Vec::new();
    while let Some(line) = lines.next_with_content().map_err(|error| Error::text(path, error))? {
        let wrong = |reason: String| Error::text(path, line.wrong(reason));
        if points.len() == indices {
            return Err(wrong(format!("more points than {}", counted(indices as u64, "index"))));
        }
        let numbers: Result<Vec<f64>, String> = line.words().map(finite).collect();
        points.push(match numbers.map_err(wrong)?[..] {
            [x, y] => [x, y, 0.0],
            [x, y, z] => [x, y, z],
            ref numbers => return Err(wrong(format!("{} numbers; a point has two or three", numbers.len()))),
        });
    }
    if points.len() < indices {
        return Err(Error::file(
            path,
            format!("{}, but there are {}", counted(points.len() as u64, "point"), counted(indices as u64, "index")),
        ));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partitioner_that_was_not_built_is_named() {
        let said = no_partitioner().to_string();
        assert!(said.contains("--features metis") && said.contains("--partition FILE"), "{said}");
    }
}
