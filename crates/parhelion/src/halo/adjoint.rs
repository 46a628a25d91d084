//! The transpose of the halo exchange: what halos hold goes back to the owners, who combine it with what they have.
//!
//! With `A` the exchange as a linear map from owned cells to owned cells and halos, `exchange_adjoint(Op::Sum)` is its
//! transpose: `<A x, y> = <x, Aᵀ y>`. The contributions to a cell are combined in a fixed order, on every scheme and
//! backend: the owner's own value first, then those of the other ranks by rank (those of periodic images on the owner's own
//! rank in their place among them), then in the order of the plan.

use parhelion_comm::{Element, Error, ErrorKind, Kernel, Op, Reduction, Result};

use super::fields::Fields;
use super::in_flight::carry_out;
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
    let mut kernels = Vec::new();
    fields.push_kernels(&op, &mut kernels)?;
    kernels.iter().try_for_each(check)?;
    carry_out(fields, Way::Adjoint, Landing::Combine(&kernels))
}

/// [`exchange_adjoint`] for one array, or vector, of `T` and any operator, also a closure whose first argument is what the owner has.
pub(crate) fn exchange_adjoint_of<T: Element, F: Fields>(array: &mut F, op: &impl Reduction<T>) -> Result<()> {
    let kernel = Kernel::of(op)?;
    check(&kernel)?;
    carry_out(array, Way::Adjoint, Landing::Combine(&[kernel]))
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
