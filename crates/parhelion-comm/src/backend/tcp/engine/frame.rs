//! Frames: what is written on a wire.
//!
//! A header of [`HEADER`] bytes, little-endian: kind (1), zero (3), tag (4), context (8), lane (4), zero (4), length (8),
//! id (8), at (8). Only [`Kind::Eager`], [`Kind::Data`] and [`Kind::Ring`] are followed by bytes, `length` of them. Fields that a
//! kind does not use are 0.

use super::operation::Channel;

/// Bytes of a header.
pub(super) const HEADER: usize = 48;
/// The longest eager message that is accepted, whatever the peer's settings.
pub(super) const MAX_EAGER: u64 = 1 << 20;
/// The longest piece of an offered message.
pub(super) const MAX_PIECE: u64 = 4 << 20;
/// What describes a ring.
pub(super) const RING_BYTES: usize = 13 * 8;
/// The longest message: what an allocation can be.
pub(super) const MAX_MESSAGE: u64 = isize::MAX as u64;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A message and its bytes.
    Eager = 1,
    /// A message of `length` bytes that waits at the sender under `id`; in its memory `at` a place, if that is not 0.
    Offer,
    /// The receive for the peer's offer `id` is there; `length` is the message's, or 0 where its bytes are not wanted.
    Accept,
    /// The next `length` bytes of the sender's offer `id`.
    Data,
    /// The sender of offer `id` would have it back.
    Retract,
    /// Offer `id` has been given back, since its sender has asked for it or since nobody will receive it.
    Returned,
    /// Offer `id` has a receive and is not given back.
    Kept,
    /// `length` bytes of eager messages have been received.
    Credit,
    /// The peer starts no more messages and expects none; `tag` says how it ended.
    Goodbye,
    /// All frames up to the peer's goodbye have been seen.
    Farewell,
    /// Rank `id` has ended; `tag` says how. From and to rank 0.
    Ended,
    /// The answer to a rank that told its own end.
    Noted,
    /// Nothing, but a sign of life.
    Ping,
    /// The sender offers a ring for its frames. How to find it follows.
    Ring,
    /// The ring can be used.
    RingTaken,
    /// The ring cannot be reached.
    RingRefused,
    /// The last frame of the sender on this wire but signs of life: the others come through its ring.
    Switch,
    /// To rank 0: the sender's program is over, and what it has begun goes on. From rank 0: the programs of all are over.
    Over,
}

const KINDS: [Kind; 18] = [
    Kind::Eager,
    Kind::Offer,
    Kind::Accept,
    Kind::Data,
    Kind::Retract,
    Kind::Returned,
    Kind::Kept,
    Kind::Credit,
    Kind::Goodbye,
    Kind::Farewell,
    Kind::Ended,
    Kind::Noted,
    Kind::Ping,
    Kind::Ring,
    Kind::RingTaken,
    Kind::RingRefused,
    Kind::Switch,
    Kind::Over,
];

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Flaw {
    Kind,
    Zeros,
    Tag,
    Channel,
    Length,
    Id,
    Credit,
    Goodbye,
    Ring,
}

impl Flaw {
    pub(super) const ALL: [Flaw; 9] = [
        Flaw::Kind,
        Flaw::Zeros,
        Flaw::Tag,
        Flaw::Channel,
        Flaw::Length,
        Flaw::Id,
        Flaw::Credit,
        Flaw::Goodbye,
        Flaw::Ring,
    ];

    /// What follows "rank 3 has".
    pub(super) fn how(self) -> &'static str {
        match self {
            Flaw::Kind => "sent a frame of an unknown kind",
            Flaw::Zeros => "sent a frame in which something is set that must be zero",
            Flaw::Tag => "sent a frame with a wrong tag",
            Flaw::Channel => "sent a frame with a wrong channel",
            Flaw::Length => "sent a frame with a wrong length",
            Flaw::Id => "sent a frame with a wrong id",
            Flaw::Credit => "sent more than it was given credit for",
            Flaw::Goodbye => "sent a message after its goodbye",
            Flaw::Ring => "misused the memory that it shares",
        }
    }
}

