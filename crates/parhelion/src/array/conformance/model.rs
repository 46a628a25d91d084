//! What the cases compare with: values that tell cells apart, the whole array as a plain vector, and agreement of ranks.

use std::fmt::Display;

use parhelion_comm::conformance::check::{ensure, same};
use parhelion_comm::conformance::{Halt, Outcome};
use parhelion_comm::{Communicator, Element};

use super::draw::Draw;
use crate::array::{Decomposition, DistArray, IndexSpace};

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
pub(super) fn mix(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes that depend on the index and the salt, as an element of any type.
pub(super) fn cell<T: Element, const D: usize>(index: [i64; D], salt: u64) -> T {
    let mut state = index.iter().fold(salt, |state, &i| mix(state ^ i as u64));
    let mut value = T::zeroed();
    for chunk in bytemuck::bytes_of_mut(&mut value).chunks_mut(8) {
        state = mix(state.wrapping_add(1));
        chunk.copy_from_slice(&state.to_ne_bytes()[..chunk.len()]);
    }
    value
}

/// How often a case draws: as many random arrays.
const ROUNDS: u64 = 12;

/// Calls `each` a number of times with choices of their own.
pub(super) fn rounds(salt: u64, mut each: impl FnMut(&mut Draw) -> Outcome) -> Outcome {
    (0..ROUNDS).try_for_each(|round| each(&mut Draw::seeded(mix(salt ^ round << 32))))
}

/// Checks that this rank holds what the decomposition gives it, and that the cells are `expected` of their global index.
#[track_caller]
pub(super) fn holds<T: Element, const D: usize>(
    what: impl Display,
    array: &DistArray<T, D>,
    expected: impl Fn([i64; D]) -> T,
) -> Outcome {
    let (grid, rank) = (array.decomposition(), array.communicator().rank());
    let mut indices = Vec::new();
    let mut cells = Vec::new();
    array.for_each(|index, x| {
        indices.push(index);
        cells.push(x);
    });
    let held: Vec<_> = grid.space().iter().filter(|&index| grid.to_local(rank, index).is_some()).collect();
    ensure(indices == held, format_args!("{what}, {grid}: holds {indices:?}, not {held:?}"))?;
    let wanted: Vec<T> = held.into_iter().map(expected).collect();
    same(format_args!("{what}, {grid}"), &cells, &wanted)
}

/// The values of all cells in C order.
pub(super) fn whole<T, const D: usize>(grid: &Decomposition<D>, value: impl FnMut([i64; D]) -> T) -> Vec<T> {
    grid.space().iter().map(value).collect()
}

/// Value number `i` of a list in C order, by index.
pub(super) fn at<T: Copy, const D: usize>(values: &[T], space: IndexSpace<D>) -> impl Fn([i64; D]) -> T {
    move |index| values[space.linear(index)]
}

/// Checks that every rank has the same bits.
#[track_caller]
pub(super) fn agreed<T: Element>(c: &Communicator, what: impl Display, value: T) -> Result<T, Halt> {
    let all = c.all_gather(&[value])?;
    same(format_args!("{what}, on all ranks"), &all, &vec![all[0]; c.size()])?;
    Ok(value)
}
