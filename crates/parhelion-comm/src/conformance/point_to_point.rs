//! Every way to send and to receive, of every type and size.

use super::Case;
use super::check::{Outcome, ensure, equal, same};
use super::sample::{borders, for_each_type, for_some_types, neighbours, pattern, seed};
use crate::communicator::Communicator;
use crate::element::Element;
use crate::error::Result;
use crate::request::wait_all;
use crate::status::{Any, Source, Status, TagSelector};

pub(super) const CASES: &[Case] = &[
    Case::new("point_to_point: a rank knows its place", place),
    Case::new("point_to_point: every element type arrives as it was sent", every_type),
    Case::new("point_to_point: every size arrives, around every border", every_size),
    Case::new("point_to_point: blocking sends of every size", blocking_sends).ranks(2),
    Case::new("point_to_point: synchronous sends of every size", synchronous_sends).ranks(2),
    Case::new("point_to_point: owned requests of every size", owned_requests),
    Case::new("point_to_point: a receive that does not know the length", unknown_length),
    Case::new("point_to_point: send_recv in both directions with other types", send_recv),
    Case::new("point_to_point: a synchronous send waits for its receiver", synchronous_waits),
    Case::new("point_to_point: a longer buffer keeps its rest", longer_buffer),
    Case::new("point_to_point: a status says who, which tag, how much", statuses),
    Case::new("point_to_point: messages to oneself", to_oneself),
    Case::new("point_to_point: every rank to every rank at once", everyone_to_everyone),
    Case::new("point_to_point: a long ping-pong", ping_pong),
];

fn place(c: &Communicator) -> Outcome {
    ensure(c.size() >= 1 && c.rank() < c.size(), format_args!("rank {} of {}", c.rank(), c.size()))?;
    ensure(c.max_tag() >= 32_767, format_args!("tags must reach 32767 (MPI section 9.1.2), not {}", c.max_tag()))?;
    ensure(!c.name().is_empty(), "a communicator has a name")?;
    equal(
        "library() is known exactly where a library is below",
        c.library().is_some(),
        c.backend().to_string() == "mpi",
    )?;
    if let Some(library) = c.library() {
        ensure(
            library.contains('-') && library.chars().any(|x| x.is_ascii_digit()),
            format_args!("library {library:?} has a version"),
        )?;
    }
    ensure(format!("{c:?}").contains(c.name()), "Debug names the communicator")?;
    let clone = c.clone();
    equal("a clone's rank", clone.rank(), c.rank())?;
    equal("a clone's name", clone.name().to_owned(), c.name().to_owned())
}

/// Sends round the ring and checks what comes.
fn round<T: Element>(c: &Communicator, count: usize, tag: u32) -> Outcome {
    let (right, left) = neighbours(c);
    let mut got = vec![T::zeroed(); count];
    let status = c.send_recv(&pattern::<T>(seed(&[c.rank(), count]), count), right, tag, &mut got, left, tag)?;
    let what = format_args!("{count} x {} from rank {left}", std::any::type_name::<T>()).to_string();
    same(&what, &got, &pattern(seed(&[left, count]), count))?;
    equal(what, status, Status { source: left, tag, bytes: count * size_of::<T>() })
}

fn every_type(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator) -> Outcome {
        for count in [0, 1, 17, 1001] {
            round::<T>(c, count, 3)?;
        }
        Ok(())
    }
    for_each_type!(of(c));
    Ok(())
}

fn every_size(c: &Communicator) -> Outcome {
    for bytes in borders(c) {
        round::<u8>(c, bytes, 0)?;
    }
    round::<f64>(c, 100_003, c.max_tag())
}

/// A token goes round the ring: rank 0 sends first, the others receive first.
fn token(c: &Communicator, bytes: usize, send: impl Fn(&[u8], usize) -> Result<()>) -> Outcome {
    let (right, left) = neighbours(c);
    let want = pattern::<u8>(seed(&[bytes]), bytes);
    let mut got = vec![0; bytes];
    if c.rank() == 0 {
        send(&want, right)?;
    }
    let status = c.recv(&mut got, left, 7)?;
    same(format_args!("token of {bytes} bytes from rank {left}"), &got, &want)?;
    equal("its length", status.bytes, bytes)?;
    if c.rank() > 0 {
        send(&got, right)?;
    }
    Ok(())
}

