//! Sets by one-sided communication, in passive epochs that last as long as their windows (MPI section 12.5.3).
//!
//! `Push`: the receive parts are a window, and senders put into it. `Pull`: the send parts are, and receivers get out of it.
//!
//! # The protocol
//!
//! A message has two places in its window, used by turns: those of odd rounds and those of even ones. In each round a rank
//! sends one empty message, a *token*, to each of its peers: those it sends to and those it receives from.
//!
//! 1. *Start* of round n: what is pushed is put into the peers' windows and flushed; what is pulled has been packed into this
//!    rank's own. Then the tokens leave.
//! 2. *Arrival*: with a peer's token, what it pushed is here; what is to be pulled from it can be got.
//! 3. *End*: the tokens of all peers have arrived, and what they had for this rank is here.
//!
//! What is written in round n lies where that of n - 2 was, which nobody reads any more: a rank starts n after its end of
//! n - 1, for which it needed every peer's token of n - 1, which a peer sends when it starts n - 1, after its end of n - 2;
//! what that brought may be read until then.
//!
//! So a start waits for nobody. What is pushed moves in the start; what is pulled moves when the token is found, in the start,
//! a test or the finish. Sets may be finished in any order, and one that is given up has nothing left to do but to receive
//! tokens: others may go on to read its window, which is freed when no rank uses it any more.

use std::sync::Arc;

use mpi_abi::{Aint, Library};

use super::super::comm::{Comm, In};
use super::requests::Requests;
use super::window::Window;
use super::{Messages, OPERATION, Slot, Under, give_up};
use crate::backend::Keep;
use crate::backend::prepared::{Leg, Order, Prepared, Side, Stage, Staging, extent};
use crate::error::Result;
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
    tokens: Requests,
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
    /// Sends that are started and whose tokens have not left.
    unannounced: Vec<usize>,
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
    let tokens =
        Order { method: Method::PointToPoint, tag: order.tag, sends: legs.clone(), recvs: legs, most: 0, memory: None };
    let set = OneSided {
        comm: comm.clone(),
        library,
        window,
        push,
        messages,
        staging,
        tokens: Requests::new(comm, tokens)?,
        token_of: order.sends.iter().map(|leg| token(leg.peer)).collect(),
        announced: peers.iter().map(|&peer| at(&order.recvs, peer)).collect(),
        bare: (0..peers.len()).filter(|&i| at(&order.sends, peers[i]).is_none()).collect(),
        own: at(&order.sends, comm.rank).zip(at(&order.recvs, comm.rank)),
        round: 0,
        is_started: false,
        unsent: 0,
        unannounced: Vec::with_capacity(order.sends.len()),
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

    /// Makes what was started visible to the peers, and tells them. A turn is held.
    fn announce(&mut self) -> Result<()> {
        let window = self.window.raw;
        // SAFETY: the window's epoch is under way.
        unsafe {
            if !self.push {
                self.library.win_sync(window).of(OPERATION)?;
            } else {
                for &send in self.unannounced.iter().filter(|&&send| self.sends[send].bytes > 0) {
                    self.library.win_flush(self.messages.sends[send].peer, window).of(OPERATION)?;
                }
            }
        }
        while let Some(send) = self.unannounced.pop() {
            if let Some(token) = self.token_of[send] {
                self.tokens.start_send(token)?;
            }
        }
        Ok(())
    }

    /// The receive that a token announces, if there is one, brought here. A turn is held.
    fn arrive(&mut self, token: usize) -> Result<Option<usize>> {
        let Some(recv) = self.announced[token] else { return Ok(None) };
        let (slot, leg, window) = (&self.messages.recvs[recv], &self.recvs[recv], self.window.raw);
        // SAFETY: the window's epoch is under way.
        unsafe {
            if self.push {
                self.library.win_sync(window).of(OPERATION)?;
            } else if leg.bytes > 0 {
                self.reach(slot, leg, Side::single(self.staging.ptr())).of(OPERATION)?;
                self.library.win_flush_local(slot.peer, window).of(OPERATION)?;
            }
        }
        Ok(Some(recv))
    }

    /// Takes what the tokens announce that are here.
    fn take_arrivals(&mut self) -> Result<()> {
        while let Some(token) = self.tokens.poll()? {
            let recv = self.arrive(token)?;
            self.arrived.extend(recv);
        }
        Ok(())
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
        self.tokens.start_receives()?;
        for &token in &self.bare {
            self.tokens.start_send(token)?;
        }
        Ok(())
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
        self.announce()?;
        // What is pulled had better move now than later.
        if self.push { Ok(()) } else { self.take_arrivals() }
    }

    fn next_receive(&mut self) -> Result<Option<usize>> {
        if let Some(recv) = self.arrived.pop() {
            return Ok(Some(recv));
        }
        while let Some(token) = self.tokens.next_receive()? {
            let runtime = self.comm.runtime;
            let _turn = runtime.enter(OPERATION)?;
            if let Some(recv) = self.arrive(token)? {
                return Ok(Some(recv));
            }
        }
        Ok(None)
    }

    fn test(&mut self) -> Result<bool> {
        let runtime = self.comm.runtime;
        let _turn = runtime.enter(OPERATION)?;
        self.take_arrivals()?;
        self.tokens.test()
    }

    fn complete(&mut self) -> Result<()> {
        self.tokens.complete()?;
        self.is_started = false;
        Ok(())
    }

    fn abandon(self: Box<Self>, keep: Keep) {
        give_up(self.comm.runtime, self, keep);
    }
}

impl Under for OneSided {
    fn is_over(&mut self) -> bool {
        // What was started before the set was given up arrives.
        if !self.unannounced.is_empty() && self.announce().is_err() {
            return false;
        }
        self.tokens.is_over()
    }
}

impl Drop for OneSided {
    fn drop(&mut self) {
        self.window.release();
    }
}
