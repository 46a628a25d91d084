//! A rank that has no descriptor left, with somebody at its door.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::doors::{Door, doors};
use crate::{LIMIT, play, world};

/// Descriptors of the rank that has too few.
const FEW: u64 = 64;
/// How long that rank is watched while strangers wait at its door.
const WATCHED: Duration = Duration::from_secs(1);

/// Processor time that this process, whose state this is, has used.
fn used(state: &File) -> Duration {
    let mut bytes = [0; 1024];
    let n = state.read_at(&mut bytes, 0).expect("a process has a state");
    let text = String::from_utf8_lossy(&bytes[..n]);
    // Fields 14 and 15, in hundredths; the name before them may hold anything.
    let fields = text.rsplit_once(") ").expect("a name").1.split(' ').skip(11);
    Duration::from_millis(10 * fields.take(2).map(|field| field.parse::<u64>().expect("a number")).sum::<u64>())
}

/// Opens files until no descriptor is left.
fn take_all_descriptors() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(FEW), ..limit }).expect("fewer are allowed");
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

pub(crate) fn part(word: &str) {
    match word {
        "meeting" => meeting(),
        _ => door(),
    }
}

/// Rank 0 has too few descriptors for all the strangers that come to the meeting before rank 1.
fn meeting() {
    let rank = std::env::var("PARHELION_RANK").expect("a rank");
    let mut strangers = Vec::new();
    if rank == "0" {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(FEW), ..limit }).expect("fewer are allowed");
    } else {
        let place = std::env::var("PARHELION_RENDEZVOUS").expect("a place");
        let first = place.split_once('-').map_or(&*place, |(first, _)| first);
        let begin = Instant::now();
        while strangers.len() < 3 * FEW as usize {
            assert!(begin.elapsed() < LIMIT, "rank 0 does not listen at {first}");
            match TcpStream::connect(first) {
                Ok(stranger) => strangers.push(stranger),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
    world(|world| world.barrier());
    drop(strangers);
}

/// Rank 1 has no descriptor left while strangers, and rank 2, come to its door.
fn door() {
    world(|world| {
        match world.rank() {
            0 => {
                let (port, _) = world.recv_vec::<u16>(1, 0)?;
                let door = Door::Tcp(([127, 0, 0, 1], port[0]).into());
                let knocks: Vec<_> = (0..20).map(|_| door.knock().expect("it listens")).collect();
                world.send(&[0u8], 2, 0)?;
                world.send(&[0u8], 1, 0)?;
                world.barrier()?;
                drop(knocks);
            }
            1 => {
                let ports = doors("self").into_iter().filter_map(|door| match door {
                    Door::Tcp(at) => Some(at.port()),
                    Door::Unix(_) => None,
                });
                let ports: Vec<u16> = ports.collect();
                let state = File::open("/proc/self/stat").expect("a process has a state");
                let files = take_all_descriptors();
                world.send(&ports[..1], 0, 0)?;
                world.recv(&mut [0u8], 0, 0)?;
                let before = used(&state);
                std::thread::sleep(WATCHED);
                let spent = used(&state) - before;
                assert!(spent < WATCHED / 4, "{spent:?} of {WATCHED:?} were spent on a door that cannot be opened");
                drop(files);
                assert_eq!(world.recv_vec::<u32>(2, 1)?.0, vec![7; 100]);
                world.barrier()?;
            }
            _ => {
                world.recv(&mut [0u8], 0, 0)?;
                // The first message to rank 1, and so the first connection.
                world.send(&[7u32; 100], 1, 1)?;
                world.barrier()?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_host_without_descriptors_sends_strangers_away_for_ranks() {
    // Less than a stranger may stay where there is room.
    play(2, "shortage meeting", &[("PARHELION_JOIN_TIMEOUT", "9")]);
}

#[test]
fn a_rank_without_descriptors_rests_and_lets_its_peers_in_later() {
    play(3, "shortage", &[]);
}
