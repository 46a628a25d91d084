//! Finding a library: the one named, else the one loaded, else the launcher's, else Python's, else the system's.
//!
//! A [`Search`] is data: where to look, gathered once by [`Search::of_process`]. Looking touches the file system and,
//! for bare sonames, the dynamic linker; it never initialises MPI.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Library, process};

/// Names under which a library is looked for, by soname, when nothing says which one.
const SONAMES: [&str; 5] = ["libmpi.so.40", "libmpi.so.12", "libmpich.so.12", "libmpi_abi.so.1", "libmpi.so"];
const OPENMPI_NAMES: [&str; 2] = ["libmpi.so.40", "libmpi.so"];
/// MPICH 5 and Intel install the classic and the standard library side by side; the classic one has more functions,
/// and Intel's standard one is wrong in some constants.
const MPICH_NAMES: [&str; 4] = ["libmpi.so.12", "libmpich.so.12", "libmpi_abi.so.1", "libmpi.so"];

/// Where to look for an MPI library, in this order.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// 1. A file, a directory that holds one, or a soname. Nothing else is looked at when it is set.
    pub explicit: Option<PathBuf>,
    /// 2. Objects that are loaded in this process; those that are no MPI library are passed over.
    pub loaded: Vec<PathBuf>,
    /// 3. The executable of the launcher that started this process: its `../lib` and the like.
    pub launcher: Option<PathBuf>,
    /// 4. Installation prefixes: active Python environments. Their `lib` is where the wheels put libraries.
    pub prefixes: Vec<PathBuf>,
    /// 5. Names to try with the dynamic linker.
    pub sonames: Vec<String>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For [`Library::open`].
    pub path: PathBuf,
    /// By which step.
    pub how: How,
}

/// The steps of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// It was named by argument or environment.
    Explicit,
    /// It is loaded in this process.
    Loaded,
    /// It belongs to the launcher that started this process.
    Launcher,
    /// It is in the active Python environment.
    Prefix,
    /// The dynamic linker knows it.
    Soname,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Explicit => "named explicitly",
            Self::Loaded => "already loaded in this process",
            Self::Launcher => "belongs to the launcher",
            Self::Prefix => "in the active Python environment",
            Self::Soname => "found by the dynamic linker",
        })
    }
}

impl Search {
    /// The environment variable that names a library.
    pub const VARIABLE: &'static str = "PARHELION_MPI_LIB";

    /// The search that this process's environment and ancestors call for.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            explicit: variable(Self::VARIABLE).map(PathBuf::from),
            loaded: process::mapped_files(),
            launcher: process::ancestors().into_iter().find(|path| is_launcher(path)),
            prefixes: python_prefixes(&variable, std::env::args_os().next()),
            sonames: SONAMES.map(str::to_owned).to_vec(),
        }
    }

    /// The same with `path` (a file, a directory, a soname) instead of what the environment names.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.explicit = Some(path.into());
        self
    }

    /// The first library the steps lead to. Loads nothing but, in the last step, what the dynamic linker finds.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what was tried.
    pub fn find(&self) -> Result<Found, Error> {
        let mut tried = Vec::new();
        self.candidates(&mut tried)
            .into_iter()
            .find(|found| found.how != How::Soname || process::open_object(&found.path).is_ok())
            .ok_or_else(|| not_found(&tried))
    }

    /// Finds and opens: the first library the steps lead to that can be used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with what was tried and why it would not do; where the library was named explicitly, what
    /// [`Library::open`] says of it.
    pub fn open(&self) -> Result<(&'static Library, Found), Error> {
        let mut tried = Vec::new();
        for found in self.candidates(&mut tried) {
            match Library::open(&found.path) {
                Ok(library) => return Ok((library, found)),
                Err(error) if found.how == How::Explicit => return Err(error),
                // A soname that nothing is installed under is the ordinary case, and the list says it was tried.
                Err(_) if found.how == How::Soname => {}
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(not_found(&tried))
    }

    /// Every place worth trying, in order; `tried` gets a line for each step that led nowhere by itself.
    fn candidates(&self, tried: &mut Vec<String>) -> Vec<Found> {
        if let Some(path) = &self.explicit {
            let path = if path.is_dir() {
                let inside = [path.clone(), path.join("lib")].into_iter().find_map(|dir| first_in(&dir, &SONAMES));
                let Some(inside) = inside else {
                    tried.push(format!("{} holds no {}", path.display(), SONAMES.join(", ")));
                    return Vec::new();
                };
                inside
            } else {
                path.clone()
            };
            return vec![Found { path, how: How::Explicit }];
        }
        let mut found: Vec<Found> = Vec::new();
        let mut add = |path: PathBuf, how| found.push(Found { path, how });

        self.loaded.iter().filter(|path| is_mpi_object(path)).for_each(|path| add(path.clone(), How::Loaded));

        if let Some(launcher) = &self.launcher {
            match of_launcher(launcher) {
                Some(path) => add(path, How::Launcher),
                None => tried.push(format!("no library beside the launcher {}", launcher.display())),
            }
        }
        if self.prefixes.is_empty() {
            tried.push("no active Python environment".to_owned());
        }
        for prefix in &self.prefixes {
            match first_in(&prefix.join("lib"), &SONAMES) {
                Some(path) => add(path, How::Prefix),
                None => tried.push(format!("none in {}", prefix.join("lib").display())),
            }
        }
        self.sonames.iter().for_each(|name| add(PathBuf::from(name), How::Soname));
        if !self.sonames.is_empty() {
            tried.push(format!("the dynamic linker offers no usable {}", self.sonames.join(", ")));
        }
        found
    }
}

fn not_found(tried: &[String]) -> Error {
    ErrorKind::NotFound { tried: tried.join("; "), variable: Search::VARIABLE }.into()
}

fn first_in(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|path| path.is_file())
}