/// A header, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) tag: u32,
    pub(super) channel: Channel,
    pub(super) length: u64,
    pub(super) id: u64,
    pub(super) at: u64,
}

impl Frame {
    /// A frame without a message.
    pub(super) fn control(kind: Kind, length: u64, id: u64) -> Self {
        Frame { kind, tag: 0, channel: Channel { context: 0, lane: 0 }, length, id, at: 0 }
    }

    /// A frame that says how a rank ended.
    pub(super) fn end(kind: Kind, rank: usize, code: u32) -> Self {
        Frame { tag: code, ..Frame::control(kind, 0, rank as u64) }
    }

    /// How many bytes follow.
    pub(super) fn payload(&self) -> usize {
        match self.kind {
            Kind::Eager | Kind::Data | Kind::Ring => self.length as usize,
            _ => 0,
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.channel.context.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.channel.lane.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    /// What `bytes` say, checked against the hard limits.
    ///
    /// # Errors
    /// What makes them no frame.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, Flaw> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let kind = *usize::from(bytes[0]).checked_sub(1).and_then(|number| KINDS.get(number)).ok_or(Flaw::Kind)?;
        let limit = match kind {
            Kind::Eager => MAX_EAGER,
            Kind::Data => MAX_PIECE,
            Kind::Ring => RING_BYTES as u64,
            Kind::Offer | Kind::Accept | Kind::Credit => MAX_MESSAGE,
            _ => 0,
        };
        let frame = Frame {
            kind,
            tag: word(4),
            channel: Channel { context: long(8), lane: word(16) },
            length: long(24),
            id: long(32),
            at: long(40),
        };
        let is_message = matches!(kind, Kind::Eager | Kind::Offer);
        let has_tag = is_message || matches!(kind, Kind::Goodbye | Kind::Ended);
        if bytes[1..4] != [0; 3] || word(20) != 0 || kind != Kind::Offer && frame.at != 0 {
            Err(Flaw::Zeros)
        } else if frame.length > limit {
            Err(Flaw::Length)
        } else if !is_message && frame.channel != (Channel { context: 0, lane: 0 }) {
            Err(Flaw::Channel)
        } else if !has_tag && frame.tag != 0 {
            Err(Flaw::Tag)
        } else {
            Ok(frame)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_is_found_under_its_number() {
        for (i, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, i + 1);
        }
    }

    #[test]
    fn lengths_beyond_32_bits_are_kept_and_beyond_an_allocation_refused() {
        let offer = |length| Frame { tag: 7, ..Frame::control(Kind::Offer, length, u64::MAX) };
        for length in [0, 1 << 32, (5 << 32) + 3, MAX_MESSAGE] {
            assert_eq!(Frame::decode(&offer(length).encode()), Ok(offer(length)));
        }
        assert_eq!(Frame::decode(&offer(MAX_MESSAGE + 1).encode()), Err(Flaw::Length));
        assert_eq!(Frame::decode(&Frame::control(Kind::Eager, MAX_EAGER + 1, 0).encode()), Err(Flaw::Length));
        assert_eq!(Frame::decode(&Frame::control(Kind::Data, MAX_PIECE + 1, 0).encode()), Err(Flaw::Length));
        assert_eq!(Frame::decode(&Frame::control(Kind::Ping, 1, 0).encode()), Err(Flaw::Length));
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_what_was_encoded(bytes: [u8; HEADER], kind in 0u8..20) {
            let mut bytes = bytes;
            bytes[0] = kind;
            bytes[1..4].fill(0);
            bytes[20..24].fill(0);
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(frame.encode(), bytes);
                prop_assert!(frame.payload() as u64 <= MAX_PIECE);
            }
        }
    }
}
