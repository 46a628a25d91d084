//! Memory of ranks on this machine, and signals in it: [`messages::attach`](crate::backend::messages::attach) over sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::comm::Comm;
use super::job::block_on;
use super::lane::TcpLane;
use crate::backend::block::Reach;
use crate::backend::messages::{Fault, attach as meeting};
use crate::backend::words::{Awaited, Posts, Sentry};
use crate::error::Result;
use crate::status::Source;

/// See [`Transport::attach`](crate::backend::Transport::attach).
pub(super) fn attach(comm: &Arc<Comm>, peers: &[usize]) -> Result<Vec<Option<Reach>>> {
    let (lane, shared) = (TcpLane::among_peers(comm, "attach"), comm.world.config.shared_memory);
    block_on(comm, "attach", async { meeting::attach(&lane, shared, peers).await.map_err(Fault::from) })
}

/// See [`Transport::signals`](crate::backend::Transport::signals).
pub(super) fn signals(comm: &Arc<Comm>, peers: &[usize], count: usize) -> Result<Posts> {
    let (lane, shared) = (TcpLane::among_peers(comm, "signals"), comm.world.config.shared_memory);
    let job = async { meeting::signals(&lane, shared, peers, count).await.map_err(Fault::from) };
    let (own, words) = block_on(comm, "signals", job)?;
    let sentry = Box::new(Lookout { comm: comm.clone(), peers: peers.to_vec() });
    Ok(Posts { own, peers: words, sentry })
}

/// Waits by looking: nobody can wake a process that waits for a word.
struct Lookout {
    comm: Arc<Comm>,
    peers: Vec<usize>,
}

impl Sentry for Lookout {
    fn rings(&self) -> bool {
        true
    }

    /// Wakes nobody, but lets the engine know that this rank's program is about.
    fn ring(&self) {
        self.comm.engine().come_by();
    }

    fn wait(&self, awaited: &Awaited<'_>) -> Result<()> {
        /// Looks before the first yield: some ten microseconds, the length of a short exchange.
        const FIRST: u32 = 1000;
        /// Looks between yields: a rank that shares its core with the one that it waits for should not hold it for long.
        const LATER: u32 = 50;
        /// After this long without a word, a nap between looks costs little beside what has already passed.
        const AWAKE: Duration = Duration::from_millis(2);
        const NAP: Duration = Duration::from_micros(100);
        let peer = self.peers[awaited.peer];
        let (engine, start) = (self.comm.engine(), Instant::now());
        let mut looks = FIRST;
        loop {
            for _ in 0..looks {
                if awaited.has_come() {
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            looks = LATER;
            // Read before the word: what the peer wrote before it ended is found first.
            let lost = self.comm.lost_source(Source::Rank(peer));
            let late = self.comm.timeout().is_some_and(|limit| start.elapsed() >= limit);
            if awaited.has_come() {
                return Ok(());
            }
            if let Some((rank, how)) = lost {
                return Err(self.comm.loss("wait", rank, how));
            }
            if late {
                return Err(self.comm.late("wait").with_peer(peer));
            }
            // The peer may be waiting for a message of this rank, or end.
            if start.elapsed() < AWAKE {
                engine.progress();
                std::thread::yield_now();
            } else {
                engine.wait_until(Some(NAP), || awaited.has_come());
            }
        }
    }

    fn look(&self, awaited: &Awaited<'_>) -> Result<()> {
        self.comm.engine().progress();
        // Read before the word: what the peer wrote before it ended is found first.
        match self.comm.lost_source(Source::Rank(self.peers[awaited.peer])) {
            Some((rank, how)) if !awaited.has_come() => Err(self.comm.loss("look", rank, how)),
            _ => Ok(()),
        }
    }
}
