//! Windows of the four kinds, each under the synchronisations of the standard.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use mpi_abi::{Aint, Comm, Error, ErrorClass, Request, Vendor, Win};

use crate::support::{Check, Failure, Mpi, Outcome, at, at_mut, fails_with, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("rma: window over one's own memory", created),
    ("rma: window with memory of its own", allocated),
    ("rma: window in shared memory", shared),
    ("rma: dynamic window", dynamic),
    ("rma: windows with large counts", large),
    ("rma: attributes, names, groups", attributes),
    ("rma: post, start, complete, wait", pscw),
    ("rma: lock and unlock", locks),
    ("rma: lock all and flush", flushes),
    ("rma: accumulate, fetch, compare", atomics),
    ("rma: with requests", requests),
    ("rma: a wrong target is an error", wrong_target),
];

const CELLS: usize = 8;

/// Fills this rank's part of a window: cell `i` of rank `r` holds `100 r + i`.
///
/// # Safety
/// `memory` has room for `CELLS` ints.
unsafe fn fill(m: &Mpi, memory: *mut i32) {
    for i in 0..CELLS {
        // SAFETY: within the promised room.
        unsafe { memory.add(i).write(m.rank * 100 + i as i32) };
    }
}

/// A window of `CELLS` ints on every rank, allocated by MPI and filled.
struct Window<'a> {
    m: &'a Mpi,
    win: Win,
    memory: *mut i32,
}

impl<'a> Window<'a> {
    fn new(m: &'a Mpi) -> Result<Self, Error> {
        let mut win = m.c.win_null;
        let mut memory: *mut c_void = ptr::null_mut();
        let bytes = (4 * CELLS) as Aint;
        // SAFETY: every rank is here; the memory is used until the window is freed.
        unsafe {
            m.lib.win_allocate(bytes, 4, m.c.info_null, m.comm, (&raw mut memory).cast(), &mut win)?;
            m.lib.win_set_errhandler(win, m.c.errors_return)?;
            fill(m, memory.cast());
        }
        m.barrier()?;
        Ok(Self { m, win, memory: memory.cast() })
    }

    fn cell(&self, i: usize) -> i32 {
        assert!(i < CELLS);
        // SAFETY: within the window's memory; the checks read it after a synchronisation.
        unsafe { self.memory.add(i).read_volatile() }
    }

    fn free(mut self) -> Outcome {
        // SAFETY: every rank frees it here.
        unsafe { self.m.lib.win_free(&mut self.win) }?;
        same!(self.win, self.m.c.win_null);
        Ok(())
    }
}

/// `put` to the next rank's cell 1, then `get` of the previous rank's cells 2 and 3, each between two fences.
///
/// # Safety
/// `win` has `CELLS` ints, filled by `fill`, on every rank; displacement `base(r)` of rank `r` is its cell 0, one unit
/// is `unit` cells. Every rank of the window calls it.
unsafe fn fenced(m: &Mpi, win: Win, memory: *const i32, base: impl Fn(c_int) -> Aint, unit: Aint) -> Outcome {
    let int = m.c.int32_t;
    let (next, previous) = (m.next(), m.previous());
    let mine = [m.rank + 7000];
    let mut got = [0; 2];
    // SAFETY: the caller's promise; the buffers live until the closing fence.
    unsafe {
        m.lib.win_fence(m.c.mode_noprecede, win)?;
        m.lib.put(at(&mine), 1, int, next, base(next) + unit, 1, int, win)?;
        m.lib.win_fence(0, win)?;
        same!(memory.add(1).read_volatile(), previous + 7000);
        m.lib.get(at_mut(&mut got), 2, int, previous, base(previous) + 2 * unit, 2, int, win)?;
        m.lib.win_fence(m.c.mode_nosucceed, win)?;
    }
    same!(got, [previous * 100 + 2, previous * 100 + 3]);
    Ok(())
}

/// Open MPI 4.1 has no component for windows over given memory when there is one rank and `MPI_THREAD_MULTIPLE`.
fn has_component(m: &Mpi) -> Outcome {
    let version = m.lib.version();
    if version.vendor == Vendor::OpenMpi && version.major < 5 && m.size == 1 {
        let what = "Open MPI 4 makes no such window for one rank with MPI_THREAD_MULTIPLE";
        return Err(Failure::NotHere(what.to_owned()));
    }
    Ok(())
}

