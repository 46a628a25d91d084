//! One explicit step of the heat equation.

use parhelion::array::{RegionsMut, View};

/// What the weights of all axes add up to; the step is stable below 1/2.
const STABLE: f64 = 0.4;

/// `u + Σ w (left - 2u + right)` over the axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stencil<const D: usize> {
    weights: [f64; D],
}

impl<const D: usize> Stencil<D> {
    /// For the unit square or cube cut into `shape` cells; and the time of one step, with diffusivity 1.
    pub(crate) fn of_unit_box(shape: [usize; D]) -> (Self, f64) {
        let squares = shape.map(|n| (n as f64).powi(2));
        let time = STABLE / squares.iter().sum::<f64>();
        (Self { weights: squares.map(|square| time * square) }, time)
    }

    /// For cells as long as wide.
    pub(crate) fn of_square_cells() -> Self {
        Self { weights: [STABLE / D as f64; D] }
    }

    /// Writes the cells of `to` from those around them in `from`.
    ///
    /// Each cell's value is computed by the same operations in the same order wherever it lies, so that it does not depend
    /// on how the grid is cut.
    pub(crate) fn apply(&self, from: View<'_, f64, D>, mut to: RegionsMut<'_, f64, D>) {
        to.for_each_row(|start, row| {
            let len = row.len();
            let at = |axis: usize, offset: i64| {
                let mut place = start;
                place[axis] += offset;
                &from.row(place, len)[..len]
            };
            let below: [&[f64]; D] = std::array::from_fn(|axis| at(axis, -1));
            let above: [&[f64]; D] = std::array::from_fn(|axis| at(axis, 1));
            let centre = at(0, 0);
            for k in 0..len {
                let mut change = 0.0;
                for axis in 0..D {
                    change += self.weights[axis] * ((below[axis][k] + above[axis][k]) - 2.0 * centre[k]);
                }
                row[k] = centre[k] + change;
            }
        });
    }
}
