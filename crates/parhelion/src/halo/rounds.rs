//! [`Rounds`]: sparse exchanges, in which a rank knows whom it has something for but not who has something for it.
//!
//! The algorithm is NBX (Hoefler, Siebert, Lumsdaine: Scalable communication protocols for dynamic sparse data exchange,
//! PPoPP 2010): messages are sent synchronously, received by probing, and a non-blocking barrier that a rank enters once
//! its own have been matched tells everybody that all have. A rank pays for its own messages and one barrier.

use std::time::{Duration, Instant};

use parhelion_comm::{Any, Communicator, Error, ErrorKind, Op, Request, Result};

use super::BuildCost;

/// The communication of one plan's building or checking, on a communicator of its own, counted.
pub(crate) struct Rounds {
    communicator: Communicator,
    next: u32,
    cost: BuildCost,
}

impl Rounds {
    /// Collective over `communicator`, as everything here: the user's receives with wildcards must not meet our messages.
    pub(crate) fn new(communicator: &Communicator) -> Result<Self> {
        let communicator = communicator.dup()?;
        Ok(Rounds { communicator, next: 0, cost: BuildCost { collectives: 1, ..BuildCost::default() } })
    }

    pub(crate) fn rank(&self) -> usize {
        self.communicator.rank()
    }

    pub(crate) fn size(&self) -> usize {
        self.communicator.size()
    }

    /// Whether the communicator's checks are on.
    pub(crate) fn checks(&self) -> bool {
        self.communicator.config().checks
    }

    pub(crate) fn cost(&self) -> BuildCost {
        self.cost
    }

    /// Delivers every message, at most one per destination, and gives what came, by ascending source. A message to this
    /// rank itself is handed over without the backend.
    pub(crate) fn exchange(&mut self, messages: Vec<(usize, Vec<i64>)>) -> Result<Vec<(usize, Vec<i64>)>> {
        // A fast rank's next round must not be taken for this one.
        let tag = self.next;
        self.next += 1;
        let mut received = Vec::new();
        let mut sends: Vec<Request<Vec<i64>>> = Vec::with_capacity(messages.len());
        for (dest, words) in messages {
            if dest == self.rank() {
                received.push((dest, words));
                continue;
            }
            self.cost.messages_sent += 1;
            self.cost.bytes_sent += size_of_val(&*words);
            sends.push(self.communicator.isend_synchronous(words, dest, tag)?);
        }
        let mut barrier: Option<Request<()>> = None;
        let mut pause = Pause::new(self.communicator.config().timeout);
        loop {
            while let Some(message) = self.communicator.try_probe_message(Any, tag)? {
                let (words, status) = message.recv_vec::<i64>()?;
                self.cost.messages_received += 1;
                self.cost.bytes_received += size_of_val(&*words);
                received.push((status.source, words));
                pause.rest();
            }
            match &mut barrier {
                None => {
                    for mut send in std::mem::take(&mut sends) {
                        if send.test() {
                            send.wait()?;
                        } else {
                            sends.push(send);
                        }
                    }
                    if sends.is_empty() {
                        self.cost.collectives += 1;
                        barrier = Some(self.communicator.ibarrier()?);
                    }
                }
                Some(entered) => {
                    if entered.test() {
                        break;
                    }
                }
            }
            pause.take()?;
        }
        if let Some(entered) = barrier {
            entered.wait()?;
        }
        received.sort_by_key(|(source, _)| *source);
        Ok(received)
    }

    /// The largest of each number over all ranks.
    pub(crate) fn largest(&mut self, mut numbers: Vec<i64>) -> Result<Vec<i64>> {
        self.count_collective(size_of_val(&*numbers));
        self.communicator.all_reduce_in_place(&mut numbers, Op::Max)?;
        Ok(numbers)
    }

    /// The sum of each number over all ranks.
    pub(crate) fn sum(&mut self, mut numbers: Vec<f64>) -> Result<Vec<f64>> {
        self.count_collective(size_of_val(&*numbers));
        self.communicator.all_reduce_in_place(&mut numbers, Op::Sum)?;
        Ok(numbers)
    }

    /// The bits that are set at any rank.
    pub(crate) fn union(&mut self, bits: u64) -> Result<u64> {
        self.count_collective(size_of::<u64>());
        Ok(self.communicator.all_reduce(&[bits], Op::BitOr)?[0])
    }

