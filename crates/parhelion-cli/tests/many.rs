//! As many processes as a large node has cores.
#![cfg(target_os = "linux")]

mod command;

use command::{clean, run};
use parhelion::{Config, Op};

const RANKS: usize = 64;
/// Names this process a rank of the test.
const PART: &str = "PARHELION_TEST_MANY";

/// Sockets that this process has open.
fn sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("a process has descriptors").flatten();
    let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Not a test: the ranks of the other.
#[test]
fn as_a_rank() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let config = Config::from_env().expect("settings");
    parhelion::launch(&config, |world| {
        world.barrier()?;
        // Rank 0, which all have met, and doors; each step of a barrier has one peer to either side.
        let most = world.all_reduce(&[if world.rank() == 0 { 0 } else { sockets() }], Op::Max)?[0];
        assert!(most < RANKS / 2, "a rank has {most} connections where few were needed");
        let (me, size) = (world.rank(), world.size());
        assert_eq!(world.all_reduce(&[me], Op::Sum)?, [size * (size - 1) / 2]);
        let mut token = [0usize];
        for round in 0..3 {
            world.send_recv(&[me + round], (me + 1) % size, 1, &mut token, (me + size - 1) % size, 1)?;
            assert_eq!(token, [(me + size - 1) % size + round]);
        }
        let half = world.split(Some(me as u32 % 2), -(me as i64))?.expect("a colour");
        assert_eq!((half.size(), half.rank()), (size / 2, (size - 1 - me) / 2));
        assert_eq!(half.all_gather(&[me])?, (0..size).rev().filter(|r| r % 2 == me % 2).collect::<Vec<_>>());
        assert_eq!(world.all_to_all(&vec![me; size])?, (0..size).collect::<Vec<_>>());
        if me == 0 {
            println!("{size} ranks are right");
        }
        Ok::<_, parhelion::Error>(())
    })
    .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn sixty_four_processes_start_and_talk() {
    let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
    command.args(["run", "-n", &RANKS.to_string()]).arg(std::env::current_exe().expect("a program has a path"));
    command.args(["--exact", "as_a_rank", "--nocapture", "--test-threads=1"]).env(PART, "1");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.matches("64 ranks are right").count(), 1, "{}", ended.stdout);
}
