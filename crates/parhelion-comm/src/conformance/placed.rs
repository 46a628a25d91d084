//! Sets whose messages leave from and arrive in memory of the caller's.

use super::Case;
use super::check::{Outcome, ensure, equal, eventually, refused, same};
use super::sample::neighbours;
use super::sets::{UNTOUCHED, all_pairs, content, go, make};
use crate::communicator::Communicator;
use crate::error::ErrorKind;
use crate::message_set::Method;

pub(super) const CASES: &[Case] = &[
    Case::new("placed sets: messages in memory of the caller's, elsewhere in each round", placed),
    Case::new("placed sets: what is given up keeps the memory that it still receives into", given_up).ranks(2),
];

/// Memory for the messages of one direction, each with bytes before and behind it that are not part of it.
struct Rooms {
    bytes: Vec<u8>,
    parts: Vec<std::ops::Range<usize>>,
}

impl Rooms {
    fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut end = 3;
        let part = |bytes| {
            end += bytes + 5;
            end - bytes - 5..end - 5
        };
        let parts: Vec<_> = lengths.map(part).collect();
        Rooms { bytes: vec![UNTOUCHED; end], parts }
    }

    /// Where the messages are for which `has` holds; null for others.
    fn places(&mut self, has: impl Fn(usize) -> bool) -> Vec<*mut u8> {
        let base = self.bytes.as_mut_ptr();
        let place = |(i, part): (usize, &std::ops::Range<usize>)| match has(i) {
            true => base.wrapping_add(part.start),
            false => std::ptr::null_mut(),
        };
        self.parts.iter().enumerate().map(place).collect()
    }
}

fn placed(c: &Communicator) -> Outcome {
    for method in Method::ALL {
        let mut set = make(c, method, all_pairs)?;
        let rooms = |parts: Vec<(usize, usize)>| Rooms::new(parts.into_iter().map(|(_, bytes)| bytes));
        let mut out: Vec<Rooms> = (0..3).map(|_| rooms(set.sends().collect())).collect();
        let mut into: Vec<Rooms> = (0..3).map(|_| rooms(set.recvs().collect())).collect();
        // The rooms of each round, and the fewest messages of which one has a place.
        for (round, &(room, one_of)) in [(0, 1), (0, 1), (1, 1), (2, 2), (2, 1), (0, 2), (1, 1)].iter().enumerate() {
            let has = |i: usize| i.is_multiple_of(one_of);
            let (out, into) = (&mut out[room], &mut into[room]);
            // SAFETY: the rooms outlive the set, which is finished before they are used.
            unsafe {
                set.place_sends(&out.places(has))?;
                set.place_receives(&into.places(has))?;
            }
            for (i, (to, bytes)) in set.sends().collect::<Vec<_>>().into_iter().enumerate() {
                let message = content(c.rank(), to, round, bytes);
                match has(i) {
                    true => {
                        equal("the staged bytes of a placed send", set.send_part(i).len(), 0)?;
                        out.bytes[out.parts[i].clone()].copy_from_slice(&message);
                    }
                    false => set.send_part(i).copy_from_slice(&message),
                }
            }
            into.bytes.fill(UNTOUCHED);
            let mut want = into.bytes.clone();
            let recvs: Vec<_> = set.recvs().collect();
            set.start()?;
            set.finish(|_, _| {})?;
            for (i, (from, bytes)) in recvs.into_iter().enumerate() {
                let message = content(from, c.rank(), round, bytes);
                match has(i) {
                    true => want[into.parts[i].clone()].copy_from_slice(&message),
                    false => same(format_args!("{method}, round {round}: staged {i}"), set.recv_part(i), &message)?,
                }
            }
            same(format_args!("{method}, round {round}: the memory"), &into.bytes, &want)?;
        }
        let nowhere = |messages| vec![std::ptr::null_mut(); messages];
        let (sends, recvs) = (set.sends().len(), set.recvs().len());
        // SAFETY: no message has a place.
        unsafe {
            set.place_sends(&nowhere(sends))?;
            set.place_receives(&nowhere(recvs))?;
            let wrong = set.place_receives(&nowhere(recvs + 1)).map(|()| 0);
            refused("too many places", wrong, "an invalid argument", |k| matches!(k, ErrorKind::InvalidArgument(_)))?;
        }
        go(c, &mut set, 2)?;
    }
    Ok(())
}

/// Memory that tells what is in it when nobody needs it any more.
struct Will(Vec<u8>, std::sync::mpsc::Sender<Vec<u8>>);

impl Drop for Will {
    fn drop(&mut self) {
        // The case may have ended early.
        let _ = self.1.send(std::mem::take(&mut self.0));
    }
}

fn given_up(c: &Communicator) -> Outcome {
    const BYTES: usize = 100_000;
    let (next, last) = neighbours(c);
    // Those by which messages arrive in their places.
    for method in [Method::PointToPoint, Method::Persistent, Method::Neighbor] {
        let mut set = make(c, method, |_, from, to| (from == 0 && to == 1).then_some(BYTES))?;
        match c.rank() {
            0 => {
                // Not before the receiver has given it up.
                c.recv(&mut [0u8], 1, 4)?;
                set.send_part(0).copy_from_slice(&content(0, 1, 0, BYTES));
                set.start()?;
                set.finish(|_, _| {})?;
            }
            1 => {
                let (sender, left) = std::sync::mpsc::channel();
                let mut will = Will(vec![UNTOUCHED; BYTES], sender);
                // SAFETY: the set is given up with the memory.
                unsafe { set.place_receives(&[will.0.as_mut_ptr()])? };
                set.start()?;
                set.abandon(will);
                ensure(left.try_recv().is_err(), format_args!("{method}: the memory is gone before the message came"))?;
                c.send(&[0u8], 0, 4)?;
                let mut got = Vec::new();
                eventually(format_args!("{method}: the memory is let go"), || {
                    c.try_probe(0, 5)?;
                    got = left.try_recv().unwrap_or_default();
                    Ok(!got.is_empty())
                })?;
                same(format_args!("{method}: what came"), &got, &content(0, 1, 0, BYTES))?;
            }
            _ => {
                set.start()?;
                set.finish(|_, _| {})?;
            }
        }
        c.send_recv(&[0u8], next, 6, &mut [0u8], last, 6)?;
    }
    Ok(())
}
