//! Calls every group of MPI functions through this crate and checks the values that come back.
//!
//! Start it under the mpiexec of any MPI library: `mpiexec -n 3 target/debug/examples/abi_check`. Rank 0 ends with one
//! line, `abi_check: N passed, N failed, N skipped`, and before it a line for each skipped check with the reason: what
//! the library lacks, or a fault of it that would end the program. The exit code is 1 when a check failed on any rank. With `ABI_CHECK_VERBOSE=1` rank 0 names each
//! check before it runs; arguments choose the checks whose name contains one of them.

mod collective;
mod comm;
mod datatype;
mod environment;
mod p2p;
mod request;
mod rma;
mod support;
mod topology;
mod user_op;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use mpi_abi::{Environment, Error, Search, ThreadLevel};
use support::{Check, Failure, Mpi};

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("abi_check: {error}");
            ExitCode::from(2)
        }
    }
}

/// The number of checks that failed somewhere.
fn run() -> Result<usize, Error> {
    let (library, found) = Search::of_process().open()?;
    environment::before_initialization(library);
    let environment = Environment::init(library, ThreadLevel::Multiple)?;
    let world = Mpi::world(library)?;
    if world.rank == 0 {
        println!("library: {} ({}, {}), {} ranks", library.name(), library.family(), found.how, world.size);
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let verbose = std::env::var_os("ABI_CHECK_VERBOSE").is_some();
    let groups: [&[(&str, Check)]; 9] = [
        environment::CHECKS,
        comm::CHECKS,
        p2p::CHECKS,
        request::CHECKS,
        collective::CHECKS,
        topology::CHECKS,
        datatype::CHECKS,
        user_op::CHECKS,
        rma::CHECKS,
    ];
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, check) in groups.into_iter().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        if verbose && world.rank == 0 {
            eprintln!("abi_check: {name}");
        }
        // What one check leaves unreceived must not reach the next: each has a communicator of its own.
        let own = world.dup()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&own)))
            .unwrap_or_else(|_| Err(Failure::Wrong("it panicked".to_owned())));
        if let Err(Failure::Wrong(what)) = &outcome {
            eprintln!("abi_check: rank {}: {name}: {what}", world.rank);
        }
        let mine = [
            i32::from(matches!(outcome, Err(Failure::Wrong(_)))),
            i32::from(matches!(outcome, Err(Failure::NotHere(_)))),
        ];
        let [wrong, lacks] = world.maximum(mine)?;
        own.free()?;
        if wrong != 0 {
            failed += 1;
            if world.rank == 0 {
                println!("FAIL {name}: {}", here(&outcome));
            }
        } else if lacks != 0 {
            skipped += 1;
            if world.rank == 0 {
                println!("SKIP {name}: {}", here(&outcome));
            }
        } else {
            passed += 1;
        }
    }
    if world.rank == 0 {
        println!("abi_check: {passed} passed, {failed} failed, {skipped} skipped");
    }
    environment.finalize()?;
    environment::after_finalization(library);
    Ok(failed)
}

/// What this rank has to say about a check that failed or was skipped somewhere.
fn here(outcome: &Result<(), Failure>) -> &str {
    match outcome {
        Ok(()) => "on another rank, which says why on stderr",
        Err(Failure::Wrong(why) | Failure::NotHere(why)) => why,
    }
}
