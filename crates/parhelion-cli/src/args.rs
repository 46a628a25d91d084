//! What can be said on the command line.

mod run;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use parhelion::halo::Settings;
use parhelion::{BackendKind, Config, ThreadLevel};

use crate::error::{Error, Result};
use crate::matrix::poisson;
pub(crate) use run::{Bind, RunArgs};

/// Ranks that talk: as threads or processes with nothing installed, or under any MPI library.
#[derive(Debug, Parser)]
#[command(name = "parhelion", version, about, max_term_width = 100)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Solve a sparse linear system A x = b
    Solve(SolveArgs),
    /// Say who would send what to whom for a sparse matrix, a graph or a grid
    Plan(PlanArgs),
    /// Let heat spread on a grid or in a picture, by stencil and halo exchange
    Heat(HeatArgs),
    /// Say which backends can be used here, and why not
    Info(InfoArgs),
    /// Measure an operation
    Bench(BenchArgs),
    /// Start a program as several processes that talk without MPI
    Run(RunArgs),
}

impl Action {
    /// How many ranks it has, where it has any of its own.
    pub(crate) fn ranks(&self) -> Option<&RankArgs> {
        match self {
            Action::Solve(args) => Some(&args.ranks),
            Action::Plan(args) => Some(&args.ranks),
            Action::Heat(args) => Some(&args.ranks),
            Action::Bench(args) => Some(&args.ranks),
            Action::Info(args) => args.is_of_routes().then_some(&args.ranks),
            Action::Run(_) => None,
        }
    }
}

/// How many ranks, and what carries their messages.
#[derive(Clone, Debug, Args)]
pub(crate) struct RankArgs {
    /// Number of ranks: threads, with tcp processes, or under an MPI launcher the world's size [default: the cores]
    #[arg(short = 'n', long, value_name = "N", value_parser = number_of_ranks, allow_negative_numbers = true)]
    pub(crate) ranks: Option<NonZeroUsize>,
    /// What carries the messages [default: mpi under an MPI launcher, tcp under 'parhelion run', else local]
    #[arg(long, value_name = "BACKEND", value_parser = ["local", "mpi", "tcp"])]
    pub(crate) backend: Option<String>,
}

impl RankArgs {
    /// Whether the ranks are processes that nobody has started yet: those of the tcp backend without a launcher.
    pub(crate) fn are_to_be_started(&self, launcher: &mpi_abi::Launcher) -> bool {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let backend = self.backend.clone().or_else(|| set("PARHELION_BACKEND"));
        backend.as_deref() == Some("tcp") && set("PARHELION_RANK").is_none() && launcher.rank.is_none()
    }

    /// The number of ranks that was asked for, here or in the environment.
    pub(crate) fn number(&self) -> Option<NonZeroUsize> {
        self.ranks.or_else(|| std::env::var("PARHELION_RANKS").ok()?.parse().ok())
    }

    /// The environment's settings with those of the command line over them.
    ///
    /// # Errors
    /// Settings that cannot be read, a backend that cannot be used, a number of ranks that the launcher contradicts.
    pub(crate) fn config(&self, launcher: &mpi_abi::Launcher) -> Result<Config> {
        let mut config = Config::from_env()?;
        if std::env::var_os("PARHELION_THREAD_LEVEL").is_none() {
            // No rank of this command has other threads; Open MPI 4.1.8 takes 0.1 to 0.25 µs a call more for the
            // mere possibility (docs/performance.md).
            config = config.thread_level(ThreadLevel::Single);
        }
        if let Some(backend) = &self.backend {
            config = config.backend(backend.parse().map_err(Error::Input)?);
        }
        let kind = parhelion::run::choose(&config)?;
        if let Some(ranks) = self.ranks.map(NonZeroUsize::get) {
            check_ranks(ranks, kind, launcher)?;
            config = config.ranks(ranks);
        }
        Ok(config)
    }
}

