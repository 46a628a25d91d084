//! What the tests said: counts, failures and what was not run, read from output and added up.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::launch::Ran;
use crate::table::Table;

/// How many tests ended how.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) const PASSED: Counts = Counts { passed: 1, failed: 0, skipped: 0 };
    pub(crate) const FAILED: Counts = Counts { passed: 0, failed: 1, skipped: 0 };
    pub(crate) const SKIPPED: Counts = Counts { passed: 0, failed: 0, skipped: 1 };

    /// Reads `N passed, N failed, N skipped`.
    fn parse(text: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        let fields = [(&mut counts.passed, "passed"), (&mut counts.failed, "failed"), (&mut counts.skipped, "skipped")];
        let mut parts = text.split(", ");
        for (field, word) in fields {
            *field = parts.next()?.strip_suffix(word)?.trim_end().parse().ok()?;
        }
        parts.next().is_none().then_some(counts)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// What one run of tests comes to.
#[derive(Default, PartialEq, Debug)]
pub(crate) struct Verdict {
    pub(crate) counts: Counts,
    /// One line for each failure.
    pub(crate) failures: Vec<String>,
    /// What was skipped, and why.
    pub(crate) skipped: Vec<(String, String)>,
    /// What is shown again at the end if it failed: see [`excerpt`](crate::excerpt).
    pub(crate) printed: String,
}

impl Verdict {
    pub(crate) fn passed() -> Self {
        Verdict { counts: Counts::PASSED, ..Verdict::default() }
    }

    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Verdict { counts: Counts::FAILED, failures: vec![why.into()], ..Verdict::default() }
    }

    pub(crate) fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Verdict { counts: Counts::SKIPPED, skipped: vec![(what.into(), why.into())], ..Verdict::default() }
    }

    fn add_failure(&mut self, why: String) {
        self.counts.failed += 1;
        self.failures.push(why);
    }

    /// Of a program of ours that closes with `PROGRAM: N passed, N failed, N skipped`.
    pub(crate) fn of_program(program: &str, ran: &Ran) -> Self {
        Self::of_output(program, ran.end.success(), &ran.end.to_string(), &ran.out)
    }

    fn of_output(program: &str, success: bool, end: &str, out: &str) -> Self {
        let summary = out.lines().rev().find_map(|line| line.strip_prefix(program)?.strip_prefix(": "));
        let counts = summary.and_then(|s| Counts::parse(s.trim_end()));
        let mut verdict = Verdict { counts: counts.unwrap_or_default(), ..Verdict::default() };
        verdict.failures.extend(out.lines().filter_map(|line| line.strip_prefix("FAIL ")).map(str::to_owned));
        verdict.skipped.extend(out.lines().filter_map(skipped));
        if verdict.counts.skipped > verdict.skipped.len() {
            let unnamed = verdict.counts.skipped - verdict.skipped.len();
            verdict.skipped.push((format!("{unnamed} tests of {program}"), "it did not say which or why".into()));
        }
        match counts {
            None => verdict.add_failure(format!("{program} ended without its closing line: {end}")),
            Some(counts) if counts.passed + counts.failed == 0 => verdict.add_failure(format!("{program} ran no test")),
            Some(counts) if counts.failed == 0 && !success => {
                verdict.add_failure(format!("{program} passed its tests, then failed: {end}"));
            }
            Some(_) => {}
        }
        verdict
    }

    /// Of `cargo test`: the sum over its test binaries.
    pub(crate) fn of_cargo_test(ran: &Ran) -> Self {
        Self::of_cargo_output(ran.end.success(), &ran.end.to_string(), &ran.out)
    }

    fn of_cargo_output(success: bool, end: &str, out: &str) -> Self {
        let mut verdict = Verdict::default();
        // The test that passed whose output this is: it says itself where it could not run.
        let (mut passed, mut shown, mut absent) = (false, None, 0);
        for line in out.lines() {
            match line {
                "successes:" => passed = true,
                "failures:" => passed = false,
                _ => {}
            }
            if let Some(name) = line.strip_prefix("---- ").and_then(|l| l.strip_suffix(" stdout ----")) {
                shown = passed.then_some(name);
            } else if let Some(why) = line.strip_prefix("not run: ")
                && let Some(name) = shown.take()
            {
                verdict.skipped.push((name.to_owned(), why.to_owned()));
                absent += 1;
            }
            if let Some(result) = line.strip_prefix("test result: ") {
                verdict.counts += cargo_counts(result);
            } else if let Some(test) = line.strip_prefix("test ") {
                if let Some(name) = test.strip_suffix(" ... FAILED") {
                    verdict.failures.push(name.to_owned());
                } else if let Some((name, why)) = test.split_once(" ... ignored") {
                    let why = why.trim_start_matches([',', ' ']);
                    verdict.skipped.push((name.to_owned(), if why.is_empty() { "ignored" } else { why }.to_owned()));
                }
            }
        }
        verdict.counts.passed = verdict.counts.passed.saturating_sub(absent);
        verdict.counts.skipped += absent;
        if !success && verdict.counts.failed == 0 {
            verdict.add_failure(format!("cargo test: {end}"));
        } else if verdict.counts.passed + verdict.counts.failed == 0 {
            verdict.add_failure("cargo test ran no test".into());
        }
        verdict
    }
}

