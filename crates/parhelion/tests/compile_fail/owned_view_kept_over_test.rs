use parhelion::prelude::*;

fn read(u: DistArray<f64, 1>) -> Result<f64> {
    let mut inflight = u.start_exchange()?;
    let owned = inflight.owned();
    inflight.test()?; // may fill the halo
    Ok(owned[[0]])
}

fn main() {
    let _ = read;
}
