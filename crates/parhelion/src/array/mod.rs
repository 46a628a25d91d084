//! Boxes of a global grid and what is stored on them.
//!
//! An *index space* is an n-dimensional box of signed global indices, half-open, in C order; it can be empty. All
//! geometry lives there: intersections, halos, faces, splits.
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

pub mod index_space;

pub use index_space::IndexSpace;
