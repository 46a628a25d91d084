//! [`Space`]: which parts of the arena are free. First fit, with coalescing; offsets and lengths only, no memory.
//!
//! Everything free is zero. A part that comes back has been cleared by its owner; one that was cleared in place still
//! takes up memory, and is counted as *kept*. Where a free stretch has kept more than [`TRIM`], giving it back to the
//! system is due.

use std::collections::BTreeMap;
use std::ops::Range;

/// Sizes and offsets of blocks below a page are multiples of this.
pub(super) const GRAIN: usize = 64;
/// Sizes and offsets of larger blocks are multiples of this.
pub(super) const PAGE: usize = 4096;
/// Blocks from this size on go back to the system at once; less is kept until a free stretch has so much of it.
pub(super) const TRIM: usize = 128 << 10;

/// A free stretch: its length, and how much of it still takes up memory, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    len: usize,
    kept: usize,
}

/// The free stretches between `start` and `end`; no two of them touch.
#[derive(Debug)]
pub(super) struct Space {
    free: BTreeMap<usize, Stretch>,
    /// Nothing from here on was ever taken.
    top: usize,
}

/// The size and alignment that a block of `bytes` gets, if there is such a size.
pub(super) fn rounded(bytes: usize, align: usize) -> Option<(usize, usize)> {
    let grain = if bytes < PAGE { GRAIN } else { PAGE };
    Some((bytes.max(1).checked_next_multiple_of(grain)?, align.max(grain)))
}

impl Space {
    /// All of `all` is free.
    pub(super) fn new(all: Range<usize>) -> Self {
        let free = BTreeMap::from([(all.start, Stretch { len: all.len(), kept: 0 })]);
        Space { free, top: all.start }
    }

    /// Takes `bytes`, rounded, at a multiple of `align`; none if no stretch has room.
    pub(super) fn take(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let fits = |(&start, stretch): (&usize, &Stretch)| {
            let at = start.checked_next_multiple_of(align)?;
            (at - start <= stretch.len && bytes <= stretch.len - (at - start)).then_some((start, *stretch, at))
        };
        let (start, stretch, at) = self.free.iter().find_map(fits)?;
        self.free.remove(&start);
        let (before, after) = (at - start, stretch.len - (at - start) - bytes);
        for (from, len) in [(start, before), (at + bytes, after)] {
            if len > 0 {
                self.free.insert(from, Stretch { len, kept: stretch.kept.min(len) });
            }
        }
        self.top = self.top.max(at + bytes);
        Some(at)
    }

    /// Gives back a cleared block of which `kept` bytes still take up memory. The pages it answers are free and should
    /// be given back to the system.
    pub(super) fn give(&mut self, at: usize, bytes: usize, kept: usize) -> Option<Range<usize>> {
        let (mut start, mut stretch) = (at, Stretch { len: bytes, kept });
        if let Some((&before, &neighbour)) = self.free.range(..at).next_back() {
            debug_assert!(before + neighbour.len <= at, "freed twice");
            if before + neighbour.len == at {
                self.free.remove(&before);
                start = before;
                stretch.len += neighbour.len;
                stretch.kept += neighbour.kept;
            }
        }
        if let Some(neighbour) = self.free.remove(&(at + bytes)) {
            stretch.len += neighbour.len;
            stretch.kept += neighbour.kept;
        }
        let trim = stretch.kept >= TRIM;
        if trim {
            stretch.kept = 0;
        }
        self.free.insert(start, stretch);
        let end = (start + stretch.len).min(self.top.next_multiple_of(PAGE));
        let pages = start.next_multiple_of(PAGE)..end / PAGE * PAGE;
        (trim && !pages.is_empty()).then_some(pages)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: usize = PAGE;
    const END: usize = 64 * PAGE;

    #[derive(Debug, Clone)]
    enum Step {
        Take { bytes: usize, align: usize },
        Give { which: prop::sample::Index, kept: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        let sizes = prop_oneof![1..300usize, 4000..4200usize, 1..20_000usize, Just(PAGE), Just(GRAIN)];
        let aligns = (0..14u32).prop_map(|bits| 1usize << bits);
        prop_oneof![
            3 => (sizes, aligns).prop_map(|(bytes, align)| Step::Take { bytes, align }),
            2 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, kept)| Step::Give { which, kept }),
        ]
    }

