// A request owns its buffer until `wait` gives it back.
fn main() {
    parhelion_comm::run(|world| {
        let buffer = vec![0u8; 4];
        let request = world.irecv(buffer, 0, 0)?;
        println!("{}", buffer[0]);
        request.wait()?;
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
