//! Views against the positions of their cells in the buffer, one to four dimensions, with negative starts and empty
//! boxes.

use ndarray::{ArrayView, ArrayViewMut, Dim, Dimension, s};
use parhelion::array::{IndexSpace, RegionsMut, View, ViewMut};
use proptest::prelude::*;

/// A parent and a space inside it, either of them empty now and then.
fn framed<const D: usize>() -> impl Strategy<Value = (IndexSpace<D>, IndexSpace<D>)> {
    let axis = (-4i64..4, 0i64..3, prop_oneof![9 => 1i64..5, 1 => Just(0)], 0i64..3);
    prop::collection::vec(axis, D).prop_map(|axes| {
        let of = |f: fn((i64, i64, i64, i64)) -> i64| std::array::from_fn(|a| f(axes[a]));
        let parent = IndexSpace::new(of(|(start, ..)| start), of(|(start, low, n, high)| start + low + n + high));
        let space = IndexSpace::new(of(|(start, low, ..)| start + low), of(|(start, low, n, _)| start + low + n));
        (parent, space)
    })
}

/// The position of every cell of `space` in a buffer of `parent`, in memory order.
fn positions<const D: usize>(parent: &IndexSpace<D>, space: &IndexSpace<D>) -> Vec<usize> {
    parent.iter().enumerate().filter(|(_, index)| space.contains(*index)).map(|(at, _)| at).collect()
}

fn reading<const D: usize>(parent: IndexSpace<D>, space: IndexSpace<D>) -> Result<(), TestCaseError>
where
    Dim<[usize; D]>: Dimension,
{
    let buffer: Vec<usize> = (0..parent.len()).collect();
    let expected = positions(&parent, &space);
    let view = View::new(&buffer, parent, space);
    prop_assert_eq!(
        (view.space(), view.parent(), view.shape(), view.start()),
        (space, parent, space.shape(), space.start())
    );
    prop_assert_eq!((view.len(), view.is_empty()), (expected.len(), expected.is_empty()));
    for index in parent.grow(1) {
        let at = parent.contains(index).then(|| parent.linear(index)).filter(|_| space.contains(index));
        prop_assert_eq!(view.get(index).copied(), at);
    }
    prop_assert_eq!(&view.iter().copied().collect::<Vec<_>>(), &expected);
    let mut cells = Vec::new();
    view.for_each(|index, &at| cells.push((index, at)));
    prop_assert_eq!(cells, space.iter().zip(expected.clone()).collect::<Vec<_>>());
    let runs = view.layout();
    prop_assert_eq!(runs.iter_runs().flat_map(|(start, len)| start..start + len).collect::<Vec<_>>(), expected.clone());

    let neighbours = expected.windows(2).all(|pair| pair[1] == pair[0] + 1);
    prop_assert_eq!(view.as_slice().map(<[usize]>::to_vec), neighbours.then(|| expected.clone()));

    let array = view.to_ndarray();
    prop_assert_eq!(array.shape(), space.shape());
    prop_assert_eq!(&array.iter().copied().collect::<Vec<_>>(), &expected);
    let back = View::from_ndarray(array, [-9; D]).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(back.shape(), space.shape());
    prop_assert_eq!(back.start(), if space.is_empty() { [0; D] } else { [-9; D] });
    prop_assert_eq!(&back.iter().copied().collect::<Vec<_>>(), &expected);
    let first = expected.first().copied().unwrap_or(0);
    let moved: Vec<_> = back.layout().iter_runs().flat_map(|(start, len)| start + first..start + first + len).collect();
    prop_assert_eq!(moved, expected, "the parent that was found has the same strides");
    Ok(())
}

