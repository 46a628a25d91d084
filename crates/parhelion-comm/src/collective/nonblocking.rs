//! The non-blocking collectives. Each owns its buffers and gives its result from [`Request::wait`]; all ranks take part,
//! and the order of the calls on a communicator is the same at every rank. They are matched among themselves: a blocking
//! collective on one rank never meets a non-blocking one on another. Errors of arguments come at the call, all others
//! from the wait. Dropping the request does not withdraw this rank: the collective still completes for the others.

use super::{Asked, Parts, in_flight, one, one_mut};
use crate::backend::{Collective, CollectiveKind as Kind, Counts};
use crate::communicator::{Communicator, span};
use crate::element::Element;
use crate::error::Result;
use crate::op::{Kernel, Reduction};
use crate::request::Request;
use std::sync::Arc;

/// An operator on the heap, so that its kernel stays valid while the request moves.
struct Owned<R> {
    reduction: Arc<R>,
    kernel: Kernel<'static>,
}

impl<R> Owned<R> {
    fn new<T: Element>(reduction: R) -> Result<Self>
    where
        R: Reduction<T> + 'static,
    {
        let reduction = Arc::new(reduction);
        // SAFETY: the kernel points into the Arc, which the request's finish closure keeps until the operation is over.
        let kernel = unsafe { reduction.kernel()?.forget_lifetime() };
        Ok(Owned { reduction, kernel })
    }
}

/// Counts on the heap, lent for as long as their owner lives.
fn lend(counts: &[usize]) -> Counts<'static> {
    // SAFETY: every caller moves the owner of `counts` into the request, which keeps it until the operation is over.
    Counts::Each(unsafe { std::slice::from_raw_parts(counts.as_ptr(), counts.len()) })
}

impl Communicator {
    /// Starts a call whose parts, counts and kernel lie on the heap, owned by `finish`.
    fn start<R: Send + 'static>(
        &self,
        call: Collective<'static>,
        finish: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Request<R>> {
        span!(self, "start_collective", kind = call.kind.name());
        // SAFETY: every caller in this file moves all buffers into `finish`, which the request keeps until the operation
        // has completed; heap blocks do not move with their owners.
        let pending = unsafe { self.transport().start_collective(&call) }.map_err(|e| self.locate(e))?;
        Ok(Request::new(self.clone(), pending, move |_| Ok(finish())))
    }

    /// Non-blocking [`barrier`](Communicator::barrier).
    ///
    /// # Errors
    /// What the backend reports.
    pub fn ibarrier(&self) -> Result<Request<()>> {
        self.start(Parts::default().call::<u8>(Kind::Barrier), || ())
    }

    /// Non-blocking [`broadcast`](Communicator::broadcast): every rank passes a vector of one length.
    ///
    /// # Errors
    /// An invalid root; what the backend reports.
    pub fn ibroadcast<T: Element>(&self, mut data: Vec<T>, root: usize) -> Result<Request<Vec<T>>> {
        self.check_root(in_flight(Kind::Broadcast), root)?;
        let parts = Parts { root, recv: one_mut(&mut data), ..Parts::default() };
        self.start(parts.call::<T>(Kind::Broadcast), move || data)
    }

    /// Non-blocking [`reduce`](Communicator::reduce).
    ///
    /// # Errors
    /// An invalid root, an operator not defined for `T`; what the backend reports.
    pub fn ireduce<T: Element>(
        &self,
        data: Vec<T>,
        op: impl Reduction<T> + 'static,
        root: usize,
    ) -> Result<Request<Option<Vec<T>>>> {
        self.check_root(in_flight(Kind::Reduce), root)?;
        let op = Owned::new::<T>(op).map_err(|e| self.refuse(in_flight(Kind::Reduce), e))?;
        let mut result = (self.rank() == root).then(|| bytemuck::allocation::zeroed_vec(data.len()));
        let mut parts = Parts { root, send: one(&data), kernel: Some(op.kernel), ..Parts::default() };
        if let Some(result) = &mut result {
            parts.recv = one_mut(result);
        }
        self.start(parts.call::<T>(Kind::Reduce), move || {
            drop((data, op.reduction));
            result
        })
    }

    /// Non-blocking [`all_reduce`](Communicator::all_reduce).
    ///
    /// # Errors
    /// An operator not defined for `T`; what the backend reports.
    pub fn iall_reduce<T: Element>(&self, data: Vec<T>, op: impl Reduction<T> + 'static) -> Result<Request<Vec<T>>> {
        self.istart_scan(Kind::AllReduce, data, op)
    }

    /// Non-blocking [`scan`](Communicator::scan).
    ///
    /// # Errors
    /// An operator not defined for `T`; what the backend reports.
    pub fn iscan<T: Element>(&self, data: Vec<T>, op: impl Reduction<T> + 'static) -> Result<Request<Vec<T>>> {
        self.istart_scan(Kind::Scan, data, op)
    }

