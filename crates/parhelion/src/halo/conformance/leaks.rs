//! What is used again and again, and made again and again, leaves nothing behind.

use parhelion_comm::conformance::{Case, Halt, Outcome, live_objects};
use parhelion_comm::{Communicator, Op};

use super::check::{all_settings, array, ensure, filled};
use crate::array::Decomposition;
use crate::halo::exchange;

pub(super) const CASES: &[Case] = &[
    Case::new("leaks: 20,000 exchanges leave no memory, files or mappings behind", many_exchanges),
    Case::new("leaks: 500 plans with their communicators and windows leave nothing behind", many_plans),
    Case::new("leaks: 500 exchanges given up leave nothing behind", many_given_up),
    Case::new("leaks: 500 exchanges with arrays of a grid that is rebuilt leave nothing behind", many_rebuilt),
];

/// The full number where every rank has a core; more ranks wait for each other's.
pub(super) fn times(c: &Communicator, full: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if c.size() <= cores { full } else { full / 20 }
}

/// What this process uses.
#[derive(Debug, Clone, Copy)]
struct Usage {
    kibibytes: u64,
    files: u64,
    mappings: u64,
    /// Objects of an MPI library, by kind.
    objects: [u64; 5],
}

impl Usage {
    /// Of the process of every rank, when all have come here; the largest.
    fn now(c: &Communicator) -> Result<Usage, Halt> {
        c.barrier()?;
        let own = Usage::read().map_err(|e| Halt::Skipped(format!("needs /proc/self to look at: {e}")))?;
        let most = c.all_reduce(&[own.kibibytes, own.files, own.mappings], Op::Max)?;
        let mut objects = own.objects;
        c.all_reduce_in_place(&mut objects, Op::Max)?;
        Ok(Usage { kibibytes: most[0], files: most[1], mappings: most[2], objects })
    }

    fn read() -> std::io::Result<Usage> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|r| r.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let files = std::fs::read_dir("/proc/self/fd")?.count() as u64;
        let mappings = std::fs::read_to_string("/proc/self/maps")?.lines().count() as u64;
        Ok(Usage { kibibytes, files, mappings, objects: live_objects().map(|(_, count)| count) })
    }

    /// Whether hardly more is used `now`: libraries and allocators keep some of what they had, and what is released together
    /// waits for the next time that all are there.
    fn holds(self, now: Usage) -> bool {
        /// Fewer than the times that any one scheme has its turn.
        const OBJECTS: u64 = 2;
        let more = |a: u64, b: u64, by: u64| b <= a + by;
        let objects = self.objects.iter().zip(now.objects).all(|(&a, b)| more(a, b, OBJECTS));
        more(self.kibibytes, now.kibibytes, 16 << 10)
            && more(self.files, now.files, 8)
            && more(self.mappings, now.mappings, 200)
            && objects
    }
}

/// Does `work` until it leaves hardly anything behind: what other threads of the process take comes and goes, and what leaks
/// is left every time.
pub(super) fn leaves_nothing(c: &Communicator, what: &str, mut work: impl FnMut() -> Outcome) -> Outcome {
    let mut last = None;
    for _ in 0..5 {
        let before = Usage::now(c)?;
        work()?;
        let after = Usage::now(c)?;
        if before.holds(after) {
            return Ok(());
        }
        last = Some((before, after));
    }
    let kinds = live_objects().map(|(kind, _)| kind);
    ensure(false, format_args!("{what}, each of five times: {last:?} before and after; objects are {kinds:?}"))
}

fn many_exchanges(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([32, 32], c)?.halo(1).periodic([true, true]);
    let mut u = array::<f64, 2>(&grid, 1)?;
    let settings: Vec<_> = all_settings().collect();
    let mut round = |times: usize| -> Outcome {
        for &settings in &settings {
            grid.set_scheme(settings);
            (0..times).try_for_each(|_| u.exchange())?;
        }
        Ok(())
    };
    round(20)?;
    leaves_nothing(c, "exchanges", || round(times(c, 20_000).div_ceil(settings.len())))?;
    filled("after them all", &u, 1)
}

/// By two schemes in turn, half of all apart: of windows, graph communicators and datatypes MPICH has room for 2,048 or so.
fn build_and_use(c: &Communicator, number: usize) -> Outcome {
    let grid = Decomposition::new([16 + number % 5, 8], c)?.halo(1).periodic([true, true]);
    let mut u = array::<f32, 2>(&grid, number as u64)?;
    let settings: Vec<_> = all_settings().collect();
    for apart in [0, settings.len() / 2] {
        grid.set_scheme(settings[(number + apart) % settings.len()]);
        u.exchange()?;
    }
    filled("a plan of many", &u, number as u64)
}

fn many_plans(c: &Communicator) -> Outcome {
    (0..20).try_for_each(|number| build_and_use(c, number))?;
    leaves_nothing(c, "plans", || (0..times(c, 500)).try_for_each(|number| build_and_use(c, number)))
}

fn many_given_up(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([64, 64], c)?.halo(2).periodic([true, true]);
    let settings: Vec<_> = all_settings().collect();
    let round = |times: usize| -> Outcome {
        for number in 0..times {
            grid.set_scheme(settings[number % settings.len()]);
            drop(array::<f64, 2>(&grid, 0)?.start_exchange()?);
        }
        Ok(())
    };
    round(2 * settings.len())?;
    leaves_nothing(c, "exchanges given up", || round(times(c, 500)))?;
    let mut u = array::<f64, 2>(&grid, 9)?;
    u.exchange()?;
    filled("after them all", &u, 9)
}

/// An array on a fixed grid, exchanged with one on another grid each time.
fn many_rebuilt(c: &Communicator) -> Outcome {
    let fixed = Decomposition::new([16, 8], c)?.halo(1).periodic([true, true]);
    let mut u = array::<f64, 2>(&fixed, 1)?;
    let settings: Vec<_> = all_settings().collect();
    let mut round = |times: usize| -> Outcome {
        for number in 0..times {
            fixed.set_scheme(settings[number % settings.len()]);
            let grid = Decomposition::new([16 + number % 5, 8], c)?.halo(1).periodic([true, true]);
            let mut both = (u.clone(), array::<f32, 2>(&grid, number as u64)?);
            exchange(&mut both)?;
            filled("a grid of many", &both.1, number as u64)?;
            u = both.0;
        }
        Ok(())
    };
    round(2 * settings.len())?;
    leaves_nothing(c, "rebuilt grids", || round(times(c, 500)))?;
    filled("after them all", &u, 1)
}
