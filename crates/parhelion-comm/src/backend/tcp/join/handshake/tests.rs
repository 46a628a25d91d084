use proptest::prelude::*;

use super::*;

const LENGTHS: [usize; 4] = [GREETING, GREETING, PROOF, PROOF];

fn key() -> JobKey {
    JobKey::new(b"a secret of sixteen bytes or more", "job")
}

/// Both ends of a connection, and every message that went over it.
struct Pair {
    dialler: Handshake,
    answerer: Handshake,
    said: Vec<Vec<u8>>,
}

type End = Result<Option<usize>, Refusal>;

impl Pair {
    /// Rank 1 of 3 calls rank 2 of 3.
    fn new() -> Self {
        Pair::of(Handshake::dial(&key(), 1, 3, 2), Handshake::answer(&key(), 2, 3))
    }

    fn of(dialler: Handshake, answerer: Handshake) -> Self {
        Pair { dialler, answerer, said: Vec::new() }
    }

    /// Lets the ends talk. `on_the_way` may change a message, which is known by its number. What each end came to; one that waits
    /// for ever has come to nothing.
    fn talk(&mut self, on_the_way: impl Fn(usize, &mut Vec<u8>)) -> (End, End) {
        let mut ends: [End; 2] = [Ok(None), Ok(None)];
        for number in 0..LENGTHS.len() {
            let dials = number % 2 == 0;
            let (from, to) =
                if dials { (&mut self.dialler, &mut self.answerer) } else { (&mut self.answerer, &mut self.dialler) };
            let mut message = from.to_send().to_vec();
            from.sent(message.len());
            on_the_way(number, &mut message);
            self.said.push(message.clone());
            if to.wanted() < message.len() {
                continue;
            }
            let end = &mut ends[usize::from(dials)];
            // Who has refused does not listen any more.
            if end.is_ok() && !message.is_empty() {
                *end = to.take(&message);
            }
        }
        let [dialler, answerer] = ends;
        (dialler, answerer)
    }
}

#[test]
fn ranks_of_one_job_know_each_other() {
    let mut pair = Pair::new();
    assert_eq!(pair.talk(|_, _| ()), (Ok(Some(2)), Ok(Some(1))));
    assert_eq!(pair.said.iter().map(Vec::len).collect::<Vec<_>>(), LENGTHS);
    assert_eq!((pair.dialler.wanted(), pair.answerer.wanted()), (0, 0));
    assert!(pair.dialler.to_send().is_empty() && pair.answerer.to_send().is_empty());
}

#[test]
fn nothing_is_said_twice() {
    let (mut first, mut second) = (Pair::new(), Pair::new());
    assert_eq!(first.talk(|_, _| ()), second.talk(|_, _| ()));
    for (a, b) in first.said.iter().zip(&second.said) {
        assert_ne!(a, b);
    }
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    for (number, length) in LENGTHS.into_iter().enumerate() {
        for bit in 0..8 * length {
            let ends = Pair::new().talk(|at, message| {
                if at == number && !message.is_empty() {
                    message[bit / 8] ^= 1 << (bit % 8);
                }
            });
            assert_ne!(ends.0, Ok(Some(2)), "bit {bit} of message {number}");
            // Nobody tells the answerer that its answer was changed; it finds the connection closed.
            assert_eq!(ends.1 == Ok(Some(1)), number == 3, "bit {bit} of message {number}");
            let refusal = ends.1.err().or(ends.0.err()).unwrap();
            assert!(refusal.is_of_stranger(), "what is not proved is not believed: {refusal:?}");
        }
    }
}

#[test]
fn another_key_is_refused_and_learns_nothing() {
    for other in [JobKey::new(b"another secret of sixteen bytes", "job"), key().session(&[0; 32])] {
        let mut pair = Pair::of(Handshake::dial(&other, 1, 3, 2), Handshake::answer(&key(), 2, 3));
        assert_eq!(pair.talk(|_, _| ()), (Ok(None), Err(Refusal::WrongProof)));
        assert!(pair.said[3].is_empty(), "an answer to a stranger");
        // The other way round, whoever was called does not get a word about why.
        let mut pair = Pair::of(Handshake::dial(&key(), 1, 3, 2), Handshake::answer(&other, 2, 3));
        assert_eq!(pair.talk(|_, _| ()), (Ok(None), Err(Refusal::WrongProof)));
    }
}

#[test]
fn an_answerer_without_the_key_is_refused() {
    let mut dialler = Handshake::dial(&key(), 1, 3, 2);
    let mut liar = Handshake::answer(&JobKey::new(b"another secret of sixteen bytes", "job"), 2, 3);
    liar.take(dialler.to_send()).unwrap();
    dialler.take(liar.to_send()).unwrap();
    assert_eq!(dialler.take(&[7; PROOF]), Err(Refusal::WrongProof));
}

#[test]
fn garbage_is_not_answered() {
    let mut answerer = Handshake::answer(&key(), 2, 3);
    assert_eq!(answerer.take(&[b'G'; GREETING]), Err(Refusal::Garbage));
    assert!(answerer.to_send().is_empty());
}

