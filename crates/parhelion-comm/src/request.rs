//! Non-blocking operations that own their buffers: [`Request`], [`wait_all`], [`wait_any`].
//!
//! A request holds its buffers until it has completed and gives them back from [`Request::wait`]. Forgetting one leaks the
//! buffers; dropping one cancels a receive that has matched nothing and lets a send complete in the background. Either is
//! sound: nothing the operation may still touch is ever freed.

use crate::backend::{Keep, Pending};
use crate::communicator::{Communicator, span};
use crate::error::{Error, ErrorKind, Result};
use crate::status::Status;

type Finish<T> = Box<dyn FnOnce(Status) -> Result<T> + Send>;

/// An operation in flight that owns its buffers and gives `T` back.
#[must_use = "a dropped request is cancelled or left to complete unseen; wait for it"]
pub struct Request<T: 'static> {
    // Some until it is waited for or dropped.
    state: Option<State<T>>,
    communicator: Communicator,
}

struct State<T> {
    pending: Box<dyn Pending>,
    // Owns the buffers; called once, when the operation has completed.
    finish: Finish<T>,
    completed: Option<Result<Status>>,
}

impl<T: 'static> Request<T> {
    /// A request whose buffers live in `finish`.
    pub(crate) fn new(
        communicator: Communicator,
        pending: Box<dyn Pending>,
        finish: impl FnOnce(Status) -> Result<T> + Send + 'static,
    ) -> Self {
        Request { state: Some(State { pending, finish: Box::new(finish), completed: None }), communicator }
    }

    /// Waits until the operation has completed and gives its buffers back: for a receive, what arrived.
    ///
    /// # Errors
    /// What the operation met; see [`ErrorKind`]. The buffers are then gone.
    pub fn wait(self) -> Result<T> {
        self.wait_status().map(|(value, _)| value)
    }

    /// [`Request::wait`] with the message's [`Status`], which means something for receives only.
    ///
    /// # Errors
    /// As [`Request::wait`].
    pub fn wait_status(mut self) -> Result<(T, Status)> {
        let c = &self.communicator;
        span!(c, "wait");
        let mut state = self.state.take().expect("a request holds its state until it is consumed");
        let result = match state.completed.take() {
            Some(result) => result,
            None => state.pending.wait(),
        };
        self.conclude(state, result)
    }

    /// Whether the operation has completed, with an error or without; makes progress. Does not block.
    pub fn test(&mut self) -> bool {
        let c = &self.communicator;
        span!(c, "test");
        let state = self.state.as_mut().expect("a request holds its state until it is consumed");
        if state.completed.is_none() {
            state.completed = state.pending.test().transpose();
        }
        state.completed.is_some()
    }

    /// Asks to cancel. True: the operation will not happen and [`Request::wait`] answers [`ErrorKind::Cancelled`].
    /// False: it takes its course. Only receives can be cancelled everywhere.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn cancel(&mut self) -> Result<bool> {
        let c = &self.communicator;
        span!(c, "cancel");
        let state = self.state.as_mut().expect("a request holds its state until it is consumed");
        if state.completed.is_some() {
            return Ok(false);
        }
        let cancelled = state.pending.cancel().map_err(|e| self.communicator.locate(e))?;
        if cancelled {
            state.completed = Some(Err(Error::new("cancel", ErrorKind::Cancelled)));
        }
        Ok(cancelled)
    }

    fn conclude(&self, state: State<T>, result: Result<Status>) -> Result<(T, Status)> {
        match result {
            Ok(status) => match (state.finish)(status) {
                Ok(value) => Ok((value, status)),
                Err(e) => Err(self.communicator.locate(e)),
            },
            Err(e) => {
                // It may still be under way (a timeout, a deadlock): the buffers stay alive with it.
                state.pending.abandon(keep(state.finish));
                Err(self.communicator.locate(e))
            }
        }
    }
}

fn keep<T: 'static>(finish: Finish<T>) -> Keep {
    Box::new(finish)
}

impl<T: 'static> Drop for Request<T> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            match state.completed {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => state.pending.abandon(keep(state.finish)),
            }
        }
    }
}

impl<T: 'static> std::fmt::Debug for Request<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let completed = self.state.as_ref().is_some_and(|s| s.completed.is_some());
        f.debug_struct("Request").field("completed", &completed).finish_non_exhaustive()
    }
}

/// Waits for all; their values in order.
///
/// # Errors
/// The first error in order, after every request has ended.
pub fn wait_all<T: 'static>(requests: impl IntoIterator<Item = Request<T>>) -> Result<Vec<T>> {
    let results: Vec<Result<T>> = requests.into_iter().map(Request::wait).collect();
    results.into_iter().collect()
}

/// Waits until one of `requests` has completed, takes it out of the vector, and gives its former index, its value and
/// its status; `None` if there are none. All must belong to one backend.
///
/// # Errors
/// What that request met; it is then taken out as well.
pub fn wait_any<T: 'static>(requests: &mut Vec<Request<T>>) -> Result<Option<(usize, T, Status)>> {
    let Some(first) = requests.first() else { return Ok(None) };
    let communicator = first.communicator.clone();
    span!(communicator, "wait_any", requests = requests.len());
    let done = requests.iter().position(|r| r.state.as_ref().is_some_and(|s| s.completed.is_some()));
    let (index, result) = match done {
        Some(index) => (index, None),
        None => {
            let mut pending: Vec<&mut dyn Pending> = requests
                .iter_mut()
                .map(|r| {
                    let state = r.state.as_mut().expect("a request holds its state until it is consumed");
                    &mut *state.pending as &mut dyn Pending
                })
                .collect();
            let (index, result) =
                communicator.transport().wait_any(&mut pending).map_err(|e| communicator.locate(e))?;
            (index, Some(result))
        }
    };
    let mut request = requests.remove(index);
    let mut state = request.state.take().expect("a request holds its state until it is consumed");
    let result = result.or_else(|| state.completed.take()).expect("completed, here or before");
    request.conclude(state, result).map(|(value, status)| Some((index, value, status)))
}
