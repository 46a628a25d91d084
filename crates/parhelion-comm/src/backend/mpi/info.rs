//! What there is to know of the MPI library here, without initialising it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use mpi_abi::{Found, How, Launcher, LauncherKind, Library, Search, Vendor};

use crate::backend::Availability;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};

/// An MPI library and what it can do; see [`mpi_info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MpiInfo {
    /// The file.
    pub path: PathBuf,
    /// By which step of the search it was found, in words.
    pub how_found: String,
    /// The ABI it speaks: `mpich`, `openmpi`, or `mpi5` (the standard ABI).
    pub family: String,
    /// Vendor and version, as [`Communicator::library`](crate::Communicator::library) says them.
    pub version: String,
    /// The version of the MPI standard, as `4.1`.
    pub standard: String,
    /// Whether it counts in 64 bits (`MPI_Send_c` and the like).
    pub large_counts: bool,
    /// Whether it has persistent collectives.
    pub persistent_collectives: bool,
    /// Whether it takes device pointers, where it can be asked.
    pub cuda_aware: Option<bool>,
    /// The MPI launcher that started this process, in words.
    pub launcher: Option<String>,
}

/// Finds the MPI library that the `mpi` backend would use and says what it can do. Loads it, initialises nothing.
///
/// # Errors
/// [`ErrorKind::Unavailable`]: none is found, or it cannot be loaded; the text says what was tried.
pub fn mpi_info(config: &Config) -> Result<MpiInfo> {
    let (library, found) = open(config)?;
    let (major, minor) = library.standard();
    Ok(MpiInfo {
        path: library.path().to_owned(),
        how_found: found.how.to_string(),
        family: library.family().to_string(),
        version: library_name(library),
        standard: format!("{major}.{minor}"),
        large_counts: library.supports_large_counts(),
        persistent_collectives: library.has_persistent_collectives(),
        cuda_aware: library.cuda_aware(),
        launcher: launcher(),
    })
}

/// The library of this configuration, loaded.
pub(super) fn open(config: &Config) -> Result<(&'static Library, Found)> {
    let search = Search::of_process();
    let search = match &config.mpi_library {
        Some(path) => search.with_path(path),
        None => search,
    };
    let (library, mut found) = search.open().map_err(|e| Error::new("run", ErrorKind::Unavailable(e.to_string())))?;
    // Whoever asks again would only hear that it is loaded.
    static FIRST: Mutex<Vec<(&'static Library, How)>> = Mutex::new(Vec::new());
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    match first.iter().find(|(known, _)| std::ptr::eq(*known, library)) {
        Some(&(_, how)) => found.how = how,
        None => first.push((library, found.how)),
    }
    Ok((library, found))
}

/// `mpich-5.0.2`, and whether that is its standard ABI.
pub(super) fn library_name(library: &Library) -> String {
    let version = library.version();
    let vendor = match version.vendor {
        Vendor::OpenMpi => "openmpi",
        Vendor::Mpich => "mpich",
        Vendor::Intel => "intelmpi",
        _ => "mpi",
    };
    let abi = match library.family() {
        mpi_abi::Family::Mpi5 => " (standard ABI)",
        _ => "",
    };
    format!("{vendor}-{}.{}.{}{abi}", version.major, version.minor, version.patch)
}

/// Whether the `mpi` backend can be used here. Loads the library, initialises nothing.
pub(crate) fn availability(config: &Config) -> Availability {
    let (available, reason) = match open(config) {
        Err(e) => (false, e.kind().to_string()),
        Ok((library, found)) => match mpi_abi::check_launcher(library, &Launcher::detect()) {
            Err(e) => (false, e.to_string()),
            Ok(()) if library.is_finalized() => {
                (false, format!("{} is finalised in this process, which is for good", library.name()))
            }
            Ok(()) => {
                let (name, path) = (library_name(library), library.path().display());
                (true, format!("{name} at {path}, {}", found.how))
            }
        },
    };
    Availability { backend: BackendKind::Mpi, priority: 20, available, reason }
}

/// The MPI launcher that started this process, in words, if one did. Slurm counts if it started several processes;
/// torchrun does not, since it serves no MPI.
pub(crate) fn launcher() -> Option<String> {
    let launcher = Launcher::detect();
    let counts = match launcher.kind {
        LauncherKind::None | LauncherKind::Torchrun => false,
        LauncherKind::Slurm => launcher.size.is_some_and(|size| size > 1),
        _ => true,
    };
    counts.then(|| launcher.kind.to_string())
}
