//! Who sends which cells to whom when data moves between two decompositions, and the moving.
//!
//! Every rank computes its own messages from the two decompositions, with arithmetic per axis: along each axis, its own
//! indices are cut where the other side's owner changes; a message is a product of such cuts, one per axis. Nobody asks
//! anybody, and only ranks that share cells exchange a message.
//!
//! Both sides list the cells of a message in C order of the global indices. Along an axis with copies (replicated), the
//! receiver takes them from one source, the copy at its own coordinate in the source's grid: from itself, where it has
//! one, and from copies spread evenly otherwise. Receiving copies are all filled.

use std::collections::BTreeMap;
use std::ops::Range;

use parhelion_comm::layout::{self, Layout};
use parhelion_comm::{Communicator, Element, Request, Result, wait_all, wait_any};

use super::place::Place;
use super::{AxisMap, AxisRun, Decomposition, IndexSpace};

/// The tag of the messages in this file. They never cross each other: all ranks take part in every transfer, in one order.
const TAG: u32 = 1;

/// The cells that go to, or come from, one rank: where they lie in this rank's storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) rank: usize,
    pub(super) layout: Layout,
}

/// What one rank has to do in a transfer. Legs are sorted by rank; the one to itself is among both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) sends: Vec<Leg>,
    pub(super) recvs: Vec<Leg>,
}

impl Transfer {
    /// The transfer of the cells of `region` from `source`'s arrays to `target`'s, for rank `me`. Both decompositions are
    /// over ranks of the same numbers and contain the region.
    pub(super) fn new<const D: usize>(
        source: &Decomposition<D>,
        target: &Decomposition<D>,
        region: IndexSpace<D>,
        me: usize,
    ) -> Self {
        Transfer { sends: legs(source, target, region, me, true), recvs: legs(target, source, region, me, false) }
    }
}

/// The legs of rank `me`, which holds `mine`, with the ranks that hold `theirs`.
fn legs<const D: usize>(
    mine: &Decomposition<D>,
    theirs: &Decomposition<D>,
    region: IndexSpace<D>,
    me: usize,
    sending: bool,
) -> Vec<Leg> {
    let here = mine.coordinates(me);
    let there = theirs.coordinates(me);
    let place = Place::new(mine, me);
    let offset = place.offset();
    let cuts: [Vec<Cut>; D] = std::array::from_fn(|a| {
        let cuts = cuts(mine.axis(a), here[a], offset[a], theirs.axis(a), region.axis(a));
        if !theirs.axis(a).is_replicated() {
            cuts
        } else if sending {
            // All copies are filled.
            cuts.into_iter()
                .flat_map(|cut| (0..theirs.process_grid()[a]).map(move |part| Cut { part, ..cut.clone() }))
                .collect()
        } else {
            cuts.into_iter().map(|cut| Cut { part: there[a], ..cut }).collect()
        }
    });
    let mut legs = Vec::new();
    for choice in IndexSpace::from_shape(cuts.each_ref().map(Vec::len)) {
        let chosen: [&Cut; D] = std::array::from_fn(|a| &cuts[a][choice[a] as usize]);
        let rank = theirs.rank_at(chosen.map(|cut| cut.part));
        // Of several copies, the receiver takes the one at its own coordinate.
        let peer = mine.coordinates(rank);
        if !sending || (0..D).all(|a| !mine.axis(a).is_replicated() || peer[a] == here[a]) {
            legs.push(Leg { rank, layout: product(place.parent(), chosen.map(|cut| &cut.runs[..])) });
        }
    }
    legs.sort_unstable_by_key(|leg| leg.rank);
    legs
}

/// The indices along one axis that this rank shares with one part of the other side: runs of positions in its storage.
#[derive(Debug, Clone)]
struct Cut {
    part: usize,
    runs: Vec<(usize, usize)>,
}

/// Cuts what part `here` of `mine` holds of `within` where the owner in `theirs` changes, sorted by part.
fn cuts(mine: &AxisMap, here: usize, offset: usize, theirs: &AxisMap, within: Range<i64>) -> Vec<Cut> {
    let mut cuts: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for run in mine.runs(here, within) {
        let all = run.global..run.global + run.len as i64;
        // Parts take turns: when the first one comes again, all that there are have been seen.
        let (mut at, mut first) = (all.start, None);
        while at < all.end {
            let part = theirs.owner(at);
            if *first.get_or_insert(part) == part && at > all.start {
                break;
            }
            let position = |global: i64| offset + run.local + (global - run.global) as usize;
            let runs = cuts.entry(part).or_default();
            let mut turn = 0;
            for shared in theirs.runs(part, all.clone()) {
                turn = if turn == 0 { shared.len } else { turn };
                let start = position(shared.global);
                match runs.last_mut() {
                    Some((before, len)) if *before + *len == start => *len += shared.len,
                    _ => runs.push((start, shared.len)),
                }
            }
            assert!(turn > 0, "the owner of an index holds a run that begins there");
            at += turn as i64;
        }
    }
    cuts.into_iter().map(|(part, runs)| Cut { part, runs }).collect()
}

