//! What fuzzers of the meeting call (see `fuzz/`): whatever comes, nothing panics, nothing is believed, nothing is read that
//! would not be written.

use super::handshake::Handshake;
use super::key::JobKey;
use super::message::{HEAD, Message};

/// Both ends of a handshake against somebody who does not know the key. The first byte says whether the hello is a genuine one, the
/// second how the rest is cut.
pub fn handshake(bytes: &[u8]) {
    let [genuine, cut, rest @ ..] = bytes else { return };
    let key = JobKey::new(b"a secret of sixteen bytes or more", "job");
    for mut end in [Handshake::dial(&key, 1, 3, 2), Handshake::answer(&key, 2, 3)] {
        let mut rest = rest;
        if genuine % 2 == 1 {
            let other = Handshake::dial(&key, 1, 3, 2);
            // The dialler is shown its like.
            let _ = end.take(other.to_send());
        }
        while end.wanted() > 0 && !rest.is_empty() {
            let n = end.wanted().min(rest.len()).min(usize::from(*cut).max(1));
            match end.take(&rest[..n]) {
                Ok(rank) => assert_eq!(rank, None, "believed"),
                Err(refusal) => {
                    assert!(refusal.is_of_stranger());
                    break;
                }
            }
            assert!(end.to_send().len() <= 76);
            rest = &rest[n..];
        }
    }
}

/// The messages of the meeting, in a job of as many ranks as the first byte says.
pub fn roster(bytes: &[u8]) {
    let [size, bytes @ ..] = bytes else { return };
    let Some((head, body)) = bytes.split_first_chunk::<HEAD>() else { return };
    if let Some(message) = Message::decode(head, body, usize::from(*size)) {
        assert_eq!(message.encode(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_seeds_of_the_fuzzers_are_borne() {
        for (target, bear) in [("handshake", handshake as fn(&[u8])), ("roster", roster)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
            let seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
                .expect("the seeds are part of the repository")
                .map(|seed| std::fs::read(seed.expect("listed").path()).expect("a file"))
                .collect();
            assert!(seeds.len() > 5, "{target}");
            for seed in seeds {
                bear(&seed);
                // And cut anywhere.
                (0..seed.len()).for_each(|end| bear(&seed[..end]));
            }
        }
    }
}
