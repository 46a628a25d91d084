// What an epoch opens cannot be reached after it.
fn main() {
    parhelion_comm::run(|world| {
        let mut window = parhelion_comm::Window::<u64>::allocate(&world, 1)?;
        let part = window.fence(|epoch| epoch.part(0))?;
        part.put(0, &[1])
    })
    .unwrap();
}
