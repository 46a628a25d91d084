//! Rank 0 of the meeting: it listens, receives every visitor, and tells the guests who is there.
//!
//! One thread polls all connections. Of a stranger there is never more than one entry of a list that has [`MOST`]: when it is
//! full, or no descriptor is left, the visitor that has been there longest without a proof goes, and until one has been there long enough,
//! who comes next waits in the system's queue. Whoever has proved itself is not sent away.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::doors::{Doors, listen};
use super::guest;
use super::handshake::Refusal;
use super::meeting::{Meeting, listed};
use super::member::Member;
use super::message::Message;
use super::rendezvous::{Joined, deadline, nonce};
use super::seat::Seat;
use super::stream::{Stream, is_shortage, retry};
use super::visitor::{Manner, Strangers, Visit, Visitor};
use crate::config::Config;

/// How many visitors are received at once.
const MOST: usize = 256;
/// How often guests hear who is missing.
const NEWS: Duration = Duration::from_secs(1);
/// How long the guests may take to hear that the meeting failed.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the guests may take to hear who is there.
const SEND_OFF: Duration = Duration::from_secs(20);
/// For how long those who have the port are asked whether they are rank 0 of this job, too.
const ASKING: Duration = Duration::from_secs(1);
/// Between two tries to listen, and after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Meets the other ranks as rank 0.
pub(super) fn join(seat: &Seat, meeting: &Meeting, config: &Config) -> Result<Joined, String> {
    let deadline = deadline(config);
    let listener = open(seat, meeting, config, deadline)?;
    let mut host = Host {
        seat,
        meeting,
        listener,
        deadline,
        waits: config.join_timeout,
        visitors: Vec::new(),
        guests: (0..seat.size).map(|_| None).collect(),
        strangers: Strangers::default(),
        trouble: None,
    };
    let joined = host.gather().and_then(|()| host.introduce(config));
    if let Err(why) = &joined {
        // Who does not hear it sees the connection end.
        host.tell(&Message::Failed(why.clone()));
        host.flush(Instant::now() + FAREWELL);
    }
    joined
}

struct Host<'a> {
    seat: &'a Seat,
    meeting: &'a Meeting,
    listener: TcpListener,
    deadline: Instant,
    waits: Duration,
    /// In the order in which they came.
    visitors: Vec<Visitor>,
    /// By rank.
    guests: Vec<Option<Guest>>,
    strangers: Strangers,
    /// Why a connection could not be accepted, and until when not to try.
    trouble: Option<(io::Error, Instant)>,
}

/// A rank that has come.
struct Guest {
    stream: Stream,
    heartbeat: Duration,
    member: Member,
    /// What it has yet to hear.
    output: Vec<u8>,
}

