//! Index lists at the ends of what there can be: no indices at all, and the largest.

use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Op};

use super::check::ensure;
use super::meshes::settings_for;
use crate::index::{Coverage, Descriptor, DistMatrix, DistMultiVector, DistVector, Migration, OverlapUpdate};

pub(super) const CASES: &[Case] = &[
    Case::new("extremes: where nobody owns anything, nothing is a descriptor, too", nothing),
    Case::new("extremes: indices up to 2^64 - 2 are like others", largest),
    Case::new("extremes: blocks of more indices than there can be are refused", too_many),
];

/// Every way to own nothing.
fn nothing(c: &Communicator) -> Outcome {
    let listed = |coverage| Descriptor::builder(c).owned([]).coverage(coverage);
    let patterns = [
        listed(Coverage::Once),
        listed(Coverage::AtMostOnce),
        listed(Coverage::Every),
        listed(Coverage::Any),
        Descriptor::builder(c).blocks(0),
        Descriptor::builder(c).owner_of(0, |_| 0),
        Descriptor::builder(c).owners(&[]),
        Descriptor::builder(c).replicated(0),
    ];
    for (way, pattern) in patterns.into_iter().enumerate() {
        let index = pattern.edges([(0, 1)]).assemble()?;
        ensure((index.total(), index.len()) == (0, 0), format_args!("way {way}: {index}"))?;
        index.plan().verify(c)?;
        let more = [index.extend(2)?, index.rebuild(Descriptor::builder(c).owned([]))?];
        for settings in settings_for(c) {
            index.set_scheme(settings);
            let mut x = DistVector::full(&index, 1.0f64);
            x.exchange()?;
            x.exchange_adjoint(Op::Sum)?;
            x.update_overlap(OverlapUpdate::Average)?;
            let x = x.start_exchange()?.finish()?;
            ensure(x.gather_all()?.is_empty() && x.sum()? == 0.0, format_args!("way {way}, {settings}"))?;
        }
        let mut columns = DistMultiVector::<u8>::zeros(&index, 2);
        columns.exchange()?;
        for other in &more {
            let y = Migration::new(&index, other)?.migrate(&DistVector::<u8>::zeros(&index))?;
            ensure(y.local().is_empty(), format_args!("way {way}: elements from nowhere"))?;
        }
    }
    let empty = DistMatrix::<f64>::assemble(listed(Coverage::Once), [])?;
    let (mut x, mut y) = (DistVector::zeros(empty.descriptor()), DistVector::zeros(empty.descriptor()));
    empty.multiply(&mut x, &mut y)?;
    empty.multiply_transpose(&x, &mut y)?;
    let needed = listed(Coverage::Once).halo([0]).assemble().err().map(|e| e.to_string()).unwrap_or_default();
    ensure(needed.contains("nobody owns global index 0"), format_args!("an index of nothing: {needed:?}"))
}

/// Few indices that are far apart, and around the numbers beyond which smaller words or signed ones end.
fn largest(c: &Communicator) -> Outcome {
    let (rank, size) = (c.rank() as u64, c.size() as u64);
    for around in [1u64 << 32, 1 << 63, u64::MAX - 1 - 2 * size] {
        // Four for each rank, dealt out, the last of all the largest; and each needs the next.
        let first = around - 2 * size;
        let all = first..first + 4 * size;
        let mine = || all.clone().filter(|i| i % size == rank);
        let ring = |i: u64| if i + 1 < all.end { i + 1 } else { first };
        let pattern = || Descriptor::builder(c).owned(mine()).coverage(Coverage::AtMostOnce);
        let index = pattern().edges(mine().map(|i| (i, ring(i)))).assemble()?;
        ensure(index.total() == all.end, format_args!("{index} around {around}"))?;
        let consecutive = first + 4 * rank..first + 4 * rank + 4;
        let blocks = Descriptor::builder(c)
            .owned(consecutive.clone())
            .coverage(Coverage::AtMostOnce)
            .edges(consecutive.map(|i| (i, ring(i))))
            .assemble()?;
        let wide = index.extend(1)?;
        let rebuilt = index.rebuild(pattern())?;
        for index in [&index, &blocks, &wide, &rebuilt] {
            for settings in settings_for(c) {
                index.set_scheme(settings);
                let mut x = DistVector::from_fn(index, |i| i);
                x.exchange()?;
                let right = (0..index.len()).all(|local| index.global(local) == Some(x.local()[local]));
                ensure(right, format_args!("{settings}, around {around}: {:?}", x.local()))?;
            }
        }
        let y = Migration::new(&index, &blocks)?.migrate(&DistVector::from_fn(&index, |i| i))?;
        ensure(y.owned().iter().copied().eq(blocks.owned()), format_args!("migrated around {around}"))?;
        let a = DistMatrix::assemble(pattern(), mine().map(|i| (ring(i), i, 1.0)))?;
        let (mut x, mut y) = (DistVector::full(a.descriptor(), 1.0), DistVector::zeros(a.descriptor()));
        a.multiply(&mut x, &mut y)?;
        ensure(y.sum()? == 4.0 * size as f64, format_args!("a matrix around {around}"))?;
    }
    Ok(())
}

fn too_many(c: &Communicator) -> Outcome {
    // The sum passes 2^64 on the second rank, or comes to less than that of the first alone on the third.
    let lens = [usize::MAX, usize::MAX / 2 + 1];
    for len in lens.into_iter().filter(|_| c.size() > 1) {
        let text = match Descriptor::builder(c).blocks(len).assemble() {
            Ok(index) => return ensure(false, format_args!("{len} for each rank made {index}")),
            Err(error) => error.to_string(),
        };
        ensure(text.contains("at most 2^64 - 1 indices"), format_args!("{len} for each rank: {text}"))?;
    }
    let mut x = DistVector::full(&Descriptor::builder(c).blocks(2).assemble()?, 1u64);
    x.exchange()?;
    ensure(x.sum()? == 2 * c.size() as u64, "after the refusals")
}
