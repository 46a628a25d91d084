//! [`Window`]: elements of every rank that all ranks can reach, without the help of their owner's program.
//!
//! Each rank has a *part*, which is a slice of its own. To reach the parts of others it opens an *epoch*, which ends before
//! anybody uses a slice again: so no element is ever used as plain memory while others may write it, whatever a program does.
//! In an epoch, [`Part`] is what can be done at one rank's part: put, get, accumulate, and atomic operations on elements.
//!
//! ```
//! use parhelion_comm::{Op, Window};
//!
//! parhelion_comm::run(|world| {
//!     let (me, size) = (world.rank(), world.size());
//!     // Every rank has one number for each rank; rank 0 has a sum behind them.
//!     let mut window = Window::<u64>::allocate(&world, if me == 0 { size + 1 } else { size })?;
//!     window.fence(|epoch| {
//!         for rank in 0..size {
//!             epoch.part(rank)?.put(me, &[10 * me as u64])?;
//!         }
//!         epoch.part(0)?.accumulate(size, &[1], Op::Sum)
//!     })?;
//!     assert!((0..size).all(|rank| window.local()[rank] == 10 * rank as u64));
//!     assert!(me > 0 || window.local()[size] == size as u64);
//!     Ok(())
//! })?;
//! # Ok::<(), parhelion_comm::Error>(())
//! ```
//!
//! # Epochs
//!
//! | | who takes part | what can be reached |
//! |---|---|---|
//! | [`Window::fence`] | all ranks, which wait for each other at the beginning and at the end | every part |
//! | [`Window::neighbours`] | ranks that name each other, and wait for these only | the parts of those named |
//! | [`Window::passive`] | as `fence`, but in between nobody waits for the owner of a part | the parts whose lock is held |
//!
//! Parts of a rank that computes, or waits for something else, are served meanwhile: by threads on the backend `local`, by the
//! progress thread on `tcp`, and under MPI as its library does it, mostly while its owner is inside of some call.
//!
//! # What is guaranteed
//!
//! - A put is done, at its target, when the epoch has ended, the lock has been given back, or a [`Part::flush`] has returned.
//!   A later get of the same rank sees it. Of two puts of the same elements in one epoch, without a flush or a lock between
//!   them, either may be the last.
//! - Accumulating is atomic for each element: ranks that add to one element at once lose nothing. In one epoch, ranks that reach
//!   for the same elements do so with one operator, or with locks, as MPI has it (section 12.7.1). [`Part::compare_and_swap`]
//!   mixes with it for integers of 32 and 64 bits.
//! - A get of elements that another rank puts at the same time gives old or new bytes, in any mixture.
//!
//! # Failure
//!
//! Wrong ranks, places and lengths are errors of the call, and the epoch goes on. If the closure of an epoch returns an error or
//! panics, or if communication fails, the window is *broken*: its slices and its epochs are not to be had any more, and the
//! other ranks get [`PeerLost`](ErrorKind::PeerLost) when they wait for it in this epoch or the next one. That names the rank where
//! it began, or one whose own wait has failed for it.
//!
//! Dropping a window is not collective and waits for nobody. What MPI releases collectively is released as for
//! [message sets](crate::message_set).

mod epoch;
mod meeting;
mod passive;

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::exposed::{Exposed, Exposure, Purpose};
use crate::communicator::{Communicator, span};
use crate::element::{Element, ElementType};
use crate::error::{Error, ErrorKind, Result};

use self::epoch::Reachable;
pub use self::epoch::{Epoch, Part};
use self::meeting::{FAILED, Meeting, PANICKED};
pub use self::passive::{Held, Lock, Passive};

/// Elements of every rank that all ranks can reach in epochs. See the [module](self).
pub struct Window<T: Element> {
    /// `Some` until it is dropped.
    exposed: Option<Box<dyn Exposed>>,
    /// The elements of each rank's part.
    lens: Vec<usize>,
    meeting: Meeting,
    broken: bool,
    /// A call within this epoch has failed, and may yet do what it was to do: the epoch cannot end well.
    failed: AtomicBool,
    /// Of the user, for errors.
    communicator: Communicator,
    element: PhantomData<T>,
}

impl<T: Element> Window<T> {
    /// A window in which this rank's part has `len` elements, all zero at first. Collective; the lengths may differ, and be 0.
    /// Without memory the process ends, as with a `Vec`.
    ///
    /// # Errors
    /// [`Mismatch`](ErrorKind::Mismatch), at every rank, if the element types have different sizes;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument), at every rank, if a part is larger than any memory; a lost peer, a
    /// timeout; what the backend reports.
    pub fn allocate(communicator: &Communicator, len: usize) -> Result<Self> {
        span!(communicator, "window", len);
        Self::prepare(communicator, len).map_err(|e| communicator.locate(e))
    }

