//! Message sets by MPI's own means.
//!
//! [`requests`]: non-blocking and persistent requests. [`neighbor`]: neighbourhood collectives on a distributed graph.
//! [`one_sided`]: puts and gets, in a [`window`], with an [`announcement`] of them. [`places`]: derived datatypes of layouts.
//!
//! Lengths were agreed when the set was prepared, so that no receive can be overrun, and Open MPI's receives need no guard
//! (see `guard`). All of a set's communication is on the private communicator of its communicator, or on what is made of that.
//!
//! # Giving up
//!
//! A set that is dropped when nothing of it is under way is freed at once. Otherwise it becomes a chore of the runtime, and
//! lives, with its memory, until the library is done with it. Receives are not cancelled: a peer may be sending.

mod announcement;
mod neighbor;
mod one_sided;
mod places;
mod requests;
mod window;

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use mpi_abi::{Datatype, Library};

use self::places::Type;
pub(super) use self::window::{Window, free_all};
use super::comm::{Comm, In};
use super::runtime::{Chore, Runtime};
use crate::backend::Keep;
use crate::backend::prepared::{InPlace, Leg, Order, Prepared, SENDS, Side, Stage, Staging, extent};
use crate::error::Result;
use crate::message_set::Method;

/// Where errors of a set's communication are said to come from.
const OPERATION: &str = "message_set";

/// Prepares a set on `comm`, which carries nothing else. A turn is held.
pub(super) fn prepare(comm: &Arc<Comm>, order: Order) -> Result<Box<dyn Prepared>> {
    match order.method {
        Method::PointToPoint | Method::Persistent => requests::prepare(comm, order),
        Method::Neighbor | Method::PersistentNeighbor => neighbor::prepare(comm, order),
        Method::Pull | Method::Push => one_sided::prepare(comm, order),
    }
}

/// A message as MPI's arguments.
struct Slot {
    peer: c_int,
    at: *mut c_void,
    count: c_int,
    datatype: Datatype,
    /// Where it is, from the memory of its direction.
    offset: usize,
}

/// The messages of a set, and what they need as long as it lives.
struct Messages {
    sends: Vec<Slot>,
    recvs: Vec<Slot>,
    stage: Stage,
    /// What slots point to.
    _memory: [Option<Arc<Staging>>; 2],
    _types: Vec<Arc<Type>>,
}

// SAFETY: the pointers go to memory that this owns, or that the maker of a set in place has vouched for.
unsafe impl Send for Messages {}

impl Messages {
    /// In staging memory of its own.
    fn staged(runtime: &'static Runtime, order: &Order) -> Result<Self> {
        let (outgoing, incoming) = (Staging::new(extent(&order.sends)), Staging::new(extent(&order.recvs)));
        let sides = [outgoing.ptr(), incoming.ptr()];
        Self::at(runtime, order, sides, [Some(outgoing), Some(incoming)])
    }

    /// In memory of these two directions; `memory` is what of it the messages own.
    fn at(
        runtime: &'static Runtime,
        order: &Order,
        sides: [*mut u8; 2],
        memory: [Option<Arc<Staging>>; 2],
    ) -> Result<Self> {
        let mut types = Vec::new();
        let mut slots = |legs: &[Leg], base: *mut u8| {
            let slot = |leg: &Leg| {
                let (count, datatype) = bytes(runtime, leg.bytes, &mut types)?;
                let at = base.wrapping_add(leg.offset).cast();
                Ok(Slot { peer: leg.peer as c_int, at, count, datatype, offset: leg.offset })
            };
            legs.iter().map(slot).collect::<Result<Vec<_>, mpi_abi::Error>>().of(OPERATION)
        };
        let (sends, recvs) = (slots(&order.sends, sides[0])?, slots(&order.recvs, sides[1])?);
        Ok(Messages { sends, recvs, stage: Stage(Some(sides.map(Side::single))), _memory: memory, _types: types })
    }

    /// The messages of a direction.
    fn slots_mut(&mut self, direction: usize) -> &mut [Slot] {
        if direction == SENDS { &mut self.sends } else { &mut self.recvs }
    }

    /// Where the messages of a direction are if they are staged; `None` if the set has no staging memory.
    fn staged_places(&mut self, direction: usize) -> Option<Vec<*mut c_void>> {
        let side = self.stage.0?[direction];
        Some(self.slots_mut(direction).iter().map(|slot| side.at(slot.offset, 0).cast()).collect())
    }

    /// In the caller's memory if it is asked for and MPI can say the layouts, else staged.
    fn placed(runtime: &'static Runtime, order: &Order) -> Result<Self> {
        let Some(InPlace(base)) = order.memory else { return Self::staged(runtime, order) };
        let mut types = Vec::new();
        let mut slots = |legs: &[Leg]| {
            let mut made = Vec::with_capacity(legs.len());
            for leg in legs {
                let peer = leg.peer as c_int;
                let byte = runtime.library.constants().byte;
                if leg.bytes == 0 {
                    made.push(Slot { peer, at: base.cast(), count: 0, datatype: byte, offset: 0 });
                    continue;
                }
                let Some(datatype) = places::of_layouts(runtime, &leg.places).of(OPERATION)? else {
                    return Ok(None);
                };
                made.push(Slot { peer, at: base.cast(), count: 1, datatype: datatype.raw, offset: 0 });
                types.push(datatype);
            }
            Ok(Some(made))
        };
        match (slots(&order.sends)?, slots(&order.recvs)?) {
            (Some(sends), Some(recvs)) => {
                Ok(Messages { sends, recvs, stage: Stage(None), _memory: [None, None], _types: types })
            }
            _ => Self::staged(runtime, order),
        }
    }
}

/// The count and type of a message of `bytes` bytes; a type made for it goes to `types`.
fn bytes(
    runtime: &'static Runtime,
    bytes: usize,
    types: &mut Vec<Arc<Type>>,
) -> Result<(c_int, Datatype), mpi_abi::Error> {
    if bytes <= runtime.max_count {
        return Ok((bytes as c_int, runtime.library.constants().byte));
    }
    let made = places::of_bytes(runtime, bytes)?;
    types.push(made.clone());
    Ok((1, made.raw))
}

/// Frees something of MPI's: now, or where MPI may be called.
fn free(runtime: &'static Runtime, how: impl FnOnce(&Library) + Send + 'static) {
    struct Free<F>(&'static Runtime, Option<F>);
    impl<F: FnOnce(&Library) + Send> Chore for Free<F> {
        fn attempt(&mut self) -> bool {
            if let Some(how) = self.1.take() {
                how(self.0.library);
            }
            true
        }
    }
    let mut chore = Free(runtime, Some(how));
    match runtime.try_turn() {
        Ok(_turn) => {
            chore.attempt();
        }
        Err(_) => runtime.leave(Box::new(chore)),
    }
}

/// A set, or a part of one, that may be given up while under way.
trait Under: Send {
    /// Goes on without waiting: whether the library is done with it. A turn is held.
    fn is_over(&mut self) -> bool;
}

/// A set that nobody waits for, and what it needs until it is over.
struct Given<U: Under> {
    set: Option<Box<U>>,
    keep: Option<Keep>,
}

impl<U: Under> Chore for Given<U> {
    fn attempt(&mut self) -> bool {
        let over = self.set.as_mut().is_none_or(|set| set.is_over());
        if over {
            self.set = None;
            self.keep = None;
        }
        over
    }
}

/// Gives up `set`.
fn give_up<U: Under + 'static>(runtime: &'static Runtime, set: Box<U>, keep: Keep) {
    runtime.leave(Box::new(Given { set: Some(set), keep: Some(keep) }));
}
