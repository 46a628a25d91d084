use parhelion::prelude::*;

fn read(u: DistArray<f64, 1>) -> Result<f64> {
    let inflight = u.start_exchange()?;
    let owned = inflight.owned();
    let u = inflight.finish()?;
    drop(u);
    Ok(owned[[0]])
}

fn main() {
    let _ = read;
}
