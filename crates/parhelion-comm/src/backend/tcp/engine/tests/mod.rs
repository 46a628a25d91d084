//! Several engines in one process, over loopback.

mod death;
mod messages;
mod replay;
mod shared;

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::operation::Outcome;
use super::{Channel, Engine, Envelope, Fault, Operation};
use crate::backend::SendMode;
use crate::backend::tcp::join::{Doors, HostId, JobKey, Joined, Member, Stream, UnixName};
use crate::config::Config;

/// A hang is a failure, and a slow machine is none.
const LIMIT: Duration = Duration::from_secs(60);
const CHANNEL: Channel = Channel { context: 1, lane: 0 };

/// Which sockets connect the ranks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Tcp,
    Unix,
    /// Unix sockets, and shared memory beside them.
    Rings,
}

/// What the rendezvous would leave to each of `size` ranks.
fn joined(size: usize, over: Over, config: &Config) -> Vec<Joined> {
    let doors: Vec<(Doors, Member)> = (0..size).map(|_| door(over)).collect();
    let roster: Vec<Member> = doors.iter().map(|(_, member)| member.clone()).collect();
    let key = JobKey::new(b"a secret of some length", "job");
    let mut joined: Vec<Joined> = doors
        .into_iter()
        .enumerate()
        .map(|(rank, (doors, _))| {
            let (roster, heartbeat, key) = (roster.clone(), config.heartbeat, key.clone());
            Joined { rank, size, roster, heartbeat, key, doors, star: vec![] }
        })
        .collect();
    for peer in 1..size {
        let (a, b) = pair(over);
        joined[0].star.push((peer, a));
        joined[peer].star.push((0, b));
    }
    joined
}

fn door(over: Over) -> (Doors, Member) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let mut member = Member { tcp: tcp.local_addr().unwrap(), unix: None };
    let mut unix = None;
    if over != Over::Tcp {
        let name = UnixName::new();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(name.path()).unwrap()).unwrap();
        socket.listen(128).unwrap();
        socket.set_nonblocking(true).unwrap();
        unix = Some(UnixListener::from(socket));
        member.unix = Some((HostId::here().unwrap(), name));
    }
    (Doors { tcp, unix }, member)
}

fn pair(over: Over) -> (Stream, Stream) {
    if over != Over::Tcp {
        let (a, b) = UnixStream::pair().unwrap();
        return (Stream::unix(a), Stream::unix(b));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Stream::tcp(a).unwrap(), Stream::tcp(listener.accept().unwrap().0).unwrap())
}

fn config() -> Config {
    Config { shared_memory: false, ..Config::default() }
}

/// Runs `main` at each of `size` ranks, each in its thread; then they leave.
fn ranks<T: Send>(size: usize, over: Over, main: impl Fn(&Arc<Engine>) -> T + Sync) -> Vec<T> {
    ranks_with(size, over, &config(), main)
}

fn ranks_with<T: Send>(size: usize, over: Over, config: &Config, main: impl Fn(&Arc<Engine>) -> T + Sync) -> Vec<T> {
    let _watch = Watch::new();
    let config = &Config { shared_memory: over == Over::Rings, ..config.clone() };
    thread::scope(|scope| {
        let threads: Vec<_> = joined(size, over, config)
            .into_iter()
            .map(|joined| {
                let main = &main;
                scope.spawn(move || {
                    let engine = Engine::start(joined, config).unwrap();
                    let guard = Leave(engine.clone());
                    let result = main(&engine);
                    std::mem::forget(guard);
                    engine.leave(true);
                    result
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        results.into_iter().map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Leaves when a test fails, so that the other ranks do not wait for ever.
struct Leave(Arc<Engine>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave(false);
    }
}

/// Aborts when a test takes too long.
struct Watch {
    _ends_with_it: std::sync::mpsc::Sender<()>,
}

impl Watch {
    fn new() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let name = thread::current().name().unwrap_or_default().to_owned();
        thread::spawn(move || {
            if receiver.recv_timeout(4 * LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        });
        Watch { _ends_with_it: sender }
    }
}

/// A send whose buffer lives as long as the operation.
fn isend(engine: &Arc<Engine>, bytes: Vec<u8>, dest: usize, tag: u32, mode: SendMode) -> Operation {
    // SAFETY: the vector's bytes stay where they are until the operation is over.
    let operation = unsafe { engine.send(bytes.as_ptr(), bytes.len(), dest, CHANNEL, tag, mode) };
    operation.keep(Box::new(bytes));
    operation
}

fn send(engine: &Arc<Engine>, bytes: &[u8], dest: usize, tag: u32) -> Outcome {
    finish(engine, &isend(engine, bytes.to_vec(), dest, tag, SendMode::Standard))
}

/// A receive and its buffer.
struct Receive {
    operation: Operation,
    buffer: Vec<u8>,
}

fn irecv(engine: &Arc<Engine>, len: usize, source: Option<usize>, tag: Option<u32>) -> Receive {
    let mut buffer = vec![0; len];
    // SAFETY: whoever drops a receive has waited for it or taken it back.
    let operation = unsafe { engine.recv(buffer.as_mut_ptr(), len, source, CHANNEL, tag) };
    Receive { operation, buffer }
}

impl Drop for Receive {
    fn drop(&mut self) {
        self.operation.take_back();
    }
}

impl Receive {
    fn wait(mut self, engine: &Engine) -> Result<(Envelope, Vec<u8>), Fault> {
        let envelope = finish(engine, &self.operation)?;
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(envelope.len);
        Ok((envelope, bytes))
    }
}

fn recv(
    engine: &Arc<Engine>,
    len: usize,
    source: Option<usize>,
    tag: Option<u32>,
) -> Result<(Envelope, Vec<u8>), Fault> {
    irecv(engine, len, source, tag).wait(engine)
}

/// Waits for an operation, within the limit.
#[track_caller]
fn finish(engine: &Engine, operation: &Operation) -> Outcome {
    assert!(engine.wait_until(Some(LIMIT), || operation.is_over()), "rank {} waits too long", engine.rank());
    operation.result().unwrap()
}

#[track_caller]
fn finish_all(engine: &Engine, operations: &[Operation]) {
    for operation in operations {
        finish(engine, operation).unwrap();
    }
}

/// Bytes that tell which message they are of.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        })
        .collect()
}
