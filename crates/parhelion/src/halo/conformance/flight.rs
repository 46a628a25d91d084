//! Between start and finish: several in flight, given up, swapped, and what is refused.

use std::collections::VecDeque;

use parhelion_comm::Communicator;
use parhelion_comm::conformance::{Case, Halt, Outcome};

use super::check::{all_settings, array, ensure, filled, value};
use crate::array::Decomposition;
use crate::halo::start_exchange;

pub(super) const CASES: &[Case] = &[
    Case::new("flight: owned cells are readable while the halo travels", owned_in_flight),
    Case::new("flight: two exchanges in flight together do not meet", two_in_flight),
    Case::new("flight: ranks finish in orders of their own, as their tests come true", orders_of_their_own),
    Case::new("flight: what a rank has in flight when it starts another is its own affair", ranks_of_their_own),
    Case::new("flight: an exchange can be tested until it is done", tested),
    Case::new("flight: a dropped exchange leaves neighbours and later exchanges in order", dropped),
    Case::new("flight: arrays are swapped, dropped and made anew between exchanges", come_and_go),
    Case::new("flight: which arrays come again is each rank's own affair", arrays_of_their_own),
    Case::new("flight: a user's own messages with wildcards do not meet it", wildcards),
];

fn ring<const D: usize>(c: &Communicator, shape: [usize; D]) -> Result<Decomposition<D>, parhelion_comm::Error> {
    Ok(Decomposition::new(shape, c)?.halo(1).periodic([true; D]))
}

fn owned_in_flight(c: &Communicator) -> Outcome {
    let grid = ring(c, [12, 12])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let u = array::<f64, 2>(&grid, 5)?;
        let owned: Vec<[i64; 2]> = grid.local_space(c.rank()).iter().collect();
        let inflight = u.start_exchange()?;
        let cells = inflight.owned();
        for &index in &owned {
            let want = value::<f64, 2>(index, 5);
            ensure(cells[index].to_bits() == want.to_bits(), format_args!("{settings}: cell {index:?} in flight"))?;
        }
        filled(settings, &inflight.finish()?, 5)?;
    }
    Ok(())
}

fn two_in_flight(c: &Communicator) -> Outcome {
    let grid = ring(c, [10, 14])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        for round in 0..3 {
            let (u, v) = (array::<f64, 2>(&grid, round)?, array::<f64, 2>(&grid, round + 10)?);
            let (u, v) = (u.start_exchange()?, v.start_exchange()?);
            let w = start_exchange((array::<i16, 2>(&grid, round + 20)?, array::<f64, 2>(&grid, round + 30)?))?;
            filled(format_args!("{settings}, first"), &u.finish()?, round)?;
            let (w16, w64) = w.finish()?;
            filled(format_args!("{settings}, third"), &w16, round + 20)?;
            filled(format_args!("{settings}, fourth"), &w64, round + 30)?;
            filled(format_args!("{settings}, second"), &v.finish()?, round + 10)?;
        }
    }
    Ok(())
}

fn orders_of_their_own(c: &Communicator) -> Outcome {
    let grid = ring(c, [10, 14])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        for round in 0..4 {
            let mut flights = Vec::new();
            for i in 0..3 {
                flights.push((i, array::<u32, 2>(&grid, i)?.start_exchange()?));
            }
            flights.rotate_left((c.rank() + round) % 3);
            while let Some((i, mut inflight)) = flights.pop() {
                if inflight.test()? {
                    filled(format_args!("{settings}, array {i}"), &inflight.finish()?, i)?;
                } else {
                    flights.insert(0, (i, inflight));
                }
            }
        }
    }
    Ok(())
}

/// Starts six in order and finishes them in one order, in odd rounds not that of the starts; but each rank with others in
/// flight at a start than its neighbours: as few as can be, as many, or what chance leaves.
pub(super) fn staggered<F>(
    c: &Communicator,
    round: u64,
    mut start: impl FnMut(u64) -> Result<F, Halt>,
    mut finish: impl FnMut(u64, F) -> Outcome,
) -> Outcome {
    let mut order: VecDeque<usize> =
        if round.is_multiple_of(2) { [0, 1, 2, 3, 4, 5] } else { [1, 0, 2, 5, 4, 3] }.into();
    let mut flights: [Option<F>; 6] = std::array::from_fn(|_| None);
    for number in 0..=6 {
        let chance = value::<u64, 2>([c.rank() as i64, number], round) as usize % 3;
        let keep = match (c.rank() as u64 + round) % 3 {
            _ if number == 6 => 0,
            0 => 0,
            1 => 6,
            _ => chance,
        };
        while order.len() > keep + 6 - number as usize
            && let Some(flight) = order.front().and_then(|&next| flights[next].take())
        {
            order.pop_front().map_or(Ok(()), |next| finish(next as u64, flight))?;
        }
        if let Some(free) = flights.get_mut(number as usize) {
            *free = Some(start(number as u64)?);
        }
    }
    ensure(order.is_empty(), format_args!("{} were not finished", order.len()))
}

