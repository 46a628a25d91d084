//! [`Plan::explain`]: a plan in words.

use std::fmt::{self, Display};

use parhelion_comm::Layout;

use super::Cells;
use super::plan::{Patch, Plan, Transfer};

impl Plan {
    /// What this rank owns, needs, sends, receives and copies, as text for people. Counts are cells; local, nothing is sent.
    ///
    /// ```
    /// use parhelion::array::Decomposition;
    ///
    /// parhelion::run(|world| {
    ///     let plan = Decomposition::new([64, 64], &world)?.halo(1).plan()?;
    ///     let text = plan.explain().to_string();
    ///     assert!(text.starts_with(&format!("plan of rank {} of {}", world.rank(), world.size())));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    pub fn explain(&self) -> impl Display + '_ {
        Explanation(self)
    }
}

/// More of anything is summed up.
const SHOWN: usize = 8;

struct Explanation<'a>(&'a Plan);

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let what = if plan.is_adjoint() { "adjoint plan" } else { "plan" };
        let sum = |regions: fn(&Patch) -> &Vec<super::Region>| -> usize {
            plan.patches().iter().flat_map(regions).map(|r| r.cells.len()).sum()
        };
        write!(
            f,
            "{what} of rank {} of {}: {}, {} owned, {} halo",
            plan.rank(),
            plan.size(),
            count(plan.patches().len(), "patch"),
            count(sum(|p| &p.owned), "cell"),
            sum(|p| &p.halo)
        )?;
        for (n, patch) in plan.patches().iter().enumerate().take(SHOWN) {
            write!(f, "\n  patch {n}: {} in a buffer of {}", patch.parent, count(patch.len, "element"))?;
            for (what, regions) in [("owns", &patch.owned), ("halo", &patch.halo)] {
                write!(f, "; {what} ")?;
                list(f, regions.iter().map(|r| r.cells))?;
            }
        }
        more(f, plan.patches().len(), "  ", "patch")?;
        for (transfers, verb, way) in [(plan.sends(), "sends", "to"), (plan.recvs(), "receives", "from")] {
            let cells = transfers.iter().map(Transfer::len).sum();
            write!(f, "\n  {verb} {}, {}", count(transfers.len(), "message"), count(cells, "cell"))?;
            for t in transfers.iter().take(SHOWN) {
                let pieces = count(t.pieces.len(), "piece");
                write!(f, "\n    {way} rank {}: {} in {pieces}", t.peer, count(t.len(), "cell"))?;
                for p in t.pieces.iter().take(SHOWN) {
                    write!(f, "\n      {}{}", p.cells, Runs(&p.layout))?;
                    place(f, p.cells, p.shift)?;
                    write!(f, ", here patch {}, there patch {}", p.patch, p.remote_patch)?;
                }
                more(f, t.pieces.len(), "      ", "piece")?;
            }
            more(f, transfers.len(), "    ", "message")?;
        }
        let copies = plan.local();
        let cells = copies.iter().map(|c| c.from.len()).sum();
        write!(f, "\n  copies {} in {} of its own", count(cells, "cell"), count(copies.len(), "piece"))?;
        for c in copies.iter().take(SHOWN) {
            write!(f, "\n    {}{}", c.cells, Runs(&c.from))?;
            place(f, c.cells, c.shift)?;
            write!(f, ", patch {} to patch {}", c.from_patch, c.to_patch)?;
        }
        more(f, copies.len(), "    ", "piece")
    }
}

/// `1 cell`, `2 cells`, `3 patches`.
fn count(n: usize, what: &str) -> String {
    let plural = if what.ends_with("ch") { "es" } else { "s" };
    format!("{n} {what}{}", if n == 1 { "" } else { plural })
}

fn more(f: &mut fmt::Formatter<'_>, all: usize, indent: &str, what: &str) -> fmt::Result {
    if all <= SHOWN {
        return Ok(());
    }
    // The number, then "more", then the noun.
    let rest = count(all - SHOWN, what).replacen(' ', " more ", 1);
    write!(f, "\n{indent}… and {rest}")
}

fn list(f: &mut fmt::Formatter<'_>, all: impl ExactSizeIterator<Item = Cells>) -> fmt::Result {
    let left = all.len().saturating_sub(SHOWN);
    if all.len() == 0 {
        return f.write_str("nothing");
    }
    for (n, cells) in all.take(SHOWN).enumerate() {
        write!(f, "{}{cells}", if n == 0 { "" } else { " " })?;
    }
    if left > 0 { write!(f, " … and {left} more") } else { Ok(()) }
}

/// Where the cells lie for the rank with the halo, if not where their owner has them.
fn place(f: &mut fmt::Formatter<'_>, cells: Cells, shift: [i64; 4]) -> fmt::Result {
    if shift == [0; 4] { Ok(()) } else { write!(f, " as {}", cells.translate(shift)) }
}

/// How scattered a layout is: what a copy of it costs.
struct Runs<'a>(&'a Layout);

impl Display for Runs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (runs, shortest, longest) =
            self.0.iter_runs().fold((0usize, usize::MAX, 0), |(n, s, l), (_, len)| (n + 1, s.min(len), l.max(len)));
        write!(f, " ({} of {shortest}", count(runs, "run"))?;
        if longest != shortest {
            write!(f, " to {longest}")?;
        }
        f.write_str(")")
    }
}
