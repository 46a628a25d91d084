//! Files to be written at the end, checked before the work begins.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that can be written. What it held stays until [`Output::write`]; one made for this is removed if nothing gets
/// written.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: File,
    is_new: bool,
    is_written: bool,
}

impl Output {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It is one of `others`, which are read, or written too; it cannot be written.
    pub(crate) fn reserve<'a>(path: &Path, others: impl IntoIterator<Item = Option<&'a PathBuf>>) -> Result<Self> {
        if let Some(other) = others.into_iter().flatten().find(|other| is_same_file(path, other)) {
            let reason = match path == other {
                true => "it is another file of this command; name another".into(),
                false => format!("it is {}, another file of this command; name another", other.display()),
            };
            return Err(Error::file(path, format!("cannot write: {reason}")));
        }
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| Error::io(path, "write", &error))?;
        Ok(Self { path: path.to_owned(), file, is_new, is_written: false })
    }

    /// Replaces the content of the file.
    pub(crate) fn write(mut self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let result = (|| {
            // A pipe or a device has no length to set.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            let mut out = BufWriter::new(&self.file);
            content(&mut out)?;
            out.flush()
        })();
        self.is_written = true;
        result.map_err(|error| Error::io(&self.path, "write", &error))
    }
}

/// Whether both are one file with a content: not so a terminal or a pipe.
fn is_same_file(one: &Path, other: &Path) -> bool {
    one.is_file() && matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_new && !self.is_written {
            // Nothing more can be done about a file that cannot be removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