fn blocking_sends(c: &Communicator) -> Outcome {
    borders(c).into_iter().try_for_each(|bytes| token(c, bytes, |data, to| c.send(data, to, 7)))
}

fn synchronous_sends(c: &Communicator) -> Outcome {
    borders(c).into_iter().try_for_each(|bytes| token(c, bytes, |data, to| c.send_synchronous(data, to, 7)))
}

fn owned_requests(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, count: usize) -> Outcome {
        let (right, left) = neighbours(c);
        let mine = pattern::<T>(seed(&[c.rank()]), count);
        let receive = c.irecv(vec![T::zeroed(); count], left, 1)?;
        let second = c.irecv(vec![T::zeroed(); count], left, 2)?;
        let send = c.isend(mine.clone(), right, 1)?;
        let synchronous = c.isend_synchronous(mine.clone(), right, 2)?;
        let want = pattern::<T>(seed(&[left]), count);
        let (got, status) = receive.wait_status()?;
        same(format_args!("isend of {count} elements"), &got, &want)?;
        equal("its status", status, Status { source: left, tag: 1, bytes: count * size_of::<T>() })?;
        same(format_args!("isend_synchronous of {count} elements"), &second.wait()?, &want)?;
        same("the sender's buffer, given back", &send.wait()?, &mine)?;
        same("the synchronous sender's buffer, given back", &synchronous.wait()?, &mine)
    }
    for bytes in borders(c) {
        of::<u8>(c, bytes)?;
    }
    for count in [0, 1, 17, 1001] {
        for_some_types!(of(c, count));
    }
    Ok(())
}

fn unknown_length(c: &Communicator) -> Outcome {
    fn of<T: Element>(c: &Communicator, count: usize) -> Outcome {
        let (right, left) = neighbours(c);
        let sent = c.isend(pattern::<T>(seed(&[c.rank(), count]), count), right, 4)?;
        let (got, status) = c.recv_vec::<T>(left, 4)?;
        same(format_args!("recv_vec of {count} elements"), &got, &pattern(seed(&[left, count]), count))?;
        equal(
            "its source",
            (status.source, status.tag, status.count::<T>()),
            (left, 4, Some(if size_of::<T>() == 0 { 0 } else { count })),
        )?;
        sent.wait()?;
        Ok(())
    }
    for bytes in borders(c) {
        of::<u8>(c, bytes)?;
    }
    for count in [0, 1, 17, 1001] {
        for_some_types!(of(c, count));
    }
    Ok(())
}

fn send_recv(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for count in [0usize, 3, 1500, 20_000] {
        // Down the ring go floats, up the ring go structs twice as many bytes as needed.
        let floats = pattern::<f64>(seed(&[c.rank(), count]), count);
        let mut got = vec![0.0f64; count + 5];
        let status = c.send_recv(&floats, left, 1, &mut got, right, 1)?;
        same(format_args!("{count} floats upwards"), &got[..count], &pattern(seed(&[right, count]), count))?;
        equal("their status", status, Status { source: right, tag: 1, bytes: 8 * count })?;
        let shorts = pattern::<u16>(seed(&[c.rank(), count]), 2 * count);
        let mut bytes = vec![0u8; 4 * count];
        c.send_recv(&shorts, right, 2, &mut bytes, left, 2)?;
        let want = pattern::<u16>(seed(&[left, count]), 2 * count);
        same("shorts received as bytes", &bytes, bytemuck::cast_slice(&want))?;
    }
    // Every rank gets exactly one message, so wildcards are as good.
    let mut got = [0u64];
    let status = c.send_recv(&[c.rank() as u64], right, 9, &mut got, Any, Any)?;
    equal("send_recv with wildcards", (got[0] as usize, status.source, status.tag), (left, left, 9))
}

fn synchronous_waits(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for count in [0usize, 1, 1000, 50_000] {
        let mut request = c.isend_synchronous(pattern::<u64>(1, count), right, 5)?;
        for _ in 0..50 {
            ensure(
                !request.test(),
                format_args!("{count} words: complete, though rank {right} has not started to receive"),
            )?;
        }
        c.barrier()?;
        same("the message", &c.recv_vec::<u64>(left, 5)?.0, &pattern(1, count))?;
        request.wait()?;
    }
    Ok(())
}

