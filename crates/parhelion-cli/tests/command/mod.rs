//! Runs the built command with a deadline.
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No command of these tests takes long; one that does has hung.
const DEADLINE: Duration = Duration::from_secs(120);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `parhelion` with the environment of a person who has set nothing.
pub(crate) fn parhelion(args: &[&str]) -> Ended {
    parhelion_with(args, &[])
}

/// The same with these variables.
pub(crate) fn parhelion_with(args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
    command.args(args).envs(variables.iter().copied());
    run(command)
}

/// A program without the settings of this library, of MPI libraries and of launchers, to which signals do what they usually do:
/// whoever runs the tests in the background may ignore some of them.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    #[cfg(unix)]
    // SAFETY: signal(2) is async-signal-safe, and the closure touches no memory.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            use libc::{SIG_DFL, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
            for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT] {
                if libc::signal(number, SIG_DFL) == libc::SIG_ERR {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["PARHELION_", "OMPI_", "PMI", "SLURM_", "MPI_", "MPIR_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program to its end.
pub(crate) fn run(mut command: Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built");
    // Read while it runs, so that it never waits for a full pipe.
    let reader = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("output is text");
            text
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("piped")));
    let stderr = reader(Box::new(child.stderr.take().expect("piped")));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            break status;
        }
        if start.elapsed() > DEADLINE {
            child.kill().expect("a child can be ended");
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = "the reader does not panic";
    Ended { code: status.code(), stdout: stdout.join().expect(read), stderr: stderr.join().expect(read) }
}

/// Runs `solve ... --json`, which must converge or, with code 1, not.
pub(crate) fn solve(args: &[&str]) -> serde_json::Value {
    let ended = parhelion(&[&["solve", "--json"], args].concat());
    assert!(matches!(ended.code, Some(0 | 1)), "{args:?}: {:?} {}", ended.code, ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{args:?}: one object on one line: {}", ended.stdout);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is JSON");
    assert_eq!(value["converged"] == true, ended.code == Some(0), "{args:?}: the exit code tells");
    value
}

/// A matrix of the Harwell-Boeing collection, which is not part of the repository; says so where it is not there.
pub(crate) fn collection(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.exists() {
        return Some(path.display().to_string());
    }
    println!("not run: {} is not there", path.display());
    None
}

/// A matrix of these tests.
pub(crate) fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

/// A directory that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parhelion-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the temporary directory is writable");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory left behind fails no test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
