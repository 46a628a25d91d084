//! Bad input of every kind ends all ranks with one line on stderr and exit code 2.

mod command;

use command::{Scratch, data, parhelion};

/// Runs `solve` with these arguments at 1 and 3 ranks; it must fail with one line that has all of `words`.
#[track_caller]
fn fails(args: &[&str], words: &[&str]) {
    for ranks in ["1", "3"] {
        fails_at(ranks, args, words);
    }
}

#[track_caller]
fn fails_at(ranks: &str, args: &[&str], words: &[&str]) {
    let ended = parhelion(&[&["solve", "-n", ranks], args].concat());
    assert_eq!(ended.code, Some(2), "{args:?} at {ranks} ranks: {}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "", "{args:?}: nothing on stdout");
    assert_eq!(ended.stderr.lines().count(), 1, "{args:?}: one line: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{args:?}: {:?} is not in: {}", word, ended.stderr);
    }
}

const GENERAL: &str = "%%MatrixMarket matrix coordinate real general\n";

#[test]
fn a_matrix_that_cannot_be_read_is_named() {
    let scratch = Scratch::new("unreadable");
    fails(&["/nowhere/a.mtx"], &["error: /nowhere/a.mtx: cannot read: No such file"]);
    fails(&[&scratch.path("")], &["cannot read", "directory"]);
    fails(&[&scratch.file("empty.mtx", "")], &["empty.mtx:1: the file is empty"]);
    fails(&[&scratch.file("zeros.mtx", vec![0; 100_000])], &["zeros.mtx:1:"]);
    fails(&[&scratch.file("noise.mtx", [0xffu8, 0xfe, 0x00, 0x0a].repeat(50))], &["noise.mtx:1:", "%%MatrixMarket"]);
    fails(&[&scratch.file("a.mtx.gz", b"\x1f\x8b\x08\x00\x00\x00")], &["a.mtx.gz:1:", "gzip", "gunzip"]);
}

#[test]
fn a_malformed_line_is_named_with_its_number_and_the_reason() {
    let scratch = Scratch::new("malformed");
    for (content, line, reason) in [
        ("%%MatrixMarket matrix array real general\n1 1\n1\n".to_owned(), 1, "array"),
        ("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 0\n".into(), 1, "complex"),
        (format!("{GENERAL}2 2\n"), 2, "three numbers"),
        (format!("{GENERAL}% c\n\n2 2 2\n1 1 1\n2 2 one\n"), 6, "'one' is not a number"),
        (format!("{GENERAL}2 2 2\n1 1 1\n2 2 nan\n"), 4, "not a finite number"),
        (format!("{GENERAL}2 2 2\n1 1 1\n2 2 1e999\n"), 4, "not a finite number"),
        (format!("{GENERAL}2 2 2\n1 1 1\n3 2 1\n"), 4, "row 3 is outside 1 to 2"),
        (format!("{GENERAL}2 2 3\n1 1 1\n2 2 1\n"), 4, "after 2 of 3 entries"),
        (format!("{GENERAL}2 2 1\n1 1 1\n2 2 1\n"), 4, "more than the 1 entries"),
        (format!("{GENERAL}2 2 18446744073709551615\n1 1 1\n"), 3, "after 1 of 18446744073709551615"),
        (format!("{GENERAL}2 3 2\n1 1 1\n2 2 1\n"), 2, "not square: 2 rows and 3 columns"),
        (format!("{GENERAL}0 0 0\n"), 2, "no rows"),
        ("%%MatrixMarket matrix coordinate real symmetric\n2 2 1\n1 2 1\n".into(), 3, "above the diagonal"),
    ] {
        let path = scratch.file("bad.mtx", content);
        fails(&[&path], &[&format!("error: {path}:{line}: "), reason]);
    }
}

#[test]
fn a_zero_diagonal_names_the_row() {
    let scratch = Scratch::new("diagonal");
    let missing = scratch.file("missing.mtx", format!("{GENERAL}4 4 4\n1 1 1\n2 2 1\n4 4 1\n3 1 1\n"));
    fails(&[&missing], &[&missing, "row 3 has a zero diagonal"]);
    let explicit = scratch.file("zero.mtx", format!("{GENERAL}3 3 3\n1 1 1\n2 2 0\n3 3 1\n"));
    fails(&[&explicit], &["row 2 has a zero diagonal"]);
    let skew = "%%MatrixMarket matrix coordinate real skew-symmetric\n3 3 2\n2 1 1\n3 2 4\n";
    fails(&[&scratch.file("skew.mtx", skew)], &["row 1 has a zero diagonal"]);
    let lying = scratch.file("lying.mtx", format!("{GENERAL}4294967295 4294967295 1\n1 1 1\n"));
    fails(&[&lying], &["row 2 has a zero diagonal"]);
}

