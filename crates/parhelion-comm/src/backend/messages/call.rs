//! [`Call`]: a collective that outlives the function it was called by.

use crate::backend::signature::Signature;
use crate::backend::{Collective, CollectiveKind as Kind, Counts};
use crate::element::ElementType;
use crate::op::Kernel;

/// A [`Collective`] without its lifetime, so that a job can hold it.
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) element: ElementType,
    pub(crate) root: usize,
    pub(crate) varying: bool,
    pub(crate) send: *const u8,
    pub(crate) send_counts: Counts<'static>,
    pub(crate) recv: *mut u8,
    pub(crate) recv_counts: Counts<'static>,
    pub(crate) kernel: Option<Kernel<'static>>,
    pub(crate) refused: bool,
}

// SAFETY: who makes one vouches for its pointers until the job is done, on whatever thread.
unsafe impl Send for Call {}
// SAFETY: a shared reference only gives the pointers.
unsafe impl Sync for Call {}

impl Call {
    /// # Safety
    /// The result is used only while everything in `call` lives.
    #[inline]
    pub(crate) unsafe fn of(call: &Collective<'_>) -> Self {
        let forget = |counts: Counts<'_>| match counts {
            Counts::Same(count) => Counts::Same(count),
            // SAFETY: the caller's promise.
            Counts::Each(counts) => Counts::Each(unsafe { std::slice::from_raw_parts(counts.as_ptr(), counts.len()) }),
        };
        Call {
            kind: call.kind,
            element: call.element,
            root: call.root,
            varying: call.varying,
            send: call.send,
            send_counts: forget(call.send_counts),
            recv: call.recv,
            recv_counts: forget(call.recv_counts),
            // SAFETY: the caller's promise.
            kernel: call.kernel.map(|kernel| unsafe { kernel.forget_lifetime() }),
            refused: call.refused,
        }
    }

    pub(crate) fn signature(&self) -> Signature {
        Signature::of(&Collective {
            kind: self.kind,
            element: self.element,
            root: self.root,
            varying: self.varying,
            send: self.send,
            send_counts: self.send_counts,
            recv: self.recv,
            recv_counts: self.recv_counts,
            kernel: self.kernel,
            refused: self.refused,
        })
    }

    /// Elements of the send part and of the receive part.
    pub(crate) fn lengths(&self, size: usize) -> (usize, usize) {
        use Kind::{AllGather, AllToAll, Gather, ReduceScatter, Scatter};
        let blocks = |counts, many: bool| match counts {
            Counts::Same(count) => count * if many { size } else { 1 },
            Counts::Each(counts) => counts.iter().sum(),
        };
        (
            blocks(self.send_counts, matches!(self.kind, Scatter | AllToAll | ReduceScatter)),
            blocks(self.recv_counts, matches!(self.kind, Gather | AllGather | AllToAll)),
        )
    }

    /// Whether no rank moves anything, as every rank can tell.
    pub(crate) fn is_empty(&self) -> bool {
        let none = |counts| matches!(counts, Counts::Same(0));
        !self.varying && self.kind != Kind::Barrier && none(self.send_counts) && none(self.recv_counts)
    }
}
