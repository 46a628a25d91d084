// Another rank, on another thread, may call the closure.
use std::rc::Rc;

fn main() {
    parhelion_comm::run(|world| {
        let counter = Rc::new(1u64);
        let request = world.iall_reduce(vec![1u64], move |a: u64, b: u64| a + b + *counter)?;
        request.wait().map(drop)
    })
    .unwrap();
}
