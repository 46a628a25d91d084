//! Ranks end in every way, and strangers come.

use std::io::{Read, Write};
use std::time::Instant;

use proptest::prelude::*;

use super::super::frame::{Flaw, Frame, HEADER, Kind, MAX_EAGER, RING_BYTES};
use super::super::shared::RingOut;
use super::*;

/// Ends as a killed process does: its sockets close.
pub(super) fn vanish(engine: &Engine) {
    let mut state = engine.turn();
    state.doors = None;
    state.visitors.clear();
    state.links.iter_mut().for_each(|link| {
        link.wires.clear();
        link.sends_on = None;
        link.out.clear();
        (link.ring_out, link.ring_in) = (RingOut::Refused, None);
    });
    state.rings.clear();
    state.stuck.clear();
    state.pulls.clear();
    state.wires.clear();
    state.leaving = Some(super::super::death::End::Died);
    state.crew.stop = true;
    drop(state);
    engine.stop_helper();
}

pub(super) fn lost(rank: usize, how: &'static str) -> Fault {
    Fault::Lost { rank, how }
}

#[test]
fn a_rank_that_returned_is_lost_to_who_waits_for_what_it_never_sent() {
    for over in [Over::Tcp, Over::Unix, Over::Rings] {
        ranks(4, over, |engine| match engine.rank() {
            2 => send(engine, &[9; 100], 1, 1).map(drop).unwrap(),
            me => {
                // Ranks 0 and 1 have a link to rank 2, rank 3 has none.
                if me == 1 {
                    assert_eq!(recv(engine, 100, Some(2), Some(1)).unwrap().1, [9; 100]);
                }
                let returned = Err(lost(2, "returned"));
                assert_eq!(recv(engine, 8, Some(2), Some(1)), returned);
                assert_eq!(engine.lost(2), Some("returned"));
                assert_eq!(recv(engine, 8, Some(2), Some(1)), returned);
                // Nobody but who waits for it is disturbed.
                let receive = irecv(engine, 8, None, Some(2));
                let members: Arc<[usize]> = Arc::from([0, 1, 2, 3]);
                receive.operation.fails_with(&members);
                for peer in [0, 1, 3] {
                    send(engine, &[me as u8], peer, 2).unwrap();
                }
                receive.wait(engine).unwrap();
                (0..2).for_each(|_| drop(recv(engine, 8, None, Some(2)).unwrap()));
            }
        });
    }
}

#[test]
fn what_a_rank_sent_before_it_returned_arrives() {
    for over in [Over::Tcp, Over::Unix, Over::Rings] {
        for _ in 0..5 {
            ranks(4, over, |engine| {
                let me = engine.rank();
                let long = 5 << 20;
                if me > 0 {
                    send(engine, &[me as u8; 1000], 0, 1).unwrap();
                    send(engine, &[me as u8; 1000], 1 + me % 3, 1).unwrap();
                    // Left behind; their bytes go nonetheless.
                    isend(engine, pattern(long, me as u64), 0, 2, SendMode::Standard);
                    isend(engine, pattern(long, me as u64), 1 + me % 3, 2, SendMode::Standard);
                }
                let sources = if me > 0 { vec![1 + (me + 1) % 3] } else { vec![1, 2, 3] };
                for source in sources {
                    assert_eq!(recv(engine, 1000, Some(source), Some(1)).unwrap().1, [source as u8; 1000]);
                    assert!(recv(engine, long, Some(source), Some(2)).unwrap().1 == pattern(long, source as u64));
                }
            });
        }
    }
}

#[test]
fn whoever_sends_after_the_goodbye_of_its_own_rank_fails() {
    for engine in ranks(2, Over::Tcp, Arc::clone) {
        let me = engine.rank();
        assert_eq!(send(&engine, &[1], 1 - me, 1), Err(lost(me, "returned")));
    }
}

#[test]
fn what_was_to_go_to_a_rank_that_returned_holds_nobody() {
    // Whoever knocks there is in the system's queue and hears nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    ranks(3, Over::Tcp, |engine| {
        if engine.rank() == 1 {
            engine.lock().roster[2].tcp = deaf.local_addr().unwrap();
            send(engine, &[1], 2, 1).unwrap();
            assert_eq!(recv(engine, 1, Some(2), Some(1)), Err(lost(2, "returned")));
        }
    });
}

