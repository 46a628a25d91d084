//! What a rank says before it ends the program: said in one piece, and heard.
//!
//! Launchers copy what ranks print. Of a rank that ends the program at once they may lose it all: MPICH's lost the reason in
//! 6 of 80 runs of the example `ending`, part of it in 2.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// How long the launcher gets to read what it is told.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Says why rank `rank` ends the program, and waits until whoever reads its pipes has read them empty.
pub(super) fn say(rank: usize, why: impl Display) {
    // In one piece, so that the lines of ranks do not mix. Nobody is left to tell if it fails.
    let _ = std::io::stderr().lock().write_all(format!("rank {rank}: {why}\n").as_bytes());
    let patience = Instant::now() + PATIENCE;
    while has_unread() && Instant::now() < patience {
        std::thread::sleep(PAUSE);
    }
}

/// Whether something printed is still in a pipe.
#[cfg(unix)]
fn has_unread() -> bool {
    use rustix::fs::{FileType, fstat};
    use std::os::fd::AsFd;

    let is_full = |fd: std::os::fd::BorrowedFd<'_>| {
        let is_pipe = fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        is_pipe && rustix::io::ioctl_fionread(fd).is_ok_and(|bytes| bytes > 0)
    };
    is_full(std::io::stdout().as_fd()) || is_full(std::io::stderr().as_fd())
}

#[cfg(not(unix))]
fn has_unread() -> bool {
    false
}
