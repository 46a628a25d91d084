//! What the fuzzer of frames calls (see `fuzz/`).

use super::frame::{Frame, HEADER, MAX_PIECE};

/// Whatever comes, what is read is what would be written, and says that a bounded number of bytes follows.
pub fn frame(bytes: &[u8]) {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return };
    if let Ok(frame) = Frame::decode(header) {
        assert_eq!(frame.encode(), *header);
        assert!(frame.payload() as u64 <= MAX_PIECE);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_seeds_of_the_fuzzers_are_borne() {
        for (target, bear) in [("frame", frame as fn(&[u8]))] {
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
