//! What ranks that have proved themselves say to each other until they have met: one kind from guest to host, three back.

use std::time::Duration;

use super::member::Member;

/// Bytes before every message: its kind, and its length.
pub(super) const HEAD: usize = 5;
/// Bytes of the longest text.
const TEXT: usize = 4096;
/// How many ranks are named as missing.
const NAMED: usize = 1024;
/// Bytes of the number that every meeting has.
const NONCE: usize = 32;
/// Bytes of a time.
const TIME: usize = 8;
/// Bytes of the longest message from guest to host.
pub(super) const INTRODUCTION: usize = HEAD + TIME + Member::BYTES;

/// A message of the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// To the host: how long this guest takes silence for life, and where it can be reached.
    Here(Duration, Member),
    /// To a guest: these have not come yet (the first of them, if they are many).
    Waiting(Vec<usize>),
    /// To a guest: nobody meets, and why.
    Failed(String),
    /// To a guest: all are here. The number of this meeting, how long all of them take silence for life, and where each rank can
    /// be reached.
    Roster([u8; NONCE], Duration, Vec<Member>),
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Message::Here(heartbeat, member) => (1, [&time(*heartbeat)[..], &member.encode()].concat()),
            Message::Waiting(ranks) => {
                let words = ranks.iter().take(NAMED).map(|&rank| (rank as u32).to_le_bytes());
                (2, words.collect::<Vec<_>>().concat())
            }
            Message::Failed(text) => {
                let end = (0..=text.len().min(TEXT)).rev().find(|&end| text.is_char_boundary(end));
                (3, text.as_bytes()[..end.unwrap_or(0)].to_vec())
            }
            Message::Roster(nonce, heartbeat, members) => {
                let members = members.iter().flat_map(Member::encode);
                (4, nonce.iter().copied().chain(time(*heartbeat)).chain(members).collect())
            }
        };
        let length = u32::try_from(body.len()).expect("a roster that can be numbered");
        [&[kind], &length.to_le_bytes()[..], &body].concat()
    }

    /// The length of the body behind `head`, in a job of `size` ranks. None for what no message has.
    pub(super) fn length(head: &[u8; HEAD], size: usize) -> Option<usize> {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let fits = match head[0] {
            1 => length == TIME + Member::BYTES,
            2 => length <= 4 * NAMED && length.is_multiple_of(4),
            3 => length <= TEXT,
            4 => length == size.saturating_mul(Member::BYTES).saturating_add(NONCE + TIME),
            _ => false,
        };
        fits.then_some(length)
    }

    /// The message of this head and body, in a job of `size` ranks. None for what is no message.
    pub(super) fn decode(head: &[u8; HEAD], body: &[u8], size: usize) -> Option<Self> {
        if Self::length(head, size)? != body.len() {
            return None;
        }
        Some(match head[0] {
            1 => {
                let (heartbeat, member) = body.split_first_chunk()?;
                Message::Here(Duration::from_nanos(u64::from_le_bytes(*heartbeat)), Member::decode(member)?)
            }
            2 => {
                let (words, _) = body.as_chunks::<4>();
                let ranks: Vec<usize> = words.iter().map(|&word| u32::from_le_bytes(word) as usize).collect();
                let ordered = ranks.is_sorted_by(|a, b| a < b) && ranks.last().is_none_or(|&last| last < size);
                ordered.then_some(Message::Waiting(ranks))?
            }
            3 => Message::Failed(str::from_utf8(body).ok()?.to_owned()),
            _ => {
                let (nonce, rest) = body.split_first_chunk()?;
                let (heartbeat, members) = rest.split_first_chunk()?;
                let members = members.chunks(Member::BYTES).map(Member::decode).collect::<Option<_>>()?;
                Message::Roster(*nonce, Duration::from_nanos(u64::from_le_bytes(*heartbeat)), members)
            }
        })
    }
}

/// A time in nanoseconds; one of centuries is the longest.
fn time(time: Duration) -> [u8; TIME] {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests;
