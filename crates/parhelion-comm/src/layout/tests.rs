//! Layouts against brute force.

use proptest::prelude::*;

use super::{Layout, PairShape, combine, copy, copy_pair};
use crate::op::{Kernel, Op};

fn indices(layout: &Layout) -> Vec<usize> {
    layout.iter_runs().flat_map(|(start, len)| start..start + len).collect()
}

/// A box in a parent: (parent, start, shape).
fn boxes(axes: usize) -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    proptest::collection::vec((1usize..7).prop_flat_map(|p| (Just(p), 0..=p)), axes).prop_flat_map(|pairs| {
        let parts: Vec<_> = pairs.iter().map(|&(p, s)| (Just(p), Just(s), 0..=p - s)).collect();
        parts.prop_map(|v| {
            (v.iter().map(|x| x.0).collect(), v.iter().map(|x| x.1).collect(), v.iter().map(|x| x.2).collect())
        })
    })
}

fn any_box() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    (1usize..=4).prop_flat_map(boxes)
}

fn brute((parent, start, shape): &(Vec<usize>, Vec<usize>, Vec<usize>)) -> Vec<usize> {
    let mut all = vec![0];
    for d in 0..parent.len() {
        all = all.iter().flat_map(|&a| (0..shape[d]).map(move |i| a * parent[d] + start[d] + i)).collect();
    }
    all
}

fn any_layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        any_box().prop_map(|(p, s, e)| Layout::subarray(&p, &s, &e)),
        proptest::collection::vec(0usize..60, 0..40).prop_map(Layout::indices),
        proptest::collection::vec((0usize..60, 0usize..5), 0..12).prop_map(Layout::runs),
    ]
}

/// The first `len` elements of a layout, which has at least so many.
fn prefix(layout: &Layout, len: usize) -> Layout {
    Layout::indices(indices(layout).into_iter().take(len))
}

/// Distinct indices only: where something is written in any order.
fn once(layout: &Layout) -> Layout {
    let mut seen = std::collections::HashSet::new();
    Layout::indices(indices(layout).into_iter().filter(|&i| seen.insert(i)))
}

