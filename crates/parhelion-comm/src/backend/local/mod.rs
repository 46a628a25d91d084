//! Ranks are threads of this process.
//!
//! - [`launch`] starts a thread per rank; [`world`] is what they share.
//! - Point-to-point: a [`message`] goes through the [`ring`] from its sender to its receiver, is matched in the receiver's
//!   [`mailbox`], and is either in the ring's cell (small), in a box (eager), or still in the sender's memory
//!   ([`rendezvous`], one copy). [`send`] and [`receive`] wait for that; [`transport`] puts these together.
//! - Collectives: the ranks of a [`group`] show each other their [`call`]s in a [`meeting`] (blocking) or an [`operation`]
//!   (not), and work on each other's buffers as [`share`] says.
//! - [`signals`]: words that ranks show each other. [`window`]: memory in which ranks reach for each other's parts.
//! - [`wait`]: spinning, parking, lost peers, deadlocks. [`spin`]: a small lock.

mod call;
mod group;
mod mailbox;
mod meeting;
mod message;
mod operation;
mod receive;
mod rendezvous;
mod ring;
mod send;
mod share;
mod signals;
mod spin;
mod stream;
mod transport;
mod wait;
mod window;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::group::Group;
#[cfg(target_os = "linux")]
pub(in crate::backend) use self::spin::full_fence;
use self::transport::Local;
use self::world::World;
use crate::backend::Availability;
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::run::Failure;

/// More threads than this are surely a mistake; tables grow with the square of the ranks.
const MAX_RANKS: usize = 1024;

/// As the main thread usually has: programs that run as one rank should run as several.
const STACK: usize = 8 << 20;

/// Threads are always there.
pub(crate) fn availability(_config: &Config) -> Availability {
    let reason = "threads of this process".to_owned();
    Availability { backend: BackendKind::Local, priority: 10, available: true, reason }
}

/// Runs `main` once per rank, each on a thread of its own; their results in rank order. A panic goes on once all have ended.
pub(crate) fn launch<R, E, F>(config: &Config, main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    let size = match config.ranks {
        Some(ranks) => ranks,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    if !(1..=MAX_RANKS).contains(&size) {
        let text = format!("{size} ranks: the local backend runs 1 to {MAX_RANKS} threads");
        return Err(Error::new("run", ErrorKind::Config(text)));
    }
    let world = Arc::new(World::new(size, config.clone()));
    let group = Group::new(&world, "world", (0..size).collect());
    let rank_main = |rank: usize| {
        world.settle(rank);
        let local = Local { world: world.clone(), group: group.clone(), rank, me: rank };
        let result = catch_unwind(AssertUnwindSafe(|| main(Communicator::new(Box::new(local)))));
        world.end(rank, result.is_err());
        result
    };
    let results = std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(size);
        for rank in 0..size {
            let thread = std::thread::Builder::new().name(format!("rank {rank}")).stack_size(STACK);
            let rank_main = &rank_main;
            match thread.spawn_scoped(scope, move || rank_main(rank)) {
                Ok(handle) => threads.push(handle),
                Err(e) => {
                    // Those that run learn that the rest will not come.
                    (rank..size).for_each(|rank| world.end(rank, false));
                    let text = format!("cannot start a thread for rank {rank} of {size}: {e}");
                    return Err(Error::new("run", ErrorKind::Unavailable(text)));
                }
            }
        }
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| handle.join().and_then(|result| result);
        Ok(threads.into_iter().map(join).collect::<Vec<std::thread::Result<Result<R, E>>>>())
    })?;
    world.clear();
    let mut ended = Vec::with_capacity(size);
    for (rank, result) in results.into_iter().enumerate() {
        match result {
            Ok(result) => ended.push(result.map_err(|error| {
                let lost_peer = world.ranks[rank].saw_loss.load(Ordering::Relaxed);
                Failure { error, lost_peer }
            })),
            Err(payload) => resume_unwind(payload),
        }
    }
    Ok(ended)
}
