//! What the cases share: values that tell cells apart, arrays of them, and how a case fails.

use std::fmt::Display;
use std::panic::Location;

use parhelion_comm::conformance::{Halt, Outcome};
use parhelion_comm::{Communicator, Element};

use crate::array::Decomposition;
use crate::array::DistArray;
use crate::halo::{Packing, Scheme, Settings};

/// Every scheme with every packing.
pub(super) fn all_settings() -> impl Iterator<Item = Settings> {
    let with = |packing| Scheme::ALL.into_iter().map(move |s| Settings::from(s).packing(packing));
    with(Packing::Packed).chain(with(Packing::Datatype))
}

/// Ends the case unless the condition holds.
#[track_caller]
pub(super) fn ensure(holds: bool, text: impl Display) -> Outcome {
    if holds {
        return Ok(());
    }
    let at = Location::caller();
    let file = at.file().rsplit(['/', '\\']).next().unwrap_or_default();
    Err(Halt::Failed(format!("{file}:{}: {text}", at.line())))
}

/// Bytes that depend on the index and the salt, as an element of any type.
pub(super) fn value<T: Element, const D: usize>(index: [i64; D], salt: u64) -> T {
    let mut state = salt;
    for i in index {
        state = mix(state ^ i as u64);
    }
    let mut value = T::zeroed();
    for chunk in bytemuck::bytes_of_mut(&mut value).chunks_mut(8) {
        state = mix(state);
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    value
}

/// SplitMix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit of the state.
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What no owned cell holds, in every halo cell before an exchange.
const UNTOUCHED: u64 = 0xDEAD_BEEF;

/// An array whose owned cells hold [`value`] of their index, and whose halo holds something else.
pub(super) fn array<T: Element, const D: usize>(grid: &Decomposition<D>, salt: u64) -> Result<DistArray<T, D>, Halt> {
    let mut array = DistArray::zeros(grid)?;
    let rank = grid.communicator().rank();
    let (owned, parent) = (grid.local_space(rank), grid.parent_space(rank));
    let mut cells = array.with_halo_mut();
    for index in parent.iter() {
        cells[index] = value(index, if owned.contains(index) { salt } else { UNTOUCHED });
    }
    Ok(array)
}

/// Whether a stored cell is filled by an exchange, by the definition: the cell it copies, if so.
pub(super) fn source<const D: usize>(grid: &Decomposition<D>, rank: usize, index: [i64; D]) -> Option<[i64; D]> {
    let (owned, space, periodic) = (grid.local_space(rank), grid.space(), grid.periodicity());
    let mut outside = 0;
    let mut source = index;
    for a in 0..D {
        outside += usize::from(index[a] < owned.start()[a] || index[a] >= owned.end()[a]);
        if periodic[a] {
            source[a] = space.start()[a] + (index[a] - space.start()[a]).rem_euclid(space.shape()[a] as i64);
        } else if index[a] < space.start()[a] || index[a] >= space.end()[a] {
            return None;
        }
    }
    (outside <= 1 || grid.has_edges_and_corners()).then_some(source)
}

/// Checks every stored cell after an exchange of what [`array()`] made: owned cells as they were, halo cells their owner's
/// value, cells that nobody owns untouched.
#[track_caller]
pub(super) fn filled<T: Element, const D: usize>(what: impl Display, array: &DistArray<T, D>, salt: u64) -> Outcome {
    let grid = array.decomposition();
    let rank = grid.communicator().rank();
    let cells = array.with_halo();
    for index in grid.parent_space(rank).iter() {
        let want: T = match source(grid, rank, index) {
            Some(source) => value(source, salt),
            None => value(index, UNTOUCHED),
        };
        let (got, want) = (bytemuck::bytes_of(&cells[index]), bytemuck::bytes_of(&want));
        ensure(got == want, format_args!("{what}: cell {index:?} of {grid}: expected {want:02x?}, got {got:02x?}"))?;
    }
    Ok(())
}

/// A process grid of all ranks along one axis.
pub(super) fn along<const D: usize>(communicator: &Communicator, axis: usize) -> [usize; D] {
    std::array::from_fn(|a| if a == axis { communicator.size() } else { 1 })
}
