//! Index lists: adjacency, and descriptors whose points are owned by several ranks, layer by layer.

use std::collections::{BTreeMap, BTreeSet};

use parhelion_comm::Communicator;
use parhelion_comm::conformance::{Case, Halt, Outcome};

use super::check::{ensure, value};
use super::meshes::{PARTITIONS, Partition, edges, mesh_of, rounds, settings_for};
use crate::index::{Coverage, Descriptor, DistVector, List, OverlapUpdate};

pub(super) const CASES: &[Case] = &[
    Case::new("layers: the adjacency has the edges that were inserted, in whatever order", adjacency),
    Case::new("layers: points up to n edges away are owned, numbered and counted as they must be", layers),
    Case::new("layers: a mesh of 8 x 8 in two blocks with a layer averages what the two ranks have", mesh),
    Case::new("layers: a pattern that is not symmetric is followed from row to column", one_way),
    Case::new("layers: a descriptor with layers or shared points is extended", again),
    Case::new("layers: nothing to add leaves the descriptor, and ranks that disagree are told", nothing),
];

/// The columns of each row of a mesh.
fn rows_of(shape: [u64; 3]) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut rows: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (row, column) in edges(shape) {
        rows.entry(row).or_default().insert(column);
    }
    rows
}

/// Whether the adjacency has those rows.
fn has_rows(index: &Descriptor, rows: &BTreeMap<u64, BTreeSet<u64>>) -> Outcome {
    let adjacency = index.adjacency();
    ensure(adjacency.rows() == index.owned_len(), format_args!("{adjacency:?} of {index}"))?;
    for (local, global) in index.owned().enumerate() {
        let row: Vec<usize> = adjacency.row(local).collect();
        ensure(row.windows(2).all(|w| w[0] < w[1]), format_args!("row {global} does not ascend: {row:?}"))?;
        let found: BTreeSet<u64> = row.iter().filter_map(|&column| index.global(column)).collect();
        let want = rows.get(&global).cloned().unwrap_or_default();
        ensure(found == want && row.len() == want.len(), format_args!("row {global}: {found:?}, not {want:?}"))?;
    }
    let cut = adjacency.iter().filter(|&(_, column)| column >= index.owned_len()).count();
    let entries: usize = (0..adjacency.rows()).map(|row| adjacency.row(row).len()).sum();
    ensure((entries, cut) == (adjacency.entries(), adjacency.cut()), format_args!("{adjacency:?}: {entries}, {cut}"))
}

fn adjacency(c: &Communicator) -> Outcome {
    let shape = [3, 5, 4];
    let rows = rows_of(shape);
    for partition in PARTITIONS {
        has_rows(&mesh_of(c, shape, partition)?, &rows)?;
        // Everybody inserts everything, in another order on every rank, part of it twice, in two calls.
        let mut all = edges(shape);
        all.extend_from_within(20..60);
        all.sort_by_key(|&(row, column)| value::<u64, 3>([row as i64, column as i64, c.rank() as i64], 3));
        let later = all.split_off(70);
        let pattern = partition.own(Descriptor::builder(c), shape.iter().product(), c);
        has_rows(&pattern.edges(all).edges(later).assemble()?, &rows)?;
    }
    Ok(())
}

/// How far each index is from those of `start`, up to `layers`.
fn distances(rows: &BTreeMap<u64, BTreeSet<u64>>, start: &BTreeSet<u64>, layers: usize) -> BTreeMap<u64, usize> {
    let mut found: BTreeMap<u64, usize> = start.iter().map(|&i| (i, 0)).collect();
    let mut last = start.clone();
    for layer in 1..=layers {
        let next: BTreeSet<u64> = last.iter().filter_map(|i| rows.get(i)).flatten().copied().collect();
        last = next.into_iter().filter(|i| !found.contains_key(i)).collect();
        found.extend(last.iter().map(|&i| (i, layer)));
    }
    found
}

