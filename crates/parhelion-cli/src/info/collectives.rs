//! `parhelion info --collectives`: which algorithms carry out collectives by messages.

use std::fmt::Write as _;

use parhelion::collective::CHOICES;
use serde::Serialize;

#[derive(Serialize)]
struct Line {
    collective: &'static str,
    /// Up to how many ranks, and bytes of one rank's part; null: any number.
    ranks: Option<usize>,
    bytes: Option<usize>,
    /// Only for built-in operators that may take the ranks in any order.
    any_order: bool,
    algorithm: String,
}

/// The table, as text or as JSON.
pub(super) fn text(json: bool) -> String {
    let lines: Vec<Line> = CHOICES
        .iter()
        .map(|choice| Line {
            collective: choice.collective(),
            ranks: choice.ranks,
            bytes: choice.bytes,
            any_order: choice.any_order,
            algorithm: choice.algorithm.to_string(),
        })
        .collect();
    if json {
        return serde_json::to_string(&lines).expect("keys are strings") + "\n";
    }
    let mut text = String::new();
    write(&mut text, &lines).expect("a String takes everything");
    text
}

fn write(text: &mut String, lines: &[Line]) -> std::fmt::Result {
    writeln!(text, "collectives by messages (tcp; under MPI what the library cannot do): the first line that fits")?;
    writeln!(text)?;
    writeln!(text, "  {:15} {:>9} {:>12}  algorithm", "collective", "ranks", "bytes")?;
    for line in lines {
        let limit = |limit: Option<usize>| limit.map_or("any".to_owned(), |limit| format!("to {limit}"));
        let (ranks, bytes) = (limit(line.ranks), limit(line.bytes));
        let order = if line.any_order { " (sums and others that may begin with any rank)" } else { "" };
        writeln!(text, "  {:15} {ranks:>9} {bytes:>12}  {}{order}", line.collective, line.algorithm)?;
    }
    Ok(())
}
