// The scope cannot leave either.
fn main() {
    parhelion_comm::run(|world| {
        let scope = world.scope(|s| Ok(s))?;
        let mut buffer = [0u8; 4];
        scope.recv(&mut buffer, 0, 0)?;
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
