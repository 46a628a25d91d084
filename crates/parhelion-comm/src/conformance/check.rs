//! How a case fails: [`Halt`] says where in the suite, what was expected and what came.

use std::fmt::{Debug, Display, Write};
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::element::Element;
use crate::error::{Error, ErrorKind};

/// What a case answers on each rank.
pub type Outcome = Result<(), Halt>;

/// Why a case ended early on this rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Something was not as it must be: the place in the suite, what was expected, what came.
    Failed(String),
    /// It cannot be tried here, for this reason.
    Skipped(String),
}

impl Halt {
    /// A failure at the caller's line.
    #[track_caller]
    #[cold]
    pub(super) fn failed(text: impl Display) -> Self {
        let at = Location::caller();
        let file = at.file().rsplit(['/', '\\']).next().unwrap_or_default();
        Halt::Failed(format!("{file}:{}: {text}", at.line()))
    }
}

impl From<Error> for Halt {
    // `?` passes its own line on.
    #[track_caller]
    fn from(error: Error) -> Self {
        Halt::failed(format_args!("unexpected error: {error}"))
    }
}

/// Ends the case unless the condition holds.
#[track_caller]
pub fn ensure(holds: bool, text: impl Display) -> Outcome {
    if holds { Ok(()) } else { Err(Halt::failed(text)) }
}

/// Ends the case unless both are equal.
#[track_caller]
pub fn equal<T: PartialEq + Debug>(what: impl Display, got: T, want: T) -> Outcome {
    if got == want {
        return Ok(());
    }
    Err(Halt::failed(format_args!("{what}: expected {want:?}, got {got:?}")))
}

/// Ends the case unless both hold the same bytes; names the first difference.
#[track_caller]
pub fn same<T: Element>(what: impl Display, got: &[T], want: &[T]) -> Outcome {
    if got.len() != want.len() {
        return Err(Halt::failed(format_args!("{what}: expected {} elements, got {}", want.len(), got.len())));
    }
    if size_of::<T>() == 0 || bytemuck::cast_slice::<T, u8>(got) == bytemuck::cast_slice::<T, u8>(want) {
        return Ok(());
    }
    let differs = |&i: &usize| bytemuck::bytes_of(&got[i]) != bytemuck::bytes_of(&want[i]);
    let first = (0..got.len()).find(differs).expect("some element differs");
    let total = (0..got.len()).filter(differs).count();
    Err(Halt::failed(format_args!(
        "{what}: {total} of {} elements differ, first [{first}]: expected bytes {}, got {}",
        got.len(),
        hex(&want[first]),
        hex(&got[first])
    )))
}

fn hex<T: Element>(element: &T) -> String {
    let mut text = String::new();
    for byte in bytemuck::bytes_of(element).iter().take(32) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Ends the case unless the call was refused with the expected kind of error; gives that error.
#[track_caller]
pub fn refused<T>(
    what: impl Display,
    result: Result<T, Error>,
    expected: &str,
    is: impl Fn(&ErrorKind) -> bool,
) -> Result<Error, Halt> {
    match result {
        Err(error) if is(error.kind()) => Ok(error),
        Err(error) => Err(Halt::failed(format_args!("{what}: expected {expected}, got another error: {error}"))),
        Ok(_) => Err(Halt::failed(format_args!("{what}: expected {expected}, got no error"))),
    }
}

/// Calls `done` until it says yes; ends the case if it never does.
#[track_caller]
pub fn eventually(what: impl Display, mut done: impl FnMut() -> Result<bool, Error>) -> Outcome {
    const LIMIT: Duration = Duration::from_secs(20);
    let start = Instant::now();
    loop {
        match done() {
            Ok(true) => return Ok(()),
            Ok(false) if start.elapsed() > LIMIT => {
                return Err(Halt::failed(format_args!("{what}: did not happen within {LIMIT:?}")));
            }
            Ok(false) => std::thread::yield_now(),
            Err(error) => return Err(Halt::failed(format_args!("{what}: unexpected error: {error}"))),
        }
    }
}
