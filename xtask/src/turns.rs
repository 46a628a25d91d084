//! Parhelion beside C on an MPI library: both in turns in one job, by the example `in_turns`.
//!
//! A virtual machine's processors lie now on one core of its host, now on two, and a message between them takes twice as long
//! there; two runs of one program differ by more than what is looked for. Within a run it cancels out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compare::{Case, Ratio, local_target, median, memory_target, mpi_target, name};
use crate::launch::{Stderr, bounded, clean_command};
use crate::mpi::Library;
use crate::table::Table;
use crate::{Result, root, steps};

/// The example, and the source of its C half.
const PROGRAM: &str = "in_turns";
const SOURCE: &str = "crates/parhelion-cli/examples/in_turns.c";
/// How many runs over the library's connections make a round: they are short, and each has its own luck with cores and memory.
pub(crate) const RUNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// Builds both halves; where the Rust one came to lie.
pub(crate) fn build(libraries: &[Library]) -> Result<PathBuf> {
    for library in libraries {
        println!("== build: the C half of {PROGRAM} on {}", library.name);
        let object = object(library);
        let folder = object.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let mut compiler = clean_command(library.compiler());
        // As for the peers.
        compiler.env("OPAL_PREFIX", library.wheel.prefix());
        compiler.args(["-O3", "-march=native", "-shared", "-fPIC", "-o"]).arg(object).arg(root().join(SOURCE));
        let ran = bounded(compiler, &format!("{PROGRAM}-{}", library.name), Stderr::Captured, LIMIT)
            .map_err(|why| format!("{why}; the C half of {PROGRAM} needs a C compiler"))?;
        if !ran.end.success() {
            return Err(format!("{SOURCE} does not build on {}: {}\n{}", library.name, ran.end, ran.excerpt()));
        }
    }
    steps::build_release_example(PROGRAM)
}

fn object(library: &Library) -> PathBuf {
    root().join("target/peers").join(library.name).join(format!("{PROGRAM}.so"))
}

/// The run of `program` as `ranks` ranks of `library`, over a connection of the library's.
pub(crate) fn as_guest(program: &Path, library: &Library, ranks: usize) -> Command {
    let mut command = library.bound_command(ranks);
    command.env("PARHELION_BACKEND", "mpi").env("PARHELION_MPI_LIB", library.path());
    command.arg(program).arg(object(library));
    command
}

/// The same with connections of our own beside the library's, and with threads.
pub(crate) fn beside(program: &Path, library: &Library, ranks: usize) -> Result<Command> {
    let mut command = who_find_each_other(library, ranks)?;
    command.env("PARHELION_BACKEND", "tcp").arg(program).arg(object(library));
    Ok(command)
}

/// The run of the example that exchanges halos under the library and over connections of our own.
pub(crate) fn of_halos(program: &Path, library: &Library, ranks: usize) -> Result<Command> {
    let mut command = who_find_each_other(library, ranks)?;
    command.env("PARHELION_MPI_LIB", library.path()).arg(program);
    Ok(command)
}

/// Ranks of `library` with what the `tcp` backend needs besides.
fn who_find_each_other(library: &Library, ranks: usize) -> Result<Command> {
    let folder = root().join("target/peers");
    let secret = folder.join("secret");
    std::fs::create_dir_all(folder)
        .and_then(|()| write_secret(&secret))
        .map_err(|e| format!("cannot write {}: {e}", secret.display()))?;
    // Closed again at once: nobody else here looks for a port meanwhile.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = free.map_err(|e| format!("no port is free: {e}"))?;
    let mut command = library.bound_command(ranks);
    command.env("PARHELION_RENDEZVOUS", address.to_string()).env("PARHELION_SECRET_FILE", secret);
    Ok(command)
}

/// Writes what the ranks of one machine know and other users do not.
fn write_secret(path: &Path) -> io::Result<()> {
    let mut secret = String::new();
    for _ in 0..4 {
        secret += &format!("{:016x}", getrandom::u64().map_err(io::Error::from)?);
    }
    let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())
}

/// Each backend, what its table is called, and what it may take on a library.
type Target = fn(&Case, &str) -> Option<f64>;
const BACKENDS: [(&str, &str, Target); 3] = [
    ("mpi", "mpi / C, in turns", |case, _| mpi_target(case)),
    ("local", "local / C, in turns", |case, _| local_target(case)),
    ("tcp", "tcp, shared memory / C, in turns", |case, library| {
        memory_target(case).filter(|_| library.starts_with("openmpi"))
    }),
];

