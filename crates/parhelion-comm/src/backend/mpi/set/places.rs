//! Derived datatypes of layouts, kept by value: as long as any set uses one, others with the same layouts share it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use mpi_abi::{Aint, Datatype, DatatypeArray, Library};

use super::super::count::Span;
use super::super::live;
use super::super::runtime::Runtime;
use super::free;
use crate::layout::Layout;

/// A committed datatype, freed with its last user.
pub(super) struct Type {
    runtime: &'static Runtime,
    pub(super) raw: Datatype,
}

impl Type {
    fn new(runtime: &'static Runtime, raw: Datatype) -> Arc<Self> {
        live::DATATYPES.one_more();
        Arc::new(Type { runtime, raw })
    }
}

impl Drop for Type {
    fn drop(&mut self) {
        let mut raw = self.raw;
        // SAFETY: made here and freed once; MPI keeps it for operations under way. A failure leaks a type.
        free(self.runtime, move |library| live::DATATYPES.one_less(unsafe { library.type_free(&mut raw) }));
    }
}

/// The types that exist, by their layouts.
static KNOWN: Mutex<Option<HashMap<Vec<Layout>, Weak<Type>>>> = Mutex::new(None);

/// The type of these byte layouts, one behind the other, relative to the memory's beginning; `None` if they need counts that
/// an `int` does not hold.
pub(super) fn of_layouts(runtime: &'static Runtime, layouts: &[Layout]) -> Result<Option<Arc<Type>>, mpi_abi::Error> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(found) = known.get(layouts).and_then(Weak::upgrade) {
        return Ok(Some(found));
    }
    known.retain(|_, used| used.strong_count() > 0);
    let Some(raw) = build(runtime, layouts)? else { return Ok(None) };
    let made = Type::new(runtime, raw);
    known.insert(layouts.to_vec(), Arc::downgrade(&made));
    Ok(Some(made))
}

/// The type of a message of more bytes than an `int` counts.
pub(super) fn of_bytes(runtime: &'static Runtime, bytes: usize) -> Result<Arc<Type>, mpi_abi::Error> {
    let Span::Derived(raw) = Span::of_int(runtime, bytes)? else {
        unreachable!("more bytes than an int counts need a type")
    };
    Ok(Type::new(runtime, raw))
}

/// Types on the way to the one wanted, freed when that exists.
struct Steps<'a> {
    library: &'a Library,
    made: Vec<Datatype>,
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        for datatype in &mut self.made {
            // SAFETY: made by `build`, freed once; types made of it keep what they need (MPI section 5.1.9).
            let _ = unsafe { self.library.type_free(datatype) };
        }
    }
}

fn build(runtime: &Runtime, layouts: &[Layout]) -> Result<Option<Datatype>, mpi_abi::Error> {
    let library = runtime.library;
    let mut steps = Steps { library, made: Vec::new() };
    let mut pieces = Vec::with_capacity(layouts.len());
    for layout in layouts.iter().filter(|layout| !layout.is_empty()) {
        match piece(runtime, layout, &mut steps)? {
            Some(piece) => pieces.push(piece),
            None => return Ok(None),
        }
    }
    let Ok(count) = c_int::try_from(pieces.len()) else { return Ok(None) };
    let lengths: Vec<c_int> = pieces.iter().map(|p| p.0).collect();
    let places: Vec<Aint> = pieces.iter().map(|p| p.1).collect();
    let mut types = DatatypeArray::from_slice(library, &pieces.iter().map(|p| p.2).collect::<Vec<_>>());
    let mut whole = Datatype::UNSET;
    // SAFETY: MPI is active; the arrays have `count` elements.
    unsafe {
        library.type_create_struct(count, lengths.as_ptr(), places.as_ptr(), types.as_mut_ptr(), &mut whole)?;
        library.type_commit(&mut whole)?;
    }
    Ok(Some(whole))
}

/// One layout as (count, place, type).
fn piece(
    runtime: &Runtime,
    layout: &Layout,
    steps: &mut Steps<'_>,
) -> Result<Option<(c_int, Aint, Datatype)>, mpi_abi::Error> {
    let library = runtime.library;
    let run_of = |bytes: usize, steps: &mut Steps<'_>| {
        let span = Span::of_int(runtime, bytes)?;
        if let Span::Derived(made) = span {
            steps.made.push(made);
        }
        Ok::<_, mpi_abi::Error>(span.arguments(library))
    };
    match layout {
        Layout::Contiguous { start, len } => {
            let (count, datatype) = run_of(*len, steps)?;
            Ok(Some((count, *start as Aint, datatype)))
        }
        Layout::Strided(strided) => {
            let (mut length, mut datatype) = run_of(strided.run(), steps)?;
            for axis in strided.axes().iter().rev().filter(|axis| axis.count > 1) {
                let Ok(count) = c_int::try_from(axis.count) else { return Ok(None) };
                let mut made = Datatype::UNSET;
                // SAFETY: MPI is active; the old type is live.
                unsafe { library.type_create_hvector(count, length, axis.stride as Aint, datatype, &mut made) }?;
                steps.made.push(made);
                (length, datatype) = (1, made);
            }
            Ok(Some((length, strided.start() as Aint, datatype)))
        }
        Layout::Runs(runs) => {
            let runs = runs.as_slice();
            let lengths: Result<Vec<c_int>, _> = runs.iter().map(|run| c_int::try_from(run.len)).collect();
            let (Ok(count), Ok(lengths)) = (c_int::try_from(runs.len()), lengths) else { return Ok(None) };
            let places: Vec<Aint> = runs.iter().map(|run| run.start as Aint).collect();
            let (byte, mut made) = (library.constants().byte, Datatype::UNSET);
            // SAFETY: MPI is active; the arrays have `count` elements.
            unsafe {
                library.type_create_hindexed(count, lengths.as_ptr(), places.as_ptr(), byte, &mut made)?;
            }
            steps.made.push(made);
            Ok(Some((1, 0, made)))
        }
    }
}
