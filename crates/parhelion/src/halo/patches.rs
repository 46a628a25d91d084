//! [`Patches`]: what a rank's patches publish and request, and the plan that follows from it.

use parhelion_comm::{Communicator, Error, ErrorKind, Result};

use super::cells::{layout_in, widen};
use super::matching::{self, Item, Match, Role};
use super::plan::{LocalCopy, Parts, Patch, Piece, Plan, Region};
use super::rounds::Rounds;
use crate::array::IndexSpace;

/// The patches of one rank: buffers over boxes of one global grid, the regions of them that it *publishes* (it owns the
/// cells, others may read them) and those that it *requests* (copies of cells that some rank publishes).
///
/// A rank has any number of patches, none included, of any shapes. A request may ask for cells of any number of
/// publishers, of other patches of its own rank, or, with a period or an offset, of its own patch. Every requested cell
/// must be published exactly once over all ranks; what a request covers of the cells its own patch publishes in the same
/// place needs no exchange, so asking for a whole parent space is the short way to ask for the halo around a patch.
///
/// ```
/// use parhelion::array::IndexSpace;
/// use parhelion::halo::Patches;
///
/// parhelion::run(|world| {
///     // A ring of 8 cells per rank, as two patches of 4 with a cell of halo on both sides.
///     let n = 8 * world.size() as i64;
///     let mut patches = Patches::new().periodic([Some(n as usize)]);
///     for half in 0..2 {
///         let start = 8 * world.rank() as i64 + 4 * half;
///         let owned = IndexSpace::from([start..start + 4]);
///         let patch = patches.add(owned.grow(1));
///         patches.publish(patch, owned);
///         patches.request(patch, owned.grow(1));
///     }
///     let plan = patches.plan(&world)?;
///     assert_eq!(plan.local().len() + plan.recvs().iter().map(|t| t.pieces.len()).sum::<usize>(), 4);
///     Ok(())
/// })?;
/// # Ok::<(), parhelion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patches<const D: usize> {
    periods: [Option<usize>; D],
    parents: Vec<IndexSpace<D>>,
    publications: Vec<Publication<D>>,
    requests: Vec<Request<D>>,
}

/// A region that a patch offers: the cells this rank owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Publication<const D: usize> {
    /// The patch, by the number [`Patches::add`] gave it.
    pub patch: usize,
    /// The cells.
    pub space: IndexSpace<D>,
}

/// A region that a patch needs: copies of cells that others, or this rank, publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request<const D: usize> {
    /// The patch, by the number [`Patches::add`] gave it.
    pub patch: usize,
    /// The cells as the patch numbers them.
    pub space: IndexSpace<D>,
    /// Cell `i` is a copy of the published cell `i + offset`.
    pub offset: [i64; D],
}

/// Coordinates beyond this are refused, so that the sums and differences of any two stay within `i64`.
const FARTHEST: i64 = 1 << 60;

impl<const D: usize> Default for Patches<D> {
    fn default() -> Self {
        Patches { periods: [None; D], parents: Vec::new(), publications: Vec::new(), requests: Vec::new() }
    }
}

impl<const D: usize> Patches<D> {
    /// No patches yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes cells `i` and `i + period` of an axis the same cell, for each axis with a period. Every rank gives the same.
    #[must_use]
    pub fn periodic(mut self, periods: [Option<usize>; D]) -> Self {
        self.periods = periods;
        self
    }

    /// Adds a patch whose buffer holds `parent` in C order, and gives its number: 0, 1, … at each rank.
    pub fn add(&mut self, parent: IndexSpace<D>) -> usize {
        self.parents.push(parent);
        self.parents.len() - 1
    }

    /// Offers `space`, cells that this rank owns, from `patch`. An empty space offers nothing.
    pub fn publish(&mut self, patch: usize, space: IndexSpace<D>) {
        self.publications.push(Publication { patch, space });
    }

    /// Asks for `space` in `patch`. An empty space asks for nothing.
    pub fn request(&mut self, patch: usize, space: IndexSpace<D>) {
        self.request_from(patch, space, [0; D]);
    }

    /// Asks that each cell `i` of `space` in `patch` be a copy of the published cell `i + offset`: how blocks with
    /// coordinates of their own are joined, and periodic images asked for one by one.
    pub fn request_from(&mut self, patch: usize, space: IndexSpace<D>, offset: [i64; D]) {
        self.requests.push(Request { patch, space, offset });
    }

    /// The parent spaces of the patches.
    pub fn parents(&self) -> &[IndexSpace<D>] {
        &self.parents
    }

    /// What is published, in the order it was said.
    pub fn publications(&self) -> &[Publication<D>] {
        &self.publications
    }

    /// What is requested, in the order it was said.
    pub fn requests(&self) -> &[Request<D>] {
        &self.requests
    }

