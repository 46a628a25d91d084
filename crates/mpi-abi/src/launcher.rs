//! Who started this process, and whether the library found is the one that this launcher serves.
//!
//! An MPI library under a foreign launcher does one of two bad things: every process becomes rank 0 of a world of one,
//! silently, or `MPI_Init` aborts the process. Both are prevented by looking before `MPI_Init`.

use std::path::{Path, PathBuf};

use crate::find::{Search, is_launcher, is_mpich_launcher, is_openmpi_launcher};
use crate::version::Vendor;
use crate::{Error, ErrorKind, Library, process};

/// What started this process, as far as its environment and its ancestors tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launcher {
    /// Which one.
    pub kind: LauncherKind,
    /// This process's rank.
    pub rank: Option<usize>,
    /// How many processes were started together.
    pub size: Option<usize>,
    /// The rank among those of this machine.
    pub local_rank: Option<usize>,
    /// How many are on this machine.
    pub local_size: Option<usize>,
    /// The launcher's executable, where the process table shows one.
    pub executable: Option<PathBuf>,
    /// The version that Open MPI's launcher announces (`5.0.11`), from version 5 on.
    pub version: Option<String>,
}

/// The launchers that are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LauncherKind {
    /// Nothing: started by hand.
    #[default]
    None,
    /// Open MPI's `mpirun` (`prterun` from 5 on, `orterun` before).
    OpenMpi,
    /// MPICH's `mpiexec` (hydra).
    Mpich,
    /// Intel MPI's `mpiexec` (a hydra too).
    Intel,
    /// Slurm's `srun`.
    Slurm,
    /// PyTorch's `torchrun`. It starts processes, but serves no MPI.
    Torchrun,
}

impl std::fmt::Display for LauncherKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "no launcher",
            Self::OpenMpi => "Open MPI's mpirun",
            Self::Mpich => "MPICH's mpiexec",
            Self::Intel => "Intel MPI's mpiexec",
            Self::Slurm => "Slurm's srun",
            Self::Torchrun => "torchrun",
        })
    }
}

impl std::fmt::Display for Launcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind)?;
        match &self.executable {
            Some(executable) => write!(f, " ({})", executable.display()),
            None => Ok(()),
        }
    }
}

impl Launcher {
    /// What started this process. Reads the environment and the process table; initialises nothing.
    #[must_use]
    pub fn detect() -> Self {
        Self::from_environment(&|name| std::env::var(name).ok(), &process::ancestors())
    }

    /// The same from a given environment and given ancestors (executables, the parent first).
    ///
    /// Slurm comes last: inside an allocation its variables are everywhere, whoever starts the processes.
    #[must_use]
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>, ancestors: &[PathBuf]) -> Self {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        let executable = |is: fn(&Path) -> bool| ancestors.iter().find(|path| is(path)).cloned();

        if let Some(rank) = number("OMPI_COMM_WORLD_RANK") {
            return Self {
                kind: LauncherKind::OpenMpi,
                rank: Some(rank),
                size: number("OMPI_COMM_WORLD_SIZE"),
                local_rank: number("OMPI_COMM_WORLD_LOCAL_RANK"),
                local_size: number("OMPI_COMM_WORLD_LOCAL_SIZE"),
                executable: executable(is_openmpi_launcher),
                version: variable("OMPI_VERSION"),
            };
        }
        let slurm_step = number("SLURM_STEP_NUM_TASKS");
        // Slurm's own PMI sets PMI_RANK too; only hydra says where a process is on its machine.
        let hydra = number("PMI_RANK").filter(|_| number("MPI_LOCALRANKID").is_some() || slurm_step.is_none());
        if let Some(rank) = hydra {
            let intel = variable("I_MPI_HYDRA_UUID").is_some();
            return Self {
                kind: if intel { LauncherKind::Intel } else { LauncherKind::Mpich },
                rank: Some(rank),
                size: number("PMI_SIZE"),
                local_rank: number("MPI_LOCALRANKID"),
                local_size: number("MPI_LOCALNRANKS"),
                executable: executable(is_mpich_launcher),
                version: None,
            };
        }
        if let (Some(rank), Some(size), Some(_)) = (number("RANK"), number("WORLD_SIZE"), variable("MASTER_ADDR")) {
            return Self {
                kind: LauncherKind::Torchrun,
                rank: Some(rank),
                size: Some(size),
                local_rank: number("LOCAL_RANK"),
                local_size: number("LOCAL_WORLD_SIZE"),
                ..Self::default()
            };
        }
        // A batch script itself has SLURM_PROCID=0 and the job's SLURM_NTASKS, and was not started by srun.
        let batch_script = slurm_step.is_none() && variable("ENVIRONMENT").as_deref() == Some("BATCH");
        if let Some(rank) = number("SLURM_PROCID").filter(|_| !batch_script) {
            return Self {
                kind: LauncherKind::Slurm,
                rank: Some(rank),
                size: slurm_step.or_else(|| number("SLURM_NTASKS")),
                local_rank: number("SLURM_LOCALID"),
                ..Self::default()
            };
        }
        Self { executable: executable(is_launcher), ..Self::default() }
    }

    /// Whether something started several processes together, or says it could have.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.kind != LauncherKind::None
    }
}

