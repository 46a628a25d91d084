//! A random program in which one rank dies at a random point, and what its ranks must then say.
//!
//! Everything comes from a seed: the operations, which are the same at every rank and whose results every rank knows, who
//! dies, how, before or within which operation. A survivor says whom it has lost, and leaves a while later: so that
//! whoever waits for the dead rank hears of that one first, and whoever waits for a survivor that has given up is released.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parhelion_comm::{Any, Communicator, Config, Error, ErrorKind, Op};

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

/// This process's part. Prints `died TIME`, `lost RANK TIME OPERATION` or `done`, and leaves with an error unless it is that.
pub(crate) fn take_part(plan: Plan) -> Result<(), Error> {
    parhelion_comm::launch(&Config::from_env()?, |world| {
        // Everybody is here before anybody dies; who is late in leaving the barrier may find the dead rank there.
        let ended = world.barrier().and_then(|()| operations(&world, plan));
        match &ended {
            Ok(()) => println!("done"),
            Err(e) => {
                if let ErrorKind::PeerLost { rank, .. } = e.kind() {
                    println!("lost {rank} {} {}", now(), e.operation());
                    std::thread::sleep(STAY);
                }
            }
        }
        ended
    })
    .map(drop)
}

fn operations(world: &Communicator, plan: Plan) -> Result<(), Error> {
    let mut random = Random(plan.seed);
    for number in 0..OPERATIONS {
        if plan.at == number && plan.victim == world.rank() {
            die(plan)?;
        }
        operation(world, number as u32, &mut random)?;
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

/// One random operation; it panics if its result is wrong.
fn operation(c: &Communicator, number: u32, random: &mut Random) -> Result<(), Error> {
    let (me, size) = (c.rank(), c.size());
    let count = [1, 17, 1000, 20_000, 200_000][random.below(5)];
    let salt = random.next() >> 16;
    let of = |rank: usize| vec![salt + rank as u64; count];
    let total: u64 = (0..size as u64).map(|rank| salt + rank).sum();
    let root = random.below(size);
    // Around a ring by random strides, so that pairs differ from time to time.
    let stride = random.below(size);
    let (to, from) = ((me + stride) % size, (me + size - stride) % size);
    match random.below(12) {
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
        _ => {
            let made = match salt % 3 {
                0 => c.dup()?,
                1 => c.split(Some(0), me as i64)?.expect("a colour"),
                _ => c.group("drill", &(0..size).collect::<Vec<_>>())?,
            };
            assert_eq!(made.all_reduce(&[salt], Op::Max)?, [salt], "a new communicator");
        }
    }
    Ok(())
}

/// What came of a drill that went as it must.
pub(crate) struct Verdict {
    /// Survivors that named the dead rank.
    pub(crate) named: usize,
    /// Survivors that waited for one who had already given up, and named that one.
    pub(crate) followed: usize,
    /// From the death to the last survivor that named the dead rank.
    pub(crate) latest: Duration,
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
    let mut verdict = Verdict { named: 0, followed: 0, latest: Duration::ZERO };
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
                let of_two = words.get(2).is_some_and(|operation| POINT_TO_POINT.contains(operation));
                if status.success() {
                    return wrong(format!("rank {rank} lost a rank and calls it a success"));
                } else if lost == plan.victim {
                    let passed = time(&words, 1).saturating_sub(died.unwrap_or_default());
                    verdict.latest = verdict.latest.max(Duration::from_micros(passed as u64));
                    verdict.named += 1;
                } else if gave_up && of_two {
                    verdict.followed += 1;
                } else {
                    return wrong(format!("rank {rank} names rank {lost}"));
                }
            }
        }
    }
    Ok(verdict)
}

/// Operations in which a rank waits for one other, who may have given up: everything else needs all, and names the dead rank.
const POINT_TO_POINT: [&str; 8] =
    ["send", "recv", "isend", "irecv", "send_recv", "probe", "probe_message", "send_synchronous"];
