//! How the ranks of a job find each other, and how they know each other from strangers.
//!
//! - [`seat`](mod@seat): which rank this process is, from the environment; [`meeting`]: where the ranks meet; [`secret`]: the
//!   file that the ranks share.
//! - [`handshake`]: before any other byte of a connection is looked at, both ends prove that they know the [`key`].
//! - [`rendezvous`]: rank 0 is the [`host`], which receives every [`visitor`]; the others are its [`guest`]s. Those who have proved
//!   themselves say where they can be reached ([`member`]), and the host tells all ([`message`]).
//! - [`stream`]: a connection. [`doors`]: where other ranks knock afterwards.

mod doors;
#[cfg(any(fuzzing, test))]
pub(super) mod fuzz;
mod guest;
mod handshake;
mod host;
mod key;
mod meeting;
mod member;
mod message;
mod rendezvous;
mod seat;
mod secret;
mod stream;
#[cfg(test)]
mod tests;
mod visitor;

pub(super) use self::doors::Doors;
pub(super) use self::handshake::Handshake;
pub(super) use self::key::JobKey;
#[cfg(test)]
pub(super) use self::member::UnixName;
pub(super) use self::member::{HostId, Member};
pub(super) use self::rendezvous::{Joined, join};
pub(super) use self::seat::{is_named, seat};
pub(super) use self::stream::{Stream, is_shortage};
