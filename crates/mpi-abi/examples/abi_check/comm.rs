//! Communicators, groups, attributes, sessions.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use mpi_abi::{Comm, HandleArray};

use crate::support::{Check, Mpi, Outcome, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("comm: duplicate, compare, free", duplicate),
    ("comm: duplicate without waiting", idup),
    ("comm: duplicate without waiting, with info", idup_with_info),
    ("comm: split by colour and key", split),
    ("comm: split by shared memory", split_type),
    ("comm: groups and their sets", groups),
    ("comm: create from a group", create),
    ("comm: between two groups", intercomm),
    ("comm: names and info", names),
    ("comm: attributes", attributes),
    ("comm: raw handles of others", raw),
    ("comm: a session", session),
];

fn compare(m: &Mpi, a: Comm, b: Comm) -> Result<c_int, mpi_abi::Error> {
    let mut result = -1;
    // SAFETY: two live communicators.
    unsafe { m.lib.comm_compare(a, b, &mut result) }?;
    Ok(result)
}

fn duplicate(m: &Mpi) -> Outcome {
    let copy = m.dup()?;
    same!((copy.rank, copy.size), (m.rank, m.size));
    same!(compare(m, copy.comm, m.comm)?, m.c.congruent);
    same!(compare(m, m.comm, m.comm)?, m.c.ident);
    let mut with_info = m.c.comm_null;
    // SAFETY: every rank is here.
    unsafe {
        m.lib.comm_dup_with_info(m.comm, m.c.info_null, &mut with_info)?;
        same!(compare(m, with_info, m.comm)?, m.c.congruent);
        m.lib.comm_disconnect(&mut with_info)?;
    }
    same!(with_info, m.c.comm_null);
    copy.free()?;
    Ok(())
}

fn idup(m: &Mpi) -> Outcome {
    let mut place = HandleArray::from_slice(m.lib, &[m.c.comm_null]);
    let mut request = m.c.request_null;
    // SAFETY: the place stays where it is until the wait is over.
    unsafe { m.lib.comm_idup(m.comm, place.as_mut_ptr(), &mut request) }?;
    m.wait(&mut request)?;
    let copy = Mpi::of(m.lib, place.get(0))?;
    same!(compare(m, copy.comm, m.comm)?, m.c.congruent);
    copy.barrier()?;
    copy.free()?;
    Ok(())
}

fn idup_with_info(m: &Mpi) -> Outcome {
    let mut place = HandleArray::from_slice(m.lib, &[m.c.comm_null]);
    let mut request = m.c.request_null;
    // SAFETY: the place stays where it is until the wait is over.
    unsafe { m.lib.comm_idup_with_info(m.comm, m.c.info_null, place.as_mut_ptr(), &mut request) }?;
    m.wait(&mut request)?;
    Mpi::of(m.lib, place.get(0))?.free()?;
    Ok(())
}

fn split(m: &Mpi) -> Outcome {
    let mut part = m.c.comm_null;
    // SAFETY: every rank is here. The key turns the order around.
    unsafe { m.lib.comm_split(m.comm, m.rank % 2, -m.rank, &mut part) }?;
    let part = Mpi::of(m.lib, part)?;
    let fellows: Vec<c_int> = m.ranks().rev().filter(|r| r % 2 == m.rank % 2).collect();
    same!(part.size as usize, fellows.len());
    same!(fellows[part.rank as usize], m.rank);
    part.free()?;
    let mut none = m.c.comm_self;
    let colour = if m.rank == 0 { 0 } else { m.c.undefined };
    // SAFETY: every rank is here.
    unsafe { m.lib.comm_split(m.comm, colour, 0, &mut none) }?;
    if m.rank == 0 {
        Mpi::of(m.lib, none)?.free()?;
    } else {
        same!(none, m.c.comm_null);
    }
    Ok(())
}

fn split_type(m: &Mpi) -> Outcome {
    let mut node = m.c.comm_null;
    // SAFETY: every rank is here.
    unsafe { m.lib.comm_split_type(m.comm, m.c.comm_type_shared, m.rank, m.c.info_null, &mut node) }?;
    let node = Mpi::of(m.lib, node)?;
    same!((1..=m.size).contains(&node.size), true);
    same!(node.rank <= m.rank, true);
    node.free()?;
    Ok(())
}

