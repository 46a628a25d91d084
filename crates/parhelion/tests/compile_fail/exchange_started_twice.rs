use parhelion::prelude::*;

fn twice(u: DistArray<f64, 1>) -> Result<()> {
    let first = u.start_exchange()?;
    let second = u.start_exchange()?;
    first.finish()?;
    second.finish()?;
    Ok(())
}

fn main() {
    let _ = twice;
}
