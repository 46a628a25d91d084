//! Plans from publications and requests: random irregular boxes against brute force.

use parhelion::array::IndexSpace;
use parhelion::halo::Patches;
use proptest::prelude::*;

use crate::model::{Buffers, Random, carry_out, on_threads};

/// A random situation: a domain cut into boxes, some of them nobody's, the others published by patches of random ranks.
#[derive(Debug, Clone)]
struct Case<const D: usize> {
    ranks: Vec<Patches<D>>,
    periods: [Option<usize>; D],
}

impl<const D: usize> Case<D> {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let size = random.between(1, 7);
        let longest = [40, 14, 8, 5][D - 1];
        let corner: [i64; D] = std::array::from_fn(|_| random.between(0, 20) as i64 - 10);
        let domain = IndexSpace::from_shape(std::array::from_fn(|_| random.between(1, longest))).translate(corner);
        let periods: [Option<usize>; D] = std::array::from_fn(|a| (!random.one_in(2)).then_some(domain.shape()[a]));
        let mut leaves = Vec::new();
        let parts = random.between(1, 12);
        cut(domain, parts, &mut random, &mut leaves);
        // Holes only where requests cannot reach them through a period.
        let holes: Vec<_> = match periods.iter().all(Option::is_none) {
            true => (1..leaves.len()).filter(|_| random.one_in(5)).map(|i| leaves[i]).collect(),
            false => Vec::new(),
        };
        leaves.retain(|l| !holes.contains(l));
        let mut ranks: Vec<Patches<D>> = vec![Patches::new().periodic(periods); size];
        for leaf in leaves {
            let rank = &mut ranks[random.between(0, size - 1)];
            let width = if random.one_in(4) { random.between(0, 2 * longest) } else { random.between(0, 2) };
            let halo = around(leaf, width, domain, &periods);
            let patch = rank.add(halo.grow(random.between(0, 1)));
            publish_in_parts(rank, patch, leaf, &mut random);
            request_in_parts(rank, patch, halo, leaf, &holes, &mut random);
        }
        // Patches that publish nothing, some with an offset.
        for _ in 0..random.between(0, 3) {
            let rank = &mut ranks[random.between(0, size - 1)];
            let offset: [i64; D] = std::array::from_fn(|_| random.between(0, 30) as i64 - 15);
            let within = part_of(domain, &mut random);
            let patch = rank.add(within.grow(1).translate(offset));
            let mut wanted = vec![within];
            for hole in &holes {
                wanted = wanted.iter().flat_map(|w| w.subtract(hole)).collect();
            }
            for space in wanted {
                rank.request_from(patch, space.translate(offset), offset.map(|x| -x));
            }
        }
        Case { ranks, periods }
    }

    /// The one value of a cell wherever it is published, requested or imaged.
    fn value(&self, index: [i64; D]) -> i64 {
        let canonical = |a: usize| self.periods[a].map_or(index[a], |n| index[a].rem_euclid(n as i64));
        (0..D).fold(7, |v, a| v * 1009 + canonical(a) + 100)
    }

    /// The buffers with `NOTHING` everywhere but where something is published.
    fn start(&self) -> Vec<Buffers> {
        let mut all = Vec::new();
        for patches in &self.ranks {
            let mut buffers: Buffers = patches.parents().iter().map(|p| vec![NOTHING; p.len()]).collect();
            for p in patches.publications() {
                for index in p.space {
                    buffers[p.patch][patches.parents()[p.patch].linear(index)] = self.value(index);
                }
            }
            all.push(buffers);
        }
        all
    }

    /// What must be there after one exchange.
    fn end(&self) -> Vec<Buffers> {
        let mut all = self.start();
        for (patches, buffers) in self.ranks.iter().zip(&mut all) {
            for r in patches.requests() {
                for index in r.space {
                    let source = std::array::from_fn(|a| index[a] + r.offset[a]);
                    buffers[r.patch][patches.parents()[r.patch].linear(index)] = self.value(source);
                }
            }
        }
        all
    }

    fn holds(&self) {
        let plans = on_threads(self.ranks.len(), |world| self.ranks[world.rank()].plan(&world));
        let mut buffers = self.start();
        carry_out(&plans, &mut buffers);
        assert_eq!(buffers, self.end());
        for plan in &plans {
            assert_eq!(plan.adjoint().adjoint(), *plan);
            let cells: usize = plan.patches().iter().flat_map(|p| &p.halo).map(|r| r.cells.len()).sum();
            assert_eq!(plan.bytes_received(1) + plan.bytes_local(1), cells, "halo bytes exactly");
        }
    }
}

const NOTHING: i64 = -1;

/// Cuts `space` into about `parts` boxes.
fn cut<const D: usize>(space: IndexSpace<D>, parts: usize, random: &mut Random, out: &mut Vec<IndexSpace<D>>) {
    let axis = random.between(0, D - 1);
    let range = space.axis(axis);
    if parts <= 1 || range.end - range.start < 2 {
        out.push(space);
        return;
    }
    let at = random.between(1, (range.end - range.start - 1) as usize) as i64 + range.start;
    let (mut low_end, mut high_start) = (space.end(), space.start());
    low_end[axis] = at;
    high_start[axis] = at;
    let low_parts = random.between(1, parts - 1);
    cut(IndexSpace::new(space.start(), low_end), low_parts, random, out);
    cut(IndexSpace::new(high_start, space.end()), parts - low_parts, random, out);
}

