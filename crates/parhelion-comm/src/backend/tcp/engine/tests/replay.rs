//! A stranger that has heard a rank prove itself to another one, and says the same again at every door.

use std::sync::Barrier;

use super::*;
use crate::backend::tcp::tap::Tap;

#[test]
fn a_recorded_connection_opens_no_door_and_changes_nothing() {
    let _watch = Watch::new();
    let mut all = joined(3, Over::Tcp, &config());
    let doors: Vec<_> = all[0].roster.iter().map(|member| member.tcp).collect();
    // Rank 1 calls rank 2 through it.
    let tap = Tap::before(doors[2]);
    all[1].roster[2].tcp = tap.at;
    let (recorded, replayed) = (Barrier::new(3), Barrier::new(3));
    thread::scope(|scope| {
        let (tap, doors, recorded, replayed) = (&tap, &doors, &recorded, &replayed);
        for joined in all {
            scope.spawn(move || {
                let engine = Engine::start(joined, &config()).unwrap();
                let guard = Leave(engine.clone());
                match engine.rank() {
                    1 => send(&engine, b"once", 2, 1).unwrap(),
                    2 => recv(&engine, 4, Some(1), Some(1)).unwrap().0,
                    _ => Envelope { source: 0, tag: 0, len: 0 },
                };
                recorded.wait();
                if engine.rank() == 0 {
                    // The door it was for, two others, and all of them again.
                    for door in doors.iter().rev().chain(doors) {
                        assert_eq!(tap.replay(*door), [], "after a challenge a stranger hears nothing");
                    }
                }
                replayed.wait();
                let me = engine.rank();
                for peer in (0..3).filter(|peer| *peer != me) {
                    send(&engine, &[me as u8], peer, 2).unwrap();
                }
                for peer in (0..3).filter(|peer| *peer != me) {
                    assert_eq!(recv(&engine, 1, Some(peer), Some(2)).unwrap().1, [peer as u8]);
                }
                assert_eq!(engine.probe(None, CHANNEL, Some(1)), None, "a message came twice");
                std::mem::forget(guard);
                engine.leave(true);
            });
        }
    });
}
