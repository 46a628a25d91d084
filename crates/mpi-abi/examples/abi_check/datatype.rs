//! Derived datatypes: each picks known cells out of an array, and what arrives says whether it picked the right ones.

use std::ffi::{c_char, c_int, c_void};

use mpi_abi::{Aint, Count, Datatype, DatatypeArray, Error, Library, Status};

use crate::support::{Check, Mpi, Outcome, at, at_mut, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("datatype: every constructor", constructors),
    ("datatype: every constructor, large counts", constructors_large),
    ("datatype: a struct of unlike members", records),
    ("datatype: a struct of unlike members, large counts", records_large),
    ("datatype: a column is received as a row", transpose),
    ("datatype: sizes and extents", extents),
    ("datatype: sizes and extents, large counts", extents_large),
    ("datatype: in collectives", in_collectives),
    ("datatype: pack and unpack", pack),
    ("datatype: pack and unpack, large counts", pack_large),
    ("datatype: names, contents, addresses", contents),
    ("datatype: contents, large counts", contents_large),
];

type Make = fn(&Library, &mpi_abi::Constants, &mut Datatype) -> Result<(), Error>;

/// Sends one element of the type out of 0, 1, 2, … and returns what arrives as plain ints; then receives those through
/// the type into zeros, and checks that they went where they came from.
fn picked(m: &Mpi, make: Make) -> Result<Vec<i32>, crate::support::Failure> {
    const CELLS: usize = 32;
    let data: Vec<i32> = (0..CELLS as i32).collect();
    let mut kind = m.c.datatype_null;
    make(m.lib, m.c, &mut kind)?;
    let mut got = [-1; CELLS];
    let mut back = [0; CELLS];
    let mut status = Status::EMPTY;
    let (int, null) = (m.c.int32_t, m.c.proc_null);
    // SAFETY: every type of this file stays within the cells; it is freed after its last use.
    let count = unsafe {
        m.lib.type_commit(&mut kind)?;
        let (next, previous, to) = (m.next(), m.previous(), at_mut(&mut got));
        m.lib.sendrecv(at(&data), 1, kind, next, 0, to, CELLS as c_int, int, previous, 0, m.comm, &mut status)?;
        let count = m.count(&status)?;
        // To oneself, so that what comes back is what was sent.
        let (mut send, place) = (m.c.request_null, at_mut(&mut back));
        m.lib.isend(at(&got), count, int, m.rank, 1, m.comm, &mut send)?;
        m.lib.recv(place, 1, kind, m.rank, 1, m.comm, &mut status)?;
        m.wait(&mut send)?;
        m.lib.send(at(&data), 1, kind, null, 0, m.comm)?;
        m.lib.type_free(&mut kind)?;
        count
    };
    let cells = got[..count as usize].to_vec();
    let expected: Vec<i32> = (0..CELLS as i32).map(|i| if cells.contains(&i) { i } else { 0 }).collect();
    same!(back.to_vec(), expected);
    Ok(cells)
}

