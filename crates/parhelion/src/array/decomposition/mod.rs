//! A global grid cut over the ranks of a communicator: [`Decomposition`], its settings and its queries.
//!
//! Nothing here communicates. Every rank computes the geometry of any rank from the settings, which are the same on all
//! ranks; what concerns one rank and its neighbours costs the same however many ranks there are.

mod grid;
mod halo;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use parhelion_comm::{Communicator, Error, ErrorKind, Result};

use super::distribution::{AxisMap, Distribution};
use super::index_space::IndexSpace;
use crate::halo::Exchanges;
pub use halo::HaloPiece;

/// An index space over a process grid: a distribution per axis, halo widths per side, and periodicity.
///
/// The cells of [`space`](Self::space) start at index 0 along every axis, or at an [`origin`](Self::origin). Rank `r` is at the coordinates of number `r` in C order of
/// the process grid and *owns*, along every axis, what the axis's [`Distribution`] gives to its coordinate. Around its
/// block it has a *halo*: copies of cells of other ranks, of its own where the grid is periodic, and, beyond the ends of
/// an axis that is not, cells nobody owns, which exchanges leave alone.
///
/// Settings are chained after [`new`](Self::new) and never fail; what is wrong with them together is the error of
/// [`check`](Self::check), which every constructor of arrays and plans calls. A clone is cheap.
///
/// ```
/// use parhelion::array::{Decomposition, Distribution, IndexSpace};
///
/// parhelion::run(|world| {
///     let grid = Decomposition::new([100, 60], &world)?
///         .distribution([Distribution::Block, Distribution::Replicated])
///         .halo(1)
///         .periodic([true, false]);
///     grid.check()?;
///     assert_eq!(grid.process_grid(), [world.size(), 1]);
///     // The blocks of all ranks are the whole space, and each rank finds the others' without asking them.
///     let cells: usize = (0..world.size()).map(|rank| grid.local_space(rank).len()).sum();
///     assert_eq!(cells, 6000);
///     let mine = grid.local_space(world.rank());
///     assert_eq!(grid.parent_space(world.rank()), mine.grow(1));
///     assert!(mine.iter().all(|index| grid.owner(index) == world.rank()));
///     // Of the halo, the faces along axis 0 have owners, by periodicity on every rank.
///     let filled = IndexSpace::from([mine.start()[0] - 1..mine.start()[0], 0..60]);
///     assert!(grid.halo_sources(world.rank()).iter().any(|piece| piece.space == filled));
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
///
/// # Panics
/// Queries panic where [`check`](Self::check) fails, with its message, and where a rank is outside the communicator.
#[derive(Clone)]
pub struct Decomposition<const D: usize> {
    communicator: Communicator,
    inner: Arc<Inner<D>>,
}

#[derive(Clone)]
struct Inner<const D: usize> {
    settings: Settings<D>,
    /// The grid and the maps, or what is wrong with the settings; found when first asked for.
    geometry: OnceLock<Result<Geometry<D>, String>>,
    /// What its arrays share for their halo exchanges; made with the first.
    exchanges: OnceLock<Arc<Exchanges>>,
}

#[derive(Clone)]
struct Settings<const D: usize> {
    origin: [i64; D],
    shape: [usize; D],
    size: usize,
    grid: Option<[usize; D]>,
    distributions: [Distribution; D],
    widths: [[usize; 2]; D],
    periodic: [bool; D],
    edges_and_corners: bool,
}

#[derive(Clone)]
struct Geometry<const D: usize> {
    grid: [usize; D],
    axes: [AxisMap; D],
    /// At least the cells that any rank stores.
    largest: usize,
}

