//! A loaded library: opening it, telling its family, asking what it can do.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::constants::Constants;
use crate::functions::{Table, Tables};
use crate::status::Length;
use crate::version::{Vendor, Version};
use crate::{Error, ErrorKind, process};

/// Which ABI a library speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Handles are `int`: MPICH 3.4 to 5, Intel MPI, and others derived from them.
    Mpich,
    /// Handles are pointers to exported objects: Open MPI 4.1 and 5.0.
    OpenMpi,
    /// The standard ABI of MPI 5.0: handles are pointers with fixed values for what is predefined.
    Mpi5,
}

impl Family {
    /// Whether handles are as wide as `int`.
    #[must_use]
    pub fn is_narrow(self) -> bool {
        self == Self::Mpich
    }

    /// The family's name in messages: `mpich`, `openmpi`, `mpi5`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mpich => "mpich",
            Self::OpenMpi => "openmpi",
            Self::Mpi5 => "mpi5",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An MPI library in this process, for as long as the process lives.
///
/// One value per loaded library; compare by address or [`Library::path`]. Its methods are in two layers: the MPI
/// functions themselves, `unsafe`, one per function of the standard and named like it without `MPI_`; and safe
/// questions about the library.
pub struct Library {
    family: Family,
    version: Version,
    version_text: String,
    standard: (c_int, c_int),
    path: PathBuf,
    name: &'static str,
    pub(crate) constants: Constants,
    tables: Tables,
    special: Special,
    /// In mpi5, what `find_lengths` has found.
    pub(crate) length: OnceLock<Length>,
    /// Where `MPI_Init` lies: what tells two loaded libraries apart.
    identity: usize,
}

/// The functions that return no error code, and those from which an error is made: they must not make errors themselves.
struct Special {
    wtime: unsafe extern "C" fn() -> f64,
    wtick: unsafe extern "C" fn() -> f64,
    initialized: unsafe extern "C" fn(*mut c_int) -> c_int,
    finalized: unsafe extern "C" fn(*mut c_int) -> c_int,
    error_class: unsafe extern "C" fn(c_int, *mut c_int) -> c_int,
    error_string: unsafe extern "C" fn(c_int, *mut c_char, *mut c_int) -> c_int,
    query_cuda: Option<unsafe extern "C" fn() -> c_int>,
}

static LOADED: Mutex<Vec<&'static Library>> = Mutex::new(Vec::new());

impl Library {
    /// Loads the MPI library at `path` (or of that soname), or finds it where it is loaded already.
    ///
    /// Does not initialise MPI. The library is never unloaded. The same library, by whatever path, gives the same
    /// reference.
    ///
    /// # Errors
    /// [`ErrorKind::Load`] when the dynamic linker refuses, [`ErrorKind::NotMpi`] when the object is no MPI library of a
    /// family that this crate knows or lacks a function that all of them have.
    pub fn open(path: impl AsRef<Path>) -> Result<&'static Self, Error> {
        let path = path.as_ref();
        let object = process::open_object(path)
            .map_err(|error| ErrorKind::Load { path: path.to_owned(), reason: whole(&error) })?;
        // Never unloaded: MPI libraries leave threads, exit handlers and shared memory behind.
        let object: &'static libloading::Library = Box::leak(Box::new(object));
        let address = |symbol: &str| address_of(object, symbol);

