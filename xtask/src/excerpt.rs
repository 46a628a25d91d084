//! What of a long output is shown again at the end, so that a failure on a machine out of reach can be understood from the
//! last lines of its log.

use crate::launch::Ran;

/// How many lines of one stream, or of one failed test.
const LINES: usize = 60;

/// The ends of both streams.
pub(crate) fn of_run(ran: &Ran) -> String {
    of_streams(&ran.out, &ran.err)
}

/// What failed tests printed, of a `cargo test` that ran; what the compiler or a test that ended its process said, of one that
/// did not.
pub(crate) fn of_cargo_test(ran: &Ran) -> String {
    of_test_output(&ran.out, &ran.err)
}

/// The ends of these streams.
pub(crate) fn of_streams(out: &str, err: &str) -> String {
    let streams = [("stdout", out), ("stderr", err)];
    let shown = streams.into_iter().filter(|(_, text)| !text.trim().is_empty());
    shown.map(|(name, text)| format!("--- {name}\n{}", last(text))).collect()
}

fn of_test_output(out: &str, err: &str) -> String {
    let tests = failed_tests(out);
    if tests.is_empty() {
        return of_streams(out, err);
    }
    let tests = tests.into_iter().map(|(name, text)| format!("--- {name}\n{}", last(text.trim_end())));
    tests.chain([of_streams("", err)]).collect()
}

/// The name and the output of each test in the `failures:` sections of `cargo test`.
fn failed_tests(out: &str) -> Vec<(&str, &str)> {
    let mut tests = Vec::new();
    let (mut failed, mut open, mut place) = (false, None, 0);
    for line in out.split_inclusive('\n') {
        let start = place;
        place += line.len();
        let text = line.trim_end();
        let name = text.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if !["successes:", "failures:"].contains(&text) && name.is_none() {
            continue;
        }
        if let Some((name, from)) = open.take() {
            tests.push((name, &out[from..start]));
        }
        match name {
            Some(name) => open = failed.then_some((name, place)),
            None => failed = text == "failures:",
        }
    }
    tests
}

/// The last [`LINES`] lines, and how many there were before them.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let left_out = lines.len().saturating_sub(LINES);
    let before = (left_out > 0).then(|| format!("... {left_out} lines ...\n"));
    let shown = lines[left_out..].iter().map(|line| format!("{line}\n"));
    before.into_iter().chain(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "running 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... FAILED\n\n\
        successes:\n\n---- a stdout ----\nfine\n\n\nsuccesses:\n    a\n\n\
        failures:\n\n---- b stdout ----\nthread 'b' panicked:\nleft: 1\n\n---- c stdout ----\nError: no\n\n\n\
        failures:\n    b\n    c\n\n\
        test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
        running 1 test\n\nsuccesses:\n\n---- d stdout ----\nfine, too\n\nsuccesses:\n    d\n";

    #[test]
    fn of_cargo_tests_the_failed_ones_are_shown_and_no_others() {
        let shown = of_test_output(TESTS, "error: 1 target failed\n");
        let want = "--- b\nthread 'b' panicked:\nleft: 1\n--- c\nError: no\n--- stderr\nerror: 1 target failed\n";
        assert_eq!(shown, want);
    }

    #[test]
    fn a_test_program_that_dies_or_does_not_build_is_shown_by_the_ends_of_its_streams() {
        let shown = of_test_output("running 2 tests\ntest a ... ok\n", "error: signal: 6, SIGABRT\n");
        assert_eq!(shown, "--- stdout\nrunning 2 tests\ntest a ... ok\n--- stderr\nerror: signal: 6, SIGABRT\n");
        assert_eq!(of_test_output("", "error[E0425]\n"), "--- stderr\nerror[E0425]\n");
        assert_eq!(of_test_output("", ""), "");
    }

    #[test]
    fn of_long_outputs_the_end_is_shown() {
        let long: String = (0..100).map(|n| format!("{n}\n")).collect();
        let shown = of_streams(&long, "");
        assert!(shown.starts_with("--- stdout\n... 40 lines ...\n40\n41\n"), "{shown}");
        assert!(shown.ends_with("98\n99\n"), "{shown}");
        assert_eq!(shown.lines().count(), 2 + LINES);
    }
}
