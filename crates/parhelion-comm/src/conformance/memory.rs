//! Memory that ranks read directly, and signals.

use super::check::{Halt, Outcome, ensure, equal, refused, same};
use super::sample::{neighbours, pattern, seed};
use super::{Case, Needs};
use crate::communicator::Communicator;
use crate::config::BackendKind;
use crate::element::Element;
use crate::error::ErrorKind;
use crate::memory::{Memory, PeerMemory};
use crate::op::Op;

pub(super) const CASES: &[Case] = &[
    Case::new("memory: is zero, aligned, and a slice", zero_and_aligned),
    Case::new("memory: comes and goes in any order, ten thousand at a time", many),
    Case::new("memory: neighbours read what the owner wrote", neighbours_read).needs(Needs::SharedMemory),
    Case::new("memory: all ranks read all", all_read_all).needs(Needs::SharedMemory),
    Case::new("memory: tokens outside of the peer's memory are refused", out_of_bounds).needs(Needs::SharedMemory),
    Case::new("memory: lists of peers that make no sense are refused", wrong_peers),
    Case::new("memory: several lists of peers, on several communicators", several_lists),
    Case::new("memory: is shared if and only if the setting says so", as_set),
    Case::new("signals: what is written before a post is seen after the wait", rounds).needs(Needs::SharedMemory),
    Case::new("signals: words are apart, and 0 at first", words_apart).needs(Needs::SharedMemory),
    Case::new("signals: the last values are there when their owner has dropped them", last_values)
        .needs(Needs::SharedMemory)
        .ranks(2),
    Case::new("signals: made and dropped many times", many_signals).needs(Needs::SharedMemory),
    Case::new("signals: numbers of words that differ are a mismatch", other_numbers)
        .needs(Needs::SharedMemory)
        .ranks(2),
    Case::new("signals: with no peers", no_peers),
];

/// Skips what only ranks of one node can do, and only where it can be done at all.
fn on_one_node(c: &Communicator) -> Outcome {
    if c.backend() != BackendKind::Local && !cfg!(target_os = "linux") {
        return Err(Halt::Skipped("needs memory files, which only Linux has".to_owned()));
    }
    let here = c.split_shared()?.size();
    if c.all_reduce(&[here], Op::Min)? == [c.size()] {
        return Ok(());
    }
    Err(Halt::Skipped("needs ranks of one node".to_owned()))
}

fn others(c: &Communicator) -> Vec<usize> {
    (0..c.size()).filter(|&rank| rank != c.rank()).collect()
}

/// Both neighbours in a ring, without this rank and without repetition.
fn ring(c: &Communicator) -> Vec<usize> {
    let (right, left) = neighbours(c);
    let mut peers: Vec<usize> = [left, right].into_iter().filter(|&rank| rank != c.rank()).collect();
    peers.dedup();
    peers
}

/// A copy of the peer's memory.
///
/// The peer must not write it meanwhile; the cases see to that with messages.
fn read<T: Element>(peer: &PeerMemory, token: u64, len: usize) -> crate::Result<Vec<T>> {
    let from = peer.resolve(token, len * size_of::<T>())?.cast::<T>();
    let mut copy: Vec<T> = bytemuck::allocation::zeroed_vec(len);
    // SAFETY: the peer sent the token of live memory of at least this length, and waits for a message before it goes on.
    unsafe { std::ptr::copy_nonoverlapping(from, copy.as_mut_ptr(), len) };
    Ok(copy)
}

fn zero_and_aligned(c: &Communicator) -> Outcome {
    fn try_type<T: Element>(c: &Communicator) -> Outcome {
        for len in [0, 1, 7, 63, 64, 1000, 70_000] {
            let mut memory: Memory<T> = c.allocate(len);
            equal("length", memory.len(), len)?;
            equal("alignment", memory.as_ptr().addr() % 64, 0)?;
            same("zeros", &memory, &bytemuck::allocation::zeroed_vec::<T>(len))?;
            let data = pattern::<T>(seed(&[len, c.rank()]), len);
            memory.copy_from_slice(&data);
            same("what was written", &memory, &data)?;
        }
        Ok(())
    }
    try_type::<u8>(c)?;
    try_type::<f64>(c)?;
    try_type::<[u16; 5]>(c)?;
    equal("elements without a size", c.allocate::<()>(5).len(), 5)
}

