//! Every MPI function, declared once.
//!
//! A line such as
//!
//! ```text
//! required send = "MPI_Send"(buf: *const c_void, count: c_int, datatype: Datatype, dest: c_int, tag: c_int, comm: Comm);
//! ```
//!
//! makes a pointer in a `Table` that is generic in the handle's width, the code that finds the symbol, and an
//! `unsafe` method of [`Library`] that converts handles, calls, and turns an error code into an
//! [`Error`]. `required` symbols are in every library this crate has been tried with, and loading fails
//! without them; an `optional` one that is absent makes its method return
//! [`ErrorKind::Missing`](crate::ErrorKind::Missing). `|` gives another name
//! under which a library may export the same function (Open MPI 4.1: `MPIX_Allreduce_init`).
//!
//! # Safety, for all of them
//!
//! The rules are C's: buffers and counts belong together, arrays are as long as the communicator or the count says,
//! buffers of a nonblocking call stay valid and untouched until it completes, a pointer to a handle is readable,
//! writable and initialised, and handles come from this library. MPI must be initialised and not finalised, except
//! where the standard says otherwise. How many threads may call at once is the thread level's business.
//!
//! A callback (the copy and delete functions of attributes) is called by the library with handles of the library's own
//! width: `int` in the mpich family, pointers elsewhere. Give it a function that fits, or the library's own
//! (`Constants::comm_dup_fn`). `comm_idup` writes the new communicator when its request completes, so it takes a place
//! in a [`HandleArray`](crate::HandleArray), which must not move until then.

mod collective;
mod comm;
mod datatype;
mod environment;
mod error;
mod info;
mod neighbor;
mod nonblocking;
mod op;
mod p2p;
mod persistent;
mod request;
mod rma;
mod topology;

pub(crate) use crate::handles::*;
pub(crate) use crate::status::Status;
use crate::{Error, Library};

/// Where to find a symbol; `None` when the library has it under none of the names.
pub(crate) type Lookup<'a> = &'a dyn Fn(&'static [&'static str]) -> Option<std::ptr::NonNull<()>>;

