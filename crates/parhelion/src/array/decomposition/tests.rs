//! Every query against the same answer found cell by cell, for any number of ranks without having them.

use std::collections::{BTreeMap, BTreeSet};

use parhelion_comm::{BackendKind, Config};
use proptest::prelude::*;

use super::*;
use crate::array::AxisRun;

/// A decomposition over `size` ranks that do not exist: geometry asks the communicator for nothing but its size.
fn over<const D: usize>(size: usize, shape: [usize; D]) -> Decomposition<D> {
    let config = Config::default().backend(BackendKind::Local).ranks(1);
    let world = parhelion_comm::launch(&config, Ok::<_, Error>).expect("one thread").remove(0);
    Decomposition::new(shape, &world).expect("a small shape").set(|settings| settings.size = size)
}

/// Rules for an axis of `n` indices from `start` on over `parts` parts, blocks that are empty among them.
fn rule(start: i64, n: usize, parts: usize, contiguous: bool) -> BoxedStrategy<Distribution> {
    let cuts = prop::collection::vec(start..=start + n as i64, parts - 1).prop_map(move |mut cuts| {
        cuts.extend([start, start + n as i64]);
        cuts.sort_unstable();
        Distribution::Explicit(cuts)
    });
    let weights =
        (prop::collection::vec(prop_oneof![Just(0.0), 0.0..5.0f64], parts), 0..parts).prop_map(|(mut w, some)| {
            w[some] += 0.5;
            Distribution::Weighted(w)
        });
    let blocks =
        prop_oneof![3 => Just(Distribution::Block), 3 => cuts, 2 => weights, 1 => Just(Distribution::Replicated)];
    if contiguous {
        blocks.boxed()
    } else {
        prop_oneof![
            1 => blocks,
            1 => Just(Distribution::Cyclic),
            1 => (1..=n + 2).prop_map(Distribution::BlockCyclic),
            1 => Just(Distribution::BlockCyclic(usize::MAX)),
        ]
        .boxed()
    }
}

#[derive(Debug, Clone)]
struct Axis {
    start: i64,
    n: usize,
    parts: usize,
    rule: Distribution,
    widths: [usize; 2],
    periodic: bool,
}

impl Axis {
    fn indices(&self) -> Range<i64> {
        self.start..self.start + self.n as i64
    }
}

fn axis(longest: usize, most: usize, widest: usize, contiguous: bool) -> impl Strategy<Value = Axis> {
    (-9..9i64, 0..=longest, 1..=most, [0..=widest, 0..=widest], any::<bool>()).prop_flat_map(
        move |(start, n, parts, widths, periodic)| {
            rule(start, n, parts, contiguous).prop_map(move |rule| Axis {
                start,
                n,
                parts,
                widths: if rule.is_contiguous() { widths } else { [0, 0] },
                rule,
                periodic,
            })
        },
    )
}

fn decomposition<const D: usize>(axes: &[Axis], corners: bool) -> Decomposition<D> {
    let of = |a: usize| axes[a].clone();
    let built = over(axes.iter().map(|axis| axis.parts).product(), std::array::from_fn(|a| of(a).n))
        .origin(std::array::from_fn(|a| of(a).start))
        .grid(std::array::from_fn(|a| of(a).parts))
        .distribution(std::array::from_fn(|a| of(a).rule))
        .halo_widths(std::array::from_fn(|a| of(a).widths))
        .periodic(std::array::from_fn(|a| of(a).periodic))
        .edges_and_corners(corners);
    built.check().expect("the settings fit each other");
    built
}

