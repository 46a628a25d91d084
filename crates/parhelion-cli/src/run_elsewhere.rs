//! `parhelion run` where processes are not started as on Unix.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use crate::args::RunArgs;
use crate::error::{Error, Result};

/// A range of ports, which nothing here uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports;

impl Ports {
    pub(crate) fn parse(_text: &str) -> Result<Self, String> {
        Ok(Self)
    }
}

/// Says that it cannot.
pub(crate) fn run(_args: &RunArgs) -> Result<ExitCode> {
    Err(Error::Input("'run' and the tcp backend are for Unix systems".into()))
}

/// Says that it cannot.
pub(crate) fn again(_ranks: NonZeroUsize) -> Result<ExitCode> {
    Err(Error::Input("'run' and the tcp backend are for Unix systems".into()))
}
