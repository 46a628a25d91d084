// A closure in flight outlives the call, so it owns what it needs.
fn main() {
    parhelion_comm::run(|world| {
        let offset = vec![1u64];
        let request = world.iall_reduce(vec![1u64], |a: u64, b: u64| a + b + offset[0])?;
        request.wait().map(drop)
    })
    .unwrap();
}
