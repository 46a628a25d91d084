//! [`Member`]: where a rank can be reached.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;

use sha2::{Digest, Sha256};

/// Where a rank can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) tcp: SocketAddr,
    /// The name of its Unix socket, and the host on which the name is good.
    pub(crate) unix: Option<(HostId, UnixName)>,
}

/// A running system and a network namespace of it: where abstract names mean one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HostId([u8; 32]);

/// The abstract name of a Unix socket: gone with the socket, whatever becomes of the process, and with no file to leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnixName([u8; 16]);

impl HostId {
    /// Of this process; none where there are no abstract names.
    pub(crate) fn here() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let space = std::fs::read_link("/proc/self/ns/net").ok()?.into_os_string().into_vec();
        Some(HostId(Sha256::new().chain_update(boot.trim()).chain_update(space).finalize().into()))
    }
}

impl UnixName {
    /// A name that nobody has.
    pub(crate) fn new() -> Self {
        let mut name = [0; 16];
        getrandom::fill(&mut name).expect("the system has random numbers");
        UnixName(name)
    }

    /// As a path of a socket address.
    pub(crate) fn path(&self) -> OsString {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        OsString::from(format!("\0parhelion-{hex}"))
    }
}