fn ranks_of_their_own(c: &Communicator) -> Outcome {
    let grid = ring(c, [10, 14])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        for round in 0..4 {
            staggered(
                c,
                round,
                |i| Ok(array::<f64, 2>(&grid, round + i)?.start_exchange()?),
                |i, flight| filled(format_args!("{settings}, round {round}, array {i}"), &flight.finish()?, round + i),
            )?;
        }
    }
    Ok(())
}

fn tested(c: &Communicator) -> Outcome {
    let grid = ring(c, [16, 8])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let mut inflight = array::<f32, 2>(&grid, 1)?.start_exchange()?;
        while !inflight.test()? {
            std::thread::yield_now();
        }
        ensure(inflight.test()?, format_args!("{settings}: done, and then not"))?;
        filled(settings, &inflight.finish()?, 1)?;
    }
    Ok(())
}

fn dropped(c: &Communicator) -> Outcome {
    let grid = ring(c, [12, 9])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        for round in 0..4u64 {
            let inflight = array::<f64, 2>(&grid, round)?.start_exchange()?;
            // One rank gives up, in turn, or all do; the others get what they were to get.
            if round == 3 || round as usize % c.size() == c.rank() {
                drop(inflight);
            } else {
                filled(format_args!("{settings}, neighbour of a rank that gave up"), &inflight.finish()?, round)?;
            }
            let mut after = array::<f64, 2>(&grid, round + 10)?;
            after.exchange()?;
            filled(format_args!("{settings}, after one was given up"), &after, round + 10)?;
        }
    }
    Ok(())
}

fn come_and_go(c: &Communicator) -> Outcome {
    let grid = ring(c, [9, 11])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let (mut u, mut next) = (array::<f64, 2>(&grid, 0)?, array::<f64, 2>(&grid, 100)?);
        for step in 1..30u64 {
            u.exchange()?;
            std::mem::swap(&mut u, &mut next);
            if step % 3 == 0 {
                u = array(&grid, step)?;
                u.exchange()?;
                filled(format_args!("{settings}, step {step}"), &u, step)?;
            }
            if step % 7 == 0 {
                // Other arrays of other sizes take the places of dropped ones.
                let _other = crate::array::DistArray::<u8, 1>::zeros(&ring(c, [1000 * (c.rank() + 1)])?)?;
                next = array(&grid, step)?;
            }
        }
    }
    Ok(())
}

fn arrays_of_their_own(c: &Communicator) -> Outcome {
    let grid = ring(c, [9, 11])?;
    for settings in all_settings() {
        grid.set_scheme(settings);
        let fresh = |round| Ok::<_, Halt>((array::<u64, 2>(&grid, round)?, array::<f32, 2>(&grid, round)?));
        let (mut both, mut other) = (fresh(0)?, fresh(0)?);
        for round in 1..20u64 {
            // Another rank each time, and in some rounds none, has others than the last ones, or the last but one.
            match (round as usize + c.size() - c.rank()) % (c.size() + 1) {
                0 => both = fresh(0)?,
                1 => std::mem::swap(&mut both, &mut other),
                _ => {}
            }
            both.0.for_each_mut(|index, cell| *cell = value::<u64, 2>(index, round));
            both.1.for_each_mut(|index, cell| *cell = value::<f32, 2>(index, round));
            let inflight = start_exchange(both)?;
            both = if round as usize % (c.size() + 2) == c.rank() {
                drop(inflight);
                fresh(0)?
            } else {
                let both = inflight.finish()?;
                filled(format_args!("{settings}, round {round}, first"), &both.0, round)?;
                filled(format_args!("{settings}, round {round}, second"), &both.1, round)?;
                both
            };
        }
    }
    Ok(())
}

fn wildcards(c: &Communicator) -> Outcome {
    let grid = ring(c, [12, 9])?;
    let (next, last) = ((c.rank() + 1) % c.size(), (c.rank() + c.size() - 1) % c.size());
    for settings in all_settings() {
        grid.set_scheme(settings);
        let message = c.irecv(vec![0u64; 1000], parhelion_comm::Any, parhelion_comm::Any)?;
        let inflight = array::<f64, 2>(&grid, 7)?.start_exchange()?;
        let sent = c.isend(vec![c.rank() as u64], next, 3)?;
        filled(settings, &inflight.finish()?, 7)?;
        ensure(message.wait()? == [last as u64], format_args!("{settings}: the user's receive got something else"))?;
        sent.wait()?;
    }
    Ok(())
}
