//! Between vectors and slices by global index: gather, scatter, and what everybody holds already.

use parhelion_comm::{Element, Error, ErrorKind, Result};

use super::numbering::Run;
use super::{Descriptor, DistVector};

impl<T: Element> DistVector<T> {
    /// All elements by global index at `root`, `None` elsewhere; zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// An invalid root; indices too many for memory; a lost peer, a timeout, a deadlock.
    pub fn gather(&self, root: usize) -> Result<Option<Vec<T>>> {
        let (elements, runs) = self.packed();
        let communicator = self.communicator();
        let runs = communicator.gatherv(&runs, root)?;
        let elements = communicator.gatherv(&elements, root)?;
        let (Some((runs, _)), Some((elements, _))) = (runs, elements) else { return Ok(None) };
        place(self.descriptor(), &runs, &elements).map(Some)
    }

    /// All elements by global index at every rank; zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_all(&self) -> Result<Vec<T>> {
        let (elements, runs) = self.packed();
        let (runs, _) = self.communicator().all_gatherv(&runs)?;
        let (elements, _) = self.communicator().all_gatherv(&elements)?;
        place(self.descriptor(), &runs, &elements)
    }

    /// A vector of the elements that `root` has by global index; the other ranks pass `None`. Collective.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let size = world.size();
    ///     let index = Descriptor::builder(&world).owner_of(12, |i| i as usize % size).assemble()?;
    ///     let all: Vec<i32> = (0..12).collect();
    ///     let x = DistVector::scatter(&index, (world.rank() == 0).then_some(&all[..]), 0)?;
    ///     assert!(x.owned().iter().zip(index.owned()).all(|(&x, i)| x as u64 == i));
    ///     assert_eq!(x.gather_all()?, all);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// A root that passes nothing, or not [`Descriptor::total`] elements: at every rank. An invalid root; a lost peer, a
    /// timeout, a deadlock.
    pub fn scatter(descriptor: &Descriptor, elements: Option<&[T]>, root: usize) -> Result<Self> {
        let communicator = descriptor.communicator();
        let runs: Vec<u64> = descriptor.owned_runs().iter().flat_map(|run| [run.global, run.len]).collect();
        let runs = communicator.gatherv(&runs, root)?;
        let given = elements.filter(|_| communicator.rank() == root);
        let wrong = given.map_or(Ok(()), |elements| check_total(descriptor, elements.len()));
        let packed = given.filter(|_| wrong.is_ok()).zip(runs).map(|(elements, (runs, words))| {
            let mut packed = Vec::new();
            let mut rest = &runs[..];
            let counts: Vec<usize> = words
                .iter()
                .map(|&words| {
                    let (mine, later) = rest.split_at(words);
                    rest = later;
                    let before = packed.len();
                    let parts = mine.chunks_exact(2).map(|run| run[0] as usize..(run[0] + run[1]) as usize);
                    parts.for_each(|part| packed.extend_from_slice(&elements[part]));
                    packed.len() - before
                })
                .collect();
            (packed, counts)
        });
        // Without data at the root, every rank learns so.
        let received = communicator.scatterv(packed.as_ref().map(|(packed, counts)| (&packed[..], &counts[..])), root);
        wrong?;
        Self::from_owned(descriptor, &received?)
    }

    /// A vector of elements that every rank holds by global index. Local.
    ///
    /// # Errors
    /// Not [`Descriptor::total`] elements.
    pub fn from_global(descriptor: &Descriptor, elements: &[T]) -> Result<Self> {
        check_total(descriptor, elements.len())?;
        Ok(Self::from_fn(descriptor, |global| elements[global as usize]))
    }

    /// The elements that count here, and which these are: global index and length of each run.
    fn packed(&self) -> (Vec<T>, Vec<u64>) {
        let runs: Vec<Run> = self.descriptor().counted_runs();
        let slice = |run: &Run| &self.local()[run.local as usize..(run.local + run.len) as usize];
        let elements = runs.iter().flat_map(|run| slice(run).iter().copied()).collect();
        (elements, runs.iter().flat_map(|run| [run.global, run.len]).collect())
    }
}

fn check_total(descriptor: &Descriptor, given: usize) -> Result<()> {
    if given as u64 == descriptor.total() {
        return Ok(());
    }
    let text = format!("{given} elements given for {} indices", descriptor.total());
    Err(Error::new("scatter", ErrorKind::InvalidArgument(text)))
}

/// The elements of all ranks at their global indices.
fn place<T: Element>(descriptor: &Descriptor, runs: &[u64], elements: &[T]) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let len = usize::try_from(descriptor.total()).ok().filter(|&len| all.try_reserve_exact(len).is_ok());
    let Some(len) = len else {
        let text = format!("{} elements do not fit in memory", descriptor.total());
        return Err(Error::new("gather", ErrorKind::InvalidArgument(text)));
    };
    all.resize(len, T::zeroed());
    let mut rest = elements;
    for run in runs.chunks_exact(2) {
        let (part, later) = rest.split_at(run[1] as usize);
        all[run[0] as usize..][..part.len()].copy_from_slice(part);
        rest = later;
    }
    Ok(all)
}
