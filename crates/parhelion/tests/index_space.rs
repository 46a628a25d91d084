//! Every operation on index spaces against the same operation on plain sets of cells, one to four dimensions, with
//! negative starts and empty boxes.

use std::collections::BTreeSet;

use parhelion::array::IndexSpace;
use proptest::prelude::*;

type Cells<const D: usize> = BTreeSet<[i64; D]>;

/// Small boxes round the origin, a good part of them empty, in either spelling of emptiness.
fn space<const D: usize>() -> impl Strategy<Value = IndexSpace<D>> {
    let axis = prop_oneof![
        9 => (-5i64..5, 1i64..6).prop_map(|(start, n)| (start, start + n)),
        1 => (-5i64..5, -2i64..=0).prop_map(|(start, n)| (start, start + n)),
    ];
    prop::collection::vec(axis, D)
        .prop_map(|axes| IndexSpace::new(std::array::from_fn(|a| axes[a].0), std::array::from_fn(|a| axes[a].1)))
}

fn array<T: std::fmt::Debug + Copy, const D: usize>(values: impl Strategy<Value = T>) -> impl Strategy<Value = [T; D]> {
    prop::collection::vec(values, D).prop_map(|v| std::array::from_fn(|a| v[a]))
}

/// All indices of a region that holds every box these tests make.
fn universe<const D: usize>(margin: i64) -> impl Iterator<Item = [i64; D]> {
    let side = (11 + 2 * margin) as u64 + 6;
    (0..side.pow(D as u32)).map(move |mut n| {
        let mut index = [0; D];
        for a in (0..D).rev() {
            index[a] = (n % side) as i64 - 5 - margin;
            n /= side;
        }
        index
    })
}

fn cells<const D: usize>(space: &IndexSpace<D>) -> Cells<D> {
    let (start, end) = (space.start(), space.end());
    universe(3).filter(|i| (0..D).all(|a| start[a] <= i[a] && i[a] < end[a])).collect()
}

fn memory_order<const D: usize>(a: IndexSpace<D>) -> Result<(), TestCaseError> {
    let all: Vec<_> = cells(&a).into_iter().collect(); // BTreeSet order of arrays is C order
    prop_assert_eq!(a.len(), all.len());
    prop_assert_eq!(a.is_empty(), all.is_empty());
    prop_assert_eq!(a.shape().iter().product::<usize>(), all.len());
    prop_assert_eq!(a.iter().len(), all.len());
    prop_assert_eq!(&a.iter().collect::<Vec<_>>(), &all);
    for (at, &index) in all.iter().enumerate() {
        prop_assert_eq!(a.linear(index), at);
        prop_assert_eq!(a.index(at), index);
        prop_assert!(a.contains(index));
    }
    let mut by_rows = Vec::new();
    for (first, len) in a.rows() {
        for step in 0..len {
            let mut index = first;
            index[D - 1] += step as i64;
            by_rows.push(index);
        }
    }
    prop_assert_eq!(by_rows, all);
    prop_assert!(a.rows().all(|(_, len)| len > 0));
    Ok(())
}

fn sets<const D: usize>(a: IndexSpace<D>, b: IndexSpace<D>) -> Result<(), TestCaseError> {
    let (in_a, in_b) = (cells(&a), cells(&b));
    let common: Cells<D> = in_a.intersection(&in_b).copied().collect();
    prop_assert_eq!(cells(&a.intersect(&b)), common.clone());
    prop_assert_eq!(a.intersect(&b), b.intersect(&a));
    prop_assert_eq!(a.intersects(&b), !common.is_empty());
    prop_assert_eq!(a.contains_space(&b), in_b.is_subset(&in_a));
    prop_assert_eq!(a == b, in_a == in_b, "equality is equality of sets");

    let rest = a.subtract(&b);
    prop_assert!(rest.len() <= 2 * D && rest.iter().all(|part| !part.is_empty()));
    prop_assert_eq!(rest.iter().map(|part| part.len()).sum::<usize>(), in_a.difference(&in_b).count(), "disjoint");
    prop_assert_eq!(rest.iter().flat_map(cells).collect::<Cells<D>>(), in_a.difference(&in_b).copied().collect());

    let hull = a.hull(&b);
    prop_assert!(hull.contains_space(&a) && hull.contains_space(&b));
    for axis in 0..D {
        let along = |cells: &Cells<D>| cells.iter().map(|i| i[axis]).collect::<Vec<_>>();
        let both = [along(&in_a), along(&in_b)].concat();
        if let (Some(&low), Some(&high)) = (both.iter().min(), both.iter().max()) {
            prop_assert_eq!(hull.axis(axis), low..high + 1);
        } else {
            prop_assert!(hull.is_empty());
        }
    }
    Ok(())
}

