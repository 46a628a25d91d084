//! `info` and `bench`: what they print, and that it is right.

mod command;

use command::parhelion;

#[test]
fn info_says_that_threads_are_always_there() {
    let ended = parhelion(&["info"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("local  available"), "{}", ended.stdout);

    let ended = parhelion(&["info", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let backends = value["backends"].as_array().unwrap();
    assert!(backends.iter().any(|entry| entry["name"] == "local" && entry["available"] == true));
    let mpi = backends.iter().find(|entry| entry["name"] == "mpi").expect("the mpi backend is listed");
    assert!(!mpi["reason"].as_str().unwrap().is_empty());
    // Either a library was found and is described, or it is said why not.
    assert_ne!(value["mpi"].is_null(), value["mpi_missing"].is_null());
}

#[test]
fn info_has_the_table_of_collectives() {
    let text = parhelion(&["info", "--collectives"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    let ended = parhelion(&["info", "--collectives", "--json"]);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).unwrap();
    for name in ["barrier", "broadcast", "all_gather", "all_reduce", "reduce_scatter", "scan"] {
        let last = lines.iter().rfind(|line| line["collective"] == name).expect("a line");
        assert!(last["ranks"].is_null() && last["bytes"].is_null(), "{name} ends with a line for all");
        assert!(text.stdout.contains(last["algorithm"].as_str().expect("a name")), "{}", text.stdout);
    }
}

/// The lines of `bench OPERATION --json`, quickly and with results checked.
fn bench(operation: &str, ranks: &str) -> Vec<serde_json::Value> {
    // Short samples: these tests look at the form and the results, not at the times.
    let ended = command::parhelion_with(
        &["bench", operation, "-n", ranks, "--json"],
        &[("B_TARGET_S", "0.00001"), ("B_SAMPLES", "3"), ("B_TOUCH_S", "0.001"), ("B_TAG", "te\"st")],
    );
    assert_eq!(ended.code, Some(0), "{operation}: {}", ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn every_operation_is_measured_in_the_form_of_the_peers() {
    for (operation, name, cases, bandwidth) in [
        ("pingpong", "pingpong", vec!["8", "1024", "8192", "65536", "1048576", "16777216"], true),
        ("allreduce", "allreduce", vec!["1", "1024", "1048576", "16777216"], false),
        ("broadcast", "bcast", vec!["1", "1024", "1048576"], false),
        ("allgather", "allgather", vec!["1", "1024", "1048576"], false),
        ("reducescatter", "reduce_scatter", vec!["1", "1024", "1048576"], false),
        ("barrier", "barrier", vec!["0"], false),
    ] {
        let lines = bench(operation, "2");
        let found: Vec<_> = lines.iter().map(|line| line["case"].as_str().unwrap()).collect();
        assert_eq!(found, cases, "{operation}");
        for line in lines {
            assert_eq!((&line["bench"], &line["mode"], &line["ok"]), (&name.into(), &"hot".into(), &true.into()));
            assert_eq!((&line["lib"], &line["cfg"], &line["np"]), (&"local".into(), &"te\"st".into(), &2.into()));
            for key in ["med_us", "min_us", "p10_us", "p90_us", "bytes", "iters", "samples"] {
                assert!(line[key].is_number(), "{operation}: {key}");
            }
            assert_eq!(line["GBps"].is_number(), bandwidth, "{operation}");
        }
    }
}

#[test]
fn the_exchange_has_both_modes_and_bears_an_odd_rank() {
    let lines = bench("exchange", "3");
    assert_eq!(lines.len(), 12);
    assert!(lines.iter().all(|line| line["ok"] == true && line["variant"] == "send_recv"));
    assert_eq!(lines.iter().filter(|line| line["mode"] == "touch").count(), 6);
}

#[test]
fn every_scheme_exchanges_halos_in_the_form_of_the_peer() {
    let quick = [("B_TARGET_S", "0.00001"), ("B_SAMPLES", "3"), ("B_TOUCH_S", "0.001")];
    let shape = ["--size", "6", "--width", "2", "--fields", "2", "--directions", "26", "--grid", "1x2x1"];
    let ended = command::parhelion_with(&[&["bench", "halo", "-n", "2", "--json"], &shape[..]].concat(), &quick);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<serde_json::Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2 * 8, "hot and touch of seven schemes and auto");
    for line in &lines {
        assert_eq!((&line["bench"], &line["case"]), (&"halo3d".into(), &"n6_h2_f2_d26_g1x2x1".into()));
        assert_eq!((&line["ok"], &line["np"], &line["dirs"]), (&true.into(), &2.into(), &26.into()), "{line}");
        // Two faces across axis 1 with their edges and corners, 2 layers, 2 fields.
        assert_eq!(line["remote_bytes"], 2 * 2 * (2 * 10 * 10) * 8, "{line}");
        assert_eq!(line["bytes"], 2 * (10 * 10 * 10 - 6 * 6 * 6) * 8, "{line}");
        assert!(line["med_us"].as_f64().unwrap() > 0.0);
    }
    assert!(lines.iter().any(|line| line["variant"] == "auto" && line["chosen"].is_string()));
    for args in [
        &["halo", "--grid", "2x2x2"][..],
        &["pingpong", "--size", "8"],
        &["halo", "--partition", "slab"],
        &["sparse", "--width", "1"],
        &["sparse", "--size", "2000"],
    ] {
        let ended = parhelion(&[&["bench", "-n", "2"], args].concat());
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(2), 1), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

/// The lines of `bench sparse`, quickly.
fn bench_sparse(args: &[&str]) -> Vec<serde_json::Value> {
    let quick = [("B_TARGET_S", "0.00001"), ("B_SAMPLES", "3"), ("B_TOUCH_S", "0.001")];
    let ended = command::parhelion_with(&[&["bench", "sparse", "--json"], args].concat(), &quick);
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_scheme_exchanges_index_lists_in_the_form_of_the_peer() {
    // Counted by the peer: `mpiexec -n 2 halo_sparse -n 8 -p slab|random`, for rank 0.
    for (partition, owned, halo) in [("slab", 256, 64), ("random", 252, 254)] {
        let lines = bench_sparse(&["-n", "2", "--size", "8", "--partition", partition]);
        assert_eq!(lines.len(), 2 * 8, "hot and touch of seven schemes and auto");
        for line in &lines {
            assert_eq!((&line["bench"], &line["ok"], &line["np"]), (&"halo_sparse".into(), &true.into(), &2.into()));
            assert_eq!(line["case"], format!("{partition}_n8_c1"), "{line}");
            assert_eq!(
                (&line["nloc"], &line["nhalo"], &line["bytes"]),
                (&owned.into(), &halo.into(), &(8 * halo).into())
            );
        }
        assert!(lines.iter().any(|line| line["variant"] == "auto" && line["chosen"].is_string()));
    }
    let lines = bench_sparse(&["-n", "3", "--size", "5", "--partition", "random", "--scheme", "p2p,shared"]);
    let variants: Vec<_> = lines.iter().map(|line| line["variant"].as_str().unwrap()).collect();
    assert_eq!(variants, ["p2p", "p2p", "shared", "shared"]);
}

#[test]
fn assembly_is_counted_by_edges_and_halo() {
    let [line] = &bench_sparse(&["-n", "4", "--size", "6", "--per-rank", "--assembly"])[..] else {
        panic!("one line for one assembly");
    };
    // 6 x 6 x 24 points: the diagonal, and two entries for each pair of neighbours.
    let pairs = 2 * 5 * 6 * 24 + 6 * 6 * 23;
    assert_eq!((&line["edges"], &line["ok"]), (&(6 * 6 * 24 + 2 * pairs).into(), &true.into()), "{line}");
    assert_eq!((&line["halo"], &line["halo_per_rank"]), (&(6 * 36).into(), &72.into()), "{line}");
    assert!(line["messages"].as_u64().unwrap() > 0 && line["sent_bytes"].as_u64().unwrap() > 0, "{line}");
    assert_eq!((&line["neighbours"], &line["case"]), (&2.into(), &"slab_n6x6x24_c1".into()), "{line}");
}

#[test]
fn two_sided_operations_need_two_ranks() {
    for operation in ["pingpong", "exchange"] {
        let ended = parhelion(&["bench", operation, "-n", "1"]);
        assert_eq!((ended.code, ended.stdout.lines().count()), (Some(2), 0), "{operation}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ranks_can_be_bound_to_cores() {
    let ended = command::parhelion_with(
        &["bench", "barrier", "-n", "2", "--pin"],
        &[("B_TARGET_S", "0.00001"), ("B_SAMPLES", "3")],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("right"), "{}", ended.stdout);
}
