// The buffer of a receive in flight belongs to the scope until it ends.
fn main() {
    parhelion_comm::run(|world| {
        let mut buffer = [0u8; 4];
        world.scope(|s| {
            let received = s.recv(&mut buffer, 0, 0)?;
            println!("{}", buffer[0]);
            received.wait()?;
            Ok(())
        })
    })
    .unwrap();
}
