// Not every byte is a bool.
fn main() {
    parhelion_comm::run(|world| world.send(&[true], 0, 0)).unwrap();
}
