//! Collectives that move blocks of each rank's own length: the v forms.

use super::Case;
use super::check::{Outcome, equal, same};
use super::sample::{for_some_types, pattern, seed};
use crate::communicator::Communicator;
use crate::element::Element;

pub(super) const CASES: &[Case] = &[
    Case::new("varying: gatherv of any counts", gather),
    Case::new("varying: all_gatherv of any counts", all_gather),
    Case::new("varying: scatterv of any counts", scatter),
    Case::new("varying: all_to_allv of any counts", all_to_all),
    Case::new("varying: all_to_allv from one rank to another only", lone_pair),
];

/// Counts for each rank: equal, with zeros, all with one rank, rising, nothing at all.
fn shapes(size: usize) -> [Vec<usize>; 6] {
    let with = |f: &dyn Fn(usize) -> usize| (0..size).map(f).collect::<Vec<_>>();
    [
        with(&|_| 17),
        with(&|r| if r % 2 == 0 { 5 } else { 0 }),
        with(&|r| if r == size - 1 { 5003 } else { 0 }),
        with(&|r| if r == 0 { 9001 } else { 1 }),
        with(&|r| r * r * 3),
        with(&|_| 0),
    ]
}

fn block<T: Element>(from: usize, to: usize, count: usize) -> Vec<T> {
    pattern(seed(&[from, to, count]), count)
}

fn concat<T: Element>(counts: &[usize], f: impl Fn(usize, usize) -> Vec<T>) -> Vec<T> {
    counts.iter().enumerate().flat_map(|(rank, &count)| f(rank, count)).collect()
}

fn gather(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, root: usize, counts: &[usize], form: usize) -> Outcome {
        let me = c.rank();
        let mine = block::<T>(me, 0, counts[me]);
        let want = (me == root).then(|| concat(counts, |from, n| block::<T>(from, 0, n)));
        let got = match form % 3 {
            0 => {
                let got = c.gatherv(&mine, root)?;
                equal(
                    "gatherv: the counts at the root",
                    got.as_ref().map(|g| &g.1[..]),
                    (me == root).then_some(counts),
                )?;
                got.map(|g| g.0)
            }
            1 => {
                let mut result = (me == root).then(|| vec![T::zeroed(); counts.iter().sum()]);
                c.gatherv_into(&mine, result.as_mut().map(|r| (&mut r[..], counts)), root)?;
                result
            }
            _ => c.igatherv(mine, (me == root).then(|| counts.to_vec()), root)?.wait()?,
        };
        equal("gatherv: who gets a result", got.is_some(), want.is_some())?;
        same(format_args!("gatherv of {counts:?} at root {root}"), &got.unwrap_or_default(), &want.unwrap_or_default())
    }
    for (i, counts) in shapes(c.size()).iter().enumerate() {
        for_some_types!(of(c, i % c.size(), counts, i));
    }
    for root in 0..c.size() {
        of::<u16>(c, root, &shapes(c.size())[4], root)?;
    }
    Ok(())
}

fn all_gather(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, counts: &[usize], form: usize) -> Outcome {
        let mine = block::<T>(c.rank(), 0, counts[c.rank()]);
        let want = concat(counts, |from, n| block::<T>(from, 0, n));
        let got = match form % 3 {
            0 => {
                let (got, got_counts) = c.all_gatherv(&mine)?;
                equal("all_gatherv: the counts", &got_counts[..], counts)?;
                got
            }
            1 => {
                let mut result = vec![T::zeroed(); want.len()];
                c.all_gatherv_into(&mine, &mut result, counts)?;
                result
            }
            _ => c.iall_gatherv(mine, counts.to_vec())?.wait()?,
        };
        same(format_args!("all_gatherv of {counts:?}"), &got, &want)
    }
    for (i, counts) in shapes(c.size()).iter().enumerate() {
        for_some_types!(of(c, counts, i));
        of::<u32>(c, counts, i + 1)?;
    }
    Ok(())
}

fn scatter(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, root: usize, counts: &[usize], form: usize) -> Outcome {
        let me = c.rank();
        let all = (me == root).then(|| concat(counts, |to, n| block::<T>(root, to, n)));
        let lent = all.as_deref().map(|all| (all, counts));
        let got = match form % 3 {
            0 => c.scatterv(lent, root)?,
            1 => {
                let mut result = vec![T::zeroed(); counts[me]];
                c.scatterv_into(lent, &mut result, root)?;
                result
            }
            _ => c.iscatterv(all.map(|all| (all, counts.to_vec())), counts[me], root)?.wait()?,
        };
        same(format_args!("scatterv of {counts:?} from root {root}"), &got, &block(root, me, counts[me]))
    }
    for (i, counts) in shapes(c.size()).iter().enumerate() {
        for_some_types!(of(c, i % c.size(), counts, i));
    }
    for root in 0..c.size() {
        of::<u16>(c, root, &shapes(c.size())[3], root)?;
    }
    Ok(())
}

/// One exchange where rank `a` sends `count(a, b)` elements to rank `b`.
fn exchange<T: Element>(c: &Communicator, count: impl Fn(usize, usize) -> usize, form: usize) -> Outcome {
    let (me, size) = (c.rank(), c.size());
    let counts: Vec<usize> = (0..size).map(|to| count(me, to)).collect();
    let result_counts: Vec<usize> = (0..size).map(|from| count(from, me)).collect();
    let data = concat(&counts, |to, n| block::<T>(me, to, n));
    let want = concat(&result_counts, |from, n| block::<T>(from, me, n));
    let got = match form % 3 {
        0 => {
            let (got, got_counts) = c.all_to_allv(&data, &counts)?;
            equal("all_to_allv: the counts that come", &got_counts, &result_counts)?;
            got
        }
        1 => {
            let mut result = vec![T::zeroed(); want.len()];
            c.all_to_allv_into(&data, &counts, &mut result, &result_counts)?;
            result
        }
        _ => c.iall_to_allv(data, counts.clone(), result_counts.clone())?.wait()?,
    };
    same(format_args!("all_to_allv sending {counts:?}, getting {result_counts:?}"), &got, &want)
}

fn all_to_all(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, form: usize) -> Outcome {
        let size = c.size();
        exchange::<T>(c, |_, _| 3, form)?;
        exchange::<T>(c, |a, b| (a + 2 * b) % 4 * 7, form + 1)?;
        exchange::<T>(c, |a, b| if (a + 1) % size == b { 3001 } else { 0 }, form + 2)?;
        exchange::<T>(c, |a, b| if a == b { 100 } else { usize::from(a == 0) }, form)?;
        exchange::<T>(c, |_, _| 0, form + 1)
    }
    for form in 0..3 {
        of::<u8>(c, form)?;
    }
    for_some_types!(of(c, 1));
    Ok(())
}

fn lone_pair(c: &Communicator) -> Outcome {
    let last = c.size() - 1;
    for form in 0..3 {
        exchange::<f64>(c, |a, b| if (a, b) == (0, last) { 20_011 } else { 0 }, form)?;
        exchange::<u8>(c, |a, b| usize::from((a, b) == (last, 0)), form)?;
    }
    Ok(())
}