proptest! {
    #[test]
    fn a_subarray_names_the_cells_of_its_box(b in any_box()) {
        let layout = Layout::subarray(&b.0, &b.1, &b.2);
        let expected = brute(&b);
        prop_assert_eq!(indices(&layout), &expected[..]);
        prop_assert_eq!(layout.len(), expected.len());
        prop_assert_eq!(layout.is_empty(), expected.is_empty());
        prop_assert_eq!(layout.end(), expected.iter().max().map_or(0, |m| m + 1));
        // However it is made, it is the same value.
        prop_assert_eq!(&layout, &Layout::indices(expected));
        prop_assert_eq!(&layout, &Layout::runs(layout.iter_runs()));
    }

    #[test]
    fn scaling_and_shifting_keep_order_and_normal_form(layout in any_layout(), bytes in 1usize..20, by in 0usize..50) {
        let of_bytes: Vec<usize> =
            indices(&layout).into_iter().flat_map(|i| i * bytes..(i + 1) * bytes).collect();
        prop_assert_eq!(&layout.scaled(bytes), &Layout::indices(of_bytes));
        prop_assert_eq!(&layout.shifted(by), &Layout::indices(indices(&layout).into_iter().map(|i| i + by)));
    }

    #[test]
    fn copies_move_each_element_and_touch_no_other(
        a in any_layout(), b in any_layout(),
        size in prop_oneof![1usize..=17, Just(24usize), Just(33), Just(100), Just(200)],
    ) {
        let b = once(&b);
        let len = a.len().min(b.len());
        let (from, to) = (prefix(&a, len), prefix(&b, len));
        let src: Vec<u8> = (0..from.end() * size).map(|i| (i % 251) as u8).collect();
        let mut dst = vec![255u8; to.end() * size];
        let mut expected = dst.clone();
        for (i, j) in indices(&from).into_iter().zip(indices(&to)) {
            expected[j * size..(j + 1) * size].copy_from_slice(&src[i * size..(i + 1) * size]);
        }
        // SAFETY: both buffers end where their layouts do.
        unsafe { copy(src.as_ptr(), &from, dst.as_mut_ptr(), &to, size) };
        prop_assert_eq!(dst, expected);
    }

    #[test]
    fn boxes_of_one_shape_copy_into_each_other((p, s, e) in any_box(), grow in proptest::collection::vec((0usize..3, 0usize..3), 4)) {
        let from = Layout::subarray(&p, &s, &e);
        let start: Vec<usize> = s.iter().zip(&grow).map(|(s, g)| s + g.0).collect();
        let parent: Vec<usize> = p.iter().zip(&grow).map(|(p, g)| p + g.0 + g.1).collect();
        let to = Layout::subarray(&parent, &start, &e);
        let src: Vec<u32> = (0..from.end() as u32).collect();
        let mut dst = vec![u32::MAX; to.end()];
        // SAFETY: both buffers end where their layouts do.
        unsafe { copy(src.as_ptr().cast(), &from, dst.as_mut_ptr().cast(), &to, 4) };
        let mut expected = vec![u32::MAX; to.end()];
        for (i, j) in indices(&from).into_iter().zip(indices(&to)) {
            expected[j] = i as u32;
        }
        prop_assert_eq!(dst, expected);
    }

    #[test]
    fn opposite_faces_are_copied_as_one_by_one(
        mut shape in proptest::collection::vec(1usize..6, 0..=3),
        (n, width) in (1usize..5).prop_flat_map(|w| (w..9, Just(w))),
        size in prop_oneof![Just(1usize), Just(2), Just(3), Just(4), Just(8), Just(12), Just(16)],
    ) {
        // Rows of n cells with a halo on both sides, periodic.
        shape.push(n + 2 * width);
        let last = shape.len() - 1;
        let face = |start: usize| {
            let (mut starts, mut extent) = (vec![0; shape.len()], shape.clone());
            (starts[last], extent[last]) = (start, width);
            Layout::subarray(&shape, &starts, &extent)
        };
        let (from, to) = ([face(n), face(width)], [face(0), face(n + width)]);
        let before: Vec<u8> = (0..shape.iter().product::<usize>() * size).map(|i| (i % 251) as u8).collect();
        let (mut both, mut single) = (before.clone(), before);
        // SAFETY: all four layouts lie inside the buffer, and no cell that is read is written.
        unsafe {
            let (src, dst) = (both.as_ptr(), both.as_mut_ptr());
            copy_pair([src; 2], [&from[0], &from[1]], [dst; 2], [&to[0], &to[1]], size);
            for side in [0, 1] {
                copy(single.as_ptr(), &from[side], single.as_mut_ptr(), &to[side], size);
            }
        }
        prop_assert_eq!(both, single);
        let shapes = [0, 1].map(|side| PairShape::of(&from[side], &to[side], size));
        prop_assert_eq!(&shapes[0], &shapes[1]);
        let rows: usize = shape[..last].iter().product();
        prop_assert_eq!(shapes[0].is_some(), rows > 1 && [1, 2, 4, 8, 12, 16, 24, 32, 48].contains(&(width * size)));
    }

    #[test]
    fn two_copies_of_any_layouts_are_both_made(layouts in [any_layout(), any_layout(), any_layout(), any_layout()]) {
        let pairs = [0, 2].map(|i| {
            let len = layouts[i].len().min(layouts[i + 1].len());
            (prefix(&layouts[i], len), once(&prefix(&layouts[i + 1], len)))
        });
        let pairs = pairs.map(|(from, to)| (prefix(&from, to.len()), to));
        let end = pairs.iter().map(|(from, _)| from.end()).max().unwrap_or(0);
        let src: Vec<u16> = (0..end as u16).collect();
        let mut dst = pairs.each_ref().map(|(_, to)| vec![u16::MAX; to.end()]);
        let mut expected = dst.clone();
        for ((from, to), expected) in pairs.iter().zip(&mut expected) {
            for (i, j) in indices(from).into_iter().zip(indices(to)) {
                expected[j] = src[i];
            }
        }
        let [(from, to), (other_from, other_to)] = &pairs;
        let targets = dst.each_mut().map(|dst| dst.as_mut_ptr().cast());
        // SAFETY: the buffers are as long as the layouts need.
        unsafe { copy_pair([src.as_ptr().cast(); 2], [from, other_from], targets, [to, other_to], 2) };
        prop_assert_eq!(dst, expected);
    }

    #[test]
    fn combining_works_in_layout_order(a in any_layout(), b in any_layout(), misaligned in any::<bool>()) {
        let len = a.len().min(b.len());
        let (from, to) = (prefix(&a, len), prefix(&b, len));
        let src: Vec<u64> = (0..from.end() as u64).map(|i| i * i + 1).collect();
        let mut bytes = vec![0u8; src.len() * 8 + 16];
        let shift = bytes.as_ptr().align_offset(8) + usize::from(misaligned);
        bytes[shift..shift + src.len() * 8].copy_from_slice(bytemuck::cast_slice(&src));
        let mut dst: Vec<u64> = (0..to.end() as u64).collect();
        let mut expected = dst.clone();
        // An operator for which order matters, and names repeated in `to` are combined again.
        let op = |x: u64, y: u64| x.wrapping_mul(31).wrapping_add(y);
        for (i, j) in indices(&from).into_iter().zip(indices(&to)) {
            expected[j] = op(expected[j], src[i]);
        }
        // SAFETY: both buffers end where their layouts do.
        unsafe { combine(bytes[shift..].as_ptr(), &from, dst.as_mut_ptr().cast(), &to, &Kernel::of(&op).unwrap()) };
        prop_assert_eq!(dst, expected);
    }
}

