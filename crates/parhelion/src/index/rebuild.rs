//! [`Descriptor::rebuild`]: the same edges under another ownership.

use parhelion_comm::{Error, ErrorKind, Result};

use super::builder::Pattern;
use super::rows::fetch;
use super::{Coverage, Descriptor, directory};
use crate::halo::Rounds;

impl Descriptor {
    /// A descriptor of the same edges under the ownership of `pattern`, with what was inserted there besides: rows go from
    /// their owners here (of several, the lowest) to all their owners there. What ranks need here beside the columns of
    /// their rows does not go with them. Collective; messages to the slices of directories and to the owners concerned only.
    /// Vectors follow by a [`Migration`](super::Migration). Its [scheme](Self::set_scheme) is at first that of any new
    /// descriptor, not the one here.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let (size, rank, n) = (world.size(), world.rank() as u64, 5 * world.size() as u64);
    ///     let ring = (5 * rank..5 * rank + 5).map(|i| (i, (i + 1) % n));
    ///     let blocks = Descriptor::builder(&world).blocks(5).edges(ring).assemble()?;
    ///     let dealt = blocks.rebuild(Descriptor::builder(&world).owner_of(n, |i| i as usize % size))?;
    ///     for (row, column) in dealt.adjacency().iter() {
    ///         assert_eq!(dealt.global(column), dealt.global(row).map(|i| (i + 1) % n));
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// At every rank: a pattern on another communicator; an index that is owned there and by no rank here; what
    /// [`Pattern::assemble`] refuses, as a column that no rank owns there. A lost peer, a timeout, a deadlock.
    pub fn rebuild(&self, pattern: Pattern) -> Result<Descriptor> {
        let mut rounds = Rounds::new(self.communicator())?;
        let one = if self.communicator().is_same(pattern.communicator()) {
            Ok(())
        } else {
            let names = [self.communicator(), pattern.communicator()].map(|communicator| communicator.name());
            let text = format!("a pattern on communicator {:?} for a descriptor on {:?}", names[1], names[0]);
            Err(Error::new("rebuild", ErrorKind::InvalidArgument(text)))
        };
        rounds.agree("rebuild", one)?;
        let pattern = rounds.agree("rebuild", pattern.sound())?;

        let mut wanted: Vec<u64> = pattern.owned().collect();
        wanted.sort_unstable();
        let found =
            directory::find(&mut rounds, self.total(), &self.counted_runs(), &wanted, Coverage::Any, "is to own")?;
        let mut asked: Vec<(usize, usize, u64)> =
            found.sources.iter().zip(&wanted).map(|(&(owner, there), &global)| (owner, there, global)).collect();
        asked.sort_unstable();
        let sources: Vec<(usize, usize)> = asked.iter().map(|&(owner, there, _)| (owner, there)).collect();
        let rows = fetch(&mut rounds, self, &self.sources(), &sources)?;
        let edges = asked.iter().enumerate().flat_map(|(i, &(_, _, row))| {
            let columns = rows.row(i).iter();
            columns.map(move |column| (row, column.global))
        });
        pattern.edges(edges).assemble()
    }
}
