//! Closures as operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mpi_abi::{Datatype, Error, ErrorKind, MAX_USER_OPS, UserOp};

use crate::support::{Check, Failure, Mpi, Outcome, at, at_mut, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("user op: a closure that captures", commutative),
    ("user op: the order of ranks is kept", ordered),
    ("user op: a long vector", long),
    ("user op: nonblocking", nonblocking),
    ("user op: in reduce_local", local),
    ("user op: a panic stays in Rust", panics),
    ("user op: the pool has an end and is given back", pool),
];

/// An operation on each element by a function of two.
fn op<T: Copy + 'static>(
    m: &Mpi,
    commute: bool,
    f: impl Fn(T, T) -> T + Send + Sync + 'static,
) -> Result<UserOp, Error> {
    let reduce = move |a: *const std::ffi::c_void, b: *mut std::ffi::c_void, n: usize| {
        for i in 0..n {
            // SAFETY: the checks reduce vectors of `T`, and MPI gives two of length n. They may be unaligned.
            unsafe {
                let (a, b) = (a.cast::<T>().add(i), b.cast::<T>().add(i));
                b.write_unaligned(f(a.read_unaligned(), b.read_unaligned()));
            }
        }
    };
    UserOp::new(m.lib, commute, Box::new(reduce))
}

fn commutative(m: &Mpi) -> Outcome {
    let modulus = 17;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let op = op(m, true, move |a: i64, b: i64| {
        counter.fetch_add(1, Ordering::Relaxed);
        (a * b) % modulus
    })?;
    let mut got = [i64::from(m.rank) + 2, 3];
    // SAFETY: two 64-bit ints in place; the op lives until after the call.
    unsafe { m.lib.allreduce(m.c.in_place(), at_mut(&mut got), 2, m.c.int64_t, op.op(), m.comm) }?;
    let product = m.ranks().fold(1, |p, r| p * (i64::from(r) + 2) % modulus);
    let threes = m.ranks().fold(1, |p, _| p * 3 % modulus);
    same!(got, if m.size == 1 { [2, 3] } else { [product, threes] });
    // The function may run on some ranks only, but somewhere it must.
    let ran = m.maximum([calls.load(Ordering::Relaxed) as i32])?;
    same!(ran[0] > 0, m.size > 1);
    same!(op.take_panic(), None);
    Ok(())
}

/// The affine map x -> a x + b, modulo 2^64. Applying one after the other is associative and does not commute.
type Affine = [u64; 2];

fn after(first: Affine, second: Affine) -> Affine {
    let times = |x: u64, y: u64| x.wrapping_mul(y);
    [times(second[0], first[0]), times(second[0], first[1]).wrapping_add(second[1])]
}

fn map_of(rank: i32) -> Affine {
    [rank as u64 * 2 + 3, rank as u64 * 7 + 1]
}

/// A committed datatype of two words; the caller frees it.
fn affine_type(m: &Mpi) -> Result<Datatype, Error> {
    let mut kind = m.c.datatype_null;
    // SAFETY: MPI is active.
    unsafe {
        m.lib.type_contiguous(2, m.c.uint64_t, &mut kind)?;
        m.lib.type_commit(&mut kind)?;
    }
    Ok(kind)
}

fn ordered(m: &Mpi) -> Outcome {
    let mut kind = affine_type(m)?;
    let op = op(m, false, after)?;
    let mut commutes = -1;
    let mine = [map_of(m.rank); 3];
    let mut got = [[0; 2]; 3];
    // SAFETY: three maps in and out; op and type live until after the calls.
    unsafe {
        m.lib.op_commutative(op.op(), &mut commutes)?;
        same!(commutes, 0);
        m.lib.allreduce(at(&mine), at_mut(&mut got), 3, kind, op.op(), m.comm)?;
        same!(got, [m.ranks().map(map_of).reduce(after).expect("a rank"); 3]);
        m.lib.scan(at(&mine), at_mut(&mut got), 3, kind, op.op(), m.comm)?;
        same!(got, [(0..=m.rank).map(map_of).reduce(after).expect("a rank"); 3]);
        m.lib.reduce(at(&mine), at_mut(&mut got), 3, kind, op.op(), m.size - 1, m.comm)?;
        if m.rank == m.size - 1 {
            same!(got, [m.ranks().map(map_of).reduce(after).expect("a rank"); 3]);
        }
        m.lib.type_free(&mut kind)?;
    }
    Ok(())
}