/// Before `MPI_Init`: whether `library` is one that `launcher` serves.
///
/// # Errors
/// [`ErrorKind::LauncherMismatch`], which names both, says what would happen, and what to do.
pub fn check_launcher(library: &Library, launcher: &Launcher) -> Result<(), Error> {
    match mismatch(library.version(), launcher) {
        None => Ok(()),
        Some((consequence, advice)) => Err(ErrorKind::LauncherMismatch {
            launcher: launcher.to_string(),
            library: library.name(),
            consequence,
            advice,
        }
        .into()),
    }
}

const SINGLETONS: &str = "every process would be rank 0 of a world of 1";
const ABORTS: &str = "MPI_Init would abort the process or leave every process alone in a world of 1";

fn mismatch(version: &crate::version::Version, launcher: &Launcher) -> Option<(&'static str, String)> {
    let name = Search::VARIABLE;
    let own = |launcher: &str| {
        format!("use the mpiexec that came with the library, or set {name} to the library that came with {launcher}")
    };
    let openmpi = version.vendor == Vendor::OpenMpi;
    match launcher.kind {
        LauncherKind::OpenMpi if !openmpi => Some((ABORTS, own("this launcher"))),
        LauncherKind::OpenMpi if version.major < 5 && is_prrte(launcher) => Some((
            "MPI_Init would abort the process: Open MPI 4 cannot talk to the launcher of Open MPI 5",
            own("this launcher"),
        )),
        LauncherKind::Mpich | LauncherKind::Intel if openmpi => Some((ABORTS, own("this launcher"))),
        LauncherKind::Torchrun if launcher.size.is_some_and(|size| size > 1) => Some((
            SINGLETONS,
            "torchrun serves no MPI: start the program with mpiexec, or choose another backend".to_owned(),
        )),
        _ => None,
    }
}

/// Whether this is the launcher of Open MPI 5: it announces a version, or its executable is `prterun`.
fn is_prrte(launcher: &Launcher) -> bool {
    let announced = launcher.version.as_deref().and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    let prte = launcher.executable.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    announced.is_some_and(|major| major >= 5) || prte.is_some_and(|name| name.starts_with("prte"))
}

