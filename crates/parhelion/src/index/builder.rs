//! Making a [`Descriptor`]: [`Builder`], then [`Pattern`], then [`Pattern::assemble`].

use std::fmt;

use parhelion_comm::{Communicator, Error, ErrorKind, Op, Result};

use super::Descriptor;
use super::adjacency::Edges;
use super::assembly::Assembly;
use super::directory;
use super::numbering::Owned;
use crate::halo::{Rounds, mix};

/// The first step of making a [`Descriptor`]: who owns what.
///
/// Its methods are collective: every rank calls the same one. What is wrong is said by [`Pattern::assemble`], at every rank.
#[derive(Debug)]
#[must_use = "nothing is made before `assemble`"]
pub struct Builder {
    communicator: Communicator,
}

/// What must hold of the indices from 0 to the largest that anybody owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Coverage {
    /// Every one is owned by exactly one rank.
    #[default]
    Once,
    /// None is owned by two ranks; some may have no owner.
    AtMostOnce,
    /// Every one is owned; some by several ranks.
    Every,
    /// Nothing.
    Any,
}

/// The second step of making a [`Descriptor`]: what a rank needs beside what it owns. Its methods are local, and can be
/// called any number of times.
#[derive(Debug)]
#[must_use = "nothing is made before `assemble`"]
pub struct Pattern {
    communicator: Communicator,
    owned: Result<Owned>,
    coverage: Coverage,
    /// Every rank owns all.
    replicated: bool,
    edges: Edges,
    /// Needed whatever the edges say; some several times.
    halo: Vec<u64>,
}

/// How ownership was said, with what of it is equal on all ranks.
#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    Blocks,
    OwnerOf(u64),
    Owners(&'a [usize]),
    Listed,
    Replicated(u64),
}

impl Kind<'_> {
    /// The method, the number of indices where that is said, and a digest of the owners where they are `checked`.
    fn words(self, checked: bool) -> [i64; 3] {
        match self {
            Kind::Blocks => [0, 0, 0],
            Kind::OwnerOf(total) => [1, total as i64, 0],
            Kind::Owners(owners) => {
                let digest = |owners: &[usize]| owners.iter().fold(0, |digest, &owner| mix(digest ^ owner as u64));
                [2, owners.len() as i64, if checked { digest(owners) as i64 } else { 0 }]
            }
            Kind::Listed => [3, 0, 0],
            Kind::Replicated(total) => [4, total as i64, 0],
        }
    }
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Blocks => write!(f, "blocks"),
            Kind::OwnerOf(total) => write!(f, "owner_of of {total} indices"),
            Kind::Owners(owners) => write!(f, "owners of {} indices", owners.len()),
            Kind::Listed => write!(f, "owned"),
            Kind::Replicated(total) => write!(f, "replicated of {total} indices"),
        }
    }
}

impl Builder {
    pub(super) fn new(communicator: &Communicator) -> Self {
        Builder { communicator: communicator.clone() }
    }

    /// Consecutive blocks in the order of the ranks; this rank's has `len` indices. Collective: two reductions.
    pub fn blocks(self, len: usize) -> Pattern {
        let owned = self.agree(Kind::Blocks).and_then(|_| {
            let before = self.communicator.exclusive_scan(&[len as u64], Op::Sum)?;
            let start = before.map_or(0, |sum| sum[0]);
            // Of sums that wrap the first does so at the end of a block that begins below 2^64.
            let end = start.checked_add(len as u64);
            end.map(|_| Owned::Range { start, len }).ok_or_else(|| too_many_indices(start, len))
        });
        self.owning(owned, Coverage::Any)
    }

    /// The indices `0..total`, each owned by the rank that `owner` gives for it, in ascending order. Each rank evaluates
    /// `owner`, which must be the same function everywhere, for an equal share of the indices. Collective: a reduction and
    /// a sparse exchange.
    pub fn owner_of(self, total: u64, owner: impl FnMut(u64) -> usize) -> Pattern {
        let owned = self.agree(Kind::OwnerOf(total)).and_then(|mut rounds| deal(&mut rounds, total, owner));
        self.owning(owned, Coverage::Any)
    }

    /// The indices `0..owners.len()`, each owned by the rank that `owners`, equal on all ranks, has for it; in ascending
    /// order. Collective: a reduction. Where the communicator's checks are on, ranks with other owners are found out.
    pub fn owners(self, owners: &[usize]) -> Pattern {
        let (rank, size) = (self.communicator.rank(), self.communicator.size());
        let owned = self.agree(Kind::Owners(owners)).and_then(|_| {
            if let Some(i) = owners.iter().position(|&owner| owner >= size) {
                return Err(no_such_rank(i as u64, owners[i], size));
            }
            let mine = owners.iter().enumerate().filter(|&(_, &owner)| owner == rank);
            Owned::new(mine.map(|(global, _)| global as u64).collect())
        });
        self.owning(owned, Coverage::Any)
    }

