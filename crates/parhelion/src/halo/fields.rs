//! [`Fields`]: what can be exchanged together.

use std::sync::Arc;

use parhelion_comm::{Element, ElementType, Kernel, Op, Result};

use super::exchange::Keep;
use super::leg::Buffer;
use super::pool::{EachField, Exchanges};
use crate::array::{DistArray, View};

/// One array or several, exchanged together in one message for each neighbour: a [`DistArray`], a [`DistVector`], a
/// [`DistMultiVector`], a [`PatchArray`], tuples of up to eight of them, and `Vec`s.
///
/// The arrays may differ in element type, number of axes, halo widths and shape; they share one communicator, and every
/// rank gives the same ones in the same order. The scheme is the first one's.
///
/// [`PatchArray`]: super::PatchArray
/// [`DistVector`]: crate::index::DistVector
/// [`DistMultiVector`]: crate::index::DistMultiVector
pub trait Fields: Sized + Clone + Send + 'static + sealed::Sealed {
    /// What can be read while the exchange is in flight: the owned cells.
    type Owned<'a>
    where
        Self: 'a;

    /// The owned cells.
    fn owned_cells(&self) -> Self::Owned<'_>;
}

pub(crate) mod sealed {
    use super::{Arc, Buffer, EachField, Exchanges, Keep, Kernel, Op, Result};

    /// What the exchange needs to know of its fields.
    ///
    /// # Safety
    /// - `each_field` shows the same fields, in the same order, at every call.
    /// - `push_buffers` adds, for every field shown, one buffer for each patch of its plan, in order, of the patch's length
    ///   in elements of the field's type; all are disjoint, and they stay where they are when `self` moves.
    pub unsafe trait Sealed {
        /// Makes the plans, where they are not made yet. Collective.
        fn prepare(&self) -> Result<()>;
        /// The exchanges of the first field; none if there are no fields.
        fn home(&self) -> Option<&Arc<Exchanges>>;
        /// Shows each field, after [`Sealed::prepare`].
        fn each_field(&self, each: EachField<'_>);
        /// Says where the buffers lie.
        fn push_buffers(&mut self, out: &mut Vec<Buffer>);
        /// Adds a kernel of `op` for each field, of its element type.
        fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()>;
        /// Adds the memory of the buffers and lets go of all else: an exchange that is given up keeps that memory, and would
        /// never be freed if that held on to the exchanges it is one of.
        fn push_memory(self, out: &mut Vec<Keep>)
        where
            Self: Sized;
    }

    /// The memory of `fields`.
    pub(crate) fn memory_of(fields: impl Sealed) -> Keep {
        let mut memory = Vec::new();
        fields.push_memory(&mut memory);
        Box::new(memory)
    }
}

impl<T: Element, const D: usize> Fields for DistArray<T, D> {
    type Owned<'a> = View<'a, T, D>;

    fn owned_cells(&self) -> View<'_, T, D> {
        self.owned()
    }
}

// SAFETY: a distributed array has one patch, its local part with the halo, in memory of its own that does not move with it.
unsafe impl<T: Element, const D: usize> sealed::Sealed for DistArray<T, D> {
    fn prepare(&self) -> Result<()> {
        self.decomposition().exchanges().prepare(|| self.decomposition().plan())
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        Some(self.decomposition().exchanges())
    }

    fn each_field(&self, each: EachField<'_>) {
        each(self.decomposition().exchanges(), ElementType::of::<T>());
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        out.push(Buffer::of(self.memory_mut()));
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        out.push(Kernel::of::<T>(op)?);
        Ok(())
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        out.push(Box::new(self.into_memory()));
    }
}

impl<F: Fields> Fields for Vec<F> {
    type Owned<'a> = Vec<F::Owned<'a>>;

    fn owned_cells(&self) -> Vec<F::Owned<'_>> {
        self.iter().map(F::owned_cells).collect()
    }
}

// SAFETY: the fields of its elements, in order; the elements are disjoint.
unsafe impl<F: Fields> sealed::Sealed for Vec<F> {
    fn prepare(&self) -> Result<()> {
        self.iter().try_for_each(F::prepare)
    }

    fn home(&self) -> Option<&Arc<Exchanges>> {
        self.iter().find_map(F::home)
    }

    fn each_field(&self, each: EachField<'_>) {
        self.iter().for_each(|fields| fields.each_field(each));
    }

    fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
        self.iter_mut().for_each(|fields| fields.push_buffers(out));
    }

    fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
        self.iter().try_for_each(|fields| fields.push_kernels(op, out))
    }

    fn push_memory(self, out: &mut Vec<Keep>) {
        self.into_iter().for_each(|fields| fields.push_memory(out));
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Fields),*> Fields for ($($name,)*) {
            type Owned<'a> = ($($name::Owned<'a>,)*);

            fn owned_cells(&self) -> Self::Owned<'_> {
                ($(self.$index.owned_cells(),)*)
            }
        }

        // SAFETY: the fields of its members, in order; the members are disjoint.
        unsafe impl<$($name: Fields),*> sealed::Sealed for ($($name,)*) {
            fn prepare(&self) -> Result<()> {
                $(self.$index.prepare()?;)*
                Ok(())
            }

            fn home(&self) -> Option<&Arc<Exchanges>> {
                None$(.or_else(|| self.$index.home()))*
            }

            fn each_field(&self, each: EachField<'_>) {
                $(self.$index.each_field(each);)*
            }

            fn push_buffers(&mut self, out: &mut Vec<Buffer>) {
                $(self.$index.push_buffers(out);)*
            }

            fn push_kernels<'a>(&self, op: &'a Op, out: &mut Vec<Kernel<'a>>) -> Result<()> {
                $(self.$index.push_kernels(op, out)?;)*
                Ok(())
            }

            fn push_memory(self, out: &mut Vec<Keep>) {
                $(self.$index.push_memory(out);)*
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, E 3);
tuple!(A 0, B 1, C 2, E 3, F 4);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6);
tuple!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7);