/// The part that owns each index of an axis, by the rule's own words; `None` where it is a matter of rounding.
fn owners_by_definition(axis: &Axis) -> Option<Vec<usize>> {
    let (n, parts) = (axis.n, axis.parts);
    match &axis.rule {
        Distribution::Block => {
            let sizes = (0..parts).map(|p| n / parts + usize::from(p < n % parts));
            Some(sizes.enumerate().flat_map(|(part, size)| std::iter::repeat_n(part, size)).collect())
        }
        Distribution::Cyclic => Some((0..n).map(|i| i % parts).collect()),
        Distribution::BlockCyclic(block) => Some((0..n).map(|i| (i / block) % parts).collect()),
        Distribution::Explicit(cuts) => Some(
            axis.indices().map(|i| (0..parts).find(|&p| cuts[p] <= i && i < cuts[p + 1]).expect("covered")).collect(),
        ),
        Distribution::Replicated => Some(vec![0; n]),
        Distribution::Weighted(_) => None,
    }
}

fn axis_maps_agree(axis: Axis, within: std::ops::Range<i64>) -> Result<(), TestCaseError> {
    axis.rule.check(axis.indices()).map_err(TestCaseError::fail)?;
    let map = AxisMap::new(&axis.rule, axis.indices(), axis.parts);
    prop_assert_eq!(map.indices(), axis.indices());
    let owners: Vec<usize> = axis.indices().map(|i| map.owner(i)).collect();
    if let Some(expected) = owners_by_definition(&axis) {
        prop_assert_eq!(&owners, &expected);
    }
    if let Distribution::Weighted(weights) = &axis.rule {
        let total: f64 = weights.iter().sum();
        for (part, weight) in weights.iter().enumerate() {
            let share = axis.n as f64 * weight / total;
            prop_assert!((map.count(part) as f64 - share).abs() <= 1.0 + 1e-9, "part {} of {:?}", part, weights);
            prop_assert!(*weight > 0.0 || map.count(part) == 0);
        }
    }
    prop_assert_eq!(map.largest(), (0..axis.parts).map(|part| map.count(part)).max().unwrap());
    for part in 0..axis.parts {
        let held: Vec<i64> =
            axis.indices().zip(&owners).filter(|&(_, &p)| map.is_replicated() || p == part).map(|(i, _)| i).collect();
        prop_assert_eq!(map.count(part), held.len());
        for i in axis.start - 2..axis.indices().end + 2 {
            prop_assert_eq!(map.to_local(part, i), held.iter().position(|&h| h == i));
        }
        for (local, &index) in held.iter().enumerate() {
            prop_assert_eq!(map.to_global(part, local), index);
        }
        if map.is_contiguous() {
            prop_assert_eq!(map.range(part).collect::<Vec<_>>(), held.clone());
        }
        let runs: Vec<AxisRun> = map.runs(part, within.clone()).collect();
        prop_assert!(runs.iter().all(|run| run.len > 0));
        let of_runs: Vec<_> =
            runs.iter().flat_map(|run| (0..run.len).map(|k| (run.global + k as i64, run.local + k))).collect();
        let expected: Vec<_> =
            held.iter().enumerate().filter(|(_, i)| within.contains(i)).map(|(local, &i)| (i, local)).collect();
        prop_assert_eq!(of_runs, expected, "runs of part {} in {:?}", part, within);
    }
    let in_range: BTreeSet<usize> =
        within.clone().filter_map(|i| owners.get(usize::try_from(i - axis.start).ok()?).copied()).collect();
    prop_assert_eq!(map.owners(within), in_range.into_iter().collect::<Vec<_>>());
    Ok(())
}

