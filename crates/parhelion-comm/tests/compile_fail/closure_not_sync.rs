// Several ranks may call it at the same time.
use std::cell::Cell;

fn main() {
    parhelion_comm::run(|world| {
        let calls = Cell::new(0u64);
        let count = |a: u64, b: u64| {
            calls.set(calls.get() + 1);
            a + b
        };
        world.all_reduce(&[1u64], count).map(drop)
    })
    .unwrap();
}
