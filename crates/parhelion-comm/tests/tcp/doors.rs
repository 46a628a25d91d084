//! The doors of running ranks: where they are, found from outside, and knocking there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longer than a rank takes for an answer; a stranger that gets none goes on.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Door {
    Tcp(SocketAddr),
    /// An abstract name.
    Unix(Vec<u8>),
}

/// A connection to a door.
pub(crate) enum Knock {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The doors of the process `pid` (or `self`): its listening sockets, but for the one at which ranks meet.
pub(crate) fn doors(pid: &str) -> Vec<Door> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inodes: HashSet<String> = links
        .filter_map(|link| {
            let target = fs::read_link(link.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let meeting = environment.split(|byte| *byte == 0).find_map(|v| v.strip_prefix(b"PARHELION_RENDEZVOUS="));
    let meeting = String::from_utf8_lossy(meeting.unwrap_or_default()).into_owned();
    let mut doors = Vec::new();
    for line in fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Local address, state (0A: listens), inode.
        let [Some(at), Some(&"0A"), Some(inode)] = [fields.get(1), fields.get(3), fields.get(9)] else { continue };
        if let Some(port) = at.split_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok())
            && inodes.contains(*inode)
            && !meeting.ends_with(&format!(":{port}"))
        {
            doors.push(Door::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
    }
    for line in fs::read_to_string("/proc/net/unix").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Flags (00010000: listens), inode, name.
        let [Some(&"00010000"), Some(inode), Some(name)] = [fields.get(3), fields.get(6), fields.get(7)] else {
            continue;
        };
        if let Some(name) = name.strip_prefix('@')
            && inodes.contains(*inode)
        {
            doors.push(Door::Unix(name.as_bytes().to_vec()));
        }
    }
    doors
}

impl Door {
    pub(crate) fn knock(&self) -> io::Result<Knock> {
        let knock = match self {
            Door::Tcp(at) => Knock::Tcp(TcpStream::connect_timeout(at, PATIENCE)?),
            Door::Unix(name) => {
                let at = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                Knock::Unix(UnixStream::connect_addr(&at)?)
            }
        };
        match &knock {
            Knock::Tcp(stream) => stream.set_read_timeout(Some(PATIENCE))?,
            Knock::Unix(stream) => stream.set_read_timeout(Some(PATIENCE))?,
        }
        Ok(knock)
    }
}
