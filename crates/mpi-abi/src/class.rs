//! Error classes, the same in every family.

use std::ffi::c_int;

use crate::Family;

macro_rules! classes {
    ($($class:ident = $mpich:tt, $openmpi:tt, $mpi5:tt; $name:literal)*) => {
        /// What kind of error it is: `MPI_ERR_TRUNCATE` and so on, by name and not by the library's number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorClass {
            $(#[doc = concat!("`", $name, "`")] $class,)*
            /// A class that the table does not know: one a program added, or a newer library's. The library's number.
            Unlisted(c_int),
        }

        impl ErrorClass {
            /// The class that a library of `family` means by `number`.
            #[must_use]
            pub fn from_number(family: Family, number: c_int) -> Self {
                let known: &[(c_int, c_int, c_int, Self)] =
                    &[$((classes!(@ $mpich), classes!(@ $openmpi), classes!(@ $mpi5), Self::$class)),*];
                known
                    .iter()
                    .find(|row| number > 0 && number == column(family, (row.0, row.1, row.2)))
                    .map_or(Self::Unlisted(number), |row| row.3)
            }

            /// The number by which a library of `family` knows the class, if it does.
            #[must_use]
            pub fn number(self, family: Family) -> Option<c_int> {
                let row = match self {
                    $(Self::$class => (classes!(@ $mpich), classes!(@ $openmpi), classes!(@ $mpi5)),)*
                    Self::Unlisted(number) => (number, number, number),
                };
                Some(column(family, row)).filter(|&number| number != NONE)
            }

            /// The standard's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$class => $name,)*
                    Self::Unlisted(_) => "an unlisted error class",
                }
            }
        }

        #[cfg(test)]
        const ALL: &[ErrorClass] = &[$(ErrorClass::$class),*];
    };
    (@ _) => { NONE };
    (@ $number:tt) => { $number };
}

/// In a column: the family has no such class.
const NONE: c_int = c_int::MIN;

fn column(family: Family, row: (c_int, c_int, c_int)) -> c_int {
    match family {
        Family::Mpich => row.0,
        Family::OpenMpi => row.1,
        Family::Mpi5 => row.2,
    }
}