/// The constructors with counts of type `$n` and byte displacements of type `$d`.
macro_rules! constructors {
    ($m:ident, $n:ty, $d:ty, $contiguous:ident, $vector:ident, $hvector:ident, $indexed:ident, $hindexed:ident,
     $indexed_block:ident, $hindexed_block:ident, $subarray:ident, $darray:ident, $resized:ident) => {{
        let cases: [(&str, Make, &[i32]); 11] = [
            (
                "contiguous",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$contiguous(3, c.int32_t, t) }
                },
                &[0, 1, 2],
            ),
            (
                "vector",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$vector(3, 2, 5, c.int32_t, t) }
                },
                &[0, 1, 5, 6, 10, 11],
            ),
            (
                "hvector",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$hvector(3, 1, 12, c.int32_t, t) }
                },
                &[0, 3, 6],
            ),
            (
                "indexed",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$indexed(3, [2 as $n, 0, 1].as_ptr(), [4 as $n, 9, 1].as_ptr(), c.int32_t, t) }
                },
                &[4, 5, 1],
            ),
            (
                "hindexed",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$hindexed(2, [1 as $n, 2].as_ptr(), [40 as $d, 8].as_ptr(), c.int32_t, t) }
                },
                &[10, 2, 3],
            ),
            (
                "indexed block",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$indexed_block(3, 2, [8 as $n, 0, 20].as_ptr(), c.int32_t, t) }
                },
                &[8, 9, 0, 1, 20, 21],
            ),
            (
                "hindexed block",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe { l.$hindexed_block(2, 1, [28 as $d, 4].as_ptr(), c.int32_t, t) }
                },
                &[7, 1],
            ),
            // Rows 1 and 2, columns 2 to 4, of four rows of six.
            (
                "subarray",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe {
                        let (sizes, part, start) = ([4 as $n, 6], [2 as $n, 3], [1 as $n, 2]);
                        l.$subarray(2, sizes.as_ptr(), part.as_ptr(), start.as_ptr(), c.order_c, c.int32_t, t)
                    }
                },
                &[8, 9, 10, 14, 15, 16],
            ),
            // The second process of two by one: the lower half of four rows of three.
            (
                "darray",
                |l, c, t| {
                    // SAFETY: the lists are as long as the number of dimensions says.
                    unsafe {
                        let (sizes, parts, whole) = ([4 as $n, 3], [2, 1], [c.distribute_dflt_darg; 2]);
                        let how = [c.distribute_block, c.distribute_none];
                        let (sizes, how, whole) = (sizes.as_ptr(), how.as_ptr(), whole.as_ptr());
                        l.$darray(2, 1, 2, sizes, how, whole, parts.as_ptr(), c.order_c, c.int32_t, t)
                    }
                },
                &[6, 7, 8, 9, 10, 11],
            ),
            // The same out of columns first.
            (
                "subarray, Fortran order",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe {
                        let (sizes, part, start) = ([6 as $n, 4], [3 as $n, 2], [2 as $n, 1]);
                        l.$subarray(2, sizes.as_ptr(), part.as_ptr(), start.as_ptr(), c.order_fortran, c.int32_t, t)
                    }
                },
                &[8, 9, 10, 14, 15, 16],
            ),
            // A resized int three ints long, four times.
            (
                "resized",
                |l, c, t| {
                    // SAFETY: the lists are as long as the first argument says.
                    unsafe {
                        let mut wide = c.datatype_null;
                        l.$resized(c.int32_t, 0, 12, &mut wide)?;
                        let made = l.$contiguous(4, wide, t);
                        l.type_free(&mut wide)?;
                        made
                    }
                },
                &[0, 3, 6, 9],
            ),
        ];
        for (name, make, expected) in cases {
            same!(picked($m, make)?, expected, "the cells of a {name}");
        }
        Ok(())
    }};
}

fn constructors(m: &Mpi) -> Outcome {
    let made: Outcome = constructors!(
        m,
        c_int,
        Aint,
        type_contiguous,
        type_vector,
        type_create_hvector,
        type_indexed,
        type_create_hindexed,
        type_create_indexed_block,
        type_create_hindexed_block,
        type_create_subarray,
        type_create_darray,
        type_create_resized
    );
    made?;
    let cells = picked(m, |l, c, t| {
        let mut first = c.datatype_null;
        // SAFETY: a type is made from another, which is then freed.
        unsafe {
            l.type_vector(2, 1, 4, c.int32_t, &mut first)?;
            l.type_dup(first, t)?;
            l.type_free(&mut first)
        }
    })?;
    same!(cells, [0, 4]);
    Ok(())
}

