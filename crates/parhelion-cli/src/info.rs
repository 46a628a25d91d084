//! `parhelion info`: what is there to carry messages.
//!
//! Most of it is found without initialising MPI. The thread level and CUDA awareness are known only afterwards, and an
//! initialisation can end the process; so without a launcher a child process does it, with a deadline. Under a launcher
//! every process initialises, as the library expects, and rank 0 prints.
//!
//! [`routes`]: with ranks, what carries their messages. [`collectives`]: which algorithms there are for collectives.

mod collectives;
mod routes;

use std::fmt::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mpi_abi::{Environment, Launcher, Library, Search};
use parhelion::{BackendKind, Config, registry};
use serde::{Deserialize, Serialize};

use crate::args::InfoArgs;
use crate::error::{Error, Result};
use crate::{launcher, say};

/// How long the child may take to initialise MPI.
const DEADLINE: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Info {
    version: &'static str,
    cores: usize,
    launcher: Option<LauncherInfo>,
    backends: Vec<Backend>,
    mpi: Option<Mpi>,
    /// Why there is no `mpi`.
    mpi_missing: Option<String>,
}

#[derive(Serialize)]
struct LauncherInfo {
    name: String,
    executable: Option<String>,
    rank: Option<usize>,
    size: Option<usize>,
}

#[derive(Serialize)]
struct Backend {
    name: String,
    available: bool,
    reason: String,
}

#[derive(Serialize)]
struct Mpi {
    path: String,
    found: String,
    family: &'static str,
    library: String,
    version: String,
    standard: String,
    large_counts: bool,
    persistent_collectives: bool,
    thread_level_asked: String,
    /// `None` where MPI could not be initialised; `not_initialized` says why.
    thread_level: Option<String>,
    /// `None` there too, and where the library does not say.
    cuda_aware: Option<bool>,
    not_initialized: Option<String>,
}

