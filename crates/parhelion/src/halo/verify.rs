//! [`Plan::verify`]: what a plan promises, checked against what it says.

use std::hash::{Hash, Hasher};

use parhelion_comm::{Communicator, Error, ErrorKind, Layout, Result};

use super::Cells;
use super::plan::{Piece, Plan, Region, Transfer};
use super::rounds::Rounds;

impl Plan {
    /// Checks the plans of all ranks against each other. Collective over the communicator the plan was built on (or one
    /// with the same ranks in the same order); blocks until all ranks take part.
    ///
    /// At each rank: every halo cell is written exactly once, nothing else is written, only owned cells are read, and no
    /// cell is owned and halo at once (the adjoint: every halo cell is read exactly once, only owned cells are written). Between ranks:
    /// what one sends is what the other receives, piece by piece, with the same cells at the same places. Costs each rank a
    /// message per neighbour and a few small collectives.
    ///
    /// # Errors
    /// At every rank, if at any one; it names the region and the ranks.
    pub fn verify(&self, communicator: &Communicator) -> Result<()> {
        self.check_with(&mut Rounds::new(communicator)?)
    }

    pub(crate) fn check_with(&self, rounds: &mut Rounds) -> Result<()> {
        let alone = self.verify_alone(rounds);
        rounds.agree("verify", alone)?;
        let sent = self.sends().iter().map(|t| (t.peer, describe(t))).collect();
        let received = rounds.exchange(sent)?;
        let together = self.verify_together(&received);
        rounds.agree("verify", together)
    }

    fn verify_alone(&self, rounds: &Rounds) -> Result<()> {
        if (self.rank(), self.size()) != (rounds.rank(), rounds.size()) {
            return Err(wrong(format!(
                "the plan is for rank {} of {}, not for rank {} of {}",
                self.rank(),
                self.size(),
                rounds.rank(),
                rounds.size()
            )));
        }
        for (patch, (p, touched)) in self.patches().iter().zip(self.touched()).enumerate() {
            let owned = Stretches::of(p.owned.iter().map(|r| &r.layout));
            let halo = Stretches::of(p.halo.iter().map(|r| &r.layout));
            let (owner_side, halo_side) = (Stretches::of(touched.owner_side), Stretches::of(touched.halo_side));
            let what = if self.is_adjoint() { ["read", "written"] } else { ["written", "read"] };
            let found = [
                (owned.doubled(), "is owned twice"),
                (halo.doubled(), "is halo twice"),
                (owned.common(&halo), "is owned and halo at once"),
                (halo_side.doubled(), if self.is_adjoint() { "is read twice" } else { "is written twice" }),
            ];
            if let Some((at, fault)) = found.iter().find_map(|(at, fault)| Some(((*at)?, fault))) {
                return Err(wrong(format!("rank {}: {} {fault}", self.rank(), self.cell(patch, at))));
            }
            if let Some(at) = halo.without(&halo_side) {
                let region = self.region(&p.halo, at);
                let cell = self.cell(patch, at);
                return Err(wrong(format!("rank {}: {cell} of halo {region} is never {}", self.rank(), what[0])));
            }
            if let Some(at) = halo_side.without(&halo) {
                return Err(wrong(format!("rank {}: {}, no halo, is {}", self.rank(), self.cell(patch, at), what[0])));
            }
            if let Some(at) = owner_side.without(&owned) {
                return Err(wrong(format!(
                    "rank {}: {}, not owned, is {}",
                    self.rank(),
                    self.cell(patch, at),
                    what[1]
                )));
            }
        }
        Ok(())
    }

