// A lock cannot be held beyond the epoch.
fn main() {
    parhelion_comm::run(|world| {
        let mut window = parhelion_comm::Window::<u64>::allocate(&world, 1)?;
        let mut kept = None;
        window.passive(|epoch| {
            kept = Some(epoch.lock(0, parhelion_comm::Lock::Shared)?);
            Ok(())
        })
    })
    .unwrap();
}
