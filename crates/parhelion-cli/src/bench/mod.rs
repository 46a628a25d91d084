//! `parhelion bench`: one operation measured, in the form of the C peers of `cargo xtask bench`: the same cases, the same
//! calibration ([`timing`]), the same JSON keys, and results that are checked before a number is believed.

mod collectives;
mod halo;
mod sparse;
mod timing;
mod two_sided;

use std::process::ExitCode;

use parhelion::halo::Scheme;
use parhelion::{Communicator, Element, Op};

use crate::args::{BenchArgs, Operation};
use crate::cores::Core;
use crate::error::{Error, Result, agree};
use crate::{launcher, say};
use timing::{Sample, Settings};

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    let launcher = launcher();
    let config = args.ranks.config(&launcher)?;
    if let Some(option) = args.misplaced() {
        return Err(Error::Input(format!("{option} is not for 'bench {}'", args.operation.name())));
    }
    let settings = Settings::from_env();
    let correct = parhelion::launch(&config, |world| {
        if args.pin {
            agree(&world, bind(launcher.local_rank.unwrap_or_else(|| world.rank())))?;
        }
        let mut bench =
            Bench { world: &world, settings: &settings, json: args.json, has_heading: false, correct: true };
        if world.size() < 2 && matches!(args.operation, Operation::Pingpong | Operation::Exchange) {
            return Err(Error::Input("this needs two ranks at least; use -n 2".into()));
        }
        match args.operation {
            Operation::Pingpong => two_sided::pingpong(&mut bench)?,
            Operation::Exchange => two_sided::exchange(&mut bench)?,
            Operation::Halo => halo::run(&mut bench, args)?,
            Operation::Sparse => sparse::run(&mut bench, args)?,
            operation => collectives::run(&mut bench, operation)?,
        }
        // Rank 0 has printed all before any rank returns: a launcher ends the others when one exits with a code other than 0.
        world.barrier()?;
        Ok::<bool, Error>(bench.correct)
    })?;
    Ok(if correct.iter().all(|correct| *correct) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Binds the calling thread to a core of its own, while there are as many.
fn bind(rank: usize) -> Result<()> {
    let refused = |why: String| Error::Input(format!("--pin: {why}"));
    let core = Core::of(rank).map_err(refused)?;
    core.bind().map_err(|error| refused(format!("cannot bind rank {rank} to a core: {error}")))
}

/// One rank's view of a run.
struct Bench<'a> {
    world: &'a Communicator,
    settings: &'a Settings,
    json: bool,
    has_heading: bool,
    correct: bool,
}

/// What a result is called.
struct Case<'a> {
    bench: &'a str,
    case: String,
    variant: &'a str,
    mode: &'a str,
    /// Bytes of one message, or of one rank's data.
    bytes: usize,
    /// Whether the JSON has the bandwidth.
    bandwidth: bool,
    /// Further keys of the JSON: `,"key":value` each.
    extra: &'a str,
}

/// The schemes that are measured: those that were asked for, all without an answer to that.
fn schemes(args: &BenchArgs) -> Vec<parhelion::halo::Settings> {
    let all = || Scheme::ALL.into_iter().chain([Scheme::Auto]).map(Into::into).collect();
    args.scheme.clone().unwrap_or_else(all)
}

impl Bench<'_> {
    /// Prints one result at rank 0; `ok` is this rank's word on whether its data were right. Collective.
    fn emit(&mut self, case: &Case<'_>, sample: &Sample, ok: bool) -> Result<()> {
        let ok = self.world.all_reduce(&[i32::from(ok)], Op::Min)?[0] == 1;
        self.correct &= ok;
        if self.world.rank() != 0 {
            return Ok(());
        }
        let [median, least, p10, p90] = [sample.median, sample.least, sample.p10, sample.p90].map(|s| s * 1e6);
        let Case { bench, case: name, variant, mode, bytes, bandwidth, extra } = case;
        if !self.json {
            if !std::mem::replace(&mut self.has_heading, true) {
                say(&format!(
                    "{:<14} {:>9} {:<20} {:<5} {:>12} {:>12} {:>12} {:>12}  {}\n",
                    "bench", "case", "variant", "mode", "median us", "least us", "10% us", "90% us", "result"
                ))?;
            }
            let result = if ok { "right" } else { "WRONG" };
            return say(&format!(
                "{bench:<14} {name:>9} {variant:<20} {mode:<5} {median:>12.3} {least:>12.3} {p10:>12.3} {p90:>12.3}  {result}\n"
            ));
        }
        let lib = self
            .world
            .library()
            .map_or_else(|| self.world.backend().to_string(), |library| format!("{}:{library}", self.world.backend()));
        let bandwidth =
            if *bandwidth { format!(",\"GBps\":{:.3}", *bytes as f64 / sample.median / 1e9) } else { String::new() };
        let (lib, tag) = (quoted(&lib), quoted(&self.settings.tag));
        say(&format!(
            "{{\"bench\":\"{bench}\",\"lib\":{lib},\"cfg\":{tag},\"np\":{},\"case\":\"{name}\",\"variant\":\"{variant}\",\
             \"mode\":\"{mode}\",\"med_us\":{median:.4},\"min_us\":{least:.4},\"p10_us\":{p10:.4},\"p90_us\":{p90:.4},\
             \"bytes\":{bytes},\"iters\":{},\"samples\":{},\"ok\":{ok}{bandwidth}{extra}}}\n",
            self.world.size(),
            sample.iterations,
            sample.samples
        ))
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// A buffer that starts at a page, as the peers' do, so that no case is better placed than another.
struct Paged<T> {
    storage: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Element> Paged<T> {
    const PAGE: usize = 4096;

    fn new(length: usize) -> Self {
        let storage = vec![T::zeroed(); length + Self::PAGE / size_of::<T>()];
        let start = storage.as_ptr().align_offset(Self::PAGE);
        // The standard allows `align_offset` to give up; an unaligned start is then the best there is.
        let start = if start > storage.len() - length { 0 } else { start };
        Self { storage, start, length }
    }

    fn get(&self) -> &[T] {
        &self.storage[self.start..][..self.length]
    }

    fn get_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..][..self.length]
    }
}
