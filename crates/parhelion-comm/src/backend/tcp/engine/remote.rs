//! [`Remote`]: another process's memory, read from here (`process_vm_readv`). All that is unsafe about that is here.
//!
//! # Contract
//! 1. The process is the one that was met: it has shown a number that nobody else knows, and as long as its descriptor does not
//!    say that it has ended, its process number is not another one's ([`Remote::lives`], asked after a read).
//! 2. What is read is what stands there at that time. Whether it still means what the reader was told, the owner's marks
//!    say ([`Reader::is_lent`](super::ring::Reader::is_lent)).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PTracer, Pid, PidfdFlags, pidfd_open, set_ptracer};

use crate::backend::tcp::join::Stream;

/// Another process, or this one, whose memory can be read.
pub(super) struct Remote {
    pid: Pid,
    process: OwnedFd,
}

impl Remote {
    /// The process `pid`, if its memory can be read here and holds `number` at `at`.
    pub(super) fn meet(pid: u64, at: u64, number: [u8; 16]) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let remote = Remote { pid, process: pidfd_open(pid, PidfdFlags::empty()).ok()? };
        let mut found = [0; 16];
        // SAFETY: a buffer of that many bytes.
        let read = unsafe { remote.read(at, found.as_mut_ptr(), found.len()) };
        (matches!(read, Ok(16)) && found == number).then_some(remote)
    }

    /// Reads up to `len` bytes that stand at `from` in the other process.
    ///
    /// # Safety
    /// `to` is writable for `len` bytes.
    pub(super) unsafe fn read(&self, from: u64, to: *mut u8, len: usize) -> io::Result<usize> {
        let local = libc::iovec { iov_base: to.cast(), iov_len: len };
        let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(from as usize), iov_len: len };
        // SAFETY: the caller's promise for what is written; the other address is the kernel's to check.
        let n = unsafe { libc::process_vm_readv(self.pid.as_raw_nonzero().get(), &local, 1, &remote, 1, 0) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Whether it has not ended, nor closed `stream`. Then it had not when its memory was read before.
    pub(super) fn lives(&self, stream: &Stream) -> bool {
        let mut ends = [PollFd::new(&self.process, PollFlags::IN), PollFd::new(stream, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut ends, Some(&now)), Ok(0))
    }
}

/// Lets the other processes of this user read this one's memory where the system asks for that (Yama's `ptrace_scope` 1).
pub(super) fn permit() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
        if scope.is_ok_and(|scope| scope.trim() == "1") {
            // Refused, long messages go another way.
            let _ = set_ptracer(PTracer::Any);
        }
    });
}
