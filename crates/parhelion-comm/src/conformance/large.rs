//! Counts beyond 2^31 and beyond 2^32, where there is memory for them.

use super::check::{Halt, Outcome, ensure, equal};
use super::sample::mix;
use super::{Case, Needs};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::op::Op;

pub(super) const CASES: &[Case] = &[
    large("large: a message of over 5 GiB", message).ranks(2),
    large("large: a broadcast of over 2^31 elements", broadcast).ranks(2),
    large("large: an all_reduce of over 2^31 elements", all_reduce).ranks(2),
];

const fn large(name: &'static str, run: fn(&Communicator) -> Outcome) -> Case {
    Case::new(name, run).needs(Needs::Large)
}

const GIB: u64 = 1 << 30;

/// Skips the case on every rank unless all together find `need` bytes of memory.
fn memory(c: &Communicator, need: u64) -> Outcome {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: u64 = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0);
    let available = c.all_reduce(&[kib * 1024], Op::Min)?[0];
    if available < need {
        let (need, available) = (need as f64 / GIB as f64, available as f64 / GIB as f64);
        return Err(Halt::Skipped(format!("needs {need:.1} GiB of memory, {available:.1} are available")));
    }
    Ok(())
}

/// The byte at `i`: every page differs, and so do the 32-bit halves of the index.
fn byte(i: usize) -> u8 {
    (i ^ (i >> 12) ^ (i >> 31)) as u8
}

fn filled(len: usize) -> Vec<u8> {
    (0..len).map(byte).collect()
}

/// Looks at both ends, at every 2^31 and 2^32 border, and at many places between.
fn check(data: &[u8], want: impl Fn(usize) -> u8) -> Outcome {
    let mut places: Vec<usize> = (0..100).chain(data.len() - 100..data.len()).collect();
    for border in [31u32, 32, 33].map(|bits| 1usize << bits).into_iter().filter(|&b| b + 50 < data.len()) {
        places.extend(border - 50..border + 50);
    }
    let mut state = 1;
    places.extend((0..200_000).map(|_| mix(&mut state) as usize % data.len()));
    for i in places {
        equal(format_args!("byte {i} of {}", data.len()), data[i], want(i))?;
    }
    Ok(())
}

fn message(c: &Communicator) -> Outcome {
    let len = 5 * GIB as usize + 3;
    memory(c, 2 * len as u64 + GIB)?;
    let last = c.size() - 1;
    if c.rank() == 0 {
        c.send(&filled(len), last, 1)?;
    } else if c.rank() == last {
        let mut got = vec![0u8; len];
        equal("its length", c.recv(&mut got, 0, 1)?.bytes, len)?;
        check(&got, byte)?;
        ensure(got[len - 1] == byte(len - 1), "the last byte")?;
    }
    c.barrier()?;
    Ok(())
}

/// Copies of the data in memory at once, one per rank and what a library stages.
fn copies(c: &Communicator, each: u64) -> u64 {
    each * if c.backend() == BackendKind::Local { c.size() as u64 } else { 2 * c.size() as u64 }
}

fn broadcast(c: &Communicator) -> Outcome {
    let len = (1usize << 31) + 5;
    memory(c, copies(c, len as u64) + GIB)?;
    let mut data = if c.rank() == 0 { filled(len) } else { vec![0; len] };
    c.broadcast(&mut data, 0)?;
    check(&data, byte)
}

fn all_reduce(c: &Communicator) -> Outcome {
    let len = (1usize << 31) + 5;
    memory(c, copies(c, len as u64) + GIB)?;
    let mut data = filled(len);
    c.all_reduce_in_place(&mut data, Op::Sum)?;
    let size = c.size() as u8;
    check(&data, |i| byte(i).wrapping_mul(size))
}
