//! [`Drawing`]: a plan as a picture, for people. What is in it; `svg` puts it on paper.

use std::fmt;
use std::path::Path;

use parhelion_comm::{Communicator, Error, ErrorKind, Result};

use super::Cells;
use super::plan::{Piece, Plan};
use super::rounds::Rounds;
use super::svg;

/// A picture of plans: patches as boxes in the colours of their ranks, halos in the colours of their owners, arrows from
/// owned regions to halos with the bytes that go there. Its `Display` is the SVG text.
///
/// Boxes stand where their global indices say, pulled apart so that halos do not lie on neighbours; axis 0 points down (of
/// three axes: into the picture), the last to the right; of four axes the first puts patches side by side. Patches without
/// geometry stand in a circle. With many pieces there is one arrow per message instead of one per piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    pub(super) element_size: usize,
    pub(super) adjoint: bool,
    pub(super) patches: Vec<Shape>,
    pub(super) arrows: Vec<Arrow>,
}

/// A patch, or of a neighbour's patch what a plan knows of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) rank: usize,
    pub(super) patch: usize,
    /// Of a neighbour's patch only what is exchanged is known.
    pub(super) whole: bool,
    pub(super) parent: Cells,
    pub(super) owned: Vec<Cells>,
}

/// A region on its way from where it is owned to where it is halo.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    pub(super) from: End,
    pub(super) to: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) rank: usize,
    pub(super) patch: usize,
    pub(super) cells: Cells,
}

impl Plan {
    /// Writes a picture of this rank and its neighbours to `path`, as SVG: see [`Drawing`]. Bytes are for elements of 8 bytes.
    /// Local: each rank that draws needs a path of its own; [`Plan::draw_all`] draws all ranks in one picture.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn draw(&self, path: impl AsRef<Path>) -> Result<()> {
        self.drawing().save(path)
    }

    /// Writes a picture of the plans of all ranks to `path`, as SVG, at rank 0. Collective over the communicator the plan
    /// was built on; the plans are gathered at rank 0, so this is for as many ranks as a picture can show.
    ///
    /// # Errors
    /// At every rank: the file cannot be written.
    pub fn draw_all(&self, communicator: &Communicator, path: impl AsRef<Path>) -> Result<()> {
        let drawing = self.drawing_of_all(communicator)?;
        let saved = drawing.map_or(Ok(()), |d| d.save(path));
        Rounds::new(communicator)?.agree("draw", saved)
    }

    /// The picture of this rank and what it knows of its neighbours.
    pub fn drawing(&self) -> Drawing {
        let mut drawing = self.own();
        let me = self.rank();
        for (transfers, sent) in [(self.recvs(), false), (self.sends(), true)] {
            for (peer, piece) in transfers.iter().flat_map(|t| t.pieces.iter().map(move |p| (t.peer, p))) {
                let arrow = arrow(me, peer, piece, sent, self.is_adjoint());
                let theirs = if sent { arrow.to } else { arrow.from };
                drawing.neighbour(theirs, sent == self.is_adjoint());
                if sent {
                    drawing.arrows.push(arrow);
                }
            }
        }
        drawing
    }

    /// The picture of the plans of all ranks, at rank 0; `None` elsewhere. Collective, as [`Plan::draw_all`].
    ///
    /// # Errors
    /// As any collective: a lost peer, a timeout.
    pub fn drawing_of_all(&self, communicator: &Communicator) -> Result<Option<Drawing>> {
        let own = self.own();
        let mut words = vec![own.patches.len() as i64];
        for shape in &own.patches {
            words.extend([shape.rank as i64, shape.patch as i64, shape.owned.len() as i64]);
            shape.parent.write(&mut words);
            shape.owned.iter().for_each(|cells| cells.write(&mut words));
        }
        words.push(own.arrows.len() as i64);
        for end in own.arrows.iter().flat_map(|a| [&a.from, &a.to]) {
            words.extend([end.rank as i64, end.patch as i64]);
            end.cells.write(&mut words);
        }
        let Some((words, _)) = communicator.gatherv(&words, 0)? else { return Ok(None) };
        let mut all = Drawing { patches: Vec::new(), arrows: Vec::new(), ..own };
        let mut words = words.into_iter();
        while let Some(patches) = words.next() {
            all.read(patches, &mut words);
        }
        Ok(Some(all))
    }

    /// This rank's patches, and arrows for what arrives in them.
    fn own(&self) -> Drawing {
        let me = self.rank();
        let shape = |(patch, p): (usize, &super::Patch)| Shape {
            rank: me,
            patch,
            whole: true,
            parent: p.parent,
            owned: p.owned.iter().map(|r| r.cells).collect(),
        };
        let pieces = self.recvs().iter().flat_map(|t| t.pieces.iter().map(move |p| (t.peer, p)));
        let mut arrows: Vec<Arrow> =
            pieces.map(|(peer, piece)| arrow(me, peer, piece, false, self.is_adjoint())).collect();
        arrows.extend(self.local().iter().map(|c| {
            // In the adjoint the halo is read.
            let (from, to) = (c.cells, c.cells.translate(c.shift));
            let (from, to) = if self.is_adjoint() { (to, from) } else { (from, to) };
            Arrow {
                from: End { rank: me, patch: c.from_patch, cells: from },
                to: End { rank: me, patch: c.to_patch, cells: to },
            }
        }));
        let patches = self.patches().iter().enumerate().map(shape).collect();
        Drawing { element_size: 8, adjoint: self.is_adjoint(), patches, arrows }
    }
}