/// `libmpi.so*`, `libmpich.so*`, `libmpi_abi.so*`, and such with a hash that wheel tools put in (`libmpi-1a2b.so.12`).
/// Not the bindings (`libmpi_mpifh`, `libmpicxx`), and not `libmpi_ilp64`, whose ints are another size.
fn is_mpi_object(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let Some((stem, _)) = name.split_once(".so") else {
        return false;
    };
    matches!(stem, "libmpi" | "libmpich" | "libmpi_abi")
        || stem.starts_with("libmpi-")
        || stem.starts_with("libmpich-")
        || stem.starts_with("libmpi_abi-")
}

/// Whether this is the executable of an MPI launcher, or of the daemon by which one starts processes.
pub(crate) fn is_launcher(executable: &Path) -> bool {
    is_openmpi_launcher(executable) || is_mpich_launcher(executable)
}

pub(crate) fn is_openmpi_launcher(executable: &Path) -> bool {
    let name = file_name(executable);
    matches!(name, "prterun" | "prte" | "prted" | "orted" | "orte-dvm") || name.starts_with("orterun")
}

pub(crate) fn is_mpich_launcher(executable: &Path) -> bool {
    let name = file_name(executable);
    name.starts_with("hydra_") || matches!(name, "mpiexec.hydra" | "mpiexec.gforker")
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The library installed with a launcher: in its `../lib`, or where Debian puts it.
fn of_launcher(executable: &Path) -> Option<PathBuf> {
    let prefix = executable.parent()?.parent()?;
    let names: &[&str] = if is_openmpi_launcher(executable) { &OPENMPI_NAMES } else { &MPICH_NAMES };
    let multiarch = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    ["lib", "lib64", &multiarch].into_iter().find_map(|dir| first_in(&prefix.join(dir), names))
}

/// `VIRTUAL_ENV`, `CONDA_PREFIX`, and the virtual environment whose interpreter runs us (`venv/bin/python` without
/// activation).
fn python_prefixes(variable: &dyn Fn(&str) -> Option<OsString>, program: Option<OsString>) -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| variable(name)).map(PathBuf::from).collect();
    let own = program.map(PathBuf::from).and_then(|program| Some(program.parent()?.parent()?.to_owned()));
    if let Some(own) = own.filter(|own| own.join("pyvenv.cfg").is_file() && !prefixes.contains(own)) {
        prefixes.push(own);
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory of its own for a test, removed at the end.
    struct Dir(PathBuf);
    impl Dir {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mpi-abi-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the temporary directory is writable");
            Self(path)
        }
        fn file(&self, path: &str) -> PathBuf {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
            fs::write(&path, b"not really a library").expect("writable");
            path
        }
    }
    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn everywhere(dir: &Dir) -> Search {
        dir.file("loaded/libmpi.so.12");
        dir.file("launcher/bin/hydra_pmi_proxy");
        dir.file("launcher/lib/libmpi.so.12");
        dir.file("launcher/lib/libmpi_abi.so.1");
        dir.file("venv/lib/libmpi.so.40");
        Search {
            explicit: Some(dir.file("explicit/libmpi.so.12")),
            loaded: vec![dir.0.join("loaded/libm.so.6"), dir.0.join("loaded/libmpi.so.12")],
            launcher: Some(dir.0.join("launcher/bin/hydra_pmi_proxy")),
            prefixes: vec![dir.0.join("venv")],
            sonames: vec!["libm.so.6".into()],
        }
    }

    #[test]
    fn each_step_comes_before_the_next() {
        let dir = Dir::new("order");
        let mut search = everywhere(&dir);
        let mut expect = |found: &str, how: How, forget: fn(&mut Search)| {
            let expected = if how == How::Soname { PathBuf::from(found) } else { dir.0.join(found) };
            assert_eq!(search.find().expect("there is one"), Found { path: expected, how });
            forget(&mut search);
        };
        expect("explicit/libmpi.so.12", How::Explicit, |s| s.explicit = None);
        expect("loaded/libmpi.so.12", How::Loaded, |s| s.loaded.clear());
        expect("launcher/lib/libmpi.so.12", How::Launcher, |s| s.launcher = None);
        expect("venv/lib/libmpi.so.40", How::Prefix, |s| s.prefixes.clear());
        if cfg!(target_os = "linux") {
            expect("libm.so.6", How::Soname, |s| s.sonames.clear());
        } else {
            search.sonames.clear();
        }
        let error = search.find().unwrap_err().to_string();
        assert!(error.contains("no active Python environment") && error.contains("PARHELION_MPI_LIB"), "{error}");
    }

    #[test]
    fn a_launchers_standard_library_is_taken_only_without_the_classic_one() {
        let dir = Dir::new("abi");
        let launcher = dir.file("bin/hydra_pmi_proxy");
        let abi = dir.file("lib/libmpi_abi.so.1");
        assert_eq!(of_launcher(&launcher), Some(abi));
        let classic = dir.file("lib/libmpi.so.12");
        assert_eq!(of_launcher(&launcher), Some(classic));
        assert_eq!(of_launcher(&dir.file("bin/prterun")), None);
    }

    #[test]
    fn an_explicit_directory_is_looked_into_and_an_empty_one_is_named() {
        let dir = Dir::new("explicit");
        let library = dir.file("prefix/lib/libmpi.so.40");
        let found = Search::default().with_path(dir.0.join("prefix")).find().expect("it is in lib");
        assert_eq!(found, Found { path: library, how: How::Explicit });
        dir.file("empty/readme");
        let error = Search::default().with_path(dir.0.join("empty")).find().unwrap_err();
        assert!(error.to_string().contains("empty holds no libmpi.so.40"), "{error}");
    }

    #[test]
    fn an_explicit_library_that_does_not_load_is_the_error_not_the_next_step() {
        let dir = Dir::new("broken");
        let search = everywhere(&dir);
        let error = search.open().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Load { path, .. } if path.ends_with("explicit/libmpi.so.12")),
            "{error}"
        );
    }

    #[test]
    fn a_broken_library_on_the_way_is_passed_over_and_told_at_the_end() {
        let dir = Dir::new("passed");
        let mut search = everywhere(&dir);
        search.explicit = None;
        search.sonames.clear();
        let error = search.open().unwrap_err().to_string();
        assert!(error.contains("loaded/libmpi.so.12") && error.contains("venv/lib/libmpi.so.40"), "{error}");
    }

    #[test]
    fn bindings_and_wrappers_are_not_the_library() {
        for yes in ["libmpi.so.40", "libmpi.so", "libmpich.so.12", "libmpi_abi.so.1", "libmpi-8ab3.so.12.3"] {
            assert!(is_mpi_object(&Path::new("/x").join(yes)), "{yes}");
        }
        for no in ["libmpi_ilp64.so.4", "libmpicxx.so", "libmpi_mpifh.so.40", "libmpifort.so", "libm.so.6", "libmpi.a"]
        {
            assert!(!is_mpi_object(&Path::new("/x").join(no)), "{no}");
        }
    }

    #[test]
    fn an_interpreters_own_environment_counts_without_activation() {
        let dir = Dir::new("venv");
        dir.file("venv/pyvenv.cfg");
        let python = dir.0.join("venv/bin/python").into_os_string();
        assert_eq!(python_prefixes(&|_| None, Some(python.clone())), [dir.0.join("venv")]);
        let active = |name: &str| (name == "CONDA_PREFIX").then(|| OsString::from("/conda"));
        assert_eq!(python_prefixes(&active, Some(python)), [PathBuf::from("/conda"), dir.0.join("venv")]);
        assert!(python_prefixes(&|_| None, Some("/usr/bin/python3".into())).is_empty());
    }
}
