// An epoch is for one thread.
fn main() {
    parhelion_comm::run(|world| {
        let mut window = parhelion_comm::Window::<u64>::allocate(&world, 1)?;
        window.fence(|epoch| {
            std::thread::scope(|scope| {
                scope.spawn(|| epoch.part(0)?.put(0, &[1]));
            });
            Ok(())
        })
    })
    .unwrap();
}
