//! Carries out the cases: [`run`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::check::Halt;
use super::report::{Report, Unmet};
use super::watchdog::Watchdog;
use super::{Case, Needs, all};
use crate::communicator::Communicator;
use crate::error::{ErrorKind, Result};
use crate::status::Source;

/// Which cases to run, and who watches them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only cases whose name contains one of these; every case if there are none.
    pub filters: Vec<String>,
    /// Also the cases that need gigabytes.
    pub large: bool,
    /// Ends the process when a case hangs.
    pub watchdog: Option<Watchdog>,
}

impl Selection {
    /// The cases whose name contains `part`.
    pub fn filtered(part: impl Into<String>) -> Self {
        Selection { filters: vec![part.into()], ..Selection::default() }
    }

    /// The cases it selects, in order.
    pub fn cases(&self) -> Vec<Case> {
        self.of(all())
    }

    /// Those of `cases`, a suite of the caller's own, that it selects, in order.
    pub fn of(&self, cases: Vec<Case>) -> Vec<Case> {
        let named = |case: &Case| self.filters.is_empty() || self.filters.iter().any(|part| case.name.contains(part));
        let wanted = |case: &Case| (self.large || case.needs != Needs::Large) && named(case);
        cases.into_iter().filter(wanted).collect()
    }
}

/// Runs the selected cases, each on its own duplicate of `world`, and agrees on each verdict before the next. All ranks
/// take part, with one selection.
///
/// # Errors
/// The world itself does not work: a duplicate cannot be made, a peer is lost. What a case finds is in the report.
pub fn run(world: &Communicator, selection: &Selection) -> Result<Report> {
    run_suite(world, selection, all())
}

/// [`run`] for a suite of the caller's own: what is built on communicators is tested as they are.
///
/// # Errors
/// As [`run`].
pub fn run_suite(world: &Communicator, selection: &Selection, suite: Vec<Case>) -> Result<Report> {
    let mut report = Report::default();
    let control = world.dup()?;
    for case in selection.of(suite) {
        if let Some(why) = case.obstacle(world) {
            report.skipped.push(Unmet { name: case.name, why });
            continue;
        }
        if let Some(watchdog) = &selection.watchdog {
            watchdog.begin(world.rank(), case.name);
        }
        let verdict = agree(&control, attempt(world, case)?)?;
        if let Some(watchdog) = &selection.watchdog {
            watchdog.end(world.rank());
        }
        match verdict {
            Ok(()) => report.passed.push(case.name),
            Err(Halt::Failed(why)) => report.failed.push(Unmet { name: case.name, why }),
            Err(Halt::Skipped(why)) => report.skipped.push(Unmet { name: case.name, why }),
        }
    }
    Ok(report)
}

/// Runs one case here.
fn attempt(world: &Communicator, case: Case) -> Result<super::Outcome> {
    let own = world.dup()?;
    let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&own)));
    Ok(outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Halt::Failed(format!("panicked: {}", text.unwrap_or("with something that is no text"))))
    }))
}

/// Longest reason a rank sends.
const LONGEST: usize = 3000;

/// One verdict of all ranks: failed if any failed, else skipped if any was. Rank 0 collects the reasons.
///
/// By messages, not by a collective: where one rank failed and the others wait for it for ever, a backend that detects
/// that tells every waiting rank, this one among them, and a receive can simply be posted again.
fn agree(control: &Communicator, outcome: super::Outcome) -> Result<super::Outcome> {
    let (code, mut why) = match outcome {
        Ok(()) => (0u8, String::new()),
        Err(Halt::Skipped(why)) => (1, why),
        Err(Halt::Failed(why)) => (2, why),
    };
    if why.len() > LONGEST {
        why.truncate((0..=LONGEST).rev().find(|&i| why.is_char_boundary(i)).unwrap_or(0));
    }
    if control.rank() > 0 {
        let sent = control.isend([&[code], why.as_bytes()].concat(), 0, 0)?;
        let verdict = receive(control, 0)?;
        sent.wait()?;
        return Ok(verdict_of(verdict[0], String::new()));
    }
    let mut worst = code;
    let mut reasons = vec![(code, 0, why)];
    for rank in 1..control.size() {
        let text = receive(control, rank)?;
        worst = worst.max(text[0]);
        reasons.push((text[0], rank, String::from_utf8_lossy(&text[1..]).into_owned()));
    }
    for rank in 1..control.size() {
        control.send(&[worst], rank, 0)?;
    }
    reasons.retain(|(code, ..)| *code == worst);
    let lines: Vec<String> = reasons.into_iter().map(|(_, rank, why)| format!("rank {rank}: {why}")).collect();
    Ok(verdict_of(worst, lines.join("\n     ")))
}

fn verdict_of(code: u8, why: String) -> super::Outcome {
    match code {
        0 => Ok(()),
        1 => Err(Halt::Skipped(why)),
        _ => Err(Halt::Failed(why)),
    }
}

fn receive(control: &Communicator, from: usize) -> Result<Vec<u8>> {
    loop {
        match control.recv_vec(Source::Rank(from), 0u32) {
            Ok((text, _)) => return Ok(text),
            Err(e) if matches!(e.kind(), ErrorKind::Deadlock(_) | ErrorKind::Timeout(_)) => {}
            Err(e) => return Err(e),
        }
    }
}
