//! Worlds come and go without leaving anything behind. Alone in its program, so that nobody else allocates.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use parhelion_comm::{BackendKind, Config, Error, Op};

/// A number of `/proc/self/status`, as `VmRSS` in KiB or `Threads`.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

fn world() {
    let config = Config::default().backend(BackendKind::Local).ranks(3);
    let sums = parhelion_comm::launch(&config, |world| {
        let part = world.dup()?;
        let peer = (world.rank() + 1) % 3;
        // Left behind on purpose: messages nobody receives, receives nobody matches, requests nobody waits for.
        part.send(&[1u8; 100], peer, 1)?;
        drop(part.isend(vec![1u8; 30_000], peer, 2)?);
        drop(part.irecv(vec![1u8; 30_000], peer, 3)?);
        drop(part.iall_reduce(vec![1u8; 10_000], Op::Sum)?);
        Ok::<_, Error>(world.all_reduce(&[1u32], Op::Sum)?[0])
    });
    assert_eq!(sums.expect("three ranks"), [3, 3, 3]);
}

#[test]
fn a_thousand_worlds_leave_nothing_behind() {
    (0..200).for_each(|_| world());
    let (threads, memory) = (status("Threads"), status("VmRSS"));
    (0..1000).for_each(|_| world());
    // The system counts a thread for a moment after it has been joined.
    let start = Instant::now();
    while status("Threads") > threads {
        assert!(start.elapsed() < Duration::from_secs(60), "{} threads, before it were {threads}", status("Threads"));
        std::thread::yield_now();
    }
    let grown = status("VmRSS").saturating_sub(memory);
    // A world that stayed would be at least the 90,000 bytes that were in flight.
    assert!(grown < 16 << 10, "1000 worlds later the program is {grown} KiB larger");
}
