//! Sets by neighbourhood collectives on a distributed graph of their own (MPI chapter 8).
//!
//! `MPI_Neighbor_alltoallv` where every rank's bytes and places fit an `int`, `MPI_Neighbor_alltoallw` elsewhere and in
//! place: all ranks know which. Each rank lists its peers in ascending order on both sides, once each, which keeps clear
//! of how libraries pair equal edges.

use std::ffi::c_int;
use std::sync::Arc;

use mpi_abi::{Aint, Comm as RawComm, DatatypeArray, Library, Request, Status as RawStatus};

use super::super::comm::{Comm, In};
use super::super::failure;
use super::super::live;
use super::super::runtime::Backoff;
use super::{Messages, OPERATION, Slot, Under, free, give_up};
use crate::backend::Keep;
use crate::backend::prepared::{InPlace, Order, Prepared, Stage};
use crate::error::Result;
use crate::message_set::Method;

/// The communicator whose edges are the messages.
struct Graph {
    comm: Arc<Comm>,
    raw: RawComm,
}

struct Neighbors {
    comm: Arc<Comm>,
    library: &'static Library,
    graph: Arc<Graph>,
    messages: Messages,
    arguments: [Arguments; 2],
    /// Whether places are in bytes and types differ: `alltoallw`.
    typed: bool,
    persistent: bool,
    request: Request,
    /// It has been started, and not been found complete.
    active: bool,
    unsent: usize,
    given: usize,
}

/// The arguments of one direction. MPI reads them until the collective is done. No array is empty, for the pointers' sake.
struct Arguments {
    base: *mut u8,
    counts: Box<[c_int]>,
    offsets: Box<[c_int]>,
    places: Box<[Aint]>,
    types: DatatypeArray,
}

// SAFETY: the pointer is one of the messages', of which the same holds.
unsafe impl Send for Arguments {}

impl Arguments {
    fn new(library: &Library, slots: &[Slot], base: *mut u8, typed: bool) -> Self {
        let byte = library.constants().byte;
        let array = || slots.iter();
        Arguments {
            base,
            counts: array().map(|s| s.count).chain([0]).collect(),
            // Only where all offsets fit.
            offsets: array().map(|s| if typed { 0 } else { s.offset as c_int }).chain([0]).collect(),
            places: array().map(|s| s.offset as Aint).chain([0]).collect(),
            types: DatatypeArray::from_slice(library, &array().map(|s| s.datatype).chain([byte]).collect::<Vec<_>>()),
        }
    }
}

impl Arguments {
    /// Takes all messages to where `at` says, if it says so of each and they lie as near to each other as the collective
    /// can tell.
    fn moved_to(&mut self, at: &[*mut u8], typed: bool) -> bool {
        let Some(&base) = at.iter().min_by_key(|at| at.addr()) else { return false };
        if base.is_null() {
            return false;
        }
        let distances = at.iter().map(|at| at.addr() - base.addr());
        if !typed && distances.clone().any(|distance| c_int::try_from(distance).is_err()) {
            return false;
        }
        for (i, distance) in distances.enumerate() {
            self.offsets[i] = if typed { 0 } else { distance as c_int };
            self.places[i] = distance as Aint;
        }
        self.base = base;
        true
    }
}

pub(super) fn prepare(comm: &Arc<Comm>, order: Order) -> Result<Box<dyn Prepared>> {
    let messages = Messages::placed(comm.runtime, &order)?;
    let graph = Graph::new(comm, &messages).of(OPERATION)?;
    Ok(Box::new(Neighbors::new(Arc::new(graph), messages, &order)?))
}

