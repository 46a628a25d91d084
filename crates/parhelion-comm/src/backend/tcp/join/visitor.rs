//! [`Visitor`]: somebody who has connected to the host, until it is a guest or gone.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::handshake::{Handshake, Refusal};
use super::key::JobKey;
use super::member::Member;
use super::message::{INTRODUCTION, Message};
use super::stream::{Stream, retry};

/// How long a visitor may take to prove itself and say where it can be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nobody is sent away before that, however many wait.
const GRACE: Duration = Duration::from_millis(200);

/// Somebody who has connected.
pub(super) struct Visitor {
    stream: Stream,
    pub(super) from: SocketAddr,
    came: Instant,
    handshake: Handshake,
    /// Once it has proved itself: its rank, and what it has sent of its introduction.
    proved: Option<(usize, Vec<u8>)>,
}

/// How a visit ended.
pub(super) enum Visit {
    /// A rank of the job has come, with this heartbeat, and can be reached there.
    Guest(usize, Duration, Member),
    /// It did not prove itself: it hung up, or said nothing for too long, or was refused.
    Stranger(Manner),
    /// It has proved itself, and was refused.
    Misfit(Refusal),
    /// It has proved itself as this rank, and then left or spoke nonsense.
    Lost(usize),
}

/// How a stranger behaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    HungUp,
    Silent,
    Garbage,
    WrongProof,
}

impl Visitor {
    /// Somebody at the other end of a new connection.
    pub(super) fn new(stream: Stream, from: SocketAddr, key: &JobKey, size: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let handshake = Handshake::answer(key, 0, size);
        Ok(Visitor { stream, from, came: Instant::now(), handshake, proved: None })
    }

    pub(super) fn is_proved(&self) -> bool {
        self.proved.is_some()
    }

    /// From when on it may be sent away for others.
    pub(super) fn grace(&self) -> Instant {
        self.came + GRACE
    }

    /// When its time is up.
    pub(super) fn deadline(&self) -> Instant {
        self.came + PATIENCE
    }

    /// What to poll for.
    pub(super) fn interest(&self) -> PollFlags {
        if self.handshake.to_send().is_empty() { PollFlags::IN } else { PollFlags::OUT }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Goes on as far as that is possible without waiting. None: it stays.
    pub(super) fn advance(&mut self) -> Option<Visit> {
        match self.step() {
            Ok(Some(Turn::Arrived(rank, heartbeat, member))) => Some(Visit::Guest(rank, heartbeat, member)),
            Ok(Some(Turn::Refused(refusal))) => Some(match refusal {
                Refusal::Garbage => Visit::Stranger(Manner::Garbage),
                Refusal::WrongProof => Visit::Stranger(Manner::WrongProof),
                misfit => Visit::Misfit(misfit),
            }),
            Ok(Some(Turn::Nonsense)) | Err(_) => Some(self.gone(Manner::HungUp)),
            Ok(None) => (Instant::now() >= self.deadline()).then(|| self.gone(Manner::Silent)),
        }
    }

    /// Its connection.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn gone(&self, manner: Manner) -> Visit {
        self.proved.as_ref().map_or(Visit::Stranger(manner), |(rank, _)| Visit::Lost(*rank))
    }

    /// None: the rest has to wait.
    fn step(&mut self) -> io::Result<Option<Turn>> {
        let mut buffer = [0; 128];
        loop {
            if !self.write_some()? {
                return Ok(None);
            }
            let wanted = self.proved.as_ref().map_or(self.handshake.wanted(), |(_, input)| INTRODUCTION - input.len());
            let Some(n) = read_some(&self.stream, &mut buffer[..wanted])? else { return Ok(None) };
            let Some((rank, input)) = &mut self.proved else {
                match self.handshake.take(&buffer[..n]) {
                    Ok(rank) => self.proved = rank.map(|rank| (rank, Vec::new())),
                    Err(refusal) => {
                        // So that a rank that does not fit sees why; the system has room for so little.
                        let _ = self.write_some();
                        return Ok(Some(Turn::Refused(refusal)));
                    }
                }
                continue;
            };
            input.extend_from_slice(&buffer[..n]);
            if input.len() == INTRODUCTION {
                let (head, body) = input.split_first_chunk().expect("longer than a head");
                return Ok(Some(match Message::decode(head, body, 0) {
                    Some(Message::Here(heartbeat, member)) => Turn::Arrived(*rank, heartbeat, member),
                    _ => Turn::Nonsense,
                }));
            }
        }
    }

    /// Whether all that is due could be written.
    fn write_some(&mut self) -> io::Result<bool> {
        while !self.handshake.to_send().is_empty() {
            match retry(|| (&self.stream).write(self.handshake.to_send())) {
                Ok(n) => self.handshake.sent(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

enum Turn {
    Arrived(usize, Duration, Member),
    Refused(Refusal),
    Nonsense,
}

/// How much came; none if nothing is there yet.
fn read_some(mut stream: &Stream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match retry(|| stream.read(buffer)) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(Some(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// The strangers that came, in numbers.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    hung_up: usize,
    silent: usize,
    garbage: usize,
    wrong_proof: usize,
    other_job: usize,
    last: Option<SocketAddr>,
}

impl Strangers {
    pub(super) fn note(&mut self, manner: Manner, from: SocketAddr) {
        self.last = Some(from);
        match manner {
            Manner::HungUp => self.hung_up += 1,
            Manner::Silent => self.silent += 1,
            Manner::Garbage => self.garbage += 1,
            Manner::WrongProof => self.wrong_proof += 1,
        }
    }

    /// One that knows the secret and is of another job.
    pub(super) fn note_other_job(&mut self, from: SocketAddr) {
        self.last = Some(from);
        self.other_job += 1;
    }
}

/// Nothing if there were none, else a sentence to append.
impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.last else { return Ok(()) };
        let kinds = [
            (self.wrong_proof, "gave a wrong proof (ranks with another PARHELION_SECRET_FILE do)"),
            (self.other_job, "knew the secret but were of another job (the names of the jobs differ)"),
            (self.garbage, "did not speak this protocol"),
            (self.hung_up, "hung up before a proof"),
            (self.silent, "said nothing"),
        ];
        let said = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        write!(f, "; strangers came, the last from {last}: {}", said.collect::<Vec<_>>().join(", "))
    }
}
