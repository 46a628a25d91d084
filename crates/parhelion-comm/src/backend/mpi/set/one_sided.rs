//! Sets by one-sided communication, in passive epochs that last as long as their windows (MPI section 12.5.3).
//!
//! `Push`: the receive parts are a window, and senders put into it. `Pull`: the send parts are, and receivers get out of it.
//!
//! # The protocol
//!
//! A message has two places in its window, used by turns: those of odd rounds and those of even ones. In each round a rank
//! sends one empty message, a *token*, to each of its peers: those it sends to and those it receives from.
//!
//! 1. *Start* of round n: what is pushed is put into the peers' windows; what is pulled has been packed into this rank's own,
//!    and its tokens leave. Tokens of what is pushed leave with the next call of this rank, when it is flushed
//!    ([`announcement`](super::announcement)).
//! 2. *Arrival*: with a peer's token, what it pushed is here; to get what is to be pulled from it begins.
//! 3. *End*: the tokens of all peers have arrived, and what they had for this rank is here.
//!
//! What is written in round n lies where that of n - 2 was, which nobody reads any more: a rank starts n after its end of
//! n - 1, for which it needed every peer's token of n - 1, which a peer sends after its start of n - 1, after its end of
//! n - 2; what that brought may be read until then.
//!
//! So a start waits for nobody, and what it put moves until the next call. A get begins when its token is found, in the start,
//! a test or the finish, and is waited for in the finish. Sets may be finished in any order. One that is given up sends its
//! tokens and receives those of others, who may go on to read its window; that is freed when no rank uses it any more.

use std::sync::Arc;

use mpi_abi::{Aint, Library};

use super::super::comm::{Comm, In};
use super::announcement::{Announcement, Due};
use super::requests::Requests;
use super::window::Window;
use super::{Messages, OPERATION, Slot, Under, give_up};
use crate::backend::Keep;
use crate::backend::prepared::{Leg, Order, Prepared, Side, Stage, Staging, extent};
use crate::error::{Error, ErrorKind, Result};
use crate::message_set::Method;

pub(super) struct OneSided {
    comm: Arc<Comm>,
    library: &'static Library,
    window: Arc<Window>,
    push: bool,
    sends: Vec<Leg>,
    recvs: Vec<Leg>,
    /// The messages as MPI's arguments, but for where they are in the window.
    messages: Messages,
    /// The memory of the direction that is no window.
    staging: Arc<Staging>,
    /// The receives of tokens, and their sends.
    tokens: Requests,
    announcement: Announcement,
    /// The token to the peer of each send; `None` to this rank itself.
    token_of: Vec<Option<usize>>,
    /// The receive that each peer's token announces, if there is one.
    announced: Vec<Option<usize>>,
    /// The tokens to peers that nothing is sent to.
    bare: Vec<usize>,
    /// This rank's message to itself, if there is one: (send, receive).
    own: Option<(usize, usize)>,
    round: u64,
    is_started: bool,
    unsent: usize,
    /// Sends that are started, as long as not all are.
    unannounced: Vec<usize>,
    /// Gets that have begun.
    fetching: Vec<usize>,
    /// Receives that are here and were not given yet.
    arrived: Vec<usize>,
}

