//! A rank that fails, panics or returns while the others need it: the example `ending` on every carrier.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::carrier::Carrier;
use crate::launch::{Ran, Stderr, bounded};
use crate::ranks::{Selection, row, say};
use crate::report::{Report, Verdict};

const RANKS: usize = 3;
const RETURNS: &str = "returns";
const WAYS: [&str; 4] = ["fails", "panics", "panics-sending", RETURNS];
/// What the rank says.
const WORDS: &str = "on purpose";
/// Many times the seconds it takes.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs it: each time, all ranks must end, with a code that says so and the reason.
pub(crate) fn run(launcher: &Path, program: &Path, selection: &Selection<'_>, report: &mut Report) -> Result<()> {
    for carrier in Carrier::all() {
        let row = row(carrier, "endings");
        for way in WAYS {
            if let Some(why) = selection.left_out(carrier, RANKS) {
                report.add_cell(&row, RANKS, &Verdict::skipped(way, why));
                continue;
            }
            let mut command = carrier.command(launcher, program, RANKS);
            command.env("PARHELION_BACKEND", carrier.backend()).arg(way);
            if let Some(library) = carrier.library() {
                command.env("PARHELION_MPI_LIB", library.path());
            }
            let log = format!("ending-{way}-{}", carrier.name());
            let ran = bounded(command, &log, Stderr::Captured, LIMIT)?;
            report.add_cell(&row, RANKS, &say(&row, RANKS, judge(way, &ran), &ran));
        }
    }
    Ok(())
}

fn judge(way: &str, ran: &Ran) -> Verdict {
    if ran.timed_out() {
        Verdict::failed(format!("a rank {way}: the others wait for ever"))
    } else if way == RETURNS {
        match ran.end.success() {
            true => Verdict::passed(),
            false => Verdict::failed(format!("a rank {way}, and the others fail ({})", ran.end)),
        }
    } else if ran.end.success() {
        Verdict::failed(format!("a rank {way}: the program says that it went well"))
    } else if !(ran.err.contains(WORDS) || ran.out.contains(WORDS)) {
        Verdict::failed(format!("a rank {way}: nobody hears why ({})", ran.end))
    } else {
        Verdict::passed()
    }
}