fn writing<const D: usize>(parent: IndexSpace<D>, space: IndexSpace<D>) -> Result<(), TestCaseError>
where
    Dim<[usize; D]>: Dimension,
{
    let expected = positions(&parent, &space);
    let only = |value: &dyn Fn(usize) -> usize| {
        let mut buffer = vec![0; parent.len()];
        expected.iter().enumerate().for_each(|(k, &at)| buffer[at] = value(k));
        buffer
    };
    let write = |each: &dyn Fn(ViewMut<'_, usize, D>)| {
        let mut buffer = vec![0; parent.len()];
        each(ViewMut::new(&mut buffer, parent, space));
        buffer
    };
    prop_assert_eq!(write(&|mut view| view.fill(7)), only(&|_| 7));
    prop_assert_eq!(write(&|view| RegionsMut::from(view).fill(7)), only(&|_| 7));
    prop_assert_eq!(write(&|mut view| view.for_each(|i, cell| *cell = space.linear(i))), only(&|k| k));
    prop_assert_eq!(write(&|mut view| space.iter().for_each(|i| view[i] += space.linear(i))), only(&|k| k));
    prop_assert_eq!(write(&|mut view| space.iter().for_each(|i| *view.get_mut(i).unwrap() = 3)), only(&|_| 3));
    prop_assert_eq!(write(&|view| view.into_ndarray().fill(5)), only(&|_| 5));
    let through_ndarray =
        |view: ViewMut<'_, usize, D>| ViewMut::from_ndarray(view.into_ndarray(), [3; D]).unwrap().fill(6);
    prop_assert_eq!(write(&through_ndarray), only(&|_| 6));
    let dense: Vec<usize> = (0..space.len()).collect();
    let elsewhere = space.translate([11; D]);
    prop_assert_eq!(write(&|mut view| view.copy_from(View::new(&dense, elsewhere, elsewhere))), only(&|k| k));
    Ok(())
}

/// A view of a region of a view is the view of that region; so is a part of a `RegionsMut`.
fn regions<const D: usize>(parent: IndexSpace<D>, space: IndexSpace<D>, inner: usize) -> Result<(), TestCaseError> {
    let middle = space.shrink(inner);
    let buffer: Vec<usize> = (0..parent.len()).collect();
    let view = View::new(&buffer, parent, space).region(middle);
    prop_assert_eq!((view.space(), view.parent()), (middle, parent));
    prop_assert_eq!(view.iter().copied().collect::<Vec<_>>(), positions(&parent, &middle));
    prop_assert_eq!(view.layout(), View::new(&buffer, parent, middle).layout());

    let mut buffer = vec![0; parent.len()];
    ViewMut::new(&mut buffer, parent, space).region(middle).fill(1);
    RegionsMut::from(ViewMut::new(&mut buffer, parent, space).region(middle)).for_each(|_, cell| *cell += 1);
    let mut around = RegionsMut::new(&mut buffer, parent, space.subtract(&middle));
    prop_assert_eq!(around.len(), space.len() - middle.len());
    prop_assert_eq!(around.is_empty(), space == middle);
    around.for_each(|index, cell| *cell += 10 * usize::from(space.contains(index)));
    // Each box is a borrow of its own: they may go to other threads together.
    std::thread::scope(|threads| {
        for mut part in around.views_mut() {
            threads.spawn(move || part.for_each_row(|_, row| row.iter_mut().for_each(|cell| *cell += 100)));
        }
    });
    for index in parent {
        let expected = if middle.contains(index) { 2 } else { 110 * usize::from(space.contains(index)) };
        prop_assert_eq!(buffer[parent.linear(index)], expected);
    }
    Ok(())
}

/// `get_row` gives exactly the rows whose cells are all in the view.
fn rows<const D: usize>(parent: IndexSpace<D>, space: IndexSpace<D>) -> Result<(), TestCaseError> {
    let buffer: Vec<usize> = (0..parent.len()).collect();
    let view = View::new(&buffer, parent, space);
    for index in parent.grow(1) {
        for len in 0..=space.shape()[D - 1] + 1 {
            let cells: Vec<[i64; D]> = (0..len as i64)
                .map(|k| std::array::from_fn(|a| if a == D - 1 { index[a] + k } else { index[a] }))
                .collect();
            let row = view.get_row(index, len).map(<[usize]>::to_vec);
            let expected = cells.iter().all(|&cell| space.contains(cell));
            prop_assert_eq!(row, expected.then(|| cells.iter().map(|&cell| parent.linear(cell)).collect::<Vec<_>>()));
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
                fn views_read_exactly_their_cells((parent, space) in framed::<$d>()) {
                    reading(parent, space)?;
                }

                #[test]
                fn views_write_exactly_their_cells((parent, space) in framed::<$d>()) {
                    writing(parent, space)?;
                }

                #[test]
                fn regions_of_views_are_views((parent, space) in framed::<$d>(), inner in 0usize..3) {
                    regions(parent, space, inner)?;
                }
            }
        }
    )*};
}

in_dimensions! {
    one: 1, 256;
    two: 2, 128;
    three: 3, 64;
    four: 4, 32;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn rows_are_checked_at_both_ends_and_in_every_axis(one in framed::<1>(), two in framed::<2>(), three in framed::<3>()) {
        rows(one.0, one.1).and(rows(two.0, two.1)).and(rows(three.0, three.1))?;
    }
}

