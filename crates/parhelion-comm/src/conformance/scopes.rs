//! Non-blocking operations on borrowed buffers.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Case;
use super::check::{Outcome, ensure, equal, refused, same};
use super::sample::{borders, for_some_types, neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::element::Element;
use crate::error::{Error, ErrorKind};
use crate::status::{Any, Status};

pub(super) const CASES: &[Case] = &[
    Case::new("scopes: borrowed buffers of every size", every_size),
    Case::new("scopes: every neighbour at once, none waited for", all_at_once),
    Case::new("scopes: waiting inside the scope tells the status", waiting_inside),
    Case::new("scopes: a forgotten request is waited for by the scope", forgotten),
    Case::new("scopes: a scope that fails withdraws its receives", failing),
    Case::new("scopes: a scope that panics withdraws its receives", panicking),
    Case::new("scopes: a scope that fails still delivers its sends", failing_send),
    Case::new("scopes: a scope's value comes out, scopes nest", values),
];

fn every_size(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, count: usize) -> Outcome {
        let (right, left) = neighbours(c);
        let mine = pattern::<T>(seed(&[c.rank(), count]), count);
        let mut got = vec![T::zeroed(); count];
        let status = c.scope(|s| {
            let received = s.recv(&mut got, left, 1)?;
            s.send(&mine, right, 1)?;
            received.wait()
        })?;
        equal("the status", status, Status { source: left, tag: 1, bytes: count * size_of::<T>() })?;
        same(format_args!("{count} elements"), &got, &pattern(seed(&[left, count]), count))
    }
    for bytes in borders(c) {
        of::<u8>(c, bytes)?;
    }
    for count in [0, 1, 17, 1001] {
        for_some_types!(of(c, count));
    }
    Ok(())
}

fn all_at_once(c: &Communicator) -> Outcome {
    for count in [1usize, 20, 4000] {
        let mine: Vec<Vec<u32>> = (0..c.size()).map(|to| pattern(seed(&[c.rank(), to]), count)).collect();
        let mut got = vec![0u32; count * c.size()];
        c.scope(|s| {
            for (from, block) in got.chunks_mut(count).enumerate() {
                s.recv(block, from, 2)?;
            }
            for (to, block) in mine.iter().enumerate() {
                s.send(block, to, 2)?;
            }
            Ok(())
        })?;
        for (from, block) in got.chunks(count).enumerate() {
            same(format_args!("block of rank {from}"), block, &pattern(seed(&[from, c.rank()]), count))?;
        }
    }
    Ok(())
}

fn waiting_inside(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let (mut a, mut b) = ([0u64; 8], vec![0u64; 5000]);
    let sent = (pattern::<u64>(1, 3), pattern::<u64>(2, 5000));
    let (first, second) = c.scope(|s| {
        let second = s.recv(&mut b, left, 2)?;
        let first = s.recv(&mut a, Any, 1)?;
        s.send(&sent.1, right, 2)?.wait()?;
        let small = s.send(&sent.0, right, 1)?;
        let first = first.wait()?;
        small.wait()?;
        Ok((first, second.wait()?))
    })?;
    equal("status of the short one", first, Status { source: left, tag: 1, bytes: 24 })?;
    equal("status of the long one", second, Status { source: left, tag: 2, bytes: 40_000 })?;
    same("the short one", &a[..3], &sent.0)?;
    equal("the rest of its buffer", a[3..].to_vec(), vec![0; 5])?;
    same("the long one", &b, &sent.1)
}

fn forgotten(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [8usize, 30_000] {
        let mine = pattern::<u8>(seed(&[c.rank()]), bytes);
        let mut got = vec![0u8; bytes];
        c.scope(|s| {
            let _ = ManuallyDrop::new(s.recv(&mut got, left, 1)?);
            let _ = ManuallyDrop::new(s.send(&mine, right, 1)?);
            Ok(())
        })?;
        same("the message", &got, &pattern(seed(&[left]), bytes))?;
    }
    Ok(())
}

