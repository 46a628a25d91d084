//! User-defined reduction operations from Rust closures.
//!
//! MPI gives a user function no pointer of its own to find its state by. So there is a fixed pool of functions, each
//! bound to one slot of a static table, and a closure moves into a slot. Only MPICH has a call that would take a state
//! pointer, and only in two of its libraries.
//!
//! Invariants of a slot:
//! 1. `closure` is non-null exactly between the `store` in [`UserOp::new`] and the `swap` in `drop`.
//! 2. Who turned `taken` from false to true owns the slot until it turns it back.
//! 3. A trampoline reads `closure` only while MPI runs an operation made from it, which the contract of the calls
//!    that take the `Op` keeps within the life of the `UserOp`.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::handles::{Count, LargeUserFunction, Op, UserFunction};
use crate::{Error, ErrorKind, Library};

/// `(invec, inoutvec, len)`: for each of `len` elements, `inoutvec[i] = invec[i] ∘ inoutvec[i]`, in this order of
/// arguments. `len` counts elements of the datatype that the reduction was called with.
pub type ReduceFunction = Box<dyn Fn(*const c_void, *mut c_void, usize) + Send + Sync>;

/// How many user-defined operations there can be at a time in a process.
pub const MAX_USER_OPS: usize = 64;

struct Slot {
    taken: AtomicBool,
    closure: AtomicPtr<ReduceFunction>,
    panic: Mutex<Option<String>>,
}

static SLOTS: [Slot; MAX_USER_OPS] = [const {
    Slot { taken: AtomicBool::new(false), closure: AtomicPtr::new(ptr::null_mut()), panic: Mutex::new(None) }
}; MAX_USER_OPS];

/// An operation made from a closure: an [`Op`] for `allreduce` and its kin.
///
/// Free it, by dropping, only when no pending call uses it: the calls that take the `Op` are `unsafe` and require it.
/// The function may run on some of the ranks only, on any thread that is inside MPI, and in any grouping of the
/// operands; with `commute` false, their order is that of the ranks.
#[derive(Debug)]
pub struct UserOp {
    library: &'static Library,
    op: Op,
    slot: usize,
}

impl UserOp {
    /// Registers `function` with `library`. Local: no other rank takes part. MPI must be active.
    ///
    /// A panic of `function` stops at the boundary to C; the operation's result is then worthless, and
    /// [`UserOp::take_panic`] tells.
    ///
    /// # Errors
    /// [`ErrorKind::NotActive`]; [`ErrorKind::NoFreeOp`] when all slots are taken; what `MPI_Op_create` returns.
    pub fn new(library: &'static Library, commute: bool, function: ReduceFunction) -> Result<Self, Error> {
        if !library.is_active() {
            return Err(ErrorKind::NotActive { what: "a user-defined operation", library: library.name() }.into());
        }
        let slot = SLOTS
            .iter()
            .position(|slot| slot.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok())
            .ok_or(ErrorKind::NoFreeOp { limit: MAX_USER_OPS })?;
        SLOTS[slot].closure.store(Box::into_raw(Box::new(function)), Ordering::Release);
        // From here on dropping `this` gives the slot back, with or without an operation.
        let mut this = Self { library, op: library.constants().op_null, slot };
        let (small, large) = TRAMPOLINES[slot];
        // SAFETY: both trampolines have the signatures that MPI calls them with, and live for ever.
        unsafe {
            // With the large form the library need not cut long vectors to fit an `int`.
            if library.has("MPI_Op_create_c") {
                library.op_create_c(large, c_int::from(commute), &mut this.op)?;
            } else {
                library.op_create(small, c_int::from(commute), &mut this.op)?;
            }
        }
        Ok(this)
    }

    /// The handle, valid as long as `self` lives.
    #[must_use]
    pub fn op(&self) -> Op {
        self.op
    }

