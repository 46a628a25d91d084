// Nor through a variable outside.
fn main() {
    parhelion_comm::run(|world| {
        let mut buffer = [0u8; 4];
        let mut kept = None;
        world.scope(|s| {
            kept = Some(s.recv(&mut buffer, 0, 0)?);
            Ok(())
        })?;
        drop(kept);
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
