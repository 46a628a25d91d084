use parhelion::prelude::*;

fn read(u: DistArray<f64, 1>) -> Result<f64> {
    let inflight = u.start_exchange()?;
    Ok(inflight.with_halo()[[-1]])
}

fn main() {
    let _ = read;
}