/// Reads `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s`.
fn cargo_counts(result: &str) -> Counts {
    let number = |word: &str| {
        let field = result.split([';', '.']).find_map(|field| field.trim().strip_suffix(word));
        field.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    };
    Counts { passed: number("passed"), failed: number("failed"), skipped: number("ignored") }
}

/// Reads `SKIP name: why`, where a name may itself hold colons.
fn skipped(line: &str) -> Option<(String, String)> {
    let rest = line.strip_prefix("SKIP ")?;
    let (name, why) = rest.rsplit_once(": ").unwrap_or((rest, "no reason given"));
    Some((name.to_owned(), why.to_owned()))
}

/// What did not run for one reason, with the rows and numbers of ranks at which it did not; no row: a step.
type NotRun = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

/// Everything that ran, by row and column of the closing table.
#[derive(Default)]
pub(crate) struct Report {
    total: Counts,
    rows: Vec<(String, BTreeMap<usize, Counts>)>,
    failures: Vec<String>,
    /// What failed runs printed, by place.
    printed: Vec<(String, String)>,
    /// By reason.
    not_run: BTreeMap<String, NotRun>,
}

impl Report {
    /// Adds a step that has no place in the table.
    pub(crate) fn add(&mut self, step: &str, verdict: &Verdict) {
        self.count(step, verdict);
        for (what, why) in &verdict.skipped {
            self.not_run.entry(why.clone()).or_default().entry(what.clone()).or_default();
        }
    }