#[test]
fn offers_to_a_rank_that_returned_fail_and_it_does_not_wait_for_them() {
    ranks(2, Over::Tcp, |engine| {
        if engine.rank() == 0 {
            let offer = isend(engine, vec![1; 100_000], 1, 1, SendMode::Standard);
            assert_eq!(finish(engine, &offer), Err(lost(1, "returned")));
        }
    });
}

#[test]
fn every_rank_that_waits_learns_of_a_death_and_the_others_go_on() {
    for over in [Over::Tcp, Over::Unix, Over::Rings] {
        for dies in [1, 3] {
            let start = std::sync::Barrier::new(4);
            ranks(4, over, |engine| {
                let me = engine.rank();
                let members: Arc<[usize]> = Arc::from([0, 1, 2, 3]);
                if me == dies {
                    start.wait();
                    return vanish(engine);
                }
                let from = irecv(engine, 8, Some(dies), Some(1));
                let any = irecv(engine, 8, None, Some(1));
                any.operation.fails_with(&members);
                let other = if me == 0 { 2 } else { 0 };
                let waiting = irecv(engine, 8, Some(other), Some(9));
                waiting.operation.fails_with(&members);
                let offer = isend(engine, vec![1; 100_000], dies, 1, SendMode::Standard);
                let bystander = isend(engine, vec![1; 100_000], other, 8, SendMode::Standard);
                bystander.fails_with(&members);
                let own = isend(engine, vec![1; 100_000], me, 8, SendMode::Standard);
                own.fails_with(&members);
                start.wait();
                let died = Err(lost(dies, "died"));
                assert_eq!(from.wait(engine), died.map(|()| unreachable!()));
                assert_eq!(any.wait(engine), died.map(|()| unreachable!()));
                assert_eq!(waiting.wait(engine), died.map(|()| unreachable!()));
                for operation in [offer, bystander, own] {
                    assert_eq!(finish(engine, &operation), died.map(|()| unreachable!()));
                }
                // Later ones fail at once.
                let late = isend(engine, vec![1; 100_000], dies, 1, SendMode::Standard);
                assert_eq!(late.result(), Some(died.map(|()| unreachable!())));
                let late = irecv(engine, 8, None, Some(1));
                late.operation.fails_with(&members);
                assert!(late.operation.is_over());
                for peer in (0..4).filter(|peer| *peer != dies && *peer != me) {
                    send(engine, &[7], peer, 5).unwrap();
                }
                for peer in (0..4).filter(|peer| *peer != dies && *peer != me) {
                    assert_eq!(recv(engine, 1, Some(peer), Some(5)).unwrap().1, [7]);
                }
            });
        }
    }
}

#[test]
fn without_rank_0_the_others_watch_each_other() {
    let start = std::sync::Barrier::new(4);
    let dead = std::sync::Barrier::new(2);
    ranks(4, Over::Tcp, |engine| match engine.rank() {
        0 => {
            start.wait();
            vanish(engine);
        }
        me => {
            let zero = irecv(engine, 8, Some(0), Some(1));
            let three = irecv(engine, 8, Some(3), Some(1));
            start.wait();
            assert_eq!(zero.wait(engine), Err(lost(0, "died")));
            if me == 3 {
                // Rank 2 has seen the first death.
                dead.wait();
                return vanish(engine);
            }
            if me == 2 {
                dead.wait();
            }
            assert_eq!(three.wait(engine), Err(lost(3, "died")));
            send(engine, &[1], 3 - me, 2).unwrap();
            recv(engine, 1, Some(3 - me), Some(2)).unwrap();
        }
    });
}

/// Rank 0, and a stream to it on which the test plays rank 1.
fn played(config: &Config) -> (Arc<Engine>, Stream) {
    let mut joined = joined(2, Over::Unix, config);
    let (_, stream) = joined.pop().unwrap().star.pop().unwrap();
    (Engine::start(joined.pop().unwrap(), config).unwrap(), stream)
}

