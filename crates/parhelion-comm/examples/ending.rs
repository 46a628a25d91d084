//! The last rank ends as the argument says, while the others need it: all must end soon.
//!
//! ```console
//! $ PARHELION_RANKS=3 cargo run -p parhelion-comm --example ending -- fails
//! $ mpiexec -n 3 target/debug/examples/ending panics-sending
//! ```
//!
//! `fails` and `panics` say themselves, and the others wait for a message of it; `panics-sending` does so with a send of borrowed
//! memory in flight that nobody receives. `returns` is no failure: it begins reductions and returns before the others begin theirs.
//! Exit code: 0 if it returned and the sums were right, with the words of the failure otherwise.

use std::process::ExitCode;
use std::time::Duration;

use parhelion_comm::{Communicator, Error, ErrorKind, Op};

fn main() -> ExitCode {
    let how = std::env::args().nth(1).unwrap_or_default();
    let end: fn(&Communicator) -> Result<(), Error> = match how.as_str() {
        "fails" => |_| Err(Error::new("ending", ErrorKind::InvalidArgument("on purpose".to_owned()))),
        "panics" => |_| panic!("on purpose"),
        "panics-sending" => |world| {
            // Too much for any library to take before it is received.
            let data = vec![1u8; 16 << 20];
            world.scope(|s| {
                s.send(&data, 0, 2)?;
                panic!("on purpose")
            })
        },
        "returns" => return returns(),
        _ => {
            eprintln!("usage: ending fails|panics|panics-sending|returns");
            return ExitCode::from(2);
        }
    };
    let ended = parhelion_comm::run(|world| {
        let last = world.size() - 1;
        if world.rank() == last { end(&world) } else { world.recv(&mut [0u8], last, 1).map(drop) }
    });
    match ended {
        Ok(()) => eprintln!("ending: it went on as if nothing had happened"),
        Err(error) => eprintln!("ending: {error}"),
    }
    ExitCode::FAILURE
}

fn returns() -> ExitCode {
    let ended = parhelion_comm::run(|world| {
        let is_last = world.rank() + 1 == world.size();
        if !is_last {
            std::thread::sleep(Duration::from_millis(200));
        }
        let begin = |i: u64| world.iall_reduce(vec![i; 1000], Op::Sum);
        let sums = (0..20).map(begin).collect::<Result<Vec<_>, _>>()?;
        if is_last {
            // Drops what it has begun.
            return Ok(());
        }
        for (i, sum) in (0..).zip(sums) {
            assert_eq!(sum.wait()?, vec![i * world.size() as u64; 1000]);
        }
        Ok::<_, Error>(())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ending: {error}");
            ExitCode::FAILURE
        }
    }
}
