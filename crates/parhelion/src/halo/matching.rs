//! Who overlaps whom: publications and requests of all ranks meet without being gathered anywhere.
//!
//! 1. With periods, boxes are cut at the multiples of the period and moved into the first one ([`images`]), so that
//!    cells that are the same have the same numbers.
//! 2. The space is covered by grids of cells, each level twice as coarse as the one below along every axis; the finest is
//!    about as coarse as a typical publication, axis by axis, so that slabs and pencils are as good as cubes ([`Grid`]).
//!    A box belongs to the level at which it spans at most four cells per axis and is entered there and at all coarser
//!    levels in use; two boxes are compared at the level of the larger one.
//! 3. Every grid cell has a rank, its *meeting place*. Each rank sends each of its boxes to the meeting places of the
//!    cells that it touches, the meeting places compare what came, and answer the ranks of every pair that overlaps:
//!    two sparse exchanges ([`Rounds`]). A pair meets in several grid cells; the one that holds the first cell of what
//!    they share answers.
//!
//! What a rank sends is its boxes times a constant; what it receives as a meeting place is what touches its grid cells,
//! on average as much. Publications that overlap are found the same way, whether or not somebody requests them.

use std::collections::{BTreeMap, HashMap};

use parhelion_comm::{Error, ErrorKind, Result};

use super::rounds::Rounds;
use crate::array::IndexSpace;

/// A publication or a request, cut to one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<const D: usize> {
    pub(crate) role: Role,
    /// Its place in the list of its rank's items.
    pub(crate) id: usize,
    pub(crate) rank: usize,
    pub(crate) patch: usize,
    /// The box of the patch's buffer, in the patch's numbering.
    pub(crate) parent: IndexSpace<D>,
    /// The published cells that it is about, in the first period.
    pub(crate) space: IndexSpace<D>,
    /// Where the first of them lies, in the patch's numbering.
    pub(crate) local: [i64; D],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Publication,
    Request,
}

/// A publication and a request that share cells; one of them is this rank's, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match<const D: usize> {
    pub(crate) publication: Item<D>,
    pub(crate) request: Item<D>,
    /// What they share, in the first period.
    pub(crate) space: IndexSpace<D>,
}

impl<const D: usize> Item<D> {
    /// Where `index` lies in the patch's numbering.
    fn place(&self, index: [i64; D]) -> [i64; D] {
        std::array::from_fn(|a| index[a] - self.space.start()[a] + self.local[a])
    }

    /// `space`, a part of this item's, in the patch's numbering.
    fn placed(&self, space: &IndexSpace<D>) -> IndexSpace<D> {
        space.translate(std::array::from_fn(|a| self.local[a] - self.space.start()[a]))
    }

    fn owner(&self) -> String {
        format!("rank {} (patch {})", self.rank, self.patch)
    }

    const WORDS: usize = 4 + 5 * D;

    fn write(&self, words: &mut Vec<i64>) {
        words.extend([(self.role == Role::Request) as i64, self.id as i64, self.rank as i64, self.patch as i64]);
        for numbers in [self.parent.start(), self.parent.end(), self.space.start(), self.space.end(), self.local] {
            words.extend(numbers);
        }
    }

    fn read(words: &[i64]) -> Self {
        let numbers = |i: usize| std::array::from_fn(|a| words[4 + i * D + a]);
        Item {
            role: if words[0] == 0 { Role::Publication } else { Role::Request },
            id: words[1] as usize,
            rank: words[2] as usize,
            patch: words[3] as usize,
            parent: IndexSpace::new(numbers(0), numbers(1)),
            space: IndexSpace::new(numbers(2), numbers(3)),
            local: numbers(4),
        }
    }
}

impl<const D: usize> Match<D> {
    /// The first shared cell as the publishing patch numbers it.
    pub(crate) fn owned_at(&self) -> [i64; D] {
        self.publication.place(self.space.start())
    }

    /// The first shared cell as the requesting patch numbers it.
    pub(crate) fn halo_at(&self) -> [i64; D] {
        self.request.place(self.space.start())
    }

    /// Whether the request is for cells that its own patch publishes in the same place: nothing has to move.
    pub(crate) fn in_place(&self) -> bool {
        let owner = |i: &Item<D>| (i.rank, i.patch);
        owner(&self.publication) == owner(&self.request) && self.owned_at() == self.halo_at()
    }
}