/// What is known only once MPI is initialised.
#[derive(Serialize, Deserialize)]
struct Initialized {
    thread_level: String,
    cuda_aware: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(args: &InfoArgs) -> Result<ExitCode> {
    let config = Config::from_env()?;
    if args.initialize {
        let known = initialize(&config).map_err(Error::Input)?;
        say(&serde_json::to_string(&known).expect("keys are strings"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let launcher = launcher();
    if args.collectives {
        say(&collectives::text(args.json))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.is_of_routes() {
        return routes::run(&args.ranks, &launcher, args.json);
    }
    let info = gather(&config, &launcher);
    if launcher.rank.unwrap_or(0) == 0 {
        say(&if args.json { serde_json::to_string(&info).expect("keys are strings") + "\n" } else { info.text() })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn gather(config: &Config, launcher: &Launcher) -> Info {
    // Before the registry, which loads the library it finds, so that `found` tells how it was found.
    let opened = search(config).open();
    let backends: Vec<Backend> = registry(config)
        .into_iter()
        .map(|entry| Backend { name: entry.backend.to_string(), available: entry.available, reason: entry.reason })
        .collect();
    let is_usable = backends.iter().any(|entry| entry.name == BackendKind::Mpi.to_string() && entry.available);
    let (mpi, mpi_missing) = match opened {
        Ok((library, found)) => {
            let known = match (is_usable, launcher.is_some()) {
                (false, _) => Err("not tried, as the library cannot be used here".to_owned()),
                (true, true) => initialize(config),
                (true, false) => initialize_in_child(),
            };
            (Some(Mpi::of(library, found.how.to_string(), config, known)), None)
        }
        Err(error) => (None, Some(error.to_string())),
    };
    Info {
        version: env!("CARGO_PKG_VERSION"),
        cores: crate::cores::number().get(),
        launcher: launcher.is_some().then(|| LauncherInfo {
            name: launcher.kind.to_string(),
            executable: launcher.executable.as_ref().map(|path| path.display().to_string()),
            rank: launcher.rank,
            size: launcher.size,
        }),
        backends,
        mpi,
        mpi_missing,
    }
}

fn search(config: &Config) -> Search {
    match &config.mpi_library {
        Some(path) => Search::of_process().with_path(path),
        None => Search::of_process(),
    }
}

impl Mpi {
    fn of(library: &Library, found: String, config: &Config, known: Result<Initialized, String>) -> Self {
        let (thread_level, cuda_aware, not_initialized) = match known {
            Ok(known) => (Some(known.thread_level), known.cuda_aware, None),
            Err(why) => (None, None, Some(why)),
        };
        let version = library.version();
        let (major, minor) = library.standard();
        Self {
            path: library.path().display().to_string(),
            found,
            family: library.family().name(),
            // Its full name ends with the path, which has a key of its own.
            library: library.name().split(" (").next().unwrap_or_default().to_owned(),
            version: format!("{}.{}.{}", version.major, version.minor, version.patch),
            standard: format!("{major}.{minor}"),
            large_counts: library.supports_large_counts(),
            persistent_collectives: library.has_persistent_collectives(),
            thread_level_asked: config.thread_level.to_string(),
            thread_level,
            cuda_aware,
            not_initialized,
        }
    }
}

/// Initialises MPI in this process, with the thread level the settings ask for.
fn initialize(config: &Config) -> Result<Initialized, String> {
    let asked = match config.thread_level {
        parhelion::ThreadLevel::Single => mpi_abi::ThreadLevel::Single,
        parhelion::ThreadLevel::Funneled => mpi_abi::ThreadLevel::Funneled,
        parhelion::ThreadLevel::Serialized => mpi_abi::ThreadLevel::Serialized,
        parhelion::ThreadLevel::Multiple => mpi_abi::ThreadLevel::Multiple,
    };
    let ask = || -> Result<Initialized, mpi_abi::Error> {
        let (library, _) = search(config).open()?;
        let environment = Environment::init(library, asked)?;
        let thread_level = format!("{:?}", environment.thread_level()).to_lowercase();
        let known = Initialized { thread_level, cuda_aware: library.cuda_aware() };
        environment.finalize()?;
        Ok(known)
    };
    ask().map_err(|error| error.to_string())
}

/// Asks a child process, which is ended if it takes too long.
fn initialize_in_child() -> Result<Initialized, String> {
    let failed = |error: std::io::Error| format!("cannot start a process that asks: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(["info", "--initialize"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let start = Instant::now();
    while child.try_wait().map_err(failed)?.is_none() {
        if start.elapsed() > DEADLINE {
            // It may end at this very moment; there is nothing left to do either way.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the library did not initialise within {} s", DEADLINE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().map_err(failed)?;
    // A library may print things of its own first.
    let last = output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(last).map_err(|_| "the library could not be initialised without a launcher".to_owned())
}

impl Info {
    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a String takes everything");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let yes = |is| if is { "yes" } else { "no" };
        writeln!(text, "parhelion {}, {} core{}", self.version, self.cores, if self.cores == 1 { "" } else { "s" })?;
        match &self.launcher {
            Some(launcher) => {
                write!(text, "launcher: {}", launcher.name)?;
                if let Some(executable) = &launcher.executable {
                    write!(text, " ({executable})")?;
                }
                if let Some(size) = launcher.size {
                    write!(text, ", {size} processes")?;
                }
                writeln!(text)?;
            }
            None => writeln!(text, "launcher: none, started by hand")?,
        }
        writeln!(text)?;
        writeln!(text, "backends")?;
        for backend in &self.backends {
            let state = if backend.available { "available" } else { "not available" };
            writeln!(text, "  {:6} {state}: {}", backend.name, one_line(&backend.reason))?;
        }
        writeln!(text)?;
        writeln!(text, "MPI library")?;
        let Some(mpi) = &self.mpi else {
            return writeln!(text, "  none: {}", one_line(self.mpi_missing.as_deref().unwrap_or_default()));
        };
        let level = match (&mpi.thread_level, &mpi.not_initialized) {
            (Some(level), _) => format!("{level} (asked: {})", mpi.thread_level_asked),
            (None, why) => format!("not known: {}", one_line(why.as_deref().unwrap_or_default())),
        };
        for (name, value) in [
            ("library", mpi.library.clone()),
            ("where", format!("{} ({})", mpi.path, mpi.found)),
            ("family", mpi.family.to_owned()),
            ("MPI standard", mpi.standard.clone()),
            ("thread level", level),
            ("large counts", yes(mpi.large_counts).to_owned()),
            ("persistent collectives", yes(mpi.persistent_collectives).to_owned()),
            ("CUDA aware", mpi.cuda_aware.map_or("not known", yes).to_owned()),
        ] {
            writeln!(text, "  {name:23} {value}")?;
        }
        Ok(())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
