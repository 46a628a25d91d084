//! `plan`: counts that can be worked out by hand, the same at every number of ranks that carries it out, and bad input.

mod command;

use command::{Scratch, collection, parhelion};
use serde_json::Value;

/// The answer of `plan --json`.
#[track_caller]
fn plan(args: &[&str]) -> Value {
    let ended = parhelion(&[&["plan", "--json"], args].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    serde_json::from_str(&ended.stdout).expect("one JSON object")
}

/// A number of each rank.
fn each(plan: &Value, key: &str) -> Vec<u64> {
    plan["ranks"].as_array().unwrap().iter().map(|rank| rank[key].as_u64().unwrap()).collect()
}

#[test]
fn slabs_of_a_cube_exchange_planes() {
    let slab = plan(&["--pde", "8", "-n", "4"]);
    assert_eq!((&slab["indices"], &slab["partition"]), (&512.into(), &"slab".into()));
    assert_eq!(slab["entries"], 512 + 6 * 8 * 8 * 7);
    assert_eq!((each(&slab, "owned"), each(&slab, "halo")), (vec![128; 4], vec![64, 128, 128, 64]));
    assert_eq!((each(&slab, "neighbours"), each(&slab, "messages")), (vec![1, 2, 2, 1], vec![1, 2, 2, 1]));
    // A plane of 8 x 8 points of 8 bytes is one run.
    assert_eq!((each(&slab, "bytes"), each(&slab, "runs")), (vec![512, 1024, 1024, 512], vec![1, 2, 2, 1]));
    assert_eq!((each(&slab, "shortest_run"), each(&slab, "longest_run")), (vec![64; 4], vec![64; 4]));
    assert_eq!((&slab["edge_cut"], &slab["imbalance"], &slab["bytes"]), (&(6 * 64).into(), &1.0.into(), &3072.into()));
}

#[test]
fn what_a_partition_is_worth_shows_in_its_cut() {
    let cut =
        |partition: &str| plan(&["--pde", "12", "-n", "4", "--partition", partition])["edge_cut"].as_u64().unwrap();
    // Two planes across, instead of three parallel ones.
    assert_eq!((cut("slab"), cut("rcb")), (6 * 144, 4 * 144));
    assert!(cut("random") > 5 * cut("slab"));
    let seeded = |seed| plan(&["--pde", "6", "-n", "3", "--partition", "random", "--seed", seed]);
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1")["ranks"], seeded("2")["ranks"]);
}

#[cfg(feature = "metis")]
#[test]
fn a_graph_partitioner_cuts_no_more_than_slabs() {
    let cut =
        |partition: &str| plan(&["--pde", "12", "-n", "4", "--partition", partition])["edge_cut"].as_u64().unwrap();
    assert!(cut("graph") <= cut("slab"), "{} entries", cut("graph"));
}

/// A path of 40 points; `weight` is that of the edge after each.
#[cfg(feature = "metis")]
fn weighted_path(weight: impl Fn(usize) -> u64) -> String {
    (1..=40).fold("40 39 001\n".to_owned(), |text, i| {
        let before = if i > 1 { format!("{} {} ", i - 1, weight(i - 1)) } else { String::new() };
        let after = if i < 40 { format!("{} {}", i + 1, weight(i)) } else { String::new() };
        text + &before + &after + "\n"
    })
}

#[cfg(feature = "metis")]
#[test]
fn the_partitioner_heeds_the_weights_in_a_graph() {
    let scratch = Scratch::new("plan-weights");
    // Halves that cut one edge, as without weights, cut the one in the middle, which is dear.
    let path = scratch.file("dear.graph", weighted_path(|i| if i == 20 { 1000 } else { 10 }));
    let plan = plan(&[&path, "-n", "2", "--partition", "graph"]);
    let (owned, cut) = (each(&plan, "owned"), &plan["edge_cut"]);
    assert!(owned.iter().sum::<u64>() == 40 && (owned[0] != 20 || *cut != 2), "{owned:?}, {cut} entries cut");
}

#[cfg(feature = "metis")]
#[test]
fn what_the_partitioner_refuses_is_one_line_from_every_rank() {
    let scratch = Scratch::new("plan-refused");
    let path = scratch.file("heavy.graph", weighted_path(|_| 4_000_000_000));
    let ended = parhelion(&["plan", &path, "-n", "3", "--partition", "graph"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("METIS counts the weights of edges"), "{}", ended.stderr);
}

#[cfg(not(feature = "metis"))]
#[test]
fn a_partitioner_that_was_not_built_is_named() {
    fails(&["--pde", "4", "--partition", "graph"], &["--features metis", "--partition FILE"]);
}

#[test]
fn files_give_the_same_plans_as_the_grid_they_hold() {
    // A path of five points; in the graph of METIS each line has the neighbours.
    let scratch = Scratch::new("plan-files");
    let matrix = "%%MatrixMarket matrix coordinate pattern symmetric\n5 5 4\n2 1\n3 2\n4 3\n5 4\n";
    let (mtx, graph) = (scratch.file("p.mtx", matrix), scratch.file("p.graph", "5 4\n2\n1 3\n2 4\n3 5\n4\n"));
    let (parts, places) =
        (scratch.file("p.part", "1\n0\n0\n1\n1\n"), scratch.file("p.xy", "0 9\n0 1\n0 2\n0 8\n0 7\n"));
    for file in [&mtx, &graph] {
        for (args, halo, cut) in [
            (&["--partition", &parts][..], vec![2, 2], 4),
            // The upper three and the lower two are the same parts.
            (&["--partition", "rcb", "--coordinates", &places], vec![2, 2], 4),
            (&[], vec![1, 1], 2),
        ] {
            let plan = plan(&[&[file, "-n", "2"], args].concat());
            assert_eq!((&plan["indices"], &plan["entries"]), (&5.into(), &8.into()), "{file} {args:?}");
            assert_eq!((each(&plan, "halo"), &plan["edge_cut"]), (halo, &cut.into()), "{file} {args:?}");
        }
    }
    // More ranks than indices: some own nothing.
    assert_eq!(each(&plan(&[&mtx, "-n", "7"]), "owned").iter().sum::<u64>(), 5);
}

#[test]
fn the_table_names_the_numbers_and_explains_each_rank() {
    let ended = parhelion(&["plan", "--pde", "8", "-n", "4", "--explain"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for words in ["grid-8x8x8: 512 indices", "4 ranks, partition slab", "edge cut", "imbalance      1.000"] {
        assert!(ended.stdout.contains(words), "{words:?} is not in: {}", ended.stdout);
    }
    for rank in 0..4 {
        assert!(ended.stdout.contains(&format!("plan of rank {rank} of 4")), "{}", ended.stdout);
    }
}

#[test]
fn the_picture_has_an_arrow_for_each_message() {
    let scratch = Scratch::new("plan-picture");
    let path = scratch.path("plan.svg");
    let ended = parhelion(&["plan", "--pde", "6", "-n", "3", "--draw", &path]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let picture = std::fs::read_to_string(&path).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    // Of the four messages each is a plane of 36 points; its label stands on itself in white.
    assert_eq!(picture.matches("<path ").count(), 4, "{picture}");
    assert_eq!(picture.matches("288 B").count(), 2 * 4, "{picture}");
}

#[test]
fn matrices_from_practice_are_planned() {
    for (file, indices, entries) in [("bcsstk16.mtx", 4884, 290_378), ("4elt.graph", 15_606, 2 * 45_878)] {
        let Some(path) = collection(file) else { continue };
        for partition in ["slab", "random"] {
            let plan = plan(&[&path, "-n", "3", "--partition", partition]);
            assert_eq!((&plan["indices"], &plan["entries"]), (&indices.into(), &entries.into()), "{file} {partition}");
            assert_eq!(each(&plan, "owned").iter().sum::<u64>(), indices, "{file} {partition}");
            // What is received is sent by somebody.
            assert_eq!(plan["bytes"], 8 * each(&plan, "halo").iter().sum::<u64>(), "{file} {partition}");
        }
    }
}

#[test]
fn the_ending_of_a_graph_may_be_in_any_case() {
    let scratch = Scratch::new("plan-case");
    for name in ["a.graph", "A.GRAPH", "a.Graph"] {
        let plan = plan(&[&scratch.file(name, "3 2\n2\n1 3\n2\n"), "-n", "2"]);
        assert_eq!((&plan["indices"], &plan["entries"]), (&3.into(), &4.into()), "{name}");
    }
}

/// `plan` with these arguments fails with one line that has all of `words`, at 1 and 3 ranks.
#[track_caller]
fn fails(args: &[&str], words: &[&str]) {
    for ranks in ["1", "3"] {
        let ended = parhelion(&[&["plan", "-n", ranks], args].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{args:?}: one line: {}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{args:?}: {word:?} is not in: {}", ended.stderr);
        }
    }
}

#[test]
fn bad_input_is_one_line() {
    let scratch = Scratch::new("plan-bad");
    let mtx = scratch.file("a.mtx", "%%MatrixMarket matrix coordinate pattern general\n3 3 1\n1 2\n");
    fails(&["/nowhere/a.mtx"], &["/nowhere/a.mtx: cannot read: No such file"]);
    fails(&["/nowhere/a.graph"], &["/nowhere/a.graph: cannot read: No such file"]);
    let wide = scratch.file("w.mtx", "%%MatrixMarket matrix coordinate pattern general\n3 4 1\n1 2\n");
    fails(&[&wide], &["w.mtx:2: ", "3 rows and 4 columns"]);
    fails(&[&scratch.file("b.graph", "3 1\n2\n\n\n")], &["b.graph: ", "line "]);
    fails(&[&mtx, "--partition", &scratch.file("short", "0\n0\n")], &["short:2: ", "after 2 part numbers"]);
    fails(&[&mtx, "--partition", &scratch.file("high", "0\n0\n3\n")], &["high:3: ", "part 3 has no rank"]);
    fails(&[&mtx, "--partition", "/nowhere/parts"], &["/nowhere/parts: cannot read"]);
    fails(&[&mtx, "--partition", "rcb"], &["--coordinates FILE"]);
    let places = |name, text: &str| scratch.file(name, text);
    let rcb = |path: &str, words: &[&str]| fails(&[&mtx, "--partition", "rcb", "--coordinates", path], words);
    rcb(&places("few", "0 0\n1 1\n"), &["few: 2 points, but there are 3 indices"]);
    rcb(&places("many", "0 0\n1 1\n2 2\n\n3 3\n"), &["many:5: more points than 3 indices"]);
    rcb(&places("flat", "0 0\n1\n2 2\n"), &["flat:2: 1 numbers; a point has two or three"]);
    rcb(&places("word", "0 0\n1 x\n2 2\n"), &["word:2: ", "'x' is not a number"]);
    fails(&[&mtx, "--seed", "1"], &["--seed is not for '--partition slab'"]);
    fails(&[&mtx, "--partition", "random", "--coordinates", "places"], &["--coordinates is not for"]);
    fails(&[&mtx, "--draw", "/nowhere/plan.svg"], &["/nowhere/plan.svg: cannot write"]);
}