    /// The message of the first panic since the last time, if the closure panicked on this rank.
    pub fn take_panic(&self) -> Option<String> {
        SLOTS[self.slot].panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for UserOp {
    fn drop(&mut self) {
        if self.op != self.library.constants().op_null && self.library.is_active() {
            // SAFETY: the operation came from `op_create` and is freed once. An error leaves it allocated, no more.
            let _ = unsafe { self.library.op_free(&mut self.op) };
        }
        let slot = &SLOTS[self.slot];
        let closure = slot.closure.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: invariant 1: the pointer came from `Box::into_raw` in `new`, and nobody else takes it out.
        drop(unsafe { Box::from_raw(closure) });
        slot.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        slot.taken.store(false, Ordering::Release);
    }
}

/// What every trampoline does. Never unwinds.
fn reduce(index: usize, invec: *const c_void, inoutvec: *mut c_void, len: usize) {
    let slot = &SLOTS[index];
    // SAFETY: invariants 1 and 3: the closure is there and stays there while MPI runs the operation.
    let Some(closure) = (unsafe { slot.closure.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| closure(invec, inoutvec, len))) {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        // Dropping a payload may panic in its turn; it is leaked instead.
        std::mem::forget(payload);
        slot.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }
}

/// # Safety
/// MPI's: `len` is readable, the vectors hold that many elements.
unsafe extern "C" fn small<const SLOT: usize>(
    invec: *mut c_void,
    inoutvec: *mut c_void,
    len: *mut c_int,
    _datatype: *mut c_void,
) {
    // SAFETY: MPI passes a valid length.
    let len = unsafe { *len };
    reduce(SLOT, invec, inoutvec, usize::try_from(len).unwrap_or(0));
}

/// # Safety
/// MPI's: `len` is readable, the vectors hold that many elements.
unsafe extern "C" fn large<const SLOT: usize>(
    invec: *mut c_void,
    inoutvec: *mut c_void,
    len: *mut Count,
    _datatype: *mut c_void,
) {
    // SAFETY: MPI passes a valid length.
    let len = unsafe { *len };
    reduce(SLOT, invec, inoutvec, usize::try_from(len).unwrap_or(0));
}

macro_rules! trampolines {
    ($($slot:literal)*) => { [$((small::<$slot>, large::<$slot>)),*] };
}

static TRAMPOLINES: [(UserFunction, LargeUserFunction); MAX_USER_OPS] = trampolines!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts a closure in a slot as `new` does, without a library. Tests use slots from the end, each its own.
    fn install(slot: usize, function: ReduceFunction) {
        assert!(!SLOTS[slot].taken.swap(true, Ordering::AcqRel), "slot {slot} is used by another test");
        SLOTS[slot].closure.store(Box::into_raw(Box::new(function)), Ordering::Release);
    }

    fn subtract() -> ReduceFunction {
        Box::new(|a, b, n| {
            // SAFETY: the tests below pass two arrays of `n` i32.
            unsafe {
                for i in 0..n {
                    *b.cast::<i32>().add(i) = *a.cast::<i32>().add(i) - *b.cast::<i32>().add(i);
                }
            }
        })
    }

    #[test]
    fn both_trampolines_of_a_slot_reach_its_closure_with_the_length() {
        install(63, subtract());
        let mut a = [10, 20, 30];
        let mut b = [1, 2, 3];
        let (small, large) = TRAMPOLINES[63];
        // SAFETY: three elements each, as the lengths say.
        unsafe {
            small(a.as_mut_ptr().cast(), b.as_mut_ptr().cast(), &mut 2, ptr::null_mut());
            assert_eq!(b, [9, 18, 3]);
            large(a.as_mut_ptr().cast(), b.as_mut_ptr().cast(), &mut 3, ptr::null_mut());
        }
        assert_eq!(b, [1, 2, 27]);
    }

    #[test]
    fn a_panic_stops_at_the_boundary_and_is_kept() {
        install(62, Box::new(|_, _, n| panic!("{n} elements too many")));
        let (small, _) = TRAMPOLINES[62];
        // SAFETY: the closure touches nothing.
        unsafe { small(ptr::null_mut(), ptr::null_mut(), &mut 5, ptr::null_mut()) };
        let kept = SLOTS[62].panic.lock().unwrap().take();
        assert_eq!(kept.as_deref(), Some("5 elements too many"));
    }

    #[test]
    fn an_empty_slot_and_a_negative_length_do_nothing() {
        let mut b = [7];
        // SAFETY: slot 61 is empty, slot 60's closure sees no elements.
        unsafe {
            TRAMPOLINES[61].0(ptr::null_mut(), b.as_mut_ptr().cast(), &mut 1, ptr::null_mut());
            install(60, subtract());
            TRAMPOLINES[60].0(ptr::null_mut(), b.as_mut_ptr().cast(), &mut -1, ptr::null_mut());
        }
        assert_eq!(b, [7]);
    }
}