/// The parts of `space` in each period, moved into the first, with what to add to get back.
pub(crate) fn images<const D: usize>(
    periods: &[Option<usize>; D],
    space: IndexSpace<D>,
) -> impl Iterator<Item = (IndexSpace<D>, [i64; D])> + use<D> {
    let mut parts = vec![(space, [0i64; D])];
    for (axis, period) in periods.iter().enumerate() {
        let Some(n) = period.map(|n| n as i64) else { continue };
        let cut = |(part, back): (IndexSpace<D>, [i64; D])| {
            let range = part.axis(axis);
            let turns = range.start.div_euclid(n)..=(range.end - 1).div_euclid(n);
            turns.map(move |turn| {
                let (mut start, mut end, mut back) = (part.start(), part.end(), back);
                start[axis] = range.start.max(turn * n) - turn * n;
                end[axis] = range.end.min((turn + 1) * n) - turn * n;
                back[axis] = turn * n;
                (IndexSpace::new(start, end), back)
            })
        };
        parts = parts.into_iter().flat_map(cut).collect();
    }
    parts.into_iter()
}

/// The grids over the published cells: the same at every rank.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grid<const D: usize> {
    bounds: IndexSpace<D>,
    /// log2 of the edge of a cell of level 0 along each axis.
    shift: [u32; D],
    /// Bit l: some box is of level l.
    levels: u64,
    ranks: usize,
}

type Cell<const D: usize> = (u32, [i64; D]);

impl<const D: usize> Grid<D> {
    /// A box of a level spans at most this many edges along every axis, so at most one more cell.
    const SPAN: u64 = 3;

    fn level(&self, space: &IndexSpace<D>) -> u32 {
        let fits = |level: u32| {
            (0..D).all(|a| {
                // Beyond 2^63 every box fits.
                let edge = 1u64.checked_shl(self.shift[a] + level).unwrap_or(u64::MAX);
                space.shape()[a] as u64 <= edge.saturating_mul(Self::SPAN)
            })
        };
        (0..64).find(|&level| fits(level)).unwrap_or(63)
    }

    /// The cell of `level` along an axis in which the index lies.
    fn coordinate(&self, level: u32, axis: usize, index: i64) -> i64 {
        ((index - self.bounds.start()[axis]) as u64).checked_shr(self.shift[axis] + level).unwrap_or(0) as i64
    }

