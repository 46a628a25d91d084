//! Every rank but 0 at the meeting: it dials until somebody there proves to be rank 0, and says where it can be reached.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::doors::Doors;
use super::handshake::{Handshake, Refusal};
use super::meeting::{Meeting, listed};
use super::message::{HEAD, Message};
use super::rendezvous::{Joined, deadline};
use super::seat::Seat;
use super::stream::{Stream, retry};
use crate::config::Config;

/// Between two rounds of dialling: from, doubling, to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));
/// How long one of several places may take, to connect and to prove itself. It may be anybody's.
const PATIENCE: Duration = Duration::from_secs(3);

/// Meets the other ranks as any but rank 0.
pub(super) fn join(seat: &Seat, meeting: &Meeting, config: &Config) -> Result<Joined, String> {
    let deadline = deadline(config);
    let mut pause = PAUSES.0;
    let mut missed = Missed::default();
    let mut places = Vec::new();
    loop {
        if places.is_empty() {
            match meeting.addresses() {
                Ok(found) => places = found,
                Err(e) => missed.note(Miss::NoHost(e)),
            }
        }
        for &place in &places {
            let until = if places.len() > 1 { deadline.min(Instant::now() + PATIENCE) } else { deadline };
            match dial(seat, place, until) {
                Ok(stream) => match introduce(seat, config, stream, deadline)? {
                    Some(joined) => return Ok(joined),
                    None => missed.note(Miss::HungUp(place)),
                },
                Err(Miss::Misfit(_, refusal)) if refusal != Refusal::Job || places.len() == 1 => {
                    return Err(format!("this rank and rank 0 at {place} do not fit: {refusal}"));
                }
                Err(other) => missed.note(other),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let waited = config.join_timeout;
            return Err(format!("rank 0 did not come to {meeting} within {waited:?} (PARHELION_JOIN_TIMEOUT){missed}"));
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Why one call did not reach rank 0.
#[derive(Debug)]
enum Miss {
    /// The host's name means nothing.
    NoHost(io::Error),
    Unreachable(SocketAddr, io::Error),
    Silent(SocketAddr),
    HungUp(SocketAddr),
    Garbage(SocketAddr),
    /// It hung up when it saw this rank's proof.
    HungUpOnProof(SocketAddr),
    WrongProof(SocketAddr),
    /// It has proved itself, and does not fit.
    Misfit(SocketAddr, Refusal),
}

impl Miss {
    /// How much it tells.
    fn weight(&self) -> u8 {
        match self {
            Miss::NoHost(_) => 0,
            Miss::Unreachable(..) => 1,
            Miss::Silent(_) => 2,
            Miss::HungUp(_) => 3,
            Miss::Garbage(_) => 4,
            Miss::HungUpOnProof(_) => 5,
            Miss::WrongProof(_) => 6,
            Miss::Misfit(..) => 7,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::NoHost(e) => write!(f, "{e}; PARHELION_RENDEZVOUS must name a host that this one knows"),
            Miss::Unreachable(place, e) => {
                write!(f, "{place}: {e}; rank 0 has not started, has ended, or listens elsewhere")
            }
            Miss::Silent(place) => write!(f, "whoever listens at {place} said nothing"),
            Miss::HungUp(place) => write!(f, "whoever listens at {place} hung up before it proved itself"),
            Miss::Garbage(place) => write!(f, "whoever listens at {place} does not speak this protocol"),
            Miss::HungUpOnProof(place) => {
                write!(
                    f,
                    "whoever listens at {place} hung up on this rank's proof, as rank 0 does on another secret; "
                )?;
                f.write_str("all ranks need the same PARHELION_SECRET_FILE")
            }
            Miss::WrongProof(place) => write!(f, "whoever listens at {place} gave a wrong proof: it is not rank 0"),
            Miss::Misfit(place, refusal) => write!(f, "{place}: {refusal}"),
        }
    }
}

/// What is told of all calls: the miss that tells most, and the last one.
#[derive(Default)]
struct Missed {
    best: Option<Miss>,
    /// If it tells less.
    last: Option<Miss>,
}

impl Missed {
    fn note(&mut self, miss: Miss) {
        if self.best.as_ref().is_some_and(|best| best.weight() > miss.weight()) {
            self.last = Some(miss);
        } else {
            *self = Missed { best: Some(miss), last: None };
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.best.iter().try_for_each(|miss| write!(f, ": {miss}"))?;
        self.last.iter().try_for_each(|miss| write!(f, "; the last time, {miss}"))
    }
}

/// Connects, and makes sure that rank 0 is there.
fn dial(seat: &Seat, place: SocketAddr, until: Instant) -> Result<TcpStream, Miss> {
    let unreachable = |e| Miss::Unreachable(place, e);
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&place, left).map_err(unreachable)?;
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        // On the loopback a port that nobody listens at may call itself. Reset, so that the port is free at once: rank 0 wants it.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return Err(unreachable(io::ErrorKind::ConnectionRefused.into()));
    }
    stream.set_nodelay(true).map_err(unreachable)?;
    let mut line = Line { stream: &stream, until };
    let mut handshake = Handshake::dial(&seat.key, seat.rank, seat.size, 0);
    let mut challenged = false;
    loop {
        let missed = |e: io::Error| match e.kind() {
            io::ErrorKind::TimedOut => Miss::Silent(place),
            _ if challenged => Miss::HungUpOnProof(place),
            _ => Miss::HungUp(place),
        };
        line.write(handshake.to_send()).map_err(missed)?;
        handshake.sent(usize::MAX);
        let mut bytes = vec![0; handshake.wanted()];
        line.read(&mut bytes).map_err(missed)?;
        match handshake.take(&bytes) {
            Ok(Some(_)) => return Ok(stream),
            Ok(None) => challenged = true,
            Err(Refusal::Garbage) => return Err(Miss::Garbage(place)),
            Err(Refusal::WrongProof) => return Err(Miss::WrongProof(place)),
            Err(refusal) => return Err(Miss::Misfit(place, refusal)),
        }
    }
}

/// Whether rank 0 of this job is at `place`: asked by another rank 0, which it refuses, as it tells the others.
pub(super) fn is_rank_0(seat: &Seat, place: SocketAddr, until: Instant) -> bool {
    matches!(dial(seat, place, until), Err(Miss::Misfit(_, Refusal::Rank { .. })))
}

/// Says where this rank can be reached, and waits until all have come. None if rank 0 hung up before it took notice.
fn introduce(seat: &Seat, config: &Config, stream: TcpStream, until: Instant) -> Result<Option<Joined>, String> {
    let failed = |e: io::Error| format!("cannot use the connection to rank 0: {e}");
    let here = stream.local_addr().map_err(failed)?.ip();
    let address = config.bind.unwrap_or(here);
    let (doors, me) =
        Doors::open(address, here).map_err(|e| format!("cannot listen on {address} (PARHELION_BIND): {e}"))?;
    let mut line = Line { stream: &stream, until };
    let mut missing = None;
    if line.write(&Message::Here(config.heartbeat, me.clone()).encode()).is_err() {
        return Ok(None);
    }
    loop {
        match line.message(seat.size) {
            Ok(Message::Waiting(ranks)) => missing = Some(ranks),
            Ok(Message::Failed(why)) => return Err(format!("rank 0 says: {why}")),
            Ok(Message::Roster(nonce, heartbeat, roster)) => {
                if roster[seat.rank] != me {
                    return Err("rank 0 has this rank at another address than it gave".to_owned());
                }
                stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None)).map_err(failed)?;
                let star = vec![(0, Stream::tcp(stream).map_err(failed)?)];
                let key = seat.key.session(&nonce);
                return Ok(Some(Joined { rank: seat.rank, size: seat.size, roster, heartbeat, key, doors, star }));
            }
            Ok(Message::Here(..)) => return Err("rank 0 speaks nonsense".to_owned()),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                let waits = missing
                    .map_or("rank 0 did not answer".to_owned(), |ranks| format!("{} did not come", listed(&ranks)));
                return Err(format!("{waits} within {:?} (PARHELION_JOIN_TIMEOUT)", config.join_timeout));
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err("rank 0 speaks nonsense".to_owned()),
            Err(_) => match missing {
                None => return Ok(None),
                Some(ranks) => return Err(format!("rank 0 ended while {} had not come", listed(&ranks))),
            },
        }
    }
}

/// A connection that is used until a moment, whatever comes.
struct Line<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Line<'_> {
    /// The time that is left.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if none is.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_read_timeout(self.left()?)?;
            match retry(|| (&mut &*self.stream).read(bytes)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => bytes = &mut bytes[n..],
                // The time is up; the clock has the last word.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(self.left()?)?;
            match retry(|| (&mut &*self.stream).write(bytes)) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn message(&mut self, size: usize) -> io::Result<Message> {
        let mut head = [0; HEAD];
        self.read(&mut head)?;
        let length = Message::length(&head, size).ok_or(io::ErrorKind::InvalidData)?;
        let mut body = vec![0; length];
        self.read(&mut body)?;
        Message::decode(&head, &body, size).ok_or(io::ErrorKind::InvalidData.into())
    }
}
