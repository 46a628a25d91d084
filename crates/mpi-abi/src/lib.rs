//! Any MPI library, loaded at run time.
//!
//! One binary that links no MPI and was built without one speaks to whichever is there when it starts: Open MPI
//! (4.1, 5.0), MPICH (3.4 to 5) and what derives from it, Intel MPI, and libraries of the standard ABI of MPI 5.
//!
//! # Words
//!
//! A *library* is a shared object that implements MPI. Its *family* is the ABI it speaks: [`Family::OpenMpi`],
//! [`Family::Mpich`], [`Family::Mpi5`]. *Handles* ([`Comm`], [`Datatype`], …) are the library's, in a Rust type of one
//! width. *Constants* are the library's numbers and predefined handles, known once it is loaded. The *launcher* is what
//! started the process (`mpiexec`).
//!
//! # Ten lines
//!
//! ```no_run
//! use mpi_abi::{Environment, Search, ThreadLevel};
//!
//! # fn main() -> Result<(), mpi_abi::Error> {
//! let (mpi, _how) = Search::of_process().open()?;
//! let environment = Environment::init(mpi, ThreadLevel::Funneled)?;
//! let (world, int, sum) = (mpi.constants().comm_world, mpi.constants().int32_t, mpi.constants().sum);
//! let (mut rank, mut total) = (0i32, 0i32);
//! // SAFETY: MPI is active, the buffers hold one int each, and every rank makes the same calls.
//! unsafe {
//!     mpi.comm_rank(world, &mut rank)?;
//!     mpi.allreduce((&raw const rank).cast(), (&raw mut total).cast(), 1, int, sum, world)?;
//! }
//! println!("{}: rank {rank}, the ranks add up to {total}", mpi.name());
//! environment.finalize()
//! # }
//! ```
//!
//! # The house
//!
//! Finding: [`find`] (which library) and [`launcher`] (who started us, and does the library belong to it). Loading:
//! [`library`] (open, family, version, abilities), [`constants`] and [`class`] (one table each, a column per family).
//! Calling: [`functions`] declares every MPI function once and makes it an `unsafe` method of [`Library`] that returns
//! `Result`; [`handles`], [`array`](mod@array) and [`status`] are what goes in and out. Living: [`init`] (initialise or attach,
//! finalise what is ours), [`user_op`] (closures as reduction operations). [`error`] is the one way to fail.
//!
//! Policy is left to the caller: this crate owns no buffers, tracks no requests, and adds no threads.

pub mod array;
pub mod class;
pub mod constants;
pub mod error;
pub mod find;
pub mod functions;
pub mod handles;
pub mod init;
pub mod launcher;
pub mod library;
mod process;
pub mod status;
pub mod user_op;
pub mod version;

pub use array::{DatatypeArray, HandleArray, RequestArray};
pub use class::ErrorClass;
pub use constants::Constants;
pub use error::{CallError, Error, ErrorKind};
pub use find::{Found, How, Search};
pub use handles::{
    Aint, Comm, Count, Datatype, Errhandler, Group, Handle, HandlePtr, Info, LargeUserFunction, Message, Op, Request,
    Session, UserFunction, Win,
};
pub use init::{Environment, ThreadLevel};
pub use launcher::{Launcher, LauncherKind, check_launcher, check_size};
pub use library::{Family, Library};
pub use status::{Status, StatusArray, StatusFields};
pub use user_op::{MAX_USER_OPS, ReduceFunction, UserOp};
pub use version::{Vendor, Version};