fn queries_agree<const D: usize>(axes: Vec<Axis>) -> Result<(), TestCaseError> {
    let grid = decomposition::<D>(&axes, false);
    let size = axes.iter().map(|axis| axis.parts).product();
    let mut held: Vec<Vec<[i64; D]>> = vec![Vec::new(); size];
    for index in grid.space() {
        let holders: Vec<usize> = (0..size).filter(|&rank| grid.to_local(rank, index).is_some()).collect();
        prop_assert_eq!(holders.first(), Some(&grid.owner(index)), "owner of {:?}", index);
        prop_assert_eq!(holders.iter().filter(|&&rank| grid.is_first_copy(rank)).count(), 1);
        let copies: usize = axes.iter().filter(|a| a.rule == Distribution::Replicated).map(|a| a.parts).product();
        prop_assert_eq!(holders.len(), copies);
        holders.iter().for_each(|&rank| held[rank].push(index));
    }
    for (rank, held) in held.iter().enumerate() {
        prop_assert_eq!(grid.rank_at(grid.coordinates(rank)), rank);
        prop_assert_eq!(grid.local_len(rank), held.len());
        let local = IndexSpace::from_shape(grid.local_shape(rank));
        for (position, &index) in local.iter().zip(held) {
            let position = position.map(|p| p as usize);
            prop_assert_eq!(grid.to_local(rank, index), Some(position), "cells are in C order locally");
            prop_assert_eq!(grid.to_global(rank, position), index);
        }
        if grid.is_contiguous() {
            prop_assert_eq!(&grid.local_space(rank).iter().collect::<Vec<_>>(), held);
            let interior = grid.interior_space(rank);
            let boundary = grid.boundary_spaces(rank);
            prop_assert_eq!(interior.len() + boundary.iter().map(|b| b.len()).sum::<usize>(), held.len());
            for index in grid.local_space(rank) {
                let reach = IndexSpace::new(index, index.map(|i| i + 1)).grow_by(grid.widths());
                prop_assert_eq!(interior.contains(index), grid.local_space(rank).contains_space(&reach));
            }
        }
    }
    Ok(())
}

/// What each halo cell of a rank copies, found cell by cell: cell → (owner, direction, owner's cell).
type Copies<const D: usize> = BTreeMap<[i64; D], (usize, [i8; D], [i64; D])>;

fn halo_by_definition<const D: usize>(axes: &[Axis], grid: &Decomposition<D>, rank: usize) -> Copies<D> {
    let local = grid.local_space(rank);
    let mut copies = BTreeMap::new();
    for cell in grid.parent_space(rank) {
        let direction: [i8; D] =
            std::array::from_fn(|a| i8::from(cell[a] >= local.end()[a]) - i8::from(cell[a] < local.start()[a]));
        let sides = direction.iter().filter(|&&d| d != 0).count();
        let wanted = if grid.has_edges_and_corners() { sides > 0 } else { sides == 1 };
        let wrapped: [i64; D] = std::array::from_fn(|a| {
            let first = axes[a].start;
            let image = || first + (cell[a] - first).rem_euclid(grid.shape()[a] as i64);
            if grid.periodicity()[a] { image() } else { cell[a] }
        });
        if wanted && grid.space().contains(wrapped) {
            let at = grid.coordinates(rank);
            let owner = grid.coordinates(grid.owner(wrapped));
            let nearest = std::array::from_fn(|a| if grid.axis(a).is_replicated() { at[a] } else { owner[a] });
            copies.insert(cell, (grid.rank_at(nearest), direction, wrapped));
        }
    }
    copies
}

fn halos_agree<const D: usize>(axes: Vec<Axis>, corners: bool) -> Result<(), TestCaseError> {
    let grid = decomposition::<D>(&axes, corners);
    let size: usize = axes.iter().map(|axis| axis.parts).product();
    let mut targets: Vec<Vec<HaloPiece<D>>> = vec![Vec::new(); size];
    let mut near: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); size];
    for rank in 0..size {
        let mut copies: Copies<D> = BTreeMap::new();
        for piece in grid.halo_sources(rank) {
            prop_assert_eq!(piece.source.translate(piece.shift), piece.space);
            for cell in piece.space {
                let from = std::array::from_fn(|a| cell[a] - piece.shift[a]);
                let twice = copies.insert(cell, (piece.peer, piece.direction, from));
                prop_assert_eq!(twice, None, "cell {:?} of rank {} is in two pieces", cell, rank);
            }
            prop_assert!(!piece.space.is_empty());
            targets[piece.peer].push(HaloPiece { peer: rank, ..piece });
            if piece.peer != rank {
                near[piece.peer].insert(rank);
                near[rank].insert(piece.peer);
            }
        }
        prop_assert_eq!(copies, halo_by_definition(&axes, &grid, rank), "halo of rank {}", rank);
    }
    for rank in 0..size {
        // Stable, so each receiver's pieces stay in the order in which the receiver lists them.
        targets[rank].sort_by_key(|piece| piece.peer);
        prop_assert_eq!(&grid.halo_targets(rank), &targets[rank], "targets of rank {}", rank);
        prop_assert_eq!(grid.neighbours(rank), near[rank].iter().copied().collect::<Vec<_>>());
    }
    Ok(())
}