fn moves<const D: usize>(a: IndexSpace<D>, by: [i64; D], widths: [[usize; 2]; D]) -> Result<(), TestCaseError> {
    let in_a = cells(&a);
    prop_assert_eq!(cells(&a.translate(by)), in_a.iter().map(|i| std::array::from_fn(|x| i[x] + by[x])).collect());

    // Growing is the union of all moves by up to the widths; shrinking keeps the cells whose every such move stays.
    let stencil: Vec<[i64; D]> = IndexSpace::new(
        std::array::from_fn(|x| -(widths[x][0] as i64)),
        std::array::from_fn(|x| widths[x][1] as i64 + 1),
    )
    .iter()
    .collect();
    let moved = |i: &[i64; D], s: &[i64; D]| -> [i64; D] { std::array::from_fn(|x| i[x] + s[x]) };
    let grown: Cells<D> = in_a.iter().flat_map(|i| stencil.iter().map(move |s| moved(i, s))).collect();
    prop_assert_eq!(cells(&a.grow_by(widths)), grown);
    let shrunk: Cells<D> =
        in_a.iter().filter(|i| stencil.iter().all(|s| in_a.contains(&moved(i, s)))).copied().collect();
    prop_assert_eq!(cells(&a.shrink_by(widths)), shrunk);
    prop_assert_eq!(a.grow(widths[0][0]), a.grow_by([[widths[0][0]; 2]; D]));
    prop_assert_eq!(a.shrink(widths[0][0]), a.shrink_by([[widths[0][0]; 2]; D]));
    Ok(())
}

fn regions<const D: usize>(a: IndexSpace<D>, widths: [[usize; 2]; D]) -> Result<(), TestCaseError> {
    let directions: Vec<_> = IndexSpace::<D>::directions(true).collect();
    prop_assert_eq!(directions.len(), 3usize.pow(D as u32) - 1);
    prop_assert_eq!(IndexSpace::<D>::directions(false).count(), 2 * D);
    for &direction in &directions {
        let near = |i: &[i64; D], x: usize| match direction[x] {
            -1 => i[x] - a.start()[x] < widths[x][0] as i64,
            1 => a.end()[x] - 1 - i[x] < widths[x][1] as i64,
            _ => true,
        };
        let inside: Cells<D> = cells(&a).into_iter().filter(|i| (0..D).all(|x| near(i, x))).collect();
        prop_assert_eq!(cells(&a.region(direction, widths)), inside);
        let beyond = |i: &[i64; D], x: usize| match direction[x] {
            -1 => i[x] < a.start()[x],
            1 => i[x] >= a.end()[x],
            _ => a.axis(x).contains(&i[x]),
        };
        let outside: Cells<D> =
            cells(&a.grow_by(widths)).into_iter().filter(|i| (0..D).all(|x| beyond(i, x))).collect();
        prop_assert_eq!(cells(&a.outer_region(direction, widths)), outside);
    }
    // All outer regions together are the halo, once.
    let halo: usize = directions.iter().map(|&direction| a.outer_region(direction, widths).len()).sum();
    prop_assert_eq!(halo, a.grow_by(widths).len() - a.len());
    Ok(())
}

