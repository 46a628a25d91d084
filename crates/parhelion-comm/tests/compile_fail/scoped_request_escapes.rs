// A request cannot leave the scope that waits for it.
fn main() {
    parhelion_comm::run(|world| {
        let mut buffer = [0u8; 4];
        let request = world.scope(|s| s.recv(&mut buffer, 0, 0))?;
        request.wait()?;
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