        let not_mpi = |reason: String| ErrorKind::NotMpi { path: path.to_owned(), reason };
        let identity = address("MPI_Init").ok_or_else(|| not_mpi("it has no MPI_Init".to_owned()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.iter().find(|known| known.identity == identity) {
            return Ok(known);
        }
        let library = Self::load(path, identity, &address).map_err(not_mpi)?;
        let library: &'static Self = Box::leak(Box::new(library));
        loaded.push(library);
        Ok(library)
    }

    /// `Err` is what is wrong with the object.
    fn load(path: &Path, identity: usize, address: &dyn Fn(&str) -> Option<usize>) -> Result<Self, String> {
        let lacks = |symbol: &str| format!("it has no {symbol}");
        let family = detect_family(address)?;
        let version_text = version_text(address).ok_or_else(|| lacks("MPI_Get_library_version"))?;
        let version = Version::parse(&version_text);
        let constants = Constants::load(family, &version, &|symbol| address(symbol)).map_err(lacks)?;
        let lookup = |names: &'static [&'static str]| {
            names.iter().find_map(|name| address(name)).and_then(|address| NonNull::new(address as *mut ()))
        };
        let tables = if family.is_narrow() {
            Tables::Narrow(Table::load(&lookup).map_err(lacks)?)
        } else {
            Tables::Wide(Table::load(&lookup).map_err(lacks)?)
        };
        let special = Special::load(address).map_err(lacks)?;
        let path = process::path_of_address(identity).unwrap_or_else(|| path.to_owned());
        let name = Box::leak(format!("{version} ({})", path.display()).into_boxed_str());
        let mut library = Self {
            family,
            version,
            version_text,
            standard: (0, 0),
            path,
            name,
            constants,
            tables,
            special,
            length: OnceLock::new(),
            identity,
        };
        let (mut major, mut minor) = (0, 0);
        // SAFETY: MPI_Get_version may be called at any time; the places are valid.
        unsafe { library.get_version(&mut major, &mut minor) }.map_err(|error| error.to_string())?;
        library.standard = (major, minor);
        Ok(library)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Which ABI it speaks.
    #[inline]
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Who made it, and its version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The text of `MPI_Get_library_version`.
    #[must_use]
    pub fn version_text(&self) -> &str {
        &self.version_text
    }

    /// The version of the MPI standard that it implements, by its own word: `(3, 1)`, say.
    #[must_use]
    pub fn standard(&self) -> (c_int, c_int) {
        self.standard
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Vendor, version and path, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has the `_c` functions, whose counts are 64 bits wide.
    #[must_use]
    pub fn supports_large_counts(&self) -> bool {
        self.has("MPI_Send_c") && self.has("MPI_Allreduce_c")
    }

    /// Whether it has persistent collectives (under either name).
    #[must_use]
    pub fn has_persistent_collectives(&self) -> bool {
        self.has("MPI_Allreduce_init")
    }

    /// Whether it says that it takes device pointers; `None` when it cannot be asked.
    ///
    /// MPICH before 4 dies when asked, and later ones die when asked while MPI is not active; Intel's was never
    /// measured; the standard ABI has no such question.
    #[must_use]
    pub fn cuda_aware(&self) -> Option<bool> {
        let safe = match self.version.vendor {
            Vendor::OpenMpi => true,
            Vendor::Mpich => self.family == Family::Mpich && self.version.major >= 4 && self.is_active(),
            Vendor::Intel | Vendor::Other => false,
        };
        let query = self.special.query_cuda.filter(|_| safe)?;
        // SAFETY: `int MPIX_Query_cuda_support(void)` in the libraries let through above, which may be called now.
        Some(unsafe { query() } == 1)
    }

    /// Whether MPI was initialised in this process, by whomever.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        let mut flag = 0;
        // SAFETY: MPI_Initialized may be called at any time, from any thread.
        unsafe { (self.special.initialized)(&mut flag) == 0 && flag != 0 }
    }

    /// Whether MPI was finalised in this process, by whomever.
    #[must_use]
    pub fn is_finalized(&self) -> bool {
        let mut flag = 0;
        // SAFETY: MPI_Finalized may be called at any time, from any thread.
        unsafe { (self.special.finalized)(&mut flag) == 0 && flag != 0 }
    }

    /// Whether MPI calls may be made: initialised, and not finalised.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_initialized() && !self.is_finalized()
    }