/// MPICH 3.4 stops at an assertion in `MPI_Accumulate` when there is one rank.
fn accumulates(m: &Mpi) -> Outcome {
    let version = m.lib.version();
    if version.vendor == Vendor::Mpich && version.major < 4 && m.size == 1 {
        return Err(Failure::NotHere("MPICH 3.4 aborts in MPI_Accumulate on one rank".to_owned()));
    }
    Ok(())
}

fn created(m: &Mpi) -> Outcome {
    has_component(m)?;
    let mut memory = [0i32; CELLS];
    let mut win = m.c.win_null;
    let p = memory.as_mut_ptr();
    // SAFETY: the memory outlives the window.
    unsafe {
        fill(m, p);
        m.lib.win_create(p.cast(), (4 * CELLS) as Aint, 4, m.c.info_null, m.comm, &mut win)?;
        fenced(m, win, p, |_| 0, 1)?;
        m.lib.win_free(&mut win)?;
    }
    Ok(())
}

fn allocated(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    // SAFETY: the window is as `fenced` wants it.
    unsafe { fenced(m, window.win, window.memory, |_| 0, 1) }?;
    window.free()
}

/// The communicator of the ranks that share memory with this one.
fn node(m: &Mpi) -> Result<Mpi, Error> {
    let mut node: Comm = m.c.comm_null;
    // SAFETY: every rank is here.
    unsafe { m.lib.comm_split_type(m.comm, m.c.comm_type_shared, m.rank, m.c.info_null, &mut node) }?;
    Mpi::of(m.lib, node)
}

fn shared(m: &Mpi) -> Outcome {
    let node = node(m)?;
    let mut win = m.c.win_null;
    let mut memory: *mut c_void = ptr::null_mut();
    let bytes = (4 * CELLS) as Aint;
    // SAFETY: every rank of the node is here; neighbours' memory is read after a synchronisation.
    unsafe {
        m.lib.win_allocate_shared(bytes, 4, m.c.info_null, node.comm, (&raw mut memory).cast(), &mut win)?;
        fill(&node, memory.cast());
        m.lib.win_fence(0, win)?;
        for rank in node.ranks() {
            let (mut size, mut unit, mut place): (Aint, c_int, *mut i32) = (-1, -1, ptr::null_mut());
            m.lib.win_shared_query(win, rank, &mut size, &mut unit, (&raw mut place).cast())?;
            same!((size, unit), (bytes, 4));
            same!(place.add(5).read_volatile(), rank * 100 + 5);
        }
        m.lib.win_fence(0, win)?;
        fenced(&node, win, memory.cast(), |_| 0, 1)?;
        m.lib.win_free(&mut win)?;
    }
    node.free()?;
    Ok(())
}

fn dynamic(m: &Mpi) -> Outcome {
    has_component(m)?;
    let mut memory = [0i32; CELLS];
    let p = memory.as_mut_ptr();
    let mut win = m.c.win_null;
    let mut own: Aint = 0;
    let mut places = vec![0i64; m.size as usize];
    // SAFETY: the memory is attached as long as it is used; addresses are exchanged as 64-bit ints.
    unsafe {
        fill(m, p);
        m.lib.win_create_dynamic(m.c.info_null, m.comm, &mut win)?;
        m.lib.win_attach(win, p.cast(), (4 * CELLS) as Aint)?;
        m.lib.get_address(p.cast(), &mut own)?;
        m.lib.allgather(at(&[own as i64]), 1, m.c.int64_t, at_mut(&mut places), 1, m.c.int64_t, m.comm)?;
        fenced(m, win, p, |rank| places[rank as usize] as Aint, 4)?;
        m.barrier()?;
        m.lib.win_detach(win, p.cast())?;
        m.lib.win_free(&mut win)?;
    }
    Ok(())
}

