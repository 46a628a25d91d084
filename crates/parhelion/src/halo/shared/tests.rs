//! Exchanges of which a part fails: nobody is left waiting, and all hear of it.

use std::sync::Arc;
use std::time::Duration;

use parhelion_comm::{BackendKind, Config, ElementType, launch};

use super::*;
use crate::array::{Decomposition, IndexSpace};
use crate::halo::{Exchange, Landing, Patches, Scheme};

#[test]
fn what_one_rank_cannot_make_none_goes_on_with() {
    let config = Config::default().ranks(3).backend(BackendKind::Local).timeout(Duration::from_secs(30));
    launch(&config, |world| {
        let mine = match world.rank() {
            1 => Err(Error::new("signals", ErrorKind::Unavailable("no room".to_owned()))),
            rank => Ok(rank),
        };
        let error = agreed(&world, mine).expect_err("rank 1 has none");
        assert!(matches!(error.kind(), ErrorKind::Unavailable(_)), "{error}");
        assert_eq!(error.to_string().contains("no room"), world.rank() == 1, "{error}");
        assert_eq!(agreed(&world, Ok(world.rank()))?, world.rank());
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn a_start_that_fails_keeps_no_neighbour_waiting() {
    let config = Config::default().ranks(2).backend(BackendKind::Local).timeout(Duration::from_secs(30));
    launch(&config, |world| {
        // Rank 0 reads what rank 1 has, and nobody reads rank 0.
        let (mut patches, cells) = (Patches::new(), IndexSpace::from_shape([4]));
        let patch = patches.add(cells);
        match world.rank() {
            0 => patches.request(patch, cells),
            _ => patches.publish(patch, cells),
        };
        let field = Field { plan: Arc::new(patches.plan(&world)?), element: ElementType::of::<f64>() };
        let mut exchange = Exchange::new(&world, vec![field], Scheme::Shared.into())?;
        let mut memory = world.allocate::<f64>(4);
        let buffer = Buffer::of(&mut memory);
        // SAFETY: one buffer of the plan's length, which outlives the exchange.
        unsafe {
            exchange.start(&[buffer])?;
            exchange.finish(&[buffer], Landing::Replace)?;
        }
        let without = Buffer { token: buffer.token.filter(|_| world.rank() == 1), ..buffer };
        // SAFETY: the same buffer, used by nobody else.
        let again = unsafe { exchange.start(&[without]).and_then(|()| exchange.finish(&[without], Landing::Replace)) };
        assert_eq!(again.is_ok(), world.rank() == 1, "{again:?}");
        exchange.abandon(Box::new(memory));
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn memory_that_cannot_be_read_is_an_error_at_both_ends() {
    let config = Config::default().ranks(2).backend(BackendKind::Local).timeout(Duration::from_secs(30));
    launch(&config, |world| {
        let plan = Arc::new(Decomposition::new([8], &world)?.halo(1).plan()?);
        let len = plan.patches()[0].len;
        let field = Field { plan, element: ElementType::of::<f64>() };
        let mut exchange = Exchange::new(&world, vec![field], Scheme::Shared.into())?;
        let mut memory = world.allocate::<f64>(len);
        let mut buffer = Buffer::of(&mut memory);
        if world.rank() == 0 {
            buffer.token = None;
        }
        // SAFETY: one buffer of the plan's length, which outlives the exchange.
        let started = unsafe { exchange.start(&[buffer]) };
        let error = if world.rank() == 0 {
            started.unwrap_err()
        } else {
            started?;
            // SAFETY: the same buffer, used by nobody else.
            unsafe { exchange.finish(&[buffer], Landing::Replace) }.unwrap_err()
        };
        assert!(matches!(error.kind(), ErrorKind::Unsupported(_)), "{error}");
        assert!(exchange.is_broken());
        exchange.abandon(Box::new(memory));
        Ok::<_, Error>(())
    })
    .unwrap();
}
