//! Krylov iterations with Jacobi preconditioning, written against what a distributed vector space must offer.
//!
//! Conjugate gradients: Hestenes and Stiefel 1952, preconditioned as in Saad, *Iterative Methods for Sparse Linear
//! Systems*, algorithm 9.1. BiCGSTAB: van der Vorst 1992, right-preconditioned, so that its residual is the true one.
//!
//! Inner products that are known at the same time travel in one reduction: two reductions an iteration for conjugate
//! gradients, three for BiCGSTAB. Every rank sees the same sums, so all take the same branches.

use crate::error::Result;

/// A matrix and its vectors, spread over ranks.
pub(crate) trait Space {
    /// Number of values this rank owns.
    fn owned(&self) -> usize;
    /// Length of a vector that the matrix can be applied to: owned values, then halo.
    fn length(&self) -> usize;
    /// The owned part of the inverse of the diagonal.
    fn inverse_diagonal(&self) -> &[f64];
    /// y := A x. Fills the halo of `x` first; `y` has the owned values only.
    fn apply(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<()>;
    /// The sums over all ranks.
    fn sum<const N: usize>(&mut self, parts: [f64; N]) -> Result<[f64; N]>;
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Relative to the norm of b.
    pub(crate) tolerance: f64,
    pub(crate) iterations: u64,
}

/// How an iteration ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) iterations: u64,
    /// |r| / |b| by the recurrence that the iteration watches; not finite if it broke down so.
    pub(crate) residual: f64,
    /// Why it ended without reaching the tolerance.
    pub(crate) failure: Option<String>,
}

/// Solves A x = b from x = 0 by conjugate gradients; `observe` hears the relative residual before the first iteration and
/// after each. Collective.
pub(crate) fn conjugate_gradients<S: Space, F: FnMut(u64, f64)>(
    space: &mut S,
    b: &[f64],
    x: &mut [f64],
    limits: Limits,
    mut observe: F,
) -> Result<Outcome> {
    let owned = space.owned();
    let mut r = b.to_vec();
    let mut p = vec![0.0; space.length()];
    let mut ap = vec![0.0; owned];

    let mut parts = [0.0; 2];
    for ((p, r), inverse) in p.iter_mut().zip(&r).zip(space.inverse_diagonal()) {
        *p = inverse * r;
        parts[0] += r * *p;
        parts[1] += r * r;
    }
    let [mut rz, rr] = space.sum(parts)?;
    let norm = rr.sqrt();
    let mut watch = match Watch::start(norm, limits, &mut observe) {
        Ok(watch) => watch,
        Err(outcome) => return Ok(outcome),
    };
    while !watch.done() {
        space.apply(&mut p, &mut ap)?;
        let [pap] = space.sum([dot(&p[..owned], &ap)])?;
        if !(rz.is_finite() && pap.is_finite()) {
            return Ok(watch.broken("an inner product is no longer a finite number".into()));
        }
        if rz <= 0.0 || pap <= 0.0 {
            return Ok(watch.broken(format!(
                "the matrix or its diagonal is not positive definite (p'Ap = {pap:.3e}, r'z = {rz:.3e}); \
                 try --solver bicgstab"
            )));
        }
        let alpha = rz / pap;
        let mut parts = [0.0; 2];
        let updates = x.iter_mut().zip(&mut r).zip(&p).zip(&ap).zip(space.inverse_diagonal());
        for ((((x, r), p), ap), inverse) in updates {
            *x += alpha * p;
            *r -= alpha * ap;
            parts[0] += *r * (inverse * *r);
            parts[1] += *r * *r;
        }
        let [next_rz, rr] = space.sum(parts)?;
        if watch.step(rr.sqrt() / norm) {
            break;
        }
        let beta = next_rz / rz;
        rz = next_rz;
        for ((p, r), inverse) in p.iter_mut().zip(&r).zip(space.inverse_diagonal()) {
            *p = inverse * r + beta * *p;
        }
    }
    Ok(watch.outcome())
}