fn many(c: &Communicator) -> Outcome {
    let mut all: Vec<Memory<u64>> = (0..10_000).map(|i| c.allocate(i % 97)).collect();
    all.iter_mut().enumerate().for_each(|(i, memory)| memory.fill(i as u64));
    // Every third goes, then others come in their place.
    let mut kept: Vec<(u64, Memory<u64>)> =
        all.into_iter().enumerate().filter(|(i, _)| i % 3 != 0).map(|(i, memory)| (i as u64, memory)).collect();
    for i in 0..3000u64 {
        let mut memory = c.allocate::<u64>(i as usize % 150);
        ensure(memory.iter().all(|x| *x == 0), "memory that comes again is zero")?;
        memory.fill(i);
        kept.push((i, memory));
    }
    let right = kept.iter().all(|(value, memory)| memory.iter().all(|x| x == value));
    ensure(right, "some memory was overwritten through another")?;
    // The rest goes on another thread, the last first.
    let last = std::thread::spawn(move || while kept.pop().is_some() {});
    ensure(last.join().is_ok(), "memory is dropped on any thread")
}

fn neighbours_read(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let peers = ring(c);
    let attached = c.attach(&peers)?;
    // Allocated after attaching, large and small, and again in every round.
    for round in 0..5 {
        for len in [3usize, 100, 300_000] {
            let mut memory = c.allocate::<f64>(len);
            memory.copy_from_slice(&pattern(seed(&[c.rank(), round, len]), len));
            let token = memory.token().unwrap_or(u64::MAX);
            for &peer in &peers {
                c.send(&[token], peer, 1)?;
            }
            for (&peer, attached) in peers.iter().zip(&attached) {
                let mut token = [0u64];
                c.recv(&mut token, peer, 1)?;
                let Some(attached) = attached else {
                    return Err(Halt::failed(format_args!("rank {peer} is not attached")));
                };
                equal("the peer", attached.peer(), peer)?;
                let got = read::<f64>(attached, token[0], len)?;
                same(format_args!("memory of rank {peer}"), &got, &pattern(seed(&[peer, round, len]), len))?;
            }
            c.barrier()?;
        }
    }
    Ok(())
}

fn all_read_all(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    // This rank among them.
    let peers: Vec<usize> = (0..c.size()).rev().collect();
    let attached = c.attach(&peers)?;
    let mut memory = c.allocate::<u32>(5000);
    memory.copy_from_slice(&pattern(seed(&[c.rank()]), 5000));
    let tokens = c.all_gather(&[memory.token().unwrap_or(u64::MAX)])?;
    for attached in attached.iter().flatten() {
        let got = read::<u32>(attached, tokens[attached.peer()], 5000)?;
        same(format_args!("memory of rank {}", attached.peer()), &got, &pattern(seed(&[attached.peer()]), 5000))?;
    }
    equal("attached", attached.iter().flatten().count(), c.size())?;
    c.barrier()?;
    Ok(())
}

fn out_of_bounds(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    for attached in c.attach(&others(c))?.into_iter().flatten() {
        for (token, bytes) in [(u64::MAX, 1), (u64::MAX - 100, 50), (0, 8), (1 << 40, usize::MAX), (1 << 63, 8)] {
            let error = refused("a token", attached.resolve(token, bytes), "InvalidArgument", invalid)?;
            equal("the peer of the error", error.peer(), Some(attached.peer()))?;
        }
    }
    Ok(())
}

fn wrong_peers(c: &Communicator) -> Outcome {
    let rank = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidRank { .. });
    let argument = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidArgument(_));
    refused("a rank beyond", c.attach(&[c.size()]), "InvalidRank", rank)?;
    refused("a rank twice", c.attach(&[0, 0]), "InvalidArgument", argument)?;
    refused("signals with a rank beyond", c.signals(&[c.size() + 3], 1), "InvalidRank", rank)?;
    refused("signals with a rank twice", c.signals(&[0, 0], 1), "InvalidArgument", argument)?;
    refused("signals to oneself", c.signals(&[c.rank()], 1), "InvalidArgument", argument)?;
    refused("too many words", c.signals(&others(c), usize::MAX), "InvalidArgument", argument)?;
    Ok(())
}

fn several_lists(c: &Communicator) -> Outcome {
    // The calls of two ranks match each other, whatever other ranks do in between.
    let all = c.attach(&others(c))?.len();
    let around = c.attach(&ring(c))?.len();
    equal("answers", (all, around), (others(c).len(), ring(c).len()))?;
    let none = c.attach(&[])?.len();
    equal("answers for nobody", none, 0)?;
    let other = c.dup()?;
    let mut found = vec![0u8; c.size()];
    for distance in 1..c.size() {
        let mut pair = vec![(c.rank() + distance) % c.size(), (c.rank() + c.size() - distance) % c.size()];
        pair.dedup();
        other.attach(&pair)?.iter().flatten().for_each(|peer| found[peer.peer()] = 1);
        equal("a collective in between", c.all_reduce(&[1u8], Op::Sum)?, vec![c.size() as u8])?;
    }
    // Either both of two ranks or none.
    let found = c.all_gather(&found)?;
    let found: Vec<&[u8]> = found.chunks(c.size()).collect();
    for (a, b) in (0..c.size()).flat_map(|a| (0..a).map(move |b| (a, b))) {
        equal(format_args!("whether ranks {a} and {b} reach each other"), found[a][b], found[b][a])?;
    }
    Ok(())
}

