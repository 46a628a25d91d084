//! [`Adjacency`]: the edges of a pattern whose rows this rank owns, by local indices.

use std::fmt;

use super::numbering::Places;

/// The edges of a [`Pattern`](super::Pattern) that begin at the indices this rank owns: for each owned row the local
/// indices of its columns, ascending, each once. Columns from the number of rows on are halo.
///
/// Compressed rows; columns take four bytes each where all local indices of this rank fit in them. Queries are local.
///
/// ```
/// use parhelion::prelude::*;
///
/// parhelion::run(|world| {
///     let (rank, n) = (world.rank() as u64, 2 * world.size() as u64);
///     // A ring, two points for each rank.
///     let pattern = (2 * rank..2 * rank + 2).flat_map(|i| [(i, (i + 1) % n), (i, (i + n - 1) % n)]);
///     let index = Descriptor::builder(&world).blocks(2).edges(pattern).assemble()?;
///     let adjacency = index.adjacency();
///     for row in 0..adjacency.rows() {
///         let here = index.global(row).unwrap();
///         for column in adjacency.row(row) {
///             assert!([(here + 1) % n, (here + n - 1) % n].contains(&index.global(column).unwrap()));
///         }
///     }
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
pub struct Adjacency {
    rows: usize,
    /// Where each row begins, and the end; empty without entries.
    starts: Vec<usize>,
    columns: Indices,
    cut: usize,
}

/// Numbers, in half the memory while all of them are small.
#[derive(Debug, Clone)]
enum Indices {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// The local indices of one row's columns, ascending: see [`Adjacency::row`].
#[derive(Debug, Clone)]
pub struct Row<'a>(Columns<'a>);

#[derive(Debug, Clone)]
enum Columns<'a> {
    Narrow(std::slice::Iter<'a, u32>),
    Wide(std::slice::Iter<'a, u64>),
}

impl Adjacency {
    /// The number of rows: the indices this rank owns.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of edges.
    pub fn entries(&self) -> usize {
        self.columns.len()
    }

    /// The number of edges whose column another rank owns.
    pub fn cut(&self) -> usize {
        self.cut
    }

    /// The columns of an owned row, as local indices, ascending.
    ///
    /// # Panics
    /// From [`rows`](Self::rows) on.
    pub fn row(&self, local: usize) -> Row<'_> {
        assert!(local < self.rows, "row {local} of {} rows", self.rows);
        let range = match self.starts.get(local..local + 2) {
            Some(bounds) => bounds[0]..bounds[1],
            None => 0..0,
        };
        Row(match &self.columns {
            Indices::Narrow(columns) => Columns::Narrow(columns[range].iter()),
            Indices::Wide(columns) => Columns::Wide(columns[range].iter()),
        })
    }

    /// All edges as (row, column), by row.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.rows).flat_map(|row| self.row(row).map(move |column| (row, column)))
    }
}

impl Iterator for Row<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        match &mut self.0 {
            Columns::Narrow(columns) => columns.next().map(|&column| column as usize),
            Columns::Wide(columns) => columns.next().map(|&column| column as usize),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Columns::Narrow(columns) => columns.size_hint(),
            Columns::Wide(columns) => columns.size_hint(),
        }
    }
}

impl ExactSizeIterator for Row<'_> {}

impl fmt::Debug for Adjacency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adjacency({} edges of {} rows, {} cut)", self.entries(), self.rows, self.cut)
    }
}

impl Indices {
    fn push(&mut self, index: u64) {
        match self {
            Indices::Narrow(all) => match u32::try_from(index) {
                Ok(index) => all.push(index),
                Err(_) => {
                    let mut wide: Vec<u64> = all.iter().map(|&i| i.into()).collect();
                    wide.push(index);
                    *self = Indices::Wide(wide);
                }
            },
            Indices::Wide(all) => all.push(index),
        }
    }

    fn len(&self) -> usize {
        match self {
            Indices::Narrow(all) => all.len(),
            Indices::Wide(all) => all.len(),
        }
    }

    #[inline]
    fn get(&self, i: usize) -> u64 {
        match self {
            Indices::Narrow(all) => all[i].into(),
            Indices::Wide(all) => all[i],
        }
    }
}

/// Edges as they come, in any order and any number of times, before the halo has local indices.
#[derive(Debug, Clone)]
pub(super) struct Edges {
    /// Rows in the order in which they came, and where the codes of each end.
    runs: Vec<(usize, usize)>,
    /// Twice the local index of an owned column; else twice the place among `outside`, plus one.
    codes: Indices,
    /// Global indices of columns that are not owned here.
    outside: Vec<u64>,
}

impl Edges {
    pub(super) fn new() -> Self {
        Edges { runs: Vec::new(), codes: Indices::Narrow(Vec::new()), outside: Vec::new() }
    }

    /// An edge between two owned indices.
    #[inline]
    pub(super) fn push_inside(&mut self, row: usize, column: usize) {
        self.push(row, 2 * column as u64);
    }