/// Whether `-n ranks` agrees with what started this process.
fn check_ranks(ranks: usize, kind: BackendKind, launcher: &mpi_abi::Launcher) -> Result<()> {
    match (kind, launcher.size) {
        (BackendKind::Mpi, Some(size)) if size != ranks => Err(Error::Input(format!(
            "-n {ranks} contradicts {launcher}, which started {size}; leave -n away or give {size}"
        ))),
        (BackendKind::Mpi, None) if ranks != 1 => Err(Error::Input(format!(
            "-n {ranks} with the mpi backend needs an MPI launcher: 'mpiexec -n {ranks} parhelion ...'"
        ))),
        _ => Ok(()),
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit code: 0 converged, 1 not converged, 2 an error (one line on stderr says which).\n\
                        Without -n there are no more ranks than rows.\n\
                        Without --rhs the first column's solution is all ones, those of the others are known numbers.\n\
                        In JSON, seconds are the slowest rank's, and error_max is the largest distance from the \
                        solution, null with --rhs; of several columns the numbers are the worst, and each column's \
                        are in a list.")]
pub(crate) struct SolveArgs {
    /// Matrix in Matrix Market form (coordinate; real, integer, pattern; general, symmetric, skew-symmetric)
    #[arg(value_name = "MATRIX.mtx", required_unless_present = "pde", conflicts_with = "pde")]
    pub(crate) matrix: Option<PathBuf>,
    /// Use the 7-point Poisson operator on N x N x N cells instead of a file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(poisson::LARGEST)))]
    pub(crate) pde: Option<u32>,
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
    /// Iteration: cg for symmetric positive definite matrices, bicgstab for the others
    #[arg(long, value_enum, default_value_t = Solver::Cg)]
    pub(crate) solver: Solver,
    /// Stop when |b - A x| <= TOLERANCE |b|
    #[arg(long, default_value = "1e-8", value_parser = tolerance)]
    pub(crate) tolerance: f64,
    /// Stop after so many iterations [default: 10 per row, at least 1000]
    #[arg(long, value_name = "N")]
    pub(crate) max_iterations: Option<u64>,
    /// Order of the rows before they are split into blocks
    #[arg(long, value_enum, default_value_t = Order::Natural)]
    pub(crate) order: Order,
    /// Which rank owns which row: one part number a line, from 0, instead of balanced blocks
    #[arg(long, value_name = "FILE")]
    pub(crate) partition: Option<PathBuf>,
    /// Right-hand side: one number a line, or a Matrix Market array [default: A times ones]; of several columns, as many
    /// numbers a line, or an array of as many columns
    #[arg(long, value_name = "FILE")]
    pub(crate) rhs: Option<PathBuf>,
    /// Solve for so many right-hand sides at once, each with an iteration of its own
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = columns)]
    pub(crate) columns: usize,
    /// How halos are exchanged: p2p, persistent, neighbor, persistent-neighbor, rma-pull, rma-push, shared or auto, with
    /// +datatype for derived datatypes instead of packing [default: PARHELION_SCHEME, else shared]
    #[arg(long, value_name = "SCHEME", value_parser = str::parse::<Settings>)]
    pub(crate) scheme: Option<Settings>,
    /// Whether rows that need no halo are multiplied while it is on its way
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) overlap: Switch,
    /// Write x, one row a line
    #[arg(long, value_name = "FILE")]
    pub(crate) solution: Option<PathBuf>,
    /// Draw the residuals, and who sends how much to whom
    #[arg(long, value_name = "FILE.png", value_parser = named("png"))]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Bytes are for elements of 8 bytes. Neighbours are the ranks that one sends to or receives from; runs are \
                        of consecutive elements among what is sent, which are copied as blocks."
)]
pub(crate) struct PlanArgs {
    /// Matrix in Matrix Market form, or with the ending .graph a graph in the form of METIS
    #[arg(value_name = "MATRIX.mtx|GRAPH.graph", required_unless_present = "pde", conflicts_with = "pde")]
    pub(crate) input: Option<PathBuf>,
    /// Use the 7-point operator on N x N x N points instead of a file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LARGEST_PLANNED))]
    pub(crate) pde: Option<u32>,
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
    /// Which rank owns which index: slab (consecutive ones), random, rcb (halving space again and again), graph (a graph
    /// partitioner), or a file with one part number a line, from 0
    #[arg(long, value_name = "PARTITION", default_value = "slab")]
    pub(crate) partition: Partitioning,
    /// For random: another number, another partition [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// For rcb: where each index is, two or three numbers a line; not needed for --pde
    #[arg(long, value_name = "FILE")]
    pub(crate) coordinates: Option<PathBuf>,
    /// Draw who sends how much to whom
    #[arg(long, value_name = "FILE.svg", value_parser = named("svg"))]
    pub(crate) draw: Option<PathBuf>,
    /// Add each rank's plan in words
    #[arg(long)]
    pub(crate) explain: bool,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

impl PlanArgs {
    /// The first option that was given and is not for the partition.
    pub(crate) fn misplaced(&self) -> Option<&'static str> {
        let given = [
            ("--seed", self.seed.is_some(), self.partition == Partitioning::Random),
            ("--coordinates", self.coordinates.is_some(), self.partition == Partitioning::Rcb),
        ];
        given.into_iter().find(|(_, given, fits)| *given && !fits).map(|(name, ..)| name)
    }
}

