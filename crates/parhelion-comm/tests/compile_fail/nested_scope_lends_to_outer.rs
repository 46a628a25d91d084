// A buffer that ends with the inner scope cannot be lent to the outer one.
fn main() {
    parhelion_comm::run(|world| {
        world.scope(|outer| {
            let mut buffer = [0u8; 4];
            world.scope(|inner| {
                outer.recv(&mut buffer, 0, 0)?;
                inner.send(&[1u8], 0, 0)?;
                Ok(())
            })
        })
    })
    .unwrap();
}