fn as_set(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let shared = c.config().shared_memory;
    let peers = others(c);
    for len in [0usize, 10, 100_000] {
        equal("a token", c.allocate::<u8>(len).token().is_some(), shared)?;
    }
    let attached = c.attach(&peers)?.into_iter().flatten().count();
    equal("attached", attached, if shared { peers.len() } else { 0 })?;
    if shared || peers.is_empty() {
        c.signals(&peers, 1)?;
    } else {
        let unavailable = |kind: &ErrorKind| matches!(kind, ErrorKind::Unavailable(_));
        refused("signals", c.signals(&peers, 1), "Unavailable", unavailable)?;
    }
    Ok(())
}

fn rounds(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    const ROUNDS: u64 = 300;
    let peers = ring(c);
    let attached = c.attach(&peers)?;
    let signals = c.signals(&peers, 3)?;
    // Word 0: round that is ready, 1: round that is read, 2: the token.
    let mut memories = [c.allocate::<u64>(500), c.allocate::<u64>(500)];
    for round in 1..=ROUNDS {
        let memory = &mut memories[round as usize % 2];
        memory.fill(round * 1000 + c.rank() as u64);
        signals.store(2, memory.token().unwrap_or(u64::MAX));
        signals.post(0, round);
        for (i, attached) in attached.iter().enumerate() {
            signals.wait(i, 0, round)?;
            let Some(attached) = attached else { continue };
            let got = read::<u64>(attached, signals.load(i, 2), 500)?;
            let want = round * 1000 + attached.peer() as u64;
            ensure(got.iter().all(|x| *x == want), format_args!("round {round}: expected {want}, got {}", got[0]))?;
        }
        signals.post(1, round);
        for i in 0..peers.len() {
            signals.wait(i, 1, round)?;
        }
    }
    Ok(())
}

fn words_apart(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let peers = others(c);
    let signals = c.signals(&peers, 9)?;
    equal("words", signals.words(), 9)?;
    for (i, _) in peers.iter().enumerate() {
        for word in 0..9 {
            equal("a word at first", signals.load(i, word), 0)?;
        }
    }
    c.barrier()?;
    for word in 0..8 {
        signals.store(word, (c.rank() * 100 + word) as u64);
    }
    signals.post(8, 1);
    for (i, peer) in peers.iter().enumerate() {
        signals.wait(i, 8, 1)?;
        for word in 0..8 {
            equal("a word", signals.load(i, word), (peer * 100 + word) as u64)?;
        }
        signals.wait(i, 8, 0)?;
    }
    c.barrier()?;
    Ok(())
}

fn last_values(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    for round in 0..20u64 {
        let signals = c.signals(&others(c), 1)?;
        signals.post(0, round + 1);
        if c.rank() == 0 {
            // What is made now could lie where the signals were.
            drop(signals);
            let again: Vec<Memory<u64>> = (0..50).map(|_| c.allocate(32)).collect();
            c.barrier()?;
            drop(again);
        } else {
            c.barrier()?;
            for i in 0..c.size() - 1 {
                equal("a last value", signals.load(i, 0), round + 1)?;
                signals.wait(i, 0, round + 1)?;
            }
        }
    }
    Ok(())
}

fn many_signals(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let mut kept = Vec::new();
    for i in 0..200u64 {
        let signals = c.signals(&ring(c), 1 + i as usize % 4)?;
        signals.post(0, i + 1);
        if i % 5 == 0 {
            kept.push((i, signals));
        }
    }
    for (i, signals) in kept.iter().rev() {
        for peer in 0..ring(c).len() {
            signals.wait(peer, 0, i + 1)?;
            equal("a word", signals.load(peer, 0), i + 1)?;
        }
    }
    Ok(())
}

fn other_numbers(c: &Communicator) -> Outcome {
    on_one_node(c)?;
    let differs = |kind: &ErrorKind| matches!(kind, ErrorKind::Mismatch(_));
    if c.rank() < 2 {
        let error = refused("other numbers", c.signals(&[1 - c.rank()], 1 + c.rank()), "Mismatch", differs)?;
        let text = error.to_string();
        ensure(text.contains("1 words") && text.contains("2 words"), text)?;
    }
    // Nothing is left in the way.
    let signals = c.signals(&others(c), 1)?;
    signals.post(0, 1);
    (0..c.size() - 1).try_for_each(|peer| signals.wait(peer, 0, 1))?;
    Ok(())
}

fn no_peers(c: &Communicator) -> Outcome {
    let signals = c.signals(&[], 2)?;
    signals.store(0, 1);
    signals.post(1, 1);
    equal("words", signals.words(), 2)
}
