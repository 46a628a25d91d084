//! Messages arrive, matched as they should be.

use super::*;

const BOTH: [Over; 2] = [Over::Tcp, Over::Unix];

#[test]
fn messages_of_every_length_arrive_between_all_pairs() {
    let lengths = [0, 1, 8, 4096, 65536, 65537, 300_000, (4 << 20) + 1, 9 << 20];
    for over in BOTH {
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
    for over in BOTH {
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
