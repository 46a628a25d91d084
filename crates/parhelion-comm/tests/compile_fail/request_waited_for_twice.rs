// Waiting consumes the request.
fn main() {
    parhelion_comm::run(|world| {
        let request = world.ibarrier()?;
        request.wait()?;
        request.wait()?;
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
