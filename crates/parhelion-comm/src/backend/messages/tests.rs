//! The algorithms on nothing but point-to-point, against what they must give.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::choice::{Algorithm, choose};
use super::combine::Combine;
use super::place::Place;
use super::{Call, Fault, Lane, Outcome, by_messages, check, exchange};
use crate::backend::{CollectiveKind as Kind, Counts, Pending, SendMode, Transport};
use crate::element::ElementType;
use crate::error::{Error, ErrorKind, Result};
use crate::op::sealed::Sealed;
use crate::status::{Source, TagSelector};
use crate::{BackendKind, Communicator, Config, Op, launch};

/// The messages of one operation on a communicator that carries nothing else.
struct Plain {
    transport: Arc<dyn Transport>,
    tag: u32,
}

struct Flight(Option<Box<dyn Pending>>, Vec<crate::backend::Keep>);

impl Future for Flight {
    type Output = Result<usize>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<usize>> {
        let pending = self.0.as_mut().expect("not asked again after it answered");
        match pending.test().transpose() {
            None => Poll::Pending,
            Some(result) => {
                self.0 = None;
                Poll::Ready(result.map(|status| status.bytes))
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(pending) = self.0.take() {
            pending.abandon(Box::new(std::mem::take(&mut self.1)));
        }
    }
}

impl Lane for Plain {
    type Flight = Flight;

    fn rank(&self) -> usize {
        self.transport.rank()
    }

    fn size(&self) -> usize {
        self.transport.size()
    }

    fn operation(&self) -> &'static str {
        "test"
    }

    fn send(&self, from: &Place, dest: usize) -> Result<Flight> {
        // SAFETY: every test below keeps borrowed memory until its operation is over, and the rest is kept with the flight.
        let pending = unsafe { self.transport.isend(from.ptr, from.len, dest, self.tag, SendMode::Standard)? };
        Ok(Flight(Some(pending), from.keep()))
    }

    fn recv(&self, into: &Place, source: usize) -> Result<Flight> {
        // SAFETY: as above.
        let pending =
            unsafe { self.transport.irecv(into.ptr, into.len, Source::Rank(source), TagSelector::Tag(self.tag))? };
        Ok(Flight(Some(pending), into.keep()))
    }
}

/// Asks `operation` until it is done, for half a minute.
fn block_on<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = std::pin::pin!(operation);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match operation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => return result,
            Poll::Pending => assert!(Instant::now() < deadline, "the operation does not end"),
        }
        std::thread::yield_now();
    }
}

