//! An operator applied to elements of one type: [`Combiner`], the safe face of a kernel.

use std::marker::PhantomData;

use parhelion_comm::{Element, Error, ErrorKind, Kernel, Op, Reduction, Result};

/// An operator on elements of type `T`.
pub(super) struct Combiner<'a, T> {
    kernel: Kernel<'a>,
    element: PhantomData<fn(T, T) -> T>,
}

impl<'a, T: Element> Combiner<'a, T> {
    /// # Errors
    /// A built-in operator that is not defined for `T`, or the average, which is no operator on two cells.
    pub(super) fn of(op: &'a impl Reduction<T>) -> Result<Self> {
        let kernel = Kernel::of::<T>(op)?;
        if kernel.op() == Some(Op::Average) {
            let text = "average combines ranks, not cells; use mean(), or Op::Sum and divide";
            return Err(Error::new("reduce", ErrorKind::UndefinedOp(text.into())));
        }
        Ok(Combiner { kernel, element: PhantomData })
    }

    /// `acc[i] = acc[i] ∘ x[i]`.
    #[inline]
    pub(super) fn append(&self, acc: &mut [T], x: &[T]) {
        assert_eq!(acc.len(), x.len(), "slices of one length are combined");
        // SAFETY: the kernel was made for `T`; both slices have this many elements, and cannot overlap.
        unsafe { self.kernel.fold(acc.as_mut_ptr().cast(), x.as_ptr().cast(), acc.len()) }
    }

    /// `acc[i] = x[i] ∘ acc[i]`; `scratch` holds at least one element.
    pub(super) fn prepend(&self, acc: &mut [T], x: &[T], scratch: &mut [T]) {
        assert_eq!(acc.len(), x.len(), "slices of one length are combined");
        for (acc, x) in acc.chunks_mut(scratch.len()).zip(x.chunks(scratch.len())) {
            let result = &mut scratch[..x.len()];
            result.copy_from_slice(x);
            self.append(result, acc);
            acc.copy_from_slice(result);
        }
    }

    /// `a ∘ b`.
    #[inline]
    pub(super) fn one(&self, a: T, b: T) -> T {
        let mut acc = [a];
        self.append(&mut acc, &[b]);
        acc[0]
    }

    /// The combination of all elements, in an order that depends on their number only; `None` for no elements.
    pub(super) fn fold(&self, x: &[T]) -> Option<T> {
        const LANES: usize = 64;
        let Some((first, rest)) = x.split_first_chunk::<LANES>() else {
            return x.iter().copied().reduce(|a, b| self.one(a, b));
        };
        let mut lanes = *first;
        for chunk in rest.chunks(LANES) {
            self.append(&mut lanes[..chunk.len()], chunk);
        }
        let mut width = LANES / 2;
        while width > 0 {
            let (low, high) = lanes.split_at_mut(width);
            self.append(low, &high[..width]);
            width /= 2;
        }
        Some(lanes[0])
    }
}