    /// The cells in which a box of `own` level is entered: at its own level and those above that are in use.
    fn cells(&self, space: IndexSpace<D>, own: u32) -> impl Iterator<Item = Cell<D>> + '_ {
        let levels = (own..64).filter(|&level| self.levels >> level & 1 == 1);
        levels.flat_map(move |level| {
            let first = std::array::from_fn(|a| self.coordinate(level, a, space.start()[a]));
            let last: [i64; D] = std::array::from_fn(|a| self.coordinate(level, a, space.end()[a] - 1));
            IndexSpace::new(first, last.map(|c| c + 1)).iter().map(move |cell| (level, cell))
        })
    }

    /// The rank at which the boxes of a cell meet.
    fn meeting_place(&self, (level, cell): Cell<D>) -> usize {
        let counts: [u128; D] =
            std::array::from_fn(|a| self.coordinate(level, a, self.bounds.end()[a] - 1) as u128 + 1);
        let total = counts.iter().fold(1u128, |n, &c| n.saturating_mul(c));
        if total <= 8 * self.ranks as u128 {
            // Few cells, so hardly any is empty: in equal shares, in C order.
            let linear = (0..D).fold(0u128, |n, a| n * counts[a] + cell[a] as u128);
            return ((linear * self.ranks as u128 / total + level as u128) % self.ranks as u128) as usize;
        }
        let hash = cell.iter().fold(level as u64, |h, &c| mix(h ^ c as u64));
        (hash % self.ranks as u64) as usize
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every bit of the input moves every bit of the output.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// All pairs that one of `items`, this rank's publications and requests, is part of. Collective.
///
/// # Errors
/// At every rank: a request that is not covered, publications that overlap, periods that differ.
pub(crate) fn find<const D: usize>(
    rounds: &mut Rounds,
    periods: &[Option<usize>; D],
    items: &[Item<D>],
) -> Result<Vec<Match<D>>> {
    let grid = agree_on_grid(rounds, periods, items)?;
    let pairs = meet(rounds, grid.as_ref(), items)?;
    let outcome = conclude(rounds.rank(), items, &pairs);
    rounds.agree("plan", outcome)
}

/// `None`: nothing is published anywhere.
fn agree_on_grid<const D: usize>(
    rounds: &mut Rounds,
    periods: &[Option<usize>; D],
    items: &[Item<D>],
) -> Result<Option<Grid<D>>> {
    const NOTHING: i64 = i64::MIN;
    let published: Vec<&Item<D>> = items.iter().filter(|i| i.role == Role::Publication).collect();
    let hull = published.iter().fold(IndexSpace::empty(), |hull, i| hull.hull(&i.space));
    let mut numbers: Vec<i64> = Vec::with_capacity(4 * D);
    for (axis, period) in periods.iter().enumerate() {
        let period = period.map_or(0, |n| n as i64);
        let (low, high) = if hull.is_empty() { (NOTHING, NOTHING) } else { (-hull.start()[axis], hull.end()[axis]) };
        numbers.extend([low, high, period, -period]);
    }
    let numbers = rounds.largest(numbers)?;
    for axis in 0..D {
        let (most, least) = (numbers[4 * axis + 2], -numbers[4 * axis + 3]);
        if most != least {
            // Every rank sees the same numbers, so every rank fails here.
            let name = |n: i64| if n == 0 { "none".to_owned() } else { n.to_string() };
            let text = format!("the period of axis {axis}: {} and {}", name(least), name(most));
            return Err(Error::new("plan", ErrorKind::Mismatch(text)));
        }
    }
    if numbers[0] == NOTHING {
        return Ok(None);
    }
    let bounds = IndexSpace::new(std::array::from_fn(|a| -numbers[4 * a]), std::array::from_fn(|a| numbers[4 * a + 1]));
    // Typical is the geometric mean: a few boxes far from the rest must not spoil the grid for the others.
    let mut sums = vec![published.len() as f64];
    sums.extend((0..D).map(|a| published.iter().map(|i| log2_above(i.space.shape()[a])).sum::<u32>() as f64));
    let sums = rounds.sum(sums)?;
    let shift = std::array::from_fn(|a| (sums[1 + a] / sums[0]).ceil() as u32);
    let mut grid = Grid { bounds, shift, levels: 0, ranks: rounds.size() };
    let levels = items.iter().fold(0u64, |bits, i| bits | 1 << grid.level(&i.space));
    grid.levels = rounds.union(levels)?;
    Ok(Some(grid))
}

/// The smallest `l` with `2^l >= n`.
fn log2_above(n: usize) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

/// Two items that share `space`, of which the first is this rank's.
#[derive(Debug, Clone, Copy)]
struct Pair<const D: usize> {
    mine: Item<D>,
    other: Item<D>,
    space: IndexSpace<D>,
}

/// Sends `items` to their meeting places, serves as one, and gives what the others found out about `items`.
fn meet<const D: usize>(rounds: &mut Rounds, grid: Option<&Grid<D>>, items: &[Item<D>]) -> Result<Vec<Pair<D>>> {
    let mut letters = Letters::default();
    if let Some(grid) = grid {
        for item in items {
            // What reaches beyond everything published meets nobody there; `conclude` finds it uncovered.
            let space = item.space.intersect(&grid.bounds);
            if space.is_empty() {
                continue;
            }
            let mut places: Vec<usize> =
                grid.cells(space, grid.level(&item.space)).map(|cell| grid.meeting_place(cell)).collect();
            places.sort_unstable();
            places.dedup();
            for place in places {
                item.write(letters.to(place));
            }
        }
    }
    let guests: Vec<Item<D>> = rounds
        .exchange(letters.finish())?
        .iter()
        .flat_map(|(_, words)| words.chunks_exact(Item::<D>::WORDS).map(Item::read))
        .collect();
    let mut answers = Letters::default();
    if let Some(grid) = grid {
        compare(grid, rounds.rank(), &guests, |a, b| {
            tell(answers.to(a.rank), a, b);
            if a.rank != b.rank {
                tell(answers.to(b.rank), b, a);
            }
        });
    }
    let pair = |words: &[i64]| {
        let (mine, other) = (items[words[0] as usize], Item::read(&words[1..]));
        Pair { mine, other, space: mine.space.intersect(&other.space) }
    };
    let received = rounds.exchange(answers.finish())?;
    Ok(received.iter().flat_map(|(_, words)| words.chunks_exact(1 + Item::<D>::WORDS).map(pair)).collect())
}

/// Tells the rank of `mine` what its item met.
fn tell<const D: usize>(words: &mut Vec<i64>, mine: &Item<D>, other: &Item<D>) {
    words.push(mine.id as i64);
    other.write(words);
}

/// Calls `each` for every pair of overlapping guests, at least one of them a publication, that is this place's to answer.
fn compare<const D: usize>(grid: &Grid<D>, place: usize, guests: &[Item<D>], mut each: impl FnMut(&Item<D>, &Item<D>)) {
    let levels: Vec<u32> = guests.iter().map(|g| grid.level(&g.space)).collect();
    let mut cells: BTreeMap<Cell<D>, Vec<usize>> = BTreeMap::new();
    for (i, guest) in guests.iter().enumerate() {
        let here = grid.cells(guest.space.intersect(&grid.bounds), levels[i]);
        for cell in here.filter(|&cell| grid.meeting_place(cell) == place) {
            cells.entry(cell).or_default().push(i);
        }
    }
    for ((level, cell), mut present) in cells {
        present.sort_by_key(|&i| guests[i].space.start()[0]);
        for (n, &i) in present.iter().enumerate() {
            let a = &guests[i];
            for &j in present[n + 1..].iter().take_while(|&&j| guests[j].space.start()[0] < a.space.end()[0]) {
                let b = &guests[j];
                if levels[i].max(levels[j]) != level || (a.role, b.role) == (Role::Request, Role::Request) {
                    continue;
                }
                let common = a.space.intersect(&b.space);
                let first = common.start();
                if !common.is_empty() && (0..D).all(|x| grid.coordinate(level, x, first[x]) == cell[x]) {
                    each(a, b);
                }
            }
        }
    }
}

/// Checks that this rank's requests are covered exactly once and its publications overlap no others; gives the matches.
fn conclude<const D: usize>(me: usize, items: &[Item<D>], pairs: &[Pair<D>]) -> Result<Vec<Match<D>>> {
    let mismatch = |text: String| Err(Error::new("plan", ErrorKind::Mismatch(text)));
    let mut matches: Vec<Match<D>> = Vec::new();
    for Pair { mine, other, space } in pairs {
        match (mine.role, other.role) {
            (Role::Publication, Role::Publication) => {
                let region = mine.placed(space);
                return mismatch(format!("{} and {} both publish {region}", mine.owner(), other.owner()));
            }
            (Role::Publication, _) => matches.push(Match { publication: *mine, request: *other, space: *space }),
            (Role::Request, _) => matches.push(Match { publication: *other, request: *mine, space: *space }),
        }
    }
    // A pair of two items of this rank is told once, since one answer serves both.
    let mut by_request: HashMap<usize, Vec<&Match<D>>> = HashMap::new();
    for m in matches.iter().filter(|m| m.request.rank == me) {
        by_request.entry(m.request.id).or_default().push(m);
    }
    for request in items.iter().filter(|i| i.role == Role::Request) {
        let found = by_request.get(&request.id).map_or(&[][..], Vec::as_slice);
        let covered: usize = found.iter().map(|m| m.space.len()).sum();
        if covered < request.space.len() {
            let left = found
                .iter()
                .fold(vec![request.space], |left, m| left.iter().flat_map(|l| l.subtract(&m.space)).collect());
            let region = left.first().map_or(request.space, |first| request.placed(first));
            let more = if left.len() > 1 { format!(" and {} more boxes", left.len() - 1) } else { String::new() };
            return mismatch(format!("nobody publishes {region}{more}, which {} requests", request.owner()));
        }
        if covered > request.space.len() {
            let twice = found.iter().enumerate().find_map(|(n, m)| {
                let other = found[n + 1..].iter().find(|o| o.space.intersects(&m.space))?;
                Some((m, other, m.space.intersect(&other.space)))
            });
            let Some((one, other, space)) = twice else { continue };
            return mismatch(format!(
                "{} and {} both publish {}, which {} requests",
                one.publication.owner(),
                other.publication.owner(),
                request.placed(&space),
                request.owner()
            ));
        }
    }
    Ok(matches)
}

/// Words for several ranks, one letter each.
#[derive(Default)]
struct Letters(BTreeMap<usize, Vec<i64>>);

impl Letters {
    fn to(&mut self, rank: usize) -> &mut Vec<i64> {
        self.0.entry(rank).or_default()
    }

    fn finish(self) -> Vec<(usize, Vec<i64>)> {
        self.0.into_iter().collect()
    }
}