/// Carries out what `calls` gives, with its number as tag, on 1 to 9 ranks, in both ways.
fn on_all(test: impl Fn(&Communicator, &mut dyn FnMut(Call) -> Outcome) -> Result<()> + Send + Sync) {
    for ranks in 1..=9 {
        let config = Config::default().ranks(ranks).backend(BackendKind::Local);
        launch(&config, |world| {
            let transport = world.dup()?.shared_transport();
            for at_once in [false, true] {
                let mut tag = 0;
                test(&world, &mut |call| {
                    tag += 1;
                    let lane = Plain { transport: transport.clone(), tag };
                    block_on(async {
                        check(&lane, &call, false).await?;
                        // SAFETY: the test keeps what the call points to.
                        unsafe { by_messages(&lane, &call, at_once) }.await
                    })
                })?;
                world.barrier()?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

fn done(outcome: Outcome) -> Result<()> {
    outcome.map_err(Fault::surface)
}

/// A call without parts.
fn call(kind: Kind) -> Call {
    Call {
        kind,
        element: ElementType::of::<i64>(),
        root: 0,
        varying: false,
        send: std::ptr::null(),
        send_counts: Counts::Same(0),
        recv: std::ptr::null_mut(),
        recv_counts: Counts::Same(0),
        kernel: None,
        refused: false,
    }
}

/// What rank `rank` sends: no two elements alike.
fn values(rank: usize, count: usize) -> Vec<i64> {
    (0..count).map(|i| (1000 * (rank + 1) + i) as i64).collect()
}

/// Counts that differ from rank to rank, some of them zero.
fn varying(size: usize) -> &'static [usize] {
    Box::leak((0..size).map(|r| (r * 5) % 7).collect())
}

#[test]
fn data_is_moved_where_it_belongs() {
    on_all(|world, carry_out| {
        let (rank, size) = (world.rank(), world.size());
        done(carry_out(call(Kind::Barrier)))?;
        for root in 0..size {
            let mut data = if rank == root { values(root, 5) } else { vec![0; 5] };
            let recv = data.as_mut_ptr().cast();
            done(carry_out(Call { root, recv, recv_counts: Counts::Same(5), ..call(Kind::Broadcast) }))?;
            assert_eq!(data, values(root, 5));

            let counts = varying(size);
            let all: Vec<i64> = (0..size).flat_map(|r| values(r, counts[r])).collect();
            let mine = values(rank, counts[rank]);
            let mut got = vec![0; if rank == root { all.len() } else { 0 }];
            let at_root = |counts| if rank == root { Counts::Each(counts) } else { Counts::Same(0) };
            done(carry_out(Call {
                root,
                varying: true,
                send: mine.as_ptr().cast(),
                send_counts: Counts::Same(mine.len()),
                recv: got.as_mut_ptr().cast(),
                recv_counts: at_root(counts),
                ..call(Kind::Gather)
            }))?;
            assert!(rank != root || got == all);

            let mut back = vec![0; counts[rank]];
            done(carry_out(Call {
                root,
                varying: true,
                send: got.as_ptr().cast(),
                send_counts: at_root(counts),
                recv: back.as_mut_ptr().cast(),
                recv_counts: Counts::Same(back.len()),
                ..call(Kind::Scatter)
            }))?;
            assert_eq!(back, mine);
        }
        let mut got = vec![0; 3 * size];
        done(carry_out(Call {
            send: values(rank, 3).as_ptr().cast(),
            send_counts: Counts::Same(3),
            recv: got.as_mut_ptr().cast(),
            recv_counts: Counts::Same(3),
            ..call(Kind::AllGather)
        }))?;
        assert_eq!(got, (0..size).flat_map(|r| values(r, 3)).collect::<Vec<_>>());

        let mine = values(rank, 2 * size);
        let mut got = vec![0; 2 * size];
        done(carry_out(Call {
            send: mine.as_ptr().cast(),
            send_counts: Counts::Same(2),
            recv: got.as_mut_ptr().cast(),
            recv_counts: Counts::Same(2),
            ..call(Kind::AllToAll)
        }))?;
        assert_eq!(got, (0..size).flat_map(|r| values(r, 2 * size)[2 * rank..][..2].to_vec()).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn elements_are_combined_in_the_order_of_ranks() {
    // Associative and not commutative: who stands first wins the sign, who stands last the value.
    let ends = |a: i64, b: i64| a / 1_000_000 * 1_000_000 + b % 1_000_000;
    let term = |rank: usize, i: usize| (1_000_000 * (rank + 1) + 100 * rank + i) as i64;
    let of = |ranks: std::ops::Range<usize>, i: usize| ranks.map(|r| term(r, i)).reduce(ends);
    on_all(|world, carry_out| {
        let (rank, size) = (world.rank(), world.size());
        let kernel = <_ as Sealed<i64>>::kernel(&ends)?;
        // SAFETY: the closure outlives every call here.
        let kernel = Some(unsafe { kernel.forget_lifetime() });
        let mine: Vec<i64> = (0..4 * size).map(|i| term(rank, i)).collect();
        let mut got = vec![-1; 4 * size];
        let mut reduce = |kind, root, count, result: usize| {
            got.fill(-1);
            let outcome = carry_out(Call {
                root,
                send: mine.as_ptr().cast(),
                send_counts: Counts::Same(count),
                recv: got.as_mut_ptr().cast(),
                recv_counts: Counts::Same(result),
                kernel,
                ..call(kind)
            });
            done(outcome).map(|()| got.clone())
        };
        let n = 3;
        let expected =
            |ranks: std::ops::Range<usize>| (0..n).map(|i| of(ranks.clone(), i).unwrap()).collect::<Vec<_>>();
        assert_eq!(reduce(Kind::AllReduce, 0, n, n)?[..n], expected(0..size));
        assert_eq!(reduce(Kind::Scan, 0, n, n)?[..n], expected(0..rank + 1));
        let before = reduce(Kind::ExclusiveScan, 0, n, n)?;
        assert!(if rank == 0 { before == vec![-1; 4 * size] } else { before[..n] == expected(0..rank) });
        for root in 0..size {
            let whole = reduce(Kind::Reduce, root, n, if rank == root { n } else { 0 })?;
            assert!(rank != root || whole[..n] == expected(0..size));
        }
        let block = reduce(Kind::ReduceScatter, 0, 4, 4)?;
        assert_eq!(block[..4], (4 * rank..4 * rank + 4).map(|i| of(0..size, i).unwrap()).collect::<Vec<_>>());
        Ok(())
    });
}

/// What `algorithm` gives for vectors of so many elements, on 1 to 9 ranks.
fn all_reduces(counts: &[usize], algorithm: Algorithm, fatal: Option<usize>) {
    let ends = |a: i64, b: i64| a / 1_000_000 * 1_000_000 + b % 1_000_000;
    let term = |rank: usize, i: usize| (1_000_000 * (rank + 1) + 1000 * rank + i) as i64;
    for ranks in 1..=9 {
        let config = Config::default().ranks(ranks).backend(BackendKind::Local);
        launch(&config, |world| {
            let (rank, size) = (world.rank(), world.size());
            let transport = world.dup()?.shared_transport();
            let operator = |a: i64, b: i64| if fatal == Some(rank) { panic!("on purpose") } else { ends(a, b) };
            // SAFETY: the closure outlives every call here.
            let kernel = unsafe { <_ as Sealed<i64>>::kernel(&operator)?.forget_lifetime() };
            for (tag, &count) in counts.iter().enumerate() {
                let lane = Plain { transport: transport.clone(), tag: tag as u32 };
                let mine: Vec<i64> = (0..count).map(|i| term(rank, i)).collect();
                let mut combine = Combine::new(&lane, kernel, count);
                // SAFETY: the vector has so many elements.
                let part = unsafe { combine.copy(mine.as_ptr().cast()) };
                let whole = block_on(async {
                    match algorithm {
                        Algorithm::RecursiveDoubling => combine.recursive_doubling(part).await,
                        Algorithm::Ring => combine.around_the_ring(part).await,
                        _ => combine.rabenseifner(part).await,
                    }
                })?;
                let mut got = vec![0i64; count];
                // SAFETY: as above, and used once.
                let poisoned = whole.deliver(&unsafe { Place::borrowed(got.as_mut_ptr().cast(), count * 8) }, 0);
                match combine.conclude(poisoned) {
                    // With a fatal operator, too, where nobody needs what that rank has combined.
                    Ok(()) => {
                        let in_order = |i: usize| (0..size).map(|r| term(r, i)).reduce(ends).expect("a rank");
                        // Each range begins with the rank of its number, and later ranks stand before it.
                        let around = |i: usize| {
                            let (even, more) = (count / size, count % size);
                            let first = (0..size).rfind(|c| even * c + more.min(*c) <= i).expect("a range");
                            (0..size).map(|r| term((first + r) % size, i)).reduce(|a, b| ends(b, a)).expect("a rank")
                        };
                        let right = |i: usize| if algorithm == Algorithm::Ring { around(i) } else { in_order(i) };
                        assert_eq!(got, (0..count).map(right).collect::<Vec<_>>(), "{count} elements, {size} ranks");
                    }
                    Err(Fault::Panic(_)) => assert_eq!(fatal, Some(rank)),
                    Err(Fault::Error(error)) => assert!(fatal.is_some() && error.peer() == fatal, "{error}"),
                }
                world.barrier()?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

const COUNTS: [usize; 7] = [0, 1, 2, 5, 16, 100, 4097];

#[test]
fn recursive_doubling_gives_all_the_combination_in_rank_order() {
    all_reduces(&COUNTS, Algorithm::RecursiveDoubling, None);
}

#[test]
fn rabenseifners_algorithm_gives_all_the_combination_in_rank_order() {
    all_reduces(&COUNTS, Algorithm::Rabenseifner, None);
}

#[test]
fn a_ring_gives_all_the_combination_from_each_range_on_around() {
    all_reduces(&COUNTS, Algorithm::Ring, None);
}

#[test]
fn an_operator_that_panics_at_a_pair_keeps_nobody_waiting() {
    for rank in [0, 1, 3] {
        all_reduces(&[1, 100], Algorithm::Ring, Some(rank));
        all_reduces(&[1, 100], Algorithm::RecursiveDoubling, Some(rank));
        all_reduces(&[1, 100], Algorithm::Rabenseifner, Some(rank));
    }
}

#[test]
fn blocks_of_any_length_are_gathered_by_all() {
    for ranks in 1..=9 {
        let config = Config::default().ranks(ranks).backend(BackendKind::Local);
        launch(&config, |world| {
            let (rank, size) = (world.rank(), world.size());
            let transport = world.dup()?.shared_transport();
            let lanes = [0, 1].map(|tag| Plain { transport: transport.clone(), tag });
            let mine = values(rank, varying(size)[rank]);
            let expected: Vec<i64> = (0..size).flat_map(|r| values(r, varying(size)[r])).collect();
            // SAFETY: only read, and it lives until both are done.
            let send = unsafe { Place::borrowed(mine.as_ptr().cast_mut().cast(), mine.len() * 8) };
            let mut got = [(); 2].map(|()| vec![0i64; expected.len()]);
            let blocks = got.each_mut().map(|got| {
                // SAFETY: it lives until both are done, and is not otherwise used before.
                let whole = unsafe { Place::borrowed(got.as_mut_ptr().cast(), got.len() * 8) };
                let mut next = 0;
                let lens = varying(size).iter().map(|count| count * 8);
                lens.map(|len| {
                    next += len;
                    Some(whole.part(next - len, len))
                })
                .collect::<Vec<_>>()
            });
            block_on(exchange::ring(&lanes[0], &send, &blocks[0]))?;
            block_on(exchange::bruck(&lanes[1], &send, &blocks[1]))?;
            assert_eq!(got, [expected.clone(), expected]);
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn a_long_average_has_the_same_bits_at_every_rank() {
    const COUNT: usize = 270_000;
    let term = |rank: usize, i: usize| ((rank * COUNT + i) as f64).sin();
    on_all(|world, carry_out| {
        let (rank, size) = (world.rank(), world.size());
        let kernel = <Op as Sealed<f64>>::kernel(&Op::Average)?;
        // SAFETY: a built-in operator borrows nothing.
        let kernel = unsafe { kernel.forget_lifetime() };
        let algorithm = choose(Kind::AllReduce, size, COUNT * 8, kernel.in_any_order());
        assert_eq!(algorithm == Algorithm::Ring, size <= 3, "of {size} ranks");
        let mine: Vec<f64> = (0..COUNT).map(|i| term(rank, i)).collect();
        let mut got = vec![0f64; COUNT];
        done(carry_out(Call {
            send: mine.as_ptr().cast(),
            send_counts: Counts::Same(COUNT),
            recv: got.as_mut_ptr().cast(),
            recv_counts: Counts::Same(COUNT),
            kernel: Some(kernel),
            element: ElementType::of::<f64>(),
            ..call(Kind::AllReduce)
        }))?;
        for (i, got) in got.iter().enumerate() {
            let right = (0..size).map(|r| term(r, i)).sum::<f64>() / size as f64;
            assert!((got - right).abs() < 1e-13, "element {i} of {size} ranks");
        }
        let bits: Vec<u64> = got.iter().map(|x| x.to_bits()).collect();
        let mut first = bits.clone();
        world.broadcast(&mut first, 0)?;
        assert!(bits == first, "rank {rank} of {size} has other bits than rank 0");
        Ok(())
    });
}

#[test]
fn blocks_for_all_travel_together_and_arrive_apart() {
    for ranks in 1..=9 {
        let config = Config::default().ranks(ranks).backend(BackendKind::Local);
        launch(&config, |world| {
            let (rank, size) = (world.rank(), world.size());
            let transport = world.dup()?.shared_transport();
            for (tag, count) in [0, 1, 3, 17].into_iter().enumerate() {
                let lane = Plain { transport: transport.clone(), tag: tag as u32 };
                let mine = values(rank, count * size);
                let mut got = vec![0i64; count * size];
                // SAFETY: the first is only read; both live until it is done.
                let (send, recv) = unsafe {
                    let bytes = mine.len() * 8;
                    (
                        Place::borrowed(mine.as_ptr().cast_mut().cast(), bytes),
                        Place::borrowed(got.as_mut_ptr().cast(), bytes),
                    )
                };
                block_on(exchange::bruck_swap(&lane, &send, &recv))?;
                let from = |r: usize| values(r, count * size)[count * rank..][..count].to_vec();
                assert_eq!(got, (0..size).flat_map(from).collect::<Vec<_>>(), "{count} elements, {size} ranks");
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    }
}

#[test]
fn ranks_that_disagree_all_learn_it() {
    on_all(|world, carry_out| {
        if world.size() == 1 {
            return Ok(());
        }
        let odd = world.rank() == world.size() - 1;
        let mut data = [0i64; 3];
        let recv_counts = Counts::Same(if odd { 2 } else { 3 });
        let outcome = carry_out(Call { recv: data.as_mut_ptr().cast(), recv_counts, ..call(Kind::Broadcast) });
        assert!(matches!(done(outcome).unwrap_err().kind(), ErrorKind::Mismatch(_)));
        Ok(())
    });
}

#[test]
fn an_operator_that_panics_is_an_error_at_the_others() {
    on_all(|world, carry_out| {
        let (rank, size) = (world.rank(), world.size());
        let fatal = move |a: i64, b: i64| if rank == 0 { panic!("on purpose") } else { a + b };
        // SAFETY: the closure outlives the call.
        let kernel = Some(unsafe { <_ as Sealed<i64>>::kernel(&fatal)?.forget_lifetime() });
        let (mine, mut got) = ([1i64], [0i64]);
        let sum = <Op as Sealed<i64>>::kernel(&Op::Sum)?;
        let sums = |kernel, recv: *mut u8| Call {
            send: mine.as_ptr().cast(),
            send_counts: Counts::Same(1),
            recv,
            recv_counts: Counts::Same(1),
            kernel,
            ..call(Kind::AllReduce)
        };
        match carry_out(sums(kernel, got.as_mut_ptr().cast())) {
            Ok(()) => {
                assert!(size == 1 || got == [size as i64], "combined by this rank alone: its own operator is sound")
            }
            Err(Fault::Panic(payload)) => assert!(rank == 0 && payload.is::<&str>()),
            Err(Fault::Error(error)) => assert!(matches!(error.kind(), ErrorKind::PeerLost { rank: 0, .. }), "{error}"),
        }
        // The lanes of later operations are clean.
        // SAFETY: a built-in operator borrows nothing.
        done(carry_out(sums(Some(unsafe { sum.forget_lifetime() }), got.as_mut_ptr().cast())))?;
        assert_eq!(got, [size as i64]);
        Ok(())
    });
}
