//! Requests that are leaked, dropped, abandoned or torn by a panic, while their messages come later.
//!
//! A [`Marked`] buffer takes the place of one that was freed: if a late message were still written to it, the marks would
//! not survive.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use parhelion_comm::{Any, Communicator, Error, ErrorKind, Op};

use crate::bounds::{kind, launch, ranks, run};

/// Short enough for a ring cell, buffered, and taken straight from the sender's memory.
const SIZES: [usize; 3] = [16, 4000, 60_000];

/// Fresh allocations of the size just freed, which nobody may touch.
struct Marked(Vec<Vec<u8>>);

impl Marked {
    fn new(bytes: usize) -> Self {
        Marked((0..8).map(|_| vec![0xA5; bytes]).collect())
    }

    fn check(&self, what: &str) {
        let intact = self.0.iter().flatten().all(|&x| x == 0xA5);
        assert!(intact, "{what}: a late message was written into freed memory");
    }
}

/// Runs `loses` at rank 1, which leaves a receive of tag 1 from rank 0 behind in some way; then the message comes, and
/// must go to the next receive and nowhere else.
fn late_message(what: &'static str, loses: impl Fn(&Communicator, usize) + Send + Sync + 'static) {
    run(ranks(2), move |world| {
        for round in 0..40u64 {
            for bytes in SIZES {
                if world.rank() == 1 {
                    loses(&world, bytes);
                    let marked = Marked::new(bytes);
                    world.barrier()?;
                    std::thread::yield_now();
                    assert_eq!(world.recv_vec::<u8>(0, 1)?.0, vec![round as u8; bytes], "{what}");
                    marked.check(what);
                } else {
                    world.barrier()?;
                    world.send(&vec![round as u8; bytes], 1, 1)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_dropped_receive_frees_its_buffer_only_when_nothing_can_come() {
    late_message("a dropped receive", |world, bytes| {
        drop(world.irecv(vec![0u8; bytes], 0, 1).unwrap());
        drop(world.irecv(vec![0u8; bytes], Any, Any).unwrap());
    });
}

#[test]
fn a_cancelled_receive_lets_go_of_its_buffer() {
    late_message("a cancelled receive", |world, bytes| {
        let mut request = world.irecv(vec![0u8; bytes], 0, 1).unwrap();
        assert!(request.cancel().unwrap());
        assert_eq!(kind(request.wait()), ErrorKind::Cancelled);
    });
}

#[test]
fn a_panicking_scope_lets_go_of_its_buffers() {
    late_message("a panicking scope", |world, bytes| {
        let mut heap = vec![0u8; bytes];
        let mut stack = [0u8; 16];
        let panic = catch_unwind(AssertUnwindSafe(|| {
            world.scope(|s| -> Result<(), Error> {
                s.recv(&mut heap, 0, 1)?;
                let _ = ManuallyDrop::new(s.recv(&mut stack, Any, 1)?);
                resume_unwind(Box::new("on purpose"))
            })
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    });
}

#[test]
fn a_failing_scope_lets_go_of_its_buffers() {
    late_message("a failing scope", |world, bytes| {
        let mut heap = vec![0u8; bytes];
        let result = world.scope(|s| {
            s.recv(&mut heap, 0, 1)?;
            Err::<(), _>(Error::new("test", ErrorKind::Cancelled))
        });
        assert_eq!(kind(result), ErrorKind::Cancelled);
    });
}

#[test]
fn receives_that_timed_out_let_go_of_their_buffers() {
    run(ranks(2).timeout(Duration::from_millis(200)), |world| {
        for round in 0..4u8 {
            for bytes in SIZES {
                if world.rank() == 1 {
                    let mut blocking = vec![0u8; bytes];
                    match round % 3 {
                        0 => assert!(matches!(kind(world.recv(&mut blocking, 0, 1)), ErrorKind::Timeout(_))),
                        1 => {
                            let request = world.irecv(vec![0u8; bytes], 0, 1)?;
                            assert!(matches!(kind(request.wait()), ErrorKind::Timeout(_)));
                        }
                        _ => {
                            let result = world.scope(|s| s.recv(&mut blocking, 0, 1)?.wait());
                            assert!(matches!(kind(result), ErrorKind::Timeout(_)));
                        }
                    }
                    drop(blocking);
                    let marked = Marked::new(bytes);
                    world.send(&[1u8], 0, 9)?;
                    assert_eq!(world.recv_vec::<u8>(0, 1)?.0, vec![round; bytes]);
                    marked.check("a receive that timed out");
                } else {
                    // The other side has given up.
                    while world.try_probe(1, 9)?.is_none() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    world.recv(&mut [0u8], 1, 9)?;
                    world.send(&vec![round; bytes], 1, 1)?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_send_that_timed_out_is_gone_before_its_buffer_is() {
    run(ranks(2).timeout(Duration::from_millis(400)), |world| {
        for round in 0..4u8 {
            if world.rank() == 0 {
                let mut data = vec![1u8; 60_000];
                let failed = world.send(&data, 1, 1);
                assert!(matches!(kind(failed), ErrorKind::Timeout(_)));
                // The buffer is the caller's again, to do with what they like.
                data.fill(0xEE);
                drop(data);
                let _marked = Marked::new(60_000);
                world.send(&[round], 1, 2)?;
            } else {
                while world.try_probe(0, 2)?.is_none() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                world.recv(&mut [0u8], 0, 2)?;
                // Either the message was withdrawn, or what comes is what was sent.
                if let Some(message) = world.try_probe_message(0, 1)? {
                    assert_eq!(message.recv_vec::<u8>()?.0, vec![1; 60_000], "memory of a send that had failed");
                }
            }
            // The next round's send must find nobody who takes it.
            world.barrier()?;
        }
        Ok(())
    });
}

#[test]
fn forgotten_requests_keep_their_buffers() {
    run(ranks(2), |world| {
        for round in 0..40u64 {
            for bytes in SIZES {
                let peer = 1 - world.rank();
                std::mem::forget(world.irecv(vec![0u8; bytes], peer, 1)?);
                std::mem::forget(world.isend(vec![round as u8; bytes], peer, 2)?);
                std::mem::forget(world.iall_reduce(vec![round; bytes / 8], |a: u64, b: u64| a + b)?);
                let marked = Marked::new(bytes);
                world.barrier()?;
                world.isend(vec![7u8; bytes], peer, 1)?.wait()?;
                assert_eq!(world.recv_vec::<u8>(peer, 2)?.0, vec![round as u8; bytes]);
                world.barrier()?;
                marked.check("a forgotten receive");
            }
        }
        Ok(())
    });
}

#[test]
fn dropped_sends_keep_their_buffers_until_they_are_taken() {
    run(ranks(3), |world| {
        let (right, left) = ((world.rank() + 1) % 3, (world.rank() + 2) % 3);
        for round in 0..40u8 {
            for bytes in SIZES {
                drop(world.isend(vec![round; bytes], right, 1)?);
                let marked = Marked::new(bytes);
                world.barrier()?;
                assert_eq!(world.recv_vec::<u8>(left, 1)?.0, vec![round; bytes]);
                marked.check("a dropped send");
            }
        }
        Ok(())
    });
}

#[test]
fn dropped_collectives_keep_their_buffers_and_closures() {
    run(ranks(3), |world| {
        for round in 0..60u64 {
            let table = vec![round; 50];
            let closure = move |a: u64, b: u64| a + b + table[(a % 50) as usize] - round;
            let sum = world.iall_reduce(vec![1u64; 3000], closure)?;
            let gathered = world.iall_gather(vec![world.rank() as u8; 5000])?;
            if round % 3 == world.rank() as u64 {
                drop((sum, gathered));
                let marked = Marked::new(24_000);
                let small = Marked::new(400);
                world.barrier()?;
                marked.check("a dropped collective");
                small.check("a dropped closure");
            } else {
                world.barrier()?;
                assert_eq!(sum.wait()?, vec![3; 3000]);
                assert!(gathered.wait()?.chunks(5000).enumerate().all(|(rank, block)| block == vec![rank as u8; 5000]));
            }
        }
        Ok(())
    });
}

#[test]
fn a_rank_that_ends_with_operations_in_flight_harms_nobody() {
    for round in 0..30 {
        let result = launch(ranks(3), move |world| {
            let mut requests = Vec::new();
            for peer in 0..3 {
                for bytes in SIZES {
                    requests.push(world.isend(vec![1u8; bytes], peer, 1)?);
                    requests.push(world.irecv(vec![0u8; bytes], peer, 2)?);
                }
            }
            let sum = world.iall_reduce(vec![1u64; 2000], Op::Sum)?;
            match (world.rank() + round) % 3 {
                // Leaves with all of it, or fails.
                0 => Ok(()),
                1 => Err(Error::new("test", ErrorKind::Cancelled)),
                _ => {
                    for peer in 0..3 {
                        if let Ok((data, _)) = world.recv_vec::<u8>(peer, 1) {
                            assert!(data.iter().all(|&x| x == 1), "what a lost rank sent");
                        }
                    }
                    if let Ok(sum) = sum.wait() {
                        assert_eq!(sum, vec![3; 2000]);
                    }
                    Ok(())
                }
            }
        });
        assert_eq!(kind(result), ErrorKind::Cancelled);
    }
}

#[test]
fn a_panic_with_operations_in_flight_harms_nobody() {
    for _ in 0..30 {
        let panic = catch_unwind(|| {
            parhelion_comm::launch(&ranks(3), |world| {
                let _sent = world.isend(vec![5u8; 60_000], (world.rank() + 1) % 3, 1)?;
                let _sum = world.iall_reduce(vec![1u64; 2000], |a: u64, b: u64| a + b)?;
                let mine = vec![6u8; 60_000];
                let mut buffer = vec![0u8; 60_000];
                world.scope(|s| {
                    s.recv(&mut buffer, (world.rank() + 2) % 3, 2)?;
                    if world.rank() == 1 {
                        resume_unwind(Box::new("on purpose"));
                    }
                    s.send(&mine, (world.rank() + 1) % 3, 2)?;
                    Ok(())
                })
            })
        });
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"on purpose"));
    }
}

#[test]
fn a_panicking_closure_of_a_reduction_is_a_panic_of_its_rank() {
    for size in [1, 3] {
        for bytes in [8, 80_000] {
            let panic = catch_unwind(|| {
                parhelion_comm::launch(&ranks(size), |world| {
                    let data = vec![world.rank() as u64; bytes / 8];
                    let angry = |_: u64, _: u64| -> u64 { resume_unwind(Box::new("on purpose")) };
                    world.all_reduce(&data, angry).map(drop)
                })
            });
            // With one rank nothing is combined.
            match panic {
                Ok(result) => assert!(size == 1 && result.is_ok(), "{result:?}"),
                Err(payload) => assert_eq!((payload.downcast_ref(), size), (Some(&"on purpose"), 3)),
            }
        }
    }
}
