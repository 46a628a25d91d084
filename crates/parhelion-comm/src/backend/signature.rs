//! What one rank says of its collective call, small enough to compare before anything moves.
//!
//! Ranks agree on a call when their [`Signature`]s are equal in everything but [`Signature::own`], which is the one
//! number that may differ in a "v" form. Whether the counts of such a form fit each other pair by pair is
//! [`compare_counts`]. Both answer with the text of the [`Mismatch`](crate::ErrorKind::Mismatch) that every rank gets, so
//! both must see the same input at every rank.

use std::fmt::Write;

use super::{Collective, CollectiveKind, Counts};
use crate::element::{ElementKind, ElementType, Scalar};
use crate::op::Op;

/// One rank's call, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    kind: u64,
    root: u64,
    varying: u64,
    element: u64,
    element_size: u64,
    op: u64,
    /// Elements of the part whose length all ranks share; with counts that all ranks share, their sum.
    count: u64,
    /// A hash of the counts that all ranks share.
    counts: u64,
    /// Elements that this rank alone gives or takes, in a form with counts of each rank's own.
    own: u64,
}

/// In their order, as are the tables of number types and operators.
const KINDS: [CollectiveKind; 11] = {
    use CollectiveKind::*;
    [Barrier, Broadcast, Reduce, AllReduce, Scan, ExclusiveScan, Gather, AllGather, Scatter, AllToAll, ReduceScatter]
};
/// Above every index of the tables.
const LOCATED: u64 = 1 << 8;
const OPAQUE: u64 = 1 << 9;
const NO_OP: u64 = 1 << 10;
const CLOSURE: u64 = 1 << 11;
/// In the place of an operator: the call was refused at this rank.
const REFUSED: u64 = 1 << 12;

impl Signature {
    /// The length of [`Signature::to_words`].
    pub(crate) const WORDS: usize = 9;

    /// The signature of this rank's call.
    pub(crate) fn of(call: &Collective<'_>) -> Self {
        use CollectiveKind as Kind;
        let sent = total(call.send_counts);
        let received = total(call.recv_counts);
        let (count, counts, own) = match (call.kind, call.varying) {
            (Kind::Barrier, _) => (0, 0, 0),
            (Kind::Broadcast | Kind::AllReduce, _) | (Kind::Scatter, false) => (received, 0, 0),
            (Kind::Reduce | Kind::Scan | Kind::ExclusiveScan, _)
            | (Kind::Gather | Kind::AllGather | Kind::AllToAll, false) => (sent, 0, 0),
            (Kind::Gather, true) => (0, 0, sent),
            (Kind::Scatter, true) => (0, 0, received),
            (Kind::AllGather, true) => (received, hash(call.recv_counts), sent),
            (Kind::AllToAll, true) => (0, 0, 0),
            (Kind::ReduceScatter, false) => (received, 0, 0),
            (Kind::ReduceScatter, true) => (sent, hash(call.send_counts), received),
        };
        let element = if call.kind == Kind::Barrier { ElementType::of::<u8>() } else { call.element };
        Signature {
            kind: call.kind as u64,
            root: if call.kind.is_rooted() { call.root as u64 } else { 0 },
            varying: u64::from(call.varying),
            element: match element.kind {
                ElementKind::Scalar(s) => s as u64,
                ElementKind::Located(s) => LOCATED + s as u64,
                // Ranks read and write each other's elements, so that these lie where all can.
                ElementKind::Opaque => OPAQUE + u64::from(element.align.trailing_zeros()),
            },
            element_size: element.size as u64,
            op: match call.kernel {
                _ if call.refused => REFUSED,
                None => NO_OP,
                Some(kernel) => kernel.op.map_or(CLOSURE, |op| op as u64),
            },
            count: count as u64,
            counts,
            own: own as u64,
        }
    }

