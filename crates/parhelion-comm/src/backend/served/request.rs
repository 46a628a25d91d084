//! [`Request`]: what is asked of a part's server, as the bytes of a message.

use crate::op::Op;

/// The most bytes of elements in one message, unless one element is more.
pub(super) const PIECE: usize = 128 << 10;

/// Bytes before the elements: a cache line, so that these are aligned as the message is.
pub(super) const HEADER: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// With the elements.
    Put,
    /// Answered with the elements.
    Get,
    /// With the elements.
    Accumulate,
    /// With the elements; answered with those before.
    GetAccumulate,
    /// With what is expected and what is new; answered with the element before.
    CompareAndSwap,
    /// Answered at once.
    Flush,
    /// Answered when the lock is held.
    LockShared,
    /// Likewise.
    LockExclusive,
    /// Answered at once.
    Unlock,
}

impl Kind {
    const ALL: [Kind; 9] = {
        use Kind::*;
        [Put, Get, Accumulate, GetAccumulate, CompareAndSwap, Flush, LockShared, LockExclusive, Unlock]
    };
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// The place of the operator among [`Op::ALL`].
    pub(super) op: u8,
    /// Where in the part, and how much of it.
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

impl Request {
    pub(super) fn new(kind: Kind, offset: usize, bytes: usize) -> Self {
        Request { kind, op: 0, offset, bytes }
    }

    /// The message, with the bytes that belong to it.
    pub(super) fn encode(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + parts.iter().map(|part| part.len()).sum::<usize>());
        message.resize(HEADER, 0);
        message[0] = self.kind as u8;
        message[1] = self.op;
        message[8..16].copy_from_slice(&(self.offset as u64).to_le_bytes());
        message[16..24].copy_from_slice(&(self.bytes as u64).to_le_bytes());
        parts.iter().for_each(|part| message.extend_from_slice(part));
        message
    }

    /// The request of a message; none if it is none, or if the bytes that belong to it are not there.
    pub(super) fn decode(message: &[u8]) -> Option<(Request, &[u8])> {
        let (header, data) = message.split_at_checked(HEADER)?;
        let word = |at: usize| usize::try_from(u64::from_le_bytes(header[at..at + 8].try_into().ok()?)).ok();
        let kind = *Kind::ALL.get(usize::from(header[0]))?;
        let request = Request { kind, op: header[1], offset: word(8)?, bytes: word(16)? };
        let with = match kind {
            Kind::Put | Kind::Accumulate | Kind::GetAccumulate => request.bytes,
            Kind::CompareAndSwap => request.bytes.checked_mul(2)?,
            Kind::Get | Kind::Flush | Kind::LockShared | Kind::LockExclusive | Kind::Unlock => 0,
        };
        (data.len() == with).then_some((request, data))
    }

    /// The operator.
    pub(super) fn operator(&self) -> Option<Op> {
        Op::ALL.get(usize::from(self.op)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_as_they_went() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            let request = Request { op: 3, ..Request::new(kind, usize::MAX - 7, 2) };
            let data: &[u8] = match kind {
                Kind::Put | Kind::Accumulate | Kind::GetAccumulate => &[1, 2],
                Kind::CompareAndSwap => &[1, 2, 3, 4],
                _ => &[],
            };
            let message = request.encode(&[data]);
            assert_eq!(Request::decode(&message), Some((request, data)));
            assert_eq!(Request::decode(&message[..message.len() - 1]), None, "cut short");
            assert_eq!(Request::decode(&[&message[..], &[0]].concat()), None, "too long");
        }
    }

    #[test]
    fn what_is_no_request_is_none() {
        let mut message = Request::new(Kind::Flush, 0, 0).encode(&[]);
        message[0] = Kind::ALL.len() as u8;
        assert_eq!(Request::decode(&message), None);
        assert_eq!(Request::decode(&[]), None);
    }
}
