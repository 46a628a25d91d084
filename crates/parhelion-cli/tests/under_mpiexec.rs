//! The same program under the launchers of the MPI libraries that `cargo xtask mpi` fetches.

mod command;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use command::{Ended, Scratch, clean, collection, data, run, solve};

/// A library: its directory in `target/mpi`, and the file to load where it is not the one its launcher leads to.
const LIBRARIES: [(&str, Option<&str>); 6] = [
    ("openmpi-5.0.11", None),
    ("openmpi-4.1.8", None),
    ("mpich-5.0.2", None),
    ("mpich-5.0.2", Some("lib/libmpi_abi.so.1")),
    ("mpich-4.3.2", None),
    ("mpich-3.4.3", None),
];

/// Ranks that spin in several worlds at once starve each other, so one world runs at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// `mpiexec -n RANKS parhelion`, with the settings that a small machine and a user who is root need.
fn mpiexec(prefix: &Path, file: Option<&str>, ranks: usize, args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command: Command = clean(prefix.join("bin/mpiexec"));
    command.envs(variables.iter().copied());
    if prefix.file_name().is_some_and(|name| name.to_string_lossy().starts_with("openmpi")) {
        command.arg("--oversubscribe");
        command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
        command.envs([("OMPI_MCA_btl", "^ofi"), ("OMPI_MCA_mtl", "^ofi"), ("OMPI_MCA_mpi_yield_when_idle", "1")]);
    }
    command.envs([
        ("MPIR_CVAR_CH4_PROGRESS_THROTTLE", "1"),
        ("MPIR_CVAR_CH4_PROGRESS_THROTTLE_NO_PROGRESS_COUNT", "100"),
        ("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1"),
    ]);
    if let Some(file) = file {
        command.env("PARHELION_MPI_LIB", prefix.join(file));
    }
    command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_parhelion")]).args(args);
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    run(command)
}

/// Calls `test` with the name of each library that is here and with what runs a command under it at so many ranks.
fn each_library(test: impl Fn(&str, &dyn Fn(usize, &[&str]) -> Ended)) {
    each_library_with(&[], test);
}

/// The same with these variables.
fn each_library_with(variables: &[(&str, &str)], test: impl Fn(&str, &dyn Fn(usize, &[&str]) -> Ended)) {
    for (name, file) in LIBRARIES {
        let prefix: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mpi").join(name);
        if !prefix.join("bin/mpiexec").exists() {
            println!("not run: {} is not there; cargo xtask mpi fetches it", prefix.display());
            continue;
        }
        test(name, &|ranks, args| mpiexec(&prefix, file, ranks, args, variables));
    }
}

/// The one JSON object on stdout, which rank 0 alone prints.
#[track_caller]
fn object(name: &str, ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, Some(0), "{name}: {}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{name}: {}", ended.stdout);
    serde_json::from_str(&ended.stdout).expect("stdout is JSON")
}

#[test]
fn a_solve_joins_the_launchers_world_and_takes_the_same_iterations() {
    let grid = data("grid.mtx");
    let alone = solve(&[&grid, "-n", "1"]);
    each_library(|name, run| {
        let value = object(name, &run(3, &["solve", &grid, "--json"]));
        assert_eq!((&value["ranks"], &value["backend"]), (&3.into(), &"mpi".into()), "{name}");
        assert!(value["library"].as_str().is_some_and(|library| library.starts_with(name)), "{name}: {value}");
        assert_eq!(value["iterations"], alone["iterations"], "{name}");
        if let Some(bcsstk16) = collection("bcsstk16.mtx") {
            let value = object(name, &run(3, &["solve", &bcsstk16, "--json", "-n", "3"]));
            let iterations = value["iterations"].as_u64().unwrap();
            assert!(iterations.abs_diff(197) <= 3, "{name}: {iterations}");
        }
    });
}

