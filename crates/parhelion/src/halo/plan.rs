//! [`Plan`]: who sends which layout to whom.

use std::fmt;

use parhelion_comm::{Error, ErrorKind, Layout, Result};

use super::Cells;

/// Who sends which layout to whom, seen from one rank: immutable, checked, without buffers or requests.
///
/// The plans of all ranks belong together: a [`Transfer`] in the `sends` of one is a transfer in the `recvs` of its peer,
/// with the same pieces in the same order. Units are elements; bytes come with the element's size, which one plan serves
/// any number of.
#[derive(Clone)]
pub struct Plan {
    rank: usize,
    size: usize,
    patches: Vec<Patch>,
    sends: Vec<Transfer>,
    recvs: Vec<Transfer>,
    local: Vec<LocalCopy>,
    adjoint: bool,
    cost: BuildCost,
}

/// One buffer of this rank: what it owns in it and what it needs in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Elements in the buffer.
    pub len: usize,
    /// The cells the buffer holds, in C order if they are a box.
    pub parent: Cells,
    /// The cells this rank owns, which others may read.
    pub owned: Vec<Region>,
    /// The cells that are copies of others' owned cells: an exchange writes each of them once.
    pub halo: Vec<Region>,
}

/// Some cells of a patch and where they lie in its buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Where, in elements of the buffer.
    pub layout: Layout,
    /// Which, in the patch's own numbering.
    pub cells: Cells,
}

/// All that goes between this rank and one peer in one direction: one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The other rank; never this one.
    pub peer: usize,
    /// What goes, in the order in which it lies in a packed message. Never empty.
    pub pieces: Vec<Piece>,
}

/// One region that goes from a patch of one rank to a patch of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The patch of this rank.
    pub patch: usize,
    /// Where the cells lie in this rank's patch.
    pub layout: Layout,
    /// The patch of the peer.
    pub remote_patch: usize,
    /// Where the cells lie in the peer's patch: the same number of elements in the same order.
    pub remote: Layout,
    /// Which cells, as their owner numbers them.
    pub cells: Cells,
    /// What is added to the owner's index to get the halo's: not zero for periodic images.
    pub shift: [i64; 4],
}

/// One region copied between patches of this rank, or inside one (a periodic image).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCopy {
    /// The patch that is read.
    pub from_patch: usize,
    /// Where the cells lie in it.
    pub from: Layout,
    /// The patch that is written.
    pub to_patch: usize,
    /// Where the cells lie in it.
    pub to: Layout,
    /// Which cells, as their owner numbers them.
    pub cells: Cells,
    /// What is added to the owner's index to get the halo's.
    pub shift: [i64; 4],
}

/// What it took to build a plan, at this rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildCost {
    /// Point-to-point messages sent.
    pub messages_sent: usize,
    /// Bytes in them.
    pub bytes_sent: usize,
    /// Point-to-point messages received.
    pub messages_received: usize,
    /// Bytes in them.
    pub bytes_received: usize,
    /// Collective calls, each of which costs a rank about log2(size) messages.
    pub collectives: usize,
    /// Bytes this rank gave to them.
    pub collective_bytes: usize,
}

impl Transfer {
    /// Elements in the message.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|p| p.layout.len()).sum()
    }

    /// Whether it moves nothing; never so in a plan.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|p| p.layout.is_empty())
    }
}

/// The parts of a plan as its builders give them; [`Plan::new`] orders and checks them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) patches: Vec<Patch>,
    /// The peer and a piece; in any order between peers, in message order for each.
    pub(crate) sends: Vec<(usize, Piece)>,
    pub(crate) recvs: Vec<(usize, Piece)>,
    pub(crate) local: Vec<LocalCopy>,
}

impl Plan {
    /// Groups the pieces by peer, keeping their order for each, and checks what one rank can check cheaply: that ranks,
    /// patches and layouts are in range and that both sides of a piece have its number of cells.
    ///
    /// # Errors
    /// A part out of range: a mistake of the builder's.
    pub(crate) fn new(parts: Parts) -> Result<Plan> {
        let Parts { rank, size, patches, sends, recvs, local } = parts;
        let plan = Plan {
            rank,
            size,
            patches,
            sends: group(sends),
            recvs: group(recvs),
            local,
            adjoint: false,
            cost: BuildCost::default(),
        };
        plan.check_ranges()?;
        Ok(plan)
    }

