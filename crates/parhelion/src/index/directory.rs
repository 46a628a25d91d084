//! The directory: which rank owns a global index, and as what local one, without any rank knowing all.
//!
//! The global indices are cut into as many equal slices as there are ranks, and each rank keeps one: the owners register
//! their indices there, as runs, and who needs an index asks there. Two sparse exchanges ([`Rounds`]): registrations
//! together with questions, and answers. A rank sends to the slices of its own and its halo's indices and to nobody else.

use std::collections::BTreeMap;

use parhelion_comm::{Error, ErrorKind, Result};

use super::builder::Coverage;
use super::numbering::Run;
use crate::halo::Rounds;

/// What the directory says to one rank.
pub(super) struct Found {
    /// The owner of each index asked for, and its local index there.
    pub(super) sources: Vec<(usize, usize)>,
    /// What a lower rank owns too, by ascending local index.
    pub(super) shared: Vec<Shared>,
}

/// A run of local indices of a rank that a lower rank owns, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) local: usize,
    pub(super) len: usize,
    /// The lowest rank that owns them.
    pub(super) master: usize,
    /// Where they begin there.
    pub(super) there: usize,
}

/// The slices of `0..total`; all of them empty for none.
struct Slices {
    total: u64,
    ranks: u128,
}

impl Slices {
    /// Of an index below the total.
    fn of(&self, global: u64) -> usize {
        (u128::from(global) * self.ranks / u128::from(self.total)) as usize
    }

    fn start(&self, slice: usize) -> u64 {
        (slice as u128 * u128::from(self.total)).div_ceil(self.ranks) as u64
    }
}

/// Registers `owned` and finds the owners of `wanted`, which ascend. Collective; `total` is one more than the largest index
/// that anybody owns; `purpose` ends the sentence about an index without owner, "which rank 3 needs".
///
/// # Errors
/// At every rank: an index that nobody owns and somebody wants; what `coverage` forbids.
pub(super) fn find(
    rounds: &mut Rounds,
    total: u64,
    owned: &[Run],
    wanted: &[u64],
    coverage: Coverage,
    purpose: &str,
) -> Result<Found> {
    let slices = Slices { total, ranks: rounds.size() as u128 };
    let known = &wanted[..wanted.partition_point(|&g| g < total)];
    let mut letters: BTreeMap<usize, (Vec<i64>, &[u64])> = BTreeMap::new();
    for run in owned {
        let (mut at, end) = (run.global, run.global + run.len);
        while at < end {
            let slice = slices.of(at);
            let next = slices.start(slice + 1).min(end);
            let local = run.local + (at - run.global);
            letters.entry(slice).or_default().0.extend([at as i64, (next - at) as i64, local as i64]);
            at = next;
        }
    }
    let mut rest = known;
    while let Some(&first) = rest.first() {
        let slice = slices.of(first);
        let (here, later) = rest.split_at(rest.partition_point(|&g| slices.of(g) == slice));
        letters.entry(slice).or_default().1 = here;
        rest = later;
    }
    let write = |(slice, (runs, questions)): (usize, (Vec<i64>, &[u64]))| {
        let mut words = vec![(runs.len() / 3) as i64];
        words.extend(runs);
        words.extend(questions.iter().map(|&g| g as i64));
        (slice, words)
    };
    let received = rounds.exchange(letters.into_iter().map(write).collect())?;

    let mut slice = Slice::of(&received);
    let lawful = slice.check(slices.start(rounds.rank()), slices.start(rounds.rank() + 1), coverage);
    let answers = rounds.exchange(slice.answers(&received))?;

    let (mut sources, mut shared) = (Vec::with_capacity(wanted.len()), Vec::new());
    for (_, words) in &answers {
        let (both, answers) = words[1..].split_at(4 * words[0] as usize);
        shared.extend(both.chunks_exact(4).map(|w| {
            let [local, len, master, there] = std::array::from_fn(|i| w[i] as usize);
            Shared { local, len, master, there }
        }));
        sources.extend(answers.chunks_exact(2).map(|w| (w[0], w[1] as usize)));
    }
    let lost = sources.iter().position(|&(rank, _)| rank < 0).or((known.len() < wanted.len()).then_some(known.len()));
    let all_owned = lost.map_or(Ok(()), |i| {
        let text = format!("nobody owns global index {}, which rank {} {purpose}", wanted[i], rounds.rank());
        Err(Error::new("assemble", ErrorKind::Mismatch(text)))
    });
    rounds.agree("assemble", lawful.and(all_owned))?;
    shared.sort_unstable_by_key(|s| s.local);
    Ok(Found { sources: sources.into_iter().map(|(rank, local)| (rank as usize, local)).collect(), shared })
}

