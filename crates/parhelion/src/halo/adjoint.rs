//! The transpose of the halo exchange: what halos hold goes back to the owners, who combine it with what they have.
//!
//! With `A` the exchange as a linear map from owned cells to owned cells and halos, `exchange_adjoint(Op::Sum)` is its
//! transpose: `<A x, y> = <x, Aᵀ y>`. The contributions to a cell are combined in a fixed order, on every scheme and
//! backend: the owner's own value first, then those of the other ranks by rank (those of periodic images on the owner's own
//! rank in their place among them), then in the order of the plan.

use std::fmt;

use parhelion_comm::{Element, Error, ErrorKind, Kernel, Op, Reduction, Result};

use super::fields::Fields;
use super::in_flight::{InFlight, carry_out};
use super::leg::Landing;
use super::pool::Way;

/// Combines the halo of `fields`, one array or several, into the owned cells it copies: `owner := owner op halo`, over all
/// copies in a fixed order, so that every scheme and backend gives the same bits. The halo stays as it is. Collective over
/// the communicator of the arrays; blocks until the neighbours have done the same.
///
/// For a closure, and one array: [`DistArray::exchange_adjoint`](crate::array::DistArray::exchange_adjoint).
///
/// # Errors
/// An operator that is not defined for an element type, or [`Op::Average`]; as [`exchange`](super::exchange). After the
/// latter the owned cells may have taken some contributions and not others.
pub fn exchange_adjoint<F: Fields>(fields: &mut F, op: Op) -> Result<()> {
    let kernels = kernels_of_each(fields, &op)?;
    carry_out(fields, Way::Adjoint, Landing::Combine(&kernels))
}

/// [`exchange_adjoint`] for one array, or vector, of `T` and any operator, also a closure whose first argument is what the owner has.
pub(crate) fn exchange_adjoint_of<T: Element, F: Fields>(array: &mut F, op: &impl Reduction<T>) -> Result<()> {
    let kernels = kernel_of_one(array, op)?;
    carry_out(array, Way::Adjoint, Landing::Combine(&kernels))
}

/// The transpose of a halo exchange that has started and not finished, with the operator `O`.
///
/// It owns the arrays, as [`InFlight`] does: halos, which are on their way to the owners or open to be read by them, can
/// neither be read nor written, and owned cells, which take the contributions in [`finish`](AdjointInFlight::finish) and not
/// before, can be read. Dropped or forgotten, it is as an [`InFlight`] that is.
#[must_use = "an exchange that is dropped is given up, with its arrays; finish it"]
pub struct AdjointInFlight<F: Fields, O> {
    flight: InFlight<F>,
    op: O,
    kernels: Kernels<F, O>,
}

/// The operator for each field: for all of them the same [`Op`], or for one array whatever there is.
type Kernels<F, O> = for<'a> fn(&F, &'a O) -> Result<Vec<Kernel<'a>>>;

impl<F: Fields, O> AdjointInFlight<F, O> {
    /// The owned cells as they were at the start.
    pub fn owned(&self) -> F::Owned<'_> {
        self.flight.owned()
    }

    /// Whether all that [`finish`](AdjointInFlight::finish) combines here has come. By some schemes it then still waits for the
    /// neighbours, who read this rank's halo in theirs. Does not block; makes progress, as far as the library below does so
    /// when asked.
    ///
    /// # Errors
    /// As [`InFlight::test`].
    pub fn test(&mut self) -> Result<bool> {
        self.flight.test()
    }

    /// Waits for the contributions, combines them as [`exchange_adjoint`] does, and gives the arrays back when no neighbour
    /// reads their halos any more. All ranks finish the adjoint exchanges that they have in flight in one order.
    ///
    /// # Errors
    /// A lost neighbour, a timeout, a deadlock. The arrays are then gone, and exchanges of their decomposition are refused. If
    /// the operator panics, the arrays are gone, too, and exchanges may be refused.
    pub fn finish(self) -> Result<F> {
        let kernels = (self.kernels)(self.flight.fields(), &self.op)?;
        self.flight.land(Landing::Combine(&kernels))
    }

    fn start(fields: F, op: O, kernels: Kernels<F, O>) -> Result<Self> {
        kernels(&fields, &op)?;
        Ok(AdjointInFlight { flight: InFlight::start(fields, Way::Adjoint)?, op, kernels })
    }
}

impl<F: Fields, O> fmt::Debug for AdjointInFlight<F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdjointInFlight").field("flight", &self.flight).finish_non_exhaustive()
    }
}

/// Starts [`exchange_adjoint`] of `fields`, one array or several: the halos are on their way to the owners, or open to be
/// read by them, when this returns. Collective over the communicator of the arrays; does not wait for neighbours, with the
/// exceptions and the order among ranks of [`start_exchange`](super::start_exchange).
///
/// For a closure, and one array:
/// [`DistArray::start_exchange_adjoint`](crate::array::DistArray::start_exchange_adjoint).
///
/// ```
/// use parhelion::halo::start_exchange_adjoint;
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let grid = Decomposition::new([12], &world)?.halo(1).periodic([true]);
///     let mut u = DistArray::full(&grid, 1.0)?;
///     u.exchange()?; // the halo, too
///     let inflight = start_exchange_adjoint(u, Op::Sum)?;
///     assert!(inflight.owned().iter().all(|&x| x == 1.0)); // as they were, while the halo travels
///     let u = inflight.finish()?;
///     assert_eq!(u.sum()?, 12.0 + 2.0 * world.size() as f64);
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
///
/// # Errors
/// As [`exchange_adjoint`]. The arrays are then gone.
pub fn start_exchange_adjoint<F: Fields>(fields: F, op: Op) -> Result<AdjointInFlight<F, Op>> {
    AdjointInFlight::start(fields, op, kernels_of_each)
}

/// [`start_exchange_adjoint`] for one array, or vector, of `T` and any operator.
pub(crate) fn start_exchange_adjoint_of<T, F, O>(array: F, op: O) -> Result<AdjointInFlight<F, O>>
where
    T: Element,
    F: Fields,
    O: Reduction<T>,
{
    AdjointInFlight::start(array, op, kernel_of_one::<T, F, O>)
}

fn kernels_of_each<'a, F: Fields>(fields: &F, op: &'a Op) -> Result<Vec<Kernel<'a>>> {
    let mut kernels = Vec::new();
    fields.push_kernels(op, &mut kernels)?;
    kernels.iter().try_for_each(check)?;
    Ok(kernels)
}

fn kernel_of_one<'a, T: Element, F, O: Reduction<T>>(_: &F, op: &'a O) -> Result<Vec<Kernel<'a>>> {
    let kernel = Kernel::of(op)?;
    check(&kernel)?;
    Ok(vec![kernel])
}

/// An average needs the number of contributions, which differs from cell to cell.
fn check(kernel: &Kernel<'_>) -> Result<()> {
    match kernel.op() {
        Some(Op::Average) => Err(Error::new(
            "exchange_adjoint",
            ErrorKind::UndefinedOp(
                "operator average is not defined for halo contributions, of which cells have different numbers; sum, and \
                 divide by the sum of ones"
                    .to_owned(),
            ),
        )),
        _ => Ok(()),
    }
}
