//! The choice of a process grid: exhaustive over all ways to write the number of ranks as a product.

/// What the choice depends on.
pub(super) struct Choice<const D: usize> {
    pub(super) size: usize,
    pub(super) shape: [usize; D],
    pub(super) widths: [[usize; 2]; D],
    pub(super) periodic: [bool; D],
    /// Extents that are given already.
    pub(super) fixed: [Option<usize>; D],
}

/// How bad a grid is, first things first: ranks without cells, halo cells of the busiest rank, halo cells of all ranks
/// together, cells of the largest block.
type Cost = (u128, u128, u128, u128);

impl<const D: usize> Choice<D> {
    /// The grid of least cost; of equal ones the one that cuts the first axes most, whose faces are contiguous.
    /// `None` where no grid has the fixed extents.
    pub(super) fn best(&self) -> Option<[usize; D]> {
        let divisors: Vec<usize> =
            (1..=self.size).take_while(|d| d * d <= self.size).filter(|&d| self.size.is_multiple_of(d)).collect();
        let divisors: Vec<usize> = divisors
            .iter()
            .copied()
            .chain(divisors.iter().rev().map(|d| self.size / d).filter(|d| d * d > self.size))
            .collect();
        let mut best = None;
        self.search(0, self.size, &mut [1; D], &divisors, &mut best);
        best.map(|(_, grid)| grid)
    }

    fn search(
        &self,
        axis: usize,
        left: usize,
        grid: &mut [usize; D],
        divisors: &[usize],
        best: &mut Option<(Cost, [usize; D])>,
    ) {
        if axis == D {
            if left == 1 {
                let cost = self.cost(grid);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    *best = Some((cost, *grid));
                }
            }
            return;
        }
        // What is left for the last axis is not a choice.
        let last = (axis + 1 == D).then_some(left);
        for &extent in divisors.iter().rev().filter(|&&d| left.is_multiple_of(d)) {
            if last.is_none_or(|last| last == extent) && self.fixed[axis].is_none_or(|fixed| fixed == extent) {
                grid[axis] = extent;
                self.search(axis + 1, left / extent, grid, divisors, best);
            }
        }
    }

    fn cost(&self, grid: &[usize; D]) -> Cost {
        let product =
            |factors: &mut dyn Iterator<Item = usize>| factors.fold(1u128, |p, n| p.saturating_mul(n as u128));
        // Without any halo, the grid is chosen as for a halo of one cell.
        let any = self.widths.iter().flatten().any(|&w| w > 0);
        let widths = |a: usize| if any { self.widths[a] } else { [1, 1] };
        let block = |a: usize| self.shape[a].div_ceil(grid[a]).max(1);
        let used = product(&mut (0..D).map(|a| grid[a].min(self.shape[a].max(1))));
        let (mut busiest, mut total) = (0u128, 0u128);
        for a in (0..D).filter(|&a| grid[a] > 1) {
            let [low, high] = widths(a).map(|w| w as u128);
            let faces = if grid[a] > 2 || self.periodic[a] { low.saturating_add(high) } else { low.max(high) };
            let cuts = (grid[a] - usize::from(!self.periodic[a])) as u128;
            let others = |of: &dyn Fn(usize) -> usize| product(&mut (0..D).filter(|&b| b != a).map(of));
            busiest = busiest.saturating_add(faces.saturating_mul(others(&block)));
            total = total.saturating_add(cuts.saturating_mul(low + high).saturating_mul(others(&|b| self.shape[b])));
        }
        (self.size as u128 - used, busiest, total, product(&mut (0..D).map(block)))
    }
}

#[cfg(test)]
mod tests {
    use super::Choice;

    fn best<const D: usize>(size: usize, shape: [usize; D]) -> [usize; D] {
        let choice = Choice { size, shape, widths: [[1; 2]; D], periodic: [false; D], fixed: [None; D] };
        choice.best().expect("nothing is fixed")
    }

    #[test]
    fn equal_sides_are_cut_into_near_cubes() {
        assert_eq!(best(1, [64, 64, 64]), [1, 1, 1]);
        assert_eq!(best(2, [64, 64, 64]), [2, 1, 1]);
        assert_eq!(best(4, [64, 64]), [2, 2]);
        assert_eq!(best(6, [64, 64, 64]), [3, 2, 1]);
        assert_eq!(best(8, [64, 64, 64]), [2, 2, 2]);
        assert_eq!(best(7, [64, 64]), [7, 1]);
        assert_eq!(best(256, [16, 16, 16, 16]), [4, 4, 4, 4]);
    }

    #[test]
    fn long_sides_are_cut_first_and_no_rank_is_left_without_cells_where_that_can_be() {
        assert_eq!(best(4, [10, 1000]), [1, 4]);
        assert_eq!(best(8, [4, 1000]), [1, 8]);
        assert_eq!(best(4, [2, 2]), [2, 2]);
        assert_eq!(best(4, [2, 3]), [2, 2]);
        assert_eq!(best(5, [0, 3]), [1, 5]);
    }

    #[test]
    fn the_busiest_rank_counts_before_all_ranks_together() {
        // In quarters a rank has 10 + 25 halo cells and all have 140; in four slabs the inner ones have 40, and all 120.
        assert_eq!(best(4, [50, 20]), [2, 2]);
    }

    #[test]
    fn an_axis_without_halo_is_cut_for_nothing() {
        let mut choice =
            Choice { size: 4, shape: [100, 100], widths: [[1, 1], [0, 0]], periodic: [true; 2], fixed: [None; 2] };
        assert_eq!(choice.best(), Some([1, 4]));
        choice.fixed = [Some(2), None];
        assert_eq!(choice.best(), Some([2, 2]));
        choice.fixed = [Some(3), None];
        assert_eq!(choice.best(), None);
    }

    #[test]
    fn large_numbers_of_ranks_are_factored_at_once() {
        let grid = best(720_720, [10_000; 4]);
        assert_eq!(grid.iter().product::<usize>(), 720_720);
        assert!(grid.iter().all(|&n| (20..45).contains(&n)), "{grid:?}");
    }
}