fn splits<const D: usize>(a: IndexSpace<D>, parts: [usize; D]) -> Result<(), TestCaseError> {
    let blocks: Vec<_> = a.split(parts).collect();
    prop_assert_eq!(blocks.len(), parts.iter().product::<usize>());
    prop_assert_eq!(blocks.iter().map(|block| block.len()).sum::<usize>(), a.len());
    prop_assert_eq!(blocks.iter().flat_map(cells).collect::<Cells<D>>(), cells(&a));
    for (block, part) in blocks.iter().zip(IndexSpace::from_shape(parts)) {
        let sizes: [usize; D] = std::array::from_fn(|x| {
            let (n, p) = (a.shape()[x], parts[x]);
            n / p + usize::from((part[x] as usize) < n % p)
        });
        if sizes.iter().all(|&n| n > 0) {
            prop_assert_eq!(block.shape(), sizes);
        } else {
            prop_assert!(block.is_empty());
        }
    }
    Ok(())
}

macro_rules! in_dimensions {
    ($($module:ident: $d:literal, $cases:literal;)*) => {$(
        mod $module {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: $cases, failure_persistence: None, ..Default::default() })]

                #[test]
                fn cells_and_rows_come_in_memory_order(a in space::<$d>()) {
                    memory_order(a)?;
                }

                #[test]
                fn set_operations_are_those_of_sets(a in space::<$d>(), b in space::<$d>()) {
                    sets(a, b)?;
                }

                #[test]
                fn translating_growing_and_shrinking_move_cells(
                    a in space::<$d>(),
                    by in array::<_, $d>(-2i64..3),
                    widths in array::<_, $d>([0usize..3, 0usize..3]),
                ) {
                    moves(a, by, widths)?;
                }

                #[test]
                fn regions_are_cells_within_the_widths(a in space::<$d>(), widths in array::<_, $d>([0usize..3, 0usize..3])) {
                    regions(a, widths)?;
                }

                #[test]
                fn splitting_is_a_balanced_partition(a in space::<$d>(), parts in array::<_, $d>(1usize..5)) {
                    splits(a, parts)?;
                }
            }
        }
    )*};
}

in_dimensions! {
    one: 1, 512;
    two: 2, 256;
    three: 3, 32;
    four: 4, 12;
}

#[test]
fn every_empty_box_is_one_value() {
    assert_eq!(IndexSpace::new([3, -2], [3, 9]), IndexSpace::empty());
    assert_eq!(IndexSpace::new([3, 9], [8, -2]), IndexSpace::empty());
    assert_eq!(IndexSpace::from_shape([5, 0]), IndexSpace::default());
    assert_eq!(IndexSpace::<2>::empty().translate([7, 7]).grow(3), IndexSpace::empty());
    assert_eq!(IndexSpace::<3>::empty().to_string(), "empty");
    assert_eq!(IndexSpace::new([-4, 2], [0, 8]).to_string(), "[-4..0, 2..8)");
}

#[test]
fn boxes_at_the_ends_of_the_indices_work() {
    let all = IndexSpace::new([i64::MIN], [i64::MAX]);
    assert_eq!(all.len(), usize::MAX);
    assert_eq!(all.linear([i64::MAX - 1]), usize::MAX - 1);
    assert_eq!(all.index(usize::MAX - 1), [i64::MAX - 1]);
    assert_eq!(all.shrink(usize::MAX), IndexSpace::empty());
    assert_eq!(all.split([2]).map(|half| half.len()).sum::<usize>(), usize::MAX);
    assert_eq!(IndexSpace::new([i64::MIN; 4], [i64::MAX; 4]).checked_len(), None);
}

#[test]
#[should_panic(expected = "more cells come before [4294967296, 0]")]
fn a_position_that_is_not_counted_panics() {
    let _ = IndexSpace::from([0..1 << 33, 0..1 << 33]).linear([1 << 32, 0]);
}

#[test]
#[should_panic(expected = "outside the 64-bit signed integers")]
fn moving_past_the_last_index_panics() {
    let _ = IndexSpace::new([0], [i64::MAX]).translate([1]);
}

#[test]
#[should_panic(expected = "index [0, 6] is not in [0..4, 0..6)")]
fn the_position_of_an_index_outside_panics() {
    let _ = IndexSpace::from_shape([4, 6]).linear([0, 6]);
}