macro_rules! functions {
    (
        group $group:ident, $see:literal;
        $($need:ident $name:ident = $symbol:literal $(| $alias:literal)* ($($arg:ident: $t:ty),* $(,)?);)*
    ) => {
        pub(crate) struct Table<H: $crate::handles::Width> {
            $($name: super::need!(
                type $need, unsafe extern "C" fn($(<$t as $crate::handles::Arg<H>>::Raw),*) -> std::ffi::c_int
            ),)*
        }

        impl<H: $crate::handles::Width> Table<H> {
            /// Fails with the name of the first required symbol that is absent.
            pub(crate) fn load(lookup: super::Lookup<'_>) -> Result<Self, &'static str> {
                // SAFETY: a symbol of this name is a function of this C signature in every library of the family
                // whose handles are `H` wide.
                Ok(unsafe {
                    Self {
                        $($name: super::need!(
                            else $need, super::function_at(lookup(&[$symbol $(, $alias)*])), return Err($symbol)
                        ),)*
                    }
                })
            }

            /// Every function of the group with whether it was found.
            pub(crate) fn list(&self, each: &mut dyn FnMut(&'static str, bool)) {
                $(each($symbol, super::need!(is $need, self.$name));)*
            }

            $(
                #[inline(always)]
                #[allow(clippy::too_many_arguments, reason = "the standard fixes the parameters")]
                unsafe fn $name(&self, library: &$crate::Library $(, $arg: $t)*) -> Result<(), $crate::Error> {
                    let function = super::need!(call $need, self.$name, return Err(library.missing($symbol)));
                    // SAFETY: the caller keeps the contract of the module; the slots live until after the call.
                    let code = unsafe {
                        $(let mut $arg = <$t as $crate::handles::Arg<H>>::enter($arg);)*
                        let code = function($(<$t as $crate::handles::Arg<H>>::raw(&mut $arg)),*);
                        $(<$t as $crate::handles::Arg<H>>::leave($arg);)*
                        code
                    };
                    library.check($symbol, code)
                }
            )*
        }

        #[doc = concat!("See ", $see, ".")]
        impl $crate::Library {
            $(
                #[doc = concat!("`", $symbol, "`", $(" or `", $alias, "`",)* " (", stringify!($need), ").")]
                ///
                #[doc = concat!("See ", $see, ".")]
                ///
                /// # Errors
                /// What the library returns; [`ErrorKind::Missing`](crate::ErrorKind::Missing) where it has no such function.
                ///
                /// # Safety
                /// As in C: see [the rules for all functions](crate::functions).
                #[inline]
                #[allow(clippy::too_many_arguments, reason = "the standard fixes the parameters")]
                pub unsafe fn $name(&self $(, $arg: $t)*) -> Result<(), $crate::Error> {
                    // SAFETY: the contract of this method is the contract of the table's.
                    unsafe {
                        match self.tables() {
                            super::Tables::Narrow(tables) => tables.$group.$name(self $(, $arg)*),
                            super::Tables::Wide(tables) => tables.$group.$name(self $(, $arg)*),
                        }
                    }
                }
            )*
        }
    };
}
pub(crate) use functions;

/// A symbol's address as a function pointer of type `F`.
///
/// # Safety
/// What lies there is a function that may be called as an `F`; and `F` is a function pointer.
pub(crate) unsafe fn function_at<F>(address: Option<std::ptr::NonNull<()>>) -> Option<F> {
    const { assert!(size_of::<Option<F>>() == size_of::<Option<std::ptr::NonNull<()>>>()) };
    // SAFETY: of equal size, and an `Option` of a function pointer has the layout of a nullable pointer.
    unsafe { std::mem::transmute_copy(&address) }
}

/// What `required` and `optional` make of a function: its field in a table, how that is filled and looked at, and the function
/// of a call.
macro_rules! need {
    (type required, $function:ty) => { $function };
    (type optional, $function:ty) => { Option<$function> };
    (else required, $found:expr, $absent:expr) => {
        match $found {
            Some(function) => function,
            None => $absent,
        }
    };
    (else optional, $found:expr, $absent:expr) => { $found };
    (is required, $field:expr) => { true };
    (is optional, $field:expr) => { $field.is_some() };
    (call required, $field:expr, $absent:expr) => { $field };
    (call optional, $field:expr, $absent:expr) => {
        match $field {
            Some(function) => function,
            None => $absent,
        }
    };
}
pub(crate) use need;

macro_rules! groups {
    ($($group:ident)*) => {
        /// All functions of a library with handles `H` wide.
        pub(crate) struct Table<H: Width> {
            $($group: $group::Table<H>,)*
        }

        impl<H: Width> Table<H> {
            pub(crate) fn load(lookup: Lookup<'_>) -> Result<Self, &'static str> {
                Ok(Self { $($group: $group::Table::load(lookup)?,)* })
            }

            fn list(&self, each: &mut dyn FnMut(&'static str, bool)) {
                $(self.$group.list(each);)*
            }
        }
    };
}
groups! { collective comm datatype environment error info neighbor nonblocking op p2p persistent request rma topology }

/// The functions of one library.
#[allow(clippy::large_enum_variant, reason = "one per library and never moved after loading")]
pub(crate) enum Tables {
    /// mpich.
    Narrow(Table<std::ffi::c_int>),
    /// openmpi and mpi5.
    Wide(Table<usize>),
}

impl Library {
    /// Every function this crate knows, by its name in the standard, with whether this library has it.
    #[must_use]
    pub fn functions(&self) -> Vec<(&'static str, bool)> {
        let mut all = Vec::new();
        let mut each = |name, present| all.push((name, present));
        match self.tables() {
            Tables::Narrow(t) => t.list(&mut each),
            Tables::Wide(t) => t.list(&mut each),
        }
        all
    }

    /// Whether this library has `function` (say `"MPI_Allreduce_init"`), under its own name or an alias.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        self.functions().iter().any(|&(name, present)| present && name == function)
    }

    /// The one checked path: every MPI call's return value comes through here.
    #[inline(always)]
    pub(crate) fn check(&self, function: &'static str, code: std::ffi::c_int) -> Result<(), Error> {
        // MPI_SUCCESS is 0 in the standard, for every ABI.
        if code == 0 { Ok(()) } else { Err(self.call_error(function, code)) }
    }
}
