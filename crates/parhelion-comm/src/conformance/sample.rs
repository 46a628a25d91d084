//! What the cases send: reproducible bytes of any element type, and the neighbours they send to.

use bytemuck::{Pod, Zeroable};

use crate::communicator::Communicator;
use crate::element::Element;

/// A user's plain struct, of 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Particle {
    pub(super) id: u32,
    pub(super) cell: [u16; 2],
    pub(super) velocity: [f32; 3],
}

/// The next of a reproducible sequence of well-mixed words (splitmix64, Steele, Lea, Flood 2014).
pub(super) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number made of a few.
pub(super) fn seed(parts: &[usize]) -> u64 {
    parts.iter().fold(0x5eed, |state, &part| mix(&mut (state ^ part as u64)))
}

/// `count` elements of arbitrary bytes, the same for the same seed. Any bytes are a valid element.
pub(super) fn pattern<T: Element>(seed: u64, count: usize) -> Vec<T> {
    let mut data: Vec<T> = bytemuck::allocation::zeroed_vec(count);
    if size_of::<T>() > 0 {
        let mut state = seed;
        for chunk in bytemuck::cast_slice_mut::<T, u8>(&mut data).chunks_mut(8) {
            chunk.copy_from_slice(&mix(&mut state).to_ne_bytes()[..chunk.len()]);
        }
    }
    data
}

/// The ranks after and before this one, round the ring; this one itself where it is alone.
pub(super) fn neighbours(c: &Communicator) -> (usize, usize) {
    ((c.rank() + 1) % c.size(), (c.rank() + c.size() - 1) % c.size())
}

/// Bytes that matter: nothing, a word, one cache line, and just around the limit up to which messages are buffered.
pub(super) fn borders(c: &Communicator) -> Vec<usize> {
    let eager = c.config().eager_limit.clamp(128, 1 << 20);
    let mut sizes = vec![0, 1, 7, 8, 9, 17];
    for border in [40, 64, 4096, eager, 65_536] {
        sizes.extend([border - 1, border, border + 1]);
    }
    sizes.push(800_024);
    sizes
}

/// Calls a generic function once per sampled element type.
macro_rules! for_each_type {
    ($f:ident($($arg:expr),*)) => {{
        use crate::{Complex, Located, bf16, f16};
        $f::<i8>($($arg),*)?;
        $f::<i16>($($arg),*)?;
        $f::<i32>($($arg),*)?;
        $f::<i64>($($arg),*)?;
        $f::<u8>($($arg),*)?;
        $f::<u16>($($arg),*)?;
        $f::<u32>($($arg),*)?;
        $f::<u64>($($arg),*)?;
        $f::<usize>($($arg),*)?;
        $f::<f16>($($arg),*)?;
        $f::<bf16>($($arg),*)?;
        $f::<f32>($($arg),*)?;
        $f::<f64>($($arg),*)?;
        $f::<Complex<f32>>($($arg),*)?;
        $f::<Complex<f64>>($($arg),*)?;
        $f::<Located<f32>>($($arg),*)?;
        $f::<[u8; 3]>($($arg),*)?;
        $f::<()>($($arg),*)?;
        $f::<crate::conformance::sample::Particle>($($arg),*)?;
    }};
}
pub(super) use for_each_type;

/// Calls a generic function for a few element types of different sizes and alignments.
macro_rules! for_some_types {
    ($f:ident($($arg:expr),*)) => {{
        $f::<u8>($($arg),*)?;
        $f::<f64>($($arg),*)?;
        $f::<crate::conformance::sample::Particle>($($arg),*)?;
    }};
}
pub(super) use for_some_types;