#[test]
fn what_was_said_before_is_no_proof() {
    let mut pair = Pair::new();
    assert_eq!(pair.talk(|_, _| ()), (Ok(Some(2)), Ok(Some(1))));
    let [hello, challenge, proof, answer] = &pair.said[..] else { panic!("four messages") };
    let mut answerer = Handshake::answer(&key(), 2, 3);
    assert_eq!(answerer.take(hello), Ok(None));
    assert_eq!(answerer.take(proof), Err(Refusal::WrongProof));
    let mut dialler = Handshake::dial(&key(), 1, 3, 2);
    assert_eq!(dialler.take(challenge), Ok(None));
    assert_eq!(dialler.take(answer), Err(Refusal::WrongProof));
}

#[test]
fn a_rank_is_not_taken_in_by_its_own_words() {
    // What it says comes straight back.
    let mut dialler = Handshake::dial(&key(), 1, 3, 2);
    let hello = dialler.to_send().to_vec();
    assert_eq!(dialler.take(&hello), Err(Refusal::Garbage));
    let mut dialler = Handshake::dial(&key(), 1, 3, 2);
    let mut answerer = Handshake::answer(&key(), 2, 3);
    answerer.take(dialler.to_send()).unwrap();
    dialler.take(answerer.to_send()).unwrap();
    let proof = dialler.to_send().to_vec();
    assert_eq!(dialler.take(&proof), Err(Refusal::WrongProof));
    // Or goes to another door of its own.
    let ends = Pair::of(Handshake::dial(&key(), 1, 3, 2), Handshake::answer(&key(), 1, 3)).talk(|_, _| ());
    let refusal = Err(Refusal::Rank { wanted: 2, found: 1 });
    assert_eq!(ends, (refusal.clone(), refusal));
    let ends = Pair::of(Handshake::dial(&key(), 1, 3, 1), Handshake::answer(&key(), 1, 3)).talk(|_, _| ());
    assert!(ends.0.is_err() && ends.1.is_err());
}

#[test]
fn ranks_that_do_not_fit_hear_why_on_both_sides() {
    let answerer = || Handshake::answer(&key(), 2, 3);
    let ends = Pair::of(Handshake::dial(&key(), 1, 4, 2), answerer()).talk(|_, _| ());
    assert_eq!(ends, (Err(Refusal::Size { ours: 4, theirs: 3 }), Err(Refusal::Size { ours: 3, theirs: 4 })));

    let job = JobKey::new(b"a secret of sixteen bytes or more", "another job");
    let ends = Pair::of(Handshake::dial(&job, 1, 3, 2), answerer()).talk(|_, _| ());
    assert_eq!(ends, (Err(Refusal::Job), Err(Refusal::Job)));

    let ends = Pair::of(Handshake::dial(&key(), 1, 3, 0), answerer()).talk(|_, _| ());
    assert_eq!(ends, (Err(Refusal::Rank { wanted: 0, found: 2 }), Err(Refusal::Rank { wanted: 0, found: 2 })));

    let mut newer = Handshake::dial(&key(), 1, 3, 2);
    newer.mine.version = 9;
    newer.hello = newer.mine.encode();
    newer.output = newer.hello.to_vec();
    let ends = Pair::of(newer, answerer()).talk(|_, _| ());
    let ours = Refusal::Version { ours: VERSION, theirs: 9 };
    assert_eq!(
        ours.to_string(),
        "it speaks version 9 of the protocol and this process version 2; use one build for all"
    );
    assert_eq!(ends, (Err(Refusal::Version { ours: 9, theirs: VERSION }), Err(ours)));

    let ends = Pair::of(Handshake::dial(&key(), 7, 3, 2), answerer()).talk(|_, _| ());
    assert!(ends.0.is_err() && ends.1.is_err(), "rank 7 of 3: {ends:?}");
}

proptest! {
    #[test]
    fn it_does_not_matter_how_bytes_are_cut(cuts in prop::collection::vec(1usize..40, 1..60)) {
        let (mut dialler, mut answerer) = (Handshake::dial(&key(), 1, 3, 2), Handshake::answer(&key(), 2, 3));
        let mut ends = [None, None];
        for cut in cuts.iter().cycle().take(400) {
            for end in [1, 0] {
                let (from, to) = if end == 1 { (&mut dialler, &mut answerer) } else { (&mut answerer, &mut dialler) };
                let n = from.to_send().len().min(*cut).min(to.wanted());
                let came = to.take(&from.to_send()[..n]).unwrap();
                from.sent(n);
                ends[end] = ends[end].or(came);
            }
        }
        prop_assert_eq!(ends, [Some(2), Some(1)]);
    }

    #[test]
    fn whatever_comes_is_bounded_and_never_believed(bytes in prop::collection::vec(any::<u8>(), 0..400), genuine in any::<bool>()) {
        for mut handshake in [Handshake::dial(&key(), 1, 3, 2), Handshake::answer(&key(), 2, 3)] {
            let mut rest = &bytes[..];
            if genuine && handshake.step == Step::Hello {
                let hello = Handshake::dial(&key(), 1, 3, 2).to_send().to_vec();
                prop_assert_eq!(handshake.take(&hello), Ok(None));
            }
            loop {
                let wanted = handshake.wanted();
                prop_assert!(wanted <= GREETING && handshake.to_send().len() <= GREETING);
                let (piece, behind) = rest.split_at(wanted.min(rest.len()));
                rest = behind;
                match handshake.take(piece) {
                    Ok(None) if piece.is_empty() || rest.is_empty() => break,
                    Ok(None) => {}
                    Ok(Some(rank)) => prop_assert!(false, "believed to be rank {rank}"),
                    Err(refusal) => {
                        prop_assert!(refusal.is_of_stranger());
                        break;
                    }
                }
            }
        }
    }
}