    /// `MPI_Wtime`: seconds since some moment in the past.
    ///
    /// # Safety
    /// MPI must be active.
    #[inline]
    #[must_use]
    pub unsafe fn wtime(&self) -> f64 {
        // SAFETY: the symbol is `double MPI_Wtime(void)`, and the caller says that MPI is active.
        unsafe { (self.special.wtime)() }
    }

    /// `MPI_Wtick`: the resolution of `MPI_Wtime` in seconds.
    ///
    /// # Safety
    /// MPI must be active.
    #[must_use]
    pub unsafe fn wtick(&self) -> f64 {
        // SAFETY: the symbol is `double MPI_Wtick(void)`, and the caller says that MPI is active.
        unsafe { (self.special.wtick)() }
    }

    /// `MPI_Error_class`, its return value unexamined.
    pub(crate) unsafe fn raw_error_class(&self, code: c_int, class: &mut c_int) -> c_int {
        // SAFETY: the symbol has this signature; the caller says that MPI is active.
        unsafe { (self.special.error_class)(code, class) }
    }

    /// `MPI_Error_string`, its return value unexamined.
    pub(crate) unsafe fn raw_error_string(&self, code: c_int, text: *mut c_char, length: &mut c_int) -> c_int {
        // SAFETY: the symbol has this signature; the caller gives MPI_MAX_ERROR_STRING bytes and says MPI is active.
        unsafe { (self.special.error_string)(code, text, length) }
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("name", &self.name).field("family", &self.family).finish_non_exhaustive()
    }
}

impl Special {
    fn load(address: &dyn Fn(&str) -> Option<usize>) -> Result<Self, &'static str> {
        let get = |symbol: &'static str| address(symbol).ok_or(symbol);
        // SAFETY: functions of these names have these signatures in every MPI library.
        unsafe {
            Ok(Self {
                wtime: std::mem::transmute::<usize, unsafe extern "C" fn() -> f64>(get("MPI_Wtime")?),
                wtick: std::mem::transmute::<usize, unsafe extern "C" fn() -> f64>(get("MPI_Wtick")?),
                initialized: std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_int) -> c_int>(get(
                    "MPI_Initialized",
                )?),
                finalized: std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_int) -> c_int>(get(
                    "MPI_Finalized",
                )?),
                error_class: std::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut c_int) -> c_int>(get(
                    "MPI_Error_class",
                )?),
                error_string: std::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut c_char, *mut c_int) -> c_int>(
                    get("MPI_Error_string")?,
                ),
                query_cuda: address("MPIX_Query_cuda_support")
                    .map(|p| std::mem::transmute::<usize, unsafe extern "C" fn() -> c_int>(p)),
            })
        }
    }
}

