//! Signals as values: each is written to a pipe when it comes, and read where there is time for it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

/// What is passed on to the ranks.
const PASSED_ON: [Signal; 8] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::TSTP, Signal::CONT];

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) signal: Signal,
    /// Whether the kernel sent it, as it does for a key of the terminal: then the ranks, which are in the same process group,
    /// have got it as well.
    pub(super) by_kernel: bool,
}

/// From its making on, no signal of [`PASSED_ON`] ends this process.
pub(super) struct Signals {
    pipe: OwnedFd,
}

impl Signals {
    /// Listens to all that are not ignored: who starts a program with `nohup` wants it, and its ranks, not to hear of SIGHUP.
    pub(super) fn listen() -> io::Result<Self> {
        use rustix::pipe::{PipeFlags, pipe_with};

        let (pipe, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let end = Arc::new(end);
        let ignored = ignored();
        for signal in PASSED_ON.into_iter().chain([Signal::CHILD]) {
            let number = signal.as_raw();
            if signal != Signal::CHILD && ignored >> (number - 1) & 1 == 1 {
                continue;
            }
            let end = Arc::clone(&end);
            // SAFETY: all that the closure does is one write(2), which is async-signal-safe, from memory of its own.
            unsafe {
                signal_hook_registry::register_sigaction(number, move |info| {
                    // Codes above 0 are the kernel's (POSIX, `siginfo_t`); `kill` says 0.
                    let said = [number as u8, u8::from(info.si_code > 0)];
                    // A pipe that is full holds signals enough to wake its reader.
                    let _ = rustix::io::write(&*end, &said);
                })
            }?;
        }
        Ok(Self { pipe })
    }

    /// The signals that have come, after waiting for the first one for at most `limit`.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<Came>> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut files = [PollFd::new(&self.pipe, PollFlags::IN)];
        match poll(&mut files, limit.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        // An even number of bytes: pairs are written whole, and read from the start of one.
        let mut bytes = [0; 256];
        let length = match rustix::io::read(&self.pipe, &mut bytes) {
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let came = bytes[..length]
            .chunks_exact(2)
            .filter_map(|said| Some(Came { signal: Signal::from_named_raw(said[0].into())?, by_kernel: said[1] == 1 }));
        Ok(came.filter(|came| came.signal != Signal::CHILD).collect())
    }
}

/// The signals that this process was started to ignore, a bit each; none where there is no `/proc`.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// `SIGINT`, or its number.
pub(super) fn name(number: i32) -> String {
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::CONT, "SIGCONT"),
        (Signal::STOP, "SIGSTOP"),
        (Signal::TSTP, "SIGTSTP"),
        (Signal::XCPU, "SIGXCPU"),
    ];
    let known = known.into_iter().find(|(signal, _)| signal.as_raw() == number);
    known.map_or_else(|| format!("signal {number}"), |(_, name)| name.to_owned())
}