/// Indices of one rank, as its slice knows them.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    end: u64,
    local: u64,
    rank: usize,
}

impl Entry {
    /// The part from `start` to `end`.
    fn part(&self, start: u64, end: u64) -> Entry {
        Entry { start, end, local: self.local + (start - self.start), rank: self.rank }
    }
}

/// This rank's slice of the directory.
struct Slice {
    /// What is owned, each index once, by the lowest rank that owns it; ascending.
    entries: Vec<Entry>,
    /// What higher ranks own as well, and the same as the lowest rank that does has it.
    shared: Vec<(Entry, Entry)>,
}

impl Slice {
    fn of(received: &[(usize, Vec<i64>)]) -> Slice {
        let mut entries = Vec::new();
        for (rank, words) in received {
            let runs = words[1..].chunks_exact(3).take(words[0] as usize);
            entries.extend(runs.map(|w| Entry {
                start: w[0] as u64,
                end: w[0] as u64 + w[1] as u64,
                local: w[2] as u64,
                rank: *rank,
            }));
        }
        let mut sorted = entries.clone();
        sorted.sort_unstable_by_key(|e| e.start);
        if sorted.windows(2).all(|w| w[0].end <= w[1].start) {
            return Slice { entries: sorted, shared: Vec::new() };
        }
        Self::overlapping(entries)
    }

    /// `entries` by ascending rank: what is taken already is shared.
    fn overlapping(entries: Vec<Entry>) -> Slice {
        let (mut taken, mut shared): (BTreeMap<u64, Entry>, Vec<(Entry, Entry)>) = Default::default();
        for entry in entries {
            let mut at = entry.start;
            let mut free = Vec::new();
            let first = taken.range(..=at).next_back().map_or(at, |(&start, _)| start);
            for (_, other) in taken.range(first..entry.end).filter(|(_, other)| other.end > entry.start) {
                if at < other.start {
                    free.push(entry.part(at, other.start));
                }
                at = other.end.min(entry.end);
                let start = other.start.max(entry.start);
                shared.push((entry.part(start, at), other.part(start, at)));
            }
            if at < entry.end {
                free.push(entry.part(at, entry.end));
            }
            taken.extend(free.into_iter().map(|part| (part.start, part)));
        }
        Slice { entries: taken.into_values().collect(), shared }
    }

    fn check(&self, start: u64, end: u64, coverage: Coverage) -> Result<()> {
        let wrong = |text: String| Err(Error::new("assemble", ErrorKind::Mismatch(text)));
        if let (Coverage::Once | Coverage::AtMostOnce, Some((entry, other))) = (coverage, self.shared.first()) {
            return wrong(format!("ranks {} and {} both own global index {}", other.rank, entry.rank, entry.start));
        }
        if let Coverage::Once | Coverage::Every = coverage {
            let mut at = start;
            for entry in &self.entries {
                if at < entry.start {
                    break;
                }
                at = entry.end;
            }
            if at < end {
                return wrong(format!("nobody owns global index {at}"));
            }
        }
        Ok(())
    }

