//! The `parhelion` command.

mod matrix;
mod text;

fn main() {}
