//! Ranks are processes under an MPI library, loaded at run time by `mpi-abi`.
//!
//! # Promises and their limits
//!
//! - **Messages** are `MPI_BYTE`, of any length ([`count`]). A truncated one is consumed; if the library does not say how
//!   long it was, the error says the least it was. Open MPI is kept from writing past a buffer that is too short ([`guard`]).
//! - **Collectives** are the library's where it does what is promised, and messages of ours elsewhere ([`collective`]).
//!   Two ranks never choose differently.
//! - **Bits.** Closures and other operators of ours are combined in rank order by one rank for all. Predefined operators
//!   are the library's.
//! - **Loss.** MPI ends the program when a process dies; that is the launcher's doing. `PeerLost` comes only from a
//!   library that reports failed processes, and from an operator that panicked on another rank. A rank that fails alone ends
//!   the program with its error ([`launch`](mod@launch)).
//! - **Timeouts** bound every wait but the making of a communicator once all ranks are there, and receiving a message that
//!   a matched probe has found.
//! - **Threads.** The level asked for, or less where the library grants less; what it forbids is an error. Handles dropped on
//!   another thread are freed by the next call of the right one ([`runtime`]).
//!
//! # The house
//!
//! [`info`]: what is there. [`launch`](mod@launch): from the start of the world to its end, and worlds that others started.
//! [`runtime`]: who may call, and what is left to do. [`comm`], [`transport`], [`request`], [`matched`], [`count`],
//! [`guard`], [`failure`]: point-to-point. [`collective`]: which way a collective goes: [`native`] with [`operator`], or a [`job`]
//! on a [`lane`] (see [`messages`](super::messages)). [`set`]: message sets. [`window`]: windows. [`attach`]: memory of peers on this node, and signals in it. [`live`]: what
//! exists.

mod attach;
mod collective;
mod comm;
mod count;
mod failure;
mod guard;
mod info;
mod job;
mod lane;
mod last_words;
mod launch;
mod live;
mod matched;
mod native;
mod operator;
mod request;
mod runtime;
mod runway;
mod set;
mod transport;
mod window;

pub use info::{MpiInfo, mpi_info};
pub(crate) use info::{availability, launcher};
pub(crate) use launch::launch;

/// What exists in this process and should not be there for ever, by kind.
#[cfg(all(feature = "conformance", not(test)))]
pub(crate) fn live_objects() -> [(&'static str, u64); 5] {
    [
        ("communicators", live::COMMUNICATORS.count()),
        ("windows", live::WINDOWS.count()),
        ("datatypes", live::DATATYPES.count()),
        ("persistent requests", live::REQUESTS.count()),
        ("operations that nobody waits for", runtime::Runtime::chores_left()),
    ]
}
