//! The pattern of the 7-point operator on a grid whose slowest axis may be longer than the others.

/// Points numbered with the last axis fastest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Points along the two faster axes.
    pub(crate) side: u64,
    /// Points along the slowest axis.
    pub(crate) layers: u64,
}

impl Grid {
    /// Points along each axis; one is no point.
    pub(crate) fn cube(side: u64) -> Self {
        Self { side, layers: side }
    }

    pub(crate) fn points(&self) -> u64 {
        self.side * self.side * self.layers
    }

    /// Where a point is, the slowest axis first.
    pub(crate) fn place(&self, point: u64) -> [u64; 3] {
        [point / (self.side * self.side), point / self.side % self.side, point % self.side]
    }

    /// The point itself and its neighbours, ascending: the columns of a row.
    pub(crate) fn columns(self, point: u64) -> impl Iterator<Item = u64> {
        let (side, plane) = (self.side, self.side * self.side);
        let [i, j, k] = self.place(point);
        let all = [
            (i > 0, point.wrapping_sub(plane)),
            (j > 0, point.wrapping_sub(side)),
            (k > 0, point.wrapping_sub(1)),
            (true, point),
            (k + 1 < side, point + 1),
            (j + 1 < side, point + side),
            (i + 1 < self.layers, point + plane),
        ];
        all.into_iter().filter(|(exists, _)| *exists).map(|(_, point)| point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_as_many_neighbours_as_its_place_gives() {
        let grid = Grid::cube(5);
        assert_eq!((0..125).map(|point| grid.columns(point).count()).sum::<usize>(), 7 * 125 - 6 * 25);
        assert_eq!(grid.columns(0).collect::<Vec<_>>(), [0, 1, 5, 25]);
        assert_eq!(grid.columns(62).collect::<Vec<_>>(), [37, 57, 61, 62, 63, 67, 87]);
        let long = Grid { side: 2, layers: 3 };
        assert_eq!((long.points(), long.columns(11).collect::<Vec<_>>()), (12, vec![7, 9, 10, 11]));
    }
}