fn long(m: &Mpi) -> Outcome {
    const N: usize = 100_003;
    let op = op(m, true, f64::max)?;
    let mine: Vec<f64> = (0..N).map(|i| ((i * 31 + m.rank as usize * 17) % 1009) as f64).collect();
    let mut got = vec![0.0; N];
    // SAFETY: N doubles; the op lives until after the call.
    unsafe { m.lib.allreduce(at(&mine), at_mut(&mut got), N as i32, m.c.double, op.op(), m.comm) }?;
    let expected = |i: usize| m.ranks().map(|r| ((i * 31 + r as usize * 17) % 1009) as f64).fold(0.0, f64::max);
    same!(got.iter().enumerate().all(|(i, &x)| x == expected(i)), true);
    if m.lib.supports_large_counts() {
        got.fill(0.0);
        // SAFETY: as above.
        unsafe { m.lib.allreduce_c(at(&mine), at_mut(&mut got), N as i64, m.c.double, op.op(), m.comm) }?;
        same!(got.iter().enumerate().all(|(i, &x)| x == expected(i)), true);
    }
    Ok(())
}

fn nonblocking(m: &Mpi) -> Outcome {
    let op = op(m, true, |a: i32, b: i32| a.max(b))?;
    let mine = [m.rank, -m.rank];
    let mut got = [0; 2];
    let mut request = m.c.request_null;
    // SAFETY: buffers and op live until after the wait.
    unsafe { m.lib.iallreduce(at(&mine), at_mut(&mut got), 2, m.c.int32_t, op.op(), m.comm, &mut request) }?;
    m.wait(&mut request)?;
    same!(got, [m.size - 1, 0]);
    Ok(())
}

fn local(m: &Mpi) -> Outcome {
    let op = op(m, false, |a: i32, b: i32| 10 * a + b)?;
    let (a, mut b) = ([1, 2], [3, 4]);
    // SAFETY: two ints each.
    unsafe { m.lib.reduce_local(at(&a), at_mut(&mut b), 2, m.c.int32_t, op.op()) }?;
    same!(b, [13, 24]);
    Ok(())
}

fn panics(m: &Mpi) -> Outcome {
    let op = op(m, true, |a: i32, _: i32| -> i32 { panic!("no sum for {a}") })?;
    let (a, mut b) = ([7], [0]);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: one int each.
    let reduced = unsafe { m.lib.reduce_local(at(&a), at_mut(&mut b), 1, m.c.int32_t, op.op()) };
    std::panic::set_hook(hook);
    reduced?;
    same!(op.take_panic().as_deref(), Some("no sum for 7"));
    same!(op.take_panic(), None);
    Ok(())
}

fn pool(m: &Mpi) -> Outcome {
    let ops: Vec<UserOp> =
        (0..MAX_USER_OPS).map(|k| op(m, true, move |a: i32, b: i32| a + b + k as i32)).collect::<Result<_, _>>()?;
    let one_more = op(m, true, |a: i32, _| a);
    match one_more.as_ref().map_err(Error::kind) {
        Err(ErrorKind::NoFreeOp { limit }) => same!(*limit, MAX_USER_OPS),
        _ => return Err(Failure::Wrong(format!("the pool gave {one_more:?}"))),
    }
    // Every slot has its own closure.
    for (k, op) in ops.iter().enumerate() {
        let (a, mut b) = ([1], [2]);
        // SAFETY: one int each.
        unsafe { m.lib.reduce_local(at(&a), at_mut(&mut b), 1, m.c.int32_t, op.op()) }?;
        same!(b, [3 + k as i32]);
    }
    drop(ops);
    drop(op(m, true, |a: i32, _| a)?);
    Ok(())
}
