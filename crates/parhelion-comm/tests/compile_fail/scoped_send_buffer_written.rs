// What is being sent cannot be changed.
fn main() {
    parhelion_comm::run(|world| {
        let mut data = [0u8; 4];
        world.scope(|s| {
            s.send(&data, 0, 0)?;
            data[0] = 1;
            Ok(())
        })
    })
    .unwrap();
}
