//! Parhelion beside C: the same messages and reductions in C on an MPI library and in Rust, in turns, in one job.
//!
//! Two runs of one program differ by more than what is looked for, because the host of a virtual machine moves its processors, and
//! memory comes to lie elsewhere. Here every batch of ours stands between two of C's, on the same cores, and with the `mpi`
//! backend on the same buffers and connection.
//!
//! ```console
//! $ mpicc -O3 -shared -fPIC -o in_turns.so crates/parhelion-cli/examples/in_turns.c
//! $ cargo build --release -p parhelion-cli --example in_turns
//! $ PARHELION_BACKEND=mpi mpiexec -n 2 target/release/examples/in_turns ./in_turns.so
//! ```
//!
//! The shared object is to be built by the `mpicc` of the library that Parhelion finds. With `PARHELION_BACKEND=tcp` (and a
//! `PARHELION_RENDEZVOUS` and `PARHELION_SECRET_FILE`, which an mpiexec does not give) the same two processes talk over the `tcp`
//! backend, and rank 0 also does everything among as many threads while the other processes wait.
//! `cargo xtask bench turns` does all this for each library. Prints a line of JSON for each case and backend: microseconds of a call
//! (for a ping-pong, of half a round trip) of C and of ours, medians over batches, and the median of the quotients of neighbours.

use std::ffi::{c_int, c_long};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libloading::{Library, Symbol};
use parhelion::{BackendKind, Communicator, Config, Op, ThreadLevel};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of a message.
const MESSAGES: [usize; 5] = [8, 1024, 65536, 1 << 20, 16 << 20];
/// Elements of a reduction.
const REDUCTIONS: [usize; 4] = [1, 1024, 1 << 20, 16 << 20];
/// Seconds of a batch, if one call does not take longer, and how many of ours are timed.
const BATCH: f64 = 0.002;
const BATCHES: usize = 101;
/// Of calls that take longer than a batch.
const FEW_BATCHES: usize = 11;
/// Every buffer begins with a page, as in the C peers: where two lie relative to each other changes how fast they are copied.
const PAGE: usize = 4096;
/// Of the message that says how long threads took.
const DONE: u32 = 2;

fn main() -> Result<(), Error> {
    let path = std::env::args_os().nth(1).ok_or("usage: in_turns SHARED_OBJECT")?;
    let config = Config::from_env()?.thread_level(ThreadLevel::Single);
    parhelion::launch(&config, |world| {
        // With the mpi backend the library is loaded by now: the shared object's calls are bound to it.
        // SAFETY: its initialisation is that of the C library.
        let object = unsafe { Library::new(&path) }?;
        // SAFETY: functions of these signatures.
        let (begin, end) = unsafe {
            (object.get::<unsafe extern "C" fn() -> c_int>(b"begin")?, object.get::<unsafe extern "C" fn()>(b"end")?)
        };
        // SAFETY: no other thread of this process uses MPI, here and below.
        let began = unsafe { begin() } != 0;
        compare(&world, &object)?;
        if began {
            // SAFETY: as above.
            unsafe { end() };
        }
        Ok::<(), Error>(())
    })?;
    Ok(())
}

fn compare(world: &Communicator, object: &Library) -> Result<(), Error> {
    // SAFETY: functions of these signatures.
    let (round_trips, sums): (Symbol<'_, InC<u8>>, Symbol<'_, InC<f64>>) =
        unsafe { (object.get(b"round_trips")?, object.get(b"sums")?) };
    let cpus = world.all_gather(&[sched_getcpu()])?;
    for bytes in MESSAGES {
        let send = |rank: usize| rank as u8 + 1;
        // What the other one of two sends, or nothing.
        let right = |rank: usize| if rank > 1 { 0 } else { 2 - rank as u8 };
        let case = Case { world, cpus: &cpus, name: "pingpong", size: bytes, calls: 2.0, in_c: *round_trips };
        case.measure(ping_pong, send, right)?;
    }
    for length in REDUCTIONS {
        let sum = 1.5 * world.size() as f64;
        let case = Case { world, cpus: &cpus, name: "allreduce", size: length, calls: 1.0, in_c: *sums };
        case.measure(add_up, |_| 1.5, |_| sum)?;
    }
    Ok(())
}

