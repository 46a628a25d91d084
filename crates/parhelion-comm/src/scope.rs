//! Non-blocking operations on borrowed buffers, inside a scope that none of them can outlive.
//!
//! [`Communicator::scope`] works as [`std::thread::scope`] does: buffers outlive the scope (`'env`), operations are
//! recorded in the scope, and the scope does not end before they have. Forgetting a [`ScopedRequest`] therefore changes
//! nothing. If the scope's closure fails or panics, receives that have matched nothing are cancelled.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::backend::{Pending, SendMode};
use crate::communicator::{Communicator, span};
use crate::element::Element;
use crate::error::Result;
use crate::status::{Source, Status, TagSelector};

/// The operations of one [`Communicator::scope`] call.
pub struct Scope<'scope, 'env: 'scope> {
    communicator: &'scope Communicator,
    // None: waited for.
    pending: RefCell<Vec<Option<Box<dyn Pending>>>>,
    // Invariant in both, as std::thread::Scope: the scope can neither shrink nor grow what it lends.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An operation of a scope. Waiting is optional: the end of the scope waits.
pub struct ScopedRequest<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    index: usize,
}

impl Communicator {
    /// Runs `f` with a [`Scope`] for non-blocking operations on borrowed buffers, then waits for those `f` did not wait
    /// for.
    ///
    /// ```
    /// # parhelion_comm::run(|world| {
    /// let (right, left) = ((world.rank() + 1) % world.size(), (world.rank() + world.size() - 1) % world.size());
    /// let mine = [world.rank(); 4];
    /// let mut theirs = [0; 4];
    /// world.scope(|s| {
    ///     s.recv(&mut theirs, left, 0)?;
    ///     s.send(&mine, right, 0)?;
    ///     Ok(())
    /// })?;
    /// assert_eq!(theirs, [left; 4]);
    /// # Ok(()) })?; Ok::<(), parhelion_comm::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of `f`, else the first of an operation it did not wait for.
    pub fn scope<'env, R, F>(&self, f: F) -> Result<R>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<R>,
    {
        let scope = Scope { communicator: self, pending: RefCell::default(), scope: PhantomData, env: PhantomData };
        let guard = Guard(&scope.pending);
        let value = f(&scope)?;
        span!(self, "wait_scope");
        let mut first_error = None;
        loop {
            // Taken out one at a time, so that the guard still sees the rest if a wait panics.
            let Some(slot) = guard.0.borrow_mut().pop() else { break };
            let Some(mut pending) = slot else { continue };
            if let Err(e) = pending.wait() {
                // A wait that gave up (timeout, deadlock, lost peer) leaves the operation to be ended here and now.
                pending.finish_now();
                first_error = Some(self.locate(e));
            }
        }
        first_error.map_or(Ok(value), Err)
    }
}

/// Ends what is still in flight, however the scope is left.
struct Guard<'a>(&'a RefCell<Vec<Option<Box<dyn Pending>>>>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        for pending in self.0.take().into_iter().flatten() {
            pending.finish_now();
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a send of `data` to `dest`.
    ///
    /// # Errors
    /// An invalid rank or tag; what the backend reports.
    pub fn send<T: Element>(
        &'scope self,
        data: &'env [T],
        dest: usize,
        tag: u32,
    ) -> Result<ScopedRequest<'scope, 'env>> {
        let c = self.communicator;
        span!(c, "isend", dest = dest, tag = tag, bytes = size_of_val(data));
        c.check_peer("isend", dest, tag)?;
        // SAFETY: the slice is borrowed for 'env, which outlives the scope, and the scope ends every operation.
        let pending =
            unsafe { c.transport().isend(data.as_ptr().cast(), size_of_val(data), dest, tag, SendMode::Standard) };
        Ok(self.record(pending.map_err(|e| c.locate(e))?))
    }

    /// Starts a receive into `buffer`. The message may be shorter; see [`ScopedRequest::wait`].
    ///
    /// # Errors
    /// An invalid rank or tag; what the backend reports.
    pub fn recv<T: Element>(
        &'scope self,
        buffer: &'env mut [T],
        source: impl Into<Source>,
        tag: impl Into<TagSelector>,
    ) -> Result<ScopedRequest<'scope, 'env>> {
        let c = self.communicator;
        let (source, tag) = (source.into(), tag.into());
        span!(c, "irecv", source = ?source, tag = ?tag, capacity = size_of_val(buffer));
        c.check_selectors("irecv", source, tag)?;
        // SAFETY: as in `send`; the exclusive borrow for 'env keeps everybody else away.
        let pending = unsafe { c.transport().irecv(buffer.as_mut_ptr().cast(), size_of_val(buffer), source, tag) };
        Ok(self.record(pending.map_err(|e| c.locate(e))?))
    }

    fn record(&'scope self, pending: Box<dyn Pending>) -> ScopedRequest<'scope, 'env> {
        let mut all = self.pending.borrow_mut();
        all.push(Some(pending));
        ScopedRequest { scope: self, index: all.len() - 1 }
    }
}

impl ScopedRequest<'_, '_> {
    /// Waits until the operation has completed; for a receive, says what came.
    ///
    /// # Errors
    /// What the operation met.
    pub fn wait(self) -> Result<Status> {
        let c = self.scope.communicator;
        span!(c, "wait");
        let taken = self.scope.pending.borrow_mut()[self.index].take();
        let Some(mut pending) = taken else {
            unreachable!("`wait` consumes the request, and only `wait` takes from a live scope")
        };
        pending.wait().map_err(|e| {
            pending.finish_now();
            c.locate(e)
        })
    }
}
