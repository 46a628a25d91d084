//! Blocking collectives: ranks show each other their calls in a [`Meeting`], then read and write each other's buffers.
//!
//! 1. Collective number `s` (from 1): a rank writes its call into its slot of parity `s % 2` and sets the slot's `number` to
//!    `s`. The collective happens once all slots of that parity say `s`. From then on nobody may give up: all that is left is
//!    computing.
//! 2. Everybody compares all calls. If they differ everybody sees it and leaves, having touched nothing.
//! 3. Small send parts travel in the slot ([`EAGER`]); then each rank computes its own result and leaves. It may write its next
//!    slot at once: that has the other parity, and the one after it needs all to have come to `s + 1`, so to have left `s`.
//! 4. Else each does its share on everybody's buffers, counts that in its `left`, and stays until all have. Only then may the
//!    buffers go, and the call itself, which the slot only points to. By this rule it is left, too, when calls differ.
//!
//! Giving up (a timeout, a deadlock) must not cross with others going on. Who has seen all slots say `s` goes on if, after a
//! full fence, `withdrawing` is unset. Who gives up sets `withdrawing`, and after a full fence takes its slot back only if
//! some slot does not say `s`. In the order of the two fences, either the first sees `withdrawing`, or the second sees all slots.
//! Once it is set (for good) everybody decides under the gate's lock, where "all slots say `s`" is final.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::call::{EAGER, disagreement, eager_bytes, input};
use super::group::Group;
use super::share::{Calls, own, share};
use super::spin::{Padded, full_fence, will_write};
use super::transport::Local;
use super::wait::{Stop, Wait, Waiting};
use crate::backend::signature::Signature;
use crate::backend::{Collective, CollectiveKind as Kind};
use crate::error::{Error, ErrorKind, Result};

/// One rank's call, as the others see it.
#[repr(C, align(128))]
struct Slot {
    /// The collective this is the call of; 0 for none.
    number: AtomicU64,
    shown: UnsafeCell<MaybeUninit<Shown>>,
}

/// The first line has what a reduction or a broadcast needs of others, whatever its size.
#[repr(C)]
struct Shown {
    digest: u64,
    input: *const u8,
    recv: *mut u8,
    data: [MaybeUninit<u8>; EAGER],
    /// Lives as rule 4 says.
    call: *const Collective<'static>,
}

/// Where the blocking collectives of one communicator meet.
pub(super) struct Meeting {
    places: Vec<Place>,
    /// Somebody has given up once: see the module's head.
    withdrawing: AtomicBool,
    /// The last collective that was decided under the lock.
    gate: Mutex<u64>,
    /// The collective in which an operator panicked, and at which rank.
    panicked: AtomicU64,
    panicked_rank: AtomicUsize,
}

struct Place {
    /// By parity of the collective's number.
    slots: [Slot; 2],
    /// How many collectives this rank has left by rule 4.
    left: Padded<AtomicU64>,
    own: Padded<Own>,
}

/// What only this rank's threads use.
#[derive(Default)]
struct Own {
    /// A thread of this rank is inside a collective.
    busy: AtomicBool,
    /// Collectives that have happened. Only the busy thread uses it.
    number: AtomicU64,
}

// SAFETY: a slot is written by its rank's busy thread before its number is set, read by others between the time when all say
// that number and the end of rule 3 or 4, which is before it is written again.
unsafe impl Sync for Meeting {}
// SAFETY: as above; the pointers inside a call are used under the same rules.
unsafe impl Send for Meeting {}

impl Meeting {
    pub(super) fn new(size: usize) -> Self {
        let slot = || Slot { number: AtomicU64::new(0), shown: UnsafeCell::new(MaybeUninit::uninit()) };
        let place = || Place { slots: [slot(), slot()], left: Padded::default(), own: Padded::default() };
        Meeting {
            places: (0..size).map(|_| place()).collect(),
            withdrawing: AtomicBool::new(false),
            gate: Mutex::default(),
            panicked: AtomicU64::new(0),
            panicked_rank: AtomicUsize::new(0),
        }
    }

    fn has_come(&self, rank: usize, number: u64) -> bool {
        self.places[rank].slots[(number % 2) as usize].number.load(Ordering::Acquire) == number
    }

    fn all_have_come(&self, number: u64) -> bool {
        (0..self.places.len()).all(|rank| self.has_come(rank, number))
    }

    /// Whether collective `number`, whose slots a caller has all seen, happens.
    #[inline]
    fn is_decided(&self, number: u64) -> bool {
        full_fence();
        !self.withdrawing.load(Ordering::Relaxed) || self.decide(number)
    }

