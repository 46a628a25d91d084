//! [`Scheme::Auto`]: measures the schemes on the real plan, and every rank takes the same one.
//!
//! Each candidate is made and carried out on scratch buffers of the fields' sizes, a few times after a warm-up, three times
//! over; a rank's time is the best of three, a candidate's the largest of all ranks', by one reduction. So all ranks see the
//! same numbers and choose the same.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// What it is about: backend, library, ranks, nodes, direction, element types, bytes and messages, and a digest of where the
    /// elements lie in the arrays, which another build of the program may have otherwise.
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
    let first_of_node = communicator.split_shared()?.rank() == 0;
    let sums = communicator.all_reduce(&[u64::from(first_of_node), u64::from(digest(fields))], Op::Sum)?;
    let library = communicator.library().unwrap_or_else(|| "no library".to_owned());
    let elements: Vec<String> = fields.iter().map(|f| f.element.to_string()).collect();
    Ok(format!(
        "{} ({library}), {} ranks on {} node(s), {} of {}: at most {} bytes in {} messages and {} bytes inside a rank, \
         layouts {:08x}",
        communicator.backend(),
        communicator.size(),
        sums[0],
        match way {
            Way::Forward => "exchange",
            Way::Adjoint => "adjoint exchange",
        },
        elements.join(", "),
        most[0],
        most[2],
        most[1],
        sums[1] as u32,
    ))
}

/// Of where this rank's plans have which elements: faces across different axes have equal sizes and different times.
fn digest(fields: &[Field]) -> u32 {
    let mut hasher = DefaultHasher::new();
    for plan in fields.iter().map(|f| &f.plan) {
        plan.rank().hash(&mut hasher);
        for (peer, piece) in plan.sends().iter().flat_map(|t| t.pieces.iter().map(move |piece| (t.peer, piece))) {
            (peer, piece.patch, &piece.layout, piece.remote_patch, &piece.remote).hash(&mut hasher);
        }
        for copy in plan.local() {
            (copy.from_patch, &copy.from, copy.to_patch, &copy.to).hash(&mut hasher);
        }
    }
    hasher.finish() as u32
}

/// Measures every candidate. Collective.
pub(super) fn measure(communicator: &Communicator, subject: String, fields: &[Field]) -> Result<Decision> {
    measure_on(communicator, subject, fields, &|| Scratch::new(communicator, fields))
}

fn measure_on(
    communicator: &Communicator,
    subject: String,
    fields: &[Field],
    scratch: &dyn Fn() -> Scratch,
) -> Result<Decision> {
    let mut on = scratch();
    let bytes: usize = fields.iter().map(|f| f.plan.bytes(f.element.size) + f.plan.bytes_local(f.element.size)).sum();
    let repetitions = (BYTES / communicator.all_reduce(&[bytes], Op::Max)?[0].max(1)).clamp(3, 50);
    let mut timings = Vec::new();
    // What is combined is not received in its place.
    let datatypes = communicator.backend() == BackendKind::Mpi && !fields.iter().any(|f| f.plan.is_adjoint());
    for settings in candidates(datatypes) {
        let made = possible(communicator, Exchange::new(communicator, fields.to_vec(), settings))?;
        let time = match made {
            Some(exchange) => time(communicator, exchange, &mut on, scratch, repetitions)?,
            None => None,
        };
        timings.push(Timing { settings, time });
    }
    Ok(Decision { subject, timings })
}

/// What a candidate is tried on.
struct Scratch {
    /// The memory of the buffers.
    memories: Vec<Memory<u8>>,
    buffers: Vec<Buffer>,
}

impl Scratch {
    /// Of the sizes of the fields' own buffers.
    fn new(communicator: &Communicator, fields: &[Field]) -> Self {
        let size = |f: &Field| f.element.size;
        let lengths = fields.iter().flat_map(|f| f.plan.patches().iter().map(move |p| p.len * size(f)));
        let mut memories: Vec<Memory<u8>> = lengths.map(|length| communicator.allocate(length)).collect();
        let buffers = memories.iter_mut().map(Buffer::of).collect();
        Scratch { memories, buffers }
    }
}