/// An error with its causes: libloading keeps what the dynamic linker said in the source.
fn whole(error: &libloading::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn address_of(object: &libloading::Library, symbol: &str) -> Option<usize> {
    let name = CString::new(symbol).ok()?;
    // SAFETY: the symbol is only taken as an address here; whoever casts it answers for its type.
    let address = unsafe { object.get::<*mut c_void>(name.as_bytes_with_nul()).ok()?.try_as_raw_ptr()? } as usize;
    (address != 0).then_some(address)
}

/// The steps and their order were found on ten libraries. That `MPI_Abi_get_version` exists proves nothing: MPICH 5's
/// classic library exports it too, and answers (-1, -1).
fn detect_family(address: &dyn Fn(&str) -> Option<usize>) -> Result<Family, String> {
    if address("ompi_mpi_comm_world").is_some() {
        return Ok(Family::OpenMpi);
    }
    if address("MPI_UNWEIGHTED").is_some() {
        return Ok(Family::Mpich);
    }
    let Some(query) = address("MPI_Abi_get_version") else {
        return Err(
            "it is of no known family (no ompi_mpi_comm_world, no MPI_UNWEIGHTED, no MPI_Abi_get_version)".to_owned()
        );
    };
    let (mut major, mut minor) = (-1, -1);
    // SAFETY: `int MPI_Abi_get_version(int *, int *)` in MPI 5; it may be called before initialisation.
    let code = unsafe {
        std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int>(query)(
            &mut major, &mut minor,
        )
    };
    if code == 0 && major == 1 {
        Ok(Family::Mpi5)
    } else {
        Err(format!("it speaks version {major}.{minor} of the standard ABI, and this program 1.x"))
    }
}

fn version_text(address: &dyn Fn(&str) -> Option<usize>) -> Option<String> {
    let query = address("MPI_Get_library_version")?;
    // MPI_MAX_LIBRARY_VERSION_STRING is 256 or 8192, by family.
    let mut bytes = vec![0u8; 8193];
    let mut length: c_int = 0;
    // SAFETY: `int MPI_Get_library_version(char *, int *)`; it may be called before initialisation, and the buffer is
    // larger than any family's limit.
    let code = unsafe {
        std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int>(query)(
            bytes.as_mut_ptr().cast(),
            &mut length,
        )
    };
    bytes.truncate(if code == 0 { length.clamp(0, 8192) as usize } else { 0 });
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn abi_1_0(major: *mut c_int, minor: *mut c_int) -> c_int {
        // SAFETY: the caller gives two valid places.
        unsafe { (*major, *minor) = (1, 0) };
        0
    }
    extern "C" fn abi_none(major: *mut c_int, minor: *mut c_int) -> c_int {
        // SAFETY: the caller gives two valid places.
        unsafe { (*major, *minor) = (-1, -1) };
        0
    }

    fn symbols<'a>(present: &'a [(&'a str, usize)]) -> impl Fn(&str) -> Option<usize> + 'a {
        move |symbol| present.iter().find(|(name, _)| *name == symbol).map(|(_, address)| *address)
    }

    #[test]
    fn the_family_is_told_by_symbols_and_by_the_abi_versions_answer() {
        let yes = abi_1_0 as extern "C" fn(*mut c_int, *mut c_int) -> c_int as usize;
        let no = abi_none as extern "C" fn(*mut c_int, *mut c_int) -> c_int as usize;
        let family = |present: &[(&str, usize)]| detect_family(&symbols(present));
        assert_eq!(family(&[("ompi_mpi_comm_world", 1), ("MPI_Abi_get_version", yes)]), Ok(Family::OpenMpi));
        assert_eq!(family(&[("MPI_UNWEIGHTED", 1)]), Ok(Family::Mpich));
        assert_eq!(family(&[("MPI_UNWEIGHTED", 1), ("MPI_Abi_get_version", no)]), Ok(Family::Mpich));
        assert_eq!(family(&[("MPI_Abi_get_version", yes)]), Ok(Family::Mpi5));
        assert!(family(&[("MPI_Abi_get_version", no)]).unwrap_err().contains("version -1.-1"));
        assert!(family(&[]).unwrap_err().contains("no known family"));
    }

    #[test]
    fn a_table_without_a_required_function_names_it() {
        let all_but_send = |names: &'static [&'static str]| (names[0] != "MPI_Send").then_some(NonNull::dangling());
        assert_eq!(Table::<c_int>::load(&all_but_send).err(), Some("MPI_Send"));
        let all_but_optional =
            |names: &'static [&'static str]| (!names[0].ends_with("_c")).then_some(NonNull::dangling());
        assert!(Table::<usize>::load(&all_but_optional).is_ok());
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error_with_its_path() {
        let error = Library::open("/nonexistent/libmpi.so.40").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Load { .. }));
        let text = error.to_string();
        assert!(text.starts_with("cannot load /nonexistent/libmpi.so.40: "), "{text}");
        // The dynamic linker's own words, not only that it failed.
        if cfg!(target_os = "linux") {
            assert!(text.contains("No such file"), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_not_mpi_is_an_error_that_says_so() {
        let error = Library::open("libm.so.6").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotMpi { .. }), "{error}");
        assert!(error.to_string().contains("no MPI_Init"));
    }
}
