//! The choice by measurement, and the engine without types: state, misuse, reuse.

use std::sync::Arc;

use parhelion_comm::conformance::{Case, Outcome};
use parhelion_comm::{Communicator, Element, ElementType, ErrorKind, Memory, Op};

use super::check::{all_settings, array, ensure, filled};
use crate::array::Decomposition;
use crate::halo::{Buffer, Decision, Exchange, Field, Landing, Scheme, exchange};

pub(super) const CASES: &[Case] = &[
    Case::new("auto: all ranks choose the same and print the same times", one_choice),
    Case::new("auto: a decision is used again, loaded from a file too", decision_again),
    Case::new("auto: each kind of exchange has a decision of its own", kinds),
    Case::new("engine: start and finish in the wrong state are errors and change nothing", wrong_states),
    Case::new("engine: buffers come from anywhere, and may change from start to start", changing_buffers),
    Case::new("engine: an adjoint exchange can be tested until all is there, and is then as without", tested_adjoint),
    Case::new("engine: fields of another communicator are refused", other_communicator),
];

/// Whether all ranks show one text.
fn same_everywhere(c: &Communicator, text: &str) -> Outcome {
    let mut first = text.as_bytes().to_vec();
    let length = c.all_reduce(&[first.len()], Op::Max)?[0];
    first.resize(length, 0);
    let own = first.clone();
    c.broadcast(&mut first, 0)?;
    ensure(own == first, format_args!("rank 0 has another text than {text}"))
}

fn one_choice(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([20, 20], c)?.halo(1).periodic([true, true]);
    grid.set_scheme(Scheme::Auto);
    for salt in 0..3 {
        let mut u = array::<f64, 2>(&grid, salt)?;
        u.exchange()?;
        filled("auto", &u, salt)?;
    }
    let decisions = grid.decisions();
    ensure(decisions.len() == 1, format_args!("{} decisions instead of one", decisions.len()))?;
    let chosen = decisions[0].chosen();
    ensure(chosen.scheme != Scheme::Auto, "it chose itself")?;
    ensure(decisions[0].timings().len() >= Scheme::ALL.len(), "schemes are missing")?;
    same_everywhere(c, &decisions[0].to_string())
}

fn decision_again(c: &Communicator) -> Outcome {
    let grid = || Ok::<_, parhelion_comm::Error>(Decomposition::new([16, 12], c)?.halo(2));
    let first = grid()?;
    first.set_scheme(Scheme::Auto);
    array::<f32, 2>(&first, 1)?.exchange()?;
    let decision = first.decisions().remove(0);
    let path = std::env::temp_dir().join(format!("parhelion-{}-{}.toml", std::process::id(), c.rank()));
    decision.save(&path)?;
    let loaded = Decision::load(&path);
    let _ = std::fs::remove_file(&path);
    let loaded = loaded?;
    ensure(loaded == decision, "what was loaded is not what was saved")?;
    let second = grid()?;
    second.set_scheme(Scheme::Auto);
    second.use_decision(loaded);
    let mut u = array::<f32, 2>(&second, 2)?;
    u.exchange()?;
    filled("auto by an old decision", &u, 2)?;
    ensure(second.decisions() == [decision], "it measured again")
}

fn kinds(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([16], c)?.halo(1).periodic([true]);
    grid.set_scheme(Scheme::Auto);
    let mut both = (array::<f64, 1>(&grid, 1)?, array::<u8, 1>(&grid, 2)?);
    both.0.exchange()?;
    exchange(&mut both)?;
    both.0.exchange()?;
    both.1.exchange_adjoint(Op::BitXor)?;
    filled("f64", &both.0, 1)?;
    let subjects: Vec<String> = grid.decisions().iter().map(|d| d.subject().to_owned()).collect();
    ensure(subjects.len() == 3, format_args!("{subjects:?}"))
}

fn field<T: Element>(grid: &Decomposition<1>) -> Result<Field, parhelion_comm::Error> {
    Ok(Field { plan: Arc::new(grid.plan()?), element: ElementType::of::<T>() })
}

fn invalid<T>(result: Result<T, parhelion_comm::Error>) -> bool {
    result.is_err_and(|e| matches!(e.kind(), ErrorKind::InvalidArgument(_)))
}