#[test]
fn several_columns_take_the_same_iterations_by_every_scheme() {
    let grid = data("grid.mtx");
    let common = ["solve", &grid, "--json", "--columns", "3"];
    let alone = object("threads", &command::parhelion(&[&common[..], &["-n", "1"]].concat()));
    let iterations = |value: &serde_json::Value| -> Vec<u64> {
        let columns = value["columns"].as_array().unwrap().iter();
        columns.map(|column| column["iterations"].as_u64().unwrap()).collect()
    };
    each_library(|name, run| {
        for (scheme, overlap) in [
            ("p2p", "on"),
            ("persistent", "off"),
            ("neighbor", "on"),
            ("persistent-neighbor", "off"),
            ("rma-pull", "on"),
            ("rma-push", "on"),
            ("shared", "off"),
            ("auto", "on"),
        ] {
            let value = object(name, &run(3, &[&common[..], &["--scheme", scheme, "--overlap", overlap]].concat()));
            assert_eq!(iterations(&value), iterations(&alone), "{name} {scheme}, overlap {overlap}");
            assert_eq!(value["converged"], true, "{name} {scheme}");
        }
    });
}

#[test]
fn what_rank_0_alone_sees_ends_every_rank_with_one_line_and_code_2() {
    let grid = data("grid.mtx");
    each_library(|name, run| {
        for (args, words) in [
            (&["solve", "/nowhere/a.mtx"][..], "/nowhere/a.mtx: cannot read"),
            (&["solve", &grid, "--solution", "/nowhere/x"], "/nowhere/x: cannot write"),
            (&["solve", &grid, "-n", "5"], "-n 5 contradicts"),
            (&["bench", "barrier", "-n", "2"], "-n 2 contradicts"),
        ] {
            let ended = run(3, args);
            assert_eq!(ended.code, Some(2), "{name} {args:?}: {}{}", ended.stdout, ended.stderr);
            let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
            assert_eq!(lines.len(), 1, "{name} {args:?}: {}", ended.stderr);
            assert!(lines[0].contains(words), "{name} {args:?}: {}", lines[0]);
        }
    });
}

#[test]
fn heat_gives_the_same_bits_as_threads_by_every_scheme() {
    let scratch = Scratch::new("heat-mpiexec");
    let prefix = scratch.path("heat");
    let common = ["heat", "--size", "24x17", "--steps", "9", "--json", "--output", &prefix];
    let alone = object("threads", &command::parhelion(&[&common[..], &["-n", "1"]].concat()));
    each_library(|name, run| {
        for scheme in [
            "p2p",
            "p2p+datatype",
            "persistent",
            "neighbor",
            "persistent-neighbor",
            "rma-pull",
            "rma-push+datatype",
            "shared",
            "auto",
        ] {
            let value = object(name, &run(3, &[&common[..], &["--scheme", scheme]].concat()));
            assert_eq!((&value["ranks"], &value["backend"]), (&3.into(), &"mpi".into()), "{name}");
            assert_eq!(value["checksum"], alone["checksum"], "{name} {scheme}");
        }
    });
}

#[test]
fn info_and_bench_name_the_library() {
    each_library(|name, run| {
        let value = object(name, &run(2, &["info", "--json"]));
        let version = name.split_once('-').expect("name and version").1;
        assert_eq!(value["mpi"]["version"], version, "{name}");
        assert_eq!(value["mpi"]["thread_level"], "funneled", "{name}");
        assert_eq!(value["launcher"]["size"], 2, "{name}");

        let value = object(name, &run(2, &["bench", "barrier", "--json"]));
        assert!(value["lib"].as_str().is_some_and(|lib| lib.starts_with(&format!("mpi:{name}"))), "{name}: {value}");
        assert_eq!(value["ok"], true);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_mpiexec_starts_ranks_of_tcp_that_are_told_where_to_meet() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new("tcp-mpiexec");
    let secret = scratch.file("secret", "0123456789abcdef0123456789abcdef");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("it is ours");
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let place = format!("127.0.0.1:{port}-{}", port.saturating_add(15));
    let variables =
        [("PARHELION_BACKEND", "tcp"), ("PARHELION_RENDEZVOUS", &*place), ("PARHELION_SECRET_FILE", &*secret)];
    let grid = data("grid.mtx");
    let alone = solve(&[&grid, "-n", "1"]);
    each_library_with(&variables, |name, run| {
        let value = object(name, &run(3, &["solve", &grid, "--json"]));
        assert_eq!((&value["ranks"], &value["backend"]), (&3.into(), &"tcp".into()), "{name}");
        assert_eq!(value["iterations"], alone["iterations"], "{name}");
    });
}
