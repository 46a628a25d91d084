use parhelion::prelude::*;

fn twice(u: DistArray<f64, 1>) -> Result<()> {
    let inflight = u.start_exchange()?;
    inflight.finish()?;
    inflight.finish()?;
    Ok(())
}

fn main() {
    let _ = twice;
}