/// What this rank has, if every rank has its own; `None` if a rank finds that this cannot be done. Collective, unless ranks
/// cannot communicate any more.
fn possible<T>(communicator: &Communicator, mine: Result<T>) -> Result<Option<T>> {
    let fault: u8 = match mine.as_ref().map_err(Error::kind) {
        Ok(_) => 0,
        Err(ErrorKind::Unsupported(_) | ErrorKind::Unavailable(_)) => 1,
        Err(ErrorKind::PeerLost { .. } | ErrorKind::Timeout(_) | ErrorKind::Deadlock(_)) => return mine.map(Some),
        Err(_) => 2,
    };
    match (communicator.all_reduce(&[fault], Op::Max)?[0], mine) {
        (0, mine) => mine.map(Some),
        (2, Err(error)) if fault == 2 => Err(error),
        (2, _) => {
            let text = "a scheme that was tried failed at another rank, which says why".to_owned();
            Err(Error::new("measure", ErrorKind::Unsupported(text)))
        }
        _ => Ok(None),
    }
}

/// About how many bytes are moved to measure a candidate once.
const BYTES: usize = 4 << 20;

/// What is worth trying: datatypes only where there are any, and by schemes that have a use of their own for them.
fn candidates(datatypes: bool) -> impl Iterator<Item = Settings> {
    let with = move |packing| {
        let useful = move |s: &Scheme| {
            packing == Packing::Packed || (datatypes && s.has_datatypes() && *s != Scheme::PersistentNeighbor)
        };
        Scheme::ALL.into_iter().filter(useful).map(move |s| Settings::from(s).packing(packing))
    };
    with(Packing::Packed).chain(with(Packing::Datatype))
}

