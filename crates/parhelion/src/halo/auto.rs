//! [`Scheme::Auto`]: measures the schemes on the real plan, and every rank takes the same one.
//!
//! Each candidate is made and carried out on scratch buffers of the fields' sizes, a few times after a warm-up, three times
//! over; a rank's time is the best of three, a candidate's the largest of all ranks', by one reduction. So all ranks see the
//! same numbers and choose the same.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use parhelion_comm::{BackendKind, Communicator, Error, ErrorKind, Memory, Op, Result};
use serde::Deserialize;

use super::exchange::Exchange;
use super::leg::{Buffer, Field, Landing};
use super::pool::Way;
use super::scheme::{Packing, Scheme, Settings};

/// What [`Scheme::Auto`] chose for one kind of exchange, and the times it chose by: the same on every rank.
///
/// Shown, it is a table. Saved to a file and loaded again, it spares the measurement in later runs
/// ([`Decomposition::use_decision`](crate::array::Decomposition::use_decision)).
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    subject: String,
    timings: Vec<Timing>,
}

/// How long one candidate took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The candidate.
    pub settings: Settings,
    /// One exchange on the slowest rank; `None` if the library cannot do it.
    pub time: Option<Duration>,
}

impl Decision {
    /// What it is about: backend, library, ranks, direction, element types, bytes and messages.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The fastest: of equally fast ones the first.
    pub fn chosen(&self) -> Settings {
        let timed = self.timings.iter().filter_map(|t| Some((t.time?, t.settings)));
        timed.min_by_key(|(time, _)| *time).map_or(Scheme::P2p.into(), |(_, settings)| settings)
    }

    /// What was measured, in that order.
    pub fn timings(&self) -> &[Timing] {
        &self.timings
    }

    pub(super) fn is_about(&self, subject: &str) -> bool {
        self.subject == subject
    }

    /// Writes it to a file, as TOML. For one rank to do.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_toml()).map_err(|e| file_error("save", path, &e.to_string()))
    }

    /// Reads what [`save`](Decision::save) wrote. Every rank loads the same.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| file_error("load", path, &e.to_string()))?;
        Self::from_toml(&text).map_err(|why| file_error("load", path, &why))
    }

    fn to_toml(&self) -> String {
        let mut text = format!("subject = {}\n", quoted(&self.subject));
        for timing in &self.timings {
            text += &format!("\n[[timing]]\nsettings = \"{}\"\n", timing.settings);
            if let Some(time) = timing.time {
                text += &format!("nanoseconds = {}\n", time.as_nanos());
            }
        }
        text
    }

    fn from_toml(text: &str) -> std::result::Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            subject: String,
            timing: Vec<Line>,
        }
        #[derive(Deserialize)]
        struct Line {
            settings: String,
            nanoseconds: Option<u64>,
        }
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        let timing = |line: Line| {
            let settings: Settings = line.settings.parse()?;
            if settings.scheme == Scheme::Auto {
                return Err("scheme auto cannot have been measured".to_owned());
            }
            Ok(Timing { settings, time: line.nanoseconds.map(Duration::from_nanos) })
        };
        let timings = file.timing.into_iter().map(timing).collect::<std::result::Result<Vec<_>, String>>()?;
        Ok(Decision { subject: file.subject, timings })
    }
}

/// A table: one line for each candidate, the chosen one marked.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        let chosen = self.chosen();
        for Timing { settings, time } in &self.timings {
            let mark = if *settings == chosen { '*' } else { ' ' };
            match time {
                Some(time) => write!(f, "\n{mark} {settings:<30} {:>12.2} us", time.as_secs_f64() * 1e6)?,
                None => write!(f, "\n{mark} {settings:<30} not supported")?,
            }
        }
        Ok(())
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn file_error(operation: &'static str, path: &Path, why: &str) -> Error {
    Error::new(operation, ErrorKind::InvalidArgument(format!("decision file {}: {why}", path.display())))
}

/// What a decision is about, in words that are equal on all ranks. Collective.
pub(super) fn subject(communicator: &Communicator, way: Way, fields: &[Field]) -> Result<String> {
    let bytes: usize = fields.iter().map(|f| f.plan.bytes(f.element.size)).sum();
    let inside: usize = fields.iter().map(|f| f.plan.bytes_local(f.element.size)).sum();
    let messages = fields.iter().map(|f| f.plan.messages()).max().unwrap_or(0);
    let most = communicator.all_reduce(&[bytes, inside, messages], Op::Max)?;
    let library = communicator.library().unwrap_or_else(|| "no library".to_owned());
    let elements: Vec<String> = fields.iter().map(|f| f.element.to_string()).collect();
    Ok(format!(
        "{} ({library}), {} ranks, {} of {}: at most {} bytes in {} messages and {} bytes inside a rank",
        communicator.backend(),
        communicator.size(),
        match way {
            Way::Forward => "exchange",
            Way::Adjoint => "adjoint exchange",
        },
        elements.join(", "),
        most[0],
        most[2],
        most[1],
    ))
}

