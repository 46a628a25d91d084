//! From the library's errors to ours.

use mpi_abi::{ErrorClass, Library, Status as RawStatus};

use crate::error::{Error, ErrorKind};
use crate::status::{Source, Status, TagSelector};

/// An error of a call that concerns no single peer.
#[cold]
pub(super) fn error(operation: &'static str, error: mpi_abi::Error) -> Error {
    let kind = match error.kind() {
        mpi_abi::ErrorKind::Call(call) => ErrorKind::Library(text(call)),
        mpi_abi::ErrorKind::Missing { .. } => ErrorKind::Unsupported(error.to_string()),
        _ => ErrorKind::Unavailable(error.to_string()),
    };
    Error::new(operation, kind)
}

/// An error of a message: `capacity` is that of a receive, and `status` what it filled in.
///
/// A lost peer is known only where the library reports one (`MPIX_ERR_PROC_FAILED`); most abort the program instead.
#[cold]
pub(super) fn message_error(
    operation: &'static str,
    error: mpi_abi::Error,
    library: &Library,
    source: Source,
    tag: TagSelector,
    capacity: usize,
    status: &RawStatus,
) -> Error {
    let kind = match (error.class(), source) {
        (Some(ErrorClass::Truncate), _) => {
            // Libraries differ in whether the status counts the message or the part that fitted.
            let known = super::count::message_bytes(library, status).unwrap_or(0);
            ErrorKind::Truncated { sent: known.max(capacity + 1), capacity }
        }
        (
            Some(
                ErrorClass::ProcFailed | ErrorClass::ProcFailedPending | ErrorClass::Revoked | ErrorClass::ProcAborted,
            ),
            Source::Rank(rank),
        ) => ErrorKind::PeerLost { rank, how: "failed, as the MPI library reports" },
        _ => return locate(self::error(operation, error), source, tag),
    };
    locate(Error::new(operation, kind), source, tag)
}

#[cold]
pub(super) fn locate(mut error: Error, source: Source, tag: TagSelector) -> Error {
    if let Source::Rank(rank) = source {
        error = error.with_peer(rank);
    }
    if let TagSelector::Tag(tag) = tag {
        error = error.with_tag(tag);
    }
    error
}

/// The library's own text; its name is short, and its path is for where it is chosen.
fn text(call: &mpi_abi::CallError) -> String {
    format!("{} failed: {} ({})", call.function, call.text.trim(), call.class)
}

/// What a status says, in our terms.
#[inline]
pub(super) fn status(library: &Library, raw: &RawStatus) -> Result<Status, mpi_abi::Error> {
    let fields = library.status(raw);
    Ok(Status {
        source: fields.source as usize,
        tag: fields.tag as u32,
        bytes: super::count::message_bytes(library, raw)?,
    })
}
