//! How the ranks of a job find each other, and how they know each other from strangers.
//!
//! - [`seat`](mod@seat): which rank this process is, and where the ranks meet, from the environment.
//! - [`rendezvous`]: rank 0 listens, the others dial; all come away with the [`roster`](mod@member).
//! - [`handshake`]: before any other byte of a connection is looked at, both ends prove that they know the [`key`].
//! - [`stream`]: a connection.

mod handshake;
mod key;
mod member;
mod rendezvous;
mod seat;
mod stream;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

pub(super) use self::key::JobKey;
pub(super) use self::member::Member;
pub(super) use self::rendezvous::join;
pub(super) use self::seat::{Seat, is_named, seat};
pub(super) use self::stream::Stream;
#[allow(unused_imports, reason = "the engine is what uses connections")]
pub(super) use self::{
    handshake::{Handshake, Refusal},
    member::{HostId, UnixName},
};

/// What a rank knows once all ranks have met.
pub(super) struct Joined {
    pub(super) rank: usize,
    pub(super) size: usize,
    /// Where each rank can be reached, this one included, by rank.
    pub(super) roster: Vec<Member>,
    /// What the ranks of this job know and nobody else does; not the key of the rendezvous.
    pub(super) key: JobKey,
    /// Where the other ranks knock.
    pub(super) doors: Doors,
    /// The connections of the rendezvous, in blocking mode: at rank 0 one to every other rank, elsewhere one to rank 0. No
    /// handshake is due on them.
    pub(super) star: Vec<(usize, Stream)>,
}

/// Where the other ranks knock; both are non-blocking.
pub(super) struct Doors {
    pub(super) tcp: TcpListener,
    /// None where the system has no abstract names, or none that is good elsewhere on this host.
    pub(super) unix: Option<UnixListener>,
}