    /// The indices that this rank lists, in their order. Every index from 0 to the largest must be owned by exactly one
    /// rank, unless [`Pattern::coverage`] says otherwise. Collective: a reduction.
    pub fn owned(self, globals: impl IntoIterator<Item = u64>) -> Pattern {
        let owned = self.agree(Kind::Listed).and_then(|_| Owned::new(globals.into_iter().collect()));
        self.owning(owned, Coverage::Once)
    }

    /// The indices `0..total`, all of them owned by every rank; rank 0 is the one that counts. Collective: a reduction.
    pub fn replicated(self, total: usize) -> Pattern {
        let owned = self.agree(Kind::Replicated(total as u64)).map(|_| Owned::Range { start: 0, len: total });
        Pattern { replicated: true, ..self.owning(owned, Coverage::Any) }
    }

    fn owning(&self, owned: Result<Owned>, coverage: Coverage) -> Pattern {
        let communicator = self.communicator.clone();
        Pattern { communicator, owned, coverage, replicated: false, edges: Edges::new(), halo: Vec::new() }
    }

    /// Makes sure that all ranks called the same method, so that what follows matches.
    fn agree(&self, kind: Kind<'_>) -> Result<Rounds> {
        let mut rounds = Rounds::new(&self.communicator)?;
        let words = kind.words(rounds.checks());
        // Equal numbers have equal largest values of themselves and of their complements.
        let most = rounds.largest(words.into_iter().flat_map(|word| [word, !word]).collect())?;
        let same = |i: usize| most[2 * i] == !most[2 * i + 1];
        let text = if !same(0) || !same(1) {
            format!(
                "rank {} gives the owners by {kind}, another rank otherwise; all ranks call the same method for the same \
                 indices",
                rounds.rank()
            )
        } else if !same(2) {
            "the owners that ranks give to `owners` differ; all ranks give the same".to_owned()
        } else {
            return Ok(rounds);
        };
        Err(Error::new("descriptor", ErrorKind::Mismatch(text)))
    }
}

/// One more than the largest index that any rank owns. Collective.
///
/// # Errors
/// At every rank: ranks that disagree about what is to hold of the indices.
pub(super) fn total(rounds: &mut Rounds, owned: &Owned, coverage: Coverage) -> Result<u64> {
    let word = coverage as i64;
    // The end with its highest bit changed keeps its order as a word, so that the largest of all is the largest word.
    let most = rounds.largest(vec![(owned.end() ^ 1 << 63) as i64, word, !word])?;
    if most[1] != !most[2] {
        let text = format!(
            "rank {} asks for coverage {coverage:?}, another rank for another; all ranks ask for the same",
            rounds.rank()
        );
        return Err(Error::new("assemble", ErrorKind::Mismatch(text)));
    }
    Ok(most[0] as u64 ^ 1 << 63)
}

fn too_many_indices(start: u64, len: usize) -> Error {
    let text = format!("a block of {len} indices from {start} on; there are at most 2^64 - 1 indices");
    Error::new("descriptor", ErrorKind::InvalidArgument(text))
}

fn no_such_rank(global: u64, owner: usize, size: usize) -> Error {
    let text = format!("the owner of global index {global} is rank {owner}; there are ranks 0 to {}", size - 1);
    Error::new("descriptor", ErrorKind::InvalidArgument(text))
}

/// Evaluates `owner` for this rank's share of `0..total` and tells the owners; gives what this rank owns.
fn deal(rounds: &mut Rounds, total: u64, mut owner: impl FnMut(u64) -> usize) -> Result<Owned> {
    let (rank, size) = (rounds.rank(), rounds.size());
    let bound = |rank: usize| (rank as u128 * u128::from(total) / size as u128) as u64;
    let mut letters: std::collections::BTreeMap<usize, Vec<i64>> = std::collections::BTreeMap::new();
    let mut outcome = Ok(());
    for global in bound(rank)..bound(rank + 1) {
        let owner = owner(global);
        if owner >= size {
            outcome = Err(no_such_rank(global, owner, size));
            break;
        }
        let words = letters.entry(owner).or_default();
        match &mut words[..] {
            [.., start, len] if *start as u64 + *len as u64 == global => *len += 1,
            _ => words.extend([global as i64, 1]),
        }
    }
    rounds.agree("descriptor", outcome)?;
    let received = rounds.exchange(letters.into_iter().collect())?;
    // The shares ascend with their ranks, and so do the indices.
    let runs = received.iter().flat_map(|(_, words)| words.chunks_exact(2));
    Owned::new(runs.flat_map(|w| w[0] as u64..w[0] as u64 + w[1] as u64).collect())
}