impl Host<'_> {
    /// Waits until all have come.
    fn gather(&mut self) -> Result<(), String> {
        let mut news = Instant::now() + NEWS;
        while !self.missing().is_empty() {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(self.timed_out());
            }
            if now >= news {
                let waiting = Message::Waiting(self.missing()).encode();
                // Whoever has not heard the last news yet misses these.
                let idle = self.guests.iter_mut().flatten().filter(|guest| guest.output.is_empty());
                idle.for_each(|guest| guest.output.clone_from(&waiting));
                news = now + NEWS;
            }
            let (knock, ready, heard) = self.wait(news.min(self.deadline));
            if let Some(rank) = heard.into_iter().find(|&rank| !self.is_there(rank)) {
                return Err(format!(
                    "rank {rank} left while the ranks gathered at {}; {} had not come{}",
                    self.meeting,
                    listed(&self.missing()),
                    self.strangers
                ));
            }
            self.receive(&ready)?;
            if knock {
                self.admit()?;
            }
            self.flush(now);
        }
        Ok(())
    }

    /// The ranks that have not come, this one aside.
    fn missing(&self) -> Vec<usize> {
        (1..self.seat.size).filter(|&rank| self.guests[rank].is_none()).collect()
    }

    fn timed_out(&self) -> String {
        let missing = self.missing();
        let trouble = self.trouble.as_ref().map(|(e, _)| format!("; connections could not be accepted: {e}"));
        format!(
            "{} of {} ranks did not come to {} within {:?} (PARHELION_JOIN_TIMEOUT): {}{}{}",
            missing.len(),
            self.seat.size,
            self.meeting,
            self.waits,
            listed(&missing),
            self.strangers,
            trouble.unwrap_or_default()
        )
    }

    /// Waits until something happens, at most until then: whether somebody knocks, which visitors can go on (by position), and
    /// which guests were heard.
    fn wait(&self, until: Instant) -> (bool, Vec<bool>, Vec<usize>) {
        let now = Instant::now();
        let mut until = self.visitors.iter().map(Visitor::deadline).fold(until, Instant::min);
        let mut open = true;
        // Nobody is let in while there is no room, or no means.
        for closed in [self.room(), self.trouble.as_ref().map(|(_, pause)| *pause)].into_iter().flatten() {
            if closed > now {
                open = false;
                until = until.min(closed);
            }
        }
        let ranks: Vec<usize> = (0..self.seat.size).filter(|&rank| self.guests[rank].is_some()).collect();
        let guests = ranks.iter().filter_map(|&rank| self.guests[rank].as_ref());
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        fds.push(PollFd::from_borrowed_fd(
            self.listener.as_fd(),
            if open { PollFlags::IN } else { PollFlags::empty() },
        ));
        fds.extend(self.visitors.iter().map(|visitor| PollFd::from_borrowed_fd(visitor.fd(), visitor.interest())));
        fds.extend(guests.map(|guest| {
            let interest = if guest.output.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            PollFd::from_borrowed_fd(guest.stream.as_fd(), interest)
        }));
        let left = Timespec::try_from(until.saturating_duration_since(now)).ok();
        if poll(&mut fds, left.as_ref()).is_err() {
            // Interrupted, or out of memory: whoever has to wait is asked again.
            return (false, vec![false; self.visitors.len()], Vec::new());
        }
        let now = Instant::now();
        let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (listener, rest) = fds.split_first().expect("the listener");
        let (visitors, guests) = rest.split_at(self.visitors.len());
        let ready = visitors.iter().zip(&self.visitors).map(|(fd, visitor)| happened(fd) || now >= visitor.deadline());
        let heard = guests.iter().zip(ranks).filter(|(fd, _)| !(fd.revents() - PollFlags::OUT).is_empty());
        (open && happened(listener), ready.collect(), heard.map(|(_, rank)| rank).collect())
    }

    /// From when on there is room for another visitor; none if there is.
    fn room(&self) -> Option<Instant> {
        let is_full = self.visitors.len() >= MOST;
        let first = self.visitors.iter().find(|visitor| !visitor.is_proved());
        is_full.then(|| first.map_or(self.deadline, Visitor::grace))
    }

    /// Lets in who knocks.
    fn admit(&mut self) -> Result<(), String> {
        // Not for ever, however many come: those inside have to be served.
        for _ in 0..MOST {
            if let Some(room) = self.room() {
                if room > Instant::now() {
                    break;
                }
                self.send_one_away();
            }
            match self.listener.accept() {
                Ok((stream, from)) => {
                    self.trouble = None;
                    let visitor = Stream::tcp(stream)
                        .and_then(|stream| Visitor::new(stream, from, &self.seat.key, self.seat.size));
                    // What cannot be set up was cut off already.
                    if let Ok(visitor) = visitor {
                        self.visitors.push(visitor);
                        self.advance(self.visitors.len() - 1)?;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                // Whoever has been there longest has what the next one needs.
                Err(e) if is_shortage(&e) && self.send_one_away() => {}
                Err(e) => {
                    self.trouble = Some((e, Instant::now() + PAUSE));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends the visitor away that has been there longest without a proof, if it has been there long enough: whether one has gone.
    fn send_one_away(&mut self) -> bool {
        let now = Instant::now();
        let oldest = self.visitors.iter().position(|visitor| !visitor.is_proved() && visitor.grace() <= now);
        if let Some(oldest) = oldest {
            let sent_away = self.visitors.remove(oldest);
            self.strangers.note(Manner::Silent, sent_away.from);
        }
        oldest.is_some()
    }

    /// Goes on with the visitors that are ready.
    fn receive(&mut self, ready: &[bool]) -> Result<(), String> {
        // From behind: one that goes moves those behind it.
        for at in (0..ready.len()).rev().filter(|&at| ready[at]) {
            self.advance(at)?;
        }
        Ok(())
    }

    fn advance(&mut self, at: usize) -> Result<(), String> {
        let Some(visit) = self.visitors[at].advance() else { return Ok(()) };
        let visitor = self.visitors.remove(at);
        let from = visitor.from;
        match visit {
            Visit::Guest(rank, heartbeat, member) => {
                let guest = Guest { stream: visitor.into_stream(), heartbeat, member, output: Vec::new() };
                self.seat_guest(rank, guest, from)?;
            }
            Visit::Stranger(manner) => self.strangers.note(manner, from),
            // Another job of this user, which must not disturb this one.
            Visit::Misfit(Refusal::Job) => {
                tracing::warn!("a process of another job came from {from} and was sent away");
                self.strangers.note_other_job(from);
            }
            Visit::Misfit(refusal) => {
                return Err(format!("a rank that does not fit came to {} from {from}: {refusal}", self.meeting));
            }
            // It comes again if it can.
            Visit::Lost(rank) => tracing::warn!("rank {rank} left {from} before it said where it can be reached"),
        }
        Ok(())
    }

    fn seat_guest(&mut self, rank: usize, mut guest: Guest, from: SocketAddr) -> Result<(), String> {
        if self.guests[rank].is_some() {
            let text = format!(
                "rank {rank} came twice to {}, the second time from {from}: two processes have the same rank",
                self.meeting
            );
            guest.output = Message::Failed(text.clone()).encode();
            let _ = guest.flush();
            return Err(text);
        }
        self.guests[rank] = Some(guest);
        let missing = self.missing();
        if let Some(guest) = &mut self.guests[rank]
            && !missing.is_empty()
        {
            guest.output = Message::Waiting(missing).encode();
        }
        Ok(())
    }

    /// Tells all who is there, and where.
    fn introduce(&mut self, config: &Config) -> Result<Joined, String> {
        let (doors, me) = self.doors(config)?;
        let members = self.guests.iter().map(|guest| guest.as_ref().map_or(&me, |guest| &guest.member).clone());
        let roster: Vec<Member> = members.collect();
        all_reach_all(&roster)?;
        // A rank that speaks less often than another one listens would be lost to it.
        let heartbeat = self.guests.iter().flatten().map(|guest| guest.heartbeat).fold(config.heartbeat, Duration::min);
        let nonce = nonce();
        self.tell(&Message::Roster(nonce, heartbeat, roster.clone()));
        if !self.flush(Instant::now() + SEND_OFF) {
            let deaf = |guest: &Option<Guest>| guest.as_ref().is_some_and(|guest| !guest.output.is_empty());
            let deaf: Vec<usize> = (0..self.seat.size).filter(|&rank| deaf(&self.guests[rank])).collect();
            return Err(format!("{} did not hear who had come, and may have ended", listed(&deaf)));
        }
        let mut star = Vec::new();
        for (rank, guest) in self.guests.iter_mut().enumerate() {
            if let Some(guest) = guest.take() {
                guest.stream.set_nonblocking(false).map_err(|e| format!("cannot use a connection: {e}"))?;
                star.push((rank, guest.stream));
            }
        }
        let key = self.seat.key.session(&nonce);
        Ok(Joined { rank: 0, size: self.seat.size, roster, heartbeat, key, doors, star })
    }

    /// Where this rank is reached: at the address where the others met it.
    fn doors(&self, config: &Config) -> Result<(Doors, Member), String> {
        let listens = self.listener.local_addr().map(|at| at.ip()).map_err(|e| format!("cannot listen: {e}"))?;
        let met = self.guests.iter().flatten().filter_map(|guest| guest.stream.local_ip());
        // A guest on this machine may have come by the loopback, where the others cannot.
        let met = met.max_by_key(|ip| !ip.is_loopback()).unwrap_or(listens);
        let address = config.bind.unwrap_or(listens);
        Doors::open(address, met).map_err(|e| format!("cannot listen on {address} (PARHELION_BIND): {e}"))
    }

    fn tell(&mut self, message: &Message) {
        let bytes = message.encode();
        for guest in self.guests.iter_mut().flatten() {
            guest.output.extend_from_slice(&bytes);
        }
    }

    /// Writes what the guests have yet to hear, at most until then. Whether all of it is written.
    fn flush(&mut self, until: Instant) -> bool {
        loop {
            // Whoever is gone is found out by whoever reads.
            let pending = self.guests.iter_mut().flatten().filter_map(|guest| (!guest.flush()).then_some(&*guest));
            let mut fds: Vec<PollFd<'_>> =
                pending.map(|guest| PollFd::from_borrowed_fd(guest.stream.as_fd(), PollFlags::OUT)).collect();
            let left = until.saturating_duration_since(Instant::now());
            if fds.is_empty() || left.is_zero() {
                return fds.is_empty();
            }
            // An error is an interruption: looked at again.
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        }
    }

    /// Whether this guest is still there and has, as it should, nothing to say.
    fn is_there(&self, rank: usize) -> bool {
        let Some(guest) = &self.guests[rank] else { return false };
        match retry(|| (&guest.stream).read(&mut [0])) {
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => false,
        }
    }
}

/// Whether no guest gives the loopback as its address to a guest of another host. Rank 0 has a connection to everybody.
fn all_reach_all(roster: &[Member]) -> Result<(), String> {
    let host = |rank: usize| roster[rank].unix.map(|(host, _)| host);
    for rank in (1..roster.len()).filter(|&rank| roster[rank].tcp.ip().is_loopback()) {
        let elsewhere = |other: &usize| host(*other).zip(host(rank)).is_some_and(|(theirs, its)| theirs != its);
        if let Some(other) = (1..roster.len()).find(elsewhere) {
            return Err(format!(
                "rank {rank} can be reached at {}, which only its own host can do, and rank {other} is on another one; \
                 set PARHELION_BIND for rank {rank} to an address at which all can reach it",
                roster[rank].tcp.ip()
            ));
        }
    }
    Ok(())
}

impl Guest {
    /// Whether nothing is left to write, or nobody to hear it.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match retry(|| (&self.stream).write(&self.output)) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.output.clear(),
            }
        }
        true
    }
}

/// The listener that was inherited, or one at the first place that is free.
fn open(seat: &Seat, meeting: &Meeting, config: &Config, deadline: Instant) -> Result<TcpListener, String> {
    if let Some(listener) = &seat.listener {
        let listener = listener.try_clone().and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        return listener.map_err(|e| format!("cannot use the socket of PARHELION_RENDEZVOUS_FD: {e}"));
    }
    let places = match config.bind {
        Some(address) => meeting.at(address),
        None => meeting.addresses().map_err(|e| format!("cannot find the host of {meeting}: {e}"))?,
    };
    let asked = Instant::now();
    loop {
        let mut last = None;
        let mut is_used = false;
        for &place in &places {
            match listen(place) {
                Ok(listener) => return Ok(listener),
                Err(e) => {
                    if e.kind() == io::ErrorKind::AddrInUse {
                        is_used = true;
                        let until = deadline.min(asked + ASKING);
                        if Instant::now() < until && guest::is_rank_0(seat, place, until) {
                            return Err(format!("rank 0 came twice to {place}: two processes have the same rank"));
                        }
                    }
                    last = Some(e);
                }
            }
        }
        // A port may be that of a job that is about to end.
        if !is_used || Instant::now() + PAUSE >= deadline {
            let error = last.map_or("it has no address".to_owned(), |e| e.to_string());
            let advice = if is_used {
                "another process listens there: give another port, or a range HOST:FIRST-LAST"
            } else {
                "rank 0 must run on the host that PARHELION_RENDEZVOUS names; PARHELION_BIND gives it another address"
            };
            return Err(format!("cannot listen at {meeting}: {error}; {advice}"));
        }
        std::thread::sleep(PAUSE);
    }
}
