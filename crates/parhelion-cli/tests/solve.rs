//! Solves, at several numbers of ranks.

mod command;

use command::{Scratch, collection, data, parhelion, solve};

fn near_ones(path: &str, rows: usize) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap();
    let x: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(x.len(), rows);
    assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-5), "{x:?}");
    x
}

#[test]
fn poisson_takes_the_same_iterations_at_any_number_of_ranks() {
    let alone = solve(&["--pde", "16", "-n", "1"]);
    assert_eq!(alone["rows"], 4096);
    assert_eq!(alone["nonzeros"], 4096 * 7 - 6 * 16 * 16);
    for ranks in ["2", "3", "4", "7"] {
        let together = solve(&["--pde", "16", "-n", ranks]);
        assert_eq!(together["iterations"], alone["iterations"], "{ranks} ranks");
        assert_eq!(together["converged"], true);
        let error = together["error_max"].as_f64().unwrap();
        assert!(error < 1e-6 && (error - alone["error_max"].as_f64().unwrap()).abs() < 1e-9, "{ranks} ranks: {error}");
    }
}

#[test]
fn the_json_object_has_its_keys_and_right_numbers() {
    let value = solve(&[&data("grid.mtx"), "-n", "3"]);
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "matrix",
        "rows",
        "nonzeros",
        "ranks",
        "backend",
        "library",
        "solver",
        "iterations",
        "converged",
        "relative_residual",
        "error_max",
        "seconds",
        "halo_bytes_per_exchange",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    // 72 cells, and both directions of the 127 faces between them.
    assert_eq!((&value["rows"], &value["nonzeros"], &value["ranks"]), (&72.into(), &(72 + 2 * 127).into(), &3.into()));
    assert_eq!((&value["backend"], &value["solver"]), (&"local".into(), &"cg".into()));
    assert!(value["relative_residual"].as_f64().unwrap() <= 1e-8);
    for part in ["total", "setup", "halo", "reduce", "compute"] {
        assert!(value["seconds"][part].as_f64().unwrap() >= 0.0, "{part}");
    }
    assert!(value["halo_bytes_per_exchange"].as_u64().unwrap() > 0);
    assert_eq!(solve(&[&data("grid.mtx"), "-n", "1"])["halo_bytes_per_exchange"], 0);
}

#[test]
fn bicgstab_solves_a_matrix_that_is_not_symmetric() {
    let convection = data("convection.mtx");
    for ranks in ["1", "2", "4", "7"] {
        let value = solve(&[&convection, "--solver", "bicgstab", "-n", ranks]);
        assert_eq!((&value["converged"], &value["solver"]), (&true.into(), &"bicgstab".into()), "{ranks} ranks");
        assert!(value["error_max"].as_f64().unwrap() < 1e-6, "{ranks} ranks");
    }
    let ended = parhelion(&["solve", &convection, "-n", "2", "--max-iterations", "3"]);
    assert!(ended.stderr.starts_with("warning: the matrix is not symmetric"), "{}", ended.stderr);
}

#[test]
fn a_partition_may_be_uneven_scattered_and_leave_a_rank_with_nothing() {
    let scratch = Scratch::new("parts");
    let grid = data("grid.mtx");
    let reference = solve(&[&grid, "-n", "1"]);
    let uneven: String = (0..72).map(|row| if row % 3 == 0 { "0\n" } else { "3\n" }).collect();
    let one: String = "2\n".repeat(72);
    for (name, content) in [("uneven", uneven), ("one", one)] {
        let parts = scratch.file(name, content);
        let x = scratch.path("x");
        let value = solve(&[&grid, "-n", "4", "--partition", &parts, "--solution", &x]);
        assert_eq!(value["converged"], true, "{name}");
        assert_eq!(value["iterations"], reference["iterations"], "{name}");
        near_ones(&x, 72);
    }
}

