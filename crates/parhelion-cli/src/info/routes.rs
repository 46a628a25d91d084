//! `parhelion info -n N`: what carries the messages of each rank to each other one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use parhelion::{Communicator, Route};
use serde::Serialize;

use crate::args::RankArgs;
use crate::error::{Error, Result};
use crate::say;

/// All there are, by the letter and the number that stand for them.
const ROUTES: [(char, Route); 5] = [
    ('.', Route::Itself),
    ('m', Route::SharedMemory),
    ('u', Route::UnixSocket),
    ('t', Route::Tcp),
    ('l', Route::Library),
];

#[derive(Serialize)]
struct Routes {
    backend: String,
    library: Option<String>,
    ranks: usize,
    /// By sender, and in it by receiver.
    routes: Vec<Vec<String>>,
    #[serde(skip)]
    matrix: Vec<Vec<usize>>,
}

/// Runs the command at every rank; rank 0 prints.
pub(super) fn run(ranks: &RankArgs, launcher: &mpi_abi::Launcher, json: bool) -> Result<ExitCode> {
    let config = ranks.config(launcher)?;
    parhelion::launch(&config, |world| {
        let Some(routes) = Routes::of(&world)? else { return Ok(()) };
        let text = if json { serde_json::to_string(&routes).expect("keys are strings") + "\n" } else { routes.text() };
        say(&text)
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Routes {
    /// What all ranks say, at rank 0.
    fn of(world: &Communicator) -> Result<Option<Self>> {
        // What is tried first may turn out not to be possible: known once a message has gone each way.
        world.all_to_all(&vec![0u8; world.size()])?;
        let number = |rank| {
            let route = world.route(rank)?;
            Ok::<_, Error>(ROUTES.iter().position(|(_, known)| *known == route).unwrap_or(ROUTES.len()))
        };
        let mine = (0..world.size()).map(number).collect::<Result<Vec<usize>>>()?;
        let Some(all) = world.gather(&mine, 0)? else { return Ok(None) };
        let matrix: Vec<Vec<usize>> = all.chunks(world.size()).map(<[usize]>::to_vec).collect();
        let name = |&number: &usize| ROUTES.get(number).map_or("another".to_owned(), |(_, route)| route.to_string());
        Ok(Some(Routes {
            backend: world.backend().to_string(),
            library: world.library(),
            ranks: world.size(),
            routes: matrix.iter().map(|row| row.iter().map(name).collect()).collect(),
            matrix,
        }))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a String takes everything");
        text
    }

    /// A matrix of letters, a line for each sender, and what the letters mean.
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let library = self.library.iter().map(|name| format!(" ({name})")).collect::<String>();
        writeln!(text, "{} ranks over {}{library}", self.ranks, self.backend)?;
        writeln!(text)?;
        let letter = |number: usize| ROUTES.get(number).map_or('?', |(letter, _)| *letter);
        for (rank, row) in self.matrix.iter().enumerate() {
            writeln!(
                text,
                "{rank:>5}  {}",
                row.iter().map(|number| format!(" {}", letter(*number))).collect::<String>()
            )?;
        }
        writeln!(text)?;
        let mut pairs = BTreeMap::new();
        for number in self.matrix.iter().flatten() {
            *pairs.entry(*number).or_insert(0) += 1;
        }
        for (number, count) in pairs {
            let name = ROUTES.get(number).map_or("another".to_owned(), |(_, route)| route.to_string());
            writeln!(text, "  {}  {name}: {count}", letter(number))?;
        }
        Ok(())
    }
}
