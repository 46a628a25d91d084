//! Krylov iterations with Jacobi preconditioning, for any number of right-hand sides at once.
//!
//! Conjugate gradients: Hestenes and Stiefel 1952, preconditioned as in Saad, *Iterative Methods for Sparse Linear
//! Systems*, algorithm 9.1. BiCGSTAB: van der Vorst 1992, right-preconditioned, so that its residual is the true one.
//!
//! Inner products that are known at the same time travel in one reduction, those of all columns together: two reductions an
//! iteration for conjugate gradients, three for BiCGSTAB. Every rank sees the same sums, so all take the same branches. The
//! columns share the matrix and the messages and nothing else: each has scalars of its own, is done by itself, and is left
//! alone from then on.
//!
//! Loops go row by row through blocks of `K` columns, or of as many as the operator has where `K` is [`ANY`]: for one column
//! they are compiled without loops over columns.

use super::operator::{Block, Operator};
use crate::error::Result;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Relative to the norm of b.
    pub(crate) tolerance: f64,
    pub(crate) iterations: u64,
}

/// How the iteration of a column ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) iterations: u64,
    /// |r| / |b| by the recurrence that the iteration watches; not finite if it broke down so.
    pub(crate) residual: f64,
    /// Why it ended without reaching the tolerance.
    pub(crate) failure: Option<String>,
}

/// A number of columns that is not known when the loops are compiled.
const ANY: usize = 0;

/// Solves A x = b from x = 0 by conjugate gradients, column by column; `observe` hears the largest relative residual before
/// the first iteration and after each. `b` is this rank's rows. Collective.
pub(crate) fn conjugate_gradients(
    operator: &mut Operator,
    b: &[f64],
    x: &mut Block,
    limits: Limits,
    observe: impl FnMut(u64, f64),
) -> Result<Vec<Outcome>> {
    match operator.columns() {
        1 => cg::<1>(operator, b, x, limits, observe),
        _ => cg::<ANY>(operator, b, x, limits, observe),
    }
}

/// Solves A x = b from x = 0 by BiCGSTAB, for matrices that are not symmetric. As [`conjugate_gradients`] else.
pub(crate) fn bicgstab(
    operator: &mut Operator,
    b: &[f64],
    x: &mut Block,
    limits: Limits,
    observe: impl FnMut(u64, f64),
) -> Result<Vec<Outcome>> {
    match operator.columns() {
        1 => stab::<1>(operator, b, x, limits, observe),
        _ => stab::<ANY>(operator, b, x, limits, observe),
    }
}

