//! Messages arrive, matched as they should be.

use super::super::frame::HEADER;
use super::super::link::CREDIT;
use super::*;
use crate::route::Route;

const ALL: [Over; 3] = [Over::Tcp, Over::Unix, Over::Rings];

#[test]
fn messages_of_every_length_arrive_between_all_pairs() {
    let lengths = [0, 1, 8, 4096, 65536, 65537, 300_000, (4 << 20) + 1, 9 << 20];
    for over in ALL {
        ranks(3, over, |engine| {
            for (i, len) in lengths.into_iter().enumerate() {
                let me = engine.rank();
                let receives: Vec<_> = (0..3).map(|peer| irecv(engine, len, Some(peer), Some(i as u32))).collect();
                let sends: Vec<_> = (0..3)
                    .map(|peer| isend(engine, pattern(len, (me * 3 + peer) as u64), peer, i as u32, SendMode::Standard))
                    .collect();
                for (peer, receive) in receives.into_iter().enumerate() {
                    let (envelope, bytes) = receive.wait(engine).unwrap();
                    assert_eq!(envelope, Envelope { source: peer, tag: i as u32, len });
                    assert!(bytes == pattern(len, (peer * 3 + me) as u64), "{len} bytes from {peer} to {me}");
                }
                for send in sends {
                    assert_eq!(finish(engine, &send), Ok(Envelope { source: me, tag: i as u32, len }));
                }
            }
        });
    }
}

#[test]
fn a_message_that_came_before_its_receive_is_kept() {
    for over in ALL {
        ranks(2, over, |engine| {
            if engine.rank() == 0 {
                send(engine, &[1; 100], 1, 5).unwrap();
                let long = isend(engine, pattern(1 << 20, 9), 1, 6, SendMode::Standard);
                send(engine, &[], 1, 7).unwrap();
                finish(engine, &long).unwrap();
            } else {
                assert_eq!(recv(engine, 0, Some(0), Some(7)).unwrap().0.len, 0);
                assert_eq!(engine.probe(Some(0), CHANNEL, None).unwrap(), Envelope { source: 0, tag: 5, len: 100 });
                assert_eq!(recv(engine, 1 << 20, Some(0), Some(6)).unwrap().1, pattern(1 << 20, 9));
                assert_eq!(recv(engine, 200, None, None).unwrap().1, [1; 100]);
            }
        });
    }
}

#[test]
fn messages_of_one_sender_are_received_in_order_by_wildcards_under_load() {
    const COUNT: u32 = 3000;
    for over in ALL {
        ranks(4, over, |engine| {
            if engine.rank() > 0 {
                let sends: Vec<_> = (0..COUNT)
                    .map(|i| {
                        // Some eager, some offered, of several tags.
                        let len = if i % 97 == 0 { 70_000 } else { 4 + (i as usize * 31) % 2000 };
                        let mut bytes = vec![0; len];
                        bytes[..4].copy_from_slice(&i.to_le_bytes());
                        isend(engine, bytes, 0, i % 5, SendMode::Standard)
                    })
                    .collect();
                finish_all(engine, &sends);
                return;
            }
            let mut next = [[0u32; 5]; 4];
            (0..4).for_each(|rank| (0..5).for_each(|tag| next[rank][tag] = tag as u32));
            for k in 0..3 * COUNT {
                let (source, tag) = match k % 4 {
                    0 => (None, None),
                    1 => ((1..4).find(|s| next[*s].iter().any(|i| *i < COUNT)), None),
                    2 => (None, (0..5).find(|t| (1..4).any(|s| next[s][*t as usize] < COUNT))),
                    _ => (None, None),
                };
                let (envelope, bytes) = recv(engine, 80_000, source, tag).unwrap();
                let i = u32::from_le_bytes(bytes[..4].try_into().unwrap());
                let expected = &mut next[envelope.source][envelope.tag as usize];
                assert_eq!(i, *expected, "from {}, tag {}", envelope.source, envelope.tag);
                if source.is_some() || tag.is_none() {
                    // Among the tags of one sender, too, the earliest goes first, unless a receive with a tag has skipped it.
                    let earlier = next[envelope.source].iter().any(|other| *other < i);
                    assert!(!earlier, "message {i} of rank {} before an earlier one", envelope.source);
                }
                next[envelope.source][envelope.tag as usize] += 5;
            }
        });
    }
}

