//! Joining the launcher's world, and leaving it together.
//!
//! A rank that fails must not leave the others waiting. At the end of `main` every rank enters a barrier on a
//! communicator of its own. If all come, all leave in order, each with its own result. A rank that failed waits there for a
//! second only: then others still need it, and it ends the program (`MPI_Abort`), after saying why.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use mpi_abi::{Comm as RawComm, Environment, Library, Status as RawStatus};

use super::comm::{Comm, In};
use super::info;
use super::last_words;
use super::runtime::{Backoff, Runtime};
use super::transport::MpiTransport;
use crate::communicator::Communicator;
use crate::config::{Config, ThreadLevel};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

/// How long a failed rank waits for the others to end as well.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long abandoned operations may take to complete at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs `main` as this process's rank of the launcher's world.
pub(crate) fn launch<R, E, F>(config: &Config, main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    let (library, _) = info::open(config)?;
    let environment = Environment::init(library, asked(config.thread_level))
        .map_err(|e| Error::new("run", ErrorKind::Unavailable(e.to_string())))?;
    let prepared = prepare(&environment, config);
    let (world, closing) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => {
            // Every rank comes to the same error, so that all finalise. The first error is the one to tell.
            let _ = environment.finalize();
            return Err(e);
        }
    };
    let (runtime, rank) = (world.runtime, world.rank);
    let world = Communicator::new(Box::new(MpiTransport::new(world)));

    let outcome = catch_unwind(AssertUnwindSafe(|| main(world)));
    let failure = match &outcome {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some((1, e.to_string())),
        Err(payload) => Some((101, format!("panicked: {}", message(&**payload)))),
    };
    if !leave_together(runtime, closing, failure.is_some()) {
        let (code, text) = failure.expect("only a failed rank gives up");
        last_words::say(rank, text);
        // SAFETY: MPI is active. If this returns, the launcher sees our exit.
        let _ = unsafe { library.abort(library.constants().comm_world, code) };
        std::process::exit(code);
    }
    let finalized = finish(runtime, environment);
    match outcome {
        Ok(result) => {
            let result = result.map_err(|error| Failure { error, lost_peer: false });
            if result.is_ok() {
                finalized?;
            }
            Ok(vec![result])
        }
        Err(payload) => resume_unwind(payload),
    }
}

/// The world, and the communicator of the end.
fn prepare(environment: &Environment, config: &Config) -> Result<(Arc<Comm>, RawComm)> {
    let library = environment.library();
    let c = library.constants();
    let runtime = Runtime::of_process(library, granted(environment.thread_level()).min(config.thread_level))?;
    let (mut size, mut world, mut closing) = (0, c.comm_null, c.comm_null);
    // SAFETY: MPI is active, and every rank of the world does the same.
    unsafe {
        library.comm_size(c.comm_world, &mut size).of("run")?;
        if let Some(ranks) = config.ranks.filter(|&ranks| ranks != size as usize) {
            return Err(Error::new(
                "run",
                ErrorKind::Config(format!(
                    "{ranks} ranks were asked for (PARHELION_RANKS), but the MPI world has {size}; leave it unset under \
                     a launcher"
                )),
            ));
        }
        library.comm_dup(c.comm_world, &mut world).of("run")?;
        library.comm_dup(c.comm_world, &mut closing).of("run")?;
    }
    let world = Comm::adopt(runtime, world, Arc::new(config.clone()), "world").of("run")?;
    Ok((world, closing))
}