fn cg<const K: usize>(
    operator: &mut Operator,
    b: &[f64],
    x: &mut Block,
    limits: Limits,
    observe: impl FnMut(u64, f64),
) -> Result<Vec<Outcome>> {
    let (k, owned) = (width::<K>(operator), operator.owned());
    let mut r = b.to_vec();
    let mut p = operator.block();
    let mut ap = operator.block();

    let mut parts = vec![0.0; 2 * k];
    let (rz_parts, rr_parts) = parts.split_at_mut(k);
    let nonzeros = nonzeros::<K>(k, b);
    let rows = p.as_mut_slice()[..owned].chunks_exact_mut(k).zip(r.chunks_exact(k));
    for ((p, r), inverse) in rows.zip(operator.inverse_diagonal()) {
        for j in 0..k {
            p[j] = inverse * r[j];
            rz_parts[j] += r[j] * p[j];
            rr_parts[j] += r[j] * r[j];
        }
    }
    parts.extend(nonzeros);
    operator.sum(&mut parts)?;
    let mut rz = parts[..k].to_vec();
    let (squares, nonzeros) = parts[k..].split_at(k);
    let mut watch = Watch::start(squares, nonzeros, limits, observe);
    parts.truncate(2 * k);
    let (mut alpha, mut beta, mut residuals) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
    while watch.goes_on() {
        p = operator.apply(p, &mut ap)?;
        let mut pap = dots::<K>(k, &p.as_slice()[..owned], &ap.as_slice()[..owned]);
        operator.sum(&mut pap)?;
        for j in watch.active() {
            let (rz, pap) = (rz[j], pap[j]);
            alpha[j] = rz / pap;
            if !(rz.is_finite() && pap.is_finite()) {
                watch.break_off(j, "an inner product is no longer a finite number".into());
            } else if rz <= 0.0 || pap <= 0.0 {
                watch.break_off(
                    j,
                    format!(
                        "the matrix or its diagonal is not positive definite (p'Ap = {pap:.3e}, r'z = {rz:.3e}); \
                         try --solver bicgstab"
                    ),
                );
            }
        }
        if !watch.goes_on() {
            break;
        }
        parts.fill(0.0);
        let (rz_parts, rr_parts) = parts.split_at_mut(k);
        let active = watch.mask();
        let updates = x.as_mut_slice()[..owned].chunks_exact_mut(k).zip(r.chunks_exact_mut(k));
        let directions = p.as_slice().chunks_exact(k).zip(ap.as_slice().chunks_exact(k));
        for (((x, r), (p, ap)), inverse) in updates.zip(directions).zip(operator.inverse_diagonal()) {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                x[j] += alpha[j] * p[j];
                r[j] -= alpha[j] * ap[j];
                rz_parts[j] += r[j] * (inverse * r[j]);
                rr_parts[j] += r[j] * r[j];
            }
        }
        operator.sum(&mut parts)?;
        watch.relative(&parts[k..], &mut residuals);
        watch.step(&residuals);
        for j in 0..k {
            beta[j] = parts[j] / rz[j];
            rz[j] = parts[j];
        }
        let active = watch.mask();
        let rows = p.as_mut_slice()[..owned].chunks_exact_mut(k).zip(r.chunks_exact(k));
        for ((p, r), inverse) in rows.zip(operator.inverse_diagonal()) {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                p[j] = inverse * r[j] + beta[j] * p[j];
            }
        }
    }
    Ok(watch.outcomes())
}

