//! [`Runway`]: where an Open MPI that runs past the end of a receive does no harm.
//!
//! See `guard` for what it does. A runway is a page or so of memory with four terabytes of address space behind it that is
//! used for nothing, so that a message is received as plain contiguous bytes, at full speed, and copied from there. A
//! message that is too long for its buffer fills as much of that space as it needs, the library then reports the truncation,
//! and the memory is given back.

use std::ptr::NonNull;

/// The longest buffer that is received by way of the runway: up to Open MPI's eager limit, beyond which messages move by
/// one direct copy, and a second one would be felt.
pub(super) const LONGEST: usize = 4096;

/// Memory of this process, where messages of any length have room.
pub(super) struct Runway(NonNull<u8>);

// SAFETY: a mapping belongs to the process, not to a thread; who uses it says so (see `Runway::of_process`).
unsafe impl Send for Runway {}
// SAFETY: as above; a shared reference gives the address only.
unsafe impl Sync for Runway {}

impl Runway {
    /// The only one of this process; none where the system does not give so much address space. One thread uses it at a
    /// time: where a thread level lets several threads receive at once, nobody does.
    #[inline]
    pub(super) fn of_process() -> Option<&'static Runway> {
        static ONE: std::sync::OnceLock<Option<Runway>> = std::sync::OnceLock::new();
        ONE.get_or_init(Runway::new).as_ref()
    }

    #[inline]
    pub(super) fn ptr(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    #[cfg(target_os = "linux")]
    fn new() -> Option<Runway> {
        use rustix::mm::{Advice, MapFlags, ProtFlags};

        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let base = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), LENGTH, ProtFlags::READ | ProtFlags::WRITE, flags)
        };
        let base = NonNull::new(base.ok()?.cast::<u8>())?;
        // SAFETY: exactly this mapping; the wish changes nothing of what it holds.
        let _ = unsafe { rustix::mm::madvise(base.as_ptr().cast(), LENGTH, Advice::LinuxDontDump) };
        Some(Runway(base))
    }

    #[cfg(not(target_os = "linux"))]
    fn new() -> Option<Runway> {
        None
    }

    /// Gives back what a message that was too long has filled.
    #[cold]
    pub(super) fn clear(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: exactly this mapping, whose bytes nobody counts on between two receives. A failure leaves them in memory.
        let _ = unsafe { rustix::mm::madvise(self.0.as_ptr().cast(), LENGTH, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Copies a message off the runway. The commonest of all, one number, takes no call.
///
/// # Safety
/// `from` is readable and `to` writable for so many bytes, apart from each other.
#[inline(always)]
pub(super) unsafe fn fetch(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise; an array of bytes lies anywhere.
    unsafe {
        match bytes {
            8 => to.cast::<[u8; 8]>().write(from.cast::<[u8; 8]>().read()),
            _ => std::ptr::copy_nonoverlapping(from, to, bytes),
        }
    }
}

/// No single message is longer: it would not fit into the memory of a machine.
#[cfg(target_os = "linux")]
const LENGTH: usize = 4 << 40;
