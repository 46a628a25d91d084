//! [`Doors`]: where the other ranks knock once they know each other.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::member::{HostId, Member, UnixName};

/// How many may wait to be let in. All ranks may come at once, and so may strangers.
const BACKLOG: i32 = 4096;

/// Where the other ranks knock; both are non-blocking.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) tcp: TcpListener,
    /// None where the system has no abstract names.
    pub(crate) unix: Option<UnixListener>,
}

impl Doors {
    /// Doors at any free port of `address`, and how the others find them; `reached_at` says where if `address` is any.
    pub(super) fn open(address: IpAddr, reached_at: IpAddr) -> io::Result<(Self, Member)> {
        let tcp = listen(SocketAddr::new(address, 0))?;
        let ip = if address.is_unspecified() { reached_at } else { address };
        let mut member = Member { tcp: SocketAddr::new(ip, tcp.local_addr()?.port()), unix: None };
        let mut doors = Doors { tcp, unix: None };
        if let Some(host) = HostId::here() {
            let name = UnixName::new();
            // Without it, there is TCP.
            doors.unix = listen_unix(&name).ok();
            member.unix = doors.unix.is_some().then_some((host, name));
        }
        Ok((doors, member))
    }
}

/// A non-blocking listener at `address`.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier job that are still there do not keep the port; another listener does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn listen_unix(name: &UnixName) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(name.path())?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
