//! What `parhelion run` is told.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::number_of_ranks;
use crate::run::Ports;

#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Rank 0 reads standard input. When a rank fails, the others are ended. Exit code: 0, or the first failing \
                        rank's (128 and the number of the signal that killed it), or 2 where the program cannot be \
                        started.\n\
                        A host file has a line 'host [slots=N]' for each host, # begins a comment; ranks on localhost are \
                        started directly, the others through ssh, or the program that PARHELION_RSH names."
)]
pub(crate) struct RunArgs {
    /// Number of processes [default: the cores, with --host-file all slots]
    #[arg(short = 'n', long, value_name = "N", value_parser = number_of_ranks, allow_negative_numbers = true)]
    pub(crate) ranks: Option<NonZeroUsize>,
    /// Where they run
    #[arg(long, value_name = "FILE")]
    pub(crate) host_file: Option<PathBuf>,
    /// On which ports rank 0 may listen for those of other hosts [default: drawn below 30000]
    #[arg(long, value_name = "FIRST-LAST", requires = "host_file", value_parser = Ports::parse)]
    pub(crate) ports: Option<Ports>,
    /// Begin every line of output with the rank it comes from
    #[arg(long)]
    pub(crate) tag_output: bool,
    /// Let the others go on when a rank fails
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Bind each rank
    #[arg(long, value_enum)]
    pub(crate) bind: Option<Bind>,
    /// What to run, with all that follows as its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    pub(crate) program: Vec<OsString>,
}

/// What a rank is bound to.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Bind {
    /// A core, each its own while there are as many
    Core,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Action, Command};

    #[test]
    fn what_follows_the_program_is_its_own() {
        let parse = |line: &str| Command::try_parse_from(line.split(' ')).map(|command| command.action);
        let Ok(Action::Run(args)) = parse("parhelion run -n 3 prog -n 7 --tag-output -- --help x") else { panic!() };
        assert_eq!(args.ranks, NonZeroUsize::new(3));
        assert!(!args.tag_output);
        assert_eq!(args.program, ["prog", "-n", "7", "--tag-output", "--", "--help", "x"]);
        let Ok(Action::Run(args)) = parse("parhelion run -- -odd") else { panic!() };
        assert_eq!(args.program, ["-odd"]);
        for line in
            ["run", "run -n 2", "run -n 0 true", "run --keep true", "run --ports 1-2 true", "run --bind socket a"]
        {
            assert!(parse(&format!("parhelion {line}")).is_err(), "{line}");
        }
    }
}