/// Solves A x = b from x = 0 by BiCGSTAB, for matrices that are not symmetric. As [`conjugate_gradients`] else.
pub(crate) fn bicgstab<S: Space, F: FnMut(u64, f64)>(
    space: &mut S,
    b: &[f64],
    x: &mut [f64],
    limits: Limits,
    mut observe: F,
) -> Result<Outcome> {
    let owned = space.owned();
    let mut r = b.to_vec();
    let shadow = b.to_vec();
    let mut p = b.to_vec();
    // Preconditioned p and s, with room for the halo.
    let (mut p_hat, mut s_hat) = (vec![0.0; space.length()], vec![0.0; space.length()]);
    let (mut v, mut t) = (vec![0.0; owned], vec![0.0; owned]);

    let [mut rho] = space.sum([dot(&shadow, &r)])?;
    let norm = rho.sqrt();
    let mut watch = match Watch::start(norm, limits, &mut observe) {
        Ok(watch) => watch,
        Err(outcome) => return Ok(outcome),
    };
    while !watch.done() {
        scale(&mut p_hat, &p, space.inverse_diagonal());
        space.apply(&mut p_hat, &mut v)?;
        let [shadow_v] = space.sum([dot(&shadow, &v)])?;
        if shadow_v == 0.0 {
            return Ok(watch.broken("BiCGSTAB broke down: the shadow residual is orthogonal to A p".into()));
        }
        let alpha = rho / shadow_v;
        // r becomes s, the residual of the half step.
        for (r, v) in r.iter_mut().zip(&v) {
            *r -= alpha * v;
        }
        scale(&mut s_hat, &r, space.inverse_diagonal());
        space.apply(&mut s_hat, &mut t)?;
        let [ts, tt, ss] = space.sum([dot(&t, &r), dot(&t, &t), dot(&r, &r)])?;
        // When the half step is the solution, t is zero too; the second half would divide zero by zero.
        let half = ss.sqrt() / norm <= limits.tolerance;
        let omega = if half { 0.0 } else { ts / tt };
        let mut parts = [0.0; 2];
        for (x, (p_hat, s_hat)) in x.iter_mut().zip(p_hat.iter().zip(&s_hat)) {
            *x += alpha * p_hat + omega * s_hat;
        }
        for ((r, t), shadow) in r.iter_mut().zip(&t).zip(&shadow) {
            if !half {
                *r -= omega * t;
            }
            parts[0] += *r * *r;
            parts[1] += shadow * *r;
        }
        let [rr, next_rho] = space.sum(parts)?;
        if watch.step(rr.sqrt() / norm) {
            break;
        }
        if next_rho == 0.0 || omega == 0.0 {
            return Ok(watch.broken("BiCGSTAB broke down: the shadow residual is orthogonal to the residual".into()));
        }
        let beta = (next_rho / rho) * (alpha / omega);
        rho = next_rho;
        for ((p, r), v) in p.iter_mut().zip(&r).zip(&v) {
            *p = r + beta * (*p - omega * v);
        }
    }
    Ok(watch.outcome())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn scale(out: &mut [f64], values: &[f64], factors: &[f64]) {
    for ((out, value), factor) in out.iter_mut().zip(values).zip(factors) {
        *out = value * factor;
    }
}

/// Counts iterations and decides when to stop.
struct Watch<F> {
    limits: Limits,
    iterations: u64,
    residual: f64,
    observe: F,
}

impl<F: FnMut(u64, f64)> Watch<F> {
    /// The watch, or how the solve ends before it starts: x = 0 solves b = 0.
    fn start(norm: f64, limits: Limits, mut observe: F) -> Result<Self, Outcome> {
        if norm == 0.0 {
            return Err(Outcome { iterations: 0, residual: 0.0, failure: None });
        }
        if !norm.is_finite() {
            let failure = Some("the norm of b is not finite; scale the system down".into());
            return Err(Outcome { iterations: 0, residual: norm, failure });
        }
        observe(0, 1.0);
        Ok(Self { limits, iterations: 0, residual: 1.0, observe })
    }

    /// Whether no iteration may follow.
    fn done(&self) -> bool {
        self.iterations >= self.limits.iterations
    }

    /// Records an iteration; true if it was the last, because it converged or because nothing can come of it.
    fn step(&mut self, residual: f64) -> bool {
        self.iterations += 1;
        self.residual = residual;
        (self.observe)(self.iterations, residual);
        residual <= self.limits.tolerance || !residual.is_finite()
    }

    fn broken(self, failure: String) -> Outcome {
        Outcome { iterations: self.iterations, residual: self.residual, failure: Some(failure) }
    }

    fn outcome(self) -> Outcome {
        let failure = if self.residual <= self.limits.tolerance {
            None
        } else if !self.residual.is_finite() {
            Some("the residual is no longer a finite number".into())
        } else {
            Some(format!("the tolerance {:e} was not reached", self.limits.tolerance))
        };
        Outcome { iterations: self.iterations, residual: self.residual, failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::csr::Csr;
    use crate::matrix::market::{Coordinate, Entry};
    use crate::matrix::poisson::Poisson;

    /// One rank, nothing to communicate.
    struct Alone {
        matrix: Csr,
        inverse: Vec<f64>,
    }

    impl Alone {
        fn new(matrix: Csr) -> Self {
            let inverse = (0..matrix.rows()).map(|row| matrix.at(row, row).recip()).collect();
            Self { matrix, inverse }
        }

        fn dense<const N: usize>(rows: [[f64; N]; N]) -> Self {
            let entry =
                |row: usize, column: usize| Entry { row: row as u32, column: column as u32, value: rows[row][column] };
            let entries = (0..N * N).map(|i| entry(i / N, i % N)).collect();
            let coordinate = Coordinate { rows: N as u32, columns: N as u32, entries, size_line: 2 };
            Self::new(Csr::assemble(&coordinate).unwrap())
        }
    }

    impl Space for Alone {
        fn owned(&self) -> usize {
            self.inverse.len()
        }
        fn length(&self) -> usize {
            self.inverse.len()
        }
        fn inverse_diagonal(&self) -> &[f64] {
            &self.inverse
        }
        fn apply(&mut self, x: &mut [f64], y: &mut [f64]) -> Result<()> {
            for (row, y) in y.iter_mut().enumerate() {
                let range = self.matrix.range(row as u32);
                let entries = self.matrix.columns[range.clone()].iter().zip(&self.matrix.values[range]);
                *y = entries.map(|(&column, value)| value * x[column as usize]).sum();
            }
            Ok(())
        }
        fn sum<const N: usize>(&mut self, parts: [f64; N]) -> Result<[f64; N]> {
            Ok(parts)
        }
    }

    const LIMITS: Limits = Limits { tolerance: 1e-10, iterations: 1000 };

    #[test]
    fn conjugate_gradients_solve_poisson() {
        let poisson = Poisson::new(6).unwrap();
        let mut space = Alone::new(poisson.assemble(0..216));
        let (mut ones, mut b, mut x) = (vec![1.0; 216], vec![0.0; 216], vec![0.0; 216]);
        space.apply(&mut ones, &mut b).unwrap();
        let mut heard = Vec::new();
        let outcome = conjugate_gradients(&mut space, &b, &mut x, LIMITS, |_, r| heard.push(r)).unwrap();
        assert_eq!(outcome.failure, None);
        assert_eq!(heard.len() as u64, outcome.iterations + 1);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8) && outcome.iterations < 30);
    }

    #[test]
    fn bicgstab_solves_what_is_not_symmetric() {
        let mut space = Alone::dense([[4.0, 1.0, 0.5], [-2.0, 5.0, 1.0], [0.0, 3.0, 6.0]]);
        let mut x = vec![0.0; 3];
        let outcome = bicgstab(&mut space, &[5.5, 4.0, 9.0], &mut x, LIMITS, |_, _| ()).unwrap();
        assert_eq!(outcome.failure, None);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{x:?}");
    }

    #[test]
    fn bicgstab_stops_at_the_half_step_of_a_diagonal_matrix() {
        let mut space = Alone::dense([[2.0, 0.0], [0.0, 5.0]]);
        let mut x = vec![0.0; 2];
        let outcome = bicgstab(&mut space, &[2.0, 5.0], &mut x, LIMITS, |_, _| ()).unwrap();
        assert_eq!((outcome.iterations, outcome.failure, x), (1, None, vec![1.0, 1.0]));
    }

    #[test]
    fn what_cannot_converge_says_why() {
        let ends = |rows: [[f64; 2]; 2], b: [f64; 2], limits: Limits| {
            let mut x = vec![0.0; 2];
            let outcome = conjugate_gradients(&mut Alone::dense(rows), &b, &mut x, limits, |_, _| ()).unwrap();
            outcome.failure.unwrap()
        };
        assert!(ends([[1.0, 2.0], [2.0, 1.0]], [1.0, -1.0], LIMITS).contains("positive definite"));
        assert!(ends([[-1.0, 0.0], [0.0, -1.0]], [1.0, 1.0], LIMITS).contains("positive definite"));
        assert!(ends([[2.0, 1.0], [1.0, 3.0]], [1.0, 1.0], Limits { iterations: 1, ..LIMITS }).contains("not reached"));
        assert!(ends([[1.0, 0.0], [0.0, 1.0]], [1e200, 0.0], LIMITS).contains("norm of b"));
    }

    #[test]
    fn a_zero_right_hand_side_needs_no_iteration() {
        for solver in [conjugate_gradients::<Alone, _>, bicgstab::<Alone, _>] {
            let mut x = vec![0.0; 2];
            let outcome = solver(
                &mut Alone::dense([[2.0, 1.0], [1.0, 2.0]]),
                &[0.0; 2],
                &mut x,
                LIMITS,
                (|_, _| ()) as fn(u64, f64),
            );
            assert_eq!(outcome.unwrap(), Outcome { iterations: 0, residual: 0.0, failure: None });
        }
    }
}
