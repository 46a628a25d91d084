//! Boxes of a global grid and what is stored on them.
//!
//! An *index space* is an n-dimensional box of signed global indices, half-open, in C order; it can be empty. All
//! geometry lives there: intersections, halos, faces, splits. A *distribution* is a rule from the indices of one axis to
//! the parts it is cut into. A *decomposition* is an index space over a process grid: a distribution per axis, halo
//! widths and periodicity; it knows what every rank owns, and whose cells every halo copies. A *view* is an index space
//! inside a parent index space over a buffer: it reads, or writes, exactly its own cells. A *distributed array* is
//! storage under a decomposition: each rank has its owned cells and a halo around them, and together they gather,
//! redistribute, reduce, scan and sort.
//!
//! ```
//! use parhelion::array::IndexSpace;
//!
//! let block = IndexSpace::from([8..16, 0..8]);
//! let halo = block.grow(1).subtract(&block);
//! assert_eq!(halo.iter().map(|part| part.len()).sum::<usize>(), 10 * 10 - 8 * 8);
//! // The face towards larger indices of axis 0: what this block shows to its neighbour there.
//! assert_eq!(block.region([1, 0], [[1, 1]; 2]), IndexSpace::from([15..16, 0..8]));
//! ```

mod combine;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod decomposition;
pub mod dist_array;
pub mod distribution;
pub(crate) mod fold;
pub mod histogram;
pub mod index_space;
mod local;
mod movement;
pub mod number;
mod place;
mod reduce;
mod scan;
pub mod sort;
pub(crate) mod sums;
mod transfer;
pub mod view;
mod windows;

pub use decomposition::{Decomposition, HaloPiece};
pub use dist_array::DistArray;
pub use distribution::{AxisMap, AxisRun, Distribution};
pub use histogram::Histogram;
pub use index_space::IndexSpace;
pub use number::Number;
pub use sort::TotalOrder;
pub use view::{RegionsMut, View, ViewMut};