// Columns: mpich, openmpi, mpi5.
classes! {
    Buffer = 1, 1, 1; "MPI_ERR_BUFFER"
    Count = 2, 2, 2; "MPI_ERR_COUNT"
    Type = 3, 3, 3; "MPI_ERR_TYPE"
    Tag = 4, 4, 4; "MPI_ERR_TAG"
    Comm = 5, 5, 5; "MPI_ERR_COMM"
    Rank = 6, 6, 6; "MPI_ERR_RANK"
    Request = 19, 7, 7; "MPI_ERR_REQUEST"
    Root = 7, 8, 8; "MPI_ERR_ROOT"
    Group = 8, 9, 9; "MPI_ERR_GROUP"
    Op = 9, 10, 10; "MPI_ERR_OP"
    Topology = 10, 11, 11; "MPI_ERR_TOPOLOGY"
    Dims = 11, 12, 12; "MPI_ERR_DIMS"
    Arg = 12, 13, 13; "MPI_ERR_ARG"
    Unknown = 13, 14, 14; "MPI_ERR_UNKNOWN"
    Truncate = 14, 15, 15; "MPI_ERR_TRUNCATE"
    Other = 15, 16, 16; "MPI_ERR_OTHER"
    Intern = 16, 17, 17; "MPI_ERR_INTERN"
    Pending = 18, 19, 18; "MPI_ERR_PENDING"
    InStatus = 17, 18, 19; "MPI_ERR_IN_STATUS"
    Access = 20, 20, 20; "MPI_ERR_ACCESS"
    Amode = 21, 21, 21; "MPI_ERR_AMODE"
    Assert = 53, 22, 22; "MPI_ERR_ASSERT"
    BadFile = 22, 23, 23; "MPI_ERR_BAD_FILE"
    Base = 46, 24, 24; "MPI_ERR_BASE"
    Conversion = 23, 25, 25; "MPI_ERR_CONVERSION"
    Disp = 52, 26, 26; "MPI_ERR_DISP"
    DupDatarep = 24, 27, 27; "MPI_ERR_DUP_DATAREP"
    FileExists = 25, 28, 28; "MPI_ERR_FILE_EXISTS"
    FileInUse = 26, 29, 29; "MPI_ERR_FILE_IN_USE"
    File = 27, 30, 30; "MPI_ERR_FILE"
    InfoKey = 29, 31, 31; "MPI_ERR_INFO_KEY"
    InfoNokey = 31, 32, 32; "MPI_ERR_INFO_NOKEY"
    InfoValue = 30, 33, 33; "MPI_ERR_INFO_VALUE"
    Info = 28, 34, 34; "MPI_ERR_INFO"
    Io = 32, 35, 35; "MPI_ERR_IO"
    Keyval = 48, 36, 36; "MPI_ERR_KEYVAL"
    Locktype = 47, 37, 37; "MPI_ERR_LOCKTYPE"
    Name = 33, 38, 38; "MPI_ERR_NAME"
    NoMem = 34, 39, 39; "MPI_ERR_NO_MEM"
    NotSame = 35, 40, 40; "MPI_ERR_NOT_SAME"
    NoSpace = 36, 41, 41; "MPI_ERR_NO_SPACE"
    NoSuchFile = 37, 42, 42; "MPI_ERR_NO_SUCH_FILE"
    Port = 38, 43, 43; "MPI_ERR_PORT"
    Quota = 39, 44, 44; "MPI_ERR_QUOTA"
    ReadOnly = 40, 45, 45; "MPI_ERR_READ_ONLY"
    RmaAttach = 56, 69, 46; "MPI_ERR_RMA_ATTACH"
    RmaConflict = 49, 46, 47; "MPI_ERR_RMA_CONFLICT"
    RmaRange = 55, 68, 48; "MPI_ERR_RMA_RANGE"
    RmaShared = 57, 71, 49; "MPI_ERR_RMA_SHARED"
    RmaSync = 50, 47, 50; "MPI_ERR_RMA_SYNC"
    RmaFlavor = 58, 70, 57; "MPI_ERR_RMA_FLAVOR"
    Service = 41, 48, 51; "MPI_ERR_SERVICE"
    Size = 51, 49, 52; "MPI_ERR_SIZE"
    Spawn = 42, 50, 53; "MPI_ERR_SPAWN"
    UnsupportedDatarep = 43, 51, 54; "MPI_ERR_UNSUPPORTED_DATAREP"
    UnsupportedOperation = 44, 52, 55; "MPI_ERR_UNSUPPORTED_OPERATION"
    Win = 45, 53, 56; "MPI_ERR_WIN"
    ProcAborted = 76, 74, 58; "MPI_ERR_PROC_ABORTED"
    ValueTooLarge = 77, 79, 59; "MPI_ERR_VALUE_TOO_LARGE"
    Session = 75, 78, 60; "MPI_ERR_SESSION"
    Errhandler = 80, _, 61; "MPI_ERR_ERRHANDLER"
    Abi = 81, _, 62; "MPI_ERR_ABI"
    Revoked = 103, 77, _; "MPIX_ERR_REVOKED"
    ProcFailed = 101, 75, _; "MPIX_ERR_PROC_FAILED"
    ProcFailedPending = 102, 76, _; "MPIX_ERR_PROC_FAILED_PENDING"
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unlisted(number) => write!(f, "error class {number}"),
            known => f.write_str(known.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_class_are_inverses_in_every_family() {
        for family in [Family::Mpich, Family::OpenMpi, Family::Mpi5] {
            for &class in ALL {
                if let Some(number) = class.number(family) {
                    assert_eq!(ErrorClass::from_number(family, number), class, "{family:?} {number}");
                }
            }
        }
    }

    #[test]
    fn truncation_is_another_number_in_mpich_than_elsewhere() {
        assert_eq!(ErrorClass::from_number(Family::Mpich, 14), ErrorClass::Truncate);
        assert_eq!(ErrorClass::from_number(Family::OpenMpi, 15), ErrorClass::Truncate);
        assert_eq!(ErrorClass::from_number(Family::Mpi5, 15), ErrorClass::Truncate);
    }

    #[test]
    fn an_unknown_number_keeps_it() {
        assert_eq!(ErrorClass::from_number(Family::Mpi5, 9999), ErrorClass::Unlisted(9999));
        assert_eq!(ErrorClass::Unlisted(9999).to_string(), "error class 9999");
        assert_eq!(ErrorClass::Revoked.number(Family::Mpi5), None);
    }
}
