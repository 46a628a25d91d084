//! Ranks that are killed: the example `faults`, with other seeds each time.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Result;
use crate::launch::{Stderr, bounded, clean_command};
use crate::report::{Report, Verdict};

/// How many ranks are killed, each in a job of its own.
const KILLS: u64 = 100;
const KILLS_QUICK: u64 = 20;
/// Many times what it takes.
const LIMIT: Duration = Duration::from_secs(1200);

/// Runs it. The seed says which programs, and so what to run again.
pub(crate) fn run(program: &Path, quick: bool, report: &mut Report) -> Result<()> {
    let kills = if quick { KILLS_QUICK } else { KILLS };
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let asked = format!("--kills {kills} --seed {seed}");
    let mut command = clean_command(program);
    command.args(asked.split(' '));
    let ran = bounded(command, "faults", Stderr::Captured, LIMIT)?;
    let said = ran.out.lines().last().unwrap_or_default();
    let verdict = match ran.end.success() {
        true => Verdict::passed(),
        false => Verdict::failed(format!("faults {asked}: {}: {said}", ran.end)),
    };
    println!("   faults {asked}: {} in {:.1} s: {said}", verdict.counts, ran.took.as_secs_f64());
    if !ran.end.success() {
        print!("{}", ran.excerpt());
    }
    report.add("tcp, killed ranks", &verdict);
    Ok(())
}