/// Measures every candidate. Collective.
pub(super) fn measure(communicator: &Communicator, subject: String, fields: &[Field]) -> Result<Decision> {
    let mut memories: Vec<Memory<u8>> = Vec::new();
    for field in fields {
        memories.extend(field.plan.patches().iter().map(|p| communicator.allocate(p.len * field.element.size)));
    }
    let buffers: Vec<Buffer> = memories.iter_mut().map(Buffer::of).collect();
    let bytes: usize = fields.iter().map(|f| f.plan.bytes(f.element.size) + f.plan.bytes_local(f.element.size)).sum();
    let repetitions = (BYTES / communicator.all_reduce(&[bytes], Op::Max)?[0].max(1)).clamp(3, 50);
    let mut timings = Vec::new();
    for settings in candidates(communicator) {
        let made = Exchange::new(communicator, fields.to_vec(), settings);
        let code: u8 = match &made {
            Ok(_) => 0,
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported(_)) => 1,
            Err(_) => 2,
        };
        let time = match (communicator.all_reduce(&[code], Op::Max)?[0], made) {
            (0, Ok(exchange)) => {
                // SAFETY: the scratch buffers are those of the fields, and outlive the exchange.
                let best = unsafe { time(communicator, exchange, &buffers, repetitions)? };
                Some(Duration::from_secs_f64(communicator.all_reduce(&[best.as_secs_f64()], Op::Max)?[0]))
            }
            (2, Err(error)) => return Err(error),
            (2, Ok(_)) => {
                let text = format!("scheme {settings} could not be set up on another rank");
                return Err(Error::new("measure", ErrorKind::Unsupported(text)));
            }
            _ => None,
        };
        timings.push(Timing { settings, time });
    }
    Ok(Decision { subject, timings })
}

/// About how many bytes are moved to measure a candidate once.
const BYTES: usize = 4 << 20;

/// What is worth trying: datatypes only where there are any.
fn candidates(communicator: &Communicator) -> impl Iterator<Item = Settings> {
    let datatypes = communicator.backend() == BackendKind::Mpi;
    let with = move |packing| {
        let useful = move |s: &Scheme| packing == Packing::Packed || (datatypes && *s != Scheme::Shared);
        Scheme::ALL.into_iter().filter(useful).map(move |s| Settings::from(s).packing(packing))
    };
    with(Packing::Packed).chain(with(Packing::Datatype))
}

/// This rank's time of one exchange.
///
/// # Safety
/// As [`Exchange::start`].
unsafe fn time(
    communicator: &Communicator,
    mut exchange: Exchange,
    buffers: &[Buffer],
    repetitions: usize,
) -> Result<Duration> {
    let mut best = Duration::MAX;
    for round in 0..4 {
        communicator.barrier()?;
        let start = Instant::now();
        for _ in 0..repetitions {
            // SAFETY: the caller's promise.
            unsafe {
                exchange.start(buffers)?;
                exchange.finish(buffers, Landing::Replace)?;
            }
        }
        let time = start.elapsed() / repetitions as u32;
        // The first round is the warm-up.
        if round > 0 {
            best = best.min(time);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision() -> Decision {
        let timing = |settings: Settings, ns: Option<u64>| Timing { settings, time: ns.map(Duration::from_nanos) };
        Decision {
            subject: "local (\"none\"), 2 ranks".to_owned(),
            timings: vec![
                timing(Scheme::P2p.into(), Some(1500)),
                timing(Scheme::RmaPush.into(), None),
                timing(Settings::from(Scheme::Neighbor).packing(Packing::Datatype), Some(1200)),
                timing(Scheme::Shared.into(), Some(1200)),
            ],
        }
    }

    #[test]
    fn a_saved_decision_is_the_same_when_loaded() {
        assert_eq!(Decision::from_toml(&decision().to_toml()), Ok(decision()));
        let path = std::env::temp_dir().join(format!("parhelion-decision-{}.toml", std::process::id()));
        decision().save(&path).unwrap();
        let loaded = Decision::load(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(loaded.unwrap(), decision());
        assert!(Decision::load(&path).unwrap_err().to_string().contains("parhelion-decision"));
    }

    #[test]
    fn files_of_something_else_are_refused() {
        assert!(Decision::from_toml("subject = 3").is_err());
        assert!(
            Decision::from_toml("subject = \"x\"\n[[timing]]\nsettings = \"auto\"\n").unwrap_err().contains("auto")
        );
        assert!(Decision::from_toml("subject = \"x\"\n[[timing]]\nsettings = \"by foot\"\n").is_err());
    }

    #[test]
    fn the_fastest_is_chosen_and_the_first_of_equals() {
        assert_eq!(decision().chosen().to_string(), "neighbor+datatype");
        let text = decision().to_string();
        assert!(text.contains("* neighbor+datatype") && text.contains("not supported"), "{text}");
    }
}
