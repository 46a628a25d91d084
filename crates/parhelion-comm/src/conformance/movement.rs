//! Collectives that move equal blocks: barrier, broadcast, gather, all_gather, scatter, all_to_all.

use std::time::{Duration, Instant};

use super::Case;
use super::check::{Outcome, ensure, equal, eventually, same};
use super::sample::{for_each_type, pattern, seed};
use crate::communicator::Communicator;
use crate::element::Element;
use crate::error::Result;

pub(super) const CASES: &[Case] = &[
    Case::new("movement: nobody leaves a barrier before all are in it", barrier),
    Case::new("movement: broadcast of every type", |c| types(c, What::Broadcast)),
    Case::new("movement: broadcast of every size from every root", |c| sizes(c, What::Broadcast)),
    Case::new("movement: broadcast of a length that only the root knows", broadcast_vec),
    Case::new("movement: gather of every type", |c| types(c, What::Gather)),
    Case::new("movement: gather of every size to every root", |c| sizes(c, What::Gather)),
    Case::new("movement: all_gather of every type", |c| types(c, What::AllGather)),
    Case::new("movement: all_gather of every size", |c| sizes(c, What::AllGather)),
    Case::new("movement: scatter of every type", |c| types(c, What::Scatter)),
    Case::new("movement: scatter of every size from every root", |c| sizes(c, What::Scatter)),
    Case::new("movement: all_to_all of every type", |c| types(c, What::AllToAll)),
    Case::new("movement: all_to_all of every size", |c| sizes(c, What::AllToAll)),
    Case::new("movement: results do not depend on who comes late", late_comers),
];

/// How a collective is called.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// It allocates its result.
    Allocating,
    /// Into a buffer that is there.
    Into,
    /// Non-blocking.
    InFlight,
}

const FORMS: [Form; 3] = [Form::Allocating, Form::Into, Form::InFlight];

#[derive(Clone, Copy)]
enum What {
    Broadcast,
    Gather,
    AllGather,
    Scatter,
    AllToAll,
}

fn types(c: &Communicator, what: What) -> Outcome {
    fn of<T: Element>(c: &Communicator, what: What) -> Outcome {
        for (form, count) in FORMS.into_iter().zip([17, 0, 3]) {
            once::<T>(c, what, form, count, (size_of::<T>() + count) % c.size())?;
        }
        Ok(())
    }
    for_each_type!(of(c, what));
    Ok(())
}

fn sizes(c: &Communicator, what: What) -> Outcome {
    for (i, count) in [0, 1, 5, 8, 9, 1001, 1024, 1025].into_iter().enumerate() {
        once::<f64>(c, what, FORMS[i % 3], count, i % c.size())?;
    }
    for form in FORMS {
        once::<u8>(c, what, form, 40, 0)?;
        once::<u8>(c, what, form, 8193, c.size() / 2)?;
    }
    once::<f64>(c, what, Form::Into, if matches!(what, What::Broadcast) { 100_003 } else { 20_003 }, c.size() - 1)?;
    for root in 0..c.size() {
        once::<u16>(c, what, FORMS[root % 3], 17, root)?;
    }
    Ok(())
}

/// The block that `from` has for `to`.
fn block<T: Element>(from: usize, to: usize, count: usize) -> Vec<T> {
    pattern(seed(&[from, to, count]), count)
}