#[test]
fn a_diagonal_that_is_not_zero_and_has_no_inverse_is_named_as_such() {
    let scratch = Scratch::new("tiny");
    let tiny = scratch.file("tiny.mtx", format!("{GENERAL}2 2 2\n1 1 1\n2 2 -1e-310\n"));
    fails_at("1", &[&tiny], &[&tiny, "row 2 has -1e-310 on the diagonal", "inverse", "scale the matrix up"]);
}

#[cfg(unix)]
#[test]
fn a_setting_that_is_no_text_is_not_taken_for_unset() {
    use std::os::unix::ffi::OsStrExt;
    for (name, value) in
        [("PARHELION_RANKS", b"\xff".as_slice()), ("PARHELION_SCHEME", b"p2p\xff"), ("PARHELION_RANK", b"\xff0")]
    {
        let mut command = command::clean(env!("CARGO_BIN_EXE_parhelion"));
        command.args(["solve", "--pde", "3"]).env(name, std::ffi::OsStr::from_bytes(value));
        let ended = command::run(command);
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.stdout);
        assert!(ended.stderr.contains(&format!("{name}={}", String::from_utf8_lossy(value))), "{}", ended.stderr);
    }
}

#[test]
fn more_ranks_than_rows_are_refused() {
    let scratch = Scratch::new("ranks");
    let small = scratch.file("small.mtx", format!("{GENERAL}2 2 2\n1 1 1\n2 2 1\n"));
    fails_at("3", &[&small], &["3 ranks are more than the 2 rows"]);
    fails_at("9", &["--pde", "2"], &["9 ranks are more than the 8 rows"]);
}

#[test]
fn a_partition_that_does_not_fit_is_refused() {
    let scratch = Scratch::new("partition");
    let grid = data("grid.mtx");
    let parts = |name: &str, content: String| scratch.file(name, content);
    let short = parts("short", "0\n".repeat(71));
    fails(&[&grid, "--partition", &short], &[&format!("{short}:71: "), "after 71 part numbers", "72 rows"]);
    let empty = parts("empty", String::new());
    fails(
        &[&grid, "--partition", &empty],
        &[&format!("{empty}:1: the file is empty; "), "72 rows", "each row needs a line"],
    );
    let long = parts("long", "0\n".repeat(73));
    fails(&[&grid, "--partition", &long], &[&format!("{long}:73: "), "more part numbers than 72 rows"]);
    let beyond = parts("beyond", format!("{}3\n", "0\n".repeat(71)));
    fails(&[&grid, "--partition", &beyond], &[&format!("{beyond}:72: "), "part 3 has no rank"]);
    let words = parts("words", "0\nzero\n".into());
    fails(&[&grid, "--partition", &words], &[&format!("{words}:2: "), "'zero'"]);
    fails(&[&grid, "--partition", "/nowhere/p"], &["/nowhere/p: cannot read"]);
}

