//! A case that hangs ends the process: [`Watchdog`].

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Ends the process, naming the case, when one takes longer than its time.
///
/// A hang cannot be undone from inside, so it costs the whole run: exit code 3. Dropping the last clone stops the watch.
#[derive(Debug, Clone)]
pub struct Watchdog {
    running: Arc<Mutex<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    rank: usize,
    name: &'static str,
    since: Instant,
}

impl Watchdog {
    /// Starts a watch that gives each case `limit`.
    pub fn new(limit: Duration) -> Self {
        let running = Arc::default();
        let watched: Weak<Mutex<Vec<Entry>>> = Arc::downgrade(&running);
        std::thread::spawn(move || {
            while let Some(running) = watched.upgrade() {
                let late: Vec<String> = lock(&running)
                    .iter()
                    .filter(|entry| entry.since.elapsed() > limit)
                    .map(|entry| format!("HANG {}: rank {} is still in it after {limit:?}", entry.name, entry.rank))
                    .collect();
                if !late.is_empty() {
                    eprintln!("{}", late.join("\n"));
                    std::process::exit(3);
                }
                drop(running);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Watchdog { running }
    }

    /// `rank` starts the case `name`.
    pub(super) fn begin(&self, rank: usize, name: &'static str) {
        lock(&self.running).push(Entry { rank, name, since: Instant::now() });
    }

    /// `rank` has ended its case.
    pub(super) fn end(&self, rank: usize) {
        lock(&self.running).retain(|entry| entry.rank != rank);
    }
}

fn lock(running: &Mutex<Vec<Entry>>) -> std::sync::MutexGuard<'_, Vec<Entry>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