#[test]
fn ten_thousand_operations_can_be_under_way() {
    const COUNT: usize = 10_000;
    ranks(2, Over::Rings, |engine| {
        let peer = 1 - engine.rank();
        let mut receives: Vec<_> = (0..COUNT).map(|i| irecv(engine, 64, Some(peer), Some(i as u32))).collect();
        let mode = |i| if i % 2 == 0 { SendMode::Standard } else { SendMode::Synchronous };
        let sends: Vec<_> =
            (0..COUNT).map(|i| isend(engine, pattern(i % 64, i as u64), peer, i as u32, mode(i))).collect();
        while let Some(receive) = receives.pop() {
            let i = receives.len();
            assert_eq!(receive.wait(engine).unwrap().1, pattern(i % 64, i as u64));
        }
        finish_all(engine, &sends);
    });
}

#[test]
fn ten_thousand_unexpected_messages_are_found_by_tag_in_any_order() {
    const COUNT: u32 = 10_000;
    ranks(2, Over::Rings, |engine| {
        if engine.rank() == 0 {
            let sends: Vec<_> = (0..COUNT).map(|i| isend(engine, vec![i as u8], 1, i, SendMode::Standard)).collect();
            finish_all(engine, &sends);
        } else {
            for i in (0..COUNT).rev() {
                assert_eq!(recv(engine, 1, Some(0), Some(i)).unwrap().1, [i as u8]);
            }
        }
    });
}

#[test]
fn a_sender_of_many_messages_holds_few_bytes_at_a_receiver_that_does_not_receive() {
    const COUNT: u32 = 20_000;
    for over in ALL {
        ranks(2, over, |engine| {
            if engine.rank() == 0 {
                let sends: Vec<_> =
                    (0..COUNT).map(|i| isend(engine, vec![i as u8; 1000], 1, 1, SendMode::Standard)).collect();
                let eager = sends.iter().filter(|send| send.is_over()).count();
                assert!(eager * 1000 <= CREDIT, "{eager} messages without a receive");
                assert!(engine.lock().links[1].out.queued() <= CREDIT + COUNT as usize * HEADER);
                send(engine, &[], 1, 2).ok();
                finish_all(engine, &sends);
            } else {
                // Offered, since there is no credit left; by then all has come.
                engine.wait_until(Some(LIMIT), || engine.probe(Some(0), CHANNEL, Some(2)).is_some());
                let held = engine.lock().links[0].held;
                assert!(held <= CREDIT && held > CREDIT / 2, "{held}");
                recv(engine, 0, Some(0), Some(2)).unwrap();
                for i in 0..COUNT {
                    assert_eq!(recv(engine, 1000, Some(0), Some(1)).unwrap().1, [i as u8; 1000]);
                }
                assert!(engine.lock().links[0].held <= CREDIT);
            }
        });
    }
}

#[test]
fn a_message_longer_than_its_buffer_is_truncated_and_the_next_one_whole() {
    ranks(2, Over::Tcp, |engine| {
        let me = engine.rank();
        let truncated = |source, sent, capacity| Err(Fault::Truncated { source, sent, capacity });
        for len in [10, 100_000] {
            for mode in [SendMode::Standard, SendMode::Synchronous] {
                for is_early in [true, false] {
                    let early = is_early.then(|| irecv(engine, 9, None, Some(1)));
                    // The receives are there, or the messages are, before anything else happens.
                    send(engine, &[], 1 - me, 3).unwrap();
                    recv(engine, 0, Some(1 - me), Some(3)).unwrap();
                    let first = isend(engine, pattern(len, 1), 1 - me, 1, mode);
                    let second = isend(engine, pattern(len, 2), 1 - me, 1, mode);
                    if !is_early {
                        engine.wait_until(Some(LIMIT), || engine.probe(None, CHANNEL, Some(1)).is_some());
                    }
                    let late = early.unwrap_or_else(|| irecv(engine, 9, None, Some(1)));
                    assert_eq!(late.wait(engine), truncated(1 - me, len, 9));
                    assert_eq!(recv(engine, len, None, Some(1)).unwrap().1, pattern(len, 2));
                    finish(engine, &first).unwrap();
                    finish(engine, &second).unwrap();
                }
            }
        }
        let to_self = isend(engine, vec![1; 10], me, 4, SendMode::Synchronous);
        assert_eq!(recv(engine, 9, Some(me), Some(4)), truncated(me, 10, 9));
        finish(engine, &to_self).unwrap();
    });
}

