//! The halo of a vector over the rows of a 7-point matrix, and the assembly of its descriptor: the peer `halo_sparse`.
//!
//! The peer numbers a rank's own points in global order, as this does. Its halo it numbers as a scan of its rows meets it, or
//! (`-l grouped`) by owner; this has it by owner, in the owner's order.

use parhelion::index::{Descriptor, DistVector};
use parhelion::{Op, Result as CommResult};

use super::{Bench, Case, timing};
use crate::args::{BenchArgs, GridPartition};
use crate::error::{Error, Result};
use crate::matrix::grid::Grid;

/// The most points of a grid: the peer numbers them in 32 bits.
const LARGEST: u64 = i32::MAX as u64;

/// The points of the grid, and who owns them.
#[derive(Clone, Copy)]
struct Shape {
    grid: Grid,
    ranks: u64,
    partition: GridPartition,
}

impl Shape {
    fn new(args: &BenchArgs, ranks: usize) -> Result<Self> {
        let n = args.size.unwrap_or(64) as u64;
        let layers = if args.sparse.per_rank { n * ranks as u64 } else { n };
        if n.pow(2).saturating_mul(layers) > LARGEST {
            return Err(Error::Input(format!(
                "a grid of {n} x {n} x {layers} points is too large; {LARGEST} fit at most"
            )));
        }
        let grid = Grid { side: n, layers };
        Ok(Self { grid, ranks: ranks as u64, partition: args.sparse.partition.unwrap_or_default() })
    }

    fn owned(&self, rank: usize) -> Vec<u64> {
        let start = |rank: u64| (rank * self.grid.points()).div_ceil(self.ranks);
        match self.partition {
            GridPartition::Slab => (start(rank as u64)..start(rank as u64 + 1)).collect(),
            GridPartition::Random => {
                (0..self.grid.points()).filter(|&point| mix(point) % self.ranks == rank as u64).collect()
            }
        }
    }

    fn name(&self) -> &'static str {
        match self.partition {
            GridPartition::Slab => "slab",
            GridPartition::Random => "random",
        }
    }

    fn case(&self) -> String {
        let (name, Grid { side: n, layers }) = (self.name(), self.grid);
        if layers == n { format!("{name}_n{n}_c1") } else { format!("{name}_n{n}x{n}x{layers}_c1") }
    }

    fn descriptor(self, world: &parhelion::Communicator, owned: &[u64]) -> CommResult<Descriptor> {
        let edges = owned.iter().flat_map(|&row| self.grid.columns(row).map(move |column| (row, column)));
        Descriptor::builder(world).owned(owned.iter().copied()).edges(edges).assemble()
    }
}

/// The peer's hash: the finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Measures what was asked for.
pub(super) fn run(bench: &mut Bench<'_>, args: &BenchArgs) -> Result<()> {
    let shape = Shape::new(args, bench.world.size())?;
    let owned = shape.owned(bench.world.rank());
    if args.sparse.assembly { assembly(bench, shape, &owned) } else { exchanges(bench, args, shape, &owned) }
}

/// What a point holds, as the peer has it.
fn value(point: u64) -> f64 {
    point as f64 * 8.0
}

/// Whether an exchange, with nothing in the halo before, gives what it should.
fn exchanges_right(x: &mut DistVector<f64>) -> Result<bool> {
    x.halo_mut().fill(-1.0);
    x.exchange()?;
    Ok(is_right(x))
}

fn is_right(x: &DistVector<f64>) -> bool {
    let index = x.descriptor();
    x.local().iter().enumerate().all(|(local, &entry)| index.global(local).map(value) == Some(entry))
}

