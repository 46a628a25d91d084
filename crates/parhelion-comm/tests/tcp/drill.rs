//! A random program in which one rank dies at a random point, and what its ranks must then say.
//!
//! Everything comes from a seed: the operations, which are the same at every rank and whose results every rank knows, who
//! dies, how, before or within which operation, and whether ranks share memory. A survivor says whom it has lost, and leaves a while
//! later: so that whoever waits for the dead rank hears of that one first, and whoever waits for a survivor that has given up is
//! released.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parhelion_comm::{Any, Communicator, Config, Error, ErrorKind, Lock, Method, Op, PeerMemory, Window};

use super::processes::{Ended, report};

/// Operations of a program in which nobody dies.
const OPERATIONS: usize = 60;
/// How long a survivor stays after it has said what it lost.
const STAY: Duration = Duration::from_millis(300);

/// How a rank dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// `SIGKILL`.
    Kill,
    /// `std::process::exit(0)`, in the middle of whatever it does.
    Exit,
    /// `SIGABRT`.
    Abort,
    /// Its main panics.
    Panic,
    /// Its main returns an error.
    Error,
}

/// The whole of a drill but its operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) victim: usize,
    pub(crate) death: Death,
    /// Whether ranks of one host use shared memory.
    pub(crate) shares: bool,
    /// Before which operation the clock starts.
    at: usize,
    /// How long it then runs.
    after: Duration,
}

impl Plan {
    pub(crate) fn new(seed: u64, ranks: usize) -> Plan {
        let mut random = Random(seed ^ 0x5eed);
        let deaths = [Death::Kill, Death::Kill, Death::Exit, Death::Abort, Death::Panic, Death::Error];
        Plan {
            seed,
            victim: random.below(ranks),
            death: deaths[random.below(deaths.len())],
            shares: random.below(2) == 0,
            at: random.below(OPERATIONS),
            after: Duration::from_micros(random.below(2000) as u64),
        }
    }
}

/// The numbers of a seed (splitmix64; Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Microseconds of the machine's clock, which all ranks of a drill read.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// Microseconds for which the threads of this process could have run and had no core, as Linux counts them.
fn starved() -> u128 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let waited = threads.filter_map(|thread| {
        let words = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        words.split_whitespace().nth(1)?.parse::<u128>().ok()
    });
    waited.sum::<u128>() / 1000
}

/// This process's part. Prints `died TIME`, `lost RANK TIME STARVED AMONG OPERATION` or `done`, and leaves with an error unless it is
/// that.
pub(crate) fn take_part(plan: Plan) -> Result<(), Error> {
    let mut config = Config::from_env()?;
    config.shared_memory &= plan.shares;
    parhelion_comm::launch(&config, |world| {
        // Everybody is here before anybody dies; who is late in leaving the barrier may find the dead rank there.
        let mut among = Among::All;
        let ended = world.barrier().and_then(|()| operations(&world, plan, &mut among));
        match &ended {
            Ok(()) => println!("done"),
            Err(e) => {
                if let ErrorKind::PeerLost { rank, .. } = e.kind() {
                    println!("lost {rank} {} {} {among:?} {}", now(), starved(), e.operation());
                    std::thread::sleep(STAY);
                }
            }
        }
        ended
    })
    .map(drop)
}

/// Whom an operation waits for.
#[derive(Debug, Clone, Copy)]
enum Among {
    /// All ranks, but for its messages of two.
    All,
    /// Some, of which each may give up because of another.
    Some,
}

fn operations(world: &Communicator, plan: Plan, among: &mut Among) -> Result<(), Error> {
    let mut random = Random(plan.seed);
    for number in 0..OPERATIONS {
        if plan.at == number && plan.victim == world.rank() {
            die(plan)?;
        }
        let kind = random.below(15);
        *among = if kind < 12 { Among::All } else { Among::Some };
        operation(world, kind, number as u32, &mut random)?;
    }
    // A victim that was too quick for its clock is at the end; so nobody misses it.
    Ok(())
}

fn die(plan: Plan) -> Result<(), Error> {
    match plan.death {
        Death::Panic => {
            println!("died {}", now());
            panic!("on purpose");
        }
        Death::Error => {
            println!("died {}", now());
            return Err(Error::new("drill", ErrorKind::InvalidArgument("on purpose".to_owned())));
        }
        _ => {}
    }
    std::thread::spawn(move || {
        std::thread::sleep(plan.after);
        println!("died {}", now());
        match plan.death {
            Death::Exit => std::process::exit(0),
            Death::Abort => std::process::abort(),
            _ => {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL).expect("a process may kill itself");
            }
        }
    });
    Ok(())
}