    /// For each rank that asked, or that owns something with another: how many shared runs, those, and the answers.
    fn answers(&mut self, received: &[(usize, Vec<i64>)]) -> Vec<(usize, Vec<i64>)> {
        self.shared.sort_unstable_by_key(|(entry, _)| (entry.rank, entry.local));
        let mut answers = Vec::new();
        for (rank, words) in received {
            let from = self.shared.partition_point(|(entry, _)| entry.rank < *rank);
            let to = self.shared.partition_point(|(entry, _)| entry.rank <= *rank);
            let questions = &words[1 + 3 * words[0] as usize..];
            if questions.is_empty() && from == to {
                continue;
            }
            let mut answer = Vec::with_capacity(1 + 4 * (to - from) + 2 * questions.len());
            answer.push((to - from) as i64);
            for (entry, other) in &self.shared[from..to] {
                let len = (entry.end - entry.start) as i64;
                answer.extend([entry.local as i64, len, other.rank as i64, other.local as i64]);
            }
            for &question in questions {
                let global = question as u64;
                let entry = self.entries[..self.entries.partition_point(|e| e.start <= global)].last();
                answer.extend(match entry.filter(|e| global < e.end) {
                    Some(e) => [e.rank as i64, (e.local + (global - e.start)) as i64],
                    None => [-1, -1],
                });
            }
            answers.push((*rank, answer));
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_equal_and_cover_everything() {
        for total in [0, 1, 2, 7, 64, 1000, u64::MAX] {
            for ranks in [1, 2, 3, 7, 16] {
                let slices = Slices { total, ranks };
                assert_eq!((slices.start(0), slices.start(ranks as usize)), (0, total));
                for slice in 0..ranks as usize {
                    let (start, end) = (slices.start(slice), slices.start(slice + 1));
                    assert!(u128::from(end - start).abs_diff(u128::from(total) / ranks) <= 1, "{total} in {ranks}");
                    if start < end {
                        assert_eq!((slices.of(start), slices.of(end - 1)), (slice, slice), "{total} in {ranks}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_slice_holds_indices_that_no_signed_number_is() {
        let largest = u64::MAX - 1;
        for start in [i64::MAX as u64 - 1, i64::MAX as u64, 1 << 63, largest - 1] {
            let slice = Slice::of(&[(3, vec![1, start as i64, 2, 70])]);
            let entry = slice.entries[0];
            assert_eq!((entry.start, entry.end, entry.local, entry.rank), (start, start + 2, 70, 3));
        }
    }

    #[test]
    fn of_several_owners_the_lowest_rank_has_it_and_the_others_share() {
        let entry = |rank, start, end, local| Entry { start, end, local, rank };
        let slice = Slice::overlapping(vec![
            entry(0, 4, 6, 0),
            entry(0, 10, 12, 2),
            entry(1, 0, 20, 100),
            entry(2, 5, 11, 50),
            entry(2, 19, 22, 60),
        ]);
        let mut owner = [usize::MAX; 22];
        for e in &slice.entries {
            for g in e.start..e.end {
                assert_eq!(std::mem::replace(&mut owner[g as usize], e.rank), usize::MAX);
                let first = [0, 100, 60][e.rank] as u64;
                let base = if e.rank == 0 && g >= 10 { 10 - 2 } else { [4, 0, 19][e.rank] };
                assert_eq!(e.local + (g - e.start), first + g - base, "index {g}");
            }
        }
        let expected = |g: u64| match g {
            4 | 5 | 10 | 11 => 0,
            0..20 => 1,
            _ => 2,
        };
        assert!((0..22).all(|g| owner[g as usize] == expected(g)), "{owner:?}");
        let shared = |rank| -> Vec<u64> {
            let of = slice.shared.iter().filter(|(e, _)| e.rank == rank);
            of.flat_map(|(e, _)| e.local..e.local + (e.end - e.start)).collect()
        };
        assert_eq!(shared(1), [104, 105, 110, 111]);
        assert_eq!(shared(2), [50, 51, 52, 53, 54, 55, 60]);
    }
}