#[test]
fn a_right_hand_side_that_does_not_fit_is_refused() {
    let scratch = Scratch::new("rhs");
    let grid = data("grid.mtx");
    let short = scratch.file("short", "1\n".repeat(71));
    fails(&[&grid, "--rhs", &short], &[&short, "71 values", "72 rows"]);
    let long = scratch.file("long", "1\n".repeat(73));
    fails(&[&grid, "--rhs", &long], &[&format!("{long}:73: ")]);
    let nan = scratch.file("nan", format!("{}nan\n", "1\n".repeat(71)));
    fails(&[&grid, "--rhs", &nan], &[&format!("{nan}:72: "), "finite"]);
    let wide = scratch.file("wide.mtx", "%%MatrixMarket matrix array real general\n2 2\n1\n1\n1\n1\n");
    fails(&[&grid, "--rhs", &wide], &[&format!("{wide}:2: "), "one column"]);
    let of_two = |file: &str, words: &[&str]| fails(&[&grid, "--columns", "2", "--rhs", file], words);
    of_two(&short, &[&format!("{short}:1: "), "1 number, where", "--columns asks for 2"]);
    let ragged = scratch.file("ragged", format!("{}1\n", "1 2\n".repeat(71)));
    of_two(&ragged, &[&format!("{ragged}:72: "), "1 number, where"]);
    let few = scratch.file("few", "1 2\n".repeat(71));
    of_two(&few, &[&few, "142 values", "72 rows"]);
    let many = scratch.file("many", "1 2\n".repeat(73));
    of_two(&many, &[&format!("{many}:73: "), "more values than the 72 rows"]);
    let array = scratch.file("three.mtx", "%%MatrixMarket matrix array real general\n72 3\n1\n");
    of_two(&array, &[&format!("{array}:2: "), "3 columns", "--columns asks for 2"]);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_solve() {
    let grid = data("grid.mtx");
    for option in ["--solution", "--plot"] {
        fails(&[&grid, option, "/nowhere/out"], &["/nowhere/out: cannot write"]);
    }
}

#[test]
fn a_file_that_is_read_is_never_written() {
    let scratch = Scratch::new("own-input");
    let small = format!("{GENERAL}3 3 3\n1 1 1\n2 2 1\n3 3 1\n");
    let (matrix, rhs) = (scratch.file("a.mtx", &small), scratch.file("b.txt", "1\n1\n1\n"));
    let link = scratch.path("link.mtx");
    std::os::unix::fs::symlink(&matrix, &link).unwrap();
    for (written, refused) in [
        (&matrix, format!("{matrix}: cannot write: it is another file")),
        (&link, format!("{link}: cannot write: it is {matrix}")),
    ] {
        fails(&[&matrix, "--solution", written], &[&refused, "name another"]);
        assert_eq!(std::fs::read_to_string(&matrix).unwrap(), small);
    }
    fails(&[&matrix, "--rhs", &rhs, "--solution", &rhs], &[&format!("{rhs}: cannot write"), "name another"]);
    let both = scratch.path("both.png");
    fails(&[&matrix, "--solution", &both, "--plot", &both], &["both.png: cannot write", "name another"]);
    assert!(!std::path::Path::new(&both).exists());
}

#[test]
fn a_picture_is_not_written_under_the_ending_of_another_form() {
    let scratch = Scratch::new("endings");
    for (command, option, name, form) in
        [("solve", "--plot", "a.jpg", "png"), ("solve", "--plot", "a.svg", "png"), ("plan", "--draw", "a.png", "svg")]
    {
        let path = scratch.path(name);
        let ended = parhelion(&[command, "--pde", "4", "-n", "2", option, &path]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{name}: {}", ended.stderr);
        let said = ended.stderr.lines().next().unwrap_or_default();
        assert!(said.contains(&path) && said.contains(&format!("give a name that ends in .{form}")), "{said}");
        assert!(!std::path::Path::new(&path).exists());
    }
    for (command, option, name) in
        [("solve", "--plot", "a.PNG"), ("solve", "--plot", "plain"), ("plan", "--draw", "a.Svg")]
    {
        let path = scratch.path(name);
        let ended = parhelion(&[command, "--pde", "4", "-n", "2", option, &path]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(std::fs::metadata(&path).is_ok_and(|file| file.len() > 0), "{name}");
    }
}

#[test]
fn a_failed_solve_leaves_no_empty_file_and_spoils_none() {
    let scratch = Scratch::new("leftovers");
    let (new, old) = (scratch.path("new.txt"), scratch.file("old.png", "precious"));
    fails(&["/nowhere/a.mtx", "--solution", &new, "--plot", &old], &["/nowhere/a.mtx"]);
    assert!(!std::path::Path::new(&new).exists());
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
}

#[test]
fn words_that_mean_nothing_are_refused_with_code_2() {
    let grid = data("grid.mtx");
    for args in [
        &["solve"][..],
        &["solve", &grid, "--pde", "8"],
        &["solve", "--pde", "0"],
        &["solve", &grid, "-n", "0"],
        &["solve", &grid, "--tolerance", "2"],
        &["solve", &grid, "--solver", "magic"],
        &["solve", &grid, "--scheme", "pigeon"],
        &["solve", &grid, "--overlap", "maybe"],
        &["solve", &grid, "--columns", "0"],
        &["solve", &grid, "--columns", "1025"],
        &["solve", &grid, "--backend", "pigeon"],
        &["bench", "waltz"],
        &["dance"],
    ] {
        let ended = parhelion(args);
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.stderr.starts_with("error: ") || ended.stderr.starts_with("Usage"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn no_ranks_and_fewer_are_refused_in_words_that_say_what_to_give() {
    for command in [&["solve", "--pde", "4"][..], &["heat"], &["plan", "--pde", "4"], &["bench", "barrier"], &["info"]]
    {
        for number in ["0", "-1", "two", "99999999999999999999"] {
            refuses_number(&[command, &["-n", number]].concat(), number);
            refuses_number(&["run", "-n", number, "true"], number);
        }
    }
}

#[track_caller]
fn refuses_number(args: &[&str], number: &str) {
    let ended = parhelion(args);
    assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
    let expected = format!("error: invalid value '{number}' for '--ranks <N>': give the number of ranks, 1 or more");
    assert!(ended.stderr.starts_with(&expected), "{args:?}: {}", ended.stderr);
}
