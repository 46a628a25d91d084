// A reduction combines elements of the type that is reduced.
fn main() {
    parhelion_comm::run(|world| world.all_reduce(&[1u64], |a: u32, b: u32| a + b).map(drop)).unwrap();
}
