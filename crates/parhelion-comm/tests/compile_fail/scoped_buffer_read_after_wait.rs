// Waiting inside gives no buffer back: another operation of the scope may be using it as well.
fn main() {
    parhelion_comm::run(|world| {
        let mut buffer = [0u8; 4];
        world.scope(|s| {
            s.recv(&mut buffer, 0, 0)?.wait()?;
            s.recv(&mut buffer, 0, 0)?.wait()?;
            Ok(())
        })
    })
    .unwrap();
}
