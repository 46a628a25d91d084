//! Statuses: bytes in the library's own layout, read by offset.
//!
//! `MPI_Status` is 20 bytes in mpich, 24 in openmpi, 32 in mpi5, and its three public fields lie elsewhere in each. Where a
//! family's `mpi.h` also fixes where the length of the message lies, [`Library::status_bytes`] reads it without a call. In mpi5
//! the place is the library's own affair; [`Library::find_lengths`] looks for it in statuses whose length is known.

use std::ffi::c_int;

use crate::{Count, Error, Family, Library};

/// One `MPI_Status`, opaque: room for any family's. Read it with [`Library::status`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status([u64; 4]);

impl Status {
    /// A status to hand to a call.
    pub const EMPTY: Self = Self([0; 4]);

    #[inline(always)]
    fn ints(&self) -> [c_int; 8] {
        // SAFETY: 32 bytes of plain integers either way.
        unsafe { std::mem::transmute::<[u64; 4], [c_int; 8]>(self.0) }
    }
}

/// The public fields of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusFields {
    /// `MPI_SOURCE`: the sender's rank, or the library's `any_source` or `proc_null`.
    pub source: c_int,
    /// `MPI_TAG`.
    pub tag: c_int,
    /// `MPI_ERROR`: an error code, set only by the calls that complete several requests.
    pub error: c_int,
}

/// Where the fields lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) stride: usize,
    source: usize,
    tag: usize,
    error: usize,
}

impl Layout {
    pub(crate) const fn of(family: Family) -> Self {
        match family {
            Family::Mpich => Self { stride: 20, source: 8, tag: 12, error: 16 },
            Family::OpenMpi => Self { stride: 24, source: 0, tag: 4, error: 8 },
            Family::Mpi5 => Self { stride: 32, source: 0, tag: 4, error: 8 },
        }
    }

    #[inline(always)]
    fn read(self, status: &Status) -> StatusFields {
        let ints = status.ints();
        // The offsets are below 32; the mask says so to the compiler.
        let at = |offset: usize| ints[offset / 4 % 8];
        StatusFields { source: at(self.source), tag: at(self.tag), error: at(self.error) }
    }
}

/// Where a status holds the length of its message in bytes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As 64 bits, in the word of this number: openmpi.
    Whole(usize),
    /// The low 32 bits in the int of this number, the others above the lowest bit of the next: mpich.
    Split(usize),
    /// Only the library knows.
    Unknown,
}

impl Length {
    /// Lengths that tell apart where they lie, within and beyond an int.
    const PROBES: [u64; 4] = [1, 0x7654_3210, 5 << 30, 0x0123_4567_89ab_cdef];

    #[inline(always)]
    fn read(self, status: &Status) -> Option<u64> {
        match self {
            Length::Whole(word) => Some(status.0[word % 4]),
            Length::Split(int) => {
                let ints = status.ints();
                let (low, high) = (ints[int % 8] as u32, ints[(int + 1) % 8] as u32);
                Some(u64::from(low) | u64::from(high >> 1) << 32)
            }
            Length::Unknown => None,
        }
    }

    /// The first that finds every length in the status that `of` makes of it, behind the public fields of mpi5.
    fn find<E>(of: impl Fn(u64) -> Result<Status, E>) -> Result<Self, E> {
        let mut statuses = [Status::EMPTY; Self::PROBES.len()];
        for (status, bytes) in statuses.iter_mut().zip(Self::PROBES) {
            *status = of(bytes)?;
        }
        let mut known = (3..7).map(Length::Split).chain((2..4).map(Length::Whole));
        let finds = |length: &Length| {
            statuses.iter().zip(Self::PROBES).all(|(status, bytes)| length.read(status) == Some(bytes))
        };
        Ok(known.find(finds).unwrap_or(Length::Unknown))
    }
}

impl Library {
    /// Looks for where statuses of mpi5 hold the length of their message, for [`Library::status_bytes`]: in statuses to which
    /// `MPI_Status_set_elements_x` gave one (MPI section 3.2.5 makes `MPI_Get_count` tell it from the status alone). Does nothing in
    /// other families, or a second time. Local.
    ///
    /// # Errors
    /// What the library's call reports.
    ///
    /// # Safety
    /// MPI is active, and the calling thread may call it.
    pub unsafe fn find_lengths(&self) -> Result<(), Error> {
        if self.family() == Family::Mpi5 && self.length.get().is_none() {
            let found = Length::find(|bytes| {
                let mut status = Status::EMPTY;
                // SAFETY: the caller's promise; the status is this function's own.
                unsafe { self.status_set_elements_x(&mut status, self.constants.byte, bytes as Count) }?;
                Ok::<_, Error>(status)
            })?;
            let _ = self.length.set(found);
        }
        Ok(())
    }

    /// The public fields of `status`.
    #[inline]
    #[must_use]
    pub fn status(&self, status: &Status) -> StatusFields {
        // One constant layout in each arm: a handful of instructions on the way of every receive.
        match self.family() {
            Family::Mpich => const { Layout::of(Family::Mpich) }.read(status),
            Family::OpenMpi => const { Layout::of(Family::OpenMpi) }.read(status),
            Family::Mpi5 => const { Layout::of(Family::Mpi5) }.read(status),
        }
    }