fn strides_of<const D: usize>(array: ArrayView<'_, i32, Dim<[usize; D]>>) -> Result<IndexSpace<D>, String>
where
    Dim<[usize; D]>: Dimension,
{
    View::from_ndarray(array, [0; D]).map(|view| view.parent()).map_err(|error| error.to_string())
}

#[test]
fn arrays_that_are_no_box_in_c_order_are_refused() {
    let array = ndarray::Array3::<i32>::zeros([4, 3, 5]);
    for refused in [
        array.slice(s![.., .., ..;2]),
        array.slice(s![.., .., ..;-1]),
        array.slice(s![..;-1, .., ..]),
        array.view().permuted_axes([2, 1, 0]),
        array.view().permuted_axes([1, 0, 2]),
        array.slice(s![.., 0..1, 0..1]).broadcast([4, 3, 5]).unwrap(),
    ] {
        let reason = strides_of(refused).expect_err("no box in C order");
        assert!(reason.starts_with("view: ") && reason.contains("as_standard_layout()"), "{reason}");
    }
}

#[test]
fn the_parent_of_a_slice_is_found_from_its_strides() {
    let array = ndarray::Array3::<i32>::zeros([4, 3, 5]);
    let parent = |shape| Ok(IndexSpace::from_shape(shape));
    assert_eq!(strides_of(array.view()), parent([4, 3, 5]));
    assert_eq!(strides_of(array.slice(s![1..3, 1..3, 2..4])), parent([2, 3, 5]));
    // Of an axis of one cell nothing is known, nor needed.
    assert_eq!(strides_of(array.slice(s![.., 1..2, 2..4])), parent([4, 1, 15]));
    assert_eq!(strides_of(array.slice(s![.., 1..2, 2..3])), parent([4, 1, 15]));
    assert_eq!(strides_of(array.slice(s![1..2, 1..2, 2..3])), parent([1, 1, 1]));
    // A step along the first axis is a longer parent.
    assert_eq!(strides_of(array.slice(s![..;2, .., ..])), parent([2, 6, 5]));
    assert_eq!(strides_of(array.slice(s![0..0, .., ..])), parent([0, 0, 0]));
    let mut written = array.clone();
    let slice: ArrayViewMut<'_, i32, _> = written.slice_mut(s![.., 1..2, 2..4]);
    ViewMut::from_ndarray(slice, [0; 3]).expect("a box").fill(1);
    assert_eq!(written.sum(), 8);
    assert_eq!(written.slice(s![.., 1, 2..4]).sum(), 8);
}

#[test]
#[should_panic(expected = "index [3, 0] is not in [0..3, 0..4)")]
fn indexing_outside_a_view_panics() {
    let space = IndexSpace::from_shape([3, 4]);
    let _ = View::new(&[0; 12], space, space)[[3, 0]];
}

#[test]
#[should_panic(expected = "index [-1, 0] is not in [0..3, 0..4)")]
fn a_row_that_starts_outside_the_view_panics() {
    let space = IndexSpace::from_shape([3, 4]);
    let _ = ViewMut::new(&mut [0; 12], space, space).row_mut([-1, 0], 1);
}

#[test]
#[should_panic(expected = "3 cells from [0, 2] along the last axis are not all in [0..3, 0..4)")]
fn a_row_that_leaves_the_view_panics() {
    let space = IndexSpace::from_shape([3, 4]);
    let _ = View::new(&[0; 12], space, space).row([0, 2], 3);
}

#[test]
#[should_panic(expected = "the view [1..5) is not inside its parent [0..4)")]
fn a_space_outside_its_parent_panics() {
    let _ = View::new(&[0; 4], IndexSpace::from_shape([4]), IndexSpace::new([1], [5]));
}

#[test]
#[should_panic(expected = "a buffer of 3 cells cannot hold [0..4)")]
fn a_buffer_of_another_length_panics() {
    let _ = ViewMut::new(&mut [0; 3], IndexSpace::from_shape([4]), IndexSpace::from_shape([2]));
}

#[test]
#[should_panic(expected = "the regions [2..4) and [0..3) share cells")]
fn regions_that_share_a_cell_panic() {
    let spaces = vec![IndexSpace::new([0], [3]), IndexSpace::new([2], [4])];
    let _ = RegionsMut::new(&mut [0; 4], IndexSpace::from_shape([4]), spaces);
}
