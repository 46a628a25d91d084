//! The collectives on f64, hot.

use parhelion::Op;

use super::{Bench, Case, Paged, timing};
use crate::args::Operation;
use crate::error::Result;

/// Elements of one rank's block.
const SIZES: [usize; 4] = [1, 1 << 10, 1 << 20, 16 << 20];
/// The peers measure the largest size with the all-reduce only.
const LARGEST_OF_OTHERS: usize = 1 << 20;

/// What rank `rank` contributes at place `place`; small whole numbers, so that sums are exact in any order.
fn value(place: usize, rank: usize) -> f64 {
    ((place % 1000) * 4 + rank) as f64
}

/// What the sum over `ranks` ranks is at place `place`.
fn total(place: usize, ranks: usize) -> f64 {
    (((place % 1000) * 4 * ranks) + ranks * (ranks - 1) / 2) as f64
}

/// Measures one operation at each size.
pub(super) fn run(bench: &mut Bench<'_>, operation: Operation) -> Result<()> {
    if operation == Operation::Barrier {
        let world = bench.world;
        let sample = timing::hot(world, bench.settings, || world.barrier())?;
        return bench.emit(&case("barrier", "barrier", "0".into(), 0), &sample, true);
    }
    for size in SIZES {
        if operation == Operation::Allreduce || size <= LARGEST_OF_OTHERS {
            measure(bench, operation, size)?;
        }
    }
    Ok(())
}

fn measure(bench: &mut Bench<'_>, operation: Operation, size: usize) -> Result<()> {
    let (world, settings) = (bench.world, bench.settings);
    let (rank, ranks) = (world.rank(), world.size());
    // The side that holds every rank's block is larger.
    let (whole, block) = (size * ranks, size);
    let (in_length, out_length) = match operation {
        Operation::Allgather => (block, whole),
        Operation::ReduceScatter => (whole, block),
        _ => (block, block),
    };
    let (mut input, mut output) = (Paged::<f64>::new(in_length), Paged::<f64>::new(out_length));
    for (place, entry) in input.get_mut().iter_mut().enumerate() {
        *entry = value(place, rank);
    }
    output.get_mut().fill(-1.0);
    let (data, result) = (input.get(), output.get_mut());

    let (name, variant, sample, ok) = match operation {
        Operation::Allreduce => {
            let sample = timing::hot(world, settings, || world.all_reduce_into(data, result, Op::Sum))?;
            let ok = result.iter().enumerate().all(|(place, entry)| *entry == total(place, ranks));
            ("allreduce", "allreduce", sample, ok)
        }
        Operation::Broadcast => {
            if rank == 0 {
                result.copy_from_slice(data);
            }
            let mut root = 0;
            let sample = timing::hot(world, settings, || {
                world.broadcast(result, root)?;
                root = (root + 1) % ranks;
                Ok(())
            })?;
            let ok = result.iter().enumerate().all(|(place, entry)| *entry == value(place, 0));
            ("bcast", "bcast_rotroot", sample, ok)
        }
        Operation::Allgather => {
            let sample = timing::hot(world, settings, || world.all_gather_into(data, result))?;
            let ok = result.iter().enumerate().all(|(place, entry)| *entry == value(place % size, place / size));
            ("allgather", "allgather", sample, ok)
        }
        _ => {
            let sample = timing::hot(world, settings, || world.reduce_scatter_block_into(data, result, Op::Sum))?;
            let ok = result.iter().enumerate().all(|(place, entry)| *entry == total(rank * size + place, ranks));
            ("reduce_scatter", "reduce_scatter_block", sample, ok)
        }
    };
    bench.emit(&case(name, variant, size.to_string(), 8 * size), &sample, ok)
}

fn case<'a>(bench: &'a str, variant: &'a str, name: String, bytes: usize) -> Case<'a> {
    Case { bench, case: name, variant, mode: "hot", bytes, bandwidth: false, extra: "" }
}