    /// Finds who has what whom needs, and makes the plan. Collective over `communicator`; blocks until all ranks take part.
    ///
    /// Nothing is gathered everywhere: publications and requests meet at ranks found by hashing the cells of a coarse
    /// grid, and the answers go to the ranks concerned. The messages and bytes of a rank depend on its neighbours, not on the
    /// number of ranks, beside a fixed number of small collectives; [`Plan::build_cost`] has the numbers. With the
    /// communicator's checks on, [`Plan::verify`] follows.
    ///
    /// # Errors
    /// At every rank, if at any one: a region outside its patch's parent space, a patch that does not exist, two requests
    /// for one place of a patch, a request for a place the patch publishes itself; a requested cell that nobody publishes,
    /// a cell that is published twice, periods that differ. The error names the region and the ranks, and the communicator
    /// can be used further.
    pub fn plan(&self, communicator: &Communicator) -> Result<Plan> {
        let mut rounds = Rounds::new(communicator)?;
        let valid = self.check();
        rounds.agree("plan", valid)?;
        let items = self.items(rounds.rank());
        let matches = matching::find(&mut rounds, &self.periods, &items)?;
        let parts = self.assemble(&rounds, &matches);
        let plan = rounds.agree("plan", Plan::new(parts))?;
        if communicator.config().checks {
            plan.check_with(&mut rounds)?;
        }
        Ok(plan.built_at(rounds.cost()))
    }

    fn check(&self) -> Result<()> {
        let invalid = |text: String| Err(Error::new("plan", ErrorKind::InvalidArgument(text)));
        for (axis, period) in self.periods.iter().enumerate() {
            if period.is_some_and(|n| n == 0 || n as u64 > FARTHEST as u64) {
                return invalid(format!("the period of axis {axis} must be from 1 to 2^60"));
            }
        }
        for (patch, parent) in self.parents.iter().enumerate() {
            let far = parent.start().iter().chain(&parent.end()).any(|x| !(-FARTHEST..=FARTHEST).contains(x));
            if far || parent.checked_len().is_none() {
                return invalid(format!("the parent space {parent} of patch {patch} is too large or too far out"));
            }
        }
        let regions = self.publications.iter().map(|p| ("publication", p.patch, p.space));
        let regions = regions.chain(self.requests.iter().map(|r| ("request", r.patch, r.space)));
        for (what, patch, space) in regions {
            match self.parents.get(patch) {
                None => {
                    return invalid(format!("{what} {space} names patch {patch}; there are {}", self.parents.len()));
                }
                Some(parent) if !parent.contains_space(&space) => {
                    return invalid(format!("{what} {space} is not inside the parent space {parent} of patch {patch}"));
                }
                Some(_) => {}
            }
        }
        for r in &self.requests {
            if r.offset.iter().any(|x| !(-FARTHEST..=FARTHEST).contains(x)) {
                return invalid(format!("the offset of request {} of patch {} is too large", r.space, r.patch));
            }
        }
        self.check_places()
    }

    /// Each place of a patch has one meaning: owned, or halo from one request.
    fn check_places(&self) -> Result<()> {
        let invalid = |text: String| Err(Error::new("plan", ErrorKind::InvalidArgument(text)));
        let requests: Vec<(usize, IndexSpace<D>)> = self.requests.iter().map(|r| (r.patch, r.space)).collect();
        if let Some((i, j)) = overlapping(&requests) {
            let (patch, common) = (requests[i].0, requests[i].1.intersect(&requests[j].1));
            return invalid(format!("patch {patch} requests {common} twice"));
        }
        // With an offset of 0 the patch's own cells are the very cells that are asked for.
        let elsewhere = self.requests.iter().filter(|r| r.offset != [0; D]).map(|r| (r.patch, r.space));
        let mut places: Vec<(usize, IndexSpace<D>)> = self.publications.iter().map(|p| (p.patch, p.space)).collect();
        let published = places.len();
        places.extend(elsewhere);
        if let Some((i, j)) = overlapping(&places) {
            let (patch, common) = (places[i].0, places[i].1.intersect(&places[j].1));
            let what = if i.max(j) < published { "twice" } else { "and requests it from elsewhere" };
            return invalid(format!("patch {patch} publishes {common} {what}"));
        }
        Ok(())
    }

