//! Windows: locks that nobody gives back, and ranks that end in an epoch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::time::Duration;

use parhelion_comm::{Error, ErrorKind, Lock, Op, Window};

use crate::bounds::{kind, ranks, run, within};

#[test]
fn ranks_that_wait_for_each_others_locks_are_told() {
    let errors = run(ranks(2), |world| {
        let mut window = Window::<u64>::allocate(&world, 1)?;
        let result = window.passive(|epoch| {
            let mine = epoch.lock(world.rank(), Lock::Exclusive)?;
            world.barrier()?;
            epoch.lock(1 - world.rank(), Lock::Shared)?;
            mine.unlock()
        });
        Ok(result.expect_err("no lock can be had"))
    });
    // The first to be told gives up its lock, which the other may get before it is told; it hears of the first then.
    let (told, others): (Vec<&Error>, Vec<&Error>) =
        errors.iter().partition(|error| matches!(error.kind(), ErrorKind::Deadlock(_)));
    assert!(!told.is_empty(), "{errors:?}");
    for error in told {
        let text = error.to_string();
        for part in ["for the lock of rank 0's part, which rank 0 holds", "for the lock of rank 1's part"] {
            assert!(text.contains(part), "no {part:?} in: {text}");
        }
    }
    assert!(others.iter().all(|error| matches!(error.kind(), ErrorKind::PeerLost { .. })), "{errors:?}");
}

#[test]
fn a_rank_that_does_not_come_to_an_epoch_is_lost() {
    let survivors = Barrier::new(2);
    run(ranks(3), move |world| {
        let mut window = Window::<u64>::allocate(&world, 1)?;
        if world.rank() != 1 {
            let error = window.fence(|_| Ok(())).expect_err("rank 1 has returned");
            assert!(matches!(error.kind(), ErrorKind::PeerLost { rank: 1, .. }), "{error}");
            assert!(window.is_broken());
            survivors.wait();
        }
        Ok(())
    });
}

#[test]
fn a_rank_that_panics_in_an_epoch_gives_its_locks_back_and_is_named() {
    within(Duration::from_secs(20), || {
        let survivors = Barrier::new(2);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            parhelion_comm::launch(&ranks(3), |world| {
                let mut window = Window::<u64>::allocate(&world, 1)?;
                let result = window.passive(|epoch| {
                    let held = epoch.lock(0, Lock::Exclusive)?;
                    held.accumulate(0, &[1], Op::Sum)?;
                    assert!(world.rank() != 1, "on purpose");
                    Ok(())
                });
                let error = result.expect_err("rank 1 panics");
                let ErrorKind::PeerLost { rank, how } = error.kind() else { panic!("expected a loss, got {error}") };
                assert_eq!(*rank, 1, "{error}");
                assert!(how.contains("panicked"), "{error}");
                survivors.wait();
                Ok::<_, Error>(())
            })
        }));
        assert!(panic.is_err(), "the panic goes on");
    });
}

#[test]
fn a_panic_that_is_caught_leaves_no_slice() {
    run(ranks(2), |world| {
        let mut window = Window::<u64>::allocate(&world, 1)?;
        let caught = catch_unwind(AssertUnwindSafe(|| window.fence(|_| -> Result<(), Error> { panic!("on purpose") })));
        assert!(caught.is_err() && window.is_broken());
        assert!(catch_unwind(AssertUnwindSafe(|| window.local().len())).is_err(), "others may still write there");
        assert!(catch_unwind(AssertUnwindSafe(|| window.local_mut().len())).is_err());
        assert!(matches!(kind(window.fence(|_| Ok(()))), ErrorKind::InvalidArgument(_)), "a broken window");
        world.barrier()
    });
}

#[test]
fn threads_of_a_rank_use_windows_of_their_own() {
    run(ranks(2), |world| {
        let mut windows = [Window::<u64>::allocate(&world, 1)?, Window::<u64>::allocate(&world, 1)?];
        std::thread::scope(|scope| {
            for window in &mut windows {
                scope.spawn(|| {
                    for _ in 0..100 {
                        window.fence(|epoch| epoch.part(0)?.accumulate(0, &[1], Op::Sum)).unwrap();
                    }
                });
            }
        });
        let expected = if world.rank() == 0 { 200 } else { 0 };
        assert!(windows.iter().all(|window| window.local() == [expected]));
        Ok(())
    });
}