/// Checks an extended descriptor against distances from `owners`, which has the owned indices of all ranks before.
fn is_extended(
    c: &Communicator,
    index: &Descriptor,
    base: &Descriptor,
    rows: &BTreeMap<u64, BTreeSet<u64>>,
    owners: &[BTreeSet<u64>],
    layers: usize,
) -> Outcome {
    let reached: Vec<BTreeMap<u64, usize>> = owners.iter().map(|owned| distances(rows, owned, layers)).collect();
    let mine = &reached[c.rank()];
    let found: BTreeMap<u64, usize> =
        index.owned().enumerate().filter_map(|(local, global)| Some((global, index.layer(local)?))).collect();
    ensure(&found == mine, format_args!("{layers} layers: {found:?}, not {mine:?}"))?;
    ensure(index.owned_len() == mine.len() && index.total() == base.total(), index)?;
    ensure(index.inner_len() == base.owned_len(), format_args!("{} inner of {base}", index.inner_len()))?;
    ensure(index.owned().zip(base.owned()).all(|(a, b)| a == b), "the inner indices were numbered anew")?;
    let in_order = (0..index.owned_len()).filter_map(|local| index.layer(local)).is_sorted();
    ensure(in_order && index.layer(index.owned_len()).is_none(), "the layers do not follow one another")?;
    has_rows(index, rows)?;
    let columns = mine.keys().filter_map(|i| rows.get(i)).flatten().chain(base.halo());
    let halo: BTreeSet<u64> = columns.copied().filter(|i| !mine.contains_key(i)).collect();
    ensure(index.halo().iter().copied().collect::<BTreeSet<_>>() == halo, format_args!("halo {:?}", index.halo()))?;
    for (local, global) in index.owned().enumerate() {
        let having: Vec<usize> = (0..c.size()).filter(|&rank| reached[rank].contains_key(&global)).collect();
        let degree = index.degrees().map_or(1, |degrees| degrees[local]);
        ensure(degree as usize == having.len(), format_args!("index {global} has degree {degree}, not {having:?}"))?;
        let counts = index.counted().iter_runs().any(|(start, len)| (start..start + len).contains(&local));
        ensure(counts == (having[0] == c.rank()), format_args!("index {global} of {having:?} counts: {counts}"))?;
    }
    for &global in index.halo() {
        let master = (0..c.size()).find(|&rank| reached[rank].contains_key(&global));
        ensure(index.owner(global) == master, format_args!("the owner of {global} is {:?}", index.owner(global)))?;
    }
    for plan in [Some(index.plan()), index.overlap_plan(), index.extension_plan()].into_iter().flatten() {
        plan.verify(c)?;
    }
    let source = |global: u64| (0..c.size()).find(|&rank| owners[rank].contains(&global)).unwrap_or(usize::MAX);
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let mut x = DistVector::from_fn(index, |global| 1000 * global + c.rank() as u64);
        x.exchange()?;
        let halo = index.halo().iter().all(|&i| x.get(i) == index.owner(i).map(|owner| 1000 * i + owner as u64));
        ensure(halo, format_args!("{settings}: the halo has {:?}", x.halo()))?;
        x.halo_mut().fill(7);
        x.exchange_on(List::Extension)?;
        for (local, global) in index.owned().enumerate() {
            let rank = if local < index.inner_len() { c.rank() } else { source(global) };
            let want = 1000 * global + rank as u64;
            ensure(x.local()[local] == want, format_args!("{settings}: {global} has {}", x.local()[local]))?;
        }
        ensure(x.halo().iter().all(|&x| x == 7), format_args!("{settings}: the extension changed the halo"))?;
        // Ones come back as many as there are copies in layers.
        let mut ones = DistVector::full(index, 1u32);
        ones.exchange_adjoint_on(List::Extension, parhelion_comm::Op::Sum)?;
        for (local, global) in index.owned().enumerate().take(index.inner_len()) {
            let away = |(rank, reached): (usize, &BTreeMap<u64, usize>)| {
                !owners[rank].contains(&global) && reached.contains_key(&global)
            };
            let copies = reached.iter().enumerate().filter(|&all| away(all)).count();
            let want = if source(global) == c.rank() { 1 + copies } else { 1 };
            ensure(ones.local()[local] as usize == want, format_args!("{settings}: {global} has {want} copies"))?;
        }
    }
    Ok(())
}

fn layers(c: &Communicator) -> Outcome {
    for (shape, most) in [([1, 7, 6], 3), ([4, 3, 5], 2)].into_iter().take(rounds(c, 20) as usize) {
        let (rows, n) = (rows_of(shape), shape.iter().product());
        for partition in PARTITIONS {
            let base = mesh_of(c, shape, partition)?;
            let owners: Vec<BTreeSet<u64>> =
                (0..c.size()).map(|r| (0..n).filter(|&i| partition.owner(i, n, c.size()) == r).collect()).collect();
            for layers in 1..=most {
                let index = base.extend(layers)?;
                is_extended(c, &index, &base, &rows, &owners, layers)
                    .map_err(|halt| within(halt, format_args!("{partition:?}, {layers} layers")))?;
            }
        }
    }
    Ok(())
}

fn within(halt: Halt, place: impl std::fmt::Display) -> Halt {
    match halt {
        Halt::Failed(text) => Halt::Failed(format!("{place}: {text}")),
        other => other,
    }
}

