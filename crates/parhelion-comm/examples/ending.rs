//! The last rank ends as the argument says, while the others wait for a message of it: all must end soon, with its words.
//!
//! ```console
//! $ PARHELION_RANKS=3 cargo run -p parhelion-comm --example ending -- fails
//! $ mpiexec -n 3 target/debug/examples/ending panics-sending
//! ```
//!
//! `fails` and `panics` say themselves; `panics-sending` does so with a send of borrowed memory in flight that nobody receives.
//! Exit code: never 0.

use std::process::ExitCode;

use parhelion_comm::{Communicator, Error, ErrorKind};

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
        _ => {
            eprintln!("usage: ending fails|panics|panics-sending");
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
