//! Whose cells a rank's halo copies, and whose halos copy a rank's cells: by arithmetic along each axis.
//!
//! Along one axis the blocks tile the line of all integers: once if the axis is not periodic, again every `len` indices
//! if it is. A halo side is a stretch of that line, so walking from tile to tile over it meets every owner and every
//! periodic image, however wide the halo and however narrow the tiles (empty ones are never met). What concerns a box
//! is the product of what concerns its axes.

use std::ops::Range;

use super::{AxisMap, Decomposition, IndexSpace};

/// A box of one rank's halo and the owner's box it copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HaloPiece<const D: usize> {
    /// The other rank: the owner in [`halo_sources`](Decomposition::halo_sources), the rank with the halo in
    /// [`halo_targets`](Decomposition::halo_targets). It is the rank itself where a periodic image is its own.
    pub peer: usize,
    /// The side of the halo, seen from the rank with the halo.
    pub direction: [i8; D],
    /// The owner's cells.
    pub source: IndexSpace<D>,
    /// The halo's cells, in the indices of the rank with the halo: beyond the ends of a periodic axis they are outside
    /// the global space.
    pub space: IndexSpace<D>,
    /// `space` is `source` moved by this: a multiple of the length of every periodic axis, 0 along the others.
    pub shift: [i64; D],
}

/// One axis of a piece.
struct AxisPiece {
    part: usize,
    source: Range<i64>,
    shift: i64,
}

impl<const D: usize> Decomposition<D> {
    /// Every box of a rank's halo that has an owner, with the owner: faces only, or edges and corners too.
    ///
    /// The boxes are disjoint; halo cells beyond the ends of axes that are not periodic are in none. They are ordered
    /// by owner, then direction, then position: the pieces two ranks share come in the same order here and in
    /// [`halo_targets`](Self::halo_targets). Along replicated axes a rank copies from its own coordinate.
    ///
    /// Local, at a cost that grows with the answer and not with the number of ranks.
    ///
    /// # Panics
    /// As [`local_space`](Self::local_space), where there is a halo at all.
    pub fn halo_sources(&self, rank: usize) -> Vec<HaloPiece<D>> {
        self.halo_pieces(rank, sources)
    }

    /// Every box of any rank's halo that copies a rank's cells, with that rank as peer: the sends to the receives of
    /// [`halo_sources`](Self::halo_sources), in the same order.
    ///
    /// # Panics
    /// As [`halo_sources`](Self::halo_sources).
    pub fn halo_targets(&self, rank: usize) -> Vec<HaloPiece<D>> {
        self.halo_pieces(rank, targets)
    }

    /// The other ranks that a rank shares halo cells with in either direction, in increasing order.
    ///
    /// Local, at a cost that does not grow with the number of ranks.
    ///
    /// # Panics
    /// As [`halo_sources`](Self::halo_sources).
    pub fn neighbours(&self, rank: usize) -> Vec<usize> {
        let pieces = self.halo_sources(rank).into_iter().chain(self.halo_targets(rank));
        let mut ranks: Vec<_> = pieces.map(|piece| piece.peer).filter(|&peer| peer != rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    fn halo_pieces(&self, rank: usize, of_axis: AxisPieces) -> Vec<HaloPiece<D>> {
        let at = self.coordinates(rank);
        if self.widths() == [[0, 0]; D] || self.local_len(rank) == 0 {
            return Vec::new();
        }
        let axes: [_; D] =
            std::array::from_fn(|a| of_axis(self.axis(a), at[a], self.widths()[a], self.periodicity()[a]));
        let mut pieces = Vec::new();
        for direction in IndexSpace::<D>::directions(self.has_edges_and_corners()) {
            let sides: [&[AxisPiece]; D] = std::array::from_fn(|a| axes[a][(direction[a] + 1) as usize].as_slice());
            for choice in IndexSpace::from_shape(sides.map(<[_]>::len)) {
                let along: [&AxisPiece; D] = std::array::from_fn(|a| &sides[a][choice[a] as usize]);
                let source = IndexSpace::from(along.map(|piece| piece.source.clone()));
                let shift = along.map(|piece| piece.shift);
                let peer = self.rank_at(along.map(|piece| piece.part));
                pieces.push(HaloPiece { peer, direction, source, space: source.translate(shift), shift });
            }
        }
        pieces.sort_unstable_by_key(|piece| (piece.peer, piece.direction, piece.space.start()));
        pieces
    }
}

/// What concerns one axis: the part of the rank, halo widths, periodicity; the answer by side, −1, 0 and 1.
type AxisPieces = fn(&AxisMap, usize, [usize; 2], bool) -> [Vec<AxisPiece>; 3];

/// The tile over position `at` of the line, seen from `part`: the part that owns it, its indices, and the distance from
/// its indices to its place on the line. A replicated axis is one tile, the viewer's own.
fn tile(axis: &AxisMap, part: usize, at: i64) -> (usize, Range<i64>, i64) {
    let first = axis.indices().start;
    let index = first + (at - first).rem_euclid(axis.len() as i64);
    let owner = if axis.is_replicated() { part } else { axis.owner(index) };
    (owner, axis.range(owner), at - index)
}

/// The stretch of the line where there are tiles: all of it, or one period.
fn line(axis: &AxisMap, periodic: bool) -> Range<i64> {
    if periodic { i64::MIN..i64::MAX } else { axis.indices() }
}

/// Where the halo of `part` is copied from. The part owns something.
fn sources(axis: &AxisMap, part: usize, widths: [usize; 2], periodic: bool) -> [Vec<AxisPiece>; 3] {
    let (own, line) = (axis.range(part), line(axis, periodic));
    let walk = |from: i64, to: i64| {
        let (mut at, to) = (from.max(line.start), to.min(line.end));
        let mut pieces = Vec::new();
        while at < to {
            let (owner, indices, shift) = tile(axis, part, at);
            let end = to.min(indices.end + shift);
            pieces.push(AxisPiece { part: owner, source: at - shift..end - shift, shift });
            at = end;
        }
        pieces
    };
    [
        walk(own.start - widths[0] as i64, own.start),
        vec![AxisPiece { part, source: own.clone(), shift: 0 }],
        walk(own.end, own.end + widths[1] as i64),
    ]
}

/// Whose halos copy the block of `part`. The part owns something.
///
/// With this block at its own place on the line, the halos that can reach it from above belong to tiles that start at
/// most the lower width above its end, and the same below.
fn targets(axis: &AxisMap, part: usize, [low, high]: [usize; 2], periodic: bool) -> [Vec<AxisPiece>; 3] {
    let (own, line) = (axis.range(part), line(axis, periodic));
    let (mut above, mut below) = (Vec::new(), Vec::new());
    let mut start = own.end;
    while start < line.end.min(own.end + low as i64) {
        let (receiver, indices, shift) = tile(axis, part, start);
        above.push(AxisPiece { part: receiver, source: own.start.max(start - low as i64)..own.end, shift: -shift });
        start = indices.end + shift;
    }
    let mut end = own.start;
    while end > line.start.max(own.start - high as i64) {
        let (receiver, indices, shift) = tile(axis, part, end - 1);
        below.push(AxisPiece { part: receiver, source: own.start..own.end.min(end + high as i64), shift: -shift });
        end = indices.start + shift;
    }
    [above, vec![AxisPiece { part, source: own, shift: 0 }], below]
}
