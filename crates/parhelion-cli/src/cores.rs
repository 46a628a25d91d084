//! How many cores there are, and binding a rank to one.

use std::num::NonZeroUsize;

/// How many this process may use at once; 1 where the system does not tell.
pub(crate) fn number() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// One of the cores that this process may use.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
pub(crate) struct Core(rustix::thread::CpuSet);

#[cfg(target_os = "linux")]
impl Core {
    /// The `rank`-th, counted round.
    ///
    /// # Errors
    /// The system does not tell which there are.
    pub(crate) fn of(rank: usize) -> Result<Self, String> {
        use rustix::thread::{CpuSet, sched_getaffinity};

        let allowed = sched_getaffinity(None).map_err(|error| format!("cannot tell this process's cores: {error}"))?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let core = *cores.get(rank % cores.len().max(1)).ok_or("the system lists no core for this process")?;
        let mut only = CpuSet::new();
        only.set(core);
        Ok(Self(only))
    }

    /// Binds the calling thread to it: one system call.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn bind(&self) -> std::io::Result<()> {
        Ok(rustix::thread::sched_setaffinity(None, &self.0)?)
    }
}

/// Only Linux can be asked here.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy)]
pub(crate) enum Core {}

#[cfg(not(target_os = "linux"))]
impl Core {
    /// Says so.
    pub(crate) fn of(_rank: usize) -> Result<Self, String> {
        Err("binding to cores is supported on Linux only".into())
    }

    /// There is none.
    pub(crate) fn bind(&self) -> std::io::Result<()> {
        match *self {}
    }
}
