// A slice cannot be kept while others write there.
fn main() {
    parhelion_comm::run(|world| {
        let mut window = parhelion_comm::Window::<u64>::allocate(&world, 1)?;
        let slice = window.local();
        window.fence(|_| Ok(()))?;
        assert_eq!(slice, [0]);
        Ok::<(), parhelion_comm::Error>(())
    })
    .unwrap();
}