    fn check_ranges(&self) -> Result<()> {
        let inside = |patch: usize, layout: &Layout| self.patches.get(patch).is_some_and(|p| layout.end() <= p.len);
        for (patch, p) in self.patches.iter().enumerate() {
            for region in p.owned.iter().chain(&p.halo) {
                if !inside(patch, &region.layout) || region.layout.len() != region.cells.len() {
                    return Err(self.invalid(format!(
                        "region {} of patch {patch} does not fit its buffer of {} elements",
                        region.cells, p.len
                    )));
                }
            }
        }
        for (transfer, way) in self.sends.iter().map(|t| (t, "to")).chain(self.recvs.iter().map(|t| (t, "from"))) {
            if transfer.peer == self.rank || transfer.peer >= self.size {
                return Err(self.invalid(format!(
                    "a transfer {way} rank {} in a communicator of {} ranks",
                    transfer.peer, self.size
                )));
            }
            for piece in &transfer.pieces {
                let count = piece.cells.len();
                if count == 0
                    || piece.layout.len() != count
                    || piece.remote.len() != count
                    || !inside(piece.patch, &piece.layout)
                {
                    return Err(self.invalid(format!(
                        "{} {way} rank {} does not fit patch {}: {}",
                        piece.cells, transfer.peer, piece.patch, piece.layout
                    )));
                }
            }
        }
        for copy in &self.local {
            let count = copy.cells.len();
            if copy.from.len() != count
                || copy.to.len() != count
                || !inside(copy.from_patch, &copy.from)
                || !inside(copy.to_patch, &copy.to)
            {
                return Err(self.invalid(format!(
                    "{} from patch {} to patch {} does not fit both",
                    copy.cells, copy.from_patch, copy.to_patch
                )));
            }
        }
        Ok(())
    }

    #[cold]
    fn invalid(&self, text: String) -> Error {
        Error::new("plan", ErrorKind::InvalidArgument(format!("rank {}: {text}", self.rank)))
    }

    /// The rank this plan is for.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks of the communicator it was built on.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The buffers of this rank that the plan reads and writes.
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// What this rank sends: one transfer per peer, by ascending peer.
    pub fn sends(&self) -> &[Transfer] {
        &self.sends
    }

    /// What this rank receives: one transfer per peer, by ascending peer.
    pub fn recvs(&self) -> &[Transfer] {
        &self.recvs
    }

    /// What this rank copies between its own patches.
    pub fn local(&self) -> &[LocalCopy] {
        &self.local
    }

    /// The ranks this one sends to or receives from, ascending, each once.
    pub fn neighbours(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.sends.iter().chain(&self.recvs).map(|t| t.peer).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Messages this rank sends in one exchange: one per peer it has something for.
    pub fn messages(&self) -> usize {
        self.sends.len()
    }

    /// Bytes this rank sends in one exchange of elements of `element_size` bytes. Local copies are not in it.
    pub fn bytes(&self, element_size: usize) -> usize {
        self.sends.iter().map(Transfer::len).sum::<usize>() * element_size
    }

    /// Bytes this rank receives in one exchange of elements of `element_size` bytes.
    pub fn bytes_received(&self, element_size: usize) -> usize {
        self.recvs.iter().map(Transfer::len).sum::<usize>() * element_size
    }

    /// Bytes this rank copies between its own patches in one exchange of elements of `element_size` bytes.
    pub fn bytes_local(&self, element_size: usize) -> usize {
        self.local.iter().map(|c| c.from.len()).sum::<usize>() * element_size
    }

    /// Says what building took.
    pub(crate) fn built_at(self, cost: BuildCost) -> Self {
        Plan { cost, ..self }
    }

    /// The messages and bytes that building the plan took at this rank, the checks included where they are on.
    pub fn build_cost(&self) -> BuildCost {
        self.cost
    }

    /// The transpose: what was received is sent back, from the halo to its owners, who combine it with what they have.
    /// The adjoint of the adjoint is the plan itself.
    #[must_use]
    pub fn adjoint(&self) -> Plan {
        let reverse = |c: &LocalCopy| LocalCopy {
            from_patch: c.to_patch,
            from: c.to.clone(),
            to_patch: c.from_patch,
            to: c.from.clone(),
            cells: c.cells,
            shift: c.shift,
        };
        Plan {
            sends: self.recvs.clone(),
            recvs: self.sends.clone(),
            local: self.local.iter().map(reverse).collect(),
            patches: self.patches.clone(),
            adjoint: !self.adjoint,
            ..*self
        }
    }

    /// Whether it goes from halos to owners: made by [`Plan::adjoint`].
    pub fn is_adjoint(&self) -> bool {
        self.adjoint
    }
}

/// One transfer per peer, ascending; the pieces of each in their order.
fn group(mut pieces: Vec<(usize, Piece)>) -> Vec<Transfer> {
    pieces.sort_by_key(|(peer, _)| *peer);
    let mut transfers: Vec<Transfer> = Vec::new();
    for (peer, piece) in pieces {
        match transfers.last_mut() {
            Some(last) if last.peer == peer => last.pieces.push(piece),
            _ => transfers.push(Transfer { peer, pieces: vec![piece] }),
        }
    }
    transfers
}

/// Plans are equal if they move the same; how they were built does not matter.
impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        let parts = |p: &Plan| (p.rank, p.size, p.adjoint);
        parts(self) == parts(other)
            && self.patches == other.patches
            && self.sends == other.sends
            && self.recvs == other.recvs
            && self.local == other.local
    }
}

impl Eq for Plan {}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("rank", &self.rank)
            .field("size", &self.size)
            .field("adjoint", &self.adjoint)
            .field("patches", &self.patches)
            .field("sends", &self.sends)
            .field("recvs", &self.recvs)
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}