#[test]
fn a_synchronous_send_ends_when_its_receive_is_there_and_not_before() {
    ranks(2, Over::Rings, |engine| {
        if engine.rank() == 0 {
            for len in [0, 8, 100_000] {
                let first = isend(engine, pattern(len, 3), 1, 1, SendMode::Synchronous);
                // The peer answers this one only after the first has been with it.
                send(engine, &[], 1, 2).unwrap();
                recv(engine, 0, Some(1), Some(2)).unwrap();
                assert!(!first.is_over());
                send(engine, &[], 1, 3).unwrap();
                finish(engine, &first).unwrap();
            }
        } else {
            for len in [0, 8, 100_000] {
                recv(engine, 0, Some(0), Some(2)).unwrap();
                assert_eq!(engine.probe(None, CHANNEL, None).unwrap(), Envelope { source: 0, tag: 1, len });
                send(engine, &[], 0, 2).unwrap();
                recv(engine, 0, Some(0), Some(3)).unwrap();
                assert_eq!(recv(engine, len, None, Some(1)).unwrap().1, pattern(len, 3));
            }
        }
    });
}

#[test]
fn a_rank_sends_to_itself() {
    ranks(1, Over::Tcp, |engine| {
        for (len, mode) in [(8, SendMode::Standard), (8, SendMode::Synchronous), (1 << 20, SendMode::Standard)] {
            let receive = irecv(engine, len, Some(0), Some(1));
            finish(engine, &isend(engine, pattern(len, 1), 0, 1, mode)).unwrap();
            assert_eq!(receive.wait(engine).unwrap().1, pattern(len, 1));
            let send = isend(engine, pattern(len, 2), 0, 1, mode);
            assert_eq!(send.is_over(), mode == SendMode::Standard && len == 8);
            assert_eq!(recv(engine, len, None, None).unwrap().1, pattern(len, 2));
            finish(engine, &send).unwrap();
        }
        // However many: those beyond the credit wait for their receives.
        let sends: Vec<_> = (0..2000).map(|_| isend(engine, vec![1; 1000], 0, 1, SendMode::Standard)).collect();
        assert!(!sends[1999].is_over());
        (0..2000).for_each(|_| drop(recv(engine, 1000, None, None).unwrap()));
        assert!(sends.iter().all(Operation::is_over));
    });
}

#[test]
fn a_taken_message_is_nobody_elses() {
    ranks(2, Over::Tcp, |engine| {
        if engine.rank() == 0 {
            for len in [10, 100_000] {
                let sends = [1, 2, 3].map(|seed| isend(engine, pattern(len, seed), 1, 7, SendMode::Standard));
                finish_all(engine, &sends);
            }
        } else {
            for len in [10, 100_000] {
                engine.wait_until(Some(LIMIT), || engine.probe(None, CHANNEL, None).is_some());
                let taken = engine.take(None, CHANNEL, Some(7)).unwrap();
                assert_eq!(taken.envelope(), Envelope { source: 0, tag: 7, len });
                assert_eq!(recv(engine, len, None, None).unwrap().1, pattern(len, 2));
                let mut buffer = vec![0; len];
                // SAFETY: the buffer lives until the operation is over.
                let operation = unsafe { taken.recv(buffer.as_mut_ptr(), len) };
                finish(engine, &operation).unwrap();
                assert_eq!(buffer, pattern(len, 1));
                // Dropped, it is lost, and its sender does not wait for it.
                engine.wait_until(Some(LIMIT), || engine.probe(None, CHANNEL, None).is_some());
                drop(engine.take(Some(0), CHANNEL, None).unwrap());
            }
        }
    });
}