    fn prepare(communicator: &Communicator, len: usize) -> Result<Self> {
        let (messages, number) = communicator.private_for_windows()?;
        let element = ElementType::of::<T>();
        let all = messages.all_gather(&[[len as u64, element.size as u64]])?;
        if let Some(rank) = all.iter().position(|[_, size]| *size != element.size as u64) {
            let text = format!("elements of {} bytes here, of {} bytes at rank {rank}", element.size, all[rank][1]);
            return Err(Error::new("window", ErrorKind::Mismatch(text)));
        }
        let bytes: Option<Vec<usize>> = all
            .iter()
            .map(|[len, _]| {
                let bytes = usize::try_from(*len).ok()?.checked_mul(element.size)?;
                // Backends put some more beside it.
                (bytes <= isize::MAX as usize / 2).then_some(bytes)
            })
            .collect();
        let Some(bytes) = bytes else {
            let text = format!("a part of {} elements is more than there is memory", longest(&all));
            return Err(Error::new("window", ErrorKind::InvalidArgument(text)));
        };
        let windows = (messages.max_tag() + 1) / Purpose::TAGS;
        let tag = number % windows * Purpose::TAGS;
        let transport = messages.shared_transport();
        let exposed = transport.clone().expose(Exposure { element, bytes, tag })?;
        let window = Window {
            exposed: Some(exposed),
            lens: all.iter().map(|[len, _]| *len as usize).collect(),
            meeting: Meeting::new(transport, tag),
            broken: false,
            failed: AtomicBool::new(false),
            communicator: communicator.clone(),
            element: PhantomData,
        };
        // Others reach into it as soon as they have it; it is there at every rank from here on.
        window.meeting.meet(window.exposed())?;
        Ok(window)
    }

    /// The elements of each rank's part.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// The communicator it was made on.
    pub fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// Whether nothing but dropping it is possible, since an epoch failed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// This rank's part.
    ///
    /// # Panics
    /// If the window is broken: others may still write there.
    pub fn local(&self) -> &[T] {
        let (at, len) = self.own();
        // SAFETY: the part has as many elements, initialised with bytes, which are values of every Pod. Nobody writes them:
        // ranks reach for it only in epochs that this rank takes part in, for which it must lend the window exclusively.
        unsafe { std::slice::from_raw_parts(at, len) }
    }

    /// This rank's part, to write.
    ///
    /// # Panics
    /// As [`Window::local`].
    pub fn local_mut(&mut self) -> &mut [T] {
        let (at, len) = self.own();
        // SAFETY: as in `local`; and the window is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(at, len) }
    }

    fn own(&self) -> (*mut T, usize) {
        assert!(!self.broken, "a window whose epoch failed has no slices: others may still write there");
        (self.exposed().memory().cast(), self.lens[self.communicator.rank()])
    }