/// A batch in C: what to send, where to receive, how many elements, the rank, how many calls.
type InC<T> = unsafe extern "C" fn(*const T, *mut T, c_int, c_int, c_long);
/// A batch of ours.
type Ours<T> = fn(&Communicator, &[T], &mut [T], u64) -> Result<(), Error>;

fn ping_pong(world: &Communicator, send: &[u8], receive: &mut [u8], count: u64) -> Result<(), Error> {
    for _ in 0..count {
        match world.rank() {
            0 => {
                world.send(send, 1, 1)?;
                world.recv(receive, 1, 1)?;
            }
            1 => {
                world.recv(receive, 0, 1)?;
                world.send(send, 0, 1)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn add_up(world: &Communicator, send: &[f64], receive: &mut [f64], count: u64) -> Result<(), Error> {
    for _ in 0..count {
        world.all_reduce_into(send, receive, Op::Sum)?;
    }
    Ok(())
}

/// A call of one size.
struct Case<'a, T> {
    world: &'a Communicator,
    /// Where each rank runs.
    cpus: &'a [usize],
    name: &'static str,
    size: usize,
    /// How many of what is reported one call is.
    calls: f64,
    in_c: InC<T>,
}

impl<T: Copy + Default + PartialEq + Send> Case<'_, T> {
    /// Times batches in C and of ours in turns and prints what came out. `send` and `right` tell what a rank sends and has to
    /// receive, in every element. Collective.
    fn measure(
        &self,
        ours: Ours<T>,
        send: impl Fn(usize) -> T,
        right: impl Fn(usize) -> T + Sync,
    ) -> Result<(), Error> {
        let (world, size) = (self.world, self.size);
        let buffers = |rank| (Paged::new(size, send(rank)), Paged::new(size, T::default()));
        let (send, mut receive) = buffers(world.rank());
        let receive = receive.get_mut();
        let threads: Vec<_> = (0..world.size()).map(|rank| Mutex::new(buffers(rank))).collect();

        let in_c = |receive: &mut [T], count: u64| {
            self.batch(receive, right(world.rank()), count, |receive, count| {
                let (rank, count) = (world.rank() as c_int, count as c_long);
                // SAFETY: both buffers hold so many elements; the library is done with them when it returns.
                unsafe { (self.in_c)(send.get().as_ptr(), receive.as_mut_ptr(), size as c_int, rank, count) };
                Ok(())
            })
        };
        let mut as_processes = |receive: &mut [T], count: u64| {
            self.batch(receive, right(world.rank()), count, |receive, count| ours(world, send.get(), receive, count))
        };
        let mut as_threads = |_: &mut [T], count: u64| self.among_threads(&threads, &right, ours, count);
        type Batch<'b, T> = &'b mut dyn FnMut(&mut [T], u64) -> Result<f64, Error>;
        let mut sides: Vec<(BackendKind, Batch<'_, T>)> = vec![(world.backend(), &mut as_processes)];
        if world.backend() != BackendKind::Mpi {
            sides.push((BackendKind::Local, &mut as_threads));
        }

        let mut count = 1;
        let mut took = in_c(receive, count)?;
        while took < BATCH && count < 1 << 20 {
            count *= 2;
            took = in_c(receive, count)?;
        }
        let batches = if took > 5.0 * BATCH { FEW_BATCHES } else { BATCHES };
        let per_call = 1e6 / (count as f64 * self.calls);
        let mut theirs = Vec::new();
        let mut all: Vec<_> = sides.iter().map(|_| (Vec::new(), Vec::new())).collect();
        let mut before = in_c(receive, count)?;
        for _ in 0..batches {
            for ((_, side), (times, ratios)) in sides.iter_mut().zip(&mut all) {
                let mine = side(receive, count)?;
                let after = in_c(receive, count)?;
                theirs.push(after * per_call);
                times.push(mine * per_call);
                ratios.push(2.0 * mine / (before + after));
                before = after;
            }
        }
        if world.rank() == 0 {
            let c_us = median(theirs);
            for ((backend, _), (times, ratios)) in sides.iter().zip(all) {
                let line = serde_json::json!({
                    "bench": self.name, "case": size.to_string(), "backend": backend.to_string(), "ranks": world.size(),
                    "batches": batches, "c_us": c_us, "us": median(times), "ratio": median(ratios),
                });
                println!("{line}");
            }
        }
        Ok(())
    }

    /// Seconds of `count` calls at the slowest rank, after one that is not timed and finds what others left in the caches; all of
    /// `receive` must be `right` after them.
    fn batch(
        &self,
        receive: &mut [T],
        right: T,
        count: u64,
        mut work: impl FnMut(&mut [T], u64) -> Result<(), Error>,
    ) -> Result<f64, Error> {
        work(receive, 1)?;
        let took = timed(self.world, || work(receive, count))?;
        self.check(receive, right)?;
        Ok(took)
    }

    /// The same among threads of rank 0, each on the core of a rank.
    fn among_threads(
        &self,
        buffers: &[Mutex<(Paged<T>, Paged<T>)>],
        right: &(impl Fn(usize) -> T + Sync),
        ours: Ours<T>,
        count: u64,
    ) -> Result<f64, Error> {
        let world = self.world;
        if world.rank() == 0 {
            let config = Config::default().backend(BackendKind::Local).ranks(buffers.len());
            let seconds = parhelion::launch(&config, |threads| {
                let rank = threads.rank();
                let mut core = CpuSet::new();
                core.set(self.cpus[rank]);
                sched_setaffinity(None, &core)?;
                let mut mine = buffers[rank].lock().unwrap_or_else(PoisonError::into_inner);
                let (send, receive) = &mut *mine;
                let (send, receive) = (send.get(), receive.get_mut());
                // These threads are new on their cores.
                ours(&threads, send, receive, count)?;
                let took = timed(&threads, || ours(&threads, send, receive, count))?;
                self.check(receive, right(rank))?;
                Ok::<f64, Error>(took)
            })?;
            (1..world.size()).try_for_each(|rank| world.send(&seconds[..1], rank, DONE))?;
            return Ok(seconds[0]);
        }
        // A rank that waits in a call looks for messages all the time; here it leaves its core to rank 0's thread.
        while world.try_probe(0, DONE)?.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut took = [0.0];
        world.recv(&mut took, 0, DONE)?;
        Ok(took[0])
    }

    /// Clears what was received, and fails if it was not all `right`.
    fn check(&self, receive: &mut [T], right: T) -> Result<(), Error> {
        if receive.iter().any(|x| *x != right) {
            return Err(format!("{} of {}: a wrong result", self.name, self.size).into());
        }
        receive.fill(T::default());
        Ok(())
    }
}

/// Elements that begin with a page.
struct Paged<T> {
    memory: Vec<T>,
    begin: usize,
    length: usize,
}

impl<T: Copy> Paged<T> {
    fn new(length: usize, value: T) -> Self {
        let memory = vec![value; length + PAGE / size_of::<T>()];
        Paged { begin: memory.as_ptr().align_offset(PAGE), memory, length }
    }

    fn get(&self) -> &[T] {
        &self.memory[self.begin..][..self.length]
    }

    fn get_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.begin..][..self.length]
    }
}

/// Seconds of `work` at the slowest rank.
fn timed(world: &Communicator, work: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
    world.barrier()?;
    let start = Instant::now();
    work()?;
    Ok(world.all_reduce(&[start.elapsed().as_secs_f64()], Op::Max)?[0])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
