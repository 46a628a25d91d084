//! Halo exchanges that read the neighbour's memory, between the same processes as ranks of the `tcp` backend and as ranks of an MPI
//! library, in turns, in one job.
//!
//! For the same reasons as in the example `in_turns`: every batch over `tcp` stands between two under MPI, on the same cores.
//!
//! ```console
//! $ cargo build --release -p parhelion-cli --example halo_in_turns
//! $ PARHELION_RENDEZVOUS=127.0.0.1:4321 PARHELION_SECRET_FILE=secret mpiexec -n 2 target/release/examples/halo_in_turns
//! ```
//!
//! The file holds 32 characters or more, and nobody else can read it. `cargo xtask bench tcp` does this. Prints a line of JSON
//! for each case: microseconds of an exchange of each, medians over batches, and the median of the quotients of neighbours.

use std::time::Instant;

use parhelion::array::{Decomposition, DistArray};
use parhelion::halo::{Scheme, exchange};
use parhelion::{BackendKind, Communicator, Config, Op};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Field = DistArray<f64, 3>;

/// Cells along an edge of each rank's cube, layers of the halo, and fields.
const SIZES: [usize; 3] = [32, 64, 128];
const WIDTHS: [usize; 2] = [1, 3];
const FIELDS: [usize; 2] = [1, 8];
/// Seconds of a batch, if one exchange does not take longer, and how many over `tcp` are timed.
const BATCH: f64 = 0.01;
const BATCHES: usize = 25;
/// Of exchanges that take longer than a batch.
const FEW_BATCHES: usize = 11;

fn main() -> Result<(), Error> {
    let config = Config::from_env()?;
    parhelion::launch(&config.clone().backend(BackendKind::Tcp), |over_tcp| {
        parhelion::launch(&config.clone().backend(BackendKind::Mpi), |under_mpi| {
            for size in SIZES {
                for width in WIDTHS {
                    for fields in FIELDS {
                        compare([&under_mpi, &over_tcp], size, width, fields)?;
                    }
                }
            }
            Ok::<(), Error>(())
        })
    })?;
    Ok(())
}

/// Times batches under MPI and over tcp in turns and prints what came out. Collective over both.
fn compare(worlds: [&Communicator; 2], size: usize, width: usize, fields: usize) -> Result<(), Error> {
    let ranks = worlds[0].size();
    let mut arrays = Vec::new();
    for world in worlds {
        let whole = [size * ranks, size, size];
        let grid = Decomposition::new(whole, world)?.grid([ranks, 1, 1]).halo(width).periodic([true; 3]);
        grid.set_scheme(Scheme::Shared);
        let fields = (0..fields).map(|field| {
            let mut array = Field::zeros(&grid)?;
            array.for_each_mut(|index, cell| *cell = value(whole, field, index));
            Ok(array)
        });
        arrays.push(fields.collect::<Result<Vec<_>, Error>>()?);
    }
    let [mut under_mpi, mut over_tcp] = <[_; 2]>::try_from(arrays).expect("one for each world");

    let mut count = 1;
    let mut took = batch(worlds[0], &mut under_mpi, count)?;
    while took < BATCH && count < 1 << 20 {
        count *= 2;
        took = batch(worlds[0], &mut under_mpi, count)?;
    }
    let batches = if took > 5.0 * BATCH { FEW_BATCHES } else { BATCHES };
    let mut before = batch(worlds[0], &mut under_mpi, count)?;
    let (mut mpi_times, mut tcp_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..batches {
        let mine = batch(worlds[1], &mut over_tcp, count)?;
        let after = batch(worlds[0], &mut under_mpi, count)?;
        mpi_times.push(1e6 * after / f64::from(count));
        tcp_times.push(1e6 * mine / f64::from(count));
        ratios.push(2.0 * mine / (before + after));
        before = after;
    }
    check(&under_mpi)?;
    check(&over_tcp)?;
    if worlds[0].rank() == 0 {
        let line = serde_json::json!({
            "bench": "halo3d", "case": format!("n{size}_h{width}_f{fields}_d6_g{ranks}x1x1"), "ranks": ranks, "batches": batches,
            "mpi_us": median(mpi_times), "tcp_us": median(tcp_times), "ratio": median(ratios),
        });
        println!("{line}");
    }
    Ok(())
}

/// What a cell holds; beyond the whole, its periodic image.
fn value(whole: [usize; 3], field: usize, index: [i64; 3]) -> f64 {
    let [x, y, z] = std::array::from_fn(|axis| index[axis].rem_euclid(whole[axis] as i64));
    let [_, b, c] = whole.map(|length| length as i64);
    (((x * b + y) * c + z) * 8 + field as i64) as f64
}

/// Seconds of `count` exchanges at the slowest rank, after one that is not timed and finds what the other side left in the caches.
fn batch(world: &Communicator, fields: &mut Vec<Field>, count: u32) -> Result<f64, Error> {
    exchange(fields)?;
    world.barrier()?;
    let start = Instant::now();
    for _ in 0..count {
        exchange(fields)?;
    }
    Ok(world.all_reduce(&[start.elapsed().as_secs_f64()], Op::Max)?[0])
}

/// Fails unless every cell, own and halo, but for edges and corners of the halo, holds what it should.
fn check(fields: &[Field]) -> Result<(), Error> {
    for (field, array) in fields.iter().enumerate() {
        let (view, owned, whole) = (array.with_halo(), array.owned().space(), array.shape());
        for index in view.space().iter() {
            let outside = (0..3).filter(|&a| index[a] < owned.start()[a] || index[a] >= owned.end()[a]).count();
            if outside <= 1 && view[index] != value(whole, field, index) {
                return Err(format!("field {field}, cell {index:?}: a wrong result").into());
            }
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
