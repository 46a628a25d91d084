// A reference means nothing to another process.
fn main() {
    parhelion_comm::run(|world| world.send(&["hello"], 0, 0)).unwrap();
}