/// Rows of 8; the first two ranks have four each. Of the shared rows 3 and 4 each rank gives its own number.
fn mesh(c: &Communicator) -> Outcome {
    if c.size() < 2 {
        return Err(Halt::Skipped("needs two ranks".to_owned()));
    }
    let len = if c.rank() < 2 { 32 } else { 0 };
    let index = Descriptor::builder(c).blocks(len).edges(edges([1, 8, 8])).assemble()?.extend(1)?;
    let (owned, halo): (Vec<u64>, Vec<u64>) = match c.rank() {
        0 => ((0..40).collect(), (40..48).collect()),
        1 => ((32..64).chain(24..32).collect(), (16..24).collect()),
        _ => (Vec::new(), Vec::new()),
    };
    ensure(index.owned().eq(owned), format_args!("{:?}", index.owned().collect::<Vec<_>>()))?;
    ensure(index.halo() == halo, format_args!("halo {:?}", index.halo()))?;
    for settings in settings_for(c) {
        index.set_scheme(settings);
        let number = |rank: usize| 3.0 + 2.0 * rank as f64;
        let mut x = DistVector::full(&index, number(c.rank()));
        x.update_overlap(OverlapUpdate::Average)?;
        let right = index.owned().zip(x.owned()).all(|(i, &x)| {
            let want = if (24..40).contains(&i) { (number(0) + number(1)) / 2.0 } else { number(c.rank()) };
            x == want
        });
        ensure(right, format_args!("{settings}: {:?}", x.owned()))?;
    }
    Ok(())
}

/// Every row has an edge to the row 5 further on, and the owner of the column is not told.
fn one_way(c: &Communicator) -> Outcome {
    let n = 6 * c.size() as u64;
    let rows: BTreeMap<u64, BTreeSet<u64>> = (0..n).map(|i| (i, BTreeSet::from([(i + 5) % n]))).collect();
    let start = 6 * c.rank() as u64;
    let pattern = (start..start + 6).map(|i| (i, (i + 5) % n));
    let base = Descriptor::builder(c).blocks(6).edges(pattern).halo([(start + n - 1) % n]).assemble()?;
    let owners: Vec<BTreeSet<u64>> = (0..c.size() as u64).map(|r| (6 * r..6 * r + 6).collect()).collect();
    for layers in [1, 3] {
        is_extended(c, &base.extend(layers)?, &base, &rows, &owners, layers)?;
    }
    Ok(())
}

fn again(c: &Communicator) -> Outcome {
    let shape = [1, 6, 7];
    let rows = rows_of(shape);
    let once = mesh_of(c, shape, Partition::Blocks)?.extend(1)?;
    let owned = |index: &Descriptor| -> Result<Vec<BTreeSet<u64>>, Halt> {
        let mine: Vec<u64> = index.owned().collect();
        let (all, counts) = c.all_gatherv(&mine)?;
        let mut rest = &all[..];
        let take = |&count: &usize| {
            let (mine, later) = rest.split_at(count);
            rest = later;
            mine.iter().copied().collect()
        };
        Ok(counts.iter().map(take).collect())
    };
    is_extended(c, &once.extend(1)?, &once, &rows, &owned(&once)?, 1)?;
    // Owned by this rank and the next from the start.
    let (n, size) = (42, c.size() as u64);
    let mine = (0..n).filter(|i| [i % size, (i + 1) % size].contains(&(c.rank() as u64)));
    let pattern = Descriptor::builder(c).owned(mine).coverage(Coverage::Every).edges(edges(shape));
    let shared = pattern.assemble()?;
    is_extended(c, &shared.extend(2)?, &shared, &rows, &owned(&shared)?, 2)?;
    // A line of which each rank owns six points and the next four: seen from the right, a rank's neighbour has rows of points
    // whose master is the rank before it.
    let (n, start) = (6 * size, 6 * c.rank() as u64);
    let pattern = Descriptor::builder(c).owned(start..(start + 10).min(n)).coverage(Coverage::Every);
    let line = pattern.edges(edges([1, 1, n])).assemble()?;
    is_extended(c, &line.extend(4)?, &line, &rows_of([1, 1, n]), &owned(&line)?, 4)
}

fn nothing(c: &Communicator) -> Outcome {
    let base = mesh_of(c, [1, 5, 5], Partition::Blocks)?;
    ensure(base.extend(0)?.is_same(&base), "no layers make another descriptor")?;
    let whole = Descriptor::builder(c).replicated(9).edges([(0, 1), (1, 8)]).assemble()?;
    ensure(whole.extend(3)?.is_same(&whole), "everybody owns everything, and yet something was added")?;
    ensure(base.layer(0) == (!base.is_empty()).then_some(0), format_args!("{:?}", base.layer(0)))?;
    ensure(base.inner_len() == base.owned_len() && base.extension_plan().is_none(), "layers without an extension")?;
    // Far more layers than there are: all of them, and the end is found.
    let all = base.extend(usize::MAX >> 1)?;
    ensure(all.owned_len() == 25 && all.halo_len() == 0, format_args!("{all}"))?;
    if c.size() > 1 {
        let error = base.extend(c.rank()).err().map(|e| e.to_string()).unwrap_or_default();
        ensure(error.contains("another number"), format_args!("different numbers of layers: {error:?}"))?;
    }
    Ok(())
}
