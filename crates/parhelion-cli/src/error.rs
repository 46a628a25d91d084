//! The one way to fail, and how ranks fail together.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parhelion::{Communicator, Op};

use crate::text::TextError;

/// A result whose error is [`Error`].
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A place in a file that is wrong.
    #[error("{}:{line}: {reason}", path.display())]
    Line { path: PathBuf, line: u64, reason: String },
    /// A file as a whole.
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Input(String),
    /// The ranks could not talk.
    #[error(transparent)]
    Communication(#[from] parhelion::Error),
    /// Rank 0 has said what is wrong.
    #[error("rank 0 has said why")]
    AlreadySaid,
}

impl Error {
    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// An error of reading or writing, as `cannot read: No such file or directory`.
    pub(crate) fn io(path: &Path, verb: &str, error: &io::Error) -> Self {
        Self::file(path, format!("cannot {verb}: {}", in_words(error)))
    }

    pub(crate) fn text(path: &Path, error: TextError) -> Self {
        match error {
            TextError::Wrong { line, reason } => Self::Line { path: path.to_owned(), line, reason },
            TextError::Io(error) => Self::io(path, "read", &error),
        }
    }

    /// Says it on stderr. Where that is closed, the exit code still tells.
    pub(crate) fn print(&self) {
        let _ = writeln!(io::stderr(), "error: {}", self.one_line());
    }

    /// The message on one line, whatever names and texts it carries; a list of a deadlock keeps its lines.
    pub(crate) fn one_line(&self) -> String {
        let text = self.to_string();
        if matches!(self, Self::Communication(_)) {
            return text;
        }
        text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
    }
}

/// An error of the system, without the number in `(os error 2)`, which helps nobody.
pub(crate) fn in_words(error: &io::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find(" (os error").unwrap_or(text.len()));
    text
}

/// Makes the failure of one rank the failure of all, so that none waits for one that gave up.
///
/// Collective. Rank 0 prints the lowest failing rank's message before any rank returns: launchers end all processes when
/// one of them fails, and the message must be out by then.
///
/// # Errors
/// [`Error::AlreadySaid`] if any rank failed; what communication meets. A `mine` that is itself a failure of communication
/// is returned at once, as there is no point in talking about it.
pub(crate) fn agree<T>(world: &Communicator, mine: Result<T>) -> Result<T> {
    if let Err(Error::Communication(_)) = mine {
        return mine;
    }
    let (rank, size) = (world.rank() as u64, world.size() as u64);
    let mut first = [if mine.is_err() { rank } else { size }];
    world.all_reduce_in_place(&mut first, Op::Min)?;
    if first[0] == size {
        return mine;
    }
    let message = mine.err().map(|error| error.to_string().into_bytes());
    let message = world.broadcast_vec(message, first[0] as usize)?;
    if world.rank() == 0 {
        Error::Input(String::from_utf8_lossy(&message).into_owned()).print();
    }
    world.barrier()?;
    Err(Error::AlreadySaid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let error = Error::file(Path::new("a\nb"), "cannot\tread");
        assert_eq!(error.one_line(), r"a\nb: cannot\tread");
    }

    #[test]
    fn a_missing_file_is_named_without_numbers() {
        let missing = std::fs::File::open("/nowhere").unwrap_err();
        assert_eq!(
            Error::io(Path::new("/nowhere"), "read", &missing).to_string(),
            "/nowhere: cannot read: No such file or directory"
        );
    }
}
