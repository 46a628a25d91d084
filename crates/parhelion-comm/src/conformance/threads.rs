//! One communicator, several threads of a rank.

use super::check::{Halt, Outcome, equal, refused, same};
use super::sample::{neighbours, pattern, seed};
use super::{Case, Needs};
use crate::communicator::Communicator;
use crate::config::ThreadLevel;
use crate::error::{Error, ErrorKind};
use crate::message_set::Method;
use crate::op::Op;
use crate::request::wait_all;
use crate::status::Any;

pub(super) const CASES: &[Case] = &[
    threaded("threads: messages of different tags at the same time", by_tag),
    threaded("threads: collectives on communicators of their own", by_communicator),
    threaded("threads: receives wait in one thread while others send", waiting_thread),
    threaded("threads: a wildcard receive per thread takes each message once", competing_wildcards),
    threaded("threads: requests move to other threads", moved_requests),
    threaded("threads: groups of other names at the same time", groups_at_once),
    Case::new("threads: calls that the thread level forbids are errors and disturb nothing", forbidden),
];

const fn threaded(name: &'static str, run: fn(&Communicator) -> Outcome) -> Case {
    Case::new(name, run).needs(Needs::Threads)
}

const THREADS: usize = 3;

/// Runs `f` in some threads of this rank; the first failure counts.
fn in_threads(f: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    let outcomes: Vec<Outcome> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                s.spawn({
                    let f = &f;
                    move || f(t)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Halt::failed("a thread panicked")))).collect()
    });
    outcomes.into_iter().collect()
}

fn by_tag(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    in_threads(|t| {
        for i in 0..60 {
            let bytes = [8, 0, 9000, 41, 30_000][(i + t) % 5];
            let mut got = vec![0u8; bytes];
            let mine = pattern::<u8>(seed(&[c.rank(), t, i]), bytes);
            c.send_recv(&mine, right, t as u32, &mut got, left, t as u32)?;
            same(format_args!("message {i} of thread {t}"), &got, &pattern(seed(&[left, t, i]), bytes))?;
        }
        Ok(())
    })
}

fn by_communicator(c: &Communicator) -> Outcome {
    let own = (0..THREADS).map(|_| c.dup()).collect::<crate::Result<Vec<_>>>()?;
    in_threads(|t| {
        let c = &own[t];
        for i in 0..40 {
            equal("a sum", c.all_reduce(&[i + t; 3], Op::Sum)?, vec![(i + t) * c.size(); 3])?;
            let request = c.iall_gather(vec![(c.rank() + t) as u8; 5])?;
            c.barrier()?;
            let want: Vec<u8> = (0..c.size()).flat_map(|rank| [(rank + t) as u8; 5]).collect();
            equal("blocks", request.wait()?, want)?;
        }
        Ok(())
    })
}

fn waiting_thread(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    // Thread 0 waits for what thread 1 of the left neighbour sends after an exchange of its own.
    in_threads(|t| {
        for i in 0..20u64 {
            match t {
                0 => equal("a message of thread 1", c.recv_vec::<u64>(left, 1)?.0, vec![i; 10])?,
                1 => {
                    c.send_recv(&[i], right, 2, &mut [0u64], left, 2)?;
                    c.send(&[i; 10], right, 1)?;
                }
                _ => {
                    let mut got = [0u8; 3];
                    let sent = c.isend(vec![1u8, 2, 3], c.rank(), 3)?;
                    c.recv(&mut got, c.rank(), 3)?;
                    equal("a message to oneself", got, [1, 2, 3])?;
                    sent.wait()?;
                }
            }
        }
        Ok(())
    })
}

fn competing_wildcards(c: &Communicator) -> Outcome {
    const EACH: usize = 40;
    let (right, left) = neighbours(c);
    let sends = (0..THREADS * EACH)
        .map(|i| c.isend(vec![i; if i % 7 == 0 { 2000 } else { 1 }], right, (i % 4) as u32))
        .collect::<crate::Result<Vec<_>>>()?;
    let taken = std::sync::Mutex::new(Vec::new());
    in_threads(|_| {
        for _ in 0..EACH {
            let (got, status) = c.recv_vec::<usize>(Any, Any)?;
            equal("source and tag", (status.source, status.tag as usize), (left, got[0] % 4))?;
            taken.lock().map_err(|_| Halt::failed("a thread panicked"))?.push(got[0]);
        }
        Ok(())
    })?;
    let mut taken = taken.into_inner().map_err(|_| Halt::failed("a thread panicked"))?;
    taken.sort_unstable();
    equal("every message once", taken, (0..THREADS * EACH).collect::<Vec<_>>())?;
    wait_all(sends)?;
    Ok(())
}

