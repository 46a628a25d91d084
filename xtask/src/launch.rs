//! Running a program within a deadline, and ending all of it when the deadline passes.

use std::borrow::BorrowMut;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{Result, root};

/// Variables of a launcher or a user's shell that would change what a test runs.
const FOREIGN: [&str; 8] = ["PARHELION_", "OMPI_", "OPAL_", "PMI_", "PMIX_", "PRTE_", "MPIR_CVAR_", "SLURM_"];

/// How long a launcher gets to end its ranks after SIGTERM before all of them are killed.
const GRACE: Duration = Duration::from_secs(3);

/// How a bounded run ended.
pub(crate) enum End {
    Exited(ExitStatus),
    TimedOut(Duration),
}

impl End {
    /// Whether the program ended by itself with exit code 0.
    pub(crate) fn success(&self) -> bool {
        matches!(self, End::Exited(status) if status.success())
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(status) => status.fmt(f),
            End::TimedOut(limit) => write!(f, "TIMEOUT after {} s", limit.as_secs()),
        }
    }
}

/// What a run printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) end: End,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// Whether it had to be ended.
    pub(crate) fn timed_out(&self) -> bool {
        matches!(self.end, End::TimedOut(_))
    }

    /// How each stream begins and ends, for a person who has to find out why: the reason is often said first, and
    /// the launcher's opinion last.
    pub(crate) fn excerpt(&self) -> String {
        const FIRST: usize = 8;
        const LAST: usize = 16;
        let mut excerpt = String::new();
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            excerpt += &format!("    --- {name}\n");
            let left_out = lines.len().saturating_sub(FIRST + LAST);
            for (number, line) in lines.iter().enumerate() {
                if left_out == 0 || number < FIRST || number >= FIRST + left_out {
                    excerpt += &format!("    {line}\n");
                } else if number == FIRST {
                    excerpt += &format!("    ... {left_out} lines ...\n");
                }
            }
        }
        if excerpt.is_empty() { "    --- it printed nothing\n".into() } else { excerpt }
    }
}

/// Where a run's output goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stderr {
    /// To a file, as stdout does.
    Captured,
    /// There too, and to our own as it comes: cargo's progress and diagnostics.
    Shown,
}

/// Runs `command` for at most `limit`; its output goes to `target/logs/NAME.{out,err}` and comes back as text.
///
/// Files rather than pipes: a grandchild that outlives its parent cannot keep us reading.
pub(crate) fn bounded(
    mut command: impl BorrowMut<Command>,
    name: &str,
    stderr: Stderr,
    limit: Duration,
) -> Result<Ran> {
    let command = command.borrow_mut();
    let logs = root().join("target/logs");
    fs::create_dir_all(&logs).map_err(|e| format!("cannot create {}: {e}", logs.display()))?;
    let file = |ending: &str| -> Result<(PathBuf, File)> {
        let path = logs.join(format!("{name}.{ending}"));
        let file = File::create(&path).map_err(|e| format!("cannot create {}: {e}", path.display()))?;
        Ok((path, file))
    };
    let (out_path, out) = file("out")?;
    let (err_path, err) = file("err")?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let mut shown = match stderr {
        Stderr::Captured => None,
        Stderr::Shown => Some(File::open(&err_path).map_err(|e| format!("cannot read {}: {e}", err_path.display()))?),
    };
    if shown.is_some() && io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let started = Instant::now();
    let mut child = spawn_in_own_group(command)?;
    let end = loop {
        let ended = child.try_wait();
        if let Some(file) = &mut shown {
            // What nobody sees now is in the file all the same.
            let _ = io::copy(file, &mut io::stderr());
        }
        match ended {
            Ok(Some(status)) => break End::Exited(status),
            Ok(None) if started.elapsed() > limit => {
                end_group(&mut child);
                break End::TimedOut(limit);
            }
            Ok(None) => sleep(Duration::from_millis(10)),
            Err(e) => return Err(format!("cannot wait for {:?}: {e}", command.get_program())),
        }
    };
    let read = |path: &Path| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    Ok(Ran { end, out: read(&out_path), err: read(&err_path), took: started.elapsed() })
}

/// A command without the variables of [`FOREIGN`].
pub(crate) fn clean_command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let foreign = |name: &OsString| name.to_str().is_some_and(|n| FOREIGN.iter().any(|p| n.starts_with(p)));
    for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(name)) {
        command.env_remove(name);
    }
    command
}