/// Waits until every rank has come to its end; a failed one only for a while. Whether all have.
fn leave_together(runtime: &Runtime, mut closing: RawComm, failed: bool) -> bool {
    let library = runtime.library;
    let mut request = library.constants().request_null;
    let mut backoff = Backoff::new(runtime, failed.then_some(PATIENCE));
    // SAFETY: MPI is active and this is the thread that initialised it; the barrier has no buffers.
    let mut ended = unsafe { library.ibarrier(closing, &mut request) }.is_err();
    while !ended {
        let mut flag = 0;
        // SAFETY: the request is live.
        let tested = unsafe { library.test(&mut request, &mut flag, &mut RawStatus::default()) };
        ended = flag != 0 || tested.is_err();
        // Chores go on in between: they may be what others wait for.
        if !ended && backoff.pause("run").is_err() {
            return false;
        }
    }
    // What is not done by then is never freed: MPI may still use it.
    runtime.drain(DRAIN);
    // A failure leaves windows to the end of MPI.
    let _ = super::set::free_all(library, closing);
    // SAFETY: made by `prepare`, freed once, and its one operation is over.
    let _ = unsafe { library.comm_free(&mut closing) };
    true
}

fn finish(runtime: &Runtime, environment: Environment) -> Result<()> {
    if !environment.is_owner() {
        return Ok(());
    }
    runtime.close();
    environment.finalize().of("run")
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

fn asked(level: ThreadLevel) -> mpi_abi::ThreadLevel {
    match level {
        ThreadLevel::Single => mpi_abi::ThreadLevel::Single,
        ThreadLevel::Funneled => mpi_abi::ThreadLevel::Funneled,
        ThreadLevel::Serialized => mpi_abi::ThreadLevel::Serialized,
        ThreadLevel::Multiple => mpi_abi::ThreadLevel::Multiple,
    }
}

fn granted(level: mpi_abi::ThreadLevel) -> ThreadLevel {
    match level {
        mpi_abi::ThreadLevel::Single => ThreadLevel::Single,
        mpi_abi::ThreadLevel::Funneled => ThreadLevel::Funneled,
        mpi_abi::ThreadLevel::Serialized => ThreadLevel::Serialized,
        mpi_abi::ThreadLevel::Multiple => ThreadLevel::Multiple,
    }
}

impl Communicator {
    /// A communicator of an MPI that somebody else has initialised and will finalise (mpi4py, a C++ main program), from
    /// its handle: what `MPI._handleof(comm)` gives in mpi4py, `MPI_Comm` as a number in C. Collective over its ranks.
    ///
    /// The communicator is duplicated: its messages never meet those of the other program. Errors are made to come back
    /// as values on `MPI_COMM_WORLD` and `MPI_COMM_SELF`. What threads may do is what that program asked MPI for; where only
    /// one thread may call, it is the first one that calls this.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the MPI library found is not initialised; what the library reports.
    ///
    /// # Safety
    /// `raw` is a live intracommunicator of the MPI library that is loaded in this process, and MPI is not finalised while
    /// the result, or anything made from it, lives.
    pub unsafe fn from_mpi_handle(raw: i64, config: &Config) -> Result<Communicator> {
        let (library, _) = info::open(config)?;
        if !library.is_active() {
            return Err(Error::new(
                "from_mpi_handle",
                ErrorKind::Unavailable(format!(
                    "{} is not initialised, or finalised; whoever made the handle uses another library, which \
                     PARHELION_MPI_LIB can name",
                    library.name()
                )),
            ));
        }
        let environment = Environment::init(library, asked(config.thread_level)).of("from_mpi_handle")?;
        let runtime = Runtime::of_process(library, granted(environment.thread_level()))?;
        let _turn = runtime.enter("from_mpi_handle")?;
        let comm = duplicate(library, RawComm::from_raw(library, raw)).of("from_mpi_handle")?;
        let comm = Comm::adopt(runtime, comm, Arc::new(config.clone()), "world").of("from_mpi_handle")?;
        Ok(Communicator::new(Box::new(MpiTransport::new(comm))))
    }
}

fn duplicate(library: &Library, comm: RawComm) -> Result<RawComm, mpi_abi::Error> {
    let mut made = library.constants().comm_null;
    // SAFETY: the caller of `from_mpi_handle` vouches for the handle.
    unsafe { library.comm_dup(comm, &mut made) }?;
    Ok(made)
}
