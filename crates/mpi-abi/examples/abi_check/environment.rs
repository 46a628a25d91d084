//! Life cycle, versions, memory, errors, info.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use mpi_abi::{Environment, ErrorClass, ErrorKind, How, Launcher, Library, Search, ThreadLevel, check_launcher};

use crate::support::{Check, Failure, Mpi, Outcome, fails_with, same};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("environment: life cycle", life_cycle),
    ("environment: versions, names, clocks", versions),
    ("environment: memory", memory),
    ("environment: a wrong launcher is an error", wrong_launcher),
    ("error: classes and texts", classes),
    ("error: bad arguments come back as values", bad_arguments),
    ("error: classes of one's own", own_classes),
    ("info: set, get, count, copy", info),
    ("info: get_string", info_string),
];

/// Questions that may be asked before MPI is initialised, and must not initialise it.
pub(crate) fn before_initialization(library: &'static Library) {
    assert!(!library.is_initialized() && !library.is_finalized() && !library.is_active());
    let again = Library::open(library.path()).expect("it was opened before");
    assert!(ptr::eq(again, library), "the same library gives the same reference");
    if cfg!(target_os = "linux") {
        // As with a library that mpi4py has loaded: it is found in the process, whatever the environment says.
        let (loaded, found) = Search { explicit: None, ..Search::of_process() }.open().expect("one is loaded");
        assert!(found.how == How::Loaded && ptr::eq(loaded, library), "{found:?}");
    }
    let too_early = library.max_tag().unwrap_err();
    assert!(matches!(too_early.kind(), ErrorKind::NotActive { .. }), "{too_early}");
    assert!(library.standard() >= (3, 1), "{:?}", library.standard());
    let _ = (library.cuda_aware(), library.supports_large_counts(), library.has_persistent_collectives());
    let (class, text) = library.describe_error(7);
    assert_eq!((class, text.as_str()), (ErrorClass::Unlisted(7), "no text: MPI is not active"));
    assert!(!library.is_initialized(), "asking must not initialise MPI");
}

/// MPI cannot be initialised again.
pub(crate) fn after_finalization(library: &'static Library) {
    assert!(library.is_finalized() && !library.is_active());
    let again = Environment::init(library, ThreadLevel::Single).unwrap_err();
    assert!(matches!(again.kind(), ErrorKind::Finalized { .. }), "{again}");
}

fn life_cycle(m: &Mpi) -> Outcome {
    same!(m.lib.is_active(), true);
    let attached = Environment::init(m.lib, ThreadLevel::Single)?;
    same!(attached.is_owner(), false);
    same!(attached.thread_level() >= ThreadLevel::Single, true);
    attached.finalize()?;
    same!(m.lib.is_active(), true, "MPI after an attached environment was finalised");
    let (mut level, mut main) = (-1, -1);
    // SAFETY: MPI is active.
    unsafe {
        m.lib.query_thread(&mut level)?;
        m.lib.is_thread_main(&mut main)?;
    }
    same!(main, 1);
    same!(ThreadLevel::Single.number(m.lib) <= level && level <= ThreadLevel::Multiple.number(m.lib), true);
    Ok(())
}

fn versions(m: &Mpi) -> Outcome {
    let mut name = vec![0u8; m.c.max_processor_name as usize + 1];
    let mut length = 0;
    // SAFETY: room for the longest name; MPI is active.
    unsafe { m.lib.get_processor_name(name.as_mut_ptr().cast(), &mut length) }?;
    same!(length > 0 && name[..length as usize].iter().all(|&b| b != 0), true);
    same!(m.lib.version().major > 0, true, "the version read from {:?}", m.lib.version_text());
    // SAFETY: MPI is active.
    let (before, tick, after) = unsafe { (m.lib.wtime(), m.lib.wtick(), m.lib.wtime()) };
    same!(after >= before && tick > 0.0 && tick < 1.0, true);
    same!(m.lib.max_tag()?, m.lib.tag_ub(m.comm)?);
    same!(m.lib.functions().len() > 400, true);
    same!(m.lib.has("MPI_Send") && !m.lib.has("MPI_No_such_function"), true);
    same!(m.lib.supports_large_counts(), m.lib.has("MPI_Alltoallw_c"));
    Ok(())
}