/// The time of one exchange on the slowest rank; `None` if a rank finds that it cannot be done. Collective.
fn time(
    communicator: &Communicator,
    mut exchange: Exchange,
    on: &mut Scratch,
    scratch: &dyn Fn() -> Scratch,
    repetitions: usize,
) -> Result<Option<Duration>> {
    let mut once = |on: &mut Scratch| {
        // SAFETY: the buffers are those of the fields, and nobody else uses them; after an error the exchange has them for good.
        let end = unsafe { exchange.start(&on.buffers).and_then(|()| exchange.finish(&on.buffers, Landing::Replace)) };
        if end.is_err() {
            // At once: peers wait until this rank has said that it reads nothing any more.
            exchange.abandon(Box::new(std::mem::replace(on, scratch()).memories));
        }
        end
    };
    // The warm-up, in which what is not supported shows.
    let first = once(on);
    if possible(communicator, first)?.is_none() {
        return Ok(None);
    }
    let mut best = Duration::MAX;
    for round in 0..4 {
        communicator.barrier()?;
        let start = Instant::now();
        (0..repetitions).try_for_each(|_| once(on))?;
        let time = start.elapsed() / repetitions as u32;
        // The first round is warm-up, too.
        if round > 0 {
            best = best.min(time);
        }
    }
    Ok(Some(Duration::from_secs_f64(communicator.all_reduce(&[best.as_secs_f64()], Op::Max)?[0])))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parhelion_comm::{Config, ElementType, launch};
    use proptest::prelude::*;

    use super::*;
    use crate::array::Decomposition;

    fn ring(world: &Communicator, cells: usize) -> Result<Vec<Field>> {
        let plan = Arc::new(Decomposition::new([cells], world)?.halo(1).periodic([true]).plan()?);
        Ok(vec![Field { plan, element: ElementType::of::<u8>() }])
    }

    fn config(ranks: usize) -> Config {
        Config::default().backend(BackendKind::Local).ranks(ranks).timeout(Duration::from_secs(30))
    }

    #[test]
    fn what_cannot_be_done_at_one_rank_is_chosen_at_none() {
        let ends = launch(&config(4), |world| {
            let fields = ring(&world, 16)?;
            let decision = measure_on(&world, "some exchange".to_owned(), &fields, &|| {
                let mut scratch = Scratch::new(&world, &fields);
                if world.rank() == 1 {
                    scratch.buffers.iter_mut().for_each(|buffer| buffer.token = None);
                }
                scratch
            })?;
            Ok::<_, Error>(decision)
        });
        for decision in ends.unwrap() {
            for Timing { settings, time } in decision.timings() {
                assert_eq!(time.is_some(), settings.scheme != Scheme::Shared, "{settings}");
            }
        }
    }

    #[test]
    fn what_a_peer_may_still_read_outlives_a_measurement_that_failed() {
        // Large enough to be unmapped when it is freed: then reading it would end the process.
        const CELLS: usize = 8 << 20;
        let limit = Duration::from_millis(500);
        launch(&config(2).timeout(limit), |world| {
            let fields = ring(&world, CELLS)?;
            let exchange = Exchange::new(&world, fields.clone(), Scheme::Shared.into())?;
            let scratch = || Scratch::new(&world, &fields);
            let mut on = scratch();
            on.memories[0].fill(world.rank() as u8 + 1);
            if world.rank() == 1 {
                let error = time(&world, exchange, &mut on, &scratch, 1).expect_err("rank 0 does not come to its end");
                assert_eq!(error.kind(), &ErrorKind::Timeout(limit));
                drop(on);
                return world.send(&[0u8], 0, 0);
            }
            let mut exchange = exchange;
            // SAFETY: the buffers are those of the fields, outlive the exchange, and nobody else uses them.
            unsafe { exchange.start(&on.buffers)? };
            // Not idle: it is the other one whose time is to be up.
            while world.try_probe(1, 0)?.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // SAFETY: as above.
            unsafe { exchange.finish(&on.buffers, Landing::Replace)? };
            assert_eq!((on.memories[0][0], on.memories[0][CELLS / 2 + 1]), (2, 2));
            Ok(())
        })
        .unwrap();
    }

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
    fn no_two_candidates_are_the_same_exchange() {
        assert_eq!(candidates(false).count(), Scheme::ALL.len());
        let all: Vec<String> = candidates(true).map(|settings| settings.to_string()).collect();
        // One-sided messages are always packed, and a persistent collective in place is the other one.
        let placed: Vec<&str> = all.iter().filter_map(|name| name.strip_suffix("+datatype")).collect();
        assert_eq!(placed, ["p2p", "persistent", "neighbor"]);
        assert_eq!(all.len(), Scheme::ALL.len() + placed.len(), "{all:?}");
    }

    #[test]
    fn a_decision_about_one_axis_says_nothing_about_another() {
        let ends = launch(&config(2), |world| {
            let subject = |grid: [usize; 2]| {
                let grid = Decomposition::new([8, 8], &world)?.grid(grid).halo(1);
                let fields = [Field { plan: Arc::new(grid.plan()?), element: ElementType::of::<f64>() }];
                subject(&world, Way::Forward, &fields)
            };
            Ok::<_, Error>([subject([2, 1])?, subject([1, 2])?, subject([2, 1])?])
        });
        for [rows, columns, again] in ends.unwrap() {
            assert_ne!(rows, columns);
            assert_eq!(rows, again);
            assert!(rows.contains("2 ranks on 1 node(s)"), "{rows}");
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

    proptest! {
        /// A saved one with a piece replaced by another.
        #[test]
        fn no_text_makes_a_decision_that_is_none(
            (at, len) in (0..300usize, 0..6usize),
            piece in prop_oneof!["[a-z0-9=\\[\\]\"+. \n-]{0,8}", Just("18446744073709551616".to_owned()), any::<String>()],
            alone in any::<bool>(),
        ) {
            let whole = decision().to_toml();
            let (from, to) = (at.min(whole.len()), (at + len).min(whole.len()));
            let text = if alone { piece } else { format!("{}{piece}{}", &whole[..from], &whole[to..]) };
            let Ok(loaded) = Decision::from_toml(&text) else { return Ok(()) };
            prop_assert!(loaded.chosen().scheme != Scheme::Auto && !loaded.to_string().is_empty());
            prop_assert_eq!(Decision::from_toml(&loaded.to_toml()), Ok(loaded));
        }
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