fn stab<const K: usize>(
    operator: &mut Operator,
    b: &[f64],
    x: &mut Block,
    limits: Limits,
    observe: impl FnMut(u64, f64),
) -> Result<Vec<Outcome>> {
    let (k, owned) = (width::<K>(operator), operator.owned());
    let mut r = b.to_vec();
    let shadow = b.to_vec();
    let mut p = b.to_vec();
    // Preconditioned p and s, with room for the halo.
    let (mut p_hat, mut s_hat) = (operator.block(), operator.block());
    let (mut v, mut t) = (operator.block(), operator.block());

    let mut rho = dots::<K>(k, &shadow, &r);
    rho.extend(nonzeros::<K>(k, b));
    operator.sum(&mut rho)?;
    let mut watch = Watch::start(&rho[..k], &rho[k..], limits, observe);
    rho.truncate(k);
    let (mut alpha, mut omega, mut beta) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
    let (mut half, mut residuals) = (vec![false; k], vec![0.0; k]);
    while watch.goes_on() {
        scale::<K>(k, &mut p_hat.as_mut_slice()[..owned], &p, operator.inverse_diagonal());
        p_hat = operator.apply(p_hat, &mut v)?;
        let mut shadow_v = dots::<K>(k, &shadow, &v.as_slice()[..owned]);
        operator.sum(&mut shadow_v)?;
        for j in watch.active() {
            alpha[j] = rho[j] / shadow_v[j];
            if shadow_v[j] == 0.0 {
                watch.break_off(j, "BiCGSTAB broke down: the shadow residual is orthogonal to A p".into());
            }
        }
        if !watch.goes_on() {
            break;
        }
        // r becomes s, the residual of the half step.
        let active = watch.mask();
        for (r, v) in r.chunks_exact_mut(k).zip(v.as_slice().chunks_exact(k)) {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                r[j] -= alpha[j] * v[j];
            }
        }
        scale::<K>(k, &mut s_hat.as_mut_slice()[..owned], &r, operator.inverse_diagonal());
        s_hat = operator.apply(s_hat, &mut t)?;
        let t_owned = &t.as_slice()[..owned];
        let mut sums = [dots::<K>(k, t_owned, &r), dots::<K>(k, t_owned, t_owned), dots::<K>(k, &r, &r)].concat();
        operator.sum(&mut sums)?;
        let (ts, rest) = sums.split_at(k);
        let (tt, ss) = rest.split_at(k);
        watch.relative(ss, &mut residuals);
        for j in 0..k {
            // When the half step is the solution, t is zero too; the second half would divide zero by zero.
            half[j] = residuals[j] <= limits.tolerance;
            omega[j] = if half[j] { 0.0 } else { ts[j] / tt[j] };
        }
        let mut parts = vec![0.0; 2 * k];
        let (rr_parts, rho_parts) = parts.split_at_mut(k);
        let hats = p_hat.as_slice().chunks_exact(k).zip(s_hat.as_slice().chunks_exact(k));
        for (x, (p_hat, s_hat)) in x.as_mut_slice()[..owned].chunks_exact_mut(k).zip(hats) {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                x[j] += alpha[j] * p_hat[j] + omega[j] * s_hat[j];
            }
        }
        let rows = r.chunks_exact_mut(k).zip(t.as_slice().chunks_exact(k)).zip(shadow.chunks_exact(k));
        for ((r, t), shadow) in rows {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                if !half[j] {
                    r[j] -= omega[j] * t[j];
                }
                rr_parts[j] += r[j] * r[j];
                rho_parts[j] += shadow[j] * r[j];
            }
        }
        operator.sum(&mut parts)?;
        watch.relative(&parts[..k], &mut residuals);
        watch.step(&residuals);
        for j in watch.active() {
            let next = parts[k + j];
            if next == 0.0 || omega[j] == 0.0 {
                let text = "BiCGSTAB broke down: the shadow residual is orthogonal to the residual";
                watch.break_off(j, text.into());
            }
            beta[j] = (next / rho[j]) * (alpha[j] / omega[j]);
            rho[j] = next;
        }
        let active = watch.mask();
        for ((p, r), v) in p.chunks_exact_mut(k).zip(r.chunks_exact(k)).zip(v.as_slice().chunks_exact(k)) {
            for j in (0..k).filter(|&j| K == 1 || active[j]) {
                p[j] = r[j] + beta[j] * (p[j] - omega[j] * v[j]);
            }
        }
    }
    Ok(watch.outcomes())
}

fn width<const K: usize>(operator: &Operator) -> usize {
    if K == ANY { operator.columns() } else { K }
}

/// This rank's part of the inner product of each column.
#[inline(always)]
fn dots<const K: usize>(k: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    if K == 1 {
        return vec![a.iter().zip(b).map(|(a, b)| a * b).sum()];
    }
    let mut sums = vec![0.0; k];
    for (a, b) in a.chunks_exact(k).zip(b.chunks_exact(k)) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
    sums
}

/// How many of this rank's numbers are not zero, for each column.
fn nonzeros<const K: usize>(k: usize, b: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; k];
    for b in b.chunks_exact(if K == ANY { k } else { K }) {
        counts.iter_mut().zip(b).for_each(|(count, &b)| *count += f64::from(u8::from(b != 0.0)));
    }
    counts
}

/// Multiplies each row by a factor of its own.
#[inline(always)]
fn scale<const K: usize>(k: usize, out: &mut [f64], values: &[f64], factors: &[f64]) {
    let k = if K == ANY { k } else { K };
    for ((out, values), factor) in out.chunks_exact_mut(k).zip(values.chunks_exact(k)).zip(factors) {
        out.iter_mut().zip(values).for_each(|(out, value)| *out = value * factor);
    }
}

