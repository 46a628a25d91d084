// A buffer that ends before the scope does cannot be received into.
fn main() {
    parhelion_comm::run(|world| {
        world.scope(|s| {
            let mut buffer = [0u8; 4];
            s.recv(&mut buffer, 0, 0)?;
            Ok(())
        })
    })
    .unwrap();
}
