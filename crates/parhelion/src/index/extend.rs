//! [`Descriptor::extend`]: layers of other ranks' indices become owned here, too.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use parhelion_comm::{Error, ErrorKind, Layout, Result};

use super::Coverage;
use super::adjacency::Edges;
use super::assembly::Assembly;
use super::connect::{Buffers, Need, connect, runs};
use super::descriptor::{Descriptor, Extension};
use super::numbering::{MixHasher, Owned};
use super::rows::{Rows, Source, fetch};
use crate::halo::{Exchanges, Rounds};

/// The points of one layer, by source.
struct Layer {
    globals: Vec<u64>,
    sources: Vec<Source>,
    rows: Rows,
}

impl Descriptor {
    /// A descriptor in which this rank owns, beside what it owns here, all that is up to `layers` edges away: the
    /// overlapping subdomains of a Schwarz method. The edges are those of [`adjacency`](Self::adjacency), from row to column.
    /// Collective; each layer costs messages to the owners of its points and to nobody else.
    ///
    /// Local indices are first those owned here, numbered as here, then the layers one after the other, each ordered by
    /// owner and by the owner's numbering; then the new halo, the columns of all these rows that are not among them, with what
    /// is halo here and in no layer. The new points have the rows that their owners have.
    /// [`degrees`](Self::degrees) says how many ranks own a point, [`counted`](Self::counted) which are this rank's to
    /// count: those it owns as the lowest of the ranks that do, the point's master, whose value halos get.
    /// [`List::Extension`](super::List::Extension) carries values from the ranks that own a point here to those that have
    /// it in a layer.
    ///
    /// Where no rank has anything to add, as for 0 layers, it is this descriptor itself; else one with a
    /// [scheme](Self::set_scheme) of its own, at first that of any new descriptor.
    ///
    /// ```
    /// use parhelion::index::OverlapUpdate;
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     // A line of four points for each rank.
    ///     let (rank, n) = (world.rank() as u64, 4 * world.size() as u64);
    ///     let line = (4 * rank..4 * rank + 4).flat_map(|i| [(i, i.saturating_sub(1)), (i, (i + 1).min(n - 1))]);
    ///     let index = Descriptor::builder(&world).blocks(4).edges(line).assemble()?;
    ///     let wide = index.extend(1)?;
    ///     assert_eq!((wide.inner_len(), wide.owned_len()), (4, index.len()));
    ///     // Each rank's own answer on its subdomain, and the average where two have one.
    ///     let mut x = DistVector::full(&wide, rank as f64);
    ///     x.update_overlap(OverlapUpdate::Average)?;
    ///     if rank == 0 && world.size() > 1 {
    ///         assert_eq!(x.owned(), [0.0, 0.0, 0.0, 0.5, 0.5]);
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    ///
    /// # Errors
    /// At every rank: another number of layers on another rank. A lost peer, a timeout, a deadlock.
    pub fn extend(&self, layers: usize) -> Result<Descriptor> {
        let mut rounds = Rounds::new(self.communicator())?;
        let most = rounds.largest(vec![layers as i64, !(layers as i64)])?;
        if most[0] != !most[1] {
            let text = format!("rank {} asks for {layers} layers, another rank for another number", rounds.rank());
            return Err(Error::new("extend", ErrorKind::Mismatch(text)));
        }
        let sources = self.sources();
        let added = self.layers(&mut rounds, &sources, layers)?;
        if added.is_empty() {
            return Ok(self.clone());
        }

        let inner_len = self.owned_len();
        let mut globals: Vec<u64> = self.owned().collect();
        let mut ends = vec![inner_len];
        for layer in &added {
            globals.extend(&layer.globals);
            ends.push(globals.len());
        }
        let owned = Owned::new(globals)?;
        let mut edges = Edges::new();
        let mut insert = |row: usize, global: u64| match owned.local(global) {
            Some(column) => edges.push_inside(row, column),
            None => edges.push_outside(row, global),
        };
        for (row, column) in self.adjacency().iter() {
            insert(row, self.global(column).expect("columns are local indices"));
        }
        for (layer, &start) in added.iter().zip(&ends) {
            for i in 0..layer.globals.len() {
                layer.rows.row(i).iter().for_each(|column| insert(start + i, column.global));
            }
        }
        let halo = self.halo().iter().copied().filter(|&global| owned.local(global).is_none()).collect();
        let assembly = Assembly { owned, edges, halo, coverage: Coverage::Any, replicated: false };
        let mut inner = assembly.assemble(self.communicator(), &mut rounds)?;

        let mut copies: Vec<(Source, usize)> =
            added.iter().flat_map(|layer| &layer.sources).copied().zip(inner_len..).collect();
        copies.sort_unstable();
        let need = |group: &[(Source, usize)]| Need {
            owner: group[0].0.0,
            here: runs(group.iter().map(|copy| copy.1)),
            there: runs(group.iter().map(|copy| copy.0.1)),
        };
        let needs = copies.chunk_by(|a, b| a.0.0 == b.0.0).map(need).collect();
        let buffers = Buffers::One { owned: Layout::contiguous(0, inner_len), len: inner.len() };
        let plan = connect(&mut rounds, buffers, needs)?;
        let exchanges = Exchanges::new(self.communicator());
        exchanges.prepare(|| Ok(plan))?;
        inner.extension = Some(Extension { exchanges, ends });
        Ok(Descriptor::new(inner))
    }

    /// The layers, up to the last one that is not empty on all ranks.
    fn layers(&self, rounds: &mut Rounds, sources: &[Source], layers: usize) -> Result<Vec<Layer>> {
        let mut all: Vec<Layer> = Vec::new();
        let mut taken: HashSet<u64, BuildHasherDefault<MixHasher>> = HashSet::default();
        while all.len() < layers {
            let mut next: Vec<(Source, u64)> = match all.last() {
                None => {
                    let columns = self.adjacency().iter().map(|(_, column)| column).filter(|&c| c >= self.owned_len());
                    columns.map(|column| (sources[column], self.halo()[column - self.owned_len()])).collect()
                }
                Some(last) => {
                    let columns = last.rows.columns().iter();
                    let new = columns.filter(|column| !self.owns(column.global) && !taken.contains(&column.global));
                    new.map(|column| (column.source, column.global)).collect()
                }
            };
            next.sort_unstable();
            next.dedup();
            if rounds.largest(vec![next.len() as i64])?[0] == 0 {
                break;
            }
            let (sources_of_next, globals): (Vec<Source>, Vec<u64>) = next.into_iter().unzip();
            taken.extend(&globals);
            let rows = fetch(rounds, self, sources, &sources_of_next)?;
            all.push(Layer { globals, sources: sources_of_next, rows });
        }
        Ok(all)
    }
}