/// One random operation of a kind; it panics if its result is wrong.
fn operation(c: &Communicator, kind: usize, number: u32, random: &mut Random) -> Result<(), Error> {
    let (me, size) = (c.rank(), c.size());
    let count = [1, 17, 1000, 20_000, 200_000][random.below(5)];
    let salt = random.next() >> 16;
    let of = |rank: usize| vec![salt + rank as u64; count];
    let total: u64 = (0..size as u64).map(|rank| salt + rank).sum();
    let root = random.below(size);
    // Around a ring by random strides, so that pairs differ from time to time.
    let stride = random.below(size);
    let (to, from) = ((me + stride) % size, (me + size - stride) % size);
    match kind {
        0 => c.barrier()?,
        1 => {
            let mut data = if me == root { of(root) } else { vec![0; count] };
            c.broadcast(&mut data, root)?;
            assert!(data == of(root), "a broadcast");
        }
        2 => assert!(c.all_reduce(&of(me), Op::Sum)?.iter().all(|x| *x == total), "a sum"),
        3 => {
            let sums = c.reduce(&of(me), |a: u64, b: u64| a + b, root)?;
            assert!(sums.is_none_or(|sums| sums.iter().all(|x| *x == total)), "a sum by a closure");
        }
        4 => {
            let all = c.all_gather(&of(me)[..count.min(1000)])?;
            let right =
                all.chunks(count.min(1000)).enumerate().all(|(r, part)| part.iter().all(|x| *x == salt + r as u64));
            assert!(right, "what all have");
        }
        5 => {
            let mine: Vec<u64> = (0..size).flat_map(|r| vec![salt + (me * size + r) as u64; 100]).collect();
            let got = c.all_to_all(&mine)?;
            let right = got.chunks(100).enumerate().all(|(r, p)| p.iter().all(|x| *x == salt + (r * size + me) as u64));
            assert!(right, "what each has for each");
        }
        6 => {
            let before: u64 = (0..=me as u64).map(|rank| salt + rank).sum();
            assert!(c.scan(&of(me), Op::Sum)?.iter().all(|x| *x == before), "a scan");
        }
        7 => {
            let sums = c.iall_reduce(of(me), Op::Sum)?;
            let around = c.isend(of(me), to, 1)?;
            let (got, _) = c.recv_vec::<u64>(from, 1)?;
            assert!(got == of(from), "a message beside a sum");
            around.wait()?;
            assert!(sums.wait()?.iter().all(|x| *x == total), "a sum in flight");
        }
        8 => {
            let mut got = vec![0; count];
            c.send_recv(&of(me), to, 2, &mut got, from, 2)?;
            assert!(got == of(from), "a message around");
        }
        9 => {
            let many =
                (0..20).map(|i| c.isend(vec![salt + i; count.min(1000)], to, 3)).collect::<Result<Vec<_>, _>>()?;
            for i in 0..20 {
                let (got, _) = c.recv_vec::<u64>(from, 3)?;
                assert!(got == vec![salt + i; count.min(1000)], "message {i} of many");
            }
            parhelion_comm::wait_all(many)?;
        }
        10 => {
            if me != root {
                // A tag of its own: a rank may be two operations ahead of another.
                c.send_synchronous(&of(me), root, 4 + number)?;
            } else {
                for _ in 1..size {
                    let (got, status) = c.probe_message(Any, 4 + number)?.recv_vec::<u64>()?;
                    assert!(got == of(status.source), "a message from anyone");
                }
            }
        }
        11 => {
            let made = match salt % 3 {
                0 => c.dup()?,
                1 => c.split(Some(0), me as i64)?.expect("a colour"),
                _ => c.group("drill", &(0..size).collect::<Vec<_>>())?,
            };
            assert_eq!(made.all_reduce(&[salt], Op::Max)?, [salt], "a new communicator");
        }
        12 => {
            let method = Method::ALL[salt as usize % Method::ALL.len()];
            let mut set = c.message_set(method, &[(to, 8 * count)], &[(from, 8 * count)])?;
            for round in 0..3 {
                let bytes = |rank: usize| (salt + rank as u64 + round).to_ne_bytes().repeat(count);
                set.send_part(0).copy_from_slice(&bytes(me));
                set.start()?;
                set.finish(|_, got| assert!(got == bytes(from), "round {round} of a set by {method}"))?;
            }
        }
        13 => {
            let mut window = Window::<u64>::allocate(c, size + 1)?;
            window.fence(|epoch| (0..size).try_for_each(|rank| epoch.part(rank)?.put(me, &[salt + me as u64])))?;
            window.passive(|epoch| epoch.lock(root, Lock::Exclusive)?.accumulate(size, &[salt], Op::Sum))?;
            let put = window.local()[..size].iter().zip(salt..).all(|(got, put)| *got == put);
            let sum = if me == root { salt.wrapping_mul(size as u64) } else { 0 };
            assert!(put && window.local()[size] == sum, "a window");
        }
        _ => {
            let mut peers = vec![to, from];
            peers.sort_unstable();
            peers.dedup();
            peers.retain(|peer| *peer != me);
            read_each_other(c, &peers, count, &of)?;
        }
    }
    Ok(())
}

