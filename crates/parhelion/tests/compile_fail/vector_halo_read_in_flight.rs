use parhelion::prelude::*;

fn read(x: DistVector<f64>) -> Result<f64> {
    let inflight = x.start_exchange_adjoint(Op::Sum)?;
    Ok(inflight.halo()[0])
}

fn main() {
    let _ = read;
}