    proptest! {
        /// Against a map of grains: blocks never overlap, a request fails only if no place would do, the first place that
        /// would is taken, and what is trimmed is free.
        #[test]
        fn behaves_as_a_map_of_grains(steps in prop::collection::vec(step(), 1..200)) {
            let mut space = Space::new(START..END);
            let mut used = vec![false; END / GRAIN];
            used[..START / GRAIN].fill(true);
            let mut live: Vec<(usize, usize)> = Vec::new();
            for step in steps {
                match step {
                    Step::Take { bytes, align } => {
                        let (bytes, align) = rounded(bytes, align).unwrap();
                        let expected = (START..END).step_by(GRAIN).find(|&at| {
                            at % align == 0 && at + bytes <= END && !used[at / GRAIN..(at + bytes) / GRAIN].contains(&true)
                        });
                        let got = space.take(bytes, align);
                        prop_assert_eq!(got, expected);
                        if let Some(at) = got {
                            used[at / GRAIN..(at + bytes) / GRAIN].fill(true);
                            live.push((at, bytes));
                        }
                    }
                    Step::Give { which, kept } => {
                        if live.is_empty() {
                            continue;
                        }
                        let (at, bytes) = live.swap_remove(which.index(live.len()));
                        used[at / GRAIN..(at + bytes) / GRAIN].fill(false);
                        if let Some(pages) = space.give(at, bytes, if kept { bytes } else { 0 }) {
                            prop_assert!(pages.start % PAGE == 0 && pages.end % PAGE == 0);
                            prop_assert!(!used[pages.start / GRAIN..pages.end / GRAIN].contains(&true));
                        }
                    }
                }
                // Stretches are apart, and exactly what is not used.
                let mut free = vec![true; END / GRAIN];
                let mut last = None;
                free.iter_mut().zip(&used).for_each(|(free, used)| *free = !used);
                for (&at, stretch) in &space.free {
                    prop_assert!(last.is_none_or(|end| end < at), "neighbours were not joined");
                    prop_assert!(free[at / GRAIN..(at + stretch.len) / GRAIN].iter().all(|f| *f));
                    free[at / GRAIN..(at + stretch.len) / GRAIN].fill(false);
                    last = Some(at + stretch.len);
                }
                prop_assert!(!free.contains(&true), "a free stretch was lost");
            }
            for (at, bytes) in live.drain(..) {
                space.give(at, bytes, 0);
            }
            prop_assert_eq!(space.free.len(), 1);
            prop_assert_eq!(space.take(END - START, PAGE), Some(START));
        }
    }

    #[test]
    fn kept_memory_is_trimmed_once_there_is_enough() {
        let mut space = Space::new(0..64 << 20);
        let blocks: Vec<usize> = (0..TRIM / 2048).map(|_| space.take(2048, GRAIN).unwrap()).collect();
        let (last, others) = blocks.split_last().unwrap();
        for &at in others {
            assert_eq!(space.give(at, 2048, 2048), None);
        }
        assert_eq!(space.give(*last, 2048, 2048), Some(0..TRIM));
        // Given back: taking and giving it again starts from nothing.
        let at = space.take(2048, GRAIN).unwrap();
        assert_eq!(space.give(at, 2048, 2048), None);
    }

    #[test]
    fn sizes_that_do_not_exist_are_refused() {
        assert_eq!(rounded(usize::MAX - 5, 64), None);
        assert_eq!(rounded(0, 1), Some((GRAIN, GRAIN)));
        assert_eq!(rounded(PAGE + 1, 64), Some((2 * PAGE, PAGE)));
        let mut space = Space::new(PAGE..4 * PAGE);
        assert_eq!(space.take(usize::MAX / PAGE * PAGE, PAGE), None);
        assert_eq!(space.take(GRAIN, 1 << 60), None);
    }
}