/// The way of a piece between `me` and `peer`.
fn arrow(me: usize, peer: usize, piece: &Piece, sent: bool, adjoint: bool) -> Arrow {
    let (here, there) = ((me, piece.patch), (peer, piece.remote_patch));
    // The owner sends, but in the adjoint receives.
    let (owner, halo) = if sent != adjoint { (here, there) } else { (there, here) };
    let owner = End { rank: owner.0, patch: owner.1, cells: piece.cells };
    let halo = End { rank: halo.0, patch: halo.1, cells: piece.cells.translate(piece.shift) };
    let (from, to) = if adjoint { (halo, owner) } else { (owner, halo) };
    Arrow { from, to }
}

impl Drawing {
    /// Sets the size of an element in bytes, for the labels; without this, 8.
    #[must_use]
    pub fn element_size(mut self, bytes: usize) -> Self {
        self.element_size = bytes;
        self
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.to_string()).map_err(|e| {
            Error::new("draw", ErrorKind::InvalidArgument(format!("cannot write {}: {e}", path.display())))
        })
    }

    /// Adds to a neighbour's patch a region that is known to be in it.
    fn neighbour(&mut self, end: End, owned: bool) {
        let at = self.patches.iter().position(|s| (s.rank, s.patch) == (end.rank, end.patch));
        let at = at.unwrap_or_else(|| {
            let (rank, patch) = (end.rank, end.patch);
            self.patches.push(Shape { rank, patch, whole: false, parent: end.cells, owned: Vec::new() });
            self.patches.len() - 1
        });
        let shape = &mut self.patches[at];
        shape.parent = shape.parent.hull(&end.cells);
        if owned && !shape.owned.contains(&end.cells) {
            shape.owned.push(end.cells);
        }
    }

    fn read(&mut self, patches: i64, words: &mut impl Iterator<Item = i64>) {
        let number = |words: &mut dyn Iterator<Item = i64>| words.next().unwrap_or_default() as usize;
        for _ in 0..patches {
            let (rank, patch, owned) = (number(words), number(words), number(words));
            let parent = Cells::read(words);
            let owned = (0..owned).map(|_| Cells::read(words)).collect();
            self.patches.push(Shape { rank, patch, whole: true, parent, owned });
        }
        for _ in 0..number(words) {
            let [from, to] =
                std::array::from_fn(|_| End { rank: number(words), patch: number(words), cells: Cells::read(words) });
            self.arrows.push(Arrow { from, to });
        }
    }
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        svg::write(self, f)
    }
}