    /// What travels.
    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        [
            self.kind,
            self.root,
            self.varying,
            self.element,
            self.element_size,
            self.op,
            self.count,
            self.counts,
            self.own,
        ]
    }

    /// What arrived.
    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [kind, root, varying, element, element_size, op, count, counts, own] = words;
        Signature { kind, root, varying, element, element_size, op, count, counts, own }
    }

    /// A hash of everything that ranks must agree on: equal where they do, different, but for chance, where they do not.
    pub(crate) fn digest(&self) -> u64 {
        let mixed = [
            self.kind | self.root << 8 | self.varying << 40,
            self.element | self.element_size << 16,
            self.op,
            self.count,
            self.counts,
        ];
        // The multiplier and the rotation of FxHash; one round a word.
        mixed.iter().fold(0, |h: u64, w| (h.rotate_left(5) ^ w).wrapping_mul(0x517c_c1b7_2722_0a95))
    }

    /// Elements that this rank alone gives or takes, in a form with counts of each rank's own.
    pub(crate) fn own(&self) -> usize {
        self.own as usize
    }

    fn agrees_with(&self, other: &Self) -> bool {
        Signature { own: 0, ..*self } == Signature { own: 0, ..*other }
    }

    fn is_refused(&self) -> bool {
        self.op == REFUSED
    }

    /// `called all_reduce of 4 f64 with sum`.
    fn describe(&self, with_counts: bool) -> String {
        let Some(&kind) = KINDS.get(self.kind as usize) else { return "called an unknown collective".to_owned() };
        if self.is_refused() {
            return format!("passed arguments to {} that were refused there", kind.name());
        }
        let mut text = format!("called {}", kind.name());
        if kind == CollectiveKind::Barrier {
            return text;
        }
        if self.varying == 1 {
            text.push('v');
        }
        let ignore = "writing to a String cannot fail";
        let has_count = self.varying == 0 || matches!(kind, CollectiveKind::AllGather | CollectiveKind::ReduceScatter);
        if has_count {
            write!(text, " of {}", self.count).expect(ignore);
        } else {
            text.push_str(" of");
        }
        match self.element {
            e if e < LOCATED => write!(text, " {}", scalar_name(e)),
            e if e < OPAQUE => write!(text, " Located<{}>", scalar_name(e - LOCATED)),
            e => {
                let align = 1u64.checked_shl((e - OPAQUE) as u32).unwrap_or(0);
                write!(text, " {}-byte elements aligned to {align}", self.element_size)
            }
        }
        .expect(ignore);
        match self.op {
            NO_OP => {}
            CLOSURE => text.push_str(" with a closure"),
            op => {
                if let Some(op) = Op::ALL.get(op as usize) {
                    write!(text, " with {op}").expect(ignore);
                }
            }
        }
        if kind.is_rooted() {
            write!(text, ", root {}", self.root).expect(ignore);
        }
        if with_counts && self.counts != 0 {
            write!(text, ", counts with fingerprint {:x}", self.counts).expect(ignore);
        }
        text
    }
}

/// What the ranks disagree on, or `None` where they agree. `all` is in rank order.
pub(crate) fn compare(all: &[Signature]) -> Option<String> {
    let first = all.first()?;
    if !first.is_refused() && all.iter().all(|s| s.agrees_with(first)) {
        return None;
    }
    // Camps of ranks that agree, in the order of their lowest ranks.
    let mut camps: Vec<(&Signature, Vec<usize>)> = Vec::new();
    for (rank, signature) in all.iter().enumerate() {
        match camps.iter_mut().find(|(s, _)| s.agrees_with(signature)) {
            Some((_, ranks)) => ranks.push(rank),
            None => camps.push((signature, vec![rank])),
        }
    }
    // The fingerprint of the counts matters only where nothing else tells two camps apart.
    let mut plain: Vec<String> = camps.iter().map(|(s, _)| s.describe(false)).collect();
    plain.sort_unstable();
    let with_counts = plain.windows(2).any(|w| w[0] == w[1]);
    let shown = camps.iter().map(|(s, ranks)| format!("{} {}", rank_list(ranks), s.describe(with_counts)));
    Some(shown.collect::<Vec<_>>().join("; "))
}

