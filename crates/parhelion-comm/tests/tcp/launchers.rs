//! Ranks that other launchers than ours have started: their variables say who is who.

use std::net::TcpListener;
use std::process::Command;

use parhelion_comm::{BackendKind, Op};

use crate::processes::{Job, report};
use crate::{LIMIT, player, world};

/// What launchers, and whoever runs these tests, may have set.
const FOREIGN: [&str; 20] = [
    "PARHELION_BACKEND",
    "PARHELION_RANK",
    "PARHELION_SIZE",
    "PARHELION_LOCAL_RANK",
    "PARHELION_RENDEZVOUS",
    "RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_NTASKS",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_STEP_NODELIST",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "MPI_LOCALRANKID",
];

const SIZE: usize = 3;

pub(crate) fn part(_: &str) {
    world(|world| {
        assert_eq!((world.backend(), world.size()), (BackendKind::Tcp, SIZE));
        assert_eq!(world.all_reduce(&[1u32 << world.rank()], Op::Sum)?, [7]);
        println!("met");
        Ok(())
    });
}

/// Rank `rank` by these variables and no others, of which a `{}` is the rank's number.
fn named(rank: usize, variables: &[(&str, &str)]) -> Command {
    let mut command = player("launchers", &[]);
    for name in FOREIGN {
        command.env_remove(name);
    }
    for (name, value) in variables {
        command.env(name, value.replace("{}", &rank.to_string()));
    }
    command
}

#[track_caller]
fn meet(variables: &[(&str, &str)]) {
    let ended = Job::start_unnamed(SIZE, |rank| named(rank, variables)).finish(LIMIT);
    let met = |rank: &crate::Ended| rank.status.is_some_and(|status| status.success()) && rank.out.contains("met");
    assert!(ended.iter().all(met), "{variables:?}:\n{}", report(&ended));
}

/// A port of this machine, and who holds it.
fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port.to_string())
}

#[test]
fn torchrun_starts_ranks_of_tcp_unasked() {
    // As its own store does.
    let (_store, port) = port();
    let torchrun = [("RANK", "{}"), ("WORLD_SIZE", "3"), ("LOCAL_RANK", "{}"), ("MASTER_ADDR", "127.0.0.1")];
    meet(&[&torchrun[..], &[("MASTER_PORT", &port), ("TORCHELASTIC_RUN_ID", "a run")]].concat());
}

#[test]
fn slurm_starts_ranks_of_tcp() {
    let job = std::process::id().to_string();
    meet(&[
        ("PARHELION_BACKEND", "tcp"),
        ("SLURM_PROCID", "{}"),
        ("SLURM_STEP_NUM_TASKS", "3"),
        ("SLURM_LOCALID", "{}"),
        ("SLURM_JOB_ID", &job),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_STEP_NODELIST", "localhost"),
    ]);
}

#[test]
fn an_mpiexec_starts_ranks_of_tcp_that_are_told_where_to_meet() {
    for mpiexec in [
        [("OMPI_COMM_WORLD_RANK", "{}"), ("OMPI_COMM_WORLD_SIZE", "3"), ("OMPI_COMM_WORLD_LOCAL_RANK", "{}")],
        [("PMI_RANK", "{}"), ("PMI_SIZE", "3"), ("MPI_LOCALRANKID", "{}")],
    ] {
        let (free, port) = port();
        drop(free);
        let place = format!("127.0.0.1:{port}");
        meet(&[&mpiexec[..], &[("PARHELION_BACKEND", "tcp"), ("PARHELION_RENDEZVOUS", &place)]].concat());
    }
}

#[test]
fn a_rank_that_is_named_by_half_is_no_world_of_its_own() {
    for (variables, missing) in [
        (&[("PARHELION_RANK", "{}"), ("PARHELION_SIZE", "3")][..], "PARHELION_RENDEZVOUS is not set"),
        (&[("PARHELION_RANK", "{}")], "PARHELION_SIZE is not set"),
        (&[("RANK", "{}"), ("WORLD_SIZE", "3"), ("MASTER_ADDR", "127.0.0.1")], "MASTER_PORT is not"),
    ] {
        let ended = Job::start_unnamed(SIZE, |rank| named(rank, variables)).finish(LIMIT);
        for rank in &ended {
            let fails = rank.status.is_some_and(|status| !status.success()) && rank.err.contains(missing);
            assert!(fails, "{variables:?}:\n{}", report(&ended));
        }
    }
}
