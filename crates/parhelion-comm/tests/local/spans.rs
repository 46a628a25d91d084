//! With tracing on, every operation is a span; without, none is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use parhelion_comm::{Any, Communicator, Error, Op, wait_all, wait_any};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::bounds::{ranks, run};

/// How often a span of each name was opened at rank 0.
static OPENED: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

thread_local! {
    static COUNTS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

struct Counter(AtomicU64);

impl Subscriber for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if COUNTS.get() {
            *OPENED.lock().unwrap_or_else(PoisonError::into_inner).entry(span.metadata().name()).or_default() += 1;
        }
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Does everything once, with oneself where it is a message.
fn everything(c: &Communicator) -> Result<(), Error> {
    let me = c.rank();
    c.send(&[1u8], me, 0)?;
    c.recv(&mut [0u8], me, 0)?;
    c.isend(vec![1u8], me, 1)?.wait()?;
    c.probe(me, 1)?;
    c.try_probe(me, 1)?;
    c.probe_message(me, 1)?.recv(&mut [0u8])?;
    c.send_recv(&[1u8], me, 2, &mut [0u8], me, 2)?;
    let mut received = c.irecv(vec![0u8], me, 3)?;
    c.try_probe_message(me, Any)?;
    received.test();
    received.cancel()?;
    let sent = c.isend_synchronous(vec![1u8], me, 4)?;
    wait_any(&mut vec![c.irecv(vec![0u8], me, 4)?])?;
    wait_all([sent])?;
    let mut buffer = [0u8];
    c.scope(|s| {
        s.recv(&mut buffer, me, 5)?;
        s.send(&[1u8], me, 5)?.wait().map(drop)
    })?;
    c.barrier()?;
    c.all_reduce(&[1u8], Op::Sum)?;
    c.ibarrier()?.wait()?;
    c.dup()?;
    c.split(Some(0), 0)?;
    c.split_shared()?;
    c.group("spans", &[0, 1]).map(drop)
}

#[test]
fn every_operation_is_a_span_where_tracing_is_on() {
    tracing::subscriber::set_global_default(Counter(AtomicU64::new(0))).expect("no other test sets one");
    let mut config = ranks(2);
    for trace in [false, true] {
        config.trace = trace;
        run(config.clone(), |world| {
            COUNTS.set(world.rank() == 0);
            everything(&world)?;
            COUNTS.set(false);
            Ok(())
        });
        let opened = std::mem::take(&mut *OPENED.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |count| if trace { count } else { 0 };
        for (name, count) in [
            ("send", 1),
            ("recv", 1),
            ("isend", 3),
            ("irecv", 3),
            ("probe", 1),
            ("try_probe", 1),
            ("probe_message", 1),
            ("try_probe_message", 1),
            ("recv_message", 1),
            ("send_recv", 1),
            ("test", 1),
            ("cancel", 1),
            ("wait_any", 1),
            ("wait", 4),
            ("wait_scope", 1),
            ("collective", 2),
            ("start_collective", 1),
            ("dup", 1),
            ("split", 1),
            ("split_shared", 1),
            ("group", 1),
        ] {
            assert_eq!(opened.get(name).copied().unwrap_or(0), of(count), "spans of {name}, tracing: {trace}");
        }
    }
}