    fn items(&self, me: usize) -> Vec<Item<D>> {
        let item = |role, patch: usize, space: IndexSpace<D>, offset: [i64; D]| {
            let parent = self.parents[patch];
            matching::images(&self.periods, space.translate(offset)).map(move |(space, to_local)| Item {
                role,
                id: 0,
                rank: me,
                patch,
                parent,
                space,
                local: std::array::from_fn(|a| space.start()[a] + to_local[a] - offset[a]),
            })
        };
        let publications = self.publications.iter().filter(|p| !p.space.is_empty());
        let requests = self.requests.iter().filter(|r| !r.space.is_empty());
        let mut items: Vec<Item<D>> =
            publications.flat_map(|p| item(Role::Publication, p.patch, p.space, [0; D])).collect();
        items.extend(requests.flat_map(|r| item(Role::Request, r.patch, r.space, r.offset)));
        for (id, item) in items.iter_mut().enumerate() {
            item.id = id;
        }
        items
    }

    fn assemble(&self, rounds: &Rounds, matches: &[Match<D>]) -> Parts {
        let me = rounds.rank();
        let (mut sends, mut recvs, mut local) = (Vec::new(), Vec::new(), Vec::new());
        let mut inside: Vec<Vec<IndexSpace<D>>> = vec![Vec::new(); self.parents.len()];
        for m in matches {
            let (owner, halo) = (&m.publication, &m.request);
            let shape = m.space.shape();
            let (from, to) = (at(m.owned_at(), shape), at(m.halo_at(), shape));
            let shift = widen::<D>(std::array::from_fn(|a| to.start()[a] - from.start()[a]));
            if m.in_place() {
                inside[halo.patch].push(to);
                continue;
            }
            let (layout_from, layout_to) = (layout_in(&owner.parent, &from), layout_in(&halo.parent, &to));
            let cells = from.into();
            // The same on both sides, and no two pieces have the same: a request's places are disjoint.
            let order = (halo.patch, to.start());
            if owner.rank == halo.rank {
                let copy = LocalCopy {
                    from_patch: owner.patch,
                    from: layout_from,
                    to_patch: halo.patch,
                    to: layout_to,
                    cells,
                    shift,
                };
                local.push((order, copy));
            } else if owner.rank == me {
                let piece = Piece {
                    patch: owner.patch,
                    layout: layout_from,
                    remote_patch: halo.patch,
                    remote: layout_to,
                    cells,
                    shift,
                };
                sends.push((order, (halo.rank, piece)));
            } else {
                let piece = Piece {
                    patch: halo.patch,
                    layout: layout_to,
                    remote_patch: owner.patch,
                    remote: layout_from,
                    cells,
                    shift,
                };
                recvs.push((order, (owner.rank, piece)));
            }
        }
        Parts {
            rank: me,
            size: rounds.size(),
            patches: self.regions(&inside),
            sends: in_order(sends),
            recvs: in_order(recvs),
            local: in_order(local),
        }
    }

    /// The patches with what they own and what is halo in them: what was requested without what is `inside`, there already.
    fn regions(&self, inside: &[Vec<IndexSpace<D>>]) -> Vec<Patch> {
        let parents = self.parents.iter();
        let mut patches: Vec<Patch> =
            parents.map(|p| Patch { len: p.len(), parent: (*p).into(), owned: Vec::new(), halo: Vec::new() }).collect();
        let region = |patch: usize, space: IndexSpace<D>| Region {
            layout: layout_in(&self.parents[patch], &space),
            cells: space.into(),
        };
        for p in self.publications.iter().filter(|p| !p.space.is_empty()) {
            patches[p.patch].owned.push(region(p.patch, p.space));
        }
        for r in self.requests.iter().filter(|r| !r.space.is_empty()) {
            let there = inside[r.patch].iter().filter(|space| space.intersects(&r.space));
            let halo = there.fold(vec![r.space], |left, space| left.iter().flat_map(|l| l.subtract(space)).collect());
            patches[r.patch].halo.extend(halo.into_iter().map(|space| region(r.patch, space)));
        }
        patches
    }
}

fn at<const D: usize>(start: [i64; D], shape: [usize; D]) -> IndexSpace<D> {
    IndexSpace::new(start, std::array::from_fn(|a| start[a] + shape[a] as i64))
}

fn in_order<K: Ord, T>(mut keyed: Vec<(K, T)>) -> Vec<T> {
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, value)| value).collect()
}

/// Two boxes of one group that share a cell, by their places in the list.
fn overlapping<const D: usize>(spaces: &[(usize, IndexSpace<D>)]) -> Option<(usize, usize)> {
    let mut order: Vec<usize> = (0..spaces.len()).filter(|&i| !spaces[i].1.is_empty()).collect();
    order.sort_by_key(|&i| (spaces[i].0, spaces[i].1.start()));
    for (n, &i) in order.iter().enumerate() {
        let end = spaces[i].1.end()[0];
        let near = order[n + 1..].iter().take_while(|&&j| spaces[j].0 == spaces[i].0 && spaces[j].1.start()[0] < end);
        for &j in near {
            if spaces[i].1.intersects(&spaces[j].1) {
                return Some((i, j));
            }
        }
    }
    None
}