impl<const D: usize> Decomposition<D> {
    /// A grid of `shape` cells in blocks over all ranks of the communicator, without halo and not periodic. The process
    /// grid is chosen so that halos are smallest. Local: nothing is sent.
    ///
    /// # Errors
    /// There are more cells than an `isize` counts.
    pub fn new(shape: [usize; D], communicator: &Communicator) -> Result<Self> {
        const { assert!(D >= 1 && D <= 4, "a decomposition has 1 to 4 axes") };
        if cells(shape).is_none() {
            return Err(wrong(format!("a grid of {shape:?} has more cells than an isize counts")));
        }
        let settings = Settings {
            origin: [0; D],
            shape,
            size: communicator.size(),
            grid: None,
            distributions: std::array::from_fn(|_| Distribution::Block),
            widths: [[0; 2]; D],
            periodic: [false; D],
            edges_and_corners: false,
        };
        let inner = Arc::new(Inner { settings, geometry: OnceLock::new(), exchanges: OnceLock::new() });
        Ok(Decomposition { communicator: communicator.clone(), inner })
    }

    /// The index of the first cell; without this, 0 along every axis. It may be negative: for indices counted from a centre, or
    /// ghost cells that are part of the grid, or a part of a larger grid that keeps the indices it has there.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     // The points -50 to 50, one of which is the centre.
    ///     let grid = Decomposition::new([101], &world)?.origin([-50]).halo(1);
    ///     let x = DistArray::from_fn(&grid, |[i]| i * i)?;
    ///     assert_eq!(x.arg_min()?, Some(([0], 0)));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    pub fn origin(self, origin: [i64; D]) -> Self {
        self.set(|settings| settings.origin = origin)
    }

    /// The rule from index to rank, per axis; without this, blocks.
    pub fn distribution(self, distributions: [Distribution; D]) -> Self {
        self.set(|settings| settings.distributions = distributions)
    }

    /// The process grid: how many ranks there are along every axis. Their product is the communicator's size.
    ///
    /// Without this, of all grids the one is taken that leaves fewest ranks without cells, and of those the one whose
    /// busiest rank has the smallest halo faces.
    pub fn grid(self, grid: [usize; D]) -> Self {
        self.set(|settings| settings.grid = Some(grid))
    }

    /// A halo of `width` cells on every side.
    pub fn halo(self, width: usize) -> Self {
        self.halo_widths([[width; 2]; D])
    }

    /// A halo of `widths[a][0]` cells below and `widths[a][1]` cells above along axis `a`. It may be wider than a
    /// neighbour's block.
    pub fn halo_widths(self, widths: [[usize; 2]; D]) -> Self {
        self.set(|settings| settings.widths = widths)
    }

    /// Whether the two ends of each axis are neighbours; without this, none are.
    pub fn periodic(self, periodic: [bool; D]) -> Self {
        self.set(|settings| settings.periodic = periodic)
    }

    /// Whether exchanges fill the edges and corners of the halo too, as stencils with diagonal legs need; without this,
    /// only its faces.
    pub fn edges_and_corners(self, on: bool) -> Self {
        self.set(|settings| settings.edges_and_corners = on)
    }

    /// Whether the settings fit each other and the communicator.
    ///
    /// # Errors
    /// The process grid does not have as many ranks as the communicator or as an axis has boundaries or weights for;
    /// boundaries, weights or block sizes make no sense; an axis has a halo but no single block per rank; a block with
    /// its halo has more cells than an `isize` counts.
    pub fn check(&self) -> Result<()> {
        self.resolve().as_ref().map(|_| ()).map_err(|reason| wrong(reason.clone()))
    }

    /// The communicator whose ranks share the grid.
    pub fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// All cells.
    pub fn space(&self) -> IndexSpace<D> {
        IndexSpace::from_shape(self.shape()).translate(self.first())
    }

    /// Where they start, also if there are none.
    pub(super) fn first(&self) -> [i64; D] {
        self.inner.settings.origin
    }

    /// All cells along every axis.
    pub fn shape(&self) -> [usize; D] {
        self.inner.settings.shape
    }

    /// Ranks along every axis.
    pub fn process_grid(&self) -> [usize; D] {
        self.geometry().grid
    }

    /// The rule per axis.
    pub fn distributions(&self) -> &[Distribution; D] {
        &self.inner.settings.distributions
    }

    /// Halo cells `[below, above]` along every axis.
    pub fn widths(&self) -> [[usize; 2]; D] {
        self.inner.settings.widths
    }

    /// Whether each axis is periodic.
    pub fn periodicity(&self) -> [bool; D] {
        self.inner.settings.periodic
    }

    /// Whether exchanges fill edges and corners.
    pub fn has_edges_and_corners(&self) -> bool {
        self.inner.settings.edges_and_corners
    }

    /// Which coordinate owns which indices of an axis, and the local positions of these.
    pub fn axis(&self, axis: usize) -> &AxisMap {
        &self.geometry().axes[axis]
    }

    /// Whether every rank owns one box, as [`local_space`](Self::local_space) and halos need.
    pub fn is_contiguous(&self) -> bool {
        self.inner.settings.distributions.iter().all(Distribution::is_contiguous)
    }

    /// Where a rank is in the process grid.
    pub fn coordinates(&self, rank: usize) -> [usize; D] {
        let size = self.inner.settings.size;
        assert!(rank < size, "rank {rank} is outside the communicator (size {size})");
        let grid = self.process_grid();
        let mut rest = rank;
        let mut coordinates = [0; D];
        for a in (0..D).rev() {
            coordinates[a] = rest % grid[a];
            rest /= grid[a];
        }
        coordinates
    }

    /// The rank at coordinates of the process grid.
    ///
    /// # Panics
    /// If there are no such coordinates.
    pub fn rank_at(&self, coordinates: [usize; D]) -> usize {
        let grid = self.process_grid();
        assert!((0..D).all(|a| coordinates[a] < grid[a]), "coordinates {coordinates:?} are outside the grid {grid:?}");
        (0..D).fold(0, |rank, a| rank * grid[a] + coordinates[a])
    }

    /// The rank that owns a cell: where several do, on a replicated axis, the lowest of them.
    ///
    /// # Panics
    /// If the cell is outside [`space`](Self::space); periodic images are not looked up.
    pub fn owner(&self, index: [i64; D]) -> usize {
        let axes = &self.geometry().axes;
        self.rank_at(std::array::from_fn(|a| axes[a].owner(index[a])))
    }

    /// Whether a rank holds the first copy of its cells: every rank, but on replicated axes only coordinate 0. What is
    /// counted once over all ranks is counted where this is true.
    pub fn is_first_copy(&self, rank: usize) -> bool {
        let (axes, at) = (&self.geometry().axes, self.coordinates(rank));
        (0..D).all(|a| !axes[a].is_replicated() || at[a] == 0)
    }

    /// The cells a rank owns along every axis; several zeros where it owns nothing.
    pub fn local_shape(&self, rank: usize) -> [usize; D] {
        let (axes, at) = (&self.geometry().axes, self.coordinates(rank));
        std::array::from_fn(|a| axes[a].count(at[a]))
    }

    /// How many cells a rank owns.
    pub fn local_len(&self, rank: usize) -> usize {
        self.local_shape(rank).iter().product()
    }

    /// The box of cells a rank owns; it may be empty.
    ///
    /// # Panics
    /// If an axis is cyclic or block-cyclic: see [`is_contiguous`](Self::is_contiguous).
    pub fn local_space(&self, rank: usize) -> IndexSpace<D> {
        let (axes, at) = (&self.geometry().axes, self.coordinates(rank));
        let ranges: [_; D] = std::array::from_fn(|a| {
            assert!(
                axes[a].is_contiguous(),
                "axis {a} is {}, so the cells of a rank are no box; use axis({a}) and local_shape()",
                self.inner.settings.distributions[a]
            );
            axes[a].range(at[a])
        });
        IndexSpace::from(ranges)
    }

    /// The box of cells a rank stores: what it owns, grown by the halo; empty where it owns nothing.
    ///
    /// # Panics
    /// As [`local_space`](Self::local_space).
    pub fn parent_space(&self, rank: usize) -> IndexSpace<D> {
        self.local_space(rank).grow_by(self.widths())
    }

    /// The owned cells from which no stencil within the halo widths reaches out of the owned cells.
    ///
    /// # Panics
    /// As [`local_space`](Self::local_space).
    pub fn interior_space(&self, rank: usize) -> IndexSpace<D> {
        self.local_space(rank).shrink_by(self.widths())
    }

    /// The owned cells outside the interior, as disjoint boxes.
    ///
    /// # Panics
    /// As [`local_space`](Self::local_space).
    pub fn boundary_spaces(&self, rank: usize) -> Vec<IndexSpace<D>> {
        self.local_space(rank).subtract(&self.interior_space(rank))
    }

    /// The position of a cell among those a rank owns, per axis, or `None` where the rank does not hold it.
    #[inline]
    pub fn to_local(&self, rank: usize, index: [i64; D]) -> Option<[usize; D]> {
        let (axes, at) = (&self.geometry().axes, self.coordinates(rank));
        let mut local = [0; D];
        for a in 0..D {
            local[a] = axes[a].to_local(at[a], index[a])?;
        }
        Some(local)
    }

    /// The cell at a position among those a rank owns.
    ///
    /// # Panics
    /// If the position is outside [`local_shape`](Self::local_shape).
    #[inline]
    pub fn to_global(&self, rank: usize, local: [usize; D]) -> [i64; D] {
        let (axes, at) = (&self.geometry().axes, self.coordinates(rank));
        std::array::from_fn(|a| axes[a].to_global(at[a], local[a]))
    }

    /// Whether both cut the same space over the same process grid by the same rules, so that every rank owns the same cells;
    /// halos may differ. Different rules are different also where they happen to give the same cells, as on one rank.
    pub fn same_distribution(&self, other: &Self) -> bool {
        let (a, b) = (self.geometry(), other.geometry());
        self.shape() == other.shape() && a.grid == b.grid && a.axes == b.axes
    }

    /// A number that is equal on all ranks where the settings are, and almost surely not where they differ. Ranks
    /// compare it where checks are on.
    pub fn fingerprint(&self) -> u64 {
        let (settings, geometry) = (&self.inner.settings, self.geometry());
        let mut hasher = DefaultHasher::new();
        (settings.origin, settings.shape, geometry.grid, &geometry.axes).hash(&mut hasher);
        (settings.widths, settings.periodic, settings.edges_and_corners).hash(&mut hasher);
        hasher.finish()
    }

    fn set(mut self, change: impl FnOnce(&mut Settings<D>)) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        change(&mut inner.settings);
        (inner.geometry, inner.exchanges) = (OnceLock::new(), OnceLock::new());
        self
    }

    /// At least the cells that any rank stores, the same number on all ranks.
    pub(super) fn largest_block(&self) -> usize {
        self.geometry().largest
    }

    pub(crate) fn exchanges_cell(&self) -> &OnceLock<Arc<Exchanges>> {
        &self.inner.exchanges
    }

    fn resolve(&self) -> &Result<Geometry<D>, String> {
        self.inner.geometry.get_or_init(|| self.inner.settings.resolve())
    }

    fn geometry(&self) -> &Geometry<D> {
        self.resolve().as_ref().unwrap_or_else(|reason| panic!("{reason}"))
    }
}

