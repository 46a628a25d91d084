//! Local folds: one pass over a slice, in several lanes and as a tree, so that they vectorise and round little.

use std::ops::Range;

/// Lanes of a block: enough for four vectors of 32 bytes of `f64`, the latency of an addition on current processors.
const LANES: usize = 16;
/// Elements that are folded lane by lane before the results are combined as a tree.
const BLOCK: usize = 1024;

/// Combines `load(a[i], b[i])` of all `i` with `op`, which must be associative and commutative as far as the caller cares
/// about the grouping. The grouping depends on the length only. `None` for no elements.
///
/// The error of a sum grows with `BLOCK / LANES + log2(len)` instead of `len` (pairwise summation, Higham 1993).
pub(crate) fn fold<T: Copy, U: Copy, A: Copy>(
    a: &[T],
    b: &[U],
    load: &impl Fn(T, U) -> A,
    op: &impl Fn(A, A) -> A,
) -> Option<A> {
    let len = a.len().min(b.len());
    let mut leaf = |range: Range<usize>| block(&a[range.clone()], &b[range], load, op);
    (len > 0).then(|| tree(0..len, &mut leaf, op))
}

/// The grouping of [`fold`] over blocks: combines what `leaf` gives for stretches of `range`, each of [`BLOCK`] elements or
/// fewer.
pub(crate) fn tree<A>(range: Range<usize>, leaf: &mut impl FnMut(Range<usize>) -> A, op: &impl Fn(A, A) -> A) -> A {
    if range.len() <= BLOCK {
        return leaf(range);
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(BLOCK);
    let low = tree(range.start..middle, leaf, op);
    op(low, tree(middle..range.end, leaf, op))
}

/// [`fold`] of a block that is not empty.
fn block<T: Copy, U: Copy, A: Copy>(a: &[T], b: &[U], load: &impl Fn(T, U) -> A, op: &impl Fn(A, A) -> A) -> A {
    let len = a.len();
    if len < LANES {
        return a.iter().zip(b).map(|(&x, &y)| load(x, y)).reduce(op).expect("a block is not empty");
    }
    let mut lanes: [A; LANES] = std::array::from_fn(|i| load(a[i], b[i]));
    let (chunks_a, rest_a) = a[LANES..].as_chunks::<LANES>();
    let (chunks_b, rest_b) = b[LANES..].as_chunks::<LANES>();
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for i in 0..LANES {
            lanes[i] = op(lanes[i], load(x[i], y[i]));
        }
    }
    for (i, (&x, &y)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[i] = op(lanes[i], load(x, y));
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = op(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Combines the results of many folds as a tree, in the order they come.
pub(crate) struct Cascade<A> {
    // levels[k]: the result of 2^k pushed values.
    levels: Vec<Option<A>>,
}

impl<A: Copy> Cascade<A> {
    pub(crate) fn new() -> Self {
        Cascade { levels: Vec::new() }
    }

    pub(crate) fn push(&mut self, mut value: A, op: &impl Fn(A, A) -> A) {
        for level in &mut self.levels {
            match level.take() {
                Some(earlier) => value = op(earlier, value),
                None => {
                    *level = Some(value);
                    return;
                }
            }
        }
        self.levels.push(Some(value));
    }

    pub(crate) fn finish(self, op: &impl Fn(A, A) -> A) -> Option<A> {
        // Higher levels hold earlier values.
        self.levels.into_iter().flatten().reduce(|later, earlier| op(earlier, later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_folded_once_for_every_length() {
        for len in (0..200).chain([1023, 1024, 1025, 2047, 2048, 2049, 5000]) {
            let x: Vec<u64> = (0..len).map(|i| i * i + 1).collect();
            let sum = fold(&x, &x, &|a, _| a, &|a, b| a + b);
            assert_eq!(sum.unwrap_or(0), x.iter().sum::<u64>(), "{len} elements");
            let dot = fold(&x, &x, &|a, b| u128::from(a) * u128::from(b), &|a, b| a + b);
            assert_eq!(dot.unwrap_or(0), x.iter().map(|&a| u128::from(a) * u128::from(a)).sum::<u128>());
        }
    }

    #[test]
    fn a_long_sum_of_tenths_stays_exact_to_few_units() {
        let x = vec![0.1f64; 1_000_000];
        let sum = fold(&x, &x, &|a, _| a, &|a, b| a + b).unwrap();
        assert!((sum - 100_000.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn a_cascade_keeps_the_order() {
        for n in 0..40u8 {
            // Concatenation does not commute; the lengths fit one word each.
            let op = |a: (u8, u8), b: (u8, u8)| {
                assert_eq!(a.1, b.0, "neighbours are combined");
                (a.0, b.1)
            };
            let mut cascade = Cascade::new();
            for i in 0..n {
                cascade.push((i, i + 1), &op);
            }
            assert_eq!(cascade.finish(&op), (n > 0).then_some((0, n)));
        }
    }
}