fn frame(kind: Kind, tag: u32, length: u64, id: u64) -> Frame {
    let channel = if matches!(kind, Kind::Eager | Kind::Offer) { CHANNEL } else { Channel { context: 0, lane: 0 } };
    Frame { kind, tag, channel, length, id, at: 0 }
}

/// The next frame but signs of life.
fn read_frame(mut stream: &Stream) -> Frame {
    let mut header = [0; HEADER];
    loop {
        stream.read_exact(&mut header).unwrap();
        let frame = Frame::decode(&header).unwrap();
        if frame.kind != Kind::Ping {
            return frame;
        }
    }
}

#[test]
fn half_a_message_is_never_delivered() {
    let _watch = Watch::new();
    for is_posted in [true, false] {
        for is_offered in [true, false] {
            for sent in [0, 1, 999] {
                let (engine, stream) = played(&config());
                let early = is_posted.then(|| irecv(&engine, 1000, Some(1), Some(1)));
                let mut bytes = frame(if is_offered { Kind::Offer } else { Kind::Eager }, 1, 1000, 1).encode().to_vec();
                let mut late = None;
                if is_offered {
                    (&stream).write_all(&bytes).unwrap();
                    late = early.or_else(|| Some(irecv(&engine, 1000, Some(1), Some(1))));
                    assert_eq!(read_frame(&stream), frame(Kind::Accept, 0, 1000, 1));
                    bytes = frame(Kind::Data, 0, 1000, 1).encode().to_vec();
                } else if let Some(early) = early {
                    late = Some(early);
                }
                bytes.extend(pattern(sent, 1));
                (&stream).write_all(&bytes).unwrap();
                drop(stream);
                let receive = late.unwrap_or_else(|| irecv(&engine, 1000, Some(1), Some(1)));
                assert_eq!(receive.wait(&engine), Err(lost(1, "died")));
                assert_eq!(engine.probe(None, CHANNEL, None), None);
                engine.leave(true);
            }
        }
    }
}

