//! Plans of all ranks, built on threads and carried out by hand, against brute force.

mod cost;
mod faults;
mod model;
mod publications;
mod structured;
mod words_and_pictures;
