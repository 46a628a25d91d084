//! [`Epoch`] and [`Part`]: what can be done at the parts of others.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use super::Window;
use crate::backend::exposed::Spot;
use crate::element::{Element, ElementType};
use crate::error::{Error, ErrorKind, Result};
use crate::op::{Kernel, Op, builtin};

/// The time in which parts of others can be reached, as the closure of [`Window::fence`] and [`Window::neighbours`] has it.
/// For one thread.
pub struct Epoch<'e, T: Element> {
    window: &'e Window<T>,
    reachable: Reachable<'e>,
    one_thread: PhantomData<Cell<()>>,
}

/// Whose parts an epoch reaches.
#[derive(Clone, Copy)]
pub(super) enum Reachable<'e> {
    All,
    Only(&'e [usize]),
}

/// One rank's part, for as long as it can be reached.
///
/// Places and lengths count elements. Those outside of the part are [`InvalidArgument`](ErrorKind::InvalidArgument), and nothing
/// has happened; other errors are those of the communication.
pub struct Part<'p, T: Element> {
    window: &'p Window<T>,
    rank: usize,
    one_thread: PhantomData<&'p Cell<()>>,
}

impl<'e, T: Element> Epoch<'e, T> {
    pub(super) fn new(window: &'e Window<T>, reachable: Reachable<'e>) -> Self {
        Epoch { window, reachable, one_thread: PhantomData }
    }

    /// The part of `rank`, which may be this rank itself.
    ///
    /// # Errors
    /// [`InvalidRank`](ErrorKind::InvalidRank); in an epoch of [`Window::neighbours`],
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a rank that is none of its targets.
    pub fn part(&self, rank: usize) -> Result<Part<'_, T>> {
        if let Reachable::Only(targets) = self.reachable
            && rank < self.window.lens.len()
            && !targets.contains(&rank)
        {
            let text = format!("rank {rank} is not among the targets of this epoch");
            return Err(self.window.communicator.error("part", ErrorKind::InvalidArgument(text)));
        }
        Part::new(self.window, "part", rank)
    }
}

impl<'p, T: Element> Part<'p, T> {
    pub(super) fn new(window: &'p Window<T>, operation: &'static str, rank: usize) -> Result<Self> {
        let size = window.lens.len();
        if rank >= size {
            return Err(window.communicator.error(operation, ErrorKind::InvalidRank { rank, size }));
        }
        Ok(Part { window, rank, one_thread: PhantomData })
    }