#[test]
fn a_send_fails_when_its_receiver_dies_at_any_point() {
    let _watch = Watch::new();
    const LEN: usize = 64 << 20;
    for accepted in [None, Some(0), Some(100_000)] {
        let (engine, stream) = played(&config());
        let send = isend(&engine, vec![1; LEN], 1, 1, SendMode::Standard);
        assert_eq!(read_frame(&stream).kind, Kind::Offer);
        if let Some(read) = accepted {
            (&stream).write_all(&frame(Kind::Accept, 0, LEN as u64, 1).encode()).unwrap();
            engine.progress();
            (&stream).read_exact(&mut vec![0; read]).unwrap();
            assert!(!send.cancel());
        }
        assert!(!send.is_over());
        drop(stream);
        assert_eq!(finish(&engine, &send), Err(lost(1, "died")));
        engine.leave(true);
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_is_lost() {
    let _watch = Watch::new();
    let eager = frame(Kind::Eager, 1, 8, 0);
    let mut wrong_zero = eager.encode();
    wrong_zero[20] = 1;
    let mut no_kind = eager.encode();
    no_kind[0] = 200;
    let flood: Vec<u8> = (0..20)
        .flat_map(|_| {
            let mut bytes = frame(Kind::Eager, 1, MAX_EAGER / 8, 0).encode().to_vec();
            bytes.resize(HEADER + MAX_EAGER as usize / 8, 0);
            bytes
        })
        .collect();
    let twice = |a: Frame, b: Frame| [a.encode(), b.encode()].concat();
    let cases = [
        (wrong_zero.to_vec(), Flaw::Zeros),
        (no_kind.to_vec(), Flaw::Kind),
        (vec![0; HEADER], Flaw::Kind),
        (vec![255; HEADER], Flaw::Kind),
        (frame(Kind::Eager, 1, MAX_EAGER + 1, 0).encode().to_vec(), Flaw::Length),
        (frame(Kind::Eager, 1, u64::MAX, 0).encode().to_vec(), Flaw::Length),
        (frame(Kind::Offer, 1, u64::MAX, 0).encode().to_vec(), Flaw::Length),
        (frame(Kind::Accept, 0, 8, 1).encode().to_vec(), Flaw::Id),
        (frame(Kind::Data, 0, 8, 1).encode().to_vec(), Flaw::Id),
        (frame(Kind::Returned, 0, 0, 1).encode().to_vec(), Flaw::Id),
        (frame(Kind::Credit, 0, 1, 0).encode().to_vec(), Flaw::Credit),
        (frame(Kind::Credit, 0, isize::MAX as u64, 0).encode().to_vec(), Flaw::Credit),
        (frame(Kind::Goodbye, 77, 0, 0).encode().to_vec(), Flaw::Tag),
        (frame(Kind::Goodbye, 3, 0, 0).encode().to_vec(), Flaw::Tag),
        (frame(Kind::Ended, 1, 0, u64::MAX).encode().to_vec(), Flaw::Id),
        (frame(Kind::Ended, 0, 0, 1).encode().to_vec(), Flaw::Tag),
        (frame(Kind::Over, 0, 1, 0).encode().to_vec(), Flaw::Length),
        (flood, Flaw::Credit),
        (frame(Kind::Offer, 2, 9, 0).encode().to_vec(), Flaw::Id),
        (twice(frame(Kind::Offer, 2, 9, 5), frame(Kind::Offer, 99, 8, 5)), Flaw::Id),
        (twice(frame(Kind::Offer, 2, 9, 5), frame(Kind::Data, 0, 10, 5)), Flaw::Length),
        (twice(frame(Kind::Offer, 2, 9, 5), frame(Kind::Data, 0, 0, 5)), Flaw::Length),
    ];
    for (i, (bytes, flaw)) in cases.into_iter().enumerate() {
        let (engine, stream) = played(&config());
        let receive = irecv(&engine, 8, Some(1), Some(99));
        let offered = irecv(&engine, 9, Some(1), Some(2));
        // It may hang up on us before it has read all.
        let _ = (&stream).write_all(&bytes);
        assert_eq!(receive.wait(&engine), Err(lost(1, flaw.how())), "case {i}");
        assert!(offered.wait(&engine).is_err());
        engine.leave(true);
    }
}

#[test]
fn an_accept_of_another_length_is_no_accept() {
    let _watch = Watch::new();
    for wrong in [1, 99_999, 100_001, isize::MAX as u64] {
        let (engine, stream) = played(&config());
        let send = isend(&engine, vec![1; 100_000], 1, 1, SendMode::Standard);
        let id = read_frame(&stream).id;
        (&stream).write_all(&frame(Kind::Accept, 0, wrong, id).encode()).unwrap();
        assert_eq!(finish(&engine, &send), Err(lost(1, Flaw::Length.how())));
        engine.leave(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn whatever_a_peer_writes_ends_in_its_loss_or_in_messages(
        frames in prop::collection::vec(
            (1u8..19, 0u32..4, prop_oneof![3 => 0u64..200, 1 => Just(RING_BYTES as u64)], 0u64..4, any::<bool>()),
            0..20,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..100),
        shared_memory: bool,
    ) {
        let _watch = Watch::new();
        let (engine, stream) = played(&Config { shared_memory, ..config() });
        let receives: Vec<_> = (0..3).map(|tag| irecv(&engine, 100, Some(1), Some(tag))).collect();
        let sends: Vec<_> = (0..2).map(|tag| isend(&engine, vec![1; 100_000], 1, tag, SendMode::Standard)).collect();
        for (kind, tag, length, id, is_plain) in frames {
            let mut bytes = frame(Kind::Eager, tag, length, id).encode();
            bytes[0] = kind;
            if is_plain {
                bytes[8..20].fill(0);
            }
            let has_bytes = [Kind::Eager, Kind::Data, Kind::Ring].map(|kind| kind as u8).contains(&kind);
            let payload = if has_bytes { length as usize } else { 0 };
            let _ = (&stream).write_all(&bytes);
            let _ = (&stream).write_all(&pattern(payload, id));
        }
        let _ = (&stream).write_all(&noise);
        drop(stream);
        for receive in receives {
            let _ = receive.wait(&engine);
        }
        for send in sends {
            let _ = finish(&engine, &send);
        }
        engine.leave(true);
        prop_assert!(engine.lost(1).is_some());
    }
}

#[test]
fn a_silent_peer_is_lost_and_an_idle_one_is_not() {
    let _watch = Watch::new();
    let (engine, stream) = played(&Config { heartbeat: Duration::from_millis(800), ..config() });
    assert_eq!(recv(&engine, 8, Some(1), None), Err(lost(1, "fallen silent")));
    engine.leave(true);
    drop(stream);
    // Two engines that have nothing to say, for longer than the limit, which a loaded machine does not keep them silent for.
    let config = Config { heartbeat: Duration::from_secs(5), ..config() };
    ranks_with(2, Over::Tcp, &config, |engine| {
        let begin = Instant::now();
        let receive = irecv(engine, 8, Some(1 - engine.rank()), Some(1));
        engine.wait_until(Some(2 * config.heartbeat), || receive.operation.is_over());
        // The other one's limit may have passed a little earlier.
        assert!(begin.elapsed() >= 2 * config.heartbeat || receive.operation.result().is_some_and(|end| end.is_ok()));
        send(engine, &[1], 1 - engine.rank(), 1).unwrap();
        receive.wait(engine).unwrap();
    });
}

#[test]
fn a_rank_that_is_given_up_is_told_so() {
    let _watch = Watch::new();
    let mut joined = joined(3, Over::Unix, &config());
    let streams: Vec<Stream> = joined.drain(1..).map(|mut joined| joined.star.pop().unwrap().1).collect();
    let engine = Engine::start(joined.pop().unwrap(), &config()).unwrap();
    // Rank 1 cannot reach rank 2.
    let unreachable = frame(Kind::Ended, 5, 0, 2);
    (&streams[0]).write_all(&unreachable.encode()).unwrap();
    assert_eq!(recv(&engine, 8, Some(2), Some(1)), Err(lost(2, "become unreachable")));
    assert_eq!(read_frame(&streams[1]), unreachable);
    drop(streams);
    engine.leave(true);
    // And what rank 2 makes of it.
    let mut joined = self::joined(2, Over::Unix, &config());
    let (other, zero) = (joined.pop().unwrap(), joined.pop().unwrap().star.pop().unwrap().1);
    let engine = Engine::start(other, &config()).unwrap();
    (&zero).write_all(&frame(Kind::Ended, 5, 0, 1).encode()).unwrap();
    let Err(Fault::Lost { rank: 0, how }) = recv(&engine, 8, Some(0), Some(1)) else { panic!("rank 0 is not lost") };
    assert!(how.contains("given this rank up"), "{how}");
    engine.leave(true);
}

#[test]
fn a_peer_that_does_not_answer_at_its_door_is_lost_within_a_heartbeat() {
    let _watch = Watch::new();
    let config = Config { heartbeat: Duration::from_millis(800), ..config() };
    let mut joined = joined(3, Over::Tcp, &config);
    let engine = Engine::start(joined.remove(1), &config).unwrap();
    // Whoever knocks at rank 2 is in the system's queue and hears nothing.
    let receive = irecv(&engine, 8, Some(2), Some(1));
    isend(&engine, vec![1; 8], 2, 1, SendMode::Standard);
    let limits: Vec<Instant> = engine.lock().wires.values().filter_map(|wire| wire.phase.limit()).collect();
    assert!(limits.len() == 1 && limits[0] <= Instant::now() + config.heartbeat, "it is waited for longer");
    assert_eq!(receive.wait(&engine), Err(lost(2, "become unreachable")));
    engine.leave(true);
    drop(joined);
}

#[test]
fn a_peer_that_falls_silent_after_its_goodbye_holds_nobody() {
    let _watch = Watch::new();
    let (engine, stream) = played(&Config { heartbeat: Duration::from_millis(800), ..config() });
    // Its goodbye says that it goes on with what is under way; then its host is cut off.
    (&stream).write_all(&frame(Kind::Offer, 1, 1000, 1).encode()).unwrap();
    (&stream).write_all(&frame(Kind::Offer, 2, 1000, 2).encode()).unwrap();
    (&stream).write_all(&frame(Kind::Goodbye, 1, 0, 0).encode()).unwrap();
    let coming = irecv(&engine, 1000, Some(1), Some(1));
    assert_eq!(coming.wait(&engine), Err(lost(1, "returned")));
    // Nor can what it had offered be had any more.
    assert_eq!(recv(&engine, 1000, Some(1), Some(2)), Err(lost(1, "returned")));
    engine.leave(true);
    drop(stream);
}

#[test]
fn strangers_at_the_door_disturb_nothing() {
    for over in [Over::Tcp, Over::Unix, Over::Rings] {
        ranks(3, over, |engine| {
            if engine.rank() == 0 {
                recv(engine, 1, Some(1), Some(1)).unwrap();
                recv(engine, 1, Some(2), Some(1)).unwrap();
                return;
            }
            let address = engine.lock().roster[3 - engine.rank()].tcp;
            let mut strangers = Vec::new();
            for i in 0..300u64 {
                let Ok(mut stranger) = TcpStream::connect(address) else { continue };
                // Some say something, some hang up, some stay.
                if i % 3 > 0 {
                    let _ = stranger.write_all(&pattern(i as usize, i));
                }
                if i % 2 > 0 {
                    strangers.push(stranger);
                }
            }
            let peer = 3 - engine.rank();
            for i in 0..100u8 {
                send(engine, &[i; 1000], peer, 1).unwrap();
                assert_eq!(recv(engine, 1000, Some(peer), Some(1)).unwrap().1, [i; 1000]);
            }
            assert!(engine.lock().visitors.len() <= 256);
            send(engine, &[1], 0, 1).unwrap();
        });
    }
}

#[test]
fn a_rank_that_failed_takes_nobody_with_it_who_does_not_wait_for_it() {
    ranks(3, Over::Unix, |engine| match engine.rank() {
        1 => engine.leave(false),
        me => {
            assert_eq!(recv(engine, 8, Some(1), Some(1)), Err(lost(1, "failed")));
            send(engine, &[1], 2 - me, 2).unwrap();
            recv(engine, 1, Some(2 - me), Some(2)).unwrap();
        }
    });
}

#[test]
fn a_death_at_any_point_ends_what_is_under_way_and_corrupts_nothing() {
    for seed in 0..36u64 {
        let over = [Over::Tcp, Over::Unix, Over::Rings][seed as usize % 3];
        let (dies, at) = ((seed / 3 % 3) as usize, seed as usize * 7 % 40);
        ranks(3, over, |engine| {
            let me = engine.rank();
            let members: Arc<[usize]> = Arc::from([0, 1, 2]);
            let len = |i: usize, rank: usize| [8, 3000, 70_000, 1 << 20][(i * 5 + rank + seed as usize) % 4];
            for i in 0..1000 {
                let receives: Vec<_> =
                    (0..3).map(|peer| (peer, irecv(engine, len(i, peer), Some(peer), Some(i as u32)))).collect();
                let sends: Vec<_> = (0..3)
                    .map(|peer| {
                        let bytes = pattern(len(i, me), (i * 3 + me) as u64);
                        let mode = if i % 3 == 0 { SendMode::Synchronous } else { SendMode::Standard };
                        isend(engine, bytes, peer, i as u32, mode)
                    })
                    .collect();
                receives.iter().for_each(|(_, receive)| receive.operation.fails_with(&members));
                sends.iter().for_each(|send| send.fails_with(&members));
                if me == dies && i == at {
                    if seed % 3 == 0 {
                        engine.progress();
                    }
                    return vanish(engine);
                }
                let mut is_over = false;
                for (peer, receive) in receives {
                    match receive.wait(engine) {
                        Ok((_, bytes)) => assert!(bytes == pattern(len(i, peer), (i * 3 + peer) as u64)),
                        // Whoever has seen the death may have left by now.
                        Err(Fault::Lost { .. }) => is_over = true,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                for send in sends {
                    is_over |= finish(engine, &send).is_err();
                }
                if is_over {
                    return;
                }
            }
            panic!("nobody died");
        });
    }
}
