//! [`Config`]: every setting in one struct, read from the environment (`PARHELION_*`) or built in code.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// The backends that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// Ranks are threads of this process.
    Local,
    /// Ranks are processes under an MPI library, loaded at run time.
    Mpi,
    /// Ranks are processes that talk over sockets; no library is needed.
    Tcp,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendKind::Local => "local",
            BackendKind::Mpi => "mpi",
            BackendKind::Tcp => "tcp",
        })
    }
}

impl FromStr for BackendKind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "local" => Ok(BackendKind::Local),
            "mpi" => Ok(BackendKind::Mpi),
            "tcp" => Ok(BackendKind::Tcp),
            _ => Err(format!("unknown backend {s:?}; this build has local, mpi and tcp")),
        }
    }
}

/// How threads of one rank may use communicators (MPI section 11.6). The local backend allows everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadLevel {
    /// One thread only.
    Single,
    /// Only the thread that started the rank calls; others are refused. The default: MPI libraries are fastest so.
    Funneled,
    /// Any thread calls, one at a time; a call during another one is refused.
    Serialized,
    /// Any thread calls at any time.
    Multiple,
}

impl fmt::Display for ThreadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThreadLevel::Single => "single",
            ThreadLevel::Funneled => "funneled",
            ThreadLevel::Serialized => "serialized",
            ThreadLevel::Multiple => "multiple",
        })
    }
}

impl FromStr for ThreadLevel {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Ok(match s {
            "single" => ThreadLevel::Single,
            "funneled" => ThreadLevel::Funneled,
            "serialized" => ThreadLevel::Serialized,
            "multiple" => ThreadLevel::Multiple,
            _ => return Err(format!("unknown thread level {s:?}; use single, funneled, serialized or multiple")),
        })
    }
}

/// Every setting of a run. [`Config::from_env`] reads them; the fields can be set in code.
///
/// | field | environment | default |
/// |---|---|---|
/// | `backend` | `PARHELION_BACKEND` = `local`, `mpi`, `tcp` | what launched us, else local |
/// | `ranks` | `PARHELION_RANKS` | the cores (local); the launcher decides (mpi, tcp) |
/// | `mpi_library` | `PARHELION_MPI_LIB` = path | searched, see `mpi_abi` |
/// | `thread_level` | `PARHELION_THREAD_LEVEL` | `funneled` |
/// | `timeout` | `PARHELION_TIMEOUT` = seconds | none |
/// | `eager_limit` | `PARHELION_EAGER_LIMIT` = bytes | 4096 |
/// | `checks` | `PARHELION_CHECK` = `0`, `1` | on in debug builds |
/// | `deadlock_detection` | `PARHELION_DEADLOCK_DETECTION` = `0`, `1` | on |
/// | `shared_memory` | `PARHELION_SHARED_MEMORY` = `0`, `1` | on |
/// | `trace` | `PARHELION_TRACE` = `0`, `1` | off |
/// | `spin` | `PARHELION_SPIN` = microseconds | 20, or 1 with more ranks than cores (local); 1000 (tcp) |
/// | `join_timeout` | `PARHELION_JOIN_TIMEOUT` = seconds | 60 |
/// | `heartbeat` | `PARHELION_HEARTBEAT` = seconds | 30 |
/// | `bind` | `PARHELION_BIND` = IP address | loopback, or the address that reaches rank 0 |
/// | `connect_all` | `PARHELION_TCP_CONNECT` = `lazy`, `all` | `lazy` |
/// | `tcp_eager_limit` | `PARHELION_TCP_EAGER_LIMIT` = bytes | 65536, through shared memory never more than 16384 |
///
/// How halos are exchanged is no setting of a run: the crate `parhelion` reads `PARHELION_SCHEME` for it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The backend to use; `None` chooses by what launched the program.
    pub backend: Option<BackendKind>,
    /// How many ranks the local backend starts; under a launcher it must be `None` or the launcher's size.
    pub ranks: Option<usize>,
    /// The MPI library to load; `None` searches.
    pub mpi_library: Option<PathBuf>,
    /// The thread level asked of the MPI library.
    pub thread_level: ThreadLevel,
    /// How long a blocking call may wait before it is an error.
    pub timeout: Option<Duration>,
    /// Messages of up to this many bytes are buffered, so that a send of one never waits (local backend).
    pub eager_limit: usize,
    /// Compare the arguments of every collective across ranks before it starts (mpi and tcp; local always does).
    pub checks: bool,
    /// Report a deadlock when every live rank waits and nothing can complete (local backend). Needs ranks of one thread: with
    /// a thread level above funneled it is off, since a thread that does not wait may still send; and from the first call on
    /// that another thread than a rank's own makes.
    pub deadlock_detection: bool,
    /// Let ranks of one node read each other's memory directly (mpi), and talk through it (tcp). Off, they send messages: nothing else changes but the speed.
    pub shared_memory: bool,
    /// Open a `tracing` span for every operation.
    pub trace: bool,
    /// How long a wait spins before it sleeps (local and tcp backends); `None` chooses by ranks and cores.
    pub spin: Option<Duration>,
    /// How long ranks wait for each other at the start (tcp backend).
    pub join_timeout: Duration,
    /// A rank of which nothing was heard for so long is lost (tcp backend).
    pub heartbeat: Duration,
    /// The address on which this process is reached (tcp backend); `None` is loopback, unless the ranks meet at another
    /// address: then the one from which this process reaches rank 0.
    pub bind: Option<IpAddr>,
    /// Connect every pair of ranks at the start, not on first use (tcp backend).
    pub connect_all: bool,
    /// Messages of up to this many bytes are sent before their receive is known (tcp backend). Through shared memory no more than
    /// 16 KiB are: longer ones the receiver reads out of the sender's memory.
    pub tcp_eager_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            backend: None,
            ranks: None,
            mpi_library: None,
            thread_level: ThreadLevel::Funneled,
            timeout: None,
            eager_limit: 4096,
            checks: cfg!(debug_assertions),
            deadlock_detection: true,
            shared_memory: true,
            trace: false,
            spin: None,
            join_timeout: Duration::from_secs(60),
            heartbeat: Duration::from_secs(30),
            bind: None,
            connect_all: false,
            tcp_eager_limit: 65536,
        }
    }
}