fn memory(m: &Mpi) -> Outcome {
    let mut place: *mut c_void = ptr::null_mut();
    // SAFETY: the block is written within its size and freed once.
    unsafe {
        m.lib.alloc_mem(4096, m.c.info_null, (&raw mut place).cast())?;
        same!(place.is_null(), false);
        place.cast::<u8>().write_bytes(7, 4096);
        m.lib.free_mem(place)?;
    }
    Ok(())
}

fn wrong_launcher(m: &Mpi) -> Outcome {
    let foreign = match m.lib.version().vendor {
        mpi_abi::Vendor::OpenMpi => "PMI_RANK",
        _ => "OMPI_COMM_WORLD_RANK",
    };
    let launcher = Launcher::from_environment(&|name| (name == foreign).then(|| "0".to_owned()), &[]);
    let Err(error) = check_launcher(m.lib, &launcher) else {
        return Err(Failure::Wrong(format!("{} was let through under {launcher}", m.lib.name())));
    };
    let text = error.to_string();
    same!(text.contains(m.lib.name()) && text.contains("mpiexec"), true, "{text}");
    check_launcher(m.lib, &Launcher::detect())?;
    Ok(())
}

fn classes(m: &Mpi) -> Outcome {
    for class in [
        ErrorClass::Buffer,
        ErrorClass::Count,
        ErrorClass::Type,
        ErrorClass::Tag,
        ErrorClass::Comm,
        ErrorClass::Rank,
        ErrorClass::Root,
        ErrorClass::Truncate,
        ErrorClass::Pending,
        ErrorClass::Win,
        ErrorClass::Keyval,
        ErrorClass::RmaSync,
    ] {
        let Some(number) = class.number(m.lib.family()) else {
            return Err(Failure::Wrong(format!("{class} has no number")));
        };
        let (described, text) = m.lib.describe_error(number);
        same!(described, class);
        same!(text.is_empty(), false, "the text of {class}");
        let mut plain = -1;
        // SAFETY: MPI is active.
        unsafe { m.lib.error_class(number, &mut plain) }?;
        same!(plain, number);
    }
    Ok(())
}

fn bad_arguments(m: &Mpi) -> Outcome {
    let data = [1i32; 4];
    let p = data.as_ptr().cast();
    let (int, comm) = (m.c.int32_t, m.comm);
    // SAFETY: the calls are erroneous by intent, in ways that the libraries check; the buffer is valid throughout.
    unsafe {
        fails_with(m.lib.send(p, 1, int, m.size, 0, comm), ErrorClass::Rank)?;
        fails_with(m.lib.send(p, 1, int, m.rank, -100, comm), ErrorClass::Tag)?;
        fails_with(m.lib.send(p, -1, int, m.rank, 0, comm), ErrorClass::Count)?;
        fails_with(m.lib.send(p, 1, m.c.datatype_null, m.rank, 0, comm), ErrorClass::Type)?;
        fails_with(m.lib.send(p, 1, int, m.rank, 0, m.c.comm_null), ErrorClass::Comm)?;
        fails_with(m.lib.bcast(p.cast_mut(), 1, int, m.size + 1, comm), ErrorClass::Root)?;
        let error = m.lib.send(p, 1, int, m.size, 0, comm).unwrap_err();
        let call = error.call().map(|call| (call.function, call.library));
        same!(call, Some(("MPI_Send", m.lib.name())));
        same!(error.code().is_some_and(|code| code != 0), true);
        m.lib.comm_set_errhandler(comm, m.c.errors_return)?;
        // With MPI_ERRORS_RETURN calling the handler does nothing.
        m.lib.comm_call_errhandler(comm, error.code().unwrap_or_default())?;
        let mut handler = m.c.errhandler_null;
        m.lib.comm_get_errhandler(comm, &mut handler)?;
        same!(handler, m.c.errors_return);
        m.lib.errhandler_free(&mut handler)?;
    }
    // The communicator has survived.
    same!(m.maximum([m.rank])?, [m.size - 1]);
    Ok(())
}

