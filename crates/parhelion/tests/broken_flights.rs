//! Exchanges that are forgotten, that fail, and in which an operator panics: sound, and told apart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use parhelion::prelude::*;
use parhelion::{BackendKind, launch};

fn config(ranks: usize) -> Config {
    Config::default().backend(BackendKind::Local).ranks(ranks).timeout(Duration::from_millis(500))
}

fn ring(world: &Communicator, scheme: Scheme) -> Result<(Decomposition<1>, DistArray<u64, 1>)> {
    let grid = Decomposition::new([8], world)?.halo(1).periodic([true]);
    grid.set_scheme(scheme);
    let array = DistArray::from_fn(&grid, |[i]| i as u64)?;
    Ok((grid, array))
}

#[test]
fn a_forgotten_exchange_is_an_error_for_those_who_wait_for_it_or_none_at_all() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            let (_, u) = ring(&world, scheme)?;
            let inflight = u.start_exchange()?;
            if world.rank() == 0 {
                std::mem::forget(inflight);
                return Ok(None);
            }
            Ok::<_, Error>(Some(inflight.finish().map(|u| u.with_halo().as_slice().map(<[u64]>::to_vec))))
        });
        match &ends.unwrap()[1] {
            // Sent messages arrive, whoever forgets them.
            Some(Ok(cells)) => assert_eq!(cells.as_deref(), Some(&[3, 4, 5, 6, 7, 0][..]), "{scheme}"),
            Some(Err(error)) => {
                let kind = error.kind();
                let told = matches!(kind, ErrorKind::PeerLost { .. } | ErrorKind::Timeout(_) | ErrorKind::Deadlock(_));
                assert!(told, "{scheme}: {error}");
            }
            None => panic!("rank 1 finishes"),
        }
    }
}

#[test]
fn after_a_failed_exchange_the_array_is_the_callers_and_the_next_one_is_refused() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            let (_, mut u) = ring(&world, scheme)?;
            u.exchange()?;
            if world.rank() == 0 {
                // Long enough for the other to give up, which it does after half a second.
                std::thread::sleep(Duration::from_millis(1500));
                return Ok(String::new());
            }
            let first = u.exchange().expect_err("nobody else exchanges");
            assert!(matches!(first.kind(), ErrorKind::Timeout(_) | ErrorKind::PeerLost { .. }), "{scheme}: {first}");
            let owned: Vec<u64> = u.owned().iter().copied().collect();
            assert_eq!(owned, [4, 5, 6, 7], "{scheme}");
            u.owned_mut().fill(9);
            let place = |u: &DistArray<u64, 1>| u.with_halo().as_slice().map(<[u64]>::as_ptr);
            let before = place(&u);
            let refusal = u.exchange().expect_err("the ranks are out of step").to_string();
            // What is refused was not started: nobody reads the array, which stays where it is.
            assert_eq!(place(&u), before, "{scheme}");
            Ok::<_, Error>(refusal)
        });
        let refusal = &ends.unwrap()[1];
        assert!(refusal.contains("failed before"), "{scheme}: {refusal}");
    }
}

#[test]
fn after_a_start_for_which_others_never_came_the_next_one_is_refused() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            // Without a halo nobody waits for neighbours: only an agreement of all ranks ever waits.
            let grid = Decomposition::new([8], &world)?;
            grid.set_scheme(scheme);
            let mut u = DistArray::full(&grid, 1u64)?;
            u.exchange()?;
            if world.rank() == 0 {
                // Longer than the other waits.
                std::thread::sleep(Duration::from_millis(1500));
                return Ok(String::new());
            }
            let failed =
                (0..10).map(|_| u.exchange()).find_map(std::result::Result::err).expect("it agrees with nobody");
            assert!(matches!(failed.kind(), ErrorKind::Timeout(_) | ErrorKind::Deadlock(_)), "{scheme}: {failed}");
            Ok::<_, Error>(u.exchange().expect_err("it counts starts that rank 0 does not").to_string())
        });
        let refusal = &ends.unwrap()[1];
        assert!(refusal.contains("failed before"), "{scheme}: {refusal}");
    }
}

#[test]
fn a_test_finds_that_a_neighbour_is_lost_and_so_does_the_finish_after_it() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(3), |world| {
            let (_, mut u) = ring(&world, scheme)?;
            u.exchange()?;
            if world.rank() == 0 {
                return Ok(None);
            }
            let mut inflight = u.start_exchange()?;
            // Longer than any wait: what is not found by then never is.
            let deadline = Instant::now() + Duration::from_secs(60);
            let error = loop {
                match inflight.test() {
                    Ok(false) => assert!(Instant::now() < deadline, "{scheme}: rank {} polls for ever", world.rank()),
                    Ok(true) => panic!("{scheme}: done without rank 0"),
                    Err(error) => break error,
                }
            };
            Ok::<_, Error>(Some((error, inflight.finish().expect_err("the test has failed"))))
        });
        for end in ends.unwrap().into_iter().skip(1) {
            let (tested, finished) = end.expect("ranks 1 and 2 test");
            assert!(matches!(tested.kind(), ErrorKind::PeerLost { .. }), "{scheme}: {tested}");
            assert_eq!(tested.kind(), finished.kind(), "{scheme}");
        }
    }
}

