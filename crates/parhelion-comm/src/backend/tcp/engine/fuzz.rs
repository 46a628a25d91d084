//! What the fuzzer of frames calls (see `fuzz/`).

use super::frame::{Frame, HEADER, MAX_PIECE};

/// Whatever comes, what is read is what would be written, and says that a bounded number of bytes follows.
pub fn frame(bytes: &[u8]) {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return };
    if let Some(frame) = Frame::decode(header) {
        assert_eq!(frame.encode(), *header);
        assert!(frame.payload() as u64 <= MAX_PIECE);
    }
}
