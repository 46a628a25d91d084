//! [`File`]: a memory file and its mapping in this process, or in a peer. All that is unsafe about arenas is here.
//!
//! # Contract
//! 1. The file has its full length from the start and is sealed against shrinking before any peer learns of it, so every
//!    byte of a mapping can be read for as long as the mapping lasts, whatever its owner does.
//! 2. A mapping ends when its [`Mapping`] is dropped. Whoever keeps a pointer into it keeps the mapping.
//! 3. Two processes may reach one byte. Who reads while others may write must use atomics, or know from them that nobody
//!    writes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// The shortest file that has room for its header.
const LEAST: usize = 4096;

/// All of a file in this process's memory.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; the contract's rule 3 is about its bytes.
unsafe impl Send for Mapping {}
// SAFETY: as above; a shared reference gives the address only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which must have as many.
    pub(super) fn new(file: &OwnedFd, len: usize) -> io::Result<Self> {
        let size = rustix::fs::fstat(file)?.st_size;
        if u64::try_from(size).map_or(true, |size| size < len as u64) || len < LEAST {
            return Err(io::Errno::INVAL);
        }
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let base = unsafe {
            let flags = MapFlags::SHARED | MapFlags::NORESERVE;
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::Errno::NOMEM)?;
        let mapping = Mapping { base, len };
        // Both are wishes: kernels without them work. Not dumping keeps a core dump from filling the whole reserve.
        for wish in [Advice::LinuxHugepage, Advice::LinuxDontDump] {
            // SAFETY: exactly this mapping; neither wish changes what it holds.
            let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), len, wish) };
        }
        Ok(mapping)
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The two words at the beginning, which [`File::new`] wrote.
    pub(super) fn nonce(&self) -> [u64; 2] {
        [0, 1].map(|i| {
            // SAFETY: a mapping is longer than this and aligned; the words are written once, before anybody reads them.
            unsafe { self.base.cast::<AtomicU64>().add(i).as_ref() }.load(Ordering::Relaxed)
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and whoever has pointers into it keeps it (rule 2). A failure leaves
        // it mapped.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A memory file made by this process.
pub(super) struct File {
    fd: OwnedFd,
    pub(super) mapping: Mapping,
}

impl File {
    /// A file of `len` bytes, zero but for the first sixteen, which are a random number. It takes up no memory until it is
    /// written.
    pub(super) fn new(name: &str, len: usize) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know the wish not to be executable; later ones may insist on it.
        let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| rustix::fs::memfd_create(name, flags))?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let mapping = Mapping::new(&fd, len)?;
        let mut nonce = [0u8; 16];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
        rustix::io::pwrite(&fd, &nonce, 0)?;
        Ok(File { fd, mapping })
    }

    /// Maps a peer's file if it is as long as the peer says and keeps that length.
    pub(super) fn map_of_peer(fd: &OwnedFd, len: usize) -> Option<Mapping> {
        let seals = rustix::fs::fcntl_get_seals(fd).ok()?;
        (seals.contains(SealFlags::SHRINK) && len >= LEAST).then(|| Mapping::new(fd, len).ok()).flatten()
    }

    /// The number under which `/proc/PID/fd` has it.
    pub(super) fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Gives whole pages back to the system; they are zero afterwards. False if the system would not.
    pub(super) fn punch(&self, at: usize, bytes: usize) -> bool {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.fd, mode, at as u64, bytes as u64).is_ok()
    }

    /// Writes zeros.
    ///
    /// # Safety
    /// The caller owns these bytes of the file: nobody else, here or in a peer, writes or relies on them.
    pub(super) unsafe fn clear(&self, at: usize, bytes: usize) {
        assert!(at <= self.mapping.len && bytes <= self.mapping.len - at);
        // SAFETY: inside the mapping, and the caller's alone.
        unsafe { self.mapping.base.as_ptr().add(at).write_bytes(0, bytes) };
    }

    /// How many bytes of memory it takes up.
    #[cfg(test)]
    pub(super) fn resident(&self) -> usize {
        rustix::fs::fstat(&self.fd).unwrap().st_blocks as usize * 512
    }
}
