//! Halo exchange: who needs whose cells, and getting them there.
//!
//! - A **plan** ([`Plan`]) says who sends which layout to whom. It is an immutable value with no buffers: it can be
//!   printed, compared, verified and drawn without moving a byte.
//! - A **patch** ([`Patch`]) is one buffer of one rank: cells the rank owns, and halo cells that are copies of cells
//!   others own. A distributed array has one patch per rank; a rank may have several patches, or none.
//! - A **piece** ([`Piece`]) is one region that goes from one patch to another. All pieces for one peer form one
//!   **transfer** ([`Transfer`]), which is one message; pieces between patches of one rank are **local copies**
//!   ([`LocalCopy`]) and never become messages.

mod cells;
mod matching;
mod patches;
mod plan;
mod rounds;
mod structured;
mod verify;

pub use cells::Cells;
pub use patches::{Patches, Publication, Request};
pub use plan::{BuildCost, LocalCopy, Patch, Piece, Plan, Region, Transfer};