/// `space` grown, as far as there are cells.
fn around<const D: usize>(
    space: IndexSpace<D>,
    width: usize,
    domain: IndexSpace<D>,
    periods: &[Option<usize>; D],
) -> IndexSpace<D> {
    let grown = space.grow(width);
    let end = |a: usize, grown: i64, domain: i64| if periods[a].is_some() { grown } else { grown.min(domain) };
    let start = |a: usize, grown: i64, domain: i64| if periods[a].is_some() { grown } else { grown.max(domain) };
    IndexSpace::new(
        std::array::from_fn(|a| start(a, grown.start()[a], domain.start()[a])),
        std::array::from_fn(|a| end(a, grown.end()[a], domain.end()[a])),
    )
}

fn part_of<const D: usize>(space: IndexSpace<D>, random: &mut Random) -> IndexSpace<D> {
    let shape = space.shape();
    let start: [i64; D] = std::array::from_fn(|a| space.start()[a] + random.between(0, shape[a] - 1) as i64);
    IndexSpace::new(
        start,
        std::array::from_fn(|a| start[a] + random.between(1, (space.end()[a] - start[a]) as usize) as i64),
    )
}

fn publish_in_parts<const D: usize>(to: &mut Patches<D>, patch: usize, space: IndexSpace<D>, random: &mut Random) {
    let mut parts = Vec::new();
    let count = random.between(1, 2);
    cut(space, count, random, &mut parts);
    parts.into_iter().for_each(|part| to.publish(patch, part));
}

/// The halo around `leaf`, as one request with the leaf in it, as several without, or only a part of it.
fn request_in_parts<const D: usize>(
    to: &mut Patches<D>,
    patch: usize,
    halo: IndexSpace<D>,
    leaf: IndexSpace<D>,
    holes: &[IndexSpace<D>],
    random: &mut Random,
) {
    let mut wanted = match random.between(0, 2) {
        0 => vec![halo],
        1 => halo.subtract(&leaf),
        _ => vec![part_of(halo, random)],
    };
    for hole in holes {
        wanted = wanted.iter().flat_map(|w| w.subtract(hole)).collect();
    }
    wanted.into_iter().for_each(|space| to.request(patch, space));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn requests_on_a_line_get_what_is_published(seed in any::<u64>()) {
        Case::<1>::new(seed).holds();
    }

    #[test]
    fn requests_on_a_plane_get_what_is_published(seed in any::<u64>()) {
        Case::<2>::new(seed).holds();
    }

    #[test]
    fn requests_in_space_get_what_is_published(seed in any::<u64>()) {
        Case::<3>::new(seed).holds();
    }
}

#[test]
fn requests_over_four_axes_get_what_is_published() {
    for seed in 0..6 {
        Case::<4>::new(seed).holds();
    }
}

#[test]
fn ranks_without_patches_take_part() {
    let plans = on_threads(5, |world| {
        let mut patches = Patches::<2>::new();
        if world.rank() == 3 {
            let patch = patches.add(IndexSpace::from([0..4, 0..4]));
            patches.publish(patch, IndexSpace::from([0..4, 0..4]));
        }
        if world.rank() == 1 {
            let patch = patches.add(IndexSpace::from([1..3, 1..3]));
            patches.request(patch, IndexSpace::from([1..3, 1..3]));
        }
        patches.plan(&world)
    });
    for (rank, plan) in plans.iter().enumerate() {
        assert_eq!(plan.neighbours(), [vec![], vec![3], vec![], vec![1], vec![]][rank]);
    }
    assert_eq!(plans[1].bytes_received(8), 4 * 8);
    let nothing = on_threads(3, |world| Patches::<1>::new().plan(&world));
    assert!(nothing.iter().all(|plan| plan.neighbours().is_empty() && plan.patches().is_empty()));
}

#[test]
fn boxes_of_very_different_sizes_meet() {
    // One giant, published by rank 0, with a hole filled by single cells of the others; everyone asks for neighbours.
    let giant = IndexSpace::from([0..1 << 20, 0..3]);
    let hole = IndexSpace::from([1000..1006, 1..2]);
    let plans = on_threads(4, |world| {
        let mut patches = Patches::new();
        if world.rank() == 0 {
            let patch = patches.add(giant);
            giant.subtract(&hole).into_iter().for_each(|part| patches.publish(patch, part));
            patches.request(patch, hole);
        } else {
            for i in [0, 3] {
                let at = 1000 + i + world.rank() as i64 - 1;
                let cell = IndexSpace::from([at..at + 1, 1..2]);
                let patch = patches.add(cell.grow(1));
                patches.publish(patch, cell);
                patches.request(patch, cell.grow(1));
            }
        }
        patches.plan(&world)
    });
    assert_eq!(plans[0].bytes_received(1), 6);
    assert_eq!(plans[0].neighbours(), [1, 2, 3]);
    for plan in &plans[1..] {
        assert_eq!(plan.bytes_received(1), 16);
        assert!(plan.neighbours().contains(&0));
    }
}