#[test]
fn solution_and_right_hand_side_keep_the_numbering_of_the_file() {
    let scratch = Scratch::new("numbering");
    let grid = data("grid.mtx");
    // b differs from row to row, so a value at a wrong place shows.
    let plain: String = (0..72).map(|row| format!("{}\n", row + 1)).collect();
    let array: String = (0..72)
        .fold("%%MatrixMarket matrix array integer general\n72 1\n".into(), |t, row| format!("{t}{}\n", row + 1));
    let rhs = [scratch.file("b.txt", plain), scratch.file("b.mtx", array)];
    let parts = scratch.file("parts", (0..72).map(|row| format!("{}\n", row * 5 % 4)).collect::<String>());
    let mut solutions: Vec<Vec<f64>> = Vec::new();
    for extra in [&["-n", "1"][..], &["-n", "4"], &["-n", "4", "--order", "rcm"], &["-n", "4", "--partition", &parts]] {
        for rhs in &rhs {
            let x = scratch.path("x");
            let value = solve(&[&[&grid, "--rhs", rhs, "--solution", &x, "--tolerance", "1e-12"], extra].concat());
            assert!(value["error_max"].is_null());
            let text = std::fs::read_to_string(&x).unwrap();
            solutions.push(text.lines().map(|line| line.parse().unwrap()).collect());
        }
    }
    let (first, others) = solutions.split_first().unwrap();
    assert!(first.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.1));
    for other in others {
        assert!(first.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn the_order_does_not_change_the_answer_and_rcm_sends_less() {
    let scratch = Scratch::new("rcm");
    let grid = data("grid.mtx");
    let x = scratch.path("x");
    let natural = solve(&[&grid, "-n", "4"]);
    let rcm = solve(&[&grid, "-n", "4", "--order", "rcm", "--solution", &x]);
    assert_eq!(rcm["iterations"], natural["iterations"]);
    let bytes = |value: &serde_json::Value| value["halo_bytes_per_exchange"].as_u64().unwrap();
    assert!(bytes(&rcm) < bytes(&natural), "{} < {}", bytes(&rcm), bytes(&natural));
    near_ones(&x, 72);
    assert_eq!(
        solve(&["--pde", "8", "-n", "3", "--order", "rcm"])["iterations"],
        solve(&["--pde", "8", "-n", "3"])["iterations"]
    );
}

#[test]
fn schemes_and_overlap_change_nothing_but_the_time() {
    let scratch = Scratch::new("schemes");
    let x = scratch.path("x");
    let grid = data("grid.mtx");
    for ranks in ["1", "3", "7"] {
        let common = [grid.as_str(), "-n", ranks, "--solution", &x, "--columns", "2"];
        let default = solve(&common);
        assert!(default["scheme"].is_null(), "{default}");
        let text = std::fs::read_to_string(&x).unwrap();
        for scheme in [
            "p2p",
            "p2p+datatype",
            "persistent",
            "neighbor",
            "persistent-neighbor",
            "rma-pull",
            "rma-push",
            "shared",
            "auto",
        ] {
            for overlap in ["on", "off"] {
                let value = solve(&[&common[..], &["--scheme", scheme, "--overlap", overlap]].concat());
                assert_eq!(value["iterations"], default["iterations"], "{ranks} ranks, {scheme}, overlap {overlap}");
                assert!(value["scheme"].as_str().unwrap().starts_with(scheme), "{value}");
                let same = std::fs::read_to_string(&x).unwrap() == text;
                assert!(same, "{ranks} ranks, {scheme}, overlap {overlap}: another solution");
            }
        }
    }
}

#[test]
fn columns_are_solved_at_once_and_each_as_if_alone() {
    let scratch = Scratch::new("columns");
    let x = scratch.path("x");
    let convection = data("convection.mtx");
    for (matrix, rows, solver) in [(data("grid.mtx"), 72, "cg"), (convection, 60, "bicgstab")] {
        for extra in [&["-n", "1"][..], &["-n", "4"], &["-n", "7", "--order", "rcm"]] {
            let common = [&[matrix.as_str(), "--solver", solver], extra].concat();
            let alone = solve(&common);
            let value = solve(&[&common[..], &["--columns", "3", "--solution", &x]].concat());
            let columns = value["columns"].as_array().unwrap();
            assert_eq!(columns.len(), 3);
            assert_eq!(columns[0]["iterations"], alone["iterations"], "{common:?}");
            let most = columns.iter().map(|column| column["iterations"].as_u64().unwrap()).max();
            assert_eq!(value["iterations"].as_u64(), most);
            for column in columns {
                assert_eq!(column["converged"], true, "{common:?}: {value}");
                assert!(column["error_max"].as_f64().unwrap() < 1e-5, "{common:?}: {value}");
            }
            let bytes = |value: &serde_json::Value| value["halo_bytes_per_exchange"].as_u64().unwrap();
            assert_eq!(bytes(&value), 3 * bytes(&alone), "{common:?}");
            let text = std::fs::read_to_string(&x).unwrap();
            assert_eq!(text.lines().count(), rows, "{common:?}");
            for line in text.lines() {
                let numbers: Vec<f64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
                assert_eq!(numbers.len(), 3, "{line}");
                // Ones, and then multiples of an eighth that are not all alike.
                assert!((numbers[0] - 1.0).abs() < 1e-5, "{line}");
                assert!(numbers.iter().all(|x| (8.0 * x - (8.0 * x).round()).abs() < 1e-4), "{line}");
            }
        }
    }
}

#[test]
fn right_hand_sides_of_several_columns_are_solved_as_each_would_be() {
    let scratch = Scratch::new("two-sides");
    let grid = data("grid.mtx");
    let b = |row: usize, column: usize| if column == 0 { row as f64 + 1.0 } else { ((row * 37) % 11) as f64 - 3.0 };
    let plain: String = (0..72).map(|row| format!("{} {}\n", b(row, 0), b(row, 1))).collect();
    let array = (0..144).fold("%%MatrixMarket matrix array real general\n72 2\n".to_owned(), |text, at| {
        format!("{text}{}\n", b(at % 72, at / 72))
    });
    let read = |path: &str| -> Vec<Vec<f64>> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect()
    };
    let x = scratch.path("x");
    let alone: Vec<Vec<Vec<f64>>> = (0..2)
        .map(|column| {
            let rhs = scratch.file("b", (0..72).map(|row| format!("{}\n", b(row, column))).collect::<String>());
            solve(&[&grid, "-n", "1", "--rhs", &rhs, "--solution", &x, "--tolerance", "1e-12"]);
            read(&x)
        })
        .collect();
    for rhs in [scratch.file("b2.txt", plain), scratch.file("b2.mtx", array)] {
        for extra in [&["-n", "1"][..], &["-n", "3"], &["-n", "4", "--order", "rcm"]] {
            let common = [grid.as_str(), "--rhs", &rhs, "--solution", &x, "--tolerance", "1e-12", "--columns", "2"];
            let value = solve(&[&common[..], extra].concat());
            assert!(value["error_max"].is_null() && value["columns"][1]["error_max"].is_null());
            let rows = read(&x);
            assert_eq!(rows.len(), 72);
            for (row, values) in rows.iter().enumerate() {
                let near = (0..2).all(|column| (values[column] - alone[column][row][0]).abs() < 1e-9);
                assert!(near && values.len() == 2, "{rhs}, {extra:?}, row {row}: {values:?}");
            }
        }
    }
}

#[test]
fn the_plot_is_a_picture() {
    let scratch = Scratch::new("plot");
    for ranks in ["1", "5"] {
        let path = scratch.path("plot.png");
        solve(&["--pde", "6", "-n", ranks, "--plot", &path]);
        let png = std::fs::read(&path).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        assert!(png.len() > 10_000);
    }
}

#[test]
fn what_does_not_converge_says_so_and_ends_with_code_1() {
    let grid = data("grid.mtx");
    let value = solve(&[&grid, "-n", "2", "--max-iterations", "2"]);
    assert_eq!((&value["converged"], &value["iterations"]), (&false.into(), &2.into()));
    let scratch = Scratch::new("indefinite");
    let matrix = "%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 1\n2 1 2\n2 2 1\n";
    let ended = parhelion(&[
        "solve",
        &scratch.file("indefinite.mtx", matrix),
        "-n",
        "2",
        "--rhs",
        &scratch.file("b", "1\n-1\n"),
    ]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("DID NOT CONVERGE") && ended.stdout.contains("positive definite"),
        "{}",
        ended.stdout
    );
}

#[test]
fn errors_are_measured_where_squares_vanish() {
    let scratch = Scratch::new("vanish");
    let tiny = "%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 2e-300\n2 1 1e-300\n2 2 2e-300\n";
    let ended = parhelion(&["solve", &scratch.file("tiny.mtx", tiny), "-n", "2"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("the norm of b is too small"), "{}", ended.stdout);
    // x is still 0.
    assert!(ended.stdout.contains("(from x itself: 1.000e0)"), "{}", ended.stdout);
}

#[test]
fn the_summary_names_what_a_reader_looks_for() {
    let ended = parhelion(&["solve", &data("grid.mtx"), "-n", "3"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for word in [
        "72 rows",
        "3 ranks",
        "local",
        "iterations",
        "relative residual",
        "error against 1",
        "halo",
        "reduce",
        "compute",
        "by shared, overlapped",
    ] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
    let several = parhelion(&["solve", &data("grid.mtx"), "-n", "3", "--columns", "3", "--overlap", "off"]);
    for word in ["for 3 right-hand sides at once", "column  iterations", "error against truth", "by shared\n"] {
        assert!(several.stdout.contains(word), "{word}: {}", several.stdout);
    }
}

#[test]
fn there_are_no_more_ranks_than_rows_where_nobody_says_how_many() {
    let scratch = Scratch::new("one-row");
    let one = scratch.file("one.mtx", "%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 4\n");
    for args in [&[one.as_str()][..], &["--pde", "1"]] {
        assert_eq!(solve(args)["ranks"], 1, "{args:?}");
    }
}

#[test]
fn bcsstk16_takes_197_iterations() {
    let Some(path) = collection("bcsstk16.mtx") else { return };
    for extra in [&["-n", "1"][..], &["-n", "2"], &["-n", "3"], &["-n", "7"], &["-n", "4", "--order", "rcm"]] {
        let value = solve(&[&[path.as_str()], extra].concat());
        let iterations = value["iterations"].as_u64().unwrap();
        assert!(iterations.abs_diff(197) <= 3, "{extra:?}: {iterations}");
        assert_eq!((&value["converged"], &value["nonzeros"]), (&true.into(), &290_378.into()));
        assert!(value["error_max"].as_f64().unwrap() < 1e-5);
    }
}

#[test]
fn bcsstk13_takes_about_1360_iterations() {
    let Some(path) = collection("bcsstk13.mtx") else { return };
    for ranks in ["1", "4"] {
        let value = solve(&[&path, "-n", ranks]);
        let iterations = value["iterations"].as_u64().unwrap();
        assert!(iterations.abs_diff(1360) <= 40, "{ranks} ranks: {iterations}");
        assert_eq!(value["converged"], true);
    }
}