fn once<T: Element>(c: &Communicator, what: What, form: Form, count: usize, root: usize) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let label = |name: &str| format!("{name} of {count} x {} as {form:?}, root {root}", std::any::type_name::<T>());
    let zeros = |n: usize| vec![T::zeroed(); n];
    let concat = |f: &dyn Fn(usize) -> Vec<T>| (0..size).flat_map(f).collect::<Vec<T>>();
    match what {
        What::Broadcast => {
            let want = block::<T>(root, 0, count);
            let mut data = if me == root { want.clone() } else { zeros(count) };
            match form {
                Form::Allocating => data = c.broadcast_vec((me == root).then_some(data), root)?,
                Form::Into => c.broadcast(&mut data, root)?,
                Form::InFlight => data = c.ibroadcast(data, root)?.wait()?,
            }
            same(label("broadcast"), &data, &want)
        }
        What::Gather => {
            let mine = block::<T>(me, 0, count);
            let got = match form {
                Form::Allocating => c.gather(&mine, root)?,
                Form::Into if me == root => {
                    let mut result = zeros(count * size);
                    c.gather_into(&mine, Some(&mut result), root)?;
                    Some(result)
                }
                Form::Into => c.gather_into(&mine, None, root).map(|()| None)?,
                Form::InFlight => c.igather(mine, root)?.wait()?,
            };
            equal(label("gather: who gets a result"), got.is_some(), me == root)?;
            got.map_or(Ok(()), |got| same(label("gather"), &got, &concat(&|from| block(from, 0, count))))
        }
        What::AllGather => {
            let mine = block::<T>(me, 0, count);
            let got = match form {
                Form::Allocating => c.all_gather(&mine)?,
                Form::Into => {
                    let mut result = zeros(count * size);
                    c.all_gather_into(&mine, &mut result)?;
                    result
                }
                Form::InFlight => c.iall_gather(mine)?.wait()?,
            };
            same(label("all_gather"), &got, &concat(&|from| block(from, 0, count)))
        }
        What::Scatter => {
            let all = (me == root).then(|| concat(&|to| block(root, to, count)));
            let got = match form {
                Form::Allocating => c.scatter(all.as_deref(), root)?,
                Form::Into => {
                    let mut result = zeros(count);
                    c.scatter_into(all.as_deref(), &mut result, root)?;
                    result
                }
                Form::InFlight => c.iscatter(all, count, root)?.wait()?,
            };
            same(label("scatter"), &got, &block(root, me, count))
        }
        What::AllToAll => {
            let all = concat(&|to| block(me, to, count));
            let got = match form {
                Form::Allocating => c.all_to_all(&all)?,
                Form::Into => {
                    let mut result = zeros(count * size);
                    c.all_to_all_into(&all, &mut result)?;
                    result
                }
                Form::InFlight => c.iall_to_all(all)?.wait()?,
            };
            same(label("all_to_all"), &got, &concat(&|from| block(from, me, count)))
        }
    }
}

fn barrier(c: &Communicator) -> Outcome {
    // A message sent before the barrier has been sent when the barrier is over; the late rank sends last.
    for late in [0, c.size() - 1] {
        for blocking in [true, false] {
            let start = Instant::now();
            let pause = Duration::from_millis(30);
            if c.rank() == late {
                std::thread::sleep(pause);
            }
            if blocking {
                c.barrier()?;
            } else {
                let mut request = c.ibarrier()?;
                eventually("the barrier in flight", || Ok(request.test()))?;
                request.wait()?;
            }
            // Ranks left the barrier before together, give or take how long they take to be scheduled.
            let waited = start.elapsed();
            let ends = c.all_gather(&[waited.as_nanos() as u64])?;
            ensure(
                c.rank() != late || waited >= pause,
                format_args!("rank {late} slept {pause:?} and left after {waited:?}; all left after {ends:?} ns"),
            )?;
        }
    }
    // Exactly: what every rank did before the barrier is seen by every rank after it.
    let sends = (0..c.size()).map(|to| c.isend(vec![c.rank() as u8], to, 1)).collect::<Result<Vec<_>>>()?;
    c.barrier()?;
    let mut from = vec![false; c.size()];
    for _ in 0..c.size() {
        let mut seen = None;
        eventually("a message sent before the barrier", || {
            seen = c.try_probe(crate::Any, 1)?;
            Ok(seen.is_some())
        })?;
        let status = c.recv(&mut [0u8], crate::Any, 1)?;
        from[status.source] = true;
    }
    ensure(from.iter().all(|&x| x), "a message from each rank")?;
    crate::request::wait_all(sends)?;
    Ok(())
}

fn broadcast_vec(c: &Communicator) -> Outcome {
    for root in 0..c.size() {
        for count in [0, 1, 9, 3000] {
            let data = (c.rank() == root).then(|| pattern::<u32>(seed(&[root, count]), count));
            same("broadcast_vec", &c.broadcast_vec(data, root)?, &pattern(seed(&[root, count]), count))?;
        }
    }
    // What other ranks pass is of no account.
    let got = c.broadcast_vec(Some(vec![c.rank() as u64; 1 + c.rank()]), 0)?;
    equal("broadcast_vec where every rank passes something", got, vec![0])
}

fn late_comers(c: &Communicator) -> Outcome {
    for late in 0..c.size().min(3) {
        if c.rank() == late {
            std::thread::sleep(Duration::from_millis(5));
        }
        for (i, what) in
            [What::Broadcast, What::Gather, What::AllGather, What::Scatter, What::AllToAll].into_iter().enumerate()
        {
            // The root's buffers end as soon as it may leave; another rank may still be on its way.
            once::<u64>(c, what, FORMS[i % 3], 2000, (late + 1) % c.size())?;
            once::<u64>(c, what, FORMS[(i + 1) % 3], 2, late)?;
        }
    }
    Ok(())
}
