#![doc = include_str!("../../../README.md")]

pub mod array;
pub mod halo;
pub mod index;

pub use parhelion_comm::*;

/// What most programs need: `use parhelion::prelude::*;`.
pub mod prelude {
    pub use crate::array::{Decomposition, DistArray, Distribution, IndexSpace, RegionsMut, View, ViewMut};
    pub use crate::halo::{InFlight, Packing, Scheme};
    pub use crate::index::{
        Descriptor, DistMatrix, DistMultiVector, DistVector, List, Migration, Order, OverlapUpdate, Partition,
    };
    pub use parhelion_comm::{
        Any, Communicator, Complex, Config, Element, Error, ErrorKind, Located, Op, Request, Result, Status, run,
        wait_all, wait_any,
    };
}
