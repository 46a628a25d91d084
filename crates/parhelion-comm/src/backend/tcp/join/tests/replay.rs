//! A stranger that has heard ranks meet, and says the same again.

use super::*;
use crate::backend::tcp::tap::{GREETING, PROOF, Tap};

fn seat(rank: usize, at: SocketAddr) -> Seat {
    Seat::for_test(rank, 2, at.to_string().parse().unwrap(), &key())
}

/// Two ranks meet, one of them by a tap, which heard all of it; and where rank 0 listens.
fn meet_by_tap() -> (Tap, TcpListener) {
    let mut there = seats(2);
    let listener = there[0].listener.as_ref().unwrap().try_clone().unwrap();
    let tap = Tap::before(address(&listener));
    there[1] = seat(1, tap.at);
    check(meet(there, &config(HANG)).into_iter().map(Result::unwrap).collect());
    (tap, listener)
}

#[test]
fn what_a_rank_said_is_refused_at_the_next_meeting_and_changes_nothing() {
    let (tap, listener) = meet_by_tap();
    let at = address(&listener);
    let mut host = seat(0, at);
    host.listener = Some(listener);
    let waits = thread::spawn(move || meet(vec![host], &config(HANG)));
    for _ in 0..3 {
        assert_eq!(tap.replay(at), [], "after a challenge a stranger hears nothing");
    }
    // Rank 1 has not come yet, and does not come twice.
    let mut met = meet(vec![seat(1, at)], &config(HANG));
    met.extend(waits.join().unwrap());
    check(met.into_iter().map(Result::unwrap).collect());
}

#[test]
fn what_rank_0_said_is_no_answer_to_another_rank() {
    let (tap, _) = meet_by_tap();
    let said = tap.heard(false);
    assert!(said.len() > GREETING + PROOF, "rank 0 has proved itself and gone on");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = address(&listener);
    let liar = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.read_exact(&mut [0; GREETING]).unwrap();
        stream.write_all(&said[..GREETING]).unwrap();
        stream.read_exact(&mut [0; PROOF]).unwrap();
        stream.write_all(&said[GREETING..]).unwrap();
        // Whoever comes again finds nobody.
        drop(listener);
        let mut more = Vec::new();
        let _ = stream.read_to_end(&mut more);
        more
    });
    let [text] = refusals(vec![seat(1, at)], &config(WAIT)).try_into().unwrap();
    assert!(text.contains("gave a wrong proof: it is not rank 0"), "{text}");
    assert_eq!(liar.join().unwrap(), [], "it is told nothing");
}