macro_rules! in_dimensions {
    ($($module:ident: $d:literal, $cases:literal, longest $n:literal, parts $p:literal, halo $w:literal;)*) => {$(
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: $cases, failure_persistence: None, ..Default::default() })]

                #[test]
                fn ranks_hold_every_cell_in_c_order(axes in prop::collection::vec(axis($n, $p, $w, false), $d)) {
                    queries_agree::<$d>(axes)?;
                }

                #[test]
                fn halo_pieces_are_the_halo_cell_by_cell(
                    axes in prop::collection::vec(axis($n, $p, $w, true), $d),
                    corners in any::<bool>(),
                ) {
                    halos_agree::<$d>(axes, corners)?;
                }
            }
        }
    )*};
}

in_dimensions! {
    one: 1, 512, longest 12, parts 6, halo 15;
    two: 2, 512, longest 7, parts 4, halo 5;
    three: 3, 128, longest 5, parts 3, halo 3;
    four: 4, 64, longest 3, parts 2, halo 2;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn axis_maps_follow_their_rule(axis in axis(14, 6, 0, false), start in -12i64..25, len in 0i64..18) {
        axis_maps_agree(axis, start..start + len)?;
    }
}

fn reason<const D: usize>(decomposition: Decomposition<D>) -> String {
    decomposition.check().expect_err("the settings are wrong").to_string()
}

#[test]
fn settings_that_do_not_fit_are_errors_that_name_the_axis() {
    let reasons = [
        (
            over(4, [8, 8]).distribution([Distribution::Block, Distribution::Cyclic]).halo(1),
            "axis 1 is cyclic and has a halo",
        ),
        (over(4, [8, 8]).grid([2, 3]), "[2, 3] does not have the communicator's 4 ranks"),
        (over(4, [8, 8]).grid([usize::MAX, 2]), "does not have the communicator's 4 ranks"),
        (
            over(4, [8, 8]).distribution([Distribution::BlockCyclic(0), Distribution::Block]),
            "axis 0 (block-cyclic(0)) has blocks of 0",
        ),
        (over(4, [8, 8]).distribution([Distribution::Block, Distribution::Explicit(vec![0, 5, 9])]), "from 0 to 8"),
        (
            over(4, [8, 8]).distribution([Distribution::Block, Distribution::Explicit(vec![0, 5, 4, 8])]),
            "boundary 4 after 5",
        ),
        (over(4, [8, 8]).distribution([Distribution::Block, Distribution::Explicit(vec![])]), "0 boundaries"),
        (over(4, [8, 8]).distribution([Distribution::Weighted(vec![1.0, -1.0]), Distribution::Block]), "weight -1"),
        (over(4, [8, 8]).distribution([Distribution::Weighted(vec![0.0; 4]), Distribution::Block]), "sum 0"),
        (
            over(4, [8, 8]).distribution([Distribution::Weighted(vec![1.0; 3]), Distribution::Block]),
            "axis 0 (weighted) into 3",
        ),
        (
            over(4, [8, 8]).grid([4, 1]).distribution([Distribution::Weighted(vec![1.0; 2]), Distribution::Block]),
            "axis 0 (weighted) is for 2 parts",
        ),
        (
            over(4, [8, 8]).origin([-3, 5]).distribution([Distribution::Explicit(vec![0, 8]), Distribution::Block]),
            "from -3 to 5",
        ),
        (over(4, [8, 8]).origin([0, i64::MIN]), "axis 1 cannot have 8 cells from index -9223372036854775808 on"),
        (over(4, [8, 8]).halo(usize::MAX), "axis 0 of 8 cells cannot have a halo"),
        (over(4, [8, 8]).halo(1 << 40), "more cells than an isize counts"),
    ];
    for (decomposition, expected) in reasons {
        let text = reason(decomposition);
        assert!(text.starts_with("decomposition: ") && text.contains(expected), "{text:?} should say {expected:?}");
    }
}

