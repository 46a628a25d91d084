//! The `parhelion` command.

fn main() {}
