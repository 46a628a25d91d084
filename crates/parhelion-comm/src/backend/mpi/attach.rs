//! Memory of ranks on this node, and signals in it: [`messages::attach`](crate::backend::messages::attach) by MPI's messages.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

use mpi_abi::Status as RawStatus;

use super::comm::Comm;
use super::job;
use super::lane::MpiLane;
use crate::backend::block::Reach;
use crate::backend::messages::{Fault, attach as meeting};
use crate::backend::words::{Awaited, Posts, Sentry};
use crate::error::{Error, ErrorKind, Result};

/// See [`Transport::attach`](crate::backend::Transport::attach). A turn is held.
pub(super) fn attach(comm: &Arc<Comm>, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
    let (lane, peers) = (MpiLane::among_peers(comm, "attach"), peers.to_vec());
    let shared = comm.config.shared_memory;
    let job = Box::pin(async move { meeting::attach(&lane, shared, &peers).await.map_err(Fault::from) });
    job::block_on(job, comm, "attach", drop)
}

/// See [`Transport::signals`](crate::backend::Transport::signals). A turn is held.
pub(super) fn signals(comm: &Arc<Comm>, peers: &[usize], count: usize) -> Result<Posts> {
    let sentry = Box::new(Spinner { comm: comm.clone(), peers: peers.to_vec() });
    let (lane, peers) = (MpiLane::among_peers(comm, "signals"), peers.to_vec());
    let shared = comm.config.shared_memory;
    let job = Box::pin(async move { meeting::signals(&lane, shared, &peers, count).await.map_err(Fault::from) });
    let (own, peers) = job::block_on(job, comm, "signals", drop)?;
    Ok(Posts { own, peers, sentry })
}

/// Waits by looking: nobody can wake a process that sleeps, so it never does.
struct Spinner {
    comm: Arc<Comm>,
    peers: Vec<usize>,
}

impl Sentry for Spinner {
    fn rings(&self) -> bool {
        false
    }

    fn ring(&self) {}

    fn wait(&self, awaited: &Awaited<'_>) -> Result<()> {
        /// Looks before the first yield: some ten microseconds, the length of a short exchange.
        const FIRST: u32 = 1000;
        /// Looks between yields: a rank that shares its core with the one that it waits for should not hold it for long.
        const LATER: u32 = 50;
        let start = Instant::now();
        let mut looks = FIRST;
        loop {
            for _ in 0..looks {
                if awaited.has_come() {
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            looks = LATER;
            self.progress().map_err(|e| e.with_peer(self.peers[awaited.peer]))?;
            std::thread::yield_now();
            if let Some(limit) = self.comm.timeout().filter(|limit| start.elapsed() >= *limit) {
                if awaited.has_come() {
                    return Ok(());
                }
                return Err(Error::new("wait", ErrorKind::Timeout(limit)).with_peer(self.peers[awaited.peer]));
            }
        }
    }

    fn look(&self, awaited: &Awaited<'_>) -> Result<()> {
        self.progress().map_err(|e| e.with_peer(self.peers[awaited.peer]))
    }
}

impl Spinner {
    /// The peer may be waiting for a message of ours, which goes on only inside MPI. A thread that may not call MPI only
    /// waits.
    fn progress(&self) -> Result<()> {
        let runtime = self.comm.runtime;
        let Ok(_turn) = runtime.try_turn() else {
            if runtime.is_over() {
                let text = format!("{} is finalised: nobody will post any more", runtime.library.name());
                return Err(Error::new("wait", ErrorKind::Unsupported(text)));
            }
            return Ok(());
        };
        runtime.progress();
        let (library, mut flag) = (runtime.library, 0);
        let c = library.constants();
        let (any, tag, mut status) = (c.any_source, self.comm.peer_tag() as c_int, RawStatus::default());
        // SAFETY: the places are valid. What it finds stays in its queue; the call is for what MPI does on the way.
        let _ = unsafe { library.iprobe(any, tag, self.comm.shadow, &mut flag, &mut status) };
        Ok(())
    }
}
