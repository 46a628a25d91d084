//! Distributed arrays and halo exchange: write numerical code once; run it as threads in one process or under any MPI
//! library, chosen when the program starts.
//!
//! Today this is the communication layer, [`parhelion_comm`], under the names that programs import.

pub use parhelion_comm::*;

/// What most programs need: `use parhelion::prelude::*;`.
pub mod prelude {
    pub use parhelion_comm::{
        Any, Communicator, Complex, Config, Element, Error, ErrorKind, Located, Op, Request, Result, Status, run,
        wait_all, wait_any,
    };
}
