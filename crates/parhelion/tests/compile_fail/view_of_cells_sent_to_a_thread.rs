use std::cell::Cell;

use parhelion::array::{IndexSpace, View};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let buffer = [const { Cell::new(1.0) }; 4];
    let view = View::new(&buffer, space, space);
    std::thread::scope(|threads| {
        threads.spawn(|| view[[0]].set(2.0));
    });
}
