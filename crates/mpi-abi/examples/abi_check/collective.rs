//! Collectives in six flavours: blocking, nonblocking and persistent, each with `int` and with `MPI_Count` counts.

use std::ffi::{c_int, c_void};

use mpi_abi::{Datatype, DatatypeArray, Error, Op, Request};

use crate::support::{Check, Counts, Displacements, Failure, In, Mpi, Outcome, at, at_mut, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("collective: barrier", barrier),
    ("collective: barrier, persistent", persistent_barrier),
    ("collective: blocking", |m| all(m, Flavour::Blocking)),
    ("collective: blocking, large counts", |m| all(m, Flavour::BlockingLarge)),
    ("collective: nonblocking", |m| all(m, Flavour::Nonblocking)),
    ("collective: nonblocking, large counts", |m| all(m, Flavour::NonblockingLarge)),
    ("collective: persistent", |m| all(m, Flavour::Persistent)),
    ("collective: persistent, large counts", |m| all(m, Flavour::PersistentLarge)),
    ("collective: in place", in_place),
    ("collective: every operation", operations),
    ("collective: least and greatest with their place", locations),
    ("collective: every element type", element_types),
    ("collective: 16-bit floats", float16),
    ("collective: 16-bit brain floats", bfloat16),
    ("collective: several at once", several),
];

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Flavour {
    Blocking,
    BlockingLarge,
    Nonblocking,
    NonblockingLarge,
    Persistent,
    PersistentLarge,
}

/// Waits for a nonblocking collective.
pub(crate) fn complete(m: &Mpi, mut request: Request) -> Result<(), Error> {
    m.wait(&mut request)?;
    Ok(())
}

/// Runs a persistent collective twice: the second run finds the buffers as the first left them.
pub(crate) fn twice(m: &Mpi, mut request: Request) -> Result<(), Error> {
    for _ in 0..2 {
        // SAFETY: a persistent request, inactive; the caller's buffers live on.
        unsafe { m.lib.start(&mut request) }?;
        m.wait(&mut request)?;
    }
    // SAFETY: inactive again.
    unsafe { m.lib.request_free(&mut request) }
}

/// Calls one of the six forms of a collective. The communicator comes last among the arguments.
///
/// What is called is `unsafe`: the buffers must be as large as the counts say.
macro_rules! collective {
    ($m:ident, $flavour:ident,
     $now:ident $now_c:ident $later:ident $later_c:ident $init:ident $init_c:ident ($($arg:expr),* $(,)?)) => {{
        use $crate::collective::{Flavour, complete, twice};
        let mut request = $m.c.request_null;
        let (lib, info) = ($m.lib, $m.c.info_null);
        match $flavour {
            Flavour::Blocking => lib.$now($($arg),*),
            Flavour::BlockingLarge => lib.$now_c($($arg),*),
            Flavour::Nonblocking => lib.$later($($arg,)* &mut request).and_then(|()| complete($m, request)),
            Flavour::NonblockingLarge => lib.$later_c($($arg,)* &mut request).and_then(|()| complete($m, request)),
            Flavour::Persistent => lib.$init($($arg,)* info, &mut request).and_then(|()| twice($m, request)),
            Flavour::PersistentLarge => lib.$init_c($($arg,)* info, &mut request).and_then(|()| twice($m, request)),
        }
    }};
}
pub(crate) use collective;

/// What rank `from` has for rank `to`, element `i`.
fn cell(from: c_int, to: c_int, i: c_int) -> i32 {
    from * 10_000 + to * 100 + i
}

fn all(m: &Mpi, flavour: Flavour) -> Outcome {
    for root in [0, m.size - 1] {
        broadcast(m, flavour, root)?;
        gathers(m, flavour, root)?;
        scatters(m, flavour, root)?;
        reduce(m, flavour, root)?;
    }
    all_gathers(m, flavour)?;
    all_to_alls(m, flavour)?;
    all_to_all_w(m, flavour)?;
    reductions(m, flavour)
}

fn barrier(m: &Mpi) -> Outcome {
    m.barrier()?;
    let mut request = m.c.request_null;
    // SAFETY: every rank makes the same calls.
    unsafe {
        m.lib.ibarrier(m.comm, &mut request)?;
        complete(m, request)?;
    }
    Ok(())
}

fn persistent_barrier(m: &Mpi) -> Outcome {
    let mut request = m.c.request_null;
    // SAFETY: every rank makes the same calls.
    unsafe { m.lib.barrier_init(m.comm, m.c.info_null, &mut request) }?;
    twice(m, request)?;
    Ok(())
}

