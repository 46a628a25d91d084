//! A solve between processes while strangers come to its ranks' doors, by the thousand.
#![cfg(target_os = "linux")]

#[path = "../command/mod.rs"]
mod command;
#[path = "../../../parhelion-comm/tests/tcp/doors.rs"]
mod doors;
mod manner;

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use command::clean;
use doors::{Door, Knock, doors};
use manner::{GREETING, MANNERS};

/// Connections in all, from so many threads at a time, each of which keeps so many open.
const CONNECTIONS: usize = 10_000;
const THREADS: usize = 4;
const KEPT: usize = 400;
const RANKS: usize = 4;
/// A solve that has not ended by then hangs.
const DEADLINE: Duration = Duration::from_secs(240);
/// What 256 visitors, their sockets aside, may cost a rank.
const EXTRA_KIB: usize = 8 << 10;

/// What came of a solve.
struct Solved {
    iterations: serde_json::Value,
    error: serde_json::Value,
    /// The most memory that a rank has had, in KiB.
    peak: usize,
}

/// What the strangers have done.
#[derive(Default)]
struct Tally {
    made: AtomicUsize,
    greeted: AtomicUsize,
}

fn hostile(shared_memory: &str, descriptors: Option<usize>) {
    let calm = solve(shared_memory, descriptors, None);
    let tally = Tally::default();
    let begin = Instant::now();
    let mut solves = 0;
    // However fast the machine, all of them come while ranks are at work.
    while tally.made.load(Ordering::Relaxed) < CONNECTIONS {
        assert!(begin.elapsed() < DEADLINE, "only {} connections were made", tally.made.load(Ordering::Relaxed));
        let disturbed = solve(shared_memory, descriptors, Some(&tally));
        assert_eq!((&disturbed.iterations, &disturbed.error), (&calm.iterations, &calm.error));
        assert!(
            disturbed.peak < calm.peak + EXTRA_KIB,
            "{} KiB beside strangers, {} KiB without",
            disturbed.peak,
            calm.peak
        );
        solves += 1;
    }
    let [made, greeted] = [&tally.made, &tally.greeted].map(|count| count.load(Ordering::Relaxed));
    assert!(greeted > made / 100, "of {made} strangers, of whom 3 in 7 say hello, {greeted} were greeted");
    println!("{made} strangers came to {solves} solves, {greeted} were greeted");
}

/// Solves one system with all ranks, which may have so many `descriptors`, beside strangers where there is a tally for them.
fn solve(shared_memory: &str, descriptors: Option<usize>, tally: Option<&Tally>) -> Solved {
    let parhelion = env!("CARGO_BIN_EXE_parhelion");
    let ranks = RANKS.to_string();
    let args = ["solve", "--json", "--pde", "40", "-n", &ranks, "--backend", "tcp"];
    let mut command = match descriptors {
        None => clean(parhelion),
        Some(descriptors) => {
            let mut command = clean("sh");
            command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$@\""), "sh", parhelion]);
            command
        }
    };
    command.args(args).env("PARHELION_SHARED_MEMORY", shared_memory);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut solver = Solver(child.expect("the command was built"));
    let processes = solver.ranks();
    let over = AtomicBool::new(false);
    let peaks = Mutex::new(HashMap::new());
    let status = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (process, over, peaks) = (&processes[thread % RANKS], &over, &peaks);
            scope.spawn(move || {
                let mut visits = tally.map(Visits::new);
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    match &mut visits {
                        Some(visits) => visits.make(process),
                        None => std::thread::sleep(Duration::from_millis(5)),
                    }
                    if round % 50 == 0
                        && let Some(peak) = peak(process)
                    {
                        peaks.lock().expect("no reader panics").insert(process, peak);
                    }
                }
            });
        }
        let status = solver.wait();
        over.store(true, Ordering::Relaxed);
        status
    });
    let [out, err] = solver.said();
    assert_eq!(status, Some(0), "{out}{err}");
    let value: serde_json::Value = serde_json::from_str(&out).expect("stdout is one object");
    assert_eq!(value["converged"], true, "{out}");
    let peak = peaks.into_inner().expect("no reader panics").into_values().max();
    Solved {
        iterations: value["iterations"].clone(),
        error: value["error_max"].clone(),
        peak: peak.expect("a rank was seen"),
    }
}

/// The strangers of one thread, at the doors of one rank.
struct Visits<'a> {
    tally: &'a Tally,
    made: usize,
    doors: Vec<Door>,
    heard: Option<[u8; GREETING]>,
    kept: VecDeque<Knock>,
}

impl<'a> Visits<'a> {
    fn new(tally: &'a Tally) -> Self {
        Visits { tally, made: 0, doors: Vec::new(), heard: None, kept: VecDeque::new() }
    }

    /// One visit; none if the rank has no doors yet, or any more.
    fn make(&mut self, process: &str) {
        if self.doors.is_empty() {
            self.doors = doors(process);
            std::thread::sleep(Duration::from_millis(1));
            return;
        }
        let door = &self.doors[self.made % self.doors.len()];
        let manner = MANNERS[self.made / self.doors.len() % MANNERS.len()];
        match manner.visit(door, RANKS as u32, &mut self.heard) {
            Ok(visit) => {
                self.made += 1;
                self.tally.made.fetch_add(1, Ordering::Relaxed);
                self.tally.greeted.fetch_add(usize::from(visit.was_greeted), Ordering::Relaxed);
                self.kept.extend(visit.stays);
                if self.kept.len() > KEPT {
                    self.kept.pop_front();
                }
            }
            // The rank has hung up meanwhile, or has ended.
            Err(_) => self.doors.clear(),
        }
    }
}

/// The most memory that a process has had, in KiB.
fn peak(process: &str) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A launcher with ranks; killed when it is dropped.
struct Solver(Child);

impl Solver {
    /// Its ranks' processes, once all are there.
    fn ranks(&mut self) -> Vec<String> {
        let start = Instant::now();
        let launcher = self.0.id();
        loop {
            let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children"));
            let children = children.unwrap_or_default();
            let is_rank = |child: &&str| {
                // Before it has become the program, its environment is the launcher's.
                let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"PARHELION_RANK="))
            };
            let ranks: Vec<String> = children.split_whitespace().filter(is_rank).map(str::to_owned).collect();
            if ranks.len() == RANKS {
                return ranks;
            }
            assert!(start.elapsed() < DEADLINE, "{} ranks are there", ranks.len());
            let ended = self.0.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended ({ended:?}) before its ranks were seen: {:?}", self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its exit code.
    fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child can be asked") {
                return status.code();
            }
            if start.elapsed() > DEADLINE {
                self.0.kill().expect("a child can be ended");
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has printed, once it has ended: little enough for a pipe.
    fn said(&mut self) -> [String; 2] {
        let (mut out, mut err) = (String::new(), String::new());
        let pipes = (self.0.stdout.take().expect("piped"), self.0.stderr.take().expect("piped"));
        let (mut stdout, mut stderr) = pipes;
        stdout.read_to_string(&mut out).expect("text");
        stderr.read_to_string(&mut err).expect("text");
        [out, err]
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ten_thousand_strangers_do_not_change_a_solve() {
    hostile("1", None);
}

#[test]
fn nor_do_they_without_shared_memory() {
    hostile("0", None);
}

#[test]
fn strangers_that_take_all_descriptors_do_not_change_a_solve() {
    hostile("1", Some(48));
}
