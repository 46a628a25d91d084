//! Links over shared memory: what is left in rings, and memory that is read while its owner ends.

use std::sync::Barrier;

use super::super::frame::{Frame, Kind};
use super::super::shared::RingOut;
use super::death::{lost, vanish};
use super::*;

/// Waits until frames to and from `peer` travel through rings.
fn stand(engine: &Engine, peer: usize) {
    let stands = || {
        let link = &engine.lock().links[peer];
        link.ring_stands && matches!(link.ring_out, RingOut::Up(_))
    };
    assert!(engine.wait_until(Some(LIMIT), stands), "rank {} has no ring", engine.rank());
}

#[test]
fn what_a_rank_left_in_its_ring_before_it_died_arrives_but_for_half_a_message() {
    for is_posted in [true, false] {
        let (held, dead) = (Barrier::new(2), Barrier::new(2));
        ranks(2, Over::Rings, |engine| {
            stand(engine, 1 - engine.rank());
            if engine.rank() == 1 {
                held.wait();
                for i in 0..20u8 {
                    send(engine, &[i; 3000], 0, 1).unwrap();
                }
                let half = Frame { tag: 1, channel: CHANNEL, ..Frame::control(Kind::Eager, 3000, 0) };
                let half = [&half.encode()[..], &[9; 2999], &[]];
                engine.lock().links[0].ring_out.up().unwrap().write(half).unwrap();
                vanish(engine);
                dead.wait();
                return;
            }
            let receive = is_posted.then(|| irecv(engine, 3000, Some(1), Some(1)));
            {
                // Nobody looks meanwhile.
                let _state = engine.lock();
                held.wait();
                dead.wait();
            }
            let first = receive.unwrap_or_else(|| irecv(engine, 3000, Some(1), Some(1)));
            assert_eq!(first.wait(engine).unwrap().1, [0; 3000]);
            for i in 1..20u8 {
                assert_eq!(recv(engine, 3000, Some(1), Some(1)).unwrap().1, [i; 3000]);
            }
            assert_eq!(recv(engine, 3000, Some(1), Some(1)), Err(lost(1, "died")));
        });
    }
}

#[test]
fn a_message_whose_sender_ends_while_it_is_read_is_lost() {
    const LEN: usize = 8 << 20;
    let (begun, dead) = (Barrier::new(2), Barrier::new(2));
    ranks(2, Over::Rings, |engine| {
        stand(engine, 1 - engine.rank());
        if engine.rank() == 1 {
            let send = isend(engine, vec![1; LEN], 0, 1, SendMode::Standard);
            begun.wait();
            vanish(engine);
            send.take_back();
            dead.wait();
            return;
        }
        let receive = irecv(engine, LEN, Some(1), Some(1));
        // The thread that serves does not get a turn, or it might read the message between two looks.
        let mut turn = engine.turn();
        while !turn.pulls.front().is_some_and(|pull| (1..LEN).contains(&pull.done)) {
            turn.look();
            assert!(!receive.operation.is_over(), "it was read in one look");
        }
        begun.wait();
        dead.wait();
        drop(turn);
        assert_eq!(receive.wait(engine), Err(lost(1, "died")));
        assert!(engine.lock().pulls.is_empty());
    });
}

#[test]
fn long_messages_arrive_whether_memory_can_be_read_or_not() {
    for can_read in [true, false] {
        ranks(2, Over::Rings, |engine| {
            let peer = 1 - engine.rank();
            stand(engine, peer);
            if !can_read {
                engine.lock().links[peer].remote = None;
            }
            assert_eq!(engine.lock().links[peer].remote.is_some(), can_read);
            // More at once than there are marks.
            let lens: Vec<usize> =
                (0..300).map(|i| [70_000, 1 << 20, 66_000, 3 << 20, 100_001][i % 5] / (1 + i / 5)).collect();
            let receives: Vec<_> = lens.iter().map(|len| irecv(engine, *len, Some(peer), Some(1))).collect();
            let mode = SendMode::Synchronous;
            let sends: Vec<_> =
                lens.iter().map(|len| isend(engine, pattern(*len, *len as u64), peer, 1, mode)).collect();
            for (receive, len) in receives.into_iter().zip(&lens) {
                assert!(receive.wait(engine).unwrap().1 == pattern(*len, *len as u64), "{len} bytes");
            }
            finish_all(engine, &sends);
        });
    }
}

#[test]
fn a_peer_whose_ring_says_what_cannot_be_is_lost() {
    for is_reader in [true, false] {
        let (stood, told, over) = (Barrier::new(2), Barrier::new(2), Barrier::new(2));
        ranks(2, Over::Rings, |engine| {
            stand(engine, 1 - engine.rank());
            stood.wait();
            if engine.rank() == 1 {
                let mut state = engine.lock();
                if is_reader {
                    // It has read more than was ever written.
                    state.links[0].ring_in.as_ref().unwrap().tell_head(1 << 40);
                } else {
                    state.links[0].ring_out.up().unwrap().tell_tail(1 << 40);
                }
                told.wait();
                over.wait();
                return;
            }
            told.wait();
            if is_reader {
                while engine.lost(1).is_none() {
                    send(engine, &[1; 10_000], 1, 7).ok();
                }
            }
            assert_eq!(recv(engine, 8, Some(1), Some(1)), Err(lost(1, "misused the memory that it shares")));
            over.wait();
        });
    }
}

#[test]
fn a_peer_that_writes_after_its_goodbye_holds_nobody() {
    let (said, over) = (Barrier::new(2), Barrier::new(2));
    ranks(2, Over::Rings, |engine| {
        stand(engine, 1 - engine.rank());
        if engine.rank() == 1 {
            let goodbye = Frame { tag: 1, ..Frame::control(Kind::Goodbye, 0, 0) };
            let message = Frame { tag: 1, channel: CHANNEL, ..Frame::control(Kind::Eager, 0, 0) };
            let frames = [&goodbye.encode()[..], &message.encode(), &[]];
            engine.lock().links[0].ring_out.up().unwrap().write(frames).unwrap();
            said.wait();
            over.wait();
            return vanish(engine);
        }
        said.wait();
        assert_eq!(recv(engine, 8, Some(1), Some(1)), Err(lost(1, "returned")));
        engine.leave(true);
        over.wait();
    });
}
