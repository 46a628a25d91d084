//! Starting: [`run`] and [`launch`] choose the backend and give every rank its world.

use mpi_abi::{Launcher, LauncherKind};

use crate::backend::{self, availability};
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};

/// Runs `main` once per rank, with the settings of the environment.
///
/// Where `parhelion run`, an MPI launcher or torchrun started this process, the process is one rank of the launcher's world. Elsewhere
/// `PARHELION_RANKS` threads (default: the cores) are the ranks. `PARHELION_BACKEND` decides otherwise; see [`Config`].
///
/// Of several failing ranks of this process, the error returned is the one that is not a consequence of another: the
/// lowest rank's that is not [`PeerLost`](ErrorKind::PeerLost). A panic of a rank goes on once all ranks have ended.
///
/// ```
/// parhelion_comm::run(|world| {
///     let sum = world.all_reduce(&[1u64], parhelion_comm::Op::Sum)?;
///     assert_eq!(sum, [world.size() as u64]);
///     Ok(())
/// })?;
/// # Ok::<(), parhelion_comm::Error>(())
/// ```
///
/// # Errors
/// The environment cannot be read, no backend can be used, or a rank failed.
pub fn run<E, F>(main: F) -> Result<(), E>
where
    E: From<Error> + Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<(), E> + Sync,
{
    let config = Config::from_env()?;
    launch(&config, main).map(|_| ())
}

/// Runs `main` once per rank, with these settings, and returns the values of the ranks of this process, in rank order:
/// all of them on the local backend, one where ranks are processes.
///
/// # Errors
/// As [`run`].
pub fn launch<R, E, F>(config: &Config, main: F) -> Result<Vec<R>, E>
where
    R: Send,
    E: From<Error> + Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    let results = match choose(config)? {
        BackendKind::Local => backend::local::launch(config, main)?,
        BackendKind::Mpi => backend::mpi::launch(config, main)?,
        BackendKind::Tcp => backend::tcp::launch(config, main)?,
    };
    let mut values = Vec::with_capacity(results.len());
    let (mut cause, mut consequence) = (None, None);
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(Failure { error, lost_peer: false }) => cause = cause.or(Some(error)),
            Err(Failure { error, lost_peer: true }) => consequence = consequence.or(Some(error)),
        }
    }
    cause.or(consequence).map_or(Ok(values), Err)
}

/// A failed rank's error, and whether the last communication error of that rank was a lost peer.
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    pub(crate) lost_peer: bool,
}

/// The backend that [`run`] uses here: the configured one, else tcp where `parhelion run` started us, else MPI where an MPI
/// launcher started us, else tcp where torchrun started several of us, else local.
///
/// # Errors
/// The configured or the launcher's backend cannot be used; the error says why and what to do.
pub fn choose(config: &Config) -> Result<BackendKind> {
    let unavailable = |text| Err(Error::new("run", ErrorKind::Unavailable(text)));
    let (kind, why) = match config.backend {
        Some(kind) => (kind, format!("backend {kind} was asked for")),
        // Our own launcher may itself have been started by another one, whose variables are then still there.
        None if backend::tcp::is_named() => {
            (BackendKind::Tcp, "PARHELION_RANK and PARHELION_SIZE ask for backend tcp".to_owned())
        }
        None => match backend::mpi::launcher() {
            Some(launcher) => (BackendKind::Mpi, format!("{launcher} started this program")),
            // In each of its processes a world of threads would be none of what was asked for.
            None if is_one_of_torchrun() => {
                (BackendKind::Tcp, "torchrun started this program, which asks for backend tcp".to_owned())
            }
            None => (BackendKind::Local, String::new()),
        },
    };
    let entry = availability(kind, config);
    if entry.available {
        return Ok(kind);
    }
    unavailable(format!("{why}, but it cannot be used: {}", entry.reason))
}

/// Whether this process is one of several that torchrun has started.
fn is_one_of_torchrun() -> bool {
    let launcher = Launcher::detect();
    launcher.kind == LauncherKind::Torchrun && launcher.size.is_some_and(|size| size > 1)
}