/// Lets `peers`, each of which names this rank, read this rank's memory, and reads theirs, where that is possible.
fn read_each_other(
    c: &Communicator,
    peers: &[usize],
    count: usize,
    of: &dyn Fn(usize) -> Vec<u64>,
) -> Result<(), Error> {
    let attached = c.attach(peers)?;
    let attached: Vec<PeerMemory> = attached.into_iter().flatten().collect();
    if peers.is_empty() || attached.len() < peers.len() {
        return Ok(());
    }
    let mut memory = c.allocate::<u64>(count);
    memory.copy_from_slice(&of(c.rank()));
    let read = || {
        let signals = c.signals(peers, 1)?;
        let token = memory.token().expect("memory that peers can read has one");
        peers.iter().try_for_each(|peer| c.send(&[token], *peer, 4))?;
        signals.post(0, 1);
        for (i, peer) in attached.iter().enumerate() {
            let mut theirs = [0];
            c.recv(&mut theirs, peer.peer(), 4)?;
            signals.wait(i, 0, 1)?;
            let at = peer.resolve(theirs[0], 8 * count)?.cast::<u64>();
            let mut got = vec![0; count];
            // SAFETY: the peer has written its memory before it posted, and keeps it as it is until this rank posts again, or for
            // good if that fails.
            unsafe { std::ptr::copy_nonoverlapping(at, got.as_mut_ptr(), count) };
            assert!(got == of(peer.peer()), "the memory of another rank");
        }
        signals.post(0, 2);
        (0..peers.len()).try_for_each(|i| signals.wait(i, 0, 2))
    };
    let ended = read();
    if ended.is_err() {
        // Somebody may still read it.
        std::mem::forget(memory);
    }
    ended
}

/// What came of a drill that went as it must.
pub(crate) struct Verdict {
    /// Survivors that named the dead rank.
    pub(crate) named: usize,
    /// Survivors that waited for one who had already given up, and named that one.
    pub(crate) followed: usize,
    /// From the death to the last survivor that named the dead rank.
    pub(crate) latest: Duration,
    /// The same without the time for which ranks had no core, and any of them may have waited for any.
    pub(crate) overdue: Duration,
}

/// Judges the ranks of a drill.
///
/// # Errors
/// What is wrong, with all that the ranks said.
pub(crate) fn judge(plan: Plan, ended: &[Ended]) -> Result<Verdict, String> {
    let wrong = |what: String| Err(format!("{plan:?}: {what}\n{}", report(ended)));
    let line = |rank: usize, word: &str| {
        let mut lines = ended[rank].out.lines().filter_map(|line| line.split_once(word));
        lines.next().map(|(_, rest)| rest.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>())
    };
    let time = |words: &[&str], i: usize| words.get(i).and_then(|w| w.parse::<u128>().ok()).unwrap_or(0);
    let died = line(plan.victim, "died").map(|words| time(&words, 0));
    let mut verdict = Verdict { named: 0, followed: 0, latest: Duration::ZERO, overdue: Duration::ZERO };
    let starved: u128 = (0..ended.len()).filter_map(|rank| line(rank, "lost ")).map(|words| time(&words, 2)).sum();
    for (rank, Ended { status, out, .. }) in ended.iter().enumerate() {
        let Some(status) = status else { return wrong(format!("rank {rank} hangs")) };
        if rank == plan.victim {
            if died.is_none() && !out.contains("done") {
                return wrong("the victim did not come to its death".to_owned());
            }
            continue;
        }
        match line(rank, "lost ") {
            None if out.contains("done") && status.success() => {}
            None => return wrong(format!("rank {rank} neither finished nor lost a rank")),
            Some(_) if died.is_none() => return wrong(format!("rank {rank} lost a rank and none has died")),
            Some(words) => {
                let lost: usize = words.first().and_then(|w| w.parse().ok()).unwrap_or(usize::MAX);
                let gave_up = lost < ended.len() && line(lost, "lost ").is_some();
                let of_some = words.get(3) == Some(&"Some");
                let of_two = words.get(4).is_some_and(|operation| POINT_TO_POINT.contains(operation));
                if status.success() {
                    return wrong(format!("rank {rank} lost a rank and calls it a success"));
                } else if lost == plan.victim {
                    let passed = time(&words, 1).saturating_sub(died.unwrap_or_default());
                    verdict.latest = verdict.latest.max(Duration::from_micros(passed as u64));
                    let overdue = Duration::from_micros(passed.saturating_sub(starved) as u64);
                    verdict.overdue = verdict.overdue.max(overdue);
                    verdict.named += 1;
                } else if gave_up && (of_two || of_some) {
                    verdict.followed += 1;
                } else {
                    return wrong(format!("rank {rank} names rank {lost}"));
                }
            }
        }
    }
    Ok(verdict)
}

/// Operations in which a rank waits for one other, who may have given up: but for sets, windows and memory, everything else needs
/// all, and names the dead rank.
const POINT_TO_POINT: [&str; 8] =
    ["send", "recv", "isend", "irecv", "send_recv", "probe", "probe_message", "send_synchronous"];