/// Every scheme, hot and touched.
fn exchanges(bench: &mut Bench<'_>, args: &BenchArgs, shape: Shape, owned: &[u64]) -> Result<()> {
    let world = bench.world;
    let index = shape.descriptor(world, owned)?;
    for scheme in super::schemes(args) {
        index.set_scheme(scheme);
        let mut x = DistVector::from_fn(&index, value);
        let ok = exchanges_right(&mut x)?;
        let sample = timing::hot(world, bench.settings, || x.exchange())?;
        let ok = ok && is_right(&x);
        let ok = exchanges_right(&mut x)? && ok;

        let mut extra = format!(
            ",\"n\":{},\"part\":\"{}\",\"nloc\":{},\"nhalo\":{}",
            shape.grid.side,
            shape.name(),
            index.owned_len(),
            index.halo_len()
        );
        if scheme.scheme == parhelion::halo::Scheme::Auto
            && let Some(decision) = index.decisions().first()
        {
            extra += &format!(",\"chosen\":\"{}\"", decision.chosen());
        }
        let variant = scheme.to_string();
        let bytes = index.halo_len() * size_of::<f64>();
        let case = |mode| Case {
            bench: "halo_sparse",
            case: shape.case(),
            variant: &variant,
            mode,
            bytes,
            bandwidth: false,
            extra: &extra,
        };
        bench.emit(&case("hot"), &sample, ok)?;

        let touch = |x: &mut DistVector<f64>| {
            let one = std::hint::black_box(1.0);
            x.owned_mut().iter_mut().for_each(|entry| *entry *= one);
        };
        let sample = timing::touch(world, bench.settings, &mut x, touch, DistVector::exchange)?;
        let ok = is_right(&x);
        let ok = exchanges_right(&mut x)? && ok;
        bench.emit(&case("touch"), &sample, ok)?;
    }
    Ok(())
}

/// How long a descriptor takes from its list of owned points and its edges to its plan, and what that sends.
fn assembly(bench: &mut Bench<'_>, shape: Shape, owned: &[u64]) -> Result<()> {
    let world = bench.world;
    let mut made = None;
    let sample = timing::single(world, bench.settings, || {
        made = Some(shape.descriptor(world, owned)?);
        Ok(())
    })?;
    let index = made.ok_or_else(|| Error::Input("nothing was assembled".into()))?;
    let (statistics, cost) = (index.statistics(), index.plan().build_cost());
    let mut sums = [statistics.edges, statistics.halo as u64];
    world.all_reduce_in_place(&mut sums, Op::Sum)?;
    let mut most = [
        statistics.edges,
        statistics.halo as u64,
        statistics.neighbours as u64,
        cost.messages_sent as u64,
        cost.bytes_sent as u64,
        cost.collectives as u64,
    ];
    world.all_reduce_in_place(&mut most, Op::Max)?;
    let [edges, halo] = sums;
    let [most_edges, most_halo, neighbours, messages, sent, collectives] = most;
    let per_million = |count: u64| sample.median / (count.max(1) as f64 / 1e6);
    let extra = format!(
        ",\"n\":{},\"part\":\"{}\",\"edges\":{edges},\"halo\":{halo},\"edges_per_rank\":{most_edges},\
         \"halo_per_rank\":{most_halo},\"s_per_million_edges\":{:.4},\"s_per_million_halo\":{:.4},\
         \"neighbours\":{neighbours},\"messages\":{messages},\"sent_bytes\":{sent},\"collectives\":{collectives}",
        shape.grid.side,
        shape.name(),
        per_million(edges),
        per_million(halo)
    );
    let mut x = DistVector::from_fn(&index, value);
    let ok = exchanges_right(&mut x)?;
    let case = Case {
        bench: "halo_sparse",
        case: shape.case(),
        variant: "assembly",
        mode: "assembly",
        bytes: sent as usize,
        bandwidth: false,
        extra: &extra,
    };
    bench.emit(&case, &sample, ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_one_owner() {
        let shape = |partition| Shape { grid: Grid::cube(5), ranks: 3, partition };
        for partition in [GridPartition::Slab, GridPartition::Random] {
            let mut all: Vec<u64> = (0..3).flat_map(|rank| shape(partition).owned(rank)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..125).collect::<Vec<_>>());
        }
        // As `halo_sparse.c` has it: the owner of `g` is `g * np / G`.
        assert!(shape(GridPartition::Slab).owned(1).iter().all(|g| g * 3 / 125 == 1));
    }

    #[test]
    fn the_hash_is_the_peers() {
        // Of `halo_sparse.c`: mix(0) and mix(1), reduced to seven ranks.
        assert_eq!([0, 1].map(mix), [0xe220_a839_7b1d_cdaf, 0x910a_2dec_8902_5cc1]);
    }
}
