//! Binding a rank to a core.

use crate::error::{Error, Result};

/// Binds the calling thread to one of the cores it may use: the `rank`-th, counted round.
///
/// # Errors
/// The system refuses, or has no such call.
#[cfg(target_os = "linux")]
pub(super) fn to_one_core(rank: usize) -> Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let refused = |error: rustix::io::Errno| Error::Input(format!("--pin: cannot bind rank {rank} to a core: {error}"));
    let allowed = sched_getaffinity(None).map_err(refused)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let Some(core) = cores.get(rank % cores.len().max(1)) else {
        return Err(Error::Input("--pin: the system lists no core for this process".into()));
    };
    let mut only = CpuSet::new();
    only.set(*core);
    sched_setaffinity(None, &only).map_err(refused)
}

/// Only Linux can be asked here.
#[cfg(not(target_os = "linux"))]
pub(super) fn to_one_core(_rank: usize) -> Result<()> {
    Err(Error::Input("--pin: binding to cores is supported on Linux only".into()))
}
