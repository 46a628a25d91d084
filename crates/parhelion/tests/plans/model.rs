//! The plans of all ranks carried out in one place, and small random numbers.

use std::time::Duration;

use parhelion::halo::Plan;
use parhelion::{BackendKind, Communicator, Config, Error, Layout, launch};

/// Runs `f` at every one of `ranks` threads; with checks, so that every plan is verified.
pub(crate) fn on_threads<R: Send>(ranks: usize, f: impl Fn(Communicator) -> Result<R, Error> + Sync) -> Vec<R> {
    on_threads_with(ranks, true, f)
}

/// With checks or without.
pub(crate) fn on_threads_with<R: Send>(
    ranks: usize,
    checks: bool,
    f: impl Fn(Communicator) -> Result<R, Error> + Sync,
) -> Vec<R> {
    let config = Config::default().backend(BackendKind::Local).ranks(ranks).timeout(Duration::from_secs(60));
    launch(&config.checks(checks), f).unwrap()
}

/// The buffers of one rank's patches.
pub(crate) type Buffers = Vec<Vec<i64>>;

/// One exchange of all ranks: messages packed, moved and unpacked as their pieces say, then local copies.
pub(crate) fn carry_out(plans: &[Plan], buffers: &mut [Buffers]) {
    let before = buffers.to_vec();
    for plan in plans {
        let me = plan.rank();
        for transfer in plan.recvs() {
            let sent = plans[transfer.peer].sends().iter().find(|t| t.peer == me).expect("a sender for each receiver");
            let mut message = Vec::new();
            for piece in &sent.pieces {
                message.extend(take(&before[transfer.peer][piece.patch], &piece.layout));
            }
            let mut rest = &message[..];
            for piece in &transfer.pieces {
                let (mine, others) = rest.split_at(piece.layout.len());
                rest = others;
                // Whoever reads the owner's memory instead finds the same.
                assert_eq!(take(&before[transfer.peer][piece.remote_patch], &piece.remote), mine);
                put(&mut buffers[me][piece.patch], &piece.layout, mine);
            }
            assert!(rest.is_empty(), "the whole message is used");
        }
        for copy in plan.local() {
            let values = take(&before[me][copy.from_patch], &copy.from);
            put(&mut buffers[me][copy.to_patch], &copy.to, &values);
        }
        let received: usize = plan.recvs().iter().map(|t| t.peer).filter(|&p| p != me).count();
        assert_eq!(received, plan.recvs().len(), "nothing goes to oneself by message");
    }
    for plan in plans {
        for transfer in plan.sends() {
            let peer = &plans[transfer.peer];
            assert!(peer.recvs().iter().any(|t| t.peer == plan.rank()), "a receiver for each sender");
        }
    }
}

fn take(buffer: &[i64], layout: &Layout) -> Vec<i64> {
    layout.iter_runs().flat_map(|(start, len)| buffer[start..start + len].iter().copied()).collect()
}

fn put(buffer: &mut [i64], layout: &Layout, values: &[i64]) {
    let mut rest = values;
    for (start, len) in layout.iter_runs() {
        let (now, later) = rest.split_at(len);
        buffer[start..start + len].copy_from_slice(now);
        rest = later;
    }
}

/// SplitMix64: a case is a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.between(1, n) == 1
    }
}