    fn touched(&self) -> Vec<Touched<'_>> {
        let mut all: Vec<Touched<'_>> = self.patches().iter().map(|_| Touched::default()).collect();
        let adjoint = self.is_adjoint();
        let mut touch = |patch: usize, layout, reads: bool| {
            let side = &mut all[patch];
            if reads != adjoint { side.owner_side.push(layout) } else { side.halo_side.push(layout) }
        };
        for (transfers, reads) in [(self.sends(), true), (self.recvs(), false)] {
            for piece in transfers.iter().flat_map(|t| &t.pieces) {
                touch(piece.patch, &piece.layout, reads);
            }
        }
        for copy in self.local() {
            touch(copy.from_patch, &copy.from, true);
            touch(copy.to_patch, &copy.to, false);
        }
        all
    }

    /// A cell of a patch by its place in the buffer, as a person would name it.
    fn cell(&self, patch: usize, at: usize) -> String {
        let parent = self.patches()[patch].parent;
        if let Cells::List(_) = parent {
            return format!("element {at} of patch {patch}");
        }
        let (extents, starts): (Vec<usize>, Vec<i64>) = parent.extents().zip(parent.ranges().map(|r| r.0)).unzip();
        let mut rest = at;
        let mut index = starts;
        for a in (0..index.len()).rev() {
            index[a] += (rest % extents[a]) as i64;
            rest /= extents[a];
        }
        format!("cell {index:?} of patch {patch}")
    }

    fn region(&self, regions: &[Region], at: usize) -> String {
        let holds = |r: &&Region| r.layout.iter_runs().any(|(start, len)| (start..start + len).contains(&at));
        regions.iter().find(holds).map_or_else(|| "of no region".to_owned(), |r| r.cells.to_string())
    }

    fn verify_together(&self, received: &[(usize, Vec<i64>)]) -> Result<()> {
        let me = self.rank();
        for (source, words) in received {
            let expected = self.recvs().iter().find(|t| t.peer == *source);
            let Some(expected) = expected else {
                let first = Said::read(words);
                return Err(wrong(format!(
                    "rank {source} sends {} to rank {me}, which does not expect it",
                    first.cells
                )));
            };
            for (n, said) in words.chunks_exact(Said::WORDS).map(Said::read).enumerate() {
                let Some(piece) = expected.pieces.get(n) else {
                    return Err(wrong(format!(
                        "rank {source} sends {} to rank {me}, which does not expect it",
                        said.cells
                    )));
                };
                if said != Said::by_receiver(piece) {
                    return Err(wrong(format!(
                        "piece {n} from rank {source} to rank {me}: sent {} for patch {}, expected {} for patch {}, or \
                         the same cells at other places",
                        said.cells, said.to_patch, piece.cells, piece.patch
                    )));
                }
            }
            let said = words.len() / Said::WORDS;
            if let Some(missing) = expected.pieces.get(said) {
                return Err(wrong(format!(
                    "rank {me} expects {} from rank {source}, which does not send it",
                    missing.cells
                )));
            }
        }
        for expected in self.recvs() {
            if received.binary_search_by_key(&expected.peer, |(source, _)| *source).is_err() {
                let (cells, peer) = (expected.pieces[0].cells, expected.peer);
                return Err(wrong(format!("rank {me} expects {cells} from rank {peer}, which sends it nothing")));
            }
        }
        Ok(())
    }
}

/// The layouts of one patch that the plan reads or writes: those that should be owned, those that should be halo.
#[derive(Default)]
struct Touched<'a> {
    owner_side: Vec<&'a Layout>,
    halo_side: Vec<&'a Layout>,
}

#[cold]
fn wrong(text: String) -> Error {
    Error::new("verify", ErrorKind::Mismatch(text))
}

fn describe(transfer: &Transfer) -> Vec<i64> {
    let mut words = Vec::with_capacity(transfer.pieces.len() * Said::WORDS);
    for piece in &transfer.pieces {
        Said::by_sender(piece).write(&mut words);
    }
    words
}

/// What sender and receiver of a piece must agree on. Layouts go as hashes: lists can be long.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    cells: Cells,
    shift: [i64; 4],
    from_patch: usize,
    to_patch: usize,
    from: u64,
    to: u64,
}

impl Said {
    const WORDS: usize = Cells::WORDS + 8;

    fn by_sender(p: &Piece) -> Self {
        Said {
            cells: p.cells,
            shift: p.shift,
            from_patch: p.patch,
            to_patch: p.remote_patch,
            from: digest(&p.layout),
            to: digest(&p.remote),
        }
    }