fn broadcast(m: &Mpi, flavour: Flavour, root: c_int) -> Outcome {
    let mut data = if m.rank == root { vec![cell(root, 0, 0), 8, 9] } else { vec![0; 3] };
    let (p, int) = (at_mut(&mut data), m.c.int32_t);
    // SAFETY: three ints.
    unsafe {
        collective!(m, flavour, bcast bcast_c ibcast ibcast_c bcast_init bcast_init_c (p, 3, int, root, m.comm))
    }?;
    same!(data, [cell(root, 0, 0), 8, 9]);
    Ok(())
}

/// Rank `r` contributes `r % 3` elements: some ranks none.
fn lengths(m: &Mpi) -> Counts {
    Counts::new(m.ranks().map(|r| r % 3))
}

fn gathers(m: &Mpi, flavour: Flavour, root: c_int) -> Outcome {
    let (int, comm) = (m.c.int32_t, m.comm);
    let mine = [cell(m.rank, root, 0), cell(m.rank, root, 1)];
    let mut got = vec![-1; 2 * m.size as usize];
    let to = at_mut(&mut got);
    // SAFETY: two ints from each rank.
    unsafe {
        collective!(m, flavour, gather gather_c igather igather_c gather_init gather_init_c
            (at(&mine), 2, int, to, 2, int, root, comm))
    }?;
    if m.rank == root {
        let expected: Vec<i32> = m.ranks().flat_map(|r| [cell(r, root, 0), cell(r, root, 1)]).collect();
        same!(got, expected);
    }
    let counts = lengths(m);
    // A gap of one after each block must stay as it is.
    let gaps = Displacements::new(m.ranks().map(|r| (0..r).map(|s| s % 3 + 1).sum()));
    let mut got = vec![-1; counts.total() + m.size as usize];
    let to = at_mut(&mut got);
    // SAFETY: at most two ints from each rank, and the blocks with their gaps fit.
    unsafe {
        collective!(m, flavour, gatherv gatherv_c igatherv igatherv_c gatherv_init gatherv_init_c
            (at(&mine), (m.rank % 3) as _, int, to, counts.p(), gaps.p(), int, root, comm))
    }?;
    if m.rank == root {
        let block = |r: c_int| (0..r % 3).map(move |i| cell(r, root, i)).chain([-1]);
        same!(got, m.ranks().flat_map(block).collect::<Vec<_>>());
    }
    Ok(())
}

fn scatters(m: &Mpi, flavour: Flavour, root: c_int) -> Outcome {
    let (int, comm) = (m.c.int32_t, m.comm);
    let all: Vec<i32> = m.ranks().flat_map(|r| [cell(root, r, 0), cell(root, r, 1)]).collect();
    let mut got = [-1; 2];
    let to = at_mut(&mut got);
    // SAFETY: two ints for each rank.
    unsafe {
        collective!(m, flavour, scatter scatter_c iscatter iscatter_c scatter_init scatter_init_c
            (at(&all), 2, int, to, 2, int, root, comm))
    }?;
    same!(got, [cell(root, m.rank, 0), cell(root, m.rank, 1)]);
    let counts = lengths(m);
    let displacements = Displacements::new(m.ranks().map(|r| 2 * r));
    let mut got = [-1; 2];
    let to = at_mut(&mut got);
    // SAFETY: at most two ints for each rank, out of the array above.
    unsafe {
        collective!(m, flavour, scatterv scatterv_c iscatterv iscatterv_c scatterv_init scatterv_init_c
            (at(&all), counts.p(), displacements.p(), int, to, (m.rank % 3) as _, int, root, comm))
    }?;
    for i in 0..2 {
        same!(got[i as usize], if i < m.rank % 3 { cell(root, m.rank, i) } else { -1 });
    }
    Ok(())
}

