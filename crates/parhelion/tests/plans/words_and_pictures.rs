//! `explain` and `draw`: what a person gets to see.

use parhelion::array::{Decomposition, IndexSpace};
use parhelion::halo::{Patches, Plan};

use crate::model::on_threads;

/// The numbers in a picture's arrow labels, in bytes.
fn labels(svg: &str) -> Vec<usize> {
    // Each stands on itself in white.
    let inked = svg.split("<text ").skip(1).filter(|t| !t.contains("fill=\"white\""));
    let texts = inked.filter_map(|t| t.split_once('>')?.1.split_once('<').map(|(text, _)| text));
    texts.filter_map(|t| t.strip_suffix(" B")?.parse().ok()).collect()
}

fn ring(ranks: usize) -> Vec<Plan> {
    on_threads(ranks, |world| Decomposition::new([4 * ranks, 6], &world)?.halo(1).periodic([true, true]).plan())
}

#[test]
fn explaining_names_every_message_and_copy() {
    let text = ring(4)[1].explain().to_string();
    let expected = "\
plan of rank 1 of 4: 1 patch, 24 cells owned, 20 halo
  patch 0: [3..9, -1..7) in a buffer of 48 elements; owns [4..8, 0..6); halo [3..4, 0..6) [4..8, -1..0) [4..8, 6..7) \
[8..9, 0..6)
  sends 2 messages, 12 cells
    to rank 0: 6 cells in 1 piece
      [4..5, 0..6) (1 run of 6), here patch 0, there patch 0
    to rank 2: 6 cells in 1 piece
      [7..8, 0..6) (1 run of 6), here patch 0, there patch 0
  receives 2 messages, 12 cells
    from rank 0: 6 cells in 1 piece
      [3..4, 0..6) (1 run of 6), here patch 0, there patch 0
    from rank 2: 6 cells in 1 piece
      [8..9, 0..6) (1 run of 6), here patch 0, there patch 0
  copies 8 cells in 2 pieces of its own
    [4..8, 5..6) (4 runs of 1) as [4..8, -1..0), patch 0 to patch 0
    [4..8, 0..1) (4 runs of 1) as [4..8, 6..7), patch 0 to patch 0";
    assert_eq!(text, expected);
    let adjoint = ring(4)[1].adjoint().explain().to_string();
    assert!(adjoint.starts_with("adjoint plan of rank 1 of 4"), "{adjoint}");
}

#[test]
fn explaining_stays_short_for_many_pieces() {
    let plans = on_threads(2, |world| {
        let mut patches = Patches::new();
        for i in 0..40 {
            let start = 2 * i + world.rank() as i64;
            let cell = IndexSpace::new([start], [start + 1]);
            let patch = patches.add(cell.grow(1));
            patches.publish(patch, cell);
            patches.request(patch, cell.grow(1).intersect(&IndexSpace::new([0], [80])));
        }
        patches.plan(&world)
    });
    let text = plans[0].explain().to_string();
    assert!(text.lines().count() < 50, "{text}");
    assert!(text.contains("… and 32 more patches") && text.contains("40 patches"), "{text}");
    assert!(text.contains("… and 71 more pieces"), "{text}");
}

#[test]
fn a_picture_of_one_rank_shows_its_neighbours_and_every_byte() {
    let plan = &ring(4)[1];
    let svg = plan.drawing().to_string();
    for rank in 0..3 {
        assert!(svg.contains(&format!(">rank {rank}<")), "{svg}");
    }
    let shown: usize = labels(&svg).iter().sum();
    assert_eq!(shown, plan.bytes(8) + plan.bytes_received(8) + plan.bytes_local(8));
    let shown: usize = labels(&plan.drawing().element_size(4).to_string()).iter().sum();
    assert_eq!(2 * shown, plan.bytes(8) + plan.bytes_received(8) + plan.bytes_local(8));
    // The adjoint moves the same the other way.
    let shown: usize = labels(&plan.adjoint().drawing().to_string()).iter().sum();
    assert_eq!(shown, plan.bytes(8) + plan.bytes_received(8) + plan.bytes_local(8));
}