    fn by_receiver(p: &Piece) -> Self {
        Said {
            cells: p.cells,
            shift: p.shift,
            from_patch: p.remote_patch,
            to_patch: p.patch,
            from: digest(&p.remote),
            to: digest(&p.layout),
        }
    }

    fn write(&self, words: &mut Vec<i64>) {
        self.cells.write(words);
        words.extend(self.shift);
        words.extend([self.from_patch as i64, self.to_patch as i64, self.from as i64, self.to as i64]);
    }

    fn read(words: &[i64]) -> Self {
        let (mut cells, rest) = (words.iter().copied(), &words[Cells::WORDS..]);
        Said {
            cells: Cells::read(&mut cells),
            shift: std::array::from_fn(|a| rest[a]),
            from_patch: rest[4] as usize,
            to_patch: rest[5] as usize,
            from: rest[6] as u64,
            to: rest[7] as u64,
        }
    }
}

/// The same number at every rank, which the standard library does not promise of its hashers.
fn digest(layout: &Layout) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for (start, len) in layout.iter_runs() {
        (start as u64, len as u64).hash(&mut hash);
    }
    hash.finish()
}

/// FNV-1a, byte by byte.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The elements of some layouts of one buffer, as ascending runs; overlapping ones are kept as they are.
struct Stretches(Vec<(usize, usize)>);

