//! The meeting of all ranks: [`join`].

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::doors::Doors;
use super::guest;
use super::host;
use super::key::JobKey;
use super::member::Member;
use super::seat::Seat;
use super::stream::Stream;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};

/// What a rank knows once all ranks have met.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// Where each rank can be reached, this one included, by rank.
    pub(crate) roster: Vec<Member>,
    /// How long they all take silence for life: the shortest time that any of them was told.
    pub(crate) heartbeat: Duration,
    /// What the ranks that met know and nobody else does.
    pub(crate) key: JobKey,
    /// Where the other ranks knock.
    pub(crate) doors: Doors,
    /// The connections of the meeting, in blocking mode: at rank 0 one to every other rank, elsewhere one to rank 0. No
    /// handshake is due on them.
    pub(crate) star: Vec<(usize, Stream)>,
}

/// Meets the other ranks of the job. Collective; waits for all of them, but not beyond [`Config::join_timeout`].
///
/// # Errors
/// Who did not come, or who came and does not fit; on every rank that waits.
pub(crate) fn join(seat: &Seat, config: &Config) -> Result<Joined> {
    let joined = match &seat.meeting {
        None => alone(seat, config),
        Some(meeting) if seat.rank == 0 => host::join(seat, meeting, config),
        Some(meeting) => guest::join(seat, meeting, config),
    };
    joined.map_err(|text| Error::new("run", ErrorKind::Unavailable(text)).at(BackendKind::Tcp, seat.rank, "world"))
}

/// A job of one rank: nobody comes.
fn alone(seat: &Seat, config: &Config) -> Result<Joined, String> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (doors, member) = Doors::open(here, here).map_err(|e| format!("cannot listen on {here}: {e}"))?;
    Ok(Joined {
        rank: 0,
        size: 1,
        roster: vec![member],
        heartbeat: config.heartbeat,
        key: seat.key.session(&nonce()),
        doors,
        star: Vec::new(),
    })
}

/// A number that no other meeting has.
pub(super) fn nonce() -> [u8; 32] {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).expect("the system has random numbers");
    nonce
}

/// When to give up.
pub(super) fn deadline(config: &Config) -> Instant {
    let now = Instant::now();
    // A year is as good as for ever, and can be added.
    now.checked_add(config.join_timeout).unwrap_or(now + Duration::from_secs(365 * 24 * 3600))
}