/// The cells whose position along every axis is in one of that axis' runs, in C order, in a C-ordered array of shape
/// `parent`.
fn product<const D: usize>(parent: [usize; D], runs: [&[(usize, usize)]; D]) -> Layout {
    if runs.iter().all(|runs| runs.len() == 1) {
        return Layout::subarray(&parent, &runs.map(|runs| runs[0].0), &runs.map(|runs| runs[0].1));
    }
    fn rows(parent: &[usize], runs: &[&[(usize, usize)]], base: usize, all: &mut Vec<(usize, usize)>) {
        let ([extent, parent @ ..], [first, runs @ ..]) = (parent, runs) else { return };
        if runs.is_empty() {
            all.extend(first.iter().map(|&(start, len)| (base * extent + start, len)));
            return;
        }
        for &(start, count) in *first {
            for position in start..start + count {
                rows(parent, runs, base * extent + position, all);
            }
        }
    }
    let mut all = Vec::new();
    rows(&parent, &runs, 0, &mut all);
    Layout::runs(all)
}

/// Where `rank`'s cells of `region` lie in its storage, in C order.
pub(super) fn held<const D: usize>(decomposition: &Decomposition<D>, rank: usize, region: IndexSpace<D>) -> Layout {
    let place = Place::new(decomposition, rank);
    let offset = place.offset();
    chosen(decomposition, rank, region, place.parent(), |a, run| offset[a] + run.local)
}

/// Where `rank`'s cells of `region` lie in a C-ordered array of the region alone, in C order.
pub(super) fn dense<const D: usize>(decomposition: &Decomposition<D>, rank: usize, region: IndexSpace<D>) -> Layout {
    let start = region.start();
    chosen(decomposition, rank, region, region.shape(), |a, run| (run.global - start[a]) as usize)
}

fn chosen<const D: usize>(
    decomposition: &Decomposition<D>,
    rank: usize,
    region: IndexSpace<D>,
    parent: [usize; D],
    position: impl Fn(usize, AxisRun) -> usize,
) -> Layout {
    let at = decomposition.coordinates(rank);
    let runs: [Vec<_>; D] = std::array::from_fn(|a| {
        decomposition.axis(a).runs(at[a], region.axis(a)).map(|run| (position(a, run), run.len)).collect()
    });
    if runs.iter().any(Vec::is_empty) {
        return Layout::EMPTY;
    }
    product(parent, runs.each_ref().map(Vec::as_slice))
}

/// Carries out a transfer of elements of `from` to places of `to`, on an internal communicator. Collective over the ranks
/// that share cells.
pub(super) fn carry_out<T: Element>(
    communicator: &Communicator,
    transfer: &Transfer,
    from: &[T],
    to: &mut [T],
) -> Result<()> {
    let me = communicator.rank();
    let others = |legs: &'_ [Leg]| legs.iter().filter(move |leg| leg.rank != me).cloned().collect::<Vec<_>>();
    let (sends, mut arriving) = (others(&transfer.sends), others(&transfer.recvs));
    let mut receives: Vec<Request<Vec<T>>> = arriving
        .iter()
        .map(|leg| communicator.irecv(bytemuck::zeroed_vec(leg.layout.len()), leg.rank, TAG))
        .collect::<Result<_>>()?;
    let sends: Vec<Request<Vec<T>>> = sends
        .iter()
        .map(|leg| {
            let mut packed = bytemuck::zeroed_vec(leg.layout.len());
            leg.layout.pack(from, &mut packed);
            communicator.isend(packed, leg.rank, TAG)
        })
        .collect::<Result<_>>()?;
    let own = |legs: &'_ [Leg]| legs.iter().find(|leg| leg.rank == me).map(|leg| leg.layout.clone());
    if let (Some(source), Some(target)) = (own(&transfer.sends), own(&transfer.recvs)) {
        copy(from, &source, to, &target);
    }
    while let Some((done, data, _)) = wait_any(&mut receives)? {
        arriving.remove(done).layout.unpack(&data, to);
    }
    wait_all(sends)?;
    Ok(())
}

/// Copies the elements of `source` in `from` to those of `target` in `to`.
pub(super) fn copy<T: Element>(from: &[T], source: &Layout, to: &mut [T], target: &Layout) {
    assert!(source.end() <= from.len(), "layout {source} ends beyond a buffer of {} elements", from.len());
    assert!(target.end() <= to.len(), "layout {target} ends beyond a buffer of {} elements", to.len());
    assert_eq!(source.len(), target.len(), "as many elements go out as come in");
    // SAFETY: both layouts lie inside their slices and name equally many elements, as just checked; the slices cannot
    // overlap.
    unsafe { layout::copy(from.as_ptr().cast(), source, to.as_mut_ptr().cast(), target, size_of::<T>()) }
}
