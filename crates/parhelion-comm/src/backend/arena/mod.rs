//! [`Arena`]: the memory of this process that other processes of its node can read.
//!
//! One memory [`file`] per process, mapped once with a large sparse reserve, in which blocks come and go ([`space`]). A block
//! is named by its offset, the *token*, which means the same in every process that has the file. Making and freeing a block is a
//! matter of this process alone. Free memory is zero, and in large pieces it goes back to the system.
//!
//! Where there are no memory files, or a limit of the process forbids them, there is no arena, and blocks are plain memory
//! without a token. Which processes can map the file, [`peer`] says; [`lent`] is memory that peers write to, too. After a `fork` the child has none either: the file is its parent's, and what it frees is left alone.

mod file;
mod lent;
mod peer;
mod space;

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Resource, getrlimit};

use self::file::File;
use self::lent::Lent;
pub(crate) use self::lent::{Loan, borrow};
pub(crate) use self::peer::{IDENTITY_WORDS, Identity, PeerArena};
use self::space::{PAGE, Space, TRIM, rounded};

/// What `/proc/PID/fd` shows, after `/memfd:`.
const NAME: &str = "parhelion";
/// The first page is the header.
const HEADER: usize = PAGE;
/// The reserve is never smaller: less is no arena.
const LEAST: usize = 64 << 20;

/// The memory file of a process.
pub(crate) struct Arena {
    file: File,
    /// The process that made it.
    pid: u32,
    /// The random number in the header.
    nonce: [u64; 2],
    space: Mutex<Space>,
    /// Blocks whose owner is done with them, and peers perhaps not.
    left: Mutex<Vec<Lent>>,
}

impl Arena {
    /// The arena of this process, made on first use; none where the system has no such thing.
    pub(crate) fn of_process() -> Option<&'static Arc<Arena>> {
        static ARENA: OnceLock<Option<Arc<Arena>>> = OnceLock::new();
        let arena = ARENA.get_or_init(|| {
            let mut len = reserve();
            while len >= LEAST {
                if let Some(arena) = Arena::new(len) {
                    return Some(Arc::new(arena));
                }
                len /= 2;
            }
            None
        });
        arena.as_ref().filter(|arena| arena.is_ours())
    }

    /// An arena of `len` bytes, whole pages, of which the first is not for blocks.
    pub(super) fn new(len: usize) -> Option<Arena> {
        let file = File::new(NAME, len).ok()?;
        let nonce = file.mapping.nonce();
        let space = Mutex::new(Space::new(HEADER..len));
        Some(Arena { file, pid: std::process::id(), nonce, space, left: Mutex::default() })
    }

    /// Whether this process made it: false in a child that was forked off later.
    fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// A zeroed block of at least `bytes`: its token, its address and its real size. None if there is no room.
    pub(super) fn take(&self, bytes: usize, align: usize) -> Option<(usize, NonNull<u8>, usize)> {
        let (bytes, align) = rounded(bytes, align)?;
        if !self.is_ours() {
            return None;
        }
        let at = self.space().take(bytes, align)?;
        let base = self.file.mapping.base();
        // SAFETY: the space ends with the mapping.
        Some((at, unsafe { base.add(at) }, bytes))
    }

    /// Frees a block.
    ///
    /// # Safety
    /// `take` gave it with this token and real size; nobody uses it any more, and this is the only time.
    pub(super) unsafe fn give(&self, at: usize, bytes: usize) {
        if !self.is_ours() {
            return;
        }
        // Cleared before it is free: from then on it may be somebody else's.
        let kept = if bytes >= TRIM && self.file.punch(at, bytes) {
            0
        } else {
            // SAFETY: still the caller's block.
            unsafe { self.file.clear(at, bytes) };
            bytes
        };
        let mut space = self.space();
        if let Some(pages) = space.give(at, bytes, kept) {
            // Under the lock: the pages are free, and stay so. If the system does not take them, they are zero as before.
            let _ = self.file.punch(pages.start, pages.len());
        }
    }

    /// Frees `lent` when its users are done.
    fn leave(&self, lent: Lent) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        self.sweep();
    }

    /// Frees what was left and is no longer used.
    fn sweep(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|lent| !lent.is_over());
    }

    /// How many bytes of memory it takes up.
    #[cfg(test)]
    pub(super) fn resident(&self) -> usize {
        self.file.resident()
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much address space to reserve: as much as the machine has memory, unless a limit of the process is lower.
fn reserve() -> usize {
    let info = rustix::system::sysinfo();
    let memory = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit.max(1)));
    let wanted = memory.max(1 << 30).next_power_of_two();
    // Beyond its limit of file sizes, a process that resizes a file is killed (SIGXFSZ).
    let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX);
    usize::try_from(wanted.min(limit)).unwrap_or(usize::MAX) / PAGE * PAGE
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output, Stdio};

    use super::*;
    use crate::backend::block::Block;

    /// Runs the test `name` of this module alone in a new process, after the shell command `before`.
    fn again(name: &str, before: &str) -> Output {
        let script = format!("{before}; exec \"$0\" --exact backend::arena::tests::{name} --nocapture");
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(program).env("PARHELION_TEST_AGAIN", "1").stdin(Stdio::null());
        command.output().unwrap()
    }

    fn is_again() -> bool {
        std::env::var_os("PARHELION_TEST_AGAIN").is_some()
    }

    #[track_caller]
    fn passed(output: &Output) {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
    }

    #[test]
    fn a_limit_of_file_sizes_leaves_plain_memory() {
        if !is_again() {
            // Resizing a file beyond the limit would kill the process.
            return passed(&again("a_limit_of_file_sizes_leaves_plain_memory", "ulimit -f 1000"));
        }
        assert!(Arena::of_process().is_none());
        assert_eq!(Block::shared(100, 64).token(), None);
    }

    #[test]
    fn a_limit_of_address_space_makes_the_reserve_smaller() {
        if !is_again() {
            return passed(&again("a_limit_of_address_space_makes_the_reserve_smaller", "ulimit -v 900000"));
        }
        let arena = Arena::of_process().expect("room for a small one");
        assert!((LEAST..900_000 << 10).contains(&arena.file.mapping.len()));
        assert!(Block::shared(100, 64).token().is_some());
    }

    #[test]
    fn a_forked_child_leaves_the_arena_of_its_parent_alone() {
        unsafe extern "C" {
            fn fork() -> i32;
            fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
            fn _exit(code: i32) -> !;
        }
        let arena = Arc::new(Arena::new(1 << 20).unwrap());
        let (at, ptr, bytes) = arena.take(200_000, 64).unwrap();
        // SAFETY: the block is this test's.
        unsafe { ptr.write_bytes(7, bytes) };
        // Locked, as another thread might have it at the time of the fork.
        let locked = arena.space();
        // SAFETY: the child calls nothing that allocates or locks, and leaves without running anything else.
        unsafe {
            let child = fork();
            if child == 0 {
                arena.give(at, bytes);
                _exit(i32::from(arena.take(64, 64).is_some()));
            }
            let mut status = -1;
            assert!(child > 0 && waitpid(child, &mut status, 0) == child);
            assert_eq!(status, 0, "the child took a block");
        }
        drop(locked);
        // SAFETY: as above.
        let block = unsafe { std::slice::from_raw_parts(ptr.as_ptr(), bytes) };
        assert!(block.iter().all(|b| *b == 7), "the child freed it");
        // SAFETY: taken above, and no longer used.
        unsafe { arena.give(at, bytes) };
    }
}
