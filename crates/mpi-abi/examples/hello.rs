//! Every rank says who it is, and the ranks add up their numbers. Run it alone or under any mpiexec.

use std::process::ExitCode;

use mpi_abi::{Environment, Launcher, Search, ThreadLevel};

fn main() -> ExitCode {
    match hello() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hello() -> Result<(), mpi_abi::Error> {
    let (mpi, found) = Search::of_process().open()?;
    let environment = Environment::init(mpi, ThreadLevel::Multiple)?;
    let c = mpi.constants();
    let (mut rank, mut size, mut total) = (0i32, 0i32, 0i32);
    // SAFETY: MPI is active, the buffers hold one int each, and every rank makes the same calls.
    unsafe {
        mpi.comm_rank(c.comm_world, &mut rank)?;
        mpi.comm_size(c.comm_world, &mut size)?;
        let (sent, received) = ((&raw const rank).cast(), (&raw mut total).cast());
        mpi.allreduce(sent, received, 1, c.int32_t, c.sum, c.comm_world)?;
    }
    println!("rank {rank} of {size}: the ranks add up to {total}");
    if rank == 0 {
        println!("library:  {}, {}", mpi.name(), found.how);
        println!("family:   {}, MPI {}.{}", mpi.family(), mpi.standard().0, mpi.standard().1);
        println!("launcher: {}", Launcher::detect());
        println!("threads:  {:?}", environment.thread_level());
        println!(
            "large counts {}, persistent collectives {}, CUDA {:?}",
            mpi.supports_large_counts(),
            mpi.has_persistent_collectives(),
            mpi.cuda_aware()
        );
    }
    environment.finalize()
}
