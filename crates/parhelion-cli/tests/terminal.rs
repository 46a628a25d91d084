//! `parhelion run` at a terminal: what the ranks see of it, and Ctrl-C.
#![cfg(target_os = "linux")]

mod command;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use command::clean;

/// Longer than any of this takes; longer is a hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// A program in a terminal of its own.
struct Session {
    child: Child,
    keys: File,
    /// The other side of the terminal, so that its state can be asked for when the program has ended.
    terminal: File,
    screen: Receiver<Vec<u8>>,
    text: String,
}

impl Session {
    fn start(args: &[&str]) -> Session {
        let (mut ours, mut theirs) = (-1, -1);
        // SAFETY: both numbers are written, and nothing else is asked for.
        let opened = unsafe {
            libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut())
        };
        assert_eq!(opened, 0, "a terminal");
        // SAFETY: both are open, and nobody else's.
        let (keys, terminal) = unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) };
        let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
        let end = || terminal.try_clone().expect("a descriptor");
        command.args(args).stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are async-signal-safe, and the closure touches no memory.
        unsafe {
            command.pre_exec(|| {
                // A session of its own, whose terminal is its stdin.
                if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the command was built");
        let (shows, screen) = channel();
        let mut reader = keys.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with the terminal, which the test holds to its own end.
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if shows.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Session { child, keys, terminal, screen, text: String::new() }
    }

    /// Waits until the screen shows all of these.
    fn shows(&mut self, words: &[&str]) {
        let start = Instant::now();
        while !words.iter().all(|word| self.text.contains(word)) {
            let left = DEADLINE.saturating_sub(start.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("the screen does not show {words:?}:\n{}", self.text),
            }
        }
    }

    fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                // What it has written is there.
                self.text.extend(self.screen.try_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end:\n{}", self.text);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The terminal's modes.
    fn modes(&self) -> [u32; 4] {
        use std::os::fd::AsRawFd;
        // SAFETY: all its bytes may be 0, and the call writes it whole.
        let modes = unsafe {
            let mut modes: libc::termios = std::mem::zeroed();
            assert_eq!(libc::tcgetattr(self.terminal.as_raw_fd(), &mut modes), 0);
            modes
        };
        [modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag]
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process ids that the ranks have printed, as `pid N.`.
fn pids(text: &str) -> Vec<i32> {
    text.split("pid ").skip(1).filter_map(|rest| rest.split('.').next()?.parse().ok()).collect()
}

#[test]
fn ranks_see_the_terminal_so_that_colours_and_progress_bars_survive() {
    let script = "test -t 1 && test -t 2 && echo rank $PARHELION_RANK draws";
    let mut session = Session::start(&["run", "-n", "2", "sh", "-c", script]);
    session.shows(&["rank 0 draws", "rank 1 draws"]);
    assert!(session.end().success(), "{}", session.text);
}

#[test]
fn control_c_ends_all_ranks_and_leaves_the_terminal_as_it_was() {
    let mut session = Session::start(&["run", "-n", "2", "sh", "-c", "echo pid $$.; exec sleep 1000"]);
    let before = session.modes();
    session.shows(&["pid "]);
    let start = Instant::now();
    while pids(&session.text).len() < 2 {
        assert!(start.elapsed() < DEADLINE, "two ranks:\n{}", session.text);
        if let Ok(bytes) = session.screen.recv_timeout(Duration::from_millis(10)) {
            session.text += &String::from_utf8_lossy(&bytes);
        }
    }
    session.keys.write_all(b"\x03").expect("a key");
    let status = session.end();
    session.shows(&["error: "]);
    assert_eq!(status.code(), Some(130), "{}", session.text);
    assert_eq!(session.text.matches("error: ").count(), 1, "{}", session.text);
    assert!(session.text.contains("SIGINT"), "{}", session.text);
    for pid in pids(&session.text) {
        // SAFETY: signal 0 is no signal.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1, "rank with process {pid} is still there");
    }
    assert_eq!(session.modes(), before);
}
