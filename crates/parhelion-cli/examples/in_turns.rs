//! What Parhelion adds to a library's calls: the same messages and reductions in C and in Rust, in turns, in one process.
//!
//! Two runs of one program differ by more than that, because the host of a virtual machine moves its processors, and memory comes
//! to lie elsewhere. Here every batch of ours stands between two of C's, on the same buffers, cores and connection.
//!
//! ```console
//! $ mpicc -O3 -shared -fPIC -o in_turns.so crates/parhelion-cli/examples/in_turns.c
//! $ cargo build --release -p parhelion-cli --example in_turns
//! $ PARHELION_BACKEND=mpi mpiexec -n 2 target/release/examples/in_turns ./in_turns.so
//! ```
//!
//! The shared object is to be built by the `mpicc` of the library that Parhelion finds. `cargo xtask bench messages` does all this
//! for each library. Prints a line of JSON for each case: microseconds of a call (for a ping-pong, of half a round trip) of C and
//! of ours, medians over batches, and the median of the quotients of neighbours.

use std::ffi::{c_int, c_long};
use std::time::Instant;

use libloading::{Library, Symbol};
use parhelion::{Communicator, Config, Op, ThreadLevel};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of a message.
const MESSAGES: [usize; 4] = [8, 1024, 65536, 1 << 20];
/// Elements of a reduction.
const REDUCTIONS: [usize; 4] = [1, 1024, 1 << 20, 16 << 20];
/// Seconds of a batch, if one call does not take longer, and how many pairs of batches.
const BATCH: f64 = 0.002;
const PAIRS: usize = 101;
/// Of calls that take longer than a batch.
const FEW_PAIRS: usize = 11;

fn main() -> Result<(), Error> {
    let path = std::env::args_os().nth(1).ok_or("usage: in_turns SHARED_OBJECT")?;
    let config = Config::from_env()?.thread_level(ThreadLevel::Single);
    parhelion::launch(&config, |world| {
        // The library is loaded by now: the shared object's calls are bound to it.
        // SAFETY: its initialisation is that of the C library.
        let object = unsafe { Library::new(&path) }?;
        messages(&world, &object)?;
        reductions(&world, &object)
    })?;
    Ok(())
}

fn messages(world: &Communicator, object: &Library) -> Result<(), Error> {
    type RoundTrips = unsafe extern "C" fn(*const u8, *mut u8, c_int, c_int, c_long);
    // SAFETY: a function of this signature.
    let in_c: Symbol<'_, RoundTrips> = unsafe { object.get(b"round_trips") }?;
    let rank = world.rank();
    for bytes in MESSAGES {
        let send = vec![rank as u8 + 1; bytes];
        let case = Case { world, name: "pingpong", size: bytes, calls: 2.0 };
        case.measure(
            &mut vec![0; bytes],
            |receive: &mut Vec<u8>, count| {
                // SAFETY: both buffers hold so many bytes; the library is done with them when it returns.
                unsafe { in_c(send.as_ptr(), receive.as_mut_ptr(), bytes as c_int, rank as c_int, count as c_long) };
                Ok(())
            },
            |receive, count| {
                for _ in 0..count {
                    match rank {
                        0 => {
                            world.send(&send, 1, 1)?;
                            world.recv(receive, 1, 1)?;
                        }
                        1 => {
                            world.recv(receive, 0, 1)?;
                            world.send(&send, 0, 1)?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            },
            |receive| rank > 1 || receive.iter().all(|&byte| byte == 2 - rank as u8),
        )?;
    }
    Ok(())
}

fn reductions(world: &Communicator, object: &Library) -> Result<(), Error> {
    type Sums = unsafe extern "C" fn(*const f64, *mut f64, c_int, c_long);
    // SAFETY: a function of this signature.
    let in_c: Symbol<'_, Sums> = unsafe { object.get(b"sums") }?;
    let ranks = world.size() as f64;
    for length in REDUCTIONS {
        let send = vec![1.5; length];
        let case = Case { world, name: "allreduce", size: length, calls: 1.0 };
        case.measure(
            &mut vec![0.0; length],
            |receive: &mut Vec<f64>, count| {
                // SAFETY: both buffers hold so many elements; the library is done with them when it returns.
                unsafe { in_c(send.as_ptr(), receive.as_mut_ptr(), length as c_int, count as c_long) };
                Ok(())
            },
            |receive, count| {
                for _ in 0..count {
                    world.all_reduce_into(&send, receive, Op::Sum)?;
                }
                Ok(())
            },
            |receive| receive.iter().all(|&sum| sum == 1.5 * ranks),
        )?;
    }
    Ok(())
}

/// A call of one size.
struct Case<'a> {
    world: &'a Communicator,
    name: &'static str,
    size: usize,
    /// How many of what is reported one call is.
    calls: f64,
}

impl Case<'_> {
    /// Times batches of `in_c` and of `ours` in turns, on the same data, and prints what came out. Collective.
    fn measure<D: Default + Clone>(
        &self,
        data: &mut Vec<D>,
        mut in_c: impl FnMut(&mut Vec<D>, u64) -> Result<(), Error>,
        mut ours: impl FnMut(&mut Vec<D>, u64) -> Result<(), Error>,
        is_right: impl Fn(&[D]) -> bool,
    ) -> Result<(), Error> {
        let mut ok = true;
        for half in [&mut in_c as &mut dyn FnMut(&mut Vec<D>, u64) -> Result<(), Error>, &mut ours] {
            data.fill(D::default());
            half(data, 1)?;
            ok &= is_right(data);
        }
        let mut count = 1;
        let mut took = self.batch(|| in_c(data, count))?;
        while took < BATCH && count < 1 << 20 {
            count *= 2;
            took = self.batch(|| in_c(data, count))?;
        }
        let pairs = if took > 5.0 * BATCH { FEW_PAIRS } else { PAIRS };
        let (mut theirs, mut own, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let per_call = 1e6 / (count as f64 * self.calls);
        let mut before = self.batch(|| in_c(data, count))?;
        for _ in 0..pairs {
            let mine = self.batch(|| ours(data, count))?;
            let after = self.batch(|| in_c(data, count))?;
            theirs.push(after * per_call);
            own.push(mine * per_call);
            ratios.push(2.0 * mine / (before + after));
            before = after;
        }
        let all_ok = self.world.all_reduce(&[u8::from(ok)], Op::Min)?[0] == 1;
        if self.world.rank() == 0 {
            let line = serde_json::json!({
                "bench": self.name, "case": self.size.to_string(), "ranks": self.world.size(), "pairs": pairs,
                "c_us": median(theirs), "us": median(own), "ratio": median(ratios), "ok": all_ok,
            });
            println!("{line}");
        }
        Ok(())
    }

    /// Seconds of `work` at the slowest rank.
    fn batch(&self, work: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
        self.world.barrier()?;
        let start = Instant::now();
        work()?;
        Ok(self.world.all_reduce(&[start.elapsed().as_secs_f64()], Op::Max)?[0])
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
