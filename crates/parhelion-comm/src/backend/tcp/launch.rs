//! Joining the other ranks, and leaving together.
//!
//! A rank that fails must not leave the others waiting: it tells them at once, and whoever waits for it, or for a collective
//! that it was to take part in, fails with its loss.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::comm::{Comm, World};
use super::engine::Engine;
use super::join::{self, Member};
use super::transport::TcpTransport;
use crate::communicator::Communicator;
use crate::config::Config;
use crate::error::Result;
use crate::run::Failure;

/// How long a rank that failed because of another stays behind.
const BEHIND: Duration = Duration::from_millis(100);

/// Runs `main` as this process's rank.
pub(crate) fn launch<R, E, F>(config: &Config, main: F) -> Result<Vec<Result<R, Failure<E>>>>
where
    R: Send,
    E: Send + std::fmt::Display,
    F: Fn(Communicator) -> Result<R, E> + Sync,
{
    let seat = join::seat(&super::variable, config)?;
    let joined = join::join(&seat, config)?;
    let hosts = hosts(&joined.roster);
    let engine = Engine::start(joined, config)?;
    let world = World::new(engine.clone(), config.clone(), hosts);
    let communicator = Communicator::new(Box::new(TcpTransport(Comm::of_world(world.clone()))));

    let outcome = catch_unwind(AssertUnwindSafe(|| main(communicator)));
    let lost_peer = world.saw_loss.load(Ordering::Relaxed);
    let failed = !matches!(outcome, Ok(Ok(_)));
    if lost_peer && failed {
        // First the others hear of that end itself, not of this one; and whoever looks which process ended first sees the cause.
        engine.wait_until(Some(BEHIND), || false);
    }
    if !failed {
        engine.finish(|| world.in_flight.load(Ordering::Relaxed) == 0);
    }
    engine.leave(!failed);
    match outcome {
        Ok(result) => Ok(vec![result.map_err(|error| Failure { error, lost_peer })]),
        Err(payload) => resume_unwind(payload),
    }
}

/// For each rank, the first one of its machine. One of which nothing is known is alone.
fn hosts(roster: &[Member]) -> Vec<usize> {
    let host = |member: &Member| member.unix.as_ref().map(|(host, _)| *host);
    let first = |(rank, member): (usize, &Member)| {
        let here = host(member);
        let known = roster[..rank].iter().position(|other| here.is_some() && host(other) == here);
        known.unwrap_or(rank)
    };
    roster.iter().enumerate().map(first).collect()
}