impl Stretches {
    fn of<'a>(layouts: impl IntoIterator<Item = &'a Layout>) -> Self {
        let mut runs: Vec<(usize, usize)> =
            layouts.into_iter().flat_map(Layout::iter_runs).map(|(start, len)| (start, start + len)).collect();
        runs.sort_unstable();
        Stretches(runs)
    }

    /// An element that is in two of them.
    fn doubled(&self) -> Option<usize> {
        self.0.windows(2).find(|w| w[1].0 < w[0].1).map(|w| w[1].0)
    }

    /// An element that is here and not in `other`.
    fn without(&self, other: &Stretches) -> Option<usize> {
        let mut there = other.0.iter().peekable();
        let mut at = 0;
        for &(start, end) in &self.0 {
            // What overlaps an earlier one was looked at there.
            at = at.max(start);
            while at < end {
                match there.peek() {
                    Some(&&(_, e)) if e <= at => {
                        there.next();
                    }
                    Some(&&(s, e)) if s <= at => at = e,
                    _ => return Some(at),
                }
            }
        }
        None
    }

    /// An element that is here and in `other`.
    fn common(&self, other: &Stretches) -> Option<usize> {
        let mut there = other.0.iter().peekable();
        for &(start, end) in &self.0 {
            while there.next_if(|(_, e)| *e <= start).is_some() {}
            if let Some(&&(s, _)) = there.peek()
                && s < end
            {
                return Some(s.max(start));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parhelion_comm::{BackendKind, Config, launch};

    use super::super::plan::Parts;
    use super::*;
    use crate::array::Decomposition;

    /// The parts of a plan, to be spoilt.
    fn parts(plan: &Plan) -> Parts {
        let flat = |transfers: &[Transfer]| -> Vec<(usize, Piece)> {
            transfers.iter().flat_map(|t| t.pieces.iter().map(|p| (t.peer, p.clone()))).collect()
        };
        Parts {
            rank: plan.rank(),
            size: plan.size(),
            patches: plan.patches().to_vec(),
            sends: flat(plan.sends()),
            recvs: flat(plan.recvs()),
            local: plan.local().to_vec(),
        }
    }

    /// The errors of 4 ranks in a row of 4 × 6 blocks, periodic along the row, rank 1's plan spoilt.
    fn errors(spoil: impl Fn(&mut Parts) + Sync, adjoint: bool) -> Vec<String> {
        let config = Config::default().backend(BackendKind::Local).ranks(4).timeout(Duration::from_secs(30));
        launch(&config, |world| {
            let plan = Decomposition::new([4, 24], &world)?.grid([1, 4]).halo(1).periodic([true, true]).plan()?;
            plan.verify(&world)?;
            plan.adjoint().verify(&world)?;
            let mut parts = parts(&plan);
            if world.rank() == 1 {
                spoil(&mut parts);
            }
            let mut plan = Plan::new(parts)?;
            if adjoint {
                plan = plan.adjoint();
            }
            Ok::<_, Error>(plan.verify(&world).unwrap_err().to_string())
        })
        .unwrap()
    }

    fn spoilt(spoil: impl Fn(&mut Parts) + Sync, words: &[&str]) {
        for error in errors(spoil, false) {
            assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in {error:?}");
        }
    }

    #[test]
    fn a_halo_cell_that_is_never_written() {
        spoilt(|p| p.local.truncate(1), &["rank 1", "cell [4, 6] of patch 0 of halo [4..5, 6..12) is never written"]);
    }

    #[test]
    fn a_halo_cell_that_is_written_twice() {
        spoilt(|p| p.local.push(p.local[0].clone()), &["rank 1", "cell [-1, 6] of patch 0 is written twice"]);
    }

    #[test]
    fn an_owned_cell_that_is_written() {
        let spoil = |p: &mut Parts| {
            let mut copy = p.local[0].clone();
            copy.to = copy.from.clone();
            p.local.push(copy);
        };
        spoilt(spoil, &["rank 1: cell [3, 6] of patch 0, no halo, is written"]);
    }

    #[test]
    fn a_halo_cell_that_is_read() {
        // The halo's first row instead of the first owned one.
        spoilt(|p| p.local[0].from = Layout::contiguous(1, 6), &["cell [-1, 6] of patch 0, not owned, is read"]);
    }

    #[test]
    fn a_cell_that_is_owned_and_halo() {
        let spoil = |p: &mut Parts| {
            let halo = p.patches[0].halo[0].clone();
            p.patches[0].owned.push(halo);
        };
        spoilt(spoil, &["rank 1", "is owned and halo at once"]);
    }

    #[test]
    fn a_message_nobody_expects() {
        let spoil = |p: &mut Parts| {
            let (_, piece) = p.sends[0].clone();
            p.sends.push((3, piece));
        };
        spoilt(spoil, &["rank 1 sends [0..4, 6..7) to rank 3, which does not expect it"]);
    }

    #[test]
    fn a_message_nobody_sends() {
        spoilt(
            |p| p.sends.retain(|(peer, _)| *peer != 2),
            &["rank 2 expects [0..4, 11..12) from rank 1, which sends it"],
        );
    }

    #[test]
    fn a_piece_too_many_in_a_message() {
        let spoil = |p: &mut Parts| {
            let twice = p.sends[0].clone();
            p.sends.push(twice);
        };
        spoilt(spoil, &["rank 1 sends [0..4, 6..7) to rank 0, which does not expect it"]);
    }

    #[test]
    fn the_same_cells_for_another_place() {
        let spoil = |p: &mut Parts| p.sends[0].1.remote = p.sends[0].1.layout.clone();
        spoilt(spoil, &["piece 0 from rank 1 to rank 0", "[0..4, 6..7)", "at other places"]);
    }

    #[test]
    fn the_adjoint_is_checked_the_other_way_round() {
        let found = errors(|p| p.local.truncate(1), true);
        assert!(
            found.iter().all(|e| e.contains("cell [4, 6] of patch 0 of halo [4..5, 6..12) is never read")),
            "{found:?}"
        );
    }

    #[test]
    fn stretches_compare_as_sets() {
        let runs = |all: &[(usize, usize)]| Stretches(all.to_vec());
        let (a, b) = (runs(&[(0, 4), (2, 6), (8, 9)]), runs(&[(0, 3), (3, 6), (8, 12)]));
        assert_eq!((a.doubled(), b.doubled()), (Some(2), None));
        assert_eq!((a.without(&b), b.without(&a)), (None, Some(9)));
        assert_eq!((runs(&[(6, 8)]).common(&b), runs(&[(5, 7)]).common(&b)), (None, Some(5)));
        assert_eq!(runs(&[(0, 9)]).without(&b), Some(6));
    }
}
