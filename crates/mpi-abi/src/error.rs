//! The one error type: [`Error`] is a pointer to an [`ErrorKind`], so that a call that goes well carries nothing of one that does
//! not.

use std::ffi::c_int;
use std::path::PathBuf;

use crate::{ErrorClass, Library};

/// Why something did not work: what, where, and where there is advice, what to do next.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorKind>);

/// The ways not to work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An MPI function returned an error code.
    #[error(transparent)]
    Call(CallError),

    /// The library does not have the function.
    #[error("{library} has no {function}; use a library that has it, or do without")]
    Missing {
        /// The function's name in the standard.
        function: &'static str,
        /// The library's name, version and path.
        library: &'static str,
    },

    /// A shared object could not be loaded.
    #[error("cannot load {}: {reason}", path.display())]
    Load {
        /// What was opened.
        path: PathBuf,
        /// What the dynamic linker said.
        reason: String,
    },

    /// A shared object was loaded, and is not an MPI library that this crate can speak to.
    #[error("{} is not a usable MPI library: {reason}", path.display())]
    NotMpi {
        /// What was opened.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// No MPI library was found.
    #[error(
        "no MPI library found ({tried}); set {variable} to the path of one, start the program with an MPI's mpiexec, \
         or install one (`pip install mpich` in an active virtual environment will do)"
    )]
    NotFound {
        /// Where was looked, in order, and what was wrong there.
        tried: String,
        /// The environment variable that names a library.
        variable: &'static str,
    },

    /// The program was started by the launcher of another MPI than the library found.
    #[error("{launcher} started this process, but the MPI library is {library}: {consequence}; {advice}")]
    LauncherMismatch {
        /// The launcher, in words.
        launcher: String,
        /// The library's name, version and path.
        library: &'static str,
        /// What would happen if MPI were initialised all the same.
        consequence: &'static str,
        /// What to do.
        advice: String,
    },

    /// The launcher started another number of processes than `MPI_COMM_WORLD` holds.
    #[error(
        "{launcher} started {expected} processes, but {library} sees a world of {actual}: its library and its launcher \
         do not belong together; start the program with the mpiexec that came with the library, or set {variable}"
    )]
    SizeMismatch {
        /// The launcher, in words.
        launcher: String,
        /// The library's name, version and path.
        library: &'static str,
        /// How many processes the launcher says it started.
        expected: usize,
        /// The size of `MPI_COMM_WORLD`.
        actual: usize,
        /// The environment variable that names a library.
        variable: &'static str,
    },

    /// MPI was finalised in this process, which is for good.
    #[error("{library} was already finalised in this process; MPI can be initialised only once per process")]
    Finalized {
        /// The library's name, version and path.
        library: &'static str,
    },

    /// MPI is not active: not initialised yet, or finalised already.
    #[error("{what} needs an active MPI, and {library} is not initialised or already finalised")]
    NotActive {
        /// What was asked for.
        what: &'static str,
        /// The library's name, version and path.
        library: &'static str,
    },

    /// All slots for user-defined operations are taken.
    #[error("all {limit} user-defined MPI operations are in use; drop one before making another")]
    NoFreeOp {
        /// How many there can be at a time.
        limit: usize,
    },
}

/// An error that an MPI function returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{function} failed in {library}: {text} ({class}, code {code})")]
pub struct CallError {
    /// The function's name in the standard.
    pub function: &'static str,
    /// The library's name, version and path.
    pub library: &'static str,
    /// The error code that came back.
    pub code: c_int,
    /// What kind of error it is.
    pub class: ErrorClass,
    /// The library's own text.
    pub text: String,
}

impl From<ErrorKind> for Error {
    #[cold]
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl Error {
    /// What did not work.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// The MPI error class, when an MPI function failed.
    #[must_use]
    pub fn class(&self) -> Option<ErrorClass> {
        self.call().map(|call| call.class)
    }

    /// The library's error code, when an MPI function failed.
    #[must_use]
    pub fn code(&self) -> Option<c_int> {
        self.call().map(|call| call.code)
    }

    /// The failed call, when an MPI function failed.
    #[must_use]
    pub fn call(&self) -> Option<&CallError> {
        match self.kind() {
            ErrorKind::Call(call) => Some(call),
            _ => None,
        }
    }
}

impl Library {
    /// What the library says of an error code, a status's `MPI_ERROR` for example: class and text.
    ///
    /// Asks the library only while MPI is active; before and after, the class is `Unlisted(code)`.
    #[must_use]
    pub fn describe_error(&self, code: c_int) -> (ErrorClass, String) {
        if !self.is_active() {
            return (ErrorClass::Unlisted(code), "no text: MPI is not active".to_owned());
        }
        let mut number: c_int = 0;
        let mut bytes = vec![0u8; self.constants().max_error_string as usize + 1];
        let mut length: c_int = 0;
        // SAFETY: MPI is active; the places are valid, and `bytes` has room for MPI_MAX_ERROR_STRING and a NUL.
        // The raw results are looked at instead of `?`: an error about an error code must not come back here.
        unsafe {
            let classified = self.raw_error_class(code, &mut number);
            let described = self.raw_error_string(code, bytes.as_mut_ptr().cast(), &mut length);
            let class = if classified == 0 {
                ErrorClass::from_number(self.family(), number)
            } else {
                ErrorClass::Unlisted(code)
            };
            let text = if described == 0 {
                bytes.truncate(length.clamp(0, bytes.len() as c_int) as usize);
                String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
            } else {
                String::from("the library has no text for it")
            };
            (class, text)
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn call_error(&self, function: &'static str, code: c_int) -> Error {
        let (class, text) = self.describe_error(code);
        ErrorKind::Call(CallError { function, library: self.name(), code, class, text }).into()
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn missing(&self, function: &'static str) -> Error {
        ErrorKind::Missing { function, library: self.name() }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_next() {
        let missing: Error =
            ErrorKind::Missing { function: "MPI_Send_c", library: "Open MPI 5.0.11 (/x/libmpi.so.40)" }.into();
        assert_eq!(
            missing.to_string(),
            "Open MPI 5.0.11 (/x/libmpi.so.40) has no MPI_Send_c; use a library that has it, or do without"
        );
        assert!(missing.class().is_none() && missing.code().is_none());
        let call: Error = ErrorKind::Call(CallError {
            function: "MPI_Recv",
            library: "MPICH 4.3.2 (/x/libmpi.so.12)",
            code: 14,
            class: ErrorClass::Truncate,
            text: "Message truncated".into(),
        })
        .into();
        assert_eq!(
            call.to_string(),
            "MPI_Recv failed in MPICH 4.3.2 (/x/libmpi.so.12): Message truncated (MPI_ERR_TRUNCATE, code 14)"
        );
        assert_eq!((call.class(), call.code()), (Some(ErrorClass::Truncate), Some(14)));
    }

    #[test]
    fn a_result_without_error_is_a_null_pointer() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }
}
