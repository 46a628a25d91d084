//! Kills ranks of random programs at random points and checks what the survivors say (tcp backend).
//!
//! ```console
//! $ cargo run --release -p parhelion-comm --example faults -- --kills 100
//! $ cargo run --release -p parhelion-comm --example faults -- --kills 1 --seed 1234 --ranks 4
//! ```
//!
//! Starts its own processes: `--ranks N` of them (default: 2 to 5, by the seed), once for each of `--kills N`, with seeds from
//! `--seed S` on. Every survivor must report the loss of the rank that died, or finish with right results; one that waited for a
//! survivor that has given up may name that one. Whoever names the dead rank does so within 2 seconds of its death, not counting the time
//! for which the ranks had no core. Exit code: 0 if all did, 1 with the seeds of those that did not.

#[cfg(unix)]
#[path = "../tests/tcp/drill.rs"]
mod drill;
#[cfg(unix)]
#[path = "../tests/tcp/processes.rs"]
mod processes;

use std::process::ExitCode;

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("faults: the tcp backend needs a Unix system");
    ExitCode::from(2)
}

#[cfg(unix)]
fn main() -> ExitCode {
    match arguments() {
        Ok(arguments) => carry_out(&arguments),
        Err(why) => {
            eprintln!("faults: {why}\nusage: faults [--kills N] [--ranks N] [--seed S]");
            ExitCode::from(2)
        }
    }
}

#[cfg(unix)]
struct Arguments {
    kills: u64,
    ranks: Option<usize>,
    seed: u64,
    /// This process is a rank of the program with this seed.
    rank: bool,
}

#[cfg(unix)]
fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { kills: 20, ranks: None, seed: 1, rank: false };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        if name == "--rank" {
            arguments.rank = true;
            continue;
        }
        let value = given.next().and_then(|value| value.parse().ok()).ok_or(format!("{name} takes a number"))?;
        match name.as_str() {
            "--kills" => arguments.kills = value,
            "--seed" => arguments.seed = value,
            "--ranks" if value >= 2 => arguments.ranks = Some(value as usize),
            "--ranks" => return Err("with fewer than 2 ranks there are no survivors".to_owned()),
            _ => return Err(format!("unknown argument {name:?}")),
        }
    }
    Ok(arguments)
}

#[cfg(unix)]
fn carry_out(arguments: &Arguments) -> ExitCode {
    use std::process::Command;
    use std::time::Duration;

    use drill::Plan;
    use processes::Job;

    /// Longer than any drill takes, on a machine that has much else to do.
    const LIMIT: Duration = Duration::from_secs(60);
    /// How long news of a death may take (docs/tcp.md).
    const NEWS: Duration = Duration::from_secs(2);
    if arguments.rank {
        let plan = Plan::new(arguments.seed, arguments.ranks.unwrap_or(2));
        return if drill::take_part(plan).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let program = std::env::current_exe().expect("a program has a path");
    let (mut named, mut followed, mut latest) = (0, 0, Duration::ZERO);
    let mut failed = Vec::new();
    for seed in arguments.seed..arguments.seed + arguments.kills {
        let ranks = arguments.ranks.unwrap_or(2 + seed as usize % 4);
        let plan = Plan::new(seed, ranks);
        let ended = Job::start(ranks, |_| {
            let mut command = Command::new(&program);
            command.args(["--rank", "--seed", &seed.to_string(), "--ranks", &ranks.to_string()]);
            command
        })
        .finish(LIMIT);
        match drill::judge(plan, &ended) {
            Ok(verdict) if verdict.overdue > NEWS => {
                println!("seed {seed}: FAILED: a survivor named the dead rank {:?} after its death", verdict.latest);
                latest = latest.max(verdict.latest);
                failed.push(seed);
            }
            Ok(verdict) => {
                println!(
                    "seed {seed}: {ranks} ranks{}, {:?} of rank {}: {} named it{}",
                    if plan.shares { "" } else { " without shared memory" },
                    plan.death,
                    plan.victim,
                    verdict.named,
                    if verdict.followed > 0 { format!(", {} followed", verdict.followed) } else { String::new() }
                );
                named += verdict.named;
                followed += verdict.followed;
                latest = latest.max(verdict.latest);
            }
            Err(why) => {
                println!("seed {seed}: FAILED\n{why}");
                failed.push(seed);
            }
        }
    }
    println!(
        "faults: {} kills, {} failed {failed:?}; {named} survivors named the dead rank, at the latest {latest:?} after its \
         death, {followed} one that had given up",
        arguments.kills,
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