fn groups(m: &Mpi) -> Outcome {
    let n = m.c.group_null;
    let (mut all, mut even, mut odd, mut set) = (n, n, n, n);
    let evens: Vec<c_int> = m.ranks().filter(|r| r % 2 == 0).collect();
    let (mut size, mut rank, mut result) = (-1, -1, -1);
    // SAFETY: groups are local; lists have the lengths given with them.
    unsafe {
        m.lib.comm_group(m.comm, &mut all)?;
        m.lib.group_incl(all, evens.len() as c_int, evens.as_ptr(), &mut even)?;
        m.lib.group_excl(all, evens.len() as c_int, evens.as_ptr(), &mut odd)?;
        m.lib.group_size(odd, &mut size)?;
        same!(size, m.size - evens.len() as c_int);
        m.lib.group_rank(even, &mut rank)?;
        same!(rank, if m.rank % 2 == 0 { m.rank / 2 } else { m.c.undefined });
        let mut there = vec![-9; evens.len()];
        m.lib.group_translate_ranks(all, evens.len() as c_int, evens.as_ptr(), even, there.as_mut_ptr())?;
        same!(there, (0..evens.len() as c_int).collect::<Vec<_>>());

        m.lib.group_union(even, odd, &mut set)?;
        m.lib.group_compare(set, all, &mut result)?;
        same!(result, if m.size <= 2 { m.c.ident } else { m.c.similar });
        m.lib.group_free(&mut set)?;
        m.lib.group_intersection(even, odd, &mut set)?;
        m.lib.group_size(set, &mut size)?;
        same!(size, 0);
        if set != m.c.group_empty {
            m.lib.group_free(&mut set)?;
        }
        m.lib.group_difference(all, even, &mut set)?;
        m.lib.group_compare(set, odd, &mut result)?;
        same!(result, m.c.ident);
        if set != m.c.group_empty {
            m.lib.group_free(&mut set)?;
        }
        let mut every_other = [[0, m.size - 1, 2]];
        m.lib.group_range_incl(all, 1, every_other.as_mut_ptr(), &mut set)?;
        m.lib.group_compare(set, even, &mut result)?;
        same!(result, m.c.ident);
        m.lib.group_free(&mut set)?;
        m.lib.group_range_excl(all, 1, every_other.as_mut_ptr(), &mut set)?;
        m.lib.group_size(set, &mut size)?;
        same!(size, m.size - evens.len() as c_int);
        for group in [&mut all, &mut even, &mut odd, &mut set] {
            if *group != m.c.group_empty {
                m.lib.group_free(group)?;
                same!(*group, m.c.group_null);
            }
        }
    }
    Ok(())
}

fn create(m: &Mpi) -> Outcome {
    let n = m.c.group_null;
    let (mut all, mut even) = (n, n);
    let evens: Vec<c_int> = m.ranks().filter(|r| r % 2 == 0).collect();
    let (mut by_all, mut by_members) = (m.c.comm_null, m.c.comm_null);
    // SAFETY: every rank makes the first, the members alone the second.
    unsafe {
        m.lib.comm_group(m.comm, &mut all)?;
        m.lib.group_incl(all, evens.len() as c_int, evens.as_ptr(), &mut even)?;
        m.lib.comm_create(m.comm, even, &mut by_all)?;
        if m.rank % 2 == 0 {
            m.lib.comm_create_group(m.comm, even, 5, &mut by_members)?;
            same!(compare(m, by_all, by_members)?, m.c.congruent);
            for comm in [by_all, by_members] {
                let part = Mpi::of(m.lib, comm)?;
                same!((part.rank, part.size), (m.rank / 2, evens.len() as c_int));
                part.free()?;
            }
        } else {
            same!(by_all, m.c.comm_null);
        }
        m.lib.group_free(&mut even)?;
        m.lib.group_free(&mut all)?;
    }
    Ok(())
}

fn intercomm(m: &Mpi) -> Outcome {
    if m.size < 2 {
        return Ok(());
    }
    let mut part = m.c.comm_null;
    let (mut between, mut merged) = (m.c.comm_null, m.c.comm_null);
    let (mut flag, mut remote) = (-1, -1);
    let high = m.rank % 2;
    let mut group = m.c.group_null;
    // SAFETY: every rank takes part in each step; the leaders are ranks 0 and 1.
    unsafe {
        m.lib.comm_split(m.comm, high, m.rank, &mut part)?;
        m.lib.intercomm_create(part, 0, m.comm, 1 - high, 9, &mut between)?;
        m.lib.comm_test_inter(between, &mut flag)?;
        same!(flag, 1);
        m.lib.comm_remote_size(between, &mut remote)?;
        same!(remote, if high == 0 { m.size / 2 } else { (m.size + 1) / 2 });
        m.lib.comm_remote_group(between, &mut group)?;
        m.lib.group_free(&mut group)?;
        m.lib.intercomm_merge(between, high, &mut merged)?;
        m.lib.comm_test_inter(merged, &mut flag)?;
        same!(flag, 0);
        let merged = Mpi::of(m.lib, merged)?;
        same!((merged.size, merged.maximum([m.rank])?), (m.size, [m.size - 1]));
        merged.free()?;
        m.lib.comm_free(&mut between)?;
        m.lib.comm_free(&mut part)?;
    }
    Ok(())
}

