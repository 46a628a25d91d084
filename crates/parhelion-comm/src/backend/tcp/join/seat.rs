//! [`Seat`]: which rank this process is, where the ranks meet, and what they share; from the environment.
//!
//! This library's own variables come first, whoever started the process; what they leave open, the launcher that is there
//! may say.

use std::ffi::OsString;
use std::fmt;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::PathBuf;

use mpi_abi::{Launcher, LauncherKind};
use rustix::io::FdFlags;

use super::key::JobKey;
use super::meeting::Meeting;
use super::rendezvous::nonce;
use super::secret;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// More ranks than this are surely a mistake.
const MOST: usize = 1 << 20;
/// How many ports are tried where the first one may be somebody else's.
const PORTS: u16 = 8;

/// The variables of a process, by name.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Which rank this process is, where the ranks meet, and what they share.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// The rank among those of this machine, where that is known.
    pub(crate) local_rank: Option<usize>,
    /// None for a job of one rank.
    pub(super) meeting: Option<Meeting>,
    /// The socket to listen at that rank 0 was given, if it was.
    pub(super) listener: Option<TcpListener>,
    pub(super) key: JobKey,
    /// Who says so.
    source: String,
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.size)?;
        self.local_rank.iter().try_for_each(|local| write!(f, " ({local} on its machine)"))?;
        write!(f, ", says {}", self.source)?;
        match &self.meeting {
            Some(meeting) => write!(f, "; the ranks meet at {meeting}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
impl Seat {
    /// Rank `rank` of `size`, as somebody might have said.
    pub(super) fn for_test(rank: usize, size: usize, meeting: Meeting, key: &JobKey) -> Self {
        let meeting = (size > 1).then_some(meeting);
        Seat { rank, size, local_rank: None, meeting, listener: None, key: key.clone(), source: "a test".to_owned() }
    }
}

/// Whether `lookup` names a rank in this library's own words, well or badly: what then is missing, [`seat`] says.
pub(crate) fn is_named(lookup: Lookup<'_>) -> bool {
    ["PARHELION_RANK", "PARHELION_SIZE"].iter().any(|name| given(lookup, name).is_some())
}

/// The seat of this process, from variables that `lookup` answers. Connects to nothing.
///
/// # Errors
/// [`ErrorKind::Unavailable`]: nothing says which rank this is. [`ErrorKind::Config`]: what says so cannot be used.
pub(crate) fn seat(lookup: Lookup<'_>, config: &Config) -> Result<Seat> {
    let found = if is_named(lookup) {
        Found::own(lookup)
    } else {
        let launcher = Launcher::from_environment(&|name| given(lookup, name), &[]);
        Found::of_launcher(lookup, &launcher).ok_or_else(|| {
            let text = "nothing says which rank this process is; 'parhelion run -n N PROGRAM' starts N ranks, and \
                        PARHELION_RANK, PARHELION_SIZE, PARHELION_RENDEZVOUS and PARHELION_SECRET_FILE name one";
            Error::new("run", ErrorKind::Unavailable(text.to_owned()))
        })?
    };
    found.and_then(|found| found.seat(lookup, config)).map_err(|text| Error::new("run", ErrorKind::Config(text)))
}

/// What the environment says, before the rest is looked at.
struct Found {
    rank: usize,
    size: usize,
    local_rank: Option<usize>,
    /// The job's name; jobs of one secret are told apart by it.
    job: String,
    /// Where the ranks meet unless PARHELION_RENDEZVOUS says so; or what to do if nothing else says it.
    place: Result<Meeting, String>,
    source: String,
}

impl Found {
    fn own(lookup: Lookup<'_>) -> Result<Self, String> {
        let number = |name: &str| match given(lookup, name) {
            Some(value) => value.parse::<usize>().map_err(|_| format!("{name}={value}: give a number")),
            None => Err(format!("{name} is not set; PARHELION_RANK and PARHELION_SIZE go together")),
        };
        let local_rank = match given(lookup, "PARHELION_LOCAL_RANK") {
            Some(_) => Some(number("PARHELION_LOCAL_RANK")?),
            None => None,
        };
        Ok(Found {
            rank: number("PARHELION_RANK")?,
            size: number("PARHELION_SIZE")?,
            local_rank,
            job: String::new(),
            place: Err("with PARHELION_RANK and PARHELION_SIZE goes PARHELION_RENDEZVOUS".to_owned()),
            source: "PARHELION_RANK".to_owned(),
        })
    }

    /// None if there is no launcher.
    fn of_launcher(lookup: Lookup<'_>, launcher: &Launcher) -> Option<Result<Self, String>> {
        let (rank, size) = (launcher.rank?, launcher.size?);
        let get = |name: &str| given(lookup, name).unwrap_or_default();
        let (job, place) = match launcher.kind {
            LauncherKind::Torchrun => (get("TORCHELASTIC_RUN_ID"), torchrun(lookup)),
            LauncherKind::Slurm => (format!("{}.{}", get("SLURM_JOB_ID"), get("SLURM_STEP_ID")), slurm(lookup)),
            _ => (get("PMIX_NAMESPACE"), Err("an mpiexec does not say where ranks could meet".to_owned())),
        };
        let source = launcher.kind.to_string();
        Some(Ok(Found { rank, size, local_rank: launcher.local_rank, job, place, source }))
    }

    fn seat(self, lookup: Lookup<'_>, config: &Config) -> Result<Seat, String> {
        let Found { rank, size, local_rank, job, place, source } = self;
        if rank >= size || size > MOST {
            return Err(format!(
                "rank {rank} of {size}, says {source}: a rank is below the size, which is at most {MOST}"
            ));
        }
        if let Some(ranks) = config.ranks.filter(|&ranks| ranks != size) {
            return Err(format!(
                "{ranks} ranks were asked for (PARHELION_RANKS), but there are {size}, says {source}; leave it unset"
            ));
        }
        if size == 1 {
            let key = JobKey::new(&nonce(), &job);
            return Ok(Seat { rank, size, local_rank, meeting: None, listener: None, key, source });
        }
        let meeting = match given(lookup, "PARHELION_RENDEZVOUS") {
            Some(text) => text.parse().map_err(|why| format!("PARHELION_RENDEZVOUS={text}: {why}"))?,
            None => place.map_err(|why| {
                format!("PARHELION_RENDEZVOUS is not set, and {why}; give HOST:PORT, with a host where rank 0 runs")
            })?,
        };
        let listener = match given(lookup, "PARHELION_RENDEZVOUS_FD").filter(|_| rank == 0) {
            Some(text) => Some(inherited(&text).map_err(|why| format!("PARHELION_RENDEZVOUS_FD={text}: {why}"))?),
            None => None,
        };
        let secret = match set(lookup, "PARHELION_SECRET_FILE").map(PathBuf::from) {
            Some(path) => {
                secret::read(&path).map_err(|why| format!("PARHELION_SECRET_FILE={}: {why}", path.display()))?
            }
            None => {
                let advice = secret::ADVICE;
                return Err(format!(
                    "PARHELION_SECRET_FILE is not set; by a secret, ranks know each other from strangers: {advice}"
                ));
            }
        };
        let key = JobKey::new(&secret, &given(lookup, "PARHELION_JOB").unwrap_or(job));
        Ok(Seat { rank, size, local_rank, meeting: Some(meeting), listener, key, source })
    }
}

/// What is set and not empty.
fn set(lookup: Lookup<'_>, name: &str) -> Option<OsString> {
    lookup(name).filter(|value| !value.is_empty())
}

/// The same as text. What is none is not taken for unset: it has a mark that fits nothing.
fn given(lookup: Lookup<'_>, name: &str) -> Option<String> {
    set(lookup, name).map(|value| value.to_string_lossy().into_owned())
}

/// Behind the port of torchrun's own store, which may be in use at its host.
fn torchrun(lookup: Lookup<'_>) -> Result<Meeting, String> {
    let host = given(lookup, "MASTER_ADDR").ok_or("MASTER_ADDR is not, either")?;
    let port = given(lookup, "MASTER_PORT").ok_or("MASTER_PORT is not, either")?;
    match port.parse::<u16>().ok().and_then(|port| port.checked_add(1)) {
        Some(next) => Ok(Meeting::new(&host, next, PORTS)),
        None => Err(format!("behind MASTER_PORT={port} there is no port")),
    }
}

/// The first host of the step, at a port that other jobs there most likely do not have.
fn slurm(lookup: Lookup<'_>) -> Result<Meeting, String> {
    let list =
        ["SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"].iter().find_map(|name| given(lookup, name));
    let host = first_host(&list.ok_or("SLURM_STEP_NODELIST is not, either")?);
    let number = |name: &str| given(lookup, name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    // Below the ports that systems give out by themselves.
    let spread = (number("SLURM_JOB_ID").wrapping_mul(131).wrapping_add(number("SLURM_STEP_ID"))) % 2000;
    Ok(Meeting::new(&host, 15_000 + spread as u16 * PORTS, PORTS))
}

/// The first host of a list as Slurm writes them: `node[003-007,12],login1` begins with `node003`.
fn first_host(list: &str) -> String {
    let mut host = String::new();
    let mut rest = list;
    while let Some(at) = rest.find(['[', ',']) {
        host.push_str(&rest[..at]);
        if rest[at..].starts_with(',') {
            return host;
        }
        let (group, behind) = rest[at + 1..].split_once(']').unwrap_or((&rest[at + 1..], ""));
        host.push_str(group.split(['-', ',']).next().unwrap_or_default());
        rest = behind;
    }
    host + rest
}

/// A listening socket that the launcher has opened.
fn inherited(text: &str) -> Result<TcpListener, String> {
    let number: RawFd =
        text.parse().ok().filter(|&number| number > 2).ok_or("give the number of a descriptor, above 2")?;
    let no_socket = |e: &dyn fmt::Display| format!("no listening TCP socket is open there ({e}); leave it unset");
    // SAFETY: whoever started this process has opened it for this use, and nobody else here knows of it; it is used for two
    // calls only. If nothing is open there, they fail.
    let given = unsafe { BorrowedFd::borrow_raw(number) };
    // A copy, so that a program may meet again. Its children have no part in it.
    let own = rustix::io::fcntl_dupfd_cloexec(given, 3).map_err(|e| no_socket(&e))?;
    rustix::io::fcntl_setfd(given, FdFlags::CLOEXEC).map_err(|e| no_socket(&e))?;
    let listener = TcpListener::from(own);
    listener.local_addr().map_err(|e| no_socket(&e))?;
    // A socket that listens goes on as before; one that is connected refuses.
    rustix::net::listen(&listener, 4096).map_err(|e| no_socket(&e))?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