impl Pattern {
    /// Edges of a graph, or rows and columns of a matrix's entries: of each edge with one end owned here the other is
    /// needed here. Edges with both ends or neither end here need nothing. Those whose row is owned here are kept:
    /// [`Descriptor::adjacency`]. Local; quickest where the edges of a row come together.
    pub fn edges(mut self, edges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let Ok(owned) = &self.owned else { return self };
        let mut last = None;
        for (row, column) in edges {
            let here = match last {
                Some((known, here)) if known == row => here,
                _ => owned.local(row),
            };
            last = Some((row, here));
            match (here, owned.local(column)) {
                (Some(row), Some(column)) => self.edges.push_inside(row, column),
                (Some(row), None) => self.edges.push_outside(row, column),
                (None, Some(_)) if self.halo.last() == Some(&row) => {}
                (None, Some(_)) => self.halo.push(row),
                (None, None) => {}
            }
        }
        self
    }

    /// The edges from `row` to each of `columns`: [`edges`](Self::edges). Local.
    pub fn adjacency(self, row: u64, columns: impl IntoIterator<Item = u64>) -> Self {
        self.edges(columns.into_iter().map(|column| (row, column)))
    }

    /// Indices that are needed here whatever the edges say; those that are owned here are ignored. Local.
    pub fn halo(mut self, globals: impl IntoIterator<Item = u64>) -> Self {
        let Ok(owned) = &self.owned else { return self };
        self.halo.extend(globals.into_iter().filter(|&global| owned.local(global).is_none()));
        self
    }

    pub(super) fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// Itself, unless something was wrong with the ownership on this rank.
    pub(super) fn sound(mut self) -> Result<Self> {
        match std::mem::replace(&mut self.owned, Ok(Owned::Range { start: 0, len: 0 })) {
            Ok(owned) => Ok(Pattern { owned: Ok(owned), ..self }),
            Err(error) => Err(error),
        }
    }

    /// The indices owned here; none if something was wrong.
    pub(super) fn owned(&self) -> impl Iterator<Item = u64> + '_ {
        self.owned.iter().flat_map(Owned::iter)
    }

    /// What [`assemble`](Self::assemble) checks of the owned indices of all ranks. Matters after [`Builder::owned`] only; the
    /// other ways to say who owns what leave no choice. All ranks say the same. Local.
    ///
    /// Of an index that several ranks own the lowest is the *master*: the one whose value halos get, and the one that
    /// counts in sums.
    pub fn coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self
    }

    /// How many indices this rank owns; none if something was wrong.
    pub(super) fn owned_len(&self) -> usize {
        self.owned.as_ref().map_or(0, Owned::len)
    }

    /// The local index of one that this rank owns.
    pub(super) fn local(&self, global: u64) -> Option<usize> {
        self.owned.as_ref().ok()?.local(global)
    }

    /// The global index of a local one below [`Pattern::owned_len`].
    pub(super) fn global(&self, local: usize) -> u64 {
        self.owned.as_ref().expect("what is not sound has no local indices").global(local)
    }

    /// The owners of `wanted`, which ascend. Collective, where all ranks are [`sound`](Self::sound).
    pub(super) fn find_owners(&self, rounds: &mut Rounds, wanted: &[u64]) -> Result<Vec<usize>> {
        let owned = self.owned.as_ref().expect("what is not sound has no owners");
        let total = total(rounds, owned, self.coverage)?;
        let registered = if self.replicated && rounds.rank() != 0 { Vec::new() } else { owned.runs() };
        let found = directory::find(rounds, total, &registered, wanted, self.coverage, "has entries for")?;
        Ok(found.sources.into_iter().map(|(owner, _)| owner).collect())
    }

    /// The third step: finds the owners of what is needed and makes the plan. Collective.
    ///
    /// A rank sends messages to the ranks that keep its indices' slices of the directory, and to its neighbours, beside a
    /// fixed number of small collectives ([`Plan::build_cost`](crate::halo::Plan::build_cost)). Where the communicator's
    /// checks are on, [`Plan::verify`](crate::halo::Plan::verify) follows.
    ///
    /// # Errors
    /// At every rank, if at any one: ranks that disagree about how ownership is given or about the coverage, an owner that is
    /// no rank, blocks of more than 2^64 - 1 indices, an index listed twice, an index needed that nobody owns, what [`Coverage`] forbids. What the backend reports.
    pub fn assemble(self) -> Result<Descriptor> {
        let mut rounds = Rounds::new(&self.communicator)?;
        let Pattern { communicator, owned, coverage, replicated, edges, halo } = self;
        let owned = rounds.agree("assemble", owned)?;
        let assembly = Assembly { owned, edges, halo, coverage, replicated };
        assembly.assemble(&communicator, &mut rounds).map(Descriptor::new)
    }
}