/// After a scope withdrew a receive of tag 1 on every rank, the message of tag 1 comes and goes to the next receive.
fn late_message(c: &Communicator, bytes: usize) -> Outcome {
    let (right, left) = neighbours(c);
    c.barrier()?;
    let sent = c.isend(pattern::<u8>(seed(&[c.rank()]), bytes), right, 1)?;
    same("the message after the scope", &c.recv_vec::<u8>(left, 1)?.0, &pattern(seed(&[left]), bytes))?;
    sent.wait()?;
    Ok(())
}

fn failing(c: &Communicator) -> Outcome {
    let (_, left) = neighbours(c);
    for bytes in [8usize, 30_000] {
        let mut buffer = vec![7u8; bytes];
        let result = c.scope(|s| {
            s.recv(&mut buffer, left, 1)?;
            Err::<(), _>(Error::new("test", ErrorKind::Unsupported("the closure's own error".into())))
        });
        let is = |k: &ErrorKind| matches!(k, ErrorKind::Unsupported(text) if text == "the closure's own error");
        refused("a scope whose closure fails", result, "the closure's error", is)?;
        ensure(buffer.iter().all(|&x| x == 7), "a withdrawn receive wrote into its buffer")?;
        drop(buffer);
        late_message(c, bytes)?;
    }
    Ok(())
}

fn panicking(c: &Communicator) -> Outcome {
    struct Quiet;
    let (_, left) = neighbours(c);
    for bytes in [8usize, 30_000] {
        let mut buffer = vec![7u8; bytes];
        let panic = catch_unwind(AssertUnwindSafe(|| {
            c.scope(|s| {
                s.recv(&mut buffer, left, 1)?;
                let _ = ManuallyDrop::new(s.recv(&mut [0u8; 0], Any, 9)?);
                // Without the message that a panic prints.
                resume_unwind(Box::new(Quiet));
                #[allow(unreachable_code, reason = "gives the closure its type")]
                Ok(())
            })
        }));
        ensure(panic.is_err_and(|p| p.is::<Quiet>()), "the panic goes on after the scope")?;
        ensure(buffer.iter().all(|&x| x == 7), "a withdrawn receive wrote into its buffer")?;
        drop(buffer);
        late_message(c, bytes)?;
    }
    Ok(())
}

fn failing_send(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for bytes in [8usize, 30_000] {
        let mine = pattern::<u8>(seed(&[c.rank()]), bytes);
        let mut got = vec![0u8; bytes];
        // Posted outside, so that no rank waits for another's failed scope to end.
        let receive = c.irecv(std::mem::take(&mut got), left, 1)?;
        let result = c.scope(|s| {
            s.send(&mine, right, 1)?;
            Err::<(), _>(Error::new("test", ErrorKind::Unsupported("on purpose".into())))
        });
        refused("a scope whose closure fails", result, "the closure's error", |k| {
            matches!(k, ErrorKind::Unsupported(_))
        })?;
        let (got, status) = receive.wait_status()?;
        equal("its source", status.source, left)?;
        // A send may be withdrawn only where the message was not under way; here the receive was there first.
        same("the message of a failed scope", &got, &pattern(seed(&[left]), bytes))?;
    }
    Ok(())
}

fn values(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    equal("an empty scope", c.scope(|_| Ok(42))?, 42)?;
    let mine = [c.rank() as u64];
    let (mut outer, mut inner) = ([0u64], [0u64]);
    let sum = c.scope(|s| {
        let received = s.recv(&mut outer, left, 1)?;
        c.scope(|t| {
            t.recv(&mut inner, left, 2)?;
            t.send(&mine, right, 2)?;
            s.send(&mine, right, 1)?;
            Ok(())
        })?;
        Ok(received.wait()?.bytes)
    })?;
    equal("both scopes", (sum, outer, inner), (8, [left as u64], [left as u64]))
}