impl Config {
    /// The settings of the process environment.
    ///
    /// # Errors
    /// A variable that cannot be read: the error names it, its value and what it takes.
    pub fn from_env() -> Result<Self> {
        // What is no text is not taken for unset: it has a mark that no setting fits.
        let text = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let mut config = Self::from_lookup(text)?;
        if let (Some(path), Some(whole)) = (&mut config.mpi_library, std::env::var_os("PARHELION_MPI_LIB")) {
            *path = whole.into();
        }
        Ok(config)
    }

    /// The settings that `lookup` answers, for tests and other sources.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = Config::default();
        let get = |name: &str| lookup(name).filter(|v| !v.is_empty());
        let bad = |name: &str, value: &str, why: String| {
            Error::new("config", ErrorKind::Config(format!("{name}={value}: {why}")))
        };
        if let Some(v) = get("PARHELION_BACKEND") {
            config.backend = Some(v.parse().map_err(|why| bad("PARHELION_BACKEND", &v, why))?);
        }
        if let Some(v) = get("PARHELION_RANKS") {
            match v.parse() {
                Ok(n) if n > 0 => config.ranks = Some(n),
                _ => return Err(bad("PARHELION_RANKS", &v, "give a number of ranks, 1 or more".into())),
            }
        }
        config.mpi_library = get("PARHELION_MPI_LIB").map(PathBuf::from);
        if let Some(v) = get("PARHELION_THREAD_LEVEL") {
            config.thread_level = v.parse().map_err(|why| bad("PARHELION_THREAD_LEVEL", &v, why))?;
        }
        let seconds = |name: &str| match get(name) {
            None => Ok(None),
            Some(v) => match v.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()) {
                Some(d) if !d.is_zero() => Ok(Some(d)),
                _ => Err(bad(name, &v, "give seconds, above 0".into())),
            },
        };
        config.timeout = seconds("PARHELION_TIMEOUT")?;
        config.join_timeout = seconds("PARHELION_JOIN_TIMEOUT")?.unwrap_or(config.join_timeout);
        config.heartbeat = seconds("PARHELION_HEARTBEAT")?.unwrap_or(config.heartbeat);
        for (name, field) in [
            ("PARHELION_EAGER_LIMIT", &mut config.eager_limit),
            ("PARHELION_TCP_EAGER_LIMIT", &mut config.tcp_eager_limit),
        ] {
            if let Some(v) = get(name) {
                *field = v.parse().map_err(|_| bad(name, &v, "give a number of bytes".into()))?;
            }
        }
        if let Some(v) = get("PARHELION_BIND") {
            let address = v.trim_start_matches('[').trim_end_matches(']').parse();
            let address = address.map_err(|_| bad("PARHELION_BIND", &v, "give an IP address".into()))?;
            if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
                let why = "other hosts have other links: give an address that is not link-local";
                return Err(bad("PARHELION_BIND", &v, why.into()));
            }
            config.bind = Some(address);
        }
        if let Some(v) = get("PARHELION_TCP_CONNECT") {
            config.connect_all = match v.as_str() {
                "all" => true,
                "lazy" => false,
                _ => return Err(bad("PARHELION_TCP_CONNECT", &v, "give lazy or all".into())),
            };
        }
        for (name, field) in [
            ("PARHELION_CHECK", &mut config.checks),
            ("PARHELION_DEADLOCK_DETECTION", &mut config.deadlock_detection),
            ("PARHELION_SHARED_MEMORY", &mut config.shared_memory),
            ("PARHELION_TRACE", &mut config.trace),
        ] {
            if let Some(v) = get(name) {
                *field = match v.as_str() {
                    "1" | "true" | "on" => true,
                    "0" | "false" | "off" => false,
                    _ => return Err(bad(name, &v, "give 0 or 1".into())),
                };
            }
        }
        if let Some(v) = get("PARHELION_SPIN") {
            let micros = v.parse().map_err(|_| bad("PARHELION_SPIN", &v, "give microseconds".into()))?;
            config.spin = Some(Duration::from_micros(micros));
        }
        Ok(config)
    }

    /// Sets the backend.
    #[must_use]
    pub fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Sets the number of local ranks.
    #[must_use]
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// Sets the longest wait of a blocking call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the thread level.
    #[must_use]
    pub fn thread_level(mut self, level: ThreadLevel) -> Self {
        self.thread_level = level;
        self
    }

    /// Switches the argument checks of collectives on or off.
    #[must_use]
    pub fn checks(mut self, on: bool) -> Self {
        self.checks = on;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config> {
        Config::from_lookup(|k| pairs.iter().find(|(n, _)| *n == k).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn environment_is_read_field_by_field() {
        let config = read(&[
            ("PARHELION_BACKEND", "local"),
            ("PARHELION_RANKS", "3"),
            ("PARHELION_TIMEOUT", "0.5"),
            ("PARHELION_CHECK", "1"),
            ("PARHELION_THREAD_LEVEL", "multiple"),
            ("PARHELION_SPIN", "7"),
            ("PARHELION_JOIN_TIMEOUT", "90"),
            ("PARHELION_HEARTBEAT", "2.5"),
            ("PARHELION_BIND", "[::1]"),
            ("PARHELION_TCP_CONNECT", "all"),
            ("PARHELION_TCP_EAGER_LIMIT", "1024"),
        ])
        .unwrap();
        assert_eq!(config.backend, Some(BackendKind::Local));
        assert_eq!(config.ranks, Some(3));
        assert_eq!(config.timeout, Some(Duration::from_millis(500)));
        assert_eq!(config.thread_level, ThreadLevel::Multiple);
        assert_eq!(config.spin, Some(Duration::from_micros(7)));
        assert!(config.checks);
        assert_eq!(config.join_timeout, Duration::from_secs(90));
        assert_eq!(config.heartbeat, Duration::from_millis(2500));
        assert_eq!(config.bind, Some("::1".parse().unwrap()));
        assert!(config.connect_all);
        assert_eq!(config.tcp_eager_limit, 1024);
        assert_eq!(read(&[("PARHELION_RANKS", "")]).unwrap(), Config::default());
    }

    #[test]
    fn bad_values_name_the_variable() {
        for (name, value) in [
            ("PARHELION_BACKEND", "carrier-pigeon"),
            ("PARHELION_RANKS", "0"),
            ("PARHELION_RANKS", "many"),
            ("PARHELION_TIMEOUT", "-1"),
            ("PARHELION_TIMEOUT", "nan"),
            ("PARHELION_CHECK", "perhaps"),
            ("PARHELION_EAGER_LIMIT", "1k"),
            ("PARHELION_THREAD_LEVEL", "some"),
            ("PARHELION_SPIN", "x"),
            ("PARHELION_JOIN_TIMEOUT", "0"),
            ("PARHELION_HEARTBEAT", "soon"),
            ("PARHELION_BIND", "localhost"),
            ("PARHELION_BIND", "fe80::1"),
            ("PARHELION_TCP_CONNECT", "never"),
            ("PARHELION_TCP_EAGER_LIMIT", "1k"),
        ] {
            let text = read(&[(name, value)]).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(value), "{text}");
        }
    }
}