    /// The rank whose part it is.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Its elements.
    pub fn len(&self) -> usize {
        self.window.lens[self.rank]
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `data` from the element `at` on. The slice may be reused at once; the elements are there after a
    /// [`flush`](Part::flush).
    ///
    /// # Errors
    /// See [`Part`].
    pub fn put(&self, at: usize, data: &[T]) -> Result<()> {
        let Some(spot) = self.spot("put", at, data.len())? else { return Ok(()) };
        // SAFETY: inside the part; the slice is borrowed for the call.
        let done = unsafe { self.window.exposed().put(spot, data.as_ptr().cast(), size_of_val(data)) };
        done.map_err(|e| self.window.failed_at(self.rank, e))
    }

    /// Reads the elements from `at` on into `buffer`.
    ///
    /// # Errors
    /// See [`Part`].
    pub fn get(&self, at: usize, buffer: &mut [T]) -> Result<()> {
        let Some(spot) = self.spot("get", at, buffer.len())? else { return Ok(()) };
        // SAFETY: inside the part; the slice is borrowed exclusively for the call.
        let done = unsafe { self.window.exposed().get(spot, buffer.as_mut_ptr().cast(), size_of_val(buffer)) };
        done.map_err(|e| self.window.failed_at(self.rank, e))
    }

    /// Combines `data` into the elements from `at` on, each of them atomically: what is there comes first. Done after a
    /// [`flush`](Part::flush).
    ///
    /// Any operator but [`Op::Average`], on the types it is for. What a library cannot combine (16-bit floats, located values,
    /// small integers in some) is fetched, combined here and put back while others are kept away, which is slower.
    ///
    /// # Errors
    /// See [`Part`]; [`UndefinedOp`](ErrorKind::UndefinedOp).
    pub fn accumulate(&self, at: usize, data: &[T], op: Op) -> Result<()> {
        self.combine("accumulate", at, data, op, std::ptr::null_mut())
    }

    /// [`Part::accumulate`] that also reads what was there before into `before`.
    ///
    /// # Errors
    /// See [`Part::accumulate`]; a `before` of another length.
    pub fn get_accumulate(&self, at: usize, data: &[T], op: Op, before: &mut [T]) -> Result<()> {
        if before.len() != data.len() {
            let text = format!("{} elements are combined, and {} wait for what was before", data.len(), before.len());
            return Err(self.locate(Error::new("get_accumulate", ErrorKind::InvalidArgument(text))));
        }
        self.combine("get_accumulate", at, data, op, before.as_mut_ptr())
    }

    /// Combines `value` into the element `at`, atomically: what was there before.
    ///
    /// # Errors
    /// See [`Part::accumulate`].
    pub fn fetch_and_op(&self, at: usize, value: T, op: Op) -> Result<T> {
        let mut before = T::zeroed();
        self.combine("fetch_and_op", at, &[value], op, &mut before)?;
        Ok(before)
    }

    /// Writes `new` to the element `at` if that has the very bytes of `expected`, atomically: what was there before.
    ///
    /// # Errors
    /// See [`Part`].
    pub fn compare_and_swap(&self, at: usize, expected: T, new: T) -> Result<T> {
        let Some(spot) = self.spot("compare_and_swap", at, 1)? else { return Ok(new) };
        let mut before = T::zeroed();
        // SAFETY: inside the part; three elements of this call.
        let done = unsafe {
            let (expected, new) = (std::ptr::from_ref(&expected).cast(), std::ptr::from_ref(&new).cast());
            self.window.exposed().compare_and_swap(spot, expected, new, std::ptr::from_mut(&mut before).cast())
        };
        done.map_err(|e| self.window.failed_at(self.rank, e))?;
        Ok(before)
    }

    /// Returns when all that this rank has put and accumulated here is done.
    ///
    /// # Errors
    /// Those of the communication.
    pub fn flush(&self) -> Result<()> {
        self.window.exposed().flush(self.rank).map_err(|e| self.window.failed_at(self.rank, e))
    }

    /// `before` is null, or for as many elements as `data`.
    fn combine(&self, operation: &'static str, at: usize, data: &[T], op: Op, before: *mut T) -> Result<()> {
        let kernel = kernel::<T>(operation, op).map_err(|e| self.locate(e))?;
        let Some(spot) = self.spot(operation, at, data.len())? else { return Ok(()) };
        // SAFETY: inside the part; the slice is borrowed for the call, and so is `before`, by our callers.
        let done = unsafe {
            let from = data.as_ptr().cast();
            self.window.exposed().accumulate(spot, from, data.len(), &kernel, before.cast())
        };
        done.map_err(|e| self.window.failed_at(self.rank, e))
    }

    /// Where `len` elements from `at` on are; none if there is nothing to do.
    fn spot(&self, operation: &'static str, at: usize, len: usize) -> Result<Option<Spot>> {
        if at.checked_add(len).is_none_or(|end| end > self.len()) {
            let text = format!("{len} elements from {at} on are not in a part of {} elements", self.len());
            return Err(self.locate(Error::new(operation, ErrorKind::InvalidArgument(text))));
        }
        let nothing = len == 0 || size_of::<T>() == 0;
        Ok((!nothing).then(|| Spot { rank: self.rank, offset: at * size_of::<T>() }))
    }

    #[cold]
    fn locate(&self, error: Error) -> Error {
        self.window.communicator.locate(error.with_peer(self.rank))
    }
}

/// The operator on elements of the window's type.
fn kernel<T: Element>(operation: &'static str, op: Op) -> Result<Kernel<'static>> {
    let element = ElementType::of::<T>();
    let undefined = |text| Error::new(operation, ErrorKind::UndefinedOp(text));
    if op == Op::Average {
        let text = "an average divides by a number of ranks, which a window does not know; accumulate the sum";
        return Err(undefined(text.to_owned()));
    }
    builtin(op, element).ok_or_else(|| undefined(format!("operator {op} is not defined for {element}")))
}

impl<T: Element> fmt::Debug for Epoch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch(of {:?})", self.window)
    }
}

impl<T: Element> fmt::Debug for Part<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part(of rank {}, {} elements)", self.rank, self.len())
    }
}
