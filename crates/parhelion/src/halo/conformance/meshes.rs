//! What the cases of index lists share: meshes, ways to deal them out, and how often things are done where that is slow.

use parhelion_comm::{BackendKind, Communicator, Result};

use super::check::{all_settings, value};
use crate::halo::{Packing, Settings};
use crate::index::{Builder, Descriptor, Pattern};

/// Libraries that spin may have more ranks than there are cores, and then need a time slice for each message.
pub(super) fn is_slow(c: &Communicator) -> bool {
    c.backend() == BackendKind::Mpi && c.size() > 2
}

/// Every scheme with every packing; where it is slow, packed ones.
pub(super) fn settings_for(c: &Communicator) -> impl Iterator<Item = Settings> {
    let slow = is_slow(c);
    all_settings().filter(move |settings| !slow || settings.packing == Packing::Packed)
}

/// How often: `full` rounds, or a tenth of them where it is slow.
pub(super) fn rounds(c: &Communicator, full: u64) -> u64 {
    if is_slow(c) { full.div_ceil(10) } else { full }
}

/// Which rank owns which of `n` indices, in many ways: some leave ranks with nothing, or with nothing to exchange.
#[derive(Debug, Clone, Copy)]
pub(super) enum Partition {
    Blocks,
    Dealt,
    Random,
    Listed,
    LastOnly,
}

pub(super) const PARTITIONS: [Partition; 5] =
    [Partition::Blocks, Partition::Dealt, Partition::Random, Partition::Listed, Partition::LastOnly];

impl Partition {
    pub(super) fn owner(self, global: u64, n: u64, size: usize) -> usize {
        match self {
            Partition::Blocks => (global * size as u64 / n) as usize,
            Partition::Dealt => global as usize % size,
            Partition::Random | Partition::Listed => value::<u64, 1>([global as i64], 77) as usize % size,
            Partition::LastOnly => size - 1,
        }
    }

    pub(super) fn own(self, builder: Builder, n: u64, c: &Communicator) -> Pattern {
        let owner = |global| self.owner(global, n, c.size());
        let mine = (0..n).filter(|&global| owner(global) == c.rank());
        match self {
            Partition::Blocks => builder.blocks(mine.count()),
            Partition::Dealt => builder.owner_of(n, owner),
            Partition::Random => builder.owners(&(0..n).map(owner).collect::<Vec<_>>()),
            // An order that is nobody's.
            Partition::Listed => {
                let mut mine: Vec<u64> = mine.collect();
                mine.sort_by_key(|&global| value::<u64, 1>([global as i64], 5));
                builder.owned(mine)
            }
            Partition::LastOnly => builder.owned(mine),
        }
    }
}

/// The edges of an nx × ny × nz mesh, in both directions.
pub(super) fn edges([nx, ny, nz]: [u64; 3]) -> Vec<(u64, u64)> {
    let number = |i, j, k| (i * ny + j) * nz + k;
    let mut edges = Vec::new();
    for i in 0..nx {
        for j in 0..ny {
            for k in 0..nz {
                let here = number(i, j, k);
                let next = [(i + 1 < nx, i + 1, j, k), (j + 1 < ny, i, j + 1, k), (k + 1 < nz, i, j, k + 1)];
                for (_, i, j, k) in next.into_iter().filter(|next| next.0) {
                    edges.extend([(here, number(i, j, k)), (number(i, j, k), here)]);
                }
            }
        }
    }
    edges
}

pub(super) fn mesh_of(c: &Communicator, shape: [u64; 3], partition: Partition) -> Result<Descriptor> {
    let builder = Descriptor::builder(c);
    partition.own(builder, shape.iter().product(), c).edges(edges(shape)).assemble()
}
