//! The default start, and what the heat equation makes of it: products of sines on the periodic unit square or cube.
//!
//! With diffusivity 1 the mode `sin(2πk₀x₀) sin(2πk₁x₁) …` decays by `exp(-4π²(k₀² + k₁² + …)t)`.

use std::f64::consts::TAU;

/// Amplitude and wave numbers of each mode, as many of the numbers as there are axes.
const MODES: [(f64, [f64; 3]); 2] = [(1.0, [1.0, 1.0, 1.0]), (0.5, [3.0, 2.0, 1.0])];

/// The exact solution at `time` in the middle of the cell `index` of a grid of `shape`.
pub(crate) fn exact<const D: usize>(shape: [usize; D], index: [i64; D], time: f64) -> f64 {
    let mut value = 0.0;
    for (amplitude, waves) in MODES {
        let (mut mode, mut rate) = (amplitude, 0.0);
        for axis in 0..D {
            let place = (index[axis] as f64 + 0.5) / shape[axis] as f64;
            mode *= (TAU * waves[axis] * place).sin();
            rate += (TAU * waves[axis]).powi(2);
        }
        value += mode * (-rate * time).exp();
    }
    value
}

/// No value of any start is beyond this.
pub(crate) const LARGEST: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_satisfies_the_equation() {
        let (shape, index, time, dt) = ([1 << 12, 1 << 12], [700, 1900], 1e-3, 1e-7);
        let at = |di: i64, dj: i64, t| exact(shape, [index[0] + di, index[1] + dj], t);
        let spacing = 1.0 / shape[0] as f64;
        let centre = at(0, 0, time);
        let laplacian =
            (at(1, 0, time) + at(-1, 0, time) + at(0, 1, time) + at(0, -1, time) - 4.0 * centre) / spacing.powi(2);
        let rate = (at(0, 0, time + dt) - at(0, 0, time - dt)) / (2.0 * dt);
        assert!(rate.abs() > 1.0 && (rate - laplacian).abs() < 1e-3 * rate.abs(), "{rate} {laplacian}");
    }
}
