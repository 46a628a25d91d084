//! What came of a run of the suite.

use std::fmt;

/// A case that did not pass, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The case's name.
    pub name: &'static str,
    /// Why, rank by rank; empty on ranks other than 0.
    pub why: String,
}

/// The verdicts of a run. Every rank has the same names; rank 0 also has the reasons.
///
/// Displayed as a line for each case that failed or was skipped, then the totals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases that passed on every rank.
    pub passed: Vec<&'static str>,
    /// Cases that failed on some rank.
    pub failed: Vec<Unmet>,
    /// Cases that could not be tried here.
    pub skipped: Vec<Unmet>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Unmet { name, why } in &self.failed {
            writeln!(f, "FAIL {name}: {why}")?;
        }
        for Unmet { name, why } in &self.skipped {
            writeln!(f, "SKIP {name}: {why}")?;
        }
        let (passed, failed, skipped) = (self.passed.len(), self.failed.len(), self.skipped.len());
        write!(f, "conformance: {passed} passed, {failed} failed, {skipped} skipped")
    }
}