/// Counts iterations and decides for each column when to stop.
struct Watch<F> {
    limits: Limits,
    iterations: u64,
    columns: Vec<Column>,
    active: Vec<bool>,
    observe: F,
}

struct Column {
    norm: f64,
    iterations: u64,
    residual: f64,
    failure: Option<String>,
}

impl<F: FnMut(u64, f64)> Watch<F> {
    /// The watch over columns of b with these squared norms and numbers of entries that are not zero. Some are done before
    /// they start: x = 0 solves b = 0.
    fn start(squares: &[f64], nonzeros: &[f64], limits: Limits, mut observe: F) -> Self {
        // Squares of residuals below this have lost digits, or are zero where the residual is not.
        let smallest = f64::MIN_POSITIVE.sqrt() / limits.tolerance.clamp(f64::EPSILON, 1.0);
        let column = |(square, nonzeros): (&f64, &f64)| {
            let norm = square.sqrt();
            let (residual, failure) = match norm {
                _ if *nonzeros == 0.0 => (0.0, None),
                _ if norm < smallest => (1.0, Some("the norm of b is too small to square; scale the system up".into())),
                _ if norm.is_finite() => (1.0, None),
                _ => (norm, Some("the norm of b is not finite; scale the system down".into())),
            };
            Column { norm, iterations: 0, residual, failure }
        };
        let columns: Vec<Column> = squares.iter().zip(nonzeros).map(column).collect();
        let active: Vec<bool> =
            columns.iter().map(|column| column.residual == 1.0 && column.failure.is_none()).collect();
        if active.contains(&true) {
            observe(0, 1.0);
        }
        Self { limits, iterations: 0, columns, active, observe }
    }

    /// Whether another iteration may follow.
    fn goes_on(&self) -> bool {
        self.iterations < self.limits.iterations && self.active.contains(&true)
    }

    /// The columns that are not done.
    fn active(&self) -> Vec<usize> {
        (0..self.active.len()).filter(|&j| self.active[j]).collect()
    }

    /// Which columns are not done.
    fn mask(&self) -> &[bool] {
        &self.active
    }

    /// Relative residuals of squared ones.
    fn relative(&self, squares: &[f64], residuals: &mut [f64]) {
        let columns = residuals.iter_mut().zip(squares).zip(&self.columns);
        columns.for_each(|((residual, square), column)| *residual = square.sqrt() / column.norm);
    }

    /// Records an iteration. It was the last of the columns that converged, or of which nothing can come.
    fn step(&mut self, residuals: &[f64]) {
        self.iterations += 1;
        for (j, &residual) in residuals.iter().enumerate().filter(|&(j, _)| self.active[j]) {
            (self.columns[j].iterations, self.columns[j].residual) = (self.iterations, residual);
        }
        for j in self.active() {
            let residual = residuals[j];
            self.active[j] = residual > self.limits.tolerance && residual.is_finite();
        }
        (self.observe)(self.iterations, worst(self.columns.iter().map(|column| column.residual)));
    }

    fn break_off(&mut self, column: usize, failure: String) {
        self.active[column] = false;
        self.columns[column].failure = Some(failure);
    }

    fn outcomes(self) -> Vec<Outcome> {
        let tolerance = self.limits.tolerance;
        let outcome = |Column { iterations, residual, failure, .. }: Column| {
            let failure = failure.or_else(|| {
                if residual <= tolerance {
                    None
                } else if !residual.is_finite() {
                    Some("the residual is no longer a finite number".into())
                } else {
                    Some(format!("the tolerance {tolerance:e} was not reached"))
                }
            });
            Outcome { iterations, residual, failure }
        };
        self.columns.into_iter().map(outcome).collect()
    }
}

/// The largest; what is no number is the worst of all.
pub(crate) fn worst(residuals: impl IntoIterator<Item = f64>) -> f64 {
    residuals.into_iter().fold(0.0, |a: f64, b| if a > b || a.is_nan() { a } else { b })
}

#[cfg(test)]
mod tests {
    use parhelion::{BackendKind, Config};

