//! Collectives: every rank of the communicator calls the same one, in the same order (MPI chapter 6).
//!
//! *Blocks* lie behind each other in rank order. The plain forms have blocks of one length; the `v` forms have one count
//! per rank. Forms that return a vector allocate it, and where a rank cannot know a length they exchange the lengths
//! first; the `_into` forms do exactly one collective on buffers that are there. The `i` forms (`nonblocking`) own their
//! buffers.
//!
//! Ranks that disagree (another collective, length, type, root or operator) all get
//! [`Mismatch`](crate::ErrorKind::Mismatch): always on the local backend, with
//! [`Config::checks`](crate::Config::checks) elsewhere. So do the others where one rank's call is refused for its own
//! arguments, and that rank hears why.
//!
//! A reduction gives every rank the same bits, except that under MPI `Min` and `Max` of floating point may leave different ones
//! of NaN and of zeros of both signs; in which order a sum's terms are taken, which decides how it rounds,
//! [`Op`](crate::Op)'s module says.

mod blocking;
mod nonblocking;

pub use crate::backend::messages::choice::{Algorithm, CHOICES, Choice};
use crate::backend::{Collective, CollectiveKind, Counts};
use crate::communicator::Communicator;
use crate::element::{Element, ElementType};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Kernel;

/// A block of `data`, as a send part.
fn one<T>(data: &[T]) -> (*const u8, Counts<'static>) {
    (data.as_ptr().cast(), Counts::Same(data.len()))
}

/// A block of `data`, as a receive part.
fn one_mut<T>(data: &mut [T]) -> (*mut u8, Counts<'static>) {
    (data.as_mut_ptr().cast(), Counts::Same(data.len()))
}

const NO_SEND: (*const u8, Counts<'static>) = (std::ptr::null(), Counts::Same(0));
const NO_RECV: (*mut u8, Counts<'static>) = (std::ptr::null_mut(), Counts::Same(0));

/// The parts of a call, before they are checked.
struct Parts<'a> {
    root: usize,
    varying: bool,
    send: (*const u8, Counts<'a>),
    recv: (*mut u8, Counts<'a>),
    kernel: Option<Kernel<'a>>,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Parts { root: 0, varying: false, send: NO_SEND, recv: NO_RECV, kernel: None }
    }
}

impl<'a> Parts<'a> {
    fn call<T: Element>(self, kind: CollectiveKind) -> Collective<'a> {
        Collective {
            kind,
            element: ElementType::of::<T>(),
            root: self.root,
            varying: self.varying,
            send: self.send.0,
            send_counts: self.send.1,
            recv: self.recv.0,
            recv_counts: self.recv.1,
            kernel: self.kernel,
            refused: false,
        }
    }
}

/// A call whose arguments are being looked at, and how the other ranks hear of it if it is refused.
#[derive(Clone, Copy)]
struct Asked {
    kind: CollectiveKind,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    Blocking,
    InFlight,
    /// They know, since they were told by another collective.
    Known,
}

const fn blocking(kind: CollectiveKind) -> Asked {
    Asked { kind, form: Form::Blocking }
}

const fn in_flight(kind: CollectiveKind) -> Asked {
    Asked { kind, form: Form::InFlight }
}

const fn known(kind: CollectiveKind) -> Asked {
    Asked { kind, form: Form::Known }
}

impl Communicator {
    /// Refuses a call. Where the calls of all ranks are compared this rank takes part all the same, so that the others hear
    /// of it and do not wait: it may have been the only one.
    #[cold]
    fn refuse(&self, asked: Asked, error: Error) -> Error {
        let error = self.locate(error);
        if self.transport().compares_calls() {
            let call = Collective::refused(asked.kind);
            // What became of the others is theirs to say; this rank's answer is known.
            match asked.form {
                // SAFETY: the call has no parts.
                Form::Blocking => drop(unsafe { self.transport().collective(&call) }),
                // SAFETY: as above.
                Form::InFlight => drop(unsafe { self.transport().start_collective(&call) }.map(|pending| {
                    pending.abandon(Box::new(()));
                })),
                Form::Known => {}
            }
        }
        error
    }

    #[cold]
    fn invalid<T>(&self, asked: Asked, text: String) -> Result<T> {
        Err(self.refuse(asked, Error::new(asked.kind.name(), ErrorKind::InvalidArgument(text))))
    }

    fn check_root(&self, asked: Asked, root: usize) -> Result<()> {
        if root < self.size() {
            return Ok(());
        }
        let kind = ErrorKind::InvalidRoot { root, size: self.size() };
        Err(self.refuse(asked, Error::new(asked.kind.name(), kind)))
    }

    #[inline]
    fn check_equal(&self, asked: Asked, what: &str, have: usize, want: usize) -> Result<()> {
        if have == want {
            return Ok(());
        }
        self.unequal(asked, what, have, want)
    }

    #[cold]
    #[inline(never)]
    fn unequal(&self, asked: Asked, what: &str, have: usize, want: usize) -> Result<()> {
        self.invalid(asked, format!("{what} has {have} elements, it needs {want}"))
    }

    /// The length of one block when `len` elements are one block per rank.
    fn block(&self, asked: Asked, len: usize) -> Result<usize> {
        if len.is_multiple_of(self.size()) {
            return Ok(len / self.size());
        }
        self.invalid(asked, format!("{len} elements are not equal blocks for {} ranks; use the v form", self.size()))
    }

    fn check_counts(&self, asked: Asked, what: &str, counts: &[usize], len: usize) -> Result<()> {
        if counts.len() != self.size() {
            return self
                .invalid(asked, format!("{what} has {} counts, one per rank makes {}", counts.len(), self.size()));
        }
        let total = counts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
        if total == Some(len) {
            return Ok(());
        }
        let total = total.map_or_else(|| "more than usize::MAX".to_owned(), |n| n.to_string());
        self.invalid(asked, format!("the counts of {what} add up to {total}, its buffer has {len} elements"))
    }
}