    /// Adds a run of `row` (library and program) with so many ranks.
    pub(crate) fn add_cell(&mut self, row: &str, ranks: usize, verdict: &Verdict) {
        self.count(&format!("{row} -n {ranks}"), verdict);
        for (what, why) in &verdict.skipped {
            let places = self.not_run.entry(why.clone()).or_default().entry(what.clone()).or_default();
            places.entry(row.to_owned()).or_default().push(ranks);
        }
        let index = self.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.rows.push((row.to_owned(), BTreeMap::new()));
            self.rows.len() - 1
        });
        *self.rows[index].1.entry(ranks).or_default() += verdict.counts;
    }

    fn count(&mut self, place: &str, verdict: &Verdict) {
        self.total += verdict.counts;
        self.failures.extend(verdict.failures.iter().map(|why| format!("{place}: {why}")));
        if verdict.counts.failed > 0 && !verdict.printed.is_empty() {
            self.printed.push((place.to_owned(), verdict.printed.clone()));
        }
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.total.failed == 0 && self.total.passed > 0
    }

    /// The table, what was not run and why, what failed runs printed, what failed, and the closing line: what a reader needs
    /// most stands last.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            text += "passed/failed/not run, by number of ranks\n\n";
            text += &self.table().text();
            text += "\n";
        }
        if !self.not_run.is_empty() {
            text += "Not run:\n";
            for (why, tests) in &self.not_run {
                text += &format!("  {why}:\n");
                for (what, rows) in tests {
                    text += &format!("    {what}{}\n", places(what, rows));
                }
            }
            text += "\n";
        }
        for (place, printed) in &self.printed {
            text += &format!("==== {place} failed and printed:\n{printed}\n");
        }
        if !self.failures.is_empty() {
            text += &format!("Failed:\n  {}\n\n", self.failures.join("\n  "));
        }
        text + &format!("{}\n", self.total)
    }

    fn table(&self) -> Table {
        let mut columns: Vec<usize> = self.rows.iter().flat_map(|(_, cells)| cells.keys().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        let heading = ["library, program".to_owned()].into_iter().chain(columns.iter().map(|ranks| ranks.to_string()));
        let mut table = Table::new(heading);
        for (row, cells) in &self.rows {
            let cell = |ranks| match cells.get(ranks) {
                Some(counts) => format!("{}/{}/{}", counts.passed, counts.failed, counts.skipped),
                None => "-".to_owned(),
            };
            table.row([row.clone()].into_iter().chain(columns.iter().map(cell)));
        }
        table
    }
}