fn wrong_states(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([12], c)?.halo(1).periodic([true]);
    let mut memory: Memory<u32> = c.allocate(grid.parent_space(c.rank()).len());
    let buffers = [Buffer::of(&mut memory)];
    for settings in all_settings() {
        let mut exchange = Exchange::new(c, vec![field::<u32>(&grid)?], settings)?;
        // SAFETY: the buffer is the field's, outlives the exchange, and nobody uses it meanwhile.
        unsafe {
            ensure(invalid(exchange.finish(&buffers, Landing::Replace)), format_args!("{settings}: finish, idle"))?;
            ensure(invalid(exchange.test(&buffers)), format_args!("{settings}: test, idle"))?;
            ensure(invalid(exchange.start(&[])), format_args!("{settings}: start without buffers"))?;
            exchange.start(&buffers)?;
            ensure(invalid(exchange.start(&buffers)), format_args!("{settings}: start twice"))?;
            ensure(invalid(exchange.finish(&[], Landing::Replace)), format_args!("{settings}: finish nothing"))?;
            let sum = parhelion_comm::Kernel::of::<u32>(&Op::Sum)?;
            let combined = exchange.finish(&buffers, Landing::Combine(&[sum]));
            ensure(invalid(combined), format_args!("{settings}: combined, by a plan that is not adjoint"))?;
            let wrong = parhelion_comm::Kernel::of::<f64>(&Op::Sum)?;
            let combined = exchange.finish(&buffers, Landing::Combine(&[wrong]));
            ensure(invalid(combined), format_args!("{settings}: a kernel of another type"))?;
            ensure(exchange.is_started() && !exchange.is_broken(), format_args!("{settings}: the state has changed"))?;
            exchange.finish(&buffers, Landing::Replace)?;
            exchange.start(&buffers)?;
            exchange.finish(&buffers, Landing::Replace)?;
        }
    }
    ensure(invalid(Exchange::new(c, Vec::new(), Scheme::Auto.into())), "auto was carried out")
}

fn changing_buffers(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([10], c)?.halo(2).periodic([true]);
    let parent = grid.parent_space(c.rank());
    for settings in all_settings() {
        let mut exchange = Exchange::new(c, vec![field::<i64>(&grid)?], settings)?;
        let mut memories: Vec<Memory<i64>> = (0..3).map(|_| c.allocate(parent.len())).collect();
        for round in 0..12i64 {
            let memory = &mut memories[(round % 3) as usize];
            for index in grid.local_space(c.rank()).iter() {
                memory[parent.linear(index)] = index[0] + 100 * round;
            }
            let buffers = [Buffer::of(memory)];
            // SAFETY: the buffer is the field's, outlives the exchange, and nobody uses it meanwhile.
            unsafe {
                exchange.start(&buffers)?;
                exchange.finish(&buffers, Landing::Replace)?;
            }
            for index in parent.iter() {
                let (got, want) = (memory[parent.linear(index)], index[0].rem_euclid(10) + 100 * round);
                ensure(got == want, format_args!("{settings}, round {round}: {got} at {index:?}, not {want}"))?;
            }
        }
    }
    Ok(())
}

fn tested_adjoint(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([12], c)?.halo(1).periodic([true]);
    let plan = Arc::new(grid.plan()?.adjoint());
    let sum = [parhelion_comm::Kernel::of::<u32>(&Op::Sum)?];
    for settings in all_settings() {
        let field = Field { plan: plan.clone(), element: ElementType::of::<u32>() };
        let mut exchange = Exchange::new(c, vec![field], settings)?;
        let mut ends = Vec::new();
        for tests in [false, true] {
            let mut memory: Memory<u32> = c.allocate(grid.parent_space(c.rank()).len());
            memory.iter_mut().enumerate().for_each(|(i, cell)| *cell = (100 * c.rank() + i + 1) as u32);
            let buffers = [Buffer::of(&mut memory)];
            // SAFETY: the buffer is the field's, outlives the exchange, and nobody uses it meanwhile.
            unsafe {
                exchange.start(&buffers)?;
                while tests && !exchange.test(&buffers)? {
                    std::thread::yield_now();
                }
                exchange.finish(&buffers, Landing::Combine(&sum))?;
            }
            ends.push(memory.to_vec());
        }
        ensure(ends[0] == ends[1], format_args!("{settings}: {:?} without tests, {:?} with", ends[0], ends[1]))?;
    }
    Ok(())
}

fn other_communicator(c: &Communicator) -> Outcome {
    let grid = Decomposition::new([12], c)?.halo(1);
    let other = Decomposition::new([12], &c.dup()?)?.halo(1);
    let mut both = (array::<f64, 1>(&grid, 1)?, array::<f64, 1>(&other, 2)?);
    ensure(invalid(exchange(&mut both)), "two communicators in one exchange")?;
    both.0.exchange()?;
    filled("after a refusal", &both.0, 1)
}