    use super::*;
    use crate::matrix::csr::Csr;
    use crate::matrix::market::{Coordinate, Entry};
    use crate::matrix::poisson::Poisson;
    use crate::matrix::split::Split;

    fn dense<const N: usize>(rows: [[f64; N]; N]) -> Csr {
        let entry =
            |row: usize, column: usize| Entry { row: row as u32, column: column as u32, value: rows[row][column] };
        let entries = (0..N * N).map(|i| entry(i / N, i % N)).collect();
        let coordinate = Coordinate { rows: N as u32, columns: N as u32, entries, size_line: 2 };
        Csr::assemble(&coordinate).unwrap()
    }

    const LIMITS: Limits = Limits { tolerance: 1e-10, iterations: 1000 };

    #[derive(Clone, Copy, PartialEq)]
    enum Method {
        Cg,
        Stab,
    }

    /// Outcomes, residuals heard, and x by rows, at one rank.
    fn solve(matrix: &Csr, method: Method, b: &[f64], limits: Limits) -> (Vec<Outcome>, Vec<f64>, Vec<f64>) {
        let config = Config::default().ranks(1).backend(BackendKind::Local);
        let columns = b.len() / matrix.rows() as usize;
        let solved = parhelion::launch(&config, |world| {
            let split = Split::balanced(matrix.rows(), 1);
            let mut operator = Operator::new(&world, &split, matrix, columns, true)?;
            let (mut x, mut heard) = (operator.block(), Vec::new());
            let hear = |_, residual| heard.push(residual);
            let outcomes = match method {
                Method::Cg => conjugate_gradients(&mut operator, b, &mut x, limits, hear)?,
                Method::Stab => bicgstab(&mut operator, b, &mut x, limits, hear)?,
            };
            Ok::<_, crate::error::Error>((outcomes, heard, x.as_slice().to_vec()))
        });
        solved.unwrap().remove(0)
    }

    fn times_ones(matrix: &Csr) -> Vec<f64> {
        (0..matrix.rows()).map(|row| matrix.values[matrix.range(row)].iter().sum()).collect()
    }