impl<const D: usize> Settings<D> {
    fn resolve(&self) -> Result<Geometry<D>, String> {
        for (a, (&first, &n)) in self.origin.iter().zip(&self.shape).enumerate() {
            // Global indices of halo cells and the distances of periodic images must stay far inside i64.
            if first.unsigned_abs() > FARTHEST || n as u64 > FARTHEST {
                return Err(format!("axis {a} cannot have {n} cells from index {first} on"));
            }
        }
        for (a, distribution) in self.distributions.iter().enumerate() {
            distribution.check(self.indices(a)).map_err(|reason| format!("axis {a} ({distribution}) {reason}"))?;
            if !distribution.is_contiguous() && self.widths[a] != [0, 0] {
                return Err(format!(
                    "axis {a} is {distribution} and has a halo of {:?}; only blocks have a halo: distribute the axis in \
                     blocks, or give it no halo with halo_widths",
                    self.widths[a]
                ));
            }
        }
        let grid = self.process_grid()?;
        let axes: [_; D] = std::array::from_fn(|a| AxisMap::new(&self.distributions[a], self.indices(a), grid[a]));
        for (a, [low, high]) in self.widths.into_iter().enumerate() {
            let stored = low.checked_add(high).and_then(|w| w.checked_add(self.shape[a]));
            if stored.is_none_or(|n| n as u64 > FARTHEST) {
                return Err(format!("axis {a} of {} cells cannot have a halo of [{low}, {high}]", self.shape[a]));
            }
        }
        let largest: [_; D] = std::array::from_fn(|a| axes[a].largest() + self.widths[a][0] + self.widths[a][1]);
        if cells(largest).is_none() {
            return Err(format!("a block with its halo is up to {largest:?}: more cells than an isize counts"));
        }
        Ok(Geometry { grid, axes, largest: largest.iter().product() })
    }

