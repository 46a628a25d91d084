//! The header's protocol under every schedule that the memory model allows (bounded in preemptions): what is written is read
//! whole and in order, and nobody sleeps for ever.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use self::header::Header;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

    pub(super) fn full_fence() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

#[path = "header.rs"]
#[expect(clippy::duplicate_mod, reason = "this one is written with the model's atomics")]
mod header;

/// A socket on which somebody sleeps.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Self {
        Bell { rung: Mutex::new(false), changed: Condvar::new() }
    }

    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

struct Ring {
    header: Header,
    /// One place, so that the second write has to wait for the first read.
    place: loom::cell::UnsafeCell<u64>,
    reader: Bell,
    writer: Bell,
}

// SAFETY: whoever has the place, the header says; loom finds out where it does not.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Ring {
            header: Header::default(),
            place: loom::cell::UnsafeCell::new(0),
            reader: Bell::new(),
            writer: Bell::new(),
        })
    }

    fn write(&self, from: u64, to: u64) {
        for count in from..to {
            while self.header.head() != count {
                self.header.writer_will_sleep();
                if self.header.head() == count {
                    self.header.writer_is_awake();
                    break;
                }
                self.writer.sleep();
            }
            // SAFETY: the place is the writer's.
            self.place.with_mut(|place| unsafe { *place = count + 1 });
            if self.header.publish(count + 1) {
                self.reader.ring();
            }
        }
    }

    fn read(&self, from: u64, to: u64) {
        for count in from..to {
            while self.header.tail() == count {
                self.header.reader_will_sleep();
                if self.header.tail() != count {
                    self.header.reader_is_awake();
                    break;
                }
                self.reader.sleep();
            }
            // SAFETY: the place is the reader's.
            assert_eq!(self.place.with(|place| unsafe { *place }), count + 1);
            if self.header.release(count + 1) {
                self.writer.ring();
            }
        }
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn a_reader_that_goes_to_sleep_is_woken() {
    explore(|| {
        let ring = Ring::new();
        let writer = thread::spawn({
            let ring = ring.clone();
            move || ring.write(0, 1)
        });
        ring.read(0, 1);
        writer.join().unwrap();
    });
}

#[test]
fn a_writer_that_waits_for_room_is_woken() {
    explore(|| {
        let ring = Ring::new();
        let reader = thread::spawn({
            let ring = ring.clone();
            move || ring.read(0, 2)
        });
        ring.write(0, 2);
        reader.join().unwrap();
    });
}

/// The engine's helper, say: it arms, and another thread of this end looks in between.
#[test]
fn what_comes_while_somebody_else_looks_is_not_overslept() {
    explore(|| {
        let ring = Ring::new();
        let seen = Arc::new(AtomicBool::new(false));
        let writer = thread::spawn({
            let ring = ring.clone();
            move || ring.write(0, 1)
        });
        let other = thread::spawn({
            let (ring, seen) = (ring.clone(), seen.clone());
            move || seen.store(ring.header.tail() == 1, Ordering::Relaxed)
        });
        ring.read(0, 1);
        writer.join().unwrap();
        other.join().unwrap();
    });
}