#[test]
fn what_has_not_matched_can_be_cancelled() {
    ranks(2, Over::Rings, |engine| {
        let me = engine.rank();
        // Of a tag that nobody sends.
        let receive = irecv(engine, 8, Some(1 - me), Some(9));
        assert!(receive.operation.cancel());
        assert!(!receive.operation.cancel());
        assert_eq!(receive.wait(engine), Err(Fault::Cancelled));
        let to_self = isend(engine, vec![1], me, 1, SendMode::Synchronous);
        assert!(to_self.cancel());
        if me == 0 {
            let cancelled = isend(engine, pattern(100_000, 1), 1, 1, SendMode::Standard);
            let sent = isend(engine, pattern(100_000, 2), 1, 1, SendMode::Standard);
            assert!(cancelled.cancel());
            assert_eq!(cancelled.result(), Some(Err(Fault::Cancelled)));
            send(engine, &[], 1, 2).unwrap();
            finish(engine, &sent).unwrap();
            assert!(!sent.cancel());
            // Taken out of matching there, so it is not given back.
            let taken = isend(engine, pattern(100_000, 3), 1, 3, SendMode::Standard);
            recv(engine, 0, Some(1), Some(4)).unwrap();
            assert!(!taken.cancel());
            send(engine, &[], 1, 5).unwrap();
            finish(engine, &taken).unwrap();
        } else {
            recv(engine, 0, Some(0), Some(2)).unwrap();
            assert_eq!(recv(engine, 100_000, None, Some(1)).unwrap().1, pattern(100_000, 2));
            engine.wait_until(Some(LIMIT), || engine.probe(None, CHANNEL, Some(3)).is_some());
            let taken = engine.take(None, CHANNEL, Some(3)).unwrap();
            send(engine, &[], 0, 4).unwrap();
            recv(engine, 0, Some(0), Some(5)).unwrap();
            drop(taken);
        }
    });
}

#[test]
fn memory_that_is_taken_back_is_not_used_any_more() {
    const LONG: usize = 30 << 20;
    for over in ALL {
        ranks(2, over, |engine| {
            if engine.rank() == 0 {
                let mut bytes = pattern(LONG, 1);
                for is_leaving in [false, true] {
                    // SAFETY: taken back before the bytes change.
                    let send = unsafe { engine.send(bytes.as_ptr(), LONG, 1, CHANNEL, 1, SendMode::Standard) };
                    if is_leaving {
                        // The receive is there, and the bytes are on their way.
                        recv(engine, 0, Some(1), Some(2)).unwrap();
                        engine.progress();
                    }
                    send.take_back();
                    assert!(matches!(send.result(), Some(Ok(_) | Err(Fault::Cancelled))));
                    bytes.fill(7);
                    self::send(engine, &[], 1, 3).unwrap();
                    bytes = pattern(LONG, 1);
                }
                finish(engine, &isend(engine, bytes, 1, 4, SendMode::Standard)).unwrap();
                self::send(engine, &[5], 1, 5).unwrap();
            } else {
                recv(engine, 0, Some(0), Some(3)).unwrap();
                assert!(recv(engine, LONG, None, Some(1)).unwrap().1 == pattern(LONG, 1));
                let receive = irecv(engine, LONG, None, Some(1));
                send(engine, &[], 0, 2).unwrap();
                assert!(receive.wait(engine).unwrap().1 == pattern(LONG, 1));
                recv(engine, 0, Some(0), Some(3)).unwrap();
                // A receive in the middle of its message.
                let mut receive = irecv(engine, LONG, None, Some(4));
                engine.wait_until(Some(LIMIT), || receive.buffer[0] != 0);
                receive.operation.take_back();
                receive.buffer.fill(0);
                assert_eq!(recv(engine, 1, None, Some(5)).unwrap().1, [5]);
                assert!(
                    receive.operation.result() != Some(Err(Fault::Cancelled)) || receive.buffer.iter().all(|b| *b == 0)
                );
            }
        });
    }
}

