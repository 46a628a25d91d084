use parhelion::prelude::*;

fn read(mut u: DistArray<f64, 1>) -> Result<f64> {
    let view = u.with_halo();
    u.exchange()?;
    Ok(view[[-1]])
}

fn main() {
    let _ = read;
}