fn moved_requests(c: &Communicator) -> Outcome {
    let (right, left) = neighbours(c);
    let receive = c.irecv(vec![0u64; 5000], left, 1)?;
    let sum = c.iall_reduce(vec![1u64; 300], Op::Sum)?;
    let send = c.isend(pattern::<u64>(1, 5000), right, 1)?;
    std::thread::scope(|s| -> Outcome {
        let other = s.spawn(move || -> Outcome {
            same("the message", &receive.wait()?, &pattern(1, 5000))?;
            equal("the sum", sum.wait()?, vec![c.size() as u64; 300])
        });
        send.wait()?;
        other.join().unwrap_or_else(|_| Err(Halt::failed("a thread panicked")))
    })
}

fn groups_at_once(c: &Communicator) -> Outcome {
    let all: Vec<usize> = (0..c.size()).collect();
    in_threads(|t| {
        // The threads of different ranks come in different orders.
        let group = c.group(&format!("thread {}", (t + c.rank()) % THREADS), &all)?;
        let names = group.all_gather(&[(t + c.rank()) % THREADS])?;
        equal("ranks of one group", names, vec![(t + c.rank()) % THREADS; c.size()])
    })
}

/// The calls of another thread than the one that started the rank, one at a time: refused or carried out, each as the level says.
fn forbidden(c: &Communicator) -> Outcome {
    let allowed = c.thread_level() >= ThreadLevel::Serialized;
    let answers = |what: &str, result: Result<(), Error>| -> Outcome {
        let level = c.thread_level().to_string();
        let is_level = |kind: &ErrorKind| matches!(kind, ErrorKind::Unsupported(text) if text.contains(&level));
        match allowed {
            true => result.map_err(Halt::from),
            false => refused(what, result, "what the thread level forbids", is_level).map(|_| ()),
        }
    };
    let me = c.rank();
    let receive = c.irecv(vec![0u8; 3], me, 1)?;
    let left_alone = c.irecv(vec![0u8; 3], me, 2)?;
    let mut set = c.message_set(Method::PointToPoint, &[(me, 8)], &[(me, 8)])?;
    let mut persistent = c.message_set(Method::Persistent, &[(me, 8)], &[(me, 8)])?;
    std::thread::scope(|s| -> Outcome {
        let other = s.spawn(|| -> Outcome {
            answers("a probe", c.try_probe(me, 9).map(|_| ()))?;
            answers("a send", c.send(&[1u8, 2, 3], me, 1))?;
            answers("a started send", c.isend(vec![4u8, 5, 6], me, 2).and_then(|r| r.wait()).map(|_| ()))?;
            if !allowed {
                answers("a receive", c.recv(&mut [0u8; 3], me, 3).map(|_| ()))?;
            }
            answers("a sum", c.all_reduce(&[1u64], Op::Sum).map(|_| ()))?;
            answers("a sum of another size", c.all_reduce_in_place(&mut vec![1.0; 1000], Op::Sum))?;
            answers("a barrier", c.barrier())?;
            answers("a started barrier", c.ibarrier().and_then(|r| r.wait()))?;
            answers("a duplicate", c.dup().map(|_| ()))?;
            answers("a set", set.start().and_then(|()| set.finish(|_, _| {})))?;
            answers("a persistent set", persistent.start().and_then(|()| persistent.finish(|_, _| {})))?;
            answers("a wait", receive.wait().map(|_| ()))
        });
        other.join().unwrap_or_else(|_| Err(Halt::failed("a thread panicked")))
    })?;
    if !allowed {
        c.send(&[4u8, 5, 6], me, 2)?;
    }
    equal("a message", left_alone.wait()?, vec![4, 5, 6])?;
    equal("a sum", c.all_reduce(&[1usize], Op::Sum)?, vec![c.size()])
}
