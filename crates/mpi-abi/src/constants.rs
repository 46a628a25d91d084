//! Constants are data: one table, three columns, chosen when a library is loaded.
//!
//! Nothing is a Rust `const` across families, because almost nothing is equal across them: `MPI_ANY_TAG`, the thread
//! levels, `MPI_PROC_NULL`, every handle. The numbers were printed by C programs compiled against each
//! installation's own `mpi.h`. Columns: **mpich** (value of the `int` handle), **openmpi** (the exported data symbol
//! whose address is the handle), **mpi5** (the value the MPI 5.0 standard fixes).

use std::ffi::{c_int, c_void};

use crate::handles::{Comm, Datatype, Errhandler, Group, Info, Message, Op, Request, Session, Win};
use crate::status::Status;
use crate::version::{Vendor, Version};
use crate::{Family, Library};

/// Finds a data symbol's address.
pub(crate) type Symbols<'a> = &'a dyn Fn(&'static str) -> Option<usize>;

macro_rules! constants {
    (
        handles { $($handle:ident: $kind:ident = $mpich:literal, $symbol:literal, $mpi5:literal; $name:literal)* }
        numbers { $($number:ident = $a:literal, $b:literal, $c:literal; $number_name:literal)* }
    ) => {
        /// Every constant of one library. Get it from [`Library::constants`].
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Constants {
            $(#[doc = concat!("`", $name, "`")] pub $handle: $kind,)*
            $(#[doc = concat!("`", $number_name, "`")] pub $number: c_int,)*
            /// `MPI_ERRORS_RETURN`. Intel's standard-ABI library has it where the standard has `MPI_ERRORS_ABORT`.
            pub errors_return: Errhandler,
            /// `MPI_SESSION_NULL`, where the library has sessions.
            pub session_null: Option<Session>,
            /// A 16-bit IEEE float (`MPIX_C_FLOAT16`), where the library reduces it.
            pub float16: Option<Datatype>,
            /// A bfloat16 (`MPIX_BFLOAT16`), where the library reduces it.
            pub bfloat16: Option<Datatype>,
            /// `MPI_COMM_TYPE_HW_UNGUIDED` (MPI 4).
            pub comm_type_hw_unguided: Option<c_int>,
            /// `MPI_COMM_TYPE_HW_GUIDED` (MPI 4).
            pub comm_type_hw_guided: Option<c_int>,
            /// `MPI_UNIVERSE_SIZE`, an attribute of `comm_world`.
            pub universe_size: c_int,
            /// `MPI_LASTUSEDCODE`, an attribute of `comm_world`.
            pub lastusedcode: c_int,
            /// `MPI_APPNUM`, an attribute of `comm_world`.
            pub appnum: c_int,
            pointers: Pointers,
        }

        impl Constants {
            /// Fails with the name of a data symbol that the library ought to have.
            pub(crate) fn load(
                family: Family, version: &Version, address: Symbols<'_>,
            ) -> Result<Self, &'static str> {
                let pick = |mpich: usize, symbol: &'static str, mpi5: usize| match family {
                    Family::Mpich => Ok(mpich),
                    Family::OpenMpi => address(symbol).ok_or(symbol),
                    Family::Mpi5 => Ok(mpi5),
                };
                let number = |mpich: c_int, openmpi: c_int, mpi5: c_int| match family {
                    Family::Mpich => mpich,
                    Family::OpenMpi => openmpi,
                    Family::Mpi5 => mpi5,
                };
                let special = Special::of(family, version, address)?;
                Ok(Self {
                    $($handle: $kind::new(pick($mpich, $symbol, $mpi5)?),)*
                    $($number: number($a, $b, $c),)*
                    errors_return: Errhandler::new(special.errors_return),
                    session_null: special.session_null.map(Session::new),
                    float16: special.float16.map(Datatype::new),
                    bfloat16: special.bfloat16.map(Datatype::new),
                    comm_type_hw_unguided: special.hardware.map(|h| h.0),
                    comm_type_hw_guided: special.hardware.map(|h| h.1),
                    universe_size: special.universe_size,
                    lastusedcode: special.lastusedcode,
                    appnum: special.appnum,
                    pointers: Pointers::of(family, address)?,
                })
            }

            /// The predefined handles by name, for tests that no two of a kind are equal.
            #[cfg(test)]
            fn handles(&self) -> Vec<(&'static str, &'static str, usize)> {
                use crate::handles::Handle;
                vec![$((stringify!($kind), $name, self.$handle.bits())),*]
            }
        }
    };
}

constants! {
    handles {
    comm_world: Comm = 0x44000000, "ompi_mpi_comm_world", 0x101; "MPI_COMM_WORLD"
    comm_self: Comm = 0x44000001, "ompi_mpi_comm_self", 0x102; "MPI_COMM_SELF"
    comm_null: Comm = 0x4000000, "ompi_mpi_comm_null", 0x100; "MPI_COMM_NULL"
    group_null: Group = 0x8000000, "ompi_mpi_group_null", 0x108; "MPI_GROUP_NULL"
    group_empty: Group = 0x48000000, "ompi_mpi_group_empty", 0x109; "MPI_GROUP_EMPTY"
    datatype_null: Datatype = 0xc000000, "ompi_mpi_datatype_null", 0x200; "MPI_DATATYPE_NULL"
    byte: Datatype = 0x4c00010d, "ompi_mpi_byte", 0x247; "MPI_BYTE"
    packed: Datatype = 0x4c00010f, "ompi_mpi_packed", 0x207; "MPI_PACKED"
    char: Datatype = 0x4c000101, "ompi_mpi_char", 0x243; "MPI_CHAR"
    signed_char: Datatype = 0x4c000118, "ompi_mpi_signed_char", 0x244; "MPI_SIGNED_CHAR"
    unsigned_char: Datatype = 0x4c000102, "ompi_mpi_unsigned_char", 0x245; "MPI_UNSIGNED_CHAR"
    short: Datatype = 0x4c000203, "ompi_mpi_short", 0x208; "MPI_SHORT"
    unsigned_short: Datatype = 0x4c000204, "ompi_mpi_unsigned_short", 0x20c; "MPI_UNSIGNED_SHORT"
    int: Datatype = 0x4c000405, "ompi_mpi_int", 0x209; "MPI_INT"
    unsigned: Datatype = 0x4c000406, "ompi_mpi_unsigned", 0x20d; "MPI_UNSIGNED"
    long: Datatype = 0x4c000807, "ompi_mpi_long", 0x20a; "MPI_LONG"
    unsigned_long: Datatype = 0x4c000808, "ompi_mpi_unsigned_long", 0x20e; "MPI_UNSIGNED_LONG"
    long_long: Datatype = 0x4c000809, "ompi_mpi_long_long_int", 0x20b; "MPI_LONG_LONG"
    unsigned_long_long: Datatype = 0x4c000819, "ompi_mpi_unsigned_long_long", 0x20f; "MPI_UNSIGNED_LONG_LONG"
    int8_t: Datatype = 0x4c000137, "ompi_mpi_int8_t", 0x240; "MPI_INT8_T"
    int16_t: Datatype = 0x4c000238, "ompi_mpi_int16_t", 0x248; "MPI_INT16_T"
    int32_t: Datatype = 0x4c000439, "ompi_mpi_int32_t", 0x250; "MPI_INT32_T"
    int64_t: Datatype = 0x4c00083a, "ompi_mpi_int64_t", 0x258; "MPI_INT64_T"
    uint8_t: Datatype = 0x4c00013b, "ompi_mpi_uint8_t", 0x241; "MPI_UINT8_T"
    uint16_t: Datatype = 0x4c00023c, "ompi_mpi_uint16_t", 0x249; "MPI_UINT16_T"
    uint32_t: Datatype = 0x4c00043d, "ompi_mpi_uint32_t", 0x251; "MPI_UINT32_T"
    uint64_t: Datatype = 0x4c00083e, "ompi_mpi_uint64_t", 0x259; "MPI_UINT64_T"
    float: Datatype = 0x4c00040a, "ompi_mpi_float", 0x210; "MPI_FLOAT"
    double: Datatype = 0x4c00080b, "ompi_mpi_double", 0x214; "MPI_DOUBLE"
    long_double: Datatype = 0x4c00100c, "ompi_mpi_long_double", 0x220; "MPI_LONG_DOUBLE"
    c_bool: Datatype = 0x4c00013f, "ompi_mpi_c_bool", 0x238; "MPI_C_BOOL"
    c_float_complex: Datatype = 0x4c000840, "ompi_mpi_c_float_complex", 0x212; "MPI_C_FLOAT_COMPLEX"
    c_double_complex: Datatype = 0x4c001041, "ompi_mpi_c_double_complex", 0x216; "MPI_C_DOUBLE_COMPLEX"
    c_long_double_complex: Datatype = 0x4c002042, "ompi_mpi_c_long_double_complex", 0x224; "MPI_C_LONG_DOUBLE_COMPLEX"
    aint: Datatype = 0x4c000843, "ompi_mpi_aint", 0x201; "MPI_AINT"
    count: Datatype = 0x4c000845, "ompi_mpi_count", 0x202; "MPI_COUNT"
    offset: Datatype = 0x4c000844, "ompi_mpi_offset", 0x203; "MPI_OFFSET"
    two_int: Datatype = 0x4c000816, "ompi_mpi_2int", 0x22b; "MPI_2INT"
    float_int: Datatype = 0x8c000000, "ompi_mpi_float_int", 0x228; "MPI_FLOAT_INT"
    double_int: Datatype = 0x8c000001, "ompi_mpi_double_int", 0x229; "MPI_DOUBLE_INT"
    long_int: Datatype = 0x8c000002, "ompi_mpi_long_int", 0x22a; "MPI_LONG_INT"
    short_int: Datatype = 0x8c000003, "ompi_mpi_short_int", 0x22c; "MPI_SHORT_INT"
    op_null: Op = 0x18000000, "ompi_mpi_op_null", 0x20; "MPI_OP_NULL"
    sum: Op = 0x58000003, "ompi_mpi_op_sum", 0x21; "MPI_SUM"
    prod: Op = 0x58000004, "ompi_mpi_op_prod", 0x24; "MPI_PROD"
    min: Op = 0x58000002, "ompi_mpi_op_min", 0x22; "MPI_MIN"
    max: Op = 0x58000001, "ompi_mpi_op_max", 0x23; "MPI_MAX"
    land: Op = 0x58000005, "ompi_mpi_op_land", 0x30; "MPI_LAND"
    lor: Op = 0x58000007, "ompi_mpi_op_lor", 0x31; "MPI_LOR"
    lxor: Op = 0x58000009, "ompi_mpi_op_lxor", 0x32; "MPI_LXOR"
    band: Op = 0x58000006, "ompi_mpi_op_band", 0x28; "MPI_BAND"
    bor: Op = 0x58000008, "ompi_mpi_op_bor", 0x29; "MPI_BOR"
    bxor: Op = 0x5800000a, "ompi_mpi_op_bxor", 0x2a; "MPI_BXOR"
    minloc: Op = 0x5800000b, "ompi_mpi_op_minloc", 0x38; "MPI_MINLOC"
    maxloc: Op = 0x5800000c, "ompi_mpi_op_maxloc", 0x39; "MPI_MAXLOC"
    replace: Op = 0x5800000d, "ompi_mpi_op_replace", 0x3c; "MPI_REPLACE"
    no_op: Op = 0x5800000e, "ompi_mpi_op_no_op", 0x3d; "MPI_NO_OP"
    request_null: Request = 0x2c000000, "ompi_request_null", 0x180; "MPI_REQUEST_NULL"
    win_null: Win = 0x20000000, "ompi_mpi_win_null", 0x110; "MPI_WIN_NULL"
    info_null: Info = 0x1c000000, "ompi_mpi_info_null", 0x130; "MPI_INFO_NULL"
    info_env: Info = 0x5c000001, "ompi_mpi_info_env", 0x131; "MPI_INFO_ENV"
    errhandler_null: Errhandler = 0x14000000, "ompi_mpi_errhandler_null", 0x140; "MPI_ERRHANDLER_NULL"
    errors_are_fatal: Errhandler = 0x54000000, "ompi_mpi_errors_are_fatal", 0x141; "MPI_ERRORS_ARE_FATAL"
    message_null: Message = 0x2c000000, "ompi_message_null", 0x128; "MPI_MESSAGE_NULL"
    message_no_proc: Message = 0x6c000000, "ompi_message_no_proc", 0x129; "MPI_MESSAGE_NO_PROC"
    }
    numbers {
    any_source = -2, -1, -1; "MPI_ANY_SOURCE"
    any_tag = -1, -1, -2; "MPI_ANY_TAG"
    proc_null = -1, -2, -3; "MPI_PROC_NULL"
    root = -3, -4, -4; "MPI_ROOT"
    undefined = -32766, -32766, -32766; "MPI_UNDEFINED"
    keyval_invalid = 603979776, -1, 0; "MPI_KEYVAL_INVALID"
    thread_single = 0, 0, 0; "MPI_THREAD_SINGLE"
    thread_funneled = 1, 1, 1024; "MPI_THREAD_FUNNELED"
    thread_serialized = 2, 2, 2048; "MPI_THREAD_SERIALIZED"
    thread_multiple = 3, 3, 4096; "MPI_THREAD_MULTIPLE"
    order_c = 56, 0, 12; "MPI_ORDER_C"
    order_fortran = 57, 1, 15; "MPI_ORDER_FORTRAN"
    comm_type_shared = 1, 0, 221; "MPI_COMM_TYPE_SHARED"
    lock_exclusive = 234, 1, 301; "MPI_LOCK_EXCLUSIVE"
    lock_shared = 235, 2, 302; "MPI_LOCK_SHARED"
    mode_nocheck = 1024, 1, 1024; "MPI_MODE_NOCHECK"
    mode_noprecede = 8192, 2, 2048; "MPI_MODE_NOPRECEDE"
    mode_noput = 4096, 4, 4096; "MPI_MODE_NOPUT"
    mode_nostore = 2048, 8, 8192; "MPI_MODE_NOSTORE"
    mode_nosucceed = 16384, 16, 16384; "MPI_MODE_NOSUCCEED"
    win_base = 1711276033, 7, 601; "MPI_WIN_BASE"
    win_size = 1711276035, 8, 603; "MPI_WIN_SIZE"
    win_disp_unit = 1711276037, 9, 602; "MPI_WIN_DISP_UNIT"
    win_create_flavor = 1711276039, 10, 604; "MPI_WIN_CREATE_FLAVOR"
    win_model = 1711276041, 11, 605; "MPI_WIN_MODEL"
    win_flavor_create = 1, 1, 311; "MPI_WIN_FLAVOR_CREATE"
    win_flavor_allocate = 2, 2, 312; "MPI_WIN_FLAVOR_ALLOCATE"
    win_flavor_dynamic = 3, 3, 313; "MPI_WIN_FLAVOR_DYNAMIC"
    win_flavor_shared = 4, 4, 314; "MPI_WIN_FLAVOR_SHARED"
    win_unified = 2, 0, 321; "MPI_WIN_UNIFIED"
    win_separate = 1, 1, 322; "MPI_WIN_SEPARATE"
    tag_ub = 1681915905, 0, 501; "MPI_TAG_UB"
    host = 1681915907, 1, 503; "MPI_HOST"
    io = 1681915909, 2, 502; "MPI_IO"
    wtime_is_global = 1681915911, 3, 504; "MPI_WTIME_IS_GLOBAL"
    ident = 0, 0, 201; "MPI_IDENT"
    congruent = 1, 1, 202; "MPI_CONGRUENT"
    similar = 2, 2, 203; "MPI_SIMILAR"
    unequal = 3, 3, 204; "MPI_UNEQUAL"
    graph = 1, 2, 212; "MPI_GRAPH"
    cart = 2, 1, 211; "MPI_CART"
    dist_graph = 3, 3, 213; "MPI_DIST_GRAPH"
    max_processor_name = 128, 256, 256; "MPI_MAX_PROCESSOR_NAME"
    max_error_string = 512, 256, 512; "MPI_MAX_ERROR_STRING"
    max_library_version_string = 8192, 256, 8192; "MPI_MAX_LIBRARY_VERSION_STRING"
    max_object_name = 128, 64, 128; "MPI_MAX_OBJECT_NAME"
    max_info_key = 255, 36, 256; "MPI_MAX_INFO_KEY"
    max_info_val = 1024, 256, 1024; "MPI_MAX_INFO_VAL"
    max_port_name = 256, 1024, 1024; "MPI_MAX_PORT_NAME"
    distribute_block = 121, 0, 17; "MPI_DISTRIBUTE_BLOCK"
    distribute_cyclic = 122, 1, 18; "MPI_DISTRIBUTE_CYCLIC"
    distribute_none = 123, 2, 16; "MPI_DISTRIBUTE_NONE"
    distribute_dflt_darg = -49767, -1, 19; "MPI_DISTRIBUTE_DFLT_DARG"
    bsend_overhead = 96, 128, 512; "MPI_BSEND_OVERHEAD"
    combiner_named = 1, 0, 101; "MPI_COMBINER_NAMED"
    combiner_subarray = 13, 12, 111; "MPI_COMBINER_SUBARRAY"
    }
}

/// What differs inside a family, by vendor or version.
struct Special {
    errors_return: usize,
    session_null: Option<usize>,
    float16: Option<usize>,
    bfloat16: Option<usize>,
    hardware: Option<(c_int, c_int)>,
    universe_size: c_int,
    lastusedcode: c_int,
    appnum: c_int,
}

impl Special {
    fn of(family: Family, version: &Version, address: Symbols<'_>) -> Result<Self, &'static str> {
        let intel = version.vendor == Vendor::Intel;
        Ok(match family {
            Family::Mpich => {
                let four = intel || (version.vendor == Vendor::Mpich && version.major >= 4);
                Self {
                    errors_return: 0x5400_0001,
                    session_null: four.then_some(0x3800_0000),
                    float16: matches!(version.vendor, Vendor::Mpich | Vendor::Intel).then_some(0x4c00_0246),
                    bfloat16: match version.vendor {
                        Vendor::Intel => Some(0x4c00_0247),
                        Vendor::Mpich if version.major >= 5 => Some(0x4c00_024c),
                        _ => None,
                    },
                    hardware: four.then_some((3, 2)),
                    universe_size: 1_681_915_913,
                    lastusedcode: 1_681_915_915,
                    appnum: 1_681_915_917,
                }
            }
            Family::OpenMpi => {
                let five = version.major >= 5;
                let symbol = "ompi_mpi_errors_return";
                Self {
                    errors_return: address(symbol).ok_or(symbol)?,
                    session_null: address("ompi_mpi_instance_null").filter(|_| five),
                    float16: address("ompi_mpi_short_float").filter(|_| five),
                    bfloat16: None,
                    hardware: five.then_some((12, 13)),
                    universe_size: 6,
                    lastusedcode: 5,
                    appnum: 4,
                }
            }
            Family::Mpi5 => Self {
                errors_return: if intel { 0x142 } else { 0x143 },
                session_null: Some(0x120),
                float16: intel.then_some(0x2f8),
                bfloat16: intel.then_some(0x2f9),
                hardware: Some((222, 223)),
                universe_size: if intel { 505 } else { 507 },
                lastusedcode: if intel { 507 } else { 506 },
                appnum: if intel { 506 } else { 505 },
            },
        })
    }
}

/// Addresses that mean something instead of pointing somewhere.
#[derive(Clone, Copy, Debug)]
struct Pointers {
    in_place: usize,
    status_ignore: usize,
    unweighted: usize,
    weights_empty: usize,
    buffer_automatic: Option<usize>,
    comm_null_copy: usize,
    comm_dup: usize,
    comm_null_delete: usize,
}

impl Pointers {
    fn of(family: Family, address: Symbols<'_>) -> Result<Self, &'static str> {
        let get = |symbol| address(symbol).ok_or(symbol);
        Ok(match family {
            Family::Mpich => Self {
                in_place: usize::MAX,
                status_ignore: 1,
                unweighted: stored(get("MPI_UNWEIGHTED")?),
                weights_empty: stored(get("MPI_WEIGHTS_EMPTY")?),
                buffer_automatic: Some(usize::MAX - 1),
                comm_null_copy: 0,
                comm_dup: get("MPIR_Dup_fn")?,
                comm_null_delete: 0,
            },
            Family::OpenMpi => Self {
                in_place: 1,
                status_ignore: 0,
                unweighted: 2,
                weights_empty: 3,
                buffer_automatic: None,
                comm_null_copy: get("OMPI_C_MPI_COMM_NULL_COPY_FN")?,
                comm_dup: get("OMPI_C_MPI_COMM_DUP_FN")?,
                comm_null_delete: get("OMPI_C_MPI_COMM_NULL_DELETE_FN")?,
            },
            Family::Mpi5 => Self {
                in_place: 1,
                status_ignore: 0,
                unweighted: 10,
                weights_empty: 11,
                buffer_automatic: Some(2),
                comm_null_copy: 0,
                comm_dup: 1,
                comm_null_delete: 0,
            },
        })
    }
}

/// mpich keeps these two sentinels as pointers *in* exported variables.
fn stored(symbol: usize) -> usize {
    // SAFETY: `symbol` is the address of `MPI_UNWEIGHTED` or `MPI_WEIGHTS_EMPTY` in a library of the mpich family,
    // where both are variables of type `int *`, initialised when the library is loaded.
    unsafe { *(symbol as *const usize) }
}

impl Constants {
    /// `MPI_IN_PLACE`.
    #[must_use]
    pub fn in_place(&self) -> *mut c_void {
        self.pointers.in_place as *mut c_void
    }
    /// `MPI_BOTTOM`.
    #[must_use]
    pub fn bottom(&self) -> *mut c_void {
        std::ptr::null_mut()
    }
    /// `MPI_STATUS_IGNORE`.
    #[inline]
    #[must_use]
    pub fn status_ignore(&self) -> *mut Status {
        self.pointers.status_ignore as *mut Status
    }
    /// `MPI_STATUSES_IGNORE`.
    #[inline]
    #[must_use]
    pub fn statuses_ignore(&self) -> *mut Status {
        self.pointers.status_ignore as *mut Status
    }
    /// `MPI_UNWEIGHTED`, for the weights of a distributed graph.
    #[must_use]
    pub fn unweighted(&self) -> *mut c_int {
        self.pointers.unweighted as *mut c_int
    }
    /// `MPI_WEIGHTS_EMPTY`: weights of a rank without neighbours.
    #[must_use]
    pub fn weights_empty(&self) -> *mut c_int {
        self.pointers.weights_empty as *mut c_int
    }
    /// `MPI_BUFFER_AUTOMATIC` (MPI 4.1), where the library's ABI has it.
    #[must_use]
    pub fn buffer_automatic(&self) -> Option<*mut c_void> {
        self.pointers.buffer_automatic.map(|p| p as *mut c_void)
    }
    /// `MPI_COMM_NULL_COPY_FN`: the attribute is not copied by `comm_dup`.
    #[must_use]
    pub fn comm_null_copy_fn(&self) -> *const c_void {
        self.pointers.comm_null_copy as *const c_void
    }
    /// `MPI_COMM_DUP_FN`: the attribute's pointer is copied by `comm_dup`.
    #[must_use]
    pub fn comm_dup_fn(&self) -> *const c_void {
        self.pointers.comm_dup as *const c_void
    }
    /// `MPI_COMM_NULL_DELETE_FN`.
    #[must_use]
    pub fn comm_null_delete_fn(&self) -> *const c_void {
        self.pointers.comm_null_delete as *const c_void
    }
}

impl Library {
    /// The library's constants.
    #[inline]
    #[must_use]
    pub fn constants(&self) -> &Constants {
        &self.constants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(vendor: Vendor, major: u32) -> Version {
        Version { vendor, major, minor: 0, patch: 0 }
    }

    /// An address for every symbol, all different; the mpich sentinels need something to read.
    fn fake(name: &'static str) -> Option<usize> {
        static SENTINEL: usize = 0xabc0;
        if name.starts_with("MPI_") { Some(&raw const SENTINEL as usize) } else { Some(name.as_ptr() as usize) }
    }

    fn all() -> Vec<Constants> {
        [
            (Family::Mpich, version(Vendor::Mpich, 4)),
            (Family::OpenMpi, version(Vendor::OpenMpi, 5)),
            (Family::Mpi5, version(Vendor::Mpich, 5)),
        ]
        .map(|(family, version)| Constants::load(family, &version, &fake).expect("every symbol is there"))
        .to_vec()
    }

    #[test]
    fn no_two_predefined_handles_of_a_kind_are_equal() {
        for constants in all() {
            let handles = constants.handles();
            for (i, a) in handles.iter().enumerate() {
                for b in &handles[i + 1..] {
                    assert!(a.0 != b.0 || a.2 != b.2, "{a:?} and {b:?}");
                }
            }
        }
    }

    #[test]
    fn special_ranks_are_negative_and_different_and_thread_levels_rise() {
        for c in all() {
            assert!(c.any_source < 0 && c.any_tag < 0 && c.proc_null < 0 && c.root < 0);
            assert_ne!(c.any_source, c.proc_null);
            assert_ne!(c.root, c.proc_null);
            assert!(c.thread_single < c.thread_funneled);
            assert!(c.thread_funneled < c.thread_serialized);
            assert!(c.thread_serialized < c.thread_multiple);
            assert_ne!(c.in_place(), c.bottom());
        }
    }

    #[test]
    fn mpich_handles_carry_their_kind_in_the_upper_bits() {
        let c = &all()[0];
        for (kind, name, bits) in c.handles() {
            let kind_bits = (bits >> 26) & 0xf;
            let expected = match kind {
                "Comm" => 1,
                "Group" => 2,
                "Datatype" => 3,
                "Errhandler" => 5,
                "Op" => 6,
                "Info" => 7,
                "Win" => 8,
                "Request" | "Message" => 11,
                other => panic!("{other}"),
            };
            assert_eq!(kind_bits, expected, "{name}");
        }
    }

    #[test]
    fn mpich_weights_are_read_through_the_symbol() {
        assert_eq!(all()[0].unweighted() as usize, 0xabc0);
    }

    #[test]
    fn intels_standard_library_returns_errors_under_the_number_it_really_uses() {
        let intel = Constants::load(Family::Mpi5, &version(Vendor::Intel, 2021), &fake).expect("no symbols needed");
        assert_eq!(intel.errors_return, Errhandler::new(0x142));
        assert_eq!((intel.universe_size, intel.appnum, intel.lastusedcode), (505, 506, 507));
        let standard = &all()[2];
        assert_eq!(standard.errors_return, Errhandler::new(0x143));
        assert_eq!((standard.universe_size, standard.appnum, standard.lastusedcode), (507, 505, 506));
    }

    #[test]
    fn what_a_version_lacks_is_none() {
        let old = Constants::load(Family::Mpich, &version(Vendor::Mpich, 3), &fake).expect("every symbol is there");
        assert!(old.session_null.is_none() && old.bfloat16.is_none() && old.comm_type_hw_guided.is_none());
        let old = Constants::load(Family::OpenMpi, &version(Vendor::OpenMpi, 4), &fake).expect("every symbol");
        assert!(old.session_null.is_none() && old.float16.is_none());
    }

    #[test]
    fn a_missing_data_symbol_is_named() {
        let none: Symbols<'_> = &|_| None;
        let missing = Constants::load(Family::OpenMpi, &version(Vendor::OpenMpi, 5), none).err();
        assert_eq!(missing, Some("ompi_mpi_errors_return"));
    }
}