    /// An edge to an index that is not owned here.
    #[inline]
    pub(super) fn push_outside(&mut self, row: usize, column: u64) {
        if self.outside.last() != Some(&column) {
            self.outside.push(column);
        }
        self.push(row, 2 * (self.outside.len() as u64 - 1) + 1);
    }

    #[inline]
    fn push(&mut self, row: usize, code: u64) {
        self.codes.push(code);
        match self.runs.last_mut() {
            Some((last, end)) if *last == row => *end += 1,
            _ => self.runs.push((row, self.codes.len())),
        }
    }

    /// The columns that are not owned here, in no order, some of them several times.
    pub(super) fn outside(&self) -> &[u64] {
        &self.outside
    }

    /// The edges by row, where `places` has the local indices of what is not owned here and there are `len` local indices.
    pub(super) fn number(self, rows: usize, len: usize, places: &Places) -> Adjacency {
        if self.runs.is_empty() {
            return Adjacency { rows, starts: Vec::new(), columns: Indices::Narrow(Vec::new()), cut: 0 };
        }
        // The largest local index is what must fit.
        if len <= u32::MAX as usize {
            let (starts, columns) = self.by_rows(rows, places, |column| column as u32);
            let cut = columns.iter().filter(|&&column| column as usize >= rows).count();
            Adjacency { rows, starts, columns: Indices::Narrow(columns), cut }
        } else {
            let (starts, columns) = self.by_rows(rows, places, |column| column);
            let cut = columns.iter().filter(|&&column| column >= rows as u64).count();
            Adjacency { rows, starts, columns: Indices::Wide(columns), cut }
        }
    }

    /// A counting sort by row, then a small sort inside each.
    fn by_rows<W: Copy + Ord + Default>(
        self,
        rows: usize,
        places: &Places,
        word: impl Fn(u64) -> W,
    ) -> (Vec<usize>, Vec<W>) {
        let outside: Vec<W> = self.outside.iter().map(|global| word(places[global] as u64)).collect();
        let mut starts = vec![0; rows + 1];
        let mut begin = 0;
        for &(row, end) in &self.runs {
            starts[row + 1] += end - begin;
            begin = end;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut columns = vec![W::default(); self.codes.len()];
        let mut next = starts.clone();
        begin = 0;
        for &(row, end) in &self.runs {
            for (i, column) in (begin..end).zip(&mut columns[next[row]..]) {
                let code = self.codes.get(i);
                *column = if code.is_multiple_of(2) { word(code / 2) } else { outside[(code / 2) as usize] };
            }
            next[row] += end - begin;
            begin = end;
        }
        let mut kept = 0;
        for row in 0..rows {
            let (from, to) = (starts[row], starts[row + 1]);
            if !columns[from..to].is_sorted() {
                columns[from..to].sort_unstable();
            }
            starts[row] = kept;
            for i in from..to {
                if kept == starts[row] || columns[kept - 1] != columns[i] {
                    columns[kept] = columns[i];
                    kept += 1;
                }
            }
        }
        starts[rows] = kept;
        columns.truncate(kept);
        columns.shrink_to_fit();
        (starts, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_in_any_order_become_ascending_rows_without_doubles() {
        let mut edges = Edges::new();
        // Rows 0, 1 and 2 are owned, 100 is local index 4 and 70 is 3.
        for (row, column) in [(2, 0), (0, 100), (0, 70), (2, 2), (2, 0), (0, 1), (0, 70), (0, 100), (0, 100)] {
            if column < 3 { edges.push_inside(row, column as usize) } else { edges.push_outside(row, column) }
        }
        let places: Places = [(100, 4), (70, 3)].into_iter().collect();
        for len in [5, u32::MAX as usize + 1] {
            let adjacency = edges.clone().number(3, len, &places);
            let rows: Vec<Vec<usize>> = (0..3).map(|row| adjacency.row(row).collect()).collect();
            assert_eq!(rows, [vec![1, 3, 4], vec![], vec![0, 2]], "{len}");
            assert_eq!((adjacency.entries(), adjacency.cut(), adjacency.row(0).len()), (5, 2, 3));
            assert_eq!(adjacency.iter().collect::<Vec<_>>(), [(0, 1), (0, 3), (0, 4), (2, 0), (2, 2)]);
        }
    }

    #[test]
    fn indices_widen_when_they_must() {
        let numbers = [0, 7, u32::MAX.into(), 1 << 32, 3, u64::MAX];
        let mut indices = Indices::Narrow(Vec::new());
        numbers.iter().for_each(|&number| indices.push(number));
        assert_eq!((0..indices.len()).map(|i| indices.get(i)).collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn without_edges_every_row_is_empty() {
        let adjacency = Edges::new().number(3, 5, &Places::default());
        assert_eq!((adjacency.rows(), adjacency.entries(), adjacency.row(2).len()), (3, 0, 0));
    }
}
