//! The plan of a [`Decomposition`]: one patch per rank, everything by arithmetic.

use parhelion_comm::{Error, ErrorKind, Result};

use super::Cells;
use super::cells::{layout_in, widen};
use super::plan::{LocalCopy, Parts, Patch, Piece, Plan, Region};
use super::rounds::Rounds;
use crate::array::{Decomposition, HaloPiece, IndexSpace};

impl<const D: usize> Decomposition<D> {
    /// The plan that fills the halo of every rank: faces only, or edges and corners too, as the decomposition says.
    ///
    /// Each rank has one patch, its parent space. Every neighbour gets one message in one round, diagonal ones and those
    /// beyond the next included; what a rank needs of its own cells, as periodic images, is copied without a message. Halo
    /// cells beyond the ends of axes that are not periodic are left alone.
    ///
    /// Both sides of every transfer are computed from the decomposition, at a cost that does not depend on the number of
    /// ranks: nothing is sent and nothing blocks. With the communicator's checks on, the call is collective: the
    /// decompositions of all ranks are compared, and [`Plan::verify`] is run.
    ///
    /// # Errors
    /// As [`Decomposition::check`]; an axis that is not distributed in blocks where another has a halo. With checks, also
    /// decompositions that differ between ranks.
    pub fn plan(&self) -> Result<Plan> {
        let communicator = self.communicator();
        if !communicator.config().checks {
            return self.plan_alone();
        }
        let mut rounds = Rounds::new(communicator)?;
        let plan = rounds.agree("plan", self.plan_alone())?;
        let print = self.fingerprint() as i64;
        let [most, least] = rounds.largest(vec![print, !print])?[..] else { unreachable!("two numbers went in") };
        if most != !least {
            let text = format!("the decompositions differ; rank {} has {self}", rounds.rank());
            return Err(Error::new("plan", ErrorKind::Mismatch(text)));
        }
        plan.check_with(&mut rounds)?;
        Ok(plan.built_at(rounds.cost()))
    }

    fn plan_alone(&self) -> Result<Plan> {
        self.check()?;
        let me = self.communicator().rank();
        if !self.is_contiguous() {
            return self.plan_without_halo();
        }
        let (owned, parent) = (self.local_space(me), self.parent_space(me));
        let region = |space: IndexSpace<D>| Region { layout: layout_in(&parent, &space), cells: space.into() };
        let patch = Patch {
            len: parent.len(),
            parent: parent.into(),
            owned: Some(owned).filter(|o| !o.is_empty()).map(region).into_iter().collect(),
            halo: self.halo_spaces(&owned).map(region).collect(),
        };
        let (mut recvs, mut local, mut sends) = (Vec::new(), Vec::new(), Vec::new());
        for piece in self.halo_sources(me) {
            if piece.peer == me {
                local.push(LocalCopy {
                    from_patch: 0,
                    from: layout_in(&parent, &piece.source),
                    to_patch: 0,
                    to: layout_in(&parent, &piece.space),
                    cells: piece.source.into(),
                    shift: widen(piece.shift),
                });
            } else {
                recvs.push((piece.peer, self.half(&piece, &parent, &piece.space, &piece.source)));
            }
        }
        for piece in self.halo_targets(me).iter().filter(|p| p.peer != me) {
            sends.push((piece.peer, self.half(piece, &parent, &piece.source, &piece.space)));
        }
        let size = self.communicator().size();
        Plan::new(Parts { rank: me, size, patches: vec![patch], sends, recvs, local })
    }

    /// This rank's side of a piece: `here` in this rank's indices, `there` in the peer's.
    fn half(&self, piece: &HaloPiece<D>, parent: &IndexSpace<D>, here: &IndexSpace<D>, there: &IndexSpace<D>) -> Piece {
        Piece {
            patch: 0,
            layout: layout_in(parent, here),
            remote_patch: 0,
            remote: layout_in(&self.parent_space(piece.peer), there),
            cells: piece.source.into(),
            shift: widen(piece.shift),
        }
    }

    /// The halo cells that have owners, by side: what the pieces must cover, said without looking for the owners.
    fn halo_spaces(&self, owned: &IndexSpace<D>) -> impl Iterator<Item = IndexSpace<D>> {
        let (widths, space, periodic) = (self.widths(), self.space(), self.periodicity());
        let owned = *owned;
        IndexSpace::<D>::directions(self.has_edges_and_corners())
            .map(move |direction| {
                let side = owned.outer_region(direction, widths);
                let (mut start, mut end) = (side.start(), side.end());
                for a in (0..D).filter(|&a| !periodic[a]) {
                    start[a] = start[a].max(space.start()[a]);
                    end[a] = end[a].min(space.end()[a]);
                }
                IndexSpace::new(start, end)
            })
            .filter(|space| !space.is_empty())
    }

    /// Dealt-out axes have no halo, and then there is nothing to exchange.
    fn plan_without_halo(&self) -> Result<Plan> {
        let (me, size) = (self.communicator().rank(), self.communicator().size());
        if let Some(a) = (0..D).find(|&a| self.widths()[a] != [0, 0]) {
            let dealt = self.distributions().iter().position(|d| !d.is_contiguous()).unwrap_or_default();
            let text = format!(
                "axis {a} has a halo but axis {dealt} is {}; a halo needs every axis in blocks (or replicated)",
                self.distributions()[dealt]
            );
            return Err(Error::new("plan", ErrorKind::InvalidArgument(text)));
        }
        let len = self.local_len(me);
        let all = Region { layout: parhelion_comm::Layout::contiguous(0, len), cells: Cells::List(len) };
        let patch = Patch { len, parent: Cells::List(len), owned: vec![all], halo: Vec::new() };
        Plan::new(Parts { rank: me, size, patches: vec![patch], ..Parts::default() })
    }
}
