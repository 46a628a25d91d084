//! The command's own ranks as processes: what it starts itself with `--backend tcp`, and under `parhelion run`.
#![cfg(target_os = "linux")]

mod command;

use std::process::Stdio;
use std::time::{Duration, Instant};

use command::{Scratch, clean, parhelion, parhelion_with, run, solve};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_solve_takes_the_same_iterations_as_on_threads() {
    for ranks in ["1", "2", "3", "4"] {
        let threads = solve(&["--pde", "12", "-n", ranks]);
        let processes = solve(&["--pde", "12", "-n", ranks, "--backend", "tcp"]);
        assert_eq!((&processes["backend"], &processes["ranks"]), (&"tcp".into(), &threads["ranks"]));
        assert_eq!(processes["iterations"], threads["iterations"], "{ranks} ranks");
    }
}

#[test]
fn a_solve_that_does_not_converge_says_all_before_it_ends() {
    for args in [&["--json"][..], &[]] {
        for _ in 0..4 {
            let common = ["solve", "--pde", "12", "-n", "4", "--backend", "tcp", "--max-iterations", "2"];
            let ended = parhelion(&[&common[..], args].concat());
            assert_eq!(ended.code, Some(1), "{}", ended.stderr);
            match args {
                [] => assert!(ended.stdout.contains("DID NOT CONVERGE"), "{}{}", ended.stdout, ended.stderr),
                _ => {
                    let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one object");
                    assert_eq!(value["converged"], false, "{value}");
                }
            }
        }
    }
}

#[test]
fn a_solve_needs_no_memory_in_common() {
    let args = ["solve", "--json", "--pde", "12", "-n", "3", "--backend", "tcp"];
    let [with, without] = ["1", "0"].map(|on| {
        let ended = parhelion_with(&args, &[("PARHELION_SHARED_MEMORY", on)]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one object");
        value["iterations"].clone()
    });
    assert_eq!(with, without);
}

#[test]
fn a_program_that_run_starts_finds_its_ranks_unasked() {
    let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
    command.args(["run", "-n", "3", env!("CARGO_BIN_EXE_parhelion"), "solve", "--json", "--pde", "8"]);
    let ended = run(command);
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{}{}", ended.stdout, ended.stderr);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one object");
    assert_eq!((&value["backend"], &value["ranks"]), (&"tcp".into(), &3.into()));
}

#[test]
fn info_says_what_carries_messages_between_whom() {
    let text = parhelion(&["info", "-n", "3", "--backend", "tcp"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(text.stdout.starts_with("3 ranks over tcp\n"), "{}", text.stdout);
    for (backend, routes) in [("local", &["shared memory"][..]), ("tcp", &["shared memory", "unix socket", "tcp"])] {
        let ended = parhelion(&["info", "--json", "-n", "3", "--backend", backend]);
        let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one object");
        assert_eq!((&value["backend"], &value["ranks"]), (&backend.into(), &3.into()));
        for from in 0..3 {
            for to in 0..3 {
                let route = value["routes"][from][to].as_str().expect("a name");
                let right = if from == to { route == "itself" } else { routes.contains(&route) };
                assert!(right, "{backend}: {route} from {from} to {to}");
            }
        }
    }
}

#[test]
fn heat_gives_the_same_bits_as_threads() {
    let scratch = Scratch::new("heat-tcp");
    let prefix = scratch.path("heat");
    let common = ["heat", "--size", "24x17", "--steps", "9", "--json", "--output", &prefix, "-n", "3"];
    let [threads, processes] = ["local", "tcp"].map(|backend| {
        let ended = parhelion(&[&common[..], &["--backend", backend]].concat());
        assert_eq!(ended.code, Some(0), "{backend}: {}", ended.stderr);
        serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("stdout is one object")["checksum"].clone()
    });
    assert_eq!(threads, processes);
}

#[test]
fn no_more_processes_are_started_than_a_matrix_has_rows_where_nobody_says_how_many() {
    let ended = parhelion(&["solve", "--pde", "1", "--json", "--backend", "tcp"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let answer = serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("stdout is one object");
    assert_eq!(answer["ranks"], 1);
}

#[test]
fn bad_input_is_one_line_as_on_threads() {
    for args in [&["solve", "/nowhere/a.mtx"][..], &["heat", "--image", "/nowhere/a.png"]] {
        let [threads, processes] = ["local", "tcp"].map(|backend| {
            let ended = parhelion(&[args, &["-n", "3", "--backend", backend]].concat());
            assert_eq!(ended.code, Some(2), "{args:?} {backend}: {}", ended.stderr);
            let errors = ended.stderr.lines().filter(|line| line.starts_with("error: "));
            errors.map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!((processes.len(), &processes), (1, &threads), "{args:?}");
    }
}

#[test]
fn a_rank_that_is_killed_is_named_and_the_others_end() {
    let scratch = Scratch::new("killed");
    let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
    command.args(["heat", "--size", "64x64", "--steps", "1000000000", "-n", "3", "--backend", "tcp"]);
    command.args(["--output", &scratch.path("heat")]);
    let launcher = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let victim = rank_of(launcher.id(), 1);
    kill_process(victim, Signal::KILL).expect("it runs");
    let ended = launcher.wait_with_output().expect("the launcher ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(128 + 9), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: rank 1 was killed by signal 9 (SIGKILL)"), "{stderr}");
}

/// The process that `launcher` has started as this rank.
fn rank_of(launcher: u32, rank: usize) -> Pid {
    let wanted = format!("PARHELION_RANK={rank}");
    let start = Instant::now();
    loop {
        let children =
            std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            // Before it has become the program, its environment is the launcher's.
            let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
                return Pid::from_raw(child.parse().expect("a process id")).expect("not 0");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60), "rank {rank} is not started");
        std::thread::sleep(Duration::from_millis(2));
    }
}