#[test]
fn a_panic_of_the_operator_goes_on_and_leaves_the_array_to_its_owner() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            let (_, mut u) = ring(&world, scheme)?;
            let rank = world.rank();
            let adjoint = AssertUnwindSafe(|| {
                u.exchange_adjoint(|a: u64, b: u64| {
                    assert!(rank == 0, "the operator of rank 1");
                    a + b
                })
            });
            let end = catch_unwind(adjoint);
            if rank == 1 {
                let panic = end.expect_err("it panicked");
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                assert_eq!(text.or(panic.downcast_ref::<String>().cloned()).as_deref(), Some("the operator of rank 1"));
                u.owned_mut().fill(1);
                assert_eq!(u.owned().iter().sum::<u64>(), 4);
            }
            Ok::<_, Error>(())
        });
        ends.unwrap();
    }
}

/// What every rank is told where the ranks do not ask for the same.
fn disagreement(part: impl Fn(&Communicator, &Decomposition<1>) -> Result<()> + Sync) {
    let mut config = config(3).timeout(Duration::from_secs(30));
    config.checks = true;
    let ends = launch(&config, |world| {
        let grid = Decomposition::new([9], &world)?.halo(1).periodic([true]);
        Ok::<_, Error>(part(&world, &grid).expect_err("the ranks disagree"))
    });
    for error in ends.unwrap() {
        assert!(matches!(error.kind(), ErrorKind::Mismatch(_)), "{error}");
    }
}

#[test]
fn ranks_that_exchange_different_types_are_told() {
    disagreement(|world, grid| match world.rank() {
        0 => DistArray::<f64, 1>::zeros(grid)?.exchange(),
        _ => DistArray::<u64, 1>::zeros(grid)?.exchange(),
    });
}

#[test]
fn ranks_that_exchange_by_different_schemes_are_told() {
    for other in [Scheme::P2p, Scheme::Auto] {
        disagreement(|world, grid| {
            grid.set_scheme(if world.rank() == 1 { other } else { Scheme::Shared });
            DistArray::<f64, 1>::zeros(grid)?.exchange()
        });
    }
}

#[test]
fn a_decision_that_only_some_ranks_have_is_found() {
    disagreement(|world, grid| {
        grid.set_scheme(Scheme::Auto);
        DistArray::<f64, 1>::zeros(grid)?.exchange()?;
        let again = Decomposition::new([9], world)?.halo(1).periodic([true]);
        again.set_scheme(Scheme::Auto);
        if world.rank() == 2 {
            again.use_decision(grid.decisions().remove(0));
        }
        DistArray::<f64, 1>::zeros(&again)?.exchange()
    });
}

/// A vector of which each rank has copies of the other's elements, all ones.
fn ones(world: &Communicator, scheme: Scheme) -> Result<DistVector<u64>> {
    let index = Descriptor::builder(world).blocks(4).halo(0..8).assemble()?;
    index.set_scheme(scheme);
    let mut x = DistVector::zeros(&index);
    x.local_mut().fill(1);
    Ok(x)
}

#[test]
fn a_panic_of_the_operator_of_a_started_adjoint_goes_on_and_keeps_nobody() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            let rank = world.rank();
            let x = ones(&world, scheme)?;
            let inflight = x.start_exchange_adjoint(move |a: u64, b: u64| {
                assert!(rank == 0, "the operator of rank 1");
                a + b
            })?;
            let end = catch_unwind(AssertUnwindSafe(|| inflight.finish()));
            if rank == 1 {
                end.expect_err("it panicked");
            } else if let Ok(x) = end.expect("only the operator of rank 1 panics") {
                assert_eq!(x.owned(), [2; 4], "{scheme}");
            }
            Ok::<_, Error>(())
        });
        ends.unwrap();
    }
}

#[test]
fn a_forgotten_adjoint_is_an_error_for_those_who_wait_for_it_or_none_at_all() {
    for scheme in Scheme::ALL {
        let ends = launch(&config(2), |world| {
            let inflight = ones(&world, scheme)?.start_exchange_adjoint(Op::Sum)?;
            if world.rank() == 0 {
                std::mem::forget(inflight);
                return Ok(None);
            }
            Ok::<_, Error>(Some(inflight.finish().map(|x| x.owned().to_vec())))
        });
        match &ends.unwrap()[1] {
            Some(Ok(owned)) => assert_eq!(owned, &[2; 4], "{scheme}"),
            Some(Err(error)) => {
                let kind = error.kind();
                let told = matches!(kind, ErrorKind::PeerLost { .. } | ErrorKind::Timeout(_) | ErrorKind::Deadlock(_));
                assert!(told, "{scheme}: {error}");
            }
            None => panic!("rank 1 finishes"),
        }
    }
}
