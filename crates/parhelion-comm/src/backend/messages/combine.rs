//! Reductions as messages of a lane, for operators that MPI does not know: closures, located values, 16-bit floats.
//!
//! Elements are combined in rank order, and all ranks get one rank's combination, or each makes the same one, so that all
//! have the same bits. The operator runs on memory of the job alone.
//!
//! An operator may panic. In steps, the rank then goes on with a *poisoned* part, which every rank downstream passes on instead
//! of data, so that nobody waits for it; the panic goes on when the job is done, and the others get an error that names
//! the rank.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::choice::{Algorithm, choose};
use super::exchange;
use super::place::{Place, Scratch};
use super::{Call, Fault, Lane, Outcome, all};
use crate::backend::{CollectiveKind as Kind, Counts};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Kernel;

/// A vector on its way, or the rank whose operator panicked.
#[derive(Clone)]
pub(super) enum Part {
    Data(Arc<Scratch>),
    Poison(usize),
}

/// The bytes by which a poisoned part is longer than data: a rank.
const MARK: usize = 8;

pub(super) struct Combine<'a, L> {
    pub(super) lane: &'a L,
    pub(super) kernel: Kernel<'static>,
    /// Elements in the vector.
    pub(super) count: usize,
    /// Bytes in it.
    bytes: usize,
    // A mutex, so that a shared reference may be held where the job waits.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The inputs of one reduction that are collected at once in [`flat`].
pub(crate) const FLAT_BYTES: usize = 64 << 20;

/// Whether [`flat`] is for this call, as every rank can tell.
pub(crate) fn is_flat<L: Lane>(lane: &L, call: &Call) -> bool {
    let bytes = input_count(lane, call).saturating_mul(call.element.size);
    bytes.saturating_mul(lane.size()) <= FLAT_BYTES
}

/// Elements of this rank's input.
fn input_count<L: Lane>(lane: &L, call: &Call) -> usize {
    let counts = if call.send.is_null() { call.recv_counts } else { call.send_counts };
    match (call.kind, counts) {
        (Kind::ReduceScatter, Counts::Same(block)) => block * lane.size(),
        (_, Counts::Same(count)) => count,
        (_, Counts::Each(counts)) => counts.iter().sum(),
    }
}

/// Carries out the reduction `call` in one step: every rank gets all inputs that its result needs, and combines them
/// itself, in the same order as all others. Its parts are valid until the job is done.
pub(crate) async fn flat<L: Lane>(lane: &L, call: &Call) -> Outcome {
    let kernel = call.kernel.expect("a reduction has an operator");
    let (rank, size) = (lane.rank(), lane.size());
    let width = kernel.element.size;
    let count = input_count(lane, call);
    let input = if call.send.is_null() { call.recv } else { call.send.cast_mut() };
    // SAFETY: the parts are valid until the job is done; the input is only read.
    let input = unsafe { Place::borrowed(input, count * width) };
    // Which elements of its input a rank's result is made of, and from which ranks it needs them.
    let block = |r: usize| match (call.kind, call.send_counts) {
        (Kind::ReduceScatter, Counts::Same(block)) => (block * r, block),
        (Kind::ReduceScatter, Counts::Each(counts)) => (counts[..r].iter().sum(), counts[r]),
        _ => (0, count),
    };
    let needs = |dest: usize, source: usize| match call.kind {
        Kind::Reduce => dest == call.root,
        Kind::Scan => source <= dest,
        Kind::ExclusiveScan => source < dest,
        _ => true,
    };
    let (start, len) = block(rank);
    let mut combine = Combine::new(lane, kernel, len);
    let own = input.part(start * width, len * width);
    let mut inputs: Vec<Option<Arc<Scratch>>> =
        (0..size).map(|source| needs(rank, source).then(|| combine.empty())).collect();
    let incoming: Vec<Option<Place>> =
        inputs.iter().map(|scratch| scratch.as_ref().map(|s| Place::owned(s, len * width))).collect();
    let outgoing: Vec<Option<Place>> = (0..size)
        .map(|dest| {
            let (start, len) = block(dest);
            (needs(dest, rank) && dest != rank).then(|| input.part(start * width, len * width))
        })
        .collect();
    if let Some(mine) = &incoming[rank] {
        mine.copy_from(&own);
    }
    exchange::swap(lane, &outgoing, &incoming).await?;

    let mut inputs = inputs.iter_mut().filter_map(|input| input.take()).map(Part::Data);
    let Some(mut acc) = inputs.next() else { return Ok(()) };
    for next in inputs {
        acc = combine.fold(acc, next);
    }
    if let Part::Data(data) = &acc {
        let ranks = match call.kind {
            Kind::Scan => rank + 1,
            Kind::ExclusiveScan => rank,
            _ => size,
        };
        combine.finish(data, ranks);
    }
    // SAFETY: as above.
    let result = unsafe { Place::borrowed(call.recv, len * width) };
    let poisoned = acc.deliver(&result, 0);
    combine.conclude(poisoned)
}