fn longer_buffer(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for count in [0usize, 1, 5, 1023, 30_000] {
        let mut got = vec![u32::MAX; count + 100];
        let status = c.send_recv(&pattern::<u32>(2, count), right, 1, &mut got, left, 1)?;
        equal("elements", status.count::<u32>(), Some(count))?;
        same("the message", &got[..count], &pattern(2, count))?;
        ensure(
            got[count..].iter().all(|&x| x == u32::MAX),
            format_args!("{count} words: the rest of the buffer changed"),
        )?;
        // An owned receive gives back just the message.
        let receive = c.irecv(vec![u32::MAX; count + 100], left, 2)?;
        let sent = c.isend(pattern::<u32>(3, count), right, 2)?;
        same("an owned buffer, cut to the message", &receive.wait()?, &pattern(3, count))?;
        sent.wait()?;
    }
    Ok(())
}

fn statuses(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    for tag in [0, 1, 32_767, c.max_tag()] {
        let mut got = [0u8; 64];
        let sources: [Source; 2] = [left.into(), Any.into()];
        let tags: [TagSelector; 2] = [tag.into(), Any.into()];
        for source in sources {
            for selector in tags {
                let sent = c.isend(vec![1u8; 13], right, tag)?;
                let status = c.recv(&mut got, source, selector)?;
                equal(
                    format_args!("status with {source:?}, {selector:?}"),
                    status,
                    Status { source: left, tag, bytes: 13 },
                )?;
                equal("13 bytes as words", (status.count::<u8>(), status.count::<u16>()), (Some(13), None))?;
                sent.wait()?;
            }
        }
    }
    Ok(())
}

fn to_oneself(c: &Communicator) -> Outcome {
    let me = c.rank();
    for bytes in borders(c) {
        let want = pattern::<u8>(seed(&[me, bytes]), bytes);
        let mut got = vec![0; bytes];
        // Receive first.
        let receive = c.irecv(vec![0u8; bytes], me, 1)?;
        c.send(&want, me, 1)?;
        same(format_args!("{bytes} bytes to a posted receive"), &receive.wait()?, &want)?;
        // Send first.
        let sent = c.isend(want.clone(), me, 2)?;
        let status = c.recv(&mut got, Any, 2)?;
        same(format_args!("{bytes} bytes to a later receive"), &got, &want)?;
        equal("its source", status.source, me)?;
        sent.wait()?;
        // Both at once.
        got.fill(0);
        c.send_recv(&want, me, 3, &mut got, me, 3)?;
        same(format_args!("{bytes} bytes by send_recv"), &got, &want)?;
        let sent = c.isend_synchronous(want.clone(), me, 4)?;
        same(format_args!("{bytes} bytes by recv_vec"), &c.recv_vec::<u8>(me, 4)?.0, &want)?;
        sent.wait()?;
    }
    Ok(())
}

fn everyone_to_everyone(c: &Communicator) -> Outcome {
    for bytes in [0usize, 24, 5000, 40_001] {
        let receives = (0..c.size()).map(|from| c.irecv(vec![0u8; bytes], from, 6)).collect::<Result<Vec<_>>>()?;
        let sends = (0..c.size())
            .map(|to| c.isend(pattern::<u8>(seed(&[c.rank(), to]), bytes), to, 6))
            .collect::<Result<Vec<_>>>()?;
        for (from, got) in wait_all(receives)?.into_iter().enumerate() {
            same(format_args!("{bytes} bytes from rank {from}"), &got, &pattern(seed(&[from, c.rank()]), bytes))?;
        }
        wait_all(sends)?;
    }
    Ok(())
}

fn ping_pong(c: &Communicator) -> Outcome {
    // Pairs (0, 1), (2, 3), …; a last odd rank has no partner.
    let partner = c.rank() ^ 1;
    if partner >= c.size() {
        return Ok(());
    }
    let mut ball = [0u64; 3];
    for turn in 0..300u64 {
        let serve = c.rank() % 2 == (turn % 2) as usize;
        if serve {
            ball = [turn, turn * turn, !turn];
            c.send(&ball, partner, turn as u32)?;
        } else {
            c.recv(&mut ball, partner, turn as u32)?;
            equal("the ball", ball, [turn, turn * turn, !turn])?;
        }
    }
    Ok(())
}
