use parhelion::prelude::*;

fn twice(x: DistVector<f64>) -> Result<f64> {
    let inflight = x.start_update_overlap(OverlapUpdate::Average)?;
    let sum = x.sum()?;
    inflight.finish()?;
    Ok(sum)
}

fn main() {
    let _ = twice;
}