    fn indices(&self, axis: usize) -> Range<i64> {
        self.origin[axis]..self.origin[axis] + self.shape[axis] as i64
    }

    fn process_grid(&self) -> Result<[usize; D], String> {
        if let Some(grid) = self.grid {
            if grid.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) != Some(self.size) {
                return Err(format!(
                    "the process grid {grid:?} does not have the communicator's {} ranks; give extents whose product is \
                     that, or none to have them chosen",
                    self.size
                ));
            }
            for (a, distribution) in self.distributions.iter().enumerate() {
                if let Some(parts) = distribution.parts().filter(|&parts| parts != grid[a]) {
                    return Err(format!(
                        "axis {a} ({distribution}) is for {parts} parts, the process grid {grid:?} has {} along it",
                        grid[a]
                    ));
                }
            }
            return Ok(grid);
        }
        let replicated = |a: usize| self.distributions[a] == Distribution::Replicated;
        let mut fixed = std::array::from_fn(|a| self.distributions[a].parts().or(replicated(a).then_some(1)));
        if (0..D).all(replicated) {
            fixed[0] = Some(self.size);
        }
        let (shape, widths, periodic) = (self.shape, self.widths, self.periodic);
        grid::Choice { size: self.size, shape, widths, periodic, fixed }.best().ok_or_else(|| {
            let axes: Vec<_> = (0..D)
                .filter_map(|a| fixed[a].map(|parts| format!("axis {a} ({}) into {parts}", self.distributions[a])))
                .collect();
            format!("no process grid of {} ranks cuts {}; give as many parts as ranks", self.size, axes.join(" and "))
        })
    }
}