    /// Non-blocking [`exclusive_scan`](Communicator::exclusive_scan); rank 0 gets zeros.
    ///
    /// # Errors
    /// An operator not defined for `T`; what the backend reports.
    pub fn iexclusive_scan<T: Element>(
        &self,
        data: Vec<T>,
        op: impl Reduction<T> + 'static,
    ) -> Result<Request<Vec<T>>> {
        self.istart_scan(Kind::ExclusiveScan, data, op)
    }

    fn istart_scan<T: Element>(
        &self,
        kind: Kind,
        data: Vec<T>,
        op: impl Reduction<T> + 'static,
    ) -> Result<Request<Vec<T>>> {
        let op = Owned::new::<T>(op).map_err(|e| self.refuse(in_flight(kind), e))?;
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        let parts = Parts { send: one(&data), recv: one_mut(&mut result), kernel: Some(op.kernel), ..Parts::default() };
        self.start(parts.call::<T>(kind), move || {
            drop((data, op.reduction));
            result
        })
    }

    /// Non-blocking [`gather`](Communicator::gather).
    ///
    /// # Errors
    /// An invalid root; what the backend reports.
    pub fn igather<T: Element>(&self, data: Vec<T>, root: usize) -> Result<Request<Option<Vec<T>>>> {
        self.check_root(in_flight(Kind::Gather), root)?;
        let block = data.len();
        let mut result = (self.rank() == root).then(|| bytemuck::allocation::zeroed_vec::<T>(block * self.size()));
        let mut parts = Parts { root, send: one(&data), ..Parts::default() };
        if let Some(result) = &mut result {
            parts.recv = (result.as_mut_ptr().cast(), Counts::Same(block));
        }
        self.start(parts.call::<T>(Kind::Gather), move || {
            drop(data);
            result
        })
    }

    /// Non-blocking [`gatherv_into`](Communicator::gatherv_into): the root passes the counts and gets the elements.
    ///
    /// # Errors
    /// An invalid root, a root without one count per rank; what the backend reports.
    pub fn igatherv<T: Element>(
        &self,
        data: Vec<T>,
        counts: Option<Vec<usize>>,
        root: usize,
    ) -> Result<Request<Option<Vec<T>>>> {
        self.check_root(in_flight(Kind::Gather), root)?;
        let mut parts = Parts { root, varying: true, send: one(&data), ..Parts::default() };
        let mut result = None;
        if self.rank() == root {
            let Some(counts) = &counts else {
                return self.invalid(in_flight(Kind::Gather), "the root must pass the counts".into());
            };
            let total = self.total(in_flight(Kind::Gather), counts)?;
            let buffer: &mut Vec<T> = result.insert(bytemuck::allocation::zeroed_vec(total));
            parts.recv = (buffer.as_mut_ptr().cast(), lend(counts));
        }
        self.start(parts.call::<T>(Kind::Gather), move || {
            drop((data, counts));
            result
        })
    }

    /// Non-blocking [`all_gather`](Communicator::all_gather).
    ///
    /// # Errors
    /// What the backend reports.
    pub fn iall_gather<T: Element>(&self, data: Vec<T>) -> Result<Request<Vec<T>>> {
        let mut result: Vec<T> = bytemuck::allocation::zeroed_vec(data.len() * self.size());
        let recv = (result.as_mut_ptr().cast(), Counts::Same(data.len()));
        let parts = Parts { send: one(&data), recv, ..Parts::default() };
        self.start(parts.call::<T>(Kind::AllGather), move || {
            drop(data);
            result
        })
    }

    /// Non-blocking [`all_gatherv_into`](Communicator::all_gatherv_into): every rank passes the counts of all.
    ///
    /// # Errors
    /// Not one count per rank; what the backend reports.
    pub fn iall_gatherv<T: Element>(&self, data: Vec<T>, counts: Vec<usize>) -> Result<Request<Vec<T>>> {
        let mut result: Vec<T> = bytemuck::allocation::zeroed_vec(self.total(in_flight(Kind::AllGather), &counts)?);
        let recv = (result.as_mut_ptr().cast(), lend(&counts));
        let parts = Parts { varying: true, send: one(&data), recv, ..Parts::default() };
        self.start(parts.call::<T>(Kind::AllGather), move || {
            drop((data, counts));
            result
        })
    }