fn own_classes(m: &Mpi) -> Outcome {
    let (mut class, mut code) = (0, 0);
    // SAFETY: MPI is active; the text ends with a NUL.
    unsafe {
        m.lib.add_error_class(&mut class)?;
        m.lib.add_error_code(class, &mut code)?;
        m.lib.add_error_string(code, c"a halo went missing".as_ptr())?;
    }
    let (found, text) = m.lib.describe_error(code);
    same!(found, ErrorClass::Unlisted(class));
    same!(text, "a halo went missing");
    Ok(())
}

fn info(m: &Mpi) -> Outcome {
    let mut info = m.c.info_null;
    let mut copy = m.c.info_null;
    let (mut count, mut flag, mut length) = (-1, -1, -1);
    let mut text = vec![0 as c_char; m.c.max_info_val as usize + 1];
    let text_of =
        |text: &[c_char]| -> String { text.iter().take_while(|&&b| b != 0).map(|&b| b as u8 as char).collect() };
    // SAFETY: MPI is active, strings end with NUL, and the buffer has room for the longest key and value.
    unsafe {
        m.lib.info_create(&mut info)?;
        m.lib.info_set(info, c"colour".as_ptr(), c"blue".as_ptr())?;
        m.lib.info_set(info, c"width".as_ptr(), c"3".as_ptr())?;
        m.lib.info_get_nkeys(info, &mut count)?;
        same!(count, 2);
        m.lib.info_get(info, c"colour".as_ptr(), text.len() as c_int - 1, text.as_mut_ptr(), &mut flag)?;
        same!((flag, text_of(&text).as_str()), (1, "blue"));
        m.lib.info_get_valuelen(info, c"width".as_ptr(), &mut length, &mut flag)?;
        same!((length, flag), (1, 1));
        m.lib.info_get_nthkey(info, 0, text.as_mut_ptr())?;
        same!(["colour", "width"].contains(&text_of(&text).as_str()), true);
        m.lib.info_dup(info, &mut copy)?;
        m.lib.info_delete(info, c"colour".as_ptr())?;
        m.lib.info_get(info, c"colour".as_ptr(), 10, text.as_mut_ptr(), &mut flag)?;
        same!(flag, 0);
        fails_with(m.lib.info_delete(info, c"colour".as_ptr()), ErrorClass::InfoNokey)?;
        m.lib.info_get_nkeys(copy, &mut count)?;
        same!(count, 2);
        m.lib.info_free(&mut info)?;
        m.lib.info_free(&mut copy)?;
    }
    same!((info, copy), (m.c.info_null, m.c.info_null));
    Ok(())
}

fn info_string(m: &Mpi) -> Outcome {
    let mut info = m.c.info_null;
    let mut text = [0 as c_char; 16];
    let (mut length, mut flag) = (16, -1);
    // SAFETY: MPI is active, strings end with NUL, and `length` is the buffer's.
    unsafe {
        m.lib.info_create(&mut info)?;
        m.lib.info_set(info, c"colour".as_ptr(), c"blue".as_ptr())?;
        let got = m.lib.info_get_string(info, c"colour".as_ptr(), &mut length, text.as_mut_ptr(), &mut flag);
        m.lib.info_free(&mut info)?;
        got?;
    }
    same!((flag, length, text[3] as u8), (1, 5, b'e'));
    Ok(())
}
