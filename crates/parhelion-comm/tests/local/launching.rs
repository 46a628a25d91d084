//! Starting ranks, and what comes of their results.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::time::Duration;

use parhelion_comm::{Config, Error, ErrorKind, Op};

use crate::bounds::{kind, launch, ranks, run, within};

#[test]
fn values_come_in_rank_order() {
    for size in [1, 2, 5, 16] {
        let values = run(ranks(size), |world| {
            // The last rank is done first.
            std::thread::sleep(Duration::from_millis(((world.size() - world.rank()) % 4) as u64));
            Ok((world.rank(), world.size()))
        });
        assert_eq!(values, (0..size).map(|rank| (rank, size)).collect::<Vec<_>>());
    }
}

#[test]
fn ranks_are_named_threads() {
    let names = run(ranks(3), |_| Ok(std::thread::current().name().map(str::to_owned)));
    assert_eq!(names, [0, 1, 2].map(|rank| Some(format!("rank {rank}"))));
}

#[test]
fn values_may_borrow_from_outside() {
    let words = ["zero", "one", "two"].map(String::from);
    let lengths = parhelion_comm::launch(&ranks(3), |world| Ok::<_, Error>(words[world.rank()].len()));
    assert_eq!(lengths.unwrap(), [4, 3, 3]);
}

#[test]
fn numbers_of_ranks_that_make_no_sense_are_errors() {
    for size in [0, 1_000_000] {
        let error = kind(launch(ranks(size), |_| Ok(())));
        assert!(matches!(&error, ErrorKind::Config(text) if text.contains(&size.to_string())), "{error}");
    }
}

/// A program's own error.
#[derive(Debug)]
enum Mine {
    Comm(Error),
    DiskFull(usize),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Mine::Comm(error)
    }
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mine::Comm(error) => error.fmt(f),
            Mine::DiskFull(rank) => write!(f, "rank {rank}: disk full"),
        }
    }
}

#[test]
fn the_error_is_the_cause_not_its_consequences() {
    for culprit in 0..4 {
        let result = within(Duration::from_secs(20), move || {
            parhelion_comm::launch(&ranks(4), |world| {
                if world.rank() == culprit {
                    return Err(Mine::DiskFull(culprit));
                }
                world.barrier()?;
                Ok(())
            })
        });
        assert!(matches!(result, Err(Mine::DiskFull(rank)) if rank == culprit), "{result:?}");
    }
}

#[test]
fn of_several_causes_the_lowest_rank_counts() {
    let result = within(Duration::from_secs(20), || {
        parhelion_comm::launch(&ranks(4), |world| {
            if world.rank() % 2 == 1 {
                std::thread::sleep(Duration::from_millis(if world.rank() == 1 { 50 } else { 0 }));
                return Err(Mine::DiskFull(world.rank()));
            }
            world.recv(&mut [0u8], world.rank() + 1, 0)?;
            Ok(())
        })
    });
    assert!(matches!(result, Err(Mine::DiskFull(1))), "{result:?}");
}

#[test]
fn consequences_alone_are_still_an_error() {
    // Rank 1 returns without an error; what remains is that rank 0 waits for it.
    let result = within(Duration::from_secs(20), || {
        parhelion_comm::launch(&ranks(2), |world| {
            if world.rank() == 0 {
                world.recv(&mut [0u8], 1, 0)?;
            }
            Ok::<_, Mine>(())
        })
    });
    let is_lost = |e: &Error| matches!(e.kind(), ErrorKind::PeerLost { rank: 1, .. });
    assert!(matches!(&result, Err(Mine::Comm(e)) if is_lost(e)), "{result:?}");
}

#[test]
fn a_panic_goes_on_after_all_ranks_have_ended() {
    struct Payload(usize);
    for culprit in 0..3 {
        within(Duration::from_secs(20), move || {
            let ended = std::sync::atomic::AtomicUsize::new(0);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                parhelion_comm::launch(&ranks(3), |world| {
                    if world.rank() == culprit {
                        resume_unwind(Box::new(Payload(culprit)));
                    }
                    let waited = world.barrier();
                    std::thread::sleep(Duration::from_millis(20));
                    ended.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    waited
                })
            }));
            let payload = panic.expect_err("the panic goes on");
            assert_eq!(payload.downcast_ref::<Payload>().map(|p| p.0), Some(culprit));
            assert_eq!(ended.load(std::sync::atomic::Ordering::SeqCst), 2);
        });
    }
}

#[test]
fn a_world_inside_a_rank_is_a_world_of_its_own() {
    let sums = run(ranks(2), |outer| {
        let inner = parhelion_comm::launch(&ranks(3), |inner| inner.all_reduce(&[inner.rank()], Op::Sum))?;
        outer.barrier()?;
        Ok(inner.concat())
    });
    assert_eq!(sums, [[3, 3, 3], [3, 3, 3]]);
}

/// The variable that turns [`child`] on, in a process of its own.
const CHILD: &str = "PARHELION_TEST_CHILD";

/// Not a test of its own: what the other tests run with another environment.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let config = Config::from_env();
    println!("checks: {}", config.as_ref().map(|c| c.checks).unwrap_or_default());
    let result = parhelion_comm::run(|world| {
        println!("rank {} of {} on {}", world.rank(), world.size(), world.backend());
        Ok::<(), Error>(())
    });
    match result {
        Ok(()) => println!("fine"),
        Err(error) => println!("error: {error}"),
    }
}

/// What [`child`] prints with these variables.
fn with_environment(variables: &[(&str, &str)]) -> String {
    let program = std::env::current_exe().expect("a test knows its program");
    let mut command = Command::new(program);
    command.args(["--exact", "launching::child", "--nocapture"]).env(CHILD, "1");
    for name in ["BACKEND", "RANKS", "MPI_LIB", "CHECK", "TIMEOUT"] {
        command.env_remove(format!("PARHELION_{name}"));
    }
    let output = command.envs(variables.iter().copied()).output().expect("a test can run its program");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_environment_says_how_many_ranks() {
    let text = with_environment(&[("PARHELION_BACKEND", "local"), ("PARHELION_RANKS", "3"), ("PARHELION_CHECK", "0")]);
    for line in ["rank 0 of 3 on local", "rank 2 of 3 on local", "checks: false", "fine"] {
        assert!(text.contains(line), "{text}");
    }
    let cores = std::thread::available_parallelism().expect("a machine knows its cores");
    let text = with_environment(&[("PARHELION_BACKEND", "local")]);
    assert!(text.contains(&format!("rank 0 of {cores} on local")), "{text}");
}

#[test]
fn an_environment_that_cannot_be_read_is_an_error_that_names_the_variable() {
    for (name, value) in [
        ("PARHELION_BACKEND", "pigeon"),
        ("PARHELION_RANKS", "several"),
        ("PARHELION_TIMEOUT", "soon"),
        ("PARHELION_CHECK", "2"),
    ] {
        let text = with_environment(&[(name, value)]);
        assert!(text.contains(&format!("error: config: {name}={value}")), "{text}");
    }
}
