//! Random schedules of sends and receives against a model of matching (MPI section 3.5).

use parhelion_comm::{Any, Communicator, Error, Source, TagSelector, wait_all};
use proptest::prelude::*;

use crate::bounds::{ranks, run};

/// A message as it is planned: where to, which tag, how many bytes.
#[derive(Debug, Clone, Copy)]
struct Planned {
    dest: usize,
    tag: u32,
    bytes: usize,
}

/// Bytes that carry which message of its sender they are.
fn content(sender: usize, index: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (sender * 131 + index * 17 + i) as u8).collect()
}

fn planned(size: usize) -> impl Strategy<Value = Planned> {
    let bytes = prop_oneof![Just(0), 1usize..80, Just(4096), Just(4097), 20_000usize..40_000];
    (0..size, 0u32..3, bytes).prop_map(|(dest, tag, bytes)| Planned { dest, tag, bytes })
}

/// For each rank what it sends, and numbers by which it chooses what to receive.
fn schedules() -> impl Strategy<Value = (Vec<Vec<Planned>>, Vec<u32>)> {
    (2usize..5).prop_flat_map(|size| {
        let sends = prop::collection::vec(prop::collection::vec(planned(size), 0..14), size);
        (sends, prop::collection::vec(any::<u32>(), 64))
    })
}

type Sent = parhelion_comm::Request<Vec<u8>>;

fn send_all(world: &Communicator, plan: &[Planned]) -> Result<Vec<Sent>, Error> {
    let send = |(i, p): (usize, &Planned)| world.isend(content(world.rank(), i, p.bytes), p.dest, p.tag);
    plan.iter().enumerate().map(send).collect()
}

/// What is on its way to `me`: sender, its index there, and the plan; in the order of sending of each sender.
fn expected(plans: &[Vec<Planned>], me: usize) -> Vec<(usize, usize, Planned)> {
    let of = |(sender, plan): (usize, &Vec<Planned>)| -> Vec<_> {
        plan.iter().enumerate().filter(|(_, p)| p.dest == me).map(|(i, &p)| (sender, i, p)).collect()
    };
    plans.iter().enumerate().flat_map(of).collect()
}

/// Receives everything with selectors chosen at random among those that some message fits.
fn receive_adaptively(world: &Communicator, plans: &[Vec<Planned>], choices: &[u32]) -> Result<(), Error> {
    let mut open = expected(plans, world.rank());
    let mut choices = choices.iter().cycle().map(|&x| x as usize);
    let mut next = || choices.next().expect("an endless cycle");
    next();
    for _ in 0..world.rank() {
        next();
    }
    while !open.is_empty() {
        let (sender, _, plan) = open[next() % open.len()];
        let source = if next() % 2 == 0 { Source::Any } else { Source::Rank(sender) };
        let tag = if next() % 2 == 0 { TagSelector::Any } else { TagSelector::Tag(plan.tag) };
        let (data, status) = match next() % 3 {
            0 => world.recv_vec::<u8>(source, tag)?,
            1 => world.probe_message(source, tag)?.recv_vec()?,
            _ => {
                let mut buffer = vec![0u8; 40_000];
                let status = world.recv(&mut buffer, source, tag)?;
                buffer.truncate(status.bytes);
                (buffer, status)
            }
        };
        // Whoever sent it: it is the earliest of those of its sender that the tag admits.
        let admits = |p: &Planned| tag == TagSelector::Any || tag == TagSelector::Tag(p.tag);
        let earliest = open.iter().position(|(s, _, p)| *s == status.source && admits(p));
        let (sender, index, plan) = open.remove(earliest.expect("a message that was sent and not yet received"));
        assert!(source == Source::Any || source == Source::Rank(sender), "source {sender} for {source:?}");
        assert_eq!((status.tag, status.bytes), (plan.tag, plan.bytes), "message {index} of rank {sender}");
        assert_eq!(data, content(sender, index, plan.bytes), "message {index} of rank {sender}");
    }
    Ok(())
}

/// Posts receives from one source each, before or after the messages; which gets which is decided by the two orders.
fn receive_posted(world: &Communicator, plans: &[Vec<Planned>], choices: &[u32], late: bool) -> Result<(), Error> {
    let me = world.rank();
    let sends = late.then(|| send_all(world, &plans[me])).transpose()?;
    // The selectors: for each sender as many as it has messages for us, with tags at random.
    let mut posted = Vec::new();
    for (k, (sender, _, plan)) in expected(plans, me).into_iter().enumerate() {
        let choice = choices[(k + 7 * me) % choices.len()];
        let tag = match choice % 4 {
            0 => TagSelector::Any,
            1 => TagSelector::Tag(choice / 4 % 3),
            _ => TagSelector::Tag(plan.tag),
        };
        posted.push((sender, tag, world.irecv(vec![0u8; 40_000], sender, tag)?));
    }
    let sends = match sends {
        Some(sends) => sends,
        None => {
            world.barrier()?;
            send_all(world, &plans[me])?
        }
    };
    // The model: each message in its sender's order goes to the first posted receive that fits.
    let mut matched: Vec<Option<(usize, Planned)>> = vec![None; posted.len()];
    let mut left = Vec::new();
    for (sender, index, plan) in expected(plans, me) {
        let fits = |(k, (s, tag, _)): (usize, &(usize, TagSelector, Sent))| {
            let admits = *tag == TagSelector::Any || *tag == TagSelector::Tag(plan.tag);
            *s == sender && admits && matched[k].is_none()
        };
        match posted.iter().enumerate().position(fits) {
            Some(k) => matched[k] = Some((index, plan)),
            None => left.push((sender, index, plan)),
        }
    }
    for (k, (sender, _, mut request)) in posted.into_iter().enumerate() {
        match matched[k] {
            Some((index, plan)) => {
                let (data, status) = request.wait_status()?;
                assert_eq!((status.source, status.tag), (sender, plan.tag), "posted receive {k}");
                assert_eq!(data, content(sender, index, plan.bytes), "posted receive {k}");
            }
            None => assert!(request.cancel()?, "posted receive {k} matched a message that fits another"),
        }
    }
    for (sender, index, plan) in left {
        let (data, _) = world.recv_vec::<u8>(sender, Any)?;
        assert_eq!(data, content(sender, index, plan.bytes), "message {index} of rank {sender}, left over");
    }
    wait_all(sends)?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn received_at_once_or_late_each_is_the_earliest_that_fits((plans, choices) in schedules()) {
        run(ranks(plans.len()), move |world| {
            let sends = send_all(&world, &plans[world.rank()])?;
            receive_adaptively(&world, &plans, &choices)?;
            wait_all(sends)?;
            assert_eq!(world.try_probe(Any, Any)?, None);
            Ok(())
        });
    }

    #[test]
    fn posted_early_each_message_goes_to_the_first_receive_that_fits((plans, choices) in schedules()) {
        run(ranks(plans.len()), move |world| receive_posted(&world, &plans, &choices, false));
    }

    #[test]
    fn posted_late_each_message_goes_to_the_first_receive_that_fits((plans, choices) in schedules()) {
        run(ranks(plans.len()), move |world| receive_posted(&world, &plans, &choices, true));
    }
}