    #[test]
    fn conjugate_gradients_solve_poisson() {
        let matrix = Poisson::new(6).unwrap().assemble(0..216);
        let (outcomes, heard, x) = solve(&matrix, Method::Cg, &times_ones(&matrix), LIMITS);
        assert_eq!(outcomes[0].failure, None);
        assert_eq!(heard.len() as u64, outcomes[0].iterations + 1);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8) && outcomes[0].iterations < 30);
    }

    #[test]
    fn bicgstab_solves_what_is_not_symmetric() {
        let matrix = dense([[4.0, 1.0, 0.5], [-2.0, 5.0, 1.0], [0.0, 3.0, 6.0]]);
        let (outcomes, _, x) = solve(&matrix, Method::Stab, &[5.5, 4.0, 9.0], LIMITS);
        assert_eq!(outcomes[0].failure, None);
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{x:?}");
    }

    #[test]
    fn bicgstab_stops_at_the_half_step_of_a_diagonal_matrix() {
        let (outcomes, _, x) = solve(&dense([[2.0, 0.0], [0.0, 5.0]]), Method::Stab, &[2.0, 5.0], LIMITS);
        assert_eq!((outcomes[0].iterations, &outcomes[0].failure, x), (1, &None, vec![1.0, 1.0]));
    }

    #[test]
    fn what_cannot_converge_says_why() {
        let ends = |rows: [[f64; 2]; 2], b: [f64; 2], limits: Limits| {
            solve(&dense(rows), Method::Cg, &b, limits).0.remove(0).failure.unwrap()
        };
        assert!(ends([[1.0, 2.0], [2.0, 1.0]], [1.0, -1.0], LIMITS).contains("positive definite"));
        assert!(ends([[-1.0, 0.0], [0.0, -1.0]], [1.0, 1.0], LIMITS).contains("positive definite"));
        assert!(ends([[2.0, 1.0], [1.0, 3.0]], [1.0, 1.0], Limits { iterations: 1, ..LIMITS }).contains("not reached"));
        assert!(ends([[1.0, 0.0], [0.0, 1.0]], [1e200, 0.0], LIMITS).contains("norm of b"));
        assert!(ends([[1.0, 0.0], [0.0, 1.0]], [1e-170, 0.0], LIMITS).contains("norm of b is too small"));
        assert!(ends([[1.0, 0.0], [0.0, 1.0]], [0.0, 1e-150], LIMITS).contains("norm of b is too small"));
    }

    #[test]
    fn a_right_hand_side_as_small_as_can_be_squared_is_solved() {
        for method in [Method::Cg, Method::Stab] {
            let (outcomes, _, x) = solve(&dense([[2.0, 1.0], [1.0, 3.0]]), method, &[3e-140, 4e-140], LIMITS);
            assert_eq!(outcomes[0].failure, None);
            assert!(x.iter().all(|x| (x / 1e-140 - 1.0).abs() < 1e-8), "{x:?}");
        }
    }

    #[test]
    fn a_zero_right_hand_side_needs_no_iteration() {
        for method in [Method::Cg, Method::Stab] {
            let (outcomes, heard, _) = solve(&dense([[2.0, 1.0], [1.0, 2.0]]), method, &[0.0; 2], LIMITS);
            assert_eq!(outcomes, [Outcome { iterations: 0, residual: 0.0, failure: None }]);
            assert!(heard.is_empty());
        }
    }

    #[test]
    fn columns_together_end_as_each_alone_to_the_last_bit() {
        let matrix = Poisson::new(5).unwrap().assemble(0..125);
        // Nothing to do, few iterations, many, and a norm that is not finite.
        let number = |row: usize, column: usize| match column {
            0 => 0.0,
            1 => 1.0,
            2 => ((row * row * 7) % 23) as f64 - 11.0,
            _ => 1e200,
        };
        for method in [Method::Cg, Method::Stab] {
            let b: Vec<f64> = (0..125).flat_map(|row| (0..4).map(move |column| number(row, column))).collect();
            let (together, heard, x) = solve(&matrix, method, &b, LIMITS);
            for (column, outcome) in together.iter().enumerate() {
                let b: Vec<f64> = (0..125).map(|row| number(row, column)).collect();
                let (alone, _, alone_x) = solve(&matrix, method, &b, LIMITS);
                let mine: Vec<f64> = x.iter().skip(column).step_by(4).copied().collect();
                assert_eq!(outcome.iterations, alone[0].iterations, "column {column}");
                assert_eq!(outcome.failure, alone[0].failure, "column {column}");
                assert_eq!(mine.bits(), alone_x.bits(), "column {column}");
            }
            let most = together.iter().map(|outcome| outcome.iterations).max().unwrap();
            assert_eq!(heard.len() as u64, most + 1);
            assert!(together[1].iterations < together[2].iterations, "{together:?}");
        }
    }

    trait Bits {
        fn bits(&self) -> Vec<u64>;
    }

    impl Bits for Vec<f64> {
        fn bits(&self) -> Vec<u64> {
            self.iter().map(|x| x.to_bits()).collect()
        }
    }

    #[test]
    fn one_column_that_breaks_down_leaves_the_others_alone() {
        // Indefinite: the first direction of column 0 has no positive curvature, that of column 1 has.
        let matrix = dense([[1.0, 2.0], [2.0, 1.0]]);
        let (outcomes, _, x) = solve(&matrix, Method::Cg, &[1.0, 3.0, -1.0, 3.0], LIMITS);
        assert!(outcomes[0].failure.as_ref().unwrap().contains("positive definite"));
        assert_eq!((&outcomes[1].failure, outcomes[1].iterations), (&None, 1));
        assert_eq!(x, [0.0, 1.0, 0.0, 1.0]);
    }
}