fn all_gathers(m: &Mpi, flavour: Flavour) -> Outcome {
    let (int, comm) = (m.c.int32_t, m.comm);
    let mine = [cell(m.rank, 0, 0), cell(m.rank, 0, 1)];
    let mut got = vec![-1; 2 * m.size as usize];
    let to = at_mut(&mut got);
    // SAFETY: two ints from each rank.
    unsafe {
        collective!(m, flavour, allgather allgather_c iallgather iallgather_c allgather_init allgather_init_c
            (at(&mine), 2, int, to, 2, int, comm))
    }?;
    same!(got, m.ranks().flat_map(|r| [cell(r, 0, 0), cell(r, 0, 1)]).collect::<Vec<_>>());
    let counts = lengths(m);
    let displacements = counts.displacements(1);
    let mut got = vec![-1; counts.total()];
    let to = at_mut(&mut got);
    // SAFETY: the counts' sum of ints.
    unsafe {
        collective!(m, flavour, allgatherv allgatherv_c iallgatherv iallgatherv_c allgatherv_init allgatherv_init_c
            (at(&mine), (m.rank % 3) as _, int, to, counts.p(), displacements.p(), int, comm))
    }?;
    same!(got, m.ranks().flat_map(|r| (0..r % 3).map(move |i| cell(r, 0, i))).collect::<Vec<_>>());
    Ok(())
}

/// How many elements rank `from` has for rank `to`.
fn load(from: c_int, to: c_int) -> c_int {
    (from + 2 * to) % 3
}

fn all_to_alls(m: &Mpi, flavour: Flavour) -> Outcome {
    let (int, comm) = (m.c.int32_t, m.comm);
    let mine: Vec<i32> = m.ranks().flat_map(|r| [cell(m.rank, r, 0), cell(m.rank, r, 1)]).collect();
    let mut got = vec![-1; 2 * m.size as usize];
    let to = at_mut(&mut got);
    // SAFETY: two ints for and from each rank.
    unsafe {
        collective!(m, flavour, alltoall alltoall_c ialltoall ialltoall_c alltoall_init alltoall_init_c
            (at(&mine), 2, int, to, 2, int, comm))
    }?;
    same!(got, m.ranks().flat_map(|r| [cell(r, m.rank, 0), cell(r, m.rank, 1)]).collect::<Vec<_>>());

    let sent = Counts::new(m.ranks().map(|r| load(m.rank, r)));
    let received = Counts::new(m.ranks().map(|r| load(r, m.rank)));
    let (from, into) = (sent.displacements(1), received.displacements(1));
    let mine: Vec<i32> = m.ranks().flat_map(|r| (0..load(m.rank, r)).map(move |i| cell(m.rank, r, i))).collect();
    let mut got = vec![-1; received.total()];
    let to = at_mut(&mut got);
    // SAFETY: the counts' sums of ints.
    unsafe {
        collective!(m, flavour, alltoallv alltoallv_c ialltoallv ialltoallv_c alltoallv_init alltoallv_init_c
            (at(&mine), sent.p(), from.p(), int, to, received.p(), into.p(), int, comm))
    }?;
    same!(got, m.ranks().flat_map(|r| (0..load(r, m.rank)).map(move |i| cell(r, m.rank, i))).collect::<Vec<_>>());
    Ok(())
}

/// Ranks with even numbers take doubles, the others ints; displacements are in bytes.
fn all_to_all_w(m: &Mpi, flavour: Flavour) -> Outcome {
    let kind = |r: c_int| if r % 2 == 0 { m.c.double } else { m.c.int32_t };
    let ones = Counts::new(m.ranks().map(|_| 1));
    let places = Displacements::new(m.ranks().map(|r| 8 * r));
    let sent = DatatypeArray::from_slice(m.lib, &m.ranks().map(kind).collect::<Vec<_>>());
    let received = DatatypeArray::from_slice(m.lib, &vec![kind(m.rank); m.size as usize]);
    let encode = |number: i32, kind: Datatype| -> u64 {
        let mut bytes = [0; 8];
        if kind == m.c.double {
            bytes = f64::from(number).to_ne_bytes();
        } else {
            bytes[..4].copy_from_slice(&number.to_ne_bytes());
        }
        u64::from_ne_bytes(bytes)
    };
    let mine: Vec<u64> = m.ranks().map(|r| encode(cell(m.rank, r, 1), kind(r))).collect();
    let mut got = vec![0u64; m.size as usize];
    let to = at_mut(&mut got);
    // SAFETY: one element of at most eight bytes in each place.
    unsafe {
        collective!(m, flavour, alltoallw alltoallw_c ialltoallw ialltoallw_c alltoallw_init alltoallw_init_c
            (at(&mine), ones.p(), places.p(), sent.as_ptr(), to, ones.p(), places.p(), received.as_ptr(), m.comm))
    }?;
    same!(got, m.ranks().map(|r| encode(cell(r, m.rank, 1), kind(m.rank))).collect::<Vec<_>>());
    Ok(())
}

