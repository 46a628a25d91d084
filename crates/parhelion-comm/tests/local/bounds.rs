//! Time limits and settings that the tests share.

use std::sync::mpsc;
use std::time::Duration;

use parhelion_comm::{BackendKind, Communicator, Config, Error, ErrorKind};

/// `ranks` threads, whatever the environment says.
pub(crate) fn ranks(ranks: usize) -> Config {
    Config::default().backend(BackendKind::Local).ranks(ranks)
}

/// Runs `f` and fails if it takes longer than `limit`: a hang is a failure that says so.
pub(crate) fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let value = f();
        let _ = done.send(());
        value
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(limit) {
        panic!("still not done after {limit:?}");
    }
    worker.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Runs `main` on `config`'s ranks within half a minute; the ranks' values.
pub(crate) fn launch<R: Send + 'static>(
    config: Config,
    main: impl Fn(Communicator) -> Result<R, Error> + Sync + Send + 'static,
) -> Result<Vec<R>, Error> {
    within(Duration::from_secs(30), move || parhelion_comm::launch(&config, main))
}

/// [`launch`] where no rank may fail.
pub(crate) fn run<R: Send + 'static>(
    config: Config,
    main: impl Fn(Communicator) -> Result<R, Error> + Sync + Send + 'static,
) -> Vec<R> {
    launch(config, main).unwrap_or_else(|error| panic!("{error}"))
}

/// The kind of the error that there must be.
pub(crate) fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.kind().clone(),
    }
}