/// Carries out the reduction `call` by the algorithm of its size ([`choose`]). Its parts are valid until the job is
/// done or dropped, and are touched only at its beginning and its end.
pub(crate) async fn in_steps<L: Lane>(lane: &L, call: &Call) -> Outcome {
    let kernel = call.kernel.expect("a reduction has an operator");
    let (rank, size) = (lane.rank(), lane.size());
    let input = if call.send.is_null() { call.recv.cast_const() } else { call.send };
    let count = input_count(lane, call);
    let bytes = count * kernel.element.size;
    let mut combine = Combine::new(lane, kernel, count);
    // SAFETY: the caller's input is valid for the call's counts; read before anything is awaited on it.
    let mine = unsafe { combine.copy(input) };
    let result_count = match call.recv_counts {
        Counts::Same(count) => count,
        Counts::Each(counts) => counts.iter().sum(),
    };
    // SAFETY: as above, for the receive part; where there is none, its count is 0.
    let result = unsafe { Place::borrowed(call.recv, result_count * kernel.element.size) };

    let poisoned = match call.kind {
        Kind::Reduce => {
            let mut whole = combine.fold_all(mine).await?;
            if let Some(Part::Data(data)) = &whole {
                combine.finish(data, size);
            }
            if call.root != 0 && rank == 0 {
                let part = whole.take().expect("rank 0 has the whole");
                combine.send(part, call.root)?.await?;
            } else if call.root != 0 && rank == call.root {
                whole = Some(combine.recv(0).await?);
            }
            match whole {
                Some(part) if rank == call.root => part.deliver(&result, 0),
                _ => None,
            }
        }
        Kind::AllReduce => {
            let whole = match choose(Kind::AllReduce, size, bytes, kernel.in_any_order()) {
                Algorithm::RecursiveDoubling => combine.recursive_doubling(mine).await?,
                Algorithm::Rabenseifner => combine.rabenseifner(mine).await?,
                Algorithm::Ring => combine.around_the_ring(mine).await?,
                _ => {
                    let mut whole = combine.fold_all(mine).await?;
                    combine.spread(&mut whole).await?
                }
            };
            if let Part::Data(data) = &whole {
                combine.finish(data, size);
            }
            whole.deliver(&result, 0)
        }
        Kind::Scan => {
            let before = if rank > 0 { Some(combine.recv(rank - 1).await?) } else { None };
            let with_mine = match before {
                Some(before) => combine.fold(before, mine),
                None => mine,
            };
            combine.pass_on(with_mine.clone()).await?;
            if let Part::Data(data) = &with_mine {
                combine.finish(data, rank + 1);
            }
            with_mine.deliver(&result, 0)
        }
        Kind::ExclusiveScan => {
            if rank == 0 {
                combine.pass_on(mine).await?;
                None
            } else {
                let before = combine.recv(rank - 1).await?;
                if rank + 1 < size {
                    let kept = combine.duplicate(&before);
                    let with_mine = combine.fold(kept, mine);
                    combine.pass_on(with_mine).await?;
                }
                if let Part::Data(data) = &before {
                    combine.finish(data, rank);
                }
                before.deliver(&result, 0)
            }
        }
        Kind::ReduceScatter => {
            let mut whole = combine.fold_all(mine).await?;
            if let Some(Part::Data(data)) = &whole {
                combine.finish(data, size);
            }
            let block = |r: usize| {
                let (start, len) = match call.send_counts {
                    Counts::Same(block) => (block * r, block),
                    Counts::Each(counts) => (counts[..r].iter().sum(), counts[r]),
                };
                (start * kernel.element.size, len * kernel.element.size)
            };
            let (start, len) = block(rank);
            let mine = match whole.take() {
                Some(whole) => {
                    let mut sends = Vec::new();
                    for r in 1..size {
                        let (start, len) = block(r);
                        sends.push(combine.send_piece(&whole, start, len, r)?);
                    }
                    all(sends).await?;
                    return combine.conclude(whole.deliver(&result, start));
                }
                None => combine.recv_piece(len, 0).await?,
            };
            mine.deliver(&result, 0)
        }
        _ => unreachable!("{} is no reduction", call.kind.name()),
    };
    combine.conclude(poisoned)
}

