//! The blocking collectives.

use super::{Parts, blocking, known, one, one_mut};
use crate::backend::{Collective, CollectiveKind as Kind, Counts};
use crate::communicator::{Communicator, span};
use crate::element::Element;
use crate::error::Result;
use crate::op::Reduction;

impl Communicator {
    /// Carries out a call whose parts are borrowed by the caller for the duration.
    #[inline]
    fn carry_out(&self, call: Collective<'_>) -> Result<()> {
        let kind = call.kind;
        span!(self, "collective", kind = kind.name());
        // SAFETY: every caller in this file made the parts from slices that it holds borrowed during this call, receive
        // parts exclusively, and checked that the counts fit them.
        unsafe { self.transport().collective(&call) }.map_err(|e| self.locate(e))
    }

    /// Returns when every rank has called it. All ranks take part.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock, a mismatch.
    pub fn barrier(&self) -> Result<()> {
        self.carry_out(Parts::default().call::<u8>(Kind::Barrier))
    }

    /// Copies `data` of `root` into `data` of every rank. All ranks take part, with one length.
    ///
    /// # Errors
    /// An invalid root, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn broadcast<T: Element>(&self, data: &mut [T], root: usize) -> Result<()> {
        self.check_root(blocking(Kind::Broadcast), root)?;
        self.carry_out(Parts { root, recv: one_mut(data), ..Parts::default() }.call::<T>(Kind::Broadcast))
    }

    /// Gives every rank the vector of `root`, whose length only the root needs to know. The root passes `Some`.
    ///
    /// # Errors
    /// As [`Communicator::broadcast`]; a root that passes `None`.
    pub fn broadcast_vec<T: Element>(&self, data: Option<Vec<T>>, root: usize) -> Result<Vec<T>> {
        self.check_root(blocking(Kind::Broadcast), root)?;
        // The length travels first; u64::MAX says that the root had nothing, so that nobody waits for it.
        let mut length = [u64::MAX];
        if let (true, Some(data)) = (self.rank() == root, &data) {
            length[0] = data.len() as u64;
        }
        self.broadcast(&mut length, root)?;
        if length[0] == u64::MAX {
            return self.invalid(known(Kind::Broadcast), format!("the root {root} passed no data"));
        }
        let mut data = match data {
            Some(data) if self.rank() == root => data,
            _ => bytemuck::allocation::zeroed_vec(length[0] as usize),
        };
        self.broadcast(&mut data, root)?;
        Ok(data)
    }

    /// Combines `data` of all ranks, element by element, at `root`: `Some` there, `None` elsewhere. All ranks take part, with
    /// one length.
    ///
    /// # Errors
    /// An invalid root, an operator not defined for `T`, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn reduce<T: Element>(&self, data: &[T], op: impl Reduction<T>, root: usize) -> Result<Option<Vec<T>>> {
        if self.rank() != root {
            self.reduce_into(data, None, op, root)?;
            return Ok(None);
        }
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        self.reduce_into(data, Some(&mut result), op, root)?;
        Ok(Some(result))
    }

    /// [`Communicator::reduce`] into `result`, which the root passes.
    ///
    /// # Errors
    /// As [`Communicator::reduce`]; a root without `result`, or of another length.
    pub fn reduce_into<T: Element>(
        &self,
        data: &[T],
        result: Option<&mut [T]>,
        op: impl Reduction<T>,
        root: usize,
    ) -> Result<()> {
        self.check_root(blocking(Kind::Reduce), root)?;
        let kernel = Some(op.kernel().map_err(|e| self.refuse(blocking(Kind::Reduce), e))?);
        let mut parts = Parts { root, send: one(data), kernel, ..Parts::default() };
        if self.rank() == root {
            let Some(result) = result else {
                return self.invalid(blocking(Kind::Reduce), "the root must pass a result buffer".into());
            };
            self.check_equal(blocking(Kind::Reduce), "the result", result.len(), data.len())?;
            parts.recv = one_mut(result);
        }
        self.carry_out(parts.call::<T>(Kind::Reduce))
    }

    /// Combines `data` of all ranks, element by element; every rank gets the same bits. All ranks take part, with one length.
    ///
    /// ```
    /// # use parhelion_comm::Op;
    /// # parhelion_comm::run(|world| {
    /// let n = world.size() as u64;
    /// assert_eq!(world.all_reduce(&[world.rank() as u64], Op::Sum)?, [n * (n - 1) / 2]);
    /// assert_eq!(world.all_reduce(&[1u64], |a: u64, b: u64| a + b)?, [n]);
    /// # Ok(()) })?; Ok::<(), parhelion_comm::Error>(())
    /// ```
    ///
    /// # Errors
    /// An operator not defined for `T`, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn all_reduce<T: Element>(&self, data: &[T], op: impl Reduction<T>) -> Result<Vec<T>> {
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        self.all_reduce_into(data, &mut result, op)?;
        Ok(result)
    }

    /// [`Communicator::all_reduce`] into `result`, which has the length of `data`.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`]; a `result` of another length.
    pub fn all_reduce_into<T: Element>(&self, data: &[T], result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        self.check_equal(blocking(Kind::AllReduce), "the result", result.len(), data.len())?;
        self.combine(data.as_ptr(), result, op)
    }

    /// [`Communicator::all_reduce`] that replaces `data` by the result.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`].
    pub fn all_reduce_in_place<T: Element>(&self, data: &mut [T], op: impl Reduction<T>) -> Result<()> {
        self.combine(std::ptr::null(), data, op)
    }

    /// The all-reduce of as many elements at `send` as `result` has, or of those there.
    #[inline]
    fn combine<T: Element>(&self, send: *const T, result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        if self.traces() {
            return self.combine_traced(send, result, op);
        }
        self.combine_now(send, result, op)
    }

    // Apart, so that what is not traced carries nothing of it.
    #[cold]
    #[inline(never)]
    fn combine_traced<T: Element>(&self, send: *const T, result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        span!(self, "collective", kind = Kind::AllReduce.name());
        self.combine_now(send, result, op)
    }

    #[inline]
    fn combine_now<T: Element>(&self, send: *const T, result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        let kernel = op.kernel().map_err(|e| self.refuse(blocking(Kind::AllReduce), e))?;
        let (send, recv) = (send.cast(), result.as_mut_ptr().cast());
        // SAFETY: the callers hold both slices borrowed during this call, and `send` is null or as long as `result`.
        unsafe { self.transport().all_reduce(send, recv, result.len(), &kernel) }.map_err(|e| self.locate(e))
    }

    /// At each rank, the combination of `data` of ranks `0..=rank`. All ranks take part, with one length.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`].
    pub fn scan<T: Element>(&self, data: &[T], op: impl Reduction<T>) -> Result<Vec<T>> {
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        self.scan_into(data, &mut result, op)?;
        Ok(result)
    }

    /// [`Communicator::scan`] into `result`, which has the length of `data`.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce_into`].
    pub fn scan_into<T: Element>(&self, data: &[T], result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        self.scan_with(Kind::Scan, data, result, op)
    }

    /// At each rank but the first, the combination of `data` of the ranks below it; `None` at rank 0. All ranks take part,
    /// with one length.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce`]; [`Op::Average`](crate::Op::Average) divides by the number of ranks below.
    pub fn exclusive_scan<T: Element>(&self, data: &[T], op: impl Reduction<T>) -> Result<Option<Vec<T>>> {
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        self.exclusive_scan_into(data, &mut result, op)?;
        Ok((self.rank() > 0).then_some(result))
    }

    /// [`Communicator::exclusive_scan`] into `result`, which rank 0 keeps as it was.
    ///
    /// # Errors
    /// As [`Communicator::all_reduce_into`].
    pub fn exclusive_scan_into<T: Element>(&self, data: &[T], result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        self.scan_with(Kind::ExclusiveScan, data, result, op)
    }

    fn scan_with<T: Element>(&self, kind: Kind, data: &[T], result: &mut [T], op: impl Reduction<T>) -> Result<()> {
        self.check_equal(blocking(kind), "the result", result.len(), data.len())?;
        let kernel = Some(op.kernel().map_err(|e| self.refuse(blocking(kind), e))?);
        let parts = Parts { send: one(data), recv: one_mut(result), kernel, ..Parts::default() };
        self.carry_out(parts.call::<T>(kind))
    }

    /// Collects one block from every rank at `root`: `Some` there, `None` elsewhere. All ranks take part, with one length.
    ///
    /// # Errors
    /// An invalid root, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn gather<T: Element>(&self, data: &[T], root: usize) -> Result<Option<Vec<T>>> {
        if self.rank() != root {
            self.gather_into(data, None, root)?;
            return Ok(None);
        }
        let mut result = bytemuck::allocation::zeroed_vec(data.len() * self.size());
        self.gather_into(data, Some(&mut result), root)?;
        Ok(Some(result))
    }

    /// [`Communicator::gather`] into `result`, which the root passes: `size` blocks.
    ///
    /// # Errors
    /// As [`Communicator::gather`]; a root without `result`, or of another length.
    pub fn gather_into<T: Element>(&self, data: &[T], result: Option<&mut [T]>, root: usize) -> Result<()> {
        self.check_root(blocking(Kind::Gather), root)?;
        let mut parts = Parts { root, send: one(data), ..Parts::default() };
        if self.rank() == root {
            let Some(result) = result else {
                return self.invalid(blocking(Kind::Gather), "the root must pass a result buffer".into());
            };
            self.check_equal(blocking(Kind::Gather), "the result", result.len(), data.len() * self.size())?;
            parts.recv = (result.as_mut_ptr().cast(), Counts::Same(data.len()));
        }
        self.carry_out(parts.call::<T>(Kind::Gather))
    }

    /// Collects blocks of any lengths at `root`: the elements and the counts there, `None` elsewhere. All ranks take part.
    ///
    /// # Errors
    /// As [`Communicator::gather`].
    pub fn gatherv<T: Element>(&self, data: &[T], root: usize) -> Result<Option<(Vec<T>, Vec<usize>)>> {
        let Some(counts) = self.gather(&[data.len()], root)? else {
            self.gatherv_into(data, None, root)?;
            return Ok(None);
        };
        let mut result = bytemuck::allocation::zeroed_vec(counts.iter().sum());
        self.gatherv_into(data, Some((&mut result, &counts)), root)?;
        Ok(Some((result, counts)))
    }

    /// [`Communicator::gatherv`] into the buffer and counts that the root passes.
    ///
    /// # Errors
    /// As [`Communicator::gather`]; a root without a buffer, counts that do not add up to its length.
    pub fn gatherv_into<T: Element>(
        &self,
        data: &[T],
        result: Option<(&mut [T], &[usize])>,
        root: usize,
    ) -> Result<()> {
        self.check_root(blocking(Kind::Gather), root)?;
        let mut parts = Parts { root, varying: true, send: one(data), ..Parts::default() };
        if self.rank() == root {
            let Some((result, counts)) = result else {
                return self.invalid(blocking(Kind::Gather), "the root must pass a result buffer".into());
            };
            self.check_counts(blocking(Kind::Gather), "the result", counts, result.len())?;
            parts.recv = (result.as_mut_ptr().cast(), Counts::Each(counts));
        }
        self.carry_out(parts.call::<T>(Kind::Gather))
    }

    /// Collects one block from every rank at every rank. All ranks take part, with one length.
    ///
    /// # Errors
    /// A lost peer, a timeout, a deadlock, a mismatch.
    pub fn all_gather<T: Element>(&self, data: &[T]) -> Result<Vec<T>> {
        let mut result = bytemuck::allocation::zeroed_vec(data.len() * self.size());
        self.all_gather_into(data, &mut result)?;
        Ok(result)
    }

    /// [`Communicator::all_gather`] into `result`: `size` blocks.
    ///
    /// # Errors
    /// As [`Communicator::all_gather`]; a `result` of another length.
    pub fn all_gather_into<T: Element>(&self, data: &[T], result: &mut [T]) -> Result<()> {
        self.check_equal(blocking(Kind::AllGather), "the result", result.len(), data.len() * self.size())?;
        let recv = (result.as_mut_ptr().cast(), Counts::Same(data.len()));
        self.carry_out(Parts { send: one(data), recv, ..Parts::default() }.call::<T>(Kind::AllGather))
    }

    /// Collects blocks of any lengths at every rank: the elements and the counts. All ranks take part.
    ///
    /// # Errors
    /// As [`Communicator::all_gather`].
    pub fn all_gatherv<T: Element>(&self, data: &[T]) -> Result<(Vec<T>, Vec<usize>)> {
        let counts = self.all_gather(&[data.len()])?;
        let mut result = bytemuck::allocation::zeroed_vec(counts.iter().sum());
        self.all_gatherv_into(data, &mut result, &counts)?;
        Ok((result, counts))
    }

    /// [`Communicator::all_gatherv`] into `result`, with the counts of all ranks, the same at every rank.
    ///
    /// # Errors
    /// As [`Communicator::all_gather`]; counts that do not fit `data` or `result`.
    pub fn all_gatherv_into<T: Element>(&self, data: &[T], result: &mut [T], counts: &[usize]) -> Result<()> {
        self.check_counts(blocking(Kind::AllGather), "the result", counts, result.len())?;
        let recv = (result.as_mut_ptr().cast(), Counts::Each(counts));
        let parts = Parts { varying: true, send: one(data), recv, ..Parts::default() };
        self.carry_out(parts.call::<T>(Kind::AllGather))
    }

    /// Hands each rank its block of the root's `data`, which only the root passes. All ranks take part.
    ///
    /// # Errors
    /// An invalid root, a root without data or whose length is not `size` equal blocks, a lost peer, a timeout, a
    /// deadlock, a mismatch.
    pub fn scatter<T: Element>(&self, data: Option<&[T]>, root: usize) -> Result<Vec<T>> {
        self.check_root(blocking(Kind::Scatter), root)?;
        let data = if self.rank() == root { data } else { None };
        // Everybody learns of a bad root, so that nobody waits for it.
        let mut block = [match data {
            Some(data) if data.len() % self.size() == 0 => (data.len() / self.size()) as u64,
            _ => u64::MAX,
        }];
        self.broadcast(&mut block, root)?;
        if block[0] == u64::MAX {
            let text = match data {
                Some(data) => {
                    format!("{} elements are not equal blocks for {} ranks; use scatterv", data.len(), self.size())
                }
                None => format!("the root {root} passed no data, or no equal blocks"),
            };
            return self.invalid(known(Kind::Scatter), text);
        }
        let mut result = bytemuck::allocation::zeroed_vec(block[0] as usize);
        self.scatter_into(data, &mut result, root)?;
        Ok(result)
    }

    /// [`Communicator::scatter`] into `result`: one block.
    ///
    /// # Errors
    /// As [`Communicator::scatter`]; a length that does not fit.
    pub fn scatter_into<T: Element>(&self, data: Option<&[T]>, result: &mut [T], root: usize) -> Result<()> {
        self.check_root(blocking(Kind::Scatter), root)?;
        let block = result.len();
        let mut parts = Parts { root, recv: one_mut(result), ..Parts::default() };
        if self.rank() == root {
            let Some(data) = data else {
                return self.invalid(blocking(Kind::Scatter), "the root must pass the data".into());
            };
            self.check_equal(blocking(Kind::Scatter), "the data", data.len(), block * self.size())?;
            parts.send = (data.as_ptr().cast(), Counts::Same(block));
        }
        self.carry_out(parts.call::<T>(Kind::Scatter))
    }

    /// Hands each rank its block of the root's data, `counts[r]` elements to rank `r`. The root passes data and counts. All
    /// ranks take part.
    ///
    /// # Errors
    /// As [`Communicator::scatter`]; counts that do not add up to the data's length.
    pub fn scatterv<T: Element>(&self, data: Option<(&[T], &[usize])>, root: usize) -> Result<Vec<T>> {
        self.check_root(blocking(Kind::Scatter), root)?;
        let data = if self.rank() == root { data } else { None };
        let checked = match data {
            Some((data, counts)) => self.check_counts(known(Kind::Scatter), "the data", counts, data.len()),
            None => self
                .invalid(known(Kind::Scatter), format!("the root {root} passed no data, or counts that do not fit it")),
        };
        let lengths: Vec<u64> = match (&checked, data) {
            (Ok(()), Some((_, counts))) => counts.iter().map(|&n| n as u64).collect(),
            _ => vec![u64::MAX; self.size()],
        };
        let mut length = [0u64];
        self.scatter_into((self.rank() == root).then_some(&lengths[..]), &mut length, root)?;
        if length[0] == u64::MAX {
            return checked.map(|()| Vec::new());
        }
        let mut result = bytemuck::allocation::zeroed_vec(length[0] as usize);
        self.scatterv_into(data, &mut result, root)?;
        Ok(result)
    }

    /// [`Communicator::scatterv`] into `result`: this rank's block.
    ///
    /// # Errors
    /// As [`Communicator::scatterv`].
    pub fn scatterv_into<T: Element>(
        &self,
        data: Option<(&[T], &[usize])>,
        result: &mut [T],
        root: usize,
    ) -> Result<()> {
        self.check_root(blocking(Kind::Scatter), root)?;
        let mut parts = Parts { root, varying: true, recv: one_mut(result), ..Parts::default() };
        if self.rank() == root {
            let Some((data, counts)) = data else {
                return self.invalid(blocking(Kind::Scatter), "the root must pass the data".into());
            };
            self.check_counts(blocking(Kind::Scatter), "the data", counts, data.len())?;
            parts.send = (data.as_ptr().cast(), Counts::Each(counts));
        }
        self.carry_out(parts.call::<T>(Kind::Scatter))
    }

    /// Sends block `r` of `data` to rank `r` and collects the blocks meant for this rank, in rank order. All ranks take part,
    /// with one length.
    ///
    /// # Errors
    /// A length that is not `size` equal blocks, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn all_to_all<T: Element>(&self, data: &[T]) -> Result<Vec<T>> {
        let mut result = bytemuck::allocation::zeroed_vec(data.len());
        self.all_to_all_into(data, &mut result)?;
        Ok(result)
    }

    /// [`Communicator::all_to_all`] into `result`, which has the length of `data`.
    ///
    /// # Errors
    /// As [`Communicator::all_to_all`]; a `result` of another length.
    pub fn all_to_all_into<T: Element>(&self, data: &[T], result: &mut [T]) -> Result<()> {
        self.check_equal(blocking(Kind::AllToAll), "the result", result.len(), data.len())?;
        let block = Counts::Same(self.block(blocking(Kind::AllToAll), data.len())?);
        let parts = Parts {
            send: (data.as_ptr().cast(), block),
            recv: (result.as_mut_ptr().cast(), block),
            ..Parts::default()
        };
        self.carry_out(parts.call::<T>(Kind::AllToAll))
    }

    /// Sends `counts[r]` elements of `data` to rank `r`; collects what the others send here, with their counts. All ranks take
    /// part.
    ///
    /// # Errors
    /// Counts that do not add up to the length of `data`, a lost peer, a timeout, a deadlock, a mismatch.
    pub fn all_to_allv<T: Element>(&self, data: &[T], counts: &[usize]) -> Result<(Vec<T>, Vec<usize>)> {
        self.check_counts(blocking(Kind::AllToAll), "the data", counts, data.len())?;
        let recv_counts = self.all_to_all(counts)?;
        let mut result = bytemuck::allocation::zeroed_vec(recv_counts.iter().sum());
        self.all_to_allv_into(data, counts, &mut result, &recv_counts)?;
        Ok((result, recv_counts))
    }

    /// [`Communicator::all_to_allv`] into `result`, where every rank knows what it gets.
    ///
    /// # Errors
    /// As [`Communicator::all_to_allv`].
    pub fn all_to_allv_into<T: Element>(
        &self,
        data: &[T],
        counts: &[usize],
        result: &mut [T],
        result_counts: &[usize],
    ) -> Result<()> {
        self.check_counts(blocking(Kind::AllToAll), "the data", counts, data.len())?;
        self.check_counts(blocking(Kind::AllToAll), "the result", result_counts, result.len())?;
        let parts = Parts {
            varying: true,
            send: (data.as_ptr().cast(), Counts::Each(counts)),
            recv: (result.as_mut_ptr().cast(), Counts::Each(result_counts)),
            ..Parts::default()
        };
        self.carry_out(parts.call::<T>(Kind::AllToAll))
    }

    /// Combines `data` of all ranks, element by element, and gives rank `r` its `counts[r]` elements of the result. All ranks
    /// take part, with the same counts.
    ///
    /// # Errors
    /// Counts that do not add up to the length of `data`; as [`Communicator::all_reduce`].
    pub fn reduce_scatter<T: Element>(&self, data: &[T], counts: &[usize], op: impl Reduction<T>) -> Result<Vec<T>> {
        self.check_counts(blocking(Kind::ReduceScatter), "the data", counts, data.len())?;
        let mut result = bytemuck::allocation::zeroed_vec(counts[self.rank()]);
        self.reduce_scatter_into(data, &mut result, counts, op)?;
        Ok(result)
    }

    /// [`Communicator::reduce_scatter`] into `result`: this rank's elements.
    ///
    /// # Errors
    /// As [`Communicator::reduce_scatter`]; a `result` of another length.
    pub fn reduce_scatter_into<T: Element>(
        &self,
        data: &[T],
        result: &mut [T],
        counts: &[usize],
        op: impl Reduction<T>,
    ) -> Result<()> {
        self.check_counts(blocking(Kind::ReduceScatter), "the data", counts, data.len())?;
        self.check_equal(blocking(Kind::ReduceScatter), "the result", result.len(), counts[self.rank()])?;
        let kernel = Some(op.kernel().map_err(|e| self.refuse(blocking(Kind::ReduceScatter), e))?);
        let parts = Parts {
            varying: true,
            send: (data.as_ptr().cast(), Counts::Each(counts)),
            recv: one_mut(result),
            kernel,
            ..Parts::default()
        };
        self.carry_out(parts.call::<T>(Kind::ReduceScatter))
    }

    /// [`Communicator::reduce_scatter_into`] with equal blocks: `data` has `size` times the length of `result`.
    ///
    /// # Errors
    /// As [`Communicator::reduce_scatter_into`].
    pub fn reduce_scatter_block_into<T: Element>(
        &self,
        data: &[T],
        result: &mut [T],
        op: impl Reduction<T>,
    ) -> Result<()> {
        let block = result.len();
        self.check_equal(blocking(Kind::ReduceScatter), "the data", data.len(), block * self.size())?;
        let kernel = Some(op.kernel().map_err(|e| self.refuse(blocking(Kind::ReduceScatter), e))?);
        let send = (data.as_ptr().cast(), Counts::Same(block));
        self.carry_out(Parts { send, recv: one_mut(result), kernel, ..Parts::default() }.call::<T>(Kind::ReduceScatter))
    }
}
