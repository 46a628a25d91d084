//! [`connect`]: from what each rank needs of others to a plan on all ranks.

use std::collections::BTreeMap;

use parhelion_comm::{Layout, Result};

use crate::halo::{Cells, LocalCopy, Parts, Patch, Piece, Plan, Region, Rounds, Transfer};

/// What a rank needs of one owner: equal numbers of elements, here and there, as runs.
pub(super) struct Need {
    pub(super) owner: usize,
    pub(super) here: Vec<(usize, usize)>,
    pub(super) there: Vec<(usize, usize)>,
}

/// The buffers of a plan on one rank.
pub(super) enum Buffers {
    /// One, of `len` elements, of which `owned` are read and others written.
    One { owned: Layout, len: usize },
    /// Two: the first, of which `owned` are read, and the second, of `to` elements, which is written.
    Two { owned: Layout, from: usize, to: usize },
}

impl Buffers {
    /// The buffer that is written; the first is the one that is read.
    fn written(&self) -> usize {
        match self {
            Buffers::One { .. } => 0,
            Buffers::Two { .. } => 1,
        }
    }

    fn patches(self, halo: Vec<Region>) -> Vec<Patch> {
        let owned = |owned: Layout| Some(owned).filter(|owned| !owned.is_empty()).map(region).into_iter().collect();
        let patch = |len, owned, halo| Patch { len, parent: Cells::List(len), owned, halo };
        match self {
            Buffers::One { owned: layout, len } => vec![patch(len, owned(layout), halo)],
            Buffers::Two { owned: layout, from, to } => {
                vec![patch(from, owned(layout), Vec::new()), patch(to, Vec::new(), halo)]
            }
        }
    }
}

fn region(layout: Layout) -> Region {
    Region { cells: Cells::List(layout.len()), layout }
}

/// Tells the owners what is needed of them, and makes the plan. A need of this rank itself is a copy between its two
/// buffers. Collective: a message to each owner, and what checking takes.
pub(super) fn connect(rounds: &mut Rounds, buffers: Buffers, needs: Vec<Need>) -> Result<Plan> {
    let (rank, size, to) = (rounds.rank(), rounds.size(), buffers.written());
    let piece = |patch: usize, layout: Layout, remote: Layout| {
        let cells = Cells::List(layout.len());
        Piece { patch, layout, remote_patch: to - patch, remote, cells, shift: [0; 4] }
    };
    let mut letters: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    let (mut recvs, mut halo, mut local) = (Vec::new(), Vec::new(), Vec::new());
    for Need { owner, here, there } in needs {
        if owner != rank {
            let words = letters.entry(owner).or_default();
            words.push(here.len() as i64);
            words.extend(here.iter().chain(&there).flat_map(|&(start, len)| [start as i64, len as i64]));
        }
        let (layout, remote) = (Layout::runs(here), Layout::runs(there));
        halo.push(region(layout.clone()));
        if owner == rank {
            let cells = Cells::List(layout.len());
            local.push(LocalCopy { from_patch: 0, from: remote, to_patch: to, to: layout, cells, shift: [0; 4] });
        } else {
            recvs.push((owner, piece(to, layout, remote)));
        }
    }
    let received = rounds.exchange(letters.into_iter().collect())?;
    let sends = received.iter().map(|(peer, words)| {
        let (remote, layout) = words[1..].split_at(2 * words[0] as usize);
        let [layout, remote] =
            [layout, remote].map(|words| Layout::runs(words.chunks_exact(2).map(|w| (w[0] as usize, w[1] as usize))));
        (*peer, piece(0, layout, remote))
    });
    let parts = Parts { rank, size, sends: sends.collect(), recvs, local, patches: buffers.patches(halo) };
    let plan = rounds.agree("assemble", Plan::new(parts))?;
    if rounds.checks() {
        plan.check_with(rounds)?;
    }
    Ok(plan.built_at(rounds.cost()))
}

/// Indices in their order, as runs.
pub(super) fn runs(indices: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((start, len)) if *start + *len == index => *len += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

/// What a transfer moves, in order: the index in this rank's buffer and the one in the peer's.
pub(super) fn pairs(transfer: &Transfer) -> impl Iterator<Item = (usize, usize)> + '_ {
    transfer.pieces.iter().flat_map(|piece| indices(&piece.layout).zip(indices(&piece.remote)))
}

/// The indices of a layout, in order.
pub(super) fn indices(layout: &Layout) -> impl Iterator<Item = usize> + '_ {
    layout.iter_runs().flat_map(|(start, len)| start..start + len)
}
