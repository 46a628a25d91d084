//! Collectives that move data.

use super::Lane;
use super::call::Call;
use super::choice::{Algorithm, choose};
use super::exchange;
use super::place::Place;
use crate::backend::{CollectiveKind as Kind, Counts};
use crate::error::Result;

/// A collective that moves data, by messages. With `at_once`, all of them start at once if that is possible.
pub(crate) async fn movement<L: Lane>(lane: &L, call: &Call, at_once: bool) -> Result<()> {
    use Kind::{AllGather, AllToAll, Barrier, Broadcast, Gather, Scatter};
    let (rank, size) = (lane.rank(), lane.size());
    let (send_len, recv_len) = call.lengths(size);
    let width = call.element.size;
    // SAFETY: the parts have these lengths and live until the job is done; a send part is only read.
    let (send, recv) = unsafe {
        (Place::borrowed(call.send.cast_mut(), send_len * width), Place::borrowed(call.recv, recv_len * width))
    };
    let whole = |place: &Place| vec![Some(place.clone()); size];
    let only = |at: usize, place: &Place| {
        let mut places = vec![None; size];
        places[at] = Some(place.clone());
        places
    };
    let nothing = || vec![None; size];
    let blocks = |place: &Place, counts: Counts<'static>| {
        let mut next = 0;
        (0..size)
            .map(|r| {
                let len = width
                    * match counts {
                        Counts::Same(count) => count,
                        Counts::Each(counts) => counts[r],
                    };
                next += len;
                Some(place.part(next - len, len))
            })
            .collect::<Vec<_>>()
    };
    let is_root = rank == call.root;
    match call.kind {
        Barrier => exchange::barrier(lane).await,
        Broadcast => exchange::broadcast(lane, &recv, call.root).await,
        Gather => {
            let incoming = if is_root { blocks(&recv, call.recv_counts) } else { nothing() };
            exchange::swap(lane, &only(call.root, &send), &incoming).await
        }
        Scatter => {
            let outgoing = if is_root { blocks(&send, call.send_counts) } else { nothing() };
            exchange::swap(lane, &outgoing, &only(call.root, &recv)).await
        }
        AllGather => {
            let blocks = blocks(&recv, call.recv_counts);
            let longest = blocks.iter().flatten().map(|block| block.len).max().unwrap_or(0);
            match choose(AllGather, size, longest, false) {
                Algorithm::Bruck if !at_once => exchange::bruck(lane, &send, &blocks).await,
                Algorithm::Ring if !at_once => exchange::ring(lane, &send, &blocks).await,
                _ => exchange::swap(lane, &whole(&send), &blocks).await,
            }
        }
        AllToAll => match choose(AllToAll, size, if call.varying { usize::MAX } else { send.len }, false) {
            Algorithm::Bruck if !at_once => exchange::bruck_swap(lane, &send, &recv).await,
            _ => {
                let (outgoing, incoming) = (blocks(&send, call.send_counts), blocks(&recv, call.recv_counts));
                exchange::swap(lane, &outgoing, &incoming).await
            }
        },
        kind => unreachable!("{} reduces", kind.name()),
    }
}