#[test]
fn grids_are_found_in_lists_only_where_no_index_repeats() {
    let strided = |l: &Layout| matches!(l, Layout::Strided(_));
    assert!(strided(&Layout::indices([1, 4, 7])));
    // A transpose steps less on its slow axis than on its fast one.
    assert!(strided(&Layout::indices([0, 10, 20, 1, 11, 21])));
    assert!(!strided(&Layout::indices([0, 2, 4, 2, 4, 6])));
    assert!(!strided(&Layout::indices([5, 3, 1])));
    assert!(!strided(&Layout::indices([0, 0, 0])));
    assert!(!strided(&Layout::runs([(0, 2), (1, 2), (2, 2)])));
    assert_eq!(Layout::runs([(3, 2), (9, 0), (5, 1)]), Layout::contiguous(3, 3));
    assert_eq!(Layout::contiguous(7, 0), Layout::EMPTY);
    assert_eq!(Layout::indices([]), Layout::EMPTY);
}

#[test]
fn elements_larger_than_the_scratch_combine() {
    let (from, to) = (Layout::indices([0, 2]), Layout::indices([1, 3]));
    let src = vec![[2u64; 1000]; 3];
    let mut dst = vec![[5u64; 1000]; 4];
    let op = |x: [u64; 1000], y: [u64; 1000]| std::array::from_fn(|i| x[i] + y[i]);
    // SAFETY: both buffers hold their layouts.
    unsafe { combine(src.as_ptr().cast(), &from, dst.as_mut_ptr().cast(), &to, &Kernel::of(&op).unwrap()) };
    assert_eq!(dst.iter().map(|x| x[999]).collect::<Vec<_>>(), [5, 7, 5, 7]);
}

#[test]
fn columns_combine_beyond_one_scratch() {
    let n = 3000;
    let column = Layout::subarray(&[n, 3], &[0, 1], &[n, 1]);
    let src = vec![1i32; n];
    let mut dst = vec![7i32; 3 * n];
    let packed = Layout::contiguous(0, n);
    // SAFETY: both buffers hold their layouts.
    unsafe {
        combine(src.as_ptr().cast(), &packed, dst.as_mut_ptr().cast(), &column, &Kernel::of::<i32>(&Op::Sum).unwrap());
    }
    assert!(dst.chunks(3).all(|row| row == [7, 8, 7]));
}

#[test]
fn layouts_print_what_they_are() {
    assert_eq!(Layout::contiguous(2, 3).to_string(), "2..5");
    assert_eq!(Layout::subarray(&[4, 5, 6], &[1, 1, 1], &[2, 2, 2]).to_string(), "2 from 37, 2 by 30, 2 by 6");
    assert_eq!(Layout::indices([9, 1, 4, 5]).to_string(), "4 elements in 3 runs, 1..10");
}

#[test]
#[should_panic(expected = "is not inside its parent")]
fn a_box_outside_its_parent_is_refused() {
    Layout::subarray(&[4, 4], &[3, 0], &[2, 4]);
}

#[test]
#[should_panic(expected = "has 3 elements, not 4")]
fn packing_into_the_wrong_length_is_refused() {
    Layout::indices([1, 3, 5]).pack(&[0u8; 6], &mut [0; 4]);
}