/// Starts `command` as the leader of a process group, to be signalled whole.
fn spawn_in_own_group(command: &mut Command) -> Result<Child> {
    command.process_group(0);
    // A group of its own no longer gets the terminal's Ctrl-C; the kernel tells it when we are gone.
    // SAFETY: the closure makes one prctl system call, which is async-signal-safe, and touches no memory of ours.
    #[cfg(target_os = "linux")]
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?));
    }
    command.spawn().map_err(|e| format!("cannot start {}: {e}", command.get_program().to_string_lossy()))
}

/// Ends the group that `child` leads, and those of its descendants that moved to a group of their own.
fn end_group(child: &mut Child) {
    let descendants = descendants(child.id());
    let group = Pid::from_child(child);
    // Each signal may come too late, when the process is gone already: that is what we want.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        sleep(Duration::from_millis(20));
    }
    let _ = kill_process_group(group, Signal::KILL);
    for process in descendants.iter().filter(|p| p.still_runs()) {
        if let Some(pid) = Pid::from_raw(process.id as i32) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let _ = child.wait();
}

/// A process, told from a later one of the same id by its start time.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Process {
    id: u32,
    parent: u32,
    start: u64,
}

impl Process {
    /// Reads `/proc/ID/stat`.
    fn read(id: u32) -> Option<Process> {
        Process::parse(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The name in parentheses may itself hold spaces and parentheses: fields count from the last `)`.
    fn parse(id: u32, stat: &str) -> Option<Process> {
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        Some(Process { id, parent: fields.get(1)?.parse().ok()?, start: fields.get(19)?.parse().ok()? })
    }

    fn still_runs(&self) -> bool {
        Process::read(self.id).is_some_and(|now| now.start == self.start)
    }
}

/// The processes below `ancestor`; none where there is no `/proc`.
fn descendants(ancestor: u32) -> Vec<Process> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Process> =
        ids.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter_map(Process::read).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|p| p.parent == parent) {
            found.push(*process);
            parents.push(process.id);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_from_its_stat_line_whatever_its_name() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 2 3";
        assert_eq!(Process::parse(42, line), Some(Process { id: 42, parent: 7, start: 9876 }));
        assert_eq!(Process::parse(42, "42 (cut off"), None);
        assert_eq!(Process::parse(42, "42 (cut) S 7"), None);
    }

    #[test]
    fn a_run_past_its_deadline_ends_with_all_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo before; sleep 60 & echo $!; wait"]);
        let started = Instant::now();
        let ran = bounded(command, "unit-deadline", Stderr::Captured, Duration::from_millis(300)).unwrap();
        assert!(matches!(ran.end, End::TimedOut(_)));
        assert!(!ran.end.success());
        assert!(started.elapsed() < Duration::from_secs(20));
        let mut lines = ran.out.lines();
        assert_eq!(lines.next(), Some("before"));
        let sleeper: u32 = lines.next().unwrap().parse().unwrap();
        // The system takes its time to end what was killed.
        let alive = || fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|s| !s.contains(") Z "));
        while alive() {
            assert!(started.elapsed() < Duration::from_secs(20), "the sleeper {sleeper} survived");
            sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_run_reports_its_exit_code_and_both_streams() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo to-out; echo to-err >&2; exit 3"]);
        let ran = bounded(command, "unit-exit", Stderr::Captured, Duration::from_secs(30)).unwrap();
        assert!(matches!(ran.end, End::Exited(status) if status.code() == Some(3)));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("to-out\n", "to-err\n"));
        assert_eq!(ran.excerpt(), "    --- stdout\n    to-out\n    --- stderr\n    to-err\n");
    }

    #[test]
    fn what_is_shown_as_it_comes_is_kept_all_the_same() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo progress >&2; exit 1"]);
        let ran = bounded(command, "unit-shown", Stderr::Shown, Duration::from_secs(30)).unwrap();
        assert_eq!(ran.err, "progress\n");
    }

    #[test]
    fn a_long_output_is_shown_by_its_beginning_and_its_end() {
        let mut command = Command::new("seq");
        command.arg("100");
        let ran = bounded(command, "unit-long", Stderr::Captured, Duration::from_secs(30)).unwrap();
        let excerpt = ran.excerpt();
        let lines: Vec<&str> = excerpt.lines().map(str::trim).collect();
        assert_eq!((lines[1], lines[8], lines[9]), ("1", "8", "... 76 lines ..."));
        assert_eq!((lines[10], lines[25], lines.len()), ("85", "100", 26));
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let why = bounded(Command::new("no-such-program"), "unit-none", Stderr::Captured, Duration::from_secs(1));
        assert!(why.err().unwrap().contains("no-such-program"));
    }
}
