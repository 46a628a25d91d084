use std::net::SocketAddr;

use proptest::prelude::*;

use super::super::member::{HostId, UnixName};
use super::*;

fn member(v6: bool, port: u16, unix: bool) -> Member {
    let ip = if v6 { "2001:db8::7".parse().unwrap() } else { "10.1.2.3".parse().unwrap() };
    let unix = HostId::here().filter(|_| unix).map(|host| (host, UnixName::new()));
    Member { tcp: SocketAddr::new(ip, port), unix }
}

fn read(bytes: &[u8], size: usize) -> Option<Message> {
    let (head, body) = bytes.split_first_chunk()?;
    Message::decode(head, body, size)
}

#[test]
fn messages_are_read_as_they_were_written() {
    let roster: Vec<Member> = (0..5).map(|i| member(i % 2 == 0, 100 + i, i > 2)).collect();
    for message in [
        Message::Here(Duration::from_millis(2500), roster[4].clone()),
        Message::Waiting(vec![]),
        Message::Waiting(vec![1, 4]),
        Message::Failed("rank 3 came twice".to_owned()),
        Message::Roster([7; NONCE], Duration::from_secs(30), roster),
    ] {
        assert_eq!(read(&message.encode(), 5), Some(message));
    }
}

#[test]
fn what_is_too_long_is_cut_by_the_writer_and_refused_by_the_reader() {
    let Some(Message::Failed(text)) = read(&Message::Failed("é".repeat(5000)).encode(), 2) else { panic!("no text") };
    assert_eq!(text, "é".repeat(TEXT / 2));
    let Some(Message::Waiting(ranks)) = read(&Message::Waiting((1..5000).collect()).encode(), 5000) else {
        panic!("no ranks")
    };
    assert_eq!(ranks, (1..=NAMED).collect::<Vec<_>>());
    for head in [[3, 1, 16, 0, 0], [2, 4, 16, 0, 0], [1, 255, 255, 255, 255], [4, 0, 0, 0, 0], [0, 0, 0, 0, 0], [9; 5]]
    {
        assert_eq!(Message::length(&head, 5), None, "{head:?}");
    }
}

#[test]
fn a_roster_of_another_size_is_none() {
    let roster = Message::Roster([7; NONCE], Duration::from_secs(30), vec![member(false, 1, true); 4]).encode();
    assert!(read(&roster, 4).is_some());
    assert_eq!(read(&roster, 3), None);
    assert_eq!(read(&roster, 5), None);
    assert_eq!(read(&roster, usize::MAX), None);
}

proptest! {
    /// Every byte of a message means something: what is read is what would be written.
    #[test]
    fn whatever_comes_is_a_message_or_none(
        kind in 0u8..6,
        length in prop::option::of(any::<u32>()),
        body in prop::collection::vec(prop_oneof![Just(0u8), Just(4), any::<u8>()], 0..300),
        size in 0usize..5,
    ) {
        let length = length.unwrap_or(body.len() as u32);
        let bytes = [&[kind], &length.to_le_bytes()[..], &body].concat();
        if let Some(message) = read(&bytes, size) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_roster_is_another_one_or_none(at in 0usize..(HEAD + NONCE + TIME + 3 * Member::BYTES), mask in 1u8..) {
        let roster = Message::Roster([7; NONCE], Duration::from_secs(30), vec![member(true, 1, true), member(false, 2, false), member(false, 3, true)]);
        let mut bytes = roster.encode();
        bytes[at] ^= mask;
        prop_assert_ne!(read(&bytes, 3), Some(roster));
    }
}