fn reduce(m: &Mpi, flavour: Flavour, root: c_int) -> Outcome {
    let mine = [i64::from(m.rank) + 1, -i64::from(m.rank)];
    let mut got = [-7i64; 2];
    let (to, kind, op) = (at_mut(&mut got), m.c.int64_t, m.c.sum);
    // SAFETY: two 64-bit ints.
    unsafe {
        collective!(m, flavour, reduce reduce_c ireduce ireduce_c reduce_init reduce_init_c
            (at(&mine), to, 2, kind, op, root, m.comm))
    }?;
    let n = i64::from(m.size);
    same!(got, if m.rank == root { [n * (n + 1) / 2, -n * (n - 1) / 2] } else { [-7; 2] });
    Ok(())
}

fn reductions(m: &Mpi, flavour: Flavour) -> Outcome {
    let (kind, op, comm, n) = (m.c.double, m.c.sum, m.comm, f64::from(m.size));
    let rank = f64::from(m.rank);
    let total = n * (n - 1.0) / 2.0;
    let mine = [rank, 1.0];
    let mut got = [-7.0f64; 2];
    let to = at_mut(&mut got);
    // SAFETY: two doubles, in all three calls.
    unsafe {
        collective!(m, flavour, allreduce allreduce_c iallreduce iallreduce_c allreduce_init allreduce_init_c
            (at(&mine), to, 2, kind, op, comm))?;
        same!(got, [total, n]);
        collective!(m, flavour, scan scan_c iscan iscan_c scan_init scan_init_c (at(&mine), to, 2, kind, op, comm))?;
        same!(got, [rank * (rank + 1.0) / 2.0, rank + 1.0]);
        got = [-7.0; 2];
        let to = at_mut(&mut got);
        collective!(m, flavour, exscan exscan_c iexscan iexscan_c exscan_init exscan_init_c
            (at(&mine), to, 2, kind, op, comm))?;
    }
    // On rank 0 the result is not defined.
    if m.rank > 0 {
        same!(got, [rank * (rank - 1.0) / 2.0, rank]);
    }
    let mine: Vec<f64> = m.ranks().flat_map(|r| [rank + f64::from(r), 1.0]).collect();
    let mut got = [-7.0; 2];
    let to = at_mut(&mut got);
    // SAFETY: two doubles for each rank.
    unsafe {
        collective!(m, flavour, reduce_scatter_block reduce_scatter_block_c ireduce_scatter_block
            ireduce_scatter_block_c reduce_scatter_block_init reduce_scatter_block_init_c
            (at(&mine), to, 2, kind, op, comm))
    }?;
    same!(got, [total + n * rank, n]);

    let counts = lengths(m);
    let mine: Vec<f64> = (0..counts.total()).map(|i| rank + i as f64).collect();
    let first: c_int = (0..m.rank).map(|r| r % 3).sum();
    let mut got = vec![-7.0; (m.rank % 3) as usize];
    let to = at_mut(&mut got);
    // SAFETY: the counts' sum of doubles in, this rank's count out.
    unsafe {
        collective!(m, flavour, reduce_scatter reduce_scatter_c ireduce_scatter ireduce_scatter_c
            reduce_scatter_init reduce_scatter_init_c (at(&mine), to, counts.p(), kind, op, comm))
    }?;
    same!(got, (0..m.rank % 3).map(|i| total + n * f64::from(first + i)).collect::<Vec<_>>());
    Ok(())
}

fn in_place(m: &Mpi) -> Outcome {
    let (here, int, comm) = (m.c.in_place(), m.c.int32_t, m.comm);
    let read: *const c_void = here;
    let n = m.size as usize;
    let mut request = m.c.request_null;
    // SAFETY: each buffer holds what its counts say, and outlives the wait.
    unsafe {
        let mut v = vec![m.rank, 1];
        m.lib.allreduce(read, at_mut(&mut v), 2, int, m.c.max, comm)?;
        same!(v, [m.size - 1, 1]);
        v = vec![m.rank, 1];
        m.lib.iallreduce(read, at_mut(&mut v), 2, int, m.c.sum, comm, &mut request)?;
        complete(m, request)?;
        same!(v, [m.size * (m.size - 1) / 2, m.size]);
        v = vec![m.rank];
        m.lib.scan(read, at_mut(&mut v), 1, int, m.c.sum, comm)?;
        same!(v, [m.rank * (m.rank + 1) / 2]);

        let mut all = vec![-1; n];
        all[m.rank as usize] = m.rank * 3;
        m.lib.allgather(read, 0, m.c.datatype_null, at_mut(&mut all), 1, int, comm)?;
        same!(all, m.ranks().map(|r| r * 3).collect::<Vec<_>>());
        let mut all: Vec<i32> = m.ranks().map(|r| cell(m.rank, r, 0)).collect();
        m.lib.alltoall(read, 0, m.c.datatype_null, at_mut(&mut all), 1, int, comm)?;
        same!(all, m.ranks().map(|r| cell(r, m.rank, 0)).collect::<Vec<_>>());
        if m.rank == 0 {
            let mut all = vec![0; n];
            m.lib.gather(read, 0, m.c.datatype_null, at_mut(&mut all), 1, int, 0, comm)?;
            same!(all, m.ranks().map(|r| r + 1 - i32::from(r == 0)).collect::<Vec<_>>());
            m.lib.scatter(at(&all), 1, int, here, 0, m.c.datatype_null, 0, comm)?;
        } else {
            let mut one = [m.rank + 1];
            m.lib.gather(at(&one), 1, int, std::ptr::null_mut(), 0, int, 0, comm)?;
            one = [0];
            m.lib.scatter(std::ptr::null(), 0, int, at_mut(&mut one), 1, int, 0, comm)?;
            same!(one, [m.rank + 1]);
        }
    }
    Ok(())
}

