//! `parhelion plan`: who would send what to whom, before anything is computed.
//!
//! [`input`] reads a pattern and makes its descriptor; [`report`] says what that means for each rank.

mod input;
mod report;

use std::process::ExitCode;

use parhelion::Communicator;
use parhelion::index::Descriptor;

use crate::args::{Partitioning, PlanArgs};
use crate::error::{Error, Result, agree};
use crate::output::Output;
use crate::{launcher, say};
use report::{RankPlan, Report};

/// Runs the command.
pub(crate) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let config = args.ranks.config(&launcher())?;
    if let Some(option) = args.misplaced() {
        return Err(Error::Input(format!("{option} is not for '--partition {}'", args.partition)));
    }
    let mut reports = parhelion::launch(&config, |world| rank_main(&world, args))?;
    // Locally all ranks are here, rank 0 first; under MPI only one is, and only rank 0 has a report.
    if let Some(report) = reports.swap_remove(0) {
        say(&if args.json { report.json() } else { report.text() })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rank_main(world: &Communicator, args: &PlanArgs) -> Result<Option<Report>> {
    let partition = if let Partitioning::File(path) = &args.partition { Some(path) } else { None };
    let others = [args.input.as_ref(), args.coordinates.as_ref(), partition];
    let reserve = || args.draw.as_deref().map(|path| Output::reserve(path, others)).transpose();
    let output = agree(world, if world.rank() == 0 { reserve() } else { Ok(None) })?;
    let index = input::assemble(world, args)?;
    index.plan().verify(world)?;
    let ranks = world.gather(&[RankPlan::of(&index)], 0)?;
    let explanations = if args.explain { explain(world, &index)? } else { None };
    if args.draw.is_some() {
        let drawing = index.plan().drawing_of_all(world)?;
        let written =
            output.zip(drawing).map_or(Ok(()), |(output, drawing)| output.write(|out| write!(out, "{drawing}")));
        agree(world, written)?;
    }
    Ok(ranks.map(|ranks| Report {
        input: args.input.as_ref().map_or_else(
            || format!("grid-{0}x{0}x{0}", args.pde.unwrap_or_default()),
            |path| path.display().to_string(),
        ),
        indices: index.total(),
        partition: args.partition.to_string(),
        ranks,
        explanations,
    }))
}

/// What each rank's plan says of itself, at rank 0.
fn explain(world: &Communicator, index: &Descriptor) -> Result<Option<Vec<String>>> {
    let mine = index.plan().explain().to_string().into_bytes();
    let Some((mut all, lengths)) = world.gatherv(&mine, 0)? else { return Ok(None) };
    let texts = lengths.into_iter().map(|length| {
        let rest = all.split_off(length);
        String::from_utf8_lossy(&std::mem::replace(&mut all, rest)).into_owned()
    });
    Ok(Some(texts.collect()))
}
