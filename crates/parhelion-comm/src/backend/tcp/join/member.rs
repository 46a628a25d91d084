//! [`Member`]: where a rank can be reached. The roster is one for every rank.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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

impl Member {
    /// Bytes of a member on the wire: family, address, port, whether there is a Unix socket, its host and name.
    pub(super) const BYTES: usize = 1 + 16 + 2 + 1 + 32 + 16;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        match self.tcp.ip() {
            IpAddr::V4(ip) => {
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes[0] = 6;
                bytes[1..17].copy_from_slice(&ip.octets());
            }
        }
        bytes[17..19].copy_from_slice(&self.tcp.port().to_le_bytes());
        if let Some((host, name)) = &self.unix {
            bytes[19] = 1;
            bytes[20..52].copy_from_slice(&host.0);
            bytes[52..].copy_from_slice(&name.0);
        }
        bytes
    }

    /// None for whatever [`Self::encode`] does not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let ip = match bytes[0] {
            4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[1..5]).expect("4 bytes"))),
            6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[1..17]).expect("16 bytes"))),
            _ => return None,
        };
        let tcp = SocketAddr::new(ip, u16::from_le_bytes([bytes[17], bytes[18]]));
        let unix = (bytes[19] != 0).then(|| {
            let host = bytes[20..52].try_into().expect("32 bytes");
            (HostId(host), UnixName(bytes[52..].try_into().expect("16 bytes")))
        });
        Some(Member { tcp, unix }).filter(|member| member.encode() == *bytes)
    }
}