impl Part {
    /// Copies the bytes from `start` on to `to`; or says who poisoned it.
    pub(super) fn deliver(&self, to: &Place, start: usize) -> Option<usize> {
        match self {
            Part::Data(data) => {
                to.copy_from(&Place::owned(data, start + to.len).part(start, to.len));
                None
            }
            Part::Poison(rank) => Some(*rank),
        }
    }
}

impl<'a, L: Lane> Combine<'a, L> {
    pub(super) fn new(lane: &'a L, kernel: Kernel<'static>, count: usize) -> Self {
        Combine { lane, kernel, count, bytes: count * kernel.element.size, panic: Mutex::default() }
    }

    /// # Safety
    /// `from` is readable for the vector's bytes.
    pub(super) unsafe fn copy(&self, from: *const u8) -> Part {
        let data = self.empty();
        // SAFETY: the caller's promise; the scratch is as long, and new.
        unsafe { std::ptr::copy_nonoverlapping(from, data.ptr(), self.bytes) };
        Part::Data(data)
    }

    fn duplicate(&self, part: &Part) -> Part {
        match part {
            // SAFETY: a scratch of this reduction has its length.
            Part::Data(data) => unsafe { self.copy(data.ptr()) },
            Part::Poison(rank) => Part::Poison(*rank),
        }
    }

    /// Room for a vector, or for a poisoned part.
    fn empty(&self) -> Arc<Scratch> {
        Scratch::new(self.bytes + MARK, self.kernel.element.align)
    }

    /// `low ∘ high`, in the memory of `low`.
    pub(super) fn fold(&mut self, low: Part, high: Part) -> Part {
        let (acc, x) = match (low, high) {
            (Part::Data(acc), Part::Data(x)) => (acc, x),
            (Part::Poison(rank), _) | (_, Part::Poison(rank)) => return Part::Poison(rank),
        };
        // SAFETY: two vectors of this reduction, aligned, apart, and used by this rank alone.
        let folded = unsafe { self.fold_into(acc.ptr(), x.ptr(), self.count) };
        folded.map_or_else(Part::Poison, |()| Part::Data(acc))
    }

    /// Combines a range of `acc`'s elements with as many, all of `other`: in the memory of `acc`, whose stand first if
    /// `acc_is_low`.
    pub(super) fn fold_range(&mut self, acc: Part, other: Part, range: Range<usize>, acc_is_low: bool) -> Part {
        let (acc, x) = match (acc, other) {
            (Part::Data(acc), Part::Data(x)) => (acc, x),
            (Part::Poison(rank), _) | (_, Part::Poison(rank)) => return Part::Poison(rank),
        };
        let (start, count) = (range.start * self.kernel.element.size, range.len());
        // SAFETY: the range is inside the vector; apart from that as in `fold`.
        let folded = unsafe {
            let at = acc.ptr().add(start);
            let (low, high) = if acc_is_low { (at, x.ptr()) } else { (x.ptr(), at) };
            self.fold_into(low, high, count)
        };
        match folded {
            Err(rank) => Part::Poison(rank),
            Ok(()) if acc_is_low => Part::Data(acc),
            Ok(()) => self.put(Part::Data(acc), Part::Data(x), range),
        }
    }

    /// `acc` with the elements of `range` from `other`, whose only ones they are.
    pub(super) fn put(&self, acc: Part, other: Part, range: Range<usize>) -> Part {
        let (acc, x) = match (acc, other) {
            (Part::Data(acc), Part::Data(x)) => (acc, x),
            (Part::Poison(rank), _) | (_, Part::Poison(rank)) => return Part::Poison(rank),
        };
        let width = self.kernel.element.size;
        let (start, len) = (range.start * width, range.len() * width);
        Place::owned(&acc, start + len).part(start, len).copy_from(&Place::owned(&x, len));
        Part::Data(acc)
    }

