//! Vectors over index lists: what sparse solvers and finite elements distribute.
//!
//! A **descriptor** ([`Descriptor`]) says which global indices this rank *owns* and of which others it has copies, its
//! *halo*; it numbers both locally, owned first, and has the [plan](crate::halo::Plan) that fills the halo. A vector
//! ([`DistVector`]) has one element for each local index, a multivector ([`DistMultiVector`]) several, and a sparse matrix
//! ([`DistMatrix`]) multiplies both. Exchanges, schemes and the split phase are those of [`halo`](crate::halo): an index
//! list is one more way to make a plan.
//!
//! A descriptor is made in three steps, each a type: the [`Builder`] takes the ownership, the [`Pattern`] what is needed
//! beside it, and [`Pattern::assemble`] finds the owners. A [`Partition`] says who is to own what. The descriptor keeps its
//! edges ([`Adjacency`]), along which it grows by layers ([`Descriptor::extend`]) to points that several ranks own; under
//! another ownership ([`Descriptor::rebuild`]), vectors follow by a [`Migration`]. Which elements an exchange carries is said
//! by a [`List`].
//!
//! ```
//! use parhelion::prelude::*;
//!
//! parhelion::run(|world| {
//!     // A sparse matrix by rows: the second difference on a line, ten rows for each rank.
//!     let (start, n) = (10 * world.rank() as u64, 10 * world.size() as u64);
//!     let rows = start..start + 10;
//!     let pattern = rows.clone().flat_map(|i| [(i, i.saturating_sub(1)), (i, (i + 1).min(n - 1))]);
//!
//!     let index = Descriptor::builder(&world).owned(rows).edges(pattern).assemble()?;
//!     let mut x = DistVector::<f64>::from_fn(&index, |i| i as f64);
//!     x.exchange()?; // halo := owners' values
//!     for local in 0..index.len() {
//!         assert_eq!(x.local()[local], index.global(local).unwrap() as f64);
//!     }
//!     x.exchange_adjoint(Op::Sum)?; // owners += halo copies, the transpose
//!     x.update_overlap(OverlapUpdate::Average)?; // shared points agree; here none are shared
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion::Error>(())
//! ```

mod adjacency;
mod arithmetic;
mod assembly;
mod builder;
mod connect;
mod descriptor;
mod directory;
mod exchange;
mod extend;
mod list;
mod matrix;
mod migration;
mod movement;
mod multivector;
mod numbering;
mod overlap;
mod partition;
mod rebuild;
mod rows;
mod statistics;
mod vector;

pub use crate::halo::Order;
pub use adjacency::{Adjacency, Row};
pub use builder::{Builder, Coverage, Pattern};
pub use descriptor::Descriptor;
pub use list::{List, OnList, Readable};
pub use matrix::{DistMatrix, Operand};
pub use migration::{Migrant, Migrating, Migration};
pub use multivector::DistMultiVector;
pub use overlap::{OverlapInFlight, OverlapUpdate};
pub use partition::{Graph, Partition};
pub use statistics::Statistics;
pub use vector::DistVector;
