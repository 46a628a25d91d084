//! What the ranks of one job share: where they meet, and the secret by which they know each other.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use super::hosts::Place;
use crate::error::{Error, Result};

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// Reads `FIRST-LAST` or one port.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err("give two port numbers, as 29400-29463".into()),
        }
    }

    /// A range that another job on the same host hardly has: below those that systems give to connections.
    fn drawn(random: u8) -> Self {
        const EACH: u16 = 64;
        let number = u16::from(random) % 150;
        let first = 20_000 + EACH * number;
        Self { first, last: first + EACH - 1 }
    }
}

/// A job's rendezvous and its secret, which lies in a file that goes away with this.
pub(super) struct Session {
    folder: PathBuf,
    secret: String,
    rendezvous: String,
    /// Of ranks that are all here: what rank 0 accepts the others on.
    listener: Option<TcpListener>,
    size: usize,
}

impl Session {
    /// For ranks at these places.
    ///
    /// # Errors
    /// There is no random number, no folder for temporary files, no address to listen on.
    pub(super) fn new(places: &[Place], ports: Option<Ports>) -> Result<Self> {
        let mut random = [0; 33];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
        read.map_err(|error| Error::Input(format!("cannot draw a secret: {error}")))?;
        let [public, secret @ ..] = random;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let (rendezvous, listener) = match places.iter().all(|place| place.host.is_none()) {
            true => {
                let listen = || {
                    let listener = TcpListener::bind(("127.0.0.1", 0)).or_else(|_| TcpListener::bind(("::1", 0)))?;
                    std::io::Result::Ok((listener.local_addr()?.to_string(), Some(listener)))
                };
                listen()
                    .map_err(|error| Error::Input(format!("cannot listen on this machine's own address: {error}")))?
            }
            false => {
                let Ports { first, last } = ports.unwrap_or_else(|| Ports::drawn(public));
                (format!("{}:{first}-{last}", address(places[0].host.as_deref())), None)
            }
        };
        let folder = Self::make_folder()?;
        let session = Self { folder, secret, rendezvous, listener, size: places.len() };
        let path = session.secret_file();
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = written.and_then(|mut file| file.write_all(session.secret.as_bytes()));
        written.map_err(|error| Error::io(&path, "write", &error))?;
        Ok(session)
    }

    /// A folder that only this user can enter. It did not exist before: a link that lies in wait is no folder of ours.
    fn make_folder() -> Result<PathBuf> {
        let base = std::env::temp_dir();
        for attempt in 0..100 {
            let path = base.join(format!("parhelion-run-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(&path, "make", &error)),
            }
        }
        Err(Error::file(&base, "there are leftovers of too many jobs: remove parhelion-run-*"))
    }

    fn secret_file(&self) -> PathBuf {
        self.folder.join("secret")
    }

    /// For the standard input of a remote shell.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// What `rank`, on any host, finds in its environment.
    pub(super) fn variables(&self, rank: usize, place: &Place) -> Vec<(&'static str, OsString)> {
        vec![
            ("PARHELION_RANK", rank.to_string().into()),
            ("PARHELION_SIZE", self.size.to_string().into()),
            ("PARHELION_LOCAL_RANK", place.local_rank.to_string().into()),
            ("PARHELION_RENDEZVOUS", self.rendezvous.clone().into()),
        ]
    }

    /// What a rank here finds in it besides.
    pub(super) fn local_variables(&self, rank: usize) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![("PARHELION_SECRET_FILE", self.secret_file().into_os_string())];
        if let Some(listener) = self.inherited_by(rank) {
            variables.push(("PARHELION_RENDEZVOUS_FD", listener.to_string().into()));
        }
        variables
    }

    /// The listening socket that `rank` inherits: rank 0's.
    pub(super) fn inherited_by(&self, rank: usize) -> Option<RawFd> {
        self.listener.as_ref().filter(|_| rank == 0).map(AsRawFd::as_raw_fd)
    }

    /// Once rank 0 has the socket, it alone must: when it dies, those that knock are to be refused.
    pub(super) fn rank_0_listens(&mut self) {
        self.listener = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that cannot be removed.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// By which name other hosts reach rank 0's host.
fn address(host: Option<&str>) -> String {
    let own = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = host.map_or_else(own, |host| host.rsplit_once('@').map_or(host, |(_, name)| name).to_owned());
    if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_two_numbers_or_one() {
        assert_eq!(Ports::parse("29400-29463"), Ok(Ports { first: 29400, last: 29463 }));
        assert_eq!(Ports::parse("80"), Ok(Ports { first: 80, last: 80 }));
        for text in ["", "0", "5-4", "1-70000", "a-b", "1-2-3"] {
            assert!(Ports::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_addressed_without_users_and_in_brackets_where_they_have_colons() {
        let shown = ["node1", "me@node1", "fe80::1", "[fe80::1]"].map(|host| address(Some(host)));
        assert_eq!(shown, ["node1", "node1", "[fe80::1]", "[fe80::1]"]);
        assert!(!address(None).is_empty());
    }
}