    /// Non-blocking [`scatter_into`](Communicator::scatter_into): every rank passes the length of one block.
    ///
    /// # Errors
    /// An invalid root, a root without data or whose length does not fit; what the backend reports.
    pub fn iscatter<T: Element>(&self, data: Option<Vec<T>>, block: usize, root: usize) -> Result<Request<Vec<T>>> {
        self.check_root(in_flight(Kind::Scatter), root)?;
        let mut result = bytemuck::allocation::zeroed_vec(block);
        let mut parts = Parts { root, recv: one_mut(&mut result), ..Parts::default() };
        if self.rank() == root {
            let Some(data) = &data else {
                return self.invalid(in_flight(Kind::Scatter), "the root must pass the data".into());
            };
            self.check_equal(in_flight(Kind::Scatter), "the data", data.len(), block * self.size())?;
            parts.send = (data.as_ptr().cast(), Counts::Same(block));
        }
        self.start(parts.call::<T>(Kind::Scatter), move || {
            drop(data);
            result
        })
    }

    /// Non-blocking [`scatterv_into`](Communicator::scatterv_into): every rank passes the length of its block, the root the
    /// data and the counts.
    ///
    /// # Errors
    /// As [`Communicator::iscatter`].
    pub fn iscatterv<T: Element>(
        &self,
        data: Option<(Vec<T>, Vec<usize>)>,
        block: usize,
        root: usize,
    ) -> Result<Request<Vec<T>>> {
        self.check_root(in_flight(Kind::Scatter), root)?;
        let mut result = bytemuck::allocation::zeroed_vec(block);
        let mut parts = Parts { root, varying: true, recv: one_mut(&mut result), ..Parts::default() };
        if self.rank() == root {
            let Some((data, counts)) = &data else {
                return self.invalid(in_flight(Kind::Scatter), "the root must pass the data".into());
            };
            self.check_counts(in_flight(Kind::Scatter), "the data", counts, data.len())?;
            parts.send = (data.as_ptr().cast(), lend(counts));
        }
        self.start(parts.call::<T>(Kind::Scatter), move || {
            drop(data);
            result
        })
    }

    /// Non-blocking [`all_to_all`](Communicator::all_to_all).
    ///
    /// # Errors
    /// A length that is not `size` equal blocks; what the backend reports.
    pub fn iall_to_all<T: Element>(&self, data: Vec<T>) -> Result<Request<Vec<T>>> {
        let block = Counts::Same(self.block(in_flight(Kind::AllToAll), data.len())?);
        let mut result: Vec<T> = bytemuck::allocation::zeroed_vec(data.len());
        let parts = Parts {
            send: (data.as_ptr().cast(), block),
            recv: (result.as_mut_ptr().cast(), block),
            ..Parts::default()
        };
        self.start(parts.call::<T>(Kind::AllToAll), move || {
            drop(data);
            result
        })
    }

    /// Non-blocking [`all_to_allv_into`](Communicator::all_to_allv_into): every rank knows what it gets.
    ///
    /// # Errors
    /// Counts that do not add up to the length of `data`; what the backend reports.
    pub fn iall_to_allv<T: Element>(
        &self,
        data: Vec<T>,
        counts: Vec<usize>,
        result_counts: Vec<usize>,
    ) -> Result<Request<Vec<T>>> {
        self.check_counts(in_flight(Kind::AllToAll), "the data", &counts, data.len())?;
        let mut result: Vec<T> =
            bytemuck::allocation::zeroed_vec(self.total(in_flight(Kind::AllToAll), &result_counts)?);
        let parts = Parts {
            varying: true,
            send: (data.as_ptr().cast(), lend(&counts)),
            recv: (result.as_mut_ptr().cast(), lend(&result_counts)),
            ..Parts::default()
        };
        self.start(parts.call::<T>(Kind::AllToAll), move || {
            drop((data, counts, result_counts));
            result
        })
    }

    /// Non-blocking [`reduce_scatter`](Communicator::reduce_scatter).
    ///
    /// # Errors
    /// Counts that do not add up to the length of `data`, an operator not defined for `T`; what the backend reports.
    pub fn ireduce_scatter<T: Element>(
        &self,
        data: Vec<T>,
        counts: Vec<usize>,
        op: impl Reduction<T> + 'static,
    ) -> Result<Request<Vec<T>>> {
        self.check_counts(in_flight(Kind::ReduceScatter), "the data", &counts, data.len())?;
        let op = Owned::new::<T>(op).map_err(|e| self.refuse(in_flight(Kind::ReduceScatter), e))?;
        let mut result = bytemuck::allocation::zeroed_vec(counts[self.rank()]);
        let parts = Parts {
            varying: true,
            send: (data.as_ptr().cast(), lend(&counts)),
            recv: one_mut(&mut result),
            kernel: Some(op.kernel),
            ..Parts::default()
        };
        self.start(parts.call::<T>(Kind::ReduceScatter), move || {
            drop((data, counts, op.reduction));
            result
        })
    }

    fn total(&self, asked: Asked, counts: &[usize]) -> Result<usize> {
        let total = counts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
        self.check_counts(asked, "the result", counts, total.unwrap_or(usize::MAX))?;
        Ok(total.expect("check_counts refuses a sum that overflows"))
    }
}
