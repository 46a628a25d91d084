//! `parhelion run`: processes that are the ranks of one job, over the `tcp` backend.
//!
//! [`hosts`] says where they run, [`session`] what they share, [`start`] starts one, [`relay`] passes on what they print,
//! [`watch`] and [`signals`] see to their end.
//!
//! # What a rank finds
//!
//! `PARHELION_RANK`, `PARHELION_SIZE`, `PARHELION_LOCAL_RANK`, `PARHELION_RENDEZVOUS` (`HOST:PORT` or `HOST:FIRST-LAST`) and
//! `PARHELION_SECRET_FILE`. Where all ranks are here, rank 0 inherits the socket that listens at the rendezvous, so that nobody
//! else can take the port: its number is in `PARHELION_RENDEZVOUS_FD`. The secret is never in an argument or a variable: it lies
//! in a file that only its user can read, in a folder that goes away with the job, and goes to other hosts through the standard
//! input of the remote shell.
//!
//! # Output
//!
//! Ranks have our stdout and our stderr, so that colours and progress bars survive. With `--tag-output` both go through
//! [`relay`], line by line. Where our stderr is no terminal, it goes through it too, byte by byte, so that the closing line can
//! repeat what a failed rank said last; on a terminal it stands a few lines above, and is not repeated.

mod hosts;
mod relay;
mod session;
mod signals;
mod start;
mod watch;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use crate::args::{Bind, RunArgs};
use crate::cores;
use crate::error::{Error, Result};
use hosts::Place;
use relay::Relay;
use rustix::process::{Resource, getrlimit};
pub(crate) use session::Ports;
use session::Session;
use signals::Signals;
use watch::{Failure, Watch};

/// Descriptors beside those of ranks: the standard streams, the rendezvous, signals, and those of one start.
const OWN_DESCRIPTORS: u64 = 24;

/// What is to run.
struct Job {
    /// And its arguments.
    program: Vec<OsString>,
    /// For each rank.
    places: Vec<Place>,
    ports: Option<Ports>,
    tag_output: bool,
    keep_going: bool,
    bind: bool,
    /// Whether the program says itself, by a line on stderr, why it exits with a code other than 0.
    speaks: bool,
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode> {
    let ranks = args.ranks.map(NonZeroUsize::get);
    let places = match &args.host_file {
        Some(path) => hosts::from_file(path, ranks)?,
        None => hosts::here(ranks.unwrap_or_else(|| cores::number().get())),
    };
    let bind = args.bind == Some(Bind::Core);
    if bind && places.iter().any(|place| place.host.is_some()) {
        return Err(Error::Input(
            "--bind is for ranks of this machine only; bind those of others by their program".into(),
        ));
    }
    launch(&Job {
        program: args.program.clone(),
        places,
        ports: args.ports,
        tag_output: args.tag_output,
        keep_going: args.keep_going,
        bind,
        speaks: false,
    })
}

/// Runs this very command again, as so many ranks here, as if they were threads.
pub(crate) fn again(ranks: NonZeroUsize) -> Result<ExitCode> {
    let this = std::env::current_exe().map_err(|error| Error::Input(format!("cannot find this program: {error}")))?;
    launch(&Job {
        program: [this.into_os_string()].into_iter().chain(std::env::args_os().skip(1)).collect(),
        places: hosts::here(ranks.get()),
        ports: None,
        tag_output: false,
        keep_going: false,
        bind: false,
        speaks: true,
    })
}

/// Starts the ranks and waits for all of them; the exit code is the first failure's.
fn launch(job: &Job) -> Result<ExitCode> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Error::Input(format!("cannot {what}: {error}"))
    };
    check_descriptors(job)?;
    // Before there is anything that a signal would leave behind.
    let signals = Signals::listen().map_err(failed("listen to signals"))?;
    let mut session = Session::new(&job.places, job.ports)?;
    let mut watch = Watch::new(job.keep_going);
    let mut sources = Vec::new();
    for (rank, place) in job.places.iter().enumerate() {
        match start::rank(job, &session, rank, place) {
            Ok(started) => {
                watch.add(started.child, started.control, place.host.is_some());
                sources.extend(started.sources);
            }
            Err(error) => {
                watch.give_up();
                return Err(error);
            }
        }
        if rank == 0 {
            session.rank_0_listens();
        }
    }
    let relay = (!sources.is_empty()).then(|| Relay::start(sources)).transpose();
    let relay = relay.map_err(failed("pass on what the ranks print"))?;
    let failures = watch.until_all_end(&signals).map_err(failed("wait for the ranks"))?;
    let (words, lost) = relay.map(|relay| relay.finish(job.places.len())).unwrap_or_default();
    let lost = lost.map(|error| crate::unwritable(&error));
    if let Some(lost) = &lost {
        // The last line, and the exit code, are of a rank that failed, if one did.
        lost.print();
    }
    // Those that were ended because another failed did nothing wrong.
    let told = if job.keep_going { failures.len() } else { failures.len().min(1) };
    for failure in failures[..told].iter().filter(|failure| !(job.speaks && failure.has_exited())) {
        Error::Input(sentence(failure, &job.places, &words)).print();
    }
    match failures.first() {
        Some(failure) => Ok(ExitCode::from(failure.code())),
        None if lost.is_some() => Err(Error::AlreadySaid),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Refuses more ranks than this process could watch, before it starts the first. On tcp rank 0 needs a descriptor for each, too.
fn check_descriptors(job: &Job) -> Result<()> {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let here = start::descriptors(job.tag_output);
    let needed = job.places.iter().map(|place| here + u64::from(place.host.is_some())).sum::<u64>() + OWN_DESCRIPTORS;
    if needed <= limit {
        return Ok(());
    }
    let ranks = job.places.len();
    Err(Error::Input(format!(
        "{ranks} ranks need {needed} open files, and the system allows this process {limit}; give a smaller -n, or raise 'ulimit -n'"
    )))
}

/// `rank 2 on node1 exited with code 3: what it said last`.
fn sentence(failure: &Failure, places: &[Place], words: &[Option<String>]) -> String {
    let mut text = failure.text();
    if let Some(host) = &places[failure.rank].host {
        text = text.replacen(&format!("rank {}", failure.rank), &format!("rank {} on {host}", failure.rank), 1);
    }
    match words.get(failure.rank).cloned().flatten() {
        Some(words) => format!("{text}: {words}"),
        None => text,
    }
}