fn large(m: &Mpi) -> Outcome {
    let mut memory = [0i32; CELLS];
    let p = memory.as_mut_ptr();
    let mut win = m.c.win_null;
    let bytes = (4 * CELLS) as Aint;
    let int = m.c.int32_t;
    let (mine, mut got, add) = ([m.rank + 1], [0; 2], [5]);
    // SAFETY: the memory outlives the windows; the buffers live until the fences.
    unsafe {
        fill(m, p);
        m.lib.win_create_c(p.cast(), bytes, 4, m.c.info_null, m.comm, &mut win)?;
        m.lib.win_fence(0, win)?;
        m.lib.put_c(at(&mine), 1, int, m.next(), 0, 1, int, win)?;
        m.lib.accumulate_c(at(&add), 1, int, m.next(), 1, 1, int, m.c.sum, win)?;
        m.lib.get_c(at_mut(&mut got), 2, int, m.next(), 4, 2, int, win)?;
        m.lib.win_fence(0, win)?;
        same!((p.read_volatile(), p.add(1).read_volatile()), (m.previous() + 1, m.rank * 100 + 6));
        same!(got, [m.next() * 100 + 4, m.next() * 100 + 5]);

        // Cell 3 becomes 1000 + 1 + 2 + 3, step by step.
        let (start, steps) = ([1000], [1, 2, 3]);
        let mut before = [0; 2];
        let mut request: Request = m.c.request_null;
        m.lib.win_lock_all(0, win)?;
        m.lib.rput_c(at(&start), 1, int, m.next(), 3, 1, int, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.win_flush(m.next(), win)?;
        m.lib.raccumulate_c(at(&steps), 1, int, m.next(), 3, 1, int, m.c.sum, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.win_flush(m.next(), win)?;
        let (a, b) = before.split_at_mut(1);
        m.lib.get_accumulate_c(at(&steps[1..]), 1, int, at_mut(a), 1, int, m.next(), 3, 1, int, m.c.sum, win)?;
        m.lib.win_flush(m.next(), win)?;
        let (last, old) = (at(&steps[2..]), at_mut(b));
        m.lib.rget_accumulate_c(last, 1, int, old, 1, int, m.next(), 3, 1, int, m.c.sum, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.win_flush(m.next(), win)?;
        m.lib.rget_c(at_mut(&mut got), 1, int, m.next(), 3, 1, int, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.win_unlock_all(win)?;
        same!((before, got[0]), ([1001, 1003], 1006));
        m.lib.win_free(&mut win)?;

        let mut own: *mut i32 = ptr::null_mut();
        m.lib.win_allocate_c(bytes, 4, m.c.info_null, m.comm, (&raw mut own).cast(), &mut win)?;
        fill(m, own);
        m.barrier()?;
        fenced(m, win, own, |_| 0, 1)?;
        m.lib.win_free(&mut win)?;

        let node = node(m)?;
        let (mut size, mut unit): (Aint, Aint) = (-1, -1);
        m.lib.win_allocate_shared_c(bytes, 4, m.c.info_null, node.comm, (&raw mut own).cast(), &mut win)?;
        m.lib.win_shared_query_c(win, 0, &mut size, &mut unit, (&raw mut own).cast())?;
        same!((size, unit, own.is_null()), (bytes, 4, false));
        m.lib.win_free(&mut win)?;
        node.free()?;
    }
    Ok(())
}

fn attributes(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    let win = window.win;
    let get = |key| -> Result<*mut c_void, crate::support::Failure> {
        let (mut value, mut flag): (*mut c_void, c_int) = (ptr::null_mut(), -1);
        // SAFETY: a live window; the result is a pointer.
        unsafe { m.lib.win_get_attr(win, key, (&raw mut value).cast(), &mut flag) }?;
        same!(flag, 1);
        Ok(value)
    };
    same!(get(m.c.win_base)?, window.memory.cast());
    let mut name = vec![0 as c_char; m.c.max_object_name as usize + 1];
    let (mut length, mut group, mut size, mut info) = (-1, m.c.group_null, -1, m.c.info_null);
    let mut key = m.c.keyval_invalid;
    let mut flag = -1;
    // SAFETY: the attributes but the base are pointers to an Aint or an int; names end with NUL.
    unsafe {
        same!(get(m.c.win_size)?.cast::<Aint>().read(), (4 * CELLS) as Aint);
        same!(get(m.c.win_disp_unit)?.cast::<c_int>().read(), 4);
        same!(get(m.c.win_create_flavor)?.cast::<c_int>().read(), m.c.win_flavor_allocate);
        let model = get(m.c.win_model)?.cast::<c_int>().read();
        same!(model == m.c.win_unified || model == m.c.win_separate, true);
        m.lib.win_set_name(win, c"pane".as_ptr())?;
        m.lib.win_get_name(win, name.as_mut_ptr(), &mut length)?;
        same!((length, name[0] as u8), (4, b'p'));
        m.lib.win_get_group(win, &mut group)?;
        m.lib.group_size(group, &mut size)?;
        same!(size, m.size);
        m.lib.group_free(&mut group)?;
        m.lib.win_get_info(win, &mut info)?;
        m.lib.win_set_info(win, info)?;
        m.lib.info_free(&mut info)?;
        let (copy, delete) = (m.c.comm_null_copy_fn(), m.c.comm_null_delete_fn());
        m.lib.win_create_keyval(copy, delete, &mut key, ptr::null_mut())?;
        m.lib.win_set_attr(win, key, window.memory.cast())?;
        same!(get(key)?, window.memory.cast());
        m.lib.win_delete_attr(win, key)?;
        let mut value: *mut c_void = ptr::null_mut();
        m.lib.win_get_attr(win, key, (&raw mut value).cast(), &mut flag)?;
        same!(flag, 0);
        m.lib.win_free_keyval(&mut key)?;
        let mut handler = m.c.errhandler_null;
        m.lib.win_get_errhandler(win, &mut handler)?;
        same!(handler, m.c.errors_return);
        m.lib.errhandler_free(&mut handler)?;
    }
    window.free()
}

fn pscw(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    let win = window.win;
    let n = m.c.group_null;
    let (mut all, mut origin, mut target) = (n, n, n);
    let (mine, int) = ([m.rank + 500], m.c.int32_t);
    let mut flag = 0;
    // SAFETY: each rank exposes its window to the previous one and writes into the next one's.
    unsafe {
        m.lib.comm_group(m.comm, &mut all)?;
        m.lib.group_incl(all, 1, &m.previous(), &mut origin)?;
        m.lib.group_incl(all, 1, &m.next(), &mut target)?;
        for wait in [true, false] {
            m.lib.win_post(origin, 0, win)?;
            m.lib.win_start(target, 0, win)?;
            m.lib.put(at(&mine), 1, int, m.next(), if wait { 0 } else { 1 }, 1, int, win)?;
            m.lib.win_complete(win)?;
            if wait {
                m.lib.win_wait(win)?;
            } else {
                while flag == 0 {
                    m.lib.win_test(win, &mut flag)?;
                }
            }
        }
        for group in [&mut all, &mut origin, &mut target] {
            m.lib.group_free(group)?;
        }
    }
    same!([window.cell(0), window.cell(1)], [m.previous() + 500; 2]);
    window.free()
}

fn locks(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    let (win, int) = (window.win, m.c.int32_t);
    let one = [1];
    let mut got = [0];
    // SAFETY: each access lies between a lock and its unlock; buffers live until then.
    unsafe {
        // All ranks add to rank 0's cell 4, each alone.
        m.lib.win_lock(m.c.lock_exclusive, 0, 0, win)?;
        m.lib.get(at_mut(&mut got), 1, int, 0, 4, 1, int, win)?;
        m.lib.win_flush(0, win)?;
        let sum = [got[0] + one[0]];
        m.lib.put(at(&sum), 1, int, 0, 4, 1, int, win)?;
        m.lib.win_unlock(0, win)?;
        m.barrier()?;
        m.lib.win_lock(m.c.lock_shared, 0, 0, win)?;
        m.lib.get(at_mut(&mut got), 1, int, 0, 4, 1, int, win)?;
        m.lib.win_unlock(0, win)?;
    }
    same!(got, [4 + m.size]);
    m.barrier()?;
    window.free()
}

fn flushes(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    let (win, int) = (window.win, m.c.int32_t);
    let mine = [m.rank + 900];
    let mut got = [0];
    // SAFETY: one passive epoch; reads of one's own memory come after a barrier and a synchronisation.
    unsafe {
        m.lib.win_lock_all(m.c.mode_nocheck, win)?;
        m.lib.put(at(&mine), 1, int, m.next(), 0, 1, int, win)?;
        m.lib.win_flush_local(m.next(), win)?;
        m.lib.win_flush(m.next(), win)?;
        m.lib.put(at(&mine), 1, int, m.next(), 1, 1, int, win)?;
        m.lib.win_flush_local_all(win)?;
        m.lib.win_flush_all(win)?;
        m.barrier()?;
        m.lib.win_sync(win)?;
        same!([window.cell(0), window.cell(1)], [m.previous() + 900; 2]);
        m.lib.get(at_mut(&mut got), 1, int, m.previous(), 6, 1, int, win)?;
        m.lib.win_flush(m.previous(), win)?;
        same!(got, [m.previous() * 100 + 6]);
        m.lib.win_unlock_all(win)?;
    }
    m.barrier()?;
    window.free()
}

fn atomics(m: &Mpi) -> Outcome {
    accumulates(m)?;
    let window = Window::new(m)?;
    let (win, int) = (window.win, m.c.int32_t);
    let add = [1, 10];
    let (mut old, mut before) = ([-1], [-1; 2]);
    // SAFETY: one passive epoch; each buffer is read after a flush of its target.
    unsafe {
        m.lib.win_lock_all(0, win)?;
        // Cells 2 and 3 of rank 0 become 2 + size and 3 + 10 size.
        m.lib.accumulate(at(&add), 2, int, 0, 2, 2, int, m.c.sum, win)?;
        m.lib.win_flush(0, win)?;
        m.barrier()?;
        m.lib.get_accumulate(at(&add), 2, int, at_mut(&mut before), 2, int, 0, 2, 2, int, m.c.no_op, win)?;
        m.lib.win_flush(0, win)?;
        same!(before, [2 + m.size, 3 + 10 * m.size]);
        m.barrier()?;
        m.lib.accumulate(at(&[m.rank]), 1, int, m.next(), 7, 1, int, m.c.replace, win)?;
        m.lib.win_flush(m.next(), win)?;

        // A counter in rank 0's cell 5: every rank draws another number.
        m.lib.fetch_and_op(at(&[1]), at_mut(&mut old), int, 0, 5, m.c.sum, win)?;
        m.lib.win_flush(0, win)?;
        let mut drawn = vec![0; m.size as usize];
        m.lib.allgather(at(&old), 1, int, at_mut(&mut drawn), 1, int, m.comm)?;
        drawn.sort_unstable();
        same!(drawn, (5..5 + m.size).collect::<Vec<_>>());

        // Exactly one rank finds 6 in rank 0's cell 6 and puts its mark there.
        let (mark, expected) = ([1000 + m.rank], [6]);
        m.lib.compare_and_swap(at(&mark), at(&expected), at_mut(&mut old), int, 0, 6, win)?;
        m.lib.win_flush(0, win)?;
        let mut winners = [i32::from(old == [6])];
        m.lib.allreduce(m.c.in_place(), at_mut(&mut winners), 1, int, m.c.sum, m.comm)?;
        same!(winners, [1]);
        m.lib.win_unlock_all(win)?;
        m.barrier()?;
        m.lib.win_lock(m.c.lock_shared, m.rank, 0, win)?;
        same!(window.cell(7), m.previous());
        if m.rank == 0 {
            same!((1000..1000 + m.size).contains(&window.cell(6)), true);
        }
        m.lib.win_unlock(m.rank, win)?;
    }
    window.free()
}

fn requests(m: &Mpi) -> Outcome {
    accumulates(m)?;
    let window = Window::new(m)?;
    let (win, int) = (window.win, m.c.int32_t);
    let mine = [m.rank + 300];
    let (mut got, mut before) = ([0], [0]);
    let mut request: Request = m.c.request_null;
    // SAFETY: one passive epoch; each buffer lives until its wait.
    unsafe {
        m.lib.win_lock_all(0, win)?;
        m.lib.rput(at(&mine), 1, int, m.next(), 0, 1, int, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.raccumulate(at(&[1]), 1, int, m.next(), 1, 1, int, m.c.sum, win, &mut request)?;
        m.wait(&mut request)?;
        m.lib.win_flush_all(win)?;
        m.barrier()?;
        m.lib.rget(at_mut(&mut got), 1, int, m.next(), 0, 1, int, win, &mut request)?;
        m.wait(&mut request)?;
        same!(got, [m.rank + 300]);
        let (add, old) = ([5], at_mut(&mut before));
        m.lib.rget_accumulate(at(&add), 1, int, old, 1, int, m.next(), 1, 1, int, m.c.sum, win, &mut request)?;
        m.wait(&mut request)?;
        same!(before, [m.next() * 100 + 2]);
        m.lib.win_unlock_all(win)?;
    }
    m.barrier()?;
    // SAFETY: an epoch on one's own window, to read it.
    unsafe {
        m.lib.win_lock(m.c.lock_shared, m.rank, 0, win)?;
        same!([window.cell(0), window.cell(1)], [m.previous() + 300, m.rank * 100 + 7]);
        m.lib.win_unlock(m.rank, win)?;
    }
    window.free()
}

fn wrong_target(m: &Mpi) -> Outcome {
    let window = Window::new(m)?;
    let mine = [1];
    // SAFETY: an erroneous call by intent, in a way that the libraries check.
    unsafe {
        m.lib.win_fence(0, window.win)?;
        let put = m.lib.put(at(&mine), 1, m.c.int32_t, m.size, 0, 1, m.c.int32_t, window.win);
        fails_with(put, ErrorClass::Rank)?;
        m.lib.win_fence(0, window.win)?;
    }
    window.free()
}
