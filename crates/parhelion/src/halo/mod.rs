//! Halo exchange: who needs whose cells, and getting them there.
//!
//! - A **plan** ([`Plan`]) says who sends which layout to whom. It is an immutable value with no buffers: it can be
//!   printed, compared, verified and drawn without moving a byte.
//! - A **patch** ([`Patch`]) is one buffer of one rank: cells the rank owns, and halo cells that are copies of cells
//!   others own. A distributed array has one patch per rank; a rank may have several patches, or none.
//! - A **piece** ([`Piece`]) is one region that goes from one patch to another. All pieces for one peer form one
//!   **transfer** ([`Transfer`]), which is one message; pieces between patches of one rank are **local copies**
//!   ([`LocalCopy`]) and never become messages.

mod adjoint;
mod alike;
mod aside;
mod auto;
mod cells;
mod columns;
// The unit tests call none of it, and would compile it a second time.
#[cfg(all(feature = "conformance", not(test)))]
pub mod conformance;
mod decomposed;
mod draw;
mod exchange;
mod explain;
mod fields;
mod in_flight;
mod in_place;
mod kind;
mod leg;
mod matching;
mod packed;
mod patch_array;
mod patches;
mod plan;
mod pool;
mod rounds;
mod scheme;
mod shared;
mod slot;
mod structured;
mod svg;
mod turns;
mod verify;

pub use adjoint::{AdjointInFlight, exchange_adjoint, start_exchange_adjoint};
pub(crate) use adjoint::{exchange_adjoint_of, start_exchange_adjoint_of};
pub use auto::{Decision, Timing};
pub use cells::Cells;
pub use columns::Order;
pub(crate) use columns::{Columns, Leading};
pub use draw::Drawing;
pub use exchange::Exchange;
pub(crate) use exchange::Keep;
pub use fields::Fields;
pub(crate) use fields::sealed;
pub use in_flight::{InFlight, exchange, start_exchange};
pub use leg::{Buffer, Field, Landing};
pub(crate) use matching::mix;
pub use patch_array::{PatchArray, PatchGrid, Published};
pub use patches::{Patches, Publication, Request};
pub(crate) use plan::Parts;
pub use plan::{BuildCost, LocalCopy, Patch, Piece, Plan, Region, Transfer};
pub(crate) use pool::EachField;
pub(crate) use pool::Exchanges;
pub(crate) use rounds::Rounds;
pub use scheme::{Packing, Scheme, Settings};