    #[cold]
    fn decide(&self, number: u64) -> bool {
        let mut decided = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if *decided < number && self.all_have_come(number) {
            *decided = number;
        }
        *decided >= number
    }

    /// Takes this rank's slot back; false if it is too late, and the collective happens.
    #[cold]
    fn give_up(&self, rank: usize, number: u64) -> bool {
        let mut decided = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.withdrawing.store(true, Ordering::Relaxed);
        full_fence();
        if *decided >= number || self.all_have_come(number) {
            *decided = number;
            return false;
        }
        self.places[rank].slots[(number % 2) as usize].number.store(0, Ordering::Release);
        true
    }
}

/// All slots of one collective, once everybody has come.
struct Present<'a> {
    meeting: &'a Meeting,
    parity: usize,
}

impl Present<'_> {
    fn slot(&self, rank: usize) -> &Shown {
        // SAFETY: everybody has come, so the slot of this parity is written, and stays until this rank has left (rules 3, 4).
        unsafe { (*self.meeting.places[rank].slots[self.parity].shown.get()).assume_init_ref() }
    }
}

/// Reads calls and send parts where they are, until this rank leaves by rule 4.
struct InPlace<'a>(Present<'a>);

impl Calls for InPlace<'_> {
    fn size(&self) -> usize {
        self.0.meeting.places.len()
    }

    fn call(&self, rank: usize) -> &Collective<'_> {
        // SAFETY: rule 4: who reads in place has not left, so nobody has.
        unsafe { &*self.0.slot(rank).call }
    }

    fn send(&self, rank: usize) -> *const u8 {
        self.0.slot(rank).input
    }

    fn recv(&self, rank: usize) -> *mut u8 {
        self.0.slot(rank).recv
    }
}

/// Reads send parts out of the slots; only the reader's own call is looked at, since all are alike.
struct Eager<'a> {
    present: Present<'a>,
    mine: &'a Collective<'a>,
}

impl Calls for Eager<'_> {
    fn size(&self) -> usize {
        self.present.meeting.places.len()
    }

    fn call(&self, _rank: usize) -> &Collective<'_> {
        self.mine
    }

    fn send(&self, rank: usize) -> *const u8 {
        self.present.slot(rank).data.as_ptr().cast()
    }

    fn recv(&self, _rank: usize) -> *mut u8 {
        self.mine.recv
    }
}

/// What a rank waits for in a blocking collective.
enum Until {
    /// Everybody has come to this number.
    Come(u64),
    /// Everybody has left this many by rule 4. Nobody can be lost meanwhile.
    Left(u64),
}

struct MeetingWait<'a> {
    local: &'a Local,
    call: &'a Collective<'a>,
    until: Until,
    /// The ranks before this one have been seen to be there.
    seen: usize,
}

impl Wait for MeetingWait<'_> {
    type Output = ();

    #[inline]
    fn poll(&mut self) -> Option<()> {
        let meeting = &self.local.group.meeting;
        while let Some(place) = meeting.places.get(self.seen) {
            let there = match self.until {
                Until::Come(number) => meeting.has_come(self.seen, number),
                Until::Left(count) => place.left.load(Ordering::Acquire) >= count,
            };
            if !there {
                return None;
            }
            self.seen += 1;
        }
        match self.until {
            Until::Come(number) if !meeting.is_decided(number) => {
                self.seen = 0;
                None
            }
            _ => Some(()),
        }
    }

    fn progress(&mut self) {
        self.local.progress();
    }

    fn lost(&self) -> Option<(usize, &'static str)> {
        let Until::Come(number) = self.until else { return None };
        let (world, group) = (&self.local.world, &self.local.group);
        let mut missing = (0..group.ranks.len()).filter(|&r| !group.meeting.has_come(r, number));
        missing.find_map(|r| world.fate(group.ranks[r]).map(|how| (r, how)))
    }

    fn describe(&self) -> Waiting {
        let what = if self.call.kind.is_rooted() {
            format!("(root {}) for all ranks", self.call.root)
        } else {
            "for all ranks".to_owned()
        };
        Waiting { operation: self.call.kind.name(), what, communicator: self.local.group.name.clone() }
    }
}