/// The longest edge of a grid that is planned: every rank holds the whole partition.
const LARGEST_PLANNED: i64 = 512;

/// Who decides which rank owns what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Partitioning {
    Slab,
    Random,
    Rcb,
    Graph,
    File(PathBuf),
}

impl From<&str> for Partitioning {
    fn from(text: &str) -> Self {
        match text {
            "slab" => Self::Slab,
            "random" => Self::Random,
            "rcb" => Self::Rcb,
            "graph" => Self::Graph,
            path => Self::File(path.into()),
        }
    }
}

impl fmt::Display for Partitioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slab => f.write_str("slab"),
            Self::Random => f.write_str("random"),
            Self::Rcb => f.write_str("rcb"),
            Self::Graph => f.write_str("graph"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "The grid is periodic. Without a picture the start is a sum of products of sines, and the result is \
                        compared with the exact solution. Every result is the same to the last bit for any number of \
                        ranks, backend and scheme; the checksum shows it.\n\
                        In JSON, seconds are the slowest rank's."
)]
pub(crate) struct HeatArgs {
    /// Cells along each axis: two or three numbers
    #[arg(long, value_name = "NxN[xN]", default_value = "512x512", value_parser = Size::parse)]
    pub(crate) size: Size,
    /// Steps in time
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) steps: u64,
    /// Start from a picture, grey or in colours, instead of sines
    #[arg(long, value_name = "FILE.png", conflicts_with_all = ["size", "convergence"])]
    pub(crate) image: Option<PathBuf>,
    /// Write PREFIX-before.png and PREFIX-after.png (of a cube, the middle plane)
    #[arg(long, value_name = "PREFIX", default_value = "heat")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
    /// How halos are exchanged: p2p, persistent, neighbor, persistent-neighbor, rma-pull, rma-push, shared or auto, with
    /// +datatype for derived datatypes instead of packing [default: PARHELION_SCHEME, else shared]
    #[arg(long, value_name = "SCHEME", value_parser = str::parse::<Settings>)]
    pub(crate) scheme: Option<Settings>,
    /// Whether the interior is updated while halos are on their way
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) overlap: Switch,
    /// Print the error at a quarter, a half and all of the size at one time, instead of one run
    #[arg(long)]
    pub(crate) convergence: bool,
    /// Print one JSON object instead of the summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// Cells along each axis.
