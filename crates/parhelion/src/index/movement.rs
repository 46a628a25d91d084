//! Between vectors and slices by global index: gather, scatter, and what everybody holds already.

use parhelion_comm::{Element, Error, ErrorKind, Result};

use super::{Descriptor, DistVector};

impl<T: Element> DistVector<T> {
    /// All elements by global index at `root`, `None` elsewhere; zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// An invalid root; indices too many for memory; a lost peer, a timeout, a deadlock.
    pub fn gather(&self, root: usize) -> Result<Option<Vec<T>>> {
        gather(self.descriptor(), &self.packed(), 1, root)
    }

    /// All elements by global index at every rank; zero where no rank owns an index. Collective.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_all(&self) -> Result<Vec<T>> {
        gather_all(self.descriptor(), &self.packed(), 1)
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
        Self::from_owned(descriptor, &scatter(descriptor, elements, 1, root)?)
    }

    /// A vector of elements that every rank holds by global index. Local.
    ///
    /// # Errors
    /// Not [`Descriptor::total`] elements.
    pub fn from_global(descriptor: &Descriptor, elements: &[T]) -> Result<Self> {
        check_total(descriptor, elements.len(), 1)?;
        Ok(Self::from_fn(descriptor, |global| elements[global as usize]))
    }

    /// The elements that count here, one behind the other.
    fn packed(&self) -> Vec<T> {
        let mut elements = Vec::with_capacity(self.descriptor().counted().len());
        self.counted().for_each(|run| elements.extend_from_slice(run));
        elements
    }
}

/// Elements by global index at `root`, `width` for each, of those that count on each rank. Collective.
pub(super) fn gather<T: Element>(
    descriptor: &Descriptor,
    packed: &[T],
    width: usize,
    root: usize,
) -> Result<Option<Vec<T>>> {
    let communicator = descriptor.communicator();
    let runs = communicator.gatherv(&counted(descriptor), root)?;
    let elements = communicator.gatherv(packed, root)?;
    let (Some((runs, _)), Some((elements, _))) = (runs, elements) else { return Ok(None) };
    place(descriptor, &runs, &elements, width).map(Some)
}

/// [`gather`], at every rank.
pub(super) fn gather_all<T: Element>(descriptor: &Descriptor, packed: &[T], width: usize) -> Result<Vec<T>> {
    let communicator = descriptor.communicator();
    let (runs, _) = communicator.all_gatherv(&counted(descriptor))?;
    let (elements, _) = communicator.all_gatherv(packed)?;
    place(descriptor, &runs, &elements, width)
}

/// What this rank owns, in local order, of the elements that `root` has by global index, `width` for each. Collective.
pub(super) fn scatter<T: Element>(
    descriptor: &Descriptor,
    elements: Option<&[T]>,
    width: usize,
    root: usize,
) -> Result<Vec<T>> {
    let communicator = descriptor.communicator();
    let runs: Vec<u64> = descriptor.owned_runs().iter().flat_map(|run| [run.global, run.len]).collect();
    let runs = communicator.gatherv(&runs, root)?;
    let given = elements.filter(|_| communicator.rank() == root);
    let wrong = given.map_or(Ok(()), |elements| check_total(descriptor, elements.len(), width));
    let packed = given.filter(|_| wrong.is_ok()).zip(runs).map(|(elements, (runs, words))| {
        let mut packed = Vec::new();
        let mut rest = &runs[..];
        let mut pack = |words: usize| {
            let (mine, later) = rest.split_at(words);
            rest = later;
            let before = packed.len();
            for run in mine.chunks_exact(2) {
                packed.extend_from_slice(&elements[run[0] as usize * width..(run[0] + run[1]) as usize * width]);
            }
            packed.len() - before
        };
        let counts: Vec<usize> = words.iter().map(|&words| pack(words)).collect();
        (packed, counts)
    });
    // Without data at the root, every rank learns so.
    let received = communicator.scatterv(packed.as_ref().map(|(packed, counts)| (&packed[..], &counts[..])), root);
    wrong?;
    received
}

/// Whether there are `width` elements for each index.
pub(super) fn check_total(descriptor: &Descriptor, given: usize, width: usize) -> Result<()> {
    let needed = u128::from(descriptor.total()) * width as u128;
    if given as u128 == needed {
        return Ok(());
    }
    let columns = if width == 1 { String::new() } else { format!(" and {width} columns") };
    let text = format!("{given} elements given for {} indices{columns}", descriptor.total());
    Err(Error::new("scatter", ErrorKind::InvalidArgument(text)))
}

/// The indices that count here: global index and length of each run.
fn counted(descriptor: &Descriptor) -> Vec<u64> {
    descriptor.counted_runs().iter().flat_map(|run| [run.global, run.len]).collect()
}

/// The elements of all ranks at their global indices.
fn place<T: Element>(descriptor: &Descriptor, runs: &[u64], elements: &[T], width: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let len = usize::try_from(descriptor.total()).ok().and_then(|len| len.checked_mul(width));
    let Some(len) = len.filter(|&len| all.try_reserve_exact(len).is_ok()) else {
        let text = format!("{} elements do not fit in memory", u128::from(descriptor.total()) * width as u128);
        return Err(Error::new("gather", ErrorKind::InvalidArgument(text)));
    };
    all.resize(len, T::zeroed());
    let mut rest = elements;
    for run in runs.chunks_exact(2) {
        let (part, later) = rest.split_at(run[1] as usize * width);
        all[run[0] as usize * width..][..part.len()].copy_from_slice(part);
        rest = later;
    }
    Ok(all)
}
