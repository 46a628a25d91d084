//! [`Turns`]: which copies of a list are made two at a time.

use std::collections::HashMap;
use std::hash::Hash;

/// The order in which the copies of a list are made where it does not matter for the result: two of one kind, such as
/// the opposite faces of a box, together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turns(Vec<(usize, Option<usize>)>);

impl Turns {
    /// The turns of `count` copies, of which those of equal `kind` are better made together: the one that writes at the
    /// lower `place` first. A copy without a kind is made alone.
    pub(super) fn new<K: Eq + Hash>(
        count: usize,
        kind: impl Fn(usize) -> Option<K>,
        place: impl Fn(usize) -> usize,
    ) -> Turns {
        let mut turns: Vec<(usize, Option<usize>)> = Vec::with_capacity(count);
        let mut alone: HashMap<K, usize> = HashMap::new();
        for copy in 0..count {
            let Some(kind) = kind(copy) else {
                turns.push((copy, None));
                continue;
            };
            match alone.remove(&kind) {
                Some(turn) => {
                    let other = turns[turn].0;
                    let (low, high) = if place(other) <= place(copy) { (other, copy) } else { (copy, other) };
                    turns[turn] = (low, Some(high));
                }
                None => {
                    alone.insert(kind, turns.len());
                    turns.push((copy, None));
                }
            }
        }
        Turns(turns)
    }

    /// One copy, or two, at a time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_one_kind_go_together_and_every_copy_has_its_turn_once() {
        let kinds = [Some('a'), None, Some('b'), Some('a'), Some('a'), Some('b'), None];
        let places = [7, 0, 1, 3, 0, 2, 0];
        let turns = Turns::new(kinds.len(), |i| kinds[i], |i| places[i]);
        let turns: Vec<_> = turns.iter().collect();
        assert_eq!(turns, [(3, Some(0)), (1, None), (2, Some(5)), (4, None), (6, None)]);
    }
}