#[test]
fn weights_leave_no_index_without_a_part_even_beyond_the_precision_of_f64() {
    let n = (1 << 53) + 1;
    let map = AxisMap::new(&Distribution::Weighted(vec![1.0, 2.0, 0.0]), 0..n as i64, 3);
    assert_eq!((0..3).map(|part| map.count(part)).sum::<usize>(), n);
    assert_eq!(map.owner(n as i64 - 1), 1, "the part without weight gets nothing");
}

#[test]
fn a_shape_beyond_memory_is_an_error() {
    let world = over(1, [1]).communicator().clone();
    let error = Decomposition::new([usize::MAX, 2], &world).expect_err("too many cells");
    assert!(error.to_string().contains("more cells than an isize counts"), "{error}");
    assert!(Decomposition::new([usize::MAX, 0], &world).is_err(), "indices along axis 0 are not i64");
}

#[test]
fn replicated_axes_are_not_cut_where_the_grid_is_chosen() {
    let grid = over(6, [10, 1000]).distribution([Distribution::Block, Distribution::Replicated]);
    assert_eq!(grid.process_grid(), [6, 1]);
    let everywhere = over(6, [10, 10]).distribution([Distribution::Replicated, Distribution::Replicated]);
    assert!((0..6).all(|rank| everywhere.local_space(rank) == everywhere.space()));
    assert_eq!((0..6).filter(|&rank| everywhere.is_first_copy(rank)).count(), 1);
}

#[test]
fn settings_changed_on_a_clone_leave_the_first_as_it_was() {
    let narrow = over(4, [16, 16]).halo(1);
    assert_eq!(narrow.process_grid(), [2, 2]);
    let wide = narrow.clone().grid([4, 1]).halo(2);
    assert_eq!((narrow.process_grid(), narrow.widths()), ([2, 2], [[1; 2]; 2]));
    assert_eq!((wide.process_grid(), wide.widths()), ([4, 1], [[2; 2]; 2]));
    assert!(!narrow.same_distribution(&wide) && narrow.same_distribution(&narrow.clone().halo(5)));
    assert_ne!(narrow.fingerprint(), wide.fingerprint());
    assert_eq!(narrow.fingerprint(), over(4, [16, 16]).halo(1).fingerprint());
    let moved = narrow.clone().origin([0, -8]);
    assert!(!narrow.same_distribution(&moved) && narrow.fingerprint() != moved.fingerprint());
    assert_eq!(moved.space(), IndexSpace::from([0..16, -8..8]));
    assert_eq!(
        wide.periodic([true, false]).to_string(),
        "[0..16, 0..16) (block, block) over 4 ranks as [4, 1], halo [[2, 2], [2, 2]], periodic along axis 0"
    );
}

#[test]
fn neighbours_of_a_rank_among_a_million_are_found_at_once() {
    let grid = over(1 << 20, [1 << 20, 1 << 20]).halo(1).periodic([true; 2]).edges_and_corners(true);
    assert_eq!(grid.process_grid(), [1024, 1024]);
    assert_eq!(grid.neighbours(0), [1, 1023, 1024, 1025, 2047, 1047552, 1047553, 1048575]);
    // A cost in proportion to the ranks would make this minutes.
    for rank in 0..1000 {
        assert_eq!(grid.neighbours(rank * 1031).len(), 8);
    }
}