fn reduced<T: Copy>(m: &Mpi, mine: T, kind: Datatype, op: Op) -> Result<T, Error> {
    let mut got = [mine];
    // SAFETY: one element of the type that `kind` describes.
    unsafe { m.lib.allreduce(m.c.in_place(), at_mut(&mut got), 1, kind, op, m.comm) }?;
    Ok(got[0])
}

/// An operation, what it does with two values, and the value that a rank contributes.
type Case = (Op, fn(i32, i32) -> i32, fn(i32) -> i32);

fn operations(m: &Mpi) -> Outcome {
    let int = m.c.int32_t;
    let over = |f: fn(i32, i32) -> i32, value: fn(i32) -> i32| m.ranks().map(value).reduce(f).expect("a rank");
    let cases: [Case; 10] = [
        (m.c.sum, |a, b| a + b, |r| r + 1),
        (m.c.prod, |a, b| a * b, |r| r + 1),
        (m.c.min, i32::min, |r| (r - 2).abs()),
        (m.c.max, i32::max, |r| (r - 2).abs()),
        (m.c.land, |a, b| i32::from(a != 0 && b != 0), |r| i32::from(r != 2)),
        (m.c.lor, |a, b| i32::from(a != 0 || b != 0), |r| i32::from(r == 2)),
        (m.c.lxor, |a, b| i32::from((a != 0) != (b != 0)), |_| 1),
        (m.c.band, |a, b| a & b, |r| 0xff ^ (1 << r)),
        (m.c.bor, |a, b| a | b, |r| 1 << r),
        (m.c.bxor, |a, b| a ^ b, |r| (1 << r) | 1),
    ];
    for (i, (op, f, value)) in cases.into_iter().enumerate() {
        same!(reduced(m, value(m.rank), int, op)?, over(f, value), "operation {i}");
    }
    let mut commutes = -1;
    // SAFETY: a predefined operation.
    unsafe { m.lib.op_commutative(m.c.sum, &mut commutes) }?;
    same!(commutes, 1);
    let (a, mut b) = ([10, 20], [1, 2]);
    // SAFETY: two ints each.
    unsafe { m.lib.reduce_local(at(&a), at_mut(&mut b), 2, int, m.c.sum) }?;
    same!(b, [11, 22]);
    if m.lib.supports_large_counts() {
        // SAFETY: two ints each.
        unsafe { m.lib.reduce_local_c(at(&a), at_mut(&mut b), 2, int, m.c.max) }?;
        same!(b, [11, 22]);
    }
    Ok(())
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct At<T>(T, i32);

fn locations(m: &Mpi) -> Outcome {
    let middle = m.size / 2;
    let height = |r: i32| (r - middle) * (r - middle);
    let top = m.ranks().map(height).max().expect("a rank");
    let where_top = m.ranks().find(|&r| height(r) == top).expect("one is the greatest");
    let here = height(m.rank);
    same!(reduced(m, At(here, m.rank), m.c.two_int, m.c.maxloc)?, At(top, where_top));
    same!(reduced(m, At(here, m.rank), m.c.two_int, m.c.minloc)?, At(0, middle));
    let real = reduced(m, At(f64::from(here), m.rank), m.c.double_int, m.c.minloc)?;
    same!(real, At(0.0, middle));
    same!(reduced(m, At(here as f32, m.rank), m.c.float_int, m.c.minloc)?, At(0.0f32, middle));
    same!(reduced(m, At(i64::from(here), m.rank), m.c.long_int, m.c.maxloc)?, At(i64::from(top), where_top));
    same!(reduced(m, At(here as i16, m.rank), m.c.short_int, m.c.maxloc)?, At(top as i16, where_top));
    Ok(())
}

fn element_types(m: &Mpi) -> Outcome {
    let n = m.size;
    let sum = n * (n + 1) / 2;
    macro_rules! sums {
        ($($t:ty: $($kind:ident)*;)*) => {$($(
            let got = reduced(m, (m.rank + 1) as $t, m.c.$kind, m.c.sum)?;
            same!(got, sum as $t, "the sum of {}", stringify!($kind));
        )*)*};
    }
    sums! {
        i8: int8_t signed_char; i16: int16_t short; i32: int32_t int; i64: int64_t long long_long aint count offset;
        u8: uint8_t unsigned_char; u16: uint16_t unsigned_short; u32: uint32_t unsigned;
        u64: uint64_t unsigned_long unsigned_long_long; f32: float; f64: double;
    }
    let r = f64::from(m.rank);
    let total = f64::from(n * (n - 1) / 2);
    same!(reduced(m, [r, -r], m.c.c_double_complex, m.c.sum)?, [total, -total]);
    same!(reduced(m, [r as f32, 1.0], m.c.c_float_complex, m.c.sum)?, [total as f32, n as f32]);
    same!(reduced(m, u8::from(m.rank == 0), m.c.c_bool, m.c.lor)?, 1);
    same!(reduced(m, 1u8 << (m.rank % 8), m.c.byte, m.c.bor)?, (0..n).fold(0, |a, r| a | 1 << (r % 8)));
    let sizes = [
        (m.c.byte, 1),
        (m.c.packed, 1),
        (m.c.char, 1),
        (m.c.long_double, 16),
        (m.c.c_long_double_complex, 32),
        (m.c.two_int, 8),
        (m.c.double_int, 12),
        (m.c.float_int, 8),
        (m.c.int64_t, 8),
        (m.c.c_bool, 1),
    ];
    for (kind, bytes) in sizes {
        let mut size = -1;
        // SAFETY: a predefined type.
        unsafe { m.lib.type_size(kind, &mut size) }?;
        // The size of long double is the machine's.
        let measured = kind == m.c.long_double || kind == m.c.c_long_double_complex;
        if !measured || cfg!(target_arch = "x86_64") {
            same!(size, bytes, "the size of {kind:?}");
        }
    }
    Ok(())
}

fn float16(m: &Mpi) -> Outcome {
    let Some(kind) = m.c.float16 else { return Err(Failure::lacks("MPIX_C_FLOAT16")) };
    // 1.0 has the exponent 15 in five bits.
    let got = reduced(m, 0x3c00u16, kind, m.c.sum)?;
    let exact = [0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800];
    if let Some(expected) = exact.get(m.size as usize - 1) {
        same!(got, *expected, "the sum of {} half-precision ones", m.size);
    }
    Ok(())
}

fn bfloat16(m: &Mpi) -> Outcome {
    let Some(kind) = m.c.bfloat16 else { return Err(Failure::lacks("MPIX_BFLOAT16")) };
    let got = reduced(m, 0x3f80u16, kind, m.c.sum)?;
    // A bfloat16 is the upper half of a float; sums of ones up to 256 are exact.
    same!(got, ((m.size as f32).to_bits() >> 16) as u16);
    Ok(())
}

fn several(m: &Mpi) -> Outcome {
    let mine: Vec<[i32; 1]> = (0..8).map(|i| [m.rank + i]).collect();
    let mut got = vec![[0i32; 1]; 8];
    let mut requests = mpi_abi::RequestArray::new(m.lib);
    for (from, to) in mine.iter().zip(&mut got) {
        let mut request = m.c.request_null;
        // SAFETY: one int each; both vectors stay until the wait.
        unsafe { m.lib.iallreduce(at(from), at_mut(to), 1, m.c.int32_t, m.c.sum, m.comm, &mut request) }?;
        requests.push(request);
    }
    // SAFETY: eight live requests.
    unsafe { m.lib.waitall(8, requests.as_mut_ptr(), m.c.statuses_ignore()) }?;
    let n = m.size;
    same!(got, (0..8).map(|i| [n * (n - 1) / 2 + n * i]).collect::<Vec<_>>());
    Ok(())
}