/// Lets the next collective of this rank in.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Group {
    /// See [`Transport::collective`](crate::backend::Transport::collective).
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(super) unsafe fn collective(&self, local: &Local, call: &Collective<'_>) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.numbered_collective(local, call) }.map(|_| ())
    }

    /// [`Group::collective`] that also says which one of this communicator it was, the same number at every rank.
    ///
    /// # Safety
    /// As [`Group::collective`].
    pub(super) unsafe fn numbered_collective(&self, local: &Local, call: &Collective<'_>) -> Result<u64> {
        let operation = call.kind.name();
        let meeting = &self.meeting;
        let place = &meeting.places[local.rank];
        if place.own.busy.swap(true, Ordering::Acquire) {
            let text = "another thread of this rank is inside a collective on this communicator; use a dup of it";
            return Err(Error::new(operation, ErrorKind::Unsupported(text.into())));
        }
        let _busy = Busy(&place.own.busy);
        let number = place.own.number.load(Ordering::Relaxed) + 1;
        let parity = (number % 2) as usize;
        let eager = eager_bytes(call);

        // Rule 1.
        let digest = Signature::of(call).digest();
        let slot = &place.slots[parity];
        let shown = slot.shown.get().cast::<Shown>();
        // SAFETY: this rank's slot, by its busy thread; nobody reads it before its number is set (rule 3).
        unsafe {
            (&raw mut (*shown).digest).write(digest);
            (&raw mut (*shown).input).write(input(call));
            (&raw mut (*shown).recv).write(call.recv);
            (&raw mut (*shown).call).write(std::ptr::from_ref(call).cast());
            if let Some(bytes) = eager
                && bytes > 0
                && (call.kind != Kind::Broadcast || local.rank == call.root)
            {
                let data = (&raw mut (*shown).data).cast::<u8>();
                std::ptr::copy_nonoverlapping(input(call), data, bytes);
            }
        }
        slot.number.store(number, Ordering::Release);
        self.notify_others(local);
        if eager.is_none() {
            will_write(&*place.left);
        }
        let wait = MeetingWait { local, call, until: Until::Come(number), seen: 0 };
        if let Err(stop) = local.world.block(local.me, wait)
            && meeting.give_up(local.rank, number)
        {
            return Err(local.stopped(operation, stop));
        }
        place.own.number.store(number, Ordering::Relaxed);
        // Everybody has left the collective before this one, so nobody looks at its slot.
        will_write(&place.slots[1 - parity].number);

        // Rule 2.
        let present = Present { meeting, parity };
        let p = self.ranks.len();
        if (0..p).any(|r| present.slot(r).digest != digest) || call.varying || call.refused {
            let calls = InPlace(Present { meeting, parity });
            let signatures: Vec<Signature> = (0..p).map(|r| Signature::of(calls.call(r))).collect();
            if let Some(text) = disagreement(&signatures, &calls) {
                // Pointers of the others were not used beyond their counts, which live until they have left as well.
                self.part(local, call);
                return Err(Error::new(operation, ErrorKind::Mismatch(text)));
            }
        }

        // Rule 3.
        if eager.is_some() {
            // SAFETY: the caller's promise for this rank's parts; the slots stay (rule 3).
            unsafe { own(&Eager { present, mine: call }, local.rank) };
            return Ok(number);
        }

        // Rule 4.
        // SAFETY: all parts stay valid until all have left; shares write disjoint elements.
        let result = catch_unwind(AssertUnwindSafe(|| unsafe { share(&InPlace(present), local.rank) }));
        if result.is_err() {
            meeting.panicked_rank.store(local.rank, Ordering::Relaxed);
            meeting.panicked.store(number, Ordering::Release);
        }
        self.part(local, call);
        if let Err(payload) = result {
            resume_unwind(payload);
        }
        if meeting.panicked.load(Ordering::Acquire) == number {
            let rank = meeting.panicked_rank.load(Ordering::Relaxed);
            let how = "panicked in the operator of a reduction";
            return Err(local.stopped(operation, Stop::Lost(rank, how)));
        }
        Ok(number)
    }

    /// Leaves a collective whose buffers others use, together with them.
    fn part(&self, local: &Local, call: &Collective<'_>) {
        let left = &*self.meeting.places[local.rank].left;
        let count = left.load(Ordering::Relaxed) + 1;
        left.store(count, Ordering::Release);
        self.notify_others(local);
        loop {
            // Nobody can be lost, and a deadlock or a timeout here would only mean that another rank is slow to compute.
            let wait = MeetingWait { local, call, until: Until::Left(count), seen: 0 };
            if local.world.block(local.me, wait).is_ok() {
                return;
            }
        }
    }

    pub(super) fn notify_others(&self, local: &Local) {
        local.world.notify_each(self.ranks.iter().copied().filter(|&rank| rank != local.me));
    }
}