/// After `MPI_Init`: whether the world has the size that the launcher meant.
///
/// # Errors
/// [`ErrorKind::SizeMismatch`].
pub fn check_size(library: &Library, launcher: &Launcher, world: usize) -> Result<(), Error> {
    match launcher.size {
        Some(expected) if expected != world => Err(ErrorKind::SizeMismatch {
            launcher: launcher.to_string(),
            library: library.name(),
            expected,
            actual: world,
            variable: Search::VARIABLE,
        }
        .into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    fn detect(environment: &[(&str, &str)], ancestors: &[&str]) -> Launcher {
        let ancestors: Vec<PathBuf> = ancestors.iter().map(PathBuf::from).collect();
        Launcher::from_environment(
            &|name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            &ancestors,
        )
    }

    fn version(vendor: Vendor, major: u32) -> Version {
        Version { vendor, major, minor: 0, patch: 0 }
    }

    const OPENMPI: &[(&str, &str)] = &[
        ("OMPI_COMM_WORLD_RANK", "2"),
        ("OMPI_COMM_WORLD_SIZE", "4"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
    ];
    const HYDRA: &[(&str, &str)] =
        &[("PMI_RANK", "1"), ("PMI_SIZE", "3"), ("MPI_LOCALRANKID", "1"), ("MPI_LOCALNRANKS", "3")];

    #[test]
    fn open_mpi_is_known_by_its_variables_and_its_executable() {
        let launcher = detect(OPENMPI, &["/bin/sh", "/venv/bin/prterun"]);
        assert_eq!(launcher.kind, LauncherKind::OpenMpi);
        assert_eq!((launcher.rank, launcher.size), (Some(2), Some(4)));
        assert_eq!((launcher.local_rank, launcher.local_size), (Some(1), Some(2)));
        assert_eq!(launcher.to_string(), "Open MPI's mpirun (/venv/bin/prterun)");
    }

    #[test]
    fn hydra_is_mpichs_or_intels() {
        let mpich = detect(HYDRA, &["/venv/bin/hydra_pmi_proxy"]);
        assert_eq!((mpich.kind, mpich.rank, mpich.size), (LauncherKind::Mpich, Some(1), Some(3)));
        let intel = [HYDRA, &[("I_MPI_HYDRA_UUID", "x")]].concat();
        assert_eq!(detect(&intel, &[]).kind, LauncherKind::Intel);
    }

    #[test]
    fn slurm_is_looked_at_last() {
        let allocation = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8"), ("ENVIRONMENT", "BATCH")];
        assert_eq!(detect(&allocation, &[]).kind, LauncherKind::None);
        let inside = [HYDRA, &allocation, &[("SLURM_STEP_NUM_TASKS", "2")]].concat();
        assert_eq!(detect(&inside, &[]).kind, LauncherKind::Mpich);
        let step = [("SLURM_PROCID", "5"), ("SLURM_NTASKS", "8"), ("SLURM_STEP_NUM_TASKS", "6"), ("PMI_RANK", "5")];
        let srun = detect(&step, &[]);
        assert_eq!((srun.kind, srun.rank, srun.size), (LauncherKind::Slurm, Some(5), Some(6)));
    }

    #[test]
    fn torchrun_needs_all_of_its_variables() {
        let all = [("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("MASTER_ADDR", "localhost")];
        assert_eq!(detect(&all, &[]).kind, LauncherKind::Torchrun);
        assert_eq!(detect(&all[..3], &[]).kind, LauncherKind::None);
        assert_eq!(detect(&[], &["/bin/bash"]), Launcher::default());
    }

    #[test]
    fn a_rank_that_is_no_number_is_no_launcher() {
        assert_eq!(detect(&[("OMPI_COMM_WORLD_RANK", "two"), ("PMI_RANK", "-1")], &[]).kind, LauncherKind::None);
    }

    #[test]
    fn every_measured_mismatch_is_caught_and_every_measured_match_let_through() {
        let under_openmpi_5 = detect(OPENMPI, &["/venv/bin/prterun"]);
        let under_openmpi_4 = detect(OPENMPI, &["/venv/bin/orterun_wrapper"]);
        let under_hydra = detect(HYDRA, &["/venv/bin/hydra_pmi_proxy"]);
        let bad = |v: Version, l: &Launcher| mismatch(&v, l).is_some();
        assert!(bad(version(Vendor::Mpich, 4), &under_openmpi_5));
        assert!(bad(version(Vendor::Intel, 2021), &under_openmpi_4));
        assert!(bad(version(Vendor::OpenMpi, 4), &under_openmpi_5));
        assert!(bad(version(Vendor::OpenMpi, 5), &under_hydra));
        assert!(!bad(version(Vendor::OpenMpi, 5), &under_openmpi_4));
        assert!(!bad(version(Vendor::OpenMpi, 5), &under_openmpi_5));
        assert!(!bad(version(Vendor::OpenMpi, 4), &under_openmpi_4));
        assert!(!bad(version(Vendor::Mpich, 3), &under_hydra));
        assert!(!bad(version(Vendor::Intel, 2021), &under_hydra));
        assert!(!bad(version(Vendor::OpenMpi, 5), &Launcher::default()));
    }

    #[test]
    fn open_mpi_5_is_known_by_the_version_it_announces_even_where_the_process_table_is_hidden() {
        let hidden = detect(&[OPENMPI, &[("OMPI_VERSION", "5.0.11")]].concat(), &[]);
        assert!(mismatch(&version(Vendor::OpenMpi, 4), &hidden).is_some());
    }
}
