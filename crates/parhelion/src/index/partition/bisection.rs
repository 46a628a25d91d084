//! Recursive coordinate bisection (Berger, Bokhari: A partitioning strategy for nonuniform problems on multiprocessors,
//! IEEE Transactions on Computers C-36, 1987): what is longest is halved.

use std::cmp::Ordering;

use parhelion_comm::Result;

use super::{Partition, check_weights, invalid};

impl Partition {
    /// Halves the points again and again, each time across the longest side of the box around them, into parts of equal
    /// numbers of points, or of about equal sums of `weights`. Parts without weights differ by one point at most. The same on
    /// every rank that gives the same points; n log n for n points and each halving.
    ///
    /// # Errors
    /// A coordinate that is no finite number; weights that are not one for each point, negative or no finite numbers; points
    /// but no parts.
    pub fn by_coordinates<const D: usize>(
        parts: usize,
        points: &[[f64; D]],
        weights: Option<&[f64]>,
    ) -> Result<Partition> {
        if let Some(i) = points.iter().position(|point| point.iter().any(|x| !x.is_finite())) {
            return Err(invalid(format!("point {i} is at {:?}; give finite coordinates", points[i])));
        }
        if parts == 0 && !points.is_empty() {
            return Err(invalid(format!("{} points in no parts", points.len())));
        }
        weights.map_or(Ok(()), |weights| check_weights(points.len(), weights))?;
        let mut owners = vec![0; points.len()];
        let mut all: Vec<usize> = (0..points.len()).collect();
        bisect(&Points { points, weights }, &mut all, 0, parts, &mut owners);
        Ok(Partition { parts, owners })
    }
}

struct Points<'a, const D: usize> {
    points: &'a [[f64; D]],
    weights: Option<&'a [f64]>,
}

impl<const D: usize> Points<'_, D> {
    /// The longest side of the box around them; the first of several.
    fn longest(&self, some: &[usize]) -> usize {
        let mut sides = (0..D).map(|axis| {
            let at = || some.iter().map(|&i| self.points[i][axis]);
            at().fold(f64::NEG_INFINITY, f64::max) - at().fold(f64::INFINITY, f64::min)
        });
        let first = sides.next().unwrap_or_default();
        sides.zip(1..).fold((first, 0), |most, side| if side.0 > most.0 { side } else { most }).1
    }

    /// Along an axis; points at one place by number, so that the order is one.
    fn order(&self, axis: usize) -> impl Fn(&usize, &usize) -> Ordering + '_ {
        move |&a, &b| {
            let at = |i: usize| self.points[i].get(axis).copied().unwrap_or_default();
            at(a).total_cmp(&at(b)).then(a.cmp(&b))
        }
    }

    /// Orders `some` so that the first ones, whose number it gives, are the lower `part` of `parts`.
    fn split(&self, some: &mut [usize], part: usize, parts: usize) -> usize {
        let order = self.order(self.longest(some));
        let even = (some.len() as u128 * part as u128 / parts as u128) as usize;
        let Some(weights) = self.weights else {
            if even > 0 && even < some.len() {
                some.select_nth_unstable_by(even, order);
            }
            return even;
        };
        some.sort_unstable_by(order);
        let all: f64 = some.iter().map(|&i| weights[i]).sum();
        if all == 0.0 {
            return even;
        }
        let target = all * (part as f64 / parts as f64);
        let mut below = 0.0;
        let mut at = 0;
        // A point goes where more of it belongs.
        while at < some.len() && below + 0.5 * weights[some[at]] < target {
            below += weights[some[at]];
            at += 1;
        }
        // Each part has a point while there are enough.
        if some.len() >= parts { at.clamp(part, some.len() - (parts - part)) } else { at }
    }
}

fn bisect<const D: usize>(
    points: &Points<'_, D>,
    some: &mut [usize],
    first: usize,
    parts: usize,
    owners: &mut [usize],
) {
    if parts <= 1 || some.is_empty() {
        some.iter().for_each(|&i| owners[i] = first);
        return;
    }
    let lower = parts / 2;
    let at = points.split(some, lower, parts);
    let (left, right) = some.split_at_mut(at);
    bisect(points, left, first, lower, owners);
    bisect(points, right, first + lower, parts - lower, owners);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::Graph;

    /// The points of an nx × ny mesh, and the edges between those side by side.
    fn mesh(nx: usize, ny: usize) -> (Vec<[f64; 2]>, Graph) {
        let points = (0..nx * ny).map(|i| [(i / ny) as f64, (i % ny) as f64]).collect();
        let along = (0..nx * ny).filter(|i| i % ny + 1 < ny).map(|i| (i as u64, i as u64 + 1));
        let across = (0..(nx - 1) * ny).map(|i| (i as u64, (i + ny) as u64));
        (points, Graph::from_edges(nx * ny, along.chain(across)).unwrap())
    }

    #[test]
    fn a_mesh_is_cut_where_it_is_shortest() {
        let (points, graph) = mesh(16, 8);
        for (parts, cut) in [(1, 0), (2, 8), (4, 8 + 2 * 8), (8, 8 + 2 * 8 + 4 * 4)] {
            let partition = Partition::by_coordinates(parts, &points, None).unwrap();
            assert_eq!((partition.edge_cut(&graph), partition.imbalance()), (cut, 1.0), "{parts}");
        }
    }

    #[test]
    fn weights_move_the_cut() {
        let points: Vec<[f64; 1]> = (0..100).map(|i| [i as f64]).collect();
        let weights: Vec<f64> = (0..100).map(|i| if i < 20 { 8.0 } else { 1.0 }).collect();
        let partition = Partition::by_coordinates(2, &points, Some(&weights)).unwrap();
        assert_eq!(partition.sizes(), [15, 85]);
        assert!(partition.weighted_imbalance(&weights).unwrap() < 1.01);
    }

    #[test]
    fn points_that_no_box_can_hold_are_refused() {
        let error = Partition::by_coordinates(2, &[[0.0, 1.0], [f64::NAN, 1.0]], None).unwrap_err().to_string();
        assert!(error.contains("point 1"), "{error}");
        assert!(Partition::by_coordinates(0, &[[0.0]], None).is_err());
        assert!(Partition::by_coordinates(2, &[[0.0]], Some(&[])).is_err());
        assert!(Partition::by_coordinates::<3>(2, &[], None).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn parts_are_as_equal_as_they_can_be(
            points in prop::collection::vec([-5i8..5, -5i8..5, -5i8..5], 0..200),
            parts in 1usize..12,
            weighted in any::<bool>(),
        ) {
            let points: Vec<[f64; 3]> = points.iter().map(|p| p.map(f64::from)).collect();
            let weights = vec![0.5; points.len()];
            let partition = Partition::by_coordinates(parts, &points, weighted.then_some(&weights[..])).unwrap();
            let sizes = partition.sizes();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            prop_assert!(most - least <= if weighted { 2 } else { 1 }, "{:?}", sizes);
            prop_assert!(points.len() < parts || *least > 0, "{:?}", sizes);
        }
    }
}
