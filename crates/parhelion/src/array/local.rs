//! What every rank does to its own cells, without messages: fill, map, zip, visit.

use parhelion_comm::{Communicator, Element, Error, ErrorKind, Layout, Op, Result};

use super::DistArray;

impl<T: Element, const D: usize> DistArray<T, D> {
    /// Writes `value` to every owned cell. Local.
    pub fn fill(&mut self, value: T) {
        self.for_each_run_mut(|run| run.fill(value));
    }

    /// Copies the owned cells of `other`, distributed alike. Local; see [`copy_from`](Self::copy_from) for other
    /// distributions.
    ///
    /// # Errors
    /// Arrays that are distributed differently.
    pub fn assign(&mut self, other: &Self) -> Result<()> {
        self.zip_inplace(other, |x, y| *x = y)
    }

    /// The array of `f` of every owned cell. Local.
    pub fn map<U: Element>(&self, mut f: impl FnMut(T) -> U) -> DistArray<U, D> {
        let mut mapped = self.like();
        let (place, _, target) = mapped.split_mut();
        for ((start, len), run) in place.layout().iter_runs().zip(self.runs()) {
            target[start..start + len].iter_mut().zip(run).for_each(|(y, &x)| *y = f(x));
        }
        mapped
    }

    /// Calls `f` for every owned cell, in memory order. Local.
    pub fn map_inplace(&mut self, mut f: impl FnMut(&mut T)) {
        self.for_each_run_mut(|run| run.iter_mut().for_each(&mut f));
    }

    /// The array of `f` of every owned cell and its counterpart in `other`, distributed alike. Local.
    ///
    /// # Errors
    /// Arrays that are distributed differently.
    pub fn zip<U: Element, V: Element>(
        &self,
        other: &DistArray<U, D>,
        mut f: impl FnMut(T, U) -> V,
    ) -> Result<DistArray<V, D>> {
        self.check_alike("zip", other)?;
        let mut zipped = self.like();
        let (place, _, target) = zipped.split_mut();
        for (a, b, len) in pieces(place.layout(), other.layout()) {
            let (x, y) = (&self.memory()[a..a + len], &other.memory()[b..b + len]);
            target[a..a + len].iter_mut().zip(x.iter().zip(y)).for_each(|(z, (&x, &y))| *z = f(x, y));
        }
        Ok(zipped)
    }

    /// Calls `f` for every owned cell and its counterpart in `other`, distributed alike, in memory order. Local.
    ///
    /// # Errors
    /// Arrays that are distributed differently.
    pub fn zip_inplace<U: Element>(&mut self, other: &DistArray<U, D>, mut f: impl FnMut(&mut T, U)) -> Result<()> {
        self.check_alike("zip_inplace", other)?;
        let (place, _, target) = self.split_mut();
        for (a, b, len) in pieces(place.layout(), other.layout()) {
            target[a..a + len].iter_mut().zip(&other.memory()[b..b + len]).for_each(|(x, &y)| f(x, y));
        }
        Ok(())
    }

    /// Calls `f` with the global index and the value of every owned cell, in memory order. Local.
    pub fn for_each(&self, mut f: impl FnMut([i64; D], T)) {
        let memory = self.memory();
        self.place().for_each_row(self.decomposition(), self.rank(), |mut index, last, row| {
            for (i, &x) in memory[row].iter().enumerate() {
                index[D - 1] = last.at(i);
                f(index, x);
            }
        });
    }

    /// Calls `f` with the global index of every owned cell and the cell to write, in memory order. Local.
    pub fn for_each_mut(&mut self, mut f: impl FnMut([i64; D], &mut T)) {
        let rank = self.rank();
        let (place, decomposition, memory) = self.split_mut();
        place.for_each_row(decomposition, rank, |mut index, last, row| {
            for (i, x) in memory[row].iter_mut().enumerate() {
                index[D - 1] = last.at(i);
                f(index, x);
            }
        });
    }

    fn for_each_run_mut(&mut self, mut f: impl FnMut(&mut [T])) {
        let (place, _, memory) = self.split_mut();
        place.layout().iter_runs().for_each(|(start, len)| f(&mut memory[start..start + len]));
    }

    /// That both arrays own the same cells on this rank; their halos may differ. Local.
    pub(super) fn check_alike<U: Element>(&self, operation: &'static str, other: &DistArray<U, D>) -> Result<()> {
        check_place(operation, self.communicator(), other.communicator())?;
        let (mine, theirs) = (self.decomposition(), other.decomposition());
        if mine.same_distribution(theirs) {
            return Ok(());
        }
        let text =
            format!("the arrays are distributed differently: {mine}, and {theirs}; use redistribute on one of them");
        Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
    }
}

/// That this rank has one number in both communicators, which have one size. Local: another rank may find otherwise.
fn check_place(operation: &'static str, here: &Communicator, there: &Communicator) -> Result<()> {
    if (here.rank(), here.size()) == (there.rank(), there.size()) {
        return Ok(());
    }
    let text = format!("the arrays belong to different ranks: {here:?} and {there:?}");
    Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
}

/// [`check_place`] before ranks wait for each other: what one finds, all learn. Collective over `here` if the two are not
/// one communicator: one reduction.
pub(super) fn check_places(operation: &'static str, here: &Communicator, there: &Communicator) -> Result<()> {
    if here.is_same(there) {
        return Ok(());
    }
    let place = check_place(operation, here, there);
    let differs = here.all_reduce(&[u8::from(place.is_err())], Op::Max)?;
    if differs == [0] {
        return Ok(());
    }
    place?;
    let text = "the arrays belong to communicators that number other ranks differently".to_owned();
    Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
}

/// The elements of two layouts of one length, as stretches that are consecutive in both: where they start, how long they
/// are.
pub(super) fn pieces(a: &Layout, b: &Layout) -> impl Iterator<Item = (usize, usize, usize)> {
    let (mut runs_a, mut runs_b) = (a.iter_runs(), b.iter_runs());
    let (mut here, mut there) = ((0, 0), (0, 0));
    std::iter::from_fn(move || {
        if here.1 == 0 {
            here = runs_a.next()?;
        }
        if there.1 == 0 {
            there = runs_b.next()?;
        }
        let len = here.1.min(there.1);
        let piece = (here.0, there.0, len);
        (here, there) = ((here.0 + len, here.1 - len), (there.0 + len, there.1 - len));
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_consecutive_in_both_layouts() {
        let a = Layout::runs([(0, 5), (10, 1), (20, 3)]);
        let b = Layout::runs([(7, 2), (0, 6), (30, 1)]);
        let all: Vec<_> = pieces(&a, &b).collect();
        assert_eq!(all, [(0, 7, 2), (2, 0, 3), (10, 3, 1), (20, 4, 2), (22, 30, 1)]);
    }
}