impl Graph {
    /// Collective.
    fn new(comm: &Arc<Comm>, messages: &Messages) -> Result<Self, mpi_abi::Error> {
        let library = comm.library();
        let c = library.constants();
        let peers = |slots: &[Slot]| slots.iter().map(|s| s.peer).chain([0]).collect::<Vec<c_int>>();
        let (sources, targets) = (peers(&messages.recvs), peers(&messages.sends));
        // Weights of their own rather than MPI_UNWEIGHTED, which all ranks must give or none.
        let weights = |slots: &[Slot], array: &Vec<c_int>| match slots.is_empty() {
            true => c.weights_empty().cast_const(),
            false => array.as_ptr(),
        };
        let (heard, told) = (vec![1; sources.len()], vec![1; targets.len()]);
        let mut raw = c.comm_null;
        // SAFETY: the arrays are as long as the degrees say, and one longer; no reordering, so that ranks stay.
        unsafe {
            library.dist_graph_create_adjacent(
                comm.raw,
                messages.recvs.len() as c_int,
                sources.as_ptr(),
                weights(&messages.recvs, &heard),
                messages.sends.len() as c_int,
                targets.as_ptr(),
                weights(&messages.sends, &told),
                c.info_null,
                0,
                &mut raw,
            )?;
            live::COMMUNICATORS.one_more();
            library.comm_set_errhandler(raw, c.errors_return)?;
        }
        Ok(Graph { comm: comm.clone(), raw })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let (mut raw, comm) = (self.raw, self.comm.clone());
        free(self.comm.runtime, move |library| {
            // SAFETY: made by `new`, freed once, after all requests on it. Freeing a communicator is local in the libraries
            // known (see `comm`). A failure leaks it.
            live::COMMUNICATORS.one_less(unsafe { library.comm_free(&mut raw) });
            drop(comm);
        });
    }
}

impl Neighbors {
    /// Collective if the collective is persistent, which it is only if the memory is this set's own: to the caller's memory, each
    /// rank may take it when it likes.
    fn new(graph: Arc<Graph>, messages: Messages, order: &Order) -> Result<Self> {
        let comm = &graph.comm;
        let library = comm.library();
        // The same at every rank.
        let typed = order.memory.is_some() || order.most > comm.runtime.max_count;
        let bases = match (messages.stage, order.memory) {
            (Stage(Some(sides)), _) => sides.map(|side| side.at(0, 0)),
            (Stage(None), memory) => [memory.map_or(std::ptr::null_mut(), |InPlace(base)| base); 2],
        };
        let side = |slots: &[Slot], base| Arguments::new(library, slots, base, typed);
        let persistent = order.method == Method::PersistentNeighbor
            && order.memory.is_none()
            && library.has_persistent_collectives();
        let mut set = Neighbors {
            comm: comm.clone(),
            library,
            arguments: [side(&messages.sends, bases[0]), side(&messages.recvs, bases[1])],
            messages,
            typed,
            persistent,
            request: library.constants().request_null,
            active: false,
            unsent: 0,
            given: 0,
            graph,
        };
        if persistent {
            set.init().of(OPERATION)?;
        }
        Ok(set)
    }

    /// Makes the persistent request. Collective.
    fn init(&mut self) -> Result<(), mpi_abi::Error> {
        let (library, info) = (self.library, self.library.constants().info_null);
        let byte = library.constants().byte;
        let [s, r] = &mut self.arguments;
        let (from, to) = (s.base.cast_const().cast(), r.base.cast());
        let (counts, expected) = (s.counts.as_ptr(), r.counts.as_ptr());
        // SAFETY: the arrays have an element for each neighbour and live as long as the request; the memory as well.
        unsafe {
            if self.typed {
                let (st, rt) = (s.types.as_mut_ptr(), r.types.as_mut_ptr());
                let (sp, rp) = (s.places.as_ptr(), r.places.as_ptr());
                library.neighbor_alltoallw_init(
                    from,
                    counts,
                    sp,
                    st,
                    to,
                    expected,
                    rp,
                    rt,
                    self.graph.raw,
                    info,
                    &mut self.request,
                )
            } else {
                let (so, ro) = (s.offsets.as_ptr(), r.offsets.as_ptr());
                library.neighbor_alltoallv_init(
                    from,
                    counts,
                    so,
                    byte,
                    to,
                    expected,
                    ro,
                    byte,
                    self.graph.raw,
                    info,
                    &mut self.request,
                )
            }?;
        }
        live::REQUESTS.one_more();
        Ok(())
    }

