//! What carries the messages of a run: threads, sockets between processes, or an MPI library.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::launch::clean_command;
use crate::mpi::{LIBRARIES, Library, cores};

/// How long one program may take.
const LIMIT: Duration = Duration::from_secs(300);

/// One of the lines of the table.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Carrier {
    /// Ranks are threads.
    Local,
    /// Ranks are processes that `parhelion run` starts; they read each other's memory, or are not allowed to.
    Tcp { shared_memory: bool },
    /// Ranks are processes under a library's launcher.
    Mpi(&'static Library),
}

impl Carrier {
    /// All there are, the simplest first.
    pub(crate) fn all() -> impl Iterator<Item = Carrier> {
        let ours = [Carrier::Local, Carrier::Tcp { shared_memory: true }, Carrier::Tcp { shared_memory: false }];
        ours.into_iter().chain(LIBRARIES.iter().map(Carrier::Mpi))
    }

    /// As the table and the logs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Carrier::Local => "local",
            Carrier::Tcp { shared_memory: true } => "tcp",
            Carrier::Tcp { shared_memory: false } => "tcp-unshared",
            Carrier::Mpi(library) => library.name,
        }
    }

    /// The backend's name.
    pub(crate) fn backend(self) -> &'static str {
        match self {
            Carrier::Local => "local",
            Carrier::Tcp { .. } => "tcp",
            Carrier::Mpi(_) => "mpi",
        }
    }

    /// The library, where there is one.
    pub(crate) fn library(self) -> Option<&'static Library> {
        match self {
            Carrier::Mpi(library) => Some(library),
            Carrier::Local | Carrier::Tcp { .. } => None,
        }
    }

    /// With how many ranks suites run on it.
    pub(crate) fn ranks(self) -> &'static [usize] {
        match self {
            Carrier::Local => &[1, 2, 3, 4, 7, 16],
            Carrier::Tcp { .. } | Carrier::Mpi(_) => &[1, 2, 3, 4, 7],
        }
    }

    /// `ranks` ranks of `program`, still without its arguments; `launcher` is our own command. The backend is found, not named.
    pub(crate) fn command(self, launcher: &Path, program: &Path, ranks: usize) -> Command {
        match self {
            Carrier::Local => {
                let mut command = clean_command(program);
                command.env("PARHELION_RANKS", ranks.to_string());
                command
            }
            Carrier::Tcp { shared_memory } => {
                let mut command = clean_command(launcher);
                command.args(["run", "-n", &ranks.to_string()]).arg(program);
                if !shared_memory {
                    command.env("PARHELION_SHARED_MEMORY", "0");
                }
                command
            }
            Carrier::Mpi(library) => {
                let mut command = library.command(ranks);
                command.arg(program);
                command
            }
        }
    }

    /// How long a program may take: longer where ranks wait for cores in a library that never yields.
    pub(crate) fn limit(self, ranks: usize) -> Duration {
        match self {
            Carrier::Mpi(library) if ranks > cores() => LIMIT * library.patience,
            _ => LIMIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_carrier_has_a_name_of_its_own() {
        let names: Vec<_> = Carrier::all().map(Carrier::name).collect();
        assert_eq!(names[..3], ["local", "tcp", "tcp-unshared"]);
        assert!(names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1));
    }

    #[test]
    fn processes_without_mpi_are_started_by_our_own_command() {
        let [launcher, program] = ["/parhelion", "/program"].map(Path::new);
        let command = Carrier::Tcp { shared_memory: false }.command(launcher, program, 3);
        assert_eq!(command.get_program(), launcher);
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["run", "-n", "3", "/program"]);
        assert!(command.get_envs().any(|set| set == ("PARHELION_SHARED_MEMORY".as_ref(), Some("0".as_ref()))));
        assert_eq!(Carrier::Local.command(launcher, program, 3).get_program(), program);
    }
}
