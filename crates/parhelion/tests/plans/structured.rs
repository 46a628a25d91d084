//! Plans of decompositions, from 1 to 4 axes, against brute force.

use parhelion::array::{Decomposition, Distribution};
use parhelion::halo::Plan;
use parhelion::{Communicator, Error, Result};
use proptest::prelude::*;

use crate::model::{Buffers, Random, carry_out, on_threads};

/// The settings of a decomposition.
#[derive(Debug, Clone)]
struct Case<const D: usize> {
    ranks: usize,
    shape: [usize; D],
    grid: [usize; D],
    distributions: [Distribution; D],
    widths: [[usize; 2]; D],
    periodic: [bool; D],
    edges_and_corners: bool,
}

const NOTHING: i64 = -1;

impl<const D: usize> Case<D> {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let ranks = random.between(1, 7);
        let longest = [30, 12, 7, 5][D - 1];
        let shape: [usize; D] = std::array::from_fn(|_| random.between(1, longest));
        let mut grid = [1; D];
        grid[random.between(0, D - 1)] = ranks;
        if ranks.is_multiple_of(2) && random.one_in(2) {
            grid = [1; D];
            grid[random.between(0, D - 1)] *= 2;
            grid[random.between(0, D - 1)] *= ranks / 2;
        }
        let distributions = std::array::from_fn(|a| match random.between(0, 5) {
            0 => {
                // Any boundaries, empty blocks too.
                let mut at: Vec<i64> = (1..grid[a]).map(|_| random.between(0, shape[a]) as i64).collect();
                at.extend([0, shape[a] as i64]);
                at.sort_unstable();
                Distribution::Explicit(at)
            }
            1 => Distribution::Weighted((0..grid[a]).map(|_| random.between(1, 4) as f64).collect()),
            2 if grid[a] == 1 => Distribution::Replicated,
            _ => Distribution::Block,
        });
        let widest = if random.one_in(3) { 2 * longest } else { 2 };
        let widest = if D > 2 { widest.min(6) } else { widest };
        Case {
            ranks,
            shape,
            grid,
            distributions,
            widths: std::array::from_fn(|_| [random.between(0, widest), random.between(0, widest)]),
            periodic: std::array::from_fn(|_| random.one_in(2)),
            edges_and_corners: random.one_in(2),
        }
    }

    fn decomposition(&self, world: &Communicator) -> Result<Decomposition<D>> {
        Ok(Decomposition::new(self.shape, world)?
            .distribution(self.distributions.clone())
            .grid(self.grid)
            .halo_widths(self.widths)
            .periodic(self.periodic)
            .edges_and_corners(self.edges_and_corners))
    }

    fn value(&self, index: [i64; D]) -> i64 {
        (0..D).fold(7, |v, a| v * 1009 + index[a].rem_euclid(self.shape[a] as i64))
    }

    /// What a cell of a rank's buffer must be after the exchange.
    fn expected(&self, index: [i64; D], outside: [bool; D]) -> i64 {
        let beyond = (0..D).any(|a| !self.periodic[a] && !(0..self.shape[a] as i64).contains(&index[a]));
        let corner = outside.iter().filter(|&&o| o).count() > 1;
        if beyond || (corner && !self.edges_and_corners) { NOTHING } else { self.value(index) }
    }

    fn holds(&self) {
        let all = on_threads(self.ranks, |world| {
            let grid = self.decomposition(&world)?;
            let plan = grid.plan()?;
            let (parent, owned) = (grid.parent_space(world.rank()), grid.local_space(world.rank()));
            let before = parent.iter().map(|i| if owned.contains(i) { self.value(i) } else { NOTHING }).collect();
            let outside = |i: [i64; D]| std::array::from_fn(|a| !owned.axis(a).contains(&i[a]));
            let after = parent.iter().map(|i| self.expected(i, outside(i))).collect();
            Ok::<(Plan, Vec<i64>, Vec<i64>), Error>((plan, before, after))
        });
        let plans: Vec<Plan> = all.iter().map(|(plan, _, _)| plan.clone()).collect();
        let mut buffers: Vec<Buffers> = all.iter().map(|(_, before, _)| vec![before.clone()]).collect();
        let expected: Vec<Buffers> = all.iter().map(|(_, _, after)| vec![after.clone()]).collect();
        carry_out(&plans, &mut buffers);
        assert_eq!(buffers, expected);
        for (plan, (_, before, after)) in plans.iter().zip(&all) {
            let filled = before.iter().zip(after).filter(|(b, a)| b != a).count();
            assert_eq!(plan.bytes_received(8) + plan.bytes_local(8), 8 * filled, "halo bytes exactly");
            let peers: std::collections::BTreeSet<usize> = plan.sends().iter().map(|t| t.peer).collect();
            assert_eq!(plan.messages(), peers.len(), "one message for each neighbour");
            assert_eq!(plan.adjoint().adjoint(), *plan);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn halos_on_a_line_are_copies_of_their_owners(seed in any::<u64>()) {
        Case::<1>::new(seed).holds();
    }

    #[test]
    fn halos_on_a_plane_are_copies_of_their_owners(seed in any::<u64>()) {
        Case::<2>::new(seed).holds();
    }

    #[test]
    fn halos_in_space_are_copies_of_their_owners(seed in any::<u64>()) {
        Case::<3>::new(seed).holds();
    }
}

#[test]
fn halos_over_four_axes_are_copies_of_their_owners() {
    for seed in 0..12 {
        Case::<4>::new(seed).holds();
    }
}

#[test]
fn a_process_grid_of_one_exchanges_with_itself_without_messages() {
    let plans = on_threads(1, |world| {
        Decomposition::new([4, 4], &world)?.halo(2).periodic([true; 2]).edges_and_corners(true).plan()
    });
    assert_eq!(plans[0].messages(), 0);
    assert_eq!(plans[0].bytes_local(1), 8 * 8 - 4 * 4);
}

#[test]
fn two_ranks_on_a_ring_send_one_message_each() {
    let plans = on_threads(2, |world| {
        Decomposition::new([8, 8], &world)?.halo(1).periodic([true; 2]).edges_and_corners(true).plan()
    });
    for plan in &plans {
        // Both images of the one neighbour, and their corners.
        assert_eq!(plan.messages(), 1);
        assert_eq!(plan.bytes(8), 8 * 2 * (8 + 2));
        assert_eq!(plan.bytes_local(8), 8 * 2 * 4);
    }
}

#[test]
fn dealt_out_axes_have_a_plan_without_halo() {
    let plans = on_threads(3, |world| Decomposition::new([7], &world)?.distribution([Distribution::Cyclic]).plan());
    let cells: Vec<usize> = plans.iter().map(|p| p.patches()[0].len).collect();
    assert_eq!(cells, [3, 2, 2]);
    let errors = on_threads(2, |world| {
        let grid = Decomposition::new([8, 8], &world)?
            .distribution([Distribution::Cyclic, Distribution::Block])
            .halo_widths([[0, 0], [1, 1]]);
        Ok(grid.plan().unwrap_err().to_string())
    });
    assert!(errors.iter().all(|e| e.contains("axis 1 has a halo but axis 0 is cyclic")), "{errors:?}");
}

#[test]
fn decompositions_that_differ_are_an_error_of_every_rank() {
    let errors = on_threads(4, |world| {
        let halo = if world.rank() == 2 { 2 } else { 1 };
        let error = Decomposition::new([16, 16], &world)?.halo(halo).plan().unwrap_err();
        world.barrier()?;
        Ok(error.to_string())
    });
    assert!(errors.iter().all(|e| e.contains("decompositions differ")), "{errors:?}");
    let errors = on_threads(3, |world| {
        let grid = if world.rank() == 1 { [2, 2] } else { [3, 1] };
        Ok(Decomposition::new([16, 16], &world)?.grid(grid).plan().unwrap_err().to_string())
    });
    assert!(errors.iter().all(|e| e.contains("the process grid [2, 2]")), "{errors:?}");
}
