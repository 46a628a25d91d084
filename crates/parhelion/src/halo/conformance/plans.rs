//! Plans from publications and requests are found and checked on every backend, and are right when carried out with
//! nothing but messages.

use parhelion_comm::conformance::{Case, Halt, Outcome};
use parhelion_comm::{Communicator, Op, wait_all};

use super::check::ensure;
use crate::array::{Decomposition, IndexSpace};
use crate::halo::{Patches, Plan};

pub(super) const CASES: &[Case] = &[
    Case::new("plans: publications and requests of irregular patches meet", irregular),
    Case::new("plans: a request nobody covers is an error at every rank", uncovered),
    Case::new("plans: two publishers of one cell are an error at every rank", published_twice),
    Case::new("plans: a fault of one rank is an error at every rank", fault),
    Case::new("plans: decompositions that differ are an error at every rank", different).ranks(2),
];

/// The length of the periodic axis.
const PERIOD: i64 = 9;

/// Blocks of uneven sizes, more than ranks, dealt out so that ranks have several, or none: owner and cells.
fn blocks(size: usize) -> Vec<(usize, IndexSpace<3>)> {
    let mut all = Vec::new();
    let mut low = -3;
    for i in 0..size as i64 + 2 {
        let high = low + 1 + (i * 5) % 4;
        for (j, columns) in [0..2, 2..3, 3..PERIOD].into_iter().enumerate() {
            let owner = (i as usize * i as usize + 2 * j) % size;
            all.push((owner, IndexSpace::from([low..high, columns, 0..4])));
        }
        low = high;
    }
    all
}

/// This rank's blocks with two cells of halo all around, as far as there are cells.
fn patches(c: &Communicator) -> Patches<3> {
    let blocks = blocks(c.size());
    let whole =
        blocks.iter().fold(IndexSpace::empty(), |hull, (_, block)| hull.hull(block)).grow_by([[0; 2], [5; 2], [0; 2]]);
    let mut patches = Patches::new().periodic([None, Some(PERIOD as usize), None]);
    for (_, block) in blocks.iter().filter(|(owner, _)| *owner == c.rank()) {
        let parent = block.grow(2).intersect(&whole);
        let patch = patches.add(parent);
        patches.publish(patch, *block);
        patches.request(patch, parent);
    }
    patches
}

fn value([i, j, k]: [i64; 3]) -> i64 {
    (i * 100 + j.rem_euclid(PERIOD)) * 100 + k
}

/// One exchange by messages, as the plan says.
fn carry_out(c: &Communicator, plan: &Plan, buffers: &mut [Vec<i64>]) -> Outcome {
    let mut sends = Vec::new();
    for t in plan.sends() {
        let mut message = vec![0; t.len()];
        let mut rest = &mut message[..];
        for p in &t.pieces {
            let (now, later) = rest.split_at_mut(p.layout.len());
            p.layout.pack(&buffers[p.patch], now);
            rest = later;
        }
        sends.push(c.isend(message, t.peer, 7)?);
    }
    for copy in plan.local() {
        let mut cells = vec![0; copy.from.len()];
        copy.from.pack(&buffers[copy.from_patch], &mut cells);
        copy.to.unpack(&cells, &mut buffers[copy.to_patch]);
    }
    for t in plan.recvs() {
        let (message, _) = c.recv_vec::<i64>(t.peer, 7)?;
        ensure(
            message.len() == t.len(),
            format_args!("{} cells from rank {} instead of {}", message.len(), t.peer, t.len()),
        )?;
        let mut rest = &message[..];
        for p in &t.pieces {
            let (now, later) = rest.split_at(p.layout.len());
            p.layout.unpack(now, &mut buffers[p.patch]);
            rest = later;
        }
    }
    wait_all(sends)?;
    Ok(())
}

fn irregular(c: &Communicator) -> Outcome {
    let patches = patches(c);
    let plan = patches.plan(c)?;
    plan.verify(c)?;
    plan.adjoint().verify(c)?;
    let mut buffers: Vec<Vec<i64>> = Vec::new();
    for (parent, owned) in patches.parents().iter().zip(patches.publications()) {
        buffers.push(parent.iter().map(|i| if owned.space.contains(i) { value(i) } else { -1 }).collect());
    }
    carry_out(c, &plan, &mut buffers)?;
    for (parent, buffer) in patches.parents().iter().zip(&buffers) {
        for (index, &got) in parent.iter().zip(buffer) {
            ensure(got == value(index), format_args!("cell {index:?} of {parent}: {got} instead of {}", value(index)))?;
        }
    }
    // All ranks end it together, so that no message of it meets those of the next case.
    Ok(c.barrier()?)
}

/// The plan of `patches` must fail at every rank, with these words; the communicator must work afterwards.
fn fails(c: &Communicator, patches: &Patches<3>, words: &[&str]) -> Outcome {
    match patches.plan(c) {
        Ok(_) => return Err(Halt::Failed(format!("a plan instead of an error that says {words:?}"))),
        Err(e) => {
            let text = e.to_string();
            ensure(words.iter().all(|word| text.contains(word)), format_args!("{words:?} are not in {text:?}"))?;
        }
    }
    ensure(c.all_reduce(&[1u64], Op::Sum)? == [c.size() as u64], "the communicator still works")
}

fn uncovered(c: &Communicator) -> Outcome {
    let mut patches = patches(c);
    let last = c.size() - 1;
    if c.rank() == last {
        let space = IndexSpace::from([0..1, 0..1, 2..6]);
        let patch = patches.add(space);
        patches.request(patch, space);
    }
    fails(c, &patches, &["nobody publishes [0..1, 0..1, 4..6)", &format!("rank {last} (patch ")])
}

fn published_twice(c: &Communicator) -> Outcome {
    let mut patches = patches(c);
    // Column 10 is column 1, which belongs to the first block in its row.
    let space = IndexSpace::from([-3..-2, PERIOD + 1..PERIOD + 2, 3..4]);
    let last = c.size() - 1;
    if c.rank() == last {
        let patch = patches.add(space);
        patches.publish(patch, space);
    }
    let owner = blocks(c.size())[0].0;
    fails(c, &patches, &["both publish", &format!("rank {last} (patch "), &format!("rank {owner} (patch "), "3..4"])
}

fn fault(c: &Communicator) -> Outcome {
    let mut patches = patches(c);
    if c.rank() == 0 {
        patches.request(99, IndexSpace::from([0..1, 0..1, 0..1]));
    }
    fails(c, &patches, &["names patch 99"])
}

fn different(c: &Communicator) -> Outcome {
    if !c.config().checks {
        return Err(Halt::Skipped("needs the checks of plans; set PARHELION_CHECK=1".to_owned()));
    }
    let width = if c.rank() + 1 == c.size() { 2 } else { 1 };
    match Decomposition::new([4 * c.size(), 8], c)?.halo(width).plan() {
        Ok(_) => Err(Halt::Failed("a plan of decompositions that differ".to_owned())),
        Err(e) => ensure(e.to_string().contains("decompositions differ"), e),
    }
}