#[test]
fn a_picture_of_one_rank_is_written_where_it_is_asked_for() {
    let plan = &ring(4)[1];
    let path = std::env::temp_dir().join(format!("parhelion-plan-of-one-{}.svg", std::process::id()));
    plan.draw(&path).unwrap();
    let svg = std::fs::read_to_string(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(svg.unwrap(), plan.drawing().to_string());
    let nowhere = plan.draw(path.join("there/is/no/such/folder.svg")).unwrap_err();
    assert!(nowhere.to_string().contains("cannot write"), "{nowhere}");
}

#[test]
fn a_picture_of_all_ranks_is_written_once() {
    let path = std::env::temp_dir().join(format!("parhelion-plan-{}.svg", std::process::id()));
    let bytes = on_threads(6, |world| {
        let grid = Decomposition::new([12, 16], &world)?.grid([2, 3]).halo(1).periodic([false, true]);
        let plan = grid.plan()?;
        plan.draw_all(&world, &path)?;
        let nowhere = plan.draw_all(&world, path.join("there/is/no/such/folder.svg")).unwrap_err();
        assert!(nowhere.to_string().contains("cannot write"), "{nowhere}");
        Ok(plan.bytes(8) + plan.bytes_local(8))
    });
    let svg = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(labels(&svg).iter().sum::<usize>(), bytes.iter().sum::<usize>());
    for rank in 0..6 {
        assert!(svg.contains(&format!(">rank {rank}<")), "{svg}");
    }
    let open = svg.matches("<g>").count();
    assert_eq!((open, svg.matches("</g>").count(), svg.matches("</svg>").count()), (6, 6, 1));
}

#[test]
fn pictures_of_any_number_of_axes_have_only_finite_numbers() {
    let pictures = [
        on_threads(3, |w| Decomposition::new([9], &w)?.halo(1).plan()?.drawing_of_all(&w)),
        on_threads(4, |w| {
            let grid = Decomposition::new([4, 4, 4], &w)?.halo(1).periodic([true; 3]).edges_and_corners(true);
            grid.plan()?.drawing_of_all(&w)
        }),
        on_threads(4, |w| Decomposition::new([4, 4, 4, 4], &w)?.halo(5).periodic([true; 4]).plan()?.drawing_of_all(&w)),
        // More ranks than cells, and nothing at all.
        on_threads(3, |w| Decomposition::new([1, 1], &w)?.halo(1).plan()?.drawing_of_all(&w)),
        on_threads(2, |w| Patches::<2>::new().plan(&w)?.drawing_of_all(&w)),
    ];
    for picture in pictures {
        let svg = picture[0].as_ref().expect("rank 0 has it").to_string();
        assert!(picture[1..].iter().all(Option::is_none));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn a_narrow_picture_is_as_wide_as_its_heading() {
    // One above the other in a column of single cells, and side by side.
    for (shape, grid) in [([90, 1], [3, 1]), ([1, 90], [1, 3])] {
        let pictures = on_threads(3, |w| Decomposition::new(shape, &w)?.grid(grid).halo(1).plan()?.drawing_of_all(&w));
        let svg = pictures[0].as_ref().expect("rank 0 has it").to_string();
        let number = |after: &str, text: &str| -> f64 {
            let rest = text.split_once(after).expect(after).1;
            rest[..rest.find([' ', '"']).expect("an end")].parse().expect(rest)
        };
        let (left, width) = (number("viewBox=\"", &svg), number(" width=\"", &svg));
        assert_eq!(number("<rect x=\"", &svg), left, "the ground is everywhere");
        let (_, heading) = svg.split_once("y=\"46\"").expect("a heading");
        let start = number("<text x=\"", &svg);
        let letters = heading[heading.find('>').unwrap() + 1..heading.find('<').unwrap()].chars().count();
        // The letters of DejaVu Sans, a wide font, are 7.3 wide at this size, on average.
        assert!(start >= left && start + 7.3 * letters as f64 <= left + width, "{left} {width} {start} {letters}");
    }
}