#[derive(Clone, Debug)]
pub(crate) struct Size(pub(crate) Vec<usize>);

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        let axes: Result<Vec<usize>, _> = text.split(['x', 'X']).map(str::parse).collect();
        let axes = axes.map_err(|_| "give whole numbers with an x between them, as 512x512".to_owned())?;
        let cells = axes.iter().try_fold(1usize, |cells, &n| cells.checked_mul(n));
        match cells.and_then(|cells| cells.checked_mul(size_of::<f64>())) {
            _ if axes.len() != 2 && axes.len() != 3 => Err("give two or three numbers, as 512x512 or 64x64x64".into()),
            _ if axes.contains(&0) => Err("an axis without cells holds no heat".into()),
            Some(bytes) if bytes <= isize::MAX as usize => Ok(Self(axes)),
            _ => Err("more cells than there are addresses".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Solver {
    /// Conjugate gradients
    Cg,
    /// Stabilised bi-conjugate gradients
    Bicgstab,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Order {
    /// As the file has them
    Natural,
    /// Reverse Cuthill-McKee: neighbours close together
    Rcm,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("give a number between 0 and 1".into()),
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "With -n or --backend: what carries the messages of each rank to each other one.")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print which algorithms carry out collectives that no library does
    #[arg(long)]
    pub(crate) collectives: bool,
    /// Initialise the MPI library and print what is known only then; `info` asks this of a child process
    #[arg(long, hide = true)]
    pub(crate) initialize: bool,
}

impl InfoArgs {
    /// Whether it is asked how ranks talk, for which there must be some.
    pub(crate) fn is_of_routes(&self) -> bool {
        self.ranks.ranks.is_some() || self.ranks.backend.is_some()
    }
}

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Environment: B_TARGET_S (seconds of one sample, 0.005), B_SAMPLES (31), B_TOUCH_S (seconds of \
                        a touch case, 0.3), B_TAG (the cfg of the JSON lines)."
)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub(crate) operation: Operation,
    #[command(flatten)]
    pub(crate) ranks: RankArgs,
    /// Print one JSON object a line, as the C peers do
    #[arg(long)]
    pub(crate) json: bool,
    /// Bind each rank to a core of its own
    #[arg(long)]
    pub(crate) pin: bool,
    /// Halo and sparse: points along each edge of the grid, for halo of a rank's block [default: 32, sparse: 64]
    #[arg(long, value_name = "N", value_parser = length)]
    pub(crate) size: Option<usize>,
    /// Halo and sparse: schemes as for 'heat', with commas between them [default: all]
    #[arg(long, value_name = "SCHEMES", value_delimiter = ',', value_parser = str::parse::<Settings>)]
    pub(crate) scheme: Option<Vec<Settings>>,
    #[command(flatten)]
    pub(crate) halo: HaloArgs,
    #[command(flatten)]
    pub(crate) sparse: SparseArgs,
}

impl BenchArgs {
    /// The first option that was given and is not for the operation.
    pub(crate) fn misplaced(&self) -> Option<&'static str> {
        let (halo, sparse) = (self.operation == Operation::Halo, self.operation == Operation::Sparse);
        let given = [
            ("--size", self.size.is_some(), halo || sparse),
            ("--scheme", self.scheme.is_some(), halo || sparse),
            ("--width", self.halo.width.is_some(), halo),
            ("--fields", self.halo.fields.is_some(), halo),
            ("--directions", self.halo.directions.is_some(), halo),
            ("--grid", self.halo.grid.is_some(), halo),
            ("--partition", self.sparse.partition.is_some(), sparse),
            ("--assembly", self.sparse.assembly, sparse),
            ("--per-rank", self.sparse.per_rank, sparse),
        ];
        given.into_iter().find(|(_, given, fits)| *given && !fits).map(|(name, ..)| name)
    }
}

/// What `bench halo` measures: one cubic block of f64 for each rank, periodic.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of halo")]
pub(crate) struct HaloArgs {
    /// Layers of the halo [default: 1]
    #[arg(long, value_name = "N", value_parser = length)]
    pub(crate) width: Option<usize>,
    /// Arrays exchanged together [default: 1]
    #[arg(long, value_name = "N", value_parser = length)]
    pub(crate) fields: Option<usize>,
    /// 6: faces; 26: edges and corners too [default: 6]
    #[arg(long, value_name = "6|26", value_parser = directions)]
    pub(crate) directions: Option<usize>,
    /// Ranks along each axis [default: all along the first]
    #[arg(long, value_name = "NxNxN", value_parser = process_grid)]
    pub(crate) grid: Option<[usize; 3]>,
}

