//! Ping-pong between ranks 0 and 1, and the two-way exchange between ranks 2k and 2k + 1.

use super::{Bench, Case, Paged, timing};
use crate::error::Result;

/// Bytes of a message.
const SIZES: [usize; 6] = [8, 1024, 8192, 65536, 1 << 20, 16 << 20];

/// What rank `rank` sends at place `place`.
fn pattern(place: usize, rank: usize) -> u8 {
    (place.wrapping_mul(7).wrapping_add(rank)) as u8
}

struct Buffers {
    send: Paged<u8>,
    receive: Paged<u8>,
}

impl Buffers {
    fn new(bytes: usize, rank: usize) -> Self {
        let (mut send, receive) = (Paged::new(bytes), Paged::new(bytes));
        for (place, byte) in send.get_mut().iter_mut().enumerate() {
            *byte = pattern(place, rank);
        }
        Self { send, receive }
    }

    fn holds_message_of(&self, rank: usize) -> bool {
        self.receive.get().iter().enumerate().all(|(place, byte)| *byte == pattern(place, rank))
    }
}

/// Half a round trip. Ranks above 1 look on.
pub(super) fn pingpong(bench: &mut Bench<'_>) -> Result<()> {
    let (world, rank) = (bench.world, bench.world.rank());
    for bytes in SIZES {
        let mut buffers = Buffers::new(bytes, rank);
        let Buffers { send, receive } = &mut buffers;
        let (send, receive) = (send.get(), receive.get_mut());
        let sample = timing::hot(world, bench.settings, || {
            match rank {
                0 => {
                    world.send(send, 1, 1)?;
                    world.recv(receive, 1, 1)?;
                }
                1 => {
                    world.recv(receive, 0, 1)?;
                    world.send(send, 0, 1)?;
                }
                _ => {}
            }
            Ok(())
        })?;
        let ok = rank > 1 || buffers.holds_message_of(1 - rank);
        bench.emit(&case("pingpong", "sendrecv", "hot", bytes), &sample.halved(), ok)?;
    }
    Ok(())
}

/// Both ways at once. With an odd number of ranks the last one looks on.
pub(super) fn exchange(bench: &mut Bench<'_>) -> Result<()> {
    let world = bench.world;
    let peer = Some(world.rank() ^ 1).filter(|peer| *peer < world.size());
    let both_ways = |send: &[u8], receive: &mut [u8]| match peer {
        Some(peer) => world.send_recv(send, peer, 2, receive, peer, 2).map(drop),
        None => Ok(()),
    };
    for bytes in SIZES {
        let mut buffers = Buffers::new(bytes, world.rank());
        let Buffers { send, receive } = &mut buffers;
        let (data, into) = (send.get(), receive.get_mut());
        let sample = timing::hot(world, bench.settings, || both_ways(data, into))?;
        let ok = peer.is_none_or(|peer| buffers.holds_message_of(peer));
        bench.emit(&case("exchange", "send_recv", "hot", bytes), &sample, ok)?;

        buffers.receive.get_mut().fill(0);
        let dirty = |buffers: &mut Buffers| {
            for byte in buffers.send.get_mut().iter_mut().step_by(64) {
                *byte = std::hint::black_box(*byte);
            }
        };
        let sample = timing::touch(world, bench.settings, &mut buffers, dirty, |buffers| {
            both_ways(buffers.send.get(), buffers.receive.get_mut())
        })?;
        let ok = peer.is_none_or(|peer| buffers.holds_message_of(peer));
        bench.emit(&case("exchange", "send_recv", "touch", bytes), &sample, ok)?;
    }
    Ok(())
}

fn case<'a>(bench: &'a str, variant: &'a str, mode: &'a str, bytes: usize) -> Case<'a> {
    Case { bench, case: bytes.to_string(), variant, mode, bytes, bandwidth: true, extra: "" }
}