/// Where a test did not run: ` (ROW -n 1 2; ROW -n 3)`, without a row that is the test's own name.
fn places(what: &str, rows: &BTreeMap<String, Vec<usize>>) -> String {
    let place = |(row, ranks): (&String, &Vec<usize>)| {
        let ranks: Vec<String> = ranks.iter().map(usize::to_string).collect();
        let row = if row == what { "" } else { row };
        format!("{row} -n {}", ranks.join(" ")).trim_start().to_owned()
    };
    let places: Vec<String> = rows.iter().map(place).collect();
    if places.is_empty() { String::new() } else { format!(" ({})", places.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: usize, failed: usize, skipped: usize) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn a_closing_line_is_read_back_as_it_was_written() {
        let written = counts(12, 3, 4);
        assert_eq!(Counts::parse(&written.to_string()), Some(written));
        for bad in [
            "",
            "12 passed",
            "12 passed, 3 failed",
            "x passed, 0 failed, 0 skipped",
            "1 passed, 0 failed, 0 skipped, 9",
        ] {
            assert_eq!(Counts::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_program_is_counted_by_its_last_closing_line() {
        let out = "FAIL ring: rank 2 got 7\nSKIP memory: large: needs 8 GiB\n\
                   conformance: 1 passed, 0 failed, 0 skipped\nconformance: 5 passed, 1 failed, 1 skipped\n";
        let verdict = Verdict::of_output("conformance", false, "exit status: 1", out);
        assert_eq!(verdict.counts, counts(5, 1, 1));
        assert_eq!(verdict.failures, ["ring: rank 2 got 7"]);
        assert_eq!(verdict.skipped, [("memory: large".to_owned(), "needs 8 GiB".to_owned())]);
    }

    #[test]
    fn what_a_program_skips_without_a_word_is_said_all_the_same() {
        let out = "SKIP b\nconformance: 5 passed, 0 failed, 3 skipped\n";
        let verdict = Verdict::of_output("conformance", true, "", out);
        assert_eq!(verdict.skipped[0], ("b".to_owned(), "no reason given".to_owned()));
        assert!(verdict.skipped[1].0.contains("2 tests of conformance"), "{verdict:?}");
    }

    #[test]
    fn a_program_that_never_closes_or_runs_nothing_or_exits_badly_has_failed() {
        let of = |success, out| Verdict::of_output("p", success, "how it ended", out);
        for out in ["", "p: 5 passed", "q: 5 passed, 0 failed, 0 skipped"] {
            assert_eq!(of(true, out).counts, counts(0, 1, 0), "{out}");
        }
        assert_eq!(of(true, "p: 0 passed, 0 failed, 0 skipped").counts, counts(0, 1, 0));
        assert_eq!(of(true, "p: 0 passed, 0 failed, 9 skipped").counts, counts(0, 1, 9));
        let bad_exit = of(false, "p: 5 passed, 0 failed, 0 skipped");
        assert_eq!(bad_exit.counts, counts(5, 1, 0));
        assert!(bad_exit.failures[0].contains("how it ended"), "{bad_exit:?}");
    }

    #[test]
    fn cargo_results_are_added_up_over_test_binaries() {
        let out = "running 2 tests\ntest a::b ... ok\ntest a::c ... ignored, needs a network\n\n\
            test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test x ... FAILED\n\
            test result: FAILED. 40 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.25s\n";
        let verdict = Verdict::of_cargo_output(false, "exit status: 101", out);
        assert_eq!(verdict.counts, counts(41, 1, 1));
        assert_eq!(verdict.failures, ["x"]);
        assert_eq!(verdict.skipped, [("a::c".to_owned(), "needs a network".to_owned())]);
    }

    #[test]
    fn cargo_test_that_does_not_build_or_runs_nothing_has_failed() {
        assert_eq!(Verdict::of_cargo_output(false, "exit status: 101", "").counts, counts(0, 1, 0));
        let absent = "test a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nnot run: no matrix\n\n\nsuccesses:\n    a\n    b\n\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let verdict = Verdict::of_cargo_output(true, "exit status: 0", absent);
        assert_eq!(verdict.counts, counts(1, 0, 1));
        assert_eq!(verdict.skipped, [("a".to_owned(), "no matrix".to_owned())]);
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(Verdict::of_cargo_output(true, "exit status: 0", none).counts, counts(0, 1, 0));
    }

    #[test]
    fn a_report_closes_with_the_sum_of_everything() {
        let mut report = Report::default();
        report.add("clippy", &Verdict { printed: "Finished".into(), ..Verdict::passed() });
        report.add_cell("local, conformance", 1, &Verdict { counts: counts(8, 0, 0), ..Verdict::default() });
        report.add_cell(
            "local, conformance",
            16,
            &Verdict {
                counts: counts(7, 1, 0),
                failures: vec!["ring: lost".into()],
                printed: "--- stdout\nrank 3 panicked\n".into(),
                ..Verdict::default()
            },
        );
        for ranks in [1, 16] {
            report.add_cell("mpich, solve", ranks, &Verdict::skipped("bcsstk16", "the matrix is missing"));
            report.add_cell("mpich, conformance", ranks, &Verdict::skipped("mpich, conformance", "left out"));
        }
        report.add("docs", &Verdict::skipped("docs", "left out"));
        assert!(!report.succeeded());
        let want = "passed/failed/not run, by number of ranks\n\n\
                    library, program        1     16\n\
                    --------------------------------\n\
                    local, conformance  8/0/0  7/1/0\n\
                    mpich, solve        0/0/1  0/0/1\n\
                    mpich, conformance  0/0/1  0/0/1\n\n\
                    Not run:\n  left out:\n    docs\n    mpich, conformance (-n 1 16)\n  \
                    the matrix is missing:\n    bcsstk16 (mpich, solve -n 1 16)\n\n\
                    ==== local, conformance -n 16 failed and printed:\n--- stdout\nrank 3 panicked\n\n\
                    Failed:\n  local, conformance -n 16: ring: lost\n\n\
                    16 passed, 1 failed, 5 skipped\n";
        assert_eq!(report.text(), want);
    }

    #[test]
    fn a_report_of_nothing_has_not_succeeded() {
        assert!(!Report::default().succeeded());
        let mut report = Report::default();
        report.add("x", &Verdict::skipped("all", "of it"));
        assert!(!report.succeeded());
    }
}