    /// An epoch of all ranks: waits until every rank has come, runs `f`, which may reach every part, and waits until every
    /// rank is done. Collective.
    ///
    /// # Errors
    /// That of `f`, and then the window is broken, at the other ranks too; a broken window; a lost peer, a timeout, a deadlock.
    pub fn fence<R>(&mut self, f: impl FnOnce(&Epoch<'_, T>) -> Result<R>) -> Result<R> {
        self.epoch("fence", |window| {
            window.meet()?;
            let value = f(&Epoch::new(window, Reachable::All))?;
            window.flush(0..window.lens.len())?;
            window.check()?;
            window.meet()?;
            Ok(value)
        })
    }

    /// An epoch of some ranks: lets `origins` reach this rank's part, waits until it may reach those of `targets`, runs `f`,
    /// which may do so, and waits until the `origins` are done. Either list may be empty, and a rank can be in both.
    ///
    /// Each rank that is named takes part at the same time: those in `targets` name this one in their `origins`, and the
    /// other way round (post, start, complete and wait of MPI section 12.5.2).
    ///
    /// # Errors
    /// As [`Window::fence`]; ranks that do not exist or are named twice, and then nothing has happened. Ranks that do not name
    /// each other wait in vain: until the time is up, or the deadlock is detected.
    pub fn neighbours<R>(
        &mut self,
        origins: &[usize],
        targets: &[usize],
        f: impl FnOnce(&Epoch<'_, T>) -> Result<R>,
    ) -> Result<R> {
        self.communicator.check_peers("neighbours", origins)?;
        self.communicator.check_peers("neighbours", targets)?;
        self.epoch("neighbours", |window| {
            let exposed = window.exposed();
            exposed.settle()?;
            window.meeting.tell(origins, Purpose::Open)?;
            window.meeting.hear(exposed, targets, Purpose::Open)?;
            let value = f(&Epoch::new(window, Reachable::Only(targets)))?;
            window.flush(targets.iter().copied())?;
            window.check()?;
            window.meeting.tell(targets, Purpose::Done)?;
            window.meeting.hear(exposed, origins, Purpose::Done)?;
            exposed.settle()?;
            Ok(value)
        })
    }

    /// An epoch of all ranks in which parts are reached under their locks: waits until every rank has come, runs `f`, and waits
    /// until every rank is done. Collective. In between, nobody waits for the owner of a part, only for those who hold its lock.
    ///
    /// ```
    /// use parhelion_comm::{Lock, Window};
    ///
    /// parhelion_comm::run(|world| {
    ///     let mut counter = Window::<u64>::allocate(&world, usize::from(world.rank() == 0))?;
    ///     counter.passive(|epoch| {
    ///         let held = epoch.lock(0, Lock::Exclusive)?;
    ///         let mut now = [0];
    ///         held.get(0, &mut now)?;
    ///         held.put(0, &[now[0] + 1])
    ///     })?;
    ///     assert!(world.rank() > 0 || counter.local() == [world.size() as u64]);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion_comm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Window::fence`].
    pub fn passive<R>(&mut self, f: impl FnOnce(&Passive<'_, T>) -> Result<R>) -> Result<R> {
        self.epoch("passive", |window| {
            window.meet()?;
            let passive = Passive::new(window);
            let value = f(&passive)?;
            // What was forgotten is given back now.
            passive.end()?;
            window.check()?;
            window.meet()?;
            Ok(value)
        })
    }

    /// Runs an epoch: however it fails, the window is broken afterwards.
    fn epoch<R>(&mut self, name: &'static str, run: impl FnOnce(&Self) -> Result<R>) -> Result<R> {
        let communicator = self.communicator.clone();
        span!(communicator, "epoch", name);
        if self.broken {
            let text = "the window is broken, since an epoch failed; make another".to_owned();
            return Err(self.communicator.error(name, ErrorKind::InvalidArgument(text)));
        }
        /// Breaks the window when it is dropped.
        struct Attempt<'a, T: Element>(&'a mut Window<T>, u64);
        impl<T: Element> Drop for Attempt<'_, T> {
            fn drop(&mut self) {
                self.0.broken = true;
                self.0.meeting.end(self.1);
            }
        }
        let mut attempt = Attempt(self, PANICKED);
        match run(attempt.0) {
            Ok(value) => {
                std::mem::forget(attempt);
                Ok(value)
            }
            Err(e) => {
                attempt.1 = FAILED;
                Err(attempt.0.communicator.locate(e))
            }
        }
    }

    /// Waits until every rank has come this far; around it, parts are used as slices.
    fn meet(&self) -> Result<()> {
        self.exposed().settle()?;
        self.meeting.meet(self.exposed())?;
        self.exposed().settle()
    }

    fn flush(&self, ranks: impl IntoIterator<Item = usize>) -> Result<()> {
        ranks.into_iter().try_for_each(|rank| self.exposed().flush(rank).map_err(|e| e.with_peer(rank)))
    }

    /// That no call of this epoch has failed.
    fn check(&self) -> Result<()> {
        if !self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = "a call of this epoch has failed, and its error was passed over".to_owned();
        Err(Error::new("epoch", ErrorKind::InvalidArgument(text)))
    }

    /// A call at the part of `rank` has failed.
    #[cold]
    fn failed_at(&self, rank: usize, error: Error) -> Error {
        self.failed.store(true, Ordering::Relaxed);
        self.communicator.locate(error.with_peer(rank))
    }

    fn exposed(&self) -> &dyn Exposed {
        &**self.exposed.as_ref().expect("there until the window is dropped")
    }
}

fn longest(all: &[[u64; 2]]) -> u64 {
    all.iter().map(|[len, _]| *len).max().unwrap_or(0)
}

impl<T: Element> Drop for Window<T> {
    fn drop(&mut self) {
        if let Some(exposed) = self.exposed.take() {
            exposed.release(self.broken);
        }
    }
}

impl<T: Element> fmt::Debug for Window<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = ElementType::of::<T>();
        let broken = if self.broken { ", broken" } else { "" };
        write!(f, "Window({element}, parts of {:?}{broken}, {:?})", self.lens, self.communicator)
    }
}
