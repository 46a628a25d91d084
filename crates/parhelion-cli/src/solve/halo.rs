//! The halo of a matrix split by rows: the columns of a rank's rows that other ranks own, and their exchange.
//!
//! A vector here is the rank's owned values followed by its halo values. The halo is in ascending global order, so each
//! owner's part of it is one run, and messages are received where they belong; only sends are packed.

use std::ops::Range;

use parhelion::Communicator;

use crate::error::Result;
use crate::matrix::split::Split;

const TAG_INDICES: u32 = 1;
const TAG_VALUES: u32 = 2;

/// One neighbour's message: elements of the packed buffer (sends) or of the halo (receives).
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    rank: usize,
    range: Range<usize>,
}

/// Who gets which values, with the buffers to do it again and again.
#[derive(Debug)]
pub(crate) struct Halo {
    owned: usize,
    receives: Vec<Piece>,
    sends: Vec<Piece>,
    /// Which owned value goes to which place of `packed`.
    sources: Vec<u32>,
    packed: Vec<f64>,
}

impl Halo {
    /// Tells each owner of `needed` (global indices, ascending, none of this rank's own) that this rank needs it.
    ///
    /// Collective. The counts travel by all-to-all, the indices to neighbours only.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn build(world: &Communicator, split: &Split, needed: &[u32]) -> Result<Self> {
        let mine = split.block(world.rank());
        let mut counts = vec![0u64; world.size()];
        let mut receives: Vec<Piece> = Vec::new();
        for (place, &index) in needed.iter().enumerate() {
            let owner = split.owner(index);
            counts[owner] += 1;
            match receives.last_mut() {
                Some(piece) if piece.rank == owner => piece.range.end += 1,
                _ => receives.push(Piece { rank: owner, range: place..place + 1 }),
            }
        }

        let wanted = world.all_to_all(&counts)?;
        let mut sends: Vec<Piece> = Vec::new();
        for (rank, &count) in wanted.iter().enumerate().filter(|(_, count)| **count > 0) {
            let start = sends.last().map_or(0, |piece| piece.range.end);
            sends.push(Piece { rank, range: start..start + count as usize });
        }
        let total = sends.last().map_or(0, |piece| piece.range.end);
        let mut sources = vec![0u32; total];
        world.scope(|s| {
            let mut rest = &mut sources[..];
            for piece in &sends {
                let (part, tail) = std::mem::take(&mut rest).split_at_mut(piece.range.len());
                s.recv(part, piece.rank, TAG_INDICES)?;
                rest = tail;
            }
            for piece in &receives {
                s.send(&needed[piece.range.clone()], piece.rank, TAG_INDICES)?;
            }
            Ok(())
        })?;
        for index in &mut sources {
            *index -= mine.start;
        }
        Ok(Self { owned: mine.len(), receives, sends, sources, packed: vec![0.0; total] })
    }

    /// Number of owned values.
    pub(crate) fn owned(&self) -> usize {
        self.owned
    }

    /// Fills the halo part of `x` with the owners' values. Every rank takes part; neighbours wait for each other.
    ///
    /// # Errors
    /// What communication meets.
    pub(crate) fn exchange(&mut self, world: &Communicator, x: &mut [f64]) -> Result<()> {
        let (owned, halo) = x.split_at_mut(self.owned);
        let (receives, sends, sources, packed) = (&self.receives, &self.sends, &self.sources, &mut self.packed);
        world.scope(|s| {
            let mut rest = halo;
            for piece in receives {
                let (part, tail) = std::mem::take(&mut rest).split_at_mut(piece.range.len());
                s.recv(part, piece.rank, TAG_VALUES)?;
                rest = tail;
            }
            for (value, &source) in packed.iter_mut().zip(sources) {
                *value = owned[source as usize];
            }
            for piece in sends {
                s.send(&packed[piece.range.clone()], piece.rank, TAG_VALUES)?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Bytes this rank sends to each rank in one exchange.
    pub(crate) fn bytes_to(&self, ranks: usize) -> Vec<u64> {
        let mut bytes = vec![0; ranks];
        for piece in &self.sends {
            bytes[piece.rank] = (piece.range.len() * size_of::<f64>()) as u64;
        }
        bytes
    }
}