    /// One outcome for all: `Ok` if every rank brings `Ok`; else a rank that brings an error gets its own, and the others get
    /// the one of the lowest such rank, named. So nobody is left waiting for a rank that gave up.
    pub(crate) fn agree<T>(&mut self, operation: &'static str, outcome: Result<T>) -> Result<T> {
        const NOBODY: i64 = i64::MIN;
        // The largest of the negated ranks is the lowest rank.
        let mine = if outcome.is_err() { -(self.rank() as i64) } else { NOBODY };
        let failed = self.largest(vec![mine])?[0];
        if failed == NOBODY {
            return outcome;
        }
        let root = -failed as usize;
        let text = outcome.as_ref().err().filter(|_| root == self.rank()).map(|e| e.kind().to_string().into_bytes());
        self.count_collective(text.as_ref().map_or(0, Vec::len));
        let text = self.communicator.broadcast_vec(text, root)?;
        outcome.and_then(|_| {
            let text = format!("rank {root} reports: {}", String::from_utf8_lossy(&text));
            Err(Error::new(operation, ErrorKind::InvalidArgument(text)))
        })
    }

    fn count_collective(&mut self, bytes: usize) {
        self.cost.collectives += 1;
        self.cost.collective_bytes += bytes;
    }
}

/// Waiting without a blocking call: yields first, then sleeps, and gives up after the configured time.
struct Pause {
    turns: u32,
    begin: Instant,
    timeout: Option<Duration>,
}

impl Pause {
    const YIELDS: u32 = 200;
    const SLEEP: Duration = Duration::from_micros(50);

    fn new(timeout: Option<Duration>) -> Self {
        Pause { turns: 0, begin: Instant::now(), timeout }
    }

    /// Something came: be quick again.
    fn rest(&mut self) {
        self.turns = 0;
        self.begin = Instant::now();
    }

    fn take(&mut self) -> Result<()> {
        self.turns = self.turns.saturating_add(1);
        if self.turns <= Self::YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Self::SLEEP);
        }
        match self.timeout {
            Some(limit) if self.begin.elapsed() > limit => Err(Error::new("plan", ErrorKind::Timeout(limit))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parhelion_comm::{Config, launch};

    fn config(ranks: usize) -> Config {
        Config::default().ranks(ranks).backend(parhelion_comm::BackendKind::Local).timeout(Duration::from_secs(30))
    }

    #[test]
    fn every_message_arrives_once_in_its_round() {
        for ranks in [1, 2, 5, 16] {
            launch(&config(ranks), |world| {
                let mut rounds = Rounds::new(&world)?;
                let (me, size) = (world.rank(), world.size());
                for round in 0..20 {
                    // Rank r sends to r + 1 .. r + k, where k changes with r and the round; sometimes to itself.
                    let reach = |r: usize| (r + round) % size.min(4) + 1;
                    let messages: Vec<_> =
                        (0..reach(me)).map(|d| ((me + d) % size, vec![me as i64; (round + me) % 7])).collect();
                    let received = rounds.exchange(messages)?;
                    let mut expected: Vec<_> = (0..size)
                        .filter(|&r| (me + size - r) % size < reach(r))
                        .map(|r| (r, vec![r as i64; (round + r) % 7]))
                        .collect();
                    expected.sort();
                    assert_eq!(received, expected);
                }
                Ok::<_, Error>(())
            })
            .unwrap();
        }
    }

    #[test]
    fn an_error_of_one_rank_is_an_error_of_all_that_names_it() {
        let texts = launch(&config(5), |world| {
            let mut rounds = Rounds::new(&world)?;
            let mine = if world.rank() % 2 == 1 {
                Err(Error::new("plan", ErrorKind::InvalidArgument(format!("bad {}", world.rank()))))
            } else {
                Ok(())
            };
            let text = rounds.agree("plan", mine).unwrap_err().to_string();
            // The communicator still works.
            rounds.agree("plan", Ok(()))?;
            Ok::<_, Error>(text)
        })
        .unwrap();
        for (rank, text) in texts.iter().enumerate() {
            let expected = if rank % 2 == 1 { format!("bad {rank}") } else { "rank 1 reports: bad 1".to_owned() };
            assert!(text.contains(&expected), "{rank}: {text}");
        }
    }
}