fn constructors_large(m: &Mpi) -> Outcome {
    constructors!(
        m,
        Count,
        Count,
        type_contiguous_c,
        type_vector_c,
        type_create_hvector_c,
        type_indexed_c,
        type_create_hindexed_c,
        type_create_indexed_block_c,
        type_create_hindexed_block_c,
        type_create_subarray_c,
        type_create_darray_c,
        type_create_resized_c
    )
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Particle {
    id: i32,
    at: [f64; 3],
    kind: u8,
}

fn exchange_particles(m: &Mpi, mut packed: Datatype) -> Outcome {
    let mut kind = m.c.datatype_null;
    let of = |rank: c_int| -> [Particle; 3] {
        std::array::from_fn(|i| Particle { id: rank * 10 + i as i32, at: [0.5, f64::from(rank), 2.0], kind: i as u8 })
    };
    let mine = of(m.rank);
    let mut got = [Particle::default(); 3];
    let mut status = Status::EMPTY;
    // SAFETY: the resized type has the extent of a `Particle`; three go and come.
    unsafe {
        m.lib.type_create_resized(packed, 0, size_of::<Particle>() as Aint, &mut kind)?;
        m.lib.type_free(&mut packed)?;
        m.lib.type_commit(&mut kind)?;
        let (next, previous, to) = (m.next(), m.previous(), at_mut(&mut got));
        m.lib.sendrecv(at(&mine), 3, kind, next, 0, to, 3, kind, previous, 0, m.comm, &mut status)?;
        m.lib.type_free(&mut kind)?;
    }
    same!(got, of(m.previous()));
    Ok(())
}

fn members(m: &Mpi) -> (DatatypeArray, [usize; 3]) {
    let kinds = DatatypeArray::from_slice(m.lib, &[m.c.int32_t, m.c.double, m.c.uint8_t]);
    let places =
        [std::mem::offset_of!(Particle, id), std::mem::offset_of!(Particle, at), std::mem::offset_of!(Particle, kind)];
    (kinds, places)
}

fn records(m: &Mpi) -> Outcome {
    let (kinds, places) = members(m);
    let places = places.map(|p| p as Aint);
    let mut packed = m.c.datatype_null;
    // SAFETY: three members in each list.
    unsafe { m.lib.type_create_struct(3, [1, 3, 1].as_ptr(), places.as_ptr(), kinds.as_ptr(), &mut packed) }?;
    exchange_particles(m, packed)
}

fn records_large(m: &Mpi) -> Outcome {
    let (kinds, places) = members(m);
    let places = places.map(|p| p as Count);
    let mut packed = m.c.datatype_null;
    // SAFETY: three members in each list.
    unsafe { m.lib.type_create_struct_c(3, [1, 3, 1].as_ptr(), places.as_ptr(), kinds.as_ptr(), &mut packed) }?;
    exchange_particles(m, packed)
}

fn transpose(m: &Mpi) -> Outcome {
    const ROWS: usize = 3;
    const COLUMNS: usize = 4;
    let matrix: [i32; ROWS * COLUMNS] = std::array::from_fn(|i| m.rank * 100 + i as i32);
    let mut got = [0; ROWS * COLUMNS];
    let (mut column, mut columns) = (m.c.datatype_null, m.c.datatype_null);
    let mut status = Status::EMPTY;
    // SAFETY: all columns, one after the other, are the whole matrix.
    unsafe {
        m.lib.type_vector(ROWS as c_int, 1, COLUMNS as c_int, m.c.int32_t, &mut column)?;
        m.lib.type_create_resized(column, 0, 4, &mut columns)?;
        m.lib.type_commit(&mut columns)?;
        let (int, next, previous, to) = (m.c.int32_t, m.next(), m.previous(), at_mut(&mut got));
        let n = (ROWS * COLUMNS) as c_int;
        m.lib.sendrecv(
            at(&matrix),
            COLUMNS as c_int,
            columns,
            next,
            0,
            to,
            n,
            int,
            previous,
            0,
            m.comm,
            &mut status,
        )?;
        m.lib.type_free(&mut column)?;
        m.lib.type_free(&mut columns)?;
    }
    same!(got, std::array::from_fn(|i| m.previous() * 100 + (i % ROWS * COLUMNS + i / ROWS) as i32));
    Ok(())
}

/// Three pairs, five ints apart: 6 ints in 12, beginning 2 ints in.
fn gappy(m: &Mpi) -> Result<Datatype, Error> {
    let mut kind = m.c.datatype_null;
    // SAFETY: three blocks in both lists.
    unsafe { m.lib.type_indexed(3, [2; 3].as_ptr(), [2, 7, 12].as_ptr(), m.c.int32_t, &mut kind) }?;
    Ok(kind)
}

fn extents(m: &Mpi) -> Outcome {
    let mut kind = gappy(m)?;
    let (mut size, mut size_x) = (-1, -1);
    let (mut lower, mut extent, mut lower_x, mut extent_x) = (-1, -1, -1, -1);
    // SAFETY: a live type, freed at the end.
    unsafe {
        m.lib.type_size(kind, &mut size)?;
        m.lib.type_size_x(kind, &mut size_x)?;
        same!((size, size_x), (24, 24));
        m.lib.type_get_extent(kind, &mut lower, &mut extent)?;
        m.lib.type_get_extent_x(kind, &mut lower_x, &mut extent_x)?;
        same!((lower, extent, lower_x, extent_x), (8, 48, 8, 48));
        m.lib.type_get_true_extent(kind, &mut lower, &mut extent)?;
        m.lib.type_get_true_extent_x(kind, &mut lower_x, &mut extent_x)?;
        same!((lower, extent, lower_x, extent_x), (8, 48, 8, 48));
        m.lib.type_free(&mut kind)?;
    }
    Ok(())
}

fn extents_large(m: &Mpi) -> Outcome {
    let (mut size, mut lower, mut extent) = (-1, -1, -1);
    let (mut kilo, mut kind) = (m.c.datatype_null, m.c.datatype_null);
    // SAFETY: types alone; nothing of that size is ever touched.
    unsafe {
        m.lib.type_contiguous_c(1 << 32, m.c.byte, &mut kilo)?;
        m.lib.type_vector_c(3, 1, 2, kilo, &mut kind)?;
        m.lib.type_size_c(kind, &mut size)?;
        m.lib.type_get_extent_c(kind, &mut lower, &mut extent)?;
        same!((size, lower, extent), (3 << 32, 0, 5 << 32));
        m.lib.type_get_true_extent_c(kind, &mut lower, &mut extent)?;
        same!((lower, extent), (0, 5 << 32));
        m.lib.type_free(&mut kind)?;
        m.lib.type_free(&mut kilo)?;
    }
    Ok(())
}

fn in_collectives(m: &Mpi) -> Outcome {
    let mut kind = gappy(m)?;
    let mut data: Vec<i32> = if m.rank == 0 { (0..16).collect() } else { vec![-1; 16] };
    // SAFETY: the type stays within 14 of the 16 ints.
    unsafe {
        m.lib.type_commit(&mut kind)?;
        m.lib.bcast(at_mut(&mut data), 1, kind, 0, m.comm)?;
        m.lib.type_free(&mut kind)?;
    }
    let inside = [2, 3, 7, 8, 12, 13];
    let expected = |i: i32| if m.rank == 0 || inside.contains(&i) { i } else { -1 };
    same!(data, (0..16).map(expected).collect::<Vec<_>>());
    Ok(())
}

macro_rules! pack {
    ($m:ident, $n:ty, $size:ident, $pack:ident, $unpack:ident, $size_ext:ident, $pack_ext:ident, $unpack_ext:ident,
     $ext:ty) => {{
        let (ints, reals) = ([1, 2, $m.rank], [0.5f64, f64::from($m.rank)]);
        let (mut got_ints, mut got_reals) = ([0; 3], [0.0; 2]);
        let (mut room, mut position): ($n, $n) = (-1, 0);
        let (int, double, comm) = ($m.c.int32_t, $m.c.double, $m.comm);
        // SAFETY: the buffer is as large as `pack_size` says, or larger; the lists are as long as the counts.
        unsafe {
            $m.lib.$size(3, int, comm, &mut room)?;
            same!(room >= 12, true);
            let mut buffer = [0u8; 256];
            let (p, end) = (at_mut(&mut buffer), 256);
            $m.lib.$pack(at(&ints), 3, int, p, end, &mut position, comm)?;
            $m.lib.$pack(at(&reals), 2, double, p, end, &mut position, comm)?;
            let packed = position;
            same!((28..256).contains(&packed), true);
            position = 0;
            $m.lib.$unpack(p, packed, &mut position, at_mut(&mut got_ints), 3, int, comm)?;
            $m.lib.$unpack(p, packed, &mut position, at_mut(&mut got_reals), 2, double, comm)?;
            same!((position, got_ints, got_reals), (packed, ints, reals));

            // That the portable form is big-endian is not checked: MPICH 3.4 leaves the bytes as they are.
            let form = c"external32".as_ptr();
            let (mut place, mut external): ($ext, $ext) = (0, -1);
            $m.lib.$size_ext(form, 3, int, &mut external)?;
            same!(external, 12);
            $m.lib.$pack_ext(form, at(&ints), 3, int, p, end as $ext, &mut place)?;
            same!(place, 12);
            place = 0;
            got_ints = [0; 3];
            $m.lib.$unpack_ext(form, at(&buffer), 12, &mut place, at_mut(&mut got_ints), 3, int)?;
        }
        same!(got_ints, ints);
        Ok(())
    }};
}

fn pack(m: &Mpi) -> Outcome {
    pack!(m, c_int, pack_size, pack, unpack, pack_external_size, pack_external, unpack_external, Aint)
}

fn pack_large(m: &Mpi) -> Outcome {
    pack!(m, Count, pack_size_c, pack_c, unpack_c, pack_external_size_c, pack_external_c, unpack_external_c, Count)
}

fn contents_large(m: &Mpi) -> Outcome {
    let mut kind = m.c.datatype_null;
    let (mut integers, mut addresses, mut counts, mut types, mut combiner) = (-1, -1, -1, -1, -1);
    // SAFETY: lists as long as the envelope says; the type is freed at the end.
    unsafe {
        m.lib.type_contiguous_c(5 << 32, m.c.byte, &mut kind)?;
        m.lib.type_get_envelope_c(kind, &mut integers, &mut addresses, &mut counts, &mut types, &mut combiner)?;
        // The count is too large for an int, so it is among the large counts.
        same!((integers, addresses, counts, types), (0, 0, 1, 1));
        let (mut none, mut nowhere, mut count): ([c_int; 1], [Aint; 1], [Count; 1]) = ([-1], [-1], [-1]);
        let mut inner = DatatypeArray::from_slice(m.lib, &[m.c.datatype_null]);
        let (n, p, c) = (none.as_mut_ptr(), nowhere.as_mut_ptr(), count.as_mut_ptr());
        m.lib.type_get_contents_c(kind, 0, 0, 1, 1, n, p, c, inner.as_mut_ptr())?;
        same!((count, inner.get(0)), ([5 << 32], m.c.byte));
        m.lib.type_free(&mut kind)?;
    }
    Ok(())
}

fn contents(m: &Mpi) -> Outcome {
    let mut kind = m.c.datatype_null;
    let mut name = vec![0 as c_char; m.c.max_object_name as usize + 1];
    let (mut integers, mut addresses, mut types, mut combiner, mut length) = (-1, -1, -1, -1, -1);
    let numbers = [5i32, 6];
    let mut place: Aint = 0;
    // SAFETY: lists as long as the envelope says; the type is freed at the end.
    unsafe {
        let (sizes, part, start) = ([4, 6], [2, 3], [1, 2]);
        m.lib.type_create_subarray(
            2,
            sizes.as_ptr(),
            part.as_ptr(),
            start.as_ptr(),
            m.c.order_c,
            m.c.int32_t,
            &mut kind,
        )?;
        m.lib.type_get_envelope(kind, &mut integers, &mut addresses, &mut types, &mut combiner)?;
        same!((integers, addresses, types, combiner), (8, 0, 1, m.c.combiner_subarray));
        let mut list = [-1; 8];
        let mut inner = DatatypeArray::from_slice(m.lib, &[m.c.datatype_null]);
        let none = std::ptr::dangling_mut::<Aint>();
        m.lib.type_get_contents(kind, 8, 0, 1, list.as_mut_ptr(), none, inner.as_mut_ptr())?;
        same!(list, [2, 4, 6, 2, 3, 1, 2, m.c.order_c]);
        same!(inner.get(0), m.c.int32_t);
        m.lib.type_set_name(kind, c"window".as_ptr())?;
        m.lib.type_get_name(kind, name.as_mut_ptr(), &mut length)?;
        same!((length, name[0] as u8), (6, b'w'));
        m.lib.type_get_envelope(m.c.int32_t, &mut integers, &mut addresses, &mut types, &mut combiner)?;
        same!((integers, types, combiner), (0, 0, m.c.combiner_named));
        m.lib.get_address((&raw const numbers[1]).cast::<c_void>(), &mut place)?;
        m.lib.type_free(&mut kind)?;
    }
    same!(place, (&raw const numbers[1]) as Aint);
    Ok(())
}
