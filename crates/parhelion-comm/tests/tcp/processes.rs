//! Ranks as processes of their own, started and ended by hand: what a launcher does, and no more.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The processes of one job; those that still run when it is dropped are killed.
pub(crate) struct Job {
    ranks: Vec<Child>,
    folder: PathBuf,
}

/// What became of a rank.
pub(crate) struct Ended {
    /// None: it had to be killed, since its time was up.
    pub(crate) status: Option<ExitStatus>,
    /// What it printed.
    pub(crate) out: String,
    /// What it complained about.
    pub(crate) err: String,
}

impl Job {
    /// Starts `size` ranks, each by the command that `program` gives for it.
    pub(crate) fn start(size: usize, program: impl Fn(usize) -> Command) -> Job {
        Job::start_at(&rendezvous(), size, program)
    }

    /// The same; they meet at `rendezvous`.
    pub(crate) fn start_at(rendezvous: &str, size: usize, program: impl Fn(usize) -> Command) -> Job {
        Job::start_unnamed(size, |rank| {
            let mut command = program(rank);
            command
                .env("PARHELION_BACKEND", "tcp")
                .env("PARHELION_RANK", rank.to_string())
                .env("PARHELION_SIZE", size.to_string())
                .env("PARHELION_LOCAL_RANK", rank.to_string())
                .env("PARHELION_RENDEZVOUS", rendezvous);
            command
        })
    }

    /// `size` processes that share a secret; who they are and where they meet, `program` says.
    pub(crate) fn start_unnamed(size: usize, program: impl Fn(usize) -> Command) -> Job {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("parhelion-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder of its own");
        let mut key = [0u8; 32];
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).expect("random bytes");
        let secret = folder.join("secret");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret).expect("a secret");
        file.write_all(&key).expect("written");
        let mut job = Job { ranks: Vec::new(), folder };
        for rank in 0..size {
            let output = |what: &str| File::create(job.folder.join(format!("{what}.{rank}"))).expect("an output");
            let child = program(rank)
                .env_remove("PARHELION_RANKS")
                .env("RUST_BACKTRACE", "0")
                .env("PARHELION_SECRET_FILE", &secret)
                .stdin(Stdio::null())
                .stdout(output("out"))
                .stderr(output("err"))
                .spawn()
                .expect("a process");
            job.ranks.push(child);
        }
        job
    }

    /// The folder of its secret.
    #[allow(dead_code, reason = "not every program that starts ranks looks into it")]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until all have ended, and kills those that have not when `limit` is over.
    pub(crate) fn finish(mut self, limit: Duration) -> Vec<Ended> {
        let deadline = Instant::now() + limit;
        let ended = |rank: &mut Child| rank.try_wait().expect("a child of this process");
        while !self.ranks.iter_mut().all(|rank| ended(rank).is_some()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let read = |what: &str, rank: usize| {
            let bytes = fs::read(self.folder.join(format!("{what}.{rank}"))).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let states: Vec<Option<ExitStatus>> = self.ranks.iter_mut().map(ended).collect();
        let collect = |(rank, status)| Ended { status, out: read("out", rank), err: read("err", rank) };
        states.into_iter().enumerate().map(collect).collect()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        for rank in &mut self.ranks {
            // It may have ended.
            let _ = rank.kill();
            let _ = rank.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A few ports of which the first is free now; another job's ranks, which may come there too, do not know the secret.
fn rendezvous() -> String {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port");
    format!("127.0.0.1:{}-{}", free.port(), free.port().saturating_add(15))
}

/// All that the ranks said, for a failed test.
pub(crate) fn report(ended: &[Ended]) -> String {
    let one = |(rank, Ended { status, out, err }): (usize, &Ended)| {
        let status = status.map_or_else(|| "was still running".to_owned(), |status| status.to_string());
        format!("rank {rank}: {status}\n{out}{err}")
    };
    ended.iter().enumerate().map(one).collect::<Vec<_>>().join("\n")
}