/// One pair of ranks in a "v" form, and what each says passes between them, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) sent: usize,
    pub(crate) expected: usize,
}

/// Which pairs do not fit, or `None` where all do. All ranks pass the same pairs, in the same order.
pub(crate) fn compare_counts(kind: CollectiveKind, pairs: impl IntoIterator<Item = Pair>) -> Option<String> {
    /// More than these say nothing new.
    const SHOWN: usize = 8;
    let mut bad = pairs.into_iter().filter(|p| p.sent != p.expected);
    let shown: Vec<String> = bad
        .by_ref()
        .take(SHOWN)
        .map(|p| format!("rank {} sends {} elements to rank {}, which expects {}", p.from, p.sent, p.to, p.expected))
        .collect();
    if shown.is_empty() {
        return None;
    }
    let more = bad.count();
    let more = if more > 0 { format!("; and {more} pairs more") } else { String::new() };
    Some(format!("{}v: {}{more}", kind.name(), shown.join("; ")))
}

/// `rank 3`, or `ranks 0-2, 5`.
fn rank_list(ranks: &[usize]) -> String {
    let mut text = String::from(if ranks.len() == 1 { "rank " } else { "ranks " });
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &rank in ranks {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == rank => *last = rank,
            _ => runs.push((rank, rank)),
        }
    }
    let shown = runs.iter().map(|&(a, b)| match b - a {
        0 => a.to_string(),
        1 => format!("{a}, {b}"),
        _ => format!("{a}-{b}"),
    });
    text.push_str(&shown.collect::<Vec<_>>().join(", "));
    text
}

fn total(counts: Counts<'_>) -> usize {
    match counts {
        Counts::Same(n) => n,
        Counts::Each(counts) => counts.iter().sum(),
    }
}

/// Never 0, which says that there are no counts.
fn hash(counts: Counts<'_>) -> u64 {
    let each = match counts {
        Counts::Same(n) => &[n][..],
        Counts::Each(counts) => counts,
    };
    fingerprint(each).max(1)
}

/// FNV-1a (Fowler, Noll, Vo) over the bytes of the numbers: the same in every process.
pub(crate) fn fingerprint(numbers: &[usize]) -> u64 {
    numbers.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &n| {
        (n as u64).to_le_bytes().iter().fold(h, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
    })
}

