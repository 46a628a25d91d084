//! Watching over ranks until all have ended.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::signals::{Came, Signals, name};

/// How long ranks that were asked to end may take before they are killed.
const GRACE: Duration = Duration::from_secs(2);
/// Interrupted so often, a user means it.
const INTERRUPTS: usize = 3;

/// A rank while it runs.
pub(super) struct Rank {
    child: Child,
    control: Option<ChildStdin>,
    /// Whether its process is a remote shell's.
    remote: bool,
    ended: bool,
}

/// A rank that did not end well.
#[derive(Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) rank: usize,
    pub(super) status: ExitStatus,
    /// Whether this process had passed the signal on that ended it.
    pub(super) passed_on: bool,
}

impl Failure {
    /// As a shell has it: 128 and the signal's number.
    pub(super) fn code(&self) -> u8 {
        let code = self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0));
        code.try_into().unwrap_or(u8::MAX)
    }

    /// Whether it ended by itself.
    pub(super) fn has_exited(&self) -> bool {
        self.status.signal().is_none()
    }

    /// `rank 2 exited with code 3`.
    pub(super) fn text(&self) -> String {
        let rank = self.rank;
        match (self.status.signal(), self.passed_on) {
            (None, _) => format!("rank {rank} exited with code {}", self.code()),
            (Some(signal), true) => {
                format!("rank {rank} was ended by {}, as this command was told to end", name(signal))
            }
            (Some(signal), false) => format!("rank {rank} was killed by signal {signal} ({})", name(signal)),
        }
    }
}

/// The ranks of a job.
#[derive(Default)]
pub(super) struct Watch {
    ranks: Vec<Rank>,
    keep_going: bool,
    /// In the order in which they came.
    failures: Vec<Failure>,
    passed_on: Vec<Signal>,
    /// When those that are left are killed.
    deadline: Option<Instant>,
}

impl Watch {
    pub(super) fn new(keep_going: bool) -> Self {
        Self { keep_going, ..Self::default() }
    }

    /// The next rank.
    pub(super) fn add(&mut self, child: Child, control: Option<ChildStdin>, remote: bool) {
        self.ranks.push(Rank { child, control, remote, ended: false });
    }

    /// Waits until all have ended; those that failed.
    pub(super) fn until_all_end(mut self, signals: &Signals) -> io::Result<Vec<Failure>> {
        loop {
            self.reap()?;
            if self.ranks.iter().all(|rank| rank.ended) {
                return Ok(self.failures);
            }
            if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                self.kill();
            }
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            for came in signals.wait(left)? {
                self.pass_on(came);
            }
        }
    }

    /// Ends all at once, for a job that could not be started whole.
    pub(super) fn give_up(&mut self) {
        self.kill();
        for rank in &mut self.ranks {
            // It is killed and can only be waited for.
            let _ = rank.child.wait();
        }
    }

    /// Notes who has ended.
    fn reap(&mut self) -> io::Result<()> {
        let mut failed = Vec::new();
        for (number, rank) in self.ranks.iter_mut().enumerate().filter(|(_, rank)| !rank.ended) {
            let Some(status) = rank.child.try_wait()? else { continue };
            rank.ended = true;
            rank.control = None;
            if !status.success() {
                let is = |signal: &Signal| Some(signal.as_raw()) == status.signal();
                failed.push(Failure { rank: number, status, passed_on: self.passed_on.iter().any(is) });
            }
        }
        // Of several that are found together, one that was killed is the likelier cause than one that gave up.
        failed.sort_by_key(|failure| failure.status.signal().is_none());
        if !failed.is_empty() && !self.keep_going {
            self.stop();
        }
        self.failures.append(&mut failed);
        Ok(())
    }

    /// Asks those that are left to end, once.
    fn stop(&mut self) {
        if self.deadline.is_some() {
            return;
        }
        self.deadline = Some(Instant::now() + GRACE);
        for rank in self.ranks.iter_mut().filter(|rank| !rank.ended) {
            rank.signal(Signal::TERM);
            // One that is stopped would not notice.
            rank.signal(Signal::CONT);
        }
    }

    fn kill(&mut self) {
        self.deadline = None;
        for rank in self.ranks.iter_mut().filter(|rank| !rank.ended) {
            // The shell of another host ends the program there.
            rank.control = None;
            // One that has just ended needs it no more.
            let _ = rank.child.kill();
        }
    }

    fn pass_on(&mut self, Came { signal, by_kernel }: Came) {
        self.passed_on.push(signal);
        // Nothing else stops a process of an orphaned group, as the ranks' may be, and those of other hosts are.
        let passed = if signal == Signal::TSTP { Signal::STOP } else { signal };
        let interrupts = self.passed_on.iter().filter(|signal| [Signal::INT, Signal::TERM].contains(signal)).count();
        for rank in self.ranks.iter_mut().filter(|rank| !rank.ended) {
            // A remote shell is in our process group, too, but the program it started is not.
            if !by_kernel || rank.control.is_some() {
                rank.signal(passed);
            }
        }
        if signal == Signal::TSTP {
            // Goes on at SIGCONT, which is then passed on in turn.
            let _ = kill_process(getpid(), Signal::STOP);
        } else if interrupts >= INTERRUPTS {
            self.kill();
        }
    }
}

impl Rank {
    /// Sends it, where it has not ended; a rank that is not reaped keeps its process id.
    fn signal(&mut self, signal: Signal) {
        if let Some(control) = &mut self.control {
            // The program is in the background of a shell, where SIGINT and SIGQUIT are ignored (POSIX, section 2.11).
            let signal = if [Signal::INT, Signal::QUIT].contains(&signal) { Signal::TERM } else { signal };
            let name = name(signal.as_raw());
            // A shell that has ended already tells why by its exit code.
            let _ = writeln!(control, "{}", name.trim_start_matches("SIG"));
        } else if !self.remote || [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal) {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}