pub(super) fn prepare(comm: &Arc<Comm>, order: Order) -> Result<Box<dyn Prepared>> {
    let library = comm.library();
    let push = order.method == Method::Push;
    let (within, beyond) = if push { (&order.recvs, &order.sends) } else { (&order.sends, &order.recvs) };
    let window = Window::new(comm, Side::double(extent(within))).of(OPERATION)?;
    let staging = Staging::new(extent(beyond));
    let messages = Messages::at(comm.runtime, &order, [staging.ptr(); 2], [Some(staging.clone()), None])?;

    let mut peers: Vec<usize> = order.sends.iter().chain(&order.recvs).map(|leg| leg.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    peers.retain(|&peer| peer != comm.rank);
    let at = |legs: &[Leg], peer| legs.iter().position(|leg| leg.peer == peer);
    let token = |peer| peers.binary_search(&peer).ok();
    let empty = |&peer: &usize| Leg { peer, bytes: 0, offset: 0, remote_offset: 0, places: Vec::new() };
    let legs: Vec<Leg> = peers.iter().map(empty).collect();
    let method = Method::PointToPoint;
    let outgoing = Order { method, tag: order.tag, sends: legs.clone(), recvs: Vec::new(), most: 0, memory: None };
    let incoming = Order { method, tag: order.tag, sends: Vec::new(), recvs: legs, most: 0, memory: None };
    let set = OneSided {
        comm: comm.clone(),
        library,
        push,
        messages,
        staging,
        tokens: Requests::new(comm, incoming)?,
        announcement: Announcement::new(library, window.clone(), Requests::new(comm, outgoing)?),
        window,
        token_of: order.sends.iter().map(|leg| token(leg.peer)).collect(),
        announced: peers.iter().map(|&peer| at(&order.recvs, peer)).collect(),
        bare: (0..peers.len()).filter(|&i| at(&order.sends, peers[i]).is_none()).collect(),
        own: at(&order.sends, comm.rank).zip(at(&order.recvs, comm.rank)),
        round: 0,
        is_started: false,
        unsent: 0,
        unannounced: Vec::with_capacity(order.sends.len()),
        fetching: Vec::with_capacity(order.recvs.len()),
        arrived: Vec::with_capacity(order.recvs.len()),
        sends: order.sends,
        recvs: order.recvs,
    };
    Ok(Box::new(set))
}

impl OneSided {
    /// Where messages of the current round are: [sends, receives].
    fn sides(&self) -> [Side; 2] {
        let staged = Side::single(self.staging.ptr());
        // A send is packed before its round starts.
        let next = self.round + u64::from(!self.is_started);
        match self.push {
            true => [staged, Side::turned(self.window.memory, self.round)],
            false => [Side::turned(self.window.memory, next), staged],
        }
    }

    /// Puts or gets a message: `here` is this rank's end of it.
    fn reach(&self, slot: &Slot, leg: &Leg, here: Side) -> Result<(), mpi_abi::Error> {
        let (library, window) = (self.library, self.window.raw);
        if leg.bytes == 0 {
            return Ok(());
        }
        let at = here.at(leg.offset, leg.bytes);
        let there = Side::turned(std::ptr::null_mut(), self.round).at(leg.remote_offset, leg.bytes).addr() as Aint;
        // SAFETY: the message has the length that was agreed, here and in the peer's window, in which its places are laid
        // out alike; by the protocol nobody uses either now.
        unsafe {
            if self.push {
                let from = at.cast_const().cast();
                library.put(from, slot.count, slot.datatype, slot.peer, there, slot.count, slot.datatype, window)
            } else {
                library.get(at.cast(), slot.count, slot.datatype, slot.peer, there, slot.count, slot.datatype, window)
            }
        }
    }

    /// The tokens of the sends that are started, whose data are in the window if they are to be pulled. A turn is held.
    fn announced(&mut self) -> Result<Vec<Due>> {
        if !self.push && !self.unannounced.is_empty() {
            // SAFETY: the window's epoch is under way.
            unsafe { self.library.win_sync(self.window.raw) }.of(OPERATION)?;
        }
        let (sends, slots, token_of) = (&self.sends, &self.messages.sends, &self.token_of);
        let due = |send: usize| {
            let flush = (self.push && sends[send].bytes > 0).then(|| slots[send].peer);
            token_of[send].map(|token| Due { token, flush })
        };
        Ok(self.unannounced.drain(..).filter_map(due).collect())
    }

    /// What a token announces, if anything, is here, or to get it begins. A turn is held.
    fn arrive(&mut self, token: usize) -> Result<()> {
        let Some(recv) = self.announced[token] else { return Ok(()) };
        if self.push {
            // SAFETY: the window's epoch is under way.
            unsafe { self.library.win_sync(self.window.raw) }.of(OPERATION)?;
            self.arrived.push(recv);
        } else {
            let here = Side::single(self.staging.ptr());
            self.reach(&self.messages.recvs[recv], &self.recvs[recv], here).of(OPERATION)?;
            self.fetching.push(recv);
        }
        Ok(())
    }

    /// Takes what the tokens announce that are here. A turn is held.
    fn take_arrivals(&mut self) -> Result<()> {
        while let Some(token) = self.tokens.poll()? {
            self.arrive(token)?;
        }
        Ok(())
    }

    /// A receive whose get had begun, brought here, if there is one. A turn is held.
    fn fetch(&mut self) -> Result<Option<usize>> {
        let Some(&recv) = self.fetching.last() else { return Ok(None) };
        if self.recvs[recv].bytes > 0 {
            // SAFETY: the window's epoch is under way.
            unsafe { self.library.win_flush_local(self.messages.recvs[recv].peer, self.window.raw) }.of(OPERATION)?;
        }
        Ok(self.fetching.pop())
    }
}

impl Prepared for OneSided {
    fn stage(&self) -> Stage {
        Stage(Some(self.sides()))
    }

    fn start_receives(&mut self) -> Result<()> {
        self.round += 1;
        self.is_started = true;
        self.unsent = self.sends.len();
        let _turn = self.comm.runtime.enter(OPERATION)?;
        self.tokens.receive()?;
        self.announcement.send(self.bare.iter().map(|&token| Due { token, flush: None }))
    }

    fn start_send(&mut self, send: usize) -> Result<()> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        let sides = self.sides();
        match self.own.filter(|own| own.0 == send) {
            Some((_, recv)) => {
                let (from, to) = (&self.sends[send], &self.recvs[recv]);
                let (from, to) = (sides[0].at(from.offset, from.bytes), sides[1].at(to.offset, to.bytes));
                // SAFETY: two memories of this set, of this length, that nobody else uses now.
                unsafe { std::ptr::copy_nonoverlapping(from, to, self.sends[send].bytes) };
                self.arrived.push(recv);
            }
            None => {
                if self.push {
                    self.reach(&self.messages.sends[send], &self.sends[send], sides[0]).of(OPERATION)?;
                }
                self.unannounced.push(send);
            }
        }
        self.unsent -= 1;
        if self.unsent > 0 {
            return Ok(());
        }
        let tokens = self.announced()?;
        if self.push {
            self.announcement.leave(runtime, tokens);
            return Ok(());
        }
        self.announcement.send(tokens)?;
        // What is pulled had better move now than later.
        self.take_arrivals()
    }

    fn next_receive(&mut self) -> Result<Option<usize>> {
        let runtime = self.comm.runtime;
        loop {
            if let Some(recv) = self.arrived.pop() {
                return Ok(Some(recv));
            }
            {
                let _turn = runtime.enter(OPERATION)?;
                self.announcement.settle()?;
                if !self.fetching.is_empty() {
                    // While one is waited for, others had better be under way.
                    self.take_arrivals()?;
                    return self.fetch();
                }
            }
            let Some(token) = self.tokens.next_receive()? else { return Ok(None) };
            let _turn = runtime.enter(OPERATION)?;
            self.arrive(token)?;
        }
    }

    fn test(&mut self) -> Result<bool> {
        let _turn = self.comm.runtime.enter(OPERATION)?;
        self.announcement.settle()?;
        self.take_arrivals()?;
        Ok(!self.tokens.is_due() && self.announcement.test()?)
    }

    fn complete(&mut self) -> Result<()> {
        self.announcement.complete()?;
        self.is_started = false;
        Ok(())
    }

    fn another(&self, _order: Order) -> Result<Box<dyn Prepared>> {
        let why = "the windows of one-sided messages are made by all ranks together".to_owned();
        Err(Error::new(OPERATION, ErrorKind::Unsupported(why)))
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        give_up(self.comm.runtime, self, keep);
    }
}

impl Under for OneSided {
    fn is_over(&mut self) -> bool {
        // What was started before the set was given up arrives.
        if self.announced().and_then(|tokens| self.announcement.send(tokens)).is_err() {
            return false;
        }
        while !self.fetching.is_empty() {
            if self.fetch().is_err() {
                return false;
            }
        }
        self.tokens.is_over() && self.announcement.is_over()
    }
}

impl Drop for OneSided {
    fn drop(&mut self) {
        self.window.release();
    }
}
