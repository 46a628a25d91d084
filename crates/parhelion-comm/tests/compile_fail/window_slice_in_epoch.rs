// In an epoch others may write what a slice would show.
fn main() {
    parhelion_comm::run(|world| {
        let mut window = parhelion_comm::Window::<u64>::allocate(&world, 1)?;
        window.fence(|epoch| epoch.part(0)?.put(0, window.local()))
    })
    .unwrap();
}
