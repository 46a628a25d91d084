//! Collectives by messages: what every backend has that can send and receive.
//!
//! An algorithm is an `async` function on a [`Lane`], whose only awaits are messages under way, so that whoever carries it out may
//! ask it again and again, among other things, and need not wait for it. A backend supplies the lanes and asks; where it can
//! do better than an algorithm here, it does. [`by_messages`] is the whole of a collective, [`check`] the comparison of its
//! arguments before. Which algorithm that is, [`choice`] says. [`attach`] is how ranks of one node find each other's memory.
//!
//! Of [`combine`], rank order: elements are combined as the ranks are numbered, but for [`ring`], which begins with each rank for
//! some of them; and all ranks get the same bits.

mod all_reduce;
pub(crate) mod attach;
pub(crate) mod call;
mod check;
pub(crate) mod choice;
pub(crate) mod combine;
pub(crate) mod exchange;
pub(crate) mod group;
mod movement;
pub(crate) mod place;
mod ring;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::future::Future;

pub(crate) use self::call::Call;
pub(crate) use self::check::check;
use self::combine::{flat, in_steps, is_flat};
use self::movement::movement;
use self::place::Place;
use crate::error::{Error, ErrorKind, Result};

/// The private messages of one operation: no others are under way on it. Between two ranks they arrive in order.
pub(crate) trait Lane: Send + Sync {
    /// A message under way. Awaiting it gives its length; dropped early, it goes on with the memory that its place keeps,
    /// and where that is borrowed the drop waits.
    type Flight: Future<Output = Result<usize>> + Send;

    /// This rank.
    fn rank(&self) -> usize;
    /// The number of ranks.
    fn size(&self) -> usize;
    /// The operation, for errors.
    fn operation(&self) -> &'static str;
    /// Starts to send `from`, all of it.
    fn send(&self, from: &Place, dest: usize) -> Result<Self::Flight>;
    /// Starts to receive up to `into`.
    fn recv(&self, into: &Place, source: usize) -> Result<Self::Flight>;

    /// A message of another length than the call's arguments say: ranks disagree, and nothing checked it.
    fn unexpected(&self, source: usize, expected: usize, got: usize) -> Error {
        let text = format!(
            "rank {source} passed {got} bytes where rank {} expects {expected}; PARHELION_CHECK=1 says more",
            self.rank()
        );
        Error::new(self.operation(), ErrorKind::Mismatch(text))
    }
}

/// Why a collective ended.
pub(crate) enum Fault {
    Error(Error),
    /// An operator of this rank panicked. The other ranks have been told, and the panic goes on here.
    Panic(Box<dyn Any + Send>),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Error(error)
    }
}

impl Fault {
    /// The error, or the panic again.
    pub(crate) fn surface(self) -> Error {
        match self {
            Fault::Error(error) => error,
            Fault::Panic(payload) => std::panic::resume_unwind(payload),
        }
    }
}

/// What a collective amounts to.
pub(crate) type Outcome<T = ()> = Result<T, Fault>;

/// Awaits all, however the first ones end: the first error.
pub(crate) async fn all<F: Future<Output = Result<usize>>>(flights: Vec<F>) -> Result<()> {
    let mut result = Ok(());
    for flight in flights {
        let ended = flight.await;
        result = result.and(ended.map(|_| ()));
    }
    result
}

/// Carries out `call`. With `at_once` it is started whole, where that takes no more than [`combine::FLAT_BYTES`]: what needs
/// no step after the first goes on without being asked.
///
/// # Safety
/// Everything in `call` lives until this is done or dropped.
pub(crate) async unsafe fn by_messages<L: Lane>(lane: &L, call: &Call, at_once: bool) -> Outcome {
    if call.kernel.is_none() {
        return Ok(movement(lane, call, at_once).await?);
    }
    match at_once && is_flat(lane, call) {
        true => flat(lane, call).await,
        false => in_steps(lane, call).await,
    }
}