/// What `bench sparse` measures: a vector of f64 over the rows of the 7-point matrix of a cubic grid.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of sparse")]
pub(crate) struct SparseArgs {
    /// Which rank owns which point [default: slab]
    #[arg(long, value_enum)]
    pub(crate) partition: Option<GridPartition>,
    /// Measure how long a descriptor takes to assemble, instead of its exchanges
    #[arg(long, conflicts_with = "scheme")]
    pub(crate) assembly: bool,
    /// So many points for each rank: the grid is as many times longer along its slowest axis as there are ranks
    #[arg(long)]
    pub(crate) per_rank: bool,
}

/// Who owns the points of a grid, as the peer `halo_sparse` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum GridPartition {
    /// Equal ranges along the slowest axis
    #[default]
    Slab,
    /// Each point at a rank drawn from a fixed hash
    Random,
}

/// As many ranks as a job can have.
fn number_of_ranks(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|n: &NonZeroUsize| n.get() <= u32::MAX as usize);
    number.ok_or_else(|| "give the number of ranks, 1 or more, or leave -n away".into())
}

/// A file to be written in the one form that has this ending: a name may have no ending, as that of a pipe, but no other.
fn named(ending: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |path| match path.extension() {
        Some(other) if !other.eq_ignore_ascii_case(ending) => {
            Err(format!("it is written as {}; give a name that ends in .{ending}", ending.to_uppercase()))
        }
        _ => Ok(path),
    })
}

fn columns(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("give a number from 1 to 1024".into()),
    }
}

fn length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=100_000) => Ok(n),
        _ => Err("give a number from 1 to 100000".into()),
    }
}

fn directions(text: &str) -> Result<usize, String> {
    match text {
        "6" => Ok(6),
        "26" => Ok(26),
        _ => Err("give 6 or 26".into()),
    }
}

fn process_grid(text: &str) -> Result<[usize; 3], String> {
    let axes: Result<Vec<usize>, String> = text.split(['x', 'X']).map(length).collect();
    axes?.try_into().map_err(|_| "give three numbers, as 2x1x1".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Operation {
    /// Half a round trip between ranks 0 and 1
    Pingpong,
    /// Both ways at once between neighbours
    Exchange,
    /// Sum of f64 at every rank
    Allreduce,
    /// From a root that changes
    Broadcast,
    /// One block from every rank at every rank
    Allgather,
    /// Sum of f64, one block for each rank
    #[value(name = "reducescatter")]
    ReduceScatter,
    /// Nothing but waiting for each other
    Barrier,
    /// The halo of a block of cells, by every scheme
    Halo,
    /// The halo of an index list, by every scheme
    Sparse,
}

impl Operation {
    /// As it is typed.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("no operation is hidden").get_name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn one_of_matrix_and_pde_is_needed() {
        let parse = |line: &str| Command::try_parse_from(line.split(' '));
        assert!(parse("parhelion solve a.mtx").is_ok());
        assert!(parse("parhelion solve --pde 8 -n 2").is_ok());
        for line in [
            "solve",
            "solve a.mtx --pde 8",
            "solve --pde 0",
            "solve --pde 1626",
            "solve a.mtx -n 0",
            "solve a.mtx --tolerance nan",
            "solve a.mtx --backend smoke",
            "solve a.mtx --columns 0",
            "solve a.mtx --columns 1025",
            "solve a.mtx --scheme pigeon",
            "solve a.mtx --overlap maybe",
            "bench waltz",
        ] {
            assert!(parse(&format!("parhelion {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn the_number_of_ranks_must_be_the_launchers() {
        let mut launcher = mpi_abi::Launcher::default();
        let refusal = |ranks, kind, launcher: &_| check_ranks(ranks, kind, launcher).unwrap_err().to_string();
        assert!(check_ranks(3, BackendKind::Local, &launcher).is_ok());
        assert!(refusal(3, BackendKind::Mpi, &launcher).contains("mpiexec -n 3"));
        launcher.size = Some(2);
        assert!(check_ranks(2, BackendKind::Mpi, &launcher).is_ok());
        assert!(refusal(3, BackendKind::Mpi, &launcher).contains("-n 3 contradicts"));
        assert!(check_ranks(3, BackendKind::Local, &launcher).is_ok());
    }
}
