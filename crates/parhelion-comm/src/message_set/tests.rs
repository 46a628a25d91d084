//! The state machine, on threads.

use super::{MessageSet, Method};
use crate::communicator::Communicator;
use crate::config::{BackendKind, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::launch;

/// Runs `f` on two threads with a time limit.
fn two(f: impl Fn(&Communicator) -> Result<()> + Send + Sync) {
    let config = Config::default().backend(BackendKind::Local).ranks(2).timeout(std::time::Duration::from_secs(20));
    launch(&config, |world| f(&world)).expect("both ranks succeed");
}

fn pair(c: &Communicator) -> Result<MessageSet> {
    let other = 1 - c.rank();
    c.message_set(Method::PointToPoint, &[(other, 4)], &[(other, 4)])
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    let error = result.expect_err(part);
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument(text) if text.contains(part)), "{error}");
}

#[test]
fn calls_in_the_wrong_state_are_refused_and_change_nothing() {
    two(|c| {
        let mut set = pair(c)?;
        refused(set.finish(|_, _| {}), "was not started");
        refused(set.start_send(0), "start_receives() first");
        assert!(set.test()?);
        set.start_receives()?;
        assert!(set.is_started() && !set.test()?);
        refused(set.start_receives(), "not idle");
        refused(set.start(), "not idle");
        refused(set.finish(|_, _| {}), "not started");
        refused(set.start_send(1), "no such send");
        set.send_part(0).copy_from_slice(&[c.rank() as u8; 4]);
        set.start_send(0)?;
        refused(set.start_send(0), "already");
        let mut got = None;
        set.finish(|i, bytes| got = Some((i, bytes.to_vec())))?;
        assert_eq!(got, Some((0, vec![1 - c.rank() as u8; 4])));
        assert_eq!(set.recv_part(0), [1 - c.rank() as u8; 4]);
        refused(set.finish(|_, _| {}), "was not started");
        Ok(())
    });
}

#[test]
fn bytes_in_flight_cannot_be_written() {
    two(|c| {
        let mut set = pair(c)?;
        set.start()?;
        let writes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| set.send_part(0).len()));
        assert!(writes.is_err());
        set.finish(|_, _| {})
    });
}

#[test]
fn methods_have_names_that_parse() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    assert!("shared".parse::<Method>().unwrap_err().contains("persistent-neighbor"));
}