    /// `low ∘ high` of `count` elements, in the memory of `low`; or this rank, whose operator has panicked.
    ///
    /// # Safety
    /// Both are of so many elements, aligned, apart, and used by this rank alone.
    unsafe fn fold_into(&mut self, low: *mut u8, high: *mut u8, count: usize) -> Result<(), usize> {
        // SAFETY: the caller's promise.
        let folded = catch_unwind(AssertUnwindSafe(|| unsafe { self.kernel.fold(low, high, count) }));
        folded.map_err(|payload| {
            self.panic.get_mut().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
            self.lane.rank()
        })
    }

    fn finish(&self, data: &Scratch, ranks: usize) {
        // SAFETY: a vector of this reduction; whole blocks of elements.
        unsafe { self.kernel.finish(data.ptr(), self.count, ranks) }
    }

    /// The combination of all ranks, at rank 0: along a binomial tree over runs of neighbouring ranks.
    async fn fold_all(&mut self, mine: Part) -> Result<Option<Part>> {
        let (rank, size) = (self.lane.rank(), self.lane.size());
        // `acc` covers the ranks `rank..rank + reach`.
        let (mut acc, mut reach) = (mine, 1);
        while reach < size {
            if rank & reach != 0 {
                self.send(acc, rank - reach)?.await?;
                return Ok(None);
            }
            if rank + reach < size {
                let next = self.recv(rank + reach).await?;
                acc = self.fold(acc, next);
            }
            reach *= 2;
        }
        Ok(Some(acc))
    }

    /// Gives every rank the part of rank 0, along a binomial tree.
    async fn spread(&self, whole: &mut Option<Part>) -> Result<Part> {
        let (rank, size) = (self.lane.rank(), self.lane.size());
        let mut bit = 1;
        while bit < size && rank & bit == 0 {
            bit *= 2;
        }
        let part = match whole.take() {
            Some(part) => part,
            None => self.recv(rank - bit).await?,
        };
        let mut sends = Vec::new();
        while bit > 1 {
            bit /= 2;
            if rank + bit < size {
                sends.push(self.send(part.clone(), rank + bit)?);
            }
        }
        all(sends).await?;
        Ok(part)
    }

    /// Sends to the next rank, where there is one.
    async fn pass_on(&self, part: Part) -> Result<()> {
        let next = self.lane.rank() + 1;
        if next < self.lane.size() {
            self.send(part, next)?.await?;
        }
        Ok(())
    }

    pub(super) fn send(&self, part: Part, dest: usize) -> Result<L::Flight> {
        self.send_piece(&part, 0, self.bytes, dest)
    }

    pub(super) fn send_piece(&self, part: &Part, start: usize, len: usize, dest: usize) -> Result<L::Flight> {
        match part {
            Part::Data(data) => self.lane.send(&Place::owned(data, start + len).part(start, len), dest),
            Part::Poison(rank) => {
                let marked = Scratch::new(len + MARK, 8);
                // SAFETY: the last 8 bytes of the scratch.
                unsafe { marked.ptr().add(len).cast::<u64>().write_unaligned(*rank as u64) };
                self.lane.send(&Place::owned(&marked, len + MARK), dest)
            }
        }
    }

    pub(super) async fn recv(&self, source: usize) -> Result<Part> {
        self.recv_piece(self.bytes, source).await
    }

    pub(super) async fn recv_piece(&self, len: usize, source: usize) -> Result<Part> {
        let data = Scratch::new(len + MARK, self.kernel.element.align);
        let got = self.lane.recv(&Place::owned(&data, len + MARK), source)?.await?;
        if got == len {
            return Ok(Part::Data(data));
        }
        if got == len + MARK {
            // SAFETY: the last 8 bytes of the scratch.
            let rank = unsafe { data.ptr().add(len).cast::<u64>().read_unaligned() };
            return Ok(Part::Poison(rank as usize));
        }
        Err(self.lane.unexpected(source, len, got))
    }

    pub(super) fn conclude(self, poisoned: Option<usize>) -> Outcome {
        match (self.panic.into_inner().unwrap_or_else(PoisonError::into_inner), poisoned) {
            (Some(payload), _) => Err(Fault::Panic(payload)),
            (None, Some(rank)) => {
                let kind = ErrorKind::PeerLost { rank, how: "panicked in the operator" };
                Err(Fault::Error(Error::new(self.lane.operation(), kind)))
            }
            (None, None) => Ok(()),
        }
    }
}
