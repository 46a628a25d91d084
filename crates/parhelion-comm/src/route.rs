//! [`Route`]: what carries the messages of one rank to another.

use std::fmt;

/// What carries messages to a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// It is this rank: they are copied.
    Itself,
    /// Memory that both ranks have.
    SharedMemory,
    /// A Unix-domain socket.
    UnixSocket,
    /// A TCP connection.
    Tcp,
    /// Whatever the MPI library takes.
    Library,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Route::Itself => "itself",
            Route::SharedMemory => "shared memory",
            Route::UnixSocket => "unix socket",
            Route::Tcp => "tcp",
            Route::Library => "library",
        })
    }
}