    /// The length of the message of `status` in bytes, where the family's `mpi.h` fixes its place: `_ucount` in openmpi;
    /// `count_lo` and, above its lowest bit, `count_hi_and_cancelled` in mpich. In mpi5 only if
    /// [`find_lengths`](Library::find_lengths) has found it. `None`: ask [`get_count`](Library::get_count).
    #[inline]
    #[must_use]
    pub fn status_bytes(&self, status: &Status) -> Option<u64> {
        match self.family() {
            Family::OpenMpi => Length::Whole(2).read(status),
            Family::Mpich => Length::Split(0).read(status),
            Family::Mpi5 => self.length.get()?.read(status),
        }
    }

    /// `MPI_SOURCE` of `status`.
    #[inline]
    #[must_use]
    pub fn status_source(&self, status: &Status) -> c_int {
        self.status(status).source
    }

    /// `MPI_TAG` of `status`.
    #[inline]
    #[must_use]
    pub fn status_tag(&self, status: &Status) -> c_int {
        self.status(status).tag
    }

    /// `MPI_ERROR` of `status`.
    #[inline]
    #[must_use]
    pub fn status_error(&self, status: &Status) -> c_int {
        self.status(status).error
    }
}

/// An array of statuses with the library's own stride.
#[derive(Debug)]
pub struct StatusArray {
    words: Vec<u64>,
    layout: Layout,
    len: usize,
}

impl StatusArray {
    /// Room for `len` statuses of `library`.
    #[must_use]
    pub fn new(library: &Library, len: usize) -> Self {
        Self::for_family(library.family(), len)
    }

    pub(crate) fn for_family(family: Family, len: usize) -> Self {
        let layout = Layout::of(family);
        Self { words: vec![0; (len * layout.stride).div_ceil(8)], layout, len }
    }

    /// How many statuses there is room for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is room for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a call takes. With the mpich family the statuses after the first are closer than `size_of::<Status>()`:
    /// hand it to MPI, do not index it.
    pub fn as_mut_ptr(&mut self) -> *mut Status {
        self.words.as_mut_ptr().cast()
    }

    /// A copy of the status at `index`, for calls such as `get_count`. Panics past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Status {
        assert!(index < self.len, "status {index} of {}", self.len);
        let mut status = Status::EMPTY;
        let start = index * self.layout.stride;
        // SAFETY: `words` holds len * stride bytes, index < len, and stride <= 32 = size_of::<Status>().
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.words.as_ptr().cast::<u8>().add(start),
                (&raw mut status).cast::<u8>(),
                self.layout.stride,
            );
        }
        status
    }

    /// The public fields of the status at `index`. Panics past the end.
    #[must_use]
    pub fn fields(&self, index: usize) -> StatusFields {
        self.layout.read(&self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_at_every_index_in_every_family() {
        for family in [Family::Mpich, Family::OpenMpi, Family::Mpi5] {
            let mut array = StatusArray::for_family(family, 3);
            let layout = Layout::of(family);
            for i in 0..3 {
                for (offset, value) in [(layout.source, 10), (layout.tag, 20), (layout.error, 30)] {
                    let at = i * layout.stride + offset;
                    // SAFETY: the field lies inside status i, and is aligned to 4 because stride and offset are.
                    unsafe { *array.as_mut_ptr().cast::<u8>().add(at).cast::<c_int>() = value + i as c_int };
                }
            }
            for i in 0..3 {
                let n = i as c_int;
                assert_eq!(array.fields(i), StatusFields { source: 10 + n, tag: 20 + n, error: 30 + n });
            }
        }
    }

    /// A status with `bytes` kept as `length` says, and other words that look like one.
    fn with_length(length: Length, bytes: u64) -> Status {
        let mut ints = Status([!0, 7, 1 << 40, 0]).ints().map(|int| int as u32);
        let (low, high) = (bytes as u32, (bytes >> 32) as u32);
        let (at, second) = match length {
            Length::Whole(word) => (2 * word, high),
            // The lowest bit tells of something else.
            Length::Split(int) => (int, high << 1 | 1),
            Length::Unknown => (3, !high),
        };
        (ints[at], ints[at + 1]) = (low, second);
        let word = |i: usize| u64::from(ints[2 * i]) | u64::from(ints[2 * i + 1]) << 32;
        Status([word(0), word(1), word(2), word(3)])
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_length_is_found_where_it_lies_or_not_at_all() {
        let everywhere = [3, 4, 5, 6].map(Length::Split).into_iter().chain([2, 3].map(Length::Whole));
        for length in everywhere.chain([Length::Unknown]) {
            assert_eq!(Length::find(|bytes| Ok::<_, ()>(with_length(length, bytes))), Ok(length));
        }
        let low = |bytes: u64| with_length(Length::Split(3), bytes & 0xffff_ffff);
        assert_eq!(Length::find(|bytes| Ok::<_, ()>(low(bytes))), Ok(Length::Unknown), "lengths of 32 bits");
        assert_eq!(Length::find(|_| Err("failed")), Err("failed"));
    }

    #[test]
    #[should_panic(expected = "status 2 of 2")]
    fn reading_past_the_end_panics() {
        let _ = StatusArray::for_family(Family::OpenMpi, 2).get(2);
    }
}