#[test]
fn ranks_that_dial_each_other_at_once_lose_nothing_and_keep_their_order() {
    for over in ALL {
        for _ in 0..10 {
            let start = std::sync::Barrier::new(5);
            ranks(5, over, |engine| {
                let me = engine.rank();
                start.wait();
                for i in 0..50u8 {
                    for peer in (0..5).filter(|peer| *peer != me) {
                        send(engine, &[i; 100], peer, 1).unwrap();
                    }
                }
                for i in 0..50u8 {
                    for peer in (0..5).filter(|peer| *peer != me) {
                        assert_eq!(recv(engine, 100, Some(peer), None).unwrap().1, [i; 100]);
                    }
                }
            });
        }
    }
}

#[test]
fn the_route_to_each_rank_is_known() {
    let routes = [(Over::Tcp, Route::Tcp), (Over::Unix, Route::UnixSocket), (Over::Rings, Route::SharedMemory)];
    for (over, route) in routes {
        ranks(3, over, |engine| {
            for rank in 0..3 {
                let expected = if rank == engine.rank() { Route::Itself } else { route };
                // Before there is a connection, and after.
                assert_eq!(engine.route(rank), expected);
                send(engine, &[1], rank, 1).unwrap();
                recv(engine, 1, Some(rank), Some(1)).unwrap();
                assert_eq!(engine.route(rank), expected);
            }
        });
    }
}

#[test]
fn all_links_can_stand_from_the_start() {
    let config = Config { connect_all: true, ..config() };
    // A rank that returns takes its links with it.
    let stood = std::sync::Barrier::new(4);
    ranks_with(4, Over::Tcp, &config, |engine| {
        let stands = || (0..4).all(|rank| rank == engine.rank() || engine.lock().links[rank].sends_on.is_some());
        let all_stand = engine.wait_until(Some(LIMIT), stands);
        stood.wait();
        assert!(all_stand);
    });
}

#[test]
fn threads_of_one_rank_send_and_receive_at_the_same_time() {
    ranks(3, Over::Rings, |engine| {
        thread::scope(|scope| {
            for t in 0..4u32 {
                scope.spawn(move || {
                    let _guard = Guard(engine);
                    for i in 0..200 {
                        for peer in 0..3 {
                            let len = if i % 20 == 0 { 100_000 } else { 100 };
                            let receive = irecv(engine, len, Some(peer), Some(t));
                            let send = isend(engine, pattern(len, i), peer, t, SendMode::Standard);
                            assert!(receive.wait(engine).unwrap().1 == pattern(len, i));
                            finish(engine, &send).unwrap();
                        }
                    }
                });
            }
        });
    });
}

/// Lets the other threads go when one fails.
struct Guard<'a>(&'a Arc<Engine>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.leave(false);
        }
    }
}

#[test]
fn a_waker_is_called_and_what_is_kept_is_let_go_when_the_operation_ends() {
    struct Flag(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    ranks(2, Over::Tcp, |engine| {
        let me = engine.rank();
        let flag = Arc::new(Flag(std::sync::atomic::AtomicUsize::new(0)));
        let count = || flag.0.load(std::sync::atomic::Ordering::SeqCst);
        let kept = Arc::new(());
        let receive = irecv(engine, 8, Some(1 - me), Some(1));
        receive.operation.set_waker(&flag.clone().into());
        receive.operation.keep(Box::new(kept.clone()));
        assert_eq!((count(), Arc::strong_count(&kept)), (0, 2));
        // The peer's message comes only now.
        send(engine, &[], 1 - me, 2).unwrap();
        recv(engine, 0, Some(1 - me), Some(2)).unwrap();
        send(engine, &[1; 8], 1 - me, 1).unwrap();
        // The helper may be the one that reads, and not have called yet.
        assert!(engine.wait_until(Some(LIMIT), || count() == 1 && Arc::strong_count(&kept) == 1));
        receive.operation.keep(Box::new(kept.clone()));
        receive.operation.set_waker(&flag.clone().into());
        assert_eq!((count(), Arc::strong_count(&kept)), (2, 1));
        receive.wait(engine).unwrap();
    });
}