fn scalar_name(index: u64) -> &'static str {
    Scalar::ALL.get(index as usize).map_or("unknown", |s| s.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::builtin;

    fn call(kind: CollectiveKind, n: usize) -> Collective<'static> {
        Collective {
            kind,
            element: ElementType::of::<f64>(),
            root: 0,
            varying: false,
            send: std::ptr::null(),
            send_counts: Counts::Same(n),
            recv: std::ptr::null_mut(),
            recv_counts: Counts::Same(n),
            kernel: None,
            refused: false,
        }
    }

    fn text(calls: &[Collective<'_>]) -> Option<String> {
        compare(&calls.iter().map(Signature::of).collect::<Vec<_>>())
    }

    #[test]
    fn every_kind_scalar_and_operator_survives_the_words_and_has_a_name() {
        for kind in KINDS {
            for scalar in Scalar::ALL {
                for op in Op::ALL {
                    let element = ElementType { kind: ElementKind::Located(scalar), size: 12, align: 1 };
                    let kernel = builtin(op, ElementType { kind: ElementKind::Scalar(scalar), size: 4, align: 4 });
                    let signature = Signature::of(&Collective { element, kernel, ..call(kind, 3) });
                    assert_eq!(Signature::from_words(signature.to_words()), signature);
                    assert!(signature.describe(false).starts_with(&format!("called {}", kind.name())));
                }
            }
        }
    }

    #[test]
    fn equal_calls_agree() {
        for kind in KINDS {
            assert_eq!(text(&[call(kind, 3), call(kind, 3), call(kind, 3)]), None);
        }
        assert_eq!(text(&[]), None);
    }

    #[test]
    fn camps_are_listed_with_their_ranks() {
        let five =
            || Collective { kernel: builtin(Op::Sum, ElementType::of::<f64>()), ..call(CollectiveKind::AllReduce, 5) };
        let four =
            || Collective { kernel: builtin(Op::Sum, ElementType::of::<f64>()), ..call(CollectiveKind::AllReduce, 4) };
        assert_eq!(
            text(&[five(), five(), five(), four(), five(), call(CollectiveKind::Barrier, 0)]).unwrap(),
            "ranks 0-2, 4 called all_reduce of 5 f64 with sum; rank 3 called all_reduce of 4 f64 with sum; \
             rank 5 called barrier"
        );
    }

    #[test]
    fn a_refused_call_agrees_with_none_not_even_with_its_like() {
        let refused = || Collective::refused(CollectiveKind::Barrier);
        let alone = text(&[call(CollectiveKind::Barrier, 0), refused()]).unwrap();
        assert_eq!(alone, "rank 0 called barrier; rank 1 passed arguments to barrier that were refused there");
        assert!(text(&[refused(), refused()]).unwrap().starts_with("ranks 0, 1 passed"));
        let words = Signature::of(&refused()).to_words();
        assert!(compare(&[Signature::from_words(words)]).is_some());
    }

    #[test]
    fn root_type_operator_and_form_each_make_a_difference() {
        let base = || call(CollectiveKind::Gather, 2);
        let rooted = text(&[base(), Collective { root: 1, ..base() }]).unwrap();
        assert!(rooted.contains("root 0; rank 1") && rooted.ends_with("root 1"), "{rooted}");
        let typed = text(&[base(), Collective { element: ElementType::of::<[u8; 8]>(), ..base() }]).unwrap();
        assert!(typed.contains("2 f64") && typed.contains("2 8-byte elements aligned to 1"), "{typed}");
        let form = text(&[base(), Collective { varying: true, ..base() }]).unwrap();
        assert!(form.contains("gatherv of f64"), "{form}");
        let reduce =
            |op| Collective { kernel: builtin(op, ElementType::of::<f64>()), ..call(CollectiveKind::Reduce, 2) };
        assert!(text(&[reduce(Op::Sum), reduce(Op::Average)]).unwrap().contains("with average"));
    }

    #[test]
    fn own_counts_may_differ_and_shared_counts_may_not() {
        let gather = |n| Collective { varying: true, send_counts: Counts::Same(n), ..call(CollectiveKind::Gather, n) };
        assert_eq!(text(&[gather(1), gather(7)]), None);
        let shared = |counts| Collective {
            varying: true,
            recv_counts: Counts::Each(counts),
            ..call(CollectiveKind::AllGather, 1)
        };
        assert_eq!(text(&[shared(&[1, 1]), shared(&[1, 1])]), None);
        let split = text(&[shared(&[1, 3]), shared(&[3, 1])]).unwrap();
        assert!(split.contains("all_gatherv of 4 f64, counts with fingerprint"), "{split}");
        let sum = text(&[shared(&[1, 1]), shared(&[1, 2])]).unwrap();
        assert!(sum.contains("all_gatherv of 2 f64; rank 1 called all_gatherv of 3 f64"), "{sum}");
    }

    #[test]
    fn pairs_that_do_not_fit_are_named_and_their_number_is_bounded() {
        let pair = |from, sent, expected| Pair { from, to: 0, sent, expected };
        assert_eq!(compare_counts(CollectiveKind::Gather, [pair(0, 1, 1), pair(1, 2, 2)]), None);
        assert_eq!(
            compare_counts(CollectiveKind::Gather, [pair(0, 1, 1), pair(1, 2, 3)]).unwrap(),
            "gatherv: rank 1 sends 2 elements to rank 0, which expects 3"
        );
        let many = compare_counts(CollectiveKind::AllToAll, (0..20).map(|r| pair(r, 1, 2))).unwrap();
        assert!(many.ends_with("and 12 pairs more"), "{many}");
    }
}