impl<const D: usize> fmt::Display for Decomposition<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.inner.settings;
        let rules: Vec<_> = settings.distributions.iter().map(ToString::to_string).collect();
        write!(f, "{} ({}) over {} ranks", self.space(), rules.join(", "), settings.size)?;
        match self.resolve() {
            Ok(geometry) => write!(f, " as {:?}", geometry.grid)?,
            Err(reason) => return write!(f, ": {reason}"),
        }
        if settings.widths != [[0, 0]; D] {
            let corners = if settings.edges_and_corners { " with edges and corners" } else { "" };
            write!(f, ", halo {:?}{corners}", settings.widths)?;
        }
        if settings.periodic.contains(&true) {
            let axes: Vec<_> = (0..D).filter(|&a| settings.periodic[a]).map(|a| a.to_string()).collect();
            write!(f, ", periodic along axis {}", axes.join(" and "))?;
        }
        Ok(())
    }
}

impl<const D: usize> fmt::Debug for Decomposition<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The largest index, or number of cells along an axis with its halo, that is sure to overflow nothing.
const FARTHEST: u64 = i64::MAX as u64 / 4;

/// The number of cells of a shape, where an `isize` counts it. An axis of no cells counts as one, in whatever place: indices
/// along the others must still be indices.
fn cells<const D: usize>(shape: [usize; D]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n.max(1)));
    product.filter(|&n| n <= isize::MAX as usize)
}

#[cold]
fn wrong(reason: String) -> Error {
    Error::new("decomposition", ErrorKind::InvalidArgument(reason))
}