    /// Starts the collective: everything is packed.
    fn go(&mut self) -> Result<()> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        let library = self.library;
        let byte = library.constants().byte;
        let [s, r] = &mut self.arguments;
        let (from, to) = (s.base.cast_const().cast(), r.base.cast());
        let (counts, expected) = (s.counts.as_ptr(), r.counts.as_ptr());
        // SAFETY: as for `init`; nobody touches the memory until the request has completed.
        let started = unsafe {
            if self.persistent {
                library.start(&mut self.request)
            } else if self.typed {
                let (st, rt) = (s.types.as_mut_ptr(), r.types.as_mut_ptr());
                let (sp, rp) = (s.places.as_ptr(), r.places.as_ptr());
                library.ineighbor_alltoallw(
                    from,
                    counts,
                    sp,
                    st,
                    to,
                    expected,
                    rp,
                    rt,
                    self.graph.raw,
                    &mut self.request,
                )
            } else {
                let (so, ro) = (s.offsets.as_ptr(), r.offsets.as_ptr());
                library.ineighbor_alltoallv(
                    from,
                    counts,
                    so,
                    byte,
                    to,
                    expected,
                    ro,
                    byte,
                    self.graph.raw,
                    &mut self.request,
                )
            }
        };
        started.of(OPERATION)?;
        self.active = true;
        Ok(())
    }

    /// Whether the collective is done.
    fn is_done(&mut self) -> Result<bool> {
        if self.active {
            let mut flag = 0;
            // SAFETY: the request is active.
            unsafe { self.library.test(&mut self.request, &mut flag, self.library.constants().status_ignore()) }
                .of(OPERATION)?;
            self.active = flag == 0;
        }
        Ok(!self.active)
    }
}

impl Prepared for Neighbors {
    fn stage(&self) -> Stage {
        self.messages.stage
    }

    fn place(&mut self, direction: usize, at: &[*mut u8]) -> Result<bool> {
        // A persistent collective is bound to its memory, and is made by all ranks together.
        let Stage(Some(sides)) = self.messages.stage else { return Ok(false) };
        if self.persistent {
            return Ok(false);
        }
        let arguments = &mut self.arguments[direction];
        if arguments.moved_to(at, self.typed) {
            return Ok(true);
        }
        let library = self.library;
        let slots = self.messages.slots_mut(direction);
        *arguments = Arguments::new(library, slots, sides[direction].at(0, 0), self.typed);
        Ok(false)
    }

    fn start_receives(&mut self) -> Result<()> {
        self.given = 0;
        self.unsent = self.messages.sends.len();
        if self.unsent == 0 { self.go() } else { Ok(()) }
    }

    fn start_send(&mut self, _send: usize) -> Result<()> {
        self.unsent -= 1;
        if self.unsent == 0 { self.go() } else { Ok(()) }
    }

    fn next_receive(&mut self) -> Result<Option<usize>> {
        // Also without receives: the collective has to end.
        if self.active {
            let runtime = self.comm.runtime;
            let turn = runtime.enter(OPERATION)?;
            if turn.direct && self.comm.timeout().is_none() {
                // SAFETY: the request is active.
                unsafe { self.library.wait(&mut self.request, &mut RawStatus::default()) }
                    .map_err(|e| failure::error(OPERATION, e))?;
                self.active = false;
            } else {
                let mut backoff = Backoff::new(runtime, self.comm.timeout());
                while !self.is_done()? {
                    backoff.pause(OPERATION)?;
                }
            }
        }
        let next = self.given;
        self.given += 1;
        Ok((next < self.messages.recvs.len()).then_some(next))
    }

    fn test(&mut self) -> Result<bool> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        self.is_done()
    }

    fn complete(&mut self) -> Result<()> {
        Ok(())
    }

    fn another(&self, order: Order) -> Result<Box<dyn Prepared>> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        let messages = Messages::placed(self.comm.runtime, &order)?;
        Ok(Box::new(Neighbors::new(self.graph.clone(), messages, &order)?))
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        give_up(self.comm.runtime, self, keep);
    }
}

impl Under for Neighbors {
    fn is_over(&mut self) -> bool {
        matches!(self.is_done(), Ok(true))
    }
}

impl Drop for Neighbors {
    fn drop(&mut self) {
        let mut request = self.request;
        if !self.persistent || request == self.library.constants().request_null {
            return;
        }
        // Also the graph: it is not freed before its requests.
        let graph = self.graph.clone();
        free(self.comm.runtime, move |library| {
            // SAFETY: inactive, since a set that is under way is not dropped; freed once. A failure leaks it.
            live::REQUESTS.one_less(unsafe { library.request_free(&mut request) });
            drop(graph);
        });
    }
}