fn names(m: &Mpi) -> Outcome {
    let mut text = vec![0 as c_char; m.c.max_object_name as usize + 1];
    let mut length = -1;
    let mut info = m.c.info_null;
    // SAFETY: the name ends with NUL, the buffer has room for the longest.
    unsafe {
        m.lib.comm_set_name(m.comm, c"halo".as_ptr())?;
        m.lib.comm_get_name(m.comm, text.as_mut_ptr(), &mut length)?;
        same!((length, text[0] as u8, text[3] as u8), (4, b'h', b'o'));
        m.lib.info_create(&mut info)?;
        m.lib.comm_set_info(m.comm, info)?;
        m.lib.info_free(&mut info)?;
        m.lib.comm_get_info(m.comm, &mut info)?;
        m.lib.info_free(&mut info)?;
    }
    Ok(())
}

fn attributes(m: &Mpi) -> Outcome {
    let mut keys = [m.c.keyval_invalid; 2];
    let mut value = 42i32;
    let place: *mut c_void = (&raw mut value).cast();
    let get = |comm, key| -> Result<Option<*mut c_void>, mpi_abi::Error> {
        let (mut found, mut flag) = (ptr::null_mut::<c_void>(), -1);
        // SAFETY: a live communicator and key; the result is a pointer.
        unsafe { m.lib.comm_get_attr(comm, key, (&raw mut found).cast(), &mut flag) }?;
        Ok((flag != 0).then_some(found))
    };
    // SAFETY: the copy and delete functions are the library's own.
    unsafe {
        let (delete, null) = (m.c.comm_null_delete_fn(), ptr::null_mut());
        m.lib.comm_create_keyval(m.c.comm_null_copy_fn(), delete, &mut keys[0], null)?;
        m.lib.comm_create_keyval(m.c.comm_dup_fn(), delete, &mut keys[1], null)?;
        for key in keys {
            same!(get(m.comm, key)?, None);
            m.lib.comm_set_attr(m.comm, key, place)?;
            same!(get(m.comm, key)?, Some(place));
        }
        let copy = m.dup()?;
        same!((get(copy.comm, keys[0])?, get(copy.comm, keys[1])?), (None, Some(place)));
        copy.free()?;
        for key in &mut keys {
            m.lib.comm_delete_attr(m.comm, *key)?;
            same!(get(m.comm, *key)?, None);
            m.lib.comm_free_keyval(key)?;
            same!(*key, m.c.keyval_invalid);
        }
    }
    let tag_ub = m.lib.tag_ub(m.c.comm_world)?;
    same!(tag_ub >= (1 << 28) - 1, true, "MPI_TAG_UB {tag_ub}");
    same!(get(m.c.comm_world, m.c.wtime_is_global)?.is_some(), true);
    for key in [m.c.lastusedcode, m.c.universe_size, m.c.appnum] {
        // Whether they are set is up to the library; the key itself must be one it knows.
        get(m.c.comm_world, key)?;
    }
    Ok(())
}

fn raw(m: &Mpi) -> Outcome {
    let raw = m.comm.as_raw(m.lib);
    let ours = Comm::from_raw(m.lib, raw);
    same!(ours, m.comm);
    same!(Mpi::of(m.lib, ours)?.size, m.size);
    if m.lib.family().is_narrow() {
        // What mpi4py's `_handleof` gives for a communicator that was made by duplication.
        same!(raw < 0, true, "{raw:#x}");
        same!(Comm::from_raw(m.lib, raw & 0xffff_ffff), m.comm);
    }
    Ok(())
}

fn session(m: &Mpi) -> Outcome {
    let Some(mut session) = m.c.session_null else { return Err(crate::support::Failure::lacks("MPI_Session_init")) };
    let mut sets = -1;
    let (mut group, mut comm) = (m.c.group_null, m.c.comm_null);
    // SAFETY: every rank is here; the strings end with NUL.
    unsafe {
        m.lib.session_init(m.c.info_null, m.c.errors_return, &mut session)?;
        m.lib.session_get_num_psets(session, m.c.info_null, &mut sets)?;
        same!(sets >= 2, true);
        let mut length = 0;
        m.lib.session_get_nth_pset(session, m.c.info_null, 0, &mut length, ptr::null_mut())?;
        let mut name = vec![0 as c_char; length as usize];
        m.lib.session_get_nth_pset(session, m.c.info_null, 0, &mut length, name.as_mut_ptr())?;
        same!(name.contains(&0) && name[0] != 0, true);
        m.lib.group_from_session_pset(session, c"mpi://WORLD".as_ptr(), &mut group)?;
        let (info, handler) = (m.c.info_null, m.c.errors_return);
        m.lib.comm_create_from_group(group, c"parhelion.check".as_ptr(), info, handler, &mut comm)?;
        let world = Mpi::of(m.lib, comm)?;
        same!((world.size, world.maximum([m.rank])?), (m.size, [m.size - 1]));
        world.free()?;
        m.lib.group_free(&mut group)?;
        m.lib.session_finalize(&mut session)?;
    }
    Ok(())
}
