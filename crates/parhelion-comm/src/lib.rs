//! Ranks that talk: communicators over threads, over sockets or over any MPI library, chosen when the program starts.
//!
//! ```
//! use parhelion_comm::{Any, Op};
//!
//! parhelion_comm::run(|world| {
//!     // Every rank greets rank 0, which takes the greetings as they come.
//!     if world.rank() > 0 {
//!         world.send(&[world.rank() as u64], 0, 7)?;
//!     } else {
//!         let mut from = [0u64];
//!         for _ in 1..world.size() {
//!             let status = world.recv(&mut from, Any, 7)?;
//!             assert_eq!(from[0] as usize, status.source);
//!         }
//!     }
//!     assert_eq!(world.all_reduce(&[1.0f64], Op::Sum)?, [world.size() as f64]);
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```
//!
//! # The house
//!
//! - [`run`](mod@run): starting; the choice of a backend. [`config`]: every setting.
//! - [`communicator`]: point-to-point, probe, and the making of communicators.
//! - [`collective`]: the collectives, blocking and not.
//! - [`request`], [`scope`]: non-blocking operations that own or borrow their buffers.
//! - [`memory`], [`signals`]: storage that ranks of one node can read directly, and words that say when.
//! - [`element`], [`op`], [`status`], [`route`], [`error`]: what is sent, combined, known, what carries it, and what can fail.
//! - [`layout`]: where the elements of a message lie in a buffer, and copies between such places.
//! - [`message_set`]: fixed sets of messages, carried out again and again.
//! - [`window`]: elements of every rank that all ranks reach in epochs: put, get, accumulate, locks.
//! - `conformance`: the suite that every backend passes; only with the cargo feature `conformance`, as it takes longer
//!   to compile than all the rest.
//! - `backend`: the contract of a backend, and the backends.

mod backend;
pub mod collective;
pub mod communicator;
pub mod config;
// The unit tests call none of it, and would compile it a second time.
#[cfg(all(feature = "conformance", not(test)))]
pub mod conformance;
pub mod element;
pub mod error;
pub mod layout;
pub mod memory;
pub mod message_set;
pub mod op;
pub mod request;
pub mod route;
pub mod run;
pub mod scope;
pub mod signals;
pub mod status;
pub mod window;

pub use backend::mpi::{MpiInfo, mpi_info};
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub use backend::tcp::fuzz;
pub use backend::{Availability, registry};
pub use communicator::{Communicator, Message};
pub use config::{BackendKind, Config, ThreadLevel};
pub use element::{Element, ElementType, Located};
pub use error::{Error, ErrorKind, Result};
pub use half::{bf16, f16};
pub use layout::Layout;
pub use memory::{Memory, PeerMemory};
pub use message_set::{MessageSet, Method};
pub use num_complex::Complex;
pub use op::{Kernel, Op, Reduction};
pub use request::{Request, wait_all, wait_any};
pub use route::Route;
pub use run::{launch, run};
pub use scope::{Scope, ScopedRequest};
pub use signals::Signals;
pub use status::{Any, Source, Status, TagSelector};
pub use window::{Lock, Window};