/// The quotients of neighbouring batches, by backend, case and library; cases in the order in which they first came.
#[derive(Default)]
pub(crate) struct Turns {
    order: Vec<Case>,
    ratios: BTreeMap<(&'static str, Case, &'static str), Vec<f64>>,
}

impl Turns {
    /// Adds the cases among the JSON lines of `out`; how many there were.
    pub(crate) fn add(&mut self, library: &'static str, out: &str) -> Result<usize> {
        let mut added = 0;
        for line in out.lines().filter(|line| line.starts_with('{')) {
            let value: Value = serde_json::from_str(line).map_err(|e| format!("malformed JSON ({e}): {line}"))?;
            let (Some(bench), Some(case), Some(ratio)) =
                (value["bench"].as_str(), value["case"].as_str(), value["ratio"].as_f64())
            else {
                return Err(format!("no `bench`, `case` or `ratio` in {line}"));
            };
            let Some((backend, ..)) = BACKENDS.into_iter().find(|(name, ..)| value["backend"] == **name) else {
                return Err(format!("no `backend` that is known in {line}"));
            };
            let case = (bench.to_owned(), case.to_owned());
            if !self.order.contains(&case) {
                self.order.push(case.clone());
            }
            self.ratios.entry((backend, case, library)).or_default().push(ratio);
            added += 1;
        }
        Ok(added)
    }

    /// The medians over runs, a table for each backend, in it a column for each library; the misses go to `missed`.
    pub(crate) fn tables(&self, libraries: &[Library], missed: &mut Vec<String>) -> Vec<Table> {
        let names: Vec<&'static str> = libraries.iter().map(|library| library.name).collect();
        let table = |(backend, title, target): (&'static str, &'static str, Target)| {
            let heading = [title].into_iter().chain(names.iter().copied()).chain(["target"]);
            let mut table = Table::new(heading);
            for case in &self.order {
                let mut row = vec![name(case)];
                let mut least: Option<f64> = None;
                for &library in &names {
                    let value = self.ratios.get(&(backend, case.clone(), library)).map(|ratios| median(ratios));
                    let target = target(case, library);
                    least = least.or(target);
                    // A quotient is already one.
                    let ratio = Ratio::new(value, Some(1.0), target);
                    missed.extend(ratio.missed(&format!("{backend} / {library}, {}, in turns", name(case))));
                    row.push(ratio.marked());
                }
                row.push(least.map_or_else(String::new, |target| format!("≤ {target:.2}")));
                table.row(row);
            }
            table
        };
        BACKENDS.into_iter().map(table).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpi::LIBRARIES;

    #[test]
    fn medians_over_runs_are_held_to_the_targets() {
        let mut all = Turns::default();
        let line = |backend: &str, ratio: f64| {
            format!(r#"{{"bench":"pingpong","case":"8","backend":"{backend}","ratio":{ratio}}}"#)
        };
        let [open, other] = [LIBRARIES[0], LIBRARIES[2]];
        assert!(open.name.starts_with("openmpi") && !other.name.starts_with("openmpi"));
        for ratio in [1.01, 1.3, 1.06] {
            assert_eq!(all.add(open.name, &format!("a word\n{}\n", line("mpi", ratio))), Ok(1));
        }
        all.add(other.name, &line("mpi", 0.98)).unwrap();
        for library in [open, other] {
            all.add(library.name, &format!("{}\n{}", line("local", 0.5), line("tcp", 3.1))).unwrap();
        }
        let mut missed = Vec::new();
        let [mpi, local, tcp] = all.tables(&[open, other], &mut missed).try_into().map_err(|_| "three").unwrap();
        assert!(mpi.text().contains("1.060 > 1.05") && mpi.text().contains("0.980"), "{}", mpi.text());
        assert!(local.text().contains("0.500") && local.text().contains("≤ 0.60"), "{}", local.text());
        // Only Open MPI sets a target for tcp.
        assert!(tcp.text().contains("3.100 > 3.00") && tcp.text().contains(" 3.100  ≤ 3.00"), "{}", tcp.text());
        let expected = [("mpi", "1.060, not ≤ 1.05"), ("tcp", "3.100, not ≤ 3.00")];
        assert_eq!(
            missed,
            expected.map(|(backend, why)| format!("{backend} / {}, pingpong 8, in turns: {why}", open.name))
        );
        assert!(all.add(open.name, &line("smoke", 1.0)).unwrap_err().contains("`backend`"));
        assert!(all.add(open.name, "{}").unwrap_err().contains("`bench`"));
    }
}
