//! Counts beyond an `int`.
//!
//! Messages move as `MPI_BYTE`. One of more than [`i32::MAX`] bytes uses the library's `_c` function where there is one,
//! and otherwise one element of a derived datatype of that many bytes (Hammond et al., *To INT_MAX... and beyond!*, 2014).
//! Collectives are cut in pieces or replaced (see `native`).
//!
//! `PARHELION_MPI_MAX_COUNT` lowers the limit, so that tests reach these paths with small data. It must be the same on
//! every rank.

use std::ffi::c_int;

use mpi_abi::{Count, Datatype, Library, Status as RawStatus};

use super::runtime::Runtime;
use crate::error::{Error, ErrorKind, Result};

/// The largest count passed as an `int`.
pub(super) fn max_count() -> Result<usize> {
    const VARIABLE: &str = "PARHELION_MPI_MAX_COUNT";
    match std::env::var(VARIABLE) {
        Ok(value) if !value.is_empty() => match value.parse::<usize>() {
            Ok(n) if n > 0 => Ok(n.min(i32::MAX as usize)),
            _ => {
                let text = format!("{VARIABLE}={value}: give a count, 1 or more");
                Err(Error::new("config", ErrorKind::Config(text)))
            }
        },
        _ => Ok(i32::MAX as usize),
    }
}

/// How a number of bytes is put to MPI.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    /// As that many `MPI_BYTE`.
    Bytes(c_int),
    /// As that many `MPI_BYTE`, to a `_c` function.
    Large(Count),
    /// As one element of a type made for it, which [`Span::release`] frees.
    Derived(Datatype),
}

impl Span {
    pub(super) fn new(runtime: &Runtime, bytes: usize) -> Result<Self, mpi_abi::Error> {
        if bytes > runtime.max_count && runtime.large_counts {
            return Ok(Span::Large(bytes as Count));
        }
        Self::of_int(runtime, bytes)
    }

    /// One that an `int` function takes.
    pub(super) fn of_int(runtime: &Runtime, bytes: usize) -> Result<Self, mpi_abi::Error> {
        if bytes <= runtime.max_count {
            Ok(Span::Bytes(bytes as c_int))
        } else {
            derived(runtime.library, bytes, runtime.max_count).map(Span::Derived)
        }
    }

    /// The arguments of the `int` function.
    pub(super) fn arguments(self, library: &Library) -> (c_int, Datatype) {
        match self {
            Span::Bytes(count) => (count, library.constants().byte),
            Span::Derived(datatype) => (1, datatype),
            Span::Large(_) => unreachable!("large counts go to the _c function"),
        }
    }

    /// Frees the type, which MPI keeps for the operations that use it (MPI section 5.1.9).
    pub(super) fn release(self, library: &Library) {
        if let Span::Derived(mut datatype) = self {
            // SAFETY: made by `derived`, freed once; a turn is held by whoever made it. A failure leaks a type.
            let _ = unsafe { library.type_free(&mut datatype) };
        }
    }
}

/// A committed type of `bytes` bytes: chunks of `chunk` bytes, and the rest behind them.
fn derived(library: &Library, bytes: usize, chunk: usize) -> Result<Datatype, mpi_abi::Error> {
    let c = library.constants();
    let (chunks, rest) = (bytes / chunk, bytes % chunk);
    let chunks = c_int::try_from(chunks).expect("2^62 bytes are more than there is memory");
    let mut temporary = [Datatype::UNSET; 2];
    let mut whole = Datatype::UNSET;
    // SAFETY: MPI is active; the arrays have the two elements that the calls are told of.
    unsafe {
        library.type_contiguous(chunk as c_int, c.byte, &mut temporary[0])?;
        library.type_contiguous(chunks, temporary[0], &mut temporary[1])?;
        let mut types = mpi_abi::DatatypeArray::from_slice(library, &[temporary[1], c.byte]);
        let lengths = [1, rest as c_int];
        let places = [0, (chunks as usize * chunk) as mpi_abi::Aint];
        library.type_create_struct(2, lengths.as_ptr(), places.as_ptr(), types.as_mut_ptr(), &mut whole)?;
        library.type_commit(&mut whole)?;
        for datatype in &mut temporary {
            library.type_free(datatype)?;
        }
    }
    Ok(whole)
}

/// The length of the message of a status, in bytes.
#[inline(always)]
pub(super) fn message_bytes(library: &Library, status: &RawStatus) -> Result<usize, mpi_abi::Error> {
    match library.status_bytes(status) {
        Some(bytes) => Ok(bytes as usize),
        None => asked_bytes(library, status),
    }
}

#[inline(never)]
fn asked_bytes(library: &Library, status: &RawStatus) -> Result<usize, mpi_abi::Error> {
    let byte = library.constants().byte;
    let mut count: c_int = 0;
    // SAFETY: the status came from a completed call.
    unsafe { library.get_count(status, byte, &mut count) }?;
    if count >= 0 {
        return Ok(count as usize);
    }
    // MPI_UNDEFINED: more than an int holds.
    let mut count: Count = 0;
    // SAFETY: as above.
    unsafe { library.get_elements_x(status, byte, &mut count) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}
